"""Files of published weights: brought once, checked against the hash in their name, read as tensors and nothing else.

By the convention of torch.hub, a dash and the first digits of the file's SHA-256 end its name.
"""

import re
import zipfile
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from filelock import FileLock
from safetensors import safe_open
from torch import Tensor

from .errors import ModelError
from .weights import file_sha256

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$")
CHUNK = 1 << 20
TIMEOUT_S = 30.0

Progress = Callable[[int, int | None], None]
"""Told after each piece of a download: the bytes at hand, and those of the whole file where the server says so."""


# --- Bringing a file -------------------------------------------------------------------------------------------------


def checkpoint_folder() -> Path:
    """torch hub's folder of checkpoints, which other programs share: below TORCH_HOME if that is set."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def published_file(address: str, *, what: str, otherwise: str, progress: Progress | None = None) -> Path:
    """The file that is published at `address`, from torch hub's folder; fetched into it if it is not there yet.

    A download that breaks off is resumed by the next call, one whose hash is not the one in its name is removed. A file
    that was there already is returned as it is: `checked_sha256` looks at it. Errors begin with `what` and end with
    `otherwise`, the way on without the file ("use 'own'").

    Raises: ModelError.
    """
    target = checkpoint_folder() / address.rpartition("/")[2]
    if target.is_file():
        return target
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):  # of several processes that start at once, one fetches
            if not target.is_file():
                _fetch(address, partial, progress)
                _publish(partial, target, what, otherwise)
    except (OSError, HTTPException) as error:
        raise ModelError(
            f"{what}: {address} cannot be fetched to {target.parent} ("
            f"{' '.join(str(error).split()) or type(error).__name__}); try again (what has arrived is kept), give the "
            f"path of {target.name}, or {otherwise}"
        ) from error
    return target


def find_weights(
    weights: str | Path,
    published: Mapping[str, str],
    *,
    what: str,
    otherwise: str,
    expected: str,
    progress: Progress | None = None,
) -> Path:
    """The file that `weights` stands for: one that is published, by a name in `published`, or else a path.

    `published` maps such names ("download") to addresses, for `published_file`. An error for a path without a file
    begins with `what` and ends with what is `expected` instead. Raises: ModelError.
    """
    if address := published.get(str(weights)):
        return published_file(address, what=f"{what} '{weights}'", otherwise=otherwise, progress=progress)
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ModelError(f"{what} '{weights}': no such file; give {expected}")
    return path


def _fetch(address: str, partial: Path, progress: Progress | None) -> None:
    """Bring the file at `address` to `partial`, going on from what is there. Raises: OSError or HTTPException."""
    there = partial.stat().st_size if partial.is_file() else 0
    headers = {"User-Agent": "inpaintkit", **({"Range": f"bytes={there}-"} if there else {})}
    try:
        answer = urlopen(Request(address, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        if there and error.code == 416:  # nothing comes after what is there: it is whole, and its hash will be checked
            return
        raise
    with answer:
        resumed = answer.status == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
            partial.unlink(missing_ok=True)
            raise OSError("the server sent another part of the file than was asked for")
        there = there if resumed else 0
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length else None
        with partial.open("ab" if resumed else "wb") as file:
            there = _copy(answer, file, there, total, progress)
    if total is not None and there < total:
        raise OSError(f"the connection ended after {there:,} of {total:,} bytes")


def _copy(answer: BinaryIO, file: BinaryIO, there: int, total: int | None, progress: Progress | None) -> int:
    """Append what the server sends; returns the bytes then at hand."""
    while piece := answer.read(CHUNK):
        file.write(piece)
        there += len(piece)
        if progress is not None:
            progress(there, total)
    return there


def _publish(partial: Path, target: Path, what: str, otherwise: str) -> None:
    """Give a whole download its name if its hash is the one in that name; remove it otherwise. Raises: ModelError."""
    digest = file_sha256(partial)
    named = HASH_IN_NAME.search(target.name)
    if named and not digest.startswith(named[1]):
        partial.unlink()
        raise ModelError(
            f"{what}: the download's SHA-256 begins with {digest[: len(named[1])]}, expected {named[1]}: it was "
            f"damaged or changed on the way and is removed; try again, or {otherwise}"
        )
    partial.replace(target)


# --- Reading a file --------------------------------------------------------------------------------------------------


def checked_sha256(path: Path) -> str:
    """The file's SHA-256, compared with the digits in its name if it has any. Raises: ModelError."""
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give a file you may read") from error
    named = HASH_IN_NAME.search(path.name)
    if named and not digest.startswith(named[1]):
        raise ModelError(
            f"{path}: its SHA-256 begins with {digest[: len(named[1])]}, its name says {named[1]}: the file is damaged "
            "or another one; get it anew, or rename it if these digits are no checksum"
        )
    return digest


def read_tensors(path: Path) -> Mapping[str, Any]:
    """What a .safetensors or .pth file holds, by name. Neither can run code the way it is read. Raises: ModelError."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        mapped = zipfile.is_zipfile(path)  # the old format, which the official files of 2017 have, cannot be mapped
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        if not isinstance(found, Mapping):
            raise TypeError(f"it holds a {type(found).__name__}")
        return found
    except Exception as error:  # a damaged or hostile file may raise anything
        raise ModelError(
            f"{path}: cannot be read as named tensors ({type(error).__name__}): the file is damaged, or it holds more "
            "than tensors, which is never run; give a .safetensors file, or a .pth file of a state dict"
        ) from error


def chosen_tensors(
    tensors: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], path: Path, *, network: str, expected: str
) -> dict[str, Tensor]:
    """The tensors that `shapes` names, each of that shape, finite and floating; what else the file holds is left out.

    Errors say that `path` does not hold `network` ("a VGG19"), and what is `expected`. Raises: ModelError.
    """
    chosen = {}
    for name, shape in shapes.items():
        tensor = tensors.get(name)
        if not isinstance(tensor, Tensor) or tensor.shape != shape or not tensor.is_floating_point():
            given = f"is {tuple(tensor.shape)} {tensor.dtype}" if isinstance(tensor, Tensor) else "is missing"
            raise ModelError(
                f"{path}: not the weights of {network}: {name} {given}, expected floats {shape}; give {expected}"
            )
        if not tensor.isfinite().all():
            raise ModelError(f"{path}: {name} holds values that are not finite; get the file anew")
        chosen[name] = tensor
    return chosen
