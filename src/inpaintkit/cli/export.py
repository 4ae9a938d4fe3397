"""`inpaintkit export`: a run or weights file as ONNX for the light side, or as a weights file to share."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ModelError, UsageError


def command(
    source: Annotated[Path, typer.Argument(help="A run's folder or a .safetensors weights file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="model.onnx, or weights.safetensors to keep training from.")],
    name: Annotated[
        str | None, typer.Option("--name", help="What the model calls itself; default: the file's.")
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Terms to write into the file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Export a trained generator and check the result against PyTorch."""
    if out.suffix not in {".onnx", ".safetensors"}:
        raise UsageError(f"--out {out}: expected a name that ends in .onnx or .safetensors")
    if out.exists() and not force:
        raise UsageError(f"{out}: exists already; give --force to replace it or another name")
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent}: no such folder; make it first")
    if not source.exists():
        raise ModelError(f"{source}: no such run or file; give the --out folder of a training or a .safetensors file")
    from ..export import export_tensors
    from ..models.published import read_generator_file, restore_generator, save_generator

    tensors, description = read_generator_file(source)
    restore_generator(tensors, description, str(source))
    description |= {"name": name or out.stem} | ({"licence": licence} if licence else {})
    report: dict[str, Any]
    if out.suffix == ".onnx":
        report = export_tensors(tensors, description, out, name=description["name"])
    else:
        save_generator(out, tensors, description, half=True)
        report = {"bytes": out.stat().st_size}
    report = {"file": str(out), "step": description.get("step"), **report}
    if as_json:
        typer.echo(json.dumps(report))
        return
    typer.echo(f"{out}: {report['bytes'] / 1e6:.1f} MB, trained to step {report['step']}")
    if "max_abs_error" in report:
        sizes = ", ".join(f"{h} x {w}" for h, w in report["sizes"])
        typer.echo(
            f"against PyTorch at {sizes}: largest difference {report['max_abs_error']:.1e}, "
            f"mean in the hole {report['mean_abs_error']:.1e}, known pixels equal: {report['known_pixels_equal']}"
        )
