"""Running the service: a socket of our own, and an end that loses nothing that was accepted."""

import asyncio
import logging
import socket
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import cv2
import uvicorn

from ..errors import UsageError
from .app import create_app
from .settings import ServeSettings

LOG = logging.getLogger("inpaintkit.serve")


TALKATIVE = ("tifffile", "python_multipart", "PIL")
"""Libraries that write to the log about every damaged file, and so at the will of whoever sends one."""


class Server(uvicorn.Server):
    """Uvicorn that, when it is told to end, first finishes what was accepted and answers 503 to what is new.

    A second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, settings: ServeSettings, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self.settings, self.on_start = settings, on_start
        self.service = config.app.state.service  # type: ignore[union-attr]
        self.ending_since: float | None = None
        self.left = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self.on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: end in good order, or at once where it is the second."""
        if self.ending_since is not None:
            self.should_exit = self.force_exit = True
            counts = {"unfinished fills": self.service.queue, "results that were not fetched": self.service.unfetched}
            self.left = ", ".join(f"{what}: {count}" for what, count in counts.items() if count)
            return
        self.ending_since = time.monotonic()
        self.service.stop()

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to end."""
        if self.ending_since is not None and self.service.queue == 0:
            waited = time.monotonic() - self.ending_since
            if self.service.unfetched == 0 or waited > self.settings.stop_s:
                self.should_exit = True
        return await super().on_tick(counter)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket at this address. Raises UsageError where there is none to be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"host '{host}' cannot be listened on ({error.strerror or error}): name another") from error
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where the other option lets two programs share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(f"port {port} of '{host}' cannot be had ({reason}): choose another with --port") from error
    return listening


def address_of(listening: socket.socket) -> str:
    """The page's address on this computer."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def quiet() -> None:
    """Keep libraries from writing about damaged files: the client is told, and the log is not the client's to fill."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def run(settings: ServeSettings, on_start: Callable[[str], None] = lambda address: None) -> str:
    """Serve until a signal ends it; `on_start` is told the page's address once it is answered.

    What a second signal left undone, in words; empty after an end in good order. Where something was left, threads
    still run: the process should end without waiting. Raises UsageError and ModelError before it begins.
    """
    app = create_app(settings)
    listening = listening_socket(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # it would write the token that the page is first opened with
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(settings.stop_s)),
        h11_max_incomplete_event_size=65_536,
        backlog=128,
    )
    quiet()
    address = address_of(listening)
    server = Server(config, settings, lambda: on_start(address))
    try:
        with suppress(asyncio.CancelledError):  # what still ran when a second signal came
            server.run(sockets=[listening])
    finally:
        listening.close()
    if server.force_exit:
        server.service.pool.shutdown(wait=False, cancel_futures=True)
    return server.left
