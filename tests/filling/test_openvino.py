"""OpenVINO fills as ONNX Runtime does, in bfloat16 within a hundredth; it reports to nobody, and refusals are clear."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skimage import data

import inpaintkit
from inpaintkit.errors import ModelError, UsageError
from inpaintkit.filling import runtimes
from inpaintkit.filling.adapters import OnnxEngine, open_onnx
from inpaintkit.filling.engines import TRUE_IN_BFLOAT16, open_engine
from inpaintkit.weights import CATALOGUE

MakeModel = Callable[..., Path]
Draw = Callable[[int, int], np.ndarray]

needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")

FINDINGS_IN_A_FRESH_PROCESS = """
import json, socket, sys
asked = []
def refuse(*address, **options):
    asked.append(str(address))
    raise OSError("no network")
socket.getaddrinfo = refuse
from inpaintkit.filling.engines import open_engine
engine = open_engine(*sys.argv[1:])
seen = [name for name in ("openvino", "openvino_telemetry", "onnxruntime", "torch") if name in sys.modules]
print(json.dumps({"runtime": engine.runtime, "seen": seen, "asked": asked}))
"""


def in_bfloat16() -> None:
    """Skips a test on a processor without bfloat16."""
    if not runtimes.openvino_has_bfloat16():
        pytest.skip("this processor has no instructions for bfloat16")


def photos() -> list[tuple[np.ndarray, np.ndarray]]:
    """Three photos (256, 256, 3) in [0,1] with holes of different shapes, which are blanked."""
    found = []
    for number, whole in enumerate((data.astronaut(), data.coffee(), data.chelsea())):
        image = whole[20:276, 100:356].astype(np.float32) / np.float32(255)
        hole = np.zeros((256, 256), bool)
        hole[60 + 20 * number : 150, 50 : 120 + 40 * number] = True
        hole[200:208, 10:240] = True
        image[hole] = 0
        found.append((image, hole))
    return found


# --- the same fills ---


@needs_openvino
@pytest.mark.parametrize("fixture", ["own_model", "unmarked_model", "lama_model", "migan_model"])
@pytest.mark.parametrize("shape", [(64, 64), (37, 51)])
def test_every_signature_fills_as_in_onnx_runtime(
    request: pytest.FixtureRequest, gradient: Draw, fixture: str, shape: tuple[int, int]
) -> None:
    path = request.getfixturevalue(fixture)("köpfe und füße.onnx")
    hole = np.zeros(shape, bool)
    hole[10:30, 8:20] = True
    image = np.where(hole[..., None], np.float32(0), gradient(*shape).astype(np.float32) / np.float32(255))
    usual, engine = open_onnx(path), open_onnx(path, runtime="openvino")
    assert type(engine) is type(usual)
    assert engine.describe() == {**usual.describe(), "runtime": "openvino"}
    assert engine.size_multiple == usual.size_multiple
    filled = engine(image, hole)
    assert np.abs(filled - usual(image, hole)).max() < 1e-5
    assert np.array_equal(filled[~hole], image[~hole])


@needs_openvino
@pytest.mark.parametrize("name", list(CATALOGUE))
def test_a_bundled_network_in_float32(name: str) -> None:
    usual, engine = open_engine(name, "onnx"), open_engine(name, "openvino", "float32")
    assert (usual.runtime, engine.runtime, engine.describe()["precision"]) == ("onnx", "openvino", "float32")
    for image, hole in photos():
        assert np.abs(engine(image, hole) - usual(image, hole)).max() < 1e-5


@needs_openvino
@pytest.mark.parametrize("name", sorted(TRUE_IN_BFLOAT16))
def test_a_bundled_network_in_bfloat16_is_within_a_hundredth(name: str) -> None:
    bound = {"default": 0.003}.get(name, 0.01)  # the default's diffusion fill, rounded too, would alone bring more
    in_bfloat16()
    usual, engine = open_engine(name, "onnx"), open_engine(name)
    assert (engine.runtime, engine.describe()["precision"]) == ("openvino", "bfloat16")
    errors = []
    for image, hole in photos():
        filled = engine(image, hole)
        assert np.array_equal(filled[~hole], image[~hole])
        errors.append(np.abs(filled - usual(image, hole))[hole])
    assert 1e-5 < max(error.max() for error in errors) < bound
    assert np.mean([error.mean() for error in errors]) < 0.001


@needs_openvino
def test_a_network_that_bfloat16_changes_more_stays_in_float32_unless_asked() -> None:
    in_bfloat16()
    assert open_engine("gmcnn").describe()["precision"] == "float32"
    usual, engine = open_engine("gmcnn", "onnx"), open_engine("gmcnn", "openvino", "bfloat16")
    errors = [np.abs(engine(image, hole) - usual(image, hole)).max() for image, hole in photos()]
    assert 0.001 < max(errors) < 0.05


@needs_openvino
def test_sizes_may_change_from_call_to_call() -> None:
    usual, engine = open_engine("glcic", "onnx"), open_engine("glcic", "openvino", "float32")
    (image, hole), *_ = photos()
    for height, width in ((256, 256), (160, 200), (130, 61), (256, 256)):
        part, missing = image[:height, :width], hole[:height, :width]
        assert np.abs(engine(part, missing) - usual(part, missing)).max() < 1e-5


@needs_openvino
def test_results_are_not_overwritten_by_later_calls(own_model: MakeModel) -> None:
    session = runtimes.open_session(own_model(), "openvino")
    mask = np.zeros((1, 1, 8, 8), np.float32)
    mask[..., :4] = 1
    first, second = (session.run(np.full((1, 3, 8, 8), level, np.float32), mask) for level in (0.2, 0.7))
    assert first == pytest.approx(0.2)
    assert second == pytest.approx(0.7)


@needs_openvino
def test_several_threads_share_an_engine(lama_model: MakeModel) -> None:
    engine = open_onnx(lama_model(scale=255.0), runtime="openvino")
    hole = np.zeros((64, 64), bool)
    hole[10:30, 8:20] = True
    levels = np.linspace(0.3, 0.9, 12, dtype=np.float32)
    images = [np.where(hole[..., None], np.float32(0), np.full((64, 64, 3), level)) for level in levels]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda image: engine(image, hole), images))
    assert [result[hole].mean() for result in results] == pytest.approx(list(levels), abs=1e-4)


@needs_openvino
def test_threads_are_bounded_and_not_pinned(own_model: MakeModel) -> None:
    engine = open_engine(own_model(), "openvino", threads=1)
    assert isinstance(engine, OnnxEngine)
    (compiled,) = (request.get_compiled_model() for request in engine._session.graph._requests)  # type: ignore[attr-defined]
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


# --- what bfloat16 leaves alone ---


def prepared_network(path: Path, *, sized: bool = False) -> Path:
    """Blurs the image, convolves the blurred one, and adds both; `sized`: by a size that is computed on the way."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.2, (3, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["image"], ["size"]),
        helper.make_node("Resize", ["half", "", "", "size"], ["blurred"], mode="nearest"),
        helper.make_node("Conv", ["blurred", "weight"], ["more"], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["more", "size"], ["shaped"]) if sized else None,
        helper.make_node("Add", ["shaped" if sized else "more", "blurred"], ["sum"]),
        helper.make_node("Mul", ["sum", "mask"], ["completed"]),
    ]
    graph = helper.make_graph(
        [node for node in nodes if node],
        "tiny",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 1, "h", "w"]),
        ],
        [helper.make_tensor_value_info("completed", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path


@needs_openvino
def test_a_graph_is_cut_where_its_weights_begin(tmp_path: Path) -> None:
    path = prepared_network(tmp_path / "prepared.onnx")
    (preparation, exact), (network, rounded) = runtimes._keep_preparation_exact(
        runtimes._read_in_openvino(path, None), "bfloat16"
    )
    assert (exact, rounded) == ("float32", "bfloat16")
    kinds = [{node.get_type_name() for node in part.get_ops()} for part in (preparation, network)]
    assert "AvgPool" in kinds[0] - kinds[1]
    assert "Convolution" in kinds[1] - kinds[0]
    assert len(preparation.outputs) == len(network.inputs) == 2, "the blurred image and the mask"
    image = np.random.default_rng(1).random((1, 3, 16, 24), dtype=np.float32)
    mask = np.ones((1, 1, 16, 24), np.float32)
    mask[..., :5, :7] = 0
    exactly = {"INFERENCE_PRECISION_HINT": "f32"}
    stages = [runtimes._core().compile_model(part, "CPU", exactly) for part in (preparation, network)]
    inputs = {"image": image, "mask": mask}
    (filled,) = runtimes._OpenVinoGraph(stages).run(["completed"], inputs)
    assert np.abs(filled - runtimes.open_session(path).run(image, mask)).max() < 1e-5


@needs_openvino
def test_a_graph_that_sizes_itself_on_the_way_or_has_no_weights_stays_whole(
    tmp_path: Path, own_model: MakeModel
) -> None:
    for path in (prepared_network(tmp_path / "sized.onnx", sized=True), own_model()):
        model = runtimes._read_in_openvino(path, None)
        assert runtimes._keep_preparation_exact(model, "bfloat16") == [(model, "bfloat16")]


# --- what cannot be done ---


@needs_openvino
@pytest.mark.parametrize("runtime", ["auto", "openvino"])
@pytest.mark.parametrize("content", [b"", b"this is no model", b"\x08\x08\x12\x04abcd" * 50])
def test_a_damaged_file_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], runtime: str, content: bytes
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"is not a readable ONNX file: .*; copy or export it again") as caught:
        open_engine(path, runtime)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@needs_openvino
