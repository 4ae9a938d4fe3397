"""Laplacian energy and its ratio on pictures small enough to work out by hand."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.filters import laplace

from inpaintkit.errors import DataError
from inpaintkit.evaluation.metrics.sharpness import laplacian_energy, sharpness


def _grey(value: int, side: int = 5) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def _hole(*pixels: tuple[int, int], side: int = 5) -> np.ndarray:
    hole = np.zeros((side, side), bool)
    for row, column in pixels:
        hole[row, column] = True
    return hole


def test_laplacian_energy_of_one_bright_pixel():
    image = _grey(100)
    image[2, 2] = 110  # luma 10 above: -40 there, +10 at each of its four neighbours
    assert laplacian_energy(image, _hole((2, 2))) == pytest.approx(1600)
    assert laplacian_energy(image, _hole((2, 1))) == pytest.approx(100)
    assert laplacian_energy(image, _hole((1, 1))) == pytest.approx(0, abs=1e-9)
    assert laplacian_energy(image, np.ones((5, 5), bool)) == pytest.approx(1600 + 4 * 100)


@pytest.mark.parametrize(("channel", "weight"), [(0, 0.299), (1, 0.587), (2, 0.114)])
def test_laplacian_energy_weighs_colours_by_luma(channel, weight):
    image = _grey(0)
    image[2, 2, channel] = 100
    assert laplacian_energy(image, _hole((2, 2))) == pytest.approx((4 * 100 * weight) ** 2)


def test_laplacian_energy_is_that_of_scikit_image():
    photo = data.astronaut()[:90, 100:200]
    hole = np.zeros(photo.shape[:2], bool)
    hole[20:60, 30:70] = True
    filtered = laplace(photo @ np.array([0.299, 0.587, 0.114]), ksize=3)
    assert laplacian_energy(photo, hole) == pytest.approx(np.square(filtered[hole]).sum())


def test_sharpness_is_the_ratio_of_the_energies():
    truth, filled, hole = _grey(100), _grey(100), _hole((2, 2))
    truth[2, 2], filled[2, 2] = 120, 110
    assert sharpness(truth, truth, hole) == 1
    assert sharpness(truth, filled, hole) == pytest.approx(0.25)
    assert sharpness(filled, truth, hole) == pytest.approx(4)
    assert sharpness(truth, _grey(100), hole) == pytest.approx(0, abs=1e-12)


def test_a_truth_that_is_flat_in_the_hole_has_no_sharpness():
    truth, filled, hole = _grey(7), _grey(7), _hole((2, 2))
    filled[2, 2] = 30
    assert math.isnan(sharpness(truth, filled, hole))
    truth[2, 2, 2] = 10  # three steps of blue are a third of a step of luma: 1.37 squared is above one
    assert sharpness(truth, truth, hole) == 1


def test_flat_is_so_much_a_pixel_however_large_the_hole():
    """Checks of one grey step have 16 a pixel in any hole; where few pixels have any, a large hole is flat."""
    rows, columns = np.mgrid[:60, :60]
    checks = np.where((rows + columns) % 2, 100, 101).astype(np.uint8)[..., None].repeat(3, axis=2)
    flat = np.full_like(checks, 100)
    for side in (3, 50):
        hole = np.zeros((60, 60), bool)
        hole[5 : 5 + side, 5 : 5 + side] = True
        assert laplacian_energy(checks, hole) / hole.sum() == pytest.approx(16)
        assert sharpness(checks, checks, hole) == 1
    few = flat.copy()
    few[20:26, 20:26] = checks[20:26, 20:26]  # detail in 36 of 2500 pixels: less than a grey step squared a pixel
    assert laplacian_energy(few, hole) > 1
    assert math.isnan(sharpness(few, few, hole))
    assert sharpness(few, few, hole & (rows >= 18) & (rows < 28) & (columns >= 18) & (columns < 28)) == 1


def test_sharpness_does_not_mind_brightness_and_falls_with_blur():
    photo = data.astronaut()[100:200, 100:200]
    hole = np.zeros(photo.shape[:2], bool)
    hole[30:70, 30:70] = True
    assert sharpness(photo // 2, photo // 2 + 60, hole) == pytest.approx(1)
    blurred = [gaussian_filter(photo, (sigma, sigma, 0)) for sigma in (0.7, 1.5, 3)]
    ratios = [sharpness(photo, each, hole) for each in blurred]
    assert 0.5 > ratios[0] > ratios[1] > ratios[2] > 0


def test_an_empty_hole_is_refused():
    with pytest.raises(DataError, match="empty"):
        sharpness(_grey(0), _grey(0), _hole())
