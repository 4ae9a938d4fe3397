"""Photos x masks: which photo is filled with which hole, fixed by names alone, and how both come to one size."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
from ..photo import decode_photo, encoded_size, in_8_bits
from .metrics.pixel import Hole, Pixels
from .removal import removal_case

Shape = tuple[int, int]

PAIRING = (
    "photos and masks are each sorted by name; photo i is filled with mask i mod (number of masks); short side of the "
    "photo to the size by Pillow's Lanczos filter, centre crop; masks to the size by nearest neighbour, those of their "
    "photo's own shape cropped with it"
)
PAIRING_AS_THEY_ARE = (
    "photos and masks are each sorted by name; photo i is filled with mask i mod (number of masks); nothing is resized"
)
REMOVAL = "removal"
"""The masks whose photos have an object pasted on them; see `removal.py`."""

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
    leaves photos and masks as they are. Of `photos` the first `count` are filled; objects are cut out of all.
    """

    photos: list[PhotoFile]
    groups: list[Group]
    size: int | None
    seed: int = 0
    count: int = 0
    entries: list[tuple[int, int, int]] = field(default_factory=list)
    """Number of the group, of the photo and of the mask in its group."""

    left_out: dict[str, list[str]] = field(default_factory=dict)
    """By group: photos of which nothing is missing at this size."""

    images_sha256: str = ""

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Case:
        """Case `index`, read from disk. Raises DataError and PhotoError."""
        if not 0 <= index < len(self.entries):
            raise IndexError(index)
        group_number, photo_number, mask_number = self.entries[index]
        group = self.groups[group_number]
        name = self.photos[photo_number].name
        truth, shape = self._truth(photo_number)
        if not len(group):
            rng = np.random.default_rng([self.seed, photo_number])
            shown, hole = removal_case(truth, self._donors(photo_number), rng)
            return Case(index, group.name, name, f"object {photo_number}", truth, shown, hole)
        mask_name, mask = self._mask(group_number, mask_number)
        with _naming(name, mask_name):
            hole = fit_hole(mask, shape, self.size)
        return Case(index, group.name, name, mask_name, truth, truth, hole)

    def names(self, index: int) -> tuple[str, str, str]:
        """Group, photo and mask of a case, without reading a file."""
        group_number, photo_number, mask_number = self.entries[index]
        group, photo = self.groups[group_number], self.photos[photo_number].name
        if not len(group):
            return group.name, photo, f"object {photo_number}"
        return group.name, photo, self._mask_name(group, mask_number)

    def is_removal(self, index: int) -> bool:
        """Whether the case shows an object that its truth lacks."""
        return not len(self.groups[self.entries[index][0]])

    def _mask_name(self, group: Group, number: int) -> str:
        return group.files[number].name if group.files else self._drawn[group.name][number][0]

    def _truth(self, number: int) -> tuple[Pixels, Shape]:
        """A photo at the size, and its own height and width."""
        file = self.photos[number]
        pixels = in_8_bits(decode_photo(_read(file), source=file.name).pixels)
        shape = (pixels.shape[0], pixels.shape[1])
        return (pixels if self.size is None else crop_photo(pixels, self.size)), shape

    def _donors(self, number: int) -> list[Pixels]:
        """The next photos that can be read, which an object may be cut out of. Raises DataError where there is none."""
        donors: list[Pixels] = []
        for step in range(1, len(self.photos)):
            with suppress(InpaintError):
                donors.append(self._truth((number + step) % len(self.photos))[0])
            if len(donors) == DONORS:
                break
        if not donors:
            raise DataError(
                f"no photo beside '{self.photos[number].name}' can be read, expected one to cut objects from"
            )
        return donors

    def _mask(self, group_number: int, number: int) -> tuple[str, Hole]:
        """A mask's name, and the mask as it is."""
        group = self.groups[group_number]
        if not group.files:
            return self._drawn[group.name][number]
        file = group.files[number]
        return file.name, as_mask(decode_mask(_read(file), source=file.name))

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

    Raises DataError for a source without photos or masks, for names that stand twice, and for masks that do not fit
    their photos.
    """
    photos = _sorted_by_name(open_photos(images).files, images)
    groups = [_group(name, source, size) for name, source in masks.items()]
    count = len(photos) if limit is None else min(limit, len(photos))
    if any(not len(group) for group in groups) and len(photos) < 2:
        raise DataError(f"'{images}' holds one photo, expected two or more: removal cuts its objects out of the others")
    cases = Cases(photos, groups, size, seed, count)
    cases.images_sha256, shapes = _digest(photos[:count], reading, shapes=True)
    for group_number, group in enumerate(groups):
        _pair(cases, group_number, group, shapes)
    if not cases.entries:
        raise DataError(
            f"under the masks '{', '.join(masks.values())}' nothing of any photo is missing at this size, so there is "
            "nothing to fill: give other masks"
        )
    return cases


def _pair(cases: Cases, group_number: int, group: Group, shapes: Sequence[Shape | None]) -> None:
    """The entries of one group. Raises DataError for a mask that cannot be read or does not fit."""
    left_out = cases.left_out.setdefault(group.name, [])
    of_squares: dict[int, bool] = {}
    for photo_number, shape in enumerate(shapes):
        mask_number = photo_number % max(1, len(group))
        if len(group) and not _has_hole(cases, group_number, (photo_number, mask_number), shape, of_squares):
            left_out.append(cases.photos[photo_number].name)
        else:
            cases.entries.append((group_number, photo_number, mask_number))


def _has_hole(
    cases: Cases, group_number: int, pair: tuple[int, int], shape: Shape | None, of_squares: dict[int, bool]
) -> bool:
    """Whether a mask hides anything of its photo at the size. Square masks do or do not, whatever the photo's shape."""
    photo_number, mask_number = pair
    if mask_number in of_squares:
        return of_squares[mask_number]
    if shape is None:  # the photo cannot be read, which is told when its turn comes
        return True
    name, mask = _readable(cases, group_number, mask_number)
    with _naming(cases.photos[photo_number].name, name):
        found = bool(fit_hole(mask, shape, cases.size).any())
    if cases.size is not None and mask.shape[0] == mask.shape[1]:
        of_squares[mask_number] = found
    return found


