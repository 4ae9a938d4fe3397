"""Which share of the time of `inpaintkit compare` goes to the methods themselves, and what do more processes bring?

    python benchmarks/compare_overlap.py --images PHOTOS.tar --masks MASKS.tar --methods default,glcic,gmcnn --limit 100

Every method alone and all of them together go through `inpaintkit compare --workers N`, a command of its own each time,
without the cost pass. The share is the seconds in the methods' fills, summed over the worker processes, over (worker
processes) x (seconds of the pass); the pass is everything from listing the photos to the last score, the start of the
worker processes included. What is left is reading, scoring, and waiting.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reports
import turns
from inpaintkit.errors import InpaintError, UsageError

AIM = 0.9
"""Least share that is aimed at, for a network alone."""

TOGETHER = "all together"
REPORT = "report.json"


@dataclass(frozen=True)
class Run:
    """One command: what it compares, in its title and as `--methods` takes it, and by how many processes."""

    title: str
    methods: str
    workers: int


def runs_of(methods: Sequence[str], workers: Sequence[int]) -> list[Run]:
    """Every method alone and, if there are several, all together, each by every number of processes."""
    what = {each: each for each in methods}
    if len(methods) > 1:
        what[TOGETHER] = ",".join(methods)
    return [Run(title, asked, count) for title, asked in what.items() for count in workers]


def command_of(run: Run, given: argparse.Namespace, out: Path) -> list[str]:
    """What starts the run."""
    asked = {
        "--images": given.images,
        "--masks": given.masks,
        "--methods": run.methods,
        "--size": given.size,
        "--workers": run.workers,
        "--rows": 0,
        "--out": out,
        **({"--limit": given.limit} if given.limit is not None else {}),
    }
    options = [text for name, value in asked.items() for text in (name, str(value))]
    return [sys.executable, "-m", "inpaintkit", "compare", *options, "--no-costs", "--quiet"]


def run_once(run: Run, given: argparse.Namespace) -> dict[str, Any]:
    """Run the command and return where its time went. Raises InpaintError when it fails."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "report"
        started = time.perf_counter()
        done = subprocess.run(
            command_of(run, given, out), stdout=subprocess.DEVNULL, env=turns.child_environment(None), check=False
        )
        command_s = time.perf_counter() - started
        if done.returncode:
            raise InpaintError(f"inpaintkit compare --methods {run.methods} failed: see its error above")
        report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    return {**split(report), "command_s": command_s}


# --- The arithmetic --------------------------------------------------------------------------------------------------


def split(report: Mapping[str, Any]) -> dict[str, Any]:
    """Where the time of one report's pass went, in seconds of all worker processes together.

    `share` is that of the methods; `rest_s` is what no process accounts for: starting, opening methods, waiting, the
    same for few cases as for many. `share_of_work` leaves it out: what the share comes to with ever more cases.
    """
    run = report["run"]
    all_s = run["workers"] * run["seconds"]
    methods_s = sum(run["seconds_in_methods"].values())
    work_s = methods_s + run["seconds_scoring"] + run["seconds_decoding"]
    return {
        "workers": run["workers"],
        "cases": len(report["cases"]),
        "seconds": run["seconds"],
        "methods_s": methods_s,
        "scoring_s": run["seconds_scoring"],
        "decoding_s": run["seconds_decoding"],
        "rest_s": all_s - work_s,
        "share": methods_s / all_s,
        "share_of_work": methods_s / work_s,
        "networks": [each["kind"] != "classical" for each in report["methods"]],
    }


