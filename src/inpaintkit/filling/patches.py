"""Patches of a hole and the known patches most like them: search among a picture's patches, and votes of what is found.

Source: Barnes et al. 2009, PatchMatch (propagation and random search); Wexler et al. 2007 and Newson et al. 2014 (every
pixel voted for by all patches that cover it); Kaspar et al. 2015 (patches that are lent often cost more).
Differs: patches are compared by the first terms of their cosine transform, stand on every second pixel, propagate in
whole-field sweeps from neighbours near and far (as jump flooding does), and begin from an exhaustive search among a
sample of the known ones. Votes are gathered, one pixel of all patches at a time.

Pictures are float32 (H, W, 3) in [0,1]. A patch is named by its centre, known ones by its flat index in the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

PATCH = 7
"""Side of a patch in pixels: large enough to know an edge from a dot, small enough that most have a likeness."""

RADIUS = PATCH // 2

STRIDE = 2
"""Patches of the hole stand on every second pixel in both directions, so that some twelve of them cover each pixel."""

SAMPLE = 4096
"""Known patches that are searched exhaustively; the others are found from these by propagation and random search."""

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

CHROMA_ORDER = 1
"""Cosine terms of either chroma channel are compared up to this sum of their two orders: colour varies slowly."""

STRIP_ROWS = 32
"""Rows that are described at once: what belongs to them stays in a processor's cache."""

CHUNK = 4096
"""Patches that are compared at once, for the same reason."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The patches of a hole: centres on every STRIDE-th pixel, and who stands where beside whom.

    `number` (grid height, grid width) is a patch's index, -1 for none. `neighbours` lists, for every direction and
    jump, the patches that have such a neighbour, the neighbour's index and the pixels from it to them.
    """

    rows: IntArray
    columns: IntArray
    number: IntArray
    neighbours: list[tuple[IntArray, IntArray, tuple[int, int]]]


@dataclass(eq=False)
class Field:
    """For every patch of a grid its known patch: flat index of its centre, and their distance."""

    place: IntArray
    distance: FloatArray


@dataclass(frozen=True, eq=False)
class Known:
    """Which pixels of a picture `width` wide are the centre of a patch that may be lent, flat."""

    width: int
    usable: BoolArray
    places: IntArray

    @classmethod
    def of(cls, usable: BoolArray) -> "Known":
        """From the same as (H, W)."""
        flat = usable.ravel()
        return cls(usable.shape[1], flat, np.flatnonzero(flat))


