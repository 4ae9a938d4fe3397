"""What a batch has done: a journal of one JSON line per item, written so that a run killed at any moment can go on.

A line is appended when its result lies whole under its final name, and synced before the next photo is reported. A line
that was cut off is dropped when the journal is opened again. The last line of a result counts.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import PhotoError
from .pairing import JOURNALS, Item, is_no_file, item_key, shard_of

JOURNAL = "inpaintkit-journal.jsonl"
"""The journal's name in the folder of results; of shard 2 of 8 it is inpaintkit-journal-2-of-8.jsonl."""

_NO_ENTRY = (ValueError, KeyError, TypeError, RecursionError)
_PART = re.compile(r"\.([0-9a-f]{16})-[0-9a-f]{8}\.part", re.ASCII)
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file as it was: size, time of its last change in nanoseconds, and the SHA-256 of its content."""

    bytes: int
    modified_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal.

    `output` is the result's name in the folder of the journal; `status` is "done" or "failed". `written` is the result
    as it was written, `photo_file` and `mask_file` the inputs as they were read (None: not read, or no file). `options`
    stands for all settings that the result depends on. `seconds` were spent on this item.
    """

    output: str
    status: str
    photo: str
    mask: str | None
    seconds: float = 0.0
    error: str | None = None
    notes: tuple[str, ...] = ()
    written: Stamp | None = None
    photo_file: Stamp | None = None
    mask_file: Stamp | None = None
    options: str = ""
    unchanged: bool = False
    ended: str = ""

    def to_line(self) -> bytes:
        """The entry as one line, line break included; letters beyond ASCII are escaped, so any file name can stand."""
        return json.dumps(asdict(self), separators=(",", ":")).encode("ascii") + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> "Entry":
        """The entry of a line. Raises one of `_NO_ENTRY` for a line that is none."""
        values: dict[str, Any] = json.loads(line)
        known = {name: values[name] for name in cls.__slots__ if name in values}
        for name in ("written", "photo_file", "mask_file"):
            known[name] = None if known.get(name) is None else Stamp(**known[name])
        known["notes"] = tuple(known.get("notes", ()))
        if known["status"] not in ("done", "failed") or not isinstance(known["output"], str):
            raise ValueError("no entry of a journal")
        return cls(**known)


def journal_file(output: str | Path, part: str | None = None) -> Path:
    """Where the journal of a batch lies: in the folder of results; with `part`, that of shard "i/n". UsageError."""
    if part is None:
        return Path(output) / JOURNAL
    number, count = shard_of(part)
    return Path(output) / f"{Path(JOURNAL).stem}-{number}-of-{count}.jsonl"


