"""Annotation files as masks: COCO, one file for many photos, and LabelMe, one file for each."""

import base64
import binascii
import difflib
import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MaskError, PhotoError, UsageError, unknown_name
from ..photo import DEFAULT_MAX_PIXELS, decode_photo, read_bytes
from .outlines import Part, circle_outline, mask_of_runs, polygon_part, runs_of_text, stroke_outlines
from .read import fit_mask

LINE_WIDTH_PX = 10
"""How wide LabelMe's own tools draw a line."""

POINT_RADIUS_PX = 5
"""How large LabelMe's own tools draw a point."""

SHAPE_TYPES = (
    "circle",
    "line",
    "linestrip",
    "mask",
    "oriented_rectangle",
    "point",
    "points",
    "polygon",
    "rectangle",
)
"""What LabelMe's shapes may be."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """A parsed annotation file: its photos by name, what is marked in each, and what its marks are called.

    `photos` are COCO's image records or one made of a LabelMe file, `marks` by the photo's id. `labels` are all names
    in the file.
    """

    name: str
    coco: bool
    photos: tuple[dict[str, Any], ...]
    marks: dict[Any, list[dict[str, Any]]]
    labels: tuple[str, ...]
    by_name: dict[str, list[dict[str, Any]]] = field(repr=False)


@dataclass(eq=False)
class _Canvas:
    """A mask that parts are drawn on in the annotation's own pixels, at the size it is wanted in."""

    mask: np.ndarray
    height: int
    width: int
    left_out: int = 0
    reached: bool = False
    """Whether anything since this was last False lay on the canvas."""

    def draw(self, points: np.ndarray) -> None:
        """Mark what lies inside a polygon (N, 2)."""
        low, high = points.min(axis=0), points.max(axis=0)
        sides = np.array([self.width, self.height])
        beyond = ((low < 0) & (high <= 0)) | ((low >= sides) & (high > sides))
        self.reached = self.reached or not beyond.any()
        scale = self.mask.shape[1] / self.width, self.mask.shape[0] / self.height
        part = polygon_part(points * scale, *self.mask.shape)
        if part is not None:
            self._mark(part)

    def paste(self, part: Part) -> None:
        """Mark a piece of a mask in the annotation's pixels."""
        top, left, marked = part
        self.reached = self.reached or (-marked.shape[0] < top < self.height and -marked.shape[1] < left < self.width)
        if self.mask.shape != (self.height, self.width):
            whole = np.zeros((self.height, self.width), np.bool_)
            _Canvas(whole, self.height, self.width).paste(part)
            top, left, marked = 0, 0, fit_mask(whole, (self.mask.shape[0], self.mask.shape[1]))
        row, column = max(-top, 0), max(-left, 0)
        self._mark((top + row, left + column, marked[row:, column:]))

    def _mark(self, part: Part) -> None:
        top, left, marked = part
        window = self.mask[top : top + marked.shape[0], left : left + marked.shape[1]]
        window |= marked[: window.shape[0], : window.shape[1]]


