"""Where a fill meets the photo: composite, seam colour match, feather and Poisson blending, all of it inside the hole.

Nothing here changes a known pixel. Images are float32 (H, W, 3) in [0,1], masks bool (H, W) with True = missing.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

SEAM_RING = 1
"""Pixels on either side of the rim whose colours are compared."""

SEAM_SIGMA = 3.0
"""Gaussian radius in pixels below which colour differences along the rim count as picture, not as a cast."""

SEAM_CELL = 4
"""Casts vary slowly: they are computed on cells of so many pixels a side."""

SEAM_EDGE = 0.2
"""A step across the rim larger than this is taken for an edge of the picture and left alone."""

SEAM_CERTAIN = 0.03
"""Weight of the rim near a cell from which on its own cast is believed, and not that of the cells around it."""

FEATHER_PX = 2
"""Width in pixels of the band inside the hole in which the fill fades into its nearest known pixel."""

CLONE_RIM = 3
"""OpenCV narrows what it clones by so many pixels all around."""


def composite(image: FloatArray, missing: BoolArray, filled: FloatArray) -> FloatArray:
    """`filled` in the hole, `image` everywhere else."""
    result = np.ascontiguousarray(image).copy()
    cv2.copyTo(np.ascontiguousarray(filled, dtype=result.dtype), missing.astype(np.uint8), result)
    return result


def match_seam(image: FloatArray, missing: BoolArray, filled: FloatArray) -> FloatArray:
    """The fill with its colour cast against the surroundings taken away, measured along the rim and carried inward.

    Only the low frequencies of the step across the rim are corrected, so that texture and edges which run into the
    hole stay.
    """
    result = composite(image, missing, filled)
    if not missing.any() or missing.all():
        return result
    box = hole_box(missing, SEAM_RING)
    hole = missing[box].astype(np.uint8)
    inner = cv2.distanceTransform(hole, cv2.DIST_L2, cv2.DIST_MASK_5) <= SEAM_RING
    outer = cv2.distanceTransform(1 - hole, cv2.DIST_L2, cv2.DIST_MASK_5) <= SEAM_RING
    inside, inside_weight = _ring_colour(filled[box], inner & (hole == 1))
    outside, outside_weight = _ring_colour(image[box], outer & (hole == 0))
    step = outside - inside
    step *= np.exp(-np.square(np.abs(step).max(axis=2, keepdims=True) / SEAM_EDGE))
    weight = np.minimum(inside_weight, outside_weight)
    cast = _carried_inward(step * weight[..., None], weight)
    result[box] += cv2.resize(cast, hole.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(*hole.shape, -1)
    return composite(image, missing, np.clip(result, 0, 1, out=result))


def feather(image: FloatArray, missing: BoolArray, filled: FloatArray, width: int = FEATHER_PX) -> FloatArray:
    """The fill faded, over `width` pixels inside the hole, into the colour of the nearest known pixel.

    Hides the hard line where a slightly wrong fill meets the photo.
    """
    result = composite(image, missing, filled)
    if width <= 0 or not missing.any() or missing.all():
        return result
    box = hole_box(missing, 1)
    hole, known_colours = missing[box], image[box].reshape(-1, image.shape[2])
    depth, nearest = cv2.distanceTransformWithLabels(
        hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    place_of = np.zeros(int(nearest.max()) + 1, np.int64)
    place_of[nearest[~hole]] = np.flatnonzero(~hole)
    band = hole & (depth <= width)
    share = (1 - depth[band] / (width + 1))[:, None]
    faded = result[box]
    faded[band] += share * (known_colours[place_of[nearest[band]]] - faded[band])
    return result


def poisson(completed: FloatArray, hole: BoolArray) -> FloatArray:
    """The completed image with the hole's gradients kept and its colours made to meet the surroundings, as GLCIC does.

    A fast-marching fill of radius 1 is the ground on which the hole is cloned, so that nothing of the lost pixels is
    read; it is what remains of the hole's outermost `CLONE_RIM` pixels. Parts narrower than two rims and a pixel, which
    would be nothing but ground, and a hole that touches the border come back as they came. The change is computed in 8
    bit and added to the fill.
    Source: Iizuka et al. 2017, simple post-processing, and the authors' code.
    """
    wide = _wide(hole)
    touches = wide[0].any() or wide[-1].any() or wide[:, 0].any() or wide[:, -1].any()
    if touches or not wide.any():
        return completed
    source = to_bytes(completed)
    ground = cv2.inpaint(source, wide.astype(np.uint8), 1, cv2.INPAINT_TELEA)
    left, top, width, height = cv2.boundingRect(wide.view(np.uint8))
    centre = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(source, ground, wide.astype(np.uint8) * 255, centre, cv2.NORMAL_CLONE)
    change = from_bytes(cloned) - from_bytes(source)
    return composite(completed, wide, np.clip(completed + change, 0, 1))


def wide_parts(mask: BoolArray) -> Iterator[tuple[tuple[slice, slice], BoolArray]]:
    """The connected parts of a mask that `poisson` changes, each as a window around it and its hole in there."""
    if not mask.any():
        return
    box = hole_box(mask, CLONE_RIM)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_wide(mask[box]).view(np.uint8), connectivity=8)
    for number in range(1, count):
        left, top, width, height, _ = (int(each) for each in stats[number])
        rows = slice(max(top - CLONE_RIM, 0), top + height + CLONE_RIM)
        columns = slice(max(left - CLONE_RIM, 0), left + width + CLONE_RIM)
        part = labels[rows, columns] == number
        down, along = box[0].start + rows.start, box[1].start + columns.start
        yield (slice(down, down + part.shape[0]), slice(along, along + part.shape[1])), part


def hole_box(missing: BoolArray, margin: int = 0) -> tuple[slice, slice]:
    """The box around all missing pixels and `margin` more on every side, within the image, as slices."""
    left, top, width, height = cv2.boundingRect(missing.view(np.uint8))
    rows = slice(max(top - margin, 0), top + height + margin)
    return rows, slice(max(left - margin, 0), left + width + margin)


def to_bytes(image: FloatArray) -> NDArray[np.uint8]:
    """[0,1] to 0..255, rounded."""
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def from_bytes(image: NDArray[Any]) -> FloatArray:
    """0..255 to [0,1]."""
    return image.astype(np.float32) / np.float32(255)


def _wide(hole: BoolArray) -> BoolArray:
    """The hole without its narrow parts: what squares of two rims and a pixel inside it cover."""
    square = np.ones((2 * CLONE_RIM + 1, 2 * CLONE_RIM + 1), np.uint8)
    return cv2.morphologyEx(hole.astype(np.uint8), cv2.MORPH_OPEN, square).astype(bool)


def _blur(values: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur of an (H, W) or (H, W, C) array, nothing beyond the border."""
    blurred = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float32).reshape(values.shape)


