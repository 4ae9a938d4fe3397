"""Masks as people hand them over: a picture file, a PIL image or an array, made into one bool array, True = missing."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..errors import MaskError, PhotoError
from ..photo import DEFAULT_MAX_PIXELS, Photo, decode_photo, read_photo

# PIL mode -> what it is converted to before it is judged.
_PIL_MODES = {
    "1": "L",
    "L": "L",
    "I;16": "I;16",
    "LA": "RGBA",
    "P": "RGBA",
    "PA": "RGBA",
    "RGB": "RGBA",
    "RGBA": "RGBA",
    "CMYK": "RGBA",
    "YCbCr": "RGBA",
}
_EXPECTED_VALUES = "expected bool, integers that are all 0 or 1 or all 0 or 255, or floats that are all 0 or 1"


def read_mask(
    path: str | Path, size: tuple[int, int] | None = None, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> np.ndarray:
    """Read a mask file: bool (H, W), True (missing) where the picture is above half of its range.

    Any file that `read_photo` reads will do, with its orientation applied, in 1, 8 or 16 bits. Colour is turned to
    grey first (Rec. 601 luma, the weights PIL and OpenCV use), so white, yellow and light pink are missing and pure
    red is not. Colour profiles are ignored. The alpha channel is ignored as long as the picture itself says what is
    missing; a file whose picture is one flat colour while its alpha varies could be meant either way and is refused.
    So is a file that holds only the values 0 and 1, which would read as an empty mask.

    `size` is the (height, width) of the photo the mask belongs to. Raises MaskError.
    """
    try:
        photo = read_photo(path, max_pixels=max_pixels)
    except PhotoError as error:
        raise MaskError(f"mask: {error}") from error
    return _mask_of_photo(photo, size, f"mask '{path}'")


def decode_mask(
    data: bytes, size: tuple[int, int] | None = None, *, source: str = "", max_pixels: int = DEFAULT_MAX_PIXELS
) -> np.ndarray:
    """Decode a mask file held in memory by the rules of `read_mask`; `source` is the name used in messages."""
    return decode_noted(data, size, source=source, max_pixels=max_pixels)[0]


def decode_noted(
    data: bytes, size: tuple[int, int] | None = None, *, source: str = "", max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`decode_mask`, and a note on a picture that is not black and in which nothing is missing all the same."""
    try:
        photo = decode_photo(data, source=source, max_pixels=max_pixels)
    except PhotoError as error:
        raise MaskError(f"mask: {error}") from error
    name = f"mask '{source}'" if source else "mask"
    mask = _mask_of_photo(photo, size, name)
    if mask.any() or not photo.pixels.any():
        return mask, ()
    kind = "it has grey values" if photo.grey else "it has colours, of which pure red and blue count as dark,"
    return mask, (f"{name} is not black, but {kind} of at most half brightness only: paint what is missing white",)


