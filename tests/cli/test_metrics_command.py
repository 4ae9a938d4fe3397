"""`inpaintkit metrics`: what it prints for a person and for a program, and what it refuses."""

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from skimage import data

from inpaintkit.cli import metrics as verb
from inpaintkit.evaluation.metrics import METRICS, Metric, measure
from inpaintkit.evaluation.perceptual import PerceptualWeights

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


@pytest.fixture
def filled(scene) -> tuple[Path, np.ndarray]:
    """A fill of the scene: its hole a little too bright."""
    pixels = scene.pixels.copy()
    pixels[scene.hole] += 10
    path = scene.folder / "filled.png"
    Image.fromarray(pixels).save(path)
    return path, pixels


def _refused(outcome, status: int, *words: str) -> None:
    assert outcome.status == status
    assert outcome.out == ""
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("inpaintkit: ")
    for word in words:
        assert word in line


def test_json_holds_every_metric_with_unit_and_direction(run, scene, filled):
    path, pixels = filled
    outcome = run("metrics", scene.photo, path, "--mask", scene.mask, "--json")
    assert (outcome.status, outcome.err) == (0, "")
    facts = json.loads(outcome.out)
    expected = measure(scene.pixels, pixels, scene.hole)
    assert list(facts["metrics"]) == list(METRICS)
    for name, each in facts["metrics"].items():
        metric = METRICS[name]
        assert each["value"] == (None if np.isnan(expected[name]) else expected[name])
        assert (each["label"], each["unit"], each["better"]) == (metric.label, metric.unit, metric.better)
        assert ("truth" in each) == (metric.better == "truth")
    assert (
        facts["metrics"]["total_variation"]["truth"]
        == measure(scene.pixels, scene.pixels, scene.hole)["total_variation"]
    )
    assert (facts["height"], facts["width"], facts["known_changed"]) == (60, 80, 0)
    assert facts["hole_ratio"] == pytest.approx(14 * 20 / 4800, abs=1e-6)
    assert facts["depth_px"] == 7


def test_a_person_reads_one_line_for_each_metric(run, scene, filled):
    outcome = run("metrics", scene.photo, filled[0], "-m", scene.mask)
    assert (outcome.status, outcome.err) == (0, "")
    head, about, *rows = outcome.out.splitlines()
    assert head == f"{filled[0]} beside {scene.photo}, 80 x 60 pixels (width x height)"
    assert about == "missing: 5.83 % of the frame, 7.0 px deep; known pixels changed: 0"
    labels = [metric.label for metric in METRICS.values()]
    assert all(row.startswith(f"{label} ") for row, label in zip(rows, labels, strict=True))
    shown = {label: " ".join(row[len(label) :].split()) for row, label in zip(rows, labels, strict=True)}
    assert shown["hole L1"] == "3.92 % lower is better"
    assert shown["hole PSNR"] == "28.13 dB higher is better"
    assert shown["hole total variation"].endswith("the photo's own: 0.46 %")
    assert shown["MS-SSIM"] == "- not defined: a side has 160 pixels or less"


def test_without_a_mask_the_whole_image_is_measured(run, scene, filled):
    facts = json.loads(run("metrics", scene.photo, filled[0], "--json").out)
    assert list(facts["metrics"]) == [name for name, metric in METRICS.items() if metric.scope == "image"]
    assert facts["hole_ratio"] is facts["depth_px"] is facts["known_changed"] is None
    assert "no --mask" in run("metrics", scene.photo, filled[0]).out


def test_changed_known_pixels_are_told(run, scene, filled):
    path, pixels = filled
    pixels[:2, 0] ^= 1
    Image.fromarray(pixels).save(path)
    assert "known pixels changed: 2, expected none" in run("metrics", scene.photo, path, "-m", scene.mask).out


def test_orientation_is_applied_first(run, scene, filled):
    turned = scene.folder / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # it is shown a quarter turn clockwise
    Image.fromarray(np.rot90(scene.pixels)).save(turned, exif=exif, quality=95, subsampling=0)
    facts = json.loads(run("metrics", turned, filled[0], "-m", scene.mask, "--json").out)
    assert (facts["height"], facts["width"]) == (60, 80)
    assert facts["metrics"]["psnr"]["value"] > 30


def test_sixteen_bits_are_rounded_and_known_pixels_compared_in_full(run, scene, filled):
    deep = scene.pixels.astype(np.uint16) * 257
    touched = deep.copy()
    touched[0, 0, 0] += 1
    paths = scene.folder / "deep.png", scene.folder / "touched.png"
    for path, pixels in zip(paths, (deep, touched), strict=True):
        path.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    facts = json.loads(run("metrics", *paths, "-m", scene.mask, "--json").out)
    assert facts["metrics"]["l1"]["value"] == 0
    assert facts["known_changed"] == 1
    outcome = run("metrics", paths[0], filled[0], "-m", scene.mask)
    assert "known pixels changed: 0" in outcome.out
    assert re.search(r"note: '.*deep.png' has 16 bits per channel, which are rounded to 8", outcome.err)


