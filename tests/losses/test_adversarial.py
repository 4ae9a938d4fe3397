"""Adversarial losses against numbers worked by hand, probabilities, finite differences and other batch sizes."""

from math import log

import pytest
import torch

from inpaintkit.losses.adversarial import (
    hinge_discriminator,
    hinge_generator,
    saturating_generator,
    vanilla_discriminator,
    vanilla_generator,
)

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
