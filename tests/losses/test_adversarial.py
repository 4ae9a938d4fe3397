"""Adversarial losses against numbers worked by hand, probabilities, finite differences and other batch sizes."""

from math import log

import pytest
import torch
from torch import nn

from inpaintkit.losses.adversarial import (
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
    saturating_generator,
    vanilla_discriminator,
    vanilla_generator,
    wasserstein_critic,
    wasserstein_generator,
)
from inpaintkit.losses.reconstruction import confidence_weight

TWO_SIDED = [vanilla_discriminator, hinge_discriminator]
ONE_SIDED = [vanilla_generator, saturating_generator, hinge_generator]


def _logits(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_an_undecided_discriminator_loses_two_log_two():
    assert vanilla_discriminator(_logits(0, 0), _logits(0, 0)).item() == pytest.approx(2 * log(2))
    assert vanilla_generator(_logits(0, 0)).item() == pytest.approx(log(2))
    assert saturating_generator(_logits(0, 0)).item() == pytest.approx(-log(2))


def test_vanilla_losses_are_the_papers_logarithms_of_probabilities():
    real, fake = (0.9, 0.2), (0.4, 0.7)
    logit = lambda p: log(p / (1 - p))  # noqa: E731
    real_logits, fake_logits = _logits(*map(logit, real)), _logits(*map(logit, fake))
    discriminator = -(log(0.9) + log(0.2)) / 2 - (log(0.6) + log(0.3)) / 2
    assert vanilla_discriminator(real_logits, fake_logits).item() == pytest.approx(discriminator)
    assert vanilla_generator(fake_logits).item() == pytest.approx(-(log(0.4) + log(0.7)) / 2)
    assert saturating_generator(fake_logits).item() == pytest.approx((log(0.6) + log(0.3)) / 2)


def test_hinge_losses_by_hand():
    # real: 1 - 2 < 0, 1 - (-0.5) = 1.5; fake: 1 + 0.5 = 1.5, 1 - 3 < 0
    assert hinge_discriminator(_logits(2, -0.5), _logits(0.5, -3)).item() == pytest.approx(0.75 + 0.75)
    assert hinge_generator(_logits(0.5, -3)).item() == pytest.approx(1.25)


def test_a_sure_discriminator_teaches_the_generator_only_in_the_non_saturating_form():
    sure = _logits(-20).requires_grad_()
    (gradient,) = torch.autograd.grad(vanilla_generator(sure), sure)
    assert gradient.item() == pytest.approx(-1, abs=1e-6)
    (gradient,) = torch.autograd.grad(saturating_generator(sure), sure)
    assert gradient.item() == pytest.approx(0, abs=1e-6)


def test_all_generator_losses_push_the_logit_up():
    for loss in ONE_SIDED:
        logit = _logits(0.3).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(logit), logit)
        assert gradient.item() < 0, loss.__name__


@pytest.mark.parametrize("loss", TWO_SIDED)
def test_discriminator_losses_push_real_up_and_fake_down(loss):
    real, fake = _logits(0.1).requires_grad_(), _logits(-0.1).requires_grad_()
    of_real, of_fake = torch.autograd.grad(loss(real, fake), (real, fake))
    assert of_real.item() < 0 < of_fake.item()


def test_extreme_logits_stay_finite():
    far = torch.tensor([[1e4], [-1e4]])
    assert vanilla_discriminator(far, far).isfinite()
    assert vanilla_generator(far).isfinite()
    assert saturating_generator(far).isfinite()


@pytest.mark.parametrize("loss", TWO_SIDED)
def test_the_gradient_of_both_sides_is_right_in_double_precision(loss):
    real, fake = _logits(0.3, -1.2, 2.5).requires_grad_(), _logits(-0.4, 0.9, -2.2).requires_grad_()
    assert torch.autograd.gradcheck(loss, (real, fake))


@pytest.mark.parametrize("loss", ONE_SIDED)
def test_the_gradient_is_right_in_double_precision(loss):
    assert torch.autograd.gradcheck(loss, (_logits(-0.4, 0.9, -2.2).requires_grad_(),))


