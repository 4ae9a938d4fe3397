"""Photos x masks: which photo is filled with which hole, fixed by names alone, and how both come to one size."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..data.photos import PhotoFile, open_photos
from ..errors import DataError, InpaintError, MaskError, UsageError
from ..masks import as_mask, decode_mask
from ..masks.benchmark import MASK_SETS, draw_set
from ..photo import decode_photo, encoded_size
from .removal import removal_case

Pixels = NDArray[np.uint8]
Hole = NDArray[np.bool_]

PAIRING = (
    "photos and masks are each sorted by name; photo i is filled with mask i mod (number of masks); short side of the "
    "photo to the size by Pillow's Lanczos filter, centre crop; masks to the size by nearest neighbour"
)
PAIRING_AS_THEY_ARE = (
    "photos and masks are each sorted by name; photo i is filled with mask i mod (number of masks); nothing is resized"
)
REMOVAL = "removal"
"""The group whose photos have an object pasted on them; see `removal.py`."""

DONORS = 4
"""Other photos that an object may be cut out of."""


@dataclass(frozen=True, eq=False)
class Case:
    """One photo with its hole: `truth` and `shown` (H, W, 3) uint8, `hole` (H, W), True = missing.

    `shown` is what a method is given: the truth, or the truth with an object on it.
    """

    index: int
    group: str
    name: str
    mask_name: str
    truth: Pixels
    shown: Pixels
    hole: Hole


@dataclass(frozen=True)
class Group:
    """Masks that are reported together: files, a fixed set, or (neither) the removal set."""

    name: str
    files: tuple[PhotoFile, ...] = ()
    set_name: str | None = None
    sha256: str | None = None

    def __len__(self) -> int:
        return len(self.files) or (MASK_SETS[self.set_name].count if self.set_name else 0)


@dataclass
class Cases:
    """All cases of a comparison, in the order of the report: group after group, photos sorted by name.

    Small enough to be sent to worker processes; a case is read and brought to size when it is asked for. `size` None
    leaves photos and masks as they are.
    """

    photos: list[PhotoFile]
    groups: list[Group]
    size: int | None
    seed: int = 0
    entries: list[tuple[int, int, int]] = field(default_factory=list)
    """Number of the group, of the photo and of the mask in its group."""

    left_out: dict[str, list[str]] = field(default_factory=dict)
    """By group: photos whose mask is empty at this size."""

    images_sha256: str = ""

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Case:
        """Case `index`, read from disk. Raises DataError."""
        group_number, photo_number, mask_number = self.entries[index]
        group = self.groups[group_number]
        truth = self._truth(photo_number)
        name = self.photos[photo_number].name
        if not len(group):
            rng = np.random.default_rng([self.seed, photo_number])
            shown, hole = removal_case(truth, self._donors(photo_number), rng)
            return Case(index, group.name, name, f"object {photo_number}", truth, shown, hole)
        mask_name, hole = self._mask(group_number, mask_number)
        if hole.shape != truth.shape[:2]:
            raise DataError(
                f"photo '{name}' is {truth.shape[0]} x {truth.shape[1]} and its mask '{mask_name}' {hole.shape[0]} x "
                f"{hole.shape[1]}: give masks of the photos' size, or --size to bring both to one"
            )
        return Case(index, group.name, name, mask_name, truth, truth, hole)

    def names(self, index: int) -> tuple[str, str, str]:
        """Group, photo and mask of a case, without reading a file."""
        group_number, photo_number, mask_number = self.entries[index]
        group = self.groups[group_number]
        if not len(group):
            return group.name, self.photos[photo_number].name, f"object {photo_number}"
        return group.name, self.photos[photo_number].name, self._mask_name(group, mask_number)

    def _mask_name(self, group: Group, number: int) -> str:
        return group.files[number].name if group.files else self._drawn[group.name][number][0]

    def _truth(self, number: int) -> Pixels:
        file = self.photos[number]
        try:
            pixels = _eight_bits(decode_photo(file.read(), source=file.name).pixels)
        except OSError as error:
            raise DataError(f"photo '{file.name}' cannot be read ({error.strerror or error})") from error
        return pixels if self.size is None else crop_photo(pixels, self.size)

    def _donors(self, number: int) -> list[Pixels]:
        """The next photos that can be read, which an object may be cut out of. Raises DataError where there is none."""
        donors: list[Pixels] = []
        for step in range(1, len(self.photos)):
            with suppress(InpaintError):
                donors.append(self._truth((number + step) % len(self.photos)))
            if len(donors) == DONORS:
                break
        if not donors:
            raise DataError(
                f"no photo beside '{self.photos[number].name}' can be read, expected one to cut objects from"
            )
        return donors

    def _mask(self, group_number: int, number: int) -> tuple[str, Hole]:
        group = self.groups[group_number]
        if group.files:
            file = group.files[number]
            name, mask = file.name, as_mask(decode_mask(file.read(), source=file.name))
        else:
            name, mask = self._drawn[group.name][number]
        return name, mask if self.size is None else resize_mask(mask, self.size)

    @cached_property
    def _drawn(self) -> dict[str, list[tuple[str, Hole]]]:
        """The masks of the fixed sets, drawn once in each process."""
        return {group.name: list(draw_set(group.set_name)) for group in self.groups if group.set_name}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_drawn"}


def plan_cases(
    images: str,
    masks: Mapping[str, str],
    *,
    size: int | None = 256,
    limit: int | None = None,
    seed: int = 0,
    reading: Callable[[float], object] | None = None,
) -> Cases:
    """Pair photos with masks, by names alone.

    `images` is a folder (searched recursively), a tar or a list of files; `masks` maps each group's name to one of
    these, to the name of a fixed set (`MASK_SETS`), or to "removal". Every photo stands once in each group. `limit`
    takes the first photos. `reading` is told the share of the photos that are read: all are hashed.

    Raises DataError for a source without photos or masks, for names that stand twice, and where a photo and its mask
    differ in size and `size` is None.
    """
    photos = _sorted_by_name(open_photos(images).files, images)[:limit]
    groups = [_group(name, source) for name, source in masks.items()]
    if any(not len(group) for group in groups) and len(photos) < 2:
        raise DataError(f"'{images}' holds one photo, expected two or more: removal cuts its objects out of the others")
    cases = Cases(photos, groups, size, seed)
    sizes: list[tuple[int, int]] | None = [] if size is None else None
    cases.images_sha256 = _digest(photos, sizes, reading)
    for group_number, group in enumerate(groups):
        usable, shapes = _usable_masks(cases, group_number, group)
        left_out = cases.left_out.setdefault(group.name, [])
        for photo_number, photo in enumerate(photos):
            mask_number = photo_number % max(1, len(group))
            if not usable[mask_number]:
                left_out.append(photo.name)
                continue
            if sizes is not None and len(group) and sizes[photo_number] != shapes[mask_number]:
                raise DataError(
                    f"photo '{photo.name}' is {_by(sizes[photo_number])} and its mask "
                    f"'{cases._mask_name(group, mask_number)}' {_by(shapes[mask_number])}: give masks of the photos' "
                    "size, or --size to bring both to one"
                )
            cases.entries.append((group_number, photo_number, mask_number))
    if not cases.entries:
        raise DataError(f"the masks '{', '.join(masks)}' are empty at this size: there is nothing to fill")
    return cases


def named_groups(sources: Sequence[str]) -> dict[str, str]:
    """Masks by the name that a report calls them: the last part of the path, where that tells them apart.

    Raises UsageError for a source that is given twice, and for none.
    """
    if not sources:
        raise UsageError("--masks names nothing, expected a fixed set (inpaintkit masks list), a folder or a tar")
    if twice := {source for source in sources if list(sources).count(source) > 1}:
        raise UsageError(f"masks '{twice.pop()}' are given twice: give each set once")
    short = [source if source in MASK_SETS else Path(source).name or source for source in sources]
    return {source if short.count(name) > 1 else name: source for name, source in zip(short, sources, strict=True)}


def _group(name: str, source: str) -> Group:
    """The masks that a fixed set's name or a path stands for. Raises DataError."""
    if source == REMOVAL:
        return Group(name)
    if source in MASK_SETS:
        return Group(name, set_name=source, sha256=MASK_SETS[source].sha256)
    try:
        files = _sorted_by_name(open_photos(source).files, source)
    except DataError as error:
        if Path(source).exists() or any(mark in source for mark in "/\\,*{"):
            raise DataError(str(error).replace("photo found", "mask found")) from error
        raise UsageError(
            f"masks '{source}' are neither a folder or tar nor a fixed set: valid sets are {', '.join(MASK_SETS)}, "
            f"and {REMOVAL}"
        ) from error
    return Group(name, tuple(files), sha256=_digest(files, None, None))


