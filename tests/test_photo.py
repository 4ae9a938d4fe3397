"""Photo files keep what they hold: every pixel, and every tag; and bad files end in one clear line."""

import io
import os
import stat
import struct
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin

from inpaintkit import photo as photo_module
from inpaintkit.errors import PhotoError, UsageError
from inpaintkit.photo import (
    DEFAULT_QUALITY,
    SUBSAMPLINGS,
    HeifSettings,
    Photo,
    check_format,
    check_output,
    decode_photo,
    encode_photo,
    is_lossless,
    photo_size,
    photo_to_pil,
    read_bytes,
    read_photo,
    write_bytes,
    write_notes,
    write_photo,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="a caf\xc3\xa9"/></x:xmpmeta>'
)
UPRIGHT_XMP = XMP.replace(b'Orientation="6"', b'Orientation="1"')
HEIF = ("HEIF",) if find_spec("pillow_heif") else ()
needs_heif = pytest.mark.skipif(not HEIF, reason="pillow-heif is not installed")
LOSSY = ("JPEG", "AVIF", *HEIF)
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", *HEIF)


def samples(*shape: int, bits: int = 8, seed: int = 0) -> np.ndarray:
    """Noise of the given shape: no two neighbours alike, so that a shift, swap or rounding shows."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=dtype)


def smooth(height: int, width: int) -> np.ndarray:
    """A soft RGB picture whose four corners differ, fit for lossy formats."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.rint(np.stack([200 * rows, 220 * columns, 255 * (1 - rows * columns)], axis=-1)).astype(np.uint8)


