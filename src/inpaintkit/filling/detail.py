"""Texture for a smooth fill, taken from the photo's own known patches; and filling by such patches alone.

A network's fill is right in the large and smooth in the small. Its missing octaves are restored one by one, from coarse
to fine: every patch of the hole looks for a known patch that agrees with what stands there already, and lends its next
octave. Known and lent patches meet in the descriptors, so that texture runs on across the rim. What the fill holds
itself is kept; an octave gets only as much as it lacks against the known patches that it resembles.

Source: Barnes et al. 2009, PatchMatch (propagation and random search); Wexler et al. 2007 and Newson et al. 2014 (from
coarse to fine, every pixel voted for by all patches that cover it); Hertzmann et al. 2001, Image Analogies (the next
octave by example, coherence); Kwatra et al. 2005 (voting and searching in turn); Kaspar et al. 2015 (patches that are
lent often cost more).
Differs: patches are compared by the first terms of their cosine transform, stand on every second pixel, propagate in
whole-field sweeps from neighbours near and far (as jump flooding does), and begin from an exhaustive search among a
sample of the known ones. What averaging takes from a texture's energy is given back by a local gain, in the spirit of
Heitz and Neyret 2018.

Bounds: work goes window by window. A window is at most `WINDOW_PX` a side and takes about 120 MB beside the picture in
float32; time is proportional to the missing pixels (measured: some 15 s of one core for a million of them), as the
number of searches, sweeps and sampled patches is fixed. Nothing is random but what the seed says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .blend import from_bytes, hole_box, to_bytes

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

PATCH = 7
"""Side of a patch in pixels: large enough to know an edge from a dot, small enough that most have a likeness."""

RADIUS = PATCH // 2

STRIDE = 2
"""Patches of the hole stand on every second pixel in both directions, so that some twelve of them cover each pixel."""

OCTAVES = 2
"""Octaves restored by default: what a network of 256 pixels leaves out at its own size."""

STRENGTHS = (1.3, 0.8)
"""Energy that an octave is given, over its patches': the finest's, and any coarser one's.

The finest gets more because averaging takes most from the highest frequencies; coarser ones get less because what is
misplaced shows there, and costs most of the error (measured: 0.09 dB at the same sharpness).
"""

NEARLY_ENOUGH = 0.5
"""A fill with this share of its patches' energy begins to count as complete, and gets less than it lacks."""

WINDOW_PX = 640
"""Most pixels a side that are worked on at once."""

MARGIN_PX = 96
"""Known surroundings from which patches come: at least so many pixels beyond the hole, where the photo has them."""

ENOUGH_PATCHES = 64
"""An octave with fewer known patches than this is left as it is: there is nothing to choose from."""

SAMPLE = 4096
"""Known patches that are searched exhaustively; the others are found from these by propagation and random search."""

SWEEPS = 3
"""Sweeps of propagation and random search at each search."""

JUMPS = (4, 1)
"""Grid steps from which a sweep propagates, far before near."""

COHERENCE = 0.8
"""A neighbour's patch, shifted along, is taken although its distance is up to 1 / this larger: pieces stay whole."""

TOLERANCE = 0.03
"""Squared distance of two patches that the eye takes for the same: 0.014 of the range at each of their 147 values."""

CHARGE = 4.0
"""Tolerances by which a known patch counts as farther for every time that its surroundings are lent already.

Without it the one patch that is most like a smooth fill is lent all over, and shows as a lattice.
"""

LUMA_ORDER = 5
"""Cosine terms of a patch's luma are compared up to this sum of their two orders (of 12), 21 in all."""

SMOOTH_LUMA_ORDER = 3
"""The same where the finest octave is not there yet."""

COLOUR_WEIGHT = 0.5
"""Weight of a patch's mean colour where only detail is lent: a flat wall's likeness is a flat wall of another colour.

At full weight an odd colour that a smooth fill has made up finds its likeness on edges, and scratches appear.
"""

CHROMA_ORDER = 1
"""The same of either chroma channel: colour varies slowly."""

ENERGY_SIGMA = 4.0
"""Gaussian radius in pixels over which the energy of an octave is measured."""

MOST_GAIN = 2.5
"""Lent texture is amplified by no more than this, however much its patches disagreed."""

SHARPNESS_OF_VOTE = (1.0, 3.0)
"""Exponent with which a patch's distance weighs against it, in the first vote of an octave and in the last."""

