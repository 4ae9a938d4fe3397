"""Items of a batch from file to file in one process: read, fill, write, with the three at work at the same time."""

import hashlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, InpaintError, MaskError, PhotoError, UsageError, unknown_name
from ..masks.annotations import is_annotations, read_annotations
from ..masks.grow import grow_mask
from ..masks.sources import Box, FoundMask, find_mask, growth_of
from ..photo import SUFFIXES, Photo, check_format, decode_photo, encode_photo, encoded_size, read_bytes, write_notes
from ..weights import CATALOGUE, bundled
from .budget import (
    BYTES_PER_WINDOW_PIXEL,
    BYTES_PER_WORKING_PIXEL,
    LEAST_WINDOW_PX,
    MASK_COPIES,
    PROCESS_BYTES,
    TORCH_PROCESS_BYTES,
    WINDOW_BYTES,
    check_photo,
)
from .classical import CLASSICAL
from .engines import Engine
from .inpainter import FillReport, Inpainter
from .journal import Entry, Stamp, replace_file, shared_stamp_of, stamp_of
from .memory import parse_memory
from .pairing import Item, is_no_file, is_special

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOGETHER = 8
"""Photos whose crops share the network's batches."""

GROUP_PIXELS = 16_000_000
"""Photos of so many pixels together are a group, however few they are: three groups are in memory at a time."""

_BYTES_PER_PIXEL = 24  # of a group that is read, filled or written: pixels, filled pixels, mask, encoded bytes
_OWN_BYTES = 150_000_000  # of the process that hands out a list of a hundred thousand photos
_WRITERS = 2
_WORKING_SIZE = 256  # of a network whose file nobody has opened yet
_BYTES_OF_LEAST_PHOTO = 1_000_000 * (2 * 3 + MASK_COPIES)  # a process that cannot fill one megapixel is of no use


