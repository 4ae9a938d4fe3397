"""A photo and a mask in, the whole photo out: at any size, in the kind and number format it came in."""

import functools
import math
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import MaskError, ModelError, PhotoError, UsageError, unknown_name
from ..masks import as_mask, grow_mask, read_mask
from ..photo import Photo, photo_to_pil, read_photo
from .blend import feather, hole_box, match_seam, poisson, wide_parts
from .engines import Engine, check_options, open_engine
from .regions import BoolArray, FloatArray, Region, enlarge_crop, overlap_px, plan_regions, shrink_crop

POSTPROCESSING = ("none", "poisson")
"""What may be done to a finished fill: nothing, or GLCIC's fast marching and Poisson blending."""

MOST_GROWTH = 100_000
"""No photo is wider than this; a larger mask growth is a slip."""

_PIL_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "I;16": "I;16", "1": "L", "P": "RGB", "PA": "RGBA"}
"""PIL modes that are accepted, and the mode that comes back: a palette or one bit cannot hold new colours."""


@dataclass(frozen=True)
class FillReport:
    """What one fill did. `seconds` is the fill alone, without reading or writing files."""

    model: str
    runtime: str
    height: int
    width: int
    hole_pixels: int
    regions: int
    seconds: float

    @property
    def hole_ratio(self) -> float:
        """Missing pixels over all pixels."""
        return self.hole_pixels / (self.height * self.width)


