"""Masks from files and arrays: what counts as missing, and what is refused rather than guessed."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from inpaintkit.errors import MaskError
from inpaintkit.masks.read import as_mask, decode_mask, read_mask


def drawn(height: int = 20, width: int = 30) -> np.ndarray:
    """A mask without symmetry, so that a turn or a swap of height and width shows."""
    mask = np.zeros((height, width), bool)
    mask[2:5, 3:9] = True
    mask[height - 2, width - 1] = True
    return mask


def encoded(array: np.ndarray | Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(stream, format, **options)
    return stream.getvalue()


def one_line(error: pytest.ExceptionInfo[MaskError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert "expected" in message
    return message


# ---- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_white_is_missing_in_every_kind_of_file(tmp_path: Path, format: str, mode: str) -> None:
    image = Image.fromarray(drawn().astype(np.uint8) * 255).convert(mode)
    if format == "JPEG" and mode == "P":
        image = image.convert("L")
    path = tmp_path / f"mask été.{format.lower()}"
    options = {"lossless": True} if format == "WEBP" else {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    path.write_bytes(encoded(image, format, **options))
    mask = read_mask(path, (20, 30))
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, drawn())
    np.testing.assert_array_equal(read_mask(str(path)), drawn())


def test_half_range_is_the_limit_in_8_and_16_bits() -> None:
    eight = np.array([[0, 1, 127, 128, 254, 255]], np.uint8)
    np.testing.assert_array_equal(decode_mask(encoded(eight)), [[False, False, False, True, True, True]])
    sixteen = np.array([[0, 255, 32767, 32768, 65535]], np.uint16)
    np.testing.assert_array_equal(decode_mask(encoded(sixteen)), [[False, False, False, True, True]])


def test_colour_counts_by_its_brightness() -> None:
    colours = {
        (255, 255, 255): True,
        (255, 255, 0): True,
        (0, 255, 0): True,  # luma 150
        (255, 0, 0): False,  # luma 76
        (0, 0, 255): False,
        (0, 0, 0): False,
    }
    picture = np.array([list(colours)], np.uint8)
    np.testing.assert_array_equal(decode_mask(encoded(picture)), [list(colours.values())])


def test_16_bit_colour_file() -> None:
    picture = np.repeat((drawn() * np.uint16(65535))[..., None], 3, axis=2)
    data = cv2.imencode(".png", picture)[1].tobytes()
    np.testing.assert_array_equal(decode_mask(data), drawn())


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_applied(orientation: int) -> None:
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.rot90(drawn(), turns).astype(np.uint8) * 255, exif=exif.tobytes())
    np.testing.assert_array_equal(decode_mask(data, (20, 30)), drawn())


def test_alpha_is_ignored_where_the_picture_speaks() -> None:
    picture = np.dstack([drawn().astype(np.uint8) * 255] * 3 + [np.random.default_rng(0).integers(0, 256, (20, 30))])
    np.testing.assert_array_equal(decode_mask(encoded(picture.astype(np.uint8))), drawn())


@pytest.mark.parametrize("colour", [0, 255])
def test_a_picture_that_lives_in_its_alpha_alone_is_refused(colour: int) -> None:
    picture = np.full((20, 30, 4), colour, np.uint8)
    picture[..., 3] = drawn() * 255
    with pytest.raises(MaskError, match="alpha") as error:
        decode_mask(encoded(picture), source="layer.png")
    assert "layer.png" in one_line(error)
    opaque = picture.copy()
    opaque[..., 3] = 255
    assert decode_mask(encoded(opaque)).all() == (colour == 255)


def test_file_of_zeros_and_ones_is_refused() -> None:
    with pytest.raises(MaskError, match="0 and 1") as error:
        decode_mask(encoded(drawn().astype(np.uint8)))
    one_line(error)


def test_empty_and_full_masks_are_masks() -> None:
    assert not decode_mask(encoded(np.zeros((4, 5), np.uint8))).any()
    assert decode_mask(encoded(np.full((4, 5), 255, np.uint8))).all()


def test_another_size_names_both(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(encoded(drawn().astype(np.uint8) * 255))
    with pytest.raises(MaskError, match=r"30 x 20.*31 x 20") as error:
        read_mask(path, (20, 31))
    assert "mask.png" in one_line(error)
    with pytest.raises(MaskError):
        read_mask(path, (30, 20))


def test_bad_files_are_mask_errors(tmp_path: Path) -> None:
    whole = encoded(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    frames = [Image.new("L", (4, 4), value) for value in (0, 100, 255)]
    contents = {
        "empty": b"",
        "text": b"no picture",
        "cut": whole[: len(whole) // 2],
        "moving": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
    }
    for name, data in contents.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        with pytest.raises(MaskError, match=f"{name}.png") as error:
            read_mask(path)
        one_line(error)
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(MaskError) as error:
            read_mask(path)
        one_line(error)
    with pytest.raises(MaskError, match="1,600 pixels"):
        decode_mask(whole, max_pixels=1000)


# ---- arrays -------------------------------------------------------------------------------------------------------


@given(
    mask=arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)),
    dtype=st.sampled_from(
        ["bool", "uint8", "int8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64"]
    ),
    high=st.sampled_from([1, 255]),
    channel=st.booleans(),
)
def test_two_valued_arrays_of_any_type_mean_the_same(mask: np.ndarray, dtype: str, high: int, channel: bool) -> None:
    high = 1 if dtype in ("bool", "int8") or dtype.startswith("float") else high
    array = (mask * high).astype(dtype)
    array = array[..., None] if channel else array
    before = array.copy()
    result = as_mask(array, mask.shape)
    assert result.dtype == np.bool_
    np.testing.assert_array_equal(result, mask)
    np.testing.assert_array_equal(array, before)


@settings(max_examples=200, deadline=None)
@given(
    array=st.one_of(
        arrays.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2, 254, 255])),
        arrays.arrays(np.int32, (3, 4), elements=st.sampled_from([-1, 0, 1, 255, 256, 65535])),
        arrays.arrays(np.float32, (3, 4), elements=st.sampled_from([0.0, 0.5, 1.0, 255.0, np.nan, np.inf, -1.0])),
    )
)
def test_as_mask_takes_exactly_the_documented_values(array: np.ndarray) -> None:
    values = set(array.ravel().tolist())
    allowed = values <= {0, 1} or (array.dtype.kind in "iu" and values <= {0, 255})
    if allowed:
        np.testing.assert_array_equal(as_mask(array), array != 0)
    else:
        with pytest.raises(MaskError) as error:
            as_mask(array)
        one_line(error)


def test_strided_and_read_only_arrays() -> None:
    wide = np.repeat(np.repeat(drawn(), 2, axis=0), 3, axis=1).astype(np.uint8) * 255
    wide.flags.writeable = False
    np.testing.assert_array_equal(as_mask(wide[::2, ::3]), drawn())
    np.testing.assert_array_equal(as_mask(drawn()[::-1]), drawn()[::-1])


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 5, 3), bool),
        np.zeros((1, 4, 5), bool),
        np.zeros(5, bool),
        np.zeros((0, 5), bool),
        np.zeros((4, 0, 1), np.uint8),
        np.zeros((4, 5), complex),
        np.zeros((4, 5), object),
        np.array([["a", "b"]]),
        [[0, 1]],
        "mask.png",
        None,
    ],
    ids=str,
)
def test_anything_else_is_refused(bad: object) -> None:
    with pytest.raises(MaskError) as error:
        as_mask(bad)
    one_line(error)


def test_array_of_another_size_names_both() -> None:
    with pytest.raises(MaskError, match=r"30 x 20.*20 x 30") as error:
        as_mask(drawn(), (30, 20))
    one_line(error)


def test_pil_images() -> None:
    grey = Image.fromarray(drawn().astype(np.uint8) * 255)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = Image.fromarray(drawn() * np.uint16(65535)) if mode == "I;16" else grey.convert(mode)
        np.testing.assert_array_equal(as_mask(image, (20, 30)), drawn(), err_msg=mode)
    np.testing.assert_array_equal(as_mask(Image.fromarray(drawn().astype(np.uint8))), drawn())
    transparent = Image.merge("LA", [Image.new("L", (30, 20), 255), grey])
    for image in (Image.new("F", (4, 4)), Image.new("I", (4, 4)), Image.new("L", (0, 4)), transparent):
        with pytest.raises(MaskError) as error:
            as_mask(image)
        one_line(error)
    with pytest.raises(MaskError, match="30 x 20"):
        as_mask(grey, (30, 20))


def test_pil_mask_that_cannot_be_decoded() -> None:
    whole = encoded(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    with pytest.raises(MaskError, match="decoded") as error:
        as_mask(Image.open(io.BytesIO(whole[: len(whole) // 2])))
    one_line(error)


def test_values_are_counted_and_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("sorting 12 million values takes about a second")

    for name in ("unique", "sort", "isin", "setdiff1d"):
        monkeypatch.setattr(np, name, refuse)
    mask = np.random.default_rng(0).random((30, 40)) < 0.5
    for array in (mask, mask.astype(np.uint8), mask.astype(np.uint8) * 255, mask.astype(np.float32)):
        assert (as_mask(array, (30, 40)) == mask).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_a_pil_mask_of_0_and_1_is_taken_at_its_word(mode: str) -> None:
    mask = np.random.default_rng(0).random((30, 40)) < 0.5
    channels = {"RGB": 3, "RGBA": 3}.get(mode, 1)
    picture = np.repeat(mask.astype(np.uint8)[..., None], channels, axis=2).squeeze()
    image = Image.fromarray(mask if mode == "1" else picture)
    if mode in ("LA", "RGBA"):
        image.putalpha(255)
    assert image.mode == mode
    np.testing.assert_array_equal(as_mask(image, (30, 40)), mask)
