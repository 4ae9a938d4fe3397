"""The application: pages, models, fills, the editor's photos, and what is said of all of them in `/docs`."""

import asyncio
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from .. import __version__
from ..errors import InpaintError
from .answers import PROBLEM_SCHEMA, answer, object_of, problem_answer, problems
from .editor import Editor
from .fills import Fills, adder
from .iopaint import IOPaint
from .photos import PhotoStore
from .problems import Problem, problem_of, problem_of_status
from .reference import reference_page
from .security import Guard
from .service import FillService
from .settings import ServeSettings

STATIC = Path(__file__).parent / "static"
"""The editor: plain files that the browser takes as they are."""

TIDY_S = 30.0

_HEALTH_SCHEMA = object_of(status={"type": "string"}, version={"type": "string"}, queue={"type": "integer"})
_ABOUT = """Fills what is missing in photos. Pixels outside the mask come back as they were.

Every answer has an `X-Request-Id`. Errors are problem details (RFC 9457): `type` is a word from the lists below,
`detail` says what was given, what is expected and what to do."""


def create_app(settings: ServeSettings) -> FastAPI:
    """The application for these settings. Raises UsageError and ModelError for a model that cannot be used."""
    service = FillService(settings)
    store = PhotoStore(settings.photos_memory, settings.idle_s)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        tidying = asyncio.create_task(_tidy(store, service))
        with suppress(asyncio.CancelledError):  # a second signal
            yield
            tidying.cancel()
            await asyncio.to_thread(service.close)

    app = FastAPI(
        title="inpaintkit",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.service, app.state.store, app.state.settings = service, store, settings
    _add_problems(app)
    fills = Fills(service)
    _add_pages(app, service)
    fills.add_to(app)
    Editor(fills, store).add_to(app)
    if "iopaint" in settings.compat:
        IOPaint(fills).add_to(app)
    _describe(app, settings)
    app.add_middleware(Guard, settings=settings)
    return app


async def _tidy(store: PhotoStore, service: FillService) -> None:
    """Let go of photos and results that nobody asks for any more."""
    while True:
        await asyncio.sleep(TIDY_S)
        store.drop_idle()
        service.forget_old()


def _add_problems(app: FastAPI) -> None:
    """Every error is a problem; those of no person's making are left to the guard, which writes them to the log."""

    async def ours(request: Request, error: Exception) -> Response:
        return problem_answer(problem_of(error), request)

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        return problem_answer(problem_of_status(error.status_code, request.url.path, headers), request)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        name = str(first["loc"][-1])[:40]
        given = "" if first.get("input") is None else f" '{str(first['input'])[:40]}'"
        return problem_answer(Problem("bad-option", f"{name}{given}: {first['msg'].lower()}"), request)

    app.add_exception_handler(InpaintError, ours)
    app.add_exception_handler(MemoryError, ours)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(RequestValidationError, invalid)


def _add_pages(app: FastAPI, service: FillService) -> None:
    """The editor, its files, the description for people, and the sign of life."""
    for suffix, kind in ((".js", "text/javascript"), (".css", "text/css"), (".svg", "image/svg+xml")):
        mimetypes.add_type(kind, suffix)  # some systems' own tables say otherwise, and the browser would not run it

    async def editor() -> Response:
        """The editor."""
        page = STATIC / "index.html"
        if not page.is_file():
            raise Problem("not-found", "the editor's page is missing: reinstall inpaintkit, or use the API (/docs)")
        return FileResponse(page, media_type="text/html", headers={"Cache-Control": "no-cache"})

    async def healthz() -> Response:
        """Whether the service is alive, and how many fills it has to do."""
        status = "stopping" if service.stopping else "ok"
        return JSONResponse({"status": status, "version": __version__, "queue": service.queue})

    async def docs() -> Response:
        """This description."""
        return Response(reference_page(app.openapi()), media_type="text/html; charset=utf-8")

    add = adder(app, "pages")
    page = {200: answer("A page.", media=("text/html",))}
    add("/", editor, "GET", {**page, **problems("not-found")}, include_in_schema=False)
    add("/", editor, "HEAD", {}, include_in_schema=False)
    add("/healthz", healthz, "GET", {200: answer("It is alive.", _HEALTH_SCHEMA)})
    add("/healthz", healthz, "HEAD", {}, include_in_schema=False)
    add("/docs", docs, "GET", page, include_in_schema=False)
    app.mount("/static", _Static(directory=STATIC, check_dir=False), name="static")


class _Static(StaticFiles):
    """Files that the browser keeps, and asks about each time."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """A file, or that it has not changed."""
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _describe(app: FastAPI, settings: ServeSettings) -> None:
    """Complete what FastAPI writes about the application: the problem's schema, the token."""
    written = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = written()
            components = document.setdefault("components", {})
            components["schemas"] = {"Problem": PROBLEM_SCHEMA}
            for path in document["paths"].values():
                for operation in path.values():
                    for response in operation["responses"].values():
                        response.setdefault("headers", {})["X-Request-Id"] = {"schema": {"type": "string"}}
            if settings.token is not None:
                components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"token": []}]
                with suppress(KeyError):
                    document["paths"]["/healthz"]["get"]["security"] = []
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
