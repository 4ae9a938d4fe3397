"""L1 and PSNR on pictures small enough to work out by hand, and beside scikit-image and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import peak_signal_noise_ratio as torch_psnr

from inpaintkit.errors import DataError
from inpaintkit.evaluation.metrics.pixel import PSNR_CEILING_DB, hole_l1, hole_psnr, l1, psnr


def _grey(value: int, height: int = 4, width: int = 5) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def _hole(*pixels: tuple[int, int], height: int = 4, width: int = 5) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    for row, column in pixels:
        hole[row, column] = True
    return hole


def _noise(seed: int, height: int = 30, width: int = 44) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_l1_is_the_mean_over_pixels_and_channels_in_percent():
    truth, filled, hole = _grey(100), _grey(100), _hole((1, 1), (2, 3))
    filled[1, 1] = (151, 100, 49)  # 51 up, equal, 51 down: a fifth of the range twice, of six values or of sixty
    assert hole_l1(truth, filled, hole) == pytest.approx(100 * 0.4 / 6)
    assert l1(truth, filled) == pytest.approx(100 * 0.4 / 60)


def test_errors_below_zero_do_not_wrap_around():
    assert hole_l1(_grey(255), _grey(0), _hole((0, 0))) == l1(_grey(255), _grey(0)) == 100
    assert hole_psnr(_grey(255), _grey(0), _hole((0, 0))) == psnr(_grey(0), _grey(255)) == 0


def test_psnr_takes_one_mean_square_over_all_channels():
    truth, filled, hole = _grey(100), _grey(100), _hole((1, 1), (2, 3))
    filled[1, 1] = (106, 100, 100)  # 36 in one of six values: a mean square of 6; of sixty: 0.6
    assert hole_psnr(truth, filled, hole) == pytest.approx(10 * math.log10(65025 / 6))
    assert psnr(truth, filled) == pytest.approx(10 * math.log10(65025 / 0.6))
    filled[hole] = 110  # 100 everywhere
    assert hole_psnr(truth, filled, hole) == pytest.approx(28.1308, abs=1e-4)


def test_only_the_hole_counts_in_the_hole():
    truth, filled, hole = _grey(100), _grey(100), _hole((1, 1))
    filled[3, 4] = 0
    assert hole_l1(truth, filled, hole) == 0
    assert hole_psnr(truth, filled, hole) == PSNR_CEILING_DB == 100
    assert l1(truth, filled) > 0


def test_nothing_comes_above_an_exact_fill():
    truth = _grey(100, 400, 400)
    filled = truth.copy()
    filled[0, 0, 0] = 101  # 1 in 480,000 values: 104.9 dB
    assert psnr(truth, filled) == psnr(truth, truth) == 100


def test_a_hole_over_the_whole_frame_is_the_whole_image():
    truth, filled = _noise(0), _noise(1)
    hole = np.ones(truth.shape[:2], bool)
    assert hole_l1(truth, filled, hole) == l1(truth, filled)
    assert hole_psnr(truth, filled, hole) == psnr(truth, filled)


def test_errors_have_no_sign_and_no_place():
    truth, filled = _noise(0), _noise(1)
    for metric in (l1, psnr):
        assert metric(truth, filled) == metric(filled, truth) == metric(truth[::-1, ::-1], filled[::-1, ::-1])


def test_psnr_is_that_of_scikit_image_and_torchmetrics():
    truth, filled = _noise(0), _noise(1)
    assert psnr(truth, filled) == pytest.approx(peak_signal_noise_ratio(truth, filled, data_range=255), rel=1e-12)
    tensors = (torch.from_numpy(filled).double(), torch.from_numpy(truth).double())
    assert psnr(truth, filled) == pytest.approx(float(torch_psnr(*tensors, data_range=255.0)), rel=1e-6)


@pytest.mark.parametrize("metric", [hole_l1, hole_psnr])
def test_an_empty_hole_is_refused(metric):
    with pytest.raises(DataError, match="empty"):
        metric(_grey(0), _grey(0), _hole())
