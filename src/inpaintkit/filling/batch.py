"""Many photos: what is left to do, who does it, and what came of it.

`find_items` or `read_manifest` says what there is to fill, `shard` takes a part of it, `fill_items` fills it:

    items = find_items("photos", "masks", "filled", recursive=True)
    summary = fill_items(items, Settings(), journal=journal_file("filled"), jobs=2, resume=True)

Results are written whole or not at all, and each is written down in a journal (`journal.py`), so a batch may be killed
at any moment and resumed. A failure is its item's own. `cluster.fill_on_cluster` does the same on a Ray cluster.
"""

import os
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ..errors import Cancelled, ModelError, UsageError, unknown_name
from .journal import Entry, Journal, JournalIndex, is_whole, journal_file, remove_parts
from .pairing import Item, ItemList, find_items, read_manifest, result_folders, shard, shard_of
from .pipeline import Chunk, Settings, check_labels, options_of
from .workers import STOPPING_SECONDS, Kind, Lane, LocalLane, Message, ProcessLane

__all__ = [
    "ON_ERROR",
    "Entry",
    "Item",
    "ItemList",
    "Progress",
    "Settings",
    "Summary",
    "fill_items",
    "find_items",
    "journal_file",
    "plan_items",
    "read_manifest",
    "shard",
    "shard_of",
]

ON_ERROR = ("skip", "stop")
"""What follows an item's failure: the next item, or the end."""

MOST_JOBS = 256
"""More processes than this are a slip."""

CHUNKS_AHEAD = 3
"""Chunks that a lane has at a time: one that it reads, one that it fills, one that it writes."""

CHUNK_SECONDS = 1.0
"""A chunk takes about so long, as far as the settings allow so many photos: what is slow is reported photo by photo, so
that little is lost to a kill, and what is quick shares batches."""

KEPT_FAILURES = 20
"""Failures that a summary lists; the journal has them all."""

_WAIT_SECONDS = 0.5  # an interrupt is noticed so late where waiting itself cannot be interrupted
_STARTS = 3  # worker processes that may die one after the other before any of them was ready


@dataclass(frozen=True)
class Progress:
    """How far a batch has come. `entry` is the item that was just done or has failed, None at the start."""

    total: int
    done: int
    failed: int
    skipped: int
    seconds: float
    entry: Entry | None = None

    @property
    def share(self) -> float:
        """What is behind, from 0 to 1."""
        return (self.done + self.failed + self.skipped) / self.total if self.total else 1.0

    @property
    def left_seconds(self) -> float | None:
        """Time left by the pace of this run; None as long as there is none."""
        passed = self.done + self.failed
        return self.seconds / passed * (self.total - passed - self.skipped) if passed else None


