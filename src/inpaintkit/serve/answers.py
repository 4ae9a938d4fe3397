"""What the service answers with, as responses and as the description in `/docs` says it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response

from .exchange import MEDIA_TYPES, Encoded
from .problems import KINDS, MEDIA_TYPE, Problem
from .service import Job

STILL_THERE_S = 15.0
"""An event stream says nothing for at most so long, or what lies between would take it for dead."""

_TEXT, _NUMBER, _WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def object_of(**properties: Any) -> dict[str, Any]:
    """A JSON object as OpenAPI describes it; every property is always there."""
    return {"type": "object", "properties": properties, "required": list(properties)}


PROBLEM_SCHEMA = object_of(type=_TEXT, title=_TEXT, status=_WHOLE, detail=_TEXT, request_id=_TEXT)
RESULT_SCHEMA = object_of(
    image={"type": "string", "contentEncoding": "base64"},
    media_type=_TEXT,
    width=_WHOLE,
    height=_WHOLE,
    seconds=_NUMBER,
    model=_TEXT,
    notes={"type": "array", "items": _TEXT},
)
STARTED_SCHEMA = object_of(job=ID, status=_TEXT, events=_TEXT, result=_TEXT)
DONE_SCHEMA = {"type": ["object", "null"]}
STATUS_SCHEMA = object_of(
    job=ID,
    status={"type": "string", "enum": ["queued", "running", "done", "failed", "cancelled"]},
    share={"type": "number", "minimum": 0, "maximum": 1},
    problem={"anyOf": [{"type": "null"}, PROBLEM_SCHEMA]},
    done=DONE_SCHEMA,
)


def problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation answers with, as OpenAPI describes them; those of every operation are added."""
    everywhere = ("no-token", "wrong-host", "busy")
    by_status: dict[int | str, list[str]] = {}
    for kind in dict.fromkeys((*kinds, *everywhere)):
        by_status.setdefault(KINDS[kind][0], []).append(kind)
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": "; ".join(f"{KINDS[kind][1]} (`{kind}`)" for kind in found),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status, found in by_status.items()
    }


SENDING = ("wrong-origin", "bad-request", "slow-upload", "too-large", "wrong-media-type")
FILLING = (*SENDING, "unreadable-photo", "damaged-photo", "bad-mask", "bad-option", "model-failed", "stopping")


def answer(
    about: str,
    schema: dict[str, Any] | None = None,
    *,
    media: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A good answer as OpenAPI describes it: JSON of a schema, files of some media types, or both."""
    content: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media}
    if schema is not None:
        content["application/json"] = {"schema": schema}
    told = {name: {"description": text, "schema": _TEXT} for name, text in (headers or {}).items()}
    found: dict[str, Any] = {"description": about}
    return found | ({"content": content} if content else {}) | ({"headers": told} if told else {})


PHOTO_FILE = answer(
    "The filled photo as a file; as JSON, the file in base64, where `Accept: application/json` asks for it.",
    RESULT_SCHEMA,
    media=tuple(MEDIA_TYPES.values()),
    headers={
        "Content-Disposition": "A file name",
        "X-Fill-Seconds": "What the fill took",
        "X-Fill-Notes": "What was converted, in sentences; not there where nothing was",
    },
)


def wants_json(request: Request) -> bool:
    """Whether the client asks for JSON rather than a file."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in request.headers.get("accept", "").split(",")]
    return "application/json" in kinds and not any(kind.startswith("image/") for kind in kinds)


def file_answer(result: Encoded, request: Request) -> Response:
    """A result as a file, or as JSON."""
    if wants_json(request):
        return JSONResponse(result.facts)
    return Response(result.content, media_type=result.media_type, headers=result.headers)


def problem_answer(problem: Problem, request: Request) -> Response:
    """A problem as it is sent."""
    request_id = request.scope.get("state", {}).get("request_id", "")
    return Response(problem.body(request_id), problem.status, media_type=MEDIA_TYPE, headers=problem.headers)


def done_facts(job: Job) -> dict[str, Any] | None:
    """What a job's `done` event says."""
    if job.state != "done":
        return None
    if isinstance(job.result, Encoded):
        return job.result.about
    return dict(job.result)


def status_facts(job: Job) -> dict[str, Any]:
    """How a job stands."""
    problem = job.problem
    return {
        "job": job.id,
        "status": job.state,
        "share": round(job.share, 4),
        "problem": None if problem is None or job.state != "failed" else problem.facts(),
        "done": done_facts(job),
    }


class Watching:
    """Waits for a job's changes on the event loop, while its listeners are called from other threads."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(self._changed.set)

        self.end: Callable[[], None] = job.watch(tell)

    async def change(self, timeout_s: float) -> None:
        """Return after the next change, or after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()


async def finished(job: Job, request: Request) -> Any:
    """A job's result; a client that hangs up cancels it. Raises Problem."""
    watching = Watching(job)
    gone = asyncio.create_task(_disconnected(request))
    gone.add_done_callback(lambda task: None if task.cancelled() or task.exception() else job.cancel())
    try:
        while not job.ended:
            await watching.change(STILL_THERE_S)
    finally:
        watching.end()
        gone.cancel()
    if job.problem is not None:
        raise job.problem
    return job.result


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def events(job: Job) -> AsyncIterator[bytes]:
    """A job's server-sent events up to its end."""
    watching = Watching(job)
    told = -1.0
    try:
        while not job.ended:
            if job.share != told:
                told = job.share
                yield _event("progress", {"share": round(told, 4)})
            else:
                yield b": still there\n\n"
            await watching.change(STILL_THERE_S)
    finally:
        watching.end()
    if job.state == "done":
        if not isinstance(job.result, Encoded):
            job.fetched = True
        yield _event("done", done_facts(job) or {})
        return
    job.fetched = True
    problem = job.problem.facts() if job.problem is not None else {}
    yield _event(job.state, {"problem": problem})


def _event(name: str, facts: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(facts)}\n\n".encode()
