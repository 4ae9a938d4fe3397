"""Outlines and run lengths to pixels: what annotation files hold, drawn as masks.

Coordinates are continuous, x to the right and y down, from the top left corner of the photo: pixel (row, column) covers
[column, column + 1) x [row, row + 1) and belongs to an outline when its centre lies inside.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from ..errors import MaskError

Part = tuple[int, int, np.ndarray]
"""Top, left and a bool array: a piece of a mask; what lies around it is not marked."""

_SAGITTA_PX = 0.05


def polygon_part(points: np.ndarray, height: int, width: int) -> Part | None:
    """The pixels of a frame inside a polygon (N, 2) of x and y; None when there are none near it.

    The last point is joined to the first. Where the outline crosses itself the even-odd rule holds: what is enclosed
    twice is outside.
    """
    x0, y0 = points[:, 0], points[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    top, bottom = (int(edge) for edge in np.ceil(np.clip([y0.min(), y0.max()], -1, height + 1) - 0.5).clip(0, height))
    left, right = (int(edge) for edge in np.ceil(np.clip([x0.min(), x0.max()], -1, width + 1) - 0.5).clip(0, width))
    if top >= bottom or left >= right:
        return None
    # An edge crosses the rows whose centres lie between its ends; where it does, left and right of it differ.
    upper, lower = (np.ceil(each.clip(top - 1, bottom + 1) - 0.5) for each in (np.minimum(y0, y1), np.maximum(y0, y1)))
    first, last = upper.clip(top, bottom).astype(np.int64), lower.clip(top, bottom).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(points)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    x = x0[edge] + (row + 0.5 - y0[edge]) * ((x1[edge] - x0[edge]) / (y1[edge] - y0[edge]))
    column = np.ceil(x.clip(left - 1, right + 1) - 0.5).clip(left, right).astype(np.int64)
    changes = np.zeros((bottom - top, right - left + 1), np.uint8)
    np.bitwise_xor.at(changes, (row - top, column - left), np.uint8(1))
    return top, left, np.bitwise_xor.accumulate(changes, axis=1)[:, :-1].astype(np.bool_)


def circle_outline(x: float, y: float, radius: float) -> np.ndarray:
    """A circle as a polygon (N, 2) that is nowhere more than a twentieth of a pixel inside it."""
    corners = max(8, math.ceil(math.pi / math.acos(1 - _SAGITTA_PX / max(radius, 1.0))))
    angles = np.arange(corners) * (2 * math.pi / corners)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def stroke_outlines(points: np.ndarray, width: float) -> list[np.ndarray]:
    """A line through points (N, 2), drawn with a round brush, as polygons: bars and discs."""
    outlines = [circle_outline(float(x), float(y), width / 2) for x, y in points]
    for start, end in itertools.pairwise(points):
        length = float(np.hypot(*(end - start)))
        if length > 0:
            aside = (end - start)[::-1] * [-1, 1] * (width / 2 / length)
            outlines.append(np.array([start + aside, end + aside, end - aside, start - aside]))
    return outlines


def runs_of_text(text: str) -> list[int]:
    """The run lengths in COCO's compressed form.

    Every character from "0" to "o" carries five bits, lowest first, and says with a sixth whether the number goes on;
    the highest bit of the last is the sign. From the fourth number on the number two before it is added. Raises
    MaskError. Source: COCO API, maskApi.c.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise MaskError(f"compressed runs hold {character!r} where no number can, expected COCO's, of '0' to 'o'")
        number |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                number -= 1 << shift
            runs.append(number + runs[-2] if len(runs) > 2 else number)
            number = shift = 0
    if shift:
        raise MaskError("compressed runs end within a number, expected whole ones")
    return runs


def mask_of_runs(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    """The mask (H, W) of run lengths: known and missing in turn, column by column, beginning with known.

    Raises MaskError unless they are whole numbers of at least 0 that add up to the frame.
    """
    if not all(isinstance(run, int) and not isinstance(run, bool) and run >= 0 for run in runs):
        raise MaskError("runs hold something else than whole numbers of at least 0, expected lengths in pixels")
    if sum(runs) != height * width:
        raise MaskError(f"runs add up to {sum(runs):,} pixels, expected {width} x {height} = {height * width:,}")
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, np.array(runs, np.int64)).reshape(width, height).T)
