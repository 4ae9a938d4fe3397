"""What a request carries: multipart fields and JSON, read within limits, in memory only, and described in one place.

A `Field` is both how a value is read and how `/docs` describes it, so that the description stays true.
"""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from fastapi.requests import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ..errors import UsageError, unknown_name
from ..filling.inpainter import CHOICES
from ..masks.grow import growth_of
from ..masks.sources import parse_box
from ..photo import SUFFIXES
from .problems import Problem
from .service import MOST_VARIANT

MOST_FIELDS = 200
MOST_JSON = 1_000_000
"""Bytes of a JSON object that is parsed where every request waits for it."""

MOST_PARTS = 1000
"""Brackets, braces and commas of a JSON object that carries files: each costs far more memory than the byte it is."""

LARGEST_FIELD = 16_384
"""Bytes of a field that is no file."""


@dataclass(frozen=True)
class Field:
    """One field of a form: how it is described, and how its text is read; without `read` it is a file."""

    name: str
    schema: dict[str, Any]
    about: str
    read: Callable[[str], Any] | None = None
    default: Any = None
    required: bool = False
    repeated: bool = False


@dataclass(frozen=True)
class File:
    """A file that was sent: its content, and the last part of the name it came under."""

    content: bytes
    name: str


def whole_number(name: str, low: int, high: int) -> Callable[[str], int]:
    """Reads a whole number in a range; UsageError for anything else."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or not low <= int(text) <= high:
            raise UsageError(f"{name} is '{text[:40]}', expected a whole number from {low} to {high}")
        return int(text)

    return read


def one_of(name: str, valid: Sequence[str]) -> Callable[[str], str]:
    """Reads one of some words; UsageError lists them."""

    def read(text: str) -> str:
        if text not in valid:
            raise UsageError(unknown_name(name, text[:40], valid))
        return text

    return read


def written_as(name: str, pattern: str, read: Callable[[str], Any], expected: str) -> Callable[[str], Any]:
    """Reads what the pattern in the description matches, and nothing else."""

    def checked(text: str) -> Any:
        if not re.fullmatch(pattern, text):
            raise UsageError(f"{name} is '{text[:40]}', expected {expected}")
        return read(text)

    return checked


def photo_format(text: str) -> str | None:
    """A format to write, None for the photo's own."""
    word = one_of("format", FORMATS)(text)
    return None if word == "keep" else SUFFIXES[f".{word}"]


FORMATS = ("keep", *(suffix[1:] for suffix in SUFFIXES))
_GROWTH = r"[0-9]{1,4}(px)?|[0-9]{1,3}(\.[0-9]{1,3})?%"
_BOX = r"[0-9]{1,6},[0-9]{1,6},[1-9][0-9]{0,5},[1-9][0-9]{0,5}"
_TEXT = {"type": "string"}
_FILE = {"type": "string", "format": "binary"}


