"""Texture from the photo's own patches, at the network's own resolution: what it costs and what it brings.

    python benchmarks/detail.py --images PHOTOS.tar --masks MASKS.tar [--features own] [--sheet SHEET.png]

The protocol is that of validation.py, whose functions do the work: every photo is a frame of the network's size, not
shrunk any further. One fill of the network is measured as it is and with detail; known patches alone stand beside them.
Seconds are processor seconds of one thread: of the transfer alone, and of the whole fill by patches.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2

import reports
import turns
import validation
from inpaintkit.filling.classical import fill_by_patches
from inpaintkit.filling.detail import transfer_detail
from inpaintkit.filling.engines import open_engine

Step = Callable[[validation.Pixels, validation.Hole], validation.Pixels]

COLUMNS = ("hole_l1", "hole_psnr", "sharpness", "texture", "feature_distance")


def run_step(
    cases: Sequence[validation.Case],
    fills: Sequence[validation.Pixels],
    step: Step,
    judge: validation.FeatureJudge | None,
) -> tuple[list[validation.Pixels], dict[str, Any]]:
    """What `step` makes of every photo's fill, and its row of the table."""
    done, seconds = [], []
    for case, filled in zip(cases, fills, strict=True):
        started = time.process_time()
        done.append(step(filled, case.hole))
        seconds.append(time.process_time() - started)
    scores = [validation.score(case, filled, judge) for case, filled in zip(cases, done, strict=True)]
    row = validation.summarise(scores)
    return done, {**row, "seconds": statistics.mean(seconds), "most_seconds": max(seconds)}


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
        values = [row["hole_l1"]["mean"], row["hole_psnr"]["mean"], row["sharpness"]["median"]]
        values += [row["texture"], row["feature_distance"]]
        cells = ["-" if value is None else f"{value:.{2 if at < 3 else 3}f}" for at, value in enumerate(values)]
        lines.append(
            f"| {name} | {' | '.join(cells)} | {row['seconds']:.2f} | {row['most_seconds']:.2f} | "
            f"{row['known_changed']} |"
        )
    lines += ["", *(f"- {name}: {validation.DEFINITIONS[name]}." for name in COLUMNS)]
    lines.append(f"- features: {report['features'] or 'not asked for'}.")
    return "\n".join(lines) + "\n"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="tar or folder of photos")
    parser.add_argument("--masks", type=Path, required=True, help="tar or folder of masks, white = missing")
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
        validation.check_sheet(given.sheet)
    machine = turns.conditions(1)
    cv2.setNumThreads(1)
    judge = validation.FeatureJudge(given.features) if given.features else None
    cases = validation.read_cases(given.images, given.masks, given.size, None)[:: given.every]
    engine = open_engine(given.model, precision="float32", threads=1)
    fills = [validation.fill(engine, case) for case in cases]
    steps: dict[str, Step] = {
        given.model: lambda filled, hole: filled,
        f"{given.model} + detail": transfer_detail,
        "patch": fill_by_patches,
    }
    rows, drawn = {}, {}
    chosen = validation.sheet_rows(cases)
    for name, step in steps.items():
        done, rows[name] = run_step(cases, fills, step, judge)
        drawn[name] = {index: done[index] for index in chosen}
    if given.sheet is not None:
        validation.draw_sheet(cases, chosen, drawn, given.sheet)
    return {
        "conditions": machine,
        "model": given.model,
        "size": given.size,
        "photos": len(cases),
        "images": given.images.name,
        "masks": given.masks.name,
        "hole_ratio": statistics.mean(float(case.hole.mean()) for case in cases),
        "features": given.features,
        "methods": rows,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write what was asked for; returns the exit status."""
    return reports.run("detail", parse(arguments), measure, markdown)


if __name__ == "__main__":
    raise SystemExit(main())
