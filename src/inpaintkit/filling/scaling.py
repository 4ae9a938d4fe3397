"""Crops brought to an engine's working size and back, in bounded memory whatever the photo's size and number format.

Images are (H, W, 3), masks bool (H, W) with True = missing.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

STRIP_PIXELS = 1 << 20
"""Pixels of a crop that are turned to float at once."""

CUBIC = np.float64(-0.75)
"""Keys' parameter as OpenCV has it."""


def to_unit(pixels: NDArray[Any]) -> FloatArray:
    """Pixels (H, W, C) of any number format as float32 (H, W, 3) in [0,1]; one channel is repeated. Always a copy."""
    scaled = pixels.astype(np.float32)
    if pixels.dtype.kind == "u":
        scaled *= np.float32(1 / np.iinfo(pixels.dtype).max)
    return np.repeat(scaled, 3, axis=2) if pixels.shape[2] == 1 else scaled


def from_unit(values: FloatArray, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in another number format, what lies beyond [0,1] cut off."""
    values = np.clip(values, 0, 1)
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.rint(values * np.float32(np.iinfo(dtype).max)).astype(dtype)


def shrink_crop(image: NDArray[Any], missing: BoolArray, shape: tuple[int, int]) -> tuple[FloatArray, BoolArray]:
    """The crop, float32 in [0,1], and its mask at a smaller `shape` (height, width): no hole bleeds into a known pixel.

    Known pixels are area-averaged among themselves; a small pixel that touches a missing one is missing, and shows the
    mean of the known ones it covers, or 0. `image` may be of any number format and is read strip by strip.
    """
    height, width = shape
    rows_in, columns_in = missing.shape
    total = np.zeros((height, width * 4), np.float64)
    step = max(1, STRIP_PIXELS // columns_in)
    for first in range(0, rows_in, step):
        strip = slice(first, min(first + step, rows_in))
        known = (~missing[strip]).astype(np.float32)
        seen = np.dstack([to_unit(image[strip]) * known[..., None], known])
        narrow = cv2.resize(seen, (width, len(seen)), interpolation=cv2.INTER_AREA)
        rows, share = _covered(strip, rows_in, height)
        total[rows] += share @ np.asarray(narrow, np.float64).reshape(len(seen), -1)
    planes = total.reshape(height, width, 4)
    weight = planes[..., 3]
    small = planes[..., :3] / np.maximum(weight, 1e-6)[..., None]
    small[weight <= 1e-6] = 0
    return np.clip(small, 0, 1).astype(np.float32), weight < 1 - 1e-5


def enlarge_crop(filled: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """A fill at working size brought back to the crop's `shape` (height, width), cubic, within [0,1]."""
    return enlarge_window(filled, shape, (slice(0, shape[0]), slice(0, shape[1])))


def enlarge_window(filled: FloatArray, shape: tuple[int, int], window: tuple[slice, slice]) -> FloatArray:
    """A window, two slices, of what `enlarge_crop` makes, without the rest."""
    rows, down = _cubic_weights(window[0], filled.shape[0], shape[0])
    columns, along = _cubic_weights(window[1], filled.shape[1], shape[1])
    part = filled[rows, columns]
    tall = (down @ part.reshape(len(part), -1)).reshape(len(down), part.shape[1], -1)
    return np.clip(np.matmul(along, tall), 0, 1, dtype=np.float32)


def _covered(strip: slice, size: int, small_size: int) -> tuple[slice, NDArray[np.float64]]:
    """The small rows that a strip of rows lies in, and the share of each that every row of the strip covers."""
    scale = size / small_size
    rows = slice(int(strip.start / scale), min(int(np.ceil(strip.stop / scale)), small_size))
    edges = np.arange(rows.start, rows.stop + 1)[:, None] * scale
    inside = np.arange(strip.start, strip.stop)
    covered = np.minimum(edges[1:], inside + 1) - np.maximum(edges[:-1], inside)
    return rows, np.clip(covered, 0, None) / scale


def _cubic_weights(span: slice, size: int, large_size: int) -> tuple[slice, FloatArray]:
    """The small pixels that a span of large ones is made of, and their weights (span, small pixels)."""
    centre = (np.arange(span.start, span.stop) + 0.5) * (size / large_size) - 0.5
    first = np.floor(centre).astype(np.int64)
    taps = first[:, None] + np.arange(-1, 3)
    distance = np.abs(centre[:, None] - taps)
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    weight = np.where(distance <= 1, near, far)
    taps = np.clip(taps, 0, size - 1)
    used = slice(int(taps.min()), int(taps.max()) + 1)
    weights = np.zeros((len(centre), used.stop - used.start), np.float64)
    np.add.at(weights, (np.arange(len(centre))[:, None], taps - used.start), weight)
    return used, weights.astype(np.float32)
