"""Photo files and pixels: the only place of the package that decodes or encodes photo files.

Read: PNG, JPEG, WebP, TIFF, AVIF, and single-picture GIF and BMP. Written: PNG, JPEG, WebP, TIFF, AVIF. HEIC and other
HEIF files are read and written where the extra `[heif]` is installed.

Kept from file to file: every pixel (bit for bit where the format allows, see `is_lossless`), 16-bit depth in PNG and
TIFF, alpha and the colours under it, ICC profile, EXIF, XMP, resolution, JPEG comment, PNG text and colour chunks,
JPEG quantisation tables and subsampling. Settled on reading: orientation is applied once and its tag removed, and
thumbnails in EXIF and XMP are taken out, because they would go on showing what was filled away. Converted on reading,
each named in `Photo.notes`: palette, 1-bit, CMYK, premultiplied alpha, colour-key transparency, AVIF above 8 bits, HEIF
of 10 or 12 bits (held in 16). Not kept: further pictures of a multi-picture JPEG or HEIF, depth and gain maps of HEIF,
Photoshop resource blocks, proprietary segments.
"""

import io
import logging
import math
import os
import re
import secrets
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import tifffile
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from .errors import PhotoError, UsageError, unknown_name

# tifffile tells of odd files through its logger, which without any handler writes to standard error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

DEFAULT_MAX_PIXELS = 200_000_000

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
}
READABLE = "PNG, JPEG, WebP, TIFF, AVIF, HEIC, BMP or a single-picture GIF"
WRITABLE = "PNG, JPEG, WebP, TIFF, AVIF or HEIC"

# Used where a lossy file is written and its source says nothing about quality.
DEFAULT_QUALITY = {"JPEG": 95, "WEBP": 92, "AVIF": 90, "HEIF": 90}
SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
"""How finely a lossy format may hold colour beside brightness: as it is, half as wide, half as wide and high."""

_SUBSAMPLED = ("JPEG", "AVIF", "HEIF")
_LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_536, "HEIF": 16_384}
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
}
# Files that people hand over by mistake or in hope, so that the message can name them.
_OTHER_MAGIC = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!DOCTYPE": "web page",
}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Chunks that say something about the colours, or in words about the photo, and stay true when its pixels change.
_KEPT_PNG_CHUNKS = {b"cICP", b"mDCV", b"cLLI", b"gAMA", b"cHRM", b"sRGB", b"tEXt", b"zTXt", b"iTXt"}
# EXIF and XMP in the text form of older tools; they are written in their own chunks.
_RAW_PROFILES = tuple(b"Raw profile type " + name for name in (b"exif", b"APP1", b"xmp", b"icc", b"icm"))
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:=["']|>))[2-8]""")
_XMP_THUMBNAIL = re.compile(rb"""(<xmpGImg:image\b[^>]*>|\bxmpGImg:image\s*=\s*["'])[^<"']*""")
# Description, maker, model, software, date, artist, copyright: what TIFF keeps beside the tags of its pixels.
_TIFF_TEXT_TAGS = (270, 271, 272, 305, 306, 315, 33432)
_EXIF_GROUPS = (0x8769, 0x8825)
_COLOUR_KEY_NOTE = "the transparent colour is turned into an alpha channel"
_PREMULTIPLIED_NOTE = "premultiplied alpha is divided out"
_DRAWN_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 4, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT)
_TO_8_BITS = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
_SAMPLES_AT_ONCE = 1 << 22
_PILLOW_LIMIT_LOCK = threading.Lock()
# Formats without a place for the resolution but in EXIF.
_DPI_IN_EXIF = ("WEBP", "AVIF", "HEIF")
_EXIF_PREFIX = b"Exif\x00\x00"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = b"XML:com.adobe.xmp"
# A JPEG segment holds 65,533 bytes; XMP spends 29 of them on its name.
_LARGEST_SEGMENT = {"exif": 65_533, "xmp": 65_504}


@dataclass(frozen=True)
class JpegSettings:
    """How a JPEG file was encoded, so that it can be encoded alike.

    `tables` are the quantisation tables in natural order, 64 numbers each; `subsampling` is Pillow's number
    (0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0) or None where the source used another, which is then written as 4:4:4.
    """

    tables: tuple[tuple[int, ...], ...] = ()
    subsampling: int | None = None
    progressive: bool = False
    comment: bytes = b""


@dataclass(frozen=True)
class HeifSettings:
    """How a HEIF file was encoded, so that it can be encoded alike.

    `bits` per channel are 8, 10 or 12; `subsampling` is one of `SUBSAMPLINGS`, None for grey. `colours` are the numbers
    of primaries, transfer and matrix (ITU-T H.273) of a file without a profile. `light` is what an HDR file says about
    its brightness, by pillow-heif's names.
    """

    bits: int = 10
    subsampling: str | None = None
    colours: tuple[int, ...] | None = None
    light: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, eq=False)
