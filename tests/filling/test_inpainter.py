"""Photos of every kind and size come back whole, with every known pixel as it was."""

import io
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import inpaintkit
from inpaintkit import Inpainter, fill
from inpaintkit.errors import Cancelled, MaskError, ModelError, PhotoError, UsageError
from inpaintkit.filling import passes
from inpaintkit.filling.budget import BYTES_PER_WINDOW_PIXEL, WINDOW_BYTES
from inpaintkit.filling.classical import Patch
from inpaintkit.filling.regions import overlap_px, plan_regions
from inpaintkit.masks import grow_mask
from inpaintkit.photo import Photo, read_photo

Draw = Callable[[int, int], np.ndarray]
MakeModel = Callable[..., Path]
DTYPES = ["uint8", "uint16", "float16", "float32", "float64"]


def picture(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Noise that uses the whole range of a number format."""
    values = np.random.default_rng(seed).random(shape)
    return (values * np.iinfo(dtype).max).astype(dtype) if dtype.startswith("u") else values.astype(dtype)


class MeanEngine:
    """Fills with the mean of what is known, in small crops, so that many holes are cut and shrunk."""

    name, runtime, working_size = "mean", "test", 16

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The image with its hole in one colour."""
        level = image[~mask].mean(axis=0) if not mask.all() else np.float32(0.5)
        return np.where(mask[..., None], level, image).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}


@settings(max_examples=160, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([None, 1, 2, 3, 4]),
    dtype=st.sampled_from(DTYPES),
    density=st.sampled_from([0.0, 0.01, 0.3, 0.9]),
    rectangle=st.tuples(*[st.integers(0, 39)] * 2, *[st.integers(0, 20)] * 2),
    seed=st.integers(0, 2**32 - 1),
    model=st.sampled_from(["telea", "ns", "mean"]),
    postprocess=st.sampled_from([None, "poisson"]),
    grow=st.integers(0, 3),
)
def test_known_pixels_come_back_bit_for_bit(
    height: int,
    width: int,
    channels: int | None,
    dtype: str,
    density: float,
    rectangle: tuple[int, int, int, int],
    seed: int,
    model: str,
    postprocess: str | None,
    grow: int,
) -> None:
    shape = (height, width) if channels is None else (height, width, channels)
    image = picture(shape, dtype, seed)
    mask = np.random.default_rng(seed).random((height, width)) < density
    top, left, tall, broad = rectangle
    mask[top : top + tall, left : left + broad] = True
    before = image.copy(), mask.copy()
    grown = grow_mask(mask, grow)
    inpainter = Inpainter(MeanEngine() if model == "mean" else model, postprocess=postprocess, grow=grow)
    if grown.all():
        with pytest.raises(MaskError, match="every pixel"):
            inpainter(image, mask)
        return
    result = inpainter(image, mask)
    assert result.dtype == image.dtype
    assert result.shape == image.shape
    assert np.array_equal(result[~grown], image[~grown])
    assert not np.shares_memory(result, image)
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])
    if channels in (2, 4):
        assert np.array_equal(result[..., -1], image[..., -1]), "alpha is kept"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(50, 70), (50, 70, 1), (50, 70, 3), (50, 70, 4)])
def test_a_network_keeps_known_pixels_in_every_format(own_model: MakeModel, shape: tuple[int, ...], dtype: str) -> None:
    image = picture(shape, dtype)
    mask = np.zeros(shape[:2], bool)
    mask[10:30, 20:45] = True
    result = fill(image, mask, model=own_model())
    assert result.dtype == image.dtype
    assert np.array_equal(result[~mask], image[~mask])
    assert not np.array_equal(result[mask], image[mask])


@pytest.mark.parametrize("working_size", [None, 16, 48, 200])
@pytest.mark.parametrize("postprocess", [None, "poisson"])
def test_known_pixels_survive_shrinking_blending_and_postprocessing(
    watchful: Any, working_size: int | None, postprocess: str | None
) -> None:
    image = picture((150, 180, 3), "uint16")
    mask = np.zeros((150, 180), bool)
    mask[20:90, 30:120] = mask[100:104, 5:170] = True
    result = Inpainter(watchful(working_size), postprocess=postprocess)(image, mask)
    assert np.array_equal(result[~mask], image[~mask])
    assert not np.array_equal(result[mask], image[mask])


