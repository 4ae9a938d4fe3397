"""One case at a time in a process of its own: read, fill by every method, measure; always on one thread.

A process uses one thread whatever the number of processes: sums are then taken in the same order, and the scores are
the same to the last bit at any number of workers.
"""

import hashlib
import io
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import DataError, InpaintError, ModelError
from ..filling.workers import interrupts_left_to_this_process
from .cases import Case, Cases
from .methods import Fill, Method, Pixels, open_method
from .metrics import METRICS, known_changed, measure
from .perceptual import PerceptualWeights
from .statistics import area_bin, depth_bin, hole_depth, rounded
from .threads import THREAD_VARIABLES

AHEAD = 4
"""Cases given to each process ahead of what it works on."""

MOST_WORKERS_ON_WINDOWS = 61
"""More processes than this cannot be waited for there."""

PNG_QUICK = (cv2.IMWRITE_PNG_COMPRESSION, 0)
"""Most fills are deleted again soon."""

TRUTH = "truth"


@dataclass(frozen=True)
class Job:
    """Everything a worker process needs; small enough to be sent to it.

    `networks` are the sources of the networks that measure, as they were at the start. `numbers` are the places of the
    methods in the report.
    """

    cases: Cases
    methods: tuple[Method, ...]
    perceptual: PerceptualWeights
    out: Path
    networks: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

    def only(self, place: int) -> "Job":
        """The same with one method."""
        return replace(self, methods=(self.methods[place],), numbers=(self.numbers[place],))


class Scorer:
    """Fills and measures cases; opens every method and network once, at its first use."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._perceptual = job.perceptual.opened()
        self._inception = job.perceptual.open_inception()
        networks = job.perceptual.sources(self._perceptual, self._inception)
        if networks != job.networks:
            raise ModelError(
                f"the networks that measure were {', '.join(job.networks)} and are {', '.join(networks)} by now: give "
                "weights that stay the same"
            )
        if networks:
            import torch

            torch.set_num_threads(1)
        self._fills: dict[str, Fill] = {}

    def __call__(self, index: int) -> dict[str, Any]:
        """The journal's record of one case. Raises ModelError for a method that cannot be opened at all."""
        started = time.perf_counter()
        try:
            case = self._job.cases[index]
        except InpaintError as error:
            return _unreadable(index, len(self._job.methods), " ".join(str(error).split()))
        decoded = time.perf_counter()
        scores, seconds = [], []
        self._keep_features(index, TRUTH, case.truth)
        for number, method in zip(self._job.numbers, self._job.methods, strict=True):
            if method.label not in self._fills:
                self._fills[method.label] = open_method(method, threads=1)
            began = time.perf_counter()
            filled = self._filled(method, case)
            seconds.append(time.perf_counter() - began)
            if isinstance(filled, str):
                scores.append({"error": filled})
                continue
            scores.append(self._score(case, filled))
            self._keep_features(index, number, filled)
            _write_png(picture_file(self._job.out, index, number), filled)
        ended = time.perf_counter()
        return {
            "case": index,
            "about": about(case, pasted=self._job.cases.is_removal(index)),
            "scores": scores,
            "fill_seconds": seconds,
            "decoding_seconds": decoded - started,
            "scoring_seconds": ended - decoded - sum(seconds),
        }

    def _filled(self, method: Method, case: Case) -> Pixels | str:
        """The method's composite, or in one line why there is none: a method may be anybody's.

        Raises MemoryError: another number of workers may have room for it.
        """
        try:
            return self._fills[method.label](case.shown, case.hole)
        except InpaintError as error:
            return " ".join(str(error).split())
        except MemoryError:
            raise
        except Exception as error:
            return " ".join(f"{type(error).__name__}: {error}".split())[:500]

    def _score(self, case: Case, filled: Pixels) -> dict[str, Any]:
        found: dict[str, Any] = measure(case.truth, filled, case.hole)
        for each in self._perceptual:
            found.update(each(case.truth, filled, case.hole))
        found = {name: value if math.isfinite(value) else None for name, value in found.items()}
        return {**found, "known_changed": known_changed(case.shown, filled, case.hole)}

    def _keep_features(self, index: int, number: int | str, pixels: Pixels) -> None:
        if self._inception is not None:
            buffer = io.BytesIO()
            np.save(buffer, self._inception(pixels))
            _write_whole(features_file(self._job.out, index, number), buffer.getvalue())


def _unreadable(index: int, methods: int, told: str) -> dict[str, Any]:
    """The record of a case whose photo cannot be read: every method fails on it."""
    return {"case": index, "about": None, "scores": [{"error": told}] * methods}


def about(case: Case, *, pasted: bool = False) -> dict[str, Any]:
    """What a report says about a case beside its names; `truth` are the photo's own values of what is read by them.

    `pasted`: with the checksum of what was shown and of the hole, which no file holds.
    """
    ratio, depth = float(case.hole.mean()), hole_depth(case.hole)
    own = measure(case.truth, case.truth, case.hole, [m.name for m in METRICS.values() if m.better == "truth"])
    found = {
        "hole_ratio": rounded(ratio),
        "depth_px": rounded(depth) if math.isfinite(depth) else None,
        "area_bin": area_bin(ratio),
        "depth_bin": depth_bin(depth),
        "truth": {name: value if math.isfinite(value) else None for name, value in own.items()},
    }
    if pasted:
        found["shown_sha256"] = hashlib.sha256(case.shown.tobytes() + np.packbits(case.hole).tobytes()).hexdigest()
    return found


