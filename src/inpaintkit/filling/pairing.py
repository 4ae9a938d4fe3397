"""Which photo is filled with which mask and written where: folders, patterns, manifests, and parts of them.

Everything is decided from the whole list before anything is written, so that a run that is resumed, and the shards of a
run, agree about every name. Photos are not opened here, so a hundred thousand of them take seconds.
"""

import csv
import fnmatch
import hashlib
import json
import os
import re
import stat
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import PhotoError, UsageError, unknown_name
from ..masks.sources import Box, growth_of, parse_box
from ..photo import SUFFIXES

PHOTO_SUFFIXES = frozenset({*SUFFIXES, ".bmp", ".gif"})
"""What a file in a folder must end in to be taken for a photo, or for a mask."""

PATTERN_FIELDS = ("stem", "name", "suffix", "folder", "subfolder")
"""What a mask pattern may hold in braces: of the photo the name without suffix, the whole name, the suffix without its
dot, the folder it lies in, and that folder seen from the folder of photos."""

MANIFEST_COLUMNS = ("photo", "mask", "output", "boxes", "grow")
_COLUMNS = frozenset(MANIFEST_COLUMNS)

JOURNALS = "inpaintkit-journal*.jsonl"
"""What the journals of a batch are called; a folder that holds one is a folder of results."""

_NO_PHOTOS = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})
_LAMA = re.compile(r"(?P<stem>.+)_mask\d*", re.DOTALL)
_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)
_MANY = 3  # how many names a message lists


@dataclass(frozen=True, slots=True)
class Item:
    """One photo to fill: where it lies, what says what is missing, and where the result goes.

    `mask` is what `masks.sources.find_mask` takes: a file, "alpha", "color:#rrggbb", or None where `boxes` or those of
    the settings are all there is. The result is `name` (with forward slashes) inside `folder`. `grow` replaces that of
    the settings. `fault` says why the item cannot be filled at all, where the list shows it already.
    """

    photo: str
    mask: str | None
    folder: str
    name: str
    boxes: tuple[Box, ...] = ()
    grow: str | None = None
    fault: str | None = None

    @property
    def output(self) -> str:
        """The path of the result."""
        return os.path.join(self.folder, *self.name.split("/"))


class ItemList(list[Item]):
    """Items in the order of their names, and what is worth saying about how they were found."""

    def __init__(self, items: Iterable[Item] = (), notes: Iterable[str] = ()) -> None:
        super().__init__(items)
        self.notes = tuple(notes)


# ---- folders ---------------------------------------------------------------------------------------------------------