def _number(low: int, high: int, default: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return schema if default is None else {**schema, "default": default}


MODEL = Field("model", _TEXT, "What fills: a name of `/api/v1/models`.", str)
GROW = Field(
    "grow",
    {"type": "string", "default": "0", "pattern": f"^({_GROWTH})$"},
    "Widen the mask first: pixels, or a share of each hole such as 3%.",
    written_as("grow", _GROWTH, growth_of, "pixels such as 4, or a share of each hole such as 3%"),
    0,
)
DETAIL = Field(
    "detail",
    {"type": "string", "enum": list(CHOICES), "default": "auto"},
    "Texture from the photo where a fill is smooth.",
    one_of("detail", CHOICES),
    "auto",
)
GRAIN = Field(
    "grain",
    {"type": "string", "enum": list(CHOICES), "default": "auto"},
    "The photo's own grain in the fill.",
    one_of("grain", CHOICES),
    "auto",
)
SEED = Field("seed", _number(0, 2**31 - 1, 0), "Of texture and grain.", whole_number("seed", 0, 2**31 - 1), 0)
VARIANT = Field(
    "variant",
    _number(0, MOST_VARIANT, 0),
    "0 is the fill itself; each other number sees the hole in another way and fills it differently.",
    whole_number("variant", 0, MOST_VARIANT),
    0,
)
FORMAT = Field(
    "format",
    {"type": "string", "enum": list(FORMATS), "default": "keep"},
    "What is written; keep is the photo's own format.",
    photo_format,
)
QUALITY = Field("quality", _number(1, 100), "Of JPEG, WebP, AVIF, HEIC.", whole_number("quality", 1, 100))
PHOTO = Field("photo", _FILE, "A photo file.", required=True)
MASK = Field("mask", _FILE, "A picture of the upright photo's size, white = missing.")
BOX = Field(
    "box",
    {"type": "array", "items": {"type": "string", "pattern": f"^({_BOX})$"}},
    "What is missing: top,left,height,width; repeatable, in place of a mask or in addition to it.",
    written_as("box", _BOX, parse_box, "top,left,height,width in whole pixels, such as 40,60,100,80"),
    repeated=True,
)

OPTION_FIELDS = (MODEL, GROW, DETAIL, GRAIN, SEED, VARIANT)
FILL_FIELDS = (PHOTO, MASK, BOX, *OPTION_FIELDS, FORMAT, QUALITY)
TOP = Field("top", _number(0, 10**6, 0), "Where the window begins.", whole_number("top", 0, 10**6), 0)
LEFT = Field("left", _number(0, 10**6, 0), "Where the window begins.", whole_number("left", 0, 10**6), 0)
VERSION = Field("version", _number(0, 10**6, 0), "What it is done to.", whole_number("version", 0, 10**6), 0)
WINDOW_MASK = Field("mask", _FILE, "A PNG of a window of the mask, at the photo's resolution.", required=True)
PATCH = Field("patch", _FILE, "A PNG as `/patch` gave it; what is transparent in it stays.", required=True)


def form_body(fields: Sequence[Field]) -> dict[str, Any]:
    """The fields as OpenAPI describes a request's body."""
    properties = {field.name: {**field.schema, "description": field.about} for field in fields}
    required = [field.name for field in fields if field.required]
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def json_body(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON body as OpenAPI describes it."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def read_form(request: Request, fields: Sequence[Field], max_bytes: int, limit_s: float) -> dict[str, Any]:
    """The fields of a multipart body by name, read as they say; files as `File`. Raises Problem and UsageError."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise Problem(
            "wrong-media-type", f"the content is of type '{kind[:60]}', expected multipart/form-data: send a form"
        )
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=8, max_fields=MOST_FIELDS, max_part_size=LARGEST_FIELD
    )
    parser.spool_max_size = max_bytes + 1  # the body is refused before it is longer: nothing goes to disk
    try:
        async with asyncio.timeout(limit_s):
            form = await parser.parse()
    except Problem:
        raise
    except TimeoutError:
        raise _too_slow(limit_s) from None
    except MultiPartException as error:
        raise Problem("bad-request", f"the form cannot be read ({error.message}): send multipart/form-data") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # what a malformed header makes of the parser
        raise Problem("bad-request", "the form cannot be read: send multipart/form-data") from error
    try:
        return _values(form.multi_items(), {field.name: field for field in fields})
    finally:
        await form.close()


def _values(items: list[tuple[str, Any]], fields: dict[str, Field]) -> dict[str, Any]:
    """Every field's value; those that were not sent have their default."""
    found: dict[str, Any] = {name: [] if field.repeated else field.default for name, field in fields.items()}
    sent: set[str] = set()
    for name, given in items:
        if name not in fields:
            raise Problem("bad-option", unknown_name("field", name[:40], fields))
        field = fields[name]
        if name in sent and not field.repeated:
            raise Problem("bad-option", f"{name} is there twice, expected it once: leave one out")
        sent.add(name)
        if field.read is None:
            if not isinstance(given, UploadFile):
                raise Problem("bad-option", f"{name} is text, expected a file: send it with a file name")
            found[name] = File(given.file.read(), safe_name(given.filename or ""))
            continue
        if isinstance(given, UploadFile):
            raise Problem("bad-option", f"{name} is a file, expected text: send it without a file name")
        value = field.read(given)
        found[name] = [*found[name], value] if field.repeated else value
    missing = [name for name, field in fields.items() if field.required and name not in sent]
    if missing:
        raise Problem("bad-option", f"missing {missing[0]}: expected a form with {', '.join(missing)}")
    return found


async def read_json(request: Request, limit_s: float, *, most: int = MOST_JSON) -> dict[str, Any]:
    """The object in a JSON body of at most so many bytes. Raises Problem."""
    return parse_json(await read_json_body(request, limit_s, most=most))


async def read_json_body(request: Request, limit_s: float, *, most: int | None = None) -> bytes:
    """A JSON body that is not parsed yet, of at most so many bytes. Raises Problem."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem("wrong-media-type", f"the content is of type '{kind[:60]}', expected application/json")
    try:
        async with asyncio.timeout(limit_s):
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if most is not None and len(body) > most:
                    raise Problem(
                        "too-large",
                        f"the content is larger than {most / 1e6:g} MB, which is the limit of this address: send less",
                        {"Connection": "close"},
                    )
    except TimeoutError:
        raise _too_slow(limit_s) from None
    return bytes(body)


def parse_json(body: bytes, *, most_parts: int | None = None) -> dict[str, Any]:
    """The object in a JSON text, which may have so many brackets, braces and commas. Raises Problem."""
    if most_parts is not None and sum(map(body.count, (b"[", b"{", b","))) > most_parts:
        raise Problem(
            "bad-request",
            f"the content has more than {most_parts:,} brackets, braces and commas, expected one object with a few "
            "values: send only what is needed",
        )
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem("bad-request", "the content is no JSON that can be read: send an object") from error
    if not isinstance(found, dict):
        raise Problem("bad-option", "the content is JSON but no object, expected one with names and values")
    return found


def _too_slow(limit_s: float) -> Problem:
    return Problem("slow-upload", f"the content did not arrive within {limit_s:g} s: send it again, or less of it")


def safe_name(name: str) -> str:
    """The last part of a file's name without what a header or a file system stumbles over; "photo" for want of one."""
    last = PurePosixPath(name.replace("\\", "/")).name
    kept = "".join(letter for letter in last if letter.isprintable() and letter not in '<>:"|?*/\\')
    return kept.strip(" .")[:100] or "photo"
