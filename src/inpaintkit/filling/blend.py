"""Where a fill meets the photo: composite, seam colour match, feather and Poisson blending, all of it inside the hole.

Nothing here changes a known pixel. Images are float32 (H, W, 3) in [0,1], masks bool (H, W) with True = missing.
"""

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

SEAM_REACH = 32.0
"""Distance in pixels from the rim over which the colour match fades to 1/e."""

SEAM_EDGE = 0.2
"""A step across the rim larger than this is taken for an edge of the picture and left alone."""

FEATHER_PX = 2
"""Width in pixels of the band inside the hole in which the fill fades into its nearest known pixel."""


def composite(image: FloatArray, missing: BoolArray, filled: FloatArray) -> FloatArray:
    """`filled` in the hole, `image` everywhere else."""
    return np.where(missing[..., None], filled, image)


def match_seam(image: FloatArray, missing: BoolArray, filled: FloatArray) -> FloatArray:
    """The fill with its colour cast against the surroundings taken away: strongest at the rim, fading inward.

    Only the low frequencies of the step across the rim are corrected, so that texture and edges which run into the
    hole stay.
    """
    result = composite(image, missing, filled)
    if not missing.any() or missing.all():
        return result
    box = _around(missing, SEAM_RING)
    hole = missing[box].astype(np.uint8)
    depth = cv2.distanceTransform(hole, cv2.DIST_L2, cv2.DIST_MASK_5)
    height = cv2.distanceTransform(1 - hole, cv2.DIST_L2, cv2.DIST_MASK_5)
    inside, inside_weight = _ring_colour(filled[box], (hole == 1) & (depth <= SEAM_RING))
    outside, outside_weight = _ring_colour(image[box], (hole == 0) & (height <= SEAM_RING))
    step = outside - inside
    trust = np.minimum(inside_weight, outside_weight)[..., None]
    trust = trust * np.exp(-np.square(np.abs(step).max(axis=2, keepdims=True) / SEAM_EDGE))
    weight = _blur(inside_weight + outside_weight, 2 * SEAM_SIGMA / SEAM_CELL)
    spread = _blur(trust[..., 0], 2 * SEAM_SIGMA / SEAM_CELL)
    cast = _blur(step * trust, 2 * SEAM_SIGMA / SEAM_CELL) / np.maximum(spread, 1e-6)[..., None]
    cast *= np.clip(4 * spread / np.maximum(weight, 1e-6), 0, 1)[..., None]
    cast = cv2.resize(cast, hole.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(*hole.shape, -1)
    fade = np.exp(-np.maximum(depth - 1, 0) / SEAM_REACH)
    result[box] += np.where(hole[..., None] == 1, cast * fade[..., None], np.float32(0))
    return composite(image, missing, np.clip(result, 0, 1, out=result))


def feather(image: FloatArray, missing: BoolArray, filled: FloatArray, width: int = FEATHER_PX) -> FloatArray:
    """The fill faded, over `width` pixels inside the hole, into the colour of the nearest known pixel.

    Hides the hard line where a slightly wrong fill meets the photo.
    """
    result = composite(image, missing, filled)
    if width <= 0 or not missing.any() or missing.all():
        return result
    box = _around(missing, 1)
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
    read. Computed in 8 bit. A hole that touches the border, or none, is returned as it came.
    Source: Iizuka et al. 2017, simple post-processing, and the authors' code.
    """
    touches = hole[0].any() or hole[-1].any() or hole[:, 0].any() or hole[:, -1].any()
    if touches or not hole.any():
        return completed
    source = to_bytes(completed)
    ground = cv2.inpaint(source, hole.astype(np.uint8), 1, cv2.INPAINT_TELEA)
    left, top, width, height = cv2.boundingRect(hole.view(np.uint8))
    centre = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(source, ground, hole.astype(np.uint8) * 255, centre, cv2.NORMAL_CLONE)
    return composite(completed, hole, from_bytes(cloned))


def to_bytes(image: FloatArray) -> NDArray[np.uint8]:
    """[0,1] to 0..255, rounded."""
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def from_bytes(image: NDArray[Any]) -> FloatArray:
    """0..255 to [0,1]."""
    return image.astype(np.float32) / np.float32(255)


def _around(missing: BoolArray, margin: int) -> tuple[slice, slice]:
    """The box around all missing pixels and `margin` more on every side, within the image."""
    left, top, width, height = cv2.boundingRect(missing.view(np.uint8))
    rows = slice(max(top - margin, 0), top + height + margin)
    return rows, slice(max(left - margin, 0), left + width + margin)


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
    near = _blur(summed.reshape(cells[1], cells[0], -1), SEAM_SIGMA / SEAM_CELL)
    colour = near[..., :-1] / np.maximum(near[..., -1:], 1e-6)
    return np.asarray(colour, np.float32), near[..., -1]