@pytest.mark.parametrize("shape", [(6, 1), (6, 1, 3, 2)], ids=["one logit", "patches"])
@pytest.mark.parametrize("loss", [*TWO_SIDED, *ONE_SIDED])
def test_a_batch_is_the_mean_of_its_samples(loss, shape):
    rng = torch.Generator().manual_seed(0)
    sides = [torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(2 if loss in TWO_SIDED else 1)]
    alone = [loss(*(side[i : i + 1] for side in sides)).item() for i in range(6)]
    whole = loss(*sides)
    assert whole.shape == ()
    assert whole.item() == pytest.approx(sum(alone) / 6, rel=1e-12)


def test_real_and_fake_may_differ_in_number():
    assert vanilla_discriminator(_logits(0, 0, 0), _logits(0)).item() == pytest.approx(2 * log(2))
    assert hinge_discriminator(_logits(0, 0, 0), _logits(0)).item() == pytest.approx(2)


# --- Critics ---------------------------------------------------------------------------------------------------------


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(n: int = 3, height: int = 4, width: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Real and fake images and a mask with some of both, in float64."""
    rng = _rng(n)
    real, fake = (torch.rand(n, 3, height, width, generator=rng, dtype=torch.float64) for _ in range(2))
    mask = (torch.rand(n, 1, height, width, generator=rng, dtype=torch.float64) > 0.5).double()
    return real, fake, mask


def _linear(*slopes: torch.Tensor):
    """A critic with one column for each slope (3, H, W): its gradient is the slope wherever it is taken."""
    return lambda image: torch.stack([(image * slope).sum((1, 2, 3)) for slope in slopes], 1)


class _Critics(nn.Module):
    """Two small smooth critics over one convolution, so that second derivatives are not zero."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 3, padding=1)
        self.heads = nn.Conv2d(2, 2, 3, padding=1)
        for i, parameter in enumerate(self.parameters()):
            nn.init.normal_(parameter, 0, 0.5, generator=_rng(i))
        self.calls = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.tanh(self.heads(torch.tanh(self.features(image)))).mean((2, 3))


def test_wasserstein_losses_by_hand_sum_the_critics():
    real = torch.tensor([[1.0, 10.0], [3.0, 20.0]])
    fake = torch.tensor([[0.5, 4.0], [-1.5, 8.0]])
    # columns: global mean(fake) -0.5, mean(real) 2; local 6 and 15
    assert wasserstein_critic(real, fake).item() == pytest.approx(-2.5 - 9)
    assert wasserstein_generator(fake).item() == pytest.approx(0.5 - 6)
    assert wasserstein_critic(real, real).item() == 0
    assert wasserstein_critic(real[:, :1], fake[:1, :1]).item() == pytest.approx(0.5 - 2)


def test_wasserstein_losses_are_means_over_the_batch_with_the_right_gradient():
    real = torch.randn(4, 2, generator=_rng(), dtype=torch.float64).requires_grad_()
    fake = torch.randn(4, 2, generator=_rng(1), dtype=torch.float64).requires_grad_()
    alone = [wasserstein_critic(real[i : i + 1], fake[i : i + 1]).item() for i in range(4)]
    assert wasserstein_critic(real, fake).item() == pytest.approx(sum(alone) / 4, rel=1e-12)
    alone = [wasserstein_generator(fake[i : i + 1]).item() for i in range(4)]
    assert wasserstein_generator(fake).item() == pytest.approx(sum(alone) / 4, rel=1e-12)
    assert torch.autograd.gradcheck(wasserstein_critic, (real, fake))
    assert torch.autograd.gradcheck(wasserstein_generator, (fake,))
    (gradient,) = torch.autograd.grad(wasserstein_generator(fake), fake)
    assert torch.equal(gradient, torch.full_like(fake, -1 / 4))


def test_the_penalty_of_a_linear_critic_is_known():
    real, fake, mask = _images()
    mask[:] = 0
    mask[:, :, 1, 2:4] = 1
    slope = torch.zeros(3, 4, 5, dtype=torch.float64)
    slope[:, 1, 2] = torch.tensor([1.0, 2.0, 2.0])
    slope[0, 1, 3] = 4
    slope[:, 0, 0] = 100  # known there: does not count
    # sqrt(1 + 4 + 4 + 16) = 5 inside the hole
    assert gradient_penalty(_linear(slope), real, fake, mask, _rng()).item() == pytest.approx((5 - 1) ** 2)
    # half the weight, half the slope: the weight multiplies the gradient, not its square
    assert gradient_penalty(_linear(slope), real, fake, mask / 2, _rng()).item() == pytest.approx((2.5 - 1) ** 2)
    everywhere = gradient_penalty(_linear(slope), real, fake, torch.ones_like(mask), _rng()).item()
    assert everywhere == pytest.approx(((25 + 3 * 100**2) ** 0.5 - 1) ** 2)


def test_the_penalty_with_the_confidence_weight_by_hand():
    mask = torch.zeros(1, 1, 1, 7, dtype=torch.float64)
    mask[..., 3] = 1
    weight = confidence_weight(mask, kernel_size=3, sigma=float("inf"), iterations=1, padding="reflect")
    assert weight[0, 0, 0, 3].item() == pytest.approx(2 / 3)  # two known neighbours of three
    slope = torch.zeros(3, 1, 7, dtype=torch.float64)
    slope[1, 0, 3] = 6
    image = torch.zeros(1, 3, 1, 7, dtype=torch.float64)
    assert gradient_penalty(_linear(slope), image, image, weight, _rng()).item() == pytest.approx((4 - 1) ** 2)


def test_the_penalty_of_two_critics_is_the_sum_of_each():
    real, fake, mask = _images()
    one, two = (torch.randn(3, 4, 5, generator=_rng(i), dtype=torch.float64) for i in range(2))
    alone = sum(gradient_penalty(_linear(slope), real, fake, mask, _rng()).item() for slope in (one, two))
    assert gradient_penalty(_linear(one, two), real, fake, mask, _rng()).item() == pytest.approx(alone, rel=1e-12)


def test_the_penalty_averages_over_samples():
    real, _, mask = _images(4)
    slope = torch.randn(3, 4, 5, generator=_rng(), dtype=torch.float64)
    critic = lambda image: (image**2 * slope).sum((1, 2, 3))[:, None]  # noqa: E731
    # real = fake: the same place whatever is drawn, another slope and mask for every sample
    alone = [gradient_penalty(critic, *(t[i : i + 1] for t in (real, real, mask)), _rng(i)).item() for i in range(4)]
    assert gradient_penalty(critic, real, real, mask, _rng(9)).item() == pytest.approx(sum(alone) / 4, rel=1e-12)
    assert max(alone) > 1.1 * min(alone)


def test_the_slope_is_taken_between_real_and_fake_at_one_place_a_sample():
    seen = []

    def critic(image):
        seen.append(image.detach())
        return image.sum((1, 2, 3))[:, None]

    real, fake = torch.zeros(64, 3, 2, 2), torch.ones(64, 3, 2, 2)
    gradient_penalty(critic, real, fake, torch.ones(64, 1, 2, 2), _rng())
    shares = seen[0].flatten(1)
    assert (shares == shares[:, :1]).all()
    assert 0 <= shares.min() < 0.1
    assert 0.9 < shares.max() <= 1
    assert shares[:, 0].unique().numel() == 64


def test_only_the_generator_given_decides_where_the_slope_is_taken():
    real, fake, mask = _images()
    critics = _Critics().double()
    torch.manual_seed(1)
    first = gradient_penalty(critics, real, fake, mask, _rng(5)).item()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert gradient_penalty(critics, real, fake, mask, _rng(5)).item() == first
    assert gradient_penalty(critics, real, fake, mask, _rng(6)).item() != first
    assert torch.equal(torch.get_rng_state(), state)


def test_a_critic_without_a_slope_has_a_finite_penalty_and_finite_gradients():
    real, fake, mask = _images()
    critics = _Critics().double()
    nn.init.zeros_(critics.heads.weight)
    penalty = gradient_penalty(critics, real, fake, mask, _rng())
    assert penalty.item() == pytest.approx(2, abs=1e-5)  # (0 - 1)^2 for each of the two
    penalty.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in critics.parameters())
    assert critics.heads.weight.grad is not None