class Photo:
    """One upright photo: its pixels, and all that its file says about them.

    `pixels` is (H, W, 3) RGB, uint8 or uint16, and `alpha` (H, W) of the same type or None. `grey` says that the
    source had one colour channel; it is written so again as long as the three channels are equal. `format` is the
    format it is written in when nobody names another. `exif` starts with the six bytes `Exif 0 0` and holds neither
    orientation nor thumbnail. `dpi` is (horizontal, vertical). `lossless` says that the source file kept its pixels
    bit for bit. `png_chunks` are whole chunks (text, colour space) that only PNG can keep. `notes` are the
    conversions made on reading, one sentence each.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    format: str = "PNG"
    icc: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    xmp: bytes | None = field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    lossless: bool = True
    jpeg: JpegSettings | None = field(default=None, repr=False)
    heif: HeifSettings | None = field(default=None, repr=False)
    png_chunks: tuple[bytes, ...] = field(default=(), repr=False)
    source: Path | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels, alpha = self.pixels, self.alpha
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0 or pixels.dtype not in (np.uint8, np.uint16):
            raise PhotoError(
                f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 or uint16 (height, width, 3) RGB with no "
                "side of 0: convert them first"
            )
        if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
            raise PhotoError(
                f"alpha is {alpha.dtype} {alpha.shape}, expected {pixels.dtype} {pixels.shape[:2]} as the pixels have: "
                "give it their size and type"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def bits(self) -> int:
        """Bits per channel: 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    def replace_pixels(self, pixels: np.ndarray) -> "Photo":
        """The same photo with other pixels of the same shape and type; everything else about it stays."""
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            raise PhotoError(
                f"new pixels are {pixels.dtype} {pixels.shape}, expected {self.pixels.dtype} {self.pixels.shape} as "
                "the photo has: keep its size and type"
            )
        return replace(self, pixels=pixels)

    def opaque_where(self, mask: np.ndarray) -> "Photo":
        """The same photo with full alpha wherever `mask`, bool (H, W), is True; a photo without alpha as it is."""
        if mask.shape != self.size or mask.dtype != np.bool_:
            raise PhotoError(
                f"mask is {mask.dtype} {mask.shape}, expected bool {self.size}, the photo's size: pass it through "
                "as_mask"
            )
        if self.alpha is None:
            return self
        return replace(self, alpha=np.where(mask, self.alpha.dtype.type(np.iinfo(self.alpha.dtype).max), self.alpha))


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_photo(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """Read a photo file, upright, with all its tags; what it is comes from its content, not from its name.

    `max_pixels` is compared with the size in the header before anything is decoded. Raises PhotoError for a missing,
    damaged, animated, too large or unknown file.
    """
    return replace(decode_photo(read_bytes(path), source=str(path), max_pixels=max_pixels), source=Path(path))


def read_bytes(path: str | Path) -> bytes:
    """The content of a photo file, for `decode_photo`. Raises PhotoError for a file that is missing or not readable."""
    with _opened(Path(path)) as file:
        return file.read()


def photo_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a photo file as `read_photo` would give it, from its header: no pixel is decoded.

    A file that is damaged behind its header has a size too. Raises PhotoError for what is no photo.
    """
    path = Path(path)
    with _opened(path) as file:
        return _size_in_header(file, f"'{path}'")


def encoded_size(data: bytes, *, source: str = "") -> tuple[int, int]:
    """`photo_size` of a photo file held in memory; `source` is the name used in messages."""
    return _size_in_header(io.BytesIO(data), f"'{source}'" if source else "the photo")


def encoded_orientation(data: bytes, *, source: str = "") -> int:
    """The orientation that reading a photo file held in memory applies, as EXIF counts them: 1 is none, 2 to 8 turn it.

    1 for HEIF too, which its library gives upright. Raises PhotoError for what is no photo.
    """
    return _header(io.BytesIO(data), f"'{source}'" if source else "the photo")[2]


def _size_in_header(file: IO[bytes], name: str) -> tuple[int, int]:
    """Height and width, upright, of the photo file that is open."""
    width, height, orientation = _header(file, name)
    return (width, height) if orientation > 4 else (height, width)


def _header(file: IO[bytes], name: str) -> tuple[int, int, int]:
    """Width and height as stored, and the orientation from 1 to 8, of the photo file that is open."""
    kind = _kind_of(file.read(256), name)
    file.seek(0)
    with _explained(kind, name):
        width, height, orientation = _HEADERS[kind](file)
        _check_size(width, height, width * height, name)  # a damaged TIFF's width may be no number
    return width, height, orientation if orientation in range(2, 9) else 1


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A file to read from; what goes wrong with it, now or while it is read, is a PhotoError."""
    try:
        if path.is_dir():
            raise PhotoError(f"cannot read '{path}': it is a folder, expected a photo file: name a file inside it")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise PhotoError(f"cannot read '{path}': no such file, expected a photo: check the name") from error
    except (OSError, ValueError) as error:
        raise PhotoError(
            f"cannot read '{path}': {_reason(error)}, expected a readable photo file: check its name and permissions"
        ) from error


def decode_photo(data: bytes, *, source: str = "", max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """Decode a photo file held in memory, as `read_photo` does; `source` is the name used in messages."""
    name = f"'{source}'" if source else "the photo"
    kind = _kind_of(data, name)
    with _explained(kind, name):
        return _DECODERS[kind](data, name, max_pixels)


@contextmanager
def _explained(kind: str, name: str) -> Iterator[None]:
    """Whatever a decoder raises inside is a PhotoError in our words."""
    try:
        yield
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError(
            f"cannot read {name}: it does not fit in memory, expected a smaller {kind} photo: scale it down"
        ) from error
    except Exception as error:  # damaged files make the decoders raise nearly anything
        raise PhotoError(
            f"cannot read {name}: the {kind} file is cut short or damaged ({_reason(error)}), expected a whole file "
            "with at least one pixel: get a fresh copy of it"
        ) from error


def photo_to_pil(photo: Photo) -> Image.Image:
    """The photo as a PIL image (L, LA, RGB, RGBA or I;16) with profile, EXIF, XMP and DPI in its `info`.

    Raises PhotoError for 16-bit colour or alpha, which PIL cannot hold.
    """
    array = _channels(photo)
    if photo.bits == 16 and array.ndim == 3:
        raise PhotoError("PIL cannot hold a 16-bit colour photo, expected 8 bits or plain grey: write it to a file")
    image = Image.fromarray(array)
    image.info.update(_pillow_tags(photo))
    return image


def _reason(error: BaseException) -> str:
    """A library's own words in one short line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__


def _kind_of(data: bytes, name: str) -> str:
    """The file's format by its first bytes; a PhotoError that says what it is instead."""
    if not data:
        raise PhotoError(f"cannot read {name}: the file is empty, expected {READABLE}: get a fresh copy of it")
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)] if data[4:8] == b"ftyp" else b""
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    if any(brand in brands for brand in _HEIF_BRANDS):
        return "HEIF"
    other = next((f"is a {what} file" for magic, what in _OTHER_MAGIC.items() if data.startswith(magic)), "")
    raise PhotoError(
        f"cannot read {name}: it {other or 'is not a photo file that is known here'}, expected {READABLE}: convert it "
        "to PNG first"
    )


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    """Refuse a photo by the size in its header, before it is decoded."""
    if width <= 0 or height <= 0:
        raise PhotoError(f"cannot read {name}: its size is {width} x {height}, expected at least one pixel")
    if width * height > max_pixels:
        raise PhotoError(
            f"cannot read {name}: it has {width} x {height} = {width * height:,} pixels, expected at most "
            f"{max_pixels:,}: scale it down first"
        )


def _check_single(pictures: int, name: str) -> None:
    """Refuse animations and files of several pages."""
    if pictures > 1:
        raise PhotoError(
            f"cannot read {name}: it holds {pictures} pictures (an animation or several pages), expected one: save "
            "the picture you want as a file of its own"
        )


def _decode_png(data: bytes, name: str, max_pixels: int) -> Photo:
    """PNG: 8 bits by Pillow, 16 bits by OpenCV (Pillow has no 16-bit colour), tags by Pillow in both cases."""
    if data[12:16] == b"IHDR" and len(data) >= 33:
        width, height = struct.unpack(">II", data[16:24])
        _check_size(width, height, max_pixels, name)
    image = PngImagePlugin.PngImageFile(io.BytesIO(data))
    _check_single(image.n_frames, name)
    chunks = _png_chunks(data)
    exif = _exif_of_image(image)
    kept = tuple(
        chunk
        for kind, chunk in chunks
        if kind in _KEPT_PNG_CHUNKS and not chunk[8:].startswith((_XMP_KEYWORD, *_RAW_PROFILES))
    )
    return _photo_of_image(image, name, exif, _png16_planes(data, chunks), format="PNG", png_chunks=kept)


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every chunk of a PNG file as (kind, whole chunk); stops at the first that is cut short."""
    chunks, position = [], len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        chunk = data[position : position + 12 + length]
        if len(chunk) < 12 + length:
            break
        chunks.append((chunk[4:8], chunk))
        position += 12 + length
    return chunks


def _png16_planes(data: bytes, chunks: list[tuple[bytes, bytes]]) -> "_Planes | None":
    """The planes of a 16-bit PNG file; None for one of at most 8 bits."""
    depth, colour = data[24], data[25]
    if depth != 16:
        return None
    # OpenCV would return what it could decode of a broken file, and tell of it on standard error.
    width, height = struct.unpack(">II", data[16:24])
    _check_stream([chunk[8:-4] for kind, chunk in chunks if kind == b"IDAT"], 16 * (width + 1) * (height + 1))
    array = _opencv_pixels(data)
    key = next((chunk[8:-4] for kind, chunk in chunks if kind == b"tRNS"), None)
    notes = () if key is None else (_COLOUR_KEY_NOTE,)
    if colour in (0, 4):
        grey = array if array.ndim == 2 else array[..., 0]
        alpha = array[..., 3] if array.ndim == 3 else None
        if key is not None:
            alpha = np.where(grey == int.from_bytes(key[:2], "big"), 0, 65535).astype(np.uint16)
        return _Planes(grey, alpha, notes)
    return _Planes(array[..., :3], array[..., 3] if array.shape[2] == 4 else None, notes)


def _check_stream(parts: list[bytes], limit: int) -> None:
    """Raise ValueError unless a zlib stream ends, checksum and all, within `limit` bytes; a bomb is cut off there."""
    inflate, produced, step = zlib.decompressobj(), 0, 1 << 20
    for part in parts:
        rest = part
        while not inflate.eof:
            block = inflate.decompress(rest, step)
            rest = inflate.unconsumed_tail
            produced += len(block)
            if produced > limit:
                raise ValueError("image data is longer than its header says")
            if not rest and len(block) < step:
                break
    if not inflate.eof:
        raise ValueError("image data ends early")


def _opencv_pixels(data: bytes) -> np.ndarray:
    """A file's 16-bit samples by OpenCV as (H, W) grey or (H, W, 3 | 4) RGB(A), unrotated."""
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise ValueError("its 16-bit samples cannot be decoded")
    if array.ndim == 2:
        return array
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _decode_jpeg(data: bytes, name: str, max_pixels: int) -> Photo:
    """JPEG, with the settings to encode it alike."""
    # The class itself, not Image.open: a multi-picture JPEG (MPO, as phones write them) is no animation.
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    _check_size(*image.size, max_pixels, name)
    notes = ("only the first picture of a multi-picture JPEG is kept",) if "mp" in image.info else ()
    return _photo_of_image(
        image, name, _exif_of_image(image), format="JPEG", lossless=False, jpeg=_jpeg_settings(image), notes=notes
    )


