"""What the benchmarks' commands have in common: report options, the machine's lines, and how a run ends."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inpaintkit.errors import InpaintError, UsageError

QUIET_LOAD = 0.5
"""A load average above this before the start says that others were at work."""


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows a script's docstring as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_turn_options(parser: argparse.ArgumentParser, rounds: int) -> None:
    """Options of scripts whose variants take turns, as `turns.py` has it; `rounds` is the default."""
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of every variant (default {rounds})")
    parser.add_argument("--threads", type=int, help="threads of every variant (default: each library's own)")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Where the report goes besides standard output."""
    parser.add_argument("--json", type=Path, help="write everything here, every single value included")
    parser.add_argument("--markdown", type=Path, help="write the tables here too")


def check_options(parser: argparse.ArgumentParser, given: argparse.Namespace, *files: Path | None) -> None:
    """End with a usage error for numbers below 1, and for a report or one of `files` that has no folder to go to."""
    rounds, threads = getattr(given, "rounds", 1), getattr(given, "threads", None)
    if rounds < 1 or (threads is not None and threads < 1):
        parser.error("--rounds and --threads must be 1 or more")
    for path in (given.json, given.markdown, *files):
        if path is not None and not path.resolve().parent.is_dir():
            parser.error(f"cannot write {path}: its folder does not exist")


def chosen(parser: argparse.ArgumentParser, asked: str, kind: str, known: Sequence[str]) -> list[str]:
    """Names by comma, in the order of the known ones; ends with a usage error for another."""
    names = asked.split(",")
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"unknown {kind} {', '.join(unknown)}: valid are {', '.join(known)}")
    return [name for name in known if name in names]


def whole_numbers(
    parser: argparse.ArgumentParser, asked: str, option: str, *, lowest: int = 1, multiple: int = 1
) -> list[int]:
    """Numbers by comma; ends with a usage error for what is none, is too small, or no multiple of `multiple`."""
    try:
        numbers = [int(each) for each in asked.split(",")]
    except ValueError:
        numbers = []
    if not numbers or any(number < lowest or number % multiple for number in numbers):
        of = f"multiples of {multiple}" if multiple > 1 else "whole numbers"
        parser.error(f"{option} is '{asked}', expected {of} from {lowest} on, by comma")
    return numbers


def machine_lines(machine: dict[str, Any], *, torch_threads: int | None = None, settings: str = "") -> list[str]:
    """The conditions of `turns.conditions` as list items; `settings` stand between threads and versions."""
    bfloat16 = {True: "with", False: "without", None: "perhaps with"}[machine["bfloat16_instructions"]]
    pytorch = f" (PyTorch: {torch_threads})" if torch_threads else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    load = " ".join(map(str, machine["load_average_before"]))
    busy = machine["load_average_before"][0] > QUIET_LOAD
    return [
        f"- {machine['processor']}, {machine['cores']} cores, {bfloat16} bfloat16 instructions; {machine['system']}",
        "; ".join(filter(None, (f"- threads: {machine['threads']}{pytorch}", settings, versions))),
        f"- load average before the start: {load}"
        + (" (other work was running: only the ratios mean something)" if busy else ""),
    ]


def emit(given: argparse.Namespace, tables: str, report: dict[str, Any]) -> None:
    """Print the tables, and write them and the whole report where that was asked for."""
    print(tables, end="")
    if given.markdown:
        given.markdown.write_text(tables, encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def run(
    name: str,
    given: argparse.Namespace,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    markdown: Callable[[dict[str, Any]], str],
    *,
    serve: Callable[[dict[str, Any]], None] | None = None,
    fault: Callable[[dict[str, Any]], str] | None = None,
) -> int:
    """Measure and report, or with `--worker` serve as a measured process; returns the exit status.

    That is 0; 1 for an InpaintError or where `fault` finds something to say of the report; 2 for a UsageError. Errors
    and faults are printed as one line that names the script.
    """
    try:
        if serve is not None and given.worker is not None:
            serve(given.worker)
            return 0
        report = measure(given)
    except InpaintError as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    emit(given, markdown(report), report)
    found = fault(report) if fault is not None else ""
    if found:
        print(f"{name}: {found}", file=sys.stderr)
    return 1 if found else 0