def is_annotations(data: bytes) -> bool:
    """Whether a file's first bytes are those of JSON."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def read_annotations(path: str | Path) -> Annotations:
    """Read a COCO or LabelMe file; the last one is remembered until it changes, because a batch asks for it again.

    Raises MaskError for what is neither.
    """
    try:
        about = Path(path).stat()
    except (OSError, ValueError):
        return parse_annotations(_content(path), str(path))
    return _remembered(str(path), about.st_mtime_ns, about.st_size)


def parse_annotations(data: bytes, name: str) -> Annotations:
    """Parse a COCO or LabelMe file held in memory; `name` is used in messages. Raises MaskError."""
    try:
        record = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise MaskError(f"mask '{name}' is not valid JSON ({reason}), expected a COCO or LabelMe file") from error
    if isinstance(record, dict) and _records(record.get("shapes")):
        return _labelme(record, name)
    if isinstance(record, dict) and _records(record.get("images")) and _records(record.get("annotations")):
        return _coco(record, name)
    raise MaskError(
        f"mask '{name}' is JSON of another kind, expected COCO (with images and annotations) or LabelMe (with shapes): "
        "export it as one of them"
    )


def draw_annotations(
    annotations: Annotations,
    photo: Path | None,
    size: tuple[int, int],
    *,
    labels: Sequence[str] = (),
    resize: bool = False,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The mask (H, W) of what is marked in one photo, and notes on what was not taken as it stands.

    `photo` is the photo's path, by whose name it is found; None, for a photo without a file, takes the only one there
    is. `size` is the photo's (height, width); annotations of another size are an error, or scaled to it with `resize`.
    `labels` chooses among the marks; none means all. Crowds (COCO's iscrowd) count as any other mark. Raises MaskError.
    """
    for label in labels:
        if label not in annotations.labels:
            raise UsageError(f"mask '{annotations.name}': {unknown_name('label', label, annotations.labels)}")
    record = _found(annotations, photo)
    height, width = (_side(record.get(key)) or side for key, side in zip(("height", "width"), size, strict=True))
    notes = list(check_size(f"mask '{annotations.name}'", (height, width), size, resize=resize, verb="scaled"))
    if height * width > DEFAULT_MAX_PIXELS:
        raise MaskError(
            f"mask '{annotations.name}' is for a photo of {width} x {height} pixels, expected at most "
            f"{DEFAULT_MAX_PIXELS:,}: correct its size"
        )
    canvas = _Canvas(np.zeros(size, np.bool_), height, width)
    marks = [mark for mark in annotations.marks.get(record["id"], ()) if not labels or mark["label"] in labels]
    beyond = 0
    for number, mark in enumerate(marks, 1):
        canvas.reached, left_out = False, canvas.left_out
        try:
            (_draw_coco if annotations.coco else _draw_labelme)(canvas, mark)
        except (LookupError, TypeError, ValueError, OverflowError, MaskError, PhotoError) as error:
            said = str(error) if isinstance(error, MaskError | PhotoError) else "its numbers cannot be understood"
            raise MaskError(
                f"mask '{annotations.name}': mark {number} of this photo ('{mark['label']}') is damaged: {said}; "
                "expected outlines of x and y in pixels, or run lengths: export it anew"
            ) from error
        beyond += not canvas.reached and canvas.left_out == left_out
    if beyond:
        notes.append(f"{beyond} marks of this photo in '{annotations.name}' lie wholly outside it")
    if canvas.left_out:
        notes.append(f"{canvas.left_out} outlines of fewer than three points in '{annotations.name}' are left out")
    if not marks:
        what = f"nothing labelled {' or '.join(labels)}" if labels else "nothing"
        notes.append(f"'{annotations.name}' marks {what} in this photo")
    return canvas.mask, tuple(notes)


def check_size(
    name: str, size: tuple[int, int], wanted: tuple[int, int], *, resize: bool, verb: str = "resized"
) -> Iterator[str]:
    """A note that a mask of another size is brought to the photo's; both sizes are (height, width).

    Raises MaskError without `resize`, and for sides the wrong way round, which no scaling mends.
    """
    if size == wanted:
        return
    both = f"{size[1]} x {size[0]} pixels (width x height) and the photo {wanted[1]} x {wanted[0]}"
    if size == wanted[::-1]:
        raise MaskError(
            f"{name} is {both}, the sides the wrong way round, expected the photo as it is shown: make it on the photo "
            "with its orientation applied"
        )
    if not resize:
        raise MaskError(f"{name} is {both}, expected equal sizes: resize it to the photo's size by nearest neighbour")
    skew = (size[0] / wanted[0]) / (size[1] / wanted[1])
    yield f"{name} is {both}: it is {verb} to the photo" + (
        "" if 0.98 < skew < 1.02 else ", whose proportions are others: look whether it fits"
    )


@lru_cache(maxsize=1)
def _remembered(path: str, modified_ns: int, size: int) -> Annotations:
    """A file as it was at one time."""
    return parse_annotations(_content(path), path)


