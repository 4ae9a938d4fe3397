"""What `inpaintkit compare` can be told: its options as one value, and which of them make no sense together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError

DEFAULT_SIZE = 256
ORIGINAL = "original"
SMALLEST_SIZE = 16
LARGEST_SIZE = 8192

_WHAT, _HOW, _REPORT = "What is compared", "How it is measured", "The report"


@dataclass(frozen=True, kw_only=True)
class Given:
    """One call of `inpaintkit compare` as it was typed; None where nothing was."""

    images: Annotated[
        str | None,
        typer.Option("--images", metavar="DIR|TAR|LIST", help="The photos.", rich_help_panel=_WHAT),
    ] = None
    masks: Annotated[
        str | None,
        typer.Option(
            "--masks",
            metavar="SET|DIR|TAR",
            help="A fixed set (inpaintkit masks list) or mask files; several by comma, each a table of its own.",
            rich_help_panel=_WHAT,
        ),
    ] = None
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            help="By comma: what fill --model takes. NAME+detail fills as `inpaintkit fill` does, NAME alone is the "
            "network's own fill; LABEL=MODEL renames.",
            rich_help_panel=_WHAT,
        ),
    ] = "default,telea,ns"
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", help="article or removal, in place of --masks.", rich_help_panel=_WHAT),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, metavar="N", help="Only the first N photos.", rich_help_panel=_WHAT),
    ] = None
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="PX",
            help="Side that photos and masks are brought to, or original. [default: 256]",
            rich_help_panel=_HOW,
        ),
    ] = None
    engine: Annotated[
        str,
        typer.Option("--engine", help="Runtime of networks: onnx, openvino, torch, auto.", rich_help_panel=_HOW),
    ] = "onnx"
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            metavar="WEIGHTS",
            help="Feature distance and texture by own, imagenet or FILE (VGG19).",
            rich_help_panel=_HOW,
        ),
    ] = None
    lpips: Annotated[
        str | None,
        typer.Option(
            "--lpips", metavar="WEIGHTS", help="LPIPS by FILE, download or download-vgg16.", rich_help_panel=_HOW
        ),
    ] = None
    inception: Annotated[
        str | None,
        typer.Option("--inception", metavar="WEIGHTS", help="FID, KID by FILE or download.", rich_help_panel=_HOW),
    ] = None
    costs: Annotated[
        bool,
        typer.Option("--costs/--no-costs", help="Time, memory and size of each method.", rich_help_panel=_HOW),
    ] = True
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, help="Of the removal set, the study and KID.", rich_help_panel=_HOW),
    ] = 0
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            max=1024,
            metavar="N",
            help="Processes, one thread each; scores do not depend on it. [default: one per core]",
            rich_help_panel=_HOW,
        ),
    ] = None
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the report.", rich_help_panel=_REPORT)
    ] = Path("comparison")
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what --out holds.", rich_help_panel=_REPORT)] = (
        False
    )
    rows: Annotated[
        int,
        typer.Option("--rows", min=0, max=1000, help="Photos that the page shows.", rich_help_panel=_REPORT),
    ] = 24
    keep_fills: Annotated[
        bool, typer.Option("--keep-fills", help="Keep the fills of all photos.", rich_help_panel=_REPORT)
    ] = False
    study: Annotated[bool, typer.Option("--study", help="Also a page for human judges.", rich_help_panel=_REPORT)] = (
        False
    )
    answers: Annotated[
        str | None,
        typer.Option(
            "--answers",
            metavar="FILES",
            help="Only count what judges of the study in --out saved.",
            rich_help_panel=_REPORT,
        ),
    ] = None
    title: Annotated[str, typer.Option("--title", help="The page's heading.", rich_help_panel=_REPORT)] = ""
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.", rich_help_panel=_REPORT)] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.", rich_help_panel=_REPORT)] = False

    @property
    def pixels(self) -> int | None:
        """The side that everything is brought to; None: as it is. Raises UsageError."""
        if self.size is None:
            return DEFAULT_SIZE
        if self.size == ORIGINAL:
            return None
        is_number = self.size.isascii() and self.size.isdigit()
        if not is_number or not SMALLEST_SIZE <= int(self.size) <= LARGEST_SIZE:
            raise UsageError(
                f"--size is '{self.size}', expected pixels from {SMALLEST_SIZE} to {LARGEST_SIZE}, or {ORIGINAL}"
            )
        return int(self.size)


def check_given(order: Given) -> None:
    """Raise UsageError for what is missing, and for options that exclude each other."""
    if order.answers is not None:
        return
    if not order.images:
        raise UsageError("--images is missing, expected a folder, a list or a tar of photos")
    if order.protocol is None and order.masks is None:
        raise UsageError("--masks is missing, expected a fixed set (inpaintkit masks list), a folder or a tar")
    if order.protocol is not None and order.masks is not None:
        raise UsageError(f"--protocol {order.protocol} says which masks are used: leave out --masks")
    _ = order.pixels
