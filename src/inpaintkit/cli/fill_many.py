"""Many photos from the command line: find them, fill what is left to do, tell each failure and the sum."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from . import printable, tell
from .fill_one import check_quality
from .fill_options import Given, given_boxes
from .progress import ProgressBar

if TYPE_CHECKING:
    from pathlib import Path

    from ..filling.batch import ItemList, Progress, Settings, Summary

SHOWN_NOTES = 5
"""Notes about single photos that are printed; the journal has them all."""


def fill_many(given: Given) -> int:
    """Fill a folder or a list of photos as it was asked for and print what came of it. Returns the exit status."""
    from ..filling.batch import journal_file, shard

    settings = _settings(given)
    items = _items(given)
    if given.shard is not None:
        items = shard(items, given.shard)
    assert given.output is not None
    journal = journal_file(given.output, given.shard)
    if given.tells:
        for note in items.notes:
            typer.echo(f"note: {printable(note)}", err=True)
    if given.dry_run:
        return _print_plan(given, items, settings, journal)
    notes: Counter[str] = Counter()
    try:
        with ProgressBar(f"filling {printable(given.photo.name)}", wanted=given.tells) as bar:
            summary = _run(given, items, settings, journal, _Watch(bar, notes))
    except KeyboardInterrupt:
        if not given.quiet:
            typer.echo("what is filled is whole: go on with the same command and --resume", err=True)
        raise
    notes.update(summary.notes)
    _print(given, summary, notes)
    return summary.exit_status


def _settings(given: Given) -> "Settings":
    """What every process needs to know. Raises UsageError for what no photo could be filled with."""
    from ..filling.batch import Settings
    from ..filling.memory import parse_memory
    from ..masks.sources import growth_of
    from ..photo import SUFFIXES

    if given.format and f".{given.format.lower()}" in SUFFIXES:
        check_quality(given, SUFFIXES[f".{given.format.lower()}"])
    return Settings(
        model=given.model,
        engine=given.engine,
        precision=given.precision,
        grow=growth_of(given.grow),
        postprocess=given.postprocess,
        detail=given.detail,
        grain=given.grain,
        memory=None if given.memory is None else parse_memory(given.memory),
        seed=given.seed,
        threads=given.threads,
        boxes=given_boxes(given),
        invert=given.invert,
        tolerance=given.tolerance,
        labels=tuple(given.labels or ()),
        quality=given.quality,
        subsampling=given.subsampling,
    )


def _items(given: Given) -> "ItemList":
    """What there is to fill."""
    from ..filling.batch import find_items, read_manifest

    assert given.output is not None
    format = None if given.format is None or given.format.lower() == "keep" else given.format
    if given.is_manifest:
        return read_manifest(given.photo, given.output, format=format)
    return find_items(given.photo, given.mask, given.output, recursive=given.recursive, format=format)


class _Watch:
    """Told how far the batch has come: moves the bar, prints a failure as it happens, counts notes."""

    def __init__(self, bar: ProgressBar, notes: "Counter[str]") -> None:
        self._bar, self._notes = bar, notes

    def __call__(self, progress: "Progress") -> bool:
        """Take note of it; True, to go on."""
        entry = progress.entry
        if entry is not None:
            self._notes.update(entry.notes)
            if entry.status == "failed":
                self._bar.say(printable(f"failed {entry.photo}: {entry.error}"))
        behind = progress.done + progress.failed + progress.skipped
        return self._bar(
            progress.share,
            f"{behind:,} of {progress.total:,}",
            share_before=progress.skipped / progress.total if progress.total else 0,
        )


def _run(given: Given, items: "ItemList", settings: "Settings", journal: "Path", watch: _Watch) -> "Summary":
    """Fill the items, here or on a cluster."""
    options: dict[str, Any] = {
        "journal": journal,
        "resume": given.resume,
        "force": given.force,
        "on_error": given.on_error or "skip",
        "progress": watch,
    }
    if given.cluster is not None:
        from ..filling.cluster import cluster_address, fill_on_cluster

        return fill_on_cluster(items, settings, address=cluster_address(given.cluster), workers=given.jobs, **options)
    from ..filling.batch import fill_items

    return fill_items(items, settings, jobs=given.jobs or 1, **options)


def _print_plan(given: Given, items: "ItemList", settings: "Settings", journal: "Path") -> int:
    """What would be filled, for --dry-run; failures that are known already make the status 1."""
    from ..filling.batch import plan_items

    plan = plan_items(items, settings, journal=journal, resume=given.resume, force=given.force)
    waiting = [items[place] for place in plan.to_do]
    faults = [item for item in waiting if item.fault is not None]
    if given.as_json:
        listed = [
            {"photo": item.photo, "mask": item.mask, "output": item.output, "fault": item.fault} for item in waiting
        ]
        facts: dict[str, Any] = {"dry_run": True, "total": len(items), "skipped": plan.skipped, "to_do": listed}
        typer.echo(json.dumps(facts))
        return 1 if faults else 0
    for item in faults:
        typer.echo(printable(f"would fail {item.photo}: {item.fault}"), err=True)
    if not given.quiet:
        for item in waiting:
            if item.fault is None:
                mask = f" with {item.mask}" if item.mask is not None else ""
                typer.echo(printable(f"{item.photo}{mask} -> {item.output}"))
        possible = len(waiting) - len(faults)
        typer.echo(
            f"nothing was filled (--dry-run): {possible:,} to do, {plan.skipped:,} whole already, "
            f"{len(faults):,} would fail"
        )
    return 1 if faults else 0


def _print(given: Given, summary: "Summary", notes: "Counter[str]") -> None:
    """One line for a person, or one object for a program."""
    pace = summary.done / summary.seconds if summary.seconds > 0 else 0.0
    done = f"{summary.done:,} photos are written, and the journal is '{summary.journal}'"
    if given.as_json:
        facts = {
            "output": str(given.output),
            "total": summary.total,
            "done": summary.done,
            "skipped": summary.skipped,
            "failed": summary.failed,
            "stopped": summary.stopped,
            "seconds": round(summary.seconds, 3),
            "photos_per_second": round(pace, 3),
            "journal": str(summary.journal),
            "failures": [{"photo": entry.photo, "error": entry.error} for entry in summary.failures],
        }
        tell([json.dumps(facts)], done)
    elif not given.quiet:
        for note, count in notes.most_common(SHOWN_NOTES):
            typer.echo(f"note: {printable(note)} ({count:,} photo{'' if count == 1 else 's'})", err=True)
        if len(notes) > SHOWN_NOTES:
            typer.echo(f"note: {len(notes) - SHOWN_NOTES:,} more kinds of notes are in the journal", err=True)
        stopped = ", stopped at a failure" if summary.stopped else ""
        line = (
            f"filled {summary.done:,} of {summary.total:,} photos in {summary.seconds:.1f} s ({pace:.2f} a second), "
            f"{summary.skipped:,} skipped, {summary.failed:,} failed{stopped}; journal: "
            f"{printable(str(summary.journal))}"
        )
        tell([line], done)
