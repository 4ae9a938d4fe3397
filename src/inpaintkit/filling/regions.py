"""From a mask to the crops an engine sees: every hole with enough context, at no more than its working size.

What a network can fill is bounded by how far a missing pixel lies from the nearest known one, not by the hole's
bounding box. A compact hole therefore gets a crop twice its side, shrunk to the working size where it is larger; a long
thin one (a scratch, a pen stroke, a line of text) is cut into pieces that are each filled nearer to the photo's own
resolution. Small holes that fit into one crop share it, so that a thousand specks do not become a thousand calls.
"""

from collections.abc import Sized
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
BLOCK = 8
"""Side in pixels of the blocks in which holes are grouped: holes closer than this are one."""

CLASSICAL_MARGIN = 16
"""Known pixels around a hole for engines without a working size; OpenCV's methods look no further than their radius."""

CLASSICAL_CROP = 512
"""Holes that fit together into a crop of this side are filled in one call by engines without a working size."""

LISTED = 40
"""Crops that a printed plan lists one by one."""


@dataclass(frozen=True, eq=False)
class Region:
    """A crop of the photo and the holes in it that this crop is to fill.

    `holes` is (height, width), True for the missing pixels that belong to this region; other missing pixels in the crop
    belong to other regions. `shrink` is photo pixels per working pixel, at least 1.
    """

    top: int
    left: int
    height: int
    width: int
    shrink: float
    holes: BoolArray

    @property
    def window(self) -> tuple[slice, slice]:
        """The crop as slices of the photo, rows first."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def hole_pixels(self) -> int:
        """Missing pixels that this region fills."""
        return int(np.count_nonzero(self.holes))

    @property
    def working_shape(self) -> tuple[int, int]:
        """Height and width at which the engine sees the crop."""
        return max(1, round(self.height / self.shrink)), max(1, round(self.width / self.shrink))


@dataclass(frozen=True, eq=False)
class FillPlan:
    """What will be filled, from which crops and in which order; `str()` lists it.

    `regions` are in the order of filling. `waves` says, for each of them, how many others must be filled one after the
    other before it: crops of one wave do not see each other's holes and are given to the engine together.
    `working_size` is the engine's, None for one that takes any size.
    """

    height: int
    width: int
    working_size: int | None
    regions: tuple[Region, ...]
    waves: tuple[int, ...]

    @property
    def hole_pixels(self) -> int:
        """Missing pixels in all."""
        return sum(region.hole_pixels for region in self.regions)

    def in_waves(self) -> list[list[Region]]:
        """The regions wave by wave."""
        count = max(self.waves, default=-1) + 1
        return [[each for each, w in zip(self.regions, self.waves, strict=True) if w == wave] for wave in range(count)]

    def __str__(self) -> str:
        missing = self.hole_pixels
        if not missing:
            return f"{self.width} x {self.height} pixels: nothing is missing"
        share = 100 * missing / (self.height * self.width)
        engine = "an engine of any size" if self.working_size is None else f"a working size of {self.working_size}"
        lines = [
            f"{self.width} x {self.height} pixels, {missing:,} missing ({share:.2g} %): "
            f"{_counted(self.regions, 'crop')} for {engine}, in {_counted(set(self.waves), 'wave')}"
        ]
        for number, (region, wave) in enumerate(zip(self.regions, self.waves, strict=True), 1):
            if number > LISTED:
                lines.append(f"and {len(self.regions) - LISTED} more")
                break
            height, width = region.working_shape
            seen = "as it is" if region.shrink == 1 else f"at {width} x {height} ({region.shrink:.3g} times smaller)"
            lines.append(
                f"{number:>3}. wave {wave + 1}: {region.width} x {region.height} from (left {region.left}, top "
                f"{region.top}), seen {seen}, {region.hole_pixels:,} pixels to fill"
            )
        return "\n".join(lines)


def plan_fill(mask: BoolArray, working_size: int | None = None, **options: Any) -> FillPlan:
    """The plan for a mask; `options` are those of `plan_regions`."""
    regions = plan_regions(mask, working_size, **options)
    return FillPlan(mask.shape[0], mask.shape[1], working_size, tuple(regions), _waves(regions))


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Holes, or pieces of long holes: tight boxes in photo pixels, the crop side and the margin each one wants."""

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    bottom: NDArray[np.int64]
    right: NDArray[np.int64]
    side: NDArray[np.int64]
    margin: NDArray[np.int64]

    def of(self, members: NDArray[np.int64]) -> "_Pieces":
        """Some of them."""
        return _Pieces(*(getattr(self, each.name)[members] for each in fields(self)))