def test_a_crop_that_fails_names_the_way_out(own_model: MakeModel) -> None:
    session = runtimes.open_session(own_model(), "openvino")
    with pytest.raises(ModelError, match=r"failed on a 7 x 6 crop: .*; use --engine onnx, or try") as caught:
        session.run(np.zeros((1, 3, 6, 7), np.float32), np.zeros((1, 1, 6, 7), np.float32))
    assert "Exception from" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModuleNotFoundError("No module named 'openvino'", name="openvino"), r"pip install 'inpaintkit\[openvino\]'"),
        (ModuleNotFoundError("No module named 'numpy.x'", name="numpy.x"), r"cannot be loaded \(No module named"),
        (ImportError("DLL load failed\nwhile importing"), r"cannot be loaded \(DLL load failed\): reinstall it"),
    ],
)
def test_a_missing_or_broken_library(
    own_model: MakeModel, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    def fail() -> Any:
        raise error

    path = own_model()
    monkeypatch.setattr(runtimes, "_core", fail)
    monkeypatch.setattr(runtimes, "_capabilities", fail)
    for model in (path, "default"):
        with pytest.raises(ModelError, match=expected) as caught:
            open_engine(model, "openvino")
        assert "\n" not in str(caught.value)
        assert open_engine(model).runtime == "onnx"


@needs_openvino
def test_bfloat16_needs_a_processor_that_has_it(own_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_capabilities", lambda: ("FP32", "INT8"))
    with pytest.raises(UsageError, match="needs a processor with instructions for it: leave it out"):
        open_engine("default", "openvino", "bfloat16")
    assert open_engine("default").describe()["precision"] == "float32"


# --- what it costs the others ---


def findings(home: Path, *arguments: str) -> str:
    """What a fresh process printed that opened an engine with an empty folder as its home."""
    source = str(Path(inpaintkit.__file__).parents[1])
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD")}
    environment |= {"HOME": str(home), "LOCALAPPDATA": str(home), "PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", FINDINGS_IN_A_FRESH_PROCESS, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_openvino
def test_nothing_is_reported_to_anybody(tmp_path: Path) -> None:
    found = findings(tmp_path, "glcic", "openvino")
    assert found == '{"runtime": "openvino", "seen": ["openvino"], "asked": []}'
    assert list(tmp_path.iterdir()) == []


def test_other_engines_do_not_load_it(tmp_path: Path) -> None:
    assert findings(tmp_path, "glcic", "onnx") == '{"runtime": "onnx", "seen": ["onnxruntime"], "asked": []}'
    assert findings(tmp_path, "telea") == '{"runtime": "classical", "seen": [], "asked": []}'
