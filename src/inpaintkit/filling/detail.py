"""Texture for a smooth fill, taken from the photo's own known patches.

A network's fill is right in the large and smooth in the small, the more so where the photo was shrunk for it. Its
missing octaves are restored one by one, from coarse to fine: every patch of the hole looks for a known patch that
agrees with what stands there already, and lends its next octave. Known and lent patches meet in the descriptors, so
that texture runs on across the rim. What the fill holds itself is kept; an octave gets only as much as it lacks against
the known patches that it resembles.

Source: Newson et al. 2014 (from coarse to fine, votes); Hertzmann et al. 2001, Image Analogies (the next octave by
example, coherence); Kwatra et al. 2005 (voting and searching in turn); Freedman and Fattal 2011 (a photo's octaves
resemble its own coarser ones). Differs: what averaging takes from a texture's energy is given back by a local gain, in
the spirit of Heitz and Neyret 2018; `patches` says how likenesses are found.

Bounds: the crop is read window by window. A window is worked on beside known pieces of the crop, wherever in it the
next coarser octave found the like of this window: so texture comes from anywhere, also into the middle of a hole of
thousands of pixels. Window and pieces together have at most `window_px` squared pixels; time is proportional to the
missing pixels, as the number of searches, sweeps and sampled patches is fixed. Measured on a crop of 11 megapixels with
1.7 million missing: 5 s of one core for a million, 120 MB beside the crop with windows of 640, 36 MB with 192 (some 20
MB of which grow with the hole's box). Nothing is random but what the seed says.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .blend import hole_box
from .patches import (
    PATCH,
    STRIDE,
    BoolArray,
    Field,
    FloatArray,
    Grid,
    IntArray,
    Known,
    Search,
    count_of_terms,
    described,
    first_field,
    patch_grid,
    vote,
    whole_patches,
)
from .scaling import STRIP_PIXELS, from_unit, to_unit

Window = tuple[slice, slice]

OCTAVES = 2
"""Octaves restored beside those that enlarging lacks: what a network of 256 pixels leaves out at its own size."""

STRENGTHS = (1.15, 0.8)
"""Energy that an octave is given, over its patches': the finest of the fill and all beyond it, and the coarser ones.

The former get more because averaging takes most from the highest frequencies; the latter get less because what is
misplaced shows there, and costs most of the error.
"""

LEANING = 0.5
"""How far a fill is drawn, at half its resolution, towards what its likenesses show there, colours included.

A network that is in doubt paints the mean of what may be there, which is like nothing in the photo (measured on 85
photos at 256 px: 0.1 points of hole L1 and 0.010 of feature distance less; at 0.75 the error grows).
"""

LEANING_PASSES = 3
"""Searches and votes for that."""

NEARLY_ENOUGH = 0.5
"""A fill with this share of its patches' energy begins to count as complete, and gets less than it lacks."""

WINDOW_PX = 640
"""So many pixels squared are worked on at once."""

EDGE_PX = 24
"""Surroundings that a window has at least beyond its own pixels, where the crop has them."""

MARGIN_PX = 96
"""Surroundings that it has where there is room."""

WINDOW_SHARE = 0.775
"""Side of a tile's window over `window_px`; the rest is for known pieces of the crop from elsewhere."""

PIECE_SHARE = 0.2
"""Side of such a piece over `window_px`."""

RIM_PX = 4
"""Pixels by which a piece exceeds its cells, so that every patch in them is whole."""

LEAST_IN_PIECE = 16
"""A piece is not worth its room for fewer patches than this."""

ENOUGH_PATCHES = 64
"""An octave with fewer known patches than this is left as it is: there is nothing to choose from."""

SWEEPS = (3, 2)
"""Sweeps of propagation and random search at each search: at the fill's own resolution, and beyond it."""

LUMA_ORDER = 5
"""Cosine terms of a patch's luma are compared up to this sum of their two orders (of 12), 21 in all."""

SMOOTH_LUMA_ORDER = 3
"""The same where the finest octave is not there yet."""

COLOUR_WEIGHT = 0.5
"""Weight of a patch's mean colour: a flat wall's likeness is a flat wall of another colour.

At full weight an odd colour that a smooth fill has made up finds its likeness on edges, and scratches appear.
"""

ENERGY_SIGMA = 4.0
"""Gaussian radius in pixels over which the energy of an octave is measured."""

MOST_GAIN = 2.5
"""Lent texture is amplified by no more than this, however much its patches disagreed."""

SHARPNESS_OF_VOTE = (1.0, 3.0)
"""Exponent with which a patch's distance weighs against it, in the first vote of an octave and in the last."""

