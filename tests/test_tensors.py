"""The contract on tensors: what is refused, the one composite, padding, and crops on holes."""

import pytest
import torch

from inpaintkit.errors import InpaintError
from inpaintkit.tensors import check, composite, crop_at, crop_back, crop_corner_on_hole, pad_to_multiple


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _rectangle(height: int, width: int, top: int, left: int, rows: int, columns: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[:, :, top : top + rows, left : left + columns] = 1
    return mask


# --- check ---


def test_an_image_and_its_mask_pass():
    check(torch.zeros(2, 3, 5, 7), torch.zeros(2, 1, 5, 7))
    check(torch.zeros(2, 3, 5, 7, dtype=torch.bfloat16), torch.zeros(2, 1, 5, 7, dtype=torch.bool))


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(3, 5, 7),
        torch.zeros(2, 4, 5, 7),
        torch.zeros(2, 5, 7, 3),
        torch.zeros(2, 3, 5, 7, dtype=torch.uint8),
    ],
    ids=["no batch", "four channels", "channels last", "bytes"],
)
def test_an_image_of_another_kind_is_refused(image):
    with pytest.raises(InpaintError, match=r"expected a float tensor \(N, 3, H, W\)"):
        check(image, torch.zeros(2, 1, 5, 7))


@pytest.mark.parametrize(
    "shape",
    [(2, 5, 7), (1, 1, 5, 7), (2, 3, 5, 7), (2, 1, 7, 5), (2, 1, 5, 8)],
    ids=lambda shape: "x".join(map(str, shape)),
)
def test_a_mask_of_another_shape_is_refused_with_the_right_one(shape):
    with pytest.raises(InpaintError, match=r"expected \(2, 1, 5, 7\)"):
        check(torch.zeros(2, 3, 5, 7), torch.zeros(shape))


def test_sides_that_are_no_multiples_are_refused_with_the_way_out():
    check(torch.zeros(1, 3, 8, 12), torch.zeros(1, 1, 8, 12), 4)
    for height, width in [(6, 8), (8, 6)]:
        with pytest.raises(InpaintError, match=rf"{height} x {width} px.*multiples of 4.*pad_to_multiple"):
            check(torch.zeros(1, 3, height, width), torch.zeros(1, 1, height, width), 4)


# --- composite ---


def test_known_pixels_of_the_composite_are_the_images_bit_for_bit():
    rng = _rng()
    image = torch.rand(2, 3, 9, 11, generator=rng)
    image[0, 0, 0, 0] = -0.0  # equal to 0 in value, not in bits
    completed = torch.rand(2, 3, 9, 11, generator=rng)
    mask = (torch.rand(2, 1, 9, 11, generator=rng) > 0.5).float()
    mask[0, 0, 0, 0] = 0
    result = composite(image, mask, completed)
    known = (mask == 0).expand_as(image)
    assert torch.equal(result[known].view(torch.int32), image[known].view(torch.int32))
    assert torch.equal(result[~known], completed[~known])


def test_nothing_of_the_completion_reaches_known_pixels_not_even_a_nan():
    image, mask = torch.full((1, 3, 4, 4), 0.25), _rectangle(4, 4, 1, 1, 2, 2)
    result = composite(image, mask, torch.full_like(image, torch.nan))
    assert torch.equal(result.isnan(), (mask == 1).expand_as(image))


def test_gradients_of_the_composite_stay_on_their_side():
    image = torch.rand(1, 3, 4, 4, generator=_rng(), requires_grad=True)
    completed = torch.rand(1, 3, 4, 4, generator=_rng(1), requires_grad=True)
    mask = _rectangle(4, 4, 0, 1, 2, 3)
    composite(image, mask, completed).sum().backward()
    assert torch.equal(completed.grad, mask.expand_as(image))
    assert torch.equal(image.grad, 1 - mask.expand_as(image))


def test_the_composite_modifies_none_of_its_arguments():
    tensors = [torch.rand(1, 3, 4, 4, generator=_rng()), _rectangle(4, 4, 0, 0, 2, 2), torch.zeros(1, 3, 4, 4)]
    before = [t.clone() for t in tensors]
    composite(*tensors).fill_(7)
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


