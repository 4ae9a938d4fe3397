"""Several answers to one hole, and how well each agrees with what lies around it.

There are many right fills. Which one to show first is decided without a truth: a good fill runs on across the rim as
the photo runs on elsewhere, patches that are half known and half filled have likenesses among the known ones, and the
fill is as sharp and grainy as known patches of the same colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .blend import hole_box
from .grain import CELL, any_in_cells
from .patches import cosine_waves

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

PATCH = CELL
"""Side in pixels of the patches that are compared."""

RING_PX = 64
"""Known patches come from within so many pixels of the hole."""

BESIDE_PX = 16
"""Those that say how known patches agree among themselves come from within so many."""

LARGE_PX = 384
"""A hole of a longer side is looked at twice: as it is, and shrunk to this side."""

KNOWN_PATCHES = 2048
"""Known patches that are searched."""

OTHER_PATCHES = 512
"""Patches across the rim, inside the hole and beside it that are looked at."""

ACROSS = (0.1, 0.9)
"""A patch lies across the rim when the missing share of it lies between these."""

ENOUGH_PATCHES = 8
"""With fewer patches of a kind, what they would tell is left out."""

LUMA_ORDER = 5
"""Patches are compared by the cosine terms of their luma up to this sum of orders, and of colour up to 1."""

FINE_ORDER = 4
"""Terms of luma from this sum of orders on are the patch's sharpness."""

LIKE_NUMBER = 8
"""Known patches of like colour and slope with which a patch's sharpness is compared."""

SAME_DISTANCE, SAME_ENERGY, SAME_STEP = 3e-3, 2e-6, 1 / 255
"""Squared distances of patches, energies of a term and differences of pixels (range 1) that are too small to matter."""

USUAL_SHARPNESS = 0.4
"""The logarithm of the energy inside a true hole differs from the ring's by so much, often."""

WORST_SHARPNESS = 2.5
"""Beyond this a fill is no worse."""


@dataclass(frozen=True, eq=False)
class Variant:
    """One of several fills: the `result` as asked for, its `score` (higher is better), and `how` it was made."""

    result: Any
    score: float
    how: str


def rank(variants: Sequence[Variant]) -> list[Variant]:
    """The variants, best first; equal ones, and those whose score is no number (last), stay in their order."""
    return sorted(variants, key=lambda variant: -variant.score if np.isfinite(variant.score) else np.inf)


