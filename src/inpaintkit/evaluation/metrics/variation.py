"""Total variation: how much neighbouring pixels differ. It judges one picture and is read beside the photo's own."""

import math

import numpy as np
from numpy.typing import NDArray

from .pixel import Hole, Pixels, check_hole


def total_variation(image: Pixels) -> float:
    """Mean absolute difference of neighbours over all pairs, side by side and one above the other, and channels.

    In percent of the 8-bit range; NaN for a frame of one pixel, which has no neighbours.

    Source: the anisotropic form of Rudin, Osher and Fatemi 1992, by the number of pairs.
    """
    across, down = _differences(image)
    return _percent(across.size + down.size, across, down)


def hole_total_variation(image: Pixels, hole: Hole) -> float:
    """`total_variation` over the pairs of which at least one pixel is missing, so that the seam counts.

    Raises DataError for an empty hole.
    """
    check_hole(hole)
    across, down = _differences(image)
    across, down = across[hole[:, 1:] | hole[:, :-1]], down[hole[1:] | hole[:-1]]
    return _percent(across.size + down.size, across, down)


def _differences(image: Pixels) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Absolute differences of neighbours, side by side and one above the other."""
    signed = image.astype(np.int16)
    return np.abs(signed[:, 1:] - signed[:, :-1]), np.abs(signed[1:] - signed[:-1])


def _percent(count: int, across: NDArray[np.int16], down: NDArray[np.int16]) -> float:
    total = int(across.sum(dtype=np.int64)) + int(down.sum(dtype=np.int64))
    return total / (255 * count) * 100 if count else math.nan
