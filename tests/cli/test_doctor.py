"""`inpaintkit doctor` finds what is wrong and says all is well only when it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
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
    for word in (inpaintkit.__version__, "onnxruntime", "openvino", "model telea", "device"):
        assert word in outcome.out


def test_json(run: Any, models: None) -> None:
    findings = json.loads(run("doctor", "--json").out)
    assert findings["well"] is True
    assert findings["problems"] == []
    assert findings["inpaintkit"] == inpaintkit.__version__
    assert set(findings["models"]) == {"telea", "ns", "biharmonic", "patch"}
    assert findings["models"]["ns"]["seconds"] >= 0


def test_missing_weights_are_a_problem(run: Any, models: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    entry = WeightsEntry("default", tmp_path / "d.onnx", None, tmp_path / "d.json")
    monkeypatch.setitem(CATALOGUE, "default", entry)
    outcome = run("doctor")
    assert outcome.status == 1
    assert "problem: model 'default' is not part of this installation" in outcome.out
    assert outcome.out.endswith("not all is well\n")


def painted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with its hole as the doctor painted it."""
    return np.where(mask[..., None], np.array([1, 0, 1], np.float32), image)


def broken(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """No picture at all, but an error that nobody foresaw."""
    raise RuntimeError("two\nlines")


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (painted, "model 'telea' left the hole as it was"),
        (lambda image, mask: image * np.nan, "returned values that are no numbers"),
        (broken, "model 'telea' fails (RuntimeError: two lines): reinstall inpaintkit"),
    ],
)
def test_an_engine_that_does_not_fill_is_noticed(
    run: Any, monkeypatch: pytest.MonkeyPatch, models: None, engine: Any, expected: str
) -> None:
    class Idle(classical.Telea):
        """Does not fill."""

        def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
            """What the test wants to come out."""
            return engine(image, mask)

    monkeypatch.setitem(classical.CLASSICAL, "telea", Idle)
    findings = doctor.examine()
    assert findings["well"] is False
    assert len(findings["problems"]) == 1
    assert expected in findings["problems"][0]
    assert findings["models"]["ns"]["problem"] is None
    outcome = run("doctor")
    assert outcome.status == 1
    assert "model telea              not usable\n" in outcome.out


@pytest.mark.parametrize("library", ["onnxruntime", "cv2", "onnx", "openvino"])
def test_a_library_that_cannot_be_loaded_is_a_problem(tmp_path: Path, library: str) -> None:
    broken = tmp_path / library / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise ImportError('DLL load failed')", encoding="utf-8")
    source = Path(inpaintkit.__file__).parents[1]
    finished = subprocess.run(
        [sys.executable, "-m", "inpaintkit", "doctor"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(source)])},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (1, "")
    named = {"cv2": "opencv-python-headless"}.get(library, library)
    assert f"problem: {named} cannot be loaded (ImportError: DLL load failed): reinstall it\n" in finished.stdout
    assert ("model telea" in finished.stdout) == (library != "cv2")
    assert finished.stdout.endswith("not all is well\n")


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