def _readable(cases: Cases, group_number: int, number: int) -> tuple[str, Hole]:
    try:
        return cases._mask(group_number, number)
    except InpaintError as error:
        raise MaskError(f"masks '{cases.groups[group_number].name}': {error}") from error


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


def _group(name: str, source: str, size: int | None) -> Group:
    """The masks that a fixed set's name or a path stands for. Raises DataError and UsageError."""
    if source in (REMOVAL, *MASK_SETS) and Path(source).exists():
        raise UsageError(
            f"masks '{source}' are a fixed set, and something here has that name too: write ./{source} for the latter, "
            "or give it another name"
        )
    if source == REMOVAL:
        return Group(name)
    if source in MASK_SETS:
        known = MASK_SETS[source]
        resized = f"{name}, resized to {size}" if size not in (None, known.size) else name
        return Group(resized, set_name=source, sha256=known.sha256)
    try:
        files = _sorted_by_name(open_photos(source).files, source)
    except DataError as error:
        if Path(source).exists() or any(mark in source for mark in "/\\,*{"):
            raise DataError(str(error).replace("photo found", "mask found")) from error
        raise UsageError(
            f"masks '{source}' are neither a folder or tar nor a fixed set: valid sets are {', '.join(MASK_SETS)}, "
            f"and {REMOVAL}"
        ) from error
    return Group(name, tuple(files), sha256=_digest(files, None)[0])


def _sorted_by_name(files: Sequence[PhotoFile], source: str) -> list[PhotoFile]:
    """Files in the order of their names. Raises DataError for two of one name."""
    ordered = sorted(files, key=lambda file: file.name)
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise DataError(f"'{source}' has '{after.name}' twice: rename one, since results are told apart by name")
    return ordered


def _digest(
    files: Sequence[PhotoFile], told: Callable[[float], object] | None, *, shapes: bool = False
) -> tuple[str, list[Shape | None]]:
    """SHA-256 over names and contents in order, and with `shapes` the pictures' heights and widths (None: unreadable).

    A file of a tar counts by its name in there, so that a folder and its tar have one digest. Raises DataError.
    """
    digest = hashlib.sha256()
    found: list[Shape | None] = []
    for number, file in enumerate(files):
        data = _read(file)
        name = file.name.removeprefix(f"{file.path.name}/") if file.length >= 0 else file.name
        digest.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode("utf-8", "surrogateescape"))
        if shapes:
            found.append(None)
            with suppress(InpaintError):
                found[-1] = encoded_size(data, source=file.name)
        if told is not None:
            told((number + 1) / len(files))
    return digest.hexdigest(), found


def _read(file: PhotoFile) -> bytes:
    try:
        return file.read()
    except OSError as error:
        raise DataError(
            f"'{file.name}' cannot be read ({error.strerror or error}): put it back, or leave it out"
        ) from error


# --- Sizes -----------------------------------------------------------------------------------------------------------


def crop_photo(pixels: Pixels, size: int) -> Pixels:
    """The photo's short side at `size` by Lanczos, and its centre square: (size, size, 3) uint8."""
    return _cropped(Image.fromarray(pixels), size, Image.Resampling.LANCZOS)


def resize_mask(mask: Hole, size: int) -> Hole:
    """The mask at (size, size) by nearest neighbour."""
    if mask.shape == (size, size):
        return mask
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST)) > 0


def fit_hole(mask: Hole, photo: Shape, size: int | None) -> Hole:
    """A mask for a photo of that height and width, at `size` (None: as it is).

    A mask of the photo's own shape is scaled and cropped with it; a square one is resized. Raises DataError for others.
    """
    if size is None:
        if mask.shape != photo:
            raise DataError(f"expected {_by(photo)}, the photo's size: give --size to bring both to one")
        return mask
    if mask.shape == photo:
        return _cropped(Image.fromarray(mask.astype(np.uint8)), size, Image.Resampling.NEAREST) > 0
    if mask.shape[0] != mask.shape[1]:
        raise DataError(f"expected a square, or {_by(photo)}, the photo's own size: anything else would not fit it")
    return resize_mask(mask, size)


@contextmanager
def _naming(photo: str, mask: str) -> Iterator[None]:
    """Says of which photo and mask an error speaks."""
    try:
        yield
    except DataError as error:
        raise DataError(f"mask '{mask}' does not fit photo '{photo}': {error}") from None


def _cropped(image: Image.Image, size: int, kernel: Image.Resampling) -> NDArray[np.uint8]:
    scale = size / min(image.size)
    scaled = (max(size, round(image.width * scale)), max(size, round(image.height * scale)))
    left, top = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    return np.asarray(image.resize(scaled, kernel).crop((left, top, left + size, top + size)))


def _by(shape: Shape) -> str:
    return f"{shape[0]} x {shape[1]}"