def test_alpha_is_not_measured_and_said_so(run, scene):
    path = scene.folder / "alpha.png"
    Image.fromarray(np.dstack([scene.pixels, np.full((60, 80), 90, np.uint8)])).save(path)
    outcome = run("metrics", scene.photo, path)
    assert "alpha channel, which is not looked at" in outcome.err
    assert json.loads(run("metrics", scene.photo, path, "--json").out)["metrics"]["l1"]["value"] == 0


def test_a_photo_is_exactly_itself(run, scene):
    facts = json.loads(run("metrics", scene.photo, scene.photo, "-m", scene.mask, "--json").out)
    assert facts["metrics"]["hole_psnr"]["value"] == 100
    assert facts["known_changed"] == 0


def test_photos_of_different_sizes_are_refused(run, scene):
    small = scene.folder / "small.png"
    Image.fromarray(scene.pixels[:50]).save(small)
    _refused(
        run("metrics", scene.photo, small), 1, "80 x 50 pixels (width x height)", "80 x 60", "expected equal sizes"
    )


def test_a_mask_of_another_size_is_refused(run, scene, filled):
    mask = scene.folder / "small-mask.png"
    Image.fromarray(scene.hole[:50]).save(mask)
    _refused(run("metrics", scene.photo, filled[0], "-m", mask), 1, "80 x 50", "expected equal sizes", "resize it")


def test_an_empty_mask_is_refused(run, scene, filled):
    mask = scene.folder / "empty.png"
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(mask)
    _refused(run("metrics", scene.photo, filled[0], "-m", mask), 1, "is empty", "expected", "leave out --mask")


def test_missing_and_damaged_files_are_refused(run, scene, filled):
    gone = scene.folder / "gone.png"
    for arguments in ((gone, filled[0]), (scene.photo, gone), (scene.photo, filled[0], "-m", gone)):
        _refused(run("metrics", *arguments), 1, "gone.png", "no such file", "check the name")
    content = scene.photo.read_bytes()
    gone.write_bytes(content[: len(content) // 2])
    _refused(run("metrics", scene.photo, gone), 1, "cut short or damaged")


def test_a_call_without_a_second_photo_is_refused(run, scene):
    _refused(run("metrics", scene.photo), 2, "filled", "inpaintkit --help")


def test_features_need_a_mask(run, scene, filled):
    _refused(run("metrics", scene.photo, filled[0], "--features", "own"), 2, "--features", "give --mask")


def test_features_without_torch_name_the_extra(run, scene, filled, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("inpaintkit.evaluation.metrics.features")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    outcome = run("metrics", scene.photo, filled[0], "-m", scene.mask, "--features", "own")
    _refused(outcome, 1, "this needs the package 'torch': pip install 'inpaintkit[train]'")


def test_a_judge_adds_its_columns(run, scene, filled, monkeypatch):
    metric = Metric("odd", "oddness (drawn)", "lower", "hole", "", "0 to 1.", "Drawn.", "This test")

    class Odd:
        metrics = (metric,)

        def __call__(self, truth, filled, hole):
            return {"odd": float("nan") if hole.sum() < 300 else 0.25}

    monkeypatch.setattr(PerceptualWeights, "opened", lambda self: [Odd()] if self.features == "own" else [])
    outcome = run("metrics", scene.photo, filled[0], "-m", scene.mask, "--features", "own")
    last = outcome.out.splitlines()[-1]
    assert re.fullmatch(r"oddness \(drawn\) +- +not defined: the photo or the hole is too small", last)


def test_the_page_shows_what_is_printed(run, tmp_path, monkeypatch):
    truth = np.ascontiguousarray(data.astronaut()[:256, 100:356])
    hole = np.zeros((256, 256), bool)
    hole[64:192, 64:192] = True
    fill = np.where(hole[..., None], cv2.GaussianBlur(truth, (31, 31), 5), truth)
    for name, pixels in (("truth.png", truth), ("filled.png", fill), ("mask.png", hole)):
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (shown,) = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert run("metrics", "truth.png", "filled.png", "--mask", "mask.png").out == shown


def test_the_page_shows_options_that_exist_and_python_that_runs():
    page = PAGE.read_text(encoding="utf-8")
    application = typer.Typer(add_completion=False)
    application.command()(verb.command)
    known = {option for parameter in typer.main.get_command(application).params for option in parameter.opts}
    commands = re.findall(r"^inpaintkit metrics (.*)$", page, re.MULTILINE)
    assert commands
    assert {word for line in commands for word in line.split() if word.startswith("-")} <= known
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict = {}
    exec(compile(example, "metrics.md", "exec"), names)
    assert names["truth"].shape == (200, 240, 3)