class Inpainter:
    """Fills photos with one model, which stays open between calls. Safe to use from several threads.

    `model` is a name (default, glcic, gmcnn, telea, ns, biharmonic), an ONNX file, weights, a run's folder, or an
    `Engine` of your own. `engine` is the runtime of a network: auto, onnx, openvino or torch; `precision` auto, float32
    or bfloat16 (not in ONNX Runtime); `threads` bounds the threads of ONNX Runtime and OpenVINO. `grow` widens every
    mask by so many pixels. `postprocess` is None or "poisson".

    Every pixel outside the mask (as grown) comes back bit for bit. Raises UsageError for unknown names and ModelError
    for a model that cannot be used.
    """

    def __init__(
        self,
        model: str | Path | Engine = "default",
        engine: str = "auto",
        *,
        precision: str = "auto",
        grow: int = 0,
        postprocess: str | None = None,
        threads: int | None = None,
    ) -> None:
        chosen = "none" if postprocess is None else postprocess
        if not isinstance(chosen, str) or chosen not in POSTPROCESSING:
            raise UsageError(unknown_name("postprocess", str(postprocess), POSTPROCESSING))
        if not isinstance(grow, int | np.integer) or isinstance(grow, bool) or not 0 <= grow <= MOST_GROWTH:
            raise UsageError(f"grow is {grow!r}, expected a whole number of pixels from 0 to {MOST_GROWTH}")
        check_options(engine, precision, threads)
        if isinstance(model, type) or not isinstance(model, str | Path | Engine):
            given = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
            raise UsageError(f"model is {given}, expected a name, a path, or an object with what an Engine has")
        self.engine: Engine = (
            open_engine(model, engine, precision, threads=threads) if isinstance(model, str | Path) else model
        )
        self.grow = int(grow)
        self.postprocess = chosen

    def __call__(self, image: Any, mask: Any) -> Any:
        """The photo made whole.

        `image` is a NumPy array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 or float in [0,1], a PIL
        image, or a file's path. An array comes back as an equal kind of array; a PIL image as one of the same mode (a
        palette as RGB, one bit as L), its pixels taken as PIL shows them, unturned; a path as an upright PIL image
        (16-bit colour, which PIL cannot hold, is refused: see `fill_photo`). Alpha is kept. `mask` is an array, a PIL
        image or a path, white or True = missing, of the photo's size. Nothing that is passed in is modified. An empty
        mask gives an equal copy. Raises PhotoError and MaskError.
        """
        if isinstance(image, str | os.PathLike):
            photo = read_photo(Path(image))
            return photo_to_pil(self.fill_photo(photo, _any_mask(mask, photo.size)))
        if isinstance(image, Image.Image):
            return self._fill_pil(image, mask)
        return self.fill_pixels(image, mask)[0]

    def fill_photo(self, photo: Photo, mask: BoolArray) -> Photo:
        """The photo with its missing pixels filled; everything else about it stays."""
        return self.fill_photo_reported(photo, mask)[0]

    def fill_photo_reported(self, photo: Photo, mask: BoolArray) -> tuple[Photo, FillReport]:
        """`fill_photo`, and what it did."""
        pixels, report = self.fill_pixels(photo.pixels, mask, grey=photo.grey)
        return photo.replace_pixels(pixels), report

    def fill_pixels(self, pixels: NDArray[Any], mask: Any, *, grey: bool = False) -> tuple[NDArray[Any], FillReport]:
        """A copy of `pixels` (H, W) or (H, W, C) with the missing ones filled, and what was done.

        With `grey`, three equal channels stay equal. Raises PhotoError for what is no image, and MaskError for a mask
        that does not fit or leaves nothing known.
        """
        started = time.perf_counter()
        pixels = _checked_array(pixels)
        mask = self._grown(_any_mask(mask, pixels.shape[:2]))
        regions = plan_regions(mask, self.engine.working_size)
        output = pixels.copy()
        channels = np.atleast_3d(output)
        colour = channels[..., :3] if channels.shape[2] >= 3 else channels[..., :1]
        if regions:
            self._fill_regions(colour, mask, regions, grey or colour.shape[2] == 1)
        hole_pixels = sum(int(np.count_nonzero(region.holes)) for region in regions)
        report = FillReport(
            model=self.engine.name,
            runtime=self.engine.runtime,
            height=mask.shape[0],
            width=mask.shape[1],
            hole_pixels=hole_pixels,
            regions=len(regions),
            seconds=time.perf_counter() - started,
        )
        return output, report

    def _grown(self, mask: BoolArray) -> BoolArray:
        """The mask as it is filled. Raises MaskError for one that leaves nothing known."""
        grown = grow_mask(mask, self.grow)
        if grown.all():
            after = f" after growing it by {self.grow} px" if not mask.all() else ""
            raise MaskError(
                f"mask marks every pixel as missing{after}: nothing is left to learn from; white marks what is to be "
                "filled, black what is kept"
            )
        return grown

    def _fill_regions(self, colour: NDArray[Any], mask: BoolArray, regions: list[Region], grey: bool) -> None:
        """Fill `colour` in place, region by region.

        What one region filled is known to the next, save a strip along their border: that is filled again and the two
        fills are faded into each other, so that no joint shows where a long hole was cut.
        """
        top, left = min(region.top for region in regions), min(region.left for region in regions)
        bottom = max(region.top + region.height for region in regions)
        right = max(region.left + region.width for region in regions)
        missing = mask[top:bottom, left:right].copy()
        for region in regions:
            rows, columns = region.window
            hole = missing[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            lost = mask[region.window]
            crop = colour[region.window]
            share = _share_of_new(region.holes, lost & ~hole, overlap_px(region))
            before = _unit(crop)
            filled = self._fill_crop(before.copy(), hole | (share > 0), lost, region)
            if (lost & ~hole).any():
                filled = share[..., None] * filled + (1 - share[..., None]) * before
            _paste(filled, crop, share > 0, grey)
            hole[region.holes] = False
        if self.postprocess == "poisson":
            for window, part in wide_parts(mask):
                crop = colour[window]
                _paste(poisson(_unit(crop), part), crop, part, grey)

    def _fill_crop(self, image: FloatArray, missing: BoolArray, lost: BoolArray, region: Region) -> FloatArray:
        """One crop through the engine at working size, blended at its own; `lost` is what the photo itself lacks."""
        hole = image[hole_box(missing)]  # zeroed, so that no engine can read what the photo held there
        hole[missing[hole_box(missing)]] = 0
        if self.engine.working_size is None:
            return self._run_engine(image, missing)
        shape = missing.shape
        if region.working_shape == shape:
            filled = match_seam(image, missing, self._run_engine(image, missing))
        else:
            small, small_missing = shrink_crop(image, missing, region.working_shape)
            filled = match_seam(small, small_missing, self._run_engine(small, small_missing))
            filled = enlarge_crop(filled, shape)
        return feather(image, lost, filled)

    def _run_engine(self, image: FloatArray, missing: BoolArray) -> FloatArray:
        """What the engine makes of a crop. Raises ModelError when that is no picture."""
        filled = np.asarray(self.engine(image, missing))
        if filled.shape != image.shape or filled.dtype.kind not in "fiu":
            raise ModelError(
                f"model '{self.engine.name}' returned {filled.dtype} {filled.shape} for an image {image.shape}, "
                "expected numbers of the same shape: mend it, or use another one"
            )
        if not np.isfinite(filled).all():
            raise ModelError(
                f"model '{self.engine.name}' returned values that are no numbers: use another one, or float32"
            )
        return filled.astype(np.float32, copy=False)

    def _fill_pil(self, image: Image.Image, mask: Any) -> Image.Image:
        """A PIL image of the accepted modes, its `info` (profile, EXIF, resolution) kept."""
        if image.mode not in _PIL_MODES:
            raise PhotoError(
                f"PIL image has mode {image.mode}, expected one of {', '.join(_PIL_MODES)}: convert it to RGB first"
            )
        back = "RGBA" if image.mode == "P" and "transparency" in image.info else _PIL_MODES[image.mode]
        try:
            pixels = np.asarray(image if image.mode == back else image.convert(back))
        except Exception as error:  # a lazily opened file is decoded here
            raise PhotoError(
                f"PIL image of mode {image.mode} cannot be decoded ({error}), expected a whole picture: open it afresh"
            ) from error
        filled, _ = self.fill_pixels(pixels, mask)
        result = Image.fromarray(filled)
        result.info = {key: value for key, value in image.info.items() if key != "transparency" or back == image.mode}
        return result


def fill(image: Any, mask: Any, model: str | Path | Engine = "default", **options: Any) -> Any:
    """The photo made whole: path, PIL image or array in, the same kind out (for a path, a PIL image).

    `options` are those of `Inpainter`: engine, precision, grow, postprocess, threads. The two models used last stay
    open.
    """
    if not isinstance(model, str | Path):
        return Inpainter(model, **options)(image, mask)
    model_options = {key: options.pop(key) for key in ("engine", "precision", "threads") if key in options}
    return Inpainter(_kept_open(model, **model_options), **options)(image, mask)


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


def _any_mask(mask: Any, size: tuple[int, int]) -> BoolArray:
    """A mask given as path, PIL image or array."""
    if isinstance(mask, str | os.PathLike):
        return read_mask(Path(mask), size)
    if isinstance(mask, np.ma.MaskedArray):
        raise MaskError("mask is a masked array, which could be meant two ways: pass its .mask or its .data")
    return as_mask(np.asarray(mask) if isinstance(mask, np.ndarray) else mask, size)


def _checked_array(image: Any) -> NDArray[Any]:
    """The array itself when it is an image. Raises PhotoError."""
    expected = "expected uint8, uint16 or float in [0,1] of shape (height, width) or (height, width, 1, 3 or 4)"
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


def _share_of_new(holes: BoolArray, filled_before: BoolArray, overlap: int) -> FloatArray:
    """How much of a pixel comes from the new fill: 1 in `holes`, from there down to 0 over what was filled before."""
    share = holes.astype(np.float32)
    if not filled_before.any():
        return share
    distance = cv2.distanceTransform((~holes).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    fading = np.clip(1 - distance / (overlap + 1), 0, 1)
    return np.where(filled_before & ~holes, fading, share).astype(np.float32)


def _unit(crop: NDArray[Any]) -> FloatArray:
    """A crop as float32 (H, W, 3) in [0,1]; one channel is repeated. Always a copy."""
    scaled = crop.astype(np.float32)
    if crop.dtype.kind == "u":
        scaled *= np.float32(1 / np.iinfo(crop.dtype).max)
    return np.repeat(scaled, 3, axis=2) if crop.shape[2] == 1 else scaled


def _paste(filled: FloatArray, crop: NDArray[Any], holes: BoolArray, grey: bool) -> None:
    """Write the holes' pixels into `crop`, in its own number format; with `grey`, all channels alike."""
    box = hole_box(holes)
    inside = holes[box]
    values = filled[box][inside]
    if grey:
        values = np.repeat(values.mean(axis=1, keepdims=True), 3, axis=1)
    crop[box][inside] = _like(values[:, : crop.shape[2]], crop.dtype)


def _like(values: FloatArray, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the photo's own number format, what lies beyond [0,1] cut off."""
    values = np.clip(values, 0, 1)
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.rint(values * np.float32(np.iinfo(dtype).max)).astype(dtype)
