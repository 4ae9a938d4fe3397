"""Fixed sets of masks to measure on: named, seeded, hashed, and the same on every machine to the last bit.

Numbers taken on masks that were drawn anew cannot be compared. A set here is drawn from a seed, its pixels are compared
with a SHA-256 that is recorded below, and its files are PNGs whose bytes depend on nothing but the pixels. A machine
whose OpenCV or NumPy draws otherwise says so and gives no masks at all; it can still use a set that another one wrote.

Sets whose name promises a paper's holes at the paper's size use the published generator, slips included; the others use
the clean variant, which scales with the frame. `MaskSet.about` says which.
"""

import hashlib
import json
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import MaskError, UsageError, unknown_name
from .read import decode_mask
from .shapes import SHAPES, Mask, Shape

MANIFEST = "manifest.json"
"""The name of the file that says what is in a set's folder."""

_SCHEMA = 1
_LARGEST_BLOCK = 65_535
# What operating systems leave in folders that somebody looked at; names that begin with a dot are passed over too.
_LITTER = {"thumbs.db", "desktop.ini"}


def square(height: int, width: int, rng: np.random.Generator) -> Mask:
    """A square of half the short side (128 pixels at 256) wholly inside the frame, its place uniform over whole pixels.

    Area 0.25 of a square frame. Source: the authors of Wang et al. 2018 (GMCNN) on their test, which they describe once
    with boxes at random places and once with centred ones. What they trained on shrinks: the shape `gmcnn_rectangle`.
    """
    side = max(1, (min(height, width) + 1) // 2)
    top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


_DRAWN: dict[str, Shape] = {**SHAPES, "square": square}


@dataclass(frozen=True)
class MaskSet:
    """A set of `count` masks of `size` x `size` pixels.

    Mask i is the shape drawn with `numpy.random.default_rng([seed, i])`: a longer set begins with the shorter one.
    `sha256` is the `set_digest` of the whole set.
    """

    name: str
    shape: str
    size: int
    count: int
    seed: int
    sha256: str
    about: str


def _set(name: str, shape: str, sha256: str, about: str, count: int = 100) -> MaskSet:
    return MaskSet(name, shape, int(name.rpartition("_")[2]), count, 0, sha256, about)


MASK_SETS: dict[str, MaskSet] = {
    each.name: each
    for each in (
        _set(
            "centre_256",
            "centre",
            "2ec06b7bcc3f746fac68f73e194a267ac9e22936dbfea240999b3ce4e3a21bc7",
            "the 128 box in the middle, as in GMCNN's and others' tables",
            1,
        ),
        _set(
            "centre_512",
            "centre",
            "dc19b078929f36bcab4302abaf9a701dfcaaefe85062824cd4b646220729a91b",
            "the 256 box in the middle",
            1,
        ),
        _set(
            "random_256",
            "square",
            "e6f26e2986d3b5c509620c274953c9d4f0fc382145d922cd39b978590ee1a60f",
            "the 128 box at a random place, GMCNN's other test",
        ),
        _set(
            "random_512",
            "square",
            "42fa1961f83dcae8c04cd5afb6e22cb9c3bd0e05c459eace368765ca6e6748ce",
            "the 256 box at a random place",
        ),
        _set(
            "rectangle_256",
            "rectangle",
            "80a20bc24f386275028f508fd70c20ec476cd1d219fd3aa66b8e330f169dab35",
            "one rectangle, sides of 96 to 128 (GLCIC)",
        ),
        _set(
            "rectangle_512",
            "rectangle",
            "80780eb81a624ed83453614edb5ee55f76beaf07d6a83d0d1991904588b29840",
            "the same scaled: sides of 192 to 256",
        ),
        _set(
            "free_form_256",
            "free_form_256",
            "8a94e51954b7e4e3eb15fe5bf7ca1836c1d76a62a077552a3f65099ff187b466",
            "DeepFill v2's brush strokes, as published for 256",
        ),
        _set(
            "free_form_512",
            "free_form",
            "3e06eb4140365465852f59ee8cd55a0188f269407371c781296c9cb9092cfe62",
            "the same scaled, clean: the published strokes are as thin at 512",
        ),
        _set(
            "lama_thin_256",
            "lama_thin_256",
            "e232292a299afa1ff2ff94ca09458172c1ad5504854edc1fcfac118b2e7aac1e",
            "LaMa's thin test holes for 256, as published",
        ),
        _set(
            "lama_thin_512",
            "lama_thin_512",
            "6bc3f2f99b132b9d4562ce2e1fbeccfe431ea90dd5803ab6deccfcdcf5bdf886",
            "LaMa's thin test holes for 512, as published",
        ),
        _set(
            "lama_medium_256",
            "lama_medium_256",
            "a185154b6de1e010bd54c5072431aef773f9af1916525cde8befc230fcf5bbf1",
            "LaMa's medium test holes for 256, as published",
        ),
        _set(
            "lama_medium_512",
            "lama_medium_512",
            "12f9259245662e7a153c371e0db537d56fbeecbc3da7c206b1bba978f6a0f650",
            "LaMa's medium test holes for 512, as published",
        ),
        _set(
            "lama_thick_256",
            "lama_thick_256",
            "25f87a62ee4c894ab53880b9b06fd02073e543ef0009759a9f1cd46772ed5b3f",
            "LaMa's thick test holes for 256, as published",
        ),
        _set(
            "lama_thick_512",
            "lama_thick_512",
            "61d56e63e685ec5cf1a186d01718aa2c4491c6b5a0a28a997d1960d2cdb8b592",
            "LaMa's thick test holes for 512, as published",
        ),
        _set(
            "boxes_256",
            "multi_box",
            "59ba6b40cc44b2aed8a608f31ce9577dda4ddd2e01987bc4e98c7530f2249e09",
            "up to 13 boxes that may hang out of the frame (CoModGAN's alone, clean)",
        ),
        _set(
            "boxes_512",
            "multi_box",
            "445a6d1cfbb26b4dadb517545840bb6c39f5207facb1eba0b12cf5711b6aeb5c",
            "the same scaled",
        ),
    )
}
"""The sets by name, in the order in which they are listed."""


@dataclass(frozen=True)
class Manifest:
    """What a set's folder holds: `files` maps each mask's name to the SHA-256 of its bytes.

    `sha256` is the `set_digest` of the masks in the order of their names; `versions` are those of the libraries that
    drew them, for whoever looks for a difference.
    """

    name: str
    shape: str
    size: int
    count: int
    seed: int
    sha256: str
    files: dict[str, str]
    versions: dict[str, str]


@dataclass(frozen=True)
class Check:
    """What a look at a set's folder found: names of files that are not as written, not there, or not of the set.

    `problems` says the same, and what else is wrong, in one line each; it is empty when all is well.
    """

    manifest: Manifest
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    problems: tuple[str, ...]


# --- Drawing ----------------------------------------------------------------------------------------------------------


def mask_set_named(name: str) -> MaskSet:
    """The set of that name in `MASK_SETS`.

    Raises: UsageError for a name that is not there; the message lists those that are.
    """
    if name not in MASK_SETS:
        raise UsageError(unknown_name("mask set", name, MASK_SETS))
    return MASK_SETS[name]


def set_digest(masks: Iterable[np.ndarray]) -> str:
    """The SHA-256 of masks in their order, of any sizes: of each, height and width (4 bytes each, big-endian) and its
    rows as bits, missing = 1, the first pixel highest, each row filled up with zeros to whole bytes.
    """
    digest = hashlib.sha256()
    for mask in masks:
        digest.update(struct.pack(">2I", *mask.shape))
        digest.update(np.packbits(mask, axis=1).tobytes())
    return digest.hexdigest()


def draw_set(name: str) -> Iterator[tuple[str, Mask]]:
    """The masks of a set, each with its file name, in the order of those; all are drawn and checked before the first.

    Raises: UsageError for an unknown name, MaskError when this machine draws other pixels than recorded.
    """
    chosen = mask_set_named(name)
    draw = _DRAWN[chosen.shape]
    masks = [
        draw(chosen.size, chosen.size, np.random.default_rng([chosen.seed, index])) for index in range(chosen.count)
    ]
    if (drawn := set_digest(masks)) != chosen.sha256:
        versions = " and ".join(f"{library} {version}" for library, version in _versions().items())
        raise MaskError(
            f"mask set '{name}' comes out with other pixels here (SHA-256 {drawn[:12]}..., expected "
            f"{chosen.sha256[:12]}...), drawn by {versions}: install other versions, or copy the set's folder from a "
            "machine that can write it"
        )
    return zip(_file_names(chosen.count), masks, strict=True)


def _file_names(count: int) -> Iterator[str]:
    return (f"{index:04d}.png" for index in range(count))


def _versions() -> dict[str, str]:
    return {"opencv": cv2.__version__, "numpy": np.__version__}


# --- Files ------------------------------------------------------------------------------------------------------------


def mask_png(mask: np.ndarray) -> bytes:
    """A mask (H, W) as a PNG of one bit, white = missing, whose bytes depend on the pixels alone.

    Encoders compress differently from version to version; here the deflate stream holds its data as stored blocks.
    """
    height, width = mask.shape
    rows = np.packbits(mask, axis=1)
    data = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # every row begins with its filter, 0 for none
    stream = bytearray(b"\x78\x01")
    for start in range(0, len(data), _LARGEST_BLOCK):
        block = data[start : start + _LARGEST_BLOCK]
        last = start + _LARGEST_BLOCK >= len(data)
        stream += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    stream += struct.pack(">I", zlib.adler32(data))
    header = struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", bytes(stream)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_set(name: str, folder: str | Path) -> Manifest:
    """Draw a set and write it into a new or empty folder: its masks, and last the manifest.

    The files are written in a folder of a temporary name inside and moved when all are there. Whatever stops it, an
    interrupt included, takes away what was written.
    Raises: UsageError for an unknown name or a folder that holds something; MaskError when this machine draws other
    pixels than recorded, or cannot write.
    """
    chosen, folder = mask_set_named(name), Path(folder)
    _check_free(folder)
    files = {file: mask_png(mask) for file, mask in draw_set(name)}
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    facts = {key: value for key, value in asdict(chosen).items() if key != "about"}
    manifest = Manifest(**facts, files=digests, versions=_versions())
    text = json.dumps({"schema": _SCHEMA, **asdict(manifest)}, indent=1) + "\n"
    try:
        _place({**files, MANIFEST: text.encode()}, folder)
    except OSError as error:
        raise MaskError(
            f"cannot write mask set '{name}' to '{folder}': {error.strerror or error}, expected a writable place with "
            f"{sum(map(len, files.values())):,} free bytes: choose another"
        ) from error
    return manifest


def _check_free(folder: Path) -> None:
    """Raises: UsageError unless the folder is empty, or absent in one that is there."""
    try:
        if not folder.exists() and not folder.is_symlink():
            if not folder.parent.is_dir():
                raise UsageError(f"'{folder.parent}' is not a folder: make it first, or give another --out")
        elif not folder.is_dir():
            raise UsageError(f"'{folder}' is not a folder: give a new or an empty one")
        elif any(folder.iterdir()):
            raise UsageError(f"'{folder}' is not empty: give a new or an empty folder, nothing is overwritten")
    except (OSError, ValueError) as error:
        raise UsageError(f"'{folder}' cannot be looked into ({error}): give a new or an empty folder") from error


def _place(files: dict[str, bytes], folder: Path) -> None:
    """Write all files into a folder, the last one last, or none of them. Raises OSError."""
    new = not folder.exists()
    partial = folder / f".{secrets.token_hex(8)}.part"
    try:
        partial.mkdir(parents=new)
        for name, data in files.items():
            (partial / name).write_bytes(data)
        for name in files:
            (partial / name).replace(folder / name)
        partial.rmdir()
    except BaseException:
        for name in files:
            for place in (folder, partial):
                with suppress(OSError):
                    (place / name).unlink(missing_ok=True)
        for empty in (partial, *([folder] if new else [])):
            with suppress(OSError):
                empty.rmdir()
        raise


# --- Reading ----------------------------------------------------------------------------------------------------------


def read_set(folder: str | Path) -> list[tuple[str, Mask]]:
    """The masks of a written set with their file names, in the order of those, after `check_set`.

    Raises: MaskError when the folder is not exactly as written.
    """
    folder = Path(folder)
    found = check_set(folder)
    if found.problems:
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise MaskError(f"mask set in '{folder}': {found.problems[0]}{more}; make the set anew in another folder")
    return [(name, decode_mask(_bytes(folder / name), source=name)) for name in sorted(found.manifest.files)]


def check_set(folder: str | Path) -> Check:
    """Compare a set's folder with its manifest, and with what this version records for a set of that name.

    Raises: MaskError when there is no manifest that can be read.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    present = {each.name for each in folder.iterdir()} - {MANIFEST}
    extra = sorted(name for name in present - set(manifest.files) if not _is_litter(name))
    missing = sorted(set(manifest.files) - present)
    changed = []
    for name in sorted(set(manifest.files) & present):
        if hashlib.sha256(_bytes(folder / name)).hexdigest() != manifest.files[name]:
            changed.append(name)
    problems = [f"{name} is not as it was written" for name in changed]
    problems += [f"{name} is missing" for name in missing]
    problems += [f"{name} does not belong to the set" for name in extra]
    if not changed and not missing:
        problems += _wrong_as_a_whole(folder, manifest)
    return Check(manifest, tuple(changed), tuple(missing), tuple(extra), tuple(problems))


def _wrong_as_a_whole(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What is wrong with a set whose files are as its manifest says: the pixels' digest, or the set under its name."""
    try:
        digest = set_digest(decode_mask(_bytes(folder / name), source=name) for name in sorted(manifest.files))
    except MaskError as error:
        yield str(error)
        return
    if digest != manifest.sha256:
        yield f"the masks' pixels have the SHA-256 {digest[:12]}..., the manifest says {manifest.sha256[:12]}..."
    elif manifest.name not in MASK_SETS:
        yield f"this version knows no set '{manifest.name}' to compare it with"
    elif digest != (recorded := MASK_SETS[manifest.name].sha256):
        yield f"it is not the set '{manifest.name}' of this version, whose SHA-256 is {recorded[:12]}..."


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _bytes(path: Path) -> bytes:
    """A file's content. Raises MaskError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise MaskError(
            f"cannot read '{path}' ({error.strerror or error}), expected a mask: make the set anew"
        ) from error


def _read_manifest(folder: Path) -> Manifest:
    """Raises: MaskError when it is not there or is not one."""
    path = folder / MANIFEST
    if not path.is_file():
        raise MaskError(f"'{folder}' holds no {MANIFEST}, expected a folder written by `inpaintkit masks make`")
    wrong = f"'{path}' is not the manifest of a mask set, expected one written by `inpaintkit masks make`"
    try:
        content: dict[str, Any] = json.loads(_bytes(path).decode())
        schema = content.pop("schema")
        manifest = Manifest(**content)
        kinds = {"name": str, "shape": str, "size": int, "count": int, "seed": int, "sha256": str, "files": dict}
        fits = all(isinstance(getattr(manifest, key), kind) for key, kind in kinds.items())
        names = all(isinstance(digest, str) and Path(name).name == name for name, digest in manifest.files.items())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MaskError(wrong) from error
    if schema != _SCHEMA:
        raise MaskError(
            f"'{path}' has schema {schema}, expected {_SCHEMA}: use the version of inpaintkit that wrote it"
        )
    if not (fits and names and manifest.files and manifest.count == len(manifest.files)):
        raise MaskError(wrong)
    return manifest