def _ring_colour(image: FloatArray, ring: BoolArray) -> tuple[FloatArray, FloatArray]:
    """The ring's colour around every cell of SEAM_CELL pixels, and how much of the ring lies near it."""
    height, width = ring.shape
    cells = max(1, round(width / SEAM_CELL)), max(1, round(height / SEAM_CELL))
    share = ring.astype(np.float32)
    summed = cv2.resize(np.dstack([image * share[..., None], share]), cells, interpolation=cv2.INTER_AREA)
    near = _blur(np.asarray(summed, np.float32).reshape(cells[1], cells[0], -1), SEAM_SIGMA / SEAM_CELL)
    colour = near[..., :-1] / np.maximum(near[..., -1:], 1e-6)
    return np.asarray(colour, np.float32), near[..., -1]


def _carried_inward(total: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted sums (H, W, C) over their weights (H, W), and where there is no weight, what lies around.

    Goes down to ever coarser cells, where everything has some weight, and fills on the way up.
    """
    height, width = weight.shape
    if max(height, width) <= 2:
        mean = total.sum(axis=(0, 1)) / max(float(weight.sum()), 1e-6)
        return np.broadcast_to(mean, total.shape).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    coarse = np.asarray(cv2.resize(np.dstack([total, weight]), half, interpolation=cv2.INTER_AREA), np.float32)
    around = cv2.resize(
        _carried_inward(coarse[..., :-1], coarse[..., -1]), (width, height), interpolation=cv2.INTER_LINEAR
    )
    own = np.clip(weight / SEAM_CERTAIN, 0, 1)[..., None]
    return np.asarray(own * total / np.maximum(weight, 1e-6)[..., None] + (1 - own) * around, np.float32)