def find_items(
    photos: str | Path,
    mask: str | Path | None,
    output: str | Path,
    *,
    recursive: bool = False,
    format: str | None = None,
) -> ItemList:
    """The photos of a folder with their masks and outputs, sorted by name; the tree is kept in the output.

    `mask` is a folder of masks, one mask file for all photos, a pattern with `PATTERN_FIELDS` in braces, "alpha" or
    "color:#rrggbb", or None where boxes alone say what is missing. In a folder of masks, a photo `x/a.jpg` looks for
    `x/a.jpg.png`, `x/a.jpg`, `x/a.png` (and other suffixes, and .json), then LaMa's `x/a_mask001.png`, of which there
    may be several, each with a result of its own name; and last, where only one photo is called so, for the same at
    the top. The folder of masks may be the folder of photos; then masks are LaMa's names, and .json.

    Links are followed, every folder once. Hidden files, files of other suffixes, masks and the output are no photos,
    nor, with a note, are pipes and devices and what lies in the results of another run. A photo without a mask becomes
    an item with a `fault`. `format` is what all results are written in; None keeps each photo's own (PNG for BMP and
    GIF). Raises UsageError for a call that cannot be meant.
    """
    top, where = Path(photos), _results_folder(output)
    if not top.is_dir():
        raise UsageError(f"'{top}' is no folder, expected a folder of photos: check the name")
    suffix = _suffix_of(format)
    source = _mask_source(mask, top)
    left_out = {os.path.realpath(where)}
    if source.folder is not None and not source.beside:
        left_out.add(os.path.realpath(source.folder))
    if os.path.realpath(top) in left_out:
        raise UsageError(
            f"folder '{top}' holds the photos and is also where masks are looked for or results go, expected another "
            "folder for each: photos are never overwritten"
        )
    listing = _walk(top, recursive, left_out)
    if source.folder is not None:
        shelved = listing if source.beside else _walk(Path(source.folder), recursive, set())
        found, notes = _paired(listing.files, shelved.files, source)
        notes = [*dict.fromkeys([*listing.notes(top), *shelved.notes(source.folder)]), *notes]
    else:
        found, notes = _named(listing.files, source, top), listing.notes(top)
    if not found and not listing.unreadable:
        deeper = "" if recursive or not listing.has_folders else ", or add --recursive for the folders inside it"
        raise UsageError(
            f"there is no photo in '{top}' ({_counted(listing.others + len(listing.files), 'other file')}), expected "
            f"files that end in {', '.join(sorted(PHOTO_SUFFIXES))}: name another folder{deeper}"
        )
    names = _distinct([(wish.folder, wish.stem, wish.photo, suffix) for wish in found])
    items = [
        Item(os.path.join(top, wish.photo), wish.mask, where, name, fault=wish.fault)
        for wish, name in zip(found, names, strict=True)
    ]
    items += [Item(os.path.join(top, name), None, where, name, fault=fault) for name, fault in listing.unreadable]
    _refuse_overwriting(items)
    return ItemList(items, notes)


@dataclass(frozen=True, slots=True)
class _Wish:
    """A photo (its path inside its folder), its mask, and the folder and stem its result would like to have."""

    photo: str
    mask: str | None
    folder: str
    stem: str
    fault: str | None = None


@dataclass(frozen=True)
class _MaskSource:
    """What `mask` turned out to be: a folder, a pattern, or one thing for all."""

    folder: str | None = None
    beside: bool = False  # the folder is that of the photos
    pattern: str | None = None
    single: str | None = None


def _mask_source(mask: str | Path | None, photos: Path) -> _MaskSource:
    """What says what is missing. Raises UsageError for a mask that is nothing."""
    if mask is None:
        return _MaskSource()
    text = str(mask)
    if is_no_file(text) and not isinstance(mask, Path):
        return _MaskSource(single=text)
    if os.path.isdir(text):
        return _MaskSource(folder=text, beside=os.path.realpath(text) == os.path.realpath(photos))
    if os.path.isfile(text):
        return _MaskSource(single=os.path.abspath(text))
    if "{" in text:
        _check_pattern(text)
        return _MaskSource(pattern=text)
    raise UsageError(
        f"mask '{text}' is not there, expected a folder, a file, a pattern such as masks/{{stem}}.png, alpha, or "
        "color:#ff00ff: check the name"
    )


def is_no_file(mask: str | None) -> bool:
    """Whether a mask is said in words ("alpha", "color:...", nothing) and not by a file."""
    return mask is None or re.fullmatch(r"\s*(alpha\s*|colou?r:.*)", mask, re.IGNORECASE | re.DOTALL) is not None


@dataclass
class _Listing:
    """What lies in a folder: photos by suffix, sorted, as paths inside it with forward slashes; and what does not."""

    files: list[str]
    unreadable: list[tuple[str, str]]
    others: int = 0
    has_folders: bool = False
    special: list[str] = field(default_factory=list)  # pipes, sockets and devices: reading one may never end
    results: list[str] = field(default_factory=list)  # folders of results of another run

    def notes(self, top: str | Path) -> list[str]:
        """What was left out and might be missed."""
        notes = []
        if self.special:
            left = f"{_counted(len(self.special), 'file')} in '{top}' left out"
            notes.append(f"{left}, pipes, sockets or devices and no photos: {_listed(self.special)}")
        if self.results:
            left = f"{_counted(len(self.results), 'folder')} in '{top}' left out"
            notes.append(f"{left}, with the journal and the results of another run: {_listed(self.results)}")
        return notes