def pil_bytes(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    if format == "HEIF":
        channels = {"L": "L", "LA": "LA", "RGBA": "RGBA"}.get(image.mode, "RGB")
        return heif_bytes(np.array(image.convert(channels)), **options)
    image.save(stream, format, **options)
    return stream.getvalue()


def heif_bytes(array: np.ndarray, bits: int = 8, mode: str | None = None, **options: object) -> bytes:
    """A HEIF file by pillow-heif alone, which turns the orientation in `exif` into the container's own."""
    import pillow_heif

    mode = mode or {2: "L", 3: {2: "LA", 3: "RGB", 4: "RGBA"}.get(array.shape[-1], "")}[array.ndim]
    stream = io.BytesIO()
    size = array.shape[1], array.shape[0]
    pillow_heif.encode(
        mode + (f";{bits}" if bits > 8 else ""), size, np.ascontiguousarray(array).tobytes(), stream, **options
    )
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    """A file as Pillow and pillow-heif see it."""
    if data[4:8] == b"ftyp" and b"avif" not in data[8:32]:
        import pillow_heif

        return pillow_heif.open_heif(data).to_pillow()
    return Image.open(io.BytesIO(data))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def plain_png(array: np.ndarray, colour: int, bits: int = 16, extra: bytes = b"") -> bytes:
    """A PNG file made by hand, so that the reader is not judged by the writer: no filter, one IDAT chunk."""
    height, width = array.shape[:2]
    rows = array.astype(">u2" if bits == 16 else np.uint8).reshape(height, -1).view(np.uint8).reshape(height, -1)
    body = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + png_chunk(b"IDAT", zlib.compress(body)) + png_chunk(b"IEND", b"")


def png_samples(data: bytes) -> np.ndarray:
    """The samples of a PNG file, undone by hand from the PNG specification's filters."""
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    step = channels * bits // 8
    stream = b"".join(body for kind, body in png_chunks(data) if kind == b"IDAT")
    lines = np.frombuffer(zlib.decompress(stream), np.uint8).reshape(height, 1 + width * step)
    done = np.zeros((height + 1, step + width * step), int)
    for y, line in enumerate(lines, start=1):
        for x in range(step, step + width * step):
            left, up, corner = int(done[y, x - step]), int(done[y - 1, x]), int(done[y - 1, x - step])
            nearest = min((left, up, corner), key=lambda value, sum=left + up - corner: abs(sum - value))
            guess = (0, left, up, (left + up) // 2, nearest)[line[0]]
            done[y, x] = (int(line[1 + x - step]) + guess) % 256
    array = done[1:, step:].astype(np.uint8)
    array = array.reshape(height, width, channels) if bits == 8 else array.view(">u2").reshape(height, width, channels)
    return array.astype(np.uint8 if bits == 8 else np.uint16)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, position = [], 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        found.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def some_exif(orientation: int | None = None) -> bytes:
    """An EXIF block with text, a maker note and a place."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.DateTime] = "2024:05:06 07:08:09"
    exif[ExifTags.IFD.Exif] = {36867: "2024:05:06 07:08:09", 37500: bytes(range(200)), 33434: (1, 250)}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (52.0, 30.0, 15.0)}
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    return exif.tobytes()


def exif_with_thumbnail(order: str, thumbnail: bytes) -> bytes:
    """An EXIF block laid out by hand: orientation 3 between two other tags, and a thumbnail at its end."""
    mark = {"<": b"II", ">": b"MM"}[order]
    second = 8 + 2 + 3 * 12 + 4
    place = second + 2 + 2 * 12 + 4

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")

    block = mark + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", 3)
    block += entry(0x0110, 2, 4, b"abc") + entry(0x0112, 3, 1, struct.pack(f"{order}H", 3))
    block += entry(0x0131, 2, 4, b"xyz") + struct.pack(f"{order}I", second) + struct.pack(f"{order}H", 2)
    block += entry(0x0201, 4, 1, struct.pack(f"{order}I", place))
    block += entry(0x0202, 4, 1, struct.pack(f"{order}I", len(thumbnail))) + bytes(4)
    return b"Exif\0\0" + block + thumbnail


def cmyk_profile() -> bytes:
    """A small CMYK profile made by hand, in which full cyan alone prints as the grey of L* = 50."""
    grid = np.zeros((2, 2, 2, 2, 3), np.uint8)
    grid[..., 1:] = 128
    grid[0, 0, 0, 0, 0] = 255
    grid[1, 0, 0, 0, 0] = 128
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + grid.tobytes() + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags, body = b"", b""
    for key, value in ((b"desc", name), (b"wtpt", white), (b"A2B0", lut)):
        padded = value + bytes(-len(value) % 4)
        tags += key + struct.pack(">II", 128 + 4 + 3 * 12 + len(body), len(value))
        body += padded
    header = struct.pack(">I4sI4s4s4s", 0, b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    profile = header.ljust(128, b"\0") + struct.pack(">I", 3) + tags + body
    return struct.pack(">I", len(profile)) + profile[4:]


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    """The message of an error, which has to be one line that says what is expected and a remedy after a colon."""
    message = str(error.value)
    assert "\n" not in message
    assert "expected" in message
    assert ": " in message
    return message


# ---- lossless: every pixel ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("format", "bits"), [("PNG", 8), ("PNG", 16), ("TIFF", 8), ("TIFF", 16), ("WEBP", 8)])
@pytest.mark.parametrize("size", [(23, 37), (1, 1), (1, 50), (50, 1)])
def test_lossless_formats_keep_every_pixel(
    size: tuple[int, int], format: str, bits: int, grey: bool, alpha: bool
) -> None:
    pixels = np.repeat(samples(*size, 1, bits=bits), 3, axis=2) if grey else samples(*size, 3, bits=bits)
    cover = samples(*size, bits=bits, seed=1) if alpha else None
    if cover is not None:
        cover[0, 0] = 0  # the colour under full transparency is a colour too
    before = pixels.copy()
    photo = Photo(pixels, cover, grey=grey, icc=GREY_PROFILE if grey else SRGB, dpi=(300.0, 150.0))
    assert is_lossless(photo, format)
    again = decode_photo(encode_photo(photo, format))
    np.testing.assert_array_equal(again.pixels, pixels)
    assert again.pixels.dtype == pixels.dtype
    if cover is None:
        assert again.alpha is None
    else:
        np.testing.assert_array_equal(again.alpha, cover)
    assert again.format == format
    assert again.lossless
    assert again.icc == photo.icc
    assert again.dpi == pytest.approx((300, 150), rel=1e-3)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_pixels_agree_with_the_specification(colour: int, channels: int, bits: int) -> None:
    array = samples(9, 11, channels, bits=bits)
    photo = decode_photo(plain_png(array, colour, bits))
    colours = 3 if channels > 2 else 1
    np.testing.assert_array_equal(photo.pixels, np.broadcast_to(array[..., :colours], (9, 11, 3)))
    assert photo.grey == (colours == 1)
    assert photo.bits == bits
    if channels in (2, 4):
        np.testing.assert_array_equal(photo.alpha, array[..., -1])
    written = png_samples(encode_photo(photo))
    if written.shape[2] == array.shape[2]:
        np.testing.assert_array_equal(written, array)
    else:  # 16-bit grey with alpha is written as colour
        assert (colour, bits) == (4, 16)
        np.testing.assert_array_equal(written, array[..., [0, 0, 0, 1]])


def test_drawn_pictures_are_packed_small_and_exactly() -> None:
    pixels = np.full((400, 600, 3), 250, np.uint8)
    cv2.putText(pixels, "a line of text", (20, 200), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (30, 60, 90), 2, cv2.LINE_AA)
    data = encode_photo(Photo(pixels))
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), pixels)
    as_a_photo = cv2.imencode(".png", pixels)[1]  # by the same library, whose compression differs between builds
    assert len(data) < 0.8 * len(as_a_photo)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}])
def test_tiff_of_16_bits_is_read_exactly(order: str, options: dict[str, object]) -> None:
    array = samples(31, 17, 4, bits=16)
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, photometric="rgb", extrasamples=["unassalpha"], byteorder=order, **options)
    photo = decode_photo(stream.getvalue())
    np.testing.assert_array_equal(photo.pixels, array[..., :3])
    np.testing.assert_array_equal(photo.alpha, array[..., 3])


@pytest.mark.parametrize("predictor", [1, 2])
def test_tiff_of_16_bits_packed_by_lzw_is_read_exactly(predictor: int) -> None:
    array = samples(31, 17, 3, bits=16)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 5, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    data = cv2.imencode(".tif", array[..., ::-1], options)[1].tobytes()
    np.testing.assert_array_equal(decode_photo(data).pixels, array)


def test_tiff_layouts_of_16_bits() -> None:
    array = samples(31, 17, 3, bits=16)
    cases = {
        "separate planes": (array.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}, array),
        "tiles": (array, {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"}, array),
        "white is zero": (array[..., 0], {"photometric": "miniswhite"}, 65535 - array[..., [0, 0, 0]]),
        "BigTIFF": (array, {"photometric": "rgb", "bigtiff": True}, array),
    }
    for name, (stored, options, expected) in cases.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.ascontiguousarray(stored), **options)
        np.testing.assert_array_equal(decode_photo(stream.getvalue()).pixels, expected, err_msg=name)


def test_premultiplied_16_bit_tiff_is_divided_out() -> None:
    array = np.full((4, 5, 4), 20000, np.uint16)
    array[..., 3] = 40000
    array[0, 0] = 0
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, photometric="rgb", extrasamples=["assocalpha"])
    photo = decode_photo(stream.getvalue())
    assert photo.pixels[1, 1].tolist() == [32768] * 3
    assert photo.pixels[0, 0].tolist() == [0] * 3
    assert photo.alpha[1, 1] == 40000
    assert any("premultiplied" in note for note in photo.notes)


def test_a_further_channel_that_is_not_alpha_is_noted() -> None:
    array = samples(6, 7, 4, bits=16)
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, photometric="rgb", extrasamples=["unspecified"])
    photo = decode_photo(stream.getvalue())
    np.testing.assert_array_equal(photo.pixels, array[..., :3])
    assert photo.alpha is None
    assert any("further channel" in note for note in photo.notes)


def test_tiff_written_is_read_alike_by_other_libraries() -> None:
    array = samples(40, 30, 3, bits=16)
    data = encode_photo(Photo(array, format="TIFF", exif=some_exif()))
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), -1)[..., ::-1], array)
    data = encode_photo(Photo(samples(40, 30, 3), samples(40, 30, seed=1), format="TIFF", exif=some_exif()))
    other = np.array(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(other, np.dstack([samples(40, 30, 3), samples(40, 30, seed=1)]))


def test_webp_stays_lossless_only_when_its_source_was() -> None:
    exact = pil_bytes(Image.fromarray(smooth(20, 30)), "WEBP", lossless=True)
    lossy = pil_bytes(Image.fromarray(smooth(20, 30)), "WEBP", quality=80)
    assert decode_photo(exact).lossless
    assert b"VP8L" in encode_photo(decode_photo(exact))
    assert not decode_photo(lossy).lossless
    assert b"VP8 " in encode_photo(decode_photo(lossy))
    assert not is_lossless(decode_photo(lossy))
    assert b"VP8 " in encode_photo(decode_photo(exact), quality=80)
    assert not is_lossless(decode_photo(exact), quality=80)
    with_alpha = pil_bytes(Image.fromarray(samples(20, 30, 4)), "WEBP", lossless=True, exact=True, icc_profile=SRGB)
    assert decode_photo(with_alpha).lossless


# ---- tags ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_tags_survive_in_every_format(format: str) -> None:
    options = {"icc_profile": SRGB, "exif": some_exif(), "dpi": (300, 300), "xmp": XMP}
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {**options, "pnginfo": info}
    if format == "TIFF":
        exif = Image.Exif()
        exif.load(options["exif"])
        exif[700] = XMP
        options["exif"] = exif
    first = decode_photo(pil_bytes(Image.fromarray(smooth(24, 32)), format, **options))
    second = decode_photo(encode_photo(first))
    for photo in (first, second):
        assert photo.icc == SRGB
        assert photo.xmp == UPRIGHT_XMP
        exif = Image.Exif()
        exif.load(photo.exif)
        assert exif[ExifTags.Base.Make] == "Maker"
        assert exif.get_ifd(ExifTags.IFD.Exif)[36867] == "2024:05:06 07:08:09"
        assert exif.get_ifd(ExifTags.IFD.Exif)[37500] == bytes(range(200))
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (52.0, 30.0, 15.0)
        if format not in ("WEBP", "AVIF", "HEIF"):
            assert photo.dpi == pytest.approx((300, 300), rel=1e-3)
    assert second.exif == first.exif
    read_by_pillow = opened(encode_photo(first))
    assert read_by_pillow.info["icc_profile"] == SRGB
    assert read_by_pillow.getexif()[ExifTags.Base.DateTime] == "2024:05:06 07:08:09"


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_xmp_thumbnails_are_blanked(format: str, quote: str) -> None:
    picture = b"/9j/4AAQSkZJRgABAgEASABIAAD&#xA;" * 3
    about = b'<rdf:li xmpGImg:width="8"><xmpGImg:image%s>%s</xmpGImg:image></rdf:li><b xmpGImg:image=%s%s%s c="d"/>'
    mark = quote.encode()
    xmp = b"<x:xmpmeta>" + about % (b"", picture, mark, picture, mark) + b"</x:xmpmeta>"
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    data = pil_bytes(Image.fromarray(smooth(8, 8)), "PNG", pnginfo=info)
    written = encode_photo(decode_photo(data), format)
    assert decode_photo(written).xmp == b"<x:xmpmeta>" + about % (b"", b"", mark, b"", mark) + b"</x:xmpmeta>"
    assert picture not in written


@pytest.mark.parametrize("format", FORMATS)
def test_resolution_reaches_every_format(format: str) -> None:
    photo = Photo(smooth(24, 32), dpi=(240.0, 120.0))
    assert decode_photo(encode_photo(photo, format)).dpi == pytest.approx((240, 120), rel=1e-3)


def test_tiff_resolution_in_centimetres() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, smooth(8, 8), photometric="rgb", resolution=(100, 50), resolutionunit=3)
    assert decode_photo(stream.getvalue()).dpi == pytest.approx((254, 127))


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_loses_orientation_and_thumbnail_and_not_another_byte(order: str) -> None:
    thumbnail = b"\xff\xd8" + b"the thing that was filled away" + b"\xff\xd9"
    exif = exif_with_thumbnail(order, thumbnail)
    data = pil_bytes(Image.fromarray(smooth(16, 16)), "JPEG", exif=exif)
    assert b"filled away" in data
    photo = decode_photo(data)
    assert b"filled away" not in encode_photo(photo)
    kept = Image.Exif()
    kept.load(photo.exif)
    assert dict(kept) == {0x0110: "abc", 0x0131: "xyz"}
    assert not kept.get_ifd(ExifTags.IFD.IFD1)
    assert len(photo.exif) == len(exif) - len(thumbnail)


def test_exif_offsets_are_left_alone() -> None:
    exif = some_exif(orientation=6)
    photo = decode_photo(pil_bytes(Image.fromarray(smooth(16, 16)), "JPEG", exif=exif))
    assert len(photo.exif) == len(exif)
    assert photo.exif.index(bytes(range(200))) == exif.index(bytes(range(200)))


def test_exif_that_holds_only_an_orientation_is_gone() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    assert decode_photo(pil_bytes(Image.fromarray(smooth(16, 24)), "JPEG", exif=exif)).exif is None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "damage", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0" + bytes(40)]
)
def test_damaged_exif_does_not_cost_the_photo(damage: bytes) -> None:
    photo = decode_photo(pil_bytes(Image.fromarray(smooth(16, 24)), "JPEG", exif=damage))
    assert photo.size == (16, 24)
    assert photo.exif is None
    assert any("EXIF" in note for note in photo.notes)
    assert decode_photo(encode_photo(photo, "PNG")).size == (16, 24)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exif_damaged_anywhere_does_not_cost_the_photo() -> None:
    rng = np.random.default_rng(7)
    for number in range(60):
        exif = bytearray(some_exif(6) if number % 2 else exif_with_thumbnail("<", b"\xff\xd8aaaa\xff\xd9"))
        for place in rng.integers(6, min(len(exif), 320), 3):
            exif[place] = rng.integers(0, 256)
        photo = decode_photo(pil_bytes(Image.fromarray(smooth(8, 8)), "JPEG", exif=bytes(exif)))
        for format in FORMATS:
            assert decode_photo(encode_photo(photo, format)).size == (8, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", FORMATS)
def test_orientation_is_applied_once(format: str, orientation: int) -> None:
    upright = smooth(24, 40)
    back = {2: "fliplr", 3: "rot180", 4: "flipud", 5: "transpose", 6: "rot90", 7: "transverse", 8: "rot270"}
    stored = {
        None: upright,
        "fliplr": upright[:, ::-1],
        "rot180": upright[::-1, ::-1],
        "flipud": upright[::-1],
        "transpose": upright.swapaxes(0, 1),
        "rot90": np.rot90(upright, 1),
        "transverse": upright[::-1, ::-1].swapaxes(0, 1),
        "rot270": np.rot90(upright, -1),
    }[back.get(orientation)]
    options = (
        {"quality": 95, "subsampling": "4:4:4"} if format in LOSSY else {"lossless": True} if format == "WEBP" else {}
    )
    data = pil_bytes(Image.fromarray(np.ascontiguousarray(stored)), format, exif=some_exif(orientation), **options)
    photo = decode_photo(data)
    assert photo.size == (24, 40)
    assert np.abs(photo.pixels.astype(int) - upright).max() <= (12 if format in LOSSY else 0)
    again = decode_photo(encode_photo(photo))
    assert again.size == (24, 40)
    assert opened(encode_photo(photo)).getexif().get(ExifTags.Base.Orientation, 1) == 1
    if format not in LOSSY:
        np.testing.assert_array_equal(again.pixels, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF LZW"])
def test_orientation_of_16_bit_photos(kind: str, orientation: int) -> None:
    array = samples(7, 12, 3, bits=16)
    if kind == "PNG":
        data = plain_png(array, 2, extra=png_chunk(b"eXIf", some_exif(orientation)[6:]))
    elif kind == "TIFF":
        stream = io.BytesIO()
        tifffile.imwrite(stream, array, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
        data = stream.getvalue()
    else:
        array = array[..., [0, 0, 0]]
        image = Image.fromarray(array[..., 0])
        data = pil_bytes(image, "TIFF", compression="tiff_lzw", tiffinfo={274: orientation})
    index = np.arange(7 * 12, dtype=np.uint8).reshape(7, 12)
    picture = Image.fromarray(index)
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    reference = np.array(ImageOps.exif_transpose(picture))
    photo = decode_photo(data)
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, array.reshape(-1, 3)[reference])


def test_png_keeps_text_and_colour_chunks() -> None:
    gamma = png_chunk(b"gAMA", struct.pack(">I", 45455))
    text = png_chunk(b"tEXt", b"Comment\0made by hand")
    background = png_chunk(b"bKGD", bytes(2))
    data = plain_png(samples(4, 5, 1), 0, 8, gamma + text + background)
    written = png_chunks(encode_photo(decode_photo(data)))
    assert (b"gAMA", struct.pack(">I", 45455)) in written
    assert (b"tEXt", b"Comment\0made by hand") in written
    assert b"bKGD" not in [kind for kind, _ in written]
    places = [kind for kind, _ in written]
    assert places.index(b"gAMA") < places.index(b"IDAT")


def test_a_grey_profile_leaves_when_the_photo_turns_colourful() -> None:
    photo = Photo(np.repeat(samples(9, 8, 1), 3, axis=2), grey=True, icc=GREY_PROFILE, format="PNG")
    assert Image.open(io.BytesIO(encode_photo(photo))).mode == "L"
    assert decode_photo(encode_photo(photo)).icc == GREY_PROFILE
    coloured = decode_photo(encode_photo(photo.replace_pixels(samples(9, 8, 3))))
    assert not coloured.grey
    assert coloured.icc is None
    np.testing.assert_array_equal(coloured.pixels, samples(9, 8, 3))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
@pytest.mark.parametrize("format", [*FORMATS, "GIF", "BMP"])
def test_what_is_read_may_be_written_to(format: str, mode: str) -> None:
    if (mode in ("RGBA", "LA") and format == "JPEG") or (mode == "LA" and format == "BMP"):
        pytest.skip("this format has no alpha")
    photo = decode_photo(pil_bytes(Image.fromarray(smooth(24, 40)).convert(mode), format))
    assert photo.pixels.flags.writeable
    assert photo.alpha is None or photo.alpha.flags.writeable
    photo.pixels[:] = 0


@pytest.mark.parametrize("format", ["PNG", "TIFF", *HEIF])
def test_what_is_read_of_more_than_8_bits_may_be_written_to(format: str) -> None:
    for channels in (3, 4):
        array = samples(24, 40, channels, bits=16)
        photo = decode_photo(encode_photo(Photo(array[..., :3], array[..., 3] if channels == 4 else None), format))
        assert photo.bits == 16
        assert photo.pixels.flags.writeable
        assert photo.alpha is None or photo.alpha.flags.writeable


# ---- JPEG ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 85, 100])
def test_jpeg_is_encoded_as_its_source_was(quality: int, subsampling: int, progressive: bool) -> None:
    options = {"quality": quality, "subsampling": subsampling, "progressive": progressive, "comment": b"a word"}
    source = Image.open(io.BytesIO(pil_bytes(Image.fromarray(samples(48, 64, 3)), "JPEG", **options)))
    data = encode_photo(decode_photo(source.fp.getvalue()))
    written = Image.open(io.BytesIO(data))
    assert written.quantization == source.quantization
    assert JpegImagePlugin.get_sampling(written) == subsampling
    assert bool(written.info.get("progressive")) == progressive
    assert written.info["comment"] == b"a word"


def test_a_subsampling_that_cannot_be_written_is_told() -> None:
    factor = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411]
    photo = decode_photo(cv2.imencode(".jpg", smooth(48, 64), factor)[1].tobytes())
    (note,) = write_notes(photo)
    assert "4:4:4" in note
    assert JpegImagePlugin.get_sampling(Image.open(io.BytesIO(encode_photo(photo)))) == 0
    assert write_notes(photo, subsampling="4:2:0") == ()
    assert write_notes(photo, "PNG") == ()
    for image in (Image.fromarray(smooth(48, 64)), Image.fromarray(smooth(48, 64)[..., 0])):
        assert write_notes(decode_photo(pil_bytes(image, "JPEG"))) == ()


def test_jpeg_quality_asked_for_replaces_the_tables() -> None:
    photo = decode_photo(pil_bytes(Image.fromarray(smooth(48, 64)), "JPEG", quality=40, subsampling=2))
    written = Image.open(io.BytesIO(encode_photo(photo, quality=90)))
    expected = Image.open(io.BytesIO(pil_bytes(Image.fromarray(smooth(48, 64)), "JPEG", quality=90)))
    assert written.quantization == expected.quantization


def test_jpeg_from_another_format_has_the_documented_quality() -> None:
    written = Image.open(io.BytesIO(encode_photo(Photo(smooth(48, 64)), "JPEG")))
    quality = DEFAULT_QUALITY["JPEG"]
    expected = Image.open(io.BytesIO(pil_bytes(Image.fromarray(smooth(48, 64)), "JPEG", quality=quality)))
    assert written.quantization == expected.quantization
    assert JpegImagePlugin.get_sampling(written) == 0


def test_grey_jpeg_stays_grey() -> None:
    photo = decode_photo(pil_bytes(Image.fromarray(smooth(48, 64)[..., 0]), "JPEG", quality=77))
    assert photo.grey
    written = Image.open(io.BytesIO(encode_photo(photo)))
    assert written.mode == "L"
    coloured = Image.open(io.BytesIO(encode_photo(photo.replace_pixels(smooth(48, 64)))))
    assert coloured.mode == "RGB"


def test_multi_picture_jpeg_is_one_photo() -> None:
    frame = Image.fromarray(smooth(16, 24))
    data = pil_bytes(frame, "MPO", save_all=True, append_images=[frame, frame])
    photo = decode_photo(data)
    assert photo.format == "JPEG"
    assert photo.size == (16, 24)
    assert any("multi-picture" in note for note in photo.notes)


def test_tags_too_long_for_jpeg_are_left_out_and_said_so() -> None:
    photo = Photo(smooth(8, 8), xmp=b"x" * 70_000, icc=SRGB)
    assert any("XMP" in note for note in write_notes(photo, "JPEG"))
    assert decode_photo(encode_photo(photo, "JPEG")).xmp is None
    assert write_notes(photo, "PNG") == ()
    assert decode_photo(encode_photo(photo, "PNG")).xmp == b"x" * 70_000


# ---- conversions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "GIF", "TIFF", "BMP"])
def test_palette_colours_are_kept_exactly(format: str) -> None:
    indices = samples(12, 15) % 7
    palette = samples(7, 3, seed=3)
    image = Image.fromarray(indices)
    image = image.convert("P") if image.mode != "P" else image
    image.putpalette(palette.tobytes())
    photo = decode_photo(pil_bytes(image, format))
    np.testing.assert_array_equal(photo.pixels, palette[indices])
    assert any("palette" in note for note in photo.notes)
    np.testing.assert_array_equal(decode_photo(encode_photo(photo)).pixels, palette[indices])


def test_palette_with_transparency() -> None:
    image = Image.fromarray(samples(12, 15) % 3)
    image = image.convert("P")
    image.putpalette(bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))
    photo = decode_photo(pil_bytes(image, "PNG", transparency=bytes([255, 0, 128])))
    np.testing.assert_array_equal(photo.alpha, np.array([255, 0, 128], np.uint8)[samples(12, 15) % 3])
    assert photo.pixels[samples(12, 15) % 3 == 1][0].tolist() == [40, 50, 60]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour", [0, 2])
def test_transparent_colour_becomes_alpha(colour: int, bits: int) -> None:
    array = samples(6, 7, 3 if colour == 2 else 1, bits=bits)
    array[2, 3] = array[0, 0]
    key = png_chunk(b"tRNS", array[0, 0].astype(">u2").tobytes())
    photo = decode_photo(plain_png(array, colour, bits, key))
    expected = np.where((array == array[0, 0]).all(axis=2), 0, 2**bits - 1)
    np.testing.assert_array_equal(photo.alpha, expected)
    np.testing.assert_array_equal(photo.pixels, np.broadcast_to(array, (6, 7, 3)))
    assert any("transparent colour" in note for note in photo.notes)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_one_bit_photos_become_grey(format: str) -> None:
    array = samples(9, 13) > 127
    photo = decode_photo(pil_bytes(Image.fromarray(array), format))
    assert photo.grey
    np.testing.assert_array_equal(photo.pixels[..., 0], np.where(array, 255, 0))
    assert any("1 bit" in note for note in photo.notes)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_profile_is_the_plain_complement(format: str) -> None:
    options = {"quality": 100} if format == "JPEG" else {}
    photo = decode_photo(pil_bytes(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), format, **options))
    assert np.abs(photo.pixels[8, 8].astype(int) - [0, 255, 255]).max() <= 2
    assert any("CMYK" in note for note in photo.notes)
    assert decode_photo(encode_photo(photo)).size == (16, 16)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_with_profile_goes_through_it_and_drops_it(format: str) -> None:
    options = {"quality": 100} if format == "JPEG" else {}
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    photo = decode_photo(pil_bytes(image, format, icc_profile=cmyk_profile(), **options))
    assert np.abs(photo.pixels[8, 8].astype(int) - 119).max() <= 3  # L* = 50 is sRGB 119
    assert photo.icc is None
    assert any("profile" in note for note in photo.notes)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_16_bits_are_rounded_for_8_bit_formats_and_said_so(format: str) -> None:
    pixels = np.full((16, 16, 3), 128, np.uint16) + np.uint16(257 * 100)  # 100.498 of 255
    photo = Photo(pixels)
    assert any("16 bits" in note for note in write_notes(photo, format))
    assert np.abs(decode_photo(encode_photo(photo, format)).pixels.astype(int) - 100).max() <= 1
    assert not is_lossless(photo, format)


def test_16_to_8_bits_rounds_to_the_nearest() -> None:
    values = np.arange(65536, dtype=np.uint16)
    expected = np.rint(values / 257).astype(np.uint8)
    photo = Photo(np.repeat(values.reshape(256, 256, 1), 3, axis=2), grey=True)
    written = decode_photo(encode_photo(photo, "WEBP", quality=None))
    assert written.bits == 8
    np.testing.assert_array_equal(photo_module._TO_8_BITS, expected)


def test_avif_above_8_bits_is_noted() -> None:
    eight = encode_photo(Photo(smooth(16, 16)), "AVIF")
    assert decode_photo(eight).notes == ()
    pixels = smooth(16, 16).astype(np.uint16) * 4
    ten = cv2.imencode(".avif", pixels[..., ::-1], [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100])[1]
    photo = decode_photo(ten.tobytes())
    assert any("8 bits" in note for note in photo.notes)
    assert np.abs(photo.pixels.astype(int) - smooth(16, 16)).max() <= 12


@pytest.mark.parametrize("format", ["GIF", "BMP"])
def test_formats_that_are_only_read_are_written_as_png(format: str) -> None:
    photo = decode_photo(pil_bytes(Image.fromarray(samples(9, 8) // 4), format))
    assert photo.format == "PNG"
    assert photo.notes[0] == f"{format} can be read but not written"


# ---- PIL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_photo_as_pil_image(mode: str) -> None:
    channels = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,), "I;16": ()}[mode]
    array = samples(11, 13, *channels, bits=16 if mode == "I;16" else 8)
    file = pil_bytes(Image.fromarray(array), "PNG", icc_profile=SRGB, dpi=(300, 300), exif=some_exif())
    image = photo_to_pil(decode_photo(file))
    assert image.mode == mode
    np.testing.assert_array_equal(np.array(image), array)
    assert image.info["icc_profile"] == SRGB
    assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
    assert image.getexif()[ExifTags.Base.Make] == "Maker"


def test_16_bit_colour_is_no_pil_image() -> None:
    with pytest.raises(PhotoError) as error:
        photo_to_pil(Photo(samples(4, 4, 3, bits=16)))
    one_line(error)


# ---- size from the header -----------------------------------------------------------------------------------------


def undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing decodes pixels."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(photo_module.cv2, "imdecode", refuse)
    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", refuse)
    if HEIF:
        monkeypatch.setattr("pillow_heif.heif.BaseImage.load", refuse)


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 7])
@pytest.mark.parametrize("format", [*FORMATS, "GIF", "BMP"])
def test_size_without_decoding(
    format: str, orientation: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {} if format in ("GIF", "BMP") else {"exif": some_exif(orientation)}
    path = tmp_path / "größe.any"
    path.write_bytes(pil_bytes(Image.fromarray(samples(24, 40, 3)), format, **options))
    expected = read_photo(path).size
    assert expected == ((40, 24) if options and orientation in (6, 7) else (24, 40))
    undecodable(monkeypatch)
    assert photo_size(path) == photo_size(str(path)) == expected
    if format in ("PNG", "JPEG", "BMP"):
        path.write_bytes(path.read_bytes()[:-500])
        assert photo_size(path) == expected


def test_size_of_photos_of_16_bits_and_with_tags_in_odd_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = samples(7, 12, 3, bits=16)
    exif = png_chunk(b"eXIf", some_exif(6)[6:])
    behind = plain_png(deep, 2).replace(png_chunk(b"IEND", b""), exif + png_chunk(b"IEND", b""))
    stream = io.BytesIO()
    tifffile.imwrite(stream, deep, photometric="rgb", bigtiff=True, extratags=[(274, 3, 1, 5, True)])
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    by_xmp = pil_bytes(Image.fromarray(samples(7, 12, 3)), "PNG", pnginfo=info)
    lossless = pil_bytes(Image.fromarray(samples(7, 12, 4)), "WEBP", lossless=True, exif=some_exif(8), icc_profile=SRGB)
    frame = Image.fromarray(samples(7, 12, 3))
    several = pil_bytes(frame, "MPO", save_all=True, append_images=[frame])
    files = {"behind": behind, "tiff": stream.getvalue(), "xmp": by_xmp, "webp": lossless, "mpo": several}
    sizes = {}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        sizes[name] = read_photo(tmp_path / name).size
    assert sizes == {"behind": (12, 7), "tiff": (12, 7), "xmp": (12, 7), "webp": (12, 7), "mpo": (7, 12)}
    undecodable(monkeypatch)
    assert {name: photo_size(tmp_path / name) for name in files} == sizes


def test_size_of_what_is_no_photo(tmp_path: Path) -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0))
    contents = {
        "text": b"hello",
        "empty": b"",
        "png": b"\x89PNG\r\n\x1a\n",
        "webp": b"RIFF\0\0\0\0WEBP",
        "tiff": b"II*\0",
    }
    contents["zero"] = b"\x89PNG\r\n\x1a\n" + header
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    for path in (*(tmp_path / name for name in contents), tmp_path / "none", tmp_path, "a\0b.png"):
        with pytest.raises(PhotoError, match="cannot read") as error:
            photo_size(path)
        assert "\n" not in str(error.value)
    large = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0))
    (tmp_path / "large").write_bytes(b"\x89PNG\r\n\x1a\n" + large)
    assert photo_size(tmp_path / "large") == (50_000, 60_000)


# ---- HEIF ---------------------------------------------------------------------------------------------------------


@needs_heif
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_heif_keeps_depth_grey_and_alpha(bits: int, grey: bool, alpha: bool) -> None:
    top = 2**bits - 1
    colour = smooth(40, 56).astype(np.uint16) * top // 255
    array = colour[..., :1] if grey else colour
    array = np.dstack([array, colour[..., 2]]) if alpha else array
    array = array.astype(np.uint8 if bits == 8 else np.uint16)
    data = heif_bytes(array.squeeze(), bits, quality=95, subsampling="4:4:4")
    first = decode_photo(data)
    second = decode_photo(encode_photo(first))
    for photo in (first, second):
        assert photo.format == "HEIF"
        assert photo.grey == grey
        assert photo.bits == (8 if bits == 8 else 16)
        assert photo.heif.bits == bits
        scale = 1 if bits == 8 else 65535 / top
        shown = array[..., :1].repeat(3, axis=2) if grey else array[..., :3]
        assert np.abs(photo.pixels / scale - shown).max() <= 0.03 * top
        assert (photo.alpha is not None) == alpha
        if alpha:
            assert np.abs(photo.alpha / scale - array[..., -1]).max() <= 0.03 * top
        assert any(f"{bits} bits" in note for note in photo.notes) == (bits > 8)
        assert write_notes(photo) == ()
    assert not is_lossless(first)


@pytest.mark.parametrize("bits", [10, 12])
def test_samples_of_10_and_12_bits_survive_16(bits: int) -> None:
    out, back = photo_module._spread(bits, 16), photo_module._spread(16, bits)
    np.testing.assert_array_equal(back[out], np.arange(2**bits))
    assert (out[0], out[-1]) == (0, 65535)
    np.testing.assert_array_equal(out, np.rint(np.arange(2**bits) * (65535 / (2**bits - 1))))


@needs_heif
def test_a_photo_of_16_bits_becomes_heif_of_10() -> None:
    photo = Photo(smooth(24, 32).astype(np.uint16) * 257, format="PNG")
    assert any("rounded to 10" in note for note in write_notes(photo, "HEIF"))
    written = decode_photo(encode_photo(photo, "HEIF", quality=95, subsampling="4:4:4"))
    assert written.heif == HeifSettings(10, "4:4:4", (1, 13, 6))
    assert np.abs(written.pixels.astype(int) - photo.pixels).max() <= 0.03 * 65535
    assert decode_photo(encode_photo(written, "PNG")).bits == 16


@needs_heif
def test_heif_quality_is_obeyed() -> None:
    photo = Photo(cv2.GaussianBlur(samples(128, 128, 3), (0, 0), 1.5))
    sizes = [len(encode_photo(photo, "HEIF", quality=quality)) for quality in (20, 60, DEFAULT_QUALITY["HEIF"], 100)]
    assert sizes == sorted(set(sizes))
    assert len(encode_photo(photo, "HEIF")) == sizes[2]


@needs_heif
def test_heif_colours_named_by_number_survive() -> None:
    light = {"max_content_light_level": 1000, "max_pic_average_light_level": 400}
    wide = {"color_primaries": 9, "transfer_characteristics": 16, "matrix_coefficients": 9, "full_range_flag": 1}
    array = smooth(40, 56).astype(np.uint16) * 4
    photo = decode_photo(heif_bytes(array, 10, content_light_level=light, **wide))
    assert photo.heif.colours == (9, 16, 9)
    again = decode_photo(encode_photo(photo))
    assert again.heif == photo.heif
    assert dict(again.heif.light)["content_light_level"] == light
    assert (b"cICP", bytes([9, 16, 0, 1])) in png_chunks(encode_photo(photo, "PNG"))
    assert any("colour space" in note for note in write_notes(photo, "JPEG"))
    assert not any("colour space" in note for note in write_notes(photo, "PNG"))
    plain = decode_photo(heif_bytes(smooth(40, 56)))
    assert b"cICP" not in encode_photo(plain, "PNG")
    assert write_notes(plain, "JPEG") == ()


@needs_heif
def test_heif_orientation_in_exif_only_repeats_the_containers() -> None:
    data = heif_bytes(smooth(24, 40), exif=some_exif(1))
    place = data.index(struct.pack(">HHIH", 0x0112, 3, 1, 1)) + 9
    photo = decode_photo(data[:place] + bytes([6]) + data[place + 1 :])
    assert photo.size == (24, 40)
    assert opened(encode_photo(photo)).getexif().get(ExifTags.Base.Orientation, 1) == 1
    exif = Image.Exif()
    exif.load(photo.exif)
    assert ExifTags.Base.Orientation not in exif


@needs_heif
def test_heif_leaves_its_thumbnails_and_further_pictures_behind() -> None:
    import pillow_heif

    file = pillow_heif.from_pillow(Image.fromarray(smooth(200, 300)))
    file.add_from_pillow(Image.fromarray(smooth(50, 60)))
    stream = io.BytesIO()
    file.save(stream, thumbnails=[64], primary_index=0)
    photo = decode_photo(stream.getvalue())
    assert photo.size == (200, 300)
    assert any("several" in note for note in photo.notes)
    written = pillow_heif.open_heif(encode_photo(photo))
    assert len(written) == 1
    assert written.info["thumbnails"] == []


@needs_heif
def test_heif_alpha_that_was_multiplied_in_is_divided_out() -> None:
    array = np.full((32, 32, 4), 100, np.uint8)
    array[..., 3] = 128
    photo = decode_photo(heif_bytes(array, mode="RGBa", quality=95))
    assert any("premultiplied" in note for note in photo.notes)
    assert np.abs(photo.pixels.astype(int) - 199).max() <= 4


@needs_heif
def test_heif_of_any_brand_is_known_and_pillow_is_left_as_it_is() -> None:
    registered = set(Image.ID), set(Image.SAVE)
    data = heif_bytes(smooth(24, 40))
    for brand in (b"heic", b"mif1", b"heix"):
        assert decode_photo(data[:8] + brand + data[12:]).size == (24, 40)
    encode_photo(Photo(smooth(8, 8)), "HEIF")
    assert (set(Image.ID), set(Image.SAVE)) == registered


def test_heif_without_its_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    photo = Photo(smooth(8, 8))
    attempts: list[Callable] = [
        lambda: read_photo(path),
        lambda: photo_size(path),
        lambda: check_output(tmp_path / "out.heic"),
        lambda: check_output(tmp_path / "out", format="heic"),
        lambda: check_format(photo, "HEIF"),
        lambda: write_photo(photo, tmp_path / "out.HEIC"),
    ]
    for attempt in attempts:
        with pytest.raises(PhotoError, match=r"pip install 'inpaintkit\[heif\]'") as error:
            attempt()
        assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["photo.heic"]


@needs_heif
def test_heif_that_can_only_be_read_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = heif_bytes(smooth(24, 40))
    monkeypatch.setattr("pillow_heif.libheif_info", lambda: {"HEIF": ""})
    assert decode_photo(data).size == (24, 40)
    with pytest.raises(PhotoError, match="only read") as error:
        check_output(tmp_path / "out.heic")
    one_line(error)


# ---- bad input ----------------------------------------------------------------------------------------------------


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such file") as error:
        read_photo(tmp_path / "none.png")
    one_line(error)
    with pytest.raises(PhotoError, match="folder") as error:
        read_photo(tmp_path)
    one_line(error)
    with pytest.raises(PhotoError) as error:
        read_photo("a\0b.png")
    one_line(error)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "not a photo"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"8BPS" + bytes(40), "Photoshop"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEI[CF]"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"II*\0", "TIFF"),
        (b"RIFF\0\0\0\0WEBP", "WEBP"),
        (b"BM", "BMP"),
        (b"GIF89a", "GIF"),
    ],
)
def test_not_a_photo(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(PhotoError, match=word) as error:
        read_photo(path)
    assert "photo.jpg" in one_line(error)


def files_of_every_format() -> dict[str, bytes]:
    """A noisy photo in every format, 16 bits included."""
    image, deep = Image.fromarray(samples(32, 48, 3)), samples(32, 48, 3, bits=16)
    files = {format: pil_bytes(image, format) for format in (*FORMATS, "GIF", "BMP")}
    files["TIFF LZW"] = pil_bytes(image, "TIFF", compression="tiff_lzw")
    files["WEBP lossless"] = pil_bytes(image, "WEBP", lossless=True)
    files["JPEG progressive"] = pil_bytes(image, "JPEG", progressive=True)
    files["PNG 16"] = encode_photo(Photo(deep))
    files["TIFF 16"] = encode_photo(Photo(deep), "TIFF")
    files["TIFF 16 LZW"] = cv2.imencode(".tif", deep, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
    return files


def outcome(data: bytes, max_pixels: int = 100_000) -> np.ndarray | str:
    """A file's pixels, or the message it is refused with; any other exception fails the test."""
    try:
        return decode_photo(data, source="bad.file", max_pixels=max_pixels).pixels
    except PhotoError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", files_of_every_format())
def test_truncated_file_is_refused(name: str) -> None:
    data = files_of_every_format()[name]
    whole = decode_photo(data).pixels
    refused = 0
    for cut in sorted({int(len(data) * share) for share in np.linspace(0.02, 0.98, 25)} | {len(data) - 1}):
        result = outcome(data[:cut])
        if isinstance(result, str):
            refused += 1
            assert "\n" not in result
            assert "bad.file" in result
        else:  # only what stands behind the pixels may be missing
            np.testing.assert_array_equal(result, whole)
            assert cut > 0.95 * len(data)
    assert refused >= 24


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", files_of_every_format())
def test_damaged_file_never_ends_in_another_error(name: str) -> None:
    data, rng = files_of_every_format()[name], np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 3):
            damaged[place] = rng.integers(0, 256)
        result = outcome(bytes(damaged))
        assert "\n" not in result if isinstance(result, str) else result.ndim == 3


def test_broken_16_bit_png_is_refused_without_noise(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encode_photo(Photo(samples(32, 48, 3, bits=16))))
    data[len(data) // 2] ^= 255
    with pytest.raises(PhotoError) as error:
        decode_photo(bytes(data))
    one_line(error)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_animation_is_refused(format: str) -> None:
    frames = [Image.fromarray(samples(16, 16, 3, seed=seed)) for seed in range(3)]
    data = pil_bytes(frames[0], format, save_all=True, append_images=frames[1:])
    with pytest.raises(PhotoError, match="3 pictures") as error:
        decode_photo(data, source="moving")
    one_line(error)


@pytest.mark.parametrize("format", [*FORMATS, "GIF", "BMP"])
def test_too_many_pixels_are_refused_before_decoding(format: str) -> None:
    data = pil_bytes(Image.fromarray(smooth(20, 30)), format)
    with pytest.raises(PhotoError, match="30 x 20 = 600 pixels") as error:
        decode_photo(data, max_pixels=599)
    one_line(error)
    assert decode_photo(data, max_pixels=600).size == (20, 30)


def test_decompression_bomb_is_refused_from_its_header() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(PhotoError, match="3,600,000,000 pixels") as error:
        decode_photo(data)
    one_line(error)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_webp_bomb_is_refused_from_its_header() -> None:
    canvas = (16_000).to_bytes(3, "little") * 2
    data = b"RIFF" + (22).to_bytes(4, "little") + b"WEBPVP8X" + (10).to_bytes(4, "little") + bytes(4) + canvas
    with pytest.raises(PhotoError, match="256,032,001 pixels"):
        decode_photo(data)


def test_more_data_than_the_header_promises_is_not_inflated() -> None:
    bomb = zlib.compress(bytes(64 << 20), 9)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", bomb) + png_chunk(b"IEND", b"")
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples(4, 4, 3, bits=16), photometric="rgb", compression="zlib", metadata=None)
    with tifffile.TiffFile(io.BytesIO(stream.getvalue())) as file:
        offset, count = (file.pages[0].tags[tag].valueoffset for tag in (273, 279))
        kind = "<I" if file.pages[0].tags[279].dtype == 4 else "<H"
    tiff = bytearray(stream.getvalue())
    struct.pack_into("<I", tiff, offset, len(tiff))
    struct.pack_into(kind, tiff, count, min(len(bomb), 65_535))
    for data in (png, bytes(tiff) + bomb):
        with pytest.raises(PhotoError, match="longer than its header says") as error:
            decode_photo(data)
        one_line(error)


@pytest.mark.parametrize("format", FORMATS)
def test_our_limit_rules_and_not_pillows(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = pil_bytes(Image.fromarray(smooth(20, 30)), format)
    assert decode_photo(data, max_pixels=600).size == (20, 30)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_zero_size_is_refused() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")
    with pytest.raises(PhotoError, match="0 x 5") as error:
        decode_photo(data)
    one_line(error)


def test_tiff_of_other_depths_is_refused() -> None:
    for array in (samples(8, 8, 3).astype(np.float32), samples(8, 8).astype(np.uint32), samples(8, 8).astype(np.int16)):
        stream = io.BytesIO()
        tifffile.imwrite(stream, array, photometric="rgb" if array.ndim == 3 else "minisblack")
        with pytest.raises(PhotoError) as error:
            decode_photo(stream.getvalue())
        one_line(error)


def test_photo_checks_its_own_arrays() -> None:
    for pixels in (samples(4, 4), samples(4, 4, 4), samples(4, 4, 3).astype(float), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(PhotoError) as error:
            Photo(pixels)
        one_line(error)
    with pytest.raises(PhotoError):
        Photo(samples(4, 4, 3), samples(4, 5))
    photo = Photo(samples(4, 4, 3))
    for other in (samples(4, 5, 3), samples(4, 4, 3, bits=16)):
        with pytest.raises(PhotoError) as error:
            photo.replace_pixels(other)
        one_line(error)


# ---- writing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix",
    [
        *(".png", ".jpg", ".JPEG", ".webp", ".tif", ".TIFF", ".avif"),
        *(pytest.param(each, marks=needs_heif) for each in (".heic", ".HEIF", ".hif")),
    ],
)
def test_suffix_chooses_the_format(tmp_path: Path, suffix: str) -> None:
    path = write_photo(Photo(smooth(16, 16)), tmp_path / f"out{suffix}")
    assert path == tmp_path / f"out{suffix}"
    short = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".heic": "HEIF", ".hif": "HEIF"}
    expected = short.get(suffix.lower(), suffix[1:].upper())
    assert read_photo(path).format == expected
    assert read_photo(path).source == path
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif", pytest.param(".heic", marks=needs_heif)])
def test_names_with_any_letters(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "Fotos été 写真 🖼" / f"ünïcode ç{suffix}"
    path.parent.mkdir()
    write_photo(Photo(smooth(16, 24)), path)
    assert read_photo(path).size == photo_size(path) == (16, 24)


@pytest.mark.parametrize("name", ["out.gif", "out.xyz", "out", "out.png.txt"])
def test_unknown_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.webp") as error:
        write_photo(Photo(smooth(8, 8)), tmp_path / name)
    one_line(error)
    assert not list(tmp_path.iterdir())


def test_existing_output_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"precious")
    with pytest.raises(PhotoError, match="exists") as error:
        write_photo(Photo(smooth(8, 8)), path)
    one_line(error)
    assert path.read_bytes() == b"precious"
    write_photo(Photo(smooth(8, 8)), path, force=True)
    assert read_photo(path).size == (8, 8)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "none" / "out.png", tmp_path / "file" / "out.png"):
        with pytest.raises(PhotoError, match="folder") as error:
            write_photo(Photo(smooth(8, 8)), path)
        one_line(error)
    (tmp_path / "a.png").mkdir()
    with pytest.raises(PhotoError, match="folder") as error:
        write_photo(Photo(smooth(8, 8)), tmp_path / "a.png", force=True)
    one_line(error)
    with pytest.raises(PhotoError) as error:
        write_photo(Photo(smooth(8, 8)), tmp_path / "a\0b.png")
    one_line(error)
    assert check_output(tmp_path / "b.jpg") == "JPEG"
    assert check_output(tmp_path / "b.anything", format="webp") == "WEBP"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failed_write_leaves_nothing_behind(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(photo_module.os, step, fail)
    path = tmp_path / "out.png"
    path.write_bytes(b"precious")
    with pytest.raises(PhotoError, match="No space left") as error:
        write_photo(Photo(smooth(8, 8)), path, force=True)
    one_line(error)
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]
    assert path.read_bytes() == b"precious"