@dataclass(frozen=True)
class Settings:
    """All that a process needs to fill the items of a batch as the others do; plain values.

    The first ones are those of `Inpainter`, the masks' those of `masks.sources.find_mask`, the output's those of
    `photo.encode_photo`. `threads` and `memory` are for all processes of a batch together. A mask of another size is
    resized, with a note, unless `resize` is False. `together` photos share the network's batches.
    """

    model: str = "default"
    engine: str = "auto"
    precision: str = "auto"
    grow: int | str = 0
    postprocess: str | None = None
    detail: str = "auto"
    grain: str = "auto"
    memory: int | str | None = None
    seed: int = 0
    threads: int | None = None
    boxes: tuple[Box, ...] = ()
    invert: bool = False
    tolerance: int | None = None
    labels: tuple[str, ...] = ()
    resize: bool = True
    quality: int | None = None
    subsampling: str | None = None
    together: int = TOGETHER

    @property
    def group_pixels(self) -> int:
        """Photos of so many pixels together are a group, and no more are read before they are filled."""
        if self.memory is None:
            return GROUP_PIXELS
        return min(GROUP_PIXELS, parse_memory(self.memory) // (4 * _BYTES_PER_PIXEL))

    def for_process(self, jobs: int, cores: int) -> "Settings":
        """The share of one of `jobs` processes; some memory is left to the one that hands out the work."""
        threads = max(1, (self.threads or cores) // jobs)
        memory = None if self.memory is None else max(parse_memory(self.memory) - _OWN_BYTES, 0) // jobs
        return replace(self, threads=threads, memory=memory)

    def jobs_within_memory(self, jobs: int) -> int:
        """So many of `jobs` processes have room under the memory ceiling for the model and a photo; one in any case.

        Raises UsageError where the ceiling has no room for one process with the smallest photo.
        """
        if self.memory is None:
            return jobs
        memory = parse_memory(self.memory)
        window = WINDOW_BYTES + BYTES_PER_WINDOW_PIXEL * LEAST_WINDOW_PX**2
        least = PROCESS_BYTES + window
        if memory < least:
            raise UsageError(
                f"--memory is {memory / 1e6:,.0f} MB, expected at least {least / 1e6:,.0f} MB, which one process takes "
                "for the smallest photo: raise it"
            )
        side = CLASSICAL[self.model].working_size if self.model in CLASSICAL else _WORKING_SIZE
        process = TORCH_PROCESS_BYTES if self.engine == "torch" else PROCESS_BYTES
        each = process + window + BYTES_PER_WORKING_PIXEL * (side or 0) ** 2 + _BYTES_OF_LEAST_PHOTO
        return min(jobs, max(1, (memory - _OWN_BYTES) // each))

    def open_inpainter(self, engine: Engine | None = None) -> Inpainter:
        """The Inpainter of these settings, with an engine that is open already if given. UsageError and ModelError."""
        return Inpainter(
            self.model if engine is None else engine,
            self.engine,
            precision=self.precision,
            grow=self.grow,
            postprocess=self.postprocess,
            detail=self.detail,
            grain=self.grain,
            memory=self.memory,
            seed=self.seed,
            threads=self.threads,
        )

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when a result would; threads and batches do not count."""
        values = asdict(self)
        for name in ("threads", "together"):
            del values[name]
        values["memory"] = None if self.memory is None else parse_memory(self.memory)
        values["grow"] = str(growth_of(self.grow))
        values["weights"] = _weights_digest(self.model)
        return _digest(values)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _weights_digest(model: str) -> str:
    """What tells one state of a model from another: the content of its file, or the names and times in its folder."""
    if model in CATALOGUE:
        entry = bundled(model)
        return entry.sha256[entry.onnx.name]
    path = Path(model)
    with suppress(OSError, ValueError):
        if path.is_file():
            beside = [stamp_of(file).sha256 for file in (path, path.with_suffix(".json")) if file.is_file()]
            return _digest(beside)
        if path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if file.suffix in (".safetensors", ".onnx", ".json")]
            return _digest([(str(file.relative_to(path)), file.stat().st_mtime_ns) for file in files])
    return model


def options_of(item: Item, fingerprint: str) -> str:
    """Settings and what the item has of its own, in sixteen hexadecimal digits."""
    spoken = item.mask if is_no_file(item.mask) else "file"
    if not item.boxes and item.grow is None and spoken == "file":
        return fingerprint
    return _digest([fingerprint, item.boxes, item.grow, spoken])


# ---- one item --------------------------------------------------------------------------------------------------------


@dataclass
class Sheet:
    """One item on its way: what was read of it, and what it came to."""

    index: int
    item: Item
    content: bytes = b""
    photo: Photo | None = None
    mask: "NDArray[Any] | None" = None
    opaque: bool = False
    notes: tuple[str, ...] = ()
    photo_file: Stamp | None = None
    mask_file: Stamp | None = None
    report: FillReport | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def pixels(self) -> int:
        """How many pixels the photo has."""
        return 0 if self.photo is None else self.photo.size[0] * self.photo.size[1]

    def entry(self, options: str, written: Stamp | None = None, *, unchanged: bool = False) -> Entry:
        """Its line in the journal."""
        return Entry(
            output=self.item.name,
            status="failed" if self.error is not None else "done",
            photo=self.item.photo,
            mask=self.item.mask,
            seconds=round(self.seconds, 4),
            error=self.error,
            notes=self.notes,
            written=written,
            photo_file=self.photo_file,
            mask_file=self.mask_file,
            options=options,
            unchanged=unchanged,
            ended=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )


def check_labels(items: Sequence[Item], settings: Settings) -> None:
    """Refuse labels that a COCO file which is the mask of all items does not have, before any work. UsageError."""
    shared = {item.mask for item in items}
    mask = shared.pop() if len(shared) == 1 else None
    if not settings.labels or mask is None or not _is_annotated(mask):
        return
    with suppress(MaskError):  # each photo tells what is wrong with it
        annotations = read_annotations(mask)
        for label in settings.labels if annotations.coco else ():
            if label not in annotations.labels:
                raise UsageError(f"mask '{mask}': {unknown_name('label', label, annotations.labels)}")


def _is_annotated(mask: str | None) -> bool:
    """Whether a mask is a file of annotations, by its name or its first bytes."""
    if mask is None or is_no_file(mask) or is_special(mask):
        return False
    if mask.lower().endswith(".json"):
        return True
    with suppress(OSError, ValueError), open(mask, "rb") as file:
        return is_annotations(file.read(1024))
    return False


def _found_mask(photo: Photo, item: Item, settings: Settings) -> FoundMask:
    """The mask of an item; a tolerance or labels that mean nothing for it are left out, with a note."""
    tolerance, labels, notes = settings.tolerance, settings.labels, list[str]()
    if tolerance is not None and not (is_no_file(item.mask) and ":" in (item.mask or "")):
        tolerance = None
        notes.append("the tolerance is for a marker colour and was left out for this mask")
    if labels and not _is_annotated(item.mask):
        labels = ()
        notes.append("the labels are for annotations and were left out for this mask")
    found = find_mask(
        photo,
        item.mask,
        boxes=(*settings.boxes, *item.boxes),
        invert=settings.invert,
        tolerance=tolerance,
        labels=labels,
        resize=settings.resize,
    )
    return replace(found, notes=(*notes, *found.notes))


def _refuse_special(path: str, error: type[InpaintError]) -> None:
    """Raise for a pipe, a socket or a device: reading it may never end."""
    if is_special(path):
        raise error(f"'{path}' is a pipe, a socket or a device, expected a file: name another")


def read_sheet(index: int, item: Item, settings: Settings) -> Sheet:
    """Read an item's photo and mask; what goes wrong is kept in `error`."""
    sheet, started = Sheet(index, item), time.perf_counter()
    try:
        if item.fault is not None:
            raise UsageError(item.fault)
        modified_ns = 0
        with suppress(OSError, ValueError):  # read_bytes tells what is wrong with it
            modified_ns = os.stat(item.photo).st_mtime_ns
        _refuse_special(item.photo, PhotoError)
        sheet.content = read_bytes(item.photo)
        digest = hashlib.sha256(sheet.content).hexdigest()
        sheet.photo_file = Stamp(len(sheet.content), modified_ns, digest)
        if item.mask is not None and not is_no_file(item.mask):
            _refuse_special(item.mask, MaskError)
            with suppress(OSError, ValueError):  # find_mask tells what is wrong with it
                sheet.mask_file = shared_stamp_of(item.mask)
        if settings.memory is not None:
            check_photo(parse_memory(settings.memory), encoded_size(sheet.content, source=item.photo))
        photo = replace(decode_photo(sheet.content, source=item.photo), source=Path(item.photo))
        found = _found_mask(photo, item, settings)
        filled = _opaque(photo, found.mask, item, settings) if found.opaque else photo
        check_format(filled, _format_of(item))
        sheet.photo, sheet.mask, sheet.opaque, sheet.notes = photo, found.mask, found.opaque, tuple(found.notes)
    except Exception as error:  # one photo's trouble is its own line, whatever it is
        sheet.error = explained(error)
    sheet.seconds = time.perf_counter() - started
    return sheet


def fill_sheets(
    inpainter: Inpainter, sheets: Sequence[Sheet], progress: Callable[[float], object] | None = None
) -> None:
    """Fill photos that were read, their crops in common batches: `photo` and `report`, or `error`, are set in each.

    Raises Cancelled, and nothing else: where the batch fails as a whole, every photo is tried on its own.
    """
    waiting = [sheet for sheet in sheets if sheet.error is None]
    pairs: list[Any] = [(sheet.photo, sheet.mask) for sheet in waiting]
    try:
        if len(waiting) > 1:
            _take(waiting, inpainter.fill_photos(pairs, together=len(pairs), progress=progress))
    except Cancelled:
        raise
    except Exception:  # whose it is shows below
        pass
    for sheet, pair in zip(waiting, pairs, strict=True):
        if sheet.report is None and sheet.error is None:
            try:
                _take([sheet], inpainter.fill_photos([pair], together=1, progress=progress))
            except Cancelled:
                raise
            except Exception as error:
                sheet.error = explained(error)


def _take(sheets: Sequence[Sheet], results: Iterator[tuple[Photo, FillReport] | InpaintError]) -> None:
    """Put results where they belong."""
    for sheet, result in zip(sheets, results, strict=True):
        if isinstance(result, InpaintError):
            sheet.error = explained(result)
        else:
            sheet.photo, sheet.report = result
            sheet.seconds += sheet.report.seconds


def write_sheet(sheet: Sheet, settings: Settings, options: str) -> Entry:
    """Write an item's result and say what became of it. Nothing is written for an item that failed before."""
    started, written, unchanged = time.perf_counter(), None, False
    try:
        if sheet.error is None:
            data, unchanged = _encoded(sheet, settings)
            written = replace_file(data, sheet.item)
    except Exception as error:
        reason = explained(error)
        if isinstance(error, OSError):
            reason = f"cannot write '{sheet.item.output}': {reason}: make room, or choose another folder"
        sheet.error = reason
    sheet.seconds += time.perf_counter() - started
    return sheet.entry(options, written, unchanged=unchanged)


def _encoded(sheet: Sheet, settings: Settings) -> tuple[bytes, bool]:
    """The result's bytes, and whether they are those of the photo's own file because nothing was missing in it."""
    photo, report, format = sheet.photo, sheet.report, _format_of(sheet.item)
    assert photo is not None
    assert report is not None
    assert sheet.mask is not None
    as_it_was = settings.quality is None and settings.subsampling is None and photo.format == format
    if report.hole_pixels == 0 and as_it_was:
        return sheet.content, True
    if sheet.opaque:
        photo = _opaque(photo, sheet.mask, sheet.item, settings)
    quality = None if format in _WITHOUT_QUALITY else settings.quality
    subsampling = settings.subsampling if format in _SUBSAMPLED else None
    sheet.notes = (*sheet.notes, *photo.notes, *write_notes(photo, format, subsampling=subsampling))
    return encode_photo(photo, format, quality=quality, subsampling=subsampling), False


def _opaque(photo: Photo, mask: "NDArray[Any]", item: Item, settings: Settings) -> Photo:
    """The photo, opaque wherever it is filled: in the mask as it was grown."""
    return photo.opaque_where(grow_mask(mask, settings.grow if item.grow is None else item.grow))


# Of a folder of photos of several formats, an option is for those that it means something to.
_WITHOUT_QUALITY = ("PNG", "TIFF")
_SUBSAMPLED = ("JPEG", "AVIF", "HEIF")


def _format_of(item: Item) -> str:
    return SUFFIXES[Path(item.name).suffix.lower()]


def explained(error: BaseException) -> str:
    """An error in one line, for the journal."""
    if isinstance(error, InpaintError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "not enough memory: fill it alone, or with --memory"
    elif isinstance(error, OSError):
        text = error.strerror or str(error) or type(error).__name__
    else:
        text = f"unexpected {type(error).__name__}: {error}"
    return " ".join(text.split())[:1000]


# ---- many items ------------------------------------------------------------------------------------------------------

Chunk = Sequence[tuple[int, Item]]
"""Items with their places in the list, to be filled together as far as they fit into memory."""


def read_groups(
    chunk: Chunk, settings: Settings, most_pixels: int, may_begin: Callable[[], bool] = lambda: True
) -> Iterator[list[Sheet]]:
    """The photos of a chunk, read, in groups that are filled together: of one growth, and closed at `most_pixels`.

    `may_begin` is asked before anything of a group is read; False ends it.
    """
    group: list[Sheet] = []
    for index, item in chunk:
        if group and (item.grow != group[0].item.grow or sum(sheet.pixels for sheet in group) >= most_pixels):
            yield group
            group = []
        if not group and not may_begin():
            return
        group.append(read_sheet(index, item, settings))
    if group:
        yield group


class Filler:
    """Fills groups with the Inpainter of their growth; the engine is shared."""

    def __init__(self, settings: Settings, inpainter: Inpainter) -> None:
        self._settings = settings
        self._inpainters: dict[str | None, Inpainter] = {None: inpainter}

    def fill(self, group: Sequence[Sheet], progress: Callable[[float], object] | None = None) -> None:
        """Fill what was read of a group. Raises Cancelled."""
        grow = group[0].item.grow
        if grow not in self._inpainters:
            given = replace(self._settings, grow=grow or 0)
            self._inpainters[grow] = given.open_inpainter(self._inpainters[None].engine)
        fill_sheets(self._inpainters[grow], group, progress)


class Pipeline:
    """Fills chunks of items as they are put in; while a group is filled, the next is read and the last is written.

    `report` is called, from several threads, with an item's place in the list and its entry, when its result is written
    or it has failed. At most three groups are in memory. `broken` is called with an error that is no item's. Setting
    `stopping` is the same as `abandon`.
    """

    def __init__(
        self,
        inpainter: Inpainter,
        settings: Settings,
        fingerprint: str,
        report: Callable[[int, Entry], None],
        broken: Callable[[BaseException], None],
        stopping: threading.Event | None = None,
    ) -> None:
        self._settings, self._fingerprint = settings, fingerprint
        self._filler = Filler(settings, inpainter)
        self._report, self._broken = report, broken
        self._group_pixels = settings.group_pixels
        self._overlap = settings.memory is None
        self._chunks: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._groups: queue.SimpleQueue[list[Sheet] | None] = queue.SimpleQueue()
        self._may_read = threading.Semaphore(1)
        self._stopping = threading.Event() if stopping is None else stopping
        self._writers = ThreadPoolExecutor(_WRITERS, "write")
        self._threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in self._work()]
        for thread in self._threads:
            thread.start()

    def _work(self) -> tuple[Callable[[], None], ...]:
        return self._read, self._fill

    def put(self, chunk: Chunk) -> None:
        """Add items; returns at once."""
        self._chunks.put(chunk)

    def finish(self) -> None:
        """Wait until all that was put in is written and reported."""
        self._chunks.put(None)
        for thread in self._threads:
            thread.join()
        self._writers.shutdown(wait=True)

    def abandon(self) -> None:
        """Drop what is not being written yet, without a report; returns at once, and `finish` soon after it."""
        self._stopping.set()

    def _guarded(self, work: Callable[[], None]) -> None:
        """A defect of ours in a thread must not leave the others waiting for ever."""
        try:
            work()
        except Cancelled:
            self._may_read.release()
        except BaseException as error:
            self._stopping.set()
            self._may_read.release()
            self._broken(error)

    def _read(self) -> None:
        """Read chunk after chunk, one group ahead of what is filled."""
        try:
            while (chunk := self._chunks.get()) is not None:
                for group in read_groups(chunk, self._settings, self._group_pixels, self._may_begin):
                    self._groups.put(group)
                    if self._stopping.is_set():
                        return
        finally:
            self._groups.put(None)

    def _may_begin(self) -> bool:
        """Wait until there is room for another group; False when no more is wanted."""
        self._may_read.acquire()
        return not self._stopping.is_set()

    def _fill(self) -> None:
        """Fill group after group, and hand each to the writers when the one before it is written."""
        writing: list[Future[None]] = []
        while (group := self._groups.get()) is not None:
            if self._overlap or self._stopping.is_set():
                self._may_read.release()
            if self._stopping.is_set():
                continue
            self._filler.fill(group, lambda _: not self._stopping.is_set())
            wait(writing)
            writing = [self._writers.submit(self._write, sheet) for sheet in group]
            del group
            if not self._overlap:
                wait(writing)
                self._may_read.release()

    def _write(self, sheet: Sheet) -> None:
        try:
            entry = write_sheet(sheet, self._settings, options_of(sheet.item, self._fingerprint))
            self._report(sheet.index, entry)
        except BaseException as error:
            self._broken(error)
        finally:
            sheet.photo = sheet.mask = None
            sheet.content = b""
