"""One photo's fill, pass by pass: crops go out to the engine, fills come back and are finished window by window.

`fill_passes` is a generator, so that the crops of several photos can share the engine's batches: `run_together` drives
any number of them. Nothing outside the mask is ever written, and what the photo held inside it is never read.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InpaintError
from .blend import composite, feather, hole_box, match_seam, poisson, wide_parts
from .detail import WINDOW_PX, enlarge_with_detail
from .engines import MOST_TOGETHER, Engine, fill_crops
from .grain import Grain, measure_grain
from .regions import BoolArray, FillPlan, Region, overlap_px
from .scaling import FloatArray, enlarge_window, from_unit, shrink_crop, to_unit

MARGIN_PX = 8
"""Pixels around a window's own ones that are finished with it, so that windows join."""

GRAIN_MARGIN_PX = 96
"""Known pixels around all holes in which a photo's grain is looked for."""

GRAIN_TOGETHER = 8
"""With more crops than this, the photo's grain is measured once, around all its holes."""

SECONDS_PER_CROP, SECONDS_PER_PIXEL, SECONDS_PER_DETAILED_PIXEL = 0.25, 0.3e-6, 6e-6
"""Rough costs of one core, for the share of the work that is done."""

Crop = tuple[FloatArray, BoolArray]
Window = tuple[tuple[slice, slice], FloatArray, BoolArray]
Steps = Generator[list[Crop], list[FloatArray], None]


@dataclass(frozen=True)
class Finish:
    """How a fill is finished. `detail` and `grain` are auto, on or off; auto is on for engines with a working size.

    `crisp` says that the engine's fills lack nothing at working size, as those made of patches do. Windows are at most
    `window_px` a side.
    """

    detail: str = "auto"
    grain: str = "auto"
    postprocess: str = "none"
    crisp: bool = False
    seed: int = 0
    window_px: int = WINDOW_PX

    def details(self, plan: FillPlan, region: Region) -> bool:
        """Whether a region's fill gets detail from the photo."""
        if self.detail != "auto":
            return self.detail == "on"
        return plan.working_size is not None and (region.shrink > 1 or not self.crisp)

    def grains(self, plan: FillPlan) -> bool:
        """Whether the photo's grain is looked for."""
        return self.grain == "on" or (self.grain == "auto" and plan.working_size is not None)


class Meter:
    """Counts work done against work planned, over one or several photos, and tells somebody the share, from 0 to 1.

    `listener` may return False to cancel: then `count` returns False from that moment on. `held_bytes` are those of the
    photos that are worked on.
    """

    def __init__(self, listener: Callable[[float], object] | None) -> None:
        self.listener, self.planned, self.done, self.cancelled = listener, 0.0, 0.0, False
        self.held_bytes = 0

    def count(self, seconds: float) -> bool:
        """Add work that is done; whether to go on."""
        self.done += seconds
        if self.listener is not None and self.planned > 0:
            answer = self.listener(min(self.done / self.planned, 0.99))
            self.cancelled |= isinstance(answer, bool | np.bool_) and not answer
        return not self.cancelled

    def finish(self) -> None:
        """Say that all is done."""
        if self.listener is not None:
            self.listener(1.0)


class Stopped(Exception):
    """The listener asked for it; the caller makes it the package's own error."""


def planned_seconds(plan: FillPlan, finish: Finish) -> float:
    """Roughly how long a plan takes on one core."""
    seconds = 0.0
    for region in plan.regions:
        each = SECONDS_PER_DETAILED_PIXEL if finish.details(plan, region) else SECONDS_PER_PIXEL
        seconds += SECONDS_PER_CROP + each * region.hole_pixels
    return seconds


def run_together(engine: Engine, photos: Sequence[Steps], most_together: int = MOST_TOGETHER) -> list[Exception | None]:
    """Drive the fills of several photos to their ends, their crops in common batches; the error of each, or None.

    Only the package's own errors, and `Stopped`, end one photo; any other one ends them all.
    """
    errors: list[Exception | None] = [None] * len(photos)
    wanted: dict[int, list[Crop]] = {}

    def advance(number: int, fills: list[FloatArray] | None) -> None:
        wanted.pop(number, None)
        try:
            wanted[number] = photos[number].send(fills)  # type: ignore[arg-type]  # None starts a generator
        except StopIteration:
            pass
        except (InpaintError, Stopped) as error:
            errors[number] = error

    for number in range(len(photos)):
        advance(number, None)
    while wanted:
        asking = dict(wanted)
        try:
            fills = fill_crops(engine, [crop for crops in asking.values() for crop in crops], most_together)
        except InpaintError as error:
            if len(asking) == 1:
                errors[next(iter(asking))] = error
                return errors
            for number in asking:  # one photo's crop spoiled the batch: each on its own
                errors[number] = run_together(engine, [_resumed(photos[number], asking[number])], most_together)[0]
            return errors
        for number, crops in asking.items():
            advance(number, fills[: len(crops)])
            fills = fills[len(crops) :]
    return errors


