"""Reconstruction losses against numbers worked by hand, finite differences and batches of other sizes."""

import pytest
import torch

from inpaintkit.losses.reconstruction import hole_l1, known_l1, masked_mse

LOSSES = [masked_mse, hole_l1, known_l1]


def _sample(n: int = 3, height: int = 5, width: int = 4, dtype: torch.dtype = torch.float32):
    rng = torch.Generator().manual_seed(n)
    completed, target = (torch.rand(n, 3, height, width, generator=rng, dtype=torch.float64) for _ in range(2))
    mask = (torch.rand(n, 1, height, width, generator=rng, dtype=torch.float64) > 0.6).to(dtype)
    return completed.to(dtype), target.to(dtype), mask


@pytest.fixture
def by_hand():
    """2 x 2 pixels: one missing pixel differs by (0.5, 0.1, -0.2), one known pixel by 0.3 in red; else equal."""
    target = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    completed = target.clone()
    completed[0, :, 0, 0] += torch.tensor([0.5, 0.1, -0.2], dtype=torch.float64)
    completed[0, 0, 1, 1] += 0.3
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]], dtype=torch.float64)
    return completed, target, mask


def test_masked_mse_by_hand(by_hand):
    # 0.25 + 0.01 + 0.04 over all 12 numbers of the tensor, not over the 6 of the hole
    assert masked_mse(*by_hand).item() == pytest.approx(0.30 / 12)


def test_hole_l1_by_hand(by_hand):
    # 0.5 + 0.1 + 0.2 over the 6 numbers of the hole
    assert hole_l1(*by_hand).item() == pytest.approx(0.8 / 6)


def test_known_l1_by_hand(by_hand):
    # 0.3 over the 6 known numbers
    assert known_l1(*by_hand).item() == pytest.approx(0.3 / 6)


def test_masked_mse_at_the_size_the_spec_works_out():
    """A 112 px hole of 256 px with squared error 0.01: alpha log 2 is then 0.145 of it."""
    target = torch.zeros(1, 3, 256, 256)
    mask = torch.zeros(1, 1, 256, 256)
    mask[:, :, 40:152, 100:212] = 1
    loss = masked_mse(target + 0.1, target, mask).item()
    assert loss == pytest.approx(0.01 * 112**2 / 256**2, rel=1e-5)
    assert 0.0004 * 0.693147 / loss == pytest.approx(0.145, abs=5e-4)


def test_hole_l1_is_a_mean_of_means_so_a_small_hole_weighs_as_much_as_a_large_one():
    target = torch.zeros(2, 3, 4, 4)
    completed = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.6)])
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, :, 0, 0] = 1
    mask[1] = 1
    assert hole_l1(completed, target, mask).item() == pytest.approx(0.4)
    assert masked_mse(completed, target, mask).item() == pytest.approx((3 * 0.04 + 48 * 0.36) / 96)


def test_a_sample_without_a_hole_counts_as_nothing():
    completed, target, mask = _sample(2)
    mask[0] = 0
    one = hole_l1(completed[1:], target[1:], mask[1:])
    assert hole_l1(completed, target, mask).item() == pytest.approx(one.item() / 2)
    assert hole_l1(completed, target, torch.zeros_like(mask)).item() == 0
    assert known_l1(completed, target, torch.ones_like(mask)).item() == 0
    assert masked_mse(completed, target, torch.zeros_like(mask)).item() == 0


@pytest.mark.parametrize("loss", [masked_mse, hole_l1])
def test_known_pixels_do_not_count(loss):
    completed, target, mask = _sample()
    changed = torch.where(mask > 0.5, completed, torch.rand_like(completed))
    assert torch.equal(loss(completed, target, mask), loss(changed, target, mask))


def test_missing_pixels_do_not_count_in_the_known_loss():
    completed, target, mask = _sample()
    changed = torch.where(mask > 0.5, torch.rand_like(completed), completed)
    assert torch.equal(known_l1(completed, target, mask), known_l1(changed, target, mask))


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_images_lose_nothing(loss):
    _, target, mask = _sample()
    assert loss(target, target, mask).item() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_right_in_double_precision(loss):
    completed, target, mask = _sample(dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, y: loss(x, y, mask), (completed.requires_grad_(), target.requires_grad_())
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_is_the_mean_of_its_samples(loss):
    completed, target, mask = _sample(4, dtype=torch.float64)
    alone = [loss(completed[i : i + 1], target[i : i + 1], mask[i : i + 1]).item() for i in range(4)]
    assert loss(completed, target, mask).item() == pytest.approx(sum(alone) / 4, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_repeated_has_the_same_loss(loss):
    arguments = _sample(3, dtype=torch.float64)
    assert loss(*(t.repeat(5, 1, 1, 1) for t in arguments)).item() == pytest.approx(loss(*arguments).item(), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_one_scalar_and_leaves_its_arguments_alone(loss):
    arguments = _sample()
    before = [t.clone() for t in arguments]
    assert loss(*arguments).shape == ()
    assert all(torch.equal(a, b) for a, b in zip(arguments, before, strict=True))
