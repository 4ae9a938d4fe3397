"""Structural similarity: the SSIM map, its mean over the frame and over the hole, and its product over five scales.

Differs: the filters are OpenCV's in double precision instead of torchmetrics' in single: a fifth of the time, the
same bits on any number of threads, and no PyTorch (docs/decisions/ssim-by-opencv.md). The definition is torchmetrics'
and the tests hold it to torchmetrics and to scikit-image; MS-SSIM is given for sides of 161 to 175 pixels too, where
torchmetrics refuses.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .pixel import Hole, check_hole

Plane = NDArray[np.float64]

SIGMA = 1.5
RADIUS = 5
"""The Gaussian window: 11 x 11."""

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first. Source: Wang, Simoncelli and Bovik 2003, section 3.2."""

MS_SSIM_SIDE = 2 * RADIUS * 2 ** (len(SCALE_WEIGHTS) - 1)
"""160: MS-SSIM is given for sides above it only, as is the custom."""

MS_SSIM_WHOLE_WINDOW = (2 * RADIUS + 1) * 2 ** (len(SCALE_WEIGHTS) - 1)
"""176: from this side on the window lies within the coarsest scale; below, that is 10 pixels, one less than it."""

_ROWS_AT_ONCE = 64  # strips that stay in the processor's cache take half the time, and large photos little memory
_WINDOW = cv2.getGaussianKernel(2 * RADIUS + 1, SIGMA, cv2.CV_64F)


@dataclass(frozen=True, eq=False)
class Similarity:
    """At every pixel the mean over channels of SSIM and of its contrast-and-structure factor; both (H, W) float64."""

    ssim: Plane
    contrast: Plane


def similarity(truth: NDArray[Any], filled: NDArray[Any]) -> Similarity:
    """The SSIM map of two frames (H, W, 3) in the 8-bit range.

    Every channel by itself, statistics weighted by the window and not corrected for its size; beyond the border the
    frame is mirrored about its outermost pixels, so that the map has a value at every pixel. Where the frames are equal
    as far as a window reaches both factors are exactly 1, and nothing is computed.

    Source: Wang, Bovik, Sheikh and Simoncelli 2004, Eq. 13 (K1 = 0.01, K2 = 0.03).
    """
    height, width = truth.shape[:2]
    overall, contrast = np.ones((height, width)), np.ones((height, width))
    rows = _ROWS_AT_ONCE
    for top in range(0, height, rows):
        seen = slice(max(top - RADIUS, 0), top + rows + RADIUS)
        differing = np.flatnonzero((truth[seen] != filled[seen]).any(axis=(0, 2)))
        if not differing.size:
            continue
        left, right = max(int(differing[0]) - RADIUS, 0), int(differing[-1]) + RADIUS + 1
        across = slice(max(left - RADIUS, 0), right + RADIUS)
        own = (slice(top - seen.start, top - seen.start + rows), slice(left - across.start, right - across.start))
        factors = _factors(truth[seen, across].astype(np.float64), filled[seen, across].astype(np.float64))
        for into, factor in zip((overall, contrast), factors, strict=True):
            into[top : top + rows, left:right] = _channel_mean(factor[own])
    return Similarity(overall, contrast)


def ssim(found: Similarity) -> float:
    """Mean of the SSIM map over the frame."""
    return float(found.ssim.mean())


def hole_ssim(found: Similarity, hole: Hole) -> float:
    """Mean of the SSIM map over the missing pixels. Windows at the rim look at known pixels too.

    Raises DataError for an empty hole.
    """
    check_hole(hole)
    return float(found.ssim[hole].mean())


def ms_ssim(truth: NDArray[Any], filled: NDArray[Any], finest: Similarity | None = None) -> float:
    """Contrast and structure of four scales times SSIM of the fifth, each to its weight; NaN for sides to 160.

    Each scale is half the one before, by the mean of 2 x 2 pixels. Contrast is averaged over the pixels whose window
    lies within the frame, SSIM over all; a mean below 0 counts as 0. For sides from 161 to 175 the coarsest scale has
    10 pixels, fewer than the window, which is filled up by mirroring: it is given all the same. `finest` is
    `similarity(truth, filled)` where that is at hand.

    Source: Wang, Simoncelli and Bovik 2003, Eq. 7.
    """
    if min(truth.shape[:2]) <= MS_SSIM_SIDE:
        return math.nan
    inside = slice(RADIUS, -RADIUS)
    found = finest if finest is not None else similarity(truth, filled)
    x, y = truth, filled
    product = 1.0
    for weight in SCALE_WEIGHTS[:-1]:
        product *= max(float(found.contrast[inside, inside].mean()), 0.0) ** weight
        x, y = _halved(x), _halved(y)
        found = similarity(x, y)
    return product * max(ssim(found), 0.0) ** SCALE_WEIGHTS[-1]


def _factors(x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """SSIM and its contrast-and-structure factor at every pixel and channel, (H, W, 3)."""
    mean_x, mean_y = _windowed(x), _windowed(y)
    xx, yy, xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    variances = _windowed(x * x + y * y) - (xx + yy)
    covariance = _windowed(x * y) - xy
    contrast = (2 * covariance + C2) / (variances + C2)
    return (2 * xy + C1) / (xx + yy + C1) * contrast, contrast


def _windowed(frame: Plane) -> Plane:
    """The Gaussian mean around every pixel, mirrored beyond the border."""
    means = cv2.sepFilter2D(frame, cv2.CV_64F, _WINDOW, _WINDOW, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(means, np.float64)


def _channel_mean(frame: Plane) -> Plane:
    return (frame[..., 0] + frame[..., 1] + frame[..., 2]) / 3


def _halved(frame: NDArray[Any]) -> Plane:
    """Means of 2 x 2 pixels; the last row or column of an odd side is left out."""
    height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
    rows: Plane = np.add(frame[:height:2, :width], frame[1:height:2, :width], dtype=np.float64)
    return (rows[:, ::2] + rows[:, 1::2]) / 4
