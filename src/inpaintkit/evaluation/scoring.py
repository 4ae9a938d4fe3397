"""One case at a time in a process of its own: read, fill by every method, measure; always on one thread.

A process uses one thread whatever the number of processes: sums are then taken in the same order, and the scores are
the same to the last bit at any number of workers.
"""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import InpaintError, ModelError
from .cases import Case, Cases
from .judges import Judges
from .methods import Fill, Method, Pixels, open_method
from .metrics import METRICS, known_changed, measure
from .statistics import area_bin, depth_bin, hole_depth
from .tables import rounded

AHEAD = 4
"""Cases given to each process ahead of what it works on."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What the numerical libraries read when they are loaded."""

PNG_QUICK = (cv2.IMWRITE_PNG_COMPRESSION, 0)
"""Most fills are deleted again soon."""


@dataclass(frozen=True)
class Job:
    """Everything a worker process needs; small enough to be sent to it."""

    cases: Cases
    methods: tuple[Method, ...]
    judges: Judges
    out: Path


class Scorer:
    """Fills and measures cases; opens every method and judge once, at its first use."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._judges = job.judges.opened()
        self._inception = job.judges.open_inception()
        if self._judges or self._inception is not None:
            import torch

            torch.set_num_threads(1)
        self._fills: dict[str, Fill] = {}

    def __call__(self, index: int) -> dict[str, Any]:
        """The journal's record of one case. Raises ModelError for a method that cannot be opened at all."""
        started = time.perf_counter()
        try:
            case = self._job.cases[index]
        except InpaintError as error:
            told = " ".join(str(error).split())
            return {"case": index, "about": None, "scores": [{"error": told}] * len(self._job.methods)}
        decoded = time.perf_counter()
        scores, seconds, features = [], [], [self._features(case.truth)]
        for number, method in enumerate(self._job.methods):
            if method.label not in self._fills:
                self._fills[method.label] = open_method(method)
            began = time.perf_counter()
            filled = self._filled(method, case)
            seconds.append(time.perf_counter() - began)
            if isinstance(filled, str):
                scores.append({"error": filled})
                features.append(None)
                continue
            scores.append(self._score(case, filled))
            features.append(self._features(filled))
            _write_png(picture_file(self._job.out, index, number), filled)
        if self._inception is not None:
            _write_features(features_file(self._job.out, index), features)
        ended = time.perf_counter()
        return {
            "case": index,
            "about": about(case),
            "scores": scores,
            "fill_seconds": seconds,
            "decoding_seconds": decoded - started,
            "scoring_seconds": ended - decoded - sum(seconds),
        }

    def _filled(self, method: Method, case: Case) -> Pixels | str:
        """The method's composite, or in one line why there is none: a method may be anybody's."""
        try:
            return self._fills[method.label](case.shown, case.hole)
        except InpaintError as error:
            return " ".join(str(error).split())
        except Exception as error:
            return " ".join(f"{type(error).__name__}: {error}".split())[:500]

    def _score(self, case: Case, filled: Pixels) -> dict[str, Any]:
        found: dict[str, Any] = measure(case.truth, filled, case.hole)
        for judge in self._judges:
            found.update(judge(case.truth, filled, case.hole))
        found = {name: value if math.isfinite(value) else None for name, value in found.items()}
        return {**found, "known_changed": known_changed(case.shown, filled, case.hole)}

    def _features(self, pixels: Pixels) -> Any:
        return None if self._inception is None else self._inception(pixels)


def about(case: Case) -> dict[str, Any]:
    """What a report says about a case beside its names; `truth` are the photo's own values of what is read by them."""
    ratio, depth = float(case.hole.mean()), hole_depth(case.hole)
    own = measure(case.truth, case.truth, case.hole, [m.name for m in METRICS.values() if m.better == "truth"])
    return {
        "hole_ratio": rounded(ratio),
        "depth_px": rounded(depth) if math.isfinite(depth) else None,
        "area_bin": area_bin(ratio),
        "depth_bin": depth_bin(depth),
        "truth": {name: value if math.isfinite(value) else None for name, value in own.items()},
    }


def picture_file(out: Path, index: int, method_number: int) -> Path:
    """Where the fill of a case by a method lies while it may be shown."""
    return out / "fills" / f"{index:06d}" / f"{method_number}.png"


def features_file(out: Path, index: int) -> Path:
    """Where the Inception features of a case lie: (1 + methods, 2048), the truth's first; NaN where a fill failed."""
    return out / "features" / f"{index:06d}.npy"


def _write_png(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), PNG_QUICK)
    path.write_bytes(data.tobytes())


def read_png(path: Path) -> Pixels | None:
    """A picture written by a worker; None where it failed or is gone."""
    if not path.is_file():
        return None
    decoded = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return None if decoded is None else np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _write_features(path: Path, features: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blank = np.full_like(features[0], np.nan)
    np.save(path, np.stack([blank if each is None else each for each in features]))


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
    except Exception as error:
        raise ModelError(f"a worker failed with {type(error).__name__}: {' '.join(str(error).split())[:500]}") from None


def score_all(job: Job, indices: Sequence[int], workers: int) -> Iterator[dict[str, Any]]:
    """The records of these cases, in the order in which they are done. Raises InpaintError.

    Where the iteration is left early, workers finish the cases they are at, and what they measured is lost.
    """
    todo = iter(indices)
    with _one_thread_each():
        pool = ProcessPoolExecutor(
            min(workers, max(1, len(indices))), multiprocessing.get_context("spawn"), _begin, (job,)
        )
        try:
            waiting: set[Future[dict[str, Any]]] = set()
            for index in todo:
                waiting.add(pool.submit(_score_case, index))
                if len(waiting) >= workers * (1 + AHEAD):
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (each.result() for each in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        except BrokenProcessPool:
            raise ModelError(
                "a worker process was killed, perhaps because memory ran out: what was measured is kept; go on with "
                "--resume and fewer --workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers read from their environment how many threads they may use; it is put back."""
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