def jpeg_sampling(data: bytes) -> str:
    return SUBSAMPLINGS[JpegImagePlugin.get_sampling(Image.open(io.BytesIO(data)))]


def avif_sampling(data: bytes) -> str:
    """From the bits of the configuration box: monochrome, then horizontally and vertically subsampled."""
    bits = data[data.index(b"av1C") + 6]
    return {0b000: "4:4:4", 0b010: "4:2:2", 0b011: "4:2:0", 0b111: "4:0:0"}[bits >> 2 & 0b111]


def heif_sampling(data: bytes) -> str:
    import pillow_heif

    return ":".join(str(pillow_heif.open_heif(data).info["chroma"]))


@pytest.mark.parametrize("quality", [None, 60, 95])
@pytest.mark.parametrize("asked", SUBSAMPLINGS)
@pytest.mark.parametrize(
    ("format", "sampling"),
    [
        ("JPEG", jpeg_sampling),
        ("AVIF", avif_sampling),
        pytest.param("HEIF", heif_sampling, marks=needs_heif),
    ],
)
def test_subsampling_asked_for(
    format: str, sampling: Callable, asked: str, quality: int | None, tmp_path: Path
) -> None:
    photo = Photo(smooth(48, 64))
    path = write_photo(photo, tmp_path / "out", format=format, quality=quality, subsampling=asked)
    assert sampling(path.read_bytes()) == asked
    other = "4:2:0" if asked == "4:4:4" else "4:4:4"
    again = decode_photo(encode_photo(read_photo(path), subsampling=other, quality=quality))
    assert sampling(encode_photo(again, subsampling=other)) == other
    grey = Photo(np.repeat(smooth(16, 16)[..., :1], 3, axis=2), grey=True)
    assert decode_photo(encode_photo(grey, format, subsampling=asked)).grey


