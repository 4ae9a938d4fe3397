"""The command line: `inpaintkit VERB`. One file per verb: parse, call one function, print.

A verb is one line in `VERBS`; its module has a function `command`, whose parameters are the options, or a table
`COMMANDS` of functions where the verb has verbs of its own. It is imported only when the verb is called, so that help
stays quick and needs neither PyTorch nor a model. A command returns its exit status (None is 0): 0 done, 1 it failed,
2 it was called wrongly, 130 interrupted.
"""

import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from .. import __version__
from ..errors import InpaintError, UsageError, unknown_name

VERBS = {
    "fill": ("inpaintkit.cli.fill", "Fill the missing part of a photo."),
    "serve": ("inpaintkit.cli.serve", "Edit photos in the browser, and answer programs over HTTP."),
    "demo": ("inpaintkit.cli.demo", "Fill a photo that ships with the package and show the result."),
    "doctor": ("inpaintkit.cli.doctor", "Print versions, engines and models, and whether all is well."),
    "train": ("inpaintkit.cli.train", "Train a network on a folder of photos or tar shards."),
    "compare": ("inpaintkit.cli.compare", "Fill the same photos and masks by several methods: numbers, a page."),
    "metrics": ("inpaintkit.cli.metrics", "Measure one fill against the photo as it was."),
    "masks": ("inpaintkit.cli.masks", "Make, list and check fixed sets of masks to measure on."),
    "export": ("inpaintkit.cli.export", "Turn a training run into an ONNX file, with a check against torch."),
}
"""Verb to the module that holds its `command`, and its line in `inpaintkit --help`."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells expect it."""

EXTRAS = {
    "torch": "train",
    "lightning": "train",
    "torchmetrics": "train",
    "safetensors": "train",
    "pydantic": "train",
    "tensorboard": "train",
    "tqdm": "train",
    "filelock": "train",
    "onnx": "train",
    "onnxscript": "train",
    "skimage": "classical",
    "fastapi": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "multipart": "serve",
    "python_multipart": "serve",
}
"""Optional packages, and the extra that brings them."""


class _Verbs(TyperGroup):
    """A group that lists its verbs from the table and loads only the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What the list of verbs shows; the command itself is loaded by `resolve_command`."""
        return TyperCommand(cmd_name, help=VERBS[cmd_name][1]) if cmd_name in VERBS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb named first in `args`, loaded."""
        if args[0] not in VERBS:
            raise UsageError(unknown_name("command", args[0], VERBS))
        return args[0], _load(args[0]), args[1:]


class _Verb(TyperCommand):
    """A verb whose help lists its options under the headings that they name (`rich_help_panel`), in plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments first, then each heading in the order of its first option; options without one come last."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        plain: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            heading = getattr(parameter, "rich_help_panel", None)
            if row is not None and parameter.param_type_name == "argument":
                rows["Arguments"].append(row)
            elif row is not None:
                (rows.setdefault(heading, []) if heading else plain).append(row)
        others = "Other options" if len(rows) > 1 else "Options"
        for heading, listed in [*rows.items(), (others, plain)]:
            if listed:
                with formatter.section(heading):
                    formatter.write_dl(listed)


class _Subverbs(TyperGroup):
    """The verbs of a verb, such as `make` of `masks`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb named first in `args`."""
        if args[0] not in self.commands:
            raise UsageError(unknown_name(f"command of {ctx.info_name}", args[0], self.commands))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """A verb alone shows its help."""
        return super().parse_args(ctx, args or ["--help"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; errors a person can mend are one line on standard error."""
    warnings.filterwarnings("ignore", module="PIL")  # what it says about damaged files, we say in one line of our own
    # A stream that the caller closed is None. The null device takes its number too, which the next file opened would
    # have, and with it whatever a library prints.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _application()(given or ["--help"], standalone_mode=False, prog_name="inpaintkit")
        sys.stdout.flush()
        if status == INTERRUPTED:  # some versions of the parser swallow the interrupt and return this
            raise KeyboardInterrupt
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - nothing may be written at exit
        return 1
    except (Exception, KeyboardInterrupt) as error:
        told = _explained(error)
        if told is None:
            raise
        message, status = told
        try:
            sys.stdout.flush()
        except OSError:  # a full disk; Python would try once more at exit and complain
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        print(f"inpaintkit: {printable(' '.join(message.split()))}", file=sys.stderr)
    return status if isinstance(status, int) else 0


def printable(text: str) -> str:
    """The text on one line: line breaks and other control characters, as a file's name may hold them, are escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def tell(lines: Sequence[str], done: str) -> None:
    """Print lines; where standard output takes none, such as a file on a full disk, the error says what is `done`.

    Raises InpaintError.
    """
    try:
        for line in lines:
            typer.echo(line)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InpaintError(
            f"cannot print to standard output ({error.strerror or error}), expected a place with room: {done}"
        ) from error


def _application() -> Any:
    """The command line as a callable."""
    application = typer.Typer(
        cls=_Verbs,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(_inpaintkit)
    return typer.main.get_command(application)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"inpaintkit {__version__}")
        raise typer.Exit


def _inpaintkit(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_show_version, is_eager=True),
) -> None:
    """Mark what is missing in a photo and get the photo back whole."""


def _load(name: str) -> Any:
    """A verb's command, from its module's function `command`, or a group of those in its table `COMMANDS`."""
    module = importlib.import_module(VERBS[name][0])
    settings = {"help_option_names": ["-h", "--help"]}
    application = typer.Typer(
        cls=_Subverbs, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    if not hasattr(module, "COMMANDS"):
        application.command(name, cls=_Verb, context_settings=settings)(module.command)
        return typer.main.get_command(application)
    application.callback(context_settings=settings, help=VERBS[name][1])(_nothing)
    for subverb, (function, line) in module.COMMANDS.items():
        application.command(subverb, cls=_Verb, short_help=line, context_settings=settings)(function)
    return typer.main.get_command(application)


def _nothing() -> None:
    """What a verb with verbs of its own does before one of them runs."""


def _explained(error: BaseException) -> tuple[str, int] | None:
    """One line and the exit status for an error that a person can mend; None for a defect of ours."""
    match error:
        case InpaintError():
            told = str(error), 2 if isinstance(error, UsageError) else 1
        case KeyboardInterrupt() | typer.Abort():
            told = "interrupted", INTERRUPTED
        case MemoryError():
            told = "not enough memory: fill a smaller photo, or close other programs", 1
        case ModuleNotFoundError() if (package := (error.name or "").partition(".")[0]) in EXTRAS:
            told = f"this needs the package '{package}': pip install 'inpaintkit[{EXTRAS[package]}]'", 1
        case ImportError() if not (error.name or "").startswith("inpaintkit"):
            told = f"a library cannot be loaded ({error}): run inpaintkit doctor, and reinstall what it names", 1
        case OSError():
            where = f" '{error.filename}'" if error.filename else ""
            told = f"{error.strerror or error}{where}: check that the path can be read and written", 1
        case _ if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the parser's own errors
            told = f"{error.format_message()} (see inpaintkit --help)", int(error.exit_code)
        case _:
            return None
    return told
