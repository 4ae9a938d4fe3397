"""From a mask to the crops an engine sees: every hole with enough context, at no more than its working size.

What a network can fill is bounded by how far a missing pixel lies from the nearest known one, not by the hole's
bounding box. A compact hole therefore gets a crop twice its side, shrunk to the working size where it is larger; a long
thin one (a scratch, a pen stroke, a line of text) is cut into pieces that are each filled nearer to the photo's own
resolution. Small holes that fit into one crop share it, so that a thousand specks do not become a thousand calls.
"""

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

BLOCK = 8
"""Side in pixels of the blocks in which holes are grouped: holes closer than this are one."""

CLASSICAL_MARGIN = 16
"""Known pixels around a hole for engines without a working size; OpenCV's methods look no further than their radius."""

CLASSICAL_CROP = 512
"""Holes that fit together into a crop of this side are filled in one call by engines without a working size."""


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
    def working_shape(self) -> tuple[int, int]:
        """Height and width at which the engine sees the crop."""
        return max(1, round(self.height / self.shrink)), max(1, round(self.width / self.shrink))


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


def plan_regions(mask: BoolArray, working_size: int | None = None) -> list[Region]:
    """The crops that together cover every missing pixel exactly once, smallest first.

    `working_size` is the side the engine works best at; None means that the engine takes any size and looks only at the
    hole's rim. The cost follows the box around all holes, not the photo. An empty mask gives an empty list.
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
    side, margin, pitch = _crop_sides(boxes, thickness, working_size, max(photo_height, photo_width))

    piece_of_block, hole_of_piece = _cut_long_holes(rows, columns, hole_of_block, boxes, pitch)
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
        _region(mask, owner == number, (box_top, box_left), pieces.of(members), working_size)
        for number, members in enumerate(shares)
    ]


def overlap_px(region: Region) -> int:
    """Width in photo pixels of the strip beside a region that it fills again where another has filled it before.

    Half of the narrowest context that a piece gets, so that the fade ends within the crop and known pixels lie beyond.
    """
    return max(region.height, region.width) // 16


def shrink_crop(image: FloatArray, missing: BoolArray, shape: tuple[int, int]) -> tuple[FloatArray, BoolArray]:
    """The crop and its mask at a smaller `shape` (height, width): no hole colour bleeds into a known pixel.

    Known pixels are area-averaged among themselves; a small pixel that touches a missing one is missing.
    """
    height, width = shape
    known = (~missing).astype(np.float32)
    weight = cv2.resize(known, (width, height), interpolation=cv2.INTER_AREA)
    seen = cv2.copyTo(np.ascontiguousarray(image), (~missing).astype(np.uint8))  # 0 where missing
    total = np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA))
    small = total.reshape(height, width, -1) / np.maximum(weight, 1e-6)[..., None]
    small_missing = weight < 1 - 1e-5
    small[weight <= 1e-6] = 0
    return np.clip(small, 0, 1, dtype=np.float32), small_missing


def enlarge_crop(filled: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """A fill at working size brought back to the crop's `shape` (height, width), cubic, within [0,1]."""
    height, width = shape
    large = np.asarray(cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.clip(large, 0, 1, out=large)


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
    boxes: tuple[NDArray[np.int64], ...], thickness: NDArray[np.float64], working_size: int | None, longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Crop side, margin and the pitch at which a long hole is cut (0: not at all), per hole."""
    top, left, bottom, right = boxes
    extent = np.maximum(bottom - top, right - left).astype(np.float64)
    if working_size is None:
        margin = np.clip(thickness / 2, CLASSICAL_MARGIN, 4 * CLASSICAL_MARGIN)
        cut = (extent > 2 * CLASSICAL_CROP) & (extent > 8 * thickness)
        side = np.where(cut, CLASSICAL_CROP, np.maximum(CLASSICAL_CROP, extent + 2 * margin))
        pitch = np.where(cut, (side - 2 * margin) // BLOCK, 0)
        return _whole(side), _whole(margin), pitch.astype(np.int64)
    around_box = np.minimum(np.maximum(working_size, 2 * extent), max(longest, working_size))
    around_stroke = np.minimum(np.maximum(working_size, 3 * thickness), around_box)
    stroke_margin = np.clip(2 * thickness, around_stroke / 8, around_stroke / 4)
    fits = extent <= around_stroke - 2 * stroke_margin
    cut = ~fits & (around_box >= 2 * around_stroke)
    thin = fits | cut
    side = np.where(thin, around_stroke, around_box)
    margin = np.where(thin, stroke_margin, np.minimum((around_box - extent) / 2, around_box / 4).clip(0))
    pitch = np.where(cut, np.maximum((side - 2 * margin) // BLOCK, 1), 0)
    return _whole(side), margin.astype(np.int64), pitch.astype(np.int64)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rounded up to whole pixels."""
    return np.ceil(values).astype(np.int64)


def _cut_long_holes(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    hole: NDArray[np.int64],
    boxes: tuple[NDArray[np.int64], ...],
    pitch: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The piece of every block and the hole of every piece; `pitch` is in blocks, 0 leaves a hole whole."""
    top, left, bottom, right = boxes
    step_down = _even_step(top // BLOCK, -(-bottom // BLOCK), pitch)
    step_right = _even_step(left // BLOCK, -(-right // BLOCK), pitch)
    down = (rows - top[hole] // BLOCK) // step_down[hole]
    along = (columns - left[hole] // BLOCK) // step_right[hole]
    height, width = int(down.max()) + 1, int(along.max()) + 1
    found, piece = np.unique((hole * height + down) * width + along, return_inverse=True)
    return piece.reshape(-1), found // (height * width)


def _even_step(first: NDArray[np.int64], last: NDArray[np.int64], pitch: NDArray[np.int64]) -> NDArray[np.int64]:
    """Blocks per piece so that a span is cut evenly into pieces of at most `pitch` blocks."""
    span = np.maximum(last - first, 1)
    parts = np.where(pitch > 0, -(-span // np.maximum(pitch, 1)), 1)
    return -(-span // parts)


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
    shrink = 1.0 if working_size is None else max(1.0, max(height, width) / working_size)
    return Region(top, left, height, width, shrink, holes)
