"""Masks grown, in pixels or in proportion to each hole: the rim of an object is rarely inside the mask drawn of it."""

import math
import re
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from ..errors import MaskError, UsageError

MOST_GROWTH = 100_000
"""No photo is wider than this; a larger growth in pixels is a slip."""

MOST_SHARE = 1000
"""Percent of a hole's longer side; a larger growth is a slip."""

_BLOCK = 64
# What working on one more window costs, in pixels of a window's area.
_WINDOW_COST = 20_000


def growth_of(grow: Any) -> int | str:
    """A growth in its one form: whole pixels as int, a share of each hole's longer side as text like "3%".

    Takes whole numbers, "12", "12px" and "3%". Raises UsageError for anything else.
    """
    if isinstance(grow, int | np.integer) and not isinstance(grow, bool) and 0 <= grow <= MOST_GROWTH:
        return int(grow)
    if isinstance(grow, str):
        if (found := re.fullmatch(r"\s*([0-9]{1,9})\s*(?:px)?\s*", grow)) and int(found[1]) <= MOST_GROWTH:
            return int(found[1])
        found = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*%\s*", grow)
        if found and float(found[1]) <= MOST_SHARE:
            return f"{float(found[1]):g}%"
    raise UsageError(
        f"grow is {grow!r}, expected a whole number of pixels from 0 to {MOST_GROWTH}, or a share of each hole such as "
        f"'3%', at most {MOST_SHARE}%"
    )


def grow_mask(mask: np.ndarray, grow: int | str, *, least: int = 0) -> np.ndarray:
    """Grow the missing region by discs: everything within a radius (Euclidean) of a missing pixel becomes missing.

    `grow` is the radius in pixels, or "N%" of the longer side of the box around each hole (pixels that touch, corners
    included), rounded up: a large hole grows by more than a small one. `least` is the smallest radius in pixels. The
    cost follows the boxes around the holes, not the radius and not the photo. A radius of 0 gives the mask back as it
    is. Raises UsageError for another growth and MaskError when the mask is not bool (H, W).
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise MaskError(f"mask is {mask.dtype} {mask.shape}, expected bool (height, width): pass it through as_mask")
    growth, least = growth_of(grow), int(growth_of(least))
    if isinstance(growth, int) and max(growth, least) == 0:
        return mask
    grown = mask.copy()
    for top, left, holes in _far_apart(mask):
        if isinstance(growth, int):
            _widen(grown, holes, top, left, max(growth, least))
        else:
            for upper, leftmost, some, radius in _by_radius(holes, float(growth[:-1]), least):
                _widen(grown, some, top + upper, left + leftmost, radius)
    return grown


def grown_px(mask: np.ndarray, grow: int | str, *, least: int = 0) -> tuple[int, int]:
    """The smallest and the largest radius, in pixels, by which `grow_mask` grows the holes of a bool mask (H, W).

    0 and 0 for an empty mask. Raises UsageError for a growth that is none.
    """
    growth, least = growth_of(grow), int(growth_of(least))
    if not mask.any():
        return 0, 0
    if isinstance(growth, int):
        return max(growth, least), max(growth, least)
    found = []
    for _, _, holes in _far_apart(mask):
        boxes = cv2.connectedComponentsWithStats(np.ascontiguousarray(holes).view(np.uint8), connectivity=8)[2]
        found.append(_radii(boxes[1:], float(growth[:-1]), least))
    radii = np.concatenate(found)
    return int(radii.min()), int(radii.max())


def _far_apart(mask: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Groups of whole holes with the top and left of their window: far from each other, or all of them in one."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width == 0:
        return
    inside = mask[top : top + height, left : left + width]
    blocks = np.logical_or.reduceat(inside, np.arange(0, height, _BLOCK), axis=0)
    blocks = np.logical_or.reduceat(blocks, np.arange(0, width, _BLOCK), axis=1)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(blocks.view(np.uint8), connectivity=8)
    areas = boxes[1:, cv2.CC_STAT_WIDTH].astype(np.int64) * boxes[1:, cv2.CC_STAT_HEIGHT] * _BLOCK**2
    if areas.sum() + count * _WINDOW_COST >= inside.size:
        yield top, left, inside
        return
    for number, (column, row, columns, rows, _) in enumerate(boxes.tolist()[1:], 1):
        own = labels[row : row + rows, column : column + columns] == number
        upper, leftmost = _BLOCK * row, _BLOCK * column
        window = inside[upper : upper + _BLOCK * rows, leftmost : leftmost + _BLOCK * columns]
        own = own.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)[: window.shape[0], : window.shape[1]]
        yield top + upper, left + leftmost, window & own


def _by_radius(holes: np.ndarray, percent: float, least: int) -> Iterator[tuple[int, int, np.ndarray, int]]:
    """Holes that grow by the same radius, with the top and left of the window around them and that radius."""
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(holes).view(np.uint8), connectivity=8)
    width, height = boxes[:, cv2.CC_STAT_WIDTH].astype(np.int64), boxes[:, cv2.CC_STAT_HEIGHT].astype(np.int64)
    left, top = boxes[:, cv2.CC_STAT_LEFT], boxes[:, cv2.CC_STAT_TOP]
    right, bottom = left + width, top + height
    radii = _radii(boxes, percent, least)
    radii[0] = 0  # what is known
    for radius in np.unique(radii[radii > 0]).tolist():
        members = np.flatnonzero(radii == radius)
        box = int(top[members].min()), int(bottom[members].max()), int(left[members].min()), int(right[members].max())
        apart = ((height[members] + 2 * radius) * (width[members] + 2 * radius) + _WINDOW_COST).sum()
        if apart < (box[1] - box[0] + 2 * radius) * (box[3] - box[2] + 2 * radius):
            shares = [
                ([each], int(top[each]), int(bottom[each]), int(left[each]), int(right[each]))
                for each in members.tolist()
            ]
        else:
            shares = [(members.tolist(), *box)]
        for own, first_row, last_row, first_column, last_column in shares:
            belongs = np.zeros(len(radii), bool)
            belongs[own] = True
            yield first_row, first_column, belongs[labels[first_row:last_row, first_column:last_column]], radius


def _radii(boxes: np.ndarray, percent: float, least: int) -> np.ndarray:
    """By how many pixels holes grow, of their boxes as OpenCV's statistics list them."""
    longer = boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1).astype(np.int64)
    # The slack keeps 3 % of 100 from being rounded up to 4.
    return np.ceil(longer * (percent / 100) - 1e-9).astype(np.int64).clip(least)


def _widen(grown: np.ndarray, holes: np.ndarray, top: int, left: int, radius: int) -> None:
    """Mark in `grown` whatever lies within the radius of `holes`, whose window begins at top and left."""
    height, width = holes.shape
    first_row, first_column = max(top - radius, 0), max(left - radius, 0)
    around = grown[first_row : top + height + radius, first_column : left + width + radius]
    known = np.ones(around.shape, np.uint8)
    known[top - first_row : top - first_row + height, left - first_column : left - first_column + width] = ~holes
    distance = cv2.distanceTransform(known, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared distances are whole numbers: half a unit above the radius is a limit that rounding the distances to single
    # precision does not cross for any radius of practice (checked up to 600).
    around |= distance <= math.sqrt(radius * radius + 0.5)