def _walk(top: Path, recursive: bool, left_out: set[str]) -> _Listing:
    """The files of a folder; folders in `left_out` (real paths) are passed by.

    Links to folders come after all real ones and lead only where nobody was, so loops end and a photo that can be
    reached two ways goes by its own name.
    """
    found = _Listing([], [])
    seen = set(left_out)
    folders, links = [""], list[str]()
    while folders or links:
        inside = folders.pop() if folders else links.pop()
        path = os.path.join(top, inside)
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(path) as entries:
                listed = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            reason = error.strerror or str(error)
            found.unreadable.append((inside or ".", f"cannot list folder '{path}': {reason}: check its permissions"))
            continue
        if inside and any(fnmatch.fnmatchcase(entry.name, JOURNALS) for entry in listed):
            found.results.append(inside)
            continue
        for entry in listed:
            if entry.name.startswith(".") or entry.name.lower() in _NO_PHOTOS:
                continue
            name = f"{inside}/{entry.name}" if inside else entry.name
            if _leads_to_folder(entry):
                found.has_folders = True
                if recursive:
                    (links if entry.is_symlink() else folders).append(name)
            elif os.path.splitext(entry.name)[1].lower() not in _LISTED:
                found.others += 1
            elif not entry.is_file(follow_symlinks=False) and is_special(entry.path):
                found.special.append(name)
            else:
                found.files.append(name)
    for names in (found.files, found.special, found.results):
        names.sort()
    return found


def _leads_to_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder; a link that cannot be followed is a file, which fails when it is read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_special(path: str | Path) -> bool:
    """Whether something is there that is neither a file nor a folder, such as a pipe; links are followed."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


# Polygons of one photo each may lie in a folder of masks; they are told from photos where it matters.
_LISTED = PHOTO_SUFFIXES | {".json"}


def _is_photo(name: str) -> bool:
    return not name.lower().endswith(".json")


def _named(files: list[str], source: _MaskSource, top: Path) -> list[_Wish]:
    """Photos whose mask is named by a pattern, or is the same for all."""
    photos = [name for name in files if _is_photo(name)]
    if source.pattern is None:
        masks: list[str | None] = [source.single] * len(photos)
        used = set() if source.single is None or is_no_file(source.single) else {source.single}
    else:
        masks = [_of_pattern(source.pattern, name, top) for name in photos]
        used = {mask for mask in masks if mask is not None and os.path.isfile(mask)}
    real = _RealNames()
    among = {real.of(mask) for mask in used}
    if source.pattern is None:  # one mask for all may be named through a link of its own
        among |= {os.path.normcase(os.path.realpath(mask)) for mask in used}
    wishes, start = [], os.path.abspath(top)
    for name, mask in zip(photos, masks, strict=True):
        if among and real.of(os.path.join(start, *name.split("/"))) in among:
            continue  # a mask among the photos
        folder, stem = _split(name)
        if source.pattern is not None and mask not in used:
            fault = f"photo '{name}' has no mask, expected '{mask}': add it, or leave the photo out"
            wishes.append(_Wish(name, None, folder, stem, fault))
        else:
            wishes.append(_Wish(name, mask, folder, stem))
    return wishes


def _check_pattern(pattern: str) -> None:
    """Raise UsageError for a mask pattern with an unknown field."""
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise UsageError(f"mask pattern '{pattern}' cannot be read ({error}), expected masks/{{stem}}.png") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in PATTERN_FIELDS or form or conversion):
            raise UsageError(unknown_name(f"field in mask pattern '{pattern}'", name, PATTERN_FIELDS))


def _of_pattern(pattern: str, name: str, top: Path) -> str:
    """The mask's path that a pattern gives for a photo."""
    subfolder, stem = _split(name)
    own = name.rpartition("/")[2]
    path = pattern.format(
        stem=stem,
        name=own,
        suffix=own[len(stem) + 1 :],
        folder=os.path.join(top, subfolder) if subfolder else str(top),
        subfolder=subfolder or ".",
    )
    return os.path.abspath(path)


