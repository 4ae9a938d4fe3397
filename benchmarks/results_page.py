"""Writes the tables of a comparison into a page, between the page's own markers: docs/results.md is kept so.

    python benchmarks/results_page.py REPORT/report.json docs/results.md

The page's text is written by hand; between `<!-- table: NAME -->` and `<!-- end -->` stands what this script makes of
the report. NAME is one of `TABLES`.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from inpaintkit.errors import DataError, InpaintError
from inpaintkit.evaluation.tables import shown_interval

BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
REFERENCE = "ns"
Report = Mapping[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)) + "\n"


def label_of(report: Report, name: str) -> str:
    """What a metric is called, with its unit, and how it is averaged where that is not the plain mean."""
    metric = next(each for each in report["metrics"] if each["name"] == name)
    mean = " (geometric mean)" if metric.get("average") == "geometric" else ""
    return (f"{metric['label']}, {metric['unit']}" if metric["unit"] else str(metric["label"])) + mean


def measured(report: Report, *names: str) -> list[str]:
    """Those of the metrics that the report has."""
    known = [metric["name"] for metric in report["metrics"]]
    return [name for name in names if name in known]


def holes(report: Report) -> str:
    """What was measured in the holes: means with intervals."""
    names = measured(report, "hole_l1", "hole_psnr", "hole_ssim", "feature_distance", "texture", "sharpness")
    head = ["method", *(label_of(report, name) for name in names), "known pixels changed"]
    rows = [
        [_method(row), *(shown_interval(row["metrics"][name]) for name in names), str(row["known_changed"])]
        for row in report["tables"][0]["rows"]
    ]
    return table(head, rows)


def frames(report: Report) -> str:
    """What was measured on whole frames."""
    names = measured(report, "l1", "psnr", "ssim", "ms_ssim", "total_variation")
    first = report["tables"][0]
    rows = [[_method(row), *(shown_interval(row["metrics"][name]) for name in names)] for row in first["rows"]]
    rows.append(["the photos", *(shown_interval(first["truth"].get(name)) for name in names)])
    return table(["method", *(label_of(report, name) for name in names)], rows)


def breakdown(key: str, name: str) -> Callable[[Report], str]:
    """The table of one metric by bins: a column per bin, a row per method."""

    def made(report: Report) -> str:
        group = report["tables"][0]["group"]
        parts = [part for part in report[key] if part["group"] == group]
        head = ["method", *(f"{part['bin']} ({max(row['photos'] for row in part['rows'])})" for part in parts)]
        rows = []
        for number, row in enumerate(report["tables"][0]["rows"]):
            of = [part["rows"][number]["metrics"][name] for part in parts]
            rows.append([_method(row), *(shown_interval(each) for each in of)])
        return table(head, rows)

    return made


def differences(report: Report) -> str:
    """Every method less Navier-Stokes, photo by photo."""
    names = measured(report, "hole_l1", "hole_psnr", "hole_ssim", "feature_distance")
    found: dict[str, dict[str, str]] = {}
    for each in report["differences"]:
        pair = (each["method"], each["reference"])
        if each["group"] != report["tables"][0]["group"] or REFERENCE not in pair:
            continue
        other = pair[0] if pair[1] == REFERENCE else pair[1]
        sign = 1 if pair[1] == REFERENCE else -1
        ends = [None if each[end] is None else sign * each[end] for end in ("low", "high")[::sign]]
        stated = {"mean": sign * each["mean"], "low": ends[0], "high": ends[1]}
        found.setdefault(other, {})[each["metric"]] = shown_interval(stated)
    labels = [method["label"] for method in report["methods"] if method["label"] in found]
    rows = [[f"`{label}`", *(found[label].get(name, "-") for name in names)] for label in labels]
    return table(["method", *(label_of(report, name) for name in names)], rows)


def costs(report: Report) -> str:
    """Time, memory and size."""
    head = ["method", "ms a fill (middle half)", "to open, s", "peak memory, MB", "parameters, M", "GMAC"]
    rows = []
    for row in report["costs"] or ():
        time = "-"
        if row["seconds_median"] is not None:
            low, high = row["seconds_low"] * 1000, row["seconds_high"] * 1000
            time = f"{row['seconds_median'] * 1000:.0f} ({low:.0f} to {high:.0f})"
        rows.append(
            [
                f"`{row['label']}`",
                time,
                _number(row["seconds_to_open"], 1, ".1f"),
                _number(row["peak_mb"], 1, ".0f"),
                _number(row["parameters"], 1e6, ".2f"),
                _number(row["macs"], 1e9, ".1f"),
            ]
        )
    return table(head, rows)


def conditions(report: Report) -> str:
    """What was measured, on what, and by which command: a list."""
    images, run = report["images"], report["run"]
    group = report["groups"][0]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    machine = run["machine"]
    weights = [f"`{each['label']}` `{each['sha256'][:12]}`" for each in report["methods"] if each["sha256"]]
    lines = [
        f"- {images['count']} photos (SHA-256 of names and contents `{images['sha256'][:12]}`), {group['masks']} masks "
        f"(`{group['sha256'][:12]}`), {report['protocol']['size']} px; {report['protocol']['pairing']}",
        f"- weights: {', '.join(weights)}",
        f"- {run['date'][:10]}, {machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"- inpaintkit {report['inpaintkit']}, {versions}",
        f"- networks that measured: {', '.join(_networks(report)) or 'none'}",
        *(f"- not measured: {each['metric']}: {each['why']}" for each in report["absent"]),
    ]
    return "\n".join(lines) + "\n"


def _networks(report: Report) -> list[str]:
    names = ("feature_distance", "lpips_alexnet", "lpips_vgg16")
    return [metric["label"] for metric in report["metrics"] if metric["name"] in names]


def _method(row: Mapping[str, Any]) -> str:
    failed = f" (failed on {row['failed']})" if row["failed"] else ""
    return f"`{row['method']}`{failed}"


def _number(value: float | None, unit: float, digits: str) -> str:
    return "-" if value is None else format(value / unit, digits)


TABLES: dict[str, Callable[[Report], str]] = {
    "holes": holes,
    "frames": frames,
    "by-area": breakdown("by_area", "hole_psnr"),
    "by-depth": breakdown("by_depth", "hole_psnr"),
    "differences": differences,
    "costs": costs,
    "conditions": conditions,
}
"""What a page may ask for."""


def renewed(page: str, report: Report) -> str:
    """The page with its tables made anew. Raises DataError for a table that is not known, and for a page with none."""

    def block(found: re.Match[str]) -> str:
        if found[2] not in TABLES:
            raise DataError(f"the page asks for a table '{found[2]}', expected one of {', '.join(TABLES)}")
        return f"{found[1]}{TABLES[found[2]](report)}{found[3]}"

    changed, count = BLOCK.subn(block, page)
    if not count:
        raise DataError("the page has no '<!-- table: NAME -->' with an '<!-- end -->' after it: add one")
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Renew one page; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("report", type=Path, help="report.json of a comparison")
    parser.add_argument("page", type=Path, help="a Markdown page with markers")
    given = parser.parse_args(arguments)
    try:
        report = json.loads(given.report.read_text(encoding="utf-8"))
        given.page.write_text(renewed(given.page.read_text(encoding="utf-8"), report), encoding="utf-8")
    except (InpaintError, OSError, ValueError) as error:
        print(f"results_page: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
