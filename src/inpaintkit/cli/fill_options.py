"""What `inpaintkit fill` can be told: its options as one value, and which of them make no sense together.

Everything here is checked before a model or a photo is opened, so that a slip costs no time.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import PhotoError, UsageError, unknown_name

if TYPE_CHECKING:
    from ..masks.sources import Box

MANIFESTS = (".csv", ".jsonl")
"""Suffixes of a list of photos with their masks."""

SWITCH = ("auto", "on", "off")
ON_ERROR = ("skip", "stop")
PLAIN = ("none", "poisson")
SUBSAMPLING = ("4:4:4", "4:2:2", "4:2:0")
MOST_VARIANTS = 20

_MASK, _FILL, _OUTPUT, _MANY = "Mask", "Fill", "Output", "Many photos"


def named_photo(text: str) -> Path:
    """A photo's path as it was typed. Raises UsageError for an empty one, which a Path would take for this folder."""
    if not text:
        raise UsageError("missing photo: its name is empty, expected a photo, a folder or a list of photos: name one")
    return Path(text)


@dataclass(frozen=True, kw_only=True)
class Given:
    """One call of `inpaintkit fill` as it was typed; None where nothing was."""

    photo: Annotated[
        Path,
        typer.Argument(
            parser=named_photo,
            help="A photo, a folder of photos, or a list of them (.csv, .jsonl).",
            show_default=False,
        ),
    ]
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            "-m",
            metavar="MASK",
            help="A picture, white = missing; alpha; color:#ff00ff; a COCO or LabelMe .json. For many photos also a "
            "folder, or a pattern such as masks/{stem}.png.",
            rich_help_panel=_MASK,
        ),
    ] = None
    boxes: Annotated[
        list[str] | None,
        typer.Option("--box", metavar="T,L,H,W", help="Top, left, height, width; repeatable.", rich_help_panel=_MASK),
    ] = None
    invert: Annotated[bool, typer.Option("--invert", help="What the mask marks is kept.", rich_help_panel=_MASK)] = (
        False
    )
    tolerance: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="With color: how far a channel may be off. [default: 12]", rich_help_panel=_MASK
        ),
    ] = None
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="With a .json: this category; repeatable.", rich_help_panel=_MASK),
    ] = None
    grow: Annotated[
        str,
        typer.Option(metavar="PX|N%", help="Widen the mask first, in pixels or of each hole.", rich_help_panel=_MASK),
    ] = "0"
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="default, glcic, gmcnn, patch, telea, ns, biharmonic, FILE.onnx, FILE.safetensors or a run.",
            rich_help_panel=_FILL,
        ),
    ] = "default"
    engine: Annotated[
        str,
        typer.Option(metavar="NAME", help="What runs a network: auto, onnx, openvino or torch.", rich_help_panel=_FILL),
    ] = "auto"
    precision: Annotated[
        str,
        typer.Option(metavar="NAME", help="auto, float32, or bfloat16 with openvino or torch.", rich_help_panel=_FILL),
    ] = "auto"
    detail: Annotated[
        str,
        typer.Option(
            metavar="auto|on|off", help="Texture from the photo where a fill is smooth.", rich_help_panel=_FILL
        ),
    ] = "auto"
    grain: Annotated[
        str, typer.Option(metavar="auto|on|off", help="The photo's own grain in the fill.", rich_help_panel=_FILL)
    ] = "auto"
    postprocess: Annotated[
        str, typer.Option(metavar="NAME", help="none, or poisson to blend the fill once more.", rich_help_panel=_FILL)
    ] = "none"
    variants: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_VARIANTS, metavar="N", help="Offer so many fills: OUT-1.png, ...", rich_help_panel=_FILL
        ),
    ] = None
    seed: Annotated[int, typer.Option(metavar="N", help="Of grain, texture and variants.", rich_help_panel=_FILL)] = 0
    memory: Annotated[
        str | None,
        typer.Option(metavar="2GB", help="Work in pieces that need no more than this.", rich_help_panel=_FILL),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Of the network; all cores if left out.", rich_help_panel=_FILL),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File (its suffix is the format); folder for many.", rich_help_panel=_OUTPUT),
    ] = None
    format: Annotated[
        str | None,
        typer.Option(metavar="keep|png|...", help="Of many photos, or for want of a suffix.", rich_help_panel=_OUTPUT),
    ] = None
    quality: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, metavar="N", help="Of JPEG, WebP, AVIF; else the photo's.", rich_help_panel=_OUTPUT
        ),
    ] = None
    subsampling: Annotated[
        str | None, typer.Option(metavar="4:2:0", help="Of JPEG; else the photo's.", rich_help_panel=_OUTPUT)
    ] = None
    explain: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Draw what is cropped into this file.", rich_help_panel=_OUTPUT),
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; fill nothing.", rich_help_panel=_OUTPUT)
    ] = False
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite.", rich_help_panel=_OUTPUT)] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_OUTPUT)] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.", rich_help_panel=_OUTPUT)] = (
        False
    )
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders inside the folder too.", rich_help_panel=_MANY)
    ] = False
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="So many processes. [default: 1, on a cluster all]", rich_help_panel=_MANY
        ),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on: what is whole is not done again.", rich_help_panel=_MANY)
    ] = False
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only this part of the photos: 1/8 to 8/8.", rich_help_panel=_MANY)
    ] = None
    on_error: Annotated[
        str | None,
        typer.Option(metavar="skip|stop", help="After a photo that fails. [default: skip]", rich_help_panel=_MANY),
    ] = None
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on this Ray cluster; needs inpaintkit[ray].", rich_help_panel=_MANY),
    ] = None

    @property
    def is_manifest(self) -> bool:
        """Whether the photos are given as a list."""
        return self.photo.suffix.lower() in MANIFESTS and not self.photo.is_dir()

    @property
    def is_many(self) -> bool:
        """Whether this is a batch: a folder, or a list of photos."""
        return self.is_manifest or self.photo.is_dir()

    @property
    def tells(self) -> bool:
        """Whether a person watches: notes and the bar are for people."""
        return not (self.quiet or self.as_json)


