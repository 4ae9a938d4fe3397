"""What many scores say together: means with bootstrap intervals, bins, disagreement, and Wilson's interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from .metrics.pixel import Hole

Columns = NDArray[np.float64]

RESAMPLES = 10_000
TAILS = (2.5, 97.5)
"""Percentiles between which an interval lies: 95 %."""

FEWEST_FOR_INTERVAL = 10
"""Fewer photos have a mean without an interval: resamples of so few values know too little of what others would be."""

DIGITS = 10
"""Significant digits of every number that is computed over photos: beyond them machines may disagree."""

_Z = 1.959963984540054  # of the standard normal distribution, 97.5 % lie below
_DRAWS_AT_ONCE = 1 << 21
_SUM_BITS = 52


# --- Intervals over photos -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """The mean of a metric over photos, its 95 % interval, the median, and how many photos it was measured on.

    `low` and `high` are None where there are fewer photos than `FEWEST_FOR_INTERVAL`.
    """

    mean: float
    low: float | None
    high: float | None
    median: float
    photos: int


@dataclass(frozen=True)
class Bootstrap:
    """Resamples of some photos, the same at every use, so that methods and metrics are compared on the same draws.

    Percentile intervals of the mean, whose ends are moved away from it by `widening`, for those of few photos are too
    narrow. Source: Efron 1979, Bootstrap methods: another look at the jackknife; Hesterberg 2015, What teachers should
    know about the bootstrap. Differs: Hesterberg widens by taking other percentiles. To the first order that is the
    same, and on differences with heavy tails this holds the true mean more often.
    """

    photos: int
    seed: int = 0
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        if self.photos < 1 or self.resamples < 1:
            raise UsageError(
                f"a bootstrap of {self.photos} photos with {self.resamples} resamples, expected 1 or more of each"
            )

    def intervals(self, values: Columns) -> list[Interval | None]:
        """The interval of each column of `values` (photos, columns); NaN = not measured on this photo.

        None for a column without any measurement. A column with gaps is averaged over the photos that have it, in
        every resample anew. Raises DataError for another number of photos, and for infinite values.
        """
        if values.ndim != 2 or len(values) != self.photos:
            raise DataError(f"values have shape {values.shape}, expected ({self.photos}, columns): one row for a photo")
        if np.isinf(values).any():
            raise DataError("a value is infinite, expected finite numbers or NaN: no mean can hold it")
        measured = ~np.isnan(values)
        found = np.flatnonzero(measured.any(axis=0))
        own = [values[measured[:, column], column] for column in found]
        means = [float(each.mean()) for each in own]
        offsets = np.where(measured[:, found], values[:, found] - np.array(means), 0)
        resampled = self._resampled_means(offsets, measured[:, found])
        intervals: list[Interval | None] = [None] * values.shape[1]
        for column, each, mean, drawn in zip(found, own, means, resampled.T, strict=True):
            low = high = None
            if len(each) >= FEWEST_FOR_INTERVAL:
                ends = np.percentile(drawn[~np.isnan(drawn)], TAILS) * widening(len(each))
                low, high = mean + float(ends[0]), mean + float(ends[1])
            intervals[column] = Interval(mean, low, high, float(np.median(each)), len(each))
        return intervals

    def _resampled_means(self, offsets: Columns, measured: NDArray[np.bool_]) -> Columns:
        """(resamples, columns): the mean of each resample; NaN where it drew no photo that has the column.

        Values are rounded to whole multiples of a tiny step, so that sums are exact and do not depend on the order in
        which a library of linear algebra takes them, nor on its threads.
        """
        bits = _SUM_BITS - math.ceil(math.log2(self.photos + 1))
        largest = np.abs(offsets).max(axis=0, initial=0.0)
        steps = np.exp2(np.frexp(largest)[1].astype(np.float64) - bits)
        whole = np.rint(offsets / steps)
        gaps = np.flatnonzero(~measured.all(axis=0))
        shares = measured[:, gaps].astype(np.float64)
        means = np.empty((self.resamples, offsets.shape[1]))
        rng = np.random.default_rng(self.seed)
        rows_at_once = max(1, _DRAWS_AT_ONCE // self.photos)
        for start in range(0, self.resamples, rows_at_once):
            rows = min(rows_at_once, self.resamples - start)
            draws = rng.integers(0, self.photos, size=(rows, self.photos))
            draws += np.arange(rows)[:, None] * self.photos
            counts = np.bincount(draws.ravel(), minlength=rows * self.photos).reshape(rows, self.photos)
            weights = counts.astype(np.float64)
            drawn = np.full((rows, offsets.shape[1]), float(self.photos))
            drawn[:, gaps] = weights @ shares
            with np.errstate(invalid="ignore"):  # nothing over nothing, where a resample missed a column
                means[start : start + rows] = weights @ whole * steps / drawn
        return means


def widening(photos: int) -> float:
    """By how much a percentile interval of the mean of so many photos is too narrow: sqrt(n / (n - 1)) t / z."""
    return math.sqrt(photos / (photos - 1)) * student_quantile(photos - 1) / _Z


def student_quantile(degrees: int) -> float:
    """97.5 % of Student's t distribution lie below it; from 9 degrees of freedom on to 2e-5.

    Source: Abramowitz and Stegun 1964, 26.7.5, an expansion of Cornish and Fisher's kind.
    """
    z = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, 1))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share, from 0 to 1; no trials say nothing: (0, 1).

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not 0 <= hits <= trials:
        raise UsageError(f"{hits} hits of {trials} trials, expected 0 or more hits and no more than trials")
    if trials == 0:
        return 0.0, 1.0
    share, spread = hits / trials, _Z**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    reach = _Z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return (0.0 if hits == 0 else centre - reach), (1.0 if hits == trials else centre + reach)


def disagreement(scores: Sequence[Mapping[str, Any]]) -> float | None:
    """How far the methods are apart on one case: the largest hole L1 less the smallest; of one method alone its own.

    None where fewer than two of several methods have one, or the only method failed.
    """
    found = [each["hole_l1"] for each in scores if each.get("hole_l1") is not None]
    if len(scores) == 1:
        return found[0] if found else None
    return max(found) - min(found) if len(found) > 1 else None


def rounded(value: float) -> float:
    """A number to as many digits as every machine agrees on."""
    return float(f"{value:.{DIGITS}g}")


# --- What makes a hole hard ------------------------------------------------------------------------------------------

AREA_BINS: Mapping[str, tuple[float, float]] = {
    **{f"{low}-{low + 10} %": (low / 100, (low + 10) / 100) for low in range(0, 60, 10)},
    "60-100 %": (0.6, 1.0),
}
"""Name to the hole's share of the frame, from the lower bound on and below the upper one; the last takes its upper."""