def test_subsampling_keeps_the_quantisation_of_the_source() -> None:
    source = pil_bytes(Image.fromarray(smooth(48, 64)), "JPEG", quality=40, subsampling=2)
    written = Image.open(io.BytesIO(encode_photo(decode_photo(source), subsampling="4:4:4")))
    assert JpegImagePlugin.get_sampling(written) == 0
    assert written.quantization == Image.open(io.BytesIO(source)).quantization


def test_subsampling_without_being_asked() -> None:
    photo = Photo(smooth(48, 64))
    assert jpeg_sampling(encode_photo(photo, "JPEG")) == "4:4:4"
    assert jpeg_sampling(encode_photo(photo, "JPEG", quality=89)) == "4:2:0"
    assert avif_sampling(encode_photo(photo, "AVIF")) == "4:4:4"
    if HEIF:
        assert heif_sampling(encode_photo(photo, "HEIF")) == "4:2:0"
        for each in SUBSAMPLINGS:
            source = heif_bytes(smooth(48, 64), subsampling=each)
            assert heif_sampling(encode_photo(decode_photo(source))) == each


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_subsampling_where_there_is_none_is_refused(format: str) -> None:
    for tell in (check_format, encode_photo):
        with pytest.raises(UsageError, match=f"{format} has no choice of subsampling") as error:
            tell(Photo(smooth(8, 8)), format, subsampling="4:2:0")
        one_line(error)
        with pytest.raises(UsageError, match="did you mean '4:2:0'"):
            tell(Photo(smooth(8, 8)), "JPEG", subsampling="420")
        with pytest.raises(UsageError, match="quality is 0"):
            tell(Photo(smooth(8, 8)), "JPEG", quality=0)


