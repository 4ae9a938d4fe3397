"""The page's tables and prose: protocol, results, costs, provenance."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..metrics import DIRECTIONS
from ..tables import TOO_FEW
from .charts import swatch
from .markup import DASH, NONE, amount, decimals_for, element, finite, name, number, short, span, text
from .pictures import best_of

DISTRIBUTION = {
    "fid": ("FID", "Fr\u00e9chet distance between the features of photos and composites; lower is better."),
    "kid": ("KID", "Kernel distance between the features of photos and composites, mean (standard deviation over "
            "subsets); lower is better."),
}  # fmt: skip


# ---- head ------------------------------------------------------------------------------------------------------------


def head(report: dict[str, Any]) -> str:
    """Title, the protocol in one paragraph, and the run in figures."""
    protocol, images, groups = report["protocol"], report["images"], report["groups"]
    methods, cases = len(report["methods"]), len(report["cases"])
    size = f" at {protocol['size']} \u00d7 {protocol['size']} pixels" if protocol.get("size") else ""
    sets = ", ".join(name(group["name"]) + _about_masks(group) for group in groups)
    figures = [
        ("methods", f"{methods}"),
        ("photos", f"{images['count']}"),
        ("masks", f"{sum(int(group['masks']) for group in groups)}"),
        ("fills measured", f"{methods * cases - failures(report)}"),
        ("fills failed", f"{failures(report)}"),
        ("known pixels changed", known_mark(known_changed(report))),
    ]
    facts = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in figures)
    return (
        f'<header class="top"><p class="kicker">inpaintkit compare, protocol {name(protocol["name"])}</p>'
        f"<h1>{name(report['title'])}</h1>"
        f'<p class="lead">{text(protocol["description"])} Measured here: {methods} {_plural(methods, "method")} on '
        f"{images['count']} photos of {name(images['name'])} (SHA-256 {short(images['sha256'])}){size}, with the masks "
        f"of {sets}. Pairing: {text(protocol['pairing'])}</p>"
        f'<dl class="figures">{facts}</dl></header>\n'
    )


def _about_masks(group: dict[str, Any]) -> str:
    if not group["masks"]:
        return ""
    return f" ({group['masks']}, SHA-256 {short(group['sha256'])})" if group["sha256"] else f" ({group['masks']})"


def failures(report: dict[str, Any]) -> int:
    """Fills that ended in an error."""
    return sum("error" in score for scores in report["scores"].values() for score in scores)


def known_changed(report: dict[str, Any]) -> int:
    """Known pixels changed, over all methods and photos: anything but 0 is a defect."""
    return sum(int(score.get("known_changed") or 0) for scores in report["scores"].values() for score in scores)


def known_mark(changed: Any) -> str:
    """The count of changed known pixels as a check."""
    if finite(changed) is None:
        return NONE
    if int(changed) == 0:
        return '<span class="good">0 <span aria-hidden="true">\u2713</span></span>'
    return f'<strong class="bad">{int(changed):,} <span aria-hidden="true">\u2717</span> defect</strong>'


def _plural(count: int, word: str) -> str:
    return word if count == 1 else word + "s"


# ---- results ---------------------------------------------------------------------------------------------------------


def result_section(report: dict[str, Any]) -> str:
    """The main table of every group, the definitions, and what was not measured."""
    parts = ['<section id="results" aria-labelledby="results-title">\n<h2 id="results-title">Results</h2>\n']
    parts.append(
        f'<p class="note">Means over photos with their 95 % bootstrap intervals; none for {TOO_FEW}. '
        '<strong class="best">Bold and underlined</strong> is the best mean of its column; where intervals overlap, '
        'look at the <a href="#figures">paired differences</a> before calling a winner.'
        '<span class="needs-script"> Click a heading to sort.</span></p>\n'
    )
    for place, table in enumerate(report["tables"]):
        group = next((each for each in report["groups"] if each["name"] == table["group"]), None)
        parts.append(_main_table(report, table, group, place))
    parts.append(_definitions(report))
    if report.get("absent"):
        lines = "".join(f"<li><b>{text(each['metric'])}</b>: {text(each['why'])}</li>" for each in report["absent"])
        parts.append(f'<h3>Not measured</h3>\n<ul class="absent">{lines}</ul>\n')
    parts.append("</section>\n")
    return "".join(parts)


def table_metrics(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics that are means over photos, headline metrics first."""
    listed = [metric for metric in report["metrics"] if metric["name"] not in DISTRIBUTION]
    headline = list(report.get("headline") or ())
    return sorted(listed, key=lambda metric: headline.index(metric["name"]) if metric["name"] in headline else 10**6)


def mean_of(metric: dict[str, Any]) -> str:
    """Which mean of a metric a report states, in words."""
    return "geometric mean" if metric.get("average") == "geometric" else "mean"


