"""ONNX files of each known signature fill the hole, with their own sizes, ranges and mask polarities."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inpaintkit.errors import ModelError
from inpaintkit.filling.adapters import LamaEngine, MiGanEngine, OnnxEngine, open_onnx
from inpaintkit.filling.blend import from_bytes

MakeModel = Callable[..., Path]
Draw = Callable[[int, int], np.ndarray]


def wound(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The photo in [0,1] with 0 in the hole, as the Inpainter hands it over."""
    return np.where(hole[..., None], np.float32(0), from_bytes(photo))


def assert_mean_filled(engine: OnnxEngine, photo: np.ndarray, hole: np.ndarray, tolerance: float = 1e-5) -> None:
    """Known pixels bit for bit; the hole holds the mean of the known pixels, which a wrong polarity would not give."""
    image = wound(photo, hole)
    filled = engine(image, hole)
    assert filled.dtype == np.float32
    assert filled.shape == image.shape
    assert np.array_equal(filled[~hole], image[~hole])
    mean = image[~hole].astype(np.float64).mean(axis=0)
    assert np.abs(filled[hole] - mean).max() < tolerance


@pytest.fixture
def hole() -> np.ndarray:
    """A hole away from the middle of a 64 x 64 photo."""
    mask = np.zeros((64, 64), bool)
    mask[10:30, 8:20] = True
    return mask


def test_our_own_signature(own_model: MakeModel, gradient: Draw, hole: np.ndarray) -> None:
    engine = open_onnx(own_model(training_size=48))
    assert type(engine) is OnnxEngine
    assert_mean_filled(engine, gradient(64, 64), hole)
    assert (engine.name, engine.runtime, engine.working_size) == ("own", "onnx", 48)
    assert engine.describe()["licence"] == "CC0"


def test_working_size_in_the_metadata_wins_over_training_size(own_model: MakeModel) -> None:
    assert open_onnx(own_model(training_size=48, working_size="96")).working_size == 96


@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (13, 7), (30, 64)])
def test_sizes_that_are_no_multiple_are_padded(own_model: MakeModel, shape: tuple[int, int]) -> None:
    engine = open_onnx(own_model())
    image = np.random.default_rng(0).random((*shape, 3), dtype=np.float32)
    mask = np.zeros(shape, bool)
    mask[0, 0] = True
    filled = engine(image, mask)
    assert filled.shape == image.shape
    assert np.array_equal(filled[~mask], image[~mask])


def test_a_hole_at_the_border_is_missing_in_the_padding_too(own_model: MakeModel) -> None:
    image = np.full((7, 8, 3), 0.8, np.float32)
    mask = np.zeros((7, 8), bool)
    mask[5:] = True
    image[mask] = 0
    filled = open_onnx(own_model())(image, mask)
    assert filled[mask] == pytest.approx(0.8), "were the padded row known, its 0 would darken the mean"


def test_migan_keeps_where_its_mask_is_255(migan_model: MakeModel, gradient: Draw, hole: np.ndarray) -> None:
    engine = open_onnx(migan_model())
    assert type(engine) is MiGanEngine
    assert engine.working_size == 512
    assert_mean_filled(engine, gradient(64, 64), hole, tolerance=0.51 / 255)


@pytest.mark.parametrize(("signature", "hole_value"), [("migan", 255), ("lama", 0), ("inpaintkit", 0)])
def test_a_sidecar_turns_the_polarity_round(
    request: pytest.FixtureRequest, gradient: Draw, hole: np.ndarray, signature: str, hole_value: int
) -> None:
    fixture = {"inpaintkit": "unmarked_model"}.get(signature, f"{signature}_model")
    path = request.getfixturevalue(fixture)(reversed_polarity=True)
    with pytest.raises(AssertionError):
        assert_mean_filled(open_onnx(path), gradient(64, 64), hole, tolerance=0.51 / 255)
    path.with_suffix(".json").write_text(json.dumps({"hole_value": hole_value}), encoding="utf-8")
    engine = open_onnx(path)
    assert engine.signature == signature
    assert_mean_filled(engine, gradient(64, 64), hole, tolerance=0.51 / 255)


def test_our_own_marked_files_need_no_sidecar(own_model: MakeModel, gradient: Draw, hole: np.ndarray) -> None:
    path = own_model()
    path.with_suffix(".json").write_text('{"hole_value": 0, "sha256": {}}', encoding="utf-8")
    assert_mean_filled(open_onnx(path), gradient(64, 64), hole)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_lama_in_either_range(lama_model: MakeModel, gradient: Draw, hole: np.ndarray, scale: float) -> None:
    engine = open_onnx(lama_model(scale=scale))
    assert type(engine) is LamaEngine
    assert engine.working_size == 64
    assert_mean_filled(engine, gradient(64, 64), hole)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_lama_range_is_found_on_a_dark_photo(lama_model: MakeModel, hole: np.ndarray, scale: float) -> None:
    photo = np.full((64, 64, 3), 1, np.uint8)  # 1 of 255 comes out as 1 in either range
    engine = open_onnx(lama_model(scale=scale))
    assert_mean_filled(engine, photo, hole)
    photo[::2] = 230
    assert_mean_filled(engine, photo, hole)