def _content(path: str | Path) -> bytes:
    """A file's bytes, in the words of masks."""
    try:
        return read_bytes(path)
    except PhotoError as error:
        raise MaskError(f"mask: {error}") from error


def _records(value: Any) -> bool:
    """Whether a JSON value is a list of objects."""
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _labelme(record: dict[str, Any], name: str) -> Annotations:
    """A LabelMe file as annotations of its one photo."""
    path = record.get("imagePath")
    photo = {
        "id": 0,
        "file_name": path if isinstance(path, str) else "",
        "height": record.get("imageHeight"),
        "width": record.get("imageWidth"),
    }
    marks = [{**shape, "label": str(shape.get("label"))} for shape in record["shapes"]]
    return _indexed(name, False, [photo], {0: marks}, [mark["label"] for mark in marks])


def _coco(record: dict[str, Any], name: str) -> Annotations:
    """A COCO file with its annotations gathered by photo and named by category."""
    categories: Any = record.get("categories")
    marks: dict[Any, list[dict[str, Any]]] = {}
    try:
        listed = categories if _records(categories) else []
        names = {_same_id(each.get("id")): str(each.get("name")) for each in listed}
        for each in record["annotations"]:
            label = names.get(_same_id(each.get("category_id")), str(each.get("category_id")))
            marks.setdefault(_same_id(each.get("image_id")), []).append({**each, "label": label})
        photos = [
            {**each, "id": _same_id(each["id"]), "file_name": str(each["file_name"])} for each in record["images"]
        ]
        used = [mark["label"] for own in marks.values() for mark in own]
        return _indexed(name, True, photos, marks, [*names.values(), *used])
    except (KeyError, TypeError) as error:
        raise MaskError(
            f"mask '{name}': an image has no id or file_name, or something has a list for an id, expected COCO's "
            "fields: export it anew"
        ) from error