def test_what_the_hole_held_has_no_influence(own_model: MakeModel, gradient: Draw) -> None:
    image = gradient(200, 240)
    mask = np.zeros((200, 240), bool)
    mask[40:140, 50:160] = mask[170:176, 10:230] = True
    other = image.copy()
    other[mask] = np.random.default_rng(0).integers(0, 256, (int(mask.sum()), 3))
    for model in (own_model(), "telea", "ns"):
        for postprocess in (None, "poisson"):
            results = [fill(each, mask, model=model, postprocess=postprocess) for each in (image, other)]
            assert np.array_equal(*results), (model, postprocess)


def test_the_hole_gets_what_the_engine_says(watchful: Any) -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[30:70, 30:70] = True
    for dtype, expected in (("uint8", 204), ("uint16", 52428), ("float64", 0.8)):
        filled = Inpainter(watchful(None, level=0.8))(image.astype(dtype), mask)
        assert filled[50, 50] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("working_size", [None, 64])
def test_an_engine_that_returns_no_numbers_is_an_error(watchful: Any, working_size: int | None) -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    with pytest.raises(ModelError, match="no numbers"):
        Inpainter(watchful(working_size, level=np.nan))(np.zeros((40, 40, 3), np.uint8), mask)


@pytest.mark.parametrize(("level", "expected"), [(1.7, 1.0), (-0.3, 0.0)])
def test_a_fill_beyond_the_range_is_cut_off(watchful: Any, level: float, expected: float) -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    for working_size in (None, 64):
        filled = Inpainter(watchful(working_size, level=level), detail="off")(np.full((40, 40, 3), 0.5), mask)
        assert filled[15, 15] == pytest.approx(expected, abs=1e-3)
        assert filled.min() >= 0
        assert filled.max() <= 1


@pytest.mark.parametrize("working_size", [None, 400])
def test_engines_see_zeros_in_the_hole(watchful: Any, working_size: int | None) -> None:
    engine = watchful(working_size)
    mask = np.zeros((80, 90), bool)
    mask[30:50, 40:70] = True
    Inpainter(engine)(np.ones((80, 90, 3), np.float32), mask)
    ((crop, hole),) = engine.seen
    assert crop[hole].max() == 0
    assert crop[~hole].min() == 1


def test_engines_see_at_most_their_working_size(watchful: Any) -> None:
    engine = watchful(64)
    image = picture((300, 400, 3), "uint8")
    mask = np.zeros((300, 400), bool)
    mask[50:250, 100:250] = mask[5:9, 5:395] = True
    Inpainter(engine)(image, mask)
    assert len(engine.seen) > 1
    for crop, hole in engine.seen:
        assert max(crop.shape[:2]) <= 64
        assert crop.dtype == np.float32
        assert hole.any()
        assert not hole.all()
        assert crop.min() >= 0
        assert crop.max() <= 1


def test_what_one_crop_filled_is_known_to_the_next(watchful: Any) -> None:
    engine = watchful(64, level=0.25)
    mask = np.zeros((400, 60), bool)
    mask[10:390, 30:34] = True
    Inpainter(engine)(np.ones((400, 60, 3), np.float32), mask)
    assert len(engine.seen) > 2
    second, hole = engine.seen[1]
    assert (second[~hole] < 0.9).any(), "the part of the stroke that the first crop filled"