@pytest.mark.parametrize("bits", [8, 16])
def test_opaque_alpha_is_left_out_of_jpeg_and_said_so(bits: int) -> None:
    photo = Photo(samples(8, 8, 3, bits=bits), np.full((8, 8), 2**bits - 1, f"uint{bits}"))
    assert check_format(photo, "JPEG") == "JPEG"
    assert any("alpha" in note for note in write_notes(photo, "JPEG"))
    assert decode_photo(encode_photo(photo, "JPEG")).alpha is None
    assert not any("alpha" in note for note in write_notes(photo, "PNG"))
    assert decode_photo(encode_photo(photo, "PNG")).alpha is not None
    nearly = photo.alpha.copy()
    nearly[7, 7] -= 1
    with pytest.raises(PhotoError, match="alpha"):
        check_format(Photo(photo.pixels, nearly), "JPEG")


@pytest.mark.parametrize("bits", [8, 16])
def test_filled_places_become_opaque(bits: int) -> None:
    alpha, mask = samples(8, 9, bits=bits, seed=1), samples(8, 9) > 127
    before = alpha.copy()
    photo = Photo(samples(8, 9, 3, bits=bits), alpha, icc=SRGB).opaque_where(mask)
    np.testing.assert_array_equal(photo.alpha, np.where(mask, 2**bits - 1, before))
    assert photo.alpha.dtype == alpha.dtype
    assert photo.icc == SRGB
    np.testing.assert_array_equal(alpha, before)
    plain = Photo(samples(8, 9, 3))
    assert plain.opaque_where(mask) is plain
    for bad in (mask.T, mask.astype(np.uint8)):
        with pytest.raises(PhotoError) as error:
            photo.opaque_where(bad)
        one_line(error)