# --- padding ---


@pytest.mark.parametrize(
    ("height", "width", "multiple", "padded"),
    [(8, 8, 4, (8, 8)), (5, 7, 4, (8, 8)), (1, 1, 16, (16, 16)), (33, 48, 16, (48, 48)), (6, 8, 1, (6, 8))],
)
def test_padding_reaches_the_next_multiple_and_is_undone_by_cropping(height, width, multiple, padded):
    image = torch.rand(2, 3, height, width, generator=_rng())
    mask = (torch.rand(2, 1, height, width, generator=_rng(1)) > 0.5).float()
    wide, wide_mask = pad_to_multiple(image, mask, multiple)
    assert wide.shape == (2, 3, *padded)
    assert wide_mask.shape == (2, 1, *padded)
    assert torch.equal(crop_back(wide, height, width), image)
    assert torch.equal(crop_back(wide_mask, height, width), mask)


def test_padding_repeats_the_border_at_the_bottom_and_at_the_right():
    image, mask = torch.rand(1, 3, 5, 6, generator=_rng()), _rectangle(5, 6, 4, 0, 1, 3)
    wide, wide_mask = pad_to_multiple(image, mask, 4)
    assert torch.equal(wide[:, :, 5:, :6], image[:, :, 4:].expand(1, 3, 3, 6))
    assert torch.equal(wide[:, :, :5, 6:], image[:, :, :, 5:].expand(1, 3, 5, 2))
    assert torch.equal(wide_mask[:, :, 5:, :6], mask[:, :, 4:].expand(1, 1, 3, 6))  # a hole at the border stays one


# --- crops ---


def test_every_sample_is_cropped_at_its_own_place():
    images = torch.rand(3, 2, 9, 12, generator=_rng())
    top, left = torch.tensor([0, 3, 5]), torch.tensor([8, 0, 4])
    crops = crop_at(images, top, left, 4)
    for i, (t, k) in enumerate([(0, 8), (3, 0), (5, 4)]):
        assert torch.equal(crops[i], images[i, :, t : t + 4, k : k + 4])


def test_gradients_go_through_a_crop_to_its_pixels_only():
    images = torch.rand(1, 1, 6, 6, generator=_rng(), requires_grad=True)
    crop_at(images, torch.tensor([1]), torch.tensor([2]), 3).sum().backward()
    assert torch.equal(images.grad, _rectangle(6, 6, 1, 2, 3, 3))


@pytest.mark.parametrize(
    ("hole", "corner"),
    [
        ((20, 30, 10, 10), (17, 27)),  # rows 20..29 have their middle before row 25: 25 - 8 = 17
        ((20, 30, 16, 16), (20, 30)),  # a hole of the crop's own size is the crop
        ((20, 30, 15, 3), (19, 23)),  # odd sides: half a pixel cannot be split
        ((0, 0, 4, 4), (0, 0)),  # clamped
        ((60, 60, 4, 4), (48, 48)),  # clamped
        ((0, 30, 2, 2), (0, 23)),
    ],
)
def test_a_crop_is_centred_on_a_hole_that_fits(hole, corner):
    mask = _rectangle(64, 64, *hole)
    top, left = crop_corner_on_hole(mask, 16, _rng())
    assert (int(top), int(left)) == corner
    assert crop_at(mask, top, left, 16).sum() == mask.sum()  # all of the hole is seen


@pytest.mark.parametrize("size", [15, 16])
def test_all_of_a_hole_that_fits_is_in_the_crop_wherever_it_lies(size):
    for rows in (1, 2, size - 1, size):
        for place in range(40 - rows + 1):
            mask = _rectangle(40, 40, place, 40 - rows - place, rows, rows)
            top, left = crop_corner_on_hole(mask, size, _rng())
            assert crop_at(mask, top, left, size).sum() == rows * rows