def seam_agreement(pixels: NDArray[Any], missing: BoolArray) -> float:
    """How well a finished fill agrees with the ring around its hole: at most 0, higher is better.

    `pixels` (H, W, 3) is the filled photo or a crop of it, uint8, uint16 or float in [0,1]. The score is
    -(kinks * 2 + strangeness / 2 + sharpness at the rim / 2 + sharpness inside / 2), where

    - kinks: mean logarithm of the third differences across the rim, less that of known pixels beside it, if positive;
    - strangeness: mean logarithm of the squared distance from a patch across the rim to its nearest known patch, less
      that of known patches beside the rim, if positive;
    - sharpness: mean logarithm of a patch's fine energy less that of known patches of the same colour and slope, for
      patches across the rim and for those inside, as an absolute value; inside, what is usual is free and the worst is
      bounded.

    On our validation photos the truth scored -0.4 on average, crisp fills -0.7, soft ones -1.6, fills of wrong place or
    colour -5 and -6. Without a hole, or without known patches, it is 0. The same patches, some thousands, are looked at
    for every fill of one mask: their scores can be compared, those of different holes cannot.
    Source: Wexler et al. 2007 (coherence: every patch of a fill has a likeness in the photo). The other two and the
    weights are our own, the weights set on training photos.
    """
    box = hole_box(np.ascontiguousarray(missing))
    side = max(missing[box].shape)
    if side == 0 or missing.all():
        return 0.0
    shrinks = (1.0,) if side <= LARGE_PX else (1.0, side / LARGE_PX)
    scores = []
    for shrink in shrinks:
        window = hole_box(np.ascontiguousarray(missing), round((RING_PX + PATCH) * shrink))
        part, hole = pixels[window], np.ascontiguousarray(missing[window])
        if shrink > 1:
            size = (max(round(hole.shape[1] / shrink), 1), max(round(hole.shape[0] / shrink), 1))
            part = part.astype(np.float32) if part.dtype == np.float16 else part
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
            hole = cv2.resize(hole.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 0
        scores.append(_agreement(part, hole))
    return float(np.mean(scores))


@dataclass(frozen=True, eq=False)
class _Patches:
    """Some patches of a picture: their first rows and columns, values (n, 3, PATCH, PATCH), and what is missing.

    `whole` are the cosine terms by which patches are compared, `plain` those of colour and slope only, and `sharpness`
    is the logarithm of the fine terms' energy.
    """

    rows: IntArray
    columns: IntArray
    values: FloatArray
    missing: BoolArray
    whole: FloatArray
    plain: FloatArray
    sharpness: FloatArray

    @property
    def enough(self) -> bool:
        """Whether there are enough of them to tell something."""
        return self.rows.size >= ENOUGH_PATCHES


def _agreement(pixels: NDArray[Any], missing: BoolArray) -> float:
    """The score at one scale."""
    if min(missing.shape) < PATCH:
        return 0.0
    rng = np.random.default_rng(0)
    some = any_in_cells(missing)
    known = any_in_cells(~missing)
    ring, beside = (_widened(some, px // CELL) & known for px in (RING_PX, BESIDE_PX))
    rim = _widened(some, 1) & _widened(known, 1)
    likenesses = _sample(pixels, missing, ring, KNOWN_PATCHES, (0, 0), rng)
    normal = _sample(pixels, missing, beside, OTHER_PATCHES, (0, 0), rng)
    across = _sample(pixels, missing, rim, OTHER_PATCHES, ACROSS, rng)
    inside = _sample(pixels, missing, some, OTHER_PATCHES, (1, 1), rng)
    if likenesses.rows.size < 2 * LIKE_NUMBER or not normal.enough:
        return 0.0
    usual = _relative_sharpness(normal, likenesses)
    score = 0.0
    if across.enough:
        score -= max(_strangeness(across, likenesses) - _strangeness(normal, likenesses), 0) / 2
        score -= 2 * max(_kinks(across, True) - _kinks(normal, False), 0)
        score -= abs(_relative_sharpness(across, likenesses) - usual) / 2
    if inside.enough:
        difference = abs(_relative_sharpness(inside, likenesses) - usual)
        score -= min(max(difference - USUAL_SHARPNESS, 0), WORST_SHARPNESS) / 2
    return score


def _widened(cells: BoolArray, number: int) -> BoolArray:
    """The cells and those at most `number` away."""
    square = np.ones((2 * number + 1, 2 * number + 1), np.uint8)
    return np.asarray(cv2.dilate(cells.view(np.uint8), square) > 0)


def _sample(
    pixels: NDArray[Any],
    missing: BoolArray,
    cells: BoolArray,
    number: int,
    share: tuple[float, float],
    rng: np.random.Generator,
) -> _Patches:
    """At most `number` patches that begin in one of the cells and whose missing share lies within `share`."""
    down, along = np.nonzero(cells)
    drawn = rng.integers(0, max(down.size, 1), 4 * number if down.size else 0)
    shift = rng.integers(0, CELL, (2, drawn.size)) - PATCH // 2
    rows = np.clip(CELL * down[drawn] + shift[0], 0, missing.shape[0] - PATCH)
    columns = np.clip(CELL * along[drawn] + shift[1], 0, missing.shape[1] - PATCH)
    holes = np.lib.stride_tricks.sliding_window_view(missing, (PATCH, PATCH))[rows, columns]
    part = holes.mean(axis=(1, 2))
    # Of patches across the rim the even ones first: those with a pixel or two of the fill tell little.
    order = np.argsort(np.abs(part - sum(share) / 2), kind="stable")
    chosen = order[(part[order] >= share[0]) & (part[order] <= share[1])][:number]
    rows, columns, holes = rows[chosen], columns[chosen], holes[chosen]
    views = np.lib.stride_tricks.sliding_window_view(pixels, (PATCH, PATCH), axis=(0, 1))
    scale = np.float32(1 / np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else np.float32(1)
    values = views[rows, columns].astype(np.float32) * scale
    terms = _WAVES @ np.einsum("oc,nchw->nohw", _OPPONENT, values) @ _WAVES.T
    luma, colour = terms[:, 0], terms[:, 1:]

    def described(luma_order: int, colour_order: int) -> FloatArray:
        first, second = (colour[:, plane, colour_order >= _ORDER] for plane in range(2))
        return np.concatenate([luma[:, luma_order >= _ORDER], first, second], axis=1)

    energy = np.square(luma[:, _ORDER >= FINE_ORDER]).mean(axis=1)
    sharpness = np.log(energy + np.float32(SAME_ENERGY))
    return _Patches(rows, columns, values, holes, described(LUMA_ORDER, 1), described(1, 0), sharpness)


def _distances(ours: _Patches, theirs: _Patches, terms: str) -> FloatArray:
    """Squared distances (n, m) by `terms`, infinite for patches that share pixels."""
    first, second = getattr(ours, terms), getattr(theirs, terms)
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)
    distances = np.maximum(squares - 2 * first @ second.T, 0)
    near = np.abs(ours.rows[:, None] - theirs.rows) < PATCH
    near &= np.abs(ours.columns[:, None] - theirs.columns) < PATCH
    distances[near] = np.inf
    return np.asarray(distances, np.float32)


def _strangeness(patches: _Patches, likenesses: _Patches) -> float:
    """Mean logarithm of the distance to the nearest likeness."""
    nearest = np.minimum(_distances(patches, likenesses, "whole").min(axis=1), 1e3)
    return float(np.log(nearest + SAME_DISTANCE).mean())


def _relative_sharpness(patches: _Patches, likenesses: _Patches) -> float:
    """Mean logarithm of the patches' fine energy over that of known patches with the same colours and slopes."""
    near = np.argpartition(_distances(patches, likenesses, "plain"), LIKE_NUMBER, axis=1)[:, :LIKE_NUMBER]
    return float((patches.sharpness - likenesses.sharpness[near].mean(axis=1)).mean())


def _kinks(patches: _Patches, across: bool) -> float:
    """Mean logarithm of third differences in rows and columns: two known pixels and two missing, or four known."""
    found = []
    for values, missing in (
        (patches.values, patches.missing),
        (patches.values.swapaxes(2, 3), patches.missing.swapaxes(1, 2)),
    ):
        third = np.abs(np.diff(values, n=3, axis=3)).mean(axis=1)
        one, two, three, four = (missing[:, :, shift : PATCH - 3 + shift] for shift in range(4))
        counts = (one == two) & (three == four) & (one != three) if across else ~(one | two | three | four)
        found.append(third[counts])
    steps = np.concatenate(found)
    return float(np.log(steps + SAME_STEP).mean()) if steps.size else float(np.log(SAME_STEP))


_WAVES = cosine_waves(PATCH)
_ORDER = np.add.outer(np.arange(PATCH), np.arange(PATCH))
_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32) / np.sqrt(np.array([[3], [2], [6]], np.float32))
