"""The figures: one panel per group and metric with bars, curves, differences and the scatter, each with its numbers."""

from collections.abc import Sequence
from typing import Any

from ..metrics import DIRECTIONS
from ..tables import TOO_FEW
from .charts import Estimate, Point, bars, curves, differences, scatter
from .markup import NONE, choice, decimals_for, element, finite, name, number, span, text
from .results import cost_table, mean_of, method_index, method_name, table_metrics, value_cell

Rows = Sequence[dict[str, Any]]


def figure_section(report: dict[str, Any]) -> str:
    """Every panel; the script shows one at a time, without it the headline metrics stand open."""
    panels, metrics = [], table_metrics(report)
    shown: list[dict[str, Any]] = []
    for metric in metrics:
        drawn = [_panel(report, table, metric, place) for place, table in enumerate(report["tables"])]
        if any(drawn):
            shown.append(metric)
        panels += drawn
    if not shown:
        return ""
    references = _references(report, report.get("differences") or ())
    boxes = [choice("metric-choice", "Metric", [(each["name"], _axis(each)) for each in shown])]
    if len(report["tables"]) > 1:
        groups = [(str(place), str(table["group"])) for place, table in enumerate(report["tables"])]
        boxes.append(choice("group-choice", "Group", groups))
    if len(references) > 1:
        boxes.append(choice("reference-choice", "Differences to", [(each, each) for each in references]))
    return (
        '<section id="figures" aria-labelledby="figures-title">\n<h2 id="figures-title">Figures</h2>\n'
        '<p class="note">Whiskers are 95 % bootstrap intervals of the mean over photos. A hollow marker or an '
        f"empty bar has none: it is the mean of {TOO_FEW}, which say too little of others. Depth is the distance from "
        "the deepest missing pixel to the nearest known one: two holes of one area can differ much in it.</p>\n"
        f'<form class="controls needs-script" id="figure-controls">{"".join(boxes)}</form>\n'
        f"{''.join(panels)}</section>\n"
    )


def cost_section(report: dict[str, Any]) -> str:
    """The cost table, where costs were measured."""
    if not report.get("costs"):
        return ""
    return (
        '<section id="costs" aria-labelledby="costs-title">\n<h2 id="costs-title">Costs</h2>\n'
        f"{cost_table(report)}</section>\n"
    )


def _axis(metric: dict[str, Any]) -> str:
    """A metric's label with unit and direction, as it stands along an axis."""
    unit = f", {metric['unit']}" if metric["unit"] else ""
    return f"{metric['label']}{unit} {DIRECTIONS.get(metric['better'], ('', ''))[0]}".strip()


def _panel(report: dict[str, Any], table: dict[str, Any], metric: dict[str, Any], place: int) -> str:
    """All figures of one metric in one group; "" where nothing was measured."""
    rows = _estimates(report, table["rows"], metric)
    if all(row.mean is None for row in rows):
        return ""
    several = f", {table['group']}" if len(report["tables"]) > 1 else ""
    figures = [_bar_figure(rows, metric, several), _scatter_figure(report, rows, metric, several)]
    figures.append(_difference_figure(report, table["group"], metric))
    for key, across in (("by_area", "hole area, share of the frame"), ("by_depth", "depth of the hole")):
        figures.append(_curve_figure(report, report.get(key) or (), table["group"], metric, across))
    headline = list(report.get("headline") or ()) or [table_metrics(report)[0]["name"]]
    title = text(_axis(metric)) + (f" <span>{name(table['group'])}</span>" if several else "")
    return (
        f"{_open_tag(metric, place, metric['name'] in headline)}<summary>{title}</summary>"
        f'<div class="figures-grid">{"".join(figures)}</div></details>\n'
    )


def _open_tag(metric: dict[str, Any], place: int, is_open: bool) -> str:
    opened = " open" if is_open else ""
    return f'<details class="panel" data-metric="{text(metric["name"])}" data-group="{place}"{opened}>'


def _estimates(report: dict[str, Any], rows: Rows, metric: dict[str, Any]) -> list[Estimate]:
    return [_estimate(report, row["method"], row["metrics"].get(metric["name"])) for row in rows]