class NumberedEngine(MeanEngine):
    """Every call fills with another level, so that a joint between two crops shows."""

    working_size = 64

    def __init__(self) -> None:
        self.levels: list[float] = []

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The image with its hole in a level that no call had before."""
        self.levels.append(0.1 + 0.8 * (len(self.levels) % 2))
        return np.where(mask[..., None], np.float32(self.levels[-1]), image).astype(np.float32)


def test_no_joint_shows_where_a_long_hole_was_cut() -> None:
    engine = NumberedEngine()
    mask = np.zeros((400, 60), bool)
    mask[10:390, 26:40] = True
    filled = Inpainter(engine, detail="off")(np.full((400, 60, 3), 0.5, np.float32), mask)[14:386, 33, 0]
    assert len(set(engine.levels)) == 2
    assert np.ptp(filled) > 0.5, "the levels differ"
    assert np.abs(np.diff(filled)).max() < 0.2, "a step of 0.8 is spread over the overlap"


def test_the_overlap_ends_within_the_crop() -> None:
    mask = np.zeros((900, 60), bool)
    mask[10:890, 26:40] = True
    for size in (64, 128, 256):
        for region in plan_regions(mask, size):
            rows = np.flatnonzero(region.holes.any(axis=1))
            room = [int(rows[0])] * (region.top > 0) + [int(region.height - 1 - rows[-1])] * (
                region.top + region.height < 900
            )
            assert 1 <= overlap_px(region) < min(room)


def test_a_grey_photo_stays_grey(own_model: MakeModel) -> None:
    grey = picture((60, 60), "uint8")
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    photo = Photo(np.repeat(grey[..., None], 3, axis=2), grey=True)
    whole = Inpainter(own_model()).fill_photo(photo, mask).pixels
    assert np.array_equal(whole[..., 0], whole[..., 1])
    assert np.array_equal(whole[..., 0], whole[..., 2])
    assert np.array_equal(whole[..., 0], fill(grey, mask, model=own_model()))


def test_grow_widens_the_hole_and_only_the_hole(watchful: Any) -> None:
    image = picture((90, 90, 3), "uint8")
    mask = np.zeros((90, 90), bool)
    mask[40:50, 40:50] = True
    result = Inpainter(watchful(None, level=0.5), grow=4)(image, mask)
    changed = (result != image).any(axis=2)
    assert changed[37, 45]
    assert not changed[35, 45]
    assert not changed[:, :36].any()
    with pytest.raises(MaskError, match="after growing it by 200 px"):
        Inpainter(watchful(None), grow=200)(image, mask)


def test_an_empty_mask_gives_an_equal_copy(watchful: Any) -> None:
    engine = watchful()
    image = picture((30, 40, 3), "uint8")
    result = Inpainter(engine, grow=5)(image, np.zeros((30, 40), bool))
    assert np.array_equal(result, image)
    assert not np.shares_memory(result, image)
    assert engine.seen == []


def test_the_report_says_what_was_done(watchful: Any) -> None:
    mask = np.zeros((100, 200), bool)
    mask[10:20, 10:30] = True
    photo, report = Inpainter(watchful()).fill_photo_reported(Photo(picture((100, 200, 3), "uint8")), mask)
    assert (report.model, report.runtime, report.height, report.width) == ("watchful", "test", 100, 200)
    assert (report.hole_pixels, report.hole_ratio, report.regions) == (200, 0.01, 1)
    assert report.seconds >= 0
    assert photo.size == (100, 200)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pil_images_come_back_in_their_mode(mode: str) -> None:
    shape = {"L": (20, 30), "I;16": (20, 30), "LA": (20, 30, 2), "RGB": (20, 30, 3), "RGBA": (20, 30, 4)}[mode]
    image = Image.fromarray(picture(shape, "uint16" if mode == "I;16" else "uint8"))
    assert image.mode == mode
    image.info = {"icc_profile": b"profile", "dpi": (300, 300)}
    mask = np.zeros((20, 30), bool)
    mask[5:12, 6:20] = True
    before = np.asarray(image).copy()
    result = fill(image, Image.fromarray(mask), model="telea")
    assert isinstance(result, Image.Image)
    assert (result.mode, result.size, result.info) == (mode, image.size, image.info)
    assert np.array_equal(np.asarray(result)[~mask], np.asarray(image)[~mask])
    assert np.array_equal(np.asarray(image), before)


def test_a_palette_image_comes_back_in_colour(gradient: Draw) -> None:
    image = Image.fromarray(gradient(20, 30)).quantize(16)
    mask = np.zeros((20, 30), bool)
    mask[5:12, 6:20] = True
    result = fill(image, mask, model="telea")
    assert result.mode == "RGB"
    assert np.array_equal(np.asarray(result)[~mask], np.asarray(image.convert("RGB"))[~mask])
    with pytest.raises(PhotoError, match="mode CMYK"):
        fill(Image.new("CMYK", (30, 20)), mask, model="telea")


def test_paths_give_a_pil_image(tmp_path: Path, gradient: Draw) -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:12, 6:20] = True
    photo, mask_file = tmp_path / "Fóto.png", tmp_path / "mask.png"
    Image.fromarray(gradient(20, 30)).save(photo)
    Image.fromarray(mask).save(mask_file)
    for given_photo, given_mask in ((photo, mask_file), (str(photo), str(mask_file)), (photo, mask)):
        result = fill(given_photo, given_mask, model="telea")
        assert isinstance(result, Image.Image)
        assert np.array_equal(np.asarray(result), fill(gradient(20, 30), mask, model="telea"))
    assert np.array_equal(read_photo(photo).pixels, gradient(20, 30))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.zeros((4, 5, 3), np.int32), "type int32"),
        (np.zeros((4, 5, 3), bool), "type bool"),
        (np.full((4, 5, 3), np.nan), "NaN"),
        (np.full((4, 5, 3), np.inf, np.float32), "infinite"),
        (np.full((4, 5, 3), 1.5), "ranges from 1.5"),
        (np.full((4, 5, 3), -0.1), "ranges from -0.1"),
        (np.zeros((3, 4, 5), np.uint8), r"shape \(3, 4, 5\)"),
        (np.zeros((4, 0, 3), np.uint8), r"shape \(4, 0, 3\)"),
        (np.zeros(4, np.uint8), r"shape \(4,\)"),
        ([[1, 2], [3, 4]], "image is a list"),
        (None, "image is a NoneType"),
    ],
)
def test_images_that_are_none(image: Any, expected: str) -> None:
    with pytest.raises(PhotoError, match=expected):
        fill(image, np.zeros((4, 5), bool), model="telea")


def test_a_mask_of_another_size_is_an_error() -> None:
    with pytest.raises(MaskError):
        fill(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), bool), model="telea")


def test_unknown_options() -> None:
    with pytest.raises(UsageError, match="did you mean 'poisson'"):
        Inpainter("telea", postprocess="poison")
    for grow in (-1, 2.5, "3 apples", "-3", None, float("nan"), True, 10**400):
        with pytest.raises(UsageError, match=r"grow is .*expected a whole number"):
            Inpainter("telea", grow=grow)  # type: ignore[arg-type]
    assert Inpainter("telea", grow=np.int64(2)).grow == 2  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        fill(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), bool), model="telea", sharpness=3)


@pytest.mark.parametrize("model", [None, 3, b"x", MeanEngine, lambda image, mask: image])
def test_models_that_are_none(model: Any) -> None:
    image, mask = np.zeros((9, 9, 3), np.uint8), np.eye(9, dtype=bool)
    with pytest.raises(UsageError, match="expected a name, a path, or an object"):
        fill(image, mask, model=model)


@pytest.mark.parametrize("options", [{"engine": None}, {"engine": ["onnx"]}, {"precision": None}, {"threads": [1]}])
def test_options_of_another_type(options: dict[str, Any]) -> None:
    image, mask = np.zeros((9, 9, 3), np.uint8), np.eye(9, dtype=bool)
    for model in ("default", MeanEngine()):
        with pytest.raises(UsageError):
            fill(image, mask, model=model, **options)


@pytest.mark.parametrize("name", ["a\0b", "n" * 5000])
def test_model_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(UsageError):
        fill(np.zeros((9, 9, 3), np.uint8), np.eye(9, dtype=bool), model=name)


@pytest.mark.parametrize("wrong", [lambda x: x[:-1], lambda x: x[..., 0], lambda x: None, lambda x: x > 0])
@pytest.mark.parametrize("working_size", [None, 64])
def test_an_engine_that_returns_no_such_picture_is_an_error(wrong: Any, working_size: int | None) -> None:
    class Wrong(MeanEngine):
        def __call__(self, image: np.ndarray, mask: np.ndarray) -> Any:
            return wrong(image)

    engine = Wrong()
    engine.working_size = working_size  # type: ignore[assignment]
    with pytest.raises(ModelError, match="expected numbers of the same shape"):
        Inpainter(engine)(np.zeros((9, 9, 3), np.uint8), np.eye(9, dtype=bool))


def test_a_truncated_pil_image_is_our_error(gradient: Draw) -> None:
    whole = io.BytesIO()
    Image.fromarray(picture((60, 80, 3), "uint8")).save(whole, "PNG")
    lazy = Image.open(io.BytesIO(whole.getvalue()[:5000]))
    with pytest.raises(PhotoError, match="cannot be decoded"):
        fill(lazy, np.ones((60, 80), bool), model="telea")


def test_arrays_of_other_kinds() -> None:
    image, mask = np.full((20, 30), 90, np.uint8), np.zeros((20, 30), bool)
    mask[5:12, 6:20] = True
    result = fill(np.asmatrix(image), np.asmatrix(mask), model="telea")
    assert type(result) is np.ndarray
    assert np.array_equal(result, fill(image, mask, model="telea"))
    with pytest.raises(PhotoError, match="masked array"):
        fill(np.ma.masked_array(image, mask), mask, model="telea")
    with pytest.raises(MaskError, match="masked array"):
        fill(image, np.ma.masked_array(mask, mask), model="telea")


def test_fill_pixels_checks_what_it_gets() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(MaskError):
        Inpainter("telea").fill_pixels(image, np.zeros((30, 20), bool))
    with pytest.raises(MaskError):
        Inpainter("telea").fill_pixels(image, np.full((20, 30), 7, np.uint8))
    with pytest.raises(PhotoError):
        Inpainter("telea").fill_pixels(image.astype(np.int32), np.zeros((20, 30), bool))


def test_the_same_model_said_twice_is_opened_once(own_model: MakeModel, gradient: Draw) -> None:
    from inpaintkit.filling import inpainter

    mask = np.zeros((20, 30), bool)
    mask[5:12, 6:20] = True
    inpainter._opened.cache_clear()
    path = own_model()
    for options in ({}, {"engine": "auto"}, {"threads": None, "precision": "auto"}):
        fill(gradient(20, 30), mask, model=path, **options)
    assert inpainter._opened.cache_info().misses == 1


def test_poisson_is_judged_hole_by_hole(watchful: Any) -> None:
    """A hole at the border stays as filled; its neighbour in the same crop is blended all the same."""
    image = np.full((100, 100, 3), 200, np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[40:60, 40:60] = True
    alone = Inpainter(watchful(None), postprocess="poisson")(image, mask)
    mask[:15, 40:60] = True
    both = Inpainter(watchful(None), postprocess="poisson")(image, mask)
    assert (alone[50, 50] == 200).all(), "a flat fill is brought to the photo's level"
    assert (both[50, 50] == 200).all()
    assert (both[5, 50] == 128).all()


def test_a_model_is_opened_once_and_again_when_it_changes(own_model: MakeModel, gradient: Draw) -> None:
    from inpaintkit.filling import inpainter

    mask = np.zeros((20, 30), bool)
    mask[5:12, 6:20] = True
    path = own_model()
    inpainter._opened.cache_clear()
    for _ in range(3):
        fill(gradient(20, 30), mask, model=path)
    assert inpainter._opened.cache_info().misses == 1
    own_model(training_size=32)
    fill(gradient(20, 30), mask, model=path)
    assert inpainter._opened.cache_info().misses == 2


@pytest.mark.parametrize("detail", ["off", "on"])
def test_a_small_hole_in_12_megapixels_costs_its_crop(watchful: Any, detail: str) -> None:
    image = np.zeros((3000, 4000, 3), np.uint8)
    mask = np.zeros((3000, 4000), bool)
    mask[1000:1300, 2000:2300] = True
    engine = watchful(256)
    inpainter = Inpainter(engine, detail=detail)
    tracemalloc.start()
    inpainter(image, mask)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [crop.shape for crop, _ in engine.seen] == [(256, 256, 3)]
    one_copy = image.nbytes + mask.nbytes
    detail_bytes = WINDOW_BYTES + BYTES_PER_WINDOW_PIXEL * 600**2 if detail == "on" else 0
    assert peak < 1.75 * one_copy + detail_bytes, "a float copy of the photo alone would be four times as large"


def test_the_facade_is_lazy_and_lists_its_names() -> None:
    assert inpaintkit.fill is fill
    assert inpaintkit.Inpainter is Inpainter
    assert {"fill", "Inpainter", "__version__"} <= set(dir(inpaintkit))
    with pytest.raises(AttributeError, match="no attribute 'fll'"):
        _ = inpaintkit.fll


# --- Streams, progress, variants and ceilings ------------------------------------------------------------------------


def hole(shape: tuple[int, int] = (120, 160)) -> np.ndarray:
    """A mask with one hole of 30 by 40."""
    mask = np.zeros(shape, bool)
    mask[40:70, 50:90] = True
    return mask


def test_progress_runs_from_nothing_to_all() -> None:
    shares: list[float] = []
    mask = np.zeros((300, 300), bool)
    for place in range(20, 280, 40):
        mask[place : place + 4, place : place + 4] = True
    Inpainter(MeanEngine())(picture((300, 300, 3), "uint8"), mask, progress=shares.append)
    assert len(shares) > 4
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == 1.0


def test_a_listener_that_says_no_cancels_and_nothing_has_changed() -> None:
    image = picture((120, 160, 3), "uint8")
    before = image.copy()
    for call in (
        lambda: fill(image, hole(), model=MeanEngine(), progress=lambda share: False),
        lambda: Inpainter("telea").fill_photo(Photo(image), hole(), progress=lambda share: False),
        lambda: list(Inpainter("telea").stream([(image, hole())], progress=lambda share: False)),
        lambda: fill(image, hole(), model="telea", variants=3, progress=lambda share: False),
    ):
        with pytest.raises(Cancelled, match="as it was"):
            call()
        assert np.array_equal(image, before)


def test_a_stream_is_lazy_and_in_order() -> None:
    taken: list[int] = []

    def pairs() -> Any:
        for number in range(10):
            taken.append(number)
            yield np.full((60, 60, 3), 20 * number, np.uint8), hole((60, 60) if number else (60, 61))[:, :60]

    masks = [np.eye(60, dtype=bool)] * 10
    stream = Inpainter(MeanEngine()).stream(zip((image for image, _ in pairs()), masks, strict=True), together=3)
    first = next(stream)
    assert taken == [0, 1, 2]
    assert first.max() == 0
    assert [int(each[0, 0, 0]) for each in stream] == [20 * number for number in range(1, 10)]
    for wrong in (0, 2.5, True):
        with pytest.raises(UsageError, match="together is"):
            list(Inpainter("telea").stream([], together=wrong))  # type: ignore[arg-type]


def test_photos_are_filled_in_order_and_an_error_takes_its_place() -> None:
    photos = [Photo(picture((60, 60, 3), "uint8", seed)) for seed in range(5)]
    masks = [np.eye(60, dtype=bool) for _ in photos]
    masks[2] = np.ones((60, 60), bool)
    masks[3] = np.eye(61, dtype=bool)
    results = list(Inpainter(MeanEngine()).fill_photos(zip(photos, masks, strict=True), together=5))
    assert [type(each) for each in results] == [tuple, tuple, MaskError, MaskError, tuple]
    whole, report = results[4]  # type: ignore[misc]
    assert np.array_equal(whole.pixels, Inpainter(MeanEngine()).fill_photo(photos[4], masks[4]).pixels)
    assert report.hole_pixels == 60


def test_in_place_spares_the_copy() -> None:
    image = picture((120, 160, 3), "uint8")
    expected = fill(image, hole(), model="telea")
    photo = Photo(image)
    whole, _ = Inpainter("telea").fill_photo_reported(photo, hole(), in_place=True)
    assert whole.pixels is image
    assert np.array_equal(image, expected)


def test_cancelling_in_place_does_not_say_that_nothing_changed() -> None:
    with pytest.raises(Cancelled, match="filled in part"):
        Inpainter("telea").fill_photo_reported(
            Photo(picture((120, 160, 3), "uint8")), hole(), in_place=True, progress=lambda share: False
        )


def test_variants_differ_and_the_best_comes_first(gradient: Draw) -> None:
    image = gradient(120, 160)
    image[::4] //= 2
    variants = Inpainter("default").variants(image, hole(), 4)
    assert len(variants) == 4
    assert [each.score for each in variants] == sorted((each.score for each in variants), reverse=True)
    assert len({each.how for each in variants}) == 4
    for one in variants:
        assert np.array_equal(one.result[~hole()], image[~hole()])
        assert sum(np.array_equal(one.result, other.result) for other in variants) == 1
    listed = fill(image, hole(), variants=4)
    assert all(np.array_equal(a, b.result) for a, b in zip(listed, variants, strict=True))


def test_variants_come_back_in_the_kind_that_was_given(gradient: Draw, tmp_path: Path) -> None:
    image = Image.fromarray(gradient(60, 80)).convert("RGBA")
    mask = hole((60, 80))
    assert {each.mode for each in fill(image, mask, model="telea", variants=2)} == {"RGBA"}
    photo = Photo(gradient(60, 80), dpi=(300, 300))
    assert {each.result.dpi for each in Inpainter("telea").variants(photo, mask, 2)} == {(300, 300)}
    image.save(tmp_path / "photo.png")
    assert all(isinstance(each, Image.Image) for each in fill(tmp_path / "photo.png", mask, model="telea", variants=2))
    grey = np.asarray(image)[..., 0]
    assert {each.shape for each in fill(grey, mask, model="telea", variants=2)} == {(60, 80)}


def test_variants_of_nothing_are_one() -> None:
    image = picture((40, 40, 3), "uint8")
    (only,) = fill(image, np.zeros((40, 40), bool), model="telea", variants=5)
    assert np.array_equal(only, image)
    for wrong in (0, -1, 65, 1.5, "3", True):
        with pytest.raises(UsageError, match="variants is"):
            fill(image, hole((40, 40)), model="telea", variants=wrong)  # type: ignore[arg-type]


def test_a_memory_ceiling_changes_no_known_pixel_and_is_refused_when_too_low() -> None:
    image = picture((700, 900, 3), "uint8")
    mask = np.zeros((700, 900), bool)
    mask[100:600, 100:800] = True
    result = Inpainter(MeanEngine(), memory="8GB")(image, mask)
    assert np.array_equal(result[~mask], image[~mask])
    with pytest.raises(PhotoError, match="memory limit: raise the limit"):
        Inpainter(MeanEngine(), memory="1MB")(image, mask)
    with pytest.raises(UsageError, match="memory is"):
        Inpainter("telea", memory="much")


def test_the_plan_is_the_one_that_is_filled() -> None:
    inpainter = Inpainter(MeanEngine(), grow=2)
    plan = inpainter.plan(hole())
    assert plan.hole_pixels == int(grow_mask(hole(), 2).sum())
    _, report = inpainter.fill_photo_reported(Photo(picture((120, 160, 3), "uint8")), hole())
    assert report.regions == len(plan.regions)
    assert report.grown_pixels == plan.hole_pixels - int(hole().sum())


def test_one_inpainter_serves_several_threads() -> None:
    inpainter = Inpainter("default", engine="onnx")
    images = [picture((150, 150, 3), "uint8", seed) for seed in range(4)]
    mask = hole((150, 150))
    alone = [inpainter(image, mask) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: inpainter(image, mask), images * 2))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 2, together, strict=True))


@pytest.mark.parametrize("option", ["detail", "grain"])
def test_unknown_choices(option: str) -> None:
    with pytest.raises(UsageError, match=f"unknown {option} 'maybe'"):
        Inpainter("telea", **{option: "maybe"})
    for seed in (-1, 1.5, "7", True):
        with pytest.raises(UsageError, match="seed is"):
            Inpainter("telea", seed=seed)  # type: ignore[arg-type]


class Spy(MeanEngine):
    """Remembers the sizes of the crops it saw."""

    def __init__(self) -> None:
        self.sides: list[int] = []

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The mean, and a note of the size."""
        self.sides.append(max(mask.shape))
        return super().__call__(image, mask)