def _paired(files: list[str], masks: list[str], source: _MaskSource) -> tuple[list[_Wish], list[str]]:
    """Photos with the masks of a folder, and notes about masks that nobody asked for."""
    if source.beside:
        masks = [name for name in masks if not _is_photo(name) or _LAMA.fullmatch(_split(name)[1])]
    given = set(masks) if source.beside else set()
    photos = [name for name in files if _is_photo(name) and name not in given]
    shelf = _Shelf(masks)
    alone = Counter(_key(_split(name)[1]) for name in photos)
    top = str(source.folder)
    wishes: list[_Wish] = []
    used: set[str] = set()
    for name in photos:
        folder, stem = _split(name)
        chosen, lama = shelf.masks_of(folder, stem, name, at_top=alone[_key(stem)] == 1)
        used.update(chosen)
        if not chosen:
            fault = (
                f"photo '{name}' has no mask in '{top}', expected {'' if source.beside else f'{stem}.png or '}"
                f"{stem}_mask.png{f' in {folder}' if folder else ''}: add it, or leave the photo out"
            )
            wishes.append(_Wish(name, None, folder, stem, fault))
        for mask in chosen:
            wishes.append(_Wish(name, os.path.join(top, mask), folder, _split(mask)[1] if lama else stem))
    lonely = [mask for mask in masks if mask not in used]
    notes = []
    if lonely:
        notes.append(f"{_counted(len(lonely), 'mask')} in '{top}' without a photo: {_listed(lonely)}")
    return wishes, notes


class _Shelf:
    """Masks by the names that photos look for."""

    def __init__(self, masks: list[str]) -> None:
        self.by_name: dict[str, list[str]] = {}
        self.by_stem: dict[str, list[str]] = {}
        self.lama: dict[str, list[str]] = {}
        for mask in masks:
            folder, stem = _split(mask)
            self.by_name.setdefault(_key(f"{folder}/{mask.rpartition('/')[2]}"), []).append(mask)
            self.by_stem.setdefault(_key(f"{folder}/{stem}"), []).append(mask)
            numbered = _LAMA.fullmatch(stem)
            if numbered:
                self.lama.setdefault(_key(f"{folder}/{numbered['stem']}"), []).append(mask)

    def masks_of(self, folder: str, stem: str, name: str, *, at_top: bool) -> tuple[list[str], bool]:
        """The masks of a photo, and whether they are LaMa's."""
        own = name.rpartition("/")[2]
        for place in dict.fromkeys([folder, ""] if at_top else [folder]):
            candidates = (
                self.by_stem.get(_key(f"{place}/{own}"))
                or self.by_name.get(_key(f"{place}/{own}"))
                or self.by_stem.get(_key(f"{place}/{stem}"))
            )
            chosen = candidates or self.lama.get(_key(f"{place}/{stem}"))
            if chosen:
                same_capitals = [mask for mask in chosen if mask.startswith(f"{place}/{stem}".lstrip("/"))]
                masks = sorted(same_capitals or chosen, key=lambda mask: (not mask.lower().endswith(".png"), mask))
                return (masks[:1], False) if candidates else (masks, True)
        return [], False


# ---- manifests -------------------------------------------------------------------------------------------------------


