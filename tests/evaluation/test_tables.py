"""From single scores to tables: means, breakdowns, paired differences, and the files they are written to."""

import csv
import io
import json
import math

import numpy as np
import pytest

from inpaintkit.evaluation.metrics import METRICS
from inpaintkit.evaluation.statistics import Bootstrap
from inpaintkit.evaluation.tables import (
    as_json,
    costs_csv,
    disagreement,
    markdown_table,
    rounded,
    scores_csv,
    shown_interval,
    summary_tables,
)

SHOWN = [METRICS["hole_l1"], METRICS["sharpness"]]


def case(group: str, area: str = "0-10 %", depth: str = "4-8 px") -> dict[str, object]:
    return {"group": group, "photo": "p", "mask": "m", "hole_ratio": 0.05, "depth_px": 5.0} | {
        "area_bin": area,
        "depth_bin": depth,
    }


def scores(*values: float | None) -> list[dict[str, object]]:
    return [
        {"error": "it broke"} if value is None else {"hole_l1": value, "sharpness": 1.0, "known_changed": 0}
        for value in values
    ]


CASES = [case("one"), case("one", "10-20 %"), case("one", "10-20 %", "16-32 px"), case("two")]
TWO = {"a": scores(1.0, 2.0, 6.0, 4.0), "b": scores(3.0, None, 5.0, 4.0)}


def test_means_are_over_the_photos_of_a_group() -> None:
    tables = summary_tables(CASES, TWO, SHOWN)["tables"]
    assert [table["group"] for table in tables] == ["one", "two"]
    a, b = tables[0]["rows"]
    assert (a["method"], a["photos"], a["failed"], a["known_changed"]) == ("a", 3, 0, 0)
    assert (b["method"], b["photos"], b["failed"]) == ("b", 2, 1)
    assert a["metrics"]["hole_l1"]["mean"] == 3.0
    assert a["metrics"]["hole_l1"]["median"] == 2.0
    assert b["metrics"]["hole_l1"]["mean"] == 4.0
    assert b["metrics"]["hole_l1"]["photos"] == 2
    assert 1.0 <= a["metrics"]["hole_l1"]["low"] < 3.0 < a["metrics"]["hole_l1"]["high"] <= 6.0


def test_intervals_are_those_of_the_bootstrap() -> None:
    (row, _), _ = (table["rows"] for table in summary_tables(CASES, TWO, SHOWN)["tables"])
    (expected,) = Bootstrap(3).intervals(np.array([[1.0], [2.0], [6.0]]))
    assert expected is not None
    assert row["metrics"]["hole_l1"]["low"] == rounded(expected.low)
    assert row["metrics"]["hole_l1"]["high"] == rounded(expected.high)


def test_breakdowns_hold_the_photos_of_their_bin() -> None:
    tables = summary_tables(CASES, TWO, SHOWN)
    by_area = {(each["group"], each["bin"]): each["rows"] for each in tables["by_area"]}
    assert list(by_area) == [("one", "0-10 %"), ("one", "10-20 %"), ("two", "0-10 %")]
    assert by_area["one", "10-20 %"][0]["metrics"]["hole_l1"]["mean"] == 4.0
    assert by_area["one", "10-20 %"][1]["photos"] == 1
    by_depth = {(each["group"], each["bin"]): each["rows"] for each in tables["by_depth"]}
    assert list(by_depth) == [("one", "4-8 px"), ("one", "16-32 px"), ("two", "4-8 px")]


def test_differences_are_over_the_photos_that_both_have() -> None:
    differences = summary_tables(CASES, TWO, SHOWN)["differences"]
    first = differences[0]
    assert (first["group"], first["metric"], first["method"], first["reference"]) == ("one", "hole_l1", "b", "a")
    assert first["mean"] == pytest.approx((3.0 - 1.0 + 5.0 - 6.0) / 2)
    assert first["photos"] == 2
    assert len(differences) == 4  # two groups, two metrics, one pair


def test_what_nobody_measured_is_no_number() -> None:
    nothing = [{**score, "hole_l1": None} for score in scores(1.0, 1.0, 1.0, 1.0)]
    table = summary_tables(CASES, {"a": nothing}, SHOWN)["tables"][0]
    assert table["rows"][0]["metrics"]["hole_l1"] is None
    assert table["rows"][0]["metrics"]["sharpness"]["mean"] == 1.0


def test_a_method_that_failed_everywhere_has_a_row() -> None:
    table = summary_tables(CASES, {"a": scores(None, None, None, None)}, SHOWN)["tables"][0]
    assert table["rows"][0] | {"metrics": {}} == {
        "method": "a",
        "photos": 0,
        "failed": 3,
        "known_changed": 0,
        "metrics": {},
        "distribution": {},
    }
    assert set(table["rows"][0]["metrics"].values()) == {None}


def test_disagreement_is_the_spread_of_the_methods() -> None:
    assert disagreement([*scores(1.0, 4.5, None, 2.0)]) == 3.5
    assert disagreement(scores(1.0, None)) is None
    assert disagreement(scores(2.5)) == 2.5  # of one method alone its own
    assert disagreement(scores(None)) is None


def test_numbers_have_the_digits_that_machines_agree_on() -> None:
    assert rounded(1 / 3) == 0.3333333333
    assert rounded(math.pi * 1e6) == 3141592.654
    assert shown_interval({"mean": 7.456, "low": 7.0, "high": 7.9}) == "7.46 (7.00 to 7.90)"
    assert shown_interval({"mean": 0.1234, "low": 0.1, "high": 0.2}) == "0.123 (0.100 to 0.200)"
    assert shown_interval(None) == "-"


def _report() -> dict[str, object]:
    cases = [{**CASES[0], "photo": "=SUM(A1)"}, *CASES[1:]]
    metrics = [{"name": metric.name, "label": metric.label} for metric in SHOWN]
    return {"cases": cases, "scores": TWO, "metrics": metrics, **summary_tables(cases, TWO, SHOWN)}


def test_the_csv_has_a_line_for_every_case_and_method() -> None:
    rows = list(csv.DictReader(io.StringIO(scores_csv(_report()))))
    assert len(rows) == 8
    assert [row["hole_l1"] for row in rows] == ["1.0", "2.0", "6.0", "4.0", "3.0", "", "5.0", "4.0"]
    assert rows[5]["error"] == "it broke"
    assert rows[0]["photo"] == "'=SUM(A1)"  # no formula for a spreadsheet
    assert rows[1]["area_bin"] == "10-20 %"


def test_the_markdown_has_a_table_for_every_group() -> None:
    text = markdown_table(_report(), ["hole_l1", "not measured"])
    assert text.count("| `a` |") == text.count("| `b` |") == 2
    assert "**one**" in text
    assert "2 (1 failed) |" in text


def test_costs_are_a_table() -> None:
    rows = list(csv.DictReader(io.StringIO(costs_csv([{"label": "a", "macs": None}, {"label": "b", "error": "x"}]))))
    assert rows == [{"label": "a", "macs": "", "error": ""}, {"label": "b", "macs": "", "error": "x"}]


def test_a_report_is_strict_json() -> None:
    assert json.loads(as_json({"é": [1.5, None]})) == {"é": [1.5, None]}
    with pytest.raises(ValueError, match="Out of range"):
        as_json({"x": math.nan})
