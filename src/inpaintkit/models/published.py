"""A generator as one file: safetensors with a description of how to build it, and of how it came to be."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from ..errors import ModelError, unknown_name
from . import GENERATORS

KEY = "inpaintkit"
SMALL = 64
"""Tensors with fewer values are not worth halving."""
IN_RUN = "generator.safetensors"
"""The file in a run's folder that holds the EMA generator of its newest checkpoint."""


def weights_file(source: Path) -> Path:
    """The weights file itself, or the one inside a run's folder. Raises: ModelError where there is none."""
    path = source / IN_RUN if source.is_dir() else source
    if not path.is_file():
        raise ModelError(
            f"{source}: not a weights file or a run with a checkpoint; give a .safetensors file or a training's --out"
        )
    return path


def save_generator(path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any], *, half: bool) -> None:
    """Write a generator's tensors and description, in half precision if `half`.

    `description` must hold "model" (a name in GENERATORS) and "arguments" (its numbers); everything else is for
    people: step, phase, photos_seen, recipe_sha256, training_size, licence.
    """
    stored = {name: _stored(name, t.detach(), half).cpu().contiguous() for name, t in tensors.items()}
    partial = path.with_name(f".{path.name}.partial")
    try:
        # as bytes, because the library's own file writer ignores the umask and makes files that only the owner reads
        partial.write_bytes(serialise(stored, {KEY: json.dumps(dict(description), sort_keys=True)}))
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise ModelError(f"{path}: cannot be written ({error}); choose a folder you may write to") from error


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    """A tensor as it is written. Statistics and small tensors stay float32: they cost nothing and may be large."""
    if not tensor.is_floating_point():
        return tensor
    kept = tensor if not half or tensor.numel() < SMALL or "running_" in name else tensor.half()
    if not kept.isfinite().all():
        raise ModelError(
            f"tensor {name} holds values that are not finite; these weights cannot be used, train them anew"
        )
    return kept


def read_generator_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (float32) and description of a file that `save_generator` wrote.

    `path` may also be a run's folder. Raises: ModelError for a damaged file or one of another program.
    """
    path = weights_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        description = json.loads(metadata[KEY])
        if not isinstance(description, dict):
            raise ValueError("its description is not an object")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path}: not a whole weights file of inpaintkit ({str(error) or type(error).__name__}); "
            "give a .safetensors file that train or export wrote"
        ) from error
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}, description


def build_generator(description: Mapping[str, Any]) -> nn.Module:
    """The network that a description names, with initial weights. Raises: ModelError for an unknown one."""
    name = description.get("model", "")
    if name not in GENERATORS:
        raise ModelError(unknown_name("network in the weights file", str(name), GENERATORS))
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in description.get("arguments", {}).items()}
    try:
        return GENERATORS[name](**arguments)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"no {name} can be built from the arguments {arguments} ({reason}); use its own version"
        ) from error


def load_generator(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of a weights file and load it, strictly; in eval mode, float32."""
    tensors, description = read_generator_file(path)
    return restore_generator(tensors, description, str(path)), description


def restore_generator(tensors: Mapping[str, Tensor], description: Mapping[str, Any], source: str) -> nn.Module:
    """The network that a description names, with these weights, strictly; `source` is named in errors."""
    generator = build_generator(description)
    try:
        generator.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{source}: the weights do not fit the network they name ({reason})") from error
    return generator.eval()


@torch.no_grad()
def load_matching(module: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Copy every layer whose tensors all fit by name and shape; returns the tensors that were left as they are.

    A layer is taken whole or not at all: where a weight does not fit, its bias starts anew as well.
    """
    own = module.state_dict()
    unfit = {layer_of(n) for n, t in own.items() if n not in tensors or tensors[n].shape != t.shape}
    left = [name for name in own if layer_of(name) in unfit]
    for name in own.keys() - set(left):
        own[name].copy_(tensors[name])
    return left


def layer_of(tensor: str) -> str:
    """The layer that a tensor belongs to, by its name; what a normalisation of the weight keeps belongs to it too."""
    return tensor.partition(".parametrizations.")[0] if ".parametrizations." in tensor else tensor.rpartition(".")[0]
