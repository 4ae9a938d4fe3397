"""What is missing, as people say it: a mask file, the photo's own alpha, a marker colour, boxes, annotations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import MaskError, PhotoError, UsageError
from ..photo import Photo, read_bytes
from .annotations import check_size, draw_annotations, is_annotations, parse_annotations, read_annotations
from .grow import growth_of
from .read import decode_noted, fit_mask

__all__ = ["DEFAULT_TOLERANCE", "Box", "FoundMask", "find_mask", "growth_of", "parse_box"]

DEFAULT_TOLERANCE = 12
"""How far each channel of a pixel may be from the marker colour, of 255."""

Box = tuple[int, int, int, int]
"""Top, left, height, width in pixels."""

# A rim pixel this near to the marker in every channel is more marker than photo, unless the photo looks alike.
_TINTED = 96
_TINTED_SHARE = 0.1
_WAYS = "a mask file, 'alpha', 'color:#rrggbb', a COCO or LabelMe file, or boxes"


@dataclass(frozen=True, eq=False)
class FoundMask:
    """What is missing in one photo.

    `mask` is bool (H, W), True = missing. `notes` say, one sentence each, what was not taken as it stands. With
    `opaque` the filled pixels are to become opaque: `Photo.opaque_where`.
    """

    mask: np.ndarray
    notes: tuple[str, ...] = ()
    opaque: bool = False


def find_mask(
    photo: Photo,
    mask: str | Path | None,
    *,
    boxes: Sequence[Box] = (),
    invert: bool = False,
    tolerance: int | None = None,
    labels: Sequence[str] = (),
    resize: bool = False,
) -> FoundMask:
    """What is missing in a photo, from `mask` and `boxes` together.

    `mask` is one of:

    - a picture, white = missing, by the rules of `read_mask`;
    - "alpha": missing where the photo's own alpha is below half;
    - "color:#rrggbb" or "color:#rgb": missing where the photo is painted in this colour, each channel within
      `tolerance` of it in 8-bit steps (`DEFAULT_TOLERANCE` if None), in a 16-bit photo too;
    - a COCO or LabelMe file, in which the photo is looked up by its file name; `labels` chooses among its marks;
    - None, where the boxes say it all.

    `boxes` are (top, left, height, width) and are added. `invert` comes last and swaps missing and known. A picture or
    annotations of another size than the photo are an error, or brought to its size with `resize` (a picture by
    `fit_mask`), and a note. "alpha"
    and "color:..." are words only as text: a file of that name is given as a Path or with its folder.

    Raises MaskError for what cannot be read or does not fit the photo, and UsageError for a malformed colour, a box
    without pixels, an unknown label, and `tolerance` or `labels` where they mean nothing.
    """
    if mask is None and not boxes:
        raise UsageError(f"nothing says what is missing, expected {_WAYS}: give one of them")
    word = mask.strip().lower() if isinstance(mask, str) else ""
    colour = _marker(word)
    if tolerance is not None and colour is None:
        raise UsageError(
            "a tolerance is for a marker colour, expected a mask 'color:#rrggbb': give one, or leave it out"
        )
    notes: tuple[str, ...] = ()
    missing: np.ndarray | None = None
    if word == "alpha":
        missing = _transparent(photo)
    elif colour is not None:
        missing, notes = _marked(photo, colour, DEFAULT_TOLERANCE if tolerance is None else tolerance)
    elif mask is not None:
        missing, notes = _from_file(photo, mask, labels, resize)
        labels = ()
    if labels:
        raise UsageError(
            "labels are for annotations, expected a COCO or LabelMe file as mask: give one, or leave them out"
        )
    if boxes:
        missing = np.zeros(photo.size, np.bool_) if missing is None else missing
        for box in boxes:
            notes = (*notes, *_add_box(missing, box))
    assert missing is not None
    return FoundMask(np.logical_not(missing) if invert else missing, notes, opaque=word == "alpha")


def parse_box(text: str) -> Box:
    """A box (top, left, height, width) from "T,L,H,W" in whole pixels. Raises UsageError."""
    if not re.fullmatch(r"\s*-?[0-9]{1,9}(\s*,\s*-?[0-9]{1,9}){3}\s*", text):
        raise UsageError(f"box is '{text}', expected top,left,height,width in whole pixels, such as 40,60,100,80")
    top, left, height, width = (int(number) for number in text.split(","))
    return _checked_box((top, left, height, width))


def _checked_box(box: Box) -> Box:
    """A box with pixels in it."""
    if len(box) != 4 or not all(isinstance(each, int | np.integer) and not isinstance(each, bool) for each in box):
        raise UsageError(f"box is {box!r}, expected top, left, height and width in whole pixels")
    if box[2] < 1 or box[3] < 1:
        raise UsageError(
            f"box has height {box[2]} and width {box[3]}, expected at least 1 of each: the order is T,L,H,W"
        )
    return box


def _add_box(missing: np.ndarray, box: Box) -> tuple[str, ...]:
    """Mark a box in a mask of our own; a note when a part of it lies outside."""
    top, left, height, width = _checked_box(box)
    rows = slice(max(top, 0), min(top + height, missing.shape[0]))
    columns = slice(max(left, 0), min(left + width, missing.shape[1]))
    named = f"box {top},{left},{height},{width} (top, left, height, width)"
    photo = f"the photo of {missing.shape[1]} x {missing.shape[0]} pixels (width x height)"
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise MaskError(f"{named} lies outside {photo}, expected it inside: check the order of its numbers")
    missing[rows, columns] = True
    if (rows.stop - rows.start, columns.stop - columns.start) != (height, width):
        return (f"{named} reaches beyond {photo} and is cut there",)
    return ()


def _transparent(photo: Photo) -> np.ndarray:
    """True where the photo's alpha is below half."""
    if photo.alpha is None:
        raise MaskError(
            "mask is 'alpha' and the photo has no alpha channel, expected one that is transparent where it is to be "
            f"filled: give {_WAYS}"
        )
    return photo.alpha <= np.iinfo(photo.alpha.dtype).max // 2


