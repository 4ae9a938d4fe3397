"""The small U-Net: the contract, its diffusion fill, its patch discriminator and its losses."""

import pytest
import torch
from generator_contract import GeneratorContract, holed, stirred
from torch import Tensor, nn

from inpaintkit.models import SYSTEMS, Batch, Completion
from inpaintkit.models.unet import PatchDiscriminator, UNet, diffuse, objective, schedule
from inpaintkit.tensors import composite


class TestUNet(GeneratorContract):
    name = "unet"
    arguments = {"width": 8, "dilations": (1, 2)}  # noqa: RUF012
    size_multiple = 16

    def test_a_new_network_is_the_diffusion_fill(self):
        image, mask = holed(2, 48, 64)
        with torch.inference_mode():
            completion = UNet(width=8)(image, mask)
        torch.testing.assert_close(completion.image, completion.coarse.clamp(0, 1), rtol=0, atol=0)
        torch.testing.assert_close(completion.coarse, diffuse(image, mask), rtol=0, atol=0)


# --- The diffusion fill ----------------------------------------------------------------------------------------------


def test_known_pixels_stay_in_the_diffusion_fill():
    image, mask = holed(2, 64, 80)
    known = (mask == 0).expand_as(image)
    assert torch.equal(diffuse(image, mask)[known], image[known])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_flat_photo_is_filled_with_its_colour(share):
    colour = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1)
    image = colour.expand(2, 3, 64, 96)
    mask = (torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0)) < share).float()
    torch.testing.assert_close(diffuse(image * (1 - mask), mask), image.contiguous(), rtol=0, atol=1e-5)


def test_what_lies_under_the_hole_does_not_leak_into_the_fill():
    image, mask = holed(2, 64, 80)
    assert torch.equal(diffuse(image, mask), diffuse(torch.where(mask > 0.5, torch.ones_like(image), image), mask))


def test_a_ramp_goes_on_through_the_hole():
    """The membrane over a ramp is the ramp; one pass of multigrid comes near."""
    ramp = torch.linspace(0, 1, 96).expand(1, 3, 96, 96).contiguous()
    mask = torch.zeros(1, 1, 96, 96)
    mask[:, :, 30:66, 30:66] = 1
    error = (diffuse(ramp, mask) - ramp).abs()[(mask == 1).expand_as(ramp)]
    constant = (ramp.mean() - ramp).abs()[(mask == 1).expand_as(ramp)]
    assert error.mean() < 0.03
    assert error.mean() < constant.mean() / 3


def test_the_fill_is_smooth_and_within_the_range_of_what_is_known():
    image, mask = holed(2, 64, 80)
    known = (mask == 0).expand_as(image)
    fill = diffuse(image, mask)
    assert fill.min() >= image[known].min() - 1e-6
    assert fill.max() <= image[known].max() + 1e-6
    assert fill[~known].std() < image[~known].std() / 2


def test_the_middle_of_a_vast_hole_gets_the_mean_colour():
    image = torch.rand(1, 3, 16 * 40, 16 * 40, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 1, 640, 640)
    mask[:, :, :32] = 0
    middle = diffuse(image, mask)[:, :, -16:]
    assert (middle - image[:, :, :32].mean((2, 3), keepdim=True)).abs().max() < 0.05


def test_gradients_go_through_the_diffusion_fill():
    image, mask = holed(1, 32, 32)
    image.requires_grad_()
    fill = diffuse(image, mask)
    fill[(mask == 1).expand_as(fill)].sum().backward()
    hole = (mask == 1).expand_as(image)
    assert not image.grad[hole].any()
    assert image.grad[~hole].any()


# --- The discriminator -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "side"), [(3, 8), (4, 4)])
def test_one_logit_a_patch(depth, side):
    judge = PatchDiscriminator(width=4, depth=depth)
    image, mask = holed(2, 64, 64)
    assert judge(image, mask).shape == (2, 1, side, side)


def test_the_patch_discriminator_looks_at_the_mask():
    judge = PatchDiscriminator(width=4, depth=3).eval()
    image, mask = holed(1, 64, 64)
    with torch.inference_mode():
        assert not torch.equal(judge(image, mask), judge(image, 1 - mask))


