"""Which fills of a comparison are kept to be looked at: those methods disagree on most, an even sample, a study's."""

import heapq
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Case, Cases
from .methods import Pixels
from .scoring import picture_file, read_png
from .statistics import disagreement

STUDY_PHOTOS = 100
"""Photos of a study: half an hour of a judge's attention."""

FAILURES_SHOWN = 2

Priority = tuple[float, int]


class _Best:
    """The cases of the highest priority, whatever the order in which they come."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[Priority] = []

    def offer(self, priority: float, index: int) -> int | None:
        """Take the case if it is among the best; the case that is no longer, if any."""
        heapq.heappush(self._heap, (priority, -index))
        return -heapq.heappop(self._heap)[1] if len(self._heap) > self._most else None

    def __contains__(self, index: int) -> bool:
        return any(-other == index for _, other in self._heap)

    def __iter__(self) -> Any:
        return (-index for _, index in sorted(self._heap, reverse=True))


class Gallery:
    """Keeps the fills that pages will show and deletes the others as cases are done; thousands of photos take no room.

    `rows` cases are shown: at most two with a failure, then half of them those that the methods disagree on most (by
    hole L1), then an even sample over groups and hole-area bins. It depends on the scores alone, not on the order in
    which cases are done. `study`: also the fills of up to `STUDY_PHOTOS` photos, drawn by `seed`. `keep`: all fills.
    """

    def __init__(
        self,
        cases: Cases,
        out: Path,
        labels: list[str],
        *,
        rows: int = 24,
        study: bool = False,
        keep: bool = False,
        seed: int = 0,
    ) -> None:
        self._cases, self._out, self._labels, self._rows, self._keep = cases, out, labels, rows, keep
        self._failed, self._most = _Best(FAILURES_SHOWN), _Best(rows)
        self._bins: dict[tuple[str, str], _Best] = {}
        self._seed = seed
        self._study: list[int] = []
        if study:
            drawn = np.random.default_rng([seed, 1]).permutation(len(cases)).tolist()
            of_photo = {cases.entries[index][1]: index for index in drawn}  # a photo seen twice gives itself away
            self._study = sorted(list(of_photo.values())[:STUDY_PHOTOS])

    def offer(self, record: Mapping[str, Any]) -> None:
        """A case is done: its fills are kept, or not, and perhaps those of another no longer."""
        index, found = record["case"], disagreement(record["scores"])
        apart = -math.inf if found is None else found
        dropped = {index, self._most.offer(apart, index)}
        if any("error" in score for score in record["scores"]):
            dropped.add(self._failed.offer(apart, index))
        if record["about"] is not None:
            key = (self._cases.names(index)[0], record["about"]["area_bin"])
            best = self._bins.setdefault(key, _Best(math.ceil(self._rows / 2)))
            dropped.add(best.offer(-_reversed_bits(index), index))
        self._delete(each for each in dropped if each is not None and not self._is_kept(each))

    def _is_kept(self, index: int) -> bool:
        return any(index in best for best in (self._failed, self._most, *self._bins.values())) or index in self._study

    def _delete(self, indices: Iterable[int]) -> None:
        if self._keep:
            return
        for index in indices:
            files = [picture_file(self._out, index, number) for number in range(len(self._labels))]
            with suppress(OSError):  # what somebody else put there stays
                for file in files:
                    file.unlink(missing_ok=True)
                files[0].parent.rmdir()

    def rows(self) -> list[int]:
        """The cases of the page, those that the methods disagree on most first."""
        order = list(self._most)
        taken = list(self._failed)[: self._rows]
        taken += [index for index in order if index not in taken][: max(0, math.ceil(self._rows / 2) - len(taken))]
        queues = [[index for index in self._bins[key] if index not in taken] for key in sorted(self._bins)]
        while any(queues) and len(taken) < self._rows:
            for queue in queues:
                if queue and len(taken) < self._rows:
                    taken.append(queue.pop(0))
        taken += [index for index in order if index not in taken][: max(0, self._rows - len(taken))]
        place = {index: number for number, index in enumerate(order)}
        return sorted(taken, key=lambda index: (place.get(index, len(place)), index))

    def lost(self, records: Mapping[int, Mapping[str, Any]]) -> list[int]:
        """Cases whose fills are to be shown and are not there any more."""
        missing = []
        for index in sorted({*self.rows(), *self._study}):
            done = [number for number, score in enumerate(records[index]["scores"]) if "error" not in score]
            if any(read_png(picture_file(self._out, index, number)) is None for number in done):
                missing.append(index)
        return missing

    def write_pages(self, report: dict[str, Any]) -> None:
        """The report's page, and that of the study where one was asked for; other fills are deleted."""
        from .page import write_page

        read = lru_cache(maxsize=4)(self._cases.__getitem__)

        def picture(index: int, what: str) -> Pixels | None:
            if what in self._labels:
                return read_png(picture_file(self._out, index, self._labels.index(what)))
            if report["cases"][index]["hole_ratio"] is None:
                return None
            case: Case = read(index)
            if what == "hole":
                return np.repeat(case.hole[..., None].astype(np.uint8) * np.uint8(255), 3, axis=2)
            return case.truth if what == "truth" else case.shown

        shown = self.rows()
        write_page(self._out / "report.html", report, picture, shown)
        if self._study:
            self._write_study(report)
        self._delete(index for index in range(len(self._cases)) if index not in shown and index not in self._study)

    def _write_study(self, report: Mapping[str, Any]) -> None:
        from .page.study import write_study

        items = []
        for index in self._study:
            if report["cases"][index]["hole_ratio"] is None:  # the photo cannot be read
                continue
            case = self._cases[index]
            fills = {label: read_png(picture_file(self._out, index, place)) for place, label in enumerate(self._labels)}
            found = {label: fill for label, fill in fills.items() if fill is not None}
            items.append((index, case.truth, case.hole, found))
        write_study(self._out / "study.html", self._out / "study-key.json", items, seed=self._seed)


def _reversed_bits(index: int) -> int:
    """The bits of a number, last first: in their order every beginning is spread over the whole."""
    return int(f"{index:032b}"[::-1], 2)
