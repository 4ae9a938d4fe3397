"""The smart lasso: a rough outline or box around a thing becomes the mask of the thing, by GrabCut.

Source: Rother, Kolmogorov and Blake 2004, as OpenCV has it.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from ..errors import MaskError
from ..masks.grow import grow_mask
from .photos import Window

WORKING_SIDE = 320
"""Longer side in pixels at which the cut is found: seconds at a photo's own size, a blink at this one."""

MARGIN = 0.25
"""Surroundings that are looked at, as a share of the outline's longer side."""

ROUNDS = 3
LEAST_SHARE = 0.02
"""A cut smaller than this share of its outline found nothing."""


def outline_mask(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    """The inside of a closed outline of (x, y) photo pixels, bool (height, width). Raises MaskError."""
    height, width = size
    mask = np.zeros(size, np.uint8)
    corners = np.asarray([(min(max(x, 0), width - 1), min(max(y, 0), height - 1)) for x, y in points], np.float64)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1)
    if np.count_nonzero(mask) < 4:
        raise MaskError("the outline holds hardly any pixel, expected a thing inside it: draw around it")
    return mask.view(np.bool_)


def box_of(mask: np.ndarray) -> Window:
    """Top, left, height and width of what a mask marks."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return top, left, height, width


def around(window: Window, size: tuple[int, int], grow: int) -> Window:
    """A window with the surroundings that the cut needs, inside the photo."""
    top, left, height, width = window
    margin = max(16, round(MARGIN * max(height, width)), grow + 2)
    upper, leftmost = max(top - margin, 0), max(left - margin, 0)
    lower, rightmost = min(top + height + margin, size[0]), min(left + width + margin, size[1])
    return upper, leftmost, lower - upper, rightmost - leftmost


def snap(pixels: np.ndarray, rough: np.ndarray, grow: int = 0) -> np.ndarray:
    """The thing inside a rough mask, grown; `pixels` (H, W, 3) RGB and `rough` bool (H, W) with surroundings.

    Where no thing stands out from its surroundings, the rough mask itself comes back. `grow` is in pixels.
    """
    height, width = rough.shape
    scale = min(1.0, WORKING_SIDE / max(height, width))
    small_size = max(1, round(width * scale)), max(1, round(height * scale))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    small = cv2.resize(pixels, small_size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(rough.view(np.uint8), small_size, interpolation=cv2.INTER_AREA) > 0
    cut = _cut(small, inside)
    if np.count_nonzero(cut) <= LEAST_SHARE * int(np.count_nonzero(inside)):
        return grow_mask(rough, grow)
    soft = cv2.resize(cut.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    found = (soft > 0.5) & rough
    return grow_mask(found if found.any() else rough, grow)


_NO_BOX = (0, 0, 0, 0)  # the labels say it all


def _cut(pixels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """What GrabCut takes for the thing, without specks and holes smaller than a few pixels."""
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if inside.all() or not inside.any():
        return inside
    cv2.setRNGSeed(0)  # its first colour clusters are drawn; the same outline gives the same mask
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(
            np.ascontiguousarray(pixels[..., ::-1]),
            labels,
            _NO_BOX,
            background,
            foreground,
            ROUNDS,
            cv2.GC_INIT_WITH_MASK,
        )
    except cv2.error:  # too few pixels on one side to tell colours apart
        return inside
    thing = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    closed = cv2.morphologyEx(thing, cv2.MORPH_CLOSE, kernel)
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel)) > 0
