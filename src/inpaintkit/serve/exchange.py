"""Between bytes and photos: what comes in is checked before it is decoded, what goes out is encoded once."""

import base64
import secrets
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np

from ..errors import InpaintError, MaskError, PhotoError, UsageError
from ..filling.inpainter import FillReport
from ..masks.read import decode_noted
from ..masks.sources import Box, find_mask
from ..photo import (
    SUFFIXES,
    Photo,
    check_format,
    decode_photo,
    encode_photo,
    encoded_size,
    write_bytes,
    write_notes,
)
from .problems import Problem

MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}
FORMAT_SUFFIXES = {name: suffix for suffix, name in reversed(SUFFIXES.items())}
_WITHOUT_QUALITY = ("PNG", "TIFF")


@dataclass(frozen=True)
class Output:
    """How a result is written: a format (None: the photo's own) and a quality."""

    format: str | None = None
    quality: int | None = None


@dataclass(frozen=True, eq=False)
class Encoded:
    """A result as a file, and what is told with it."""

    content: bytes
    media_type: str
    name: str
    width: int
    height: int
    seconds: float = 0.0
    model: str = ""
    notes: tuple[str, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """What goes beside the file."""
        headers = {
            "Content-Disposition": disposition(self.name),
            "X-Fill-Seconds": f"{self.seconds:.3f}",
        }
        if self.notes:
            headers["X-Fill-Notes"] = " ".join("; ".join(self.notes).split()).encode("ascii", "replace").decode()
        return headers

    @property
    def facts(self) -> dict[str, object]:
        """The same as JSON, the file in base64."""
        return {"image": base64.b64encode(self.content).decode(), **self.about}

    @property
    def about(self) -> dict[str, object]:
        """The facts without the file."""
        return {
            "media_type": self.media_type,
            "width": self.width,
            "height": self.height,
            "seconds": round(self.seconds, 3),
            "model": self.model,
            "notes": list(self.notes),
        }


def size_of(content: bytes, max_pixels: int) -> tuple[int, int]:
    """Height and width of a photo file by its header. Raises Problem for what is no photo, or too large a one."""
    try:
        height, width = encoded_size(content)
    except PhotoError as error:
        raise Problem("unreadable-photo", str(error)) from error
    if height * width > max_pixels:
        raise Problem(
            "too-large",
            f"the photo has {width} x {height} pixels, expected at most {max_pixels:,} here: scale it down",
        )
    return height, width


def photo_of(content: bytes, max_pixels: int) -> Photo:
    """The photo in a file that was sent. Raises Problem."""
    size_of(content, max_pixels)
    try:
        return decode_photo(content, max_pixels=max_pixels)
    except PhotoError as error:
        raise Problem("damaged-photo", str(error)) from error


def mask_of(content: bytes, size: tuple[int, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The mask in a file that was sent, which must have a photo's size. Raises Problem and MaskError."""
    try:
        given = encoded_size(content)
    except PhotoError as error:
        raise Problem("bad-mask", f"mask: {error}") from error
    if given != size:
        raise MaskError(
            f"mask is {given[1]} x {given[0]} pixels (width x height) and the photo {size[1]} x {size[0]}, expected "
            "equal sizes: resize the mask to the photo's size by nearest neighbour"
        )
    return decode_noted(content, size, max_pixels=size[0] * size[1])


def window_mask_of(content: bytes, max_pixels: int) -> np.ndarray:
    """The mask of a window, of any size. Raises Problem and MaskError."""
    try:
        height, width = encoded_size(content)
    except PhotoError as error:
        raise Problem("bad-mask", f"mask: {error}") from error
    if height * width > max_pixels:
        raise Problem("too-large", f"the mask has {width} x {height} pixels, expected at most {max_pixels:,}: crop it")
    return decode_noted(content, max_pixels=max_pixels)[0]


def marked(photo: Photo, mask: bytes | None, boxes: list[Box]) -> tuple[np.ndarray, tuple[str, ...]]:
    """What is missing by a mask file and boxes together, and notes. Raises Problem, MaskError and UsageError."""
    if mask is None and not boxes:
        raise UsageError("nothing says what is missing, expected a mask or a box: send one of them")
    missing, notes = (np.zeros(photo.size, np.bool_), ()) if mask is None else mask_of(mask, photo.size)
    if boxes:
        found = find_mask(photo, None, boxes=boxes)
        missing, notes = missing | found.mask, (*notes, *found.notes)
    return missing, notes


def check_output(photo: Photo, output: Output) -> str:
    """The format that will be written. Raises UsageError and PhotoError for one that cannot hold the photo."""
    try:
        chosen = check_format(photo, output.format, quality=output.quality)
    except InpaintError as error:
        raise Problem("bad-option", str(error)) from error
    if output.quality is not None and chosen in _WITHOUT_QUALITY:
        raise UsageError(f"quality means nothing to {chosen}, in which the result is written: leave it out")
    return chosen


def encoded(
    photo: Photo,
    output: Output,
    name: str,
    *,
    report: FillReport | None = None,
    notes: tuple[str, ...] = (),
    unchanged: bytes | None = None,
) -> Encoded:
    """A photo as a file in its own format, or another. `unchanged` is the file it came in, where nothing was filled."""
    chosen = check_output(photo, output)
    if unchanged is not None and chosen == photo.format and output.quality is None:
        content = unchanged
    else:
        content = encode_photo(photo, chosen, quality=output.quality)
        notes = (*notes, *photo.notes, *write_notes(photo, chosen))
    return Encoded(
        content,
        MEDIA_TYPES[chosen],
        f"{PurePosixPath(name).stem or 'photo'}-filled{FORMAT_SUFFIXES[chosen]}",
        photo.size[1],
        photo.size[0],
        0.0 if report is None else report.seconds,
        "" if report is None else report.model,
        notes,
    )


def save(result: Encoded, folder: Path | None) -> None:
    """Write a result under a name of our own, where results are to be saved. Raises PhotoError."""
    if folder is not None:
        suffix = PurePosixPath(result.name).suffix
        write_bytes(result.content, folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}{suffix}")


def disposition(name: str) -> str:
    """The header that names a download, for old programs and new ones."""
    plain = "".join(letter if (letter.isascii() and letter.isalnum()) or letter in "-_." else "_" for letter in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
