"""L1 and PSNR of a fill against the photo as it was, over the frame or over the hole alone.

Sums are taken in whole numbers, so that they do not depend on the order in which pixels are added.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError

Pixels = NDArray[np.uint8]
Hole = NDArray[np.bool_]

PSNR_CEILING_DB = 100.0
"""What an exact fill counts as: its PSNR is infinite and would swallow every mean."""


def l1(truth: Pixels, filled: Pixels) -> float:
    """Mean absolute error over pixels and channels, in percent of the 8-bit range."""
    return _percent(_errors(truth, filled))


def hole_l1(truth: Pixels, filled: Pixels, hole: Hole) -> float:
    """`l1` over the missing pixels alone. Raises DataError for an empty hole."""
    check_hole(hole)
    return _percent(_errors(truth[hole], filled[hole]))


def psnr(truth: Pixels, filled: Pixels) -> float:
    """Peak signal to noise ratio over pixels and channels together, in dB, at most `PSNR_CEILING_DB`."""
    return _decibels(_errors(truth, filled))


def hole_psnr(truth: Pixels, filled: Pixels, hole: Hole) -> float:
    """`psnr` over the missing pixels alone. Raises DataError for an empty hole."""
    check_hole(hole)
    return _decibels(_errors(truth[hole], filled[hole]))


def check_hole(hole: Hole) -> None:
    """Raise DataError where nothing is missing."""
    if not hole.any():
        raise DataError("the hole is empty, expected at least one missing pixel: measure the whole image instead")


def _errors(truth: Pixels, filled: Pixels) -> NDArray[np.int32]:
    """Filled minus truth; unsigned bytes would wrap around."""
    return np.subtract(filled, truth, dtype=np.int32)


def _percent(errors: NDArray[np.int32]) -> float:
    return float(np.abs(errors).sum(dtype=np.int64)) / (255 * errors.size) * 100


def _decibels(errors: NDArray[np.int32]) -> float:
    squares = int(np.square(errors).sum(dtype=np.int64))
    if squares == 0:
        return PSNR_CEILING_DB
    return min(10 * math.log10(255**2 * errors.size / squares), PSNR_CEILING_DB)
