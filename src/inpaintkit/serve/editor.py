"""The editor's photos over HTTP: opened once, filled version by version, looked at in windows, downloaded as a file."""

import json
from pathlib import PurePosixPath
from typing import Annotated, Any

import cv2
import numpy as np
from fastapi import FastAPI, Path, Query
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response

from ..errors import MaskError, PhotoError, UsageError
from ..filling.inpainter import FillReport
from ..masks.grow import grow_mask
from ..photo import Photo, encode_photo, encoded_orientation
from .answers import FILLING, ID, PHOTO_FILE, STARTED_SCHEMA, answer, file_answer, object_of, problems
from .exchange import (
    FORMAT_SUFFIXES,
    MEDIA_TYPES,
    Output,
    encoded,
    photo_of,
    save,
    window_mask_of,
)
from .fills import Fills, adder, fields_for, options_of, started
from .forms import (
    LEFT,
    OPTION_FIELDS,
    PATCH,
    PHOTO,
    TOP,
    VERSION,
    WINDOW_MASK,
    File,
    form_body,
    json_body,
    photo_format,
    read_form,
    read_json,
)
from .photos import HeldPhoto, PhotoStore, Window
from .select import around, box_of, outline_mask, snap

PhotoId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As the photo was opened with.")]
Version = Annotated[int, Path(ge=0, le=10**6, description="0 is the photo as it came.")]
MOST_CORNERS = 20_000
MOST_GROWTH_PX = 200
LOSSLESS_VIEW = 1_000_000
"""Pixels up to which a view without alpha is a PNG; a larger one as JPEG is there much sooner."""

VIEW_QUALITY = 92

_WHOLE = {"type": "integer"}
PHOTO_SCHEMA = object_of(
    photo=ID,
    width=_WHOLE,
    height=_WHOLE,
    media_type={"type": "string"},
    format={"type": "string"},
    name={"type": "string"},
    bits={"type": "integer", "enum": [8, 16]},
    has_alpha={"type": "boolean"},
    turned={"type": "boolean", "description": "Whether the orientation in its tags was applied."},
    notes={"type": "array", "items": {"type": "string"}},
    version=_WHOLE,
)
VERSION_SCHEMA = object_of(version=_WHOLE, top=_WHOLE, left=_WHOLE, height=_WHOLE, width=_WHOLE)
_POINT = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
SELECT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "version": {"type": "integer", "minimum": 0, "maximum": 10**6, "default": 0},
        "outline": {"type": "array", "items": _POINT, "minItems": 3, "maxItems": MOST_CORNERS},
        "box": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 4, "maxItems": 4},
        "grow": {"type": "integer", "minimum": 0, "maximum": MOST_GROWTH_PX, "default": 0},
    },
    "additionalProperties": False,
    "oneOf": [{"required": ["outline"]}, {"required": ["box"]}],
}
WINDOW_HEADER = {"X-Window": "Where it lies in the photo: top,left,height,width"}