def test_lama_range_from_the_sidecar_is_believed(lama_model: MakeModel, gradient: Draw, hole: np.ndarray) -> None:
    path = lama_model(scale=255.0)
    path.with_suffix(".json").write_text('{"output_range": [0, 1], "name": "lama-x"}', encoding="utf-8")
    engine = open_onnx(path)
    assert engine.name == "lama-x"
    filled = engine(wound(gradient(64, 64), hole), hole)
    assert filled[hole].min() == 1, "0..255 read as 0..1 saturates"


@pytest.mark.parametrize("shape", [(32, 32), (64, 40), (20, 64), (100, 130)])
def test_lama_takes_crops_of_other_sizes(lama_model: MakeModel, shape: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), 90, np.uint8)
    mask = np.zeros(shape, bool)
    mask[4:9, 3:12] = True
    mask[-3:] = True
    assert_mean_filled(open_onnx(lama_model()), photo, mask, tolerance=1e-3)


def test_an_unknown_signature_lists_what_is_known(foreign_model: MakeModel) -> None:
    with pytest.raises(ModelError) as caught:
        open_onnx(foreign_model())
    message = str(caught.value)
    assert "x float (1,4,64,64)" in message
    for known in ("inpaintkit", "lama", "migan"):
        assert known in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"this is no model", b"\x08\x08\x12\x04abcd" * 50])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx") as caught:
        open_onnx(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_an_error(own_model: MakeModel) -> None:
    path = own_model()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        open_onnx(path)


@pytest.mark.parametrize(
    ("sidecar", "expected"),
    [
        ("{", "not readable JSON"),
        ('{"signature": "lma"}', "did you mean 'lama'"),
        ('{"signature": "lama", "ouput_range": [0, 1]}', "did you mean 'output_range'"),
        ('{"output_range": [0, 2]}', r"expected \[0, 1\] or \[0, 255\]"),
        ('{"hole_value": "white"}', "expected 0, 1 or 255"),
        ('{"hole_value": true}', "expected 0, 1 or 255"),
        ('{"hole_vaue": 0}', "did you mean 'hole_value'"),
        ('{"Signature": "lama"}', "did you mean 'signature'"),
        ('{"signature": ["lama"]}', "unknown signature"),
        ('{"name": 3}', "expected text"),
        ('{"size_multiple": true}', "above 0"),
        ('{"size_multiple": 10000000}', "at most 1024"),
        ('{"size_multiple": 8}', "for the signature inpaintkit"),
        ('{"working_size": 512}', "fixed at 64"),
        ('{"working_size": 0}', "above 0"),
    ],
)
def test_a_wrong_sidecar_is_an_error(lama_model: MakeModel, sidecar: str, expected: str) -> None:
    path = lama_model()
    path.with_suffix(".json").write_text(sidecar, encoding="utf-8")
    with pytest.raises(ModelError, match=expected):
        open_onnx(path)


@pytest.mark.parametrize("fixture", ["unmarked_model", "migan_model"])
def test_an_output_range_is_refused_where_it_would_be_ignored(request: pytest.FixtureRequest, fixture: str) -> None:
    path = request.getfixturevalue(fixture)()
    path.with_suffix(".json").write_text('{"output_range": [0, 255]}', encoding="utf-8")
    with pytest.raises(ModelError, match="output_range is for the signature lama"):
        open_onnx(path)


def test_a_stated_signature_does_not_excuse_other_inputs(foreign_model: MakeModel) -> None:
    path = foreign_model()
    path.with_suffix(".json").write_text('{"signature": "lama"}', encoding="utf-8")
    with pytest.raises(ModelError, match="no known signature"):
        open_onnx(path)


@pytest.mark.parametrize("key", ["training_size", "working_size", "size_multiple"])
@pytest.mark.parametrize("stated", ["abc", "1e3", "0", "-4", "10000000", "", "\u0663"])
def test_sizes_in_the_metadata_are_checked(own_model: MakeModel, key: str, stated: str) -> None:
    with pytest.raises(ModelError, match=f"states the {key} .*expected a whole number from 1"):
        open_onnx(own_model(**{key: stated}))


@pytest.mark.parametrize("fixture", ["unmarked_model", "lama_model", "migan_model"])
@pytest.mark.parametrize("change", ["smaller", "flat", "list"])
def test_an_output_that_is_no_picture_of_this_size_is_an_error(
    request: pytest.FixtureRequest, gradient: Draw, hole: np.ndarray, fixture: str, change: str
) -> None:
    engine = open_onnx(request.getfixturevalue(fixture)())
    whole = engine._session.graph
    changed = {"smaller": lambda x: x[..., :-8], "flat": lambda x: x[0], "list": list}[change]
    graph = SimpleNamespace(run=lambda *given: [changed(whole.run(*given)[0])])
    engine._session = dataclasses.replace(engine._session, graph=graph)
    with pytest.raises(ModelError, match=r"expected numbers \(1, 3, 64, 64\)"):
        engine(wound(gradient(64, 64), hole), hole)


def test_somebody_elses_json_beside_the_model_is_ignored(lama_model: MakeModel) -> None:
    path = lama_model()
    path.with_suffix(".json").write_text('{"trained_on": "photos", "epochs": 3}', encoding="utf-8")
    assert open_onnx(path).name == "lama"


def test_an_engine_serves_several_threads(lama_model: MakeModel, gradient: Draw, hole: np.ndarray) -> None:
    from concurrent.futures import ThreadPoolExecutor

    engine = open_onnx(lama_model(scale=255.0))
    image = wound(gradient(64, 64), hole)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: engine(image, hole), range(12)))
    assert all(np.array_equal(result, results[0]) for result in results)
    assert results[0][hole].max() < 1
