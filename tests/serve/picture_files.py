"""Small pictures as files, and files as pictures."""

import cv2
import numpy as np

SIZE = (60, 80)
HOLE = (20, 30, 12, 16)
"""Top, left, height, width of what is missing."""


def png(pixels: np.ndarray) -> bytes:
    """Pixels (H, W), (H, W, 3) RGB or (H, W, 4) RGBA as a PNG."""
    return cv2.imencode(".png", _swapped(pixels))[1].tobytes()


def jpeg(pixels: np.ndarray) -> bytes:
    """RGB pixels as a JPEG."""
    return cv2.imencode(".jpg", _swapped(pixels), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def decoded(content: bytes) -> np.ndarray:
    """A file's pixels, grey, RGB or RGBA, at its own depth."""
    return _swapped(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))


def hole_mask(size: tuple[int, int] = SIZE, hole: tuple[int, int, int, int] = HOLE) -> np.ndarray:
    """A bool mask with one box missing."""
    mask = np.zeros(size, bool)
    top, left, height, width = hole
    mask[top : top + height, left : left + width] = True
    return mask


def white(mask: np.ndarray) -> bytes:
    """A bool mask as a file."""
    return png(np.where(mask, 255, 0).astype(np.uint8))


def _swapped(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