def test_a_resolution_that_finds_no_place_is_told() -> None:
    photo = Photo(smooth(8, 8), exif=some_exif(), dpi=(300.0, 300.0))
    for format in ("WEBP", "AVIF", *HEIF):
        assert any("resolution" in note for note in write_notes(photo, format))
        assert write_notes(Photo(smooth(8, 8), dpi=(300.0, 300.0)), format) == ()
    assert write_notes(photo, "PNG") == ()


def test_alpha_is_never_dropped_in_silence(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="alpha") as error:
        write_photo(Photo(smooth(8, 8), samples(8, 8)), tmp_path / "out.jpg")
    assert "WebP" in one_line(error)
    assert not list(tmp_path.iterdir())


def test_bad_quality_format_and_side() -> None:
    for arguments in ({"quality": 0}, {"quality": 101}):
        with pytest.raises(UsageError, match="quality") as error:
            encode_photo(Photo(smooth(8, 8)), "JPEG", **arguments)
        one_line(error)
    with pytest.raises(UsageError, match="did you mean 'WEBP'"):
        encode_photo(Photo(smooth(8, 8)), "webpp")
    for format, largest in (("WEBP", 16_383), ("JPEG", 65_500), *((each, 16_384) for each in HEIF)):
        with pytest.raises(PhotoError, match=f"{largest}:") as error:
            encode_photo(Photo(np.zeros((1, largest + 1, 3), np.uint8)), format)
        one_line(error)