def check_given(given: Given) -> None:
    """Refuse what makes no sense, before any work. Raises UsageError."""
    for option, value, valid in (
        ("--detail", given.detail, SWITCH),
        ("--grain", given.grain, SWITCH),
        ("--postprocess", given.postprocess, PLAIN),
        ("--on-error", given.on_error, ON_ERROR),
        ("--subsampling", given.subsampling, SUBSAMPLING),
    ):
        if value is not None and value not in valid:
            raise UsageError(unknown_name(option, value, valid))
    _check_place(given)
    _check_mask(given)
    if given.is_many:
        _check_many(given)
    else:
        _check_one(given)


def given_boxes(given: Given) -> "tuple[Box, ...]":
    """The boxes as (top, left, height, width). Raises UsageError."""
    if not given.boxes:
        return ()
    from ..masks.sources import parse_box

    return tuple(parse_box(box) for box in given.boxes)


def mask_kind(mask: str | None) -> str:
    """What --mask names: "none", "alpha", "color", or "path" (a picture, annotations, a folder, a pattern)."""
    if mask is None:
        return "none"
    if mask.lower() == "alpha":
        return "alpha"
    return "color" if re.match(r"colou?r:", mask, re.IGNORECASE) else "path"


def _check_mask(given: Given) -> None:
    """What is missing must be said, and only once it is known how may it be tuned."""
    kind = mask_kind(given.mask)
    if given.mask is not None and not given.mask.strip():
        raise UsageError(
            "missing mask: --mask is empty, expected a file, alpha or color:#ff00ff: name one, or leave it out"
        )
    given_boxes(given)
    listed = given.is_manifest  # it names its masks itself
    if kind == "none" and not given.boxes and not listed:
        ways = "--mask FILE, --mask alpha, --mask color:#ff00ff or --box T,L,H,W"
        if given.is_many:
            ways = "--mask with a folder, one file for all, a pattern such as masks/{stem}.png, alpha or color:#ff00ff"
        raise UsageError(f"nothing says what is missing in '{given.photo}': give {ways}")
    if given.tolerance is not None and kind != "color" and not listed:
        raise UsageError("--tolerance is for a marker colour: give --mask color:#ff00ff as well, or leave it out")
    if given.tolerance is not None and not 0 <= given.tolerance <= 255:
        raise UsageError(f"--tolerance {given.tolerance}: expected 0 to 255, of a colour's 8-bit values")
    if given.labels and kind != "path" and not listed:
        raise UsageError("--label is for the categories of a COCO or LabelMe file: give --mask FILE.json as well")


def _check_place(given: Given) -> None:
    """An output there must be, unless nothing is written."""
    if given.output is None and (given.is_many or not given.dry_run):
        raise UsageError("missing option '--out' / '-o': say where to write")
    if given.output is None and (given.format or given.quality or given.subsampling):
        raise UsageError("--format, --quality and --subsampling are of the output: give -o as well, or leave them out")


def _check_one(given: Given) -> None:
    """What is for many photos only."""
    only_many: dict[str, object] = {
        "--recursive": given.recursive,
        "--jobs": given.jobs,
        "--resume": given.resume,
        "--shard": given.shard,
        "--on-error": given.on_error,
        "--cluster": given.cluster,
    }
    wrong = [f"{option} is" for option, value in only_many.items() if value]
    if given.mask is not None and mask_kind(given.mask) == "path" and not Path(given.mask).is_file():
        wrong += [f"--mask '{given.mask}' is a folder and"] if Path(given.mask).is_dir() else []
        wrong += [f"--mask '{given.mask}' is a pattern and"] if "{" in given.mask else []
    if wrong and not given.photo.exists():
        raise PhotoError(
            f"cannot read '{given.photo}': no such file or folder, expected a photo, a folder of photos, or a list of "
            "them: check the name"
        )
    if wrong:
        raise UsageError(
            f"{wrong[0]} for a folder or a list of photos, and '{given.photo}' is one photo: give what is for one, or "
            "name a folder, a .csv or a .jsonl"
        )
    if given.variants is not None and given.dry_run:
        raise UsageError("--variants and --dry-run exclude each other: a dry run fills nothing that could be ranked")


def _check_many(given: Given) -> None:
    """What is for one photo only, and what a batch cannot have together."""
    kind = "a list of photos" if given.is_manifest else "a folder"
    only_one: dict[str, object] = {"--variants": given.variants, "--explain": given.explain}
    for option, value in only_one.items():
        if value is not None:
            raise UsageError(f"{option} is for one photo, and '{given.photo}' is {kind}: leave it out, or name a photo")
    _check_folder(given, kind)
    if given.is_manifest:
        named: dict[str, object] = {"--mask": given.mask, "--box": given.boxes, "--recursive": given.recursive}
        for option, value in named.items():
            if value:
                raise UsageError(
                    f"{option} is not for a list of photos: '{given.photo}' names each photo and what is missing in it"
                )


def _check_folder(given: Given, kind: str) -> None:
    """A folder that is called like a photo is a slip."""
    from ..photo import SUFFIXES

    output = given.output
    if output is not None and not output.is_dir() and (output.exists() or output.suffix.lower() in SUFFIXES):
        raise UsageError(
            f"output '{output}' looks like a file, and '{given.photo}' is {kind}: name a folder, or make it first"
        )