def read_manifest(path: str | Path, output: str | Path, *, format: str | None = None) -> ItemList:
    """The items of a list of photos: CSV with a header, or JSONL, with the columns `photo`, `mask`, `output`, `boxes`
    and `grow`, of which only `photo` is needed.

    Relative photos and masks are seen from the manifest's folder; `output` is a name inside the folder of results and
    is the photo's own where it is not given. `boxes` are "top,left,height,width", several with semicolons (in JSONL
    also lists of numbers), added to the mask. `grow` is pixels or a percentage. Columns are known whatever their
    capitals; further ones are left unread, with a note. Raises UsageError, which names the line.
    """
    path = Path(path)
    where, suffix = _results_folder(output), _suffix_of(format)
    rows = _ROWS.get(path.suffix.lower())
    if rows is None:
        raise UsageError(f"manifest '{path}' ends in '{path.suffix}', expected {' or '.join(_ROWS)}: rename it")
    base = os.path.dirname(_absolute(path))
    wishes: list[tuple[str, str, str, str]] = []
    items: list[Item] = []
    named: dict[str, int] = {}
    unread: dict[str, None] = {}
    for line, cells in rows(path):
        place = f"manifest '{path}', line {line}"
        row = {_column(name): cell for name, cell in cells.items()}
        if len(row) < len(cells):
            raise UsageError(
                f"{place}: the columns {', '.join(cells)[:80]} have one twice, expected each once: drop one"
            )
        unread.update(dict.fromkeys(row.keys() - _COLUMNS))
        item = _item_of_row(row, base, where, place)
        if item.name:
            first = named.setdefault(_key(item.name), line)
            if first != line:
                raise UsageError(f"{place}: output '{item.name}' is that of line {first} too: name another")
        items.append(item)
        folder, stem = _split(_tree_name(str(row["photo"])))
        wishes.append((folder, stem, item.photo, suffix))
    if not items:
        raise UsageError(f"manifest '{path}' lists no photo, expected one a line: fill it")
    names = iter(_distinct([wish for wish, item in zip(wishes, items, strict=True) if not item.name], set(named)))
    items = [item if item.name else replace(item, name=next(names)) for item in items]
    _refuse_overwriting(items)
    return ItemList(items, [f"columns left unread in '{path}': {', '.join(map(str, unread))}"] if unread else [])


def _item_of_row(row: dict[str, Any], base: str, where: str, place: str) -> Item:
    """An item, its name empty where the row gives none. Raises UsageError."""
    cells = {}
    for column in ("photo", "mask", "output"):
        value = row.get(column)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{place}: {column} is {json.dumps(value)[:60]}, expected text: put it in quotes")
        if "\0" in (value or ""):
            raise UsageError(
                f"{place}: {column} is {json.dumps(value)[:60]} with a null byte, expected a path: mend it"
            )
        cells[column] = (value or "").strip()
    if not cells["photo"]:
        raise UsageError(f"{place}: there is no photo, expected its path in the column 'photo': add it")
    mask = cells["mask"] or None
    boxes = _boxes_of_cell(row.get("boxes"), place)
    if mask is not None and not is_no_file(mask):
        mask = os.path.normpath(os.path.join(base, mask))
    grow = row.get("grow")
    if grow in (None, ""):
        grow = None
    else:
        try:
            grow = str(growth_of(grow))
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None
    name = _inside(cells["output"], where, place) if cells["output"] else ""
    return Item(os.path.normpath(os.path.join(base, cells["photo"])), mask, where, name, boxes, grow)


def _column(name: str) -> str:
    """What a column is called here; what is none of ours keeps its name."""
    known = name.strip().lower()
    return known if known in _COLUMNS else name


def _boxes_of_cell(cell: Any, place: str) -> tuple[Box, ...]:
    """Boxes from "T,L,H,W;T,L,H,W" or from lists of numbers. Raises UsageError."""
    if cell in (None, "", []):
        return ()
    listed = [cell] if isinstance(cell, list) and not isinstance(cell[0], list) else cell
    try:
        if isinstance(cell, str):
            return tuple(parse_box(part) for part in cell.split(";") if part.strip())
        return tuple(parse_box(",".join(map(str, box))) for box in listed)
    except (TypeError, UsageError) as error:
        reason = f" ({error})" if isinstance(error, UsageError) else ""
        raise UsageError(
            f"{place}: boxes are {json.dumps(cell)[:60]}, expected top,left,height,width in whole pixels, several with "
            f"semicolons between them{reason}"
        ) from None


