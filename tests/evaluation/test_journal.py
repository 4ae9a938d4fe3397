"""What a comparison has measured so far, kept line by line."""

import json
from pathlib import Path

import pytest

from inpaintkit.errors import DataError, UsageError
from inpaintkit.evaluation.journal import Journal

SETTINGS = {"size": 64, "masks": [["a", "0"]]}


def _fill(path: Path, *numbers: int, resume: bool = False) -> None:
    with Journal(path, SETTINGS, resume=resume) as journal:
        for number in numbers:
            journal.append({"case": number, "at": number + 0.5})


def test_records_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path, 0, 2)
    with Journal(path, SETTINGS, resume=True) as journal:
        assert sorted(journal.records) == [0, 2]
        journal.append({"case": 1, "at": 1.0})
        assert journal.seconds == 2.5 + 1.0
    with Journal(path, SETTINGS, resume=True) as journal:
        assert sorted(journal.records) == [0, 1, 2]
        assert journal.seconds == 3.5


def test_every_record_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, SETTINGS, resume=False) as journal:
        journal.append({"case": 7, "at": 0.1})
        assert json.loads(path.read_text().splitlines()[-1])["case"] == 7


@pytest.mark.parametrize(("cut", "left"), [(1, [0, 1]), (2, [0]), (20, [0]), (30, [])])
def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path, cut: int, left: list[int]) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path, 0, 1)
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, SETTINGS, resume=True) as journal:
        assert sorted(journal.records) == left
        journal.append({"case": 1, "at": 1.0})
    with Journal(path, SETTINGS, resume=True) as journal:
        assert sorted(journal.records) == sorted({*left, 1})


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path, 0)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"other size:.*another --out"):
        Journal(path, {**SETTINGS, "size": 32}, resume=True)
    assert path.read_bytes() == before


def test_a_journal_without_its_settings_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path, 0, 1)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match="damaged"):
        Journal(path, SETTINGS, resume=True)


def test_without_resuming_it_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path, 0)
    with Journal(path, {"size": 1}, resume=False) as journal:
        assert journal.records == {}


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        Journal(tmp_path / "gone" / "journal.jsonl", SETTINGS, resume=False)
