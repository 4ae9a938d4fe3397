"""`inpaintkit metrics`: one fill measured against the photo as it was."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import MaskError, PhotoError, UsageError
from . import printable, tell

if TYPE_CHECKING:
    import numpy as np

    from ..photo import Photo

Facts = dict[str, Any]

UNDEFINED = {"sharpness": "the photo is flat in the hole", "ms_ssim": "a side has 160 pixels or less"}
"""Why a metric has no value for some photos."""


def command(
    truth: Annotated[Path, typer.Argument(help="The photo as it was.", show_default=False)],
    filled: Annotated[Path, typer.Argument(help="The photo filled.", show_default=False)],
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            "-m",
            metavar="MASK",
            help="What was filled: a picture, white = missing, or whatever else fill takes. Without it the whole image "
            "is measured, and nothing about the hole.",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Feature distance and texture by own, imagenet or FILE (VGG19)."),
    ] = None,
    lpips: Annotated[
        str | None, typer.Option(metavar="FILE", help="LPIPS with weights in FILE, or download (AlexNet).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Measure a fill against the photo as it was: every metric with its unit and direction.

    Orientation is applied first; pixels of 16 bits are rounded to 8. With --mask the known pixels are checked too.
    """
    if features is not None and mask is None:
        raise UsageError("--features looks at the hole alone: give --mask as well, or leave it out")
    pair = _read(truth, filled, mask)
    facts = {"truth": str(truth), "filled": str(filled), "mask": mask, **_measure(pair, features, lpips)}
    if as_json:
        tell([json.dumps(facts)], "nothing is written but this")
        return
    for note in pair.notes:
        typer.echo(f"note: {printable(note)}", err=True)
    tell(_lines(facts), "nothing is written but this")


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two photos of one size in 8 bits, the hole (all False without a mask), and what a person should know of them."""

    truth: "np.ndarray"
    filled: "np.ndarray"
    hole: "np.ndarray"
    known_changed: int | None
    notes: tuple[str, ...]


def _read(truth: Path, filled: Path, mask: str | None) -> _Pair:
    """The photos and the mask. Raises PhotoError and MaskError for what cannot be read or does not fit."""
    import numpy as np

    from ..evaluation.metrics import known_changed
    from ..masks.sources import find_mask
    from ..photo import in_8_bits, read_photo

    first, second = read_photo(truth), read_photo(filled)
    if first.size != second.size:
        sizes = [f"{photo.size[1]} x {photo.size[0]}" for photo in (second, first)]
        raise PhotoError(
            f"'{filled}' is {sizes[0]} pixels (width x height) and '{truth}' {sizes[1]}, expected equal sizes: compare "
            "the fill with the photo that it was made from"
        )
    notes = [*_notes(str(truth), first), *_notes(str(filled), second)]
    if first.icc != second.icc:
        notes.append("the two have other colour profiles; the numbers in the files are compared as they are")
    hole, changed = np.zeros(first.size, bool), None
    if mask is not None:
        found = find_mask(first, mask)
        hole = found.mask
        notes += found.notes
        if not hole.any():
            raise MaskError(
                f"mask '{mask}' is empty, expected at least one missing pixel: leave out --mask to measure the whole "
                "image"
            )
        same = first.bits == second.bits
        pixels = (first.pixels, second.pixels) if same else (in_8_bits(first.pixels), in_8_bits(second.pixels))
        changed = known_changed(*pixels, hole)
    return _Pair(in_8_bits(first.pixels), in_8_bits(second.pixels), hole, changed, tuple(notes))


def _notes(name: str, photo: "Photo") -> list[str]:
    """What is not measured as it stands in the file."""
    found = [f"'{name}': {note}" for note in photo.notes]
    if photo.bits == 16:
        found.append(f"'{name}' has 16 bits per channel, which are rounded to 8")
    if photo.alpha is not None:
        found.append(f"'{name}' has an alpha channel, which is not looked at")
    return found


def _measure(pair: _Pair, features: str | None, lpips: str | None) -> Facts:
    """Every metric that the photos have, and what the hole is like."""
    from ..evaluation.metrics import METRICS, measure
    from ..evaluation.statistics import hole_depth

    masked = pair.known_changed is not None
    metrics = {name: metric for name, metric in METRICS.items() if masked or metric.scope == "image"}
    values = measure(pair.truth, pair.filled, pair.hole, metrics)
    of_truth = measure(
        pair.truth, pair.truth, pair.hole, [name for name, metric in metrics.items() if metric.better == "truth"]
    )
    if features is not None or lpips is not None:
        from ..evaluation.perceptual import PerceptualWeights

        for each in PerceptualWeights(features=features, lpips=lpips).opened():
            values |= each(pair.truth, pair.filled, pair.hole)
            metrics |= {metric.name: metric for metric in each.metrics}
    depth = hole_depth(pair.hole)
    return {
        "height": pair.hole.shape[0],
        "width": pair.hole.shape[1],
        "hole_ratio": round(float(pair.hole.mean()), 6) if masked else None,
        "depth_px": round(depth, 3) if masked and math.isfinite(depth) else None,
        "known_changed": pair.known_changed,
        "metrics": {
            name: _described(metric, values[name], of_truth.get(name))
            for name, metric in metrics.items()
            if name in values
        },
        "notes": list(pair.notes),
    }


def _described(metric: Any, value: float, of_truth: float | None) -> Facts:
    """One number with what it is; None where it is not defined for this photo."""
    described = {
        "label": metric.label,
        "value": value if math.isfinite(value) else None,
        "unit": metric.unit,
        "better": metric.better,
        "scope": metric.scope,
    }
    if of_truth is not None:
        described["truth"] = of_truth if math.isfinite(of_truth) else None
    return described


def _lines(facts: Facts) -> list[str]:
    """The numbers for a person: one line each, label, value and unit, how to read it."""
    size = f"{facts['width']} x {facts['height']} pixels (width x height)"
    lines = [f"{printable(facts['filled'])} beside {printable(facts['truth'])}, {size}"]
    if facts["known_changed"] is None:
        lines.append("no --mask: the whole image is measured")
    else:
        depth = f"{facts['depth_px']:.1f} px deep" if facts["depth_px"] is not None else "nothing is known"
        changed = f"{facts['known_changed']}{', expected none' if facts['known_changed'] else ''}"
        lines.append(
            f"missing: {100 * facts['hole_ratio']:.3g} % of the frame, {depth}; known pixels changed: {changed}"
        )
    width = max(len(each["label"]) for each in facts["metrics"].values())
    for name, each in facts["metrics"].items():
        value = "-" if each["value"] is None else _rounded(each["value"], each["unit"])
        lines.append(f"{each['label']:<{width}} {value:>7} {each['unit']:<2}  {_reading(name, each)}")
    return lines


def _rounded(value: float, unit: str) -> str:
    """A value to the digits that say something."""
    return f"{value:.2f}" if unit else f"{value:.4f}"


def _reading(name: str, each: Facts) -> str:
    """How to read a value."""
    from ..evaluation.metrics import DIRECTIONS

    if each["value"] is None:
        return f"not defined: {UNDEFINED.get(name, 'the photo or the hole is too small')}"
    if each["better"] == "truth":
        return f"the photo's own: {_rounded(each['truth'], each['unit'])} {each['unit']}"
    return DIRECTIONS[each["better"]][1]