def _inside(name: str, where: str, place: str) -> str:
    """An output's name inside the folder of results, with forward slashes. Raises UsageError."""
    path = os.path.normpath(os.path.join(where, name))
    if not path.startswith(os.path.join(where, "")):
        raise UsageError(f"{place}: output '{name}' lies outside '{where}': name a file inside the folder of results")
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        raise UsageError(f"{place}: output '{name}' has no suffix that can be written, expected {', '.join(SUFFIXES)}")
    return path[len(os.path.join(where, "")) :].replace(os.sep, "/")


def _tree_name(photo: str) -> str:
    """What a photo of a manifest is called among the results: its path if that is a plain one, else its name."""
    path = os.path.normpath(photo).replace(os.sep, "/")
    return path.rpartition("/")[2] if os.path.isabs(photo) or path.startswith("../") else path


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and cells of every row of a CSV file."""
    with _opened(path) as lines:
        reader = csv.DictReader(lines, restkey="", strict=True)
        try:
            header = reader.fieldnames or ()
            if "photo" not in map(_column, header):
                raise UsageError(
                    f"manifest '{path}', line 1: the columns are {', '.join(header)[:80] or 'none'}, expected a header "
                    f"with 'photo', and as wanted {', '.join(MANIFEST_COLUMNS[1:])}"
                )
            for row in reader:
                if "" in row:
                    raise UsageError(
                        f"manifest '{path}', line {reader.line_num}: it has more cells than the header: put a cell "
                        "with commas in quotes"
                    )
                yield reader.line_num, row
        except csv.Error as error:
            raise UsageError(f"manifest '{path}', line {reader.line_num}: no CSV ({error}): mend the line") from None
        except UnicodeDecodeError:
            raise UsageError(f"manifest '{path}' is not in UTF-8, expected text in UTF-8: save it so") from None


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and values of every object of a JSONL file."""
    with _opened(path) as lines:
        try:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise UsageError(f"manifest '{path}', line {number}: no JSON ({error}): mend the line") from None
                if not isinstance(row, dict):
                    raise UsageError(
                        f"manifest '{path}', line {number}: expected an object such as "
                        '{"photo": "a.jpg", "mask": "a.png"}: mend the line'
                    )
                yield number, row
        except UnicodeDecodeError:
            raise UsageError(f"manifest '{path}' is not in UTF-8, expected text in UTF-8: save it so") from None


_ROWS: dict[str, Callable[[Path], Iterator[tuple[int, dict[str, Any]]]]] = {".csv": _csv_rows, ".jsonl": _json_rows}


def _opened(path: Path) -> Any:
    try:
        return open(path, encoding="utf-8-sig", newline="")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"cannot read manifest '{path}': {reason}: check its name and permissions") from error


# ---- parts -----------------------------------------------------------------------------------------------------------


def shard_of(text: str) -> tuple[int, int]:
    """The number of a shard and how many there are, from "i/n" with i from 1 to n. Raises UsageError."""
    found = _SHARD.fullmatch(text.strip())
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(
            f"shard is '{text}', expected i/n with i from 1 to n, such as 1/8: a job array that counts from 0 adds 1"
        )
    return number, count


def shard(items: Sequence[Item], part: str) -> ItemList:
    """The part "i/n" of the items, i from 1 to n; the n parts are disjoint and complete.

    A part is chosen by each result's name alone, so it stays what it is when photos come or go between the starts of
    the shards; the parts differ a little in size. Raises UsageError.
    """
    number, count = shard_of(part)
    chosen = [item for item in items if int(item_key(item.name), 16) % count == number - 1]
    return ItemList(chosen, getattr(items, "notes", ()))


