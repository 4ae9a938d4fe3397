"""What is missing as people say it: every way alone and together, and one clear line for what cannot be meant."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaintkit.errors import InpaintError, MaskError, UsageError
from inpaintkit.masks.grow import grow_mask
from inpaintkit.masks.read import fit_mask
from inpaintkit.masks.sources import DEFAULT_TOLERANCE, FoundMask, find_mask, parse_box
from inpaintkit.photo import Photo, decode_photo, encode_photo

SIZE = (40, 60)
MAGENTA = (255, 0, 255)


def box(top: int, left: int, height: int, width: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def photo_of(bits: int = 8, alpha: np.ndarray | None = None, source: str | None = "photo.jpg") -> Photo:
    """Noise in which no pixel is near magenta."""
    pixels = np.random.default_rng(0).integers(40, 200, (*SIZE, 3), np.uint8)
    pixels = pixels if bits == 8 else pixels.astype(np.uint16) * 257
    return Photo(pixels, alpha, source=None if source is None else Path(source))


def written(path: Path, mask: np.ndarray, suffix: str = ".png") -> Path:
    path = path.with_suffix(suffix)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return path


def annotated(path: Path) -> Path:
    marks = [{"label": "wire", "shape_type": "rectangle", "points": [[3, 2], [8, 12]]}]
    record = {"shapes": marks, "imagePath": "photo.jpg", "imageHeight": 40, "imageWidth": 60}
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert "expected" in message
    return message


# ---- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_mask_file(kind: type, tmp_path: Path) -> None:
    found = find_mask(photo_of(), kind(written(tmp_path / "mask été", box(2, 3, 10, 5))))
    assert isinstance(found, FoundMask)
    assert found.mask.dtype == np.bool_
    np.testing.assert_array_equal(found.mask, box(2, 3, 10, 5))
    assert found.notes == ()
    assert not found.opaque


def test_an_annotation_file_is_known_by_its_content_too(tmp_path: Path) -> None:
    for name in ("marks.json", "MARKS.JSON", "marks.txt"):
        found = find_mask(photo_of(), annotated(tmp_path / name), labels=("wire",))
        np.testing.assert_array_equal(found.mask, box(2, 3, 10, 5))
    with pytest.raises(MaskError, match=r"'other\.jpg'"):
        find_mask(photo_of(source="other.jpg"), tmp_path / "marks.json")
    np.testing.assert_array_equal(find_mask(photo_of(source=None), tmp_path / "marks.json").mask, box(2, 3, 10, 5))


@pytest.mark.parametrize("factor", [2, 3])
def test_a_mask_of_another_size(factor: int, tmp_path: Path) -> None:
    large = box(2, 3, 10, 5).repeat(factor, axis=0).repeat(factor, axis=1)
    path = written(tmp_path / "mask", large)
    with pytest.raises(MaskError, match=f"{60 * factor} x {40 * factor}.*60 x 40") as error:
        find_mask(photo_of(), path)
    assert "mask.png" in one_line(error)
    found = find_mask(photo_of(), path, resize=True)
    np.testing.assert_array_equal(found.mask, box(2, 3, 10, 5))
    assert len(found.notes) == 1
    assert "resized" in found.notes[0]
    big = Photo(np.zeros((*large.shape, 3), np.uint8))
    found = find_mask(big, written(tmp_path / "small", box(2, 3, 10, 5)), resize=True)
    np.testing.assert_array_equal(found.mask, large)
    with pytest.raises(MaskError, match="wrong way round") as error:
        find_mask(photo_of(), written(tmp_path / "turned", box(2, 3, 10, 5).T), resize=True)
    one_line(error)
    found = find_mask(photo_of(), written(tmp_path / "wide", np.ones((40, 120), bool)), resize=True)
    assert "proportions" in found.notes[0]


def test_thin_strokes_survive_shrinking(tmp_path: Path) -> None:
    large = np.zeros((400, 600), bool)
    large[:, 301:305] = large[123:127] = True
    expected = np.zeros(SIZE, bool)
    expected[:, 30] = expected[12] = True
    found = find_mask(photo_of(), written(tmp_path / "mask", large), resize=True)
    np.testing.assert_array_equal(found.mask, expected)


@settings(max_examples=60, deadline=None)
@given(own=st.tuples(st.integers(1, 23), st.integers(1, 23)), wanted=st.tuples(st.integers(1, 23), st.integers(1, 23)))
def test_a_mask_fits_without_loss(own: tuple[int, int], wanted: tuple[int, int]) -> None:
    mask = np.random.default_rng(sum(own)).random(own) < 0.15
    fitted = fit_mask(mask, wanted)
    assert fitted.shape == wanted
    assert fitted.dtype == np.bool_
    if all(side >= new for side, new in zip(own, wanted, strict=True)):
        for row, column in np.ndindex(wanted):
            rows = slice(row * own[0] // wanted[0], -(-(row + 1) * own[0] // wanted[0]))
            columns = slice(column * own[1] // wanted[1], -(-(column + 1) * own[1] // wanted[1]))
            assert fitted[row, column] == mask[rows, columns].any()


@pytest.mark.parametrize(("colour", "word"), [((255, 0, 0), "colours"), ((120, 120, 120), "grey values")])
def test_a_mask_that_reads_as_empty_and_is_not_black_is_told(
    colour: tuple[int, int, int], word: str, tmp_path: Path
) -> None:
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[5:9, 5:9] = colour
    image = Image.fromarray(picture)
    (image if word == "colours" else image.convert("L")).save(tmp_path / "mask.png")
    found = find_mask(photo_of(), tmp_path / "mask.png")
    assert not found.mask.any()
    assert len(found.notes) == 1
    assert word in found.notes[0]
    assert find_mask(photo_of(), written(tmp_path / "black", box(0, 0, 0, 0))).notes == ()


def test_files_that_are_no_mask(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"hello")
    (tmp_path / "empty.json").write_bytes(b"")
    (tmp_path / "geo.json").write_bytes(b'{"type": "FeatureCollection"}')
    (tmp_path / "picture.json").write_bytes(encode_photo(photo_of(), "PNG"))
    for name in ("text.png", "empty.json", "geo.json", "picture.json", "none.png", "none.json", "", "a\0b"):
        with pytest.raises(MaskError) as error:
            find_mask(photo_of(), tmp_path / name)
        one_line(error)


# ---- alpha --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_below_half_is_missing(bits: int) -> None:
    half = 2 ** (bits - 1)
    alpha = np.full(SIZE, 2 * half - 1, f"uint{bits}")
    alpha[0, :6] = [0, 1, half - 1, half, half + 1, 2 * half - 1]
    found = find_mask(photo_of(bits, alpha), "alpha")
    assert found.mask[0, :6].tolist() == [True, True, True, False, False, False]
    assert np.count_nonzero(found.mask) == 3
    assert found.opaque
    assert find_mask(photo_of(bits, alpha), " Alpha ", invert=True).opaque
    assert photo_of(bits, alpha).opaque_where(found.mask).alpha[0, :4].tolist() == [2 * half - 1] * 3 + [half]


def test_alpha_is_a_word_only_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("x"), box(2, 3, 10, 5)).rename("alpha")
    for file in (Path("alpha"), "./alpha"):
        np.testing.assert_array_equal(find_mask(photo_of(), file).mask, box(2, 3, 10, 5))
    with pytest.raises(MaskError, match="no alpha channel") as error:
        find_mask(photo_of(), "alpha")
    one_line(error)


# ---- a marker colour ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("word", ["color:#ff00ff", "colour:#f0f", "COLOR:#FF00FF", "color:ff00ff", " color: #F0F "])
def test_marker_colour(word: str, bits: int) -> None:
    photo = photo_of(bits)
    pixels = photo.pixels.copy()
    pixels[box(2, 3, 10, 5)] = np.array(MAGENTA) * (1 if bits == 8 else 257)
    before = pixels.copy()
    found = find_mask(photo.replace_pixels(pixels), word)
    np.testing.assert_array_equal(found.mask, box(2, 3, 10, 5))
    assert found.mask.dtype == np.bool_
    assert np.unique(found.mask.view(np.uint8)).tolist() == [0, 1]
    assert found.notes == ()
    assert not found.opaque
    np.testing.assert_array_equal(pixels, before)


@settings(deadline=None, max_examples=60)
@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    tolerance=st.one_of(st.none(), st.integers(0, 255)),
    wide=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_channel_is_within_the_tolerance(
    colour: tuple[int, int, int], tolerance: int | None, wide: bool, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 65536 if wide else 256, (9, 11, 3))
    near = (np.array(colour) + np.random.default_rng(seed).integers(-14, 15, (5, 11, 3))).clip(0, 255)
    pixels[:5] = near * (257 if wide else 1)
    photo = Photo(pixels.astype(np.uint16 if wide else np.uint8))
    found = find_mask(photo, "color:#{:02x}{:02x}{:02x}".format(*colour), tolerance=tolerance)
    limit = DEFAULT_TOLERANCE if tolerance is None else tolerance
    distance = np.abs(pixels / (257 if wide else 1) - np.array(colour)).max(axis=2)
    np.testing.assert_array_equal(found.mask, distance <= limit)


def test_paint_that_is_not_there_is_told() -> None:
    found = find_mask(photo_of(), "color:#ff00ff")
    assert not found.mask.any()
    assert found.notes == ("no pixel of the photo is within 12 of #ff00ff",)


def test_soft_rims_are_told_and_growing_takes_them() -> None:
    photo = photo_of()
    cover = np.zeros(SIZE, np.float32)
    cv2.circle(cover, (30, 20), 9, 1.0, -1)
    cover = cv2.GaussianBlur(cover, (0, 0), 0.8)
    mixed = photo.pixels * (1 - cover[..., None]) + np.array(MAGENTA) * cover[..., None]
    painted = photo.replace_pixels(np.rint(mixed).astype(np.uint8))
    found = find_mask(painted, "color:#ff00ff")
    assert found.mask.any()
    assert "soft rims" in found.notes[0]
    left_over = (cover > 0.02) & ~found.mask
    assert left_over.any()
    assert not (left_over & ~grow_mask(found.mask, 3)).any()

    stream = io.BytesIO()
    hard = photo.pixels.copy()
    hard[box(8, 20, 20, 20)] = MAGENTA
    assert find_mask(photo.replace_pixels(hard), "color:#ff00ff").notes == ()
    Image.fromarray(hard).save(stream, "JPEG", quality=90, subsampling=2)
    assert "soft rims" in find_mask(decode_photo(stream.getvalue()), "color:#ff00ff", tolerance=30).notes[0]


@pytest.mark.parametrize(
    "word", ["color:", "color:#", "color:red", "color:#ff00f", "color:#ff00ff00", "colour:#gg0000"]
)
def test_colours_that_are_none(word: str) -> None:
    with pytest.raises(UsageError, match="hexadecimal") as error:
        find_mask(photo_of(), word)
    one_line(error)


# ---- boxes --------------------------------------------------------------------------------------------------------


def test_boxes_alone_and_added(tmp_path: Path) -> None:
    found = find_mask(photo_of(), None, boxes=[(2, 3, 10, 5), (8, 4, 10, 20)])
    np.testing.assert_array_equal(found.mask, box(2, 3, 10, 5) | box(8, 4, 10, 20))
    path = written(tmp_path / "mask", box(30, 30, 5, 5))
    found = find_mask(photo_of(), path, boxes=[(2, 3, 10, 5)])
    np.testing.assert_array_equal(found.mask, box(2, 3, 10, 5) | box(30, 30, 5, 5))
    alpha = np.where(box(0, 0, 3, 3), 0, 255).astype(np.uint8)
    found = find_mask(photo_of(8, alpha), "alpha", boxes=[(np.int64(2), 3, 10, 5)])
    np.testing.assert_array_equal(found.mask, box(2, 3, 10, 5) | box(0, 0, 3, 3))
    assert found.opaque


@pytest.mark.parametrize("outside", [(-5, 3, 10, 5), (2, -4, 10, 5), (35, 3, 10, 5), (2, 58, 10, 5), (-9, -9, 99, 99)])
def test_boxes_partly_outside_are_cut_and_told(outside: tuple[int, int, int, int]) -> None:
    top, left, height, width = outside
    found = find_mask(photo_of(), None, boxes=[outside, (0, 0, 1, 1)])
    rows, columns = np.indices(SIZE)
    inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    np.testing.assert_array_equal(found.mask, inside | box(0, 0, 1, 1))
    assert len(found.notes) == 1
    assert f"box {top},{left},{height},{width}" in found.notes[0]


@pytest.mark.parametrize("outside", [(40, 3, 10, 5), (2, 60, 10, 5), (-10, 3, 10, 5), (2, -5, 10, 5)])
def test_boxes_wholly_outside_are_refused(outside: tuple[int, int, int, int]) -> None:
    with pytest.raises(MaskError, match="outside the photo of 60 x 40") as error:
        find_mask(photo_of(), None, boxes=[(0, 0, 1, 1), outside])
    one_line(error)


@pytest.mark.parametrize(
    "bad", [(1, 2, 0, 4), (1, 2, 3, -4), (1, 2, 3), (1, 2, 3, 4.0), (1, 2, 3, True), ("1", 2, 3, 4)]
)
def test_boxes_that_are_none(bad: tuple) -> None:
    with pytest.raises(UsageError, match="box") as error:
        find_mask(photo_of(), None, boxes=[bad])
    one_line(error)


@settings(deadline=None)
@given(
    numbers=st.tuples(*[st.integers(-99, 9999)] * 2, *[st.integers(1, 9999)] * 2), gap=st.sampled_from(["", " ", "  "])
)
def test_boxes_as_text(numbers: tuple[int, int, int, int], gap: str) -> None:
    assert parse_box(gap + f"{gap},{gap}".join(map(str, numbers)) + gap) == numbers


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1.5,2,3,4", "1 2 3 4", "1,2,3,0", "1,2,-3,4", "٣,1,1,1"]
)
def test_text_that_is_no_box(text: str) -> None:
    with pytest.raises(UsageError, match="box") as error:
        parse_box(text)
    one_line(error)


# ---- together -----------------------------------------------------------------------------------------------------


def test_invert_comes_last(tmp_path: Path) -> None:
    path = written(tmp_path / "mask", box(30, 30, 5, 5))
    for mask, boxes in ((path, ()), (path, [(2, 3, 10, 5)]), (None, [(2, 3, 10, 5)])):
        plain = find_mask(photo_of(), mask, boxes=boxes)
        np.testing.assert_array_equal(find_mask(photo_of(), mask, boxes=boxes, invert=True).mask, ~plain.mask)


def test_what_makes_no_sense_together(tmp_path: Path) -> None:
    mask = written(tmp_path / "mask", box(30, 30, 5, 5))
    alpha = np.full(SIZE, 255, np.uint8)
    calls: list[tuple] = [
        (None, {}),
        (mask, {"tolerance": 12}),
        (None, {"tolerance": 12, "boxes": [(1, 1, 1, 1)]}),
        ("alpha", {"tolerance": 12}),
        (mask, {"labels": ["wire"]}),
        ("alpha", {"labels": ["wire"]}),
        ("color:#f0f", {"labels": ["wire"]}),
        (None, {"labels": ["wire"], "boxes": [(1, 1, 1, 1)]}),
        ("color:#f0f", {"tolerance": -1}),
        ("color:#f0f", {"tolerance": 256}),
        ("color:#f0f", {"tolerance": 1.5}),
        ("color:#f0f", {"tolerance": True}),
    ]
    for given_as, options in calls:
        with pytest.raises(UsageError) as error:
            find_mask(photo_of(8, alpha), given_as, **options)
        one_line(error)


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    mask=st.sampled_from(["alpha", "color:#808080", None]),
    boxes=st.lists(st.tuples(*[st.integers(-3, 12)] * 4), max_size=3),
    invert=st.booleans(),
    bits=st.sampled_from([8, 16]),
)
def test_any_call_gives_a_mask_of_the_photos_size_or_our_error(
    size: tuple[int, int], mask: str | None, boxes: list, invert: bool, bits: int
) -> None:
    rng = np.random.default_rng(0)
    dtype = np.uint8 if bits == 8 else np.uint16
    photo = Photo(rng.integers(0, 2**bits, (*size, 3), dtype), rng.integers(0, 2**bits, size, dtype))
    pixels, alpha = photo.pixels.copy(), photo.alpha.copy()
    try:
        found = find_mask(photo, mask, boxes=boxes, invert=invert)
    except InpaintError:
        assert mask is None or boxes
    else:
        assert found.mask.shape == size
        assert found.mask.dtype == np.bool_
    np.testing.assert_array_equal(photo.pixels, pixels)
    np.testing.assert_array_equal(photo.alpha, alpha)