def test_a_memory_ceiling_shrinks_windows_and_classical_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture((1500, 2000, 3), "uint8")
    mask = np.zeros((1500, 2000), bool)
    mask[100:1400, 100:1900] = True
    windows: list[int] = []

    def watched(*given: Any, **options: Any) -> list[Any]:
        windows.append(options["window_px"])
        return []

    monkeypatch.setattr(passes, "enlarge_with_detail", watched)
    Inpainter(MeanEngine(), memory="300MB", detail="on", grain="off")(image, mask)
    Inpainter(MeanEngine(), detail="on", grain="off")(image, mask)
    assert windows[0] < windows[1]
    spies = []
    for memory in ("300MB", None):
        spy = Spy()
        spy.working_size = None
        Inpainter(spy, memory=memory, grain="off")(image, mask)
        spies.append(spy.sides)
        assert max(spy.sides) == max(
            max(each.working_shape) for each in Inpainter(spy, memory=memory).plan(mask).regions
        )
    assert max(spies[0]) < max(spies[1])


def test_under_a_memory_ceiling_a_stream_is_filled_as_single_photos_are() -> None:
    pairs = [(picture((900, 1200, 3), "uint8", seed), np.eye(900, 1200, dtype=bool)) for seed in range(3)]
    inpainter = Inpainter(MeanEngine(), memory="285MB")
    alone = [inpainter(*pair) for pair in pairs]
    assert all(np.array_equal(a, b) for a, b in zip(alone, inpainter.stream(pairs, together=3), strict=True))


