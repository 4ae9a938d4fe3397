"""Who fills the items of a batch: this process, or worker processes that die with it; behind one interface.

A lane takes chunks of items and puts messages into the batch's inbox: (lane, kind, value) with the kinds of `Kind`.
"""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from multiprocessing.connection import Connection
from typing import Any

import cv2

from ..errors import InpaintError, ModelError
from .journal import Entry
from .pipeline import Chunk, Pipeline, Settings

STOPPING_SECONDS = 30.0
"""How long a worker may take to finish what it is writing."""


STOP = "stop"
"""The order to finish what is being written and to end; None is the order to finish everything."""


class Kind(Enum):
    """What a message says: the lane is ready (value None), an item is done or has failed (its place and entry), the
    lane cannot work (an error), it has ended in good order (None), or its process is gone (its exit code)."""

    READY = auto()
    ENTRY = auto()
    BROKEN = auto()
    ENDED = auto()
    LOST = auto()


Message = tuple["LocalLane | ProcessLane", Kind, Any]


class LocalLane:
    """Fills in this process, with its own threads."""

    def __init__(self, settings: Settings, fingerprint: str, inbox: "queue.SimpleQueue[Message]") -> None:
        self._inbox = inbox
        self._ending: threading.Thread | None = None
        inpainter = settings.open_inpainter()
        self._pipeline = Pipeline(inpainter, settings, fingerprint, self._report, self._broken)
        inbox.put((self, Kind.READY, None))

    def _report(self, index: int, entry: Entry) -> None:
        self._inbox.put((self, Kind.ENTRY, (index, entry)))

    def _broken(self, error: BaseException) -> None:
        self._inbox.put((self, Kind.BROKEN, error))

    def put(self, chunk: Chunk) -> None:
        """Give it more to do; returns at once."""
        self._pipeline.put(chunk)

    def finish(self) -> None:
        """Tell it that no more comes: it ends when all is written."""
        if self._ending is None:
            self._ending = threading.Thread(target=self._end, daemon=True)
            self._ending.start()

    def _end(self) -> None:
        self._pipeline.finish()
        self._inbox.put((self, Kind.ENDED, None))

    def stop(self) -> None:
        """Tell it to finish what it is writing, and to end."""
        self._pipeline.abandon()
        self.finish()

    def kill(self) -> None:
        """End it at once, as far as threads can be ended."""
        self.stop()


class ProcessLane:
    """Fills in a process of its own, which ends as soon as this one does, however it ends."""

    def __init__(self, settings: Settings, fingerprint: str, inbox: "queue.SimpleQueue[Message]") -> None:
        self._inbox = inbox
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve_lane, args=(theirs, settings, fingerprint), daemon=True)
        with interrupts_left_to_this_process():
            self._process.start()
        theirs.close()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Pass on what the worker says, until its end of the pipe is closed."""
        with suppress(EOFError, OSError):
            while True:
                kind, value = self._pipe.recv()
                self._inbox.put((self, kind, value))
                if kind is Kind.ENDED:
                    self._process.join()
                    return
        self._process.join(STOPPING_SECONDS)
        self._inbox.put((self, Kind.LOST, self._process.exitcode))

    def put(self, chunk: Chunk) -> None:
        """Give it more to do; returns at once."""
        self._send(list(chunk))

    def finish(self) -> None:
        """Tell it that no more comes: it ends when all is written."""
        self._send(None)

    def stop(self) -> None:
        """Tell it to finish what it is writing, and to end."""
        self._send(STOP)

    def _send(self, what: Any) -> None:
        with suppress(OSError, ValueError):  # it is gone, and its listener tells of it
            self._pipe.send(what)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


Lane = LocalLane | ProcessLane


@contextmanager
def interrupts_left_to_this_process() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; workers are to be told by this one what to do.

    A new process inherits that a signal is ignored (where signals are inherited), so that none strikes while it starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# ---- in the worker ---------------------------------------------------------------------------------------------------


def serve_lane(pipe: Connection, settings: Settings, fingerprint: str) -> None:
    """The main function of a worker process: open the model, fill what comes through the pipe, tell what became of it.

    When the pipe breaks the parent is gone, and the worker ends at once: nobody would write down what it does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(settings.threads or 1)
    speaking = threading.Lock()

    def say(kind: Kind, value: Any = None) -> None:
        try:
            with speaking:
                pipe.send((kind, value))
        except (OSError, ValueError):
            os._exit(1)

    orders: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
    stopping = threading.Event()
    threading.Thread(target=_hear, args=(pipe, orders, stopping), daemon=True).start()
    try:
        inpainter = settings.open_inpainter()
    except BaseException as error:
        say(Kind.BROKEN, _sendable(error))
        return
    pipeline = Pipeline(
        inpainter,
        settings,
        fingerprint,
        lambda index, entry: say(Kind.ENTRY, (index, entry)),
        lambda error: say(Kind.BROKEN, _sendable(error)),
        stopping,
    )
    say(Kind.READY)
    while (chunk := orders.get()) is not None:
        pipeline.put(chunk)
    pipeline.finish()
    say(Kind.ENDED)
    os._exit(0)  # a library's threads may take their time, or crash, at an ordinary exit


def _hear(pipe: Connection, orders: "queue.SimpleQueue[Chunk | None]", stopping: threading.Event) -> None:
    """Take orders from the parent process; end this one when there is none any more."""
    try:
        while True:
            order = pipe.recv()
            if order == STOP:
                stopping.set()
            orders.put(None if order == STOP else order)
    except (EOFError, OSError):
        os._exit(1)


def _sendable(error: BaseException) -> InpaintError:
    """The error as one that can be sent through a pipe."""
    if isinstance(error, InpaintError):
        return error
    return ModelError(f"a worker process failed with {type(error).__name__}: {' '.join(str(error).split())[:500]}")
