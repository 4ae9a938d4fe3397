"""`inpaintkit compare`: what it prints, what it writes, and what it refuses before it starts."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inpaintkit.cli import main
from inpaintkit.evaluation import compare as comparing
from inpaintkit.evaluation.scoring import Job, Scorer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three photos in photos/, one mask in masks/; cases are measured in this process."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(60, 200, (40, 48, 3), np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 12:28] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "m.png")

    def here(job: Job, indices: Sequence[int], workers: int) -> Iterator[dict[str, Any]]:
        yield from map(Scorer(job), indices)

    monkeypatch.setattr(comparing, "score_all", here)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PLAIN = ["compare", "--images", "photos", "--masks", "masks", "--methods", "telea,ns", "--size", "40", "--no-costs"]


def test_it_prints_a_table_and_says_where_the_report_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PLAIN, "--out", "report"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0].startswith("| method | hole L1")
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| `telea`", "| `ns`"]
    assert "not measured: LPIPS: no weights were given" in printed.out
    assert lines[-1] == "report: report.html, report.json, scores.json, scores.csv"
    assert all((folder / "report" / name).is_file() for name in lines[-1].partition(": ")[2].split(", "))


def test_json_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PLAIN, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["out"] == "comparison"
    report = json.loads((folder / "comparison" / "report.json").read_text("utf-8"))
    assert told["tables"] == report["tables"]
    assert told["costs"] is None


def test_costs_are_measured_unless_told_otherwise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word for word in PLAIN if word != "--no-costs"] + ["--out", "report"]) == 0
    costs = json.loads((folder / "report" / "costs.json").read_text("utf-8"))["costs"]
    assert [row["label"] for row in costs] == ["telea", "ns"]
    assert all(row["seconds_median"] > 0 and row["error"] is None for row in costs)
    assert "costs.csv" in capsys.readouterr().out


def test_photos_left_out_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(folder / "masks" / "n.png")
    assert main(PLAIN) == 0
    assert "masks: 1 photo left out" in capsys.readouterr().out


def test_failures_are_told_and_the_report_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (folder / "photos" / "b.png").read_bytes()
    (folder / "photos" / "b.png").write_bytes(data[: len(data) // 2])
    assert main([*PLAIN, "--out", "report"]) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("inpaintkit: 1 of 3 cases cannot be read (first: cannot read 'b.png'")
    assert "2 (1 failed)" in printed.out
    assert (folder / "report" / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["compare"], "--images is missing"),
        (["compare", "--images", "photos"], "--masks is missing"),
        (["compare", "--images", "photos", "--masks", ","], "--masks names nothing"),
        (["compare", "--images", "photos", "--masks", "masks", "--protocol", "article"], "leave out --masks"),
        (["compare", "--images", "photos", "--protocol", "article", "--size", "64"], "leave out --size"),
        (["compare", "--images", "photos", "--protocol", "artikel"], "did you mean 'article'"),
        ([*PLAIN, "--size", "8"], "expected pixels from 16"),
        ([*PLAIN, "--size", "big"], "or original"),
        ([*PLAIN, "--methods", "telea,telea"], "'telea' 2 times"),
        ([*PLAIN, "--methods", "nothing"], "unknown model 'nothing'"),
        ([*PLAIN, "--methods", "default", "--engine", "tensorflow"], "unknown engine 'tensorflow'"),
        ([*PLAIN, "--masks", "lama_tihck_256"], "lama_thick_256"),
        ([*PLAIN, "--workers", "0"], "--workers"),
        ([*PLAIN, "--out", "masks"], "not empty"),
        ([*PLAIN, "--out", "photos/report"], "among the photos"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main([*words]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (folder / "comparison").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*PLAIN, "--images", "gone"], "no such file or folder"),
        ([*PLAIN, "--size", "original"], "expected 40 x 48, the photo"),
        ([*PLAIN, "--features", "gone.pth"], "no such file"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main([*words]) == 1
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert not (folder / "comparison").exists()


def test_a_study_is_written_and_its_answers_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PLAIN, "--study", "--seed", "3", "--out", "report"]) == 0
    assert "study.html, study-key.json" in capsys.readouterr().out
    key = json.loads((folder / "report" / "study-key.json").read_text("utf-8"))
    answers = ["real" if entry["method"] is None else [20, 20] for entry in key["photos"]]  # the hole is in the middle
    filled = sum(answer != "real" for answer in answers)
    assert 0 < filled < 3
    said = {"schema": key["schema"], "study": key["study"], "judge": "Anna", "answers": answers}
    (folder / "anna.json").write_text(json.dumps(said), encoding="utf-8")
    (folder / "ben.json").write_text(json.dumps({**said, "judge": "Ben", "answers": [[0, 0]] * 3}), encoding="utf-8")
    assert main(["compare", "--out", "report", "--answers", "anna.json,ben.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(of["hits"]["count"] for of in found["methods"].values()) == filled
    assert sum(of["elsewhere"]["count"] for of in found["methods"].values()) == filled
    assert found["real"]["false_alarms"]["count"] == 3 - filled
    assert main(["compare", "--out", "report", "--answers", "anna.json"]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0] == "| shown | answers | hits | hits by chance | called filled | sensitivity |"
    cells = lines[2].strip("| ").split(" | ")
    assert cells[0] in ("`telea`", "`ns`")
    # Inside the hole of 16 x 20, or up to 0.8 px beside it, lie 23.7 % of 40 x 40.
    assert [cell.split(" (")[0] for cell in cells[2:]] == ["100 %", "23.7 %", "100 %", "100 %"]
    untouched = next(line for line in lines if "untouched photos |" in line).strip("| ").split(" | ")
    assert untouched[1] == str(3 - filled)
    assert untouched[2:4] == ["-", "-"]
    assert untouched[4].startswith("0 % (0 to ")
    assert "1 judge, 3 answers" in printed
    assert found["reading"] in lines
    only_filled = [None if answer == "real" else answer for answer in answers]
    for given, sensitivity in (([[0, 0]] * 3, "0 % (-"), (only_filled, "-")):
        (folder / "ben.json").write_text(json.dumps({**said, "answers": given}), encoding="utf-8")
        assert main(["compare", "--out", "report", "--answers", "ben.json"]) == 0
        assert capsys.readouterr().out.splitlines()[2].strip("| ").split(" | ")[5].startswith(sensitivity)
    assert main(["compare", "--out", "report", "--answers", "gone.json"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
