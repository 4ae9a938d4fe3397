"""Fills for programs: `POST /api/v1/fill` at once, `/api/v1/jobs` for long ones, and what models there are."""

import asyncio
import posixpath
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Path
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ..filling.classical import CLASSICAL
from ..photo import Photo
from ..weights import CATALOGUE, bundled
from .answers import (
    FILLING,
    PHOTO_FILE,
    RESULT_SCHEMA,
    STARTED_SCHEMA,
    STATUS_SCHEMA,
    answer,
    events,
    file_answer,
    finished,
    object_of,
    problems,
    status_facts,
)
from .exchange import MEDIA_TYPES, Encoded, Output, check_output, encoded, marked, photo_of, save, size_of
from .forms import FILL_FIELDS, MODEL, Field, File, form_body, read_form
from .problems import Problem
from .service import FillOptions, FillService, Job

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As the job was started with.")]

_ABOUT = {
    "default": ("Default", "The bundled network: most photos, any size of hole."),
    "glcic": ("GLCIC", "A generative network of 2017, trained on little; compare it with others."),
    "gmcnn": ("GMCNN", "A generative network of 2018, trained on little; compare it with others."),
    "patch": ("Patches", "Puts together pieces of the photo itself: best for textures such as grass, water and walls."),
    "telea": ("Telea", "Fast marching: instant, for scratches and specks."),
    "ns": ("Navier-Stokes", "Continues lines into the hole: instant, for scratches and specks."),
    "biharmonic": ("Biharmonic", "The smoothest surface: small holes in smooth places."),
}


