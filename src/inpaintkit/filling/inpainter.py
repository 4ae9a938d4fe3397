"""A photo and a mask in, the whole photo out: at any size, in the kind and number format it came in."""

import functools
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import Cancelled, InpaintError, MaskError, PhotoError, UsageError, unknown_name
from ..masks import as_mask, grow_mask, growth_of, read_mask
from ..photo import Photo, photo_to_pil, read_photo
from .blend import hole_box
from .budget import Budget, budget_for
from .engines import MOST_TOGETHER, Engine, check_options, open_engine
from .memory import parse_memory
from .passes import Finish, Meter, Steps, Stopped, fill_passes, planned_seconds, run_together
from .regions import BoolArray, FillPlan, plan_fill
from .scaling import to_unit
from .variants import Variant, rank, seam_agreement
from .views import VIEWS, View, all_views

POSTPROCESSING = ("none", "poisson")
"""What may be done to a finished fill: nothing, or GLCIC's fast marching and Poisson blending."""

CHOICES = ("auto", "on", "off")
"""What `detail` and `grain` may be."""

MOST_VARIANTS = 64
"""More variants of one fill than this are a slip."""

SAME_FILL = 0.5 / 255
"""Two fills whose pixels differ by less than this on average are one variant."""

RANKED_MARGIN_PX = 64
"""Known pixels around a hole from which its variants are judged."""

Progress = Callable[[float], object]
"""Told the share of the work that is done, from 0 to 1; returning False cancels."""

_PIL_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "I;16": "I;16", "1": "L", "P": "RGB", "PA": "RGBA"}
"""PIL modes that are accepted, and the mode that comes back: a palette or one bit cannot hold new colours."""


@dataclass(frozen=True)
class FillReport:
    """What one fill did. `seconds` is the fill alone, without reading or writing files.

    `hole_pixels` counts the mask as grown, `grown_pixels` what growing added to it. `detailed` is how many of the
    `regions` got detail from the photo.
    """

    model: str
    runtime: str
    height: int
    width: int
    hole_pixels: int
    regions: int
    seconds: float
    grown_pixels: int = 0
    detailed: int = 0

    @property
    def hole_ratio(self) -> float:
        """Missing pixels over all pixels."""
        return self.hole_pixels / (self.height * self.width)