def method_index(report: dict[str, Any], label: str) -> int:
    """A method's place among the report's methods, which decides its colour; behind them for a row of another name."""
    labels = [method["label"] for method in report["methods"]]
    return labels.index(label) if label in labels else len(labels)


def method_name(report: dict[str, Any], label: str) -> str:
    """A method's name behind its marker."""
    return f'<span class="method">{swatch(method_index(report, label))}{name(label)}</span>'


def _main_table(report: dict[str, Any], table: dict[str, Any], group: dict[str, Any] | None, place: int) -> str:
    rows = table["rows"]
    metrics = table_metrics(report)
    kinds = [
        kind for kind in DISTRIBUTION if any((row.get("distribution") or {}).get(kind) is not None for row in rows)
    ]
    heads = [_heading("method", kind="text")]
    heads += [_metric_heading(metric) for metric in metrics] + [_distribution_heading(report, kind) for kind in kinds]
    heads += [_heading("photos"), _heading("failed")]
    heads.append(_heading("known changed", title="Pixels outside the hole that differ: must be 0"))
    columns = [_metric_cells(metric, rows) for metric in metrics] + [_distribution_cells(kind, rows) for kind in kinds]
    body = ""
    for number_, row in enumerate(rows):
        failed = int(row["failed"] or 0)
        told = f'<span class="failures">{failed} failed</span>' if failed else ""
        cells = [
            element("th", method_name(report, row["method"]) + told, scope="row", data_value=row["method"]),
            *(column[number_] for column in columns),
            element("td", f"{row['photos']}", data_value=row["photos"]),
            element("td", f'<strong class="bad">{failed}</strong>' if failed else "0", data_value=failed),
            element("td", known_mark(row["known_changed"]), data_value=row["known_changed"]),
        ]
        body += f"<tr>{''.join(cells)}</tr>\n"
    caption = f"{name(table['group'])}{_about_group(group)}"
    left_out = _left_out(group)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="table-{place}">'
        f'<table class="sortable results"><caption id="table-{place}">{caption}</caption>'
        f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n{body}</tbody>{_photos_themselves(table, metrics, kinds)}"
        f"</table></div>{left_out}\n"
    )


def _photos_themselves(table: dict[str, Any], metrics: Sequence[dict[str, Any]], kinds: Sequence[str]) -> str:
    """A last row with the photos' own values of the metrics that are read beside them."""
    own = table.get("truth") or {}
    if not own:
        return ""
    cells = [element("th", "the photos themselves", scope="row")]
    for metric in metrics:
        values = [finite((row["metrics"].get(metric["name"]) or {}).get("mean")) for row in table["rows"]]
        cells.append(value_cell(own.get(metric["name"]), decimals_for(values)))
    return f"\n<tfoot><tr>{''.join(cells)}{'<td></td>' * (len(kinds) + 3)}</tr></tfoot>"


def _about_group(group: dict[str, Any] | None) -> str:
    if group is None:
        return ""
    count = f"{group['photos']} {_plural(group['photos'], 'photo')}"
    count += f", {group['masks']} {_plural(group['masks'], 'mask')}" if group["masks"] else ""
    digest = f", SHA-256 of the masks {short(group['sha256'])}" if group["sha256"] else ""
    return f' <span class="muted">{count}{digest}</span>'


def _left_out(group: dict[str, Any] | None) -> str:
    if group is None or not group.get("left_out"):
        return ""
    lines = "".join(f"<li>{name(each)}</li>" for each in group["left_out"])
    count = len(group["left_out"])
    return f"<details><summary>{count} {_plural(count, 'photo')} left out</summary><ul>{lines}</ul></details>"


def _heading(shown: str, *, kind: str = "number", title: str | None = None, extra: str = "", **more: Any) -> str:
    """A column's heading; the script turns it into a button that sorts."""
    return element(
        "th", f'<span class="sort">{text(shown)}{extra}</span>', scope="col", data_kind=kind, title=title, **more
    )


def _metric_heading(metric: dict[str, Any]) -> str:
    arrow, meaning = DIRECTIONS.get(metric["better"], ("", ""))
    unit = f'<span class="unit">, {text(metric["unit"])}</span>' if metric["unit"] else ""
    extra = f'{unit} <span class="arrow" aria-hidden="true">{arrow}</span><span class="hidden">, {meaning}</span>'
    return _heading(
        metric["label"],
        extra=extra,
        title=f"{metric['label']}: {metric['definition']} {meaning.capitalize()}.",
        data_metric=metric["name"],
        data_better=metric["better"],
    )


