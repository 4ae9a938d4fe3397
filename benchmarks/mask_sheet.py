"""A picture of every mask shape, and the share of the frame that each of them leaves missing.

    python benchmarks/mask_sheet.py --sheet docs/images/masks.png
    python benchmarks/mask_sheet.py --areas 200

White is missing. A shape whose name ends in a size is drawn in a square frame of that size, any other at 256 pixels.
Every shape has a generator of its own with the same seed, so that a change to one shape leaves the others as they are.
"""

import argparse
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inpaintkit.masks import SHAPES

Mask = NDArray[np.bool_]

SEED = 0
PLAIN_SIZE = 256
EXAMPLES = 6
TILE, GAP, LABEL = 76, 4, 18
COLUMNS = 2
GREYS = 16
PAPER, INK = 200, 0  # neither the white of a hole nor the black of what is known


def frame_size(name: str) -> int:
    """Side in pixels of the frame a shape is drawn in: the size its name ends in, else 256."""
    ending = name.rpartition("_")[2]
    return int(ending) if ending.isdigit() else PLAIN_SIZE


def drawn(name: str, shape: Callable[[int, int, np.random.Generator], Mask], count: int) -> list[Mask]:
    """The first `count` masks of a shape from the seed."""
    rng = np.random.default_rng(SEED)
    size = frame_size(name)
    return [shape(size, size, rng) for _ in range(count)]


def areas(count: int) -> str:
    """A table of the missing share: its mean, the range of the middle nine tenths, and how often it exceeds a half."""
    lines = ["| shape | frame | mean area | 5 % to 95 % | above half |", "|---|---|---|---|---|"]
    for name, shape in SHAPES.items():
        share = 100 * np.array([mask.mean() for mask in drawn(name, shape, count)])
        low, high = np.quantile(share, [0.05, 0.95])
        row = f"{share.mean():.1f} % | {low:.0f} to {high:.0f} % | {100 * (share > 50).mean():.1f} %"
        lines.append(f"| `{name}` | {frame_size(name)} | {row} |")
    return "\n".join(lines) + "\n"


def sheet() -> Image.Image:
    """A few masks of every shape under its name, in the order of the table of shapes."""
    column_width, row_height = EXAMPLES * (TILE + GAP) + 5 * GAP, LABEL + TILE + 2 * GAP
    rows = -(-len(SHAPES) // COLUMNS)
    picture = Image.new("L", (COLUMNS * column_width - 4 * GAP, rows * row_height + GAP), PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=13)
    for number, (name, shape) in enumerate(SHAPES.items()):
        left, top = GAP + number // rows * column_width, GAP + number % rows * row_height
        pen.text((left, top), name, fill=INK, font=font)
        for place, mask in enumerate(drawn(name, shape, EXAMPLES)):
            small = cv2.resize(mask.astype(np.uint8) * 255, (TILE, TILE), interpolation=cv2.INTER_AREA)
            picture.paste(Image.fromarray(np.asarray(small, np.uint8)), (left + place * (TILE + GAP), top + LABEL))
    return picture


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sheet or print the areas, whichever was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description="A picture of every mask shape, and its areas.")
    parser.add_argument("--sheet", type=Path, help="write the picture to this PNG file")
    parser.add_argument("--areas", type=int, metavar="N", help="print the missing share, measured on N masks each")
    given = parser.parse_args(arguments)
    if given.sheet is None and given.areas is None:
        parser.error("say what is wanted: --sheet FILE.png or --areas N")
    cv2.setNumThreads(1)
    if given.sheet is not None:
        stream = io.BytesIO()
        sheet().quantize(GREYS).save(stream, "PNG", optimize=True)
        given.sheet.parent.mkdir(parents=True, exist_ok=True)
        given.sheet.write_bytes(stream.getvalue())
        print(f"{given.sheet}: {len(stream.getvalue()) / 1000:.0f} kB")
    if given.areas is not None:
        print(areas(given.areas), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
