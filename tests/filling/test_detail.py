"""Texture from known patches: what it may touch, what it restores, what it leaves, and pictures of awkward sizes."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data

from inpaintkit.filling.detail import _windows, fill_by_patches, transfer_detail

SIDE = 128
TEXTURES = ("stripes", "noise", "brick", "grass", "gravel")


def drawn(name: str, side: int = SIDE) -> NDArray[np.float32]:
    """A texture (side, side, 3) in [0,1]: drawn, or one of scikit-image's photos at half its size."""
    down, along = np.mgrid[:side, :side]
    if name == "stripes":
        grey = 0.5 + 0.3 * np.sin((down + 2 * along) * 2 * np.pi / 11)
    elif name == "noise":
        grey = 0.5 + 0.1 * np.random.default_rng(5).standard_normal((side, side))
    else:
        photo = getattr(data, name)().astype(np.float32) / 255
        grey = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)[:side, :side]
    tinted = grey[..., None] * np.array([1.0, 0.9, 0.8])
    return np.clip(tinted, 0, 1).astype(np.float32)


def box_hole(height: int = SIDE, width: int = SIDE, depth: int = 24) -> NDArray[np.bool_]:
    """A box in the middle, `2 * depth` pixels a side at most."""
    mask = np.zeros((height, width), bool)
    rows, columns = (slice(max(side // 2 - depth, 0), side // 2 + depth) for side in (height, width))
    mask[rows, columns] = True
    return mask


def smoothed(truth: NDArray[np.float32], mask: NDArray[np.bool_], sigma: float = 1.5) -> NDArray[np.float32]:
    """The truth with its hole blurred: what a good, smooth network would fill in."""
    return np.where(mask[..., None], cv2.GaussianBlur(truth, (0, 0), sigma), truth)


def sharpness(truth: NDArray[np.float32], filled: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Energy of the Laplacian inside the hole over the truth's."""
    ours, theirs = (np.square(cv2.Laplacian(image.mean(axis=2), cv2.CV_32F)[mask]).sum() for image in (filled, truth))
    return float(ours / theirs)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("work", [transfer_detail, lambda image, mask: fill_by_patches(image, mask, 0)])
def test_known_pixels_and_arguments_stay_as_they_were(work, dtype) -> None:
    mask = box_hole(96, 80, 16)
    image = smoothed(drawn("grass")[:96, :80], mask)
    image = np.rint(image * 255).astype(np.uint8) if dtype == np.uint8 else image
    before, mask_before = image.copy(), mask.copy()
    result = work(image, mask)
    assert result.dtype == dtype
    assert result.shape == image.shape
    assert np.array_equal(result[~mask], before[~mask])
    assert not np.array_equal(result[mask], before[mask])
    assert np.array_equal(image, before)
    assert np.array_equal(mask, mask_before)
    assert not np.shares_memory(result, image)


def test_the_same_seed_gives_the_same_texture() -> None:
    mask = box_hole()
    image = smoothed(drawn("gravel"), mask)
    first = transfer_detail(image, mask, rng=3)
    assert np.array_equal(first, transfer_detail(image, mask, rng=np.random.default_rng(3)))
    assert not np.array_equal(first, transfer_detail(image, mask, rng=4))
    assert np.array_equal(fill_by_patches(image, mask, 3), fill_by_patches(image, mask, np.random.default_rng(3)))


@pytest.mark.parametrize("name", TEXTURES)
def test_texture_is_restored_and_what_is_coarser_stays(name: str) -> None:
    truth, mask = drawn(name), box_hole()
    guide = smoothed(truth, mask)
    result = transfer_detail(guide, mask)
    assert sharpness(truth, guide, mask) < 0.5
    assert 0.6 < sharpness(truth, result, mask) < 1.4
    coarse = [cv2.GaussianBlur(image, (0, 0), 6) for image in (guide, result)]
    assert np.abs(coarse[0] - coarse[1])[mask].max() < 0.025


def test_the_fill_may_come_beside_the_photo() -> None:
    truth, mask = drawn("grass"), box_hole()
    guide = smoothed(truth, mask)
    blank = np.where(mask[..., None], np.float32(0), truth)
    assert np.array_equal(transfer_detail(blank, mask, guide), transfer_detail(guide, mask))


def test_a_fill_that_lacks_nothing_is_hardly_touched() -> None:
    truth, mask = drawn("noise"), box_hole()
    change, lacking = (
        np.square(image - truth)[mask].mean() for image in (transfer_detail(truth, mask), smoothed(truth, mask))
    )
    assert change < 0.15 * lacking


def test_less_strength_adds_less_and_none_adds_nothing() -> None:
    truth, mask = drawn("gravel"), box_hole()
    guide = smoothed(truth, mask)
    full, half = (sharpness(truth, transfer_detail(guide, mask, strength=share), mask) for share in (1.0, 0.5))
    assert sharpness(truth, guide, mask) < half < full
    assert np.array_equal(transfer_detail(guide, mask, strength=0.0), guide)
    assert np.array_equal(transfer_detail(guide, mask, octaves=0), guide)


def test_grain_runs_on_over_a_flat_fill() -> None:
    mask = box_hole()
    grainy = (0.5 + 0.03 * np.random.default_rng(0).standard_normal((SIDE, SIDE, 3))).astype(np.float32)
    result = transfer_detail(np.where(mask[..., None], np.float32(0.5), grainy), mask)
    high = result - cv2.GaussianBlur(result, (0, 0), 1)
    ratio = np.square(high[mask]).mean() / np.square(high[~mask]).mean()
    assert 0.7 < ratio < 1.3


def test_no_lattice_appears_in_a_smooth_fill() -> None:
    mask = box_hole()
    rough = cv2.GaussianBlur(np.random.default_rng(1).standard_normal((SIDE, SIDE)), (0, 0), 1)
    rough = np.repeat((0.5 + 0.1 * rough / rough.std())[..., None], 3, axis=2).astype(np.float32)
    result = transfer_detail(np.where(mask[..., None], np.float32(0.5), rough), mask)
    inside = result[40:88, 40:88].mean(axis=2)
    spectrum = np.abs(np.fft.rfft2(inside - inside.mean())) ** 2
    there = np.abs(np.fft.rfft2(rough[:48, :48, 0] - rough[:48, :48, 0].mean())) ** 2
    assert spectrum.max() / spectrum.sum() < 2 * there.max() / there.sum()


def test_a_flat_photo_stays_flat() -> None:
    image, mask = np.full((64, 64, 3), 0.3, np.float32), box_hole(64, 64, 12)
    assert np.allclose(transfer_detail(image, mask), image, atol=1e-5)
    assert np.allclose(fill_by_patches(np.where(mask[..., None], np.float32(1), image), mask), image, atol=3e-3)


def test_without_a_known_patch_the_fill_comes_back_as_it_was() -> None:
    image = np.random.default_rng(0).random((40, 40, 3), np.float32)
    mask = np.zeros((40, 40), bool)
    mask[::5, ::5] = True
    assert np.array_equal(transfer_detail(image, mask), image)
    filled = fill_by_patches(image, mask)
    assert np.array_equal(filled[~mask], image[~mask])


@pytest.mark.parametrize("work", [transfer_detail, fill_by_patches])
def test_full_and_empty_masks_change_nothing(work) -> None:
    image = drawn("noise", 32)
    for mask in (np.zeros((32, 32), bool), np.ones((32, 32), bool)):
        assert np.array_equal(work(image, mask), image)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**16), st.sampled_from([0.002, 0.1, 0.5, 0.97]))
def test_any_size_and_any_mask(height: int, width: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((height, width, 3), np.float32)
    spots = rng.random((-(-height // 6), -(-width // 6))) < share
    mask = np.kron(spots, np.ones((6, 6), bool))[:height, :width][:, ::-1]
    for result in (transfer_detail(image, mask), fill_by_patches(image, mask, window_px=48)):
        assert result.shape == image.shape
        assert np.array_equal(result[~mask], image[~mask])
        assert np.isfinite(result).all()
        assert result.min() >= 0
        assert result.max() <= 1


@pytest.mark.parametrize("corner", [(0, 0), (0, 57), (100, 0), (100, 110)])
def test_single_pixels_and_holes_at_the_border(corner: tuple[int, int]) -> None:
    truth = drawn("brick")
    for size in (1, 20):
        mask = np.zeros((SIDE, SIDE), bool)
        mask[corner[0] : corner[0] + size, corner[1] : corner[1] + size] = True
        if size == 20:
            mask[-3:] = True
        result = transfer_detail(smoothed(truth, mask), mask)
        assert np.array_equal(result[~mask], truth[~mask])
        assert np.abs(result - truth)[mask].mean() < (0.1 if size == 20 else 0.3)


@pytest.mark.parametrize("scattered", [False, True])
def test_windows_cover_every_missing_pixel_once_and_stay_small(scattered: bool) -> None:
    mask = np.zeros((300, 500), bool)
    mask[20:280, 30:470] = True
    mask[5, 498] = True
    mask[5, 300] = True
    if scattered:
        mask = np.random.default_rng(0).random((700, 900)) < 0.00003
    covered = np.zeros(mask.shape, int)
    for window, hole, lost, keep in _windows(mask, 400 if scattered else 128):
        assert max(hole.shape) <= (400 if scattered else 128)
        assert np.array_equal(lost, mask[window])
        assert (hole | ~keep).all()
        covered[window] += keep
    assert np.array_equal(covered, mask.astype(int))


def test_tiles_leave_no_joint() -> None:
    truth = drawn("gravel", 240)
    mask = np.zeros((240, 240), bool)
    mask[60:190, 60:190] = True
    guide = smoothed(truth, mask)
    result = transfer_detail(guide, mask, window_px=160)
    joint = np.zeros_like(mask)
    for edge in (140,):  # the second row and column of tiles
        joint[edge - 2 : edge + 2] |= mask[edge - 2 : edge + 2]
        joint[:, edge - 2 : edge + 2] |= mask[:, edge - 2 : edge + 2]
    along = sharpness(truth, result, joint & mask) / sharpness(truth, result, mask & ~joint)
    assert 0.7 < along < 1.4


def test_patches_continue_a_pattern_that_fast_marching_cannot() -> None:
    truth, mask = drawn("stripes"), box_hole(depth=20)
    blank = np.where(mask[..., None], np.float32(0), truth)
    marched = cv2.inpaint(np.rint(blank * 255).astype(np.uint8), mask.astype(np.uint8), 5, cv2.INPAINT_TELEA) / 255
    errors = [np.square(filled - truth)[mask].mean() for filled in (fill_by_patches(blank, mask), marched)]
    assert errors[0] < 0.2 * errors[1]


@pytest.mark.parametrize("name", ["grass", "gravel"])
def test_patches_fill_with_texture_and_never_read_the_hole(name: str) -> None:
    truth, mask = drawn(name), box_hole()
    filled = fill_by_patches(np.where(mask[..., None], np.float32(0), truth), mask)
    assert np.array_equal(filled, fill_by_patches(np.where(mask[..., None], np.float32(1), truth), mask))
    detail = np.square(cv2.Laplacian(filled.mean(axis=2), cv2.CV_32F))
    assert 0.6 < detail[mask].mean() / detail[~mask].mean() < 1.4


def test_a_picture_beyond_the_window_is_filled_at_half_its_size_first() -> None:
    truth, mask = drawn("stripes"), box_hole(depth=20)
    filled = fill_by_patches(np.where(mask[..., None], np.float32(0), truth), mask, window_px=80)
    assert np.array_equal(filled[~mask], truth[~mask])
    assert np.square(filled - truth)[mask].mean() < 0.02
    assert sharpness(truth, filled, mask) > 0.5