class Editor:
    """The addresses of the editor's photos."""

    def __init__(self, fills: Fills, store: PhotoStore) -> None:
        self.fills, self.store = fills, store
        self.service, self.settings, self.pooled = fills.service, fills.settings, fills.pooled
        self.fill_fields = (WINDOW_MASK, TOP, LEFT, VERSION, *fields_for(fills.service, OPTION_FIELDS))

    def add_to(self, app: FastAPI) -> None:
        """Make the application answer these addresses."""
        add, base = adder(app, "editor"), "/api/v1/photos/{photo}"
        version = f"{base}/versions/{{version}}"
        gone = ("photo-gone", "version-gone", "bad-option")
        opened = answer("The photo is open.", PHOTO_SCHEMA)
        sending = problems(*FILLING)
        extra = {"openapi_extra": form_body((PHOTO,))}
        add("/api/v1/photos", self.open, "POST", {201: opened, **sending}, status_code=201, **extra)
        add(base, self.about, "GET", {200: opened, **problems("photo-gone", "bad-option")})
        closed = {204: {"description": "Closed."}, **problems("photo-gone", "bad-option", "wrong-origin")}
        add(base, self.close, "DELETE", closed, status_code=204)
        pictures = answer("A picture for display.", media=("image/png", "image/jpeg"), headers=WINDOW_HEADER)
        add(f"{version}/view", self.view, "GET", {200: pictures, **problems(*gone)})
        patch = answer("What the fill changed; transparent where it changed nothing.", media=("image/png",))
        patch["headers"] = answer("", headers=WINDOW_HEADER)["headers"]
        add(f"{version}/patch", self.patch, "GET", {200: patch, **problems(*gone)})
        add(f"{version}/file", self.file, "GET", {200: PHOTO_FILE, **problems(*gone, "damaged-photo")})
        started_answer = {202: answer("Accepted; the fill is under way.", STARTED_SCHEMA)}
        add(
            f"{base}/fills",
            self.fill,
            "POST",
            {**started_answer, **problems(*FILLING, *gone)},
            status_code=202,
            openapi_extra=form_body(self.fill_fields),
        )
        add(
            f"{base}/patches",
            self.put_patch,
            "POST",
            {201: answer("The new version.", VERSION_SCHEMA), **problems(*FILLING, *gone)},
            status_code=201,
            openapi_extra=form_body((PATCH, TOP, LEFT, VERSION)),
        )
        masked = answer("The mask of the thing, white = missing.", media=("image/png",), headers=WINDOW_HEADER)
        selecting = {200: masked, **problems(*FILLING, *gone)}
        add(f"{base}/select", self.select, "POST", selecting, openapi_extra=json_body(SELECT_SCHEMA))

    async def open(self, request: Request) -> Response:
        """Open a photo in the editor: it is held in memory until it is closed or was not used for long."""
        self.service.check_accepting()
        form = await read_form(request, (PHOTO,), self.settings.max_bytes, self.settings.upload_limit_s)
        sent: File = form["photo"]

        def hold() -> HeldPhoto:
            photo = photo_of(sent.content, self.settings.max_pixels)
            return self.store.open(photo, sent.content, sent.name, turned=encoded_orientation(sent.content) != 1)

        return JSONResponse(facts_of(await self.pooled(hold)), 201)

    async def about(self, photo: PhotoId) -> Response:
        """What an open photo is; `version` is its newest one."""
        return JSONResponse(facts_of(self.store.get(photo)))

    async def close(self, photo: PhotoId) -> Response:
        """Let go of a photo and all its versions."""
        self.store.close(photo)
        return Response(status_code=204)

    async def view(
        self,
        photo: PhotoId,
        version: Version,
        top: Annotated[int, Query(ge=0, le=10**6)] = 0,
        left: Annotated[int, Query(ge=0, le=10**6)] = 0,
        height: Annotated[int | None, Query(ge=1, le=10**6)] = None,
        width: Annotated[int | None, Query(ge=1, le=10**6)] = None,
        scale: Annotated[float, Query(gt=0, le=1)] = 1.0,
    ) -> Response:
        """A window of a version for display, 8 bits a channel, with the photo's own colour profile."""
        held = self.store.get(photo)
        rows, columns = held.size
        window = (top, left, rows - top if height is None else height, columns - left if width is None else width)
        content, media_type = await self.pooled(_view, held, version, window, scale)
        return Response(content, media_type=media_type, headers=_window_header(window))

    async def patch(self, photo: PhotoId, version: Version) -> Response:
        """What a fill changed, bit for bit, as a PNG that is transparent where it changed nothing."""
        held = self.store.get(photo)
        content, window = await self.pooled(_patch, held, version)
        return Response(content, media_type="image/png", headers=_window_header(window))

    async def file(
        self,
        photo: PhotoId,
        version: Version,
        request: Request,
        format: Annotated[str, Query(pattern=r"^[a-z0-9]{3,5}$", description="keep, png, jpg, ...")] = "keep",
        quality: Annotated[int | None, Query(ge=1, le=100)] = None,
    ) -> Response:
        """A version as a file, in the photo's own format and with its metadata; encoded once."""
        held = self.store.get(photo)
        output = Output(photo_format(format), quality)

        def encode() -> Any:
            held.check_version(version)
            unchanged = held.content if version == 0 else None
            result = encoded(held.at(version), output, held.name, unchanged=unchanged)
            save(result, self.settings.save_dir)
            return result

        return file_answer(await self.pooled(encode), request)

    async def fill(self, photo: PhotoId, request: Request) -> Response:
        """Fill what a mask marks in a version: a job whose `done` event tells of the new version and its window."""
        self.service.check_accepting()
        held = self.store.get(photo)
        form = await read_form(request, self.fill_fields, self.settings.max_bytes, self.settings.upload_limit_s)
        version, options = form["version"], options_of(form, self.service)
        held.check_version(version)
        height, width = held.size
        job = self.service.reserve(options, height * width, keep=True)
        try:
            mask = await self.pooled(_whole_mask, held, form["mask"].content, (form["top"], form["left"]))
        except BaseException as error:
            self.service.refuse(job, error)
            raise

        def finish(whole: Photo, report: FillReport) -> dict[str, Any]:
            made, patch = held.add(version, grow_mask(mask, options.grow), 0, 0, whole.pixels)
            self.store.make_room(held)
            return {**_version_facts(made, patch.window), "seconds": round(report.seconds, 3), "model": report.model}

        self.service.submit(job, lambda: (held.at(version), mask), finish)
        return started(job, request)

    async def put_patch(self, photo: PhotoId, request: Request) -> Response:
        """Put a fill back that the service has forgotten, as `/patch` gave it."""
        held = self.store.get(photo)
        fields = (PATCH, TOP, LEFT, VERSION)
        form = await read_form(request, fields, self.settings.max_bytes, self.settings.upload_limit_s)
        height, width = held.size
        patch = await self.pooled(photo_of, form["patch"].content, height * width)
        mask, pixels = await self.pooled(_patch_pixels, patch, held.about.bits)
        held.check_window((form["top"], form["left"], *patch.size))
        version, made = await self.pooled(held.add, form["version"], mask, form["top"], form["left"], pixels)
        self.store.make_room(held)
        return JSONResponse(_version_facts(version, made.window), 201)

    async def select(self, photo: PhotoId, request: Request) -> Response:
        """The mask of the thing that a rough outline or box goes round (smart lasso)."""
        held = self.store.get(photo)
        wanted = _selection(await read_json(request, self.settings.upload_limit_s))
        mask, window = await self.pooled(_select, held, *wanted)
        return Response(png_of_mask(mask), media_type="image/png", headers=_window_header(window))