def test_every_layer_has_spectral_norm_one():
    judge = PatchDiscriminator(width=4, depth=3).train()
    with torch.no_grad():
        for parameter in judge.parameters():
            parameter.mul_(7)
        for _ in range(25):  # every pass is a step of the power iteration
            judge(*holed(1, 16, 16))
    layers = [m for m in judge.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 4
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_gradients_reach_every_parameter_of_the_discriminator():
    judge = stirred(PatchDiscriminator(width=4, depth=3)).train()
    judge(*holed(3, 32, 32)).square().sum().backward()
    assert [n for n, p in judge.named_parameters() if p.grad is None or not p.grad.any()] == []


# --- Training --------------------------------------------------------------------------------------------------------


class _Paints(nn.Module):
    """A generator whose raw output is one parameter."""

    def __init__(self, n: int, size: int) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(8)))

    def forward(self, image: Tensor, mask: Tensor) -> Completion:
        return Completion(self.output * 1)


class _Watches(nn.Module):
    """A discriminator that keeps what it is shown; a patch's logit is its mean, plus a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(0.1))
        self.shown: list[Tensor] = []

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        self.shown.append(image)
        return nn.functional.avg_pool2d(image, 8).mean(1, keepdim=True) + self.bias


@pytest.fixture
def scene():
    image, mask = holed(3, 32, 32)
    networks = {"generator": _Paints(3, 32), "discriminator": _Watches()}
    return networks, Batch(image, mask, mask.flip(2))


def test_reconstruction_is_the_l1_of_the_hole(scene):
    networks, (image, mask, _) = scene
    raw = networks["generator"].output.detach()
    in_hole = [float(((raw[i] - image[i]).abs() * mask[i]).sum() / (3 * mask[i].sum())) for i in range(3)]
    loss = objective(*scene, torch.Generator())["reconstruction"]()
    assert loss.item() == pytest.approx(sum(in_hole) / 3, rel=1e-5)


def test_the_hinge_is_on_the_composite_and_on_the_patches_that_touch_the_hole(scene):
    networks, (image, mask, _) = scene
    fake = composite(image, mask, networks["generator"].output.detach())
    real_logits, fake_logits = [], []
    for i in range(3):
        for top in range(0, 32, 8):
            for left in range(0, 32, 8):
                cell = (i, slice(None), slice(top, top + 8), slice(left, left + 8))
                if mask[cell].any():
                    real_logits.append(float(image[cell].mean()) + 0.1)
                    fake_logits.append(float(fake[cell].mean()) + 0.1)
    assert 0 < len(fake_logits) < 3 * 16
    losses = objective(*scene, torch.Generator())
    assert losses["adversarial"]().item() == pytest.approx(-sum(fake_logits) / len(fake_logits), rel=1e-5)
    hinge = sum(max(0, 1 - r) for r in real_logits) + sum(max(0, 1 + f) for f in fake_logits)
    assert losses["discrimination"]().item() == pytest.approx(hinge / len(fake_logits), rel=1e-5)
    assert sum(torch.equal(shown, fake) for shown in networks["discriminator"].shown) == 2
    assert sum(torch.equal(shown, image) for shown in networks["discriminator"].shown) == 1


def test_no_gradient_crosses_over(scene):
    networks, batch = scene
    losses = objective(*scene, torch.Generator())
    losses["discrimination"]().backward()
    assert networks["generator"].output.grad is None
    losses["adversarial"]().backward()
    gradient = networks["generator"].output.grad
    hole = (batch.mask == 1).expand_as(gradient)
    assert gradient[hole].all()
    assert not gradient[~hole].any()


def test_the_schedule_has_glcics_three_phases_and_weighs_the_adversarial_term_alone():
    phases = schedule(10, 20, 30, adversarial_weight=0.25)
    assert [(p.name, p.steps) for p in phases] == [("completion", 10), ("discriminator", 20), ("joint", 30)]
    assert [[(u.network, dict(u.losses)) for u in p.updates] for p in phases] == [
        [("generator", {"reconstruction": 1.0})],
        [("discriminator", {"discrimination": 1.0})],
        [("discriminator", {"discrimination": 1.0}), ("generator", {"reconstruction": 1.0, "adversarial": 0.25})],
    ]
    assert set(SYSTEMS["unet"].parts) == {u.network for p in phases for u in p.updates}