@pytest.mark.parametrize("sample_dtype", [torch.float32, torch.float64])
def test_a_sample_without_a_hole_stays_finite(sample_dtype):
    real, fake, mask = (t.to(sample_dtype) for t in _images())
    critics = _Critics().to(sample_dtype)
    mask[0] = 0
    gradient_penalty(critics, real, fake, mask, _rng()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in critics.parameters())


def test_the_penalty_reaches_the_critics_weights_through_two_derivatives():
    real, fake, mask = _images(2)
    critics = _Critics().double()
    names = ["features.weight", "features.bias", "heads.weight", "heads.bias"]
    start = [parameter.detach().clone().requires_grad_() for parameter in critics.parameters()]

    def penalty(*parameters: torch.Tensor) -> torch.Tensor:
        weights = dict(zip(names, parameters, strict=True))
        return gradient_penalty(
            lambda image: torch.func.functional_call(critics, weights, (image,)), real, fake, mask, _rng()
        )

    gradients = torch.autograd.grad(penalty(*start), start)
    assert all(gradient.abs().max() > 1e-4 for gradient in gradients)
    assert torch.autograd.gradcheck(penalty, start)


def test_the_critics_share_one_forward_pass():
    critics = _Critics().double()
    gradient_penalty(critics, *_images(), _rng())
    assert critics.calls == 1


