"""Where training photos come from: folders, file lists and tar shards, decoded once and kept in memory."""

import hashlib
import re
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import DataError, PhotoError
from ..photo import decode_photo, in_8_bits

SUFFIXES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class PhotoFile:
    """One encoded photo: a file of its own, or `length` bytes at `offset` of a tar shard."""

    name: str
    path: Path
    offset: int = 0
    length: int = -1

    def read(self) -> bytes:
        """The encoded bytes."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


class Photos:
    """An indexed set of photos as uint8 (H, W, 3) RGB arrays, decoded at first use and then kept in memory.

    `short_side`: photos are shrunk to this short side when decoded (never enlarged), None keeps them whole.
    `cache_bytes`: once this much is kept, further photos are decoded at every use. Photos that cannot be decoded are
    skipped and recorded in `unreadable`. Threads may share one instance.
    """

    def __init__(
        self, files: Sequence[PhotoFile], *, short_side: int | None = None, cache_bytes: int = 6 * 2**30
    ) -> None:
        self.files = list(files)
        self.short_side = short_side
        self.cache_bytes = cache_bytes
        self.unreadable: dict[str, str] = {}
        self._skipped: set[int] = set()
        self._cache: dict[int, np.ndarray] = {}
        self._cached_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.files)

    def identity(self) -> dict[str, Any]:
        """What tells this set from another: the number of photos and a hash of their names in order."""
        names = "\n".join(file.name for file in self.files)
        return {"photos": len(self.files), "names_sha256": hashlib.sha256(names.encode()).hexdigest()}

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index`, or the next one that can be read. The array is shared: do not write to it.

        Raises: DataError if no photo can be read.
        """
        for candidate in range(index, index + len(self.files)):
            photo = self._load(candidate % len(self.files))
            if photo is not None:
                return photo
        first = next(iter(self.unreadable.items()))
        raise DataError(
            f"none of the {len(self.files)} photos can be read (first: {first[0]}: {first[1]}): give photos that open"
        )

    def _load(self, index: int) -> np.ndarray | None:
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        file = self.files[index]
        if index in self._skipped:
            return None
        try:
            photo = _shrink(_decode(_read_patiently(file), file.name), self.short_side)
        except (OSError, PhotoError) as error:
            with self._lock:
                if index in self._skipped:  # another thread was as quick
                    return None
                self._skipped.add(index)
                self.unreadable[str(file.path) if file.name in self.unreadable else file.name] = str(error)
            return None
        with self._lock:
            if index not in self._cache and self._cached_bytes + photo.nbytes <= self.cache_bytes:
                self._cache[index] = photo
                self._cached_bytes += photo.nbytes
        return photo


def _read_patiently(file: PhotoFile) -> bytes:
    """The file's bytes. A failing read is tried twice more: a photo that is skipped because a network folder stumbled
    for a moment would make a run that nobody can repeat."""
    for pause_s in (0.2, 1.0):
        try:
            return file.read()
        except FileNotFoundError:
            raise
        except OSError:
            time.sleep(pause_s)
    return file.read()


def _decode(data: bytes, name: str) -> np.ndarray:
    return in_8_bits(decode_photo(data, source=name).pixels)


def _shrink(photo: np.ndarray, short_side: int | None) -> np.ndarray:
    height, width = photo.shape[:2]
    if short_side is None or min(height, width) <= short_side:
        return photo
    scale = short_side / min(height, width)
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def open_photos(source: str, *, short_side: int | None = None, cache_bytes: int = 6 * 2**30) -> Photos:
    """Photos from a folder (searched recursively), a file list, a tar shard, or several by `{000..008}`, `*` or `,`.

    A file list (.txt or .flist) has one path a line, absolute or relative to the list's own folder. Photos are
    ordered by name within each part, so that the same data has the same order everywhere.

    Raises: DataError for a source that does not exist or holds no photo.
    """
    files: list[PhotoFile] = []
    for path in _paths_named(source):
        files.extend(_files_in(path))
    if not files:
        raise DataError(
            f"{source}: no photo found; expected {', '.join(sorted(SUFFIXES))} files in a folder, a list or a tar shard"
        )
    return Photos(files, short_side=short_side, cache_bytes=cache_bytes)


def _paths_named(source: str) -> list[Path]:
    """The files and folders that a source names. What exists under a name is meant literally, commas and all."""
    if source.strip() and Path(source).exists():
        return [Path(source)]
    paths: list[Path] = []
    for part in (part for group in source.split(",") for part in _expand_braces(group.strip())):
        if not part:
            raise DataError(f"'{source}': an empty name between the commas; give a folder, a list or tar shards")
        if Path(part).exists() or not any(c in part for c in "*?["):
            paths.append(Path(part))
            continue
        found = sorted(Path(match) for match in glob(part))
        if not found:
            raise DataError(f"{part}: no file has such a name; check the pattern")
        paths += found
    return paths


def _expand_braces(pattern: str) -> Iterator[str]:
    """`train-{000..002}.tar` as three names; other text as it is."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if not found:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        text = pattern[: found.start()] + str(number).zfill(len(first)) + pattern[found.end() :]
        yield from _expand_braces(text)


def _files_in(path: Path) -> list[PhotoFile]:
    if path.is_dir():
        photos = [p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
        found = sorted(photos, key=lambda p: p.relative_to(path).as_posix())  # the same order on every system
        if not found and any(path.glob("*.tar")):
            raise DataError(f"{path}: holds tar shards but no photos; name the shards, as in '{path / '*.tar'}'")
        return [PhotoFile(p.relative_to(path).as_posix(), p) for p in found]
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; give a folder of photos, a file list or tar shards")
    if path.suffix == ".tar":
        return _files_in_shard(path)
    if path.suffix in {".txt", ".flist"}:
        return _files_in_list(path)
    if path.suffix.lower() in SUFFIXES:
        return [PhotoFile(path.name, path)]
    raise DataError(f"{path}: expected a folder of photos, a .txt or .flist list, a photo or a .tar shard")


def _files_in_shard(path: Path) -> list[PhotoFile]:
    try:
        with tarfile.open(path, "r:") as archive:
            members = [m for m in archive if m.isfile() and Path(m.name).suffix.lower() in SUFFIXES]
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path}: not a whole tar file ({error}); expected an uncompressed tar shard") from error
    members = [m for m in members if ".mask." not in m.name]
    return [PhotoFile(f"{path.name}/{m.name}", path, m.offset_data, m.size) for m in members]


def _files_in_list(path: Path) -> list[PhotoFile]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text file ({error}); expected one photo's path a line") from error
    found = [PhotoFile(line, path.parent / line) for line in lines if line]
    missing = [file.name for file in found if not file.path.is_file()]
    if missing:
        raise DataError(f"{path}: {len(missing)} of {len(found)} listed photos do not exist, the first is {missing[0]}")
    return found
