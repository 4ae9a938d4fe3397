"""`inpaintkit train`: parse, build the run, run it, print what came of it."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError


def command(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name or a .toml file.")],
    data: Annotated[str, typer.Option("--data", help="Folder, .txt list or tar shards ('train-{000..008}.tar').")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run: checkpoints, log, sample sheets.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one value of the recipe; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")] = False,
    init_from: Annotated[str | None, typer.Option("--init-from", help="Weights file or run to start from.")] = None,
    go_on: Annotated[
        bool, typer.Option("--continue", help="With --init-from: start at the step stored there.")
    ] = False,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="9m", help="Save and stop after this time: 90s, 9m or 2h.")
    ] = None,
    accelerator: Annotated[str, typer.Option("--accelerator", help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Train a system by a recipe on your own photos."""
    limit = None if time_limit is None else seconds(time_limit)
    from ..models.runtime import keep_freed_memory
    from ..recipes import read_recipe
    from ..recipes.start import start_training

    keep_freed_memory()
    beginning = start_training(
        read_recipe(recipe, overrides or ()),
        data,
        out,
        resume=resume,
        init_from=init_from,
        go_on=go_on,
        accelerator=accelerator,
        threads=threads,
    )
    training = beginning.training
    for note in beginning.notes:
        typer.echo(note, err=True)
    ended = training.run(time_limit_s=limit)
    unreadable = training.stream.photos.unreadable
    if unreadable:
        typer.echo(f"{len(unreadable)} of {len(training.stream.photos)} photos could not be read", err=True)
    outcome = {"ended": ended, "step": training.step, "out": str(out), "unreadable": len(unreadable)}
    typer.echo(json.dumps(outcome) if as_json else f"{ended} at step {training.step}; the run is in {out}")


def seconds(text: str) -> float:
    """'90s', '9m', '2h' or a plain number of seconds as seconds. Raises: UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match:
        raise UsageError(f"--time-limit {text}: expected a number with s, m or h, for example 9m")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
