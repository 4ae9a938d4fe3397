"""One door for every model: names, files, runtimes, and what is said when one cannot be opened."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from inpaintkit import weights
from inpaintkit.errors import ModelError, UsageError
from inpaintkit.filling import engines
from inpaintkit.filling.engines import Engine, model_names, open_engine

MakeModel = Callable[..., Path]


@pytest.fixture(autouse=True)
def openvino(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says whether OpenVINO works and has bfloat16, whatever this computer has; it does not unless a test says so."""

    def say(works: bool, has_bfloat16: bool = False) -> None:
        monkeypatch.setattr(engines, "openvino_works", lambda: works)
        monkeypatch.setattr(engines, "openvino_has_bfloat16", lambda: has_bfloat16)

    say(works=False)
    return say


class StandIn:
    """Takes the torch engine's place."""

    runtime = "torch"
    working_size = 64

    def __init__(self, path: Path, *, precision: str) -> None:
        self.path, self.precision, self.name = path, precision, path.stem
        self.asked_for = ("torch", precision)

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The image as it is."""
        return image

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}


@pytest.fixture
def torch_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch side without torch."""
    module = ModuleType("inpaintkit.models.runtime")
    module.TorchEngine = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "inpaintkit.models", ModuleType("inpaintkit.models"))
    monkeypatch.setitem(sys.modules, "inpaintkit.models.runtime", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def shipped(own_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights in which `default` is a tiny model with a card."""
    onnx = own_model("default.onnx")
    torch_file = onnx.with_suffix(".safetensors")
    torch_file.write_bytes(b"weights")
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (onnx, torch_file)}
    card = {"sha256": digests, "terms": "for tests", "training_size": 64}
    onnx.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    entry = weights.WeightsEntry("default", onnx, torch_file, onnx.with_suffix(".json"))
    monkeypatch.setitem(weights.CATALOGUE, "default", entry)
    return onnx


@pytest.mark.parametrize("name", ["telea", "ns", "biharmonic"])
def test_classical_methods_by_name(name: str) -> None:
    engine = open_engine(name)
    assert isinstance(engine, Engine)
    assert engine.name == name
    for options in ({"runtime": "torch"}, {"runtime": "onnx"}, {"precision": "bfloat16"}):
        with pytest.raises(UsageError, match=f"model '{name}' is none: leave it out"):
            open_engine(name, **options)


def test_an_onnx_file(own_model: MakeModel) -> None:
    engine = open_engine(own_model(), threads=1)
    assert isinstance(engine, Engine)
    assert (engine.name, engine.runtime) == ("own", "onnx")


def test_a_file_name_that_is_not_ascii(own_model: MakeModel) -> None:
    assert open_engine(str(own_model("köpfe und füße.onnx"))).runtime == "onnx"


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'telea'"):
        open_engine("tela")
    assert {"default", "glcic", "gmcnn", "telea", "ns", "biharmonic", "patch"} == set(model_names())


@pytest.mark.parametrize(("runtime", "precision", "near"), [("onx", "float32", "onnx"), ("onnx", "float3", "float32")])
def test_unknown_options_name_the_nearest(runtime: str, precision: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{near}'"):
        open_engine("telea", runtime, precision)


@pytest.mark.parametrize("options", [{"runtime": None}, {"precision": None}, {"runtime": ["onnx"]}, {"precision": 32}])
def test_options_of_another_type_are_unknown(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"unknown (engine|precision)"):
        open_engine("default", **options)


@pytest.mark.parametrize("threads", ["a", 1.5, -1, 0, True, 10**9])
def test_threads_are_a_whole_number(threads: Any) -> None:
    with pytest.raises(UsageError, match=r"threads is .*expected a whole number from 1"):
        open_engine("telea", threads=threads)


@pytest.mark.parametrize("name", ["a\0b", "a\0b.onnx", "n" * 5000, "n" * 5000 + ".onnx"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_engine(name)
    assert "default" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\0" not in str(caught.value)


@pytest.mark.parametrize("name", ["gone.onnx", "gone.safetensors"])
def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_engine(tmp_path / name)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"pickle")
    with pytest.raises(ModelError, match=r"unknown kind, expected \.onnx"):
        open_engine(path)


def test_runtimes_that_do_not_fit_the_file(own_model: MakeModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--engine torch cannot run it"):
        open_engine(own_model(), "torch")
    with pytest.raises(UsageError, match=r"needs --engine torch, or OpenVINO \(pip install 'inpaintkit\[openvino\]'\)"):
        open_engine(own_model(), precision="bfloat16")
    for runtime in ("onnx", "openvino"):
        with pytest.raises(UsageError, match=f"--engine {runtime} cannot run it: export it first"):
            open_engine(tmp_path, runtime)


NONE, SLOW, FAST = (False, False), (True, False), (True, True)  # OpenVINO works, and this processor has bfloat16


@pytest.mark.parametrize(
    ("openvino_is", "options", "bundled", "file"),
    [
        (NONE, {}, "onnx float32", "onnx float32"),
        (SLOW, {}, "openvino float32", "openvino float32"),
        (FAST, {}, "openvino bfloat16", "openvino float32"),
        (FAST, {"precision": "float32"}, "openvino float32", "openvino float32"),
        (FAST, {"precision": "bfloat16"}, "openvino bfloat16", "openvino bfloat16"),
        (SLOW, {"precision": "bfloat16"}, "torch bfloat16", "openvino bfloat16"),
        (NONE, {"precision": "bfloat16"}, "torch bfloat16", "onnx bfloat16"),
        (FAST, {"runtime": "onnx"}, "onnx float32", "onnx float32"),
        (FAST, {"runtime": "openvino"}, "openvino bfloat16", "openvino float32"),
        (SLOW, {"runtime": "openvino"}, "openvino float32", "openvino float32"),
        (NONE, {"runtime": "openvino"}, "openvino float32", "openvino float32"),
        (FAST, {"runtime": "torch"}, "torch float32", "UsageError"),
    ],
)
def test_which_runtime_and_precision_are_asked_for(
    openvino: Callable[..., None],
    shipped: Path,
    torch_runtime: None,
    own_model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
    openvino_is: tuple[bool, bool],
    options: dict[str, str],
    bundled: str,
    file: str,
) -> None:
    def asked_for(model: str | Path) -> str:
        try:
            return " ".join(open_engine(model, **options).asked_for)  # type: ignore[attr-defined]
        except UsageError:
            return "UsageError"

    def note(path: Path, *, runtime: str, precision: str, **others: Any) -> StandIn:
        engine = StandIn(path, precision=precision)
        engine.asked_for = (runtime, precision)
        return engine

    openvino(*openvino_is)
    monkeypatch.setattr(engines, "open_onnx", note)
    assert (asked_for("default"), asked_for(own_model("mine.onnx"))) == (bundled, file)


def test_auto_goes_on_with_onnx_runtime_where_openvino_cannot(
    openvino: Callable[..., None], shipped: Path, own_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engines.open_onnx

    def refuse(path: Path, *, runtime: str, **options: Any) -> Engine:
        if runtime == "openvino":
            raise ModelError("no such operation")
        return whole(path, runtime=runtime, **options)

    openvino(works=True, has_bfloat16=True)
    monkeypatch.setattr(engines, "open_onnx", refuse)
    for model in ("default", own_model("mine.onnx")):
        assert open_engine(model).runtime == "onnx"
        for asked in ({"runtime": "openvino"}, {"precision": "bfloat16"}):
            with pytest.raises(ModelError, match="no such operation"):
                open_engine(model, **asked)


def test_a_run_and_its_weights_go_to_torch(torch_runtime: None, tmp_path: Path) -> None:
    weights_file = tmp_path / "generator.safetensors"
    weights_file.write_bytes(b"")
    for path in (tmp_path, weights_file):
        engine = open_engine(path, precision="bfloat16")
        assert isinstance(engine, StandIn)
        assert (engine.path, engine.precision) == (path, "bfloat16")


def test_without_torch_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'inpaintkit\[train\]'"):
        open_engine(tmp_path)


def test_the_bundled_default(shipped: Path) -> None:
    engine = open_engine("default")
    assert (engine.name, engine.runtime, engine.working_size) == ("default", "onnx", 64)
    assert weights.bundled("default").terms == "for tests"


@pytest.mark.parametrize(("runtime", "precision"), [("torch", "float32"), ("auto", "bfloat16")])
def test_the_bundled_default_in_torch(shipped: Path, torch_runtime: None, runtime: str, precision: str) -> None:
    engine = open_engine("default", runtime, precision)
    assert isinstance(engine, StandIn)
    assert engine.path == shipped.with_suffix(".safetensors")
    assert (engine.name, engine.precision) == ("default", precision)


def test_damaged_weights_are_noticed(shipped: Path, torch_runtime: None) -> None:
    content = bytearray(shipped.read_bytes())
    content[len(content) // 2] ^= 1
    shipped.write_bytes(content)
    with pytest.raises(ModelError, match=r"default\.onnx is damaged: reinstall"):
        open_engine("default")
    shipped.with_suffix(".safetensors").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"default\.safetensors is damaged"):
        open_engine("default", "torch")


@pytest.mark.parametrize("card", ["{", "[]", '{"terms": "x"}', '{"sha256": {"other.onnx": "00"}}'])
def test_a_damaged_card_is_noticed(shipped: Path, card: str) -> None:
    shipped.with_suffix(".json").write_text(card, encoding="utf-8")
    with pytest.raises(ModelError, match="card"):
        open_engine("default")


def test_missing_weights_name_a_way_out(shipped: Path) -> None:
    shipped.unlink()
    with pytest.raises(ModelError, match="reinstall inpaintkit, or use a model that needs no weights"):
        open_engine("default")


def test_unknown_bundled_names() -> None:
    with pytest.raises(UsageError, match="did you mean 'default'"):
        weights.bundled("defualt")


@pytest.mark.parametrize("name", list(weights.CATALOGUE))
def test_what_ships_is_whole(name: str) -> None:
    entry = weights.CATALOGUE[name]
    if not entry.card.exists():
        pytest.skip("no weights in this checkout")
    entry = weights.bundled(name)
    for file in filter(None, (entry.onnx, entry.safetensors)):
        entry.verified(file)
    assert entry.terms != "not stated"
    assert sum(file.stat().st_size for file in (entry.onnx, entry.safetensors) if file) < 30_000_000