def facts_of(held: HeldPhoto) -> dict[str, Any]:
    """What is told of an open photo."""
    photo = held.about
    return {
        "photo": held.id,
        "width": photo.size[1],
        "height": photo.size[0],
        "media_type": MEDIA_TYPES[photo.format],
        "format": FORMAT_SUFFIXES[photo.format][1:],
        "name": held.name if PurePosixPath(held.name).suffix else held.name + FORMAT_SUFFIXES[photo.format],
        "bits": photo.bits,
        "has_alpha": photo.alpha is not None,
        "turned": held.turned,
        "notes": list(photo.notes),
        "version": held.newest,
    }


def png_of_mask(mask: np.ndarray) -> bytes:
    """A bool mask as a grey PNG, white = missing."""
    return cv2.imencode(".png", np.where(mask, np.uint8(255), np.uint8(0)))[1].tobytes()


def _version_facts(version: int, window: Window) -> dict[str, Any]:
    top, left, height, width = window
    return {"version": version, "top": top, "left": left, "height": height, "width": width}


def _window_header(window: Window) -> dict[str, str]:
    return {"X-Window": ",".join(map(str, window))}


def _whole_mask(held: HeldPhoto, content: bytes, place: tuple[int, int]) -> np.ndarray:
    """A window's mask in a mask of the photo's size. Raises Problem and MaskError."""
    height, width = held.size
    part = window_mask_of(content, height * width)
    top, left = place
    held.check_window((top, left, *part.shape))
    if not part.any():
        raise MaskError("nothing is marked as missing, expected white pixels in the mask: paint over what is to go")
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


def _view(held: HeldPhoto, version: int, window: Window, scale: float) -> tuple[bytes, str]:
    """A window as PNG or JPEG, and its media type."""
    pixels = held.window(version, window)
    top, left, height, width = window
    alpha = held.about.alpha
    alpha = None if alpha is None else alpha[top : top + height, left : left + width]
    pixels, alpha = _in_8_bits(pixels), None if alpha is None else _in_8_bits(alpha)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        alpha = None if alpha is None else cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    small = pixels.shape[0] * pixels.shape[1] <= LOSSLESS_VIEW
    about = held.about
    picture = Photo(pixels, alpha, about.grey, icc=about.icc, png_chunks=about.png_chunks)
    if alpha is not None or small or max(pixels.shape) > 65_500:
        return encode_photo(picture, "PNG"), "image/png"
    return encode_photo(picture, "JPEG", quality=VIEW_QUALITY), "image/jpeg"


