"""A progress bar on standard error for what takes longer than two seconds, on a terminal and nowhere else."""

import sys
import threading
import time
from types import TracebackType
from typing import Any

PATIENCE_SECONDS = 2.0
"""What is done sooner than this shows no bar."""


class ProgressBar:
    """Share done and time left, from the moment that the work turns out to be long; gone when it ends.

    Called with the share done, from 0 to 1, and a few words beside it. Shown only where standard error is a terminal
    and `wanted`. May be called from several threads.
    """

    def __init__(self, title: str, *, wanted: bool = True, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._title = title
        self._wanted = wanted and sys.stderr.isatty()
        self._share, self._words = 0.0, ""
        self._ends: float | None = None
        self._bar: Any = None
        self._lock = threading.Lock()
        self._ended = False
        self._timer = threading.Timer(patience_seconds, self._show)
        self._timer.daemon = True
        self._started = time.monotonic()

    def __enter__(self) -> "ProgressBar":
        self._started = time.monotonic()
        if self._wanted:
            self._timer.start()  # not at the first call: a network may take a minute before it makes one
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True
            if self._bar is not None:
                self._bar.stop()

    def __call__(self, share: float, words: str = "", *, share_before: float = 0.0) -> bool:
        """Take note of the share done; True, because work is cancelled by an interrupt and not from here.

        `share_before` of it was done in an earlier run and says nothing about the pace.
        """
        with self._lock:
            self._share, self._words = min(max(share, 0.0), 1.0), words
            self._estimate(share_before)
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self._share, words=words)
        return True

    def say(self, line: str) -> None:
        """A line on standard error that stays, above the bar where there is one."""
        with self._lock:
            if self._bar is None:
                print(line, file=sys.stderr)
            else:
                self._bar.console.print(line, markup=False, soft_wrap=True)

    def time_left(self) -> str:
        """Time left as m:ss or h:mm:ss, by the pace at the last call; nothing while there is none."""
        if self._ends is None:
            return ""
        seconds = round(max(self._ends - time.monotonic(), 0))
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"

    def _estimate(self, share_before: float) -> None:
        """When the work will end. It stands until the next call, so that the time left falls and does not rise."""
        gained, now = self._share - share_before, time.monotonic()
        self._ends = now + (now - self._started) * (1 - self._share) / gained if gained > 0 else None

    def _show(self) -> None:
        """Begin to draw. The library that does it is loaded here, where two seconds have passed anyway."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.text import Text

        bar = self

        class TimeLeft(ProgressColumn):
            """By the pace since the start of the work; the library's own knows only what it saw itself."""

            def render(self, task: Task) -> Text:
                left = bar.time_left()
                return Text(f"{left} left" if left else "", style="progress.remaining")

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[words]}", markup=False),
            TimeLeft(),
        )
        # What else is printed meanwhile is ours or a worker's, and goes where it always goes.
        drawn = Progress(
            *columns,
            console=Console(file=sys.stderr, highlight=False),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with self._lock:
            if self._ended:
                return
            drawn.update(drawn.add_task(self._title, total=1.0, words=self._words), completed=self._share)
            drawn.start()
            self._bar = drawn
