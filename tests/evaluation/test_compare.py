"""A whole comparison: the files it leaves, failures, resuming, and the same scores at any number of workers."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from inpaintkit.errors import ModelError, UsageError
from inpaintkit.evaluation import compare as comparing
from inpaintkit.evaluation import scoring
from inpaintkit.evaluation.compare import Settings, compare, failures
from inpaintkit.evaluation.methods import parse_methods
from inpaintkit.evaluation.metrics import METRICS, measure
from inpaintkit.evaluation.perceptual import PerceptualWeights
from inpaintkit.evaluation.protocols import protocol_named
from inpaintkit.evaluation.scoring import read_png

FILES = {"report.html", "report.json", "scores.json", "scores.csv", "journal.jsonl", "fills"}


def settings_of(photos: Path, masks: Path, methods: str = "telea,ns", **more: Any) -> Settings:
    chosen = {"size": 48, "costs": False, "workers": 1} | more
    return Settings(str(photos), {"holes": str(masks)}, tuple(parse_methods(methods)), **chosen)


def divides_by_corner(path: Path, name: str) -> Path:
    """A network of our signature that fills with the image over its corner: no numbers where the corner is black."""
    nodes = [
        helper.make_node("Slice", ["image", "low", "high", "axes"], ["corner"]),
        helper.make_node("Div", ["image", "corner"], ["divided"]),
        helper.make_node("Mul", ["divided", "mask"], ["inside"]),
        helper.make_node("Sub", ["image", "image"], ["nothing"]),
        helper.make_node("Add", ["inside", "nothing"], ["completed"]),
    ]
    constants = [
        helper.make_tensor("low", TensorProto.INT64, [2], [0, 0]),
        helper.make_tensor("high", TensorProto.INT64, [2], [1, 1]),
        helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
    ]
    shape = ["n", 3, "h", "w"]
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 1, "h", "w"]),
    ]
    outputs = [helper.make_tensor_value_info("completed", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"inpaintkit.name": name, "inpaintkit.size_multiple": "1"})
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(model)
    return path


@pytest.mark.usefixtures("in_process")
def test_a_report_holds_what_was_measured(photos: Path, masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = compare(settings_of(photos, masks, rows=5), out)
    assert {path.name for path in out.iterdir()} == FILES
    assert json.loads((out / "report.json").read_text("utf-8")) == report
    assert failures(report) == []
    assert [case["mask"] for case in report["cases"]] == ["0.png", "1.png", "0.png", "1.png", "0.png"]
    assert report["cases"][0]["hole_ratio"] == pytest.approx((8 / 48) ** 2)
    assert report["cases"][1]["area_bin"] == "20-30 %"
    cases = comparing.plan_cases(str(photos), {"holes": str(masks)}, size=48)
    for number, label in enumerate(("telea", "ns")):
        for index in range(5):
            filled = read_png(out / "fills" / f"{index:06d}" / f"{number}.png")
            case = cases[index]
            score = dict(report["scores"][label][index])
            assert score.pop("known_changed") == 0
            expected = measure(case.truth, filled, case.hole)
            assert {name: value for name, value in score.items() if value is not None} == {
                name: value for name, value in expected.items() if np.isfinite(value)
            }
    table = report["tables"][0]["rows"][1]
    mean = np.mean([each["hole_l1"] for each in report["scores"]["ns"]])
    assert table["metrics"]["hole_l1"]["mean"] == pytest.approx(mean, rel=1e-9)
    assert report["metrics"] == [comparing._described(metric) for metric in METRICS.values()]
    assert {each["metric"] for each in report["absent"]} == {"feature distance, texture", "LPIPS", "FID, KID"}


@pytest.mark.usefixtures("in_process")
def test_scores_say_nothing_of_when_and_how(photos: Path, masks: Path, tmp_path: Path) -> None:
    one = compare(settings_of(photos, masks, command="one"), tmp_path / "one")
    two = compare(settings_of(photos, masks, command="two", rows=0), tmp_path / "two")
    for name in ("scores.json", "scores.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (one["run"]["command"], two["run"]["command"]) == ("one", "two")
    assert "run" not in json.loads((tmp_path / "one" / "scores.json").read_text("utf-8"))


def test_scores_do_not_depend_on_the_number_of_workers(photos: Path, masks: Path, tmp_path: Path) -> None:
    given = settings_of(photos, masks, "default,telea", rows=2)
    compare(given, tmp_path / "one")
    compare(replace(given, workers=2), tmp_path / "two")
    for name in ("scores.json", "scores.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    kept = [sorted(path.name for path in (tmp_path / name / "fills").iterdir()) for name in ("one", "two")]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 2


@pytest.mark.usefixtures("in_process")
def test_a_method_that_fails_on_some_photos_leaves_a_hole(photos: Path, masks: Path, tmp_path: Path) -> None:
    dark = np.asarray(Image.open(photos / "c.png")).copy()
    dark[:8, :16] = 0
    Image.fromarray(dark).save(photos / "c.png")
    model = divides_by_corner(tmp_path / "corner.onnx", "corner")
    report = compare(settings_of(photos, masks, f"telea,{model}"), tmp_path / "out")
    errors = [score.get("error") for score in report["scores"]["corner"]]
    assert [error is not None for error in errors] == [False, False, True, False, False]
    assert "no numbers" in errors[2]
    row = report["tables"][0]["rows"][1]
    assert (row["photos"], row["failed"]) == (4, 1)
    assert report["tables"][0]["rows"][0]["photos"] == 5
    (line,) = failures(report)
    assert line.startswith("corner failed on 1 of 5 cases (first: model 'corner' returned values that are no numbers")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "scores.csv").read_text("utf-8"))))
    assert [bool(row["error"]) for row in rows].count(True) == 1
    assert "no numbers" in (tmp_path / "out" / "report.html").read_text("utf-8")


@pytest.mark.usefixtures("in_process")
def test_a_photo_that_cannot_be_read_is_a_failure_of_all(photos: Path, masks: Path, tmp_path: Path) -> None:
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(whole[: len(whole) // 2])
    report = compare(settings_of(photos, masks), tmp_path / "out")
    assert [len(failures(report)), report["cases"][1]["hole_ratio"]] == [1, None]
    assert "b.png" in report["scores"]["ns"][1]["error"]
    assert report["tables"][0]["rows"][0]["photos"] == 4


@pytest.mark.usefixtures("in_process")
def test_changed_known_pixels_are_counted(
    photos: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(method: Any, **options: Any) -> Any:
        def fill(shown: np.ndarray, hole: np.ndarray) -> np.ndarray:
            changed = shown.copy()
            changed[0, 0] ^= 1
            changed[0, 1, 2] ^= 1
            return changed

        return fill

    monkeypatch.setattr(scoring, "open_method", careless)
    report = compare(settings_of(photos, masks, "telea"), tmp_path / "out")
    assert report["tables"][0]["rows"][0]["known_changed"] == 10
    assert failures(report) == ["telea changed known pixels in 5 of 5 cases"]


@pytest.mark.usefixtures("in_process")
def test_a_resumed_run_repeats_nothing(
    photos: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings_of(photos, masks, rows=3)
    compare(given, tmp_path / "whole")
    out = tmp_path / "out"
    compare(given, out)
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (out / "journal.jsonl").write_bytes(
        b"".join(lines[:4]) + lines[4][:20]
    )  # a header, a session, two cases, a torn one
    for name in ("scores.json", "scores.csv", "report.json", "report.html"):
        (out / name).unlink()
    filled = []
    scorer = comparing.score_all
    monkeypatch.setattr(comparing, "score_all", lambda job, todo, workers: filled.extend(todo) or scorer(job, todo, 1))
    compare(given, out, resume=True)
    assert filled == [2, 3, 4]
    for name in ("scores.json", "scores.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    filled.clear()
    compare(given, out, resume=True)
    assert filled == []


@pytest.mark.usefixtures("in_process")
def test_other_settings_cannot_be_resumed(photos: Path, masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compare(settings_of(photos, masks, "telea"), out)
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    for name, changed in (
        ("methods", settings_of(photos, masks, "ns")),
        ("size", settings_of(photos, masks, "telea", size=40)),
        ("photos", settings_of(photos, masks, "telea", limit=3)),
    ):
        with pytest.raises(UsageError, match=f"other {name}"):
            compare(changed, out, resume=True)
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


@pytest.mark.usefixtures("in_process")
def test_a_folder_that_holds_something_is_refused(photos: Path, masks: Path, tmp_path: Path) -> None:
    given = settings_of(photos, masks, "telea")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="not empty"):
        compare(given, tmp_path / "mine")
    with pytest.raises(UsageError, match="is a file"):
        compare(given, tmp_path / "mine" / "letter.txt")
    with pytest.raises(UsageError, match="holds no comparison"):
        compare(given, tmp_path / "mine", resume=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    compare(given, tmp_path / "out")
    with pytest.raises(UsageError, match="--resume"):
        compare(given, tmp_path / "out")


@pytest.mark.usefixtures("in_process")
def test_what_others_put_among_the_fills_stays(photos: Path, masks: Path, tmp_path: Path) -> None:
    given = settings_of(photos, masks, rows=5)
    compare(given, tmp_path / "out")
    for folder in (tmp_path / "out" / "fills").iterdir():
        (folder / "notes.txt").write_text("mine")
    compare(given, tmp_path / "out", resume=True)
    lines = (tmp_path / "out" / "journal.jsonl").read_text().splitlines()
    assert sum('"scores"' in line for line in lines) == 5
    assert len(list((tmp_path / "out" / "fills").glob("*/notes.txt"))) == 5


@pytest.mark.usefixtures("in_process")
def test_the_removal_set_is_named_by_what_it_shows(photos: Path, tmp_path: Path) -> None:
    digests = []
    for seed in (0, 0, 1):
        given = Settings(str(photos), {"objects": "removal"}, tuple(parse_methods("telea")), 64, seed=seed, costs=False)
        digests.append(compare(given, tmp_path / f"out{len(digests)}")["groups"][0]["sha256"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.usefixtures("in_process")
def test_fills_are_kept_where_they_are_shown(photos: Path, masks: Path, tmp_path: Path) -> None:
    compare(settings_of(photos, masks, rows=2), tmp_path / "two")
    assert len(list((tmp_path / "two" / "fills").iterdir())) == 2
    compare(settings_of(photos, masks, rows=2, keep_fills=True), tmp_path / "all")
    assert len(list((tmp_path / "all" / "fills").iterdir())) == 5
    report = compare(settings_of(photos, masks, rows=2, study=True), tmp_path / "study")
    assert len(list((tmp_path / "study" / "fills").iterdir())) == 5
    assert {"study.html", "study-key.json"} <= {path.name for path in (tmp_path / "study").iterdir()}
    spread = [abs(report["scores"]["telea"][i]["hole_l1"] - report["scores"]["ns"][i]["hole_l1"]) for i in range(5)]
    assert f"{int(np.argmax(spread)):06d}" in {path.name for path in (tmp_path / "two" / "fills").iterdir()}


@pytest.mark.usefixtures("in_process")
def test_pictures_that_are_gone_are_filled_again(photos: Path, masks: Path, tmp_path: Path) -> None:
    given = settings_of(photos, masks, rows=3, study=True)
    compare(given, tmp_path / "out")
    pages = {name: (tmp_path / "out" / name).read_bytes() for name in ("study.html", "scores.json")}
    shutil.rmtree(tmp_path / "out" / "fills" / "000001")
    (tmp_path / "out" / "fills" / "000002" / "0.png").write_bytes(b"cut")
    compare(given, tmp_path / "out", resume=True)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in pages} == pages
    assert read_png(tmp_path / "out" / "fills" / "000002" / "0.png") is not None


@pytest.mark.usefixtures("in_process")
def test_the_article_protocol_has_two_rows_of_masks(photos: Path, tmp_path: Path) -> None:
    protocol = protocol_named("article")
    given = Settings(
        str(photos),
        protocol.groups,
        tuple(parse_methods("telea")),
        size=protocol.size,
        protocol=protocol,
        limit=2,
        costs=False,
        rows=1,
    )
    report = compare(given, tmp_path / "out")
    assert [table["group"] for table in report["tables"]] == ["centre 128", "random 128"]
    assert [case["hole_ratio"] for case in report["cases"]] == [0.25] * 4
    assert report["headline"] == ["psnr", "ssim"]
    row = report["tables"][0]["rows"][0]["metrics"]
    assert row["psnr"]["mean"] - row["hole_psnr"]["mean"] == pytest.approx(10 * np.log10(4), abs=1e-6)


@pytest.mark.usefixtures("in_process")
def test_networks_that_measure_have_columns(photos: Path, masks: Path, tmp_path: Path) -> None:
    report = compare(
        settings_of(photos, masks, "telea", perceptual=PerceptualWeights(features="own"), limit=2), tmp_path / "out"
    )
    names = [metric["name"] for metric in report["metrics"]]
    assert names[-2:] == ["feature_distance", "texture"]
    assert "VGG19" in report["metrics"][-2]["label"]
    assert report["scores"]["telea"][1]["feature_distance"] > 0
    assert report["headline"][-1] == "feature_distance"
    assert {each["metric"] for each in report["absent"]} == {"LPIPS", "FID, KID"}


def test_a_method_that_cannot_be_opened_stops_the_run(photos: Path, masks: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.onnx"
    file.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        compare(settings_of(photos, masks, str(file)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_run_goes_on(photos: Path, masks: Path, tmp_path: Path) -> None:
    for number in range(40):
        shutil.copy(photos / f"{'abcde'[number % 5]}.png", photos / f"more-{number:02d}.png")
    words = [sys.executable, "-m", "inpaintkit", "compare", "--images", str(photos), "--masks", str(masks)]
    words += ["--methods", "biharmonic,ns", "--size", "128", "--no-costs", "--rows", "2", "--workers", "2"]
    journal = tmp_path / "out" / "journal.jsonl"
    with subprocess.Popen([*words, "--out", str(tmp_path / "out")], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 6):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    done = journal.read_bytes().count(b'"scores"')
    assert 1 <= done < 45
    assert not (tmp_path / "out" / "scores.json").exists()
    subprocess.run([*words, "--out", str(tmp_path / "out"), "--resume"], check=True, stdout=subprocess.DEVNULL)
    assert journal.read_bytes().count(b'"scores"') == 45  # nothing was measured twice
    subprocess.run([*words, "--out", str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    for name in ("scores.json", "scores.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
