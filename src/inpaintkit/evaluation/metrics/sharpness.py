"""Sharpness: how much fine detail a fill has beside the photo as it was."""

import math

import cv2
import numpy as np

from .pixel import Hole, Pixels, check_hole

FLAT = 1.0
"""Mean square of the Laplacian, in grey steps squared, under which a photo has no detail in the hole.

Rounding a smooth slope to 8 bits alone brings about as much: a twelfth a channel, weighted by luma, over 20 neighbours.
"""


def sharpness(truth: Pixels, filled: Pixels, hole: Hole) -> float:
    """Energy of the fill's Laplacian over the truth's: 1 is as sharp as the photo, 0 is flat.

    NaN where the photo is flat: less than `FLAT` at the mean missing pixel, however large the hole. It says how much
    detail there is, not whether it is the right one. Raises DataError for an empty hole.

    Source: energy of the Laplacian as a measure of focus: Subbarao, Choi and Nikzad 1993; the ratio is this project's.
    """
    check_hole(hole)
    there = laplacian_energy(truth, hole)
    return laplacian_energy(filled, hole) / there if there >= FLAT * np.count_nonzero(hole) else math.nan


def laplacian_energy(image: Pixels, hole: Hole) -> float:
    """Sum of squares of the luma's Laplacian at the missing pixels; at the rim it reaches one known pixel outward."""
    places = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(max(int(each[0]) - 1, 0), int(each[-1]) + 2) for each in places)
    red, green, blue = (image[rows, columns, channel].astype(np.float64) for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return float(np.square(cv2.Laplacian(luma, cv2.CV_64F, ksize=1)[hole[rows, columns]]).sum())
