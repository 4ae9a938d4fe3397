"""Which fills are kept: the same ones in whatever order cases are done."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inpaintkit.evaluation.cases import Cases, Group
from inpaintkit.evaluation.gallery import Gallery
from inpaintkit.evaluation.scoring import picture_file

LABELS = ["a", "b"]


def record(index: int, apart: float | None, area: str = "0-10 %") -> dict[str, Any]:
    second = {"error": "no"} if apart is None else {"hole_l1": apart}
    return {"case": index, "about": {"area_bin": area}, "scores": [{"hole_l1": 0.0}, second]}


def shown(folder: Path, records: list[dict[str, Any]], rows: int, **more: Any) -> tuple[list[int], set[int]]:
    """The cases of the page, and those whose fills are on disk, when cases are done in this order."""
    from inpaintkit.data.photos import PhotoFile

    count = len(records)
    files = [PhotoFile(f"{number}.png", Path("gone")) for number in range(count)]
    cases = Cases(files, [Group("g", tuple(files))], 64, entries=[(0, number, number) for number in range(count)])
    gallery = Gallery(cases, folder, LABELS, rows=rows, **more)
    for each in records:
        file = picture_file(folder, each["case"], 0)
        file.parent.mkdir(parents=True)
        file.write_bytes(b"")
        gallery.offer(each)
    return gallery.rows(), {int(path.name) for path in (folder / "fills").iterdir()}


def test_half_are_those_that_methods_disagree_on_most(tmp_path: Path) -> None:
    rows, kept = shown(tmp_path, [record(number, float(number % 50)) for number in range(50)], 6)
    assert rows[:3] == [49, 48, 47]
    assert len(rows) == 6
    assert set(rows) <= kept
    assert len(kept) < 20


def test_the_order_in_which_cases_are_done_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    areas = ("0-10 %", "10-20 %", "50-60 %")
    apart = [None if number % 17 == 5 else float(value) for number, value in enumerate(rng.random(60))]
    records = [record(number, apart[number], areas[number % 3]) for number in range(60)]
    first = shown(tmp_path / "one", records, 9)
    for turn in range(3):
        mixed = [records[place] for place in rng.permutation(60)]
        assert shown(tmp_path / f"turn{turn}", mixed, 9) == first
    assert set(first[0]) <= first[1]


def test_every_bin_and_a_failure_are_seen(tmp_path: Path) -> None:
    records = [record(number, 10.0 - number, "0-10 %") for number in range(8)]
    records += [record(8, 0.1, "10-20 %"), record(9, 0.1, "20-30 %"), record(10, None, "0-10 %")]
    rows, _ = shown(tmp_path, records, 6)
    assert {8, 9, 10} <= set(rows)
    assert rows[0] == 0


@pytest.mark.parametrize("rows", [0, 1, 5, 99])
def test_as_many_are_shown_as_asked_for(tmp_path: Path, rows: int) -> None:
    found, kept = shown(tmp_path, [record(number, 1.0) for number in range(7)], rows)
    assert len(found) == len(set(found)) == min(rows, 7)
    assert set(found) <= kept


def test_all_are_kept_where_asked_for(tmp_path: Path) -> None:
    assert shown(tmp_path, [record(number, 1.0) for number in range(7)], 1, keep=True)[1] == set(range(7))


def test_the_fills_of_a_study_are_kept(tmp_path: Path) -> None:
    assert shown(tmp_path, [record(number, 1.0) for number in range(7)], 1, study=True)[1] == set(range(7))