COARSEST_DEPTH_PX = 6
"""Filling by patches begins where no missing pixel is farther than this from a known one."""

COARSEST_SIDE_PX = 24
"""Nor does it begin at a smaller side than this: too few patches would be left."""

FILL_PASSES = (10, 3)
"""Searches and votes at the coarsest scale of a fill by patches, and at each finer one."""


@dataclass(frozen=True, eq=False)
class _Grid:
    """The patches of a hole: centres on every STRIDE-th pixel, and who stands where beside whom.

    `number` (grid height, grid width) is a patch's index, -1 for none. `neighbours` lists, for every direction and
    jump, the patches that have such a neighbour, the neighbour's index and the pixels from it to them.
    """

    rows: IntArray
    columns: IntArray
    number: IntArray
    neighbours: list[tuple[IntArray, IntArray, tuple[int, int]]]


@dataclass(eq=False)
class _Field:
    """For every patch of a grid its known patch: flat index of its centre, and their distance."""

    place: IntArray
    distance: FloatArray


@dataclass(frozen=True, eq=False)
class _Known:
    """Which pixels of a (height, width) picture are the centre of a patch that may be lent, flat."""

    width: int
    usable: BoolArray
    places: IntArray


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

    `image` is (H, W, 3), float32 in [0,1] or uint8; its missing pixels (mask True) hold the fill, unless `guide_fill`
    of the same shape and type does. `octaves` of detail are restored, `strength` of what they lack. Colours and
    everything coarser stay near the fill's. Known pixels come back bit for bit; without a known patch the fill comes
    back as it was.
    """
    filled = image if guide_fill is None else np.where(mask[..., None], guide_fill, image)
    if not mask.any() or mask.all() or octaves < 1 or strength <= 0:
        return np.array(filled)
    rng, mask = np.random.default_rng(rng), np.ascontiguousarray(mask)
    picture = _to_unit(filled)
    for window, hole, lost, keep in _windows(mask, window_px):
        if _known_patches(lost).places.size < ENOUGH_PATCHES:
            continue
        part = _restored(picture[window], hole, lost, octaves, strength, rng)
        picture[window][keep] = part[keep]
    return np.where(mask[..., None], _from_unit(picture, image.dtype), image)


def fill_by_patches(
    image: NDArray[Any],
    mask: BoolArray,
    rng: np.random.Generator | int = 0,
    *,
    window_px: int = WINDOW_PX,
) -> NDArray[Any]:
    """The image (H, W, 3), float32 in [0,1] or uint8, with its missing pixels filled by known patches alone.

    Begins with Telea's fill where the picture is so small that the hole is a few pixels deep, and goes from coarse to
    fine. A picture of more than `window_px` a side is filled at half its size first. Without known patches Telea's
    fill is all there is.
    """
    if not mask.any() or mask.all():
        return np.array(image)
    rng, mask = np.random.default_rng(rng), np.ascontiguousarray(mask)
    picture = _to_unit(image)
    picture[mask] = 0
    filled = _patched(picture, mask, rng, window_px)
    return np.where(mask[..., None], _from_unit(filled, image.dtype), image)


# --- Restoring octaves -----------------------------------------------------------------------------------------------


def _restored(
    picture: FloatArray, hole: BoolArray, lost: BoolArray, octaves: int, strength: float, rng: np.random.Generator
) -> FloatArray:
    """One window with its octaves restored; no patch that touches `lost` is lent."""
    height, width = hole.shape
    pictures, holes, losses = _pyramid(picture, hole, lost, octaves)
    current = pictures[-1]
    grid: _Grid | None = None
    field = _Field(np.empty(0, np.int64), np.empty(0, np.float32))
    for level in reversed(range(octaves)):
        guide, missing = pictures[level], holes[level]
        low = _enlarged(current, missing.shape)
        own = guide - _enlarged(pictures[level + 1], missing.shape)
        known = _known_patches(losses[level])
        current = np.where(missing[..., None], low + own, guide)
        if known.places.size < ENOUGH_PATCHES:
            grid = None
            continue
        finer = _grid(missing)
        field = _first_field(finer, known) if grid is None else _enlarged_field(grid, field, finer, known)
        grid = finer
        band = guide - low
        share = strength * STRENGTHS[min(level, len(STRENGTHS) - 1)]
        seen = low
        for order, exponent in zip((SMOOTH_LUMA_ORDER, LUMA_ORDER), SHARPNESS_OF_VOTE, strict=True):
            _search(_described(seen, order, COLOUR_WEIGHT), grid, field, known, rng, seen is low)
            voted = _vote(_with_energy(band), grid, field, missing.shape, exponent)
            seen = current = np.where(missing[..., None], low + _balanced(own, voted, missing, share), guide)
    return np.clip(current[:height, :width], 0, 1)


def _with_energy(band: FloatArray) -> FloatArray:
    """A band (H, W, 3) and its energy per pixel as a fourth channel."""
    return np.dstack([band, np.square(band).sum(axis=2)])


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


def _local_mean(values: FloatArray, missing: BoolArray) -> FloatArray:
    """Gaussian mean of `values` over the missing pixels around each pixel."""
    weight = missing.astype(np.float32)
    total = cv2.GaussianBlur(values * weight, (0, 0), ENERGY_SIGMA)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), ENERGY_SIGMA), 1e-6), np.float32)


# --- Filling by patches ----------------------------------------------------------------------------------------------


def _patched(picture: FloatArray, mask: BoolArray, rng: np.random.Generator, window_px: int) -> FloatArray:
    """The picture filled by patches; larger than a window, at half its size and then by restoring an octave."""
    if max(mask.shape) > window_px:
        pictures, holes, _ = _pyramid(picture, mask, mask, 1)
        small = _patched(pictures[1], holes[1], rng, window_px)
        guide = _enlarged(small, holes[0].shape)[: mask.shape[0], : mask.shape[1]]
        filled = np.where(mask[..., None], np.clip(guide, 0, 1), picture)
        return np.asarray(transfer_detail(filled, mask, octaves=1, rng=rng, window_px=window_px), np.float32)
    depth = float(cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3).max())
    levels = 0
    while depth / 2**levels > COARSEST_DEPTH_PX and min(mask.shape) / 2 ** (levels + 1) >= COARSEST_SIDE_PX:
        levels += 1
    pictures, holes, losses = _pyramid(picture, mask, mask, levels)
    while levels > 0 and _known_patches(losses[levels]).places.size < ENOUGH_PATCHES:
        levels -= 1
    current = _telea(pictures[levels], holes[levels])
    grid: _Grid | None = None
    field = _Field(np.empty(0, np.int64), np.empty(0, np.float32))
    for level in reversed(range(levels + 1)):
        known = _known_patches(losses[level])
        if known.places.size < ENOUGH_PATCHES:
            return _telea(picture, mask)
        finer = _grid(holes[level])
        if grid is None:
            field = _first_field(finer, known)
        else:
            field = _enlarged_field(grid, field, finer, known)
            current = _revoted(pictures[level], holes[level], finer, field, SHARPNESS_OF_VOTE[0])
        grid = finer
        for left in reversed(range(FILL_PASSES[0] if level == levels else FILL_PASSES[1])):
            _search(_described(current, LUMA_ORDER), grid, field, known, rng, level == levels)
            current = _revoted(pictures[level], holes[level], grid, field, SHARPNESS_OF_VOTE[left == 0])
    filled = np.where(mask[..., None], current[: mask.shape[0], : mask.shape[1]], picture)
    return np.asarray(transfer_detail(np.clip(filled, 0, 1), mask, octaves=1, rng=rng, window_px=window_px), np.float32)


def _revoted(picture: FloatArray, hole: BoolArray, grid: _Grid, field: _Field, exponent: float) -> FloatArray:
    """The picture with its hole as its patches' known patches vote."""
    return np.where(hole[..., None], _vote(picture, grid, field, hole.shape, exponent), picture)