CAST_SIGMA, CAST_FADES = 3.0, 0.03
"""Gaussian radius in pixels over which a fill's error at the rim is measured, and the share of the rim near a pixel
from which on it is corrected there."""

UNKNOWN_DISTANCE = 100.0
"""What a patch without a likeness counts as far in the first vote, where the others count as 1."""

STEPS = 65535
"""Fills of intermediate octaves are kept as whole numbers up to this."""


def transfer_detail(
    image: NDArray[Any],
    mask: BoolArray,
    guide_fill: NDArray[Any] | None = None,
    *,
    octaves: int = OCTAVES,
    strength: float = 1.0,
    rng: np.random.Generator | int = 0,
    window_px: int = WINDOW_PX,
) -> NDArray[Any]:
    """The image with the photo's own texture in its smooth fill, in the type it came in.

    `image` is (H, W, 3), float in [0,1], uint8 or uint16; its missing pixels (mask True) hold the fill, unless
    `guide_fill` of the same shape and type does. `octaves` of detail are restored, `strength` of what they lack.
    Colours and everything coarser stay near the fill's. Known pixels come back bit for bit; without a known patch the
    fill comes back as it was.
    """
    filled = np.array(image if guide_fill is None else np.where(mask[..., None], guide_fill, image))
    if not mask.any() or octaves < 1 or strength <= 0 or np.count_nonzero(whole_patches(mask)) < ENOUGH_PATCHES:
        return filled
    seed = int(np.random.default_rng(rng).integers(2**63))
    crop = _Crop(filled, mask, mask, to_unit(filled), octaves, window_px)
    for window, pixels, own in _Cascade(crop, seed, strength).windows():
        filled[window][own] = from_unit(pixels[own], image.dtype)
    return filled


def enlarge_with_detail(
    image: NDArray[Any],
    missing: BoolArray,
    lost: BoolArray,
    small: FloatArray,
    *,
    seed: int = 0,
    window_px: int = WINDOW_PX,
    strength: float = 1.0,
) -> Iterator[tuple[Window, FloatArray, BoolArray]]:
    """A fill at working size enlarged to its crop with the photo's own texture, window by window.

    `image` is the crop (H, W, 3 or 1) in the photo's own type, a view; `missing` is what is to be filled, `lost` all
    that may not lend, `missing` included; `small` (h, w, 3) is the completed crop at working size, in [0,1].

    Yields two slices of the crop, the completed pixels there (h, w, 3) in [0,1], known ones as they are, and which of
    them this window is responsible for: `missing`, every pixel once. These are to be written into `image` before the
    next window is asked for, which sees them. Lost pixels that are not missing are looked at, but lend nothing.
    """
    if missing.any():
        yield from _Cascade(_Crop(image, missing, lost, small, OCTAVES, window_px), seed, strength).windows()


# --- The crop at every size ------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Level:
    """What is known of the hole's box at one halving: its fill, its patches' likenesses, and what is still waiting.

    Pixels and patches of the level from `top`, `left` (even) on; `fill` counts to STEPS, `rows` and `columns` are the
    centres of known patches in pixels of the level, -1 for none.
    """

    top: int
    left: int
    waiting: BoolArray
    fill: NDArray[np.uint16]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]

    def cells(self, rows: IntArray, columns: IntArray) -> tuple[IntArray, IntArray]:
        """Where patches at these pixels of the level stand in `rows` and `columns`."""
        return (rows - self.top) // STRIDE, (columns - self.left) // STRIDE

    def part(self, window: Window) -> tuple[Window, Window]:
        """Where the box and a window of the level overlap: as slices of the box, and of the window."""
        inside, outside = [], []
        for span, start, size in zip(window, (self.top, self.left), self.waiting.shape, strict=True):
            first, last = max(span.start, start), max(min(span.stop, start + size), span.start, start)
            inside.append(slice(first - start, last - start))
            outside.append(slice(first - span.start, last - span.start))
        return (inside[0], inside[1]), (outside[0], outside[1])