def test_the_penalty_teaches_only_the_critic_and_leaves_its_arguments_alone():
    real, fake, mask = (t.requires_grad_() for t in _images())
    before = [t.detach().clone() for t in (real, fake, mask)]
    critics = _Critics().double()
    gradient_penalty(critics, real, fake * 1, mask.detach(), _rng()).backward()
    assert real.grad is None
    assert fake.grad is None
    assert critics.features.weight.grad.abs().max() > 0
    assert all(torch.equal(a, b) for a, b in zip((real, fake, mask), before, strict=True))


def test_a_frozen_critic_can_be_measured_and_the_rest_of_it_trained():
    real, fake, mask = _images()
    critics = _Critics().double()
    free = gradient_penalty(critics, real, fake, mask, _rng()).item()
    critics.features.requires_grad_(False)
    partly = gradient_penalty(critics, real, fake, mask, _rng())
    partly.backward()
    assert critics.features.weight.grad is None
    assert critics.heads.weight.grad.abs().max() > 0
    critics.requires_grad_(False)
    frozen = gradient_penalty(critics, real, fake, mask, _rng()).item()
    assert frozen == partly.item() == free


def test_the_norm_of_a_half_precision_gradient_is_taken_in_float32():
    image = torch.zeros(1, 3, 1, 300, dtype=torch.bfloat16)
    slope = torch.zeros(3, 1, 300, dtype=torch.bfloat16)
    slope[0, 0, :257] = 1  # the sum of 257 ones has no bfloat16: the nearest is 256
    penalty = gradient_penalty(_linear(slope), image, image, torch.ones_like(image[:, :1]), _rng())
    assert penalty.item() == pytest.approx((257**0.5 - 1) ** 2, rel=1e-5)


def test_the_penalty_is_right_under_autocast():
    real, fake, mask = (t.float() for t in _images(2, 16, 16))
    critics = _Critics()
    exact = gradient_penalty(critics, real, fake, mask, _rng())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = gradient_penalty(critics, real.bfloat16(), fake.bfloat16(), mask.bfloat16(), _rng())
        assert penalty.dtype == torch.float32
    penalty.backward()
    assert penalty.item() == pytest.approx(exact.item(), rel=0.02)
    assert all(p.grad is None or p.grad.isfinite().all() for p in critics.parameters())