def whole_patches(lost: BoolArray) -> BoolArray:
    """The centres (H, W) of patches without any lost pixel, none of them reaching over the border."""
    square = np.ones((PATCH, PATCH), np.uint8)
    return cv2.erode((~lost).view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def patch_grid(hole: BoolArray) -> Grid:
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
    return Grid(down * STRIDE, along * STRIDE, inner, neighbours)


def described(
    picture: FloatArray, luma_order: int, colour_weight: float = 1.0, out: FloatArray | None = None
) -> FloatArray:
    """The patch around every pixel as the first terms of its cosine transform, (H, W, terms), in `out` if given.

    The transform is orthonormal, also over the colours: distances are those of the patches' lower frequencies, the mean
    colour's share times the square of `colour_weight`. Beyond the border the picture is mirrored.
    """
    height, width = picture.shape[:2]
    result = np.empty((height, width, count_of_terms(luma_order)), np.float32) if out is None else out
    for first in range(0, height, STRIP_ROWS):
        last = min(first + STRIP_ROWS, height)
        above, below = max(first - RADIUS, 0), min(last + RADIUS, height)
        strip = _strip_terms(picture[above:below], luma_order, colour_weight)
        result[first:last] = cv2.merge(strip)[first - above : last - above]
    return result


def count_of_terms(luma_order: int) -> int:
    """How many numbers describe a patch."""
    return (luma_order + 1) * (luma_order + 2) // 2 + (CHROMA_ORDER + 1) * (CHROMA_ORDER + 2)


def _strip_terms(picture: FloatArray, luma_order: int, colour_weight: float) -> list[FloatArray]:
    """The terms of some rows, a plane each."""
    red, green, blue = (picture[..., channel] for channel in range(3))
    planes = (
        ((red + green + blue) / np.float32(3**0.5), luma_order),
        ((red - blue) / np.float32(2**0.5), CHROMA_ORDER),
        ((red - 2 * green + blue) / np.float32(6**0.5), CHROMA_ORDER),
    )
    waves = cosine_waves(PATCH)
    terms: list[FloatArray] = []
    for plane, order in planes:
        for down in range(order + 1):
            for along in range(order + 1 - down):
                wave = waves[down] * np.float32(colour_weight if down == along == 0 else 1)
                term = cv2.sepFilter2D(plane, -1, waves[along], wave, borderType=cv2.BORDER_REFLECT_101)
                terms.append(np.asarray(term, np.float32))
    return terms


def cosine_waves(count: int) -> FloatArray:
    """The orthonormal cosine basis of `count` samples, (order, sample)."""
    order, sample = np.mgrid[:count, :count]
    waves = np.cos(np.pi * order * (2 * sample + 1) / (2 * count)) * np.sqrt(2 / count)
    waves[0] /= np.sqrt(2)
    return waves.astype(np.float32)


# --- Looking for likenesses ------------------------------------------------------------------------------------------


class Search:
    """Improves a field in place: each patch's known patch should be like it, and shifted like its neighbours'.

    `wanted` (patches, terms) describes the hole's patches, `offered` (pixels, terms) the picture's that lends.
    """

    def __init__(self, wanted: FloatArray, offered: FloatArray, grid: Grid, field: Field, known: Known) -> None:
        self.wanted, self.offered, self.grid, self.field, self.known = wanted, offered, grid, field, known
        self.charge = np.empty(0, np.float32)
        field.distance[:] = self._distances(np.arange(field.place.size), field.place)

    def sample(self, rng: np.random.Generator, patches: IntArray | None = None) -> None:
        """Offer patches (all unless told which) the nearest one of a sample of the known ones.

        What the field holds has precedence.
        """
        chosen = np.arange(self.field.place.size) if patches is None else patches
        found = _nearest_in_sample(self.wanted, chosen, self.offered, self.known, rng)
        self._charge()
        self._offer(chosen, found // self.known.width, found % self.known.width, 1 / COHERENCE)

    def sweep(self, rng: np.random.Generator, radii: Sequence[int]) -> None:
        """One round of random search in surroundings of these radii and of propagation from all sides."""
        width, place = self.known.width, self.field.place
        everyone = np.arange(place.size)
        self._charge()
        for radius in radii:
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
        distance = self._distances(patches, place)
        now = field.distance[patches] + self.charge[field.place[patches]]
        cheaper = (distance + self.charge[place]) * np.float32(handicap) - np.float32(bonus) < now
        field.place[patches[cheaper]] = place[cheaper]
        field.distance[patches[cheaper]] = distance[cheaper]

    def _distances(self, patches: IntArray, place: IntArray) -> FloatArray:
        """Squared distances of patches and known patches, pair by pair."""
        distance = np.empty(place.size, np.float32)
        for first in range(0, place.size, CHUNK):
            part = slice(first, first + CHUNK)
            difference = np.take(self.wanted, patches[part], axis=0)
            difference -= np.take(self.offered, place[part], axis=0)
            np.einsum("nd,nd->n", difference, difference, out=distance[part])
        return distance


def _nearest_in_sample(
    wanted: FloatArray,
    patches: IntArray,
    offered: FloatArray,
    known: Known,
    rng: np.random.Generator,
    chunk: int = 256,
) -> IntArray:
    """For every one of the patches the nearest of at most SAMPLE known ones, exactly."""
    places = known.places
    if places.size > SAMPLE:
        places = np.sort(rng.choice(places, SAMPLE, replace=False))
    sample = offered[places]
    half_squares = np.square(sample).sum(axis=1) / 2
    nearest = np.empty(patches.size, np.int64)
    for first in range(0, patches.size, chunk):
        part = slice(first, first + chunk)
        nearest[part] = (half_squares - wanted[patches[part]] @ sample.T).argmin(axis=1)
    return places[nearest]


def first_field(grid: Grid, known: Known) -> Field:
    """Every patch with the next known one in reading order: a place to search from."""
    return Field(next_known(grid.rows * known.width + grid.columns, known), np.zeros(grid.rows.size, np.float32))


def next_known(places: IntArray, known: Known) -> IntArray:
    """The places themselves where they are known patches, else the next one in reading order."""
    return known.places[np.minimum(np.searchsorted(known.places, places), known.places.size - 1)]


# --- Votes -----------------------------------------------------------------------------------------------------------


def vote(values: FloatArray, grid: Grid, field: Field, shape: tuple[int, int], exponent: float) -> FloatArray:
    """What the known patches lay over the hole on average: (H, W, C) of `shape`, from `values` (any H, any W, C).

    The nearer a patch and the closer a pixel lies to its centre, the more it counts.
    """
    down, along = grid.rows // STRIDE, grid.columns // STRIDE
    top, left = (int(each.min(initial=0)) for each in (down, along))
    size = int(down.max(initial=0)) + 1 - top, int(along.max(initial=0)) + 1 - left
    place = np.full(size, field.place[0])
    place[down - top, along - left] = field.place
    typical = np.median(field.distance) + 1e-6 if field.distance.size else 1.0
    trust = np.zeros(size, np.float32)
    trust[down - top, along - left] = (field.distance / typical + 0.1) ** np.float32(-exponent)
    summed, weight = _gathered(values, place, trust)
    summed /= np.maximum(weight, np.finfo(np.float32).tiny)[..., None]  # weights may be tiny, and are never 0
    result = np.zeros((*shape, values.shape[2]), np.float32)
    first = top * STRIDE - 2 * STRIDE, left * STRIDE - 2 * STRIDE  # of the gathered picture, in the result
    inside = tuple(
        slice(max(start, 0), min(start + extent, side))
        for start, extent, side in zip(first, summed.shape, shape, strict=False)
    )
    result[inside] = summed[tuple(slice(s.start - f, s.stop - f) for s, f in zip(inside, first, strict=True))]
    return result


def _gathered(values: FloatArray, place: IntArray, trust: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted sums of all patches and their weights, two grid steps larger on every side than the patches' grid.

    `place` (h, w) is the known patch of each. Pixels of one parity are a plane of their own, to which every patch gives
    one pixel at a time.
    """
    height, width = trust.shape
    channels = values.shape[2]
    table = values.reshape(-1, channels)
    planes = np.zeros((STRIDE, STRIDE, height + 4, width + 4, channels), np.float32)
    weights = np.zeros((STRIDE, STRIDE, height + 4, width + 4), np.float32)
    for down in range(-RADIUS, RADIUS + 1):
        for along in range(-RADIUS, RADIUS + 1):
            share = trust * np.float32(np.exp(-(down**2 + along**2) / (2 * (RADIUS / 1.5) ** 2)))
            lent = np.take(table, place + (down * values.shape[1] + along), axis=0)
            lent *= share[..., None]
            rows = slice(2 + down // STRIDE, 2 + down // STRIDE + height)
            columns = slice(2 + along // STRIDE, 2 + along // STRIDE + width)
            planes[down % STRIDE, along % STRIDE, rows, columns] += lent
            weights[down % STRIDE, along % STRIDE, rows, columns] += share
    shape = (STRIDE * (height + 4), STRIDE * (width + 4))
    return (
        planes.transpose(2, 0, 3, 1, 4).reshape(*shape, channels),
        weights.transpose(2, 0, 3, 1).reshape(shape),
    )
