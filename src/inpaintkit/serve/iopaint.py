"""The addresses of IOPaint 1.6 that its plug-ins for other programs use, so that they go on working here.

An image and a mask come as base64 in JSON, and the image goes back as a PNG. What is for other kinds of models is read
past.
"""

import base64
import binascii
import re
import secrets
from typing import Any

from fastapi import FastAPI
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response

from .answers import FILLING, answer, finished, object_of, problems
from .exchange import Output
from .fills import Fills, adder
from .forms import MOST_PARTS, File, json_body, parse_json, read_json, read_json_body
from .problems import Problem
from .service import FillOptions, Job

_TEXT, _YES_NO = {"type": "string"}, {"type": "boolean"}
_SUPPORTS = (
    "need_prompt",
    "support_strength",
    "support_outpainting",
    "support_lcm_lora",
    "support_controlnet",
    "support_brushnet",
    "support_powerpaint_v2",
    "is_single_file_diffusers",
)
_NO_LIST = {"type": "array", "items": _TEXT}
MODEL_SCHEMA = object_of(
    name=_TEXT,
    path=_TEXT,
    model_type=_TEXT,
    controlnets=_NO_LIST,
    brushnets=_NO_LIST,
    **dict.fromkeys(_SUPPORTS, _YES_NO),
)
INPAINT_SCHEMA = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "description": "The photo in base64, or as a data URL."},
        "mask": {"type": "string", "description": "The mask in base64, of the photo's size; white = missing."},
        "sd_seed": {"type": "integer", "default": 42, "description": "-1 draws one."},
    },
    "required": ["image", "mask"],
    "additionalProperties": True,
}
_DATA_URL = re.compile(r"data:[\w/+.-]*(;[\w=-]*)*,")
_LARGEST_SEED = 2**31 - 1


class IOPaint:
    """IOPaint's addresses, answered by our fills."""

    def __init__(self, fills: Fills) -> None:
        self.fills, self.model = fills, fills.service.default

    def add_to(self, app: FastAPI) -> None:
        """Make the application answer these addresses."""
        add = adder(app, "IOPaint")
        picture = answer("The filled photo.", media=("image/png",), headers={"X-Seed": "The seed that was used"})
        add(
            "/api/v1/inpaint",
            self.inpaint,
            "POST",
            {200: picture, **problems(*FILLING, "time-limit")},
            openapi_extra=json_body(INPAINT_SCHEMA),
        )
        add("/api/v1/server-config", self.server_config, "GET", {200: answer("What there is.", {"type": "object"})})
        about = answer("The model that is used.", MODEL_SCHEMA)
        add("/api/v1/model", self.current_model, "GET", {200: about})
        name = {"type": "object", "properties": {"name": _TEXT}, "required": ["name"]}
        switching = {200: about, **problems(*FILLING)}
        add("/api/v1/model", self.switch_model, "POST", switching, openapi_extra=json_body(name))
        add("/api/v1/samplers", self.samplers, "GET", {200: answer("None.", _NO_LIST)})

    async def inpaint(self, request: Request) -> Response:
        """Fill a photo as IOPaint's `POST /api/v1/inpaint` does: JSON in, PNG out."""
        job = await self._accept(request)
        result = await finished(job, request)
        return Response(result.content, media_type=result.media_type, headers={"X-Seed": str(job.options.seed)})

    async def _accept(self, request: Request) -> Job:
        """Read a fill and queue it; what was sent is let go of with the return. Raises Problem."""
        body = await read_json_body(request, self.fills.settings.upload_limit_s)
        sent, mask, seed = await self.fills.pooled(_parsed, body)
        del body
        options = FillOptions(self.model, seed=seed)
        return await self.fills.queue(sent, mask, [], options, Output("PNG"), keep=False)

    async def server_config(self) -> Response:
        """What IOPaint's front ends ask for first."""
        facts = {
            "plugins": [],
            "modelInfos": [_about(name) for name in self.fills.service.workers],
            "removeBGModel": "briaai/RMBG-1.4",
            "removeBGModels": [],
            "realesrganModel": "realesr-general-x4v3",
            "realesrganModels": [],
            "interactiveSegModel": "vit_b",
            "interactiveSegModels": [],
            "enableFileManager": False,
            "enableAutoSaving": False,
            "enableControlnet": False,
            "controlnetMethod": None,
            "disableModelSwitch": False,
            "isDesktop": False,
            "samplers": [],
        }
        return JSONResponse(facts)

    async def current_model(self) -> Response:
        """The model that fills."""
        return JSONResponse(_about(self.model))

    async def switch_model(self, request: Request) -> Response:
        """Fill with another of the models that the service was started with."""
        given = await read_json(request, self.fills.settings.upload_limit_s)
        name = given.get("name")
        if not isinstance(name, str):
            raise Problem("bad-option", "name is no text, expected the name of a model")
        self.model = self.fills.service.check_model(name)
        return JSONResponse(_about(self.model))

    async def samplers(self) -> Response:
        """None: samplers are for diffusion models."""
        return JSONResponse([])


def _parsed(body: bytes) -> tuple[File, bytes, int]:
    """Photo, mask and seed in a body. Raises Problem."""
    given = parse_json(body, most_parts=MOST_PARTS)
    seed = given.get("sd_seed", 42)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise Problem("bad-option", "sd_seed is no whole number, expected one: leave it out")
    seed = secrets.randbelow(_LARGEST_SEED) if seed < 0 else seed & _LARGEST_SEED
    if given.get("use_extender") is True:
        raise Problem("bad-option", "use_extender is not answered here: a photo is filled, not enlarged")
    return File(_decoded(given, "image"), "photo.png"), _decoded(given, "mask"), seed


def _decoded(given: dict[str, Any], name: str) -> bytes:
    """The file in a base64 text, which may be a data URL. Raises Problem."""
    text = given.get(name)
    if not isinstance(text, str) or not text:
        raise Problem("bad-option", f"{name} is not there as text, expected a file in base64")
    found = _DATA_URL.match(text[:200])
    try:
        return base64.b64decode(text[found.end() :] if found else text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise Problem("bad-option", f"{name} is no base64 ({error}), expected a file in base64") from error


def _about(name: str) -> dict[str, Any]:
    """A model in IOPaint's words."""
    facts: dict[str, Any] = {"name": name, "path": name, "model_type": "inpaint", "controlnets": [], "brushnets": []}
    return facts | dict.fromkeys(_SUPPORTS, False)
