"""Texture from known patches: what it may touch, what it restores, what it leaves, and pictures of awkward sizes."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data

from inpaintkit.filling.classical import fill_by_patches
from inpaintkit.filling.detail import enlarge_with_detail, transfer_detail

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
    mask[5, 498] = mask[5, 300] = True
    if scattered:
        mask = np.random.default_rng(0).random((300, 500)) < 0.00005
    photo = np.random.default_rng(1).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    small = np.full((60, 100, 3), 0.5, np.float32)
    covered, filled = np.zeros(mask.shape, int), photo.copy()
    for window, pixels, own in enlarge_with_detail(filled, mask, mask, small, window_px=128):
        assert max(own.shape) <= 128
        assert pixels.shape == (*own.shape, 3)
        assert pixels.dtype == np.float32
        known = ~mask[window]
        assert np.array_equal(np.rint(pixels[known] * 255), photo[window][known])
        rows, columns = np.nonzero(own)
        for places, span, size in ((rows, window[0], 300), (columns, window[1], 500)):
            assert places.min() >= 8 or span.start == 0
            assert places.max() < span.stop - span.start - 8 or span.stop == size
        covered[window] += own
        filled[window][own] = np.rint(pixels[own] * 255)
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


# --- A fill at working size, enlarged --------------------------------------------------------------------------------


def enlarged(image: np.ndarray, missing: np.ndarray, small: np.ndarray, **options) -> np.ndarray:
    """The crop with its windows written into it, as whoever fills a photo does."""
    lost = options.pop("lost", missing)
    result = image.copy()
    for window, pixels, own in enlarge_with_detail(result, missing, lost, small, **options):
        values = pixels[own][:, : image.shape[2]]
        top = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
        result[window][own] = values if image.dtype.kind == "f" else np.rint(values * top)
    return result


def shrunk(truth: np.ndarray, times: int) -> NDArray[np.float32]:
    """What a perfect network would fill in at so much smaller a size."""
    return cv2.resize(truth, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)


def weave(side: int) -> NDArray[np.float32]:
    """A pattern of period 8, finer than a crop shrunk by eight can hold."""
    down, along = np.mgrid[:side, :side]
    grey = 0.5 + 0.2 * np.sin(2 * np.pi * along / 8) + 0.2 * np.sin(2 * np.pi * down / 8)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


def test_texture_comes_into_the_middle_of_a_hole_far_wider_than_the_window() -> None:
    truth = weave(768)
    mask = box_hole(768, 768, 224)  # 448 wide; no window of 192 in the middle sees anything known
    result = enlarged(np.where(mask[..., None], np.float32(0), truth), mask, shrunk(truth, 8), window_px=192)
    middle = result[320:448, 320:448, 0]
    spectrum = np.abs(np.fft.fft2(middle - middle.mean())) ** 2
    wave = spectrum[0, 16] + spectrum[16, 0] + spectrum[0, -16] + spectrum[-16, 0]
    expected = np.square(truth[320:448, 320:448, 0] - 0.5).mean()
    assert wave > 0.5 * spectrum.sum()
    assert 0.6 < np.square(middle - middle.mean()).mean() / expected < 1.4


def test_number_formats_agree() -> None:
    truth, mask = drawn("grass", 250), box_hole(250, 250, 60)
    small = shrunk(truth, 4)
    results = []
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 1)):
        steps = np.rint(truth * 255) * (top / 255)
        image = steps.astype(dtype)
        result = enlarged(image, mask, small, window_px=160)
        assert result.dtype == dtype
        assert np.array_equal(result[~mask], image[~mask])
        results.append(result.astype(np.float64) / top)
    for other in results[1:]:
        assert np.abs(other - results[0]).mean() < 0.01
    assert np.array_equal(results[2], results[3])


def test_grey_photos_are_enlarged_too() -> None:
    truth, mask = drawn("brick"), box_hole()
    colour = enlarged(np.repeat(truth[..., :1], 3, axis=2), mask, np.repeat(shrunk(truth, 2)[..., :1], 3, axis=2))
    grey = enlarged(truth[..., :1], mask, np.repeat(shrunk(truth, 2)[..., :1], 3, axis=2))
    assert np.allclose(grey[..., 0], colour[..., 0], atol=1e-5)


def test_what_the_photo_held_is_never_read_and_the_seed_decides() -> None:
    truth, mask = drawn("gravel", 200), box_hole(200, 200, 50)
    small = shrunk(truth, 2)
    first = enlarged(truth, mask, small, window_px=128)
    assert np.array_equal(first, enlarged(np.where(mask[..., None], np.float32(1), truth), mask, small, window_px=128))
    assert not np.array_equal(first, enlarged(truth, mask, small, window_px=128, seed=1))


def test_lost_pixels_lend_nothing() -> None:
    rng = np.random.default_rng(0)
    image = np.full((256, 256, 3), 0.5, np.float32)
    image[:, 140:] += 0.3 * rng.standard_normal((256, 116, 1), np.float32)  # loud, and lost
    image = np.clip(image, 0, 1)
    mask = np.zeros((256, 256), bool)
    mask[80:180, 20:110] = True
    lost = mask.copy()
    lost[:, 140:] = True
    small = np.full((64, 64, 3), 0.5, np.float32)
    quiet, loud = (enlarged(image, mask, small, lost=each, window_px=128)[mask] for each in (lost, mask))
    assert quiet.std() < 0.01
    assert np.abs(loud - 0.5).max() > 5 * np.abs(quiet - 0.5).max()


def test_without_known_patches_the_fill_is_enlarged_plainly() -> None:
    mask = np.ones((97, 64), bool)
    mask[0, 0] = False
    small = shrunk(drawn("stripes", 64), 4)
    result = enlarged(np.zeros((97, 64, 3), np.float32), mask, small)
    plain = cv2.resize(small, (64, 97), interpolation=cv2.INTER_CUBIC)
    assert np.abs(result - plain)[8:].max() < 0.05
    assert (result[0, 0] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 200), (33, 47)])
@pytest.mark.parametrize("times", [1, 1.7, 6])
def test_crops_of_any_shape_and_any_enlargement(shape: tuple[int, int], times: float) -> None:
    rng = np.random.default_rng(0)
    image = rng.random((*shape, 3), np.float32)
    small = rng.random((*(max(round(side / times), 1) for side in shape), 3), np.float32)
    for mask in (np.ones(shape, bool), rng.random(shape) < 0.2):
        result = enlarged(image, mask, small, window_px=64)
        assert np.array_equal(result[~mask], image[~mask])
        assert np.isfinite(result).all()
        assert result.min() >= 0
        assert result.max() <= 1
        assert (result[mask] != image[mask]).any() or not mask.any()


def test_tiles_of_an_enlarged_fill_leave_no_joint() -> None:
    truth = drawn("noise", 400)
    truth = cv2.GaussianBlur(truth, (0, 0), 0.8)
    mask = box_hole(400, 400, 130)
    result = enlarged(np.where(mask[..., None], np.float32(0), truth), mask, shrunk(truth, 4), window_px=160)
    step = np.abs(np.diff(result[..., 0], axis=1))[80:320, 75:325].mean(axis=0)
    assert step.max() < 1.5 * np.median(step)


def test_memory_stays_within_windows_whatever_the_crop() -> None:
    image = np.zeros((3000, 3000, 3), np.uint8)
    image[::2] = 90
    mask = np.zeros((3000, 3000), bool)
    mask[1000:2000, 1490:1510] = True
    small = np.full((96, 96, 3), 0.2, np.float32)
    tracemalloc.start()
    try:
        for _ in enlarge_with_detail(image, mask, mask, small, window_px=256):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6