def _resumed(steps: Steps, crops: list[Crop]) -> Steps:
    """A fill that has asked for `crops` already."""
    fills = yield crops
    while True:
        try:
            fills = yield steps.send(fills)
        except StopIteration:
            return


def fill_passes(
    colour: NDArray[Any],
    mask: BoolArray,
    plan: FillPlan,
    finish: Finish,
    grey: bool = False,
    meter: Meter | None = None,
) -> Steps:
    """Fill `colour` (H, W, 3 or 1) in place, wave by wave: yields crops for the engine and is sent its fills.

    What one region filled is known to the next wave, save a strip along their border: that is filled again and the two
    fills are faded into each other, so that no joint shows where a long hole was cut. With `grey`, all channels stay
    equal. Raises Stopped when the meter's listener says so.
    """
    meter = meter or Meter(None)
    missing = _Missing(mask, plan)
    common: Grain | None = None
    together = len(plan.regions) > GRAIN_TOGETHER
    if together and finish.grains(plan):
        around = hole_box(mask, GRAIN_MARGIN_PX)
        common = measure_grain(colour[around], mask[around], mask[around])
    for wave in plan.in_waves():
        works = [_Work(colour, mask, missing, region) for region in wave]
        fills = yield [work.crop() for work in works]
        for work, fill in zip(works, fills, strict=True):
            _told(meter, SECONDS_PER_CROP)
            grain = common
            if not together and finish.grains(plan):
                grain = measure_grain(work.pixels, work.own, work.lost)
            _finish(work, fill, grain, plan, finish, grey, meter)
            missing.of(work.region)[work.region.holes] = False
    if finish.postprocess == "poisson":
        for window, part in wide_parts(mask):
            crop = colour[window]
            _paste(poisson(to_unit(crop), part), crop, part, grey)


class _Missing:
    """Which pixels are not filled yet, kept for the box around all regions."""

    def __init__(self, mask: BoolArray, plan: FillPlan) -> None:
        self.top = min((region.top for region in plan.regions), default=0)
        self.left = min((region.left for region in plan.regions), default=0)
        bottom = max((region.top + region.height for region in plan.regions), default=0)
        right = max((region.left + region.width for region in plan.regions), default=0)
        self.pixels = mask[self.top : bottom, self.left : right].copy()

    def of(self, region: Region) -> BoolArray:
        """The part of a region's crop, as a view."""
        top, left = region.top - self.top, region.left - self.left
        return self.pixels[top : top + region.height, left : left + region.width]


class _Work:
    """A region in its photo: what is missing in the crop, what of it this region fills, and where it is blended.

    `lost` is what the photo itself lacks. `own` is what this region writes: its holes, and a strip of what was filled
    before it, over which `share` fades from the new fill to the old (None without such a strip).
    """

    def __init__(self, colour: NDArray[Any], mask: BoolArray, missing: _Missing, region: Region) -> None:
        self.region = region
        self.pixels = colour[region.window]
        self.lost = mask[region.window]
        still_missing = missing.of(region)
        filled_before = self.lost & ~still_missing
        self.share = _share_of_new(region.holes, filled_before, overlap_px(region)) if filled_before.any() else None
        self.own = region.holes if self.share is None else self.share > 0
        self.hole = still_missing | self.own
        self.shrunk = region.working_shape != self.hole.shape
        self.seen: Crop | None = None

    def crop(self) -> Crop:
        """What the engine sees: the crop at working size, zero where it is missing."""
        if self.shrunk:
            self.seen = shrink_crop(self.pixels, self.hole, self.region.working_shape)
        else:
            image = to_unit(self.pixels)
            image[self.hole] = 0
            self.seen = image, self.hole
        return self.seen[0].copy(), self.seen[1]