class Journal:
    """A journal that is being written. Only one process writes it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - open as long as the batch runs
            _drop_torn_line(self.path)
        except (OSError, ValueError) as error:
            raise self._unwritable(error) from error

    def append(self, entries: Sequence[Entry]) -> None:
        """Add whole lines and sync them. Raises PhotoError when the disk does not take them."""
        data = memoryview(b"".join(entry.to_line() for entry in entries))
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> PhotoError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return PhotoError(
            f"cannot write the journal '{self.path}': {reason}, expected a writable folder with free space: choose "
            "another folder, or make room and run again with --resume"
        )

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def _drop_torn_line(path: Path) -> None:
    """Cut off what a killed process left of its last line."""
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        keep = end
        while keep > 0:
            start = max(keep - _PIECE, 0)
            file.seek(start)
            newline = file.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < end:
            file.truncate(keep)
            os.fsync(file.fileno())


class JournalIndex:
    """The last entry of every result in all journals of a folder, those of shards included; it holds places, not lines.

    Lines that are no entries (cut off, or somebody's own) are passed over.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            self.paths = sorted(path for path in Path(folder).glob(JOURNALS) if path.is_file())
        except (OSError, ValueError):
            self.paths = []
        self._files: list[Any] = []
        self._places: dict[str, tuple[int, int]] = {}
        ended: dict[str, str] = {}
        for number, path in enumerate(self.paths):
            try:
                file = open(path, "rb")  # noqa: SIM115 - closed by __exit__
            except OSError as error:
                raise PhotoError(
                    f"cannot read the journal '{path}': {error.strerror}: check its permissions, or remove it"
                ) from error
            self._files.append(file)
            place = 0
            for line in file:
                with suppress(*_NO_ENTRY):
                    values = json.loads(line)
                    name, end = values["output"], values["ended"]
                    if len(self.paths) == 1:
                        self._places[name] = number, place
                    elif end >= ended.get(name, ""):
                        self._places[name], ended[name] = (number, place), end
                place += len(line)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def entry(self, name: str) -> Entry | None:
        """What was last written about a result."""
        if name not in self._places:
            return None
        number, place = self._places[name]
        file = self._files[number]
        file.seek(place)
        with suppress(*_NO_ENTRY):
            return Entry.of_line(file.readline())
        return None

    def __enter__(self) -> "JournalIndex":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in self._files:
            file.close()


# ---- files as they were ----------------------------------------------------------------------------------------------


def stamp_of(path: str | Path) -> Stamp:
    """A file as it is now. Raises OSError."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            digest.update(piece)
    return Stamp(status.st_size, status.st_mtime_ns, digest.hexdigest())


@lru_cache(maxsize=256)
def _digest_kept(path: str, size: int, modified_ns: int) -> str:
    return stamp_of(path).sha256


def shared_stamp_of(path: str) -> Stamp:
    """`stamp_of` for a file that many items share: it is read again only when it has changed. Raises OSError."""
    status = os.stat(path)
    return Stamp(status.st_size, status.st_mtime_ns, _digest_kept(path, status.st_size, status.st_mtime_ns))


def is_as_it_was(path: str, stamp: Stamp | None) -> bool:
    """Whether a file is still what its stamp says; it is read only where its size is right and its time is another."""
    if stamp is None:
        return False
    try:
        status = os.stat(path)
        if status.st_size != stamp.bytes:
            return False
        return status.st_mtime_ns == stamp.modified_ns or shared_stamp_of(path).sha256 == stamp.sha256
    except (OSError, ValueError):
        return False


def is_whole(entry: Entry | None, item: Item, options: str) -> bool:
    """Whether a result need not be made again: it is there as it was written, from these inputs and settings."""
    if entry is None or entry.status != "done" or entry.options != options or item.fault is not None:
        return False
    if not is_as_it_was(item.output, entry.written) or not is_as_it_was(item.photo, entry.photo_file):
        return False
    if item.mask is None or is_no_file(item.mask):
        return entry.mask_file is None
    return is_as_it_was(item.mask, entry.mask_file)


# ---- writing results -------------------------------------------------------------------------------------------------


def replace_file(data: bytes, item: Item) -> Stamp:
    """Write a result whole or not at all, its folder made where it is missing. Raises OSError.

    The temporary name beside it tells whose it is, so that `remove_parts` finds what a killed process left.
    """
    folder = os.path.dirname(item.output)
    os.makedirs(folder, exist_ok=True)
    part = os.path.join(folder, f".{item_key(item.name)}-{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, item.output)
    finally:
        with suppress(OSError):
            os.unlink(part)
    status = os.stat(item.output)
    return Stamp(len(data), status.st_mtime_ns, hashlib.sha256(data).hexdigest())


def remove_parts(items: Iterable[Item], folders: Iterable[str]) -> int:
    """Remove the temporary files that a killed run left of these items; returns how many there were.

    Those of other items stay: another shard may be writing them.
    """
    found: dict[str, list[str]] = {}
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                named = _PART.fullmatch(entry.name)
                if named:
                    found.setdefault(named[1], []).append(entry.path)
    removed = 0
    for item in items if found else ():
        for path in found.pop(item_key(item.name), ()):
            with suppress(OSError):
                os.unlink(path)
                removed += 1
    return removed