def _jpeg_settings(image: JpegImagePlugin.JpegImageFile) -> JpegSettings | None:
    """Quantisation tables, subsampling and the rest of an opened JPEG; nothing for CMYK, which is not written."""
    if image.mode not in ("L", "RGB"):
        return None
    sampling = JpegImagePlugin.get_sampling(image)
    return JpegSettings(
        tables=tuple(tuple(image.quantization[key]) for key in sorted(image.quantization)),
        subsampling=sampling if sampling >= 0 else None,
        progressive=bool(image.info.get("progressive")),
        comment=image.info.get("comment", b""),
    )


def _decode_webp(data: bytes, name: str, max_pixels: int) -> Photo:
    """WebP; a file with a VP8L chunk kept its pixels exactly, and will be written so again."""
    # The decoder sets up its canvas when it is made, so the size is read before that.
    width, height = _webp_size(data)
    _check_size(width, height, max_pixels, name)
    with _pillow_limit(width * height):
        image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    _check_size(*image.size, max_pixels, name)
    _check_single(image.n_frames, name)
    chunks = _riff_chunks(data)
    return _photo_of_image(image, name, _exif_of_image(image), format="WEBP", lossless=b"VP8L" in chunks)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height in a WebP file's first chunk."""
    if len(data) < 30:
        raise ValueError("the header ends early")
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _riff_chunks(data: bytes) -> list[bytes]:
    """The names of a RIFF file's chunks."""
    names, position = [], 12
    while position + 8 <= len(data):
        names.append(data[position : position + 4])
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    return names


def _decode_avif(data: bytes, name: str, max_pixels: int) -> Photo:
    """AVIF; Pillow turns its own rotation boxes into an EXIF orientation and reads 8 bits."""
    image = AvifImagePlugin.AvifImageFile(io.BytesIO(data))
    _check_size(*image.size, max_pixels, name)
    _check_single(image.n_frames, name)
    start = data.find(b"av1C")
    high = start >= 0 and len(data) > start + 6 and data[start + 6] & 0x40
    notes = ("AVIF above 8 bits per channel is read with 8 bits",) if high else ()
    return _photo_of_image(image, name, _exif_of_image(image), format="AVIF", lossless=False, notes=notes)


def _decode_simple(data: bytes, name: str, max_pixels: int) -> Photo:
    """GIF and BMP, which are read but written as PNG."""
    kind = "GIF" if data[:3] == b"GIF" else "BMP"
    image = (GifImagePlugin.GifImageFile if kind == "GIF" else BmpImagePlugin.BmpImageFile)(io.BytesIO(data))
    _check_size(*image.size, max_pixels, name)
    _check_single(getattr(image, "n_frames", 1), name)
    return _photo_of_image(image, name, None, format="PNG", notes=(f"{kind} can be read but not written",))


def _decode_tiff(data: bytes, name: str, max_pixels: int) -> Photo:
    """TIFF: tags by tifffile; pixels by Pillow (8 bits), or by OpenCV or tifffile (16 bits)."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        _check_size(page.imagewidth, page.imagelength, max_pixels, name)
        _check_single(len(file.pages), name)
        tags = page.tags
        orientation = int(tags.valueof(274, default=1))
        if orientation != 1:
            # Some decoders turn TIFF files themselves and some do not; with the tag at 1 none does.
            patched = bytearray(data)
            struct.pack_into(f"{file.byteorder}H", patched, tags[274].valueoffset, 1)
            data = bytes(patched)
        info = {"icc_profile": tags.valueof(34675), "xmp": tags.valueof(700), "dpi": _tiff_dpi(tags)}
        if page.bitspersample == 16 and page.photometric in (0, 1, 2) and page.sampleformat == 1:
            planes = _tiff16_planes(data, page)
        elif page.bitspersample <= 8 or page.photometric == 5:
            with _pillow_limit(page.imagewidth * page.imagelength):
                image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
                image.load()
            planes = _planes_of_image(image, name)
        else:
            raise PhotoError(
                f"cannot read {name}: its samples of {page.bitspersample} bits are of a kind that is not known here, "
                "expected 8 or 16 unsigned bits, grey or RGB: convert it to 16-bit RGB"
            )
    return _assembled(planes, info, orientation, _exif_of_tiff(data), format="TIFF")


def _tiff16_planes(data: bytes, page: Any) -> "_Planes":
    """The planes of an unsigned 16-bit grey or RGB TIFF page, with or without alpha."""
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if max((start + count for start, count in segments), default=0) > len(data):
        raise ValueError("image data ends early")
    width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel
    if page.compression in (8, 32946):
        for start, count in segments:
            _check_stream([data[start : start + count]], 2 * page.nbytes + (1 << 20))
    # OpenCV decodes every compression, but misreads separate planes, white as zero, and grey with alpha.
    if page.planarconfig == 1 and page.photometric != 0 and samples in (1, 3, 4):
        array = _opencv_pixels(data)
    else:
        array = page.asarray(maxworkers=1)
        array = array.reshape((samples, height, width) if page.planarconfig == 2 else (height, width, samples))
        array = np.ascontiguousarray(array.transpose(1, 2, 0)) if page.planarconfig == 2 else array
    array = array.astype(np.uint16, copy=False).reshape(height, width, samples)
    colours = 3 if page.photometric == 2 else 1
    pixels = 65535 - array[..., :colours] if page.photometric == 0 else array[..., :colours]
    extra = page.extrasamples[0] if samples > colours and page.extrasamples else 0
    alpha = array[..., colours] if extra in (1, 2) else None
    notes = () if alpha is not None or samples == colours else ("a further channel that is not alpha is left out",)
    if alpha is not None and extra == 1:
        pixels, notes = _divided_by_alpha(pixels, alpha), (_PREMULTIPLIED_NOTE,)
    return _Planes(pixels if colours == 3 else pixels[..., 0], alpha, notes)


def _divided_by_alpha(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours (H, W, C) as they were before they were multiplied by their alpha (H, W)."""
    top = float(np.iinfo(alpha.dtype).max)
    return np.minimum(np.rint(pixels * (top / np.maximum(alpha, 1)[..., None])), top).astype(alpha.dtype)


