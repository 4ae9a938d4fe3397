"""From single scores to what a report states: means with intervals, breakdowns, paired differences, JSON and CSV."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import Metric
from .statistics import AREA_BINS, DEPTH_BINS, Bootstrap, Interval

Scores = Mapping[str, Sequence[Mapping[str, Any]]]
"""By method's label: one dictionary per case, either metric name to value or None, or {"error": text}."""

ABOUT_A_CASE = ("group", "photo", "mask", "hole_ratio", "depth_px", "area_bin", "depth_bin")
DIGITS = 10
"""Significant digits of every number that is computed over photos: beyond them machines may disagree."""


def summary_tables(cases: Sequence[Mapping[str, Any]], scores: Scores, metrics: Sequence[Metric]) -> dict[str, Any]:
    """`tables`, `by_area`, `by_depth` and `differences` of a report, from its `cases` and `scores`.

    Every mean is over photos, each photo counting once, with its bootstrap interval; a method that failed on a photo is
    averaged over the others, and says so in `failed`. Differences are paired: over the photos that both have.
    """
    groups = list(dict.fromkeys(case["group"] for case in cases))
    tables: list[dict[str, Any]] = []
    by_area: list[dict[str, Any]] = []
    by_depth: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for group in groups:
        members = [number for number, case in enumerate(cases) if case["group"] == group]
        truth = _of_truth([cases[number].get("truth") or {} for number in members], metrics)
        tables.append({"group": group, "rows": _rows(members, scores, metrics), "truth": truth})
        for into, key, bins in ((by_area, "area_bin", AREA_BINS), (by_depth, "depth_bin", DEPTH_BINS)):
            for name in bins:
                inside = [number for number in members if cases[number][key] == name]
                if inside:
                    into.append({"group": group, "bin": name, "rows": _rows(inside, scores, metrics)})
        differences += _differences(group, members, scores, metrics)
    return {"tables": tables, "by_area": by_area, "by_depth": by_depth, "differences": differences}


def _rows(members: Sequence[int], scores: Scores, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """One row per method over some cases."""
    names = [metric.name for metric in metrics]
    values = np.stack([_values(scores[label], members, names) for label in scores], axis=1)  # photos, methods, metrics
    photos, methods, columns = values.shape
    found = iter(Bootstrap(photos).intervals(values.reshape(photos, methods * columns)))
    rows = []
    for label in scores:
        mine = [scores[label][number] for number in members]
        done = [each for each in mine if "error" not in each]
        rows.append(
            {
                "method": label,
                "photos": len(done),
                "failed": len(mine) - len(done),
                "known_changed": sum(int(each["known_changed"]) for each in done),
                "metrics": {name: _stated(next(found)) for name in names},
                "distribution": {},
            }
        )
    return rows


def _of_truth(photos: Sequence[Mapping[str, Any]], metrics: Sequence[Metric]) -> dict[str, Any]:
    """The photos' own values of the metrics that are read beside them."""
    found = {}
    for metric in metrics:
        values = [photo[metric.name] for photo in photos if photo.get(metric.name) is not None]
        if metric.better == "truth" and values:
            (interval,) = Bootstrap(len(values)).intervals(np.array(values, np.float64)[:, None])
            found[metric.name] = _stated(interval)
    return found


def _values(of: Sequence[Mapping[str, Any]], members: Sequence[int], names: Sequence[str]) -> NDArray[np.float64]:
    """(cases, metrics), NaN where there is none."""
    rows = [[of[number].get(name) for name in names] for number in members]
    return np.array([[math.nan if value is None else value for value in row] for row in rows], np.float64)


def _stated(interval: Interval | None) -> dict[str, float | int] | None:
    """An interval as it is written."""
    if interval is None:
        return None
    numbers = {name: rounded(getattr(interval, name)) for name in ("mean", "low", "high", "median")}
    return {**numbers, "photos": interval.photos}


def rounded(value: float) -> float:
    """A number to as many digits as every machine agrees on."""
    return float(f"{value:.{DIGITS}g}")


def _differences(group: str, members: Sequence[int], scores: Scores, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Every method minus every method before it, photo by photo."""
    labels, names = list(scores), [metric.name for metric in metrics]
    values = {label: _values(scores[label], members, names) for label in labels}
    pairs = [(ours, theirs) for place, ours in enumerate(labels) for theirs in labels[:place]]
    if not pairs:
        return []
    columns = np.concatenate([values[ours] - values[theirs] for ours, theirs in pairs], axis=1)
    found = iter(Bootstrap(len(members)).intervals(columns))
    rows: list[dict[str, Any]] = []
    for ours, theirs in pairs:
        for name in names:
            stated = _stated(next(found))
            if stated is not None:
                stated.pop("median")
                rows.append({"group": group, "metric": name, "method": ours, "reference": theirs, **stated})
    return rows


def disagreement(scores: Sequence[Mapping[str, Any]]) -> float | None:
    """How far the methods are apart on one case: the largest hole L1 less the smallest; of one method alone its own.

    None where fewer than two of several methods have one, or the only method failed.
    """
    found = [each["hole_l1"] for each in scores if each.get("hole_l1") is not None]
    if len(scores) == 1:
        return found[0] if found else None
    return max(found) - min(found) if len(found) > 1 else None


# --- Files -----------------------------------------------------------------------------------------------------------


def as_json(report: Mapping[str, Any]) -> str:
    """A report as text: the same report is the same text. NaN has no place in it."""
    return json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def scores_csv(report: Mapping[str, Any]) -> str:
    """One line per case and method: what the case is, then every metric, changed known pixels and the error."""
    names = [metric["name"] for metric in report["metrics"]]
    lines = [["method", *ABOUT_A_CASE, *names, "known_changed", "error"]]
    for label, of in report["scores"].items():
        for case, each in zip(report["cases"], of, strict=True):
            row = [label, *(case[key] for key in ABOUT_A_CASE), *(each.get(name) for name in names)]
            lines.append([*row, each.get("known_changed"), each.get("error")])
    return _csv(lines)


def costs_csv(costs: Sequence[Mapping[str, Any]]) -> str:
    """One line per method."""
    names = list(dict.fromkeys(name for row in costs for name in row))
    return _csv([names, *([row.get(name) for name in names] for row in costs)])


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [["" if cell is None else _text(cell) for cell in line] for line in lines]
    )
    return text.getvalue()


def _text(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def markdown_table(report: Mapping[str, Any], names: Sequence[str]) -> str:
    """The report's tables in Markdown, one per group: a row per method, a column per metric, mean and interval."""
    metrics = {metric["name"]: metric for metric in report["metrics"]}
    shown = [name for name in names if name in metrics]
    parts = []
    for table in report["tables"]:
        head = ["method", *(metrics[name]["label"] for name in shown), "known changed", "photos"]
        lines = [_row(head), _row(["---"] * len(head))]
        for row in table["rows"]:
            cells = [shown_interval(row["metrics"][name]) for name in shown]
            failed = f" ({row['failed']} failed)" if row["failed"] else ""
            lines.append(_row([f"`{row['method']}`", *cells, str(row["known_changed"]), f"{row['photos']}{failed}"]))
        title = f"**{table['group']}**\n\n" if len(report["tables"]) > 1 else ""
        parts.append(title + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def shown_interval(stated: Mapping[str, float] | None) -> str:
    """A mean with its interval, to the digits that mean something."""
    if stated is None:
        return "-"
    digits = 3 if max(abs(stated["mean"]), abs(stated["high"])) < 2 else 2
    return f"{stated['mean']:.{digits}f} ({stated['low']:.{digits}f} to {stated['high']:.{digits}f})"