def picture_file(out: Path, index: int, method_number: int) -> Path:
    """Where the fill of a case by a method lies while it may be shown."""
    return out / "fills" / f"{index:06d}" / f"{method_number}.png"


def features_file(out: Path, index: int, number: int | str) -> Path:
    """Where the Inception features (2048,) of a case lie: of the method with this number, or of the truth."""
    return out / "features" / f"{index:06d}" / f"{number}.npy"


def _write_png(path: Path, pixels: Pixels) -> None:
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), PNG_QUICK)
    _write_whole(path, data.tobytes())


def _write_whole(path: Path, data: bytes) -> None:
    """A file that is there as a whole or not at all. Raises DataError."""
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise DataError(
            f"'{path}' cannot be written ({error.strerror or error}), expected room on the disk: make some, and go on "
            "with --resume"
        ) from error


def read_png(path: Path) -> Pixels | None:
    """A picture written by a worker; None where it failed or is gone."""
    if not path.is_file() or not path.stat().st_size:
        return None
    decoded = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return None if decoded is None else np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


# --- Processes -------------------------------------------------------------------------------------------------------

_scorer: Scorer | None = None
_job: Job | None = None


def _begin(job: Job) -> None:
    """What a worker does first. It leaves Ctrl-C to its parent and does not outlive it."""
    global _job  # noqa: PLW0603 - the one place where a worker of the pool may keep what it is to work on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    cv2.setNumThreads(1)
    _job = job


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _score_case(index: int) -> dict[str, Any]:
    """One case in a worker. What goes wrong in opening becomes an error of ours, which can be sent to the parent."""
    global _scorer  # noqa: PLW0603
    try:
        if _scorer is None:
            assert _job is not None
            _scorer = Scorer(_job)
        return _scorer(index)
    except InpaintError:
        raise
    except MemoryError:
        raise ModelError(
            "memory ran out in a worker: what was measured is kept; go on with --resume and fewer --workers"
        ) from None
    except Exception as error:
        raise ModelError(f"a worker failed with {type(error).__name__}: {' '.join(str(error).split())[:500]}") from None


def score_all(job: Job, indices: Sequence[int], workers: int) -> Generator[dict[str, Any], None, None]:
    """The records of these cases, in the order in which they are done. Raises InpaintError.

    Where a worker dies, the cases that were being worked on are tried again one by one, each method in a process of its
    own, so that a method whose own code crashes has an error and the others go on. Where the iteration is left early,
    workers finish the cases they are at, and what they measured is lost.
    """
    left = list(indices)
    while left:
        waiting: dict[Future[dict[str, Any]], int] = {}
        pool = _pool(job, min(workers, len(left)))
        try:
            yield from _by_pool(pool, left, workers, waiting)
        except BrokenProcessPool:
            suspects = sorted(waiting.values())[: workers * (1 + AHEAD)]
            left = [index for index in left if index not in suspects]
            pool.shutdown(cancel_futures=True)
            yield from (_score_apart(job, index) for index in suspects)
        finally:
            pool.shutdown(cancel_futures=True)


def _pool(job: Job, workers: int) -> ProcessPoolExecutor:
    most = MOST_WORKERS_ON_WINDOWS if sys.platform == "win32" else workers
    return ProcessPoolExecutor(min(workers, most), multiprocessing.get_context("spawn"), _begin, (job,))


def _by_pool(
    pool: ProcessPoolExecutor, left: list[int], workers: int, waiting: dict[Future[dict[str, Any]], int]
) -> Iterator[dict[str, Any]]:
    """The records of the cases that are `left`, which are taken from it as they are done."""
    todo = list(left)
    while todo or waiting:
        while todo and len(waiting) < workers * (1 + AHEAD):
            index = todo.pop(0)
            waiting[_submitted(pool, index)] = index
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            record = future.result()
            left.remove(waiting.pop(future))
            yield record


def _submitted(pool: ProcessPoolExecutor, index: int) -> Future[dict[str, Any]]:
    """A case handed to the pool, which may start a process for it: on one thread, and deaf to Ctrl-C from the start."""
    with _one_thread_each(), interrupts_left_to_this_process():
        return pool.submit(_score_case, index)


def _score_apart(job: Job, index: int) -> dict[str, Any]:
    """The record of a case near which a worker died: every method in a process of its own."""
    records = []
    for place, method in enumerate(job.methods):
        pool = _pool(job.only(place), 1)
        try:
            records.append(_submitted(pool, index).result())
        except BrokenProcessPool:
            told = f"model '{method.model}' ended its process: it crashed, or memory ran out"
            records.append({"case": index, "about": None, "scores": [{"error": told}], "fill_seconds": [0.0]})
        finally:
            pool.shutdown(cancel_futures=True)
    known = next((record for record in records if record["about"] is not None), records[0])
    if known["about"] is None:
        with_about = about(job.cases[index], pasted=job.cases.is_removal(index)) if _is_readable(job, index) else None
        known = {**known, "about": with_about}
    return {
        **known,
        "scores": [score for record in records for score in record["scores"]],
        "fill_seconds": [spent for record in records for spent in record.get("fill_seconds", [0.0])],
    }


def _is_readable(job: Job, index: int) -> bool:
    try:
        _ = job.cases[index]
    except InpaintError:
        return False
    return True


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """A new process reads from its environment how many threads it may use; ours is put back."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