def test_a_link_is_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target.png"
    target.write_bytes(b"old")
    link = linked(tmp_path / "link.png", target)
    write_photo(Photo(smooth(8, 8)), link, force=True)
    assert link.is_symlink()
    assert read_photo(target).size == (8, 8)


def test_a_link_to_nothing_yet_is_written_through(tmp_path: Path) -> None:
    link = linked(tmp_path / "link.png", tmp_path / "target.png")
    write_photo(Photo(smooth(8, 8)), link)
    assert link.is_symlink()
    assert read_photo(tmp_path / "target.png").size == (8, 8)
    nowhere = linked(tmp_path / "other.png", tmp_path / "none" / "target.png")
    with pytest.raises(PhotoError, match="none") as error:
        check_output(nowhere)
    one_line(error)


def test_links_in_a_circle_are_refused_beforehand(tmp_path: Path) -> None:
    link = linked(tmp_path / "loop.png", tmp_path / "loop.png")
    for refused in (lambda: check_output(link, force=True), lambda: write_bytes(b"data", link)):
        with pytest.raises(PhotoError, match=r"loop\.png") as error:
            refused()
        one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == ["loop.png"]
    assert link.is_symlink()


def linked(link: Path, target: Path) -> Path:
    """A symbolic link, where this user may make one."""
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("this system makes no links for this user")
    return link


