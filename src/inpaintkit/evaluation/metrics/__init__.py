"""The metrics of one composite against its photo; `measure` takes them all. Their names are in metric.py."""

import math
from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, UsageError, unknown_name
from .metric import DIRECTIONS, LEAST_AVERAGED, METRICS, Metric, distance_from_one
from .pixel import PSNR_CEILING_DB, Hole, Pixels, hole_l1, hole_psnr, l1, psnr
from .sharpness import sharpness
from .structure import MS_SSIM_SIDE, Similarity, hole_ssim, ms_ssim, similarity, ssim
from .variation import hole_total_variation, total_variation

__all__ = [
    "DIRECTIONS",
    "LEAST_AVERAGED",
    "METRICS",
    "MS_SSIM_SIDE",
    "PSNR_CEILING_DB",
    "Hole",
    "Metric",
    "Pixels",
    "check_composite",
    "distance_from_one",
    "known_changed",
    "measure",
]


class _Pair:
    """A photo, its composite and the hole, with what several metrics share."""

    def __init__(self, truth: Pixels, filled: Pixels, hole: Hole) -> None:
        self.truth, self.filled, self.hole = truth, filled, hole

    @cached_property
    def similarity(self) -> Similarity:
        """The SSIM map."""
        return similarity(self.truth, self.filled)


_MEASURES: dict[str, Callable[[_Pair], float]] = {
    "hole_l1": lambda pair: hole_l1(pair.truth, pair.filled, pair.hole),
    "hole_psnr": lambda pair: hole_psnr(pair.truth, pair.filled, pair.hole),
    "hole_ssim": lambda pair: hole_ssim(pair.similarity, pair.hole),
    "sharpness": lambda pair: sharpness(pair.truth, pair.filled, pair.hole),
    "hole_total_variation": lambda pair: hole_total_variation(pair.filled, pair.hole),
    "l1": lambda pair: l1(pair.truth, pair.filled),
    "psnr": lambda pair: psnr(pair.truth, pair.filled),
    "ssim": lambda pair: ssim(pair.similarity),
    "ms_ssim": lambda pair: math.nan if _is_small(pair) else ms_ssim(pair.truth, pair.filled, pair.similarity),
    "total_variation": lambda pair: total_variation(pair.filled),
}


def measure(truth: Pixels, filled: Pixels, hole: Hole, names: Iterable[str] | None = None) -> dict[str, float]:
    """The metrics of one composite, all of `METRICS` or those named, in the order of the table.

    `truth` and `filled` are uint8 RGB (H, W, 3), `hole` is bool (H, W), True = missing. NaN says that a metric is not
    defined for this photo: sharpness where the truth is flat, MS-SSIM for sides of 160 pixels and less. The same
    pixels give the same bits on every call.

    Raises DataError for frames that do not fit, and for an empty hole where a metric of the hole is asked for;
    UsageError for an unknown name.
    """
    wanted = set(METRICS if names is None else names)
    for name in sorted(wanted - METRICS.keys()):
        raise UsageError(unknown_name("metric", name, METRICS))
    check_composite(truth, filled, hole)
    pair = _Pair(truth, filled, hole)
    return {name: _MEASURES[name](pair) for name in METRICS if name in wanted}


def known_changed(shown: NDArray[np.generic], filled: NDArray[np.generic], hole: Hole) -> int:
    """Pixels outside the hole that differ in any channel from what the method was shown; anything but 0 is a defect."""
    return int(np.count_nonzero((shown != filled).any(axis=2) & ~hole))


def check_composite(truth: Pixels, filled: Pixels, hole: Hole) -> None:
    """Raise DataError unless these are two 8-bit RGB frames of one size, and a hole of that size."""
    for name, frame in (("truth", truth), ("fill", filled)):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0 or frame.dtype != np.uint8:
            raise DataError(
                f"the {name} is {frame.dtype} {frame.shape}, expected uint8 (height, width, 3) RGB with no side of 0: "
                "convert it first"
            )
    if truth.shape != filled.shape:
        raise DataError(
            f"the fill has shape {filled.shape}, expected {truth.shape} as the truth has: compare frames of one size"
        )
    if hole.shape != truth.shape[:2] or hole.dtype != np.bool_:
        raise DataError(
            f"the hole is {hole.dtype} {hole.shape}, expected bool {truth.shape[:2]}, the frame's size: pass it "
            "through as_mask"
        )


def _is_small(pair: _Pair) -> bool:
    """Whether MS-SSIM is not defined, so that nobody asks for a map in vain."""
    return min(pair.hole.shape) <= MS_SSIM_SIDE