class Inpainter:
    """Fills photos with one model, which stays open between calls. Safe to use from several threads.

    `model` is a name (default, glcic, gmcnn, patch, telea, ns, biharmonic), an ONNX file, weights, a run's folder, or
    an `Engine` of your own. `engine` is the runtime of a network: auto, onnx, openvino or torch; `precision` auto,
    float32 or bfloat16 (not in ONNX Runtime); `threads` bounds the threads of ONNX Runtime and OpenVINO. `grow` widens
    every mask, by pixels or by a share of each hole's box ("3%"). `postprocess` is None or "poisson". `detail` (auto,
    on, off) gives a fill the texture of the photo's own known part, `grain` its noise. `memory` is the most that the
    process may take, in bytes or as "2GB". `seed` is what detail and grain are drawn from.

    Every pixel outside the mask (as grown) comes back bit for bit. Raises UsageError for unknown names and ModelError
    for a model that cannot be used.
    """

    def __init__(
        self,
        model: str | Path | Engine = "default",
        engine: str = "auto",
        *,
        precision: str = "auto",
        grow: int | str = 0,
        postprocess: str | None = None,
        detail: str = "auto",
        grain: str = "auto",
        memory: int | str | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        chosen = "none" if postprocess is None else postprocess
        for kind, given, valid in (
            ("postprocess", chosen, POSTPROCESSING),
            ("detail", detail, CHOICES),
            ("grain", grain, CHOICES),
        ):
            if not isinstance(given, str) or given not in valid:
                raise UsageError(unknown_name(kind, str(given), valid))
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 2**63:
            raise UsageError(f"seed is {seed!r}, expected a whole number from 0 to 2**63 - 1")
        self.grow = growth_of(grow)
        self.memory = None if memory is None else parse_memory(memory)
        check_options(engine, precision, threads)
        if isinstance(model, type) or not isinstance(model, str | Path | Engine):
            given = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
            raise UsageError(f"model is {given}, expected a name, a path, or an object with what an Engine has")
        self.engine: Engine = (
            open_engine(model, engine, precision, threads=threads) if isinstance(model, str | Path) else model
        )
        size = self.engine.working_size
        if size is not None and not (isinstance(size, int | np.integer) and size >= 1):
            raise UsageError(
                f"model '{self.engine.name}' says the working size {size!r}, expected pixels from 1, or None"
            )
        self.finish = Finish(detail, grain, chosen, seed=int(seed))

    def __call__(self, image: Any, mask: Any, *, progress: Progress | None = None) -> Any:
        """The photo made whole.

        `image` is a NumPy array (H, W) or (H, W, 1 to 4: grey, grey and alpha, RGB, RGBA) of uint8, uint16 or float in
        [0,1], a PIL image, or a file's path. An array comes back as an equal kind of array; a PIL image as one of the
        same mode (a palette as RGB, one bit as L), its pixels taken as PIL shows them, unturned; a path as an upright
        PIL image (16-bit colour, which PIL cannot hold, is refused: see `fill_photo`). Alpha is kept. `mask` is an
        array, a PIL image or a path, white or True = missing, of the photo's size. Nothing that is passed in is
        modified. An empty mask gives an equal copy. `progress` is told the share that is done, and cancels by returning
        False. Raises PhotoError, MaskError, and Cancelled.
        """
        if isinstance(image, str | os.PathLike):
            photo = read_photo(Path(image))
            return photo_to_pil(self.fill_photo(photo, _any_mask(mask, photo.size), progress=progress))
        if isinstance(image, Image.Image):
            return self._fill_pil(image, mask, progress)
        return self.fill_pixels(image, mask, progress=progress)[0]

    def fill_photo(self, photo: Photo, mask: BoolArray, *, progress: Progress | None = None) -> Photo:
        """The photo with its missing pixels filled; everything else about it stays."""
        return self.fill_photo_reported(photo, mask, progress=progress)[0]

    def fill_photo_reported(
        self, photo: Photo, mask: BoolArray, *, progress: Progress | None = None, in_place: bool = False
    ) -> tuple[Photo, FillReport]:
        """`fill_photo`, and what it did. With `in_place` the photo's own array is filled, which spares a copy.

        That array is then changed also where the fill is cancelled or fails half-way.
        """
        meter = Meter(progress)
        fill = self._begin(photo.pixels, mask, photo.grey, in_place=in_place, meter=meter)
        self._drive([fill], meter)
        return photo.replace_pixels(fill.output), fill.report()

    def fill_photos(
        self,
        pairs: Iterable[tuple[Photo, BoolArray]],
        *,
        together: int = MOST_TOGETHER,
        progress: Progress | None = None,
    ) -> Iterator[tuple[Photo, FillReport] | InpaintError]:
        """Each photo filled, with its report, in order; an error of one photo is yielded in its place.

        `together` photos are taken from `pairs` at a time and their crops share the network's batches; `progress` is
        told the share of these that is done. Raises Cancelled.
        """
        for group in _groups(pairs, 1 if self.memory is not None else together):
            meter = Meter(progress)
            begun: list[_Fill | InpaintError] = []
            for photo, mask in group:
                try:
                    begun.append(self._begin(photo.pixels, mask, photo.grey, meter=meter))
                except InpaintError as error:
                    begun.append(error)
            fills = [each for each in begun if isinstance(each, _Fill)]
            self._drive(fills, meter, stop_at_errors=False)
            for (photo, _), fill in zip(group, begun, strict=True):
                if isinstance(fill, InpaintError):
                    yield fill
                elif fill.error is not None:
                    yield fill.error
                else:
                    yield photo.replace_pixels(fill.output), fill.report()

    def stream(
        self, pairs: Iterable[tuple[Any, Any]], *, together: int = MOST_TOGETHER, progress: Progress | None = None
    ) -> Iterator[Any]:
        """Every (image, mask) of a stream filled, in order, as a call of its own would fill it: arrays of any kind.

        For photos with their files' tags, and for going on after an error, there is `fill_photos`. `together` and
        `progress` are as there.
        """
        for group in _groups(pairs, 1 if self.memory is not None else together):
            meter, fills, wrong = Meter(progress), [], None
            for image, mask in group:
                try:
                    fills.append(self._begin(image, mask, meter=meter))
                except InpaintError as error:  # those before it are still good
                    wrong = error
                    break
            self._drive(fills, meter)
            yield from (fill.output for fill in fills)
            if wrong is not None:
                raise wrong

    def fill_pixels(
        self, pixels: NDArray[Any], mask: Any, *, grey: bool = False, progress: Progress | None = None
    ) -> tuple[NDArray[Any], FillReport]:
        """A copy of `pixels` (H, W) or (H, W, C) with the missing ones filled, and what was done.

        With `grey`, three equal channels stay equal. Raises PhotoError for what is no image, and MaskError for a mask
        that does not fit or leaves nothing known.
        """
        meter = Meter(progress)
        fill = self._begin(pixels, mask, grey, meter=meter)
        self._drive([fill], meter)
        return fill.output, fill.report()

    def plan(self, mask: Any) -> FillPlan:
        """What a mask, grown, would be filled from: crops in their order. `str()` lists them."""
        grown = self._grown(_any_mask(mask, None))
        largest_crop = self._budget(self.engine, grown, 3, 0).largest_crop if grown.any() else None
        return plan_fill(grown, self.engine.working_size, largest_crop=largest_crop)

    def variants(self, image: Any, mask: Any, count: int, *, progress: Progress | None = None) -> list[Variant]:
        """Up to `count` different fills of one photo, best first: there are many right answers.

        `image` is a `Photo` or what a call takes, except a path; every `result` is of its kind. The variants see the
        photo as it is, mirrored or turned, with less and more of its surroundings, get their detail from other seeds,
        or are filled by patches; fills that do not differ are offered once. They are ranked by how well they agree
        with the ring around the hole (`variants.seam_agreement`).
        """
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or not 1 <= count <= MOST_VARIANTS:
            raise UsageError(f"variants is {count!r}, expected a whole number from 1 to {MOST_VARIANTS}")
        pixels, grey = (image.pixels, image.grey) if isinstance(image, Photo) else (image, False)
        if isinstance(image, Image.Image):
            pixels = _pil_pixels(image)
        pixels = _checked_array(pixels)
        mask = _any_mask(mask, pixels.shape[:2])
        found: list[Variant] = []
        told = [0.0]
        for view in itertools.islice(all_views(), 2 * count + len(VIEWS)):
            meter = Meter(_from_to(progress, len(found) / count, (len(found) + 1) / count, told))
            meter.held_bytes = sum(each.result.nbytes for each in found)
            fill = self._begin(pixels, mask, grey, meter=meter, view=view)
            self._drive([fill], meter)
            if not any(_same(fill, each.result) for each in found):
                found.append(Variant(fill.output, _agreement(fill), view.how))
            if len(found) == count or not fill.plan.regions:
                break
        if progress is not None and told[0] < 1:
            progress(1.0)
        return [replace(each, result=_of_kind(image, each.result)) for each in rank(found)]

    def _begin(
        self,
        pixels: Any,
        mask: Any,
        grey: bool = False,
        *,
        in_place: bool = False,
        meter: Meter,
        view: View = VIEWS[0],
    ) -> "_Fill":
        """A fill that is ready to be driven; its planned work is added to the meter's."""
        started = time.perf_counter()
        pixels = _checked_array(pixels)
        mask = _any_mask(mask, pixels.shape[:2])
        grown = self._grown(mask)
        engine = view.engine(self.engine, self.finish.seed)
        size = engine.working_size
        bytes_per_pixel = pixels.nbytes // grown.size
        budget = self._budget(engine, grown, bytes_per_pixel, meter.held_bytes) if grown.any() else Budget()
        meter.held_bytes += 2 * pixels.nbytes + grown.nbytes
        plan = plan_fill(grown, size, context=view.context, largest_crop=budget.largest_crop)
        finish = replace(
            self.finish,
            seed=self.finish.seed + view.seed,
            crisp=getattr(engine, "crisp", False),
            window_px=budget.window_px,
        )
        output = pixels if in_place else pixels.copy()
        channels = output[..., None] if output.ndim == 2 else output
        colour = channels[..., :3] if channels.shape[2] >= 3 else channels[..., :1]
        meter.planned += planned_seconds(plan, finish)
        steps = fill_passes(colour, grown, plan, finish, grey or colour.shape[2] == 1, meter)
        given_pixels, together = int(np.count_nonzero(mask)), budget.most_together
        return _Fill(engine, output, grown, plan, finish, steps, together, started, given_pixels, in_place)

    def _drive(self, fills: "list[_Fill]", meter: Meter, *, stop_at_errors: bool = True) -> None:
        """Drive fills to their ends together. Raises Cancelled, and with `stop_at_errors` the first fill's error."""
        if not fills:
            return
        together = min(fill.most_together for fill in fills)
        errors = run_together(fills[0].engine, [fill.steps for fill in fills], together)
        for fill, error in zip(fills, errors, strict=True):
            fill.seconds = time.perf_counter() - fill.started
            if isinstance(error, Stopped):
                in_place = any(each.in_place for each in fills)
                raise Cancelled(
                    "the fill was cancelled; the photo is " + ("filled in part" if in_place else "as it was")
                )
            if error is not None and stop_at_errors:
                raise error
            fill.error = error if isinstance(error, InpaintError) else None
        meter.finish()

    def _budget(self, engine: Engine, grown: BoolArray, bytes_per_pixel: int, others: int) -> Budget:
        """The sizes to work with. Raises PhotoError where the memory limit has no room."""
        blended = 0
        if self.memory is not None and self.finish.postprocess == "poisson":
            rows, columns = hole_box(grown)
            blended = (rows.stop - rows.start) * (columns.stop - columns.start)
        return budget_for(self.memory, grown.size, bytes_per_pixel, engine, others=others, blended=blended)

    def _grown(self, mask: BoolArray) -> BoolArray:
        """The mask as it is filled. Raises MaskError for one that leaves nothing known."""
        grown = grow_mask(mask, self.grow)
        if grown.all():
            by = self.grow if isinstance(self.grow, str) else f"{self.grow} px"
            after = f" after growing it by {by}" if not mask.all() else ""
            raise MaskError(
                f"mask marks every pixel as missing{after}: nothing is left to learn from; white marks what is to be "
                "filled, black what is kept"
            )
        return grown

    def _fill_pil(self, image: Image.Image, mask: Any, progress: Progress | None) -> Image.Image:
        """A PIL image of the accepted modes, its `info` (profile, EXIF, resolution) kept."""
        filled, _ = self.fill_pixels(_pil_pixels(image), mask, progress=progress)
        return _pil_of(image, filled)


@dataclass(eq=False)
class _Fill:
    """One photo being filled, or filled."""

    engine: Engine
    output: NDArray[Any]
    mask: BoolArray
    plan: FillPlan
    finish: Finish
    steps: Steps
    most_together: int
    started: float
    given_pixels: int
    in_place: bool
    seconds: float = 0.0
    error: InpaintError | None = None

    def report(self) -> FillReport:
        """What was done."""
        engine, hole_pixels = self.engine, self.plan.hole_pixels
        return FillReport(
            model=engine.name,
            runtime=engine.runtime,
            height=self.plan.height,
            width=self.plan.width,
            hole_pixels=hole_pixels,
            regions=len(self.plan.regions),
            seconds=self.seconds,
            grown_pixels=hole_pixels - self.given_pixels,
            detailed=sum(self.finish.details(self.plan, region) for region in self.plan.regions),
        )


def fill(image: Any, mask: Any, model: str | Path | Engine = "default", *, variants: int = 1, **options: Any) -> Any:
    """The photo made whole: path, PIL image or array in, the same kind out (for a path, a PIL image).

    `variants` above 1 gives a list of up to so many different fills instead, best first. `progress` is told the share
    that is done. `options` are those of `Inpainter`: engine, precision, grow, postprocess, detail, grain, memory, seed,
    threads. The two models used last stay open.
    """
    progress = options.pop("progress", None)
    if isinstance(model, str | Path):
        model_options = {key: options.pop(key) for key in ("engine", "precision", "threads") if key in options}
        model = _kept_open(model, **model_options)
    inpainter = Inpainter(model, **options)
    if isinstance(variants, int | np.integer) and variants == 1 and not isinstance(variants, bool):
        return inpainter(image, mask, progress=progress)
    if isinstance(image, str | os.PathLike):
        photo = read_photo(Path(image))
        found = inpainter.variants(photo, _any_mask(mask, photo.size), variants, progress=progress)
        return [photo_to_pil(each.result) for each in found]
    return [each.result for each in inpainter.variants(image, mask, variants, progress=progress)]


_opening = threading.Lock()


@functools.lru_cache(maxsize=2)
def _opened(name: str, changed: int, engine: str, precision: str, threads: int | None) -> Engine:
    return open_engine(name, engine, precision, threads=threads)


def _kept_open(model: str | Path, engine: str = "auto", precision: str = "auto", threads: int | None = None) -> Engine:
    """An engine that may have been opened before; two threads do not open the same one twice."""
    check_options(engine, precision, threads)
    with _opening:
        return _opened(str(model), _last_change(Path(model)), engine, precision, threads)


def _last_change(path: Path) -> int:
    """When a model's file was last written, so that a new export under the old name is opened anew."""
    try:
        return path.stat().st_mtime_ns
    except (OSError, ValueError):  # no file, or a name that no file can have
        return 0


def _any_mask(mask: Any, size: tuple[int, int] | None) -> BoolArray:
    """A mask given as path, PIL image or array."""
    if isinstance(mask, str | os.PathLike):
        return read_mask(Path(mask), size)
    if isinstance(mask, np.ma.MaskedArray):
        raise MaskError("mask is a masked array, which could be meant two ways: pass its .mask or its .data")
    return as_mask(np.asarray(mask) if isinstance(mask, np.ndarray) else mask, size)


def _checked_array(image: Any) -> NDArray[Any]:
    """The array itself when it is an image. Raises PhotoError."""
    expected = "expected uint8, uint16 or float in [0,1] of shape (height, width) or (height, width, 1 to 4)"
    if not isinstance(image, np.ndarray):
        raise PhotoError(f"image is a {type(image).__name__}, expected a path, a PIL image or a NumPy array")
    if isinstance(image, np.ma.MaskedArray):
        raise PhotoError("image is a masked array, expected a plain one: fill(image.data, image.mask) may be meant")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4)) or 0 in image.shape:
        raise PhotoError(f"image array has shape {image.shape}, {expected}: reshape it (channels come last)")
    if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
        raise PhotoError(f"image array has type {image.dtype}, {expected}: convert it")
    if image.dtype.kind == "f":
        low, high = float(image.min()), float(image.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise PhotoError(
                f"image array holds NaN or infinite values, {expected}: mend them and mark them in the mask"
            )
        if low < 0 or high > 1:
            raise PhotoError(f"image array of {image.dtype} ranges from {low:g} to {high:g}, {expected}: scale it")
    return np.asarray(image)  # plain, where it is of a subclass: OpenCV does not survive np.matrix


def _pil_pixels(image: Image.Image) -> NDArray[Any]:
    """The pixels of a PIL image in the mode it will come back in. Raises PhotoError."""
    if image.mode not in _PIL_MODES:
        raise PhotoError(
            f"PIL image has mode {image.mode}, expected one of {', '.join(_PIL_MODES)}: convert it to RGB first"
        )
    back = _mode_back(image)
    try:
        return np.asarray(image if image.mode == back else image.convert(back))
    except Exception as error:  # a lazily opened file is decoded here
        raise PhotoError(
            f"PIL image of mode {image.mode} cannot be decoded ({error}), expected a whole picture: open it afresh"
        ) from error


def _mode_back(image: Image.Image) -> str:
    return "RGBA" if image.mode == "P" and "transparency" in image.info else _PIL_MODES[image.mode]


def _pil_of(image: Image.Image, filled: NDArray[Any]) -> Image.Image:
    """Filled pixels as a PIL image with the `info` of the one they come from."""
    result = Image.fromarray(filled)
    back = _mode_back(image)
    result.info = {key: value for key, value in image.info.items() if key != "transparency" or back == image.mode}
    return result


def _of_kind(image: Any, filled: NDArray[Any]) -> Any:
    """Filled pixels as the kind of thing that was given."""
    if isinstance(image, Photo):
        return image.replace_pixels(filled)
    return _pil_of(image, filled) if isinstance(image, Image.Image) else filled


def _groups(pairs: Iterable[tuple[Any, Any]], together: int) -> Iterator[list[tuple[Any, Any]]]:
    """So many pairs at a time. Raises UsageError for a number that is none."""
    if not isinstance(together, int | np.integer) or isinstance(together, bool) or together < 1:
        raise UsageError(f"together is {together!r}, expected a whole number of photos from 1")
    waiting = iter(pairs)
    while group := list(itertools.islice(waiting, together)):
        yield group


def _from_to(progress: Progress | None, first: float, last: float, told: list[float]) -> Progress | None:
    """A listener for one of several fills, which together go from 0 to 1; `told` holds the largest share so far."""
    if progress is None:
        return None

    def listen(share: float) -> object:
        told[0] = max(told[0], first + (last - first) * share)
        return progress(told[0])

    return listen


def _same(fill: _Fill, other: NDArray[Any]) -> bool:
    """Whether two fills look the same."""
    box = hole_box(fill.mask)
    inside = fill.mask[box]
    pixels = [np.asarray(each[box][inside], np.float64) for each in (fill.output, other)]
    top = np.iinfo(other.dtype).max if other.dtype.kind == "u" else 1
    return float(np.abs(pixels[0] - pixels[1]).mean()) < SAME_FILL * top if inside.any() else True


def _agreement(fill: _Fill) -> float:
    """How well a finished fill agrees with its surroundings."""
    box = hole_box(fill.mask, RANKED_MARGIN_PX)
    pixels = np.atleast_3d(fill.output)[box]
    return seam_agreement(to_unit(pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]), fill.mask[box])