def test_bytes_written_are_read(tmp_path: Path) -> None:
    path = tmp_path / "größe.png"
    assert write_bytes(b"first", path) == path
    write_bytes(b"second", path)
    assert read_bytes(path) == b"second"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="this system has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "photo.png"
    write_bytes(b"first", path)
    path.chmod(mode)
    write_bytes(b"second", path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"second"


def test_what_a_format_cannot_hold_is_told_beforehand() -> None:
    photo = Photo(smooth(8, 8), samples(8, 8))
    assert check_format(photo, "webp") == "WEBP"
    assert check_format(photo) == "PNG"
    with pytest.raises(PhotoError, match="alpha"):
        check_format(photo, "JPEG")
    with pytest.raises(PhotoError, match="16383"):
        check_format(Photo(np.zeros((1, 16_384, 3), np.uint8)), "WEBP")


def test_a_header_that_gives_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    monkeypatch.setitem(photo_module._HEADERS, "PNG", lambda file: ((4, 4), 4, 1))
    with pytest.raises(PhotoError, match="damaged"):
        photo_module.encoded_size(data, source="two.png")


@needs_heif
def test_the_size_of_a_heif_photo_in_memory() -> None:
    assert photo_module.encoded_size(heif_bytes(np.zeros((48, 64, 3), np.uint8))) == (48, 64)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_orientation_in_the_header(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, format, exif=exif)
    assert photo_module.encoded_orientation(file.getvalue()) == orientation
    assert photo_module.encoded_size(file.getvalue()) == ((20, 10) if orientation == 6 else (10, 20))
