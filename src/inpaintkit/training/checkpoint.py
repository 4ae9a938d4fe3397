"""Checkpoints: one folder a step, tensors in safetensors, the rest in JSON, never pickle; whole or not at all."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import ModelError
from ..weights import file_sha256

TENSORS, RECORD = "state.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on as if it had never stopped: named tensors and a JSON record."""

    step: int
    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix/`, without it."""
        return {name[len(prefix) + 1 :]: t for name, t in self.tensors.items() if name.startswith(prefix + "/")}


def save(folder: Path, checkpoint: Checkpoint, *, keep: int = 2) -> Path:
    """Write `folder`/step-NNNNNNNNN and drop all but the newest `keep`.

    The files are written under a temporary name, synced and then renamed, so that a kill at any moment leaves either
    the whole checkpoint or none. Raises: ModelError when the disk refuses; older checkpoints stay.
    """
    target = folder / f"step-{checkpoint.step:09d}"
    partial = folder / f".partial-{target.name}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(".partial-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        partial.mkdir()
        save_file({name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}, partial / TENSORS)
        record = {**checkpoint.record, "step": checkpoint.step, "tensors_sha256": file_sha256(partial / TENSORS)}
        record["record_sha256"] = _hash_of(record)
        (partial / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        (partial / TENSORS).chmod((partial / RECORD).stat().st_mode)  # the library's writer ignores the umask
        for name in (TENSORS, RECORD):
            _sync(partial / name)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
        _sync_folder(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ModelError(
            f"{target}: the checkpoint could not be written ({error}); free space or choose another --out"
        ) from error
    for step, path in _found(folder)[keep:]:
        if step < checkpoint.step:
            shutil.rmtree(path, ignore_errors=True)
    return target


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that can be read whole, and a line for every newer one that cannot."""
    refused: list[str] = []
    for _, path in _found(folder):
        try:
            return load(path), refused
        except ModelError as error:
            refused.append(str(error))
    return None, refused


def load(path: Path) -> Checkpoint:
    """Read one checkpoint folder and verify its hash. Raises: ModelError if it is damaged."""
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        if record.pop("record_sha256") != _hash_of(record):
            raise ValueError(f"{RECORD} is not as it was written")
        expected, found = record["tensors_sha256"], file_sha256(path / TENSORS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: damaged checkpoint ({error}); use an earlier one") from error
    if found != expected:
        raise ModelError(f"{path}: damaged checkpoint (hash {found[:8]}, recorded {expected[:8]}); use an earlier one")
    return Checkpoint(record["step"], load_file(path / TENSORS), record)


def pack_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as named tensors and a JSON-able rest."""
    state = optimiser.state_dict()
    tensors = {
        f"{index}/{name}": value
        for index, values in state["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    plain = {
        str(index): {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        for index, values in state["state"].items()
    }
    return tensors, {"kind": _kind(optimiser), "plain": plain, "param_groups": state["param_groups"]}


def unpack_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], record: Mapping[str, Any]
) -> None:
    """Put back what `pack_optimiser` took out, except learning rate and the like, which stay as they are now.

    So a run can be resumed with another learning rate. Raises: ValueError for the state of another optimiser.
    """
    plain = getattr(optimiser, "optimizer", optimiser)  # Fabric wraps it
    groups = plain.state_dict()["param_groups"]
    if record["kind"] != _kind(optimiser):
        raise ValueError(f"the optimiser was {record['kind']} and is {_kind(optimiser)}")
    for own, saved in zip(groups, record["param_groups"], strict=True):
        if len(own["params"]) != len(saved["params"]):
            raise ValueError(f"the optimiser had {len(saved['params'])} parameters and has {len(own['params'])}")
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in record["plain"].items()}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    plain.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in plain.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)  # its layout in memory


def _found(folder: Path) -> list[tuple[int, Path]]:
    """Checkpoints by step, the newest first."""
    if not folder.is_dir():
        return []
    named = [(re.fullmatch(r"step-(\d+)", path.name), path) for path in folder.iterdir()]
    return sorted(((int(match[1]), path) for match, path in named if match), reverse=True)


def _kind(optimiser: torch.optim.Optimizer) -> str:
    return type(getattr(optimiser, "optimizer", optimiser)).__name__


def _hash_of(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _sync_folder(path: Path) -> None:
    """Make a rename last through a power cut, where folders can be opened at all."""
    if os.name != "nt":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