def _marker(word: str) -> tuple[int, int, int] | None:
    """The colour that a mask names, None when it is no colour. Raises UsageError for a malformed one."""
    kind, separator, value = word.partition(":")
    if kind not in ("color", "colour") or not separator:
        return None
    digits = value.strip().removeprefix("#")
    if not re.fullmatch(r"[0-9a-f]{3}|[0-9a-f]{6}", digits):
        raise UsageError(f"marker colour is '{value}', expected three or six hexadecimal digits, such as color:#ff00ff")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _marked(photo: Photo, colour: tuple[int, int, int], tolerance: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """True where the photo is painted in a colour; a note when nothing is, or when the paint has soft rims."""
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | np.integer) or not 0 <= tolerance <= 255:
        raise UsageError(f"tolerance is {tolerance!r}, expected a whole number from 0 to 255")
    missing = _near(photo.pixels, colour, int(tolerance))
    named = "#{:02x}{:02x}{:02x}".format(*colour)
    left, top, width, height = cv2.boundingRect(missing.view(np.uint8))
    if width == 0:
        return missing, (f"no pixel of the photo is within {tolerance} of {named}",)
    window = (slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1))
    inside = missing[window].view(np.uint8)
    rim = cv2.dilate(inside, np.ones((3, 3), np.uint8)) > inside
    tinted = np.count_nonzero(_near(photo.pixels[window], colour, _TINTED) & rim)
    if tinted > _TINTED_SHARE * np.count_nonzero(rim):
        return missing, (
            f"the paint in {named} has soft rims, whose mixed colours stay in the photo: grow the mask by 2 or more "
            "pixels",
        )
    return missing, ()


def _near(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int) -> np.ndarray:
    """Where every channel is within a tolerance of a colour, both in 8-bit steps."""
    step = np.iinfo(pixels.dtype).max // 255
    lowest = tuple(max(value - tolerance, 0) * step for value in colour)
    highest = tuple(min(value + tolerance, 255) * step for value in colour)
    return cv2.inRange(np.ascontiguousarray(pixels), lowest, highest) > 0


def _from_file(
    photo: Photo, path: str | Path, labels: Sequence[str], resize: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The mask in a picture or an annotation file; which of them it is comes from its content."""
    if Path(path).suffix.lower() == ".json":
        annotations = read_annotations(path)
    else:
        try:
            data = read_bytes(path)
        except PhotoError as error:
            raise MaskError(f"mask: {error}") from error
        if not is_annotations(data[:1024]):
            if labels:
                raise UsageError(
                    f"labels are for annotations and mask '{path}' is no JSON, expected a COCO or LabelMe file: leave "
                    "them out"
                )
            mask, notes = decode_noted(data, source=str(path))
            resized = tuple(check_size(f"mask '{path}'", mask.shape, photo.size, resize=resize))
            return fit_mask(mask, photo.size), (*notes, *resized)
        annotations = parse_annotations(data, str(path))
    return draw_annotations(annotations, photo.source, photo.size, labels=labels, resize=resize)
