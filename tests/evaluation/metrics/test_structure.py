"""SSIM, its map in the hole and MS-SSIM: by hand, by plain loops, and beside scikit-image and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from skimage import data
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from inpaintkit.errors import DataError
from inpaintkit.evaluation.metrics import METRICS, structure
from inpaintkit.evaluation.metrics.structure import C1, C2, hole_ssim, ms_ssim, similarity, ssim


def _photo(height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[40 : 40 + height, 100 : 100 + width])


def _worse(photo: np.ndarray, seed: int = 0) -> np.ndarray:
    """The photo with a noisy, darker, smoothed box."""
    rng = np.random.default_rng(seed)
    height, width = photo.shape[:2]
    box = (slice(height // 4, height // 4 * 3), slice(width // 8, width // 2))
    filled = photo.astype(np.float64)
    filled[box] = 0.7 * (filled[box] + np.roll(filled, 3, axis=1)[box]) / 2 + rng.normal(0, 12, filled[box].shape)
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def _tensor(frame: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frame.astype(np.float64)).permute(2, 0, 1)[None]


def test_flat_frames_have_the_luminance_factor_alone():
    found = similarity(np.full((20, 24, 3), 100, np.uint8), np.full((20, 24, 3), 150, np.uint8))
    expected = (2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025)
    assert (pytest.approx(6.5025), pytest.approx(58.5225)) == (C1, C2)
    assert found.ssim == pytest.approx(np.full((20, 24), expected))
    assert found.contrast == pytest.approx(np.ones((20, 24)))


def test_one_pixel_by_the_formula():
    """Everything written out at one pixel for one channel, which differs; the other two are equal and count as 1."""
    truth = _photo(32, 32)
    filled = truth.copy()
    filled[..., 1] = _worse(truth)[..., 1]
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    x, y = (frame[10:21, 9:20, 1].astype(float) for frame in (truth, filled))
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
    covariance = (window * (x - mx) * (y - my)).sum()
    green = (2 * mx * my + 6.5025) * (2 * covariance + 58.5225) / ((mx**2 + my**2 + 6.5025) * (vx + vy + 58.5225))
    assert green < 0.9
    assert similarity(truth, filled).ssim[15, 14] == pytest.approx((green + 2) / 3, rel=1e-9)


def test_equal_frames_are_exactly_alike():
    photo = _photo(200, 180)
    found = similarity(photo, photo)
    assert ssim(found) == hole_ssim(found, np.eye(200, 180, dtype=bool)) == ms_ssim(photo, photo) == 1


def test_the_map_is_that_of_scikit_image_where_the_window_lies_inside():
    truth = _photo(90, 70)
    filled = _worse(truth)
    mean, full = structural_similarity(
        truth,
        filled,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    ours = similarity(truth, filled).ssim
    inside = (slice(5, -5), slice(5, -5))
    assert ours[inside] == pytest.approx(full.mean(axis=2)[inside], abs=1e-9)
    assert ours[inside].mean() == pytest.approx(mean, abs=1e-9)  # scikit-image's mean leaves the border out


def test_the_mean_is_that_of_torchmetrics_border_included():
    truth = _photo(90, 70)
    filled = _worse(truth)
    theirs, full = structural_similarity_index_measure(
        _tensor(filled), _tensor(truth), data_range=255.0, return_full_image=True
    )
    found = similarity(truth, filled)
    assert ssim(found) == pytest.approx(float(theirs), abs=1e-9)
    assert found.ssim == pytest.approx(full[0].mean(dim=0).numpy(), abs=1e-9)


def test_the_hole_averages_the_map_whose_mean_is_ssim():
    truth = _photo(60, 64)
    found = similarity(truth, _worse(truth))
    hole = np.random.default_rng(0).random((60, 64)) < 0.3
    assert hole_ssim(found, hole) == pytest.approx(found.ssim[hole].mean())
    assert hole_ssim(found, np.ones_like(hole)) == pytest.approx(ssim(found))
    parts = hole.sum() * hole_ssim(found, hole) + (~hole).sum() * hole_ssim(found, ~hole)
    assert parts / hole.size == pytest.approx(ssim(found))
    with pytest.raises(DataError, match="empty"):
        hole_ssim(found, np.zeros_like(hole))


def test_ssim_does_not_mind_the_order_or_a_mirror():
    truth = _photo(60, 64)
    filled = _worse(truth)
    expected = ssim(similarity(truth, filled))
    assert ssim(similarity(filled, truth)) == pytest.approx(expected, abs=1e-12)
    assert ssim(similarity(truth[:, ::-1], filled[:, ::-1])) == pytest.approx(expected, abs=1e-12)
    assert ssim(similarity(truth[..., ::-1], filled[..., ::-1])) == pytest.approx(expected, abs=1e-12)


def test_what_changes_outside_reaches_into_the_hole_by_the_window_only():
    truth, filled = np.full((40, 40, 3), 90, np.uint8), np.full((40, 40, 3), 90, np.uint8)
    filled[20, 20] = 190
    changed = similarity(truth, filled).ssim < 1 - 1e-12
    assert changed[15:26, 15:26].all()
    assert changed.sum() == 11 * 11


def test_the_strips_in_which_it_works_make_no_difference(monkeypatch):
    truth = _photo(60, 50)  # less than one strip
    filled = _worse(truth)
    whole = similarity(truth, filled)
    for rows in (1, 7, 59):
        monkeypatch.setattr(structure, "_ROWS_AT_ONCE", rows)
        found = similarity(truth, filled)
        assert np.array_equal(found.ssim, whole.ssim)
        assert np.array_equal(found.contrast, whole.contrast)


def _ms_ssim_by_the_article(truth: np.ndarray, filled: np.ndarray) -> float:
    """Another computation: planes one by one, scipy's filter, variances as means of squared deviations' parts."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    weights /= weights.sum()

    def blurred(plane: np.ndarray) -> np.ndarray:
        return convolve1d(convolve1d(plane, weights, 0, mode="mirror"), weights, 1, mode="mirror")

    x, y = (frame.transpose(2, 0, 1).astype(float) for frame in (truth, filled))
    product = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        factors = []
        for a, b in zip(x, y, strict=True):
            ma, mb = blurred(a), blurred(b)
            contrast = (2 * (blurred(a * b) - ma * mb) + 58.5225) / (
                blurred(a * a) - ma**2 + blurred(b * b) - mb**2 + 58.5225
            )
            luminance = (2 * ma * mb + 6.5025) / (ma**2 + mb**2 + 6.5025)
            factors.append((luminance * contrast).mean() if scale == 4 else contrast[5:-5, 5:-5].mean())
        product *= np.mean(factors) ** weight
        height, width = (side // 2 * 2 for side in x.shape[1:])
        x, y = (frame[:, :height, :width].reshape(3, height // 2, 2, width // 2, 2).mean((2, 4)) for frame in (x, y))
    return product


@pytest.mark.parametrize(("height", "width"), [(161, 200), (192, 179), (256, 256)])
def test_ms_ssim_by_an_independent_computation(height, width):
    truth = _photo(height, width)
    filled = _worse(truth)
    expected = _ms_ssim_by_the_article(truth, filled)
    assert 0.3 < expected < 0.99
    assert ms_ssim(truth, filled) == pytest.approx(expected, abs=1e-9)
    assert ms_ssim(truth, filled, similarity(truth, filled)) == ms_ssim(truth, filled)


def test_ms_ssim_is_that_of_torchmetrics():
    truth = _photo(180, 193)
    filled = _worse(truth)
    theirs = multiscale_structural_similarity_index_measure(_tensor(filled), _tensor(truth), data_range=255.0)
    assert ms_ssim(truth, filled) == pytest.approx(float(theirs), abs=1e-8)  # its weights are in single precision


def test_ms_ssim_is_given_where_torchmetrics_refuses():
    """To 175 pixels the coarsest scale is smaller than the window, and the definition says so; then it is theirs."""
    for side in (161, 175):
        truth = _photo(side, 200)
        filled = _worse(truth)
        with pytest.raises(ValueError, match="larger than"):
            multiscale_structural_similarity_index_measure(_tensor(filled), _tensor(truth), data_range=255.0)
        assert ms_ssim(truth, filled) == pytest.approx(_ms_ssim_by_the_article(truth, filled), abs=1e-9)
    truth = _photo(structure.MS_SSIM_WHOLE_WINDOW, 200)
    filled = _worse(truth)
    theirs = multiscale_structural_similarity_index_measure(_tensor(filled), _tensor(truth), data_range=255.0)
    assert ms_ssim(truth, filled) == pytest.approx(float(theirs), abs=1e-8)
    assert "below 176 the coarsest scale is 10 pixels" in METRICS["ms_ssim"].definition


def test_ms_ssim_needs_sides_above_160():
    for height, width in ((160, 200), (200, 160)):
        photo = _photo(height, width)
        assert math.isnan(ms_ssim(photo, photo))


def test_ms_ssim_of_opposites_is_zero_and_not_a_complex_number():
    photo = _photo(170, 170)
    assert similarity(photo, 255 - photo).contrast.mean() < 0
    assert ms_ssim(photo, 255 - photo) == 0