def _tiff_dpi(tags: Any) -> tuple[float, float] | None:
    """Dots per inch from the resolution tags of a TIFF page."""
    horizontal, vertical = tags.valueof(282), tags.valueof(283)
    scale = {2: 1.0, 3: 2.54}.get(int(tags.valueof(296, default=2)))
    if not horizontal or not vertical or scale is None or not (horizontal[1] and vertical[1]):
        return None
    return scale * horizontal[0] / horizontal[1], scale * vertical[0] / vertical[1]


@contextmanager
def _pillow_limit(pixels: int) -> Iterator[None]:
    """Lift Pillow's own size limit while one file that passed ours is decoded; two plugins consult it by themselves."""
    with _PILLOW_LIMIT_LOCK:
        before = Image.MAX_IMAGE_PIXELS
        if before is not None and pixels > before:
            Image.MAX_IMAGE_PIXELS = pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


# ---- from a decoder's picture to a Photo -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Planes:
    """Decoded samples before orientation: colour (H, W) or (H, W, 3), alpha (H, W) or None."""

    colour: np.ndarray
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    drops_profile: bool = False


def _photo_of_image(
    image: Image.Image, name: str, exif: bytes | None, planes: _Planes | None = None, **about: Any
) -> Photo:
    """The photo in an opened Pillow image; `planes` are its samples where another library decoded them."""
    if planes is None:
        image.load()
        planes = _planes_of_image(image, name)
    return _assembled(planes, image.info, _orientation(image.info), exif, **about)


def _orientation(info: dict[Any, Any]) -> int:
    """The orientation in a Pillow image's tags, EXIF before XMP; 1 where there is none."""
    bare = Image.new("L", (1, 1))  # an opened file would decode its pixels in search of tags behind them
    bare.info = dict(info)
    with suppress(Exception):  # Pillow raises nearly anything for damaged EXIF, which says nothing about the pixels
        return int(bare.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _assembled(planes: _Planes, info: Any, orientation: int, exif: bytes | None, **about: Any) -> Photo:
    """Turn decoded samples upright and put the tags beside them; `about` are further fields of the photo."""
    turn = _TURNS.get(orientation, _own)
    colour = turn(planes.colour)
    grey = colour.ndim == 2
    notes = (*about.pop("notes", ()), *planes.notes)
    try:
        exif = _settled_exif(exif) if exif else None
    except (struct.error, ValueError):
        exif, notes = None, (*notes, "the damaged EXIF block is left out")
    xmp = info.get("xmp") or info.get(_XMP_KEYWORD.decode())
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return Photo(
        pixels=cv2.cvtColor(colour, cv2.COLOR_GRAY2RGB) if grey else colour,
        alpha=None if planes.alpha is None else turn(planes.alpha),
        grey=grey,
        icc=None if planes.drops_profile else info.get("icc_profile") or None,
        exif=exif,
        xmp=_XMP_THUMBNAIL.sub(rb"\g<1>", _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)) if xmp else None,
        dpi=_checked_dpi(info.get("dpi")) or _dpi_of_exif(exif),
        notes=notes,
        **about,
    )


def _planes_of_image(image: Image.Image, name: str) -> _Planes:
    """The samples of a loaded Pillow image of any photographic mode."""
    mode, transparent = image.mode, "transparency" in image.info
    notes: tuple[str, ...] = ()
    if mode in ("CMYK", "YCbCr") and image.info.get("transparency") is None:
        if mode == "CMYK":
            image, note = _rgb_of_cmyk(image)
            return _Planes(np.array(image), None, (note,), drops_profile=True)
        image = image.convert("RGB")
    elif mode in ("P", "PA"):
        image = image.convert("RGBA" if transparent or mode == "PA" or image.has_transparency_data else "RGB")
        notes = ("the palette is expanded to RGB",)
    elif mode in ("1", "L", "RGB") and transparent:
        image = image.convert("RGBA" if mode == "RGB" else "LA")
        notes = (_COLOUR_KEY_NOTE,)
    elif mode == "1":
        image = image.convert("L")
        notes = ("1 bit per pixel is expanded to 8-bit grey",)
    elif mode in ("RGBa", "La"):
        image = image.convert("RGBA" if mode == "RGBa" else "LA")
        notes = (_PREMULTIPLIED_NOTE,)
    elif mode == "RGBX":
        image = image.convert("RGB")
    elif mode.startswith("I;16"):
        return _Planes(np.array(image).astype(np.uint16))
    elif mode not in ("L", "LA", "RGB", "RGBA"):
        raise PhotoError(
            f"cannot read {name}: its pixel type is {mode}, expected 8-bit or 16-bit grey or RGB: convert it to RGB"
        )
    array = _samples(image)
    if image.mode in ("LA", "RGBA"):
        return _Planes(array[..., 0] if image.mode == "LA" else array[..., :3], array[..., -1], notes)
    return _Planes(array, None, notes)