def _estimate(report: dict[str, Any], label: str, value: dict[str, Any] | None) -> Estimate:
    value = value or {}
    mean, low, high = (finite(value.get(key)) for key in ("mean", "low", "high"))
    return Estimate(method_index(report, label), str(label), mean, low, high)


def _figure(chart: str, caption: str, numbers: str = "", **attributes: Any) -> str:
    """A chart under its caption, with its numbers folded below it."""
    folded = f"<details><summary>Numbers</summary>{numbers}</details>" if numbers else ""
    inside = f"<figcaption>{caption}</figcaption>{chart}{folded}"
    return element("figure", inside, **attributes)


def _numbers(heads: Sequence[str], rows: Sequence[str], caption: str) -> str:
    cells = "".join(f'<th scope="col">{each}</th>' for each in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table>'
        f'<caption class="hidden">{caption}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar_figure(rows: Sequence[Estimate], metric: dict[str, Any], several: str) -> str:
    mean, words = mean_of(metric), _in_words(rows)
    spoken = f"Bars: {mean} {metric['label']} of each method{several}, with 95 % intervals. {words}"
    chart = bars(rows, spoken=spoken, axis=_axis(metric), goal=1.0 if metric["better"] == "one" else None)
    return _figure(chart, f"{mean.capitalize()} {text(metric['label'])} <span>numbers in the table above</span>")


def _in_words(rows: Sequence[Estimate]) -> str:
    digits = decimals_for(row.mean for row in rows)
    return "; ".join(f"{row.label} {number(row.mean, digits)}" for row in rows if row.mean is not None) + "."


def _scatter_figure(report: dict[str, Any], rows: Sequence[Estimate], metric: dict[str, Any], several: str) -> str:
    costs = {cost["label"]: cost for cost in report.get("costs") or () if not cost.get("error")}
    points = []
    for row in rows:
        seconds = finite(costs.get(row.label, {}).get("seconds_median"))
        if row.mean is None or not seconds:
            continue
        low, high = (finite(costs[row.label].get(key)) or seconds for key in ("seconds_low", "seconds_high"))
        points.append(Point(row.index, row.label, seconds, row.mean, low, high, row.low, row.high))
    if not points:
        return ""
    mean = f"{mean_of(metric)} {metric['label']}"
    spoken = f"Scatter: {mean} against seconds per fill{several}; the numbers stand in both tables."
    chart = scatter(
        points, spoken=spoken, axis=_axis(metric), across="seconds per fill (median, middle half), logarithmic"
    )
    return _figure(chart, f"{text(metric['label'])} against time")


def _references(report: dict[str, Any], found: Rows) -> list[str]:
    """The methods that stand in any of these differences, in the report's order: each can be the reference."""
    labels = {str(each[key]) for each in found for key in ("method", "reference")}
    return sorted(labels, key=lambda label: (method_index(report, label), label))


def _difference_figure(report: dict[str, Any], group: str, metric: dict[str, Any]) -> str:
    """One chart per reference: every method less the reference, photo by photo; and one table of all pairs.

    A report states each pair once; the other way round its signs turn and the ends of the interval change places.
    """
    found = [
        each
        for each in report.get("differences") or ()
        if each["group"] == group and each["metric"] == metric["name"] and finite(each["mean"]) is not None
    ]
    if not found:
        return ""
    pairs: dict[tuple[str, str], tuple[Estimate, Any]] = {}
    for each in found:
        ours, theirs = str(each["method"]), str(each["reference"])
        mean, low, high = float(each["mean"]), finite(each["low"]), finite(each["high"])
        pairs[ours, theirs] = Estimate(method_index(report, ours), ours, mean, low, high), each["photos"]
        ends = [None if end is None else -end for end in (high, low)]
        turned = Estimate(method_index(report, theirs), theirs, -mean, *ends)
        pairs.setdefault((theirs, ours), (turned, each["photos"]))
    labels, of = _references(report, found), str(found[0].get("of", "value"))
    charts = ""
    for place, reference in enumerate(labels):
        rows = [pairs[label, reference][0] for label in labels if (label, reference) in pairs]
        charts += _difference_chart(rows, metric, reference, place > 0, of)
    distance = "" if of == "value" else f" ({text(_subtracted(metric, of))})"
    caption = f"Differences in {text(metric['label'])}{distance}, photo by photo"
    return _figure(
        charts,
        f"{caption} <span>an interval that misses 0 is a difference</span>",
        _pair_table(report, labels, pairs, caption),
    )


def _subtracted(metric: dict[str, Any], of: str) -> str:
    """What is subtracted photo by photo: a metric, or its distance from where it should be; a report says which."""
    unit = f", {metric['unit']}" if metric["unit"] else ""
    return {"value": f"{metric['label']}{unit}", "distance to 1": "distance to 1, |ln|"}.get(of, f"{of}{unit}")


def _difference_chart(
    rows: Sequence[Estimate], metric: dict[str, Any], reference: str, chosen_only: bool, of: str
) -> str:
    """One chart; without the script, which chooses the reference, only the first is seen: the table has them all."""
    good = "left" if of != "value" else {"lower": "left", "higher": "right"}.get(metric["better"])
    subtracted = _subtracted(metric, of)
    spoken = f"Paired differences in {metric['label']}, {subtracted}: each method less {reference}. {_in_words(rows)}"
    axis = f"{subtracted}: method less {reference}"
    chart = differences(rows, spoken=spoken, axis=axis, good=good)
    return element("div", chart, data_reference=reference, class_="needs-script" if chosen_only else None)


def _pair_table(
    report: dict[str, Any], labels: Sequence[str], pairs: dict[tuple[str, str], tuple[Estimate, Any]], caption: str
) -> str:
    """Every method (row) less every other (column)."""
    digits = decimals_for(row.mean for row, _ in pairs.values())
    lines = []
    for label in labels:
        cells = ""
        for reference in labels:
            row, photos = pairs.get((label, reference), (None, None))
            if row is None or row.mean is None:
                cells += f"<td>{NONE}</td>"
                continue
            interval = f'<span class="interval">{span(row.low, row.high, digits, sign=True)}</span>'
            mean = f"{number(row.mean, digits, sign=True)}{interval}"
            cells += element("td", mean, data_value=repr(row.mean), title=f"{photos} photos")
        lines.append(f"<tr>{element('th', method_name(report, label), scope='row')}{cells}</tr>")
    return _numbers(["", *(f"less {name(label)}" for label in labels)], lines, caption)


def _curve_figure(report: dict[str, Any], bins: Rows, group: str, metric: dict[str, Any], across: str) -> str:
    """A metric over the bins of a group, every method one line."""
    own = [each for each in bins if each["group"] == group]
    labels = [str(each["bin"]) for each in own]
    methods = list(dict.fromkeys(row["method"] for each in own for row in each["rows"]))
    values = {
        method: [next((row for row in each["rows"] if row["method"] == method), None) for each in own]
        for method in methods
    }
    series = [
        [_estimate(report, method, row["metrics"].get(metric["name"]) if row else None) for row in values[method]]
        for method in methods
    ]
    if not any(row.mean is not None for each in series for row in each):
        return ""
    mean = f"{mean_of(metric)} {metric['label']}"
    spoken = f"Curves: {mean} of each method over {across}, from {labels[0]} to {labels[-1]}."
    chart = curves(series, labels, spoken=spoken, axis=_axis(metric), across=across)
    digits = decimals_for(row.mean for each in series for row in each)
    lines = [
        f"<tr>{element('th', method_name(report, method), scope='row')}"
        + "".join(
            value_cell(row["metrics"].get(metric["name"]), digits, photos=row["photos"]) if row else f"<td>{NONE}</td>"
            for row in values[method]
        )
        + "</tr>"
        for method in methods
    ]
    counts = [max((int(row["photos"]) for row in each["rows"]), default=0) for each in own]
    heads = ["method", *(f"{text(label)}<br>{count} photos" for label, count in zip(labels, counts, strict=True))]
    caption = f"{text(metric['label'])} by {across.partition(',')[0]}"
    return _figure(chart, caption, _numbers(heads, lines, caption))