def summarise(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds of one run, and the lowest and highest share."""
    timed = ("seconds", "methods_s", "scoring_s", "decoding_s", "rest_s", "command_s", "share", "share_of_work")
    shares = [each["share"] for each in rounds]
    return {
        "workers": rounds[0]["workers"],
        "cases": rounds[0]["cases"],
        "network_alone": rounds[0]["networks"] == [True],
        **{name: statistics.median(each[name] for each in rounds) for name in timed},
        "share_lowest": min(shares),
        "share_highest": max(shares),
    }


def speed_up(one: Sequence[Mapping[str, Any]], many: Sequence[Mapping[str, Any]]) -> float:
    """How many times faster the pass is by many processes: the median over rounds of two runs of the same round."""
    return statistics.median(
        turns.paired_ratios([[each["seconds"]] for each in one], [[each["seconds"]] for each in many])
    )


def summaries(runs: Sequence[Run], rounds: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One row per run, its speed-up beside the run of the same methods by the fewest processes."""
    by_run = dict(zip(runs, zip(*rounds, strict=True), strict=True))
    rows = []
    for run, measured in by_run.items():
        fewest = min((each for each in runs if each.title == run.title), key=lambda each: each.workers)
        row: dict[str, Any] = {
            "title": run.title,
            **summarise(measured),
            "speed_up": speed_up(by_run[fewest], measured),
        }
        rows.append({**row, "met": row["share"] >= AIM if row["network_alone"] else None})
    return rows


def markdown(report: dict[str, Any]) -> str:
    """The report as a table a page can hold."""
    cases = report["rows"][0]["cases"]
    lines = [
        f"`inpaintkit compare` on {cases} cases at {report['size']} px; medians of {report['rounds']} rounds.",
        "",
        *reports.machine_lines(report["conditions"]),
        "",
        "| methods | processes | pass, s | in the methods | scoring | reading | rest | "
        "in the methods, without the rest | speed-up | whole command, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(row) for row in report["rows"]]
    alone = [row for row in report["rows"] if row["met"] is not None]
    if alone:
        lines += ["", f"Networks alone are to spend at least {AIM:.0%} of the pass in their fills:", ""]
        lines += [
            f"- {row['title']}, {_processes(row['workers'])}: {row['share']:.1%}, {'met' if row['met'] else 'missed'}"
            for row in alone
        ]
    return "\n".join(lines) + "\n"


def _processes(count: int) -> str:
    return f"{count} process" + ("es" if count > 1 else "")


def _row(row: Mapping[str, Any]) -> str:
    all_s = row["workers"] * row["seconds"]
    parts = " | ".join(f"{row[name] / all_s:.1%}" for name in ("scoring_s", "decoding_s", "rest_s"))
    several = f" ({row['share_lowest']:.1%} to {row['share_highest']:.1%})"
    share = f"{row['share']:.1%}" + (several if row["share_lowest"] < row["share_highest"] else "")
    return (
        f"| {row['title']} | {row['workers']} | {row['seconds']:.1f} | {share} | {parts} | "
        f"{row['share_of_work']:.1%} | {row['speed_up']:.2f} | {row['command_s']:.1f} |"
    )


# --- The command -----------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--images", required=True, help="photos, as inpaintkit compare takes them")
    parser.add_argument("--masks", required=True, help="masks, or the name of a fixed set")
    parser.add_argument("--methods", default="default,glcic,gmcnn", help="by comma (default %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side in pixels (default 256)")
    parser.add_argument("--limit", type=int, help="only the first N photos")
    parser.add_argument("--workers", default="1,2", help="numbers of processes by comma (default 1,2)")
    parser.add_argument("--rounds", type=int, default=1, help="how often everything is run (default 1)")
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    given.workers = reports.whole_numbers(parser, given.workers, "--workers")
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run everything, round after round, and return the report."""
    methods = [each.strip() for each in given.methods.split(",") if each.strip()]
    if not methods:
        raise UsageError(f"--methods is '{given.methods}', expected one or more by comma")
    machine = turns.conditions(None)  # before the first process: the load average is of others
    runs = runs_of(methods, sorted(set(given.workers)))
    rounds: list[list[dict[str, Any]]] = []
    for number in range(given.rounds):
        measured: dict[Run, dict[str, Any]] = {}
        for run in runs if number % 2 == 0 else reversed(runs):
            measured[run] = run_once(run, given)
            print(f"round {number + 1}: {run.title}, {_processes(run.workers)}: done", file=sys.stderr)
        rounds.append([measured[run] for run in runs])
    rows = summaries(runs, rounds)
    return {"conditions": machine, "size": given.size, "rounds": given.rounds, "rows": rows, "measured": rounds}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write what was asked for; returns the exit status."""
    return reports.run("compare_overlap", parse(arguments), measure, markdown)


if __name__ == "__main__":
    raise SystemExit(main())