def _finish(
    work: _Work, fill: FloatArray, grain: Grain | None, plan: FillPlan, finish: Finish, grey: bool, meter: Meter
) -> None:
    """Blend a region's fill into the photo at full resolution, window by window."""
    assert work.seen is not None
    blended = plan.working_size is not None
    if blended:
        fill = match_seam(*work.seen, fill)
    detailed = finish.details(plan, work.region)
    if detailed:
        _show_others(work, fill, finish.window_px)
        windows = enlarge_with_detail(
            work.pixels, work.own, work.lost, fill, seed=finish.seed, window_px=finish.window_px
        )
    else:
        windows = _plain_windows(work, fill, finish.window_px)
    each = SECONDS_PER_DETAILED_PIXEL if detailed else SECONDS_PER_PIXEL
    for window, completed, own in windows:
        rows, columns = window
        pixels, lost = completed, work.lost[window]
        if blended:
            pixels = feather(pixels, lost, pixels)
        if grain is not None:
            origin = work.region.top + rows.start, work.region.left + columns.start
            pixels = grain.add(pixels, own, seed=finish.seed, origin=origin)
        target = work.pixels[window]
        if work.share is not None:
            share = work.share[window][..., None]
            pixels = share * pixels + (1 - share) * to_unit(target)
        _paste(pixels, target, own, grey)
        _told(meter, each * int(np.count_nonzero(own)))


def _plain_windows(work: _Work, fill: FloatArray, window_px: int) -> Iterator[Window]:
    """The fill at the crop's own size, without anything new: the whole crop where it was not shrunk, else tiles."""
    shape = work.hole.shape
    if not work.shrunk:
        assert work.seen is not None
        yield (slice(0, shape[0]), slice(0, shape[1])), composite(work.seen[0], work.hole, fill), work.own
        return
    for window, own in _tiles(work.own, window_px):
        enlarged = enlarge_window(fill, shape, window)
        yield window, composite(to_unit(work.pixels[window]), work.lost[window], enlarged), own


def _tiles(own: BoolArray, window_px: int) -> Iterator[tuple[tuple[slice, slice], BoolArray]]:
    """Windows of at most `window_px` a side that together cover `own`, and the pixels each is responsible for."""
    height, width = own.shape
    box = hole_box(own)
    core = max(window_px - 2 * MARGIN_PX, 1)
    for top in range(box[0].start, box[0].stop, core):
        for left in range(box[1].start, box[1].stop, core):
            bottom, right = min(top + core, box[0].stop), min(left + core, box[1].stop)
            if not own[top:bottom, left:right].any():
                continue
            rows = slice(max(top - MARGIN_PX, 0), min(bottom + MARGIN_PX, height))
            columns = slice(max(left - MARGIN_PX, 0), min(right + MARGIN_PX, width))
            mine = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
            inner = slice(top - rows.start, bottom - rows.start), slice(left - columns.start, right - columns.start)
            mine[inner] = own[top:bottom, left:right]
            yield (rows, columns), mine


def _show_others(work: _Work, fill: FloatArray, window_px: int) -> None:
    """Put the fill, plain, where other regions are still to fill: what stood there before must not be seen."""
    others = work.hole & ~work.own
    if not others.any():
        return
    for window, here in _tiles(others, window_px):
        _paste(enlarge_window(fill, work.hole.shape, window), work.pixels[window], here, False)


def _share_of_new(holes: BoolArray, filled_before: BoolArray, overlap: int) -> FloatArray:
    """How much of a pixel comes from the new fill: 1 in `holes`, from there down to 0 over what was filled before."""
    distance = cv2.distanceTransform((~holes).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    fading = np.clip(1 - distance / (overlap + 1), 0, 1)
    return np.where(filled_before & ~holes, fading, holes).astype(np.float32)


def _paste(filled: FloatArray, crop: NDArray[Any], holes: BoolArray, grey: bool) -> None:
    """Write the holes' pixels into `crop`, in its own number format; with `grey`, all channels alike."""
    box = hole_box(holes)
    inside = holes[box]
    values = filled[box][inside]
    if grey:
        values = np.repeat(values.mean(axis=1, keepdims=True), 3, axis=1)
    crop[box][inside] = from_unit(values[:, : crop.shape[2]], crop.dtype)


def _told(meter: Meter, seconds: float) -> None:
    if not meter.count(seconds):
        raise Stopped