def test_a_hole_that_fits_has_the_same_crop_whatever_the_draw():
    mask = _rectangle(64, 64, 13, 21, 9, 14)
    corners = {tuple(int(c) for c in crop_corner_on_hole(mask, 16, _rng(seed))) for seed in range(20)}
    assert len(corners) == 1


def test_two_holes_far_apart_are_not_centred_between():
    mask = _rectangle(64, 64, 10, 10, 4, 4) + _rectangle(64, 64, 50, 50, 4, 4)
    rng = _rng()
    corners = [tuple(int(c) for c in crop_corner_on_hole(mask, 16, rng)) for _ in range(200)]
    near = [row < 30 for row, _ in corners]
    assert all(2 <= row <= 5 or 42 <= row <= 45 for row, _ in corners)
    assert 60 < sum(near) < 140  # both are equally large


def test_a_wide_holes_crop_is_centred_on_pixels_drawn_uniformly_from_the_hole():
    # an L: 8 x 40 pixels and 24 x 8 pixels; away from the border, so that no crop is clamped
    mask = _rectangle(96, 96, 20, 20, 8, 40) + _rectangle(96, 96, 28, 20, 24, 8)
    n = 4000
    top, left = crop_corner_on_hole(mask.expand(n, 1, 96, 96), 16, _rng())
    rows, columns = top + 8, left + 8
    assert bool((mask[0, 0, rows, columns] == 1).all())
    counts = torch.zeros(96, 96).index_put_((rows, columns), torch.ones(n), accumulate=True)
    expected = n / float(mask.sum())
    chi2 = float((((counts - expected) ** 2) / expected)[mask[0, 0] == 1].sum())
    freedom = float(mask.sum()) - 1
    assert abs(chi2 - freedom) < 5 * (2 * freedom) ** 0.5


def test_a_wide_hole_is_drawn_anew_at_every_call_and_for_every_sample():
    mask = _rectangle(64, 64, 8, 8, 48, 48).expand(8, 1, 64, 64)
    rng = _rng()
    first, second = (torch.stack(crop_corner_on_hole(mask, 16, rng), 1) for _ in range(2))
    assert len({tuple(corner.tolist()) for corner in first}) > 4
    assert not torch.equal(first, second)
    assert torch.equal(first, torch.stack(crop_corner_on_hole(mask, 16, _rng()), 1))  # a function of the generator


@pytest.mark.parametrize("sides", [(17, 4), (4, 17)])
def test_a_hole_one_pixel_too_wide_does_not_fit(sides):
    mask = _rectangle(64, 64, 20, 20, *sides)
    rng = _rng()
    assert len({tuple(int(c) for c in crop_corner_on_hole(mask, 16, rng)) for _ in range(40)}) > 10


def test_a_hole_too_wide_in_one_direction_only_is_drawn():
    mask = _rectangle(64, 64, 30, 4, 3, 50)
    rng = _rng()
    lefts = {int(crop_corner_on_hole(mask, 16, rng)[1]) for _ in range(30)}
    assert len(lefts) > 5


def test_crops_stay_inside_the_image():
    mask = torch.ones(500, 1, 33, 41)
    top, left = crop_corner_on_hole(mask, 16, _rng())
    assert int(top.min()) == 0
    assert int(top.max()) == 33 - 16
    assert int(left.min()) == 0
    assert int(left.max()) == 41 - 16


def test_an_empty_mask_counts_as_missing_everywhere():
    top, left = crop_corner_on_hole(torch.zeros(100, 1, 32, 32), 16, _rng())
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) > 20


def test_samples_do_not_share_their_fate():
    empty, small, wide = torch.zeros(1, 1, 32, 32), _rectangle(32, 32, 4, 20, 2, 2), torch.ones(1, 1, 32, 32)
    top, left = crop_corner_on_hole(torch.cat([empty, small, wide]), 8, _rng())
    assert (int(top[1]), int(left[1])) == (1, 17)


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(InpaintError, match="crop of 33 px from an image of 32 x 40"):
        crop_corner_on_hole(torch.ones(1, 1, 32, 40), 33, _rng())
