"""What a comparison has measured so far: one JSON line per case, so that a run killed at any moment can go on."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import DataError, UsageError

JOURNAL = "journal.jsonl"
"""The journal's name in the folder of a report."""


class Journal:
    """The lines of a comparison: first what it depends on, then one record per case.

    A line that was cut off is dropped when the journal is opened again. A context manager, which closes the file.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Open the journal, with the records of an earlier run where `resume`.

        Raises UsageError where the earlier run had other settings: its numbers would not belong to these.
        """
        self.records: dict[int, dict[str, Any]] = {}
        lines = _whole_lines(path) if resume else []
        header = {"settings": dict(settings)}
        if lines:
            _check_same(lines[0], header, path)
            self.records = {record["case"]: record for record in lines[1:] if "case" in record}
        self._seconds_before = sum(_session_lengths(lines[1:]))
        self._at = 0.0
        partial = path.with_name(path.name + ".part")
        try:
            kept = [header, *lines[1:], {"session": "begins"}]
            partial.write_text("".join(_line(each) for each in kept), encoding="utf-8")
            partial.replace(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise DataError(
                f"'{path}' cannot be written ({error.strerror or error}), expected a folder with room that you may "
                "write to: give another --out"
            ) from error

    def append(self, record: dict[str, Any]) -> None:
        """Keep what was measured of one case; it must have `case`, its number, and `at`, seconds since the start."""
        self._file.write(_line(record))
        self._file.flush()
        self.records[record["case"]] = record
        self._at = record["at"]

    @property
    def seconds(self) -> float:
        """How long scoring took in this and earlier runs, to the last record of each."""
        return self._seconds_before + self._at

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal up to the first that is damaged; none where there is no journal. Raises DataError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror or error}): it is needed to resume") from error
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        found.append(record)
    return found


def _session_lengths(records: list[dict[str, Any]]) -> list[float]:
    """How long each earlier run worked, as far as it is known: until its last record."""
    lengths, last = [], 0.0
    for record in records:
        if "session" in record:
            lengths.append(last)
            last = 0.0
        last = max(last, float(record.get("at", 0.0)))
    return [*lengths, last]


def _check_same(found: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    """Raises UsageError where the two first lines differ, and names what differs."""
    before = found.get("settings")
    now = json.loads(_line(wanted))["settings"]
    if before == now:
        return
    if not isinstance(before, dict):
        raise DataError(f"'{path}' is damaged, expected the settings in its first line: begin anew in another --out")
    other = [name for name in now if before.get(name) != now[name]] or ["settings"]
    raise UsageError(
        f"'{path.parent}' holds a comparison with other {' and '.join(name.replace('_', ' ') for name in other)}: "
        "resume with what it was begun with, or give another --out"
    )
