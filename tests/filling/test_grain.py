"""Grain: measured where the photo is flat, drawn with its level, width and colours, only where the fill lacks it."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data

from inpaintkit.filling import grain as grain_module
from inpaintkit.filling.grain import Grain, measure_grain

SIDE = 256
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


def smooth_photo(height: int = SIDE, width: int = SIDE) -> Floats:
    """A photo without grain (H, W, 3), from 0 to 255: slow slopes of colour."""
    down, along = np.mgrid[:height, :width]
    return np.dstack([90 + down * 60 / height, 120 + 0 * down, 150 - along * 40 / width]).astype(np.float32)


def noise(shape: tuple[int, int], luma: float, colour: float, width: float, seed: int = 1) -> Floats:
    """Noise (H, W, 3): alike in all colours of deviation `luma`, and apart of `colour`, blurred by `width`."""
    rng = np.random.default_rng(seed)

    def plane() -> Floats:
        white = rng.standard_normal(shape).astype(np.float32)
        if not width:
            return white
        # The sum of the squared kernel is known, so the deviation does not depend on what was drawn.
        kernel = cv2.getGaussianKernel(15, width)
        return cv2.GaussianBlur(white, (15, 15), width) / np.float32(np.square(kernel).sum())

    return luma * plane()[..., None] + colour * np.dstack([plane() for _ in range(3)])


def eight_bits(values: Floats) -> NDArray[np.uint8]:
    """Rounded to 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def box_hole(height: int = SIDE, width: int = SIDE, side: int = 96) -> Bools:
    """A square hole in the middle."""
    mask = np.zeros((height, width), bool)
    top, left = (height - side) // 2, (width - side) // 2
    mask[top : top + side, left : left + side] = True
    return mask


def inner(mask: Bools, px: int = 2) -> Bools:
    """The mask without its outermost pixels."""
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * px + 1, 2 * px + 1), np.uint8)) > 0


def high_pass(pixels: NDArray[np.generic], where: Bools) -> float:
    """Mean square of the Laplacian of the mean colour."""
    plane = pixels.astype(np.float32).mean(axis=2)
    return float(np.square(cv2.Laplacian(plane, cv2.CV_32F)[where]).mean())


def smooth_fill(photo: NDArray[np.uint8], mask: Bools, clean: Floats) -> Floats:
    """The photo in [0,1] with the noiseless picture in its hole, as a network fills it."""
    return np.where(mask[..., None], clean, photo).astype(np.float32) / np.float32(255)


def alike_at(distance: int, values: Floats) -> float:
    """Correlation of a plane with itself moved along."""
    return float((values[:, :-distance] * values[:, distance:]).mean() / np.square(values).mean())


