"""Texture from the photo's own patches, at the network's own resolution: what it costs and what it brings.

    python benchmarks/detail.py --images PHOTOS.tar --masks MASKS.tar [--features own] [--sheet SHEET.png]

The protocol and the numbers are those of `inpaintkit compare`: every photo is a frame of the network's size, not shrunk
any further. One fill of the network is measured as it is and with detail; known patches alone stand beside them.
Seconds are processor seconds of one thread: of the transfer alone, and of the whole fill by patches.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

import reports
import turns
from inpaintkit.errors import UsageError
from inpaintkit.evaluation import metrics
from inpaintkit.evaluation.cases import Case, Hole, Pixels, plan_cases
from inpaintkit.evaluation.methods import open_method, parse_methods
from inpaintkit.evaluation.perceptual import PerceptualMetric, PerceptualWeights
from inpaintkit.evaluation.scoring import about
from inpaintkit.evaluation.tables import summary_tables
from inpaintkit.filling.classical import fill_by_patches
from inpaintkit.filling.detail import transfer_detail

Step = Callable[[Pixels, Hole], Pixels]

PROJECT = Path(__file__).resolve().parents[1]
SHEET_ROWS = 12
PLAIN = ("hole_l1", "hole_psnr", "sharpness")
COLUMNS = {"hole_l1": "mean", "hole_psnr": "mean", "sharpness": "median", "texture": "mean", "feature_distance": "mean"}
"""What the table shows, and which number of it."""


def run_step(
    cases: Sequence[Case], fills: Sequence[Pixels], step: Step, opened: Sequence[PerceptualMetric]
) -> tuple[list[Pixels], dict[str, Any]]:
    """What `step` makes of every photo's fill, and how good it is and how long it took."""
    done, seconds = [], []
    for case, filled in zip(cases, fills, strict=True):
        started = time.process_time()
        done.append(step(filled, case.hole))
        seconds.append(time.process_time() - started)
    scores = [score(case, filled, opened) for case, filled in zip(cases, done, strict=True)]
    row = summary_of(cases, scores, opened)
    return done, {**row, "scores": scores, "seconds": statistics.mean(seconds), "most_seconds": max(seconds)}


def score(case: Case, filled: Pixels, opened: Sequence[PerceptualMetric]) -> dict[str, Any]:
    """The measures of one composite, None for what its photo does not define, and the known pixels that it changed."""
    found = metrics.measure(case.truth, filled, case.hole, PLAIN)
    for each in opened:
        found |= each(case.truth, filled, case.hole)
    stated = {name: value if math.isfinite(value) else None for name, value in found.items()}
    return {**stated, "known_changed": metrics.known_changed(case.shown, filled, case.hole)}


def summary_of(
    cases: Sequence[Case], scores: Sequence[Mapping[str, Any]], opened: Sequence[PerceptualMetric]
) -> dict[str, Any]:
    """One row over all photos, as a comparison's report has it: `metrics` by name, `known_changed`."""
    measured = [*(metrics.METRICS[name] for name in PLAIN), *(metric for each in opened for metric in each.metrics)]
    described = [{"group": "all", **about(case)} for case in cases]
    row: dict[str, Any] = summary_tables(described, {"all": scores}, measured)["tables"][0]["rows"][0]
    return {name: row[name] for name in ("photos", "known_changed", "metrics")}