def _telea(picture: FloatArray, mask: BoolArray) -> FloatArray:
    """Fast marching, in 8 bit. OpenCV reads beyond a picture of one row or column: such a one is doubled."""
    height, width = mask.shape
    pad = ((0, int(height == 1)), (0, int(width == 1)))
    pixels = np.pad(to_bytes(picture), (*pad, (0, 0)), mode="edge")
    filled = cv2.inpaint(pixels, np.pad(mask.astype(np.uint8), pad, mode="edge"), PATCH, cv2.INPAINT_TELEA)
    return np.where(mask[..., None], from_bytes(filled[:height, :width]), picture)


# --- Looking for patches ---------------------------------------------------------------------------------------------


def _described(picture: FloatArray, luma_order: int, colour_weight: float = 1.0) -> FloatArray:
    """The patch around every pixel as the first terms of its cosine transform, (H * W, terms).

    The transform is orthonormal, also over the colours: distances are those of the patches' lower frequencies, the mean
    colour's share times the square of `colour_weight`.
    """
    red, green, blue = (picture[..., channel] for channel in range(3))
    planes = (
        ((red + green + blue) / np.float32(3**0.5), luma_order),
        ((red - blue) / np.float32(2**0.5), CHROMA_ORDER),
        ((red - 2 * green + blue) / np.float32(6**0.5), CHROMA_ORDER),
    )
    waves = _waves()
    terms: list[FloatArray] = []
    for plane, order in planes:
        mean = len(terms)
        for down in range(order + 1):
            for along in range(order + 1 - down):
                term = cv2.sepFilter2D(plane, -1, waves[along], waves[down], borderType=cv2.BORDER_REFLECT_101)
                terms.append(np.asarray(term, np.float32))
        terms[mean] = terms[mean] * np.float32(colour_weight)
    return np.stack(terms, axis=2, dtype=np.float32).reshape(-1, len(terms))


