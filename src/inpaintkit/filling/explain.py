"""A plan drawn over its photo: which crops will be filled, in which order, at which scale."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .regions import BoolArray, FillPlan
from .scaling import from_unit, shrink_crop

LONGEST_PX = 1600
"""The drawing's longer side is at most this."""

HOLE_TINT = (1.0, 0.15, 0.45)
"""Colour that missing pixels are tinted with."""

BYTES = np.dtype(np.uint8)

WAVE_COLOURS = ((255, 214, 10), (10, 200, 255), (120, 255, 100), (255, 140, 40), (215, 130, 255), (255, 255, 255))
"""Frames of the crops, wave by wave, then from the first again."""


def draw_plan(pixels: NDArray[Any], mask: BoolArray, plan: FillPlan) -> NDArray[np.uint8]:
    """The photo (H, W, C), darkened, with its hole tinted and every crop framed: uint8 RGB, at most LONGEST_PX a side.

    A frame says its number in the order of filling and how many times smaller the engine sees it; crops of one wave,
    which are filled together, have one colour. `mask` is the one the plan was made for.
    """
    height, width = mask.shape
    scale = min(1.0, LONGEST_PX / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    colour = (
        pixels[..., :3] if pixels.ndim == 3 and pixels.shape[2] >= 3 else pixels.reshape(height, width, -1)[..., :1]
    )
    nothing = np.broadcast_to(np.False_, mask.shape)
    small, _ = shrink_crop(colour, nothing, size)
    covered = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    share = np.asarray(covered, np.float32)[..., None]
    tinted = 0.65 * small * (1 - 0.6 * share) + 0.6 * share * np.asarray(HOLE_TINT, np.float32)
    drawn = from_unit(tinted.astype(np.float32), BYTES)
    line = max(1, round(max(size) / 800))
    for number, (region, wave) in enumerate(zip(plan.regions, plan.waves, strict=True), 1):
        frame = WAVE_COLOURS[wave % len(WAVE_COLOURS)]
        first = round(region.left * scale), round(region.top * scale)
        last = round((region.left + region.width) * scale) - 1, round((region.top + region.height) * scale) - 1
        cv2.rectangle(drawn, first, last, frame, line)
        label = f"{number}" if region.shrink == 1 else f"{number}  1:{region.shrink:.2g}"
        text = max(max(size) / 2000, 0.35)
        at = first[0] + 3 * line, min(first[1] + round(24 * text) + 3 * line, size[0] - 2)
        cv2.putText(drawn, label, at, cv2.FONT_HERSHEY_SIMPLEX, text, (0, 0, 0), 3 * line, cv2.LINE_AA)
        cv2.putText(drawn, label, at, cv2.FONT_HERSHEY_SIMPLEX, text, frame, line, cv2.LINE_AA)
    return drawn
