"""Reconstruction losses and their weights against numbers worked by hand, golden rows and batches of other sizes."""

from math import inf

import pytest
import torch
import torch.nn.functional as F

from inpaintkit.errors import UsageError
from inpaintkit.losses.reconstruction import (
    confidence_weight,
    discounted_weight,
    hole_l1,
    known_l1,
    masked_mse,
    weighted_l1,
)

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


# --- Weighted L1 -----------------------------------------------------------------------------------------------------


def test_weighted_l1_by_hand(by_hand):
    completed, target, mask = by_hand
    weight = torch.tensor([[[[0.25, 0.75], [1.0, 1.0]]]], dtype=torch.float64)
    # 0.25 * (0.5 + 0.1 + 0.2) over the 6 numbers of the hole; the known pixel's 0.3 does not count, its weight 1 or not
    assert weighted_l1(completed, target, weight, mask).item() == pytest.approx(0.2 / 6)


def test_weighted_l1_of_weight_one_is_the_plain_one():
    completed, target, mask = _sample(dtype=torch.float64)
    plain = hole_l1(completed, target, mask).item()
    assert weighted_l1(completed, target, mask, mask).item() == pytest.approx(plain, rel=1e-12)
    assert weighted_l1(completed, target, 0.5 * mask, mask).item() == pytest.approx(plain / 2, rel=1e-12)


def test_weighted_l1_averages_samples_not_pixels_and_counts_a_sample_without_a_hole_as_nothing():
    target = torch.zeros(3, 3, 4, 4)
    completed = torch.stack([torch.full((3, 4, 4), value) for value in (0.2, 0.6, 1.0)])
    mask = torch.zeros(3, 1, 4, 4)
    mask[0, :, 0, 0] = 1
    mask[1] = 1
    weight = torch.full((3, 1, 4, 4), 0.5)
    assert weighted_l1(completed, target, weight, mask).item() == pytest.approx((0.1 + 0.3 + 0) / 3)
    assert weighted_l1(completed, target, weight, torch.zeros_like(mask)).item() == 0


def test_weighted_l1_has_the_right_gradient_and_is_a_mean_over_samples():
    completed, target, mask = _sample(4, dtype=torch.float64)
    weight = discounted_weight(mask, gamma=0.5)
    alone = [weighted_l1(*(t[i : i + 1] for t in (completed, target, weight, mask))).item() for i in range(4)]
    assert weighted_l1(completed, target, weight, mask).item() == pytest.approx(sum(alone) / 4, rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: weighted_l1(x, target, weight, mask), (completed.requires_grad_(),))


# --- Weights ---------------------------------------------------------------------------------------------------------