@dataclass(frozen=True)
class Summary:
    """What came of a batch: `done` and `failed` in this run, `skipped` because it was whole already.

    `stopped` says that `on_error` ended it early. `failures` are the first `KEPT_FAILURES`. `notes` say
    what was not done as it was asked for.
    """

    total: int
    done: int
    failed: int
    skipped: int
    seconds: float
    journal: Path
    stopped: bool = False
    failures: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0: every photo of the list is filled; 1: some failed, or were not come to."""
        return 0 if self.done + self.skipped == self.total else 1


Listener = Callable[[Progress], object]
"""Told how far a batch has come; returning False stops it as an interrupt would, with `Cancelled`."""


@dataclass
class Plan:
    """What is to be done: places in the list of items; the others are whole."""

    items: Sequence[Item]
    fingerprint: str
    to_do: list[int] = field(default_factory=list)

    @property
    def skipped(self) -> int:
        """Items that are whole already."""
        return len(self.items) - len(self.to_do)


def plan_items(
    items: Sequence[Item], settings: Settings, *, journal: str | Path, resume: bool = False, force: bool = False
) -> Plan:
    """What a batch has to do, without doing anything.

    With `resume`, what the journals in the folder of results call done is left out as long as the result is there as it
    was written, and photo, mask and settings are what they were. Results that exist are otherwise refused: without
    `resume`, or where no journal tells of an earlier run; `force` overwrites them. Raises UsageError.
    """
    settings.jobs_within_memory(1)
    check_labels(items, settings)
    plan = Plan(items, settings.fingerprint())
    folder = Path(journal).parent
    if not resume:
        if not force:
            _refuse_existing(items, resume)
        plan.to_do = list(range(len(items)))
        return plan
    with JournalIndex(folder) as index:
        if not index.paths and not force:
            _refuse_existing(items, resume)
        for place, item in enumerate(items):
            if not is_whole(index.entry(item.name), item, options_of(item, plan.fingerprint)):
                plan.to_do.append(place)
    return plan


def _refuse_existing(items: Iterable[Item], resume: bool) -> None:
    """Raise UsageError where a result exists already."""
    present = [item.output for item in items if item.fault is None and os.path.lexists(item.output)]
    if present:
        others = f" and {len(present) - 1:,} more" if len(present) > 1 else ""
        why = ", and there is no journal of the run that wrote it" if resume else ""
        way = "overwrite with --force" if resume else "go on with --resume, or overwrite with --force"
        raise UsageError(f"output '{present[0]}' exists{others}{why}: name another folder, {way}")


def fill_items(
    items: Sequence[Item],
    settings: Settings,
    *,
    journal: str | Path,
    jobs: int = 1,
    resume: bool = False,
    force: bool = False,
    on_error: str = "skip",
    progress: Listener | None = None,
) -> Summary:
    """Fill every item and write down what came of it in `journal` (see `journal_file`), in the folder of results.

    `jobs` is how many processes fill, fewer where `settings.memory` has no room for so many; 1 is this one alone.
    Worker processes start afresh and import the main module, so a script that calls this with more than one job does so
    under `if __name__ == "__main__":`. An item whose worker dies is tried once more on its own. `resume` and `force`
    are as in `plan_items`, `on_error` is "skip" or "stop".

    Raises UsageError and ModelError before any work, PhotoError when the journal cannot be written, and Cancelled when
    `progress` returned False. After these, and after a KeyboardInterrupt, what was being written is whole, and the
    batch can be resumed.
    """
    check_run(items, jobs, on_error)
    started = time.monotonic()
    plan = plan_items(items, settings, journal=journal, resume=resume, force=force)
    faulty = [place for place in plan.to_do if items[place].fault is not None]
    sound = [place for place in plan.to_do if items[place].fault is None]
    wanted = min(jobs, len(sound))
    jobs = settings.jobs_within_memory(wanted)
    crew = Crew(settings, plan.fingerprint, jobs)
    try:
        crew.start()
        with Journal(journal) as book:
            remove_parts(items, result_folders(items))
            tally = Tally(plan, book, on_error, progress, started)
            tally.add([failure_of(items[place], plan.fingerprint) for place in faulty])
            try:
                for entries in crew.work(items, sound) if not tally.over else ():
                    tally.add(entries)
                    if tally.over:
                        break
            finally:
                for entries in crew.end():
                    tally.add(entries)
    finally:
        crew.kill()
    few = f"{jobs} of {wanted} --jobs at work: the {settings.memory} of --memory has no room for more"
    return replace(tally.summary(), notes=(few,) if jobs < wanted else ())


def check_run(items: Sequence[Item], jobs: int, on_error: str) -> None:
    """Refuse what makes no sense, before any work. Raises UsageError."""
    if not isinstance(jobs, int) or isinstance(jobs, bool) or not 1 <= jobs <= MOST_JOBS:
        raise UsageError(f"jobs is {jobs!r}, expected a whole number of processes from 1 to {MOST_JOBS}")
    if on_error not in ON_ERROR:
        raise UsageError(unknown_name("on-error", str(on_error), ON_ERROR))
    if len({item.folder for item in items}) > 1:
        raise UsageError("the items have several folders of results, expected one: fill them in several batches")


def failure_of(item: Item, fingerprint: str, error: str | None = None) -> Entry:
    """The journal's entry for an item that was not filled; its own fault, where no other error is given."""
    return Entry(
        output=item.name,
        status="failed",
        photo=item.photo,
        mask=item.mask,
        error=error or item.fault,
        options=options_of(item, fingerprint),
        ended=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _cores() -> int:
    """Processor cores of this process, where Python can tell, else of the machine."""
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1


class Tally:
    """Writes down what comes in, counts it, and tells the listener."""

    def __init__(self, plan: Plan, journal: Journal, on_error: str, listener: Listener | None, started: float) -> None:
        self._plan, self._journal, self._on_error, self._listener = plan, journal, on_error, listener
        self._started = started
        self.done = self.failed = 0
        self.cancelled = False
        self.failures: list[Entry] = []
        self._tell(None)

    @property
    def over(self) -> bool:
        """Whether no more is to be done."""
        return self.cancelled or (self._on_error == "stop" and self.failed > 0)

    def add(self, entries: Sequence[Entry]) -> None:
        """Take down entries. Raises PhotoError when the journal cannot be written."""
        if entries:
            self._journal.append(entries)
        for entry in entries:
            if entry.status == "done":
                self.done += 1
            else:
                self.failed += 1
                self.failures += [entry] if len(self.failures) < KEPT_FAILURES else []
            self._tell(entry)

    def _tell(self, entry: Entry | None) -> None:
        if self._listener is None:
            return
        seconds = time.monotonic() - self._started
        plan = self._plan
        progress = Progress(len(plan.items), self.done, self.failed, plan.skipped, seconds, entry)
        if self._listener(progress) is False:
            self.cancelled = True

    def summary(self) -> Summary:
        """What came of it. Raises Cancelled where the listener wanted no more."""
        summary = Summary(
            total=len(self._plan.items),
            done=self.done,
            failed=self.failed,
            skipped=self._plan.skipped,
            seconds=time.monotonic() - self._started,
            journal=self._journal.path,
            stopped=self.done + self.failed < len(self._plan.to_do),
            failures=tuple(self.failures),
        )
        if self.cancelled and summary.stopped:
            raise Cancelled(
                f"the batch was cancelled after {self.done} of {len(self._plan.to_do)} photos: go on with --resume"
            )
        return summary


class Crew:
    """The lanes of a batch, what each has in hand, and who comes after one that died.

    One job is done in this process, unless `apart` wants a process for it too.
    """

    def __init__(self, settings: Settings, fingerprint: str, jobs: int, *, apart: bool = False) -> None:
        self._fingerprint, self._jobs, self._apart = fingerprint, jobs, apart or jobs > 1
        self._items: Sequence[Item] = ()
        self._settings = settings if jobs <= 1 else settings.for_process(jobs, _cores())
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._in_hand: dict[Lane, set[int]] = {}
        self._ready: set[Lane] = set()
        self._since: dict[Lane, float] = {}  # when a lane got its first item
        self._filled: dict[Lane, int] = {}
        self._failed_starts = 0
        self._waiting: deque[int] = deque()
        self._alone: deque[int] = deque()  # in hand of a worker that died: to be tried once more, each on its own
        self._tried: set[int] = set()
        self._untidy = False

    def start(self) -> None:
        """Open the lanes; returns when one of them is ready. Raises UsageError and ModelError where none can be."""
        for _ in range(self._jobs):
            self._add_lane()
        while self._in_hand and not self._ready:
            self._gather()

    def _add_lane(self) -> None:
        lane = (ProcessLane if self._apart else LocalLane)(self._settings, self._fingerprint, self._inbox)
        self._in_hand[lane] = set()

    def work(self, items: Sequence[Item], places: Iterable[int]) -> Iterator[list[Entry]]:
        """Have the items at these places of a list filled; yields entries as they come."""
        self._items = items
        self._tried.clear()
        self._waiting.extend(places)
        while self._waiting or self._alone or any(self._in_hand.values()):
            for lane in self._ready:
                self._hand_out(lane)
            entries = self._gather()
            if entries:
                yield entries
        self._tidy()

    def _tidy(self) -> None:
        """Remove what workers that died were writing, when nobody writes any more."""
        if self._untidy:
            self._untidy = False
            remove_parts(self._items, result_folders(self._items))

    def _hand_out(self, lane: Lane) -> None:
        """Give a lane as much as it should have in hand."""
        in_hand = self._in_hand[lane]
        if self._alone or in_hand & self._tried:
            if self._alone and not in_hand:
                self._put(lane, [self._alone.popleft()])
            return
        pace = self._filled.get(lane, 0) / max(time.monotonic() - self._since.get(lane, 0), 1e-3)
        together = min(self._settings.together, max(int(pace * CHUNK_SECONDS), 1))
        while self._waiting and len(in_hand) <= (CHUNKS_AHEAD - 1) * together:
            fair = len(self._waiting) // (2 * self._jobs)  # towards the end the chunks are small, so that all end alike
            count = min(together, max(fair, 1), len(self._waiting))
            self._put(lane, [self._waiting.popleft() for _ in range(count)])

    def _put(self, lane: Lane, places: list[int]) -> None:
        self._in_hand[lane].update(places)
        self._since.setdefault(lane, time.monotonic())
        chunk: Chunk = [(place, self._items[place]) for place in places]
        lane.put(chunk)

    def _gather(self) -> list[Entry]:
        """The entries that came in, at least one message's worth. Raises what a lane was broken by."""
        entries: list[Entry] = []
        messages = [self._next_message()]
        while not self._inbox.empty():
            messages.append(self._inbox.get())
        for lane, kind, value in messages:
            match kind:
                case Kind.READY:
                    self._ready.add(lane)
                case Kind.ENTRY:
                    self._in_hand[lane].discard(value[0])
                    self._filled[lane] = self._filled.get(lane, 0) + 1
                    entries.append(value[1])
                case Kind.BROKEN:
                    raise value
                case Kind.ENDED:
                    self._in_hand.pop(lane, None)
                    self._ready.discard(lane)
                case Kind.LOST:
                    entries += self._lost(lane, value)
        return entries

    def _next_message(self) -> Message:
        while True:
            try:
                return self._inbox.get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                continue

    def _lost(self, lane: Lane, exit_code: int | None) -> list[Entry]:
        """A worker died: what it had in hand is tried once more, what was has failed, and another worker starts."""
        was_ready = lane in self._ready
        self._ready.discard(lane)
        self._untidy = True
        failed = []
        for place in sorted(self._in_hand.pop(lane, ())):
            if place in self._tried:
                reason = f"the worker process died while filling it, twice (exit code {exit_code}): out of memory?"
                failed.append(failure_of(self._items[place], self._fingerprint, f"{reason} set a limit with --memory"))
            else:
                self._tried.add(place)
                self._alone.append(place)
        self._failed_starts = 0 if was_ready else self._failed_starts + 1
        if self._failed_starts >= _STARTS:
            raise ModelError(
                f"worker processes die before they are ready (exit code {exit_code}): use one job, or in a script of "
                'your own call this under if __name__ == "__main__"'
            )
        if self._waiting or self._alone or not was_ready:
            self._add_lane()
        return failed

    def end(self) -> Iterator[list[Entry]]:
        """End all lanes, what they are writing first; yields the entries that still come."""
        self._waiting.clear()
        self._alone.clear()
        for lane in self._in_hand:
            if lane in self._ready:
                lane.stop()
            else:
                lane.kill()
        deadline = time.monotonic() + STOPPING_SECONDS
        while self._in_hand and time.monotonic() < deadline:
            try:
                lane, kind, value = self._inbox.get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                continue
            if kind is Kind.ENTRY:
                yield [value[1]]
            elif kind in (Kind.ENDED, Kind.LOST):
                self._untidy = self._untidy or (kind is Kind.LOST and lane in self._ready)
                self._in_hand.pop(lane, None)
        if not self._in_hand:
            self._tidy()

    def kill(self) -> None:
        """End whatever still runs, at once."""
        for lane in self._in_hand:
            lane.kill()
