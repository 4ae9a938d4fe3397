"""`inpaintkit demo` fills the photo that ships with the package and changes nothing outside the mask."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inpaintkit.cli.demo import ASSETS
from inpaintkit.weights import CATALOGUE

NAMES = ("photo", "mask", "filled", "before-mask-after")


def assert_demo(folder: Path) -> None:
    """The four pictures fit each other, and only the hole has changed."""
    photo, mask, filled, triptych = (np.asarray(Image.open(folder / f"{name}.png")) for name in NAMES)
    hole = mask > 127
    assert 0.02 < hole.mean() < 0.2
    assert photo.shape == filled.shape == (*hole.shape, 3)
    assert np.array_equal(filled[~hole], photo[~hole])
    assert (filled != photo).any(axis=2)[hole].mean() > 0.9
    height, width = hole.shape
    assert triptych.shape[0] == height
    assert np.array_equal(triptych[:, :width], photo)
    assert np.array_equal(triptych[:, -width:], filled)


def test_the_demo_and_the_demo_again(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        outcome = run("demo", "--model", "telea")
        assert outcome.status == 0, outcome
        assert_demo(tmp_path / "inpaintkit-demo")
        assert "filled by telea in " in outcome.out
        for name in NAMES:
            assert str(Path("inpaintkit-demo") / f"{name}.png") in outcome.out


def test_json_and_another_folder(run: Any, tmp_path: Path) -> None:
    facts = json.loads(run("demo", "--model", "ns", "-o", tmp_path / "a" / "b", "--json").out)
    assert facts["filled"] == str(tmp_path / "a" / "b" / "filled.png")
    assert facts["model"] == "ns"
    assert_demo(tmp_path / "a" / "b")


def test_the_default_model_fills_the_demo(run: Any, tmp_path: Path) -> None:
    if not CATALOGUE["default"].onnx.exists():
        pytest.skip("no weights in this checkout")
    assert run("demo", "-o", tmp_path).status == 0
    assert_demo(tmp_path)


def test_a_folder_that_cannot_be_made(run: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    outcome = run("demo", "--model", "telea", "-o", tmp_path / "taken")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1


def test_the_assets_are_small() -> None:
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 300_000