def _samples(image: Image.Image) -> np.ndarray:
    """A loaded 8-bit image's samples, taken band by band: in one piece Pillow makes a second copy on the way."""
    width, height = image.size
    bands = len(image.getbands())
    samples = np.empty((height, width, bands) if bands > 1 else (height, width), np.uint8)
    step = max(1, _SAMPLES_AT_ONCE // (width * bands))
    for top in range(0, height, step):
        bottom = min(top + step, height)
        samples[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return samples


def _rgb_of_cmyk(image: Image.Image) -> tuple[Image.Image, str]:
    """CMYK as sRGB: through its own profile when it has a usable one, else by the plain complement."""
    profile = image.info.get("icc_profile")
    if profile:
        from PIL import ImageCms

        with suppress(ImageCms.PyCMSError, OSError, ValueError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            if converted is not None:
                return converted, "CMYK is converted to sRGB through its embedded profile, which is dropped"
    return image.convert("RGB"), "CMYK without a usable profile is converted to RGB by the plain complement"


def _turned(array: np.ndarray, quarter: int) -> np.ndarray:
    return cv2.rotate(np.ascontiguousarray(array), quarter)


def _own(array: np.ndarray) -> np.ndarray:
    """The array in one piece, copied where it is a decoder's own memory, which nobody may write to."""
    return np.require(array, requirements=["C", "W"])


# EXIF orientation -> what makes the picture upright.
_TURNS = {
    2: lambda array: cv2.flip(np.ascontiguousarray(array), 1),
    3: lambda array: _turned(array, cv2.ROTATE_180),
    4: lambda array: cv2.flip(np.ascontiguousarray(array), 0),
    5: lambda array: cv2.transpose(np.ascontiguousarray(array)),
    6: lambda array: _turned(array, cv2.ROTATE_90_CLOCKWISE),
    7: lambda array: cv2.transpose(_turned(array, cv2.ROTATE_180)),
    8: lambda array: _turned(array, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


# ---- tags ------------------------------------------------------------------------------------------------------------


def _exif_of_image(image: Image.Image) -> bytes | None:
    """The EXIF block of an opened file; PNG may hold it behind the pixels, or as text."""
    if "exif" not in image.info:
        image.load()
    if "exif" in image.info:
        return image.info["exif"]
    return image.getexif().tobytes() if "Raw profile type exif" in image.info else None


def _settled_exif(exif: bytes) -> bytes | None:
    """EXIF without orientation and without thumbnail, None if nothing else was in it; other bytes stay in place.

    Rewriting the block through a library would move maker notes, whose inner offsets then point nowhere.
    Raises struct.error or ValueError for a block that no reader could understand.
    """
    block = bytearray(exif.removeprefix(_EXIF_PREFIX))
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or struct.unpack_from(f"{order}H", block, 2)[0] != 42:
        raise ValueError("no EXIF header")
    first, entries = _directory(block, order, struct.unpack_from(f"{order}I", block, 4)[0])
    end = first + 12 * len(entries)
    second = struct.unpack_from(f"{order}I", block, end)[0]
    if second:
        with suppress(struct.error):  # a broken second directory costs the thumbnail only
            _, thumbnail = _directory(block, order, second)
            start, length = (_entry_value(block, order, thumbnail.get(tag)) for tag in (0x0201, 0x0202))
            if start >= end + 4:
                block[start : start + length] = bytes(len(block[start : start + length]))
                if length and start + length >= len(block):
                    del block[start:]
        struct.pack_into(f"{order}I", block, end, 0)
    place = entries.pop(ExifTags.Base.Orientation, None)
    if place is not None:
        block[place : end + 4] = block[place + 12 : end + 4] + bytes(12)
        struct.pack_into(f"{order}H", block, first - 2, len(entries))
    return _EXIF_PREFIX + bytes(block) if entries else None


def _directory(block: bytearray, order: str, offset: int) -> tuple[int, dict[int, int]]:
    """Where a tag directory's entries begin, and tag -> place of its entry."""
    count = struct.unpack_from(f"{order}H", block, offset)[0]
    first = offset + 2
    places = [first + 12 * index for index in range(count)]
    return first, {struct.unpack_from(f"{order}H", block, place)[0]: place for place in places}


def _entry_value(block: bytearray, order: str, place: int | None) -> int:
    """The whole number in a directory entry; 0 when there is no such entry."""
    return 0 if place is None else struct.unpack_from(f"{order}I", block, place + 8)[0]


def _exif_of_tiff(data: bytes) -> bytes | None:
    """The descriptive tags of a TIFF file as an EXIF block; a TIFF file keeps them among the tags of its pixels."""
    found, kept = Image.Exif(), Image.Exif()
    with suppress(Exception):  # a BigTIFF or damaged directory leaves the photo without these tags
        found.load(data)
        for tag in _TIFF_TEXT_TAGS:
            if tag in found:
                kept[tag] = found[tag]
        for group in _EXIF_GROUPS:
            if directory := dict(found.get_ifd(group)):
                kept[group] = directory
        return kept.tobytes() if len(kept) else None
    return None


def _checked_dpi(dpi: Any) -> tuple[float, float] | None:
    """A usable pair of resolutions, or None."""
    try:
        horizontal, vertical = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    usable = all(math.isfinite(value) and value > 0 for value in (horizontal, vertical))
    return (horizontal, vertical) if usable else None


def _dpi_of_exif(exif: bytes | None) -> tuple[float, float] | None:
    """The resolution named in an EXIF block; WebP and AVIF have no other place for it."""
    if exif is None:
        return None
    tags = Image.Exif()
    with suppress(Exception):  # damaged tags say nothing about the resolution
        tags.load(exif)
        scale = 2.54 if tags.get(ExifTags.Base.ResolutionUnit) == 3 else 1.0
        pair = tags.get(ExifTags.Base.XResolution), tags.get(ExifTags.Base.YResolution)
        return _checked_dpi([scale * float(value) for value in pair if value is not None])
    return None


def _pillow_tags(photo: Photo) -> dict[str, Any]:
    """What the photo says about itself, by the names Pillow's encoders know; only what there is."""
    tags = {"icc_profile": photo.icc, "exif": photo.exif, "xmp": photo.xmp, "dpi": photo.dpi}
    return {name: value for name, value in tags.items() if value}


def _exif_of_dpi(dpi: tuple[float, float]) -> bytes:
    """An EXIF block that says the resolution and nothing else."""
    tags = Image.Exif()
    tags[ExifTags.Base.XResolution], tags[ExifTags.Base.YResolution] = dpi
    tags[ExifTags.Base.ResolutionUnit] = 2
    return tags.tobytes()


# ---- writing ---------------------------------------------------------------------------------------------------------


def write_photo(
    photo: Photo,
    path: str | Path,
    *,
    force: bool = False,
    format: str | None = None,
    quality: int | None = None,
    subsampling: str | None = None,
) -> Path:
    """Write a photo file and return its path; the format is the suffix's unless `format` names another.

    It is written by `write_bytes`. Raises UsageError for an unknown suffix, PhotoError for an existing file without
    `force`, a folder that is missing or cannot be written, and whatever `encode_photo` refuses.
    """
    chosen = check_output(path, force=force, format=format)
    return write_bytes(encode_photo(photo, chosen, quality=quality, subsampling=subsampling), path)


def write_bytes(data: bytes, path: str | Path) -> Path:
    """Write a photo file's content, over an existing file too, and return its path.

    The bytes go to a temporary name in the same folder, are synced, and take the final name in one step: no reader
    ever sees half a photo, and a failure leaves nothing behind. A link is written through. The permissions of a file
    that is replaced stay. Raises PhotoError.
    """
    path = Path(path)
    temporary = None
    try:
        target = _link_target(path)
        temporary = target.with_name(f".{secrets.token_hex(8)}.part")
        with open(temporary, "xb") as file:
            if os.name == "posix":  # elsewhere there is only a mark against writing, which would hinder the next step
                with suppress(OSError):  # no file to replace, or a system that keeps no permissions
                    shutil.copymode(target, temporary)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except (OSError, ValueError) as error:
        raise PhotoError(
            f"cannot write '{path}': {_reason(error)}, expected a writable folder with {len(data):,} free bytes: "
            "choose another place"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return path


def _link_target(path: Path) -> Path:
    """Where a file is really written: replacing a link would leave its target untouched. Raises OSError for a loop."""
    if not path.is_symlink():
        return path
    with suppress(FileNotFoundError):  # a link to a file that is yet to be written
        path.stat()  # `resolve` tells of a loop in another way in every version of Python
    return path.resolve()


def check_output(path: str | Path, *, force: bool = False, format: str | None = None) -> str:
    """The format that `write_photo` would write to `path`; raises its errors about the path before any work."""
    path = Path(path)
    try:
        if path.is_dir():
            raise PhotoError(f"cannot write '{path}': it is a folder, expected a file name: add one")
        chosen = _format_name(format) if format else SUFFIXES.get(path.suffix.lower())
        if chosen is None:
            raise UsageError(
                f"cannot write '{path}': its suffix is '{path.suffix}', expected one of {', '.join(SUFFIXES)}: "
                "rename it"
            )
        if chosen == "HEIF":
            _heif_library(f"cannot write '{path}'", writing=True)
        folder = _link_target(path).parent
        if not folder.is_dir():
            raise PhotoError(
                f"cannot write '{path}': there is no folder '{folder}', expected an existing one: create it first"
            )
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise PhotoError(f"cannot write '{path}': {_reason(error)}, expected a usable file name: rename it") from error
    if exists and not force:
        raise PhotoError(
            f"cannot write '{path}': it exists already, expected a new name: choose another, or overwrite with force"
        )
    return chosen


def encode_photo(
    photo: Photo, format: str | None = None, *, quality: int | None = None, subsampling: str | None = None
) -> bytes:
    """Encode a photo as a file's bytes, in its own format unless `format` names another.

    Lossless: PNG, TIFF (deflate), and WebP when `is_lossless` says so. JPEG without `quality` takes the source's
    quantisation tables; otherwise `quality` (1 to 100) is `DEFAULT_QUALITY` where none is given. Quality means nothing
    to PNG and TIFF. `subsampling` is one of `SUBSAMPLINGS` and only for JPEG, AVIF and HEIF. Without it JPEG and HEIF
    take the source's; from another format JPEG has 4:4:4 from quality 90 up, HEIF always 4:2:0, which every viewer of
    it reads; AVIF has 4:4:4. 16 bits are rounded to 8 for JPEG, WebP and AVIF, and to 10 for HEIF unless it came in 12;
    `write_notes` tells beforehand what a format will change.

    Raises UsageError and PhotoError as `check_format` does.
    """
    chosen = check_format(photo, format, quality=quality, subsampling=subsampling)
    try:
        return _ENCODERS[chosen](_prepared(photo, chosen), quality, subsampling)
    except (OSError, ValueError, RuntimeError, cv2.error) as error:
        raise PhotoError(
            f"cannot encode {photo.size[1]} x {photo.size[0]} pixels as {chosen}: {_reason(error)}, expected a photo "
            "that it can hold: write another format"
        ) from error


def in_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Pixels of 16 bits rounded to 8; those of 8 bits as they are."""
    return pixels if pixels.dtype == np.uint8 else _TO_8_BITS[pixels]


def check_format(
    photo: Photo, format: str | None = None, *, quality: int | None = None, subsampling: str | None = None
) -> str:
    """The format that `encode_photo` would write; tells before any work what it cannot hold.

    Raises PhotoError for alpha in JPEG (unless it is opaque everywhere), a side that the format cannot have, and HEIF
    without its extra; UsageError for an unknown format, a quality out of range, and a subsampling that is unknown or
    that the format does not have.
    """
    chosen = _format_name(format) if format else photo.format
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality is {quality}, expected 1 to 100: choose one in that range")
    if subsampling is not None:
        if subsampling not in SUBSAMPLINGS:
            raise UsageError(unknown_name("subsampling", subsampling, SUBSAMPLINGS))
        if chosen not in _SUBSAMPLED:
            raise UsageError(
                f"{chosen} has no choice of subsampling, expected one of {', '.join(_SUBSAMPLED)}: leave it out"
            )
    if chosen == "HEIF":
        _heif_library("cannot write HEIC", writing=True)
    if chosen == "JPEG" and photo.alpha is not None and not _is_opaque(photo.alpha):
        raise PhotoError("JPEG cannot hold the photo's alpha channel, expected a format with alpha: write PNG or WebP")
    if max(photo.size) > _LARGEST_SIDE.get(chosen, max(photo.size)):
        raise PhotoError(
            f"{chosen} cannot hold {photo.size[1]} x {photo.size[0]} pixels, expected sides up to "
            f"{_LARGEST_SIDE[chosen]}: write PNG or TIFF"
        )
    return chosen


def _is_opaque(alpha: np.ndarray) -> bool:
    """Whether an alpha channel hides nothing."""
    return bool(alpha.min() == np.iinfo(alpha.dtype).max)


def is_lossless(photo: Photo, format: str | None = None, *, quality: int | None = None) -> bool:
    """Whether `encode_photo` with the same arguments keeps every pixel and the alpha bit for bit.

    PNG and TIFF always do; WebP does without `quality` for an 8-bit photo whose source was lossless (PNG, TIFF, GIF,
    BMP, lossless WebP, an array); JPEG, AVIF and HEIF never do.
    """
    chosen = _format_name(format) if format else photo.format
    return chosen in ("PNG", "TIFF") or (chosen == "WEBP" and quality is None and photo.lossless and photo.bits == 8)


def write_notes(photo: Photo, format: str | None = None, *, subsampling: str | None = None) -> tuple[str, ...]:
    """What writing this photo in a format changes beyond the format's own loss, one sentence each.

    `subsampling` is the one asked for, as in `encode_photo`.
    """
    chosen = _format_name(format) if format else photo.format
    notes = []
    if photo.bits == 16 and chosen not in ("PNG", "TIFF"):
        bits = 8 if chosen != "HEIF" else (photo.heif or HeifSettings()).bits
        if chosen != photo.format:
            notes.append(f"16 bits per channel are rounded to {bits}, which is all that {chosen} holds")
    if chosen == "JPEG":
        if photo.jpeg and photo.jpeg.subsampling is None and not photo.grey and subsampling is None:
            notes.append("the JPEG's own colour subsampling, which cannot be written, becomes 4:4:4")
        if photo.alpha is not None and _is_opaque(photo.alpha):
            notes.append("the alpha channel, which is opaque everywhere, is left out, because JPEG has none")
        for name, largest in _LARGEST_SEGMENT.items():
            if len(getattr(photo, name) or b"") > largest:
                notes.append(
                    f"the {name.upper()} block is left out, because JPEG holds at most {largest:,} bytes of it"
                )
    if chosen in _DPI_IN_EXIF and photo.dpi and photo.exif and _dpi_of_exif(photo.exif) is None:
        notes.append(f"the resolution is left out, because {chosen} has no place for it beside the photo's own EXIF")
    if photo.icc is None and chosen not in ("HEIF", "PNG") and photo.heif and _colour_chunk(photo.heif):
        notes.append(f"the colour space, which HEIF names by number, is left out, because {chosen} is written without")
    return tuple(notes)


def _format_name(format: str) -> str:
    """The format's own name in capitals; a suffix without its dot will do."""
    name = format.upper()
    chosen = name if name in _ENCODERS else SUFFIXES.get(f".{name.lower()}")
    if chosen is None:
        raise UsageError(unknown_name("photo format", name, _ENCODERS))
    return chosen


def _prepared(photo: Photo, format: str) -> Photo:
    """The photo as one format can hold it: depth, grey only where it is grey, profile and tags that fit."""
    pixels, alpha = photo.pixels, photo.alpha
    if photo.bits == 16 and format not in ("PNG", "TIFF", "HEIF"):
        pixels, alpha = in_8_bits(pixels), None if alpha is None else in_8_bits(alpha)
    grey = photo.grey and all(np.array_equal(pixels[..., 0], pixels[..., channel]) for channel in (1, 2))
    unfit = (b"CMYK",) if grey else (b"CMYK", b"GRAY")
    icc = None if photo.icc is None or photo.icc[16:20] in unfit else photo.icc
    exif, xmp = photo.exif, photo.xmp
    if format == "JPEG":
        alpha = None  # one that hides something is refused before
        exif = exif if exif and len(exif) <= _LARGEST_SEGMENT["exif"] else None
        xmp = xmp if xmp and len(xmp) <= _LARGEST_SEGMENT["xmp"] else None
    elif format in _DPI_IN_EXIF and exif is None and photo.dpi is not None:
        exif = _exif_of_dpi(photo.dpi)
    return replace(photo, pixels=pixels, alpha=alpha, grey=grey, icc=icc, exif=exif, xmp=xmp, format=format)


def _channels(photo: Photo) -> np.ndarray:
    """The photo's channels as one array: (H, W) grey, or (H, W, 2 | 3 | 4) grey-alpha, RGB, RGBA."""
    if photo.alpha is None:
        return np.ascontiguousarray(photo.pixels[..., 0]) if photo.grey else np.ascontiguousarray(photo.pixels)
    return np.dstack([photo.pixels[..., :1] if photo.grey else photo.pixels, photo.alpha])


def _encode_png(photo: Photo, quality: int | None, subsampling: str | None) -> bytes:
    """PNG: pixels by OpenCV (quick, and 16-bit colour), tags as chunks set in behind the header.

    16-bit grey with alpha is written as RGBA with equal channels, because neither library writes that pair.
    """
    if photo.grey and photo.alpha is not None and photo.bits == 8:
        stream = io.BytesIO()
        Image.fromarray(_channels(photo)).save(stream, "PNG")
        data = stream.getvalue()
    else:
        array = _channels(photo if photo.alpha is None else replace(photo, grey=False))
        if array.ndim == 3:
            array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
        data = _opencv_png(array, ())
        if len(data) * 4 < array.nbytes:
            # OpenCV's default is best for photos; drawn pictures, which are quick to pack, get half as large this way.
            data = min(data, _opencv_png(array, _DRAWN_PNG), key=len)
    return data[:33] + b"".join(_png_tags(photo)) + data[33:]


def _opencv_png(array: np.ndarray, parameters: tuple[int, ...]) -> bytes:
    """A bare PNG file of an array in OpenCV's channel order."""
    done, data = cv2.imencode(".png", array, list(parameters))
    if not done:
        raise ValueError("OpenCV refused it")
    return data.tobytes()


def _png_tags(photo: Photo) -> Iterator[bytes]:
    """The photo's tags as PNG chunks, in an order that all stand before the pixels."""
    if photo.icc:
        yield _png_chunk(b"iCCP", b"ICC Profile\x00\x00" + zlib.compress(photo.icc))
    elif photo.heif and (chunk := _colour_chunk(photo.heif)):
        yield chunk
    if photo.dpi:
        yield _png_chunk(b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in photo.dpi), 1))
    yield from photo.png_chunks
    if photo.exif:
        yield _png_chunk(b"eXIf", photo.exif.removeprefix(_EXIF_PREFIX))
    if photo.xmp:
        yield _png_chunk(b"iTXt", _XMP_KEYWORD + bytes(5) + photo.xmp)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _encode_jpeg(photo: Photo, quality: int | None, subsampling: str | None) -> bytes:
    """JPEG, with the source's own tables when it was JPEG and nobody asks for a quality."""
    settings = photo.jpeg or JpegSettings()
    options: dict[str, Any] = _pillow_tags(photo)
    if photo.jpeg is not None:
        options["subsampling"] = settings.subsampling or 0
        options["progressive"] = settings.progressive
        options["comment"] = settings.comment
    if quality is None and settings.tables:
        options["qtables"] = [list(table) for table in settings.tables]
    else:
        options["quality"] = quality or DEFAULT_QUALITY["JPEG"]
        if photo.jpeg is None:
            options["subsampling"] = 0 if options["quality"] >= 90 else 2
    if subsampling:
        options["subsampling"] = subsampling
    return _encode_by_pillow(photo, optimize=True, **options)


def _encode_webp(photo: Photo, quality: int | None, subsampling: str | None) -> bytes:
    """WebP; `exact` keeps the colours under transparent areas."""
    lossless = is_lossless(photo, quality=quality)
    level = 50 if lossless else quality or DEFAULT_QUALITY["WEBP"]  # of effort when lossless, else of quality
    return _encode_by_pillow(photo, lossless=lossless, quality=level, exact=True, **_pillow_tags(photo))


def _encode_avif(photo: Photo, quality: int | None, subsampling: str | None) -> bytes:
    """AVIF, without colour subsampling unless it is asked for."""
    chosen = "4:0:0" if photo.grey and photo.alpha is None else subsampling or "4:4:4"
    level = quality or DEFAULT_QUALITY["AVIF"]
    # Speed 8 takes a third of the default's time for files 3 % larger at the same error.
    return _encode_by_pillow(photo, quality=level, subsampling=chosen, speed=8, **_pillow_tags(photo))


def _encode_by_pillow(photo: Photo, **options: Any) -> bytes:
    """The photo in its format by Pillow."""
    stream = io.BytesIO()
    Image.fromarray(_channels(photo)).save(stream, photo.format, **options)
    return stream.getvalue()


def _encode_tiff(photo: Photo, quality: int | None, subsampling: str | None) -> bytes:
    """TIFF by tifffile, deflated; the EXIF and GPS directories are set in behind its pixels."""
    texts, directories = _described(photo.exif or b"")
    extra: list[tuple[int, str | int, int, Any, bool]] = [
        (tag, 2, len(text), text, True) for tag, text in texts.items()
    ]
    # tifffile writes no directory tags; a neighbouring number without meaning keeps their place in the sorted list.
    extra += [(group + 1, 4, 1, 0, True) for group in directories]
    if photo.xmp:
        extra.append((700, 1, len(photo.xmp), photo.xmp, True))
    options: dict[str, Any] = {} if photo.dpi is None else {"resolution": photo.dpi, "resolutionunit": 2}
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        _channels(photo),
        byteorder="<",
        photometric="minisblack" if photo.grey else "rgb",
        planarconfig="contig" if photo.alpha is not None or not photo.grey else None,
        extrasamples=None if photo.alpha is None else ["unassalpha"],
        compression="zlib",
        predictor=True,
        iccprofile=photo.icc,
        metadata=None,
        software=False,
        extratags=extra,
        **options,
    )
    return _with_directories(stream.getvalue(), directories)


def _described(exif: bytes) -> tuple[dict[int, bytes], dict[int, TiffImagePlugin.ImageFileDirectory_v2]]:
    """What an EXIF block says in words, and its EXIF and GPS directories; unreadable parts are left out."""
    tags, texts, directories = Image.Exif(), {}, {}
    with suppress(Exception):  # a block from a damaged file makes Pillow raise nearly anything
        tags.load(exif)
        for tag in _TIFF_TEXT_TAGS:
            text = tags.get(tag)
            if isinstance(text, str) and text.strip("\0"):
                texts[tag] = text.encode() + b"\0"
    for group in _EXIF_GROUPS:
        with suppress(Exception):
            directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=group)
            for tag, value in tags.get_ifd(group).items():
                if not isinstance(value, dict):
                    directory[tag] = value
            if len(directory) and directory.tobytes():
                directories[group] = directory
    return texts, directories


def _with_directories(data: bytes, directories: dict[int, TiffImagePlugin.ImageFileDirectory_v2]) -> bytes:
    """A little-endian TIFF file with tag directories appended, and the spaces kept for them made pointers."""
    if not directories:
        return data
    file = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as parsed:
        page: Any = parsed.pages[0]
        places = {group: page.tags[group + 1] for group in directories}
    for group, directory in directories.items():
        file += bytes(len(file) % 2)
        struct.pack_into("<H", file, places[group].offset, group)
        struct.pack_into("<I", file, places[group].valueoffset, len(file))
        file += directory.tobytes(len(file))
    return bytes(file)


# ---- HEIF -----------------------------------------------------------------------------------------------------------


def _heif_library(problem: str, *, writing: bool = False) -> Any:
    """pillow-heif, which the extra brings; it is called by name and never registered with Pillow."""
    try:
        import pillow_heif
    except ImportError as error:
        raise PhotoError(
            f"{problem}: HEIC needs pillow-heif, which is not installed: pip install 'inpaintkit[heif]'"
        ) from error
    if writing and not pillow_heif.libheif_info()["HEIF"]:
        raise PhotoError(
            f"{problem}: this build of pillow-heif can only read HEIC, expected one with x265: write another format"
        )
    return pillow_heif


def _decode_heif(data: bytes, name: str, max_pixels: int) -> Photo:
    """HEIF by libheif, which turns and crops as the file says; the orientation in EXIF only repeats that.

    10 and 12 bits are spread evenly over 16, so that writing gives every sample back.
    """
    file = _heif_library(f"cannot read {name}").open_heif(data, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    image = file[file.primary_index]  # not decoded yet
    width, height = image.size
    _check_size(width, height, max_pixels, name)
    array = np.asarray(image)
    info, mode = image.info, image.mode.partition(";")[0]
    bits, subsampling = info["bit_depth"], _HEIF_SUBSAMPLING.get(info.get("chroma"))
    notes: tuple[str, ...] = ("only the main picture of a HEIF file of several is kept",) if len(file) > 1 else ()
    if array.dtype == np.uint16:
        array = _spread(bits, 16)[array]
        notes += (f"{bits} bits per channel are held in 16, which a HEIF file is written from with {bits} again",)
    colour, alpha = (array[..., :-1], array[..., -1]) if mode[-1] in "Aa" else (array, None)
    if alpha is not None and mode[-1] == "a":
        colour, notes = _divided_by_alpha(colour, alpha), (*notes, _PREMULTIPLIED_NOTE)
    if colour.ndim == 3 and subsampling is None and (colour == colour[..., :1]).all():
        colour = colour[..., 0]  # grey with alpha comes as colour
    numbers, light = info.get("nclx_profile"), tuple((key, info[key]) for key in _HEIF_LIGHT if key in info)
    settings = HeifSettings(
        bits, subsampling, tuple(int(numbers[key]) for key in _HEIF_NUMBERS) if numbers else None, light
    )
    planes = _Planes(colour, alpha)
    return _assembled(planes, info, 1, info.get("exif"), format="HEIF", lossless=False, heif=settings, notes=notes)


def _encode_heif(photo: Photo, quality: int | None, subsampling: str | None) -> bytes:
    """HEIF with x265, in as many bits and as finely subsampled as its source."""
    settings = photo.heif or HeifSettings()
    array, depth = _channels(photo), ""
    if photo.bits == 16:
        array, depth = _spread(16, settings.bits)[array], f";{settings.bits}"
    mode = "L" if array.ndim == 2 else {2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2]]
    primaries, transfer, matrix = settings.colours or (1, 13, 6)
    if photo.icc:
        primaries = transfer = 2  # unspecified: the profile says it
    tags = {"icc_profile": photo.icc, "exif": photo.exif, "xmp": photo.xmp, **dict(settings.light)}
    stream = io.BytesIO()
    _heif_library("cannot write HEIC", writing=True).encode(
        mode + depth,
        (array.shape[1], array.shape[0]),
        array.tobytes(),
        stream,
        quality=quality or DEFAULT_QUALITY["HEIF"],
        subsampling=subsampling or settings.subsampling or "4:2:0",
        bit_depth=settings.bits if depth else 8,
        color_primaries=primaries,
        transfer_characteristics=transfer,
        matrix_coefficients=matrix if matrix in _HEIF_MATRICES else 6,
        full_range_flag=1,
        # On four photos as close to the source as the default preset, at its size within 6 %, in 1/8 of the time.
        enc_params={"preset": "ultrafast"},
        **{key: value for key, value in tags.items() if value},
    )
    return stream.getvalue()


def _spread(bits: int, new_bits: int) -> np.ndarray:
    """A table that takes samples of one depth to another, the highest value to the highest, to the nearest."""
    top, new_top = 2**bits - 1, 2**new_bits - 1
    return ((np.arange(top + 1, dtype=np.uint64) * new_top + top // 2) // top).astype(np.uint16)


def _colour_chunk(settings: HeifSettings) -> bytes | None:
    """The PNG chunk for colours that a HEIF file names by number; None for sRGB and its like, which need no name."""
    if settings.colours is None:
        return None
    primaries, transfer, _ = settings.colours
    if primaries in (1, 2) and transfer in (1, 2, 6, 13, 14, 15):
        return None
    return _png_chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


_HEIF_SUBSAMPLING = {444: "4:4:4", 422: "4:2:2", 420: "4:2:0"}
_HEIF_NUMBERS = ("color_primaries", "transfer_characteristics", "matrix_coefficients")
_HEIF_LIGHT = (
    "content_light_level",
    "mastering_display_colour_volume",
    "ambient_viewing_environment",
    "nominal_diffuse_white_luminance",
)
# Matrices that a photo decoded to RGB can be encoded with: BT.709, BT.601 twice, BT.2020.
_HEIF_MATRICES = (1, 5, 6, 9)


# ---- headers ---------------------------------------------------------------------------------------------------------


def _png_header(file: IO[bytes]) -> tuple[int, int, int]:
    """Width, height and orientation of a PNG file; its pixels are skipped."""
    parts = [file.read(len(_PNG_SIGNATURE))]
    while len(start := file.read(8)) == 8 and start[4:] != b"IEND":
        length = int.from_bytes(start[:4], "big")
        if start[4:] in (b"IHDR", b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            parts.append(start + file.read(length + 4))
        else:
            file.seek(length + 4, os.SEEK_CUR)
    end = _png_chunk(b"IDAT", b"") + _png_chunk(b"IEND", b"")
    return _pillow_header(PngImagePlugin.PngImageFile(io.BytesIO(b"".join(parts) + end)))


def _webp_header(file: IO[bytes]) -> tuple[int, int, int]:
    """Width, height and orientation of a WebP file; EXIF and XMP stand behind its pixels."""
    width, height = _webp_size(file.read(30))
    info, position = {}, 12
    while file.seek(position) == position and len(start := file.read(8)) == 8:
        length = int.from_bytes(start[4:], "little")
        if start[:4] in (b"EXIF", b"XMP "):
            info[start[:4].strip().decode().lower()] = file.read(length)
        position += 8 + length + length % 2
    return width, height, _orientation(info)


def _tiff_header(file: IO[bytes]) -> tuple[int, int, int]:
    """Width, height and orientation of a TIFF file's first page."""
    with tifffile.TiffFile(file) as parsed:
        page: Any = parsed.pages[0]
        return page.imagewidth, page.imagelength, int(page.tags.valueof(274, default=1))


def _heif_header(file: IO[bytes]) -> tuple[int, int, int]:
    """Width and height of a HEIF file's main picture, which libheif gives upright."""
    name = getattr(file, "name", "the photo")  # held in memory it has none
    parsed = _heif_library(f"cannot read '{name}'").open_heif(file.read())
    return *parsed.size, 1


def _pillow_header(image: Image.Image) -> tuple[int, int, int]:
    """Width, height and orientation of a file that Pillow has opened and not decoded."""
    return *image.size, _orientation(image.info)


# ---- tables ----------------------------------------------------------------------------------------------------------

_DECODERS = {
    "PNG": _decode_png,
    "JPEG": _decode_jpeg,
    "WEBP": _decode_webp,
    "TIFF": _decode_tiff,
    "AVIF": _decode_avif,
    "GIF": _decode_simple,
    "BMP": _decode_simple,
    "HEIF": _decode_heif,
}
_HEADERS = {
    "PNG": _png_header,
    "JPEG": lambda file: _pillow_header(JpegImagePlugin.JpegImageFile(file)),
    "WEBP": _webp_header,
    "TIFF": _tiff_header,
    "AVIF": lambda file: _pillow_header(AvifImagePlugin.AvifImageFile(file)),
    "GIF": lambda file: _pillow_header(GifImagePlugin.GifImageFile(file)),
    "BMP": lambda file: _pillow_header(BmpImagePlugin.BmpImageFile(file)),
    "HEIF": _heif_header,
}
_ENCODERS = {
    "PNG": _encode_png,
    "JPEG": _encode_jpeg,
    "WEBP": _encode_webp,
    "TIFF": _encode_tiff,
    "AVIF": _encode_avif,
    "HEIF": _encode_heif,
}
