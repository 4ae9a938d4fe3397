"""Crops shrink without bleeding and come back as OpenCV would bring them, strip by strip and window by window."""

import cv2
import numpy as np
import pytest

from inpaintkit.filling import scaling
from inpaintkit.filling.scaling import enlarge_crop, enlarge_window, shrink_crop


def test_shrinking_keeps_hole_colours_out_of_known_pixels() -> None:
    image = np.full((40, 40, 3), 0.25, np.float32)
    missing = np.zeros((40, 40), bool)
    missing[11:29, 11:29] = True
    image[missing] = 1.0
    small, small_missing = shrink_crop(image, missing, (10, 10))
    assert np.allclose(small[~small_missing], 0.25, atol=1e-6)
    expected = np.zeros((10, 10), bool)
    expected[2:8, 2:8] = True  # pixel 2 covers 8 to 11, of which 11 is missing: any touch counts
    assert np.array_equal(small_missing, expected)
    assert np.allclose(small[2, 5], 0.25, atol=1e-6), "the known part of a touched pixel is its colour"


def test_shrinking_to_an_odd_size_marks_every_touched_pixel() -> None:
    missing = np.zeros((100, 100), bool)
    missing[50, 50] = True
    _, small_missing = shrink_crop(np.zeros((100, 100, 3), np.float32), missing, (37, 37))
    assert small_missing.sum() >= 1
    assert small_missing[int(50 * 0.37), int(50 * 0.37)]


def test_enlarging_stays_in_range() -> None:
    checks = np.indices((16, 16)).sum(axis=0) % 2
    large = enlarge_crop(np.repeat(checks[..., None], 3, axis=2).astype(np.float32), (50, 47))
    assert large.shape == (50, 47, 3)
    assert large.min() >= 0
    assert large.max() <= 1


@pytest.mark.parametrize(("large", "small"), [((600, 600), (256, 256)), ((101, 77), (37, 29)), ((5, 9), (3, 4))])
def test_shrinking_is_area_averaging(large: tuple[int, int], small: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((*large, 3)).astype(np.float32)
    shrunk, missing = shrink_crop(image, np.zeros(large, bool), small)
    assert not missing.any()
    assert np.abs(shrunk - cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA)).max() < 1e-5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_strips_and_number_formats_change_nothing(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, (90, 70, 3))
    scale = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[dtype]
    missing = rng.random((90, 70)) < 0.2
    expected = shrink_crop((values / 255).astype(np.float32), missing, (31, 27))
    monkeypatch.setattr(scaling, "STRIP_PIXELS", 70 * 7)
    shrunk = shrink_crop((values * scale).astype(dtype), missing, (31, 27))
    assert np.abs(shrunk[0] - expected[0]).max() < 1e-5
    assert np.array_equal(shrunk[1], expected[1])


@pytest.mark.parametrize(("small", "large"), [((20, 30), (171, 200)), ((16, 16), (16, 40)), ((1, 1), (9, 5))])
def test_enlarging_is_cubic_also_in_windows(small: tuple[int, int], large: tuple[int, int]) -> None:
    image = np.random.default_rng(2).random((*small, 3)).astype(np.float32)
    expected = np.clip(cv2.resize(image, large[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)
    assert np.abs(enlarge_crop(image, large) - expected).max() < 1e-5
    window = slice(large[0] // 3, large[0] - 1), slice(1, large[1] // 2 + 1)
    assert np.abs(enlarge_window(image, large, window) - expected[window]).max() < 1e-5


def test_a_crop_of_many_megapixels_is_never_a_float_whole() -> None:
    import tracemalloc

    image = np.broadcast_to(np.uint8(7), (4000, 3000, 3))
    missing = np.broadcast_to(False, (4000, 3000))
    tracemalloc.start()
    try:
        small, _ = shrink_crop(image, missing, (64, 48))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.allclose(small, 7 / 255, atol=1e-6)
    assert peak < 4000 * 3000 * 3 * 4 / 2