class _Crop:
    """The crop and its fill at full size (level 0) and at every halving, read window by window.

    `base` is the finest level of which the fill at working size says anything, `top` the first that it says all of;
    `start` is where likenesses are looked for first, so small that all of it fits into one window. A pixel of a level
    that touches a missing one is missing. Beyond the border the crop is repeated, which lends nothing.
    """

    def __init__(
        self,
        image: NDArray[Any],
        missing: BoolArray,
        lost: BoolArray,
        small: FloatArray,
        octaves: int,
        window_px: int,
    ) -> None:
        self.image, self.missing, self.lost, self.window_px = image, missing, lost, max(window_px, 4 * EDGE_PX)
        height, width = missing.shape
        shrink = max(height / small.shape[0], width / small.shape[1], 1.0)
        self.base = max(math.floor(math.log2(shrink) + 1e-9), 0)
        self.top = round(math.log2(shrink)) + octaves
        self.start = self.top - 1
        while True:
            step = 2 ** (self.start + 1)
            self.shape = -(-height // step) * step, -(-width // step) * step
            if math.prod(self.size(self.start)) <= self.window_px**2:
                break
            self.start += 1
        self.guides = self._guides(small)
        self.levels: dict[int, _Level] = {}

    def lean(self, share: float, rng: np.random.Generator) -> None:
        """Draw the fill at working size `share` of the way towards what its likenesses show."""
        number = self.base + 1 if math.prod(self.size(self.base + 1)) <= self.window_px**2 else self.start
        height, width = self.size(number)
        whole = slice(0, height), slice(0, width)
        known = Known.of(whole_patches(self.is_lost(number, whole)))
        if known.places.size < ENOUGH_PATCHES:
            return
        guide, hole = self.guides[number - self.base], self.is_missing(number, whole)
        change = _leaned(guide, hole, known, share, rng) - guide
        for level in range(number, self.base - 1, -1):
            finer = self.guides[level - self.base]
            if level < number:
                change = np.asarray(cv2.resize(change, finer.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.float32)
            hole = self.is_missing(level, (slice(0, finer.shape[0]), slice(0, finer.shape[1])))
            finer[hole] = np.clip(finer[hole] + change[hole], 0, 1)
        for index in range(number - self.base + 1, len(self.guides)):
            self.guides[index] = _half(self.guides[index - 1])

    def size(self, level: int) -> tuple[int, int]:
        """Height and width of a level."""
        return self.shape[0] >> level, self.shape[1] >> level

    def open_level(self, number: int) -> _Level:
        """The state of a level that nothing has been done at; only the one before it is kept beside it."""
        self.levels = {each: level for each, level in self.levels.items() if each == number + 1}
        rows, columns = hole_box(self.missing)
        spans = []
        for span, size, padded in zip((rows, columns), self.missing.shape, self.shape, strict=True):
            last = padded if span.stop == size else span.stop
            spans.append((((span.start >> number) - PATCH) // 2 * 2, (-(-last >> number) + 2 * PATCH) // 2 * 2))
        (top, bottom), (left, right) = spans
        shape = (bottom - top, right - left)
        none = np.full((shape[0] // 2, shape[1] // 2), -1, np.int32)
        fill = np.zeros((*shape, 3) if number else (0, 0, 3), np.uint16)
        level = _Level(top, left, np.zeros(shape, bool), fill, none, none.copy())
        height, width = self.size(number)
        whole = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
        level.waiting[level.part(whole)[0]] = self.is_missing(number, whole)
        self.levels[number] = level
        return level

    def is_missing(self, level: int, window: Window) -> BoolArray:
        """Which pixels of a window touch a missing one."""
        return _any_in_blocks(self.missing, level, window, beyond=False)

    def is_lost(self, level: int, window: Window) -> BoolArray:
        """Which pixels of a window touch a lost one, or lie beyond the crop."""
        return _any_in_blocks(self.lost, level, window, beyond=True)

    def known(self, level: int, window: Window) -> FloatArray:
        """The photo itself in a window, averaged; what is missing there is not worth reading."""
        rows, columns = window
        result = np.empty((rows.stop - rows.start, columns.stop - columns.start, 3), np.float32)
        strip = max(1, STRIP_PIXELS // ((columns.stop - columns.start) << (2 * level)))
        for first in range(rows.start, rows.stop, strip):
            last = min(first + strip, rows.stop)
            pixels = to_unit(_padded(self.image, level, (slice(first, last), columns)))
            size = columns.stop - columns.start, last - first
            result[first - rows.start : last - rows.start] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        return result

    def picture(self, level: int, window: Window) -> FloatArray:
        """Photo and fill in a window of a level whose fill is finished."""
        if level >= self.top:
            return self.guides[level - self.base][window]
        picture, box = self.known(level, window), self.levels[level]
        inside, outside = box.part(window)
        fill = box.fill[inside].astype(np.float32) * np.float32(1 / STEPS)
        hole = self.is_missing(level, window)[outside]
        picture[outside] = np.where(hole[..., None], fill, picture[outside])
        return picture

    def unfinished(self, level: int, window: Window, plain: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Photo and fill of a level that is worked on, `plain` where the fill is waiting; and where it is."""
        picture, box = self.known(level, window), self.levels[level]
        inside, outside = box.part(window)
        waiting = np.zeros(picture.shape[:2], bool)
        waiting[outside] = box.waiting[inside]
        if level:  # else what is filled stands in the photo
            done = self.is_missing(level, window) & ~waiting
            fill = np.zeros_like(picture)
            fill[outside] = box.fill[inside] * np.float32(1 / STEPS)
            picture[done] = fill[done]
        picture[waiting] = plain[waiting]
        return picture, waiting

    def smooth(self, level: int, window: Window) -> FloatArray:
        """The next coarser level's picture, enlarged: what a window holds but for its own octave."""
        return _enlarged(self.size(level + 1), window, lambda coarse: self.picture(level + 1, coarse))

    def own_octave(self, level: int, window: Window) -> FloatArray | None:
        """What the fill at working size says of a level's octave; None where it cannot say anything."""
        if level < self.base:
            return None
        fine, coarse = self.guides[level - self.base], self.guides[level + 1 - self.base]
        return np.asarray(fine[window] - _enlarged(self.size(level + 1), window, lambda part: coarse[part]))

    def _guides(self, small: FloatArray) -> list[FloatArray]:
        """Photo and fill at the levels from `base` to one beyond `start`, whole."""
        height, width = self.size(self.base)
        pixel = 2.0**self.base
        down = (np.arange(height) + 0.5) * (pixel * small.shape[0] / self.missing.shape[0]) - 0.5
        along = (np.arange(width) + 0.5) * (pixel * small.shape[1] / self.missing.shape[1]) - 0.5
        whole = slice(0, height), slice(0, width)
        columns, rows = np.meshgrid(along.astype(np.float32), down.astype(np.float32))
        fill = cv2.remap(small, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        hole = self.is_missing(self.base, whole)[..., None]
        guides = [np.where(hole, fill, self.known(self.base, whole)).astype(np.float32)]
        for _ in range(self.base, self.start + 1):
            guides.append(_half(guides[-1]))
        return guides


def _half(picture: FloatArray) -> FloatArray:
    """A picture of even sides at half its size."""
    size = picture.shape[1] // 2, picture.shape[0] // 2
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _span(window: Window, level: int, shape: tuple[int, ...]) -> tuple[Window, list[tuple[int, int]]]:
    """A window of a level as slices of the photo, cut at its border, and how many pixels are to be repeated there."""
    slices, pads = [], []
    for span, size in zip(window, shape, strict=False):
        first, last = span.start << level, span.stop << level
        inside = slice(min(first, size - 1), min(last, size))
        slices.append(inside)
        pads.append((0, last - first - (inside.stop - inside.start)))
    return (slices[0], slices[1]), pads


def _padded(image: NDArray[Any], level: int, window: Window) -> NDArray[Any]:
    """The photo's pixels that a window of a level covers, the border repeated beyond it."""
    inside, pads = _span(window, level, image.shape)
    part = image[inside]
    return np.pad(part, (*pads, (0, 0)), mode="edge") if any(map(any, pads)) else part


def _any_in_blocks(mask: BoolArray, level: int, window: Window, *, beyond: bool) -> BoolArray:
    """Which pixels of a window of a level cover a marked one; `beyond` marks all that lies outside the mask."""
    inside, pads = _span(window, level, mask.shape)
    part = mask[inside]
    if any(map(any, pads)):
        part = np.pad(part, pads, mode="edge")
        if beyond:
            rows, columns = (
                max(size - (span.start << level), 0) for span, size in zip(window, mask.shape, strict=True)
            )
            part[rows:] = True
            part[:, columns:] = True
    for _ in range(level):
        part = part[::2] | part[1::2]
        part = part[:, ::2] | part[:, 1::2]
    return part


def _enlarged(size: tuple[int, int], window: Window, read: Callable[[Window], FloatArray]) -> FloatArray:
    """A window of a whole picture of `size` enlarged to twice its sides, cubic; `read` gives a part of it."""
    rows, columns = (
        slice(max(span.start // 2 - 2, 0), min(-(-span.stop // 2) + 2, side))
        for span, side in zip(window, size, strict=True)
    )
    part = read((rows, columns))
    large = cv2.resize(part, (2 * part.shape[1], 2 * part.shape[0]), interpolation=cv2.INTER_CUBIC)
    down = slice(window[0].start - 2 * rows.start, window[0].stop - 2 * rows.start)
    along = slice(window[1].start - 2 * columns.start, window[1].stop - 2 * columns.start)
    return np.asarray(large[down, along], np.float32)


# --- A window and the known pieces beside it -------------------------------------------------------------------------


class _Canvas:
    """A window of a level, top left, and below it pieces from elsewhere in the crop, side by side.

    `places` are canvas pixels as flat indices.
    """

    def __init__(self, window: Window, pieces: list[Window], cell: int, size: tuple[int, int]) -> None:
        height, width = (span.stop - span.start for span in window)
        slot = 2 * cell + 2 * RIM_PX
        per_row = max(width // slot, 1)
        self.window, self.cell = window, cell
        self.width = max(width, slot) if pieces else width
        self.shape = height + -(-len(pieces) // per_row) * slot, self.width
        self.parts = [(window, (slice(0, height), slice(0, width)))]
        self.slot_of_cell = np.full((-(-size[0] // cell), -(-size[1] // cell)), -1, np.int64)
        self.shift = np.zeros((len(pieces) + 1, 2), np.int64)  # canvas pixel = pixel of the level + shift
        self.shift[0] = -window[0].start, -window[1].start
        self.slots = (height, slot, per_row)
        for number, piece in enumerate(pieces, 1):
            top, left = height + (number - 1) // per_row * slot, (number - 1) % per_row * slot
            rows, columns = (span.stop - span.start for span in piece)
            self.parts.append((piece, (slice(top, top + rows), slice(left, left + columns))))
            self.shift[number] = top - piece[0].start, left - piece[1].start
            inner = [slice(-(-span.start // cell), -(-span.start // cell) + 2) for span in piece]
            cells = self.slot_of_cell[inner[0], inner[1]]
            cells[cells < 0] = number

    def places(self, rows: IntArray, columns: IntArray) -> IntArray:
        """Where pixels of the level are shown on the canvas, -1 for nowhere."""
        down, along = self.window
        within = (rows >= down.start) & (rows < down.stop) & (columns >= along.start) & (columns < along.stop)
        cells = np.clip(rows // self.cell, 0, self.slot_of_cell.shape[0] - 1)
        part = self.slot_of_cell[cells, np.clip(columns // self.cell, 0, self.slot_of_cell.shape[1] - 1)]
        part = np.where(within, 0, part)
        places = (rows + self.shift[part, 0]) * self.width + columns + self.shift[part, 1]
        return np.where((part < 0) | (rows < 0) | (columns < 0), -1, places)

    def pixels(self, places: IntArray) -> tuple[IntArray, IntArray]:
        """The row and column of the level that a place shows."""
        rows, columns = places // self.width, places % self.width
        height, slot, per_row = self.slots
        part = np.where(rows < height, 0, (rows - height) // slot * per_row + columns // slot + 1)
        return rows - self.shift[part, 0], columns - self.shift[part, 1]


# --- Restoring octaves -----------------------------------------------------------------------------------------------


class _Cascade:
    """Restores the octaves of a crop's fill, from coarse to fine and window by window."""

    def __init__(self, crop: _Crop, seed: int, strength: float) -> None:
        self.crop, self.seed, self.strength = crop, seed, strength
        crop.lean(LEANING * min(strength, 1.0), np.random.default_rng(seed))

    def windows(self) -> Iterator[tuple[Window, FloatArray, BoolArray]]:
        """The finest level's windows, as `enlarge_with_detail` yields them."""
        for number in range(self.crop.start, -1, -1):
            level = self.crop.open_level(number)
            for index, (window, own) in enumerate(self._tiles(number, level)):
                pixels = self._restored(number, window, own, np.random.default_rng([self.seed, number, index]))
                inside, outside = level.part(window)
                if number:
                    fill = np.rint(np.clip(pixels[outside], 0, 1) * STEPS).astype(np.uint16)
                    np.copyto(level.fill[inside], fill, where=own[outside][..., None])
                else:
                    real, rows, columns = _within(window, self.crop.missing.shape)
                    if own[rows, columns].any():
                        yield real, np.clip(pixels[rows, columns], 0, 1), own[rows, columns]
                level.waiting[inside] &= ~own[outside]

    def _tiles(self, number: int, level: _Level) -> Iterator[tuple[Window, BoolArray]]:
        """Windows of a level that together cover its hole, and the pixels that each is responsible for."""
        size, window_px = self.crop.size(number), self.crop.window_px
        whole = size[0] * size[1] <= window_px**2
        core = max(size) if whole else int(WINDOW_SHARE * window_px) - 2 * EDGE_PX
        least = size if number == self.crop.start else (0, 0)
        box = hole_box(level.waiting)
        for top, bottom in _evenly(box[0], core):
            for left, right in _evenly(box[1], core):
                tile = np.ascontiguousarray(level.waiting[top:bottom, left:right])
                if not tile.any():
                    continue
                tight = hole_box(tile)
                first = level.top + top + tight[0].start, level.left + left + tight[1].start
                extent = tile[tight].shape
                limit = [side if whole else core + 2 * EDGE_PX for side in size]
                window = tuple(map(_around, first, extent, size, limit, least))
                own = np.zeros([span.stop - span.start for span in window], bool)
                down, along = first[0] - window[0].start, first[1] - window[1].start
                own[down : down + extent[0], along : along + extent[1]] = tile[tight]
                yield (window[0], window[1]), own

    def _restored(self, number: int, window: Window, own: BoolArray, rng: np.random.Generator) -> FloatArray:
        """A window with its octave restored; the likenesses found are noted in the level."""
        crop, level = self.crop, self.crop.levels[number]
        low = crop.smooth(number, window)
        octave = crop.own_octave(number, window)
        picture, waiting = crop.unfinished(number, window, low if octave is None else low + octave)
        if number < crop.top:
            missing = crop.is_missing(number, window)
            cast = _cast(picture - low, missing, _parents(crop.is_missing(number + 1, _halved(window))))
            low = np.where(waiting[..., None], low + cast, low)
            picture = np.where(waiting[..., None], picture + cast, picture)
        near = cv2.dilate(own.view(np.uint8), np.ones((2 * PATCH + 1, 2 * PATCH + 1), np.uint8)) > 0
        grid = patch_grid(waiting & near)
        guesses = self._guesses(number, grid, window)
        canvas = self._canvas(number, window, guesses, own, rng)
        work = _Work(crop, number, canvas, grid, waiting & near)
        if work.known.places.size < ENOUGH_PATCHES:
            return picture
        work.lay_out(picture, low, octave)
        strange = work.begin(canvas.places(*guesses), rng)
        share = self.strength * STRENGTHS[number > crop.base]
        if number >= crop.base:
            everyone = np.arange(grid.rows.size)
            work.search(work.low, SMOOTH_LUMA_ORDER, rng, SWEEPS[0], everyone)
            picture = work.voted(share, SHARPNESS_OF_VOTE[0])
            work.search(picture, LUMA_ORDER, rng, SWEEPS[0])
        else:
            picture = work.voted(share, SHARPNESS_OF_VOTE[0])
            work.search(picture, LUMA_ORDER, rng, SWEEPS[1], strange)
        at = level.cells(grid.rows + window[0].start, grid.columns + window[1].start)
        level.rows[at], level.columns[at] = canvas.pixels(work.field.place)
        return work.voted(share, SHARPNESS_OF_VOTE[1])

    def _guesses(self, number: int, grid: Grid, window: Window) -> tuple[IntArray, IntArray]:
        """Where in the level each patch's likeness may be, -1 for no idea.

        What a window beside this one found has precedence over what the coarser level did.
        """
        level, coarser = self.crop.levels[number], self.crop.levels.get(number + 1)
        down, along = grid.rows + window[0].start, grid.columns + window[1].start
        at = level.cells(down, along)
        rows, columns = level.rows[at].astype(np.int64), level.columns[at].astype(np.int64)
        if coarser is not None:
            parent = down // 4 * 2, along // 4 * 2
            at = coarser.cells(*parent)
            height, width = self.crop.size(number)
            asked = (rows < 0) & (coarser.rows[at] >= 0)
            rows = np.where(asked, np.clip(2 * (coarser.rows[at] - parent[0]) + down, 0, height - 1), rows)
            columns = np.where(asked, np.clip(2 * (coarser.columns[at] - parent[1]) + along, 0, width - 1), columns)
        return rows, columns

    def _canvas(
        self, number: int, window: Window, guesses: tuple[IntArray, IntArray], own: BoolArray, rng: np.random.Generator
    ) -> "_Canvas":
        """The window beside the pieces of the level where most likenesses may be."""
        size, window_px = self.crop.size(number), self.crop.window_px
        cell = int(PIECE_SHARE * window_px) // 4 * 2
        room = max(window_px**2 - own.size, 0) // (2 * cell + 2 * RIM_PX) ** 2
        count = min(room, int(own.sum()) // (2 * cell) ** 2 + 2)
        rows, columns = (guess[guesses[0] >= 0] for guess in guesses)
        if rows.size == 0:
            rows, columns = self._anywhere(number, rng)
        outside = ~(_inside(rows, window[0]) & _inside(columns, window[1]))
        pieces = _popular(rows[outside], columns[outside], cell, size, count)
        return _Canvas(window, pieces, cell, size)

    def _anywhere(self, number: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Known pixels of a level, at random."""
        height, width = self.crop.missing.shape
        rows, columns = rng.integers(0, height, 4096), rng.integers(0, width, 4096)
        known = ~self.crop.lost[rows, columns]
        return rows[known] >> number, columns[known] >> number


class _Work:
    """One window's hole on its canvas: its patches, their likenesses, and the octave that these would lend."""

    def __init__(self, crop: _Crop, number: int, canvas: _Canvas, grid: Grid, hole: BoolArray) -> None:
        self.crop, self.number, self.canvas, self.grid, self.hole = crop, number, canvas, grid, hole
        usable = np.zeros(canvas.shape, bool)
        for window, place in canvas.parts:
            usable[place] = whole_patches(crop.is_lost(number, window))
        self.known = Known.of(usable)
        self.field = Field(np.empty(0, np.int64), np.empty(0, np.float32))

    def lay_out(self, picture: FloatArray, low: FloatArray, octave: FloatArray | None) -> None:
        """Read the pieces beside the window, and lay out the band of every known pixel, its energy beside it."""
        self.low, self.octave = low, np.zeros_like(low) if octave is None else octave
        self.bands = np.zeros((*self.canvas.shape, 4), np.float32)
        self.pieces: list[FloatArray] = []
        self.low_pieces: list[FloatArray] = []
        for window, place in self.canvas.parts:
            first = not self.pieces and not self.low_pieces and place[0].start == place[1].start == 0
            low_piece = low if first else self.crop.smooth(self.number, window)
            piece = picture if first else self.crop.known(self.number, window)
            band = piece - low_piece
            self.bands[(*place, slice(0, 3))] = band
            self.bands[(*place, 3)] = np.square(band).sum(axis=2)
            if not first:
                self.pieces.append(piece)
                self.low_pieces.append(low_piece)
        self.plain = picture

    def begin(self, places: IntArray, rng: np.random.Generator) -> IntArray:
        """Take the guesses, canvas places, for likenesses where these are known patches; returns the other patches."""
        good = (places >= 0) & self.known.usable[places]
        strange = np.flatnonzero(~good)
        places = places.copy()
        places[strange] = rng.choice(self.known.places, strange.size)
        self.field = Field(places, np.where(good, 1, UNKNOWN_DISTANCE).astype(np.float32))
        return strange

    def search(
        self, picture: FloatArray, order: int, rng: np.random.Generator, sweeps: int, anew: IntArray | None = None
    ) -> None:
        """Look for better likenesses in the window as `picture` has it; for the patches `anew` in a sample of all."""
        smooth = picture is self.low
        table = np.zeros((*self.canvas.shape, count_of_terms(order)), np.float32)
        shown = [picture, *(self.low_pieces if smooth else self.pieces)]
        for (_, place), part in zip(self.canvas.parts, shown, strict=True):
            described(part, order, COLOUR_WEIGHT, table[place])
        wanted = table[self.grid.rows, self.grid.columns]
        search = Search(wanted, table.reshape(-1, table.shape[2]), self.grid, self.field, self.known)
        if anew is not None and anew.size:
            search.sample(rng, anew)
        side = max(self.canvas.shape)
        for _ in range(sweeps):
            search.sweep(rng, search_radii(side))

    def voted(self, strength: float, exponent: float) -> FloatArray:
        """The window with the octave that its likenesses vote for."""
        lent = vote(self.bands, self.grid, self.field, self.hole.shape, exponent)
        restored = self.low + _balanced(self.octave, lent, self.hole, strength)
        return np.where(self.hole[..., None], restored, self.plain)


def _leaned(picture: FloatArray, hole: BoolArray, known: Known, share: float, rng: np.random.Generator) -> FloatArray:
    """A picture whose hole lies `share` of the way between itself and what its likenesses show."""
    grid = patch_grid(hole)
    field = first_field(grid, known)
    leaned = picture
    for turn in range(LEANING_PASSES):
        table = described(leaned, LUMA_ORDER if turn else SMOOTH_LUMA_ORDER)
        wanted = table[grid.rows, grid.columns]
        search = Search(wanted, table.reshape(-1, table.shape[2]), grid, field, known)
        if turn == 0:
            search.sample(rng)
        for _ in range(SWEEPS[0]):
            search.sweep(rng, search_radii(max(hole.shape)))
        shown = vote(picture, grid, field, hole.shape, SHARPNESS_OF_VOTE[1])
        leaned = np.where(hole[..., None], picture + np.float32(share) * (shown - picture), picture)
    return leaned


def search_radii(side: int) -> list[int]:
    """Radii of the random search in pixels, from the picture's down to two."""
    return [radius for radius in (side // 2, side // 8, side // 32, 2) if radius > 0]


def _balanced(own: FloatArray, voted: FloatArray, missing: BoolArray, strength: float) -> FloatArray:
    """The fill's own octave plus as much of the voted one that their sum has the energy of the patches it came from.

    `voted` is (H, W, 4): the band, and the energy its patches had before they were averaged. The gain g solves
    |own + g lent|^2 = strength * energy locally; where the fill has enough already, nothing is added.
    """
    lent = voted[..., :3]
    there, common, averaged, wanted = (
        _local_mean(values, missing)
        for values in (
            np.square(own).sum(axis=2),
            (own * lent).sum(axis=2),
            np.square(lent).sum(axis=2),
            voted[..., 3],
        )
    )
    lacking = np.maximum(strength * wanted - there, 0)
    lacking *= np.clip((1 - there / np.maximum(wanted, 1e-9)) / NEARLY_ENOUGH, 0, 1)
    gain = (np.sqrt(np.square(common) + averaged * lacking) - common) / np.maximum(averaged, 1e-9)
    gain = np.where(lacking > 0, np.clip(gain, 0, MOST_GAIN), 0).astype(np.float32)
    return np.asarray(own + gain[..., None] * lent, np.float32)


def _cast(step: FloatArray, missing: BoolArray, vague: BoolArray) -> FloatArray:
    """How far the fill is off near the rim, as its first known pixels show: those that were missing an octave before.

    `step` is the photo less the enlarged fill, `vague` where the coarser level was missing.
    """
    ring = (vague & ~missing).astype(np.float32)
    total = cv2.GaussianBlur(np.dstack([step * ring[..., None], ring]), (0, 0), CAST_SIGMA)
    return np.asarray(total[..., :3] / (total[..., 3:] + np.float32(CAST_FADES)), np.float32)


def _local_mean(values: FloatArray, missing: BoolArray) -> FloatArray:
    """Gaussian mean of `values` over the missing pixels around each pixel."""
    weight = missing.astype(np.float32)
    total = cv2.GaussianBlur(values * weight, (0, 0), ENERGY_SIGMA)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), ENERGY_SIGMA), 1e-6), np.float32)


def _halved(window: Window) -> Window:
    """The pixels of the next coarser level that cover a window."""
    rows, columns = (slice(span.start // 2, -(-span.stop // 2)) for span in window)
    return rows, columns


def _parents(coarse: BoolArray) -> BoolArray:
    """A coarser level's pixels, each at its four finer ones."""
    return np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)


# --- Where windows and pieces lie ------------------------------------------------------------------------------------


def _evenly(span: slice, most: int) -> list[tuple[int, int]]:
    """A span cut into equal parts of at most so many pixels."""
    length = span.stop - span.start
    parts = -(-length // most)
    return list(itertools.pairwise(span.start + length * part // parts for part in range(parts + 1)))


def _around(first: int, extent: int, size: int, limit: int, least: int) -> slice:
    """A window's extent along one side, even and from an even pixel on: three times the hole's if limits allow."""
    length = min(max(3 * extent, extent + 2 * MARGIN_PX, least), max(limit, extent))
    length = min(length + length % 2, size)
    start = min(max(first + (extent - length) // 2, 0), size - length) // 2 * 2
    return slice(start, start + length)


def _within(window: Window, size: tuple[int, ...]) -> tuple[Window, slice, slice]:
    """A window cut at the borders of a picture, and that as slices of the window."""
    rows, columns = (slice(span.start, min(span.stop, side)) for span, side in zip(window, size, strict=True))
    return (rows, columns), slice(0, rows.stop - rows.start), slice(0, columns.stop - columns.start)


def _inside(places: IntArray, span: slice) -> BoolArray:
    """Which places lie in a span, its outermost pixels left out: a patch there would reach beyond."""
    return (places >= span.start + RIM_PX) & (places < span.stop - RIM_PX)


def _popular(rows: IntArray, columns: IntArray, cell: int, size: tuple[int, int], count: int) -> list[Window]:
    """At most `count` squares of two by two cells, and a rim, that together hold most of the places."""
    if count < 1 or rows.size == 0:
        return []
    height, width = (-(-side // cell) for side in size)
    votes = np.bincount(rows // cell * width + columns // cell, minlength=height * width).reshape(height, width)
    pieces: list[Window] = []
    while len(pieces) < count:
        wide = np.pad(votes, ((0, 1), (0, 1)))
        four = wide[:-1, :-1] + wide[1:, :-1] + wide[:-1, 1:] + wide[1:, 1:]
        down, along = np.unravel_index(int(four.argmax()), four.shape)
        if four[down, along] < LEAST_IN_PIECE:
            break
        votes[down : down + 2, along : along + 2] = 0
        spans = (
            slice(max(int(first) * cell - RIM_PX, 0), min((int(first) + 2) * cell + RIM_PX, side))
            for first, side in zip((down, along), size, strict=True)
        )
        pieces.append((next(spans), next(spans)))
    return pieces