def plan_regions(
    mask: BoolArray, working_size: int | None = None, *, context: float = 1.0, largest_crop: int | None = None
) -> list[Region]:
    """The crops that together cover every missing pixel exactly once, smallest first.

    `working_size` is the side the engine works best at; None means that the engine takes any size and looks only at the
    hole's rim: then crops above `largest_crop` pixels a side are shrunk to it, if that is given. `context` scales how
    much of its surroundings a hole wider than a third of the working size gets. The cost follows the box around all
    holes, not the photo. An empty mask gives an empty list.
    """
    photo_height, photo_width = mask.shape
    box_left, box_top, box_width, box_height = cv2.boundingRect(mask.view(np.uint8))
    if box_width == 0:
        return []
    inside = mask[box_top : box_top + box_height, box_left : box_left + box_width]
    rows, columns, extents = _occupied_blocks(inside)
    grid = np.zeros((-(-box_height // BLOCK), -(-box_width // BLOCK)), np.uint8)
    grid[rows, columns] = 1
    _, labels = cv2.connectedComponents(grid, connectivity=8, ltype=cv2.CV_32S)
    hole_of_block = labels[rows, columns].astype(np.int64) - 1
    boxes = _tight_boxes(rows, columns, extents, hole_of_block)
    thickness = _thickness(mask, (box_top, box_left, box_height, box_width), labels, hole_of_block.max() + 1)
    side, margin, pitch, reach = _crop_sides(boxes, thickness, working_size, max(photo_height, photo_width), context)

    piece_of_block, hole_of_piece = _cut_long_holes(rows, columns, hole_of_block, boxes, pitch, reach)
    top, left, bottom, right = _tight_boxes(rows, columns, extents, piece_of_block)
    pieces = _Pieces(
        top + box_top, left + box_left, bottom + box_top, right + box_left, side[hole_of_piece], margin[hole_of_piece]
    )
    shares = _share_crops(pieces, working_size)
    region_of_piece = np.empty(len(hole_of_piece), np.int64)
    for number, members in enumerate(shares):
        region_of_piece[members] = number
    owner = np.full(grid.shape, -1, np.int64)
    owner[rows, columns] = region_of_piece[piece_of_block]
    return [
        _region(mask, owner == number, (box_top, box_left), pieces.of(members), working_size, largest_crop)
        for number, members in enumerate(shares)
    ]


def overlap_px(region: Region) -> int:
    """Width in photo pixels of the strip beside a region that it fills again where another has filled it before.

    Half of the narrowest context that a piece gets, so that the fade ends within the crop and known pixels lie beyond.
    """
    return max(region.height, region.width) // 16


def _occupied_blocks(inside: BoolArray) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of every block with a missing pixel, and its tight (top, left, bottom, right), (n, 4)."""
    height, width = inside.shape
    padded = np.zeros((-(-height // BLOCK) * BLOCK, -(-width // BLOCK) * BLOCK), bool)
    padded[:height, :width] = inside
    blocks = padded.reshape(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK)
    in_row = np.asarray(blocks.any(axis=3)).transpose(0, 2, 1)
    rows, columns = np.nonzero(in_row.any(axis=2))
    in_row = in_row[rows, columns]
    in_column = np.asarray(blocks.transpose(0, 2, 1, 3)[rows, columns].any(axis=1))
    extents = np.stack(
        [
            in_row.argmax(axis=1),
            in_column.argmax(axis=1),
            BLOCK - in_row[:, ::-1].argmax(axis=1),
            BLOCK - in_column[:, ::-1].argmax(axis=1),
        ],
        axis=1,
    )
    return rows, columns, extents


def _tight_boxes(
    rows: NDArray[np.int64], columns: NDArray[np.int64], extents: NDArray[np.int64], group: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Top, left, bottom and right (exclusive) of every group of blocks, in pixels of the box around all holes."""
    count = int(group.max()) + 1
    top, left = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).max)
    bottom, right = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.minimum.at(top, group, rows * BLOCK + extents[:, 0])
    np.minimum.at(left, group, columns * BLOCK + extents[:, 1])
    np.maximum.at(bottom, group, rows * BLOCK + extents[:, 2])
    np.maximum.at(right, group, columns * BLOCK + extents[:, 3])
    return top, left, bottom, right


def _thickness(
    mask: BoolArray, box: tuple[int, int, int, int], labels: NDArray[Any], count: int
) -> NDArray[np.float64]:
    """Twice the largest distance from a missing pixel to the nearest known one, per hole."""
    top, left, height, width = box
    above, before = min(top, 1), min(left, 1)  # one known pixel around the box, where the photo has one
    around = mask[top - above : top + height + 1, left - before : left + width + 1]
    distance = cv2.distanceTransform(around.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    distance = distance[above : above + height, before : before + width]
    padded = np.zeros((labels.shape[0] * BLOCK, labels.shape[1] * BLOCK), np.float32)
    padded[:height, :width] = distance
    deepest = padded.reshape(labels.shape[0], BLOCK, labels.shape[1], BLOCK).max(axis=(1, 3))
    per_hole = np.zeros(count + 1, np.float32)
    np.maximum.at(per_hole, labels.ravel(), deepest.ravel())
    return 2 * per_hole[1:].astype(np.float64)


def _crop_sides(
    boxes: tuple[NDArray[np.int64], ...],
    thickness: NDArray[np.float64],
    working_size: int | None,
    longest: int,
    context: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Per hole: crop side, margin, the blocks at which a long one is cut (0: not at all), and the most a piece has."""
    top, left, bottom, right = boxes
    extent = np.maximum(bottom - top, right - left).astype(np.float64)
    if working_size is None:
        margin = np.clip(thickness / 2, CLASSICAL_MARGIN, 4 * CLASSICAL_MARGIN)
        cut = (extent > 2 * CLASSICAL_CROP) & (extent > 8 * thickness)
        side = np.where(cut, CLASSICAL_CROP, np.maximum(CLASSICAL_CROP, extent + 2 * margin))
        pitch = np.where(cut, (side - 2 * margin) // BLOCK, 0)
        return _whole(side), _whole(margin), pitch.astype(np.int64), pitch.astype(np.int64)
    around_box = np.minimum(np.maximum(working_size, (1 + context) * extent), max(longest, working_size))
    around_stroke = np.minimum(np.maximum(working_size, (1 + 2 * context) * thickness), around_box)
    stroke_margin = np.clip(2 * thickness, around_stroke / 8, around_stroke / 4)
    fits = extent <= around_stroke - 2 * stroke_margin
    cut = ~fits & (around_box >= 2 * around_stroke)
    thin = fits | cut
    side = np.where(thin, around_stroke, around_box)
    margin = np.where(thin, stroke_margin, np.minimum((around_box - extent) / 2, around_box / 4).clip(0))
    pitch = np.where(cut, np.maximum((side - 2 * margin) // BLOCK, 1), 0)
    reach = np.where(cut, np.maximum(3 * side / 4 // BLOCK, 1), 0)  # keeps an eighth of the crop on either side
    return _whole(side), margin.astype(np.int64), pitch.astype(np.int64), reach.astype(np.int64)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rounded up to whole pixels."""
    return np.ceil(values).astype(np.int64)


def _cut_long_holes(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    hole: NDArray[np.int64],
    boxes: tuple[NDArray[np.int64], ...],
    pitch: NDArray[np.int64],
    reach: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The piece of every block and the hole of every piece.

    A hole is cut into even bands of at most `pitch` blocks of rows (0 leaves it whole), and what lies in a band into
    even pieces of at most `reach` blocks of columns. A slanting stroke of some width so stays one piece a band, and
    leaves no slivers beside it.
    """
    top, _, bottom, _ = boxes
    first = top // BLOCK
    band = (rows - first[hole]) // _even_step(-(-bottom // BLOCK) - first, pitch)[hole]
    order = np.lexsort((columns, band, hole))
    hole_in, band_in, column_in = hole[order], band[order], columns[order]
    new_band = np.r_[True, (np.diff(hole_in) != 0) | (np.diff(band_in) != 0)]
    # Within a band, columns that are far apart are different runs, so that no piece spans nothing.
    run_number = np.cumsum(new_band | np.r_[True, np.diff(column_in) > np.maximum(pitch[hole_in[1:]], 1)]) - 1
    run_number = np.where(pitch[hole_in] > 0, run_number, -1 - hole_in)
    _, run = np.unique(run_number, return_inverse=True)
    starts, ends = _extremes(column_in, run.reshape(-1))
    step = _even_step(ends + 1 - starts, _first_of_each(reach[hole_in], run))
    along = (column_in - starts[run]) // step[run]
    found, piece_in_order = np.unique(run * (int(along.max()) + 1) + along, return_inverse=True)
    piece = np.empty(len(rows), np.int64)
    piece[order] = piece_in_order.reshape(-1)
    return piece, _first_of_each(hole_in, piece_in_order.reshape(-1), len(found))


def _even_step(span: NDArray[np.int64], most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Blocks per piece so that a span is cut evenly into pieces of at most so many blocks; 0 leaves it whole."""
    span = np.maximum(span, 1)
    parts = np.where(most > 0, -(-span // np.maximum(most, 1)), 1)
    return -(-span // parts)


def _extremes(values: NDArray[np.int64], group: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The least and the largest value of every group; groups are numbered from 0."""
    least = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
    largest = np.full(int(group.max()) + 1, -1)
    np.minimum.at(least, group, values)
    np.maximum.at(largest, group, values)
    return least, largest


def _first_of_each(values: NDArray[np.int64], group: NDArray[np.int64], count: int = 0) -> NDArray[np.int64]:
    """A value of every group, which all its members share."""
    result = np.zeros(max(count, int(group.max()) + 1), np.int64)
    result[group] = values
    return result


def _share_crops(pieces: _Pieces, working_size: int | None) -> list[NDArray[np.int64]]:
    """Which pieces share a crop: those of like resolution are laid on shelves of one crop's side, from the top."""
    if working_size is None:
        level = np.zeros(len(pieces.side), np.int64)
    else:
        level = np.ceil(2 * np.log2(pieces.side / working_size)).astype(np.int64)
    shares: list[NDArray[np.int64]] = []
    for one_level in np.unique(level):
        members = np.flatnonzero(level == one_level)
        side = int(pieces.side[members].max())
        shares.extend(_shelves(pieces, members, side))
    return shares


def _shelves(pieces: _Pieces, members: NDArray[np.int64], side: int) -> list[NDArray[np.int64]]:
    """`members` in groups whose boxes with their margins fit into a square of the given side."""
    top, bottom = pieces.top[members] - pieces.margin[members], pieces.bottom[members] + pieces.margin[members]
    left, right = pieces.left[members] - pieces.margin[members], pieces.right[members] + pieces.margin[members]
    waiting = np.argsort(top, kind="stable")
    groups: list[NDArray[np.int64]] = []
    while waiting.size:
        shelf_top = top[waiting[0]]
        on_shelf = bottom[waiting] <= shelf_top + side
        on_shelf[0] = True
        shelf = waiting[on_shelf]
        waiting = waiting[~on_shelf]
        shelf = shelf[np.argsort(left[shelf], kind="stable")]
        while shelf.size:
            together = right[shelf] <= left[shelf[0]] + side
            together[0] = True
            groups.append(members[shelf[together]])
            shelf = shelf[~together]
    return groups


def _region(
    mask: BoolArray,
    owned_blocks: BoolArray,
    origin: tuple[int, int],
    pieces: _Pieces,
    working_size: int | None,
    largest_crop: int | None,
) -> Region:
    """The crop for the pieces that share it, shifted inward at the photo's borders."""
    side = int(pieces.side.max())
    margin = int(pieces.margin.max())
    spans = []
    for first, last, limit in (
        (pieces.top.min(), pieces.bottom.max(), mask.shape[0]),
        (pieces.left.min(), pieces.right.max(), mask.shape[1]),
    ):
        wanted = last - first + 2 * margin if working_size is None else max(side, last - first)
        length = int(min(wanted, limit))
        start = int(np.clip((first + last - length) // 2, 0, limit - length))
        spans.append((start, length))
    (top, height), (left, width) = spans
    owned = np.zeros((height, width), bool)
    rows, columns = np.arange(top, top + height) - origin[0], np.arange(left, left + width) - origin[1]
    down = slice(*np.searchsorted(rows, (0, owned_blocks.shape[0] * BLOCK)))
    along = slice(*np.searchsorted(columns, (0, owned_blocks.shape[1] * BLOCK)))
    owned[down, along] = owned_blocks[np.ix_(rows[down] // BLOCK, columns[along] // BLOCK)]
    holes = mask[top : top + height, left : left + width] & owned
    seen = largest_crop if working_size is None else working_size
    shrink = 1.0 if seen is None else max(1.0, max(height, width) / seen)
    return Region(top, left, height, width, shrink, holes)


def _waves(regions: list[Region]) -> tuple[int, ...]:
    """For every region how many must come before it: those whose holes its crop may see, and what these wait for."""
    boxes = np.empty((len(regions), 4), np.int64)
    waves: list[int] = []
    for number, region in enumerate(regions):
        left, top, width, height = cv2.boundingRect(region.holes.view(np.uint8))
        boxes[number] = region.top + top, region.left + left, region.top + top + height, region.left + left + width
        earlier = boxes[:number]
        seen = (earlier[:, 0] < region.top + region.height) & (earlier[:, 2] > region.top)
        seen &= (earlier[:, 1] < region.left + region.width) & (earlier[:, 3] > region.left)
        wave = 0
        for each in np.flatnonzero(seen):
            if waves[each] >= wave and _sees(region, regions[each]):
                wave = waves[each] + 1
        waves.append(wave)
    return tuple(waves)


def _sees(region: Region, other: Region) -> bool:
    """Whether a hole of the other region lies in the crop of this one."""
    top, left = max(region.top, other.top), max(region.left, other.left)
    bottom = min(region.top + region.height, other.top + other.height)
    right = min(region.left + region.width, other.left + other.width)
    shared = other.holes[top - other.top : max(bottom - other.top, 0), left - other.left : max(right - other.left, 0)]
    return bool(shared.any())


def _counted(things: Sized, name: str) -> str:
    """`1 crop`, `3 crops`."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