def _rectangle(
    size: tuple[int, int], top: int, left: int, height: int, width: int, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    mask = torch.zeros(1, 1, *size, dtype=dtype)
    mask[:, :, top : top + height, left : left + width] = 1
    return mask


def _strokes(size: tuple[int, int] = (96, 128)) -> torch.Tensor:
    """Lines 6, 8 and 10 px wide and a 2 x 2 px dot."""
    mask = _rectangle(size, 10, 0, 6, 100)
    mask[:, :, 5:90, 60:68] = 1
    mask[:, :, 70:80, 30:120] = 1
    mask[:, :, 40:42, 20:22] = 1
    return mask


CENTRED = _rectangle((256, 256), 64, 64, 128, 128)
WEIGHTS = [
    confidence_weight,
    lambda mask: confidence_weight(mask, kernel_size="auto"),
    lambda mask: confidence_weight(mask, sigma=inf, padding="reflect"),
    discounted_weight,
]
WEIGHT_NAMES = ["confidence", "auto", "reflected box", "discounted"]


@pytest.mark.parametrize(
    ("options", "row", "mean"),
    [
        ({"sigma": inf, "iterations": 1}, (0.484, 0.359, 0.234, 0, 0), 0.234),
        ({"sigma": inf}, (0.838, 0.778, 0.712, 0.576, 0.481), 0.727),
        ({"sigma": inf, "iterations": 10}, (0.899, 0.861, 0.820, 0.735, 0.676), 0.830),
        (
            {"sigma": inf, "kernel_size": 65, "padding": "reflect"},
            (0.851, 0.794, 0.732, 0.600, 0.495),
            0.734,
        ),
        ({}, (0.829, 0.761, 0.687, 0.539, 0.435), 0.704),
    ],
    ids=["box once", "box", "box 10 times", "box 65 reflected", "Gaussian"],
)
def test_confidence_has_the_published_profile(options, row, mean):
    """A 128 px hole in 256: the left edge, 8, 16 and 32 px in, the centre; the mean over the hole."""
    weight = confidence_weight(CENTRED, **options)
    assert [weight[0, 0, 127, 64 + inward].item() for inward in (0, 8, 16, 32, 63)] == pytest.approx(row, abs=1e-3)
    assert [weight[0, 0, 64 + inward, 127].item() for inward in (0, 8, 16, 32, 63)] == pytest.approx(row, abs=1e-3)
    assert weight.sum().item() / 128**2 == pytest.approx(mean, abs=1e-3)


def test_an_even_kernel_sees_one_pixel_more_to_the_right_and_below():
    weight = confidence_weight(CENTRED, sigma=inf, iterations=1)
    assert weight[0, 0, 127, 64].item() == pytest.approx(31 / 64)
    assert weight[0, 0, 127, 191].item() == pytest.approx(32 / 64)
    assert weight[0, 0, 191, 127].item() == pytest.approx(32 / 64)
    odd = confidence_weight(CENTRED, kernel_size=65)
    assert torch.allclose(odd, odd.flip(2, 3), rtol=0, atol=1e-12)


def test_confidence_is_the_recursion_of_the_releases_written_as_a_convolution():
    mask = torch.maximum(_rectangle((40, 56), 0, 20, 25, 17), _rectangle((40, 56), 30, 0, 4, 9))
    taps = torch.exp(-0.5 * ((torch.arange(14, dtype=torch.float64) - 6.5) / 5.0) ** 2)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    trusted = 1 - mask
    for _ in range(7):
        inside = F.conv2d(F.pad(trusted, (6, 7, 6, 7)), kernel[None, None]) * mask
        trusted = inside + (1 - mask)
    assert torch.allclose(confidence_weight(mask, kernel_size=14, sigma=5.0), inside, rtol=0, atol=1e-12)

    box = torch.full((1, 1, 13, 13), 1 / 169, dtype=torch.float64)
    trusted = 1 - mask
    for _ in range(7):
        inside = F.conv2d(F.pad(trusted, (6, 6, 6, 6), mode="reflect"), box)
        inside = inside * mask
        trusted = inside + (1 - mask)
    reflected = confidence_weight(mask, kernel_size=13, sigma=inf, padding="reflect")
    assert torch.allclose(reflected, inside, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel_size", "padding", "mean", "corner"), [(64, "zero", 0.373, 0.002), (65, "reflect", 0.426, 0.019)]
)
def test_a_hole_in_the_corner_is_barely_supervised(kernel_size, padding, mean, corner):
    mask = _rectangle((256, 256), 0, 0, 128, 128)
    weight = confidence_weight(mask, kernel_size=kernel_size, sigma=inf, padding=padding)
    assert weight.sum().item() / 128**2 == pytest.approx(mean, abs=1e-3)
    assert weight[0, 0, 0, 0].item() == pytest.approx(corner, abs=1e-3)


def test_confidence_at_512_follows_the_kernel():
    """The 64 px kernel starves a 256 px hole, the author's advice is nearly flat, half the hole keeps the profile."""
    mask = _rectangle((512, 512), 128, 128, 256, 256, torch.float32)
    inside = (0, 0, slice(128, 384), slice(128, 384))
    starved = confidence_weight(mask, sigma=inf)[inside]
    assert starved[127, 127].item() == pytest.approx(0.016, abs=1e-3)
    assert starved.mean().item() == pytest.approx(0.421, abs=1e-3)
    nearly_flat = confidence_weight(mask, kernel_size=128, sigma=inf, iterations=16)[inside]
    assert nearly_flat.mean().item() == pytest.approx(0.934, abs=1e-3)
    small = confidence_weight(CENTRED.float(), kernel_size=65)[:, :, 64:192, 64:192]
    scaled = confidence_weight(mask, kernel_size=129, sigma=80.0)[:, :, 128:384, 128:384]
    assert torch.allclose(F.avg_pool2d(scaled, 2), small, rtol=0, atol=0.008)
    even = confidence_weight(mask, kernel_size=128, sigma=80.0)
    assert torch.equal(confidence_weight(mask, kernel_size="auto"), even)


def test_the_automatic_kernel_is_64_for_a_hole_of_128():
    assert torch.equal(confidence_weight(CENTRED, kernel_size="auto"), confidence_weight(CENTRED))


def test_the_automatic_kernel_is_small_for_strokes():
    strokes = _strokes()
    deepest = confidence_weight(strokes, kernel_size=5, sigma=40 * 5 / 64)  # the middle of the widest line
    assert torch.equal(confidence_weight(strokes, kernel_size="auto"), deepest)
    usual = confidence_weight(strokes)[0, 0, 50, 60:68]  # across the upright line
    assert usual.max() - usual.min() < 0.01
    assert deepest[0, 0, 50, 60:68].max() - deepest[0, 0, 50, 60:68].min() > 0.2


def test_the_automatic_kernel_reaches_even_a_hole_of_one_pixel():
    weight = confidence_weight(_rectangle((9, 12), 4, 5, 1, 1), kernel_size="auto", sigma=inf)
    assert weight[0, 0, 4, 5].item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_confidence_falls_inward(padding):
    inside = confidence_weight(CENTRED, kernel_size=65, padding=padding)[0, 0, 64:192, 64:192]
    for line in (inside[64, :64], inside[:64, 64], inside.diagonal()[:64]):
        assert (line.diff() < 0).all()
    assert 0 < inside.min() < inside.max() < 1


@pytest.mark.parametrize("weigh", WEIGHTS, ids=WEIGHT_NAMES)
@pytest.mark.parametrize("mask", [CENTRED, _strokes()], ids=["rectangle", "strokes"])
def test_weights_are_zero_outside_and_at_most_one_inside(weigh, mask):
    weight = weigh(mask.float())
    assert weight.shape == mask.shape
    assert weight.dtype == torch.float32
    assert (weight[mask == 0] == 0).all()
    assert 0 < weight[mask > 0].min() <= weight.max() <= 1


@pytest.mark.parametrize("weigh", WEIGHTS, ids=WEIGHT_NAMES)
def test_weights_of_a_batch_are_those_of_its_samples(weigh):
    masks = [_strokes(), _rectangle((96, 128), 30, 50, 40, 64), _rectangle((96, 128), 0, 0, 20, 90)]
    masks += [torch.zeros_like(masks[0]), torch.ones_like(masks[0])]
    together = weigh(torch.cat(masks))
    alone = torch.cat([weigh(mask) for mask in masks])
    assert torch.allclose(together, alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("weigh", WEIGHTS, ids=WEIGHT_NAMES)
def test_weights_turn_with_the_mask(weigh):
    """Height and width are treated alike: a transposed mask has the transposed weight."""
    mask = torch.maximum(_strokes((96, 128)), _rectangle((96, 128), 20, 84, 50, 30))
    assert torch.allclose(weigh(mask.mT), weigh(mask).mT, rtol=0, atol=1e-14)


@pytest.mark.parametrize("weigh", WEIGHTS, ids=WEIGHT_NAMES)
def test_a_mask_all_known_or_all_missing_has_no_weight(weigh):
    for mask in (torch.zeros(2, 1, 16, 24), torch.ones(2, 1, 16, 24)):
        assert torch.equal(weigh(mask), torch.zeros_like(mask))


@pytest.mark.parametrize("weigh", WEIGHTS, ids=WEIGHT_NAMES)
def test_weights_leave_the_mask_alone_and_do_not_depend_on_its_type(weigh):
    mask = _strokes().float()
    before = mask.clone()
    weight = weigh(mask)
    assert torch.equal(mask, before)
    assert not weight.requires_grad
    for dtype, tolerance in ((torch.bool, 0), (torch.bfloat16, 0), (torch.float64, 1e-5)):
        assert torch.allclose(weigh(mask.to(dtype)).float(), weight, rtol=0, atol=tolerance)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(weigh(mask), weight)


def test_the_same_mask_twice_has_the_same_confidence():
    """The matrices are kept between calls: writing into a weight must not reach them."""
    first = confidence_weight(CENTRED)
    kept = first.clone()
    first.zero_()
    assert torch.equal(confidence_weight(CENTRED), kept)


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize("size", [(1, 9), (5, 3), (20, 33)])
def test_a_kernel_larger_than_the_photo_still_works(padding, size):
    mask = _rectangle(size, 0, 1, size[0], 2)
    weight = confidence_weight(mask, padding=padding)
    assert weight.isfinite().all()
    assert (weight[mask > 0] > 0).all()
    assert (weight <= 1).all()


def test_reflection_beyond_the_photo_folds_back_again_and_again():
    """Three pixels a b c, a kernel of 9 on b: c b a b c b a b c mirrored about a and c, each neighbour once."""
    mask = _rectangle((1, 3), 0, 1, 1, 1)
    weight = confidence_weight(mask, kernel_size=9, sigma=inf, iterations=1, padding="reflect")
    # along the width b is read 5 times of 9 (offsets -4, -2, 0, 2, 4), a and c 4 times together
    assert weight[0, 0, 0, 1].item() == pytest.approx(4 / 9)


@pytest.mark.parametrize(("gamma", "eight_in", "mean"), [(0.99, 0.92, 0.816), (0.9, 0.43, 0.253)])
def test_the_discounted_weight_is_the_published_one_on_the_near_half_of_a_rectangle(gamma, eight_in, mean):
    weight = discounted_weight(CENTRED, gamma=gamma)[0, 0, 64:192, 64:192]
    away = torch.arange(128, dtype=torch.float64)
    along = gamma ** torch.minimum(away, 128 - away)
    published = torch.maximum(along[:, None], along)
    assert torch.allclose(weight[:64, :64], published[:64, :64], rtol=0, atol=1e-12)
    assert weight[64, 0].item() == weight[64, 127].item() == weight[0, 0].item() == 1
    assert weight[64, 8].item() == pytest.approx(eight_in, abs=6e-3)
    assert published.mean().item() == pytest.approx(mean, abs=1e-3)
    assert mean < weight.mean().item() < 1.06 * mean  # the far half is one pixel shallower


def test_the_discounted_weight_follows_any_hole_by_hand():
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 1, 1]], dtype=torch.float64)
    depth = torch.tensor([[0, 0, 1, 2, 2], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]], dtype=torch.float64)
    weight = discounted_weight(mask[None, None], gamma=0.5)[0, 0]
    assert torch.equal(weight, 0.5**depth * mask)
    # the right border is no rim: at one pixel's distance from known ones lies weight 1, at four pixels' 1/8
    border = discounted_weight(_rectangle((3, 6), 0, 2, 3, 4), gamma=0.5)[0, 0, 1]
    assert border.tolist() == [0, 0, 1, 0.5, 0.25, 0.125]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"padding": "reflekt"}, "did you mean 'reflect'? valid are reflect, zero"),
        ({"kernel_size": 0}, "kernel_size is 0, expected a whole number"),
        ({"kernel_size": 1}, "reaches no known pixel"),
        ({"kernel_size": 6.5}, "kernel_size is 6.5, expected a whole number"),
        ({"kernel_size": "large"}, "kernel_size is 'large', expected a whole number of pixels from 2"),
        ({"sigma": 0.0}, "sigma is 0.0, expected pixels above 0"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"iterations": 0}, "iterations is 0, expected a whole number from 1"),
    ],
)
def test_numbers_without_meaning_are_refused_in_one_line(options, said):
    with pytest.raises(UsageError) as refusal:
        confidence_weight(torch.zeros(1, 1, 8, 8), **options)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("gamma", [0.0, 1.01, float("nan")])
def test_a_discount_out_of_range_is_refused(gamma):
    with pytest.raises(UsageError, match=r"gamma is .*expected a number above 0 and at most 1"):
        discounted_weight(torch.zeros(1, 1, 8, 8), gamma=gamma)


def test_half_precision_sums_do_not_overflow():
    image = torch.full((1, 3, 256, 256), 0.5, dtype=torch.float16)
    mask = torch.ones(1, 1, 256, 256, dtype=torch.float16)
    assert hole_l1(image, image + 0.25, mask).item() == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("shape", [(256, 256), (0, 1, 8, 8), (1, 3, 8, 8)])
def test_a_confidence_weight_of_what_is_no_mask_is_refused(shape):
    with pytest.raises(UsageError, match="expected \\(N, 1, H, W\\)"):
        confidence_weight(torch.zeros(shape), kernel_size="auto")