def item_key(name: str) -> str:
    """Sixteen hexadecimal digits that stand for a result's name: for its shard and for its temporary file."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


# ---- names -----------------------------------------------------------------------------------------------------------


def _distinct(wishes: list[tuple[str, str, str, str]], taken: set[str] | None = None) -> list[str]:
    """Names of results: the stem that is wished for with its suffix, in its folder; no two alike on any system.

    A wish is (folder, stem, photo, suffix or ""). Where two would have one name, be it only but for capitals, both get
    their photo's suffix into it (a.jpg and a.png as PNG: a_jpg.png and a_png.png); where that does not help, a number
    in the order of the list.
    """
    taken = set() if taken is None else taken
    suffixes = [suffix or _own_suffix(photo) for _, _, photo, suffix in wishes]
    plain = [
        f"{folder}/{stem}{suffix}" if folder else stem + suffix
        for (folder, stem, _, _), suffix in zip(wishes, suffixes, strict=True)
    ]
    keys = [_key(name) for name in plain]
    counts = Counter(keys)
    free = {key for key in keys if counts[key] == 1 and key not in taken}
    taken = taken | free
    names = []
    for (folder, stem, photo, _), suffix, name, key in zip(wishes, suffixes, plain, keys, strict=True):
        chosen, number = name, 1
        if key not in free:
            base = f"{stem}_{os.path.splitext(photo)[1][1:].lower()}"
            base = f"{folder}/{base}" if folder else base
            chosen = base + suffix
            while _key(chosen) in taken:
                number += 1
                chosen = f"{base}-{number}{suffix}"
            taken.add(_key(chosen))
        names.append(chosen)
    return names


def _own_suffix(photo: str) -> str:
    """The suffix of a photo's result where nobody names a format."""
    suffix = os.path.splitext(photo)[1]
    return suffix if suffix.lower() in SUFFIXES else ".png"


def _suffix_of(format: str | None) -> str:
    """The suffix of a format, "" for each photo's own. Raises UsageError."""
    if format is None or format.lower() == "keep":
        return ""
    suffix = f".{format.lower().lstrip('.')}"
    if suffix not in SUFFIXES:
        raise UsageError(unknown_name("photo format", format, ["keep", *(known[1:] for known in SUFFIXES)]))
    return suffix


def _split(name: str) -> tuple[str, str]:
    """Folder and stem of a name with forward slashes."""
    folder, _, own = name.rpartition("/")
    return folder, os.path.splitext(own)[0]


def _key(name: str) -> str:
    """What two names have in common that some file system, or somebody's eye, takes for one."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _absolute(path: str | Path) -> str:
    """The path from the root, links in it left as they are. Raises PhotoError for what can be no path."""
    try:
        return os.path.abspath(path)
    except (OSError, ValueError) as error:
        raise PhotoError(f"'{path}' cannot be a path ({error}): name another") from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MANY]) + (", ..." if len(names) > _MANY else "")


def _results_folder(output: str | Path) -> str:
    """The folder of results, from the root. Raises UsageError where a link on its way leads nowhere."""
    where = _absolute(output)
    for folder in (where, *map(str, Path(where).parents)):
        if os.path.islink(folder) and not os.path.exists(folder):
            raise UsageError(
                f"output '{output}' cannot be made: '{folder}' is a link that leads nowhere, expected a folder: make "
                "the folder it leads to, or name another"
            )
    return where


class _RealNames:
    """Files' paths with the links among their folders followed, as the system compares them; folders are remembered."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The path by which a file is known."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.normcase(os.path.join(self._folders[folder], name))


def result_folders(items: Iterable[Item]) -> set[str]:
    """Every folder that a result lies in."""
    inside = {(item.folder, item.name.rpartition("/")[0]) for item in items}
    return {os.path.join(folder, *name.split("/")) for folder, name in inside}


def _refuse_overwriting(items: list[Item]) -> None:
    """Raise UsageError where a result would take the place of a photo or mask of the list."""
    masks = [item.mask for item in items if item.mask is not None and not is_no_file(item.mask)]
    given = {os.path.dirname(item.photo) for item in items} | {os.path.dirname(mask) for mask in masks}
    shared = {os.path.realpath(folder) for folder in given} & {os.path.realpath(each) for each in result_folders(items)}
    if not shared:  # of a hundred thousand files, only those that share a folder need a look
        return
    real = _RealNames()
    inputs = {real.of(item.photo) for item in items} | {real.of(mask) for mask in masks}
    for item in items:
        if item.fault is None and real.of(item.output) in inputs:
            raise UsageError(
                f"output '{item.output}' would overwrite a photo or a mask of this list: choose another folder"
            )
