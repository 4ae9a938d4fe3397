"""The progress bar: on a terminal, for what takes long, with the time left; and nothing anywhere else."""

import io
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from inpaintkit.cli import progress
from inpaintkit.cli.progress import ProgressBar


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a terminal that keeps what is written to it."""
    shown = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=shown))  # the test's runner keeps sys.stderr its own
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return shown


def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread does, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_long_piece_of_work_shows_share_and_time_left(terminal: Terminal) -> None:
    with ProgressBar("filling [a].jpg", patience_seconds=0) as bar:
        until(lambda: "filling [a].jpg" in terminal.getvalue())
        assert bar(0.25, "1 of 4") is True
        until(lambda: " 25 %" in terminal.getvalue() and "1 of 4" in terminal.getvalue())
        until(lambda: " left" in terminal.getvalue())
        bar.say("failed: [b].jpg")
        assert "failed: [b].jpg\n" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")  # the bar's own line is cleared


def test_the_bar_comes_without_a_single_call(terminal: Terminal) -> None:
    with ProgressBar("loading", patience_seconds=0.01):
        until(lambda: "loading" in terminal.getvalue())


def test_what_is_quick_shows_nothing(terminal: Terminal) -> None:
    with ProgressBar("filling", patience_seconds=30) as bar:
        bar(0.5)
    assert terminal.getvalue() == ""
    until(lambda: not any(isinstance(thread, threading.Timer) for thread in threading.enumerate()))


def test_two_seconds_are_the_patience() -> None:
    assert progress.PATIENCE_SECONDS == 2


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=shown))
    with ProgressBar("filling", patience_seconds=0) as bar:
        bar(0.5)
        time.sleep(0.05)
        bar.say("one line")
    assert shown.getvalue() == "one line\n"


def test_nothing_is_shown_where_it_is_not_wanted(terminal: Terminal) -> None:
    with ProgressBar("filling", wanted=False, patience_seconds=0) as bar:
        bar(0.5)
        time.sleep(0.05)
    assert terminal.getvalue() == ""


def test_an_interrupt_clears_the_bar_and_goes_on_up(terminal: Terminal) -> None:
    def interrupted() -> None:
        with ProgressBar("filling", patience_seconds=0) as bar:
            until(lambda: "filling" in terminal.getvalue())
            bar(0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue().endswith("\x1b[2K")


@pytest.mark.parametrize(
    ("share", "passed", "left"),
    [(0.0, 9, ""), (0.5, 30, "0:30"), (0.25, 30, "1:30"), (0.01, 60, "1:39:00"), (1.0, 5, "0:00")],
)
def test_the_time_left_is_by_the_pace_so_far(
    monkeypatch: pytest.MonkeyPatch, share: float, passed: float, left: str
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with ProgressBar("filling", wanted=False) as bar:
        clock[0] += passed
        bar(share)
        assert bar.time_left() == left


def test_what_an_earlier_run_did_says_nothing_about_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with ProgressBar("filling", wanted=False) as bar:
        bar(0.5, share_before=0.5)
        assert bar.time_left() == ""
        clock[0] += 10
        bar(0.75, share_before=0.5)
        assert bar.time_left() == "0:10"


def test_the_time_left_falls_between_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with ProgressBar("filling", wanted=False) as bar:
        clock[0] += 10
        bar(0.5)
        clock[0] += 4
        assert bar.time_left() == "0:06"
        clock[0] += 40
        assert bar.time_left() == "0:00"


def test_a_share_out_of_range_is_cut_off() -> None:
    with ProgressBar("filling", wanted=False) as bar:
        bar(1.5)
        assert bar.time_left() == "0:00"
        bar(-1)
        assert bar.time_left() == ""
