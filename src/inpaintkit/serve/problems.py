"""What can go wrong with a request, as RFC 9457 problem details with the command line's messages."""

import json
from http import HTTPStatus
from typing import Any

from ..errors import Cancelled, InpaintError, MaskError, ModelError, PhotoError, UsageError

MEDIA_TYPE = "application/problem+json"

KINDS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be read"),
    "no-token": (401, "A token is needed"),
    "wrong-origin": (403, "The request comes from another page"),
    "not-found": (404, "There is nothing here"),
    "photo-gone": (404, "The photo is not open any more"),
    "version-gone": (404, "The photo has no such version"),
    "job-gone": (404, "There is no such job any more"),
    "wrong-method": (405, "This method is not answered here"),
    "not-finished": (409, "The job is not finished"),
    "cancelled": (409, "The fill was cancelled"),
    "slow-upload": (408, "The request took too long to arrive"),
    "too-large": (413, "Larger than is allowed here"),
    "wrong-media-type": (415, "This kind of content is not read here"),
    "unreadable-photo": (415, "The photo is of no kind that is known"),
    "wrong-host": (421, "The service does not go by this name"),
    "damaged-photo": (422, "The photo cannot be used"),
    "bad-mask": (422, "The mask cannot be used"),
    "bad-option": (422, "An option cannot be used"),
    "busy": (429, "Too many fills are waiting"),
    "model-failed": (500, "The model cannot be used"),
    "defect": (500, "Something is broken here"),
    "stopping": (503, "The service is ending"),
    "time-limit": (503, "The fill took too long"),
}
"""The `type` of a problem -> HTTP status, and its `title`."""

_STATUS_KINDS = {404: "not-found", 405: "wrong-method", 413: "too-large", 415: "wrong-media-type"}


class Problem(InpaintError):
    """A request that cannot be answered; `kind` is one of `KINDS`, the message becomes the problem's `detail`."""

    def __init__(self, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind, self.headers = kind, headers or {}

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind][0]

    def facts(self, request_id: str = "") -> dict[str, Any]:
        """The problem's members."""
        status, title = KINDS[self.kind]
        detail = " ".join(str(self).split())
        return {"type": self.kind, "title": title, "status": status, "detail": detail, "request_id": request_id}

    def body(self, request_id: str) -> bytes:
        """The problem as it is sent."""
        return json.dumps(self.facts(request_id)).encode()


def problem_of(error: BaseException) -> Problem:  # noqa: PLR0911 - one for each kind of error
    """Any error as a problem; what is no error of a person's is a defect, of which nothing is told."""
    match error:
        case Problem():
            return error
        case MaskError():
            return Problem("bad-mask", str(error))
        case PhotoError():
            return Problem("damaged-photo", str(error))
        case UsageError():
            return Problem("bad-option", str(error))
        case ModelError():
            return Problem("model-failed", str(error))
        case Cancelled():
            return Problem("cancelled", "the fill was cancelled: send it again if it is wanted after all")
        case InpaintError():
            return Problem("bad-request", str(error))
        case MemoryError():
            return Problem("too-large", "not enough memory: fill a smaller photo, or a smaller part of it")
        case _:
            return Problem("defect", "the service met an error of its own, which is in its log: please report it")


def problem_of_status(status: int, path: str, headers: dict[str, str] | None = None) -> Problem:
    """The problem for a bare HTTP status, as routing gives it."""
    kind = _STATUS_KINDS.get(status, "bad-request" if status < 500 else "defect")
    phrase = HTTPStatus(status).phrase.lower()
    return Problem(kind, f"{phrase}: '{path[:200]}', expected an address and a method of /docs", headers)
