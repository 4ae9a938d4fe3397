"""The removal set: an object cut out of another photo lies on the photo with its shadow, and is to be taken out again.

Random holes stand anywhere and look like nothing; people take out things. Here the hole has the outline of an object
and reaches over its shadow, and the photo without it is at hand to judge by.

The object is a part of a donor photo whose border lies between two random outlines and follows the donor's own edges
there (watershed), so that it looks cut out by somebody rather than stamped. Its shadow falls to one side and has a soft
rim. The mask covers object and shadow entirely and a few pixels more, as a careful hand would draw it: **known pixels
equal the truth exactly**. In life a shadow's faint end often reaches beyond the mask. Here it would put the same error
on every method, since none may change known pixels, and drown the differences between them in whole-image numbers; and
which fill is best would depend on whether it continues a leftover that the truth does not have.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import PhotoError
from .metrics.pixel import Hole, Pixels

_Plane = npt.NDArray[np.float32]

SMALLEST_SIDE = 64
"""Pixels that a photo's short side needs: below, an object is a few pixels wide."""

_RADIUS = (0.11, 0.21)  # of the object, in shares of the photo's short side, before its border finds the donor's edges
_INNER, _OUTER = 0.6, 1.3  # the border lies between these multiples of the outline
_PLACES_TRIED = 6
_LARGEST_DIVIDED = 192  # pixels
_CORNERS = 96
_SHADOW_FLOOR = 0.02  # darkening that the soft rim is cut off at, so that the shadow ends somewhere
_MARGIN = 3 / 256  # of the mask around object and shadow, in shares of the short side


def removal_case(photo: Pixels, donors: Sequence[Pixels], rng: np.random.Generator) -> tuple[Pixels, Hole]:
    """The photo with an object from one of the donors and its shadow on it, and the hole around both, True = missing.

    `photo` (H, W, 3) is the truth; outside the hole the result equals it. Donors (H, W, 3) may have any size. The same
    generator state gives the same case: give each photo its own, such as `numpy.random.default_rng([seed, number])`.
    Raises: PhotoError for a photo with a side below `SMALLEST_SIDE`, or when there is no donor.
    """
    height, width = photo.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise PhotoError(
            f"photo of {width} x {height} pixels, expected sides of at least {SMALLEST_SIDE} to lay something on it: "
            "use a larger --size"
        )
    if not donors:
        raise PhotoError("no other photo to cut something out of: the removal set needs at least two photos")
    donor = _fitted(donors[int(rng.integers(len(donors)))], min(height, width))
    picture, cover = _cut_out(donor, min(height, width), rng)
    placed, alpha = _placed(picture, cover, (height, width), rng)
    shadow = _shadow(alpha, rng)
    lit = photo.astype(np.float32) * (1 - shadow[..., None])
    shown = np.rint(lit + alpha[..., None] * (placed - lit)).clip(0, 255).astype(np.uint8)
    hole = _drawn_around((alpha > 0) | (shadow > 0))
    shown[~hole] = photo[~hole]
    return shown, hole


def _fitted(donor: Pixels, side: int) -> Pixels:
    """The donor with its short side brought to `side`, so that what is in it has a plausible size on the photo."""
    scale = side / min(donor.shape[:2])
    if scale == 1:
        return donor
    height, width = (max(side, round(length * scale)) for length in donor.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(donor, (width, height), interpolation=how), np.uint8)


# --- The object -----------------------------------------------------------------------------------------------------


