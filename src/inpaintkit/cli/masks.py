"""`inpaintkit masks`: make a fixed set of masks to measure on, list the sets, check that a folder still holds one."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from . import printable, tell

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def make(
    name: Annotated[str, typer.Argument(metavar="SET", help="A name that `inpaintkit masks list` shows.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="A new or an empty folder.")],
    as_json: AsJson = False,
) -> None:
    """Write a set: PNGs of one bit, white = missing, and manifest.json with the SHA-256 of each and of all."""
    from ..masks.benchmark import write_set

    manifest = write_set(name, out)
    if as_json:
        told = json.dumps({"folder": str(out), **asdict(manifest)})
    else:
        told = (
            f"{printable(str(out))}: {_masks(manifest.count)} of {manifest.size} x {manifest.size}, "
            f"SHA-256 {manifest.sha256}"
        )
    tell([told], f"the set is in '{out}'")


def show(as_json: AsJson = False) -> None:
    """List the sets: name, how many masks, what they are, and the beginning of their SHA-256."""
    from ..masks.benchmark import MASK_SETS

    if as_json:
        lines = [json.dumps([asdict(each) for each in MASK_SETS.values()])]
    else:
        widest = max(map(len, MASK_SETS))
        lines = [
            f"{each.name:<{widest}}  {_masks(each.count):>9}  {each.sha256[:12]}  {each.about}"
            for each in MASK_SETS.values()
        ]
    tell(lines, "nothing else was to be done")


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `inpaintkit masks make` wrote.")],
    as_json: AsJson = False,
) -> int:
    """Look for changed, missing and extra files; exit status 1 when the folder is not the set that it says."""
    from ..masks.benchmark import check_set

    found = check_set(folder)
    if as_json:
        parts = {key: value for key, value in asdict(found).items() if key != "manifest"}
        report = {"folder": str(folder), "set": found.manifest.name, "sha256": found.manifest.sha256}
        lines = [json.dumps({**report, "well": not found.problems, **parts})]
    elif found.problems:
        lines = [printable(f"{folder}: {problem}") for problem in found.problems]
    else:
        lines = [
            printable(f"{folder}: the set '{found.manifest.name}', {_masks(found.manifest.count)}, all as written")
        ]
    tell(lines, "nothing else was to be done")
    return 1 if found.problems else 0


def _masks(count: int) -> str:
    return f"{count} mask{'' if count == 1 else 's'}"


COMMANDS = {
    "make": (make, "Write a set into a new folder."),
    "list": (show, "List the sets."),
    "check": (check, "Check that a folder holds a set as it was written."),
}
"""What `masks` can be told to do: the function and its line in the help."""