def _waves() -> FloatArray:
    """The orthonormal cosine basis of PATCH samples, (order, sample)."""
    order, sample = np.mgrid[:PATCH, :PATCH]
    waves = np.cos(np.pi * order * (2 * sample + 1) / (2 * PATCH)) * np.sqrt(2 / PATCH)
    waves[0] /= np.sqrt(2)
    return waves.astype(np.float32)


def _known_patches(lost: BoolArray) -> _Known:
    """The patches without any lost pixel, none of them reaching over the border."""
    square = np.ones((PATCH, PATCH), np.uint8)
    usable = cv2.erode((~lost).astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    flat = usable.astype(bool).ravel()
    return _Known(lost.shape[1], flat, np.flatnonzero(flat))


def _grid(hole: BoolArray) -> _Grid:
    """The patches that together cover every pixel of the hole."""
    near = cv2.dilate(hole.astype(np.uint8), np.ones((PATCH, PATCH), np.uint8))[::STRIDE, ::STRIDE] > 0
    down, along = np.nonzero(near)
    reach = max(JUMPS)
    number = np.full((near.shape[0] + 2 * reach, near.shape[1] + 2 * reach), -1, np.int64)
    number[down + reach, along + reach] = np.arange(down.size)
    neighbours = []
    for jump in JUMPS:
        for step in ((-jump, 0), (0, -jump), (jump, 0), (0, jump)):
            beside = number[down + reach + step[0], along + reach + step[1]]
            have = np.flatnonzero(beside >= 0)
            neighbours.append((have, beside[have], (-step[0] * STRIDE, -step[1] * STRIDE)))
    inner = number[reach:-reach, reach:-reach]
    return _Grid(down * STRIDE, along * STRIDE, inner, neighbours)


class _Search:
    """Improves a field in place: each patch's known patch should be like it, and shifted like its neighbours'."""

    def __init__(self, described: FloatArray, grid: _Grid, field: _Field, known: _Known) -> None:
        self.described, self.grid, self.field, self.known = described, grid, field, known
        self.wanted = described[grid.rows * known.width + grid.columns]
        self.charge = np.empty(0, np.float32)
        field.distance[:] = _distances(self.wanted, described[field.place])

    def sample(self, rng: np.random.Generator) -> None:
        """Offer every patch the nearest one of a sample of the known ones; what the field holds has precedence."""
        found = _nearest_in_sample(self.wanted, self.described, self.known, rng)
        self._charge()
        self._offer(np.arange(found.size), found // self.known.width, found % self.known.width, 1 / COHERENCE)

    def sweep(self, rng: np.random.Generator) -> None:
        """One round of random search in ever smaller surroundings and of propagation from all sides."""
        width, place = self.known.width, self.field.place
        everyone = np.arange(place.size)
        self._charge()
        for radius in _radii(max(self.known.usable.size // width, width)):
            shift = rng.integers(-radius, radius + 1, size=(2, place.size))
            self._offer(everyone, place // width + shift[0], place % width + shift[1])
        for have, beside, (down, along) in self.grid.neighbours:
            self._offer(have, place[beside] // width + down, place[beside] % width + along, COHERENCE, TOLERANCE)

    def _charge(self) -> None:
        """What each known patch costs for being lent, flat: CHARGE tolerances where all around it is lent once."""
        lent = np.bincount(self.field.place, minlength=self.known.usable.size).astype(np.float32)
        share = cv2.boxFilter(
            lent.reshape(-1, self.known.width), cv2.CV_32F, (PATCH, PATCH), borderType=cv2.BORDER_CONSTANT
        )
        self.charge = share.ravel() * np.float32(STRIDE**2 * CHARGE * TOLERANCE)

    def _offer(
        self, patches: IntArray, rows: IntArray, columns: IntArray, handicap: float = 1.0, bonus: float = 0.0
    ) -> None:
        """Give `patches` the known patches at (rows, columns) where these cost less, handicap and bonus included."""
        field, width = self.field, self.known.width
        inside = (rows >= 0) & (rows < self.known.usable.size // width) & (columns >= 0) & (columns < width)
        place = np.where(inside, rows * width + columns, 0)
        fit = np.flatnonzero(inside & self.known.usable[place] & (place != field.place[patches]))
        patches, place = patches[fit], place[fit]
        distance = _distances(self.wanted[patches], self.described[place])
        now = field.distance[patches] + self.charge[field.place[patches]]
        cheaper = (distance + self.charge[place]) * np.float32(handicap) - np.float32(bonus) < now
        field.place[patches[cheaper]] = place[cheaper]
        field.distance[patches[cheaper]] = distance[cheaper]


def _search(
    described: FloatArray, grid: _Grid, field: _Field, known: _Known, rng: np.random.Generator, anew: bool
) -> None:
    """Bring `field` up to date with the pictures as `described`; `anew` looks among all known patches again."""
    search = _Search(described, grid, field, known)
    if anew:
        search.sample(rng)
    for _ in range(SWEEPS):
        search.sweep(rng)


def _radii(side: int) -> list[int]:
    """Radii of the random search in pixels, from the picture's down to two."""
    return [radius for radius in (side // 2, side // 8, side // 32, 2) if radius > 0]


def _distances(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Squared distances, row by row."""
    difference = ours - theirs
    return np.einsum("nd,nd->n", difference, difference)


def _nearest_in_sample(
    wanted: FloatArray, described: FloatArray, known: _Known, rng: np.random.Generator, chunk: int = 1024
) -> IntArray:
    """For every patch the nearest of at most SAMPLE known ones, exactly."""
    places = known.places
    if places.size > SAMPLE:
        places = np.sort(rng.choice(places, SAMPLE, replace=False))
    sample = described[places]
    half_squares = np.square(sample).sum(axis=1) / 2
    nearest = [
        (half_squares - wanted[start : start + chunk] @ sample.T).argmin(axis=1)
        for start in range(0, len(wanted), chunk)
    ]
    return places[np.concatenate(nearest)]


def _first_field(grid: _Grid, known: _Known) -> _Field:
    """Every patch with the next known one in reading order: a place to search from."""
    return _Field(_next_known(grid.rows * known.width + grid.columns, known), np.zeros(grid.rows.size, np.float32))


def _enlarged_field(grid: _Grid, field: _Field, finer: _Grid, known: _Known) -> _Field:
    """The field at twice the size: each patch goes where the one that covered it before went."""
    height, width = len(known.usable) // known.width, known.width
    down = np.minimum(finer.rows // (2 * STRIDE), grid.number.shape[0] - 1)
    along = np.minimum(finer.columns // (2 * STRIDE), grid.number.shape[1] - 1)
    parent = grid.number[down, along]
    rows = 2 * (field.place[parent] // (width // 2) - grid.rows[parent]) + finer.rows
    columns = 2 * (field.place[parent] % (width // 2) - grid.columns[parent]) + finer.columns
    place = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
    place = np.where(parent < 0, finer.rows * width + finer.columns, place)
    return _Field(_next_known(place, known), np.where(parent < 0, field.distance.max(), field.distance[parent]))


def _next_known(places: IntArray, known: _Known) -> IntArray:
    """The places themselves where they are known patches, else the next one in reading order."""
    return known.places[np.minimum(np.searchsorted(known.places, places), known.places.size - 1)]


def _vote(values: FloatArray, grid: _Grid, field: _Field, shape: tuple[int, int], exponent: float) -> FloatArray:
    """What the known patches lay over the hole on average, (H, W, channels) of `values`.

    The nearer a patch and the closer a pixel lies to its centre, the more it counts.
    """
    height, width = shape
    channels = values.shape[2]
    wide = width + 2 * RADIUS
    total = np.zeros(((height + 2 * RADIUS) * wide, channels + 1), np.float32)
    table = np.concatenate([values.reshape(-1, channels), np.ones((height * width, 1), np.float32)], axis=1)
    typical = np.median(field.distance) + 1e-6
    trust = (field.distance / typical + 0.1) ** np.float32(-exponent)
    target = (grid.rows + RADIUS) * wide + grid.columns + RADIUS
    for down in range(-RADIUS, RADIUS + 1):
        for along in range(-RADIUS, RADIUS + 1):
            share = trust * np.float32(np.exp(-(down**2 + along**2) / (2 * (RADIUS / 1.5) ** 2)))
            total[target + (down * wide + along)] += share[:, None] * table[field.place + (down * width + along)]
    total = total.reshape(height + 2 * RADIUS, wide, -1)[RADIUS:-RADIUS, RADIUS:-RADIUS]
    return np.asarray(total[..., :-1] / np.maximum(total[..., -1:], 1e-12), np.float32)


# --- Windows and scales ----------------------------------------------------------------------------------------------


def _windows(mask: BoolArray, window_px: int) -> Iterator[tuple[tuple[slice, slice], BoolArray, BoolArray, BoolArray]]:
    """Windows that together cover the mask: slices, the hole worked on there, all lost pixels, the pixels to keep.

    A hole too large for one window is cut into tiles. A tile is worked on a patch beyond its border, so that its
    patches do not meet the smooth fill there, and sees what the tiles before it have become.
    """
    box = hole_box(mask)
    core = max(window_px - 2 * MARGIN_PX, window_px // 2, 1) if max(mask.shape) > window_px else max(mask.shape)
    waiting = mask.copy()
    for top in range(box[0].start, box[0].stop, core):
        for left in range(box[1].start, box[1].stop, core):
            tile = waiting[top : top + core, left : left + core]
            if not tile.any():
                continue
            rows, columns = hole_box(np.ascontiguousarray(tile))
            down = _around(top + rows.start, top + rows.stop, mask.shape[0], window_px)
            along = _around(left + columns.start, left + columns.stop, mask.shape[1], window_px)
            left_over = waiting[down, along]
            own = np.zeros_like(left_over)
            first, before = top - down.start, left - along.start
            own[first + rows.start : first + rows.stop, before + columns.start : before + columns.stop] = True
            near = cv2.dilate(own.view(np.uint8), np.ones((2 * PATCH + 1, 2 * PATCH + 1), np.uint8)) > 0
            yield (down, along), left_over & near, mask[down, along], left_over & own
            tile[...] = False


def _around(first: int, last: int, size: int, window_px: int) -> slice:
    """A window's extent along one side: three times the hole's, at least MARGIN_PX beyond it, shifted inward."""
    extent = last - first
    length = min(max(3 * extent, extent + 2 * MARGIN_PX), max(window_px, extent), size)
    start = min(max((first + last - length) // 2, 0), size - length)
    return slice(start, start + length)


def _pyramid(
    picture: FloatArray, hole: BoolArray, lost: BoolArray, levels: int
) -> tuple[list[FloatArray], list[BoolArray], list[BoolArray]]:
    """Picture, hole and lost pixels at full size and `levels` halvings; padded so that every halving is exact.

    A pixel that touches a missing one is missing. The padding repeats the border and lends nothing.
    """
    step = 2**levels
    pad = ((0, -hole.shape[0] % step), (0, -hole.shape[1] % step))
    pictures = [np.pad(picture, (*pad, (0, 0)), mode="edge")]
    holes, losses = [np.pad(hole, pad, mode="edge")], [np.pad(lost, pad, constant_values=True)]
    for _ in range(levels):
        height, width = holes[-1].shape
        half = (width // 2, height // 2)
        pictures.append(np.asarray(cv2.resize(pictures[-1], half, interpolation=cv2.INTER_AREA), np.float32))
        for masks in (holes, losses):
            masks.append(np.asarray(masks[-1].reshape(height // 2, 2, width // 2, 2).any(axis=(1, 3))))
    return pictures, holes, losses


def _enlarged(picture: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """The picture at (height, width), cubic."""
    return np.asarray(cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _to_unit(image: NDArray[Any]) -> FloatArray:
    """A copy as float32 in [0,1]."""
    return from_bytes(image) if image.dtype == np.uint8 else image.astype(np.float32)


def _from_unit(picture: FloatArray, dtype: np.dtype[Any]) -> NDArray[Any]:
    """[0,1] in the image's own number format."""
    return to_bytes(picture) if dtype == np.uint8 else np.clip(picture, 0, 1).astype(dtype)
