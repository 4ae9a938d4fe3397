"""The fills behind the service: one thread for each model, a bounded queue before it, waiting fills in common batches.

Nothing here knows of HTTP. A fill is a `Job`: it is reserved before its photo is decoded, so that what cannot be queued
costs no memory, then submitted, and told of by listeners that any thread may call.
"""

import logging
import math
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..errors import Cancelled, InpaintError, unknown_name
from ..filling.classical import CLASSICAL
from ..filling.engines import BatchEngine, Engine, open_engine
from ..filling.inpainter import FillReport, Inpainter
from ..filling.views import all_views
from ..photo import Photo
from .problems import Problem, problem_of
from .settings import ServeSettings

LOG = logging.getLogger("inpaintkit.serve")

MOST_PIXELS_TOGETHER = 4_000_000
"""Photos that are filled together have at most so many pixels in all: batches win where fills are small."""

MOST_RESULTS = 1000
"""Jobs that have ended and can still be asked for."""

MOST_VARIANT = 63
"""There are more views of a hole, but none that anybody asked for."""

Prepare = Callable[[], tuple[Photo, np.ndarray]]
Finish = Callable[[Photo, FillReport], Any]


@dataclass(frozen=True)
class FillOptions:
    """How a photo is filled; fills whose options are equal may share batches.

    `variant` 0 is the fill itself, others see the hole in other ways (`filling.views`).
    """

    model: str
    grow: int | str = 0
    detail: str = "auto"
    grain: str = "auto"
    seed: int = 0
    variant: int = 0


