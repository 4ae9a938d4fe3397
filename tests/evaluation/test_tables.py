"""From single scores to tables: means, breakdowns, paired differences, and the files they are written to."""

import csv
import io
import json
import math

import numpy as np
import pytest

from inpaintkit.evaluation.metrics import METRICS
from inpaintkit.evaluation.statistics import Bootstrap, rounded
from inpaintkit.evaluation.tables import (
    as_json,
    costs_csv,
    markdown_table,
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
    assert (a["metrics"]["hole_l1"]["low"], a["metrics"]["hole_l1"]["high"]) == (None, None)  # of three photos


MANY = [1.0, 2.0, 6.0, 3.5] * 3


def many(**values: list[float | None]) -> list[dict[str, object]]:
    """Scores of one method on twelve photos."""
    return [dict(zip(values, row, strict=True)) | {"known_changed": 0} for row in zip(*values.values(), strict=True)]


def test_intervals_are_those_of_the_bootstrap() -> None:
    scored = {"a": many(hole_l1=MANY)}
    (table,) = summary_tables([case("one")] * 12, scored, SHOWN[:1])["tables"]
    (expected,) = Bootstrap(12).intervals(np.array(MANY)[:, None])
    assert expected is not None
    assert expected.low is not None
    assert expected.high is not None
    stated = table["rows"][0]["metrics"]["hole_l1"]
    assert (stated["low"], stated["high"]) == (rounded(expected.low), rounded(expected.high))


def test_sharpness_is_averaged_in_logarithms() -> None:
    """One nearly flat photo of twelve, on which a fill has 400 times its detail, does not decide."""
    ratios: list[float | None] = [0.5, 0.125] * 5 + [0.25, 400.0]
    (table,) = summary_tables([case("one")] * 12, {"a": many(sharpness=ratios)}, SHOWN[1:])["tables"]
    stated = table["rows"][0]["metrics"]["sharpness"]
    assert stated["mean"] == pytest.approx(math.exp(sum(math.log(each) for each in ratios if each) / 12))
    assert stated["median"] == 0.375
    (logs,) = Bootstrap(12).intervals(np.log(np.array(ratios, float))[:, None])
    assert logs is not None
    assert logs.low is not None
    assert stated["low"] == pytest.approx(math.exp(logs.low))
    assert 0 < stated["low"] < stated["mean"] < stated["high"]
    flat = summary_tables([case("one")] * 3, {"a": many(sharpness=[1.0, 0.0, 1.0])}, SHOWN[1:])["tables"][0]
    assert flat["rows"][0]["metrics"]["sharpness"]["mean"] == pytest.approx(0.1)  # the flat fill counts as 0.001


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
    assert (first["photos"], first["low"], first["high"]) == (2, None, None)
    assert len(differences) == 4  # two groups, two metrics, one pair


def test_differences_of_what_has_a_goal_are_those_of_the_distances_to_it() -> None:
    """The method that is nearer has the smaller number: a half is as far from 1 as twice, 5 as far from 4 as 3."""
    cases = [case("one") | {"truth": {"total_variation": own}} for own in (4.0, 4.0, None)]
    scored = {
        "a": many(hole_l1=[1.0, 1.0, 1.0], sharpness=[0.5, 2.0, None], total_variation=[3.0, 7.0, 1.0]),
        "b": many(hole_l1=[2.0, 3.0, 4.0], sharpness=[2.0, 0.0, 1.0], total_variation=[5.0, 4.0, 1.0]),
    }
    metrics = [METRICS[name] for name in ("hole_l1", "hole_psnr", "sharpness", "total_variation")]
    found = {each["metric"]: each for each in summary_tables(cases, scored, metrics)["differences"]}
    assert {name: each["of"] for name, each in found.items()} == {
        "hole_l1": "value",
        "sharpness": "distance to 1",
        "total_variation": "distance to the photo's own",
    }
    assert found["hole_l1"]["mean"] == 2.0
    assert found["sharpness"]["mean"] == pytest.approx((0 + math.log(1000) - math.log(2)) / 2)
    assert found["sharpness"]["photos"] == 2
    assert found["total_variation"]["mean"] == (0 - 3) / 2
    assert found["total_variation"]["photos"] == 2  # of the third the photo's own value is not known


def test_pairing_takes_out_what_the_photos_share() -> None:
    easy, noise = np.random.default_rng(1).standard_normal((2, 80))
    ours, theirs = (easy * 10 + 30 + 0.5 + noise / 10).tolist(), (easy * 10 + 30).tolist()
    tables = summary_tables([case("one")] * 80, {"a": many(hole_l1=theirs), "b": many(hole_l1=ours)}, SHOWN[:1])
    (difference,) = tables["differences"]
    assert 0.4 < difference["low"] < 0.5 < difference["high"] < 0.6
    alone = tables["tables"][0]["rows"][0]["metrics"]["hole_l1"]
    assert alone["high"] - alone["low"] > 3


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


def test_an_interval_is_shown_or_why_there_is_none() -> None:
    assert shown_interval({"mean": 7.456, "low": 7.0, "high": 7.9}) == "7.46 (7.00 to 7.90)"
    assert shown_interval({"mean": 0.1234, "low": 0.1, "high": 0.2}) == "0.123 (0.100 to 0.200)"
    assert shown_interval({"mean": 7.456, "low": None, "high": None}) == "7.46 (fewer than 10 photos)"
    assert shown_interval(None) == "-"


def _report() -> dict[str, object]:
    cases = [{**CASES[0], "photo": "=SUM(A1)"}, *CASES[1:]]
    metrics = [{"name": metric.name, "label": metric.label, "unit": metric.unit} for metric in SHOWN]
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


def test_the_markdown_has_units_and_distributions_where_there_are_any() -> None:
    report = _report()
    report["metrics"] = [{"name": metric.name, "label": metric.label, "unit": metric.unit} for metric in SHOWN]
    report["tables"][0]["rows"][0]["distribution"] = {"kid": {"mean": 0.01234, "std": 0.001}, "photos": 21}
    first, second = markdown_table(report, ["hole_l1", "sharpness"]).split("**two**")
    assert "| method | hole L1, % | sharpness | KID | known changed | photos |" in first
    assert "| 0.01234 \u00b1 0.001 |" in first
    assert "KID" not in second