def box_of(values: NDArray[np.generic], mask: Bools) -> NDArray[np.generic]:
    """What lies in the mask's box."""
    rows, columns = np.nonzero(mask)
    return values[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def measured(photo: NDArray[np.generic], mask: Bools) -> Grain:
    """The grain of a photo that has some."""
    found = measure_grain(photo, mask, mask)
    assert found is not None
    return found


@pytest.mark.parametrize("width", [0.0, 0.7, 1.2], ids=["white", "two pixels", "three pixels"])
@pytest.mark.parametrize(("luma", "colour"), [(2, 0), (4, 2), (0, 6), (12, 4)])
def test_the_hole_gets_the_grain_of_the_ring(luma: float, colour: float, width: float) -> None:
    clean, mask = smooth_photo(), box_hole()
    added_noise = noise(mask.shape, luma, colour, width)
    photo = eight_bits(clean + added_noise)
    found = measured(photo, mask)
    assert np.allclose(found.deviation * 255, np.hypot(luma, colour), rtol=0.1)

    fill = smooth_fill(photo, mask, clean)
    filled = eight_bits(found.add(fill, mask, seed=1, origin=(0, 0)) * 255)
    assert 0.8 < high_pass(filled, inner(mask)) / high_pass(photo, ~inner(~mask)) < 1.2
    ours, theirs = box_of(filled - clean, inner(mask)), added_noise
    for distance in (1, 2, 3):
        for weights in ((1, 1, 1), (1, 0, -1)):
            if colour or sum(weights):
                assert alike_at(distance, ours @ weights) == pytest.approx(
                    alike_at(distance, theirs @ weights), abs=0.1
                )
    assert np.allclose(
        np.cov(ours.reshape(-1, 3).T), np.cov(theirs.reshape(-1, 3).T), atol=0.25 * (luma**2 + colour**2)
    )


@pytest.mark.parametrize("width", [0.0, 0.7, 1.2], ids=["white", "two pixels", "three pixels"])
def test_a_fill_that_has_grain_gets_what_it_lacks(width: float) -> None:
    clean, mask = smooth_photo(), box_hole()
    photo = eight_bits(clean + noise(mask.shape, 6, 3, width))
    found, ring = measured(photo, mask), ~inner(~mask)
    before = []
    for share in (1.0, 0.6, 0.3):
        there = clean + share * noise(mask.shape, 6, 3, width, seed=8)
        fill = smooth_fill(photo, mask, there)
        filled = found.add(fill, mask, seed=1, origin=(0, 0))
        assert 0.8 < high_pass(filled * 255, inner(mask)) / high_pass(photo, ring) < 1.2
        before.append(float(np.abs(filled - fill)[mask].mean()))
    assert before[0] < 0.35 * before[2]
    twice = found.add(filled, mask, seed=2, origin=(0, 0))
    assert 0.8 < high_pass(twice * 255, inner(mask)) / high_pass(photo, ring) < 1.2


def test_a_half_that_has_grain_is_left_alone_and_the_other_half_gets_it() -> None:
    clean, mask = smooth_photo(), box_hole()
    photo = eight_bits(clean + noise(mask.shape, 8, 2, 0.7))
    left = mask & (np.arange(SIDE) < SIDE // 2)
    fill = smooth_fill(photo, mask, np.where(left[..., None], clean + noise(mask.shape, 8, 2, 0.7, seed=9), clean))
    filled = measured(photo, mask).add(fill, mask, seed=1, origin=(0, 0))
    change = np.abs(filled - fill).mean(axis=2)
    assert change[inner(left, 10)].mean() < 0.3 * change[inner(mask & ~left, 10)].mean()
    for half in (left, mask & ~left):
        assert 0.8 < high_pass(filled * 255, inner(half, 6)) / high_pass(photo, ~inner(~mask)) < 1.2


def test_an_edge_in_the_fill_does_not_keep_the_grain_away() -> None:
    clean, mask = smooth_photo(), box_hole()
    clean[:, SIDE // 2 :] += 60
    photo = eight_bits(clean + noise(mask.shape, 5, 0, 0.0))
    fill = smooth_fill(photo, mask, clean)
    change = measured(photo, mask).add(fill, mask, seed=1, origin=(0, 0)) - fill
    beside = inner(mask)[:, SIDE // 2 + 3 : SIDE // 2 + 9]
    assert change[:, SIDE // 2 + 3 : SIDE // 2 + 9][beside].std() * 255 == pytest.approx(5, rel=0.25)


def test_grain_of_colour_may_be_wider_than_grain_of_luma() -> None:
    clean, mask = smooth_photo(), box_hole()
    photo = eight_bits(clean + noise(mask.shape, 6, 0, 0.0) + noise(mask.shape, 0, 5, 1.5, seed=2))
    fill = smooth_fill(photo, mask, clean)
    change = box_of(measured(photo, mask).add(fill, mask, seed=1, origin=(0, 0)) - fill, mask)
    assert alike_at(1, change @ (1, 0, -1)) > 0.7
    assert alike_at(1, change.mean(axis=2)) < 0.35


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_grey_photo_gets_grey_grain_in_every_number_format(dtype: type) -> None:
    mask = box_hole()
    grey = np.repeat(smooth_photo()[..., :1], 3, axis=2)
    top = np.iinfo(dtype).max if dtype != np.float32 else 1
    values = np.clip((grey + noise(mask.shape, 5, 0, 0.7)) / 255, 0, 1) * top
    photo = (values if dtype == np.float32 else np.rint(values)).astype(dtype)
    found = measured(photo, mask)
    assert found.axes.shape == (3, 1)
    assert np.allclose(found.deviation * 255, 5, rtol=0.1)
    filled = found.add(grey / 255, mask, seed=1, origin=(0, 0))
    assert np.ptp(filled[mask], axis=1).max() < 1e-5
    one_channel = measured(np.ascontiguousarray(photo[..., :1]), mask)
    assert np.allclose(one_channel.deviation, found.deviation)


def test_the_level_follows_the_brightness() -> None:
    mask = box_hole(SIDE, 2 * SIDE)
    clean = np.repeat(np.linspace(40, 220, 2 * SIDE, dtype=np.float32)[None, :, None], SIDE, axis=0).repeat(3, axis=2)
    strength = 3 + (clean - 40) / 45
    photo = eight_bits(clean + strength * noise(mask.shape, 1, 0, 0.0))
    strip = mask.copy()
    strip[:, :] = False
    strip[80:176, 40:-40] = True
    fill = smooth_fill(photo, strip, clean)
    change = (measured(photo, strip).add(fill, strip, seed=1, origin=(0, 0)) - fill) * 255
    for place in (60, 256, 450):
        part = np.s_[84:172, place - 16 : place + 16]
        assert change[part].std() == pytest.approx(float(strength[part].mean()), rel=0.25)


def drawn(name: str) -> NDArray[np.uint8]:
    """Pictures without grain: drawn ones, and textures."""
    clean = smooth_photo()
    if name == "slopes":
        return eight_bits(clean)
    if name == "flat":
        return np.full_like(eight_bits(clean), 77)
    if name == "shapes":
        for number in range(30):
            cv2.circle(clean, (37 * number % SIDE, 91 * number % SIDE), 6 + number, (9 * number % 255, 80, 200), -1)
        return eight_bits(clean)
    return np.repeat(getattr(data, name)()[:SIDE, :SIDE, None], 3, axis=2)


@pytest.mark.parametrize("name", ["slopes", "flat", "shapes", "grass", "gravel"])
def test_no_grain_is_found_in_clean_pictures_and_none_in_texture(name: str) -> None:
    assert measure_grain(drawn(name), box_hole(), box_hole()) is None


def test_an_even_texture_beside_a_clean_sky_is_no_grain() -> None:
    clean, mask = smooth_photo(), np.zeros((SIDE, SIDE), bool)
    mask[100:160, 60:200] = True
    clean[128:] += noise((SIDE // 2, SIDE), 6, 0, 0.7)
    clean[:128] += noise((SIDE // 2, SIDE), 1, 0, 0.7)
    found = measure_grain(eight_bits(clean), mask, mask)
    assert found is None or found.deviation.max() * 255 < 2


@pytest.mark.parametrize("name", ["camera", "astronaut", "rocket", "coffee"])
def test_the_level_is_right_in_photos_with_much_else_in_them(name: str) -> None:
    photo = getattr(data, name)()[:400, :512].astype(np.float32)
    photo = np.dstack([photo] * 3) if photo.ndim == 2 else photo
    mask = box_hole(*photo.shape[:2])
    found = measured(eight_bits(photo * 0.9 + 12 + noise(mask.shape, 8, 3, 0.7)), mask)
    assert np.allclose(found.deviation * 255, np.hypot(8, 3), rtol=0.12)


def test_slight_texture_is_not_taken_for_grain() -> None:
    mask = box_hole()
    down, along = np.mgrid[:SIDE, :SIDE]
    clean = smooth_photo() + 10 * (np.sin(down / 4) * np.sin(along / 5))[..., None].astype(np.float32)
    clean[:90] = smooth_photo()[:90]
    photo = eight_bits(clean + noise(mask.shape, 4, 2, 0.7))
    assert np.allclose(measured(photo, mask).deviation * 255, np.hypot(4, 2), rtol=0.12)


def test_windows_join_without_a_seam_and_tiles_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, mask = smooth_photo(), box_hole()
    photo = eight_bits(clean + noise(mask.shape, 6, 3, 1.0))
    found, fill = measured(photo, mask), smooth_fill(photo, mask, clean)
    whole = found.add(fill, mask, seed=4, origin=(1000, 300))
    monkeypatch.setattr(grain_module, "TILE", 40)
    assert np.allclose(found.add(fill, mask, seed=4, origin=(1000, 300)), whole, atol=1e-6)
    pieces = fill.copy()
    for first, last in ((0, 120), (120, 160), (160, SIDE)):
        window = np.s_[max(first - 8, 0) : min(last + 8, SIDE)]
        own = mask[window].copy()
        rows = np.arange(SIDE)[window]
        own[(rows < first) | (rows >= last)] = False
        done = found.add(pieces[window], own, seed=4, origin=(1000 + window.start, 300))
        pieces[window][own] = done[own]
    assert np.allclose(pieces, whole, atol=0.2 / 255)


def test_noise_is_a_function_of_seed_and_place() -> None:
    clean, mask = smooth_photo(), box_hole()
    found = measured(eight_bits(clean + noise(mask.shape, 6, 3, 1.0)), mask)
    flat = np.full((300, 300, 3), 0.51, np.float32)
    everywhere = np.ones((300, 300), bool)
    first = found.add(flat, everywhere, seed=1, origin=(500, 700))
    assert np.array_equal(first, found.add(flat, everywhere, seed=1, origin=(500, 700)))
    moved = found.add(flat, everywhere, seed=1, origin=(500 + 37, 700 + 130))
    assert np.allclose(moved[:-37, :-130], first[37:, 130:], atol=1e-6)
    for seed, origin in ((2, (500, 700)), (1, (500, 705)), (1, (500 + 128, 700)), (1, (500, 700 + 128))):
        other = found.add(flat, everywhere, seed=seed, origin=origin) - flat
        assert abs(np.corrcoef(other.ravel(), (first - flat).ravel())[0, 1]) < 0.3
    corner = found.add(flat[:9, :9], everywhere[:9, :9], seed=-5, origin=(0, 0))
    assert corner.std() * 255 > 1


def test_only_own_pixels_change_and_only_they_are_looked_at() -> None:
    clean, mask = smooth_photo(), box_hole()
    photo = eight_bits(clean + noise(mask.shape, 6, 3, 0.7))
    found, fill = measured(photo, mask), smooth_fill(photo, mask, clean)
    before = fill.copy()
    filled = found.add(fill, mask, seed=1, origin=(0, 0))
    assert np.array_equal(fill, before)
    assert np.array_equal(filled[~mask], fill[~mask])
    assert not np.shares_memory(filled, fill)
    other = np.where(mask[..., None], fill, np.random.default_rng(0).random(fill.shape, np.float32))
    assert np.array_equal(found.add(other, mask, seed=1, origin=(0, 0))[mask], filled[mask])
    assert np.array_equal(found.add(fill, np.zeros_like(mask), seed=1, origin=(0, 0)), fill)


def test_thin_holes_get_grain_too() -> None:
    clean = smooth_photo()
    mask = np.zeros((SIDE, SIDE), bool)
    mask[40:220:9, 20:230] = True
    photo = eight_bits(clean + noise(mask.shape, 6, 0, 0.0))
    fill = smooth_fill(photo, mask, clean)
    sea = np.zeros_like(mask)
    sea[:30] = True
    found = measured(photo, sea)
    assert (found.add(fill, mask, seed=1, origin=(0, 0)) - fill)[mask].std() * 255 == pytest.approx(6, rel=0.15)


@pytest.mark.parametrize("level", [0.0, 1 / 255, 4 / 255, 1 - 4 / 255, 1.0])
def test_near_black_and_white_grain_does_not_shift_the_mean(level: float) -> None:
    clean, mask = smooth_photo(), box_hole()
    found = measured(eight_bits(clean + noise(mask.shape, 8, 0, 0.7)), mask)
    fill = np.full((SIDE, SIDE, 3), level, np.float32)
    filled = found.add(fill, mask, seed=1, origin=(0, 0))
    assert filled.min() >= 0
    assert filled.max() <= 1
    assert abs(float(filled[mask].mean()) - level) * 255 < 0.75
    assert (filled[mask].std() > 0) == (0 < level < 1)


def test_lost_and_missing_pixels_and_distant_ones_are_not_read() -> None:
    clean, mask = smooth_photo(400, 600), np.zeros((400, 600), bool)
    mask[150:250, 60:160] = True
    lost = mask.copy()
    lost[20:380, 20:260] = True
    loud = noise(mask.shape, 10, 0, 0.0)
    assert measure_grain(eight_bits(np.where(lost[..., None], clean + loud, clean)), mask, lost) is None
    assert measure_grain(eight_bits(np.where(mask[..., None], clean + loud, clean)), mask, mask) is None
    far = (np.arange(600) > 300)[None, :, None]
    near_and_far = eight_bits(clean + np.where(far, loud, noise(mask.shape, 3, 0, 0.0, seed=2)))
    assert np.allclose(measured(near_and_far, mask).deviation * 255, 3, rtol=0.1)
    gravel = np.tile(data.gravel()[:400, :300, None], (1, 2, 3))
    only_far = measured(eight_bits(np.where(far, clean + loud, gravel)), mask)
    assert np.allclose(only_far.deviation * 255, 10, rtol=0.1)


def test_a_big_photo_is_not_copied() -> None:
    photo = np.full((3000, 4000, 3), 120, np.uint8)
    strip = eight_bits(120 + noise((600, 4000), 6, 2, 0.7))
    for top in range(0, 3000, 600):
        photo[top : top + 600] = strip
    mask = np.zeros((3000, 4000), bool)
    mask[700:2300, 900:3100] = True
    tracemalloc.start()
    found = measured(photo, mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # the photo in float32 would be 144 MB
    assert np.allclose(found.deviation * 255, np.hypot(6, 2), rtol=0.1)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from([np.uint8, np.uint16, np.float32]), st.integers(0, 99))
def test_any_size_and_any_hole(height: int, width: int, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((height, width, 3))
    image = image.astype(dtype) if dtype == np.float32 else (image * np.iinfo(dtype).max).astype(dtype)
    mask = rng.random((height, width)) < rng.random()
    found = measure_grain(image, mask, mask)
    assert found is None or np.isfinite(found.deviation).all()
    axes = np.eye(3, 2, dtype=np.float32)
    drawn_grain = Grain(axes, (np.full((3, 3), 0.01, np.float32),) * 2, np.ones(256, np.float32))
    pixels = rng.random((height, width, 3), np.float32)
    filled = drawn_grain.add(pixels, mask, seed=seed, origin=(0, 0))
    assert np.array_equal(filled[~mask], pixels[~mask])
    assert np.isfinite(filled).all()