def _cut_out(donor: Pixels, side: int, rng: np.random.Generator) -> tuple[Pixels, _Plane]:
    """A square part of the donor and how far each of its pixels belongs to the object, in [0,1].

    Of a few places in the donor the one is taken whose border lies most upon edges.
    """
    radius = side * rng.uniform(*_RADIUS)
    outline = _outline(rng)
    half = min(math.ceil(radius * _OUTER * float(np.abs(outline).max())) + 2, side // 2)
    outlines = [outline * min(radius * part, half - 2) for part in (_INNER, _OUTER)]
    limits = [length - 2 * half + 1 for length in donor.shape[:2]]
    best, most = None, -1.0
    for top, left in rng.integers(0, limits, size=(_PLACES_TRIED, 2)).tolist():
        part = donor[top : top + 2 * half, left : left + 2 * half]
        inside, contrast = _divided(part, outlines)
        if contrast > most:
            best, most = (part, inside), contrast
    assert best is not None
    return best[0], _softened(best[1], side)


def _outline(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A closed curve around the origin, (N, 2) of x and y, of mean radius about 1: a tilted oval with some swing."""
    turns = np.linspace(0, 2 * math.pi, _CORNERS, endpoint=False)
    harmonics = np.arange(2, 6)
    swings = rng.uniform(0, 0.3, size=4) / (harmonics - 1)
    phases = rng.uniform(0, 2 * math.pi, size=4)
    radii = 1 + (swings[:, None] * np.cos(harmonics[:, None] * turns + phases[:, None])).sum(0)
    stretch, tilt = math.sqrt(rng.uniform(1, 2.2)), rng.uniform(0, math.pi)
    across, up = radii * np.cos(turns) * stretch, radii * np.sin(turns) / stretch
    return np.stack(
        [across * math.cos(tilt) - up * math.sin(tilt), across * math.sin(tilt) + up * math.cos(tilt)], axis=1
    )


def _divided(part: Pixels, outlines: Sequence[npt.NDArray[np.float64]]) -> tuple[Hole, float]:
    """Which pixels belong to the object, between the inner and the outer outline, and the contrast along its border.

    Large parts are divided at a smaller size: finding the border to the pixel would take longer than many a fill.
    """
    side = min(part.shape[0], _LARGEST_DIVIDED)
    scale = side / part.shape[0]
    small = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA) if scale < 1 else part
    marks = np.full((side, side), 2, np.int32)
    for mark, outline in ((0, outlines[1]), (1, outlines[0])):
        cv2.fillPoly(marks, [np.rint(outline * scale + side / 2).astype(np.int32)], mark)
    smooth = cv2.GaussianBlur(small, (0, 0), max(0.8, side / 80))
    cv2.watershed(smooth, marks)
    inside = (marks == 1).astype(np.uint8)
    rim = (cv2.dilate(inside, np.ones((3, 3), np.uint8)) > inside).view(np.bool_)
    edges = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2)
    whole = cv2.resize(255 * inside, part.shape[:2], interpolation=cv2.INTER_LINEAR) > 127 if scale < 1 else inside > 0
    return np.asarray(whole, np.bool_), float(edges[rim].mean()) if rim.any() else 0.0


def _softened(inside: Hole, side: int) -> _Plane:
    """An object's pixels with their ragged border smoothed and one soft pixel along it, as a photo has it."""
    plane = inside.astype(np.float32)
    smooth = cv2.GaussianBlur(plane, (0, 0), max(1.0, side / 150), borderType=cv2.BORDER_CONSTANT)
    solid = (smooth > 0.5).astype(np.float32)
    if not solid.any():
        solid = plane
    soft = cv2.GaussianBlur(solid, (3, 3), 0.7, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(soft, np.float32)


def _placed(picture: Pixels, cover: _Plane, shape: tuple[int, int], rng: np.random.Generator) -> tuple[_Plane, _Plane]:
    """The object in a frame of the photo's shape, wholly inside, somewhat low, and its cover."""
    height, width = shape
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    tall, wide = cover[box].shape
    top = int((height - tall) * rng.uniform(0.15, 0.9))
    left = int((width - wide) * rng.uniform(0.1, 0.9))
    there = slice(top, top + tall), slice(left, left + wide)
    placed, alpha = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    placed[there], alpha[there] = picture[box], cover[box]
    return placed, alpha


# --- Shadow and mask --------------------------------------------------------------------------------------------------


def _shadow(alpha: _Plane, rng: np.random.Generator) -> _Plane:
    """How much of the light an object takes from the ground, (H, W) in [0,1), nothing beyond a soft rim.

    The object's outline is laid down from its lowest row, aslant to one side, and blurred.
    """
    height, width = alpha.shape
    rows = np.flatnonzero(alpha.any(1))
    tall, ground = len(rows), float(rows[-1])
    squash, slant = rng.uniform(0.25, 0.5), rng.choice((-1, 1)) * rng.uniform(0.3, 0.9)
    # From the shadow to the object: the way up from the ground is drawn out, and across goes with it.
    back = np.array([[1, slant / squash, -ground * slant / squash], [0, 1 / squash, ground - ground / squash]])
    lying = cv2.warpAffine(alpha, back, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    blurred = cv2.GaussianBlur(lying, (0, 0), max(1.0, 0.06 * tall))
    dark = rng.uniform(0.35, 0.65) * np.asarray(blurred, np.float32)
    return np.maximum(dark - np.float32(_SHADOW_FLOOR), 0)


def _drawn_around(hidden: Hole) -> Hole:
    """A mask that covers what is hidden and a few pixels more, without pinholes."""
    margin = max(2, round(_MARGIN * min(hidden.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1,) * 2)
    frame = cv2.copyMakeBorder(hidden.view(np.uint8), *(2 * margin,) * 4, cv2.BORDER_CONSTANT, value=0)
    wide = cv2.erode(cv2.dilate(frame, disc, iterations=2), disc)
    inner = slice(2 * margin, -2 * margin)
    return np.ascontiguousarray(wide[inner, inner]).view(np.bool_)
