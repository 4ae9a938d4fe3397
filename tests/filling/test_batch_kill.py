"""Batches really killed: what SIGKILL leaves behind goes on to the files of a batch that was never stopped."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inpaintkit
from inpaintkit.filling import journal
from inpaintkit.filling.batch import Settings, Summary, fill_items, find_items, journal_file
from inpaintkit.filling.inpainter import Inpainter
from inpaintkit.filling.journal import Entry, Journal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")

COUNT = 24
SHAPE = (40, 48)


class SlowEngine:
    """Fills with grey, not faster than a test can follow."""

    name, runtime, working_size = "slow", "test", None

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        time.sleep(0.03)
        return np.where(mask[..., None], np.float32(0.5), image)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


@dataclass(frozen=True)
class SlowSettings(Settings):
    """Opens the slow engine; tells in `signs` who runs, and with `hang` stops for ever while writing a result."""

    signs: str = ""
    hang: bool = False

    def fingerprint(self) -> str:
        return "slow"

    def open_inpainter(self, engine: Any = None) -> Inpainter:
        Path(self.signs, f"{os.getpid()}.pid").touch()
        if self.hang:
            replace, count = os.replace, [0]

            def hanging(source: Any, target: Any) -> None:
                count[0] += 1
                if count[0] == 3:
                    Path(self.signs, "here").touch()
                    time.sleep(600)
                replace(source, target)

            journal.os.replace = hanging
        return Inpainter(SlowEngine())


def run(top: str, moment: str, jobs: int, resume: bool) -> Summary:
    """One run of the batch, in whatever process."""
    if moment == "journal":
        append = Journal.append

        def torn(self: Journal, entries: Any) -> None:
            self.lines = getattr(self, "lines", 0) + len(entries)
            if self.lines > 4:
                self._file.write(entries[0].to_line()[:-30])
                Path(top, "signs", "here").touch()
                time.sleep(600)
            append(self, entries)

        Journal.append = torn  # type: ignore[method-assign]
    settings = SlowSettings(signs=str(Path(top, "signs")), hang=moment == "write", together=2)
    items = find_items(Path(top, "in"), Path(top, "mask.png"), Path(top, "out"))
    return fill_items(items, settings, journal=journal_file(Path(top, "out")), jobs=jobs, resume=resume)


def start(top: Path, moment: str, jobs: int, resume: bool) -> subprocess.Popen:
    """The batch in a process of its own."""
    sources = [str(Path(inpaintkit.__file__).resolve().parents[1]), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sources, os.environ.get("PYTHONPATH", "")])}
    code = f"from test_batch_kill import run; run({str(top)!r}, {moment!r}, {jobs}, {resume})"
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, encoding="utf-8")


def kill_when(process: subprocess.Popen, come: Any) -> None:
    """SIGKILL as soon as a condition holds."""
    try:
        deadline = time.monotonic() + 120
        while not come():
            assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
            assert time.monotonic() < deadline, "the batch never came to the place where it was to be killed"
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text(encoding="utf-8").rpartition(") ")[2].startswith("Z"))


def assert_nobody_is_left(signs: Path, count: int) -> None:
    """The workers died with the process that was killed."""
    pids = [int(path.stem) for path in signs.glob("*.pid")]
    assert len(pids) >= count
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its batch"
        time.sleep(0.02)
    for path in signs.iterdir():
        path.unlink()


def lines(top: Path) -> int:
    """How many lines the journal has."""
    path = journal_file(top / "out")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def hashes(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file but the journal, hidden ones too."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != journal.JOURNAL
    }


def test_a_batch_killed_three_times_ends_as_one_that_was_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hole = np.zeros(SHAPE, bool)
    hole[5:20, 5:30] = True
    for top in (tmp_path / "killed", tmp_path / "unbroken"):
        (top / "in").mkdir(parents=True)
        (top / "signs").mkdir()
        Image.fromarray(hole).save(top / "mask.png")
    for number in range(COUNT):
        pixels = rng.integers(0, 256, (*SHAPE, 3), np.uint8)
        for top in (tmp_path / "killed", tmp_path / "unbroken"):
            Image.fromarray(pixels).save(top / "in" / f"{number:02}.png")
    assert run(str(tmp_path / "unbroken"), "", 1, False).done == COUNT

    top = tmp_path / "killed"
    sign = top / "signs" / "here"
    kill_when(start(top, "", 2, False), lambda: lines(top) >= 3)  # anywhere
    assert_nobody_is_left(top / "signs", 1)
    first = lines(top)
    assert 3 <= first < COUNT - 6
    kill_when(start(top, "journal", 1, True), sign.exists)  # a line of the journal is half written
    assert_nobody_is_left(top / "signs", 1)
    second = lines(top)
    assert first <= second <= first + 4
    assert not journal_file(top / "out").read_bytes().endswith(b"\n")
    kill_when(start(top, "write", 2, True), sign.exists)  # a result lies under its temporary name
    assert_nobody_is_left(top / "signs", 1)
    assert list((top / "out").glob(".*.part"))
    third = lines(top)
    assert second <= third < COUNT

    summary = run(str(top), "", 1, True)
    assert (summary.skipped, summary.done, summary.exit_status) == (third, COUNT - third, 0)
    assert hashes(top / "out") == hashes(tmp_path / "unbroken" / "out")
    entries = [Entry.of_line(line) for line in journal_file(top / "out").read_bytes().splitlines()]
    assert Counter(entry.output for entry in entries) == Counter(f"{number:02}.png" for number in range(COUNT))


def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    """What a system short of memory does to one of several processes; the photos themselves are harmless."""
    (tmp_path / "in").mkdir()
    (tmp_path / "signs").mkdir()
    hole = np.zeros(SHAPE, bool)
    hole[5:20, 5:30] = True
    Image.fromarray(hole).save(tmp_path / "mask.png")
    for number in range(COUNT):
        Image.fromarray(np.full((*SHAPE, 3), number, np.uint8)).save(tmp_path / "in" / f"{number:02}.png")
    killed: list[int] = []

    def kill_one(progress: Any) -> None:
        if progress.done == 4 and not killed:
            killed.append(next(int(path.stem) for path in (tmp_path / "signs").glob("*.pid")))
            os.kill(killed[0], signal.SIGKILL)

    items = find_items(tmp_path / "in", tmp_path / "mask.png", tmp_path / "out")
    settings = SlowSettings(signs=str(tmp_path / "signs"), together=2)
    summary = fill_items(items, settings, journal=journal_file(tmp_path / "out"), jobs=2, progress=kill_one)
    assert killed
    assert (summary.done, summary.failed) == (COUNT, 0)
    assert len(hashes(tmp_path / "out")) == COUNT
    assert lines(tmp_path) == COUNT