def _same_id(value: Any) -> str:
    """An id as text: some tools write a number here and its digits there. Raises TypeError for a list or an object."""
    if isinstance(value, list | dict):
        raise TypeError("an id is no list")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _indexed(
    name: str, coco: bool, photos: list[dict[str, Any]], marks: dict[Any, list[dict[str, Any]]], labels: list[str]
) -> Annotations:
    """Annotations whose photos can be looked up."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for photo in photos:
        parts = _parts(photo["file_name"])
        for key in dict.fromkeys(_keys(parts[-1])):
            by_name.setdefault(key, []).append(photo)
    return Annotations(name, coco, tuple(photos), marks, tuple(dict.fromkeys(labels)), by_name)


def _parts(path: str) -> list[str]:
    """A path of any system as its parts; letters that can be written in two ways are written in one."""
    return unicodedata.normalize("NFC", path).replace("\\", "/").split("/")


def _keys(name: str) -> tuple[str, str, str, str]:
    """What a file's name is looked up by, best first: as it is, in any case, without suffix, without it in any case.

    Slashes, which no name has, tell them apart.
    """
    stem = name.rpartition(".")[0] or name
    return name, f"/{name.casefold()}", f"//{stem}", f"///{stem.casefold()}"


def _found(annotations: Annotations, photo: Path | None) -> dict[str, Any]:
    """The record of one photo: by its name, else in any case or without suffix; folders decide between equal names."""
    name = annotations.name
    if photo is None:
        if len(annotations.photos) == 1:
            return annotations.photos[0]
        raise MaskError(
            f"mask '{name}' is for {len(annotations.photos)} photos and this one has no file name, expected one to "
            "find it by: read the photo from its file"
        )
    parts = _parts(str(photo))
    found = next((annotations.by_name[key] for key in _keys(parts[-1]) if key in annotations.by_name), [])
    if len(found) > 1:
        lower = [part.casefold() for part in parts]
        names = [_parts(each["file_name"]) for each in found]
        alike = [(_common_end([part.casefold() for part in each], lower), _common_end(each, parts)) for each in names]
        found = [each for each, shared in zip(found, alike, strict=True) if shared == max(alike)]
    if len(found) == 1:
        return found[0]
    if found:
        raise MaskError(
            f"mask '{name}' has {len(found)} photos that '{photo}' could be, expected one: name it with its folder"
        )
    if not annotations.coco and not annotations.photos[0]["file_name"]:
        return annotations.photos[0]
    whole = [each["file_name"] for each in annotations.photos]
    near = difflib.get_close_matches(parts[-1], whole[:10_000], n=1, cutoff=0.5)
    there = (
        f"'{whole[0]}'" if len(whole) == 1 else f"{len(whole):,} others" + (f", '{near[0]}' for one" if near else "")
    )
    raise MaskError(
        f"mask '{name}' says nothing of a photo '{parts[-1]}', expected it among its photos: it is about {there}"
    )


def _common_end(one: list[str], other: list[str]) -> int:
    """How many parts two paths share, counted from their ends."""
    shared = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared


def _side(value: Any) -> int:
    """A side in pixels as a file gives it; 0 where it gives none that is usable."""
    return int(value) if isinstance(value, int | float) and 1 <= value < 1 << 31 else 0


def _points(value: Any) -> np.ndarray:
    """Points (N, 2) of x and y, all of them numbers. Raises ValueError or TypeError."""
    points = np.asarray(value, np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("not a number")
    return points


def _draw_coco(canvas: _Canvas, mark: dict[str, Any]) -> None:
    """One annotation of COCO: polygons, run lengths in either form, or its box where it has neither."""
    outlines = mark.get("segmentation")
    if isinstance(outlines, dict):
        height, width = (int(side) for side in outlines["size"])
        if (height, width) != (canvas.height, canvas.width):
            raise MaskError(f"its runs are of {width} x {height} pixels and its photo {canvas.width} x {canvas.height}")
        runs = outlines["counts"]
        canvas.paste((0, 0, mask_of_runs(runs_of_text(runs) if isinstance(runs, str) else runs, height, width)))
        return
    if not outlines:
        left, top, width, height = _points(mark["bbox"]).ravel()
        if width < 0 or height < 0:
            raise MaskError(f"its box is {width:g} wide and {height:g} high (COCO's order is left, top, width, height)")
        outlines = [[left, top, left + width, top, left + width, top + height, left, top + height]]
    elif not isinstance(outlines[0], list):
        outlines = [outlines]  # one polygon without the list around it
    for outline in outlines:
        points = _points(outline)
        if len(points) < 3:
            canvas.left_out += 1
        else:
            canvas.draw(points)


def _draw_labelme(canvas: _Canvas, mark: dict[str, Any]) -> None:
    """One shape of LabelMe."""
    kind = mark.get("shape_type") or "polygon"
    if kind not in SHAPE_TYPES:
        raise MaskError(unknown_name("shape_type", str(kind), SHAPE_TYPES))
    points = _points(mark["points"])
    if kind == "mask":
        left, top = (int(value) for value in points[0])
        canvas.paste((top, left, _stored_mask(mark["mask"])))
    elif kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        canvas.draw(_points([left, top, right, top, right, bottom, left, bottom]))
    elif kind == "circle":
        (x, y), rim = points
        canvas.draw(circle_outline(float(x), float(y), float(np.hypot(*(rim - [x, y])))))
    elif kind in ("line", "linestrip"):
        for outline in stroke_outlines(points, LINE_WIDTH_PX):
            canvas.draw(outline)
    elif kind in ("point", "points"):
        for x, y in points:
            canvas.draw(circle_outline(float(x), float(y), POINT_RADIUS_PX))
    elif len(points) < 3:
        canvas.left_out += 1
    else:
        canvas.draw(points)


def _stored_mask(text: str) -> np.ndarray:
    """The mask that LabelMe stores as a picture of 0 and 1 in base64."""
    try:
        data = base64.b64decode(text)
    except binascii.Error as error:
        raise MaskError("its picture is not in base64") from error
    return decode_photo(data, source="its picture", max_pixels=DEFAULT_MAX_PIXELS).pixels[..., 0] > 0
