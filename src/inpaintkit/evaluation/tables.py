"""From single scores to what a report states: means with intervals, breakdowns, paired differences, JSON and CSV."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import LEAST_AVERAGED, Metric, distance_from_one
from .statistics import AREA_BINS, DEPTH_BINS, FEWEST_FOR_INTERVAL, Bootstrap, Interval, rounded

Scores = Mapping[str, Sequence[Mapping[str, Any]]]
"""By method's label: one dictionary per case, either metric name to value or None, or {"error": text}."""

ABOUT_A_CASE = ("group", "photo", "mask", "hole_ratio", "depth_px", "area_bin", "depth_bin")
TOO_FEW = f"fewer than {FEWEST_FOR_INTERVAL} photos"
"""Why a mean stands without its interval."""

OF_DIFFERENCES = {
    "lower": "value",
    "higher": "value",
    "one": "distance to 1",
    "truth": "distance to the photo's own",
}
"""`Metric.better` to what is subtracted in paired differences: where no value is better than every other, distances."""


def summary_tables(cases: Sequence[Mapping[str, Any]], scores: Scores, metrics: Sequence[Metric]) -> dict[str, Any]:
    """`tables`, `by_area`, `by_depth` and `differences` of a report, from its `cases` and `scores`.

    Every mean is over photos, each photo counting once, with its bootstrap interval (`low` and `high` are None for
    fewer photos than `FEWEST_FOR_INTERVAL`); a method that failed on a photo is averaged over the others, and says so
    in `failed`. Differences are paired: over the photos that both have. Their `of` says what is subtracted: the "value"
    itself, or, of metrics for which neither less nor more is better, how far it is from where it should be: the
    "distance to 1" is |ln value|, the "distance to the photo's own" is |value - the photo's own value|.
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
        differences += _differences(group, members, cases, scores, metrics)
    return {"tables": tables, "by_area": by_area, "by_depth": by_depth, "differences": differences}


def _rows(members: Sequence[int], scores: Scores, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """One row per method over some cases."""
    names = [metric.name for metric in metrics]
    values = np.stack([_values(scores[label], members, names) for label in scores], axis=1)  # photos, methods, metrics
    photos, methods, columns = values.shape
    found = iter(_means(values.reshape(photos, methods * columns), list(metrics) * methods))
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
                "metrics": {name: next(found) for name in names},
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
            (found[metric.name],) = _means(np.array(values, np.float64)[:, None], [metric])
    return found


def _means(values: NDArray[np.float64], metrics: Sequence[Metric]) -> list[dict[str, float | int | None] | None]:
    """The mean of each column (photos, columns) with its interval, as the column's metric is averaged."""
    geometric = np.array([metric.average == "geometric" for metric in metrics], np.bool_)
    averaged = values.copy()
    averaged[:, geometric] = np.log(np.maximum(values[:, geometric], LEAST_AVERAGED))
    found = Bootstrap(len(values)).intervals(averaged)
    for number in np.flatnonzero(geometric):
        found[number] = _out_of_logarithms(found[number], values[:, number])
    return [_stated(each) for each in found]


def _out_of_logarithms(of: Interval | None, values: NDArray[np.float64]) -> Interval | None:
    """The geometric mean with its interval; the median is that of the values themselves."""
    if of is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (of.low, of.high))
    return Interval(math.exp(of.mean), low, high, float(np.nanmedian(values)), of.photos)


def _values(of: Sequence[Mapping[str, Any]], members: Sequence[int], names: Sequence[str]) -> NDArray[np.float64]:
    """(cases, metrics), NaN where there is none."""
    rows = [[of[number].get(name) for name in names] for number in members]
    return np.array([[math.nan if value is None else value for value in row] for row in rows], np.float64)


def _stated(interval: Interval | None) -> dict[str, float | int | None] | None:
    """An interval as it is written."""
    if interval is None:
        return None
    found = {name: getattr(interval, name) for name in ("mean", "low", "high", "median")}
    numbers = {name: None if value is None else rounded(value) for name, value in found.items()}
    return {**numbers, "photos": interval.photos}


def _differences(
    group: str,
    members: Sequence[int],
    cases: Sequence[Mapping[str, Any]],
    scores: Scores,
    metrics: Sequence[Metric],
) -> list[dict[str, Any]]:
    """Every method minus every method before it, photo by photo: values, or their distances from where they should be.

    An interval without 0 says that the two differ on such photos.
    """
    labels, names = list(scores), [metric.name for metric in metrics]
    own = _values([case.get("truth") or {} for case in cases], members, names)
    values = {label: _compared(_values(scores[label], members, names), own, metrics) for label in labels}
    pairs = [(ours, theirs) for place, ours in enumerate(labels) for theirs in labels[:place]]
    if not pairs:
        return []
    columns = np.concatenate([values[ours] - values[theirs] for ours, theirs in pairs], axis=1)
    found = iter(Bootstrap(len(members)).intervals(columns))
    rows: list[dict[str, Any]] = []
    for ours, theirs in pairs:
        for metric in metrics:
            stated = _stated(next(found))
            if stated is not None:
                stated.pop("median")
                about = {"group": group, "metric": metric.name, "of": OF_DIFFERENCES[metric.better]}
                rows.append({**about, "method": ours, "reference": theirs, **stated})
    return rows


def _compared(values: NDArray[np.float64], own: NDArray[np.float64], metrics: Sequence[Metric]) -> NDArray[np.float64]:
    """What is subtracted of values (photos, metrics), `OF_DIFFERENCES`; `own` are the photos' own values."""
    compared = values.copy()
    for column, metric in enumerate(metrics):
        if metric.better == "one":
            compared[:, column] = [distance_from_one(each) for each in values[:, column]]
        elif metric.better == "truth":
            compared[:, column] = np.abs(values[:, column] - own[:, column])
    return compared


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
    labels = [f"{metrics[name]['label']}, {metrics[name]['unit']}".removesuffix(", ") for name in shown]
    parts = []
    for table in report["tables"]:
        kinds = [kind for kind in ("fid", "kid") if any(kind in row["distribution"] for row in table["rows"])]
        head = ["method", *labels, *(kind.upper() for kind in kinds), "known changed", "photos"]
        lines = [_row(head), _row(["---"] * len(head))]
        for row in table["rows"]:
            cells = [shown_interval(row["metrics"][name]) for name in shown]
            cells += [_distance(row["distribution"].get(kind)) for kind in kinds]
            failed = f" ({row['failed']} failed)" if row["failed"] else ""
            lines.append(_row([f"`{row['method']}`", *cells, str(row["known_changed"]), f"{row['photos']}{failed}"]))
        title = f"**{table['group']}**\n\n" if len(report["tables"]) > 1 else ""
        parts.append(title + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _distance(found: float | Mapping[str, float] | None) -> str:
    """FID, or KID with its deviation over subsets."""
    if found is None:
        return "-"
    return f"{found['mean']:.4g} \u00b1 {found['std']:.2g}" if isinstance(found, Mapping) else f"{found:.4g}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def shown_interval(stated: Mapping[str, float | None] | None) -> str:
    """A mean with its interval, to the digits that mean something; without one it says why."""
    if stated is None or stated["mean"] is None:
        return "-"
    mean, low, high = stated["mean"], stated["low"], stated["high"]
    digits = 3 if max(abs(mean), abs(mean if high is None else high)) < 2 else 2
    if low is None or high is None:
        return f"{mean:.{digits}f} ({TOO_FEW})"
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
