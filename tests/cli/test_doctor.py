"""`inpaintkit doctor` finds what is wrong and says all is well only when it is."""

import json
from typing import Any

import numpy as np
import pytest

import inpaintkit
from inpaintkit.cli import doctor
from inpaintkit.errors import ModelError
from inpaintkit.filling import classical
from inpaintkit.weights import CATALOGUE, WeightsEntry


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the classical methods, so that the findings do not hang on the weights of this checkout."""
    for name in list(CATALOGUE):
        monkeypatch.delitem(CATALOGUE, name)


def test_all_is_well(run: Any, models: None) -> None:
    outcome = run("doctor")
    assert outcome.status == 0, outcome
    assert outcome.out.endswith("all is well\n")
    for word in (inpaintkit.__version__, "onnxruntime", "model telea", "device"):
        assert word in outcome.out


def test_json(run: Any, models: None) -> None:
    findings = json.loads(run("doctor", "--json").out)
    assert findings["well"] is True
    assert findings["problems"] == []
    assert findings["inpaintkit"] == inpaintkit.__version__
    assert set(findings["models"]) == {"telea", "ns", "biharmonic"}
    assert findings["models"]["ns"]["seconds"] >= 0


def test_missing_weights_are_a_problem(run: Any, models: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    entry = WeightsEntry("default", tmp_path / "d.onnx", None, tmp_path / "d.json")
    monkeypatch.setitem(CATALOGUE, "default", entry)
    outcome = run("doctor")
    assert outcome.status == 1
    assert "problem: model 'default' is not part of this installation" in outcome.out
    assert outcome.out.endswith("not all is well\n")


@pytest.mark.parametrize(
    ("engine", "expected"),
    [(lambda image, mask: image, "left the hole"), (lambda image, mask: image * 0 + np.nan, "left the hole")],
)
def test_an_engine_that_does_nothing_is_noticed(
    monkeypatch: pytest.MonkeyPatch, models: None, engine: Any, expected: str
) -> None:
    class Idle(classical.Telea):
        """Does not fill."""

        def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
            """The picture with its hole as the doctor painted it."""
            return np.where(mask[..., None], np.array([1, 0, 1], np.float32), image)

    monkeypatch.setitem(classical.CLASSICAL, "telea", Idle)
    findings = doctor.examine()
    assert findings["well"] is False
    assert expected in findings["problems"][0]


def test_a_missing_library_is_a_problem(run: Any, models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "tifffile" else found(name))
    outcome = run("doctor")
    assert outcome.status == 1
    assert "tifffile is not installed" in outcome.out


def test_biharmonic_without_scikit_image_is_no_problem(monkeypatch: pytest.MonkeyPatch, models: None) -> None:
    def refuse(self: Any) -> None:
        raise ModelError("model 'biharmonic' needs scikit-image")

    monkeypatch.setattr(classical.Biharmonic, "__init__", refuse)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    findings = doctor.examine()
    assert findings["well"] is True
    assert findings["engines"] == ["onnx"]
    assert findings["models"]["biharmonic"]["problem"] == "model 'biharmonic' needs scikit-image"