class Job:
    """One fill from the moment it is accepted. `state` is queued, running, done, failed or cancelled.

    `share` of the work goes from 0 to 1. `result` is whatever its `finish` made.
    """

    def __init__(self, options: FillOptions, pixels: int) -> None:
        self.id = secrets.token_hex(16)
        self.options, self.pixels = options, pixels
        self.state, self.share = "queued", 0.0
        self.result: Any = None
        self._problem: Problem | None = None
        self.started = self.ended_at = 0.0
        self.kept_bytes = 0
        self.fetched = True
        self._prepare: Prepare | None = None
        self._finish: Finish | None = None
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._release: Callable[[Job], None] = lambda job: None

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def problem(self) -> Problem | None:
        """Why there is no result; new each time, for a problem that was raised holds on to the photo it is about."""
        found = self._problem
        return None if found is None else Problem(found.kind, str(found), found.headers)

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener`, from any thread, after every change; what is returned ends that."""
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock, suppress(ValueError):
                self._listeners.remove(listener)

        return end

    def give(self, prepare: Prepare, finish: Finish) -> None:
        """What makes its photo and its result; a job that has ended takes nothing more."""
        with self._lock:
            if not self.ended:
                self._prepare, self._finish = prepare, finish

    def begin(self) -> bool:
        """Whether it runs from now on; a job that has ended stays as it is."""
        with self._lock:
            if self.ended:
                return False
            self.started, self.state = time.monotonic(), "running"
            return True

    def cancel(self) -> None:
        """Stop the fill at its next step, or take it from the queue."""
        self.fail(Cancelled())

    def fail(self, error: BaseException) -> None:
        """End without a result; a job that has ended stays as it is."""
        state = "cancelled" if isinstance(error, Cancelled) else "failed"
        self._end(state, None, problem_of(error))

    def succeed(self, result: Any) -> None:
        """End with a result."""
        self._end("done", result, None)

    def _end(self, state: str, result: Any, problem: Problem | None) -> None:
        with self._lock:
            if self.ended:
                return
            self.result, self._problem = result, problem
            if problem is not None:
                self._problem = Problem(problem.kind, str(problem), problem.headers)
            self.share = 1.0 if state == "done" else self.share
            self.ended_at = time.monotonic()
            self._prepare = self._finish = None  # and with them the photo
            self.state = state
        self._release(self)
        self._tell()

    def told(self, share: float) -> None:
        """Take note of how far the fill has come."""
        with self._lock:
            if self.ended or share <= self.share:
                return
            self.share = min(share, 1.0)
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()


class _Worker:
    """One model, opened when it is first needed and kept, and the thread that fills with it."""

    def __init__(self, name: str, path: str, settings: ServeSettings, pool: ThreadPoolExecutor) -> None:
        self.name, self.path, self.settings, self.pool = name, path, settings, pool
        self.engine: Engine | None = None
        self.held: set[Job] = set()
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._thread: threading.Thread | None = None
        self._lately = 1.0

    def reserve(self, job: Job) -> None:
        """Count a job, or raise the problem that there are too many."""
        settings = self.settings
        with self._changed:
            pixels = sum(each.pixels for each in self.held)
            if len(self.held) >= settings.queue_length or (self.held and pixels + job.pixels > settings.queue_pixels):
                wait = max(1, math.ceil(self._lately * len(self.held) / 2))
                raise Problem(
                    "busy",
                    f"{len(self.held)} fills wait for model '{self.name}', expected fewer than "
                    f"{settings.queue_length}: try again in {wait} s",
                    {"Retry-After": str(wait)},
                )
            self.held.add(job)
            job._release = self._released

    def _released(self, job: Job) -> None:
        with self._changed:
            self.held.discard(job)
            self._changed.notify_all()

    def submit(self, job: Job) -> None:
        """Queue a job that was reserved."""
        with self._changed:
            self._waiting.append(job)
            self._start()
            self._changed.notify_all()

    def warm(self) -> None:
        """Open the model soon, without a job."""
        with self._changed:
            self._start()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"inpaintkit-{self.name}", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Let the thread end when nothing waits any more."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=self.settings.time_limit_s)

    def _run(self) -> None:
        with suppress(Exception):  # the first job will be told
            self._open()
        while group := self._next_group():
            started = time.monotonic()
            try:
                self._fill(group)
            except BaseException as error:
                if not isinstance(error, InpaintError | MemoryError):
                    LOG.exception("a fill by model '%s' broke", self.name)
                for job in group:
                    job.fail(error)
            self._lately = 0.7 * self._lately + 0.3 * (time.monotonic() - started) / len(group)

    def _open(self) -> Engine:
        if self.engine is None:
            runtime = "auto" if self.path in CLASSICAL else self.settings.engine
            self.engine = open_engine(self.path, runtime, threads=self.settings.threads)
        return self.engine

    def _next_group(self) -> list[Job]:
        """The job that waits longest, and others that share its batches; empty at the end."""
        with self._changed:
            while True:
                while self._waiting and self._waiting[0].ended:
                    self._waiting.popleft()
                if self._waiting:
                    break
                if self._ending and not self.held:
                    return []
                self._changed.wait()
            first = self._waiting.popleft()
            group, pixels = [first], first.pixels
            batches = isinstance(self.engine, BatchEngine) and self.engine.takes_batches
            for job in list(self._waiting) if batches else []:
                if len(group) == self.settings.together or pixels + job.pixels > MOST_PIXELS_TOGETHER:
                    break
                if job.options == first.options and not job.ended:
                    group.append(job)
                    pixels += job.pixels
                    self._waiting.remove(job)
            return group

    def _fill(self, group: list[Job]) -> None:
        """Fill the photos of a group and hand each to what finishes it."""
        inpainter = self._inpainter(group[0].options)
        pairs, jobs = [], []
        for job in group:
            prepare = job._prepare  # before it begins: its end takes this away
            if prepare is None or not job.begin():
                continue
            try:
                pairs.append(prepare())
                jobs.append(job)
            except (InpaintError, MemoryError) as error:
                job.fail(error)
        clock = threading.Timer(self.settings.time_limit_s, self._end_late, (jobs,))
        clock.daemon = True
        clock.start()
        try:
            self._fill_in_time(inpainter, jobs, pairs)
        finally:
            clock.cancel()

    def _fill_in_time(self, inpainter: Inpainter, jobs: list[Job], pairs: list[tuple[Photo, np.ndarray]]) -> None:
        """Fill photos together; jobs that end meanwhile, cancelled or late, stop it once all have."""

        def go_on(share: float) -> bool:
            for job in jobs:
                job.told(0.98 * share)
            return not all(job.ended for job in jobs)

        if len(jobs) == 1:
            # The photo is the job's own: it was decoded, or copied, for it alone.
            photo, mask = pairs.pop()
            whole, report = inpainter.fill_photo_reported(photo, mask, progress=go_on, in_place=True)
            self._deliver(jobs[0], whole, report)
        elif jobs:
            filled = inpainter.fill_photos(pairs, together=len(pairs), progress=go_on)
            for job, each in zip(jobs, filled, strict=True):
                if isinstance(each, InpaintError):
                    job.fail(each)
                else:
                    self._deliver(job, *each)

    def _inpainter(self, options: FillOptions) -> Inpainter:
        engine, seed = self._open(), options.seed
        if options.variant:
            view = next(islice(all_views(), options.variant, None))
            engine, seed = view.engine(engine, seed), seed + view.seed
        return Inpainter(engine, grow=options.grow, detail=options.detail, grain=options.grain, seed=seed)

    def _end_late(self, jobs: list[Job]) -> None:
        """Tell those who wait; the fill itself stops at its next step."""
        limit = self.settings.time_limit_s
        for job in jobs:
            job.fail(
                Problem(
                    "time-limit",
                    f"the fill by model '{self.name}' took more than {limit:g} s, which is the limit here: mark less "
                    "of the photo, or choose a quicker model",
                )
            )

    def _deliver(self, job: Job, photo: Photo, report: FillReport) -> None:
        finish = job._finish
        if finish is None:
            return

        def work() -> None:
            try:
                job.succeed(finish(photo, report))
            except BaseException as error:
                if not isinstance(error, InpaintError | MemoryError):
                    LOG.exception("the result of a fill could not be made")
                job.fail(error)

        self.pool.submit(work)


class FillService:
    """Every model that was named at the start, the queue before each of them, and the jobs that were accepted."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.pool = ThreadPoolExecutor(pool_size(), thread_name_prefix="inpaintkit-codec")
        paths = settings.model_paths
        self.default = next(iter(paths))
        self.workers = {name: _Worker(name, path, settings, self.pool) for name, path in paths.items()}
        self.stopping = False
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    @property
    def queue(self) -> int:
        """Fills that were accepted and have not ended."""
        return sum(len(worker.held) for worker in self.workers.values())

    def check_model(self, name: str) -> str:
        """The name itself when it is one of this service's models. Raises Problem."""
        if name not in self.workers:
            raise Problem("bad-option", unknown_name("model", name, self.workers))
        return name

    def check_accepting(self) -> None:
        """Raise Problem when the service is ending."""
        if self.stopping:
            raise Problem("stopping", "the service is ending: send it again in a while", {"Retry-After": "10"})

    def reserve(self, options: FillOptions, pixels: int, *, keep: bool = False) -> Job:
        """A place in the queue of a model for a photo of so many pixels; with `keep` it can be asked for by its id.

        Whoever reserves must submit the job or refuse it. Raises Problem when the queue is full or the service ends.
        """
        self.check_model(options.model)
        self.check_accepting()
        job = Job(options, pixels)
        self.workers[options.model].reserve(job)
        if keep:
            self.forget_old()
            job.fetched = False
            with self._lock:
                self._jobs[job.id] = job
        return job

    def submit(self, job: Job, prepare: Prepare, finish: Finish) -> None:
        """Queue a reserved job. `prepare` gives its photo, which is filled in place, and mask when its turn has come.

        `finish` makes its result, in one of the threads that decode and encode.
        """
        job.give(prepare, finish)
        self.workers[job.options.model].submit(job)

    def refuse(self, job: Job, error: BaseException) -> None:
        """End a reserved job that was not submitted; nobody was told its id, so nobody will ask for it."""
        job.fail(error)
        with self._lock:
            self._jobs.pop(job.id, None)

    def job(self, id: str) -> Job:
        """The job of an id. Raises Problem."""
        self.forget_old()
        with self._lock:
            found = self._jobs.get(id)
        if found is None:
            raise Problem("job-gone", "there is no such job, or its result was dropped: send the photo again")
        return found

    def forget_old(self) -> None:
        """Drop results that nobody fetched in time, and the oldest ones where they take too much memory."""
        now, held, kept = time.monotonic(), 0, 0
        with self._lock:
            for id, job in reversed(list(self._jobs.items())):
                if not job.ended:
                    continue
                late = now - job.ended_at > self.settings.result_s
                if late or kept == MOST_RESULTS or (kept and held + job.kept_bytes > self.settings.results_memory):
                    del self._jobs[id]
                    continue
                held, kept = held + job.kept_bytes, kept + 1

    def start(self) -> None:
        """Open the default model, so that the first fill need not wait for it."""
        self.workers[self.default].warm()

    def stop(self) -> None:
        """Accept nothing more; what was accepted goes on."""
        self.stopping = True

    @property
    def unfetched(self) -> int:
        """Jobs whose end nobody has asked for yet."""
        with self._lock:
            return sum(not job.fetched for job in self._jobs.values())

    def close(self) -> None:
        """Finish what was accepted and end every thread."""
        self.stop()
        for worker in self.workers.values():
            worker.end()
        self.pool.shutdown()


def pool_size() -> int:
    """Threads that decode and encode: as many as there are cores, but few."""
    return min(4, max(2, os.cpu_count() or 2))