class Fills:
    """The addresses for programs."""

    def __init__(self, service: FillService) -> None:
        self.service, self.settings = service, service.settings
        self.fields = fields_for(service, FILL_FIELDS)

    def add_to(self, app: FastAPI) -> None:
        """Make the application answer these addresses."""
        add = adder(app, "fill")
        add("/api/v1/models", self.models, "GET", {200: answer("The models, and what is allowed.", MODELS_SCHEMA)})
        add(
            "/api/v1/fill",
            self.fill,
            "POST",
            {200: PHOTO_FILE, **problems(*FILLING, "time-limit")},
            openapi_extra=form_body(self.fields),
        )
        add = adder(app, "jobs")
        started = answer("Accepted; the job is under way.", STARTED_SCHEMA)
        add(
            "/api/v1/jobs",
            self.start,
            "POST",
            {202: started, **problems(*FILLING)},
            status_code=202,
            openapi_extra=form_body(self.fields),
        )
        status = {200: answer("How the job stands.", STATUS_SCHEMA), **problems("job-gone", "bad-option")}
        add("/api/v1/jobs/{job}", self.status, "GET", status)
        add(
            "/api/v1/jobs/{job}",
            self.cancel,
            "DELETE",
            {**status, **problems("job-gone", "bad-option", "wrong-origin")},
        )
        stream = answer("`progress`, and at the end `done`, `failed` or `cancelled`.")
        stream["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        add("/api/v1/jobs/{job}/events", self.events, "GET", {200: stream, **problems("job-gone", "bad-option")})
        results = ("job-gone", "not-finished", "cancelled", "damaged-photo", "bad-mask", "model-failed", "time-limit")
        schema = {"anyOf": [RESULT_SCHEMA, {"type": "object"}]}
        result = answer(PHOTO_FILE["description"], schema, media=tuple(MEDIA_TYPES.values()))
        add("/api/v1/jobs/{job}/result", self.result, "GET", {200: result, **problems(*results, "too-large")})

    async def models(self) -> Response:
        """The models that a fill may name, the default one, and the limits."""
        workers = self.service.workers
        facts = {
            "default": self.service.default,
            "models": [about_model(name, worker.path, worker.engine) for name, worker in workers.items()],
            "limits": {
                "max_bytes": self.settings.max_bytes,
                "max_pixels": self.settings.max_pixels,
                "time_limit_s": self.settings.time_limit_s,
                "queue_length": self.settings.queue_length,
                "idle_s": self.settings.idle_s,
            },
        }
        return JSONResponse(facts)

    async def fill(self, request: Request) -> Response:
        """Fill what is missing in a photo and answer with the photo, in its own format and with its metadata.

        What is missing is white in `mask`, or named by `box`. Every other pixel comes back as it was. A client that
        hangs up cancels the fill.
        """
        job = await self._accept(request, keep=False)
        return file_answer(await finished(job, request), request)

    async def start(self, request: Request) -> Response:
        """Accept a fill, answer at once, and tell of it by events."""
        return started(await self._accept(request, keep=True), request)

    async def status(self, job: JobId) -> Response:
        """How a job stands."""
        found = self.service.job(job)
        if found.ended and found.state != "done":
            found.fetched = True
        return JSONResponse(status_facts(found))

    async def cancel(self, job: JobId) -> Response:
        """Cancel a job; one that has ended stays as it is."""
        found = self.service.job(job)
        found.cancel()
        found.fetched = True
        return JSONResponse(status_facts(found))

    async def events(self, job: JobId) -> Response:
        """Server-sent events of a job: `progress` with its `share`, then `done`, `failed` or `cancelled`."""
        found = self.service.job(job)
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        return StreamingResponse(events(found), media_type="text/event-stream", headers=headers)

    async def result(self, job: JobId, request: Request) -> Response:
        """The filled photo of a job, as `/api/v1/fill` answers; of a fill in the editor, what its `done` event says."""
        found = self.service.job(job)
        if not found.ended:
            raise Problem("not-finished", f"the job is {found.state}: wait for its done event", {"Retry-After": "1"})
        found.fetched = True
        if found.problem is not None:
            raise found.problem
        if isinstance(found.result, Encoded):
            return file_answer(found.result, request)
        return JSONResponse(dict(found.result))

    async def _accept(self, request: Request, *, keep: bool) -> Job:
        """Read a fill and queue it. Raises Problem and UsageError."""
        self.service.check_accepting()
        form = await read_form(request, self.fields, self.settings.max_bytes, self.settings.upload_limit_s)
        output = Output(form["format"], form["quality"])
        sent: File = form["photo"]
        mask = None if form["mask"] is None else form["mask"].content
        return await self.queue(sent, mask, form["box"], options_of(form, self.service), output, keep=keep)

    async def queue(
        self, sent: File, mask: bytes | None, boxes: list[Any], options: FillOptions, output: Output, *, keep: bool
    ) -> Job:
        """Decode a photo and what is missing in it, and queue the fill. Raises Problem, MaskError and UsageError."""
        height, width = await self.pooled(size_of, sent.content, self.settings.max_pixels)
        job = self.service.reserve(options, height * width, keep=keep)

        def decode() -> tuple[Photo, Any, tuple[str, ...]]:
            photo = photo_of(sent.content, self.settings.max_pixels)
            check_output(photo, output)
            return photo, *marked(photo, mask, boxes)

        try:
            photo, missing, notes = await self.pooled(decode)
        except BaseException as error:
            self.service.refuse(job, error)
            raise

        # The file is wanted again only where nothing is missing; else nothing may hold on to it while the fill waits.
        name, unchanged = sent.name, None if missing.any() else sent.content

        def finish(whole: Photo, report: Any) -> Encoded:
            result = encoded(whole, output, name, report=report, notes=notes, unchanged=unchanged)
            save(result, self.settings.save_dir)
            job.kept_bytes = len(result.content)
            return result

        self.service.submit(job, lambda: (photo, missing), finish)
        return job

    async def pooled(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in one of the threads that decode and encode."""
        return await asyncio.get_running_loop().run_in_executor(self.service.pool, function, *arguments)


_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}
LIMITS_SCHEMA = object_of(
    max_bytes=_NUMBER, max_pixels=_NUMBER, time_limit_s=_NUMBER, queue_length=_NUMBER, idle_s=_NUMBER
)
MODEL_SCHEMA = object_of(name=_TEXT, title=_TEXT, about=_TEXT, terms=_TEXT, kind=_TEXT, warm={"type": "boolean"})
MODELS_SCHEMA = object_of(default=_TEXT, models={"type": "array", "items": MODEL_SCHEMA}, limits=LIMITS_SCHEMA)


def about_model(name: str, path: str, engine: object) -> dict[str, Any]:
    """What is told of a model; a file's path is nobody's business."""
    title, about = _ABOUT.get(path, (name, "A model that this service was started with."))
    terms, kind = "no terms of its own", "classical"
    if path not in CLASSICAL:
        kind = "network"
        terms = bundled(path).terms if path in CATALOGUE else "not stated"
    return {"name": name, "title": title, "about": about, "terms": terms, "kind": kind, "warm": engine is not None}


def fields_for(service: FillService, fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """The fields with the names of this service's models in their description."""
    schema = {"type": "string", "enum": list(service.workers), "default": service.default}
    return tuple(replace(field, schema=schema) if field is MODEL else field for field in fields)


def options_of(form: dict[str, Any], service: FillService) -> FillOptions:
    """How a form wants the photo filled. Raises Problem for an unknown model."""
    model = service.default if form["model"] is None else service.check_model(form["model"])
    return FillOptions(model, *(form[name] for name in ("grow", "detail", "grain", "seed", "variant")))


def started(job: Job, request: Request) -> Response:
    """The answer to a job that was accepted; its addresses are relative to the page, `Location` to the request."""
    base = f"api/v1/jobs/{job.id}"
    facts = {"job": job.id, "status": job.state, "events": f"{base}/events", "result": f"{base}/result"}
    location = posixpath.relpath(f"/{base}", posixpath.dirname(request.scope["path"]))
    return JSONResponse(facts, 202, headers={"Location": location})


def adder(app: FastAPI, tag: str) -> Callable[..., None]:
    """A short way to add an operation whose answers are all described by hand."""

    def add(
        path: str, endpoint: Callable[..., Any], method: str, responses: dict[int | str, dict[str, Any]], **more: Any
    ) -> None:
        app.add_api_route(
            path,
            endpoint,
            methods=[method],
            responses={**problems(), **responses},
            response_class=Response,
            response_model=None,
            tags=[tag],
            **more,
        )

    return add