def _in_8_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    return cv2.convertScaleAbs(np.ascontiguousarray(values), alpha=1 / 257)


def _patch(held: HeldPhoto, version: int) -> tuple[bytes, Window]:
    """A fill as a PNG of the photo's depth with its holes opaque, and its window."""
    patch = held.patch(version)
    mask, about = patch.mask, held.about
    pixels = np.zeros((*mask.shape, 3), patch.after.dtype)
    pixels[mask] = patch.after
    opaque = np.where(mask, np.iinfo(pixels.dtype).max, 0).astype(pixels.dtype)
    return encode_photo(Photo(pixels, opaque, icc=about.icc, png_chunks=about.png_chunks), "PNG"), patch.window


def _patch_pixels(patch: Photo, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels a patch changes, and to what, in the depth of its photo. Raises PhotoError."""
    mask = np.ones(patch.size, np.bool_) if patch.alpha is None else patch.alpha > 0
    if patch.bits == bits:
        return mask, patch.pixels
    if bits == 16:
        return mask, patch.pixels.astype(np.uint16) * 257
    raise PhotoError("the patch has 16 bits per channel and the photo 8, expected equal depth: send it as it was given")


def _selection(given: dict[str, Any]) -> tuple[int, list[tuple[float, float]], int]:
    """Version, corners as (x, y) and growth of a selection. Raises UsageError."""
    unknown = set(given) - set(SELECT_SCHEMA["properties"])
    if unknown:
        raise UsageError(
            f"unknown name '{sorted(unknown)[0][:40]}': valid are {', '.join(SELECT_SCHEMA['properties'])}"
        )
    numbers = {}
    for name, most in (("version", 10**6), ("grow", MOST_GROWTH_PX)):
        value = given.get(name, 0)
        if not _is_whole(value) or not 0 <= value <= most:
            raise UsageError(f"{name} is {json.dumps(value)[:40]}, expected a whole number from 0 to {most}")
        numbers[name] = int(value)
    if ("outline" in given) == ("box" in given):
        raise UsageError("expected either an outline or a box around the thing: send one of them")
    if "box" in given:
        box = given["box"]
        if not isinstance(box, list) or len(box) != 4 or not all(_is_whole(each) for each in box):
            raise UsageError("box is no list of four whole numbers, expected [top, left, height, width]")
        top, left, height, width = (int(each) for each in box)
        if min(top, left) < 0 or min(height, width) < 1 or max(map(abs, box)) > 10**6:
            raise UsageError(f"box is {top},{left},{height},{width}, expected it inside the photo, with pixels in it")
        bottom, right = top + height - 1, left + width - 1
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        return numbers["version"], [(float(x), float(y)) for x, y in corners], numbers["grow"]
    outline = given["outline"]
    if not isinstance(outline, list) or not 3 <= len(outline) <= MOST_CORNERS or not all(map(_is_point, outline)):
        raise UsageError(f"outline is no list of 3 to {MOST_CORNERS} points, expected [[x, y], ...] in photo pixels")
    return numbers["version"], [(float(x), float(y)) for x, y in outline], numbers["grow"]


def _is_whole(value: object) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _is_point(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(each, int | float) and not isinstance(each, bool) and abs(each) <= 10**6 for each in value)
    )


def _select(held: HeldPhoto, version: int, corners: list[tuple[float, float]], grow: int) -> tuple[np.ndarray, Window]:
    """The mask of the thing inside an outline, cut tight, and its window."""
    rough = outline_mask(corners, held.size)
    window = around(box_of(rough), held.size, grow)
    top, left, height, width = window
    pixels = held.window(version, window)
    found = snap(pixels, np.ascontiguousarray(rough[top : top + height, left : left + width]), grow)
    upper, leftmost, rows, columns = box_of(found)
    tight = found[upper : upper + rows, leftmost : leftmost + columns]
    return tight, (top + upper, left + leftmost, rows, columns)