def _distribution_heading(report: dict[str, Any], kind: str) -> str:
    found = next((metric for metric in report.get("distribution_metrics", ()) if metric["name"] == kind), None)
    if found is not None:
        return _metric_heading(found)
    label, definition = DISTRIBUTION[kind]
    extra = ' <span class="arrow" aria-hidden="true">\u2193</span><span class="hidden">, lower is better</span>'
    return _heading(label, title=f"{label}: {definition}", extra=extra, data_metric=kind, data_better="lower")


def _metric_cells(metric: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    """One column: mean over interval, the best marked; the exact mean stands in `data-value`."""
    found: list[dict[str, Any] | None] = [row["metrics"].get(metric["name"]) for row in rows]
    means = [finite(value["mean"]) if value is not None else None for value in found]
    most = max((value["photos"] for value in found if value is not None), default=0)
    comparable = {place: mean for place, mean in enumerate(means) if (found[place] or {}).get("photos") == most}
    best = best_of(comparable, metric["better"])  # who failed on the hard photos has not won
    digits = decimals_for(means)
    return [
        value_cell(value, digits, best=place in best, photos=row["photos"])
        for place, (value, row) in enumerate(zip(found, rows, strict=True))
    ]


def value_cell(value: dict[str, Any] | None, digits: int, *, best: bool = False, photos: Any = None) -> str:
    """A mean over its interval; says on how many photos, where these are fewer than the row's."""
    if not value or finite(value["mean"]) is None:
        return element("td", NONE)
    mean = number(value["mean"], digits)
    shown = f'<strong class="best">{mean}<span class="hidden"> (best)</span></strong>' if best else mean
    counted = value.get("photos")
    few = f'<span class="few">{counted} photos</span>' if counted is not None and counted != photos and photos else ""
    interval = f'<span class="interval">{span(value.get("low"), value.get("high"), digits)}</span>'
    median = finite(value.get("median"))
    told = f"median {number(median, digits)}" if median is not None else None
    return element("td", f"{shown}{interval}{few}", data_value=repr(float(value["mean"])), title=told)


def _distribution_cells(kind: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    values, asides = [], []
    for row in rows:
        value: Any = (row.get("distribution") or {}).get(kind)
        aside = None
        if isinstance(value, dict):
            value, aside = value.get("mean"), value.get("std")
        values.append(finite(value))
        asides.append(finite(aside))
    best, digits = best_of(dict(enumerate(values)), "lower"), decimals_for(values)
    cells = []
    for place, (value, aside) in enumerate(zip(values, asides, strict=True)):
        if value is None:
            cells.append(element("td", NONE))
            continue
        shown = number(value, digits)
        shown = f'<strong class="best">{shown}<span class="hidden"> (best)</span></strong>' if place in best else shown
        shown += f'<span class="interval">\u00b1 {number(aside, digits)}</span>' if aside is not None else ""
        cells.append(element("td", shown, data_value=repr(value)))
    return cells


def _definitions(report: dict[str, Any]) -> str:
    lines = []
    for metric in (*report["metrics"], *report.get("distribution_metrics", ())):
        arrow, meaning = DIRECTIONS.get(metric["better"], ("", ""))
        scope = "inside the hole" if metric["scope"] == "hole" else "whole picture"
        unit = f", in {text(metric['unit'])}" if metric["unit"] else ""
        lines.append(
            f'<dt id="def-{text(metric["name"])}">{text(metric["label"])} <span class="arrow">{arrow}</span></dt>'
            f'<dd>{text(metric["definition"])} <span class="muted">{scope.capitalize()}{unit}; {meaning}; '
            f"{mean_of(metric)} over photos. Range: {text(metric['range'])} Source: {text(metric['source'])}"
            "</span></dd>"
        )
    known = (
        '<dt id="def-known-changed">known changed</dt><dd>Pixels outside the hole that differ from what the method was '
        'given, in any channel, over all photos. <span class="muted">A check, not a score: it must be 0.</span></dd>'
    )
    return f'<h3>What the columns mean</h3>\n<dl class="definitions">{"".join(lines)}{known}</dl>\n'


# ---- costs -----------------------------------------------------------------------------------------------------------


def cost_table(report: dict[str, Any]) -> str:
    """Seconds, memory, parameters and multiply-accumulates of every method."""
    costs = report["costs"]
    titles = (
        ("seconds per fill", "Median over the photos of the cost pass; the middle half of them lies in the brackets"),
        ("peak memory, MB", "Of the whole process"),
        ("above idle, MB", "Peak memory less what the process took before it opened the method"),
        ("parameters", "Of the network; none for classical methods"),
        ("MACs", "Multiply-accumulates of one fill"),
        ("threads", "Threads the method was allowed"),
        ("photos", "Photos of the cost pass"),
    )
    heads = _heading("method", kind="text") + "".join(_heading(key, title=why) for key, why in titles)
    body = "".join(_cost_row(report, cost) for cost in costs)
    conditions = _conditions(report.get("costs_conditions"))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="cost-caption"><table class="sortable">'
        f'<caption id="cost-caption">Costs, one method after the other, each in a process of its own</caption>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody></table></div>{conditions}\n"
    )


def _cost_row(report: dict[str, Any], cost: dict[str, Any]) -> str:
    first = element("th", method_name(report, cost["label"]), scope="row", data_value=cost["label"])
    if cost.get("error"):
        return f'<tr>{first}<td colspan="7" class="failed-row">{text(cost["error"])}</td></tr>\n'
    seconds = finite(cost["seconds_median"])
    if seconds is None:
        timed = element("td", NONE)
    else:
        low, high = _three_figures(cost["seconds_low"]), _three_figures(cost["seconds_high"])
        shown = f'{_three_figures(seconds)}<span class="interval">{low} to {high}</span>'
        timed = element("td", shown, data_value=repr(seconds))
    cells = [timed]
    for key in ("peak_mb", "peak_above_idle_mb"):
        cells.append(_count_cell(cost.get(key), number(cost.get(key), 0)))
    for key in ("parameters", "macs"):
        cells.append(_count_cell(cost.get(key), amount(cost.get(key))))
    cells += [_count_cell(cost.get(key), number(cost.get(key), 0)) for key in ("threads", "photos")]
    return f"<tr>{first}{''.join(cells)}</tr>\n"


def _three_figures(value: Any) -> str:
    found = finite(value)
    return number(found, 2 - math.floor(math.log10(found)) if found and 0 < found < 100 else 0)


def _count_cell(value: Any, shown: str) -> str:
    return element("td", NONE) if finite(value) is None else element("td", shown, data_value=value)


def _conditions(conditions: dict[str, Any] | None) -> str:
    return f'<p class="note">Conditions: {_listed(conditions)}.</p>' if conditions else ""


# ---- provenance ------------------------------------------------------------------------------------------------------


def provenance_section(report: dict[str, Any]) -> str:
    """Everything another person needs for the same numbers: methods, hashes, versions, machine, command."""
    run = report["run"]
    rows = "".join(
        f"<tr>{element('th', method_name(report, method['label']), scope='row')}<td>{name(method['model'])}</td>"
        f"<td>{_through(method)}</td><td>{text(method['kind'])}</td><td>{_hash(method['sha256'])}</td>"
        f"<td>{text(method['terms']) if method.get('terms') else NONE}</td></tr>\n"
        for method in report["methods"]
    )
    sets = [("photos", report["images"]["name"], report["images"]["count"], report["images"]["sha256"])]
    sets += [("masks", group["name"], group["masks"], group["sha256"]) for group in report["groups"]]
    hashes = "".join(
        f'<tr><th scope="row">{kind}</th><td>{name(label)}</td><td class="count-cell">{count or NONE}</td>'
        f"<td>{_hash(digest)}</td></tr>\n"
        for kind, label, count, digest in sets
    )
    spent = finite(run.get("seconds"))
    facts = [
        ("inpaintkit", text(report["inpaintkit"])),
        ("date", text(run.get("date") or DASH)),
        ("time", f"{number(spent, 0)} s, workers: {text(run.get('workers'))}" if spent is not None else DASH),
        ("machine", _listed(run.get("machine"))),
        ("versions", _listed(run.get("versions"))),
    ]
    listed = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts)
    return (
        '<section id="provenance" aria-labelledby="provenance-title">\n'
        '<h2 id="provenance-title">How to get the same numbers</h2>\n'
        f'<pre class="command" tabindex="0"><code>{text(run.get("command") or "")}</code></pre>\n'
        + _plain_table("Methods", ("method", "model", "through", "kind", "SHA-256", "terms"), rows)
        + _plain_table("Inputs", ("what", "name", "files", "SHA-256"), hashes)
        + f'<dl class="run">{listed}</dl>\n</section>\n'
    )


def _through(method: dict[str, Any]) -> str:
    runtime = method.get("runtime")
    return text(method["through"]) + (f" ({text(runtime)})" if runtime else "")


def _plain_table(caption: str, heads: Iterable[str], rows: str) -> str:
    cells = "".join(f'<th scope="col">{text(each)}</th>' for each in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table class="plain">'
        f"<caption>{caption}</caption><thead><tr>{cells}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )


def _hash(digest: Any) -> str:
    """A checksum in full, which breaks anywhere."""
    return f'<code class="hash whole">{text(digest)}</code>' if digest else NONE


def _listed(values: Any) -> str:
    if not isinstance(values, dict) or not values:
        return DASH
    return "; ".join(
        f"{text(key).replace('_', ' ')} {', '.join(map(text, value)) if isinstance(value, list) else text(value)}"
        for key, value in sorted(values.items())
    )
