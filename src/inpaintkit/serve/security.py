"""Who may ask, for what, and how much: everything is checked here before the application sees a request.

Pure ASGI, so that nothing is read of a request that is refused, and every answer has its headers.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import ClientDisconnect

from .problems import MEDIA_TYPE, Problem, problem_of
from .settings import LOOPBACK_NAMES, ServeSettings

LOG = logging.getLogger("inpaintkit.serve")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
COOKIE = "inpaintkit"
OPEN_PATHS = ("/healthz",)
"""What is answered without a token: whoever watches over the service has none."""

NO_TOKEN_PAGE = (
    b'<!doctype html><html lang="en"><meta charset="utf-8"><title>inpaintkit: a token is needed</title>'
    b"<p>A token is needed: open the address that ends in <code>/?token=TOKEN</code>, as the service printed it when "
    b"it was started.</p></html>"
)
"""What a person sees who opens the editor without the token."""

_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_WILDCARDS = ("0.0.0.0", "::")


class Guard:
    """The application behind checks of host, origin, token, number of requests and size of content."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], settings: ServeSettings) -> None:
        self.app, self.settings = app, settings
        self.hosts = {name.lower() for name in (*LOOPBACK_NAMES, settings.host, *settings.allow_hosts)}
        # Whoever listens on every address is reached under names that nobody listed; a token is required then, and a
        # foreign page that rebinds its name has none, because the cookie belongs to the name it was set for.
        self.any_host = settings.host in _WILDCARDS and not settings.allow_hosts
        self.requests = 0
        self.held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        telling = _Telling(send, request_id)
        counted = _Counted(receive, self)
        self.requests += 1
        try:
            if (redirect := self._check(scope, headers)) is not None:
                await telling.answer(303, b"", {"location": "./", "set-cookie": redirect})
                return
            await self.app(scope, counted, telling)
        except ClientDisconnect:  # it hung up while it was sending: nobody is left to answer
            LOG.debug("request %s was not sent to its end", request_id)
        except asyncio.CancelledError:  # a second signal while the service ends
            if not telling.begun:
                await telling.problem(Problem("stopping", "the service has ended: send it again in a while"))
        except Exception as error:
            problem = problem_of(error)
            if problem.kind == "defect":
                LOG.exception("request %s broke", request_id)
            if telling.begun:
                raise
            if problem.kind == "no-token" and scope["path"] == "/" and "text/html" in headers.get("accept", ""):
                await telling.answer(problem.status, NO_TOKEN_PAGE, {"content-type": "text/html; charset=utf-8"})
                return
            await telling.problem(problem)
        finally:
            self.requests -= 1
            self.held_bytes -= counted.count

    def _check(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """Raise Problem for a request that is not answered; the cookie to set where the token came in the address."""
        self._check_host(headers.get("host", ""))
        if scope["method"] in _CHANGING:
            self._check_origin(headers)
        cookie = self._check_token(scope, headers)
        if self.requests > self.settings.concurrency and scope["path"] not in OPEN_PATHS:
            raise Problem(
                "busy",
                f"{self.requests - 1} requests are being answered, expected at most {self.settings.concurrency}: try "
                "again in 2 s",
                {"Retry-After": "2"},
            )
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self.settings.max_bytes:
            raise _too_large(self.settings.max_bytes)
        return cookie

    def _check_host(self, host: str) -> None:
        """A page that gave its own name this computer's address must not get answers (DNS rebinding)."""
        name = _name_of(host)
        if self.any_host or name in self.hosts or (self._listens_everywhere and _is_address(name)):
            return
        raise Problem(
            "wrong-host",
            f"the service was asked for as '{host[:100]}', expected {self.settings.host} or localhost: start it with "
            "--allow-host NAME where it has another name",
        )

    @property
    def _listens_everywhere(self) -> bool:
        return self.settings.host in _WILDCARDS

    def _check_origin(self, headers: dict[str, str]) -> None:
        """Another page in the same browser must not change anything here."""
        origin = headers.get("origin")
        if origin is not None:
            try:
                parts = urlsplit(origin)
            except ValueError:
                parts = urlsplit("null")
            same = parts.netloc.lower() == headers.get("host", "").lower() and parts.scheme in ("http", "https")
            named = _name_of(parts.netloc) in {name.lower() for name in self.settings.allow_hosts}
            if not same and not named:
                raise Problem(
                    "wrong-origin", f"the request comes from '{origin[:100]}', expected the editor's own page"
                )
        elif headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Problem("wrong-origin", "the request comes from another page, expected the editor's own")

    def _check_token(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """The token in the header, the cookie, or once in the page's address."""
        token = self.settings.token
        if token is None or scope["path"] in OPEN_PATHS:
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _equal(given.strip(), token):
            return None
        if _equal(_cookie(headers.get("cookie", "")), cookie_of(token)):
            return None
        if scope["method"] == "GET" and scope["path"] == "/":
            query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
            if _equal(query.get("token", ""), token):
                # Not Secure: the service itself speaks HTTP only, and is often reached so.
                return f"{COOKIE}={cookie_of(token)}; Path=/; HttpOnly; SameSite=Strict"
        raise Problem(
            "no-token",
            "no valid token was given, expected the header 'Authorization: Bearer TOKEN': in a browser, open the "
            "address that ends in /?token=TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )


def cookie_of(token: str) -> str:
    """What the browser keeps in place of the token, so that the token itself lies in no cookie file."""
    return hmac.new(token.encode(), b"inpaintkit cookie", hashlib.sha256).hexdigest()


def _equal(given: str, expected: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _name_of(host: str) -> str:
    """The name in `name:port` or `[address]:port`."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        "too-large",
        f"the content is larger than {max_bytes / 1e6:,.1f} MB, which is the limit here: send a smaller file",
        {"Connection": "close"},
    )


class _Counted:
    """The request's content as it arrives; more of it than is allowed is a Problem, whatever its header said."""

    def __init__(self, receive: Receive, guard: Guard) -> None:
        self.receive, self.guard, self.count = receive, guard, 0

    async def __call__(self) -> Message:
        message = await self.receive()
        if message["type"] == "http.request":
            length = len(message.get("body", b""))
            self.count += length
            self.guard.held_bytes += length
            settings = self.guard.settings
            if self.count > settings.max_bytes:
                raise _too_large(settings.max_bytes)
            if self.guard.held_bytes > max(settings.requests_memory, settings.max_bytes):
                raise Problem(
                    "busy",
                    "the requests that are being answered take all the memory that they may: try again in 2 s",
                    {"Retry-After": "2", "Connection": "close"},
                )
        return message


class _Telling:
    """The answer as it is sent, with the headers that every answer has."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.send, self.request_id, self.begun = send, request_id, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            given = [(name.lower(), value) for name, value in message["headers"]]
            names = {name for name, _ in given}
            own = {**HEADERS, "x-request-id": self.request_id}
            own.setdefault("cache-control", "no-store")
            more = [(name.encode(), value.encode()) for name, value in own.items() if name.encode() not in names]
            message = {**message, "headers": [*given, *more]}
        await self.send(message)

    async def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """A whole answer."""
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        sent.append((b"content-length", str(len(body)).encode()))
        await self({"type": "http.response.start", "status": status, "headers": sent})
        await self({"type": "http.response.body", "body": body})

    async def problem(self, problem: Problem) -> None:
        """A problem as the answer."""
        body = problem.body(self.request_id)
        await self.answer(problem.status, body, {"content-type": MEDIA_TYPE, **problem.headers})