def _sorted_by_name(files: Sequence[PhotoFile], source: str) -> list[PhotoFile]:
    """Files in the order of their names. Raises DataError for two of one name."""
    ordered = sorted(files, key=lambda file: file.name)
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise DataError(f"'{source}' has '{after.name}' twice: rename one, since results are told apart by name")
    return ordered


def _digest(
    files: Sequence[PhotoFile], sizes: list[tuple[int, int]] | None, told: Callable[[float], object] | None
) -> str:
    """SHA-256 over names and contents in order; `sizes` is given the pictures' heights and widths. Raises DataError."""
    digest = hashlib.sha256()
    for number, file in enumerate(files):
        try:
            data = file.read()
        except OSError as error:
            raise DataError(f"'{file.name}' cannot be read ({error.strerror or error})") from error
        digest.update(f"{file.name}\0{hashlib.sha256(data).hexdigest()}\n".encode("utf-8", "surrogateescape"))
        if sizes is not None:
            sizes.append(encoded_size(data, source=file.name))
        if told is not None:
            told((number + 1) / len(files))
    return digest.hexdigest()


def _usable_masks(cases: Cases, group_number: int, group: Group) -> tuple[list[bool], list[tuple[int, int]]]:
    """For every mask of a group whether anything is missing at this size, and its height and width."""
    if not len(group):
        return [True], [(0, 0)]
    usable, shapes = [], []
    for number in range(len(group)):
        try:
            _, hole = cases._mask(group_number, number)
        except InpaintError as error:
            raise MaskError(f"masks '{group.name}': {error}") from error
        usable.append(bool(hole.any()))
        shapes.append((hole.shape[0], hole.shape[1]))
    return usable, shapes


def crop_photo(pixels: Pixels, size: int) -> Pixels:
    """The photo's short side at `size` by Lanczos, and its centre square: (size, size, 3) uint8."""
    height, width = pixels.shape[:2]
    scale = size / min(height, width)
    scaled = (max(size, round(width * scale)), max(size, round(height * scale)))
    image = Image.fromarray(pixels).resize(scaled, Image.Resampling.LANCZOS)
    left, top = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def resize_mask(mask: Hole, size: int) -> Hole:
    """The mask at (size, size) by nearest neighbour."""
    if mask.shape == (size, size):
        return mask
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST)) > 0


def _eight_bits(pixels: NDArray[Any]) -> Pixels:
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