def test_poisson_blending_is_refused_where_the_ceiling_has_no_room_for_it() -> None:
    mask = np.zeros((1500, 2000), bool)
    mask[100:1400, 100:1900] = True
    with pytest.raises(PhotoError, match="with Poisson blending"):
        Inpainter(MeanEngine(), postprocess="poisson", memory="500MB")(picture((1500, 2000, 3), "uint8"), mask)


def test_a_stream_delivers_what_came_before_a_bad_mask() -> None:
    image = picture((60, 60, 3), "uint8")
    stream = Inpainter(MeanEngine()).stream([(image, np.eye(60, dtype=bool)), (image, np.eye(61, dtype=bool))])
    assert next(stream).shape == (60, 60, 3)
    with pytest.raises(MaskError):
        next(stream)


def test_progress_of_variants_never_runs_backwards() -> None:
    for mask in (hole(), np.zeros((120, 160), bool)):
        shares: list[float] = []
        fill(picture((120, 160, 3), "uint8"), mask, model="telea", variants=4, progress=shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
    with pytest.raises(Cancelled):
        fill(picture((120, 160, 3), "uint8"), hole(), model="telea", progress=lambda share: np.False_)


def test_a_patch_engine_keeps_its_seed() -> None:
    image = picture((120, 160, 3), "uint8")
    fills = [Inpainter(Patch(seed), grain="off")(image, hole()) for seed in (0, 5)]
    assert not np.array_equal(*fills)
    assert np.array_equal(fills[1], Inpainter("patch", seed=5, grain="off")(image, hole()))


def test_patches_leave_no_cracks_between_pieces_that_agree() -> None:
    tile = np.random.default_rng(0).integers(90, 160, (16, 16, 3), dtype=np.uint8)
    image = np.tile(tile, (20, 20, 1))
    image[:, 160:] += 40
    mask = np.zeros((320, 320), bool)
    mask[80:240, 90:230] = True
    filled = Inpainter("patch", grain="off", detail="off")(image, mask)
    assert (filled[mask].min(axis=1) < 60).mean() < 0.002


def test_grain_is_measured_once_for_many_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    monkeypatch.setattr(passes, "measure_grain", lambda image, *masks: calls.append(image.shape))
    mask = np.zeros((400, 400), bool)
    for place in range(20, 380, 30):
        mask[place : place + 3, place : place + 3] = True
    Inpainter(MeanEngine())(picture((400, 400, 3), "uint8"), mask)
    assert len(calls) == 1