def markdown(report: dict[str, Any]) -> str:
    """The report as a table a page can hold."""
    lines = [
        f"{report['model']} at {report['size']} x {report['size']}, {report['photos']} photos of "
        f"{report['images']}, masks of {report['masks']}; holes of {report['hole_ratio']:.0%} on average.",
        "",
        *reports.machine_lines(report["conditions"]),
        "",
        "| method | hole L1, % | hole PSNR, dB | sharpness, median | texture | feature distance | CPU s a photo | most "
        "| known changed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in report["methods"].items():
        found = [(row["metrics"].get(column), number) for column, number in COLUMNS.items()]
        cells = ["-" if of is None else f"{of[key]:.{2 if at < 3 else 3}f}" for at, (of, key) in enumerate(found)]
        lines.append(
            f"| {name} | {' | '.join(cells)} | {row['seconds']:.2f} | {row['most_seconds']:.2f} | "
            f"{row['known_changed']} |"
        )
    lines += ["", *(f"- {label}: {definition}" for label, definition in report["definitions"].items())]
    lines.append(f"- features: {report['features'] or 'not asked for'}.")
    return "\n".join(lines) + "\n"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="tar or folder of photos")
    parser.add_argument("--masks", type=Path, required=True, help="tar or folder of masks, or a fixed set")
    parser.add_argument("--model", default="default", help="the network (default default)")
    parser.add_argument("--size", type=int, default=256, help="side of the frame in pixels (default 256)")
    parser.add_argument("--every", type=int, default=1, help="only every N-th photo")
    parser.add_argument("--features", help="also compare features: own, imagenet or a file (needs the train extra)")
    parser.add_argument("--sheet", type=Path, help="write a picture sheet here, outside the project")
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    if given.size < 8 or given.every < 1:
        parser.error("--size must be 8 or more and --every 1 or more")
    reports.check_options(parser, given, given.sheet)
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Fill, transfer and score; draws the sheet when asked."""
    if given.sheet is not None:
        check_sheet(given.sheet)
    machine = turns.conditions(1)
    cv2.setNumThreads(1)
    opened = PerceptualWeights(features=given.features).opened()
    planned = plan_cases(str(given.images), {given.masks.name: str(given.masks)}, size=given.size)
    cases = [planned[index] for index in range(0, len(planned), given.every)]
    asked = parse_methods(given.model)
    if len(asked) > 1:
        raise UsageError(f"--model is '{given.model}', expected one")
    network = open_method(asked[0], threads=1)
    fills = [network(case.shown, case.hole) for case in cases]
    steps: dict[str, Step] = {
        given.model: lambda filled, hole: filled,
        f"{given.model} + detail": transfer_detail,
        "patch": fill_by_patches,
    }
    rows, drawn = {}, {}
    chosen = sheet_rows(cases)
    for name, step in steps.items():
        done, rows[name] = run_step(cases, fills, step, opened)
        drawn[name] = {index: done[index] for index in chosen}
    if given.sheet is not None:
        draw_sheet(cases, chosen, drawn, given.sheet)
    measured = [*(metrics.METRICS[name] for name in PLAIN), *(metric for each in opened for metric in each.metrics)]
    return {
        "conditions": machine,
        "model": given.model,
        "size": given.size,
        "photos": len(cases),
        "images": given.images.name,
        "masks": given.masks.name,
        "hole_ratio": statistics.mean(float(case.hole.mean()) for case in cases),
        "features": opened[0].source if opened else None,
        "definitions": {metric.label: metric.definition for metric in measured},
        "methods": rows,
    }


# --- The picture sheet -----------------------------------------------------------------------------------------------


def check_sheet(path: Path) -> None:
    """Raise UsageError for a sheet inside the project: photos for research only must not get into its history."""
    if path.resolve().is_relative_to(PROJECT):
        raise UsageError(
            f"sheet '{path}' lies inside the project, expected a place outside: photos are not ours to show"
        )


def sheet_rows(cases: Sequence[Case], rows: int = SHEET_ROWS) -> list[int]:
    """Indices of some photos, evenly spread over hole area."""
    by_area = sorted(range(len(cases)), key=lambda index: cases[index].hole.mean())
    places = np.linspace(0, len(by_area) - 1, min(rows, len(by_area)))
    return [by_area[round(place)] for place in places]


def draw_sheet(cases: Sequence[Case], rows: Sequence[int], fills: dict[str, dict[int, Pixels]], path: Path) -> None:
    """A picture with one photo a row: the hole in white, every method's fill, the truth."""
    size = cases[0].truth.shape[0]
    header = 16
    names = ["input", *fills, "truth"]
    sheet = Image.new("RGB", (len(names) * size, header + len(rows) * size), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((column * size + 3, 2), name, fill="black")
        for row, index in enumerate(rows):
            case = cases[index]
            blanked = np.where(case.hole[..., None], np.uint8(255), case.shown)
            pixels = {"input": blanked, "truth": case.truth}.get(name)
            pixels = fills[name][index] if pixels is None else pixels
            sheet.paste(Image.fromarray(pixels), (column * size, header + row * size))
    sheet.save(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write what was asked for; returns the exit status."""
    return reports.run("detail", parse(arguments), measure, markdown)


if __name__ == "__main__":
    raise SystemExit(main())