def fit_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask at another (height, width): enlarged by nearest neighbour, shrunk so that nothing thin is lost.

    Where it is shrunk, a pixel is missing when anything of what it covers is missing.
    """
    for axis, (own, wanted) in enumerate(zip(mask.shape, size, strict=True)):
        places = np.arange(wanted, dtype=np.int64)
        if own > wanted:
            last = -(-(places + 1) * own // wanted) - 1  # shared with the next pixel where the sides do not divide
            mask = np.logical_or.reduceat(mask, places * own // wanted, axis=axis) | mask.take(last, axis=axis)
        elif own < wanted:
            mask = mask.take((2 * places + 1) * own // (2 * wanted), axis=axis)
    return np.ascontiguousarray(mask)


def as_mask(mask: np.ndarray | Image.Image, size: tuple[int, int] | None = None) -> np.ndarray:
    """Check a mask held in memory and return it as bool (H, W), True = missing.

    Arrays are (H, W) or (H, W, 1) and strictly two-valued: bool, integers holding only {0, 1} or only {0, 255}, or
    floats holding only 0 and 1. Nothing is thresholded: an array with other values was not meant as a mask. A bool
    array comes back without a copy. PIL images are read as mask files are (above half range = missing), but with their
    pixels as PIL shows them, unturned; one holding only 0 and 1 is taken at its word.

    `size` is the (height, width) of the photo the mask belongs to. Raises MaskError.
    """
    if isinstance(mask, Image.Image):
        return _mask_of_pil(mask, size)
    if not isinstance(mask, np.ndarray):
        raise MaskError(f"mask is a {type(mask).__name__}, expected a NumPy array or a PIL image: convert it first")
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[..., 0]
    if mask.ndim != 2 or mask.size == 0:
        raise MaskError(
            f"mask array has shape {mask.shape}, expected (height, width) or (height, width, 1), neither of them 0: "
            "pass one channel"
        )
    return _checked_size(_two_valued(mask), size, "mask array")


def _mask_of_photo(photo: Photo, size: tuple[int, int] | None, name: str) -> np.ndarray:
    """The mask in a decoded file."""
    picture = photo.pixels[..., 0] if photo.grey else photo.pixels
    mask = _above_half(picture, photo.alpha, name)
    if not mask.any() and picture.max() == 1:
        raise MaskError(f"{name} holds only the values 0 and 1, expected white (255) for missing: multiply it by 255")
    return _checked_size(mask, size, name)


def _mask_of_pil(image: Image.Image, size: tuple[int, int] | None) -> np.ndarray:
    """The mask in a PIL image."""
    name = f"mask image of mode {image.mode}"
    if image.mode not in _PIL_MODES or 0 in image.size:
        raise MaskError(f"{name} and size {image.size}, expected pixels of one of {', '.join(_PIL_MODES)}: convert it")
    try:
        picture = np.asarray(image.convert(_PIL_MODES[image.mode]))
    except Exception as error:  # a lazily opened file is decoded here
        raise MaskError(f"{name} cannot be decoded ({error}), expected a whole picture: open it afresh") from error
    if picture.ndim == 2:
        mask = picture == 1 if picture.max() == 1 else _above_half(picture, None, name)
    elif picture[..., :3].max() == 1:
        mask = cv2.cvtColor(picture, cv2.COLOR_RGBA2GRAY) == 1
    else:
        mask = _above_half(picture[..., :3], picture[..., 3], name)
    return _checked_size(mask, size, "mask image")


def _above_half(picture: np.ndarray, alpha: np.ndarray | None, name: str) -> np.ndarray:
    """True where a picture, grey (H, W) or RGB (H, W, 3), is above half of its range."""
    if alpha is not None and alpha.min() != alpha.max() and bool((picture == picture[0, 0]).all()):
        raise MaskError(
            f"{name} is one flat colour and only its alpha channel varies, expected white for missing on black: "
            "flatten it onto a black background"
        )
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return grey > np.iinfo(grey.dtype).max // 2


def _two_valued(mask: np.ndarray) -> np.ndarray:
    """The bool array of a two-valued one; np.unique would sort 12 million values, counting does not."""
    if mask.dtype == np.bool_:
        return mask
    if mask.dtype.kind not in "iuf":
        raise MaskError(f"mask array is of type {mask.dtype}, {_EXPECTED_VALUES}: convert it")
    missing = mask != 0
    count = np.count_nonzero(missing)
    highs = (1, 255) if mask.dtype.kind in "iu" else (1,)
    if not any(np.count_nonzero(mask == high) == count for high in highs):
        raise MaskError(
            f"mask array of {mask.dtype} holds values from {mask.min()} to {mask.max()}, {_EXPECTED_VALUES}: "
            "compare it with your own threshold first"
        )
    return missing


def _checked_size(mask: np.ndarray, size: tuple[int, int] | None, name: str) -> np.ndarray:
    """The mask itself when it has the photo's size."""
    if size is not None and mask.shape != tuple(size):
        height, width = size
        raise MaskError(
            f"{name} is {mask.shape[1]} x {mask.shape[0]} pixels (width x height) and the photo {width} x {height}, "
            "expected equal sizes: resize the mask to the photo's size by nearest neighbour"
        )
    return mask