_SURELY_WHOLE = 1000.0  # pixels; beyond, single precision cannot tell neighbouring squares apart

DEPTH_BINS: Mapping[str, tuple[float, float]] = {
    **{f"{low}-{high} px": (float(low), float(high)) for low, high in ((0, 4), (4, 8), (8, 16), (16, 32), (32, 64))},
    "64+ px": (64.0, math.inf),
}
"""Name to the depth of the hole in pixels (`hole_depth`), bounds as in `AREA_BINS`."""


def area_bin(hole_ratio: float) -> str:
    """The bin of a hole that takes this share of the frame. Raises DataError outside 0 to 1."""
    return _bin(AREA_BINS, hole_ratio, "hole ratio")


def depth_bin(depth_px: float) -> str:
    """The bin of a hole of this depth; infinite belongs to the last. Raises DataError below 0."""
    return _bin(DEPTH_BINS, depth_px, "depth")


def _bin(bins: Mapping[str, tuple[float, float]], value: float, what: str) -> str:
    bounds = list(bins.values())
    if not bounds[0][0] <= value <= bounds[-1][1]:
        raise DataError(f"{what} is {value}, expected {bounds[0][0]:g} to {bounds[-1][1]:g}")
    return next(name for name, (low, _) in reversed(list(bins.items())) if value >= low)


def hole_depth(hole: Hole) -> float:
    """Distance in pixels from the deepest missing pixel to the nearest known one, between their centres.

    `hole` is bool (H, W), True = missing. Nothing beyond the frame is known, so a hole at its border is deeper than the
    same hole inside. 0 where nothing is missing, infinite where nothing is known.
    """
    if hole.all():
        return math.inf
    farthest = float(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())
    # Single precision, whose last bit depends on where the array lies in memory; squares of distances are whole.
    return math.sqrt(round(farthest**2)) if farthest < _SURELY_WHOLE else float(round(farthest))
