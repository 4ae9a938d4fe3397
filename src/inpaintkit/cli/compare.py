"""`inpaintkit compare`: the same photos and masks filled by several methods; scores, costs and a page."""

import inspect
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from ..errors import UsageError
from . import printable, tell
from .compare_options import Given, check_given
from .progress import ProgressBar

SHOWN_AS_JSON = ("groups", "tables", "differences", "costs", "absent")


def command(**given: Any) -> int:
    """Fill the same photos and masks by several methods, and write scores, costs and a page that shows them.

    Exit status 1: a method failed on some photos, or changed known pixels; the report is written all the same.
    """
    order = Given(**given)
    check_given(order)
    if order.answers is not None:
        return _count_answers(order.out, order.answers, order.as_json)
    from ..evaluation.compare import compare, failures
    from ..evaluation.journal import JOURNAL

    settings = _settings(order)
    try:
        with ProgressBar("comparing", wanted=not (order.quiet or order.as_json)) as bar:
            report = compare(settings, order.out, resume=order.resume, progress=bar)
    except KeyboardInterrupt:
        if (order.out / JOURNAL).is_file():
            typer.echo(
                "inpaintkit: what is measured so far is kept: go on with the same command and --resume", err=True
            )
        raise
    _print(report, order)
    wrong = failures(report)
    for line in wrong:
        typer.echo(f"inpaintkit: {printable(line)}", err=True)
    return 1 if wrong else 0


command.__signature__ = inspect.signature(Given)  # type: ignore[attr-defined]  # its fields are the options


def _settings(order: Given) -> Any:
    """What the comparison is made of. Raises UsageError."""
    from ..evaluation.cases import named_groups
    from ..evaluation.compare import Settings
    from ..evaluation.methods import parse_methods
    from ..evaluation.perceptual import PerceptualWeights
    from ..evaluation.protocols import protocol_named

    chosen = None if order.protocol is None else protocol_named(order.protocol)
    if chosen is not None and chosen.size is not None and order.size is not None:
        raise UsageError(f"--protocol {order.protocol} says the size ({chosen.size}): leave out --size")
    return Settings(
        images=str(order.images),
        masks=chosen.groups if chosen else named_groups([name for name in str(order.masks).split(",") if name]),
        methods=tuple(parse_methods(order.methods, runtime=order.engine)),
        size=chosen.size if chosen and chosen.size is not None else order.pixels,
        protocol=chosen,
        limit=order.limit,
        seed=order.seed,
        perceptual=PerceptualWeights(order.features, order.lpips, order.inception),
        workers=order.workers,
        costs=order.costs,
        rows=order.rows,
        keep_fills=order.keep_fills,
        study=order.study,
        title=order.title,
        command=shlex.join(["inpaintkit", *sys.argv[1:]]),
    )


def _print(report: dict[str, Any], order: Given) -> None:
    from ..evaluation.tables import markdown_table

    done = f"the report is in {order.out}"
    if order.as_json:
        tell([json.dumps({"out": str(order.out), **{key: report[key] for key in SHOWN_AS_JSON}})], done)
        return
    files = ["report.html", "report.json", "scores.json", "scores.csv"]
    files += ["costs.json", "costs.csv"] if order.costs else []
    files += ["study.html", "study-key.json"] if order.study else []
    left_out = [
        f"{group['name']}: {_counted(len(group['left_out']))} left out, because nothing is missing at this size"
        for group in report["groups"]
        if group["left_out"]
    ]
    absent = [f"not measured: {each['metric']}: {each['why']}" for each in report["absent"]]
    lines = [markdown_table(report, report["headline"]), *left_out, *absent, f"{order.out}: {', '.join(files)}"]
    tell([line if "\n" in line else printable(line) for line in lines], done)


def _counted(photos: int) -> str:
    return "1 photo" if photos == 1 else f"{photos} photos"


def _count_answers(out: Path, answers: str, as_json: bool) -> int:
    """What the judges of a study found."""
    from ..evaluation.page.study import judge_answers

    found = judge_answers(out / "study-key.json", [part for part in answers.split(",") if part])
    tell([json.dumps(found)] if as_json else _verdict(found), "nothing was changed")
    return 0


def _verdict(found: dict[str, Any]) -> list[str]:
    """A table of what the judges found, what the numbers are, and how they are read."""
    heads = ("shown", "answers", "hits", "hits by chance", "called filled", "sensitivity")
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for label, of in found["methods"].items():
        cells = [_share(of["hits"]), f"{100 * of['hits_by_chance']:.1f} %", _share(of["called_filled"])]
        lines.append(f"| `{label}` | {of['answers']} | {' | '.join(cells)} | {_share(of['sensitivity'])} |")
    real = found["real"]
    lines.append(f"| untouched photos | {real['answers']} | - | - | {_share(real['false_alarms'])} | - |")
    judges = len(found["judges"])
    of_judges = f"{judges} judge{'s' if judges > 1 else ''}, {found['answers']} answers"
    told = f"{of_judges}, {found['unanswered']} photos unanswered"
    return [
        *lines,
        "",
        f"{told}; {found['tolerance']}",
        "hits by chance: what the same clicks would hit at random places",
        "sensitivity: called filled, less the same of untouched photos; in brackets 95 % intervals",
        found["reading"],
    ]


def _share(of: dict[str, Any] | None) -> str:
    """A share, or a difference of two, with its interval in percent; "-" without answers."""
    value = None if of is None else of.get("difference", of.get("share"))
    if of is None or value is None:
        return "-"
    return f"{100 * value:.0f} % ({100 * of['low']:.0f} to {100 * of['high']:.0f})"
