"""`inpaintkit fill`: one photo, one mask, one whole photo."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from . import printable

if TYPE_CHECKING:
    from ..filling.inpainter import FillReport


def command(
    photo: Annotated[Path, typer.Argument(help="The photo: PNG, JPEG, WebP, TIFF or AVIF.", show_default=False)],
    *,
    mask: Annotated[Path, typer.Option("--mask", "-m", help="White = missing; the photo's size.", show_default=False)],
    output: Annotated[Path, typer.Option("--out", "-o", help="Where to write; its suffix is the format.")],
    model: Annotated[
        str, typer.Option(help="default, glcic, gmcnn, telea, ns, biharmonic, FILE.onnx, FILE.safetensors or a run.")
    ] = "default",
    engine: Annotated[str, typer.Option(help="What runs a network: auto, onnx, openvino or torch.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, or bfloat16 with openvino or torch.")] = "auto",
    grow: Annotated[int, typer.Option(help="Widen the mask by so many pixels first.", metavar="PX")] = 0,
    postprocess: Annotated[str, typer.Option(help="none, or poisson to blend the fill once more.")] = "none",
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the output.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Fill the missing part of a photo.

    Every pixel outside the mask stays as it is; profile, EXIF, alpha, bit depth and resolution are kept.
    """
    from ..filling.inpainter import Inpainter
    from ..masks import read_mask
    from ..photo import check_format, check_output, decode_photo, read_bytes, write_bytes, write_notes, write_photo

    output_format = check_output(output, force=True)
    if output.exists() and not force:
        raise UsageError(f"output '{output}' exists: name another file, or overwrite it with --force")
    inpainter = Inpainter(model, engine, precision=precision, grow=grow, postprocess=postprocess)
    if inpainter.engine.runtime == "torch":
        from ..models.runtime import keep_freed_memory

        keep_freed_memory()
    started = time.perf_counter()
    content = read_bytes(photo)  # once, because what comes through a pipe cannot be read again
    source = decode_photo(content, source=str(photo))
    check_format(source, output_format)
    missing = read_mask(mask, source.size)
    read_seconds = time.perf_counter() - started
    whole, report = inpainter.fill_photo_reported(source, missing)
    started = time.perf_counter()
    notes = [*whole.notes, *write_notes(whole, output_format)]
    if report.hole_pixels == 0 and source.format == output_format:
        write_bytes(content, output)
        notes = []
    else:
        write_photo(whole, output, force=force)
    facts = {
        "output": str(output),
        "photo": str(photo),
        "mask": str(mask),
        **_facts(report),
        "precision": inpainter.engine.describe().get("precision"),
        "read_seconds": round(read_seconds, 3),
        "write_seconds": round(time.perf_counter() - started, 3),
        "notes": notes,
    }
    _print(facts, as_json)


def _facts(report: "FillReport") -> dict[str, Any]:
    """What the fill did, for programs."""
    return {
        "model": report.model,
        "engine": report.runtime,
        "height": report.height,
        "width": report.width,
        "hole_pixels": report.hole_pixels,
        "hole_ratio": round(report.hole_ratio, 6),
        "regions": report.regions,
        "unchanged": report.hole_pixels == 0,
        "fill_seconds": round(report.seconds, 3),
    }


def _print(facts: dict[str, Any], as_json: bool) -> None:
    """One line for a person or one JSON object for a program; conversions go to standard error."""
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for note in facts["notes"]:
        typer.echo(f"note: {printable(note)}", err=True)
    output = printable(facts["output"])
    if facts["unchanged"]:
        typer.echo(f"wrote {output}: the mask is empty, the photo is unchanged")
        return
    typer.echo(
        f"wrote {output}: {100 * facts['hole_ratio']:.2g} % of {facts['width']} x {facts['height']} pixels "
        f"filled by {printable(facts['model'])} in {facts['fill_seconds']:.2f} s"
    )
