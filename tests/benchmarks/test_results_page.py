"""The tables of the results page, from a small report."""

import json
from pathlib import Path
from typing import Any

import pytest

import results_page

PROJECT = Path(__file__).resolve().parents[2]


def stated(mean: float, **more: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 1, "high": mean + 2, "median": mean + 0.5, "photos": 4, **more}


def row(method: str, value: float, failed: int = 0) -> dict[str, Any]:
    names = ("hole_l1", "hole_psnr", "sharpness", "psnr", "total_variation")
    metrics = {name: stated(value + number) for number, name in enumerate(names)}
    return {"method": method, "photos": 4, "failed": failed, "known_changed": 0, "metrics": metrics}


@pytest.fixture
def report() -> dict[str, Any]:
    rows = [row("mine", 5.0, failed=1), row("ns", 8.0)]
    metric = {"hole_l1": "%", "hole_psnr": "dB", "sharpness": "", "psnr": "dB", "total_variation": "%"}
    averages = {"sharpness": "geometric"}
    return {
        "metrics": [
            {"name": name, "label": name, "unit": unit, "average": averages.get(name, "arithmetic")}
            for name, unit in metric.items()
        ],
        "methods": [{"label": "mine", "sha256": "a" * 64}, {"label": "ns", "sha256": None}],
        "tables": [{"group": "g", "rows": rows, "truth": {"total_variation": stated(7.0)}}],
        "by_area": [{"group": "g", "bin": "0-10 %", "rows": rows}, {"group": "other", "bin": "x", "rows": rows}],
        "by_depth": [
            {
                "group": "g",
                "bin": "4-8 px",
                "rows": [row("mine", 1.0), {**row("ns", 0.0), "metrics": {"hole_psnr": None}}],
            }
        ],
        "differences": [
            {
                "group": "g",
                "metric": "hole_l1",
                "method": "ns",
                "reference": "mine",
                "mean": 3.0,
                "low": 1.0,
                "high": 4.0,
            }
        ],
        "costs": [
            {
                "label": "mine",
                "seconds_median": 0.25,
                "seconds_low": 0.2,
                "seconds_high": 0.3,
                "seconds_to_open": 1.25,
                "peak_mb": 300.4,
                "parameters": 5_660_000,
                "macs": 6.8e9,
            },
            {
                "label": "ns",
                "seconds_median": None,
                "seconds_low": None,
                "seconds_high": None,
                "seconds_to_open": None,
                "peak_mb": None,
                "parameters": None,
                "macs": None,
            },
        ],
        "images": {"count": 5, "sha256": "b" * 64},
        "groups": [{"masks": 3, "sha256": "c" * 64}],
        "protocol": {"size": 256, "pairing": "photo i with mask i"},
        "inpaintkit": "1.2.3",
        "absent": [{"metric": "LPIPS", "why": "no weights"}],
        "run": {
            "date": "2026-01-02T03:04:05",
            "versions": {"numpy": "2"},
            "machine": {"processor": "P", "cores": 2, "system": "S"},
        },
    }


def test_every_table_is_made_between_its_markers(report: dict[str, Any]) -> None:
    names = list(results_page.TABLES)
    page = "top\n" + "".join(f"<!-- table: {name} -->\nold\n<!-- end -->\nmore\n" for name in names)
    made = results_page.renewed(page, report)
    assert "old" not in made
    assert (made.startswith("top\n"), made.count("more\n")) == (True, len(names))
    assert results_page.renewed(made, report) == made


def test_tables_state_what_the_report_holds(report: dict[str, Any]) -> None:
    holes = results_page.holes(report).splitlines()
    assert holes[0] == "| method | hole_l1, % | hole_psnr, dB | sharpness (geometric mean) | known pixels changed |"
    assert holes[2] == "| `mine` (failed on 1) | 5.00 (4.00 to 7.00) | 6.00 (5.00 to 8.00) | 7.00 (6.00 to 9.00) | 0 |"
    assert "| the photos | - | 7.00 (6.00 to 9.00) |" in results_page.frames(report)
    assert results_page.breakdown("by_area", "hole_psnr")(report).splitlines()[2:] == [
        "| `mine` (failed on 1) | 6.00 (5.00 to 8.00) |",
        "| `ns` | 9.00 (8.00 to 11.00) |",
    ]
    assert results_page.breakdown("by_depth", "hole_psnr")(report).splitlines()[3] == "| `ns` | - |"
    assert "| `mine` | 250 (200 to 300) | 1.2 | 300 | 5.66 | 6.8 |" in results_page.costs(report)
    assert "| `ns` | - | - | - | - | - |" in results_page.costs(report)
    text = results_page.conditions(report)
    assert all(part in text for part in ("5 photos", "bbbbbbbbbbbb", "`mine` `aaaaaaaaaaaa`", "numpy 2", "no weights"))


def test_differences_are_less_the_reference(report: dict[str, Any]) -> None:
    assert "| `mine` | -3.00 (-4.00 to -1.00) | - |" in results_page.differences(report)
    turned = {"method": "mine", "reference": "ns"}
    report["differences"][0] |= turned
    assert "| `mine` | 3.00 (1.00 to 4.00) | - |" in results_page.differences(report)


def test_what_has_no_interval_says_why(report: dict[str, Any]) -> None:
    report["differences"][0] |= {"low": None, "high": None}
    assert "| `mine` | -3.00 (fewer than 10 photos) | - |" in results_page.differences(report)
    report["tables"][0]["rows"][1]["metrics"]["hole_l1"] |= {"low": None, "high": None}
    assert "| `ns` | 8.00 (fewer than 10 photos) | 9.00 (8.00 to 11.00) |" in results_page.holes(report)


def test_pages_that_ask_for_nothing_known_are_refused(
    report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report))
    page = tmp_path / "page.md"
    for text, told in (("<!-- table: gone -->\n<!-- end -->", "'gone'"), ("nothing", "has no")):
        page.write_text(text)
        assert results_page.main([str(tmp_path / "report.json"), str(page)]) == 1
        assert told in capsys.readouterr().err
        assert page.read_text() == text


def test_the_results_page_asks_for_every_table() -> None:
    page = (PROJECT / "docs" / "results.md").read_text("utf-8")
    assert {name for _, name, _ in results_page.BLOCK.findall(page)} == set(results_page.TABLES)
