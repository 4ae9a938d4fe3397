"""Whatever fills a crop, behind one call; and `open_engine`, the one door to the torch side."""

import importlib.util
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, UsageError, unknown_name
from ..weights import CATALOGUE, bundled
from .adapters import OnnxEngine, open_onnx
from .classical import CLASSICAL

__all__ = ["PRECISIONS", "RUNTIMES", "Engine", "OnnxEngine", "model_names", "open_engine"]

RUNTIMES = ("auto", "onnx", "torch")
"""What runs a network; auto is ONNX Runtime where there is an ONNX file, else torch."""

PRECISIONS = ("float32", "bfloat16")
"""Number format of a network's weights and activations; bfloat16 needs the torch runtime."""


@runtime_checkable
class Engine(Protocol):
    """Fills one crop. Safe to call from several threads."""

    name: str
    runtime: str

    @property
    def working_size(self) -> int | None:
        """The side in pixels it works best at; None: any size, and only the hole's rim matters."""
        ...

    def __call__(self, image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The image (H, W, 3) in [0,1] with its missing pixels (mask True) filled, known ones as they came."""
        ...

    def describe(self) -> dict[str, Any]:
        """What this engine is, in plain values."""
        ...


def model_names() -> list[str]:
    """The names that `--model` takes besides files: bundled networks and classical methods."""
    return [*CATALOGUE, *CLASSICAL]


def open_engine(
    name_or_path: str | Path, runtime: str = "auto", precision: str = "float32", *, threads: int | None = None
) -> Engine:
    """The engine for a model's name, an ONNX file, a .safetensors file or a training run's folder.

    `runtime` and `precision` concern networks only; `threads` ONNX Runtime only (None: one per processor core). Raises
    UsageError for a name or an option that is not known, ModelError for a model that cannot be used.
    """
    for kind, given, valid in (("engine", runtime, RUNTIMES), ("precision", precision, PRECISIONS)):
        if given not in valid:
            raise UsageError(unknown_name(kind, given, valid))
    name = str(name_or_path)
    if name in CLASSICAL:
        return CLASSICAL[name]()
    if name in CATALOGUE:
        return _open_bundled(name, runtime, precision, threads)
    path = Path(name_or_path)
    if path.is_dir() or path.suffix.lower() == ".safetensors":
        return _open_trained(path, runtime, precision)
    if path.suffix.lower() == ".onnx":
        return _open_onnx_file(path, runtime, precision, threads)
    if path.exists():
        raise ModelError(f"model '{name}' is a file of unknown kind, expected .onnx, .safetensors or a run's folder")
    raise UsageError(unknown_name("model", name, model_names()) + ", FILE.onnx, FILE.safetensors or a run's folder")


def _open_bundled(name: str, runtime: str, precision: str, threads: int | None) -> Engine:
    """A network that ships with the package, its files checked against their card."""
    entry = bundled(name)
    if runtime == "torch" or (runtime == "auto" and precision != "float32"):
        if entry.safetensors is None:
            raise ModelError(f"model '{name}' ships without weights for torch: leave out --engine and --precision")
        entry.verified(entry.safetensors)
        return _torch_engine(entry.safetensors, precision, name)
    _require_float32(precision)
    return open_onnx(entry.onnx, name=name, threads=threads, data=entry.verified(entry.onnx))


def _open_onnx_file(path: Path, runtime: str, precision: str, threads: int | None) -> Engine:
    """A user's ONNX file."""
    if not path.is_file():
        raise UsageError(f"model '{path}' does not exist: expected an ONNX file, or one of {', '.join(model_names())}")
    if runtime == "torch":
        raise UsageError(f"model '{path}' is an ONNX file and --engine torch cannot run it: use --engine onnx")
    _require_float32(precision)
    return open_onnx(path, threads=threads)


def _open_trained(path: Path, runtime: str, precision: str) -> Engine:
    """A .safetensors file or a training run's folder."""
    if not path.exists():
        raise UsageError(f"model '{path}' does not exist: expected weights, or one of {', '.join(model_names())}")
    if runtime == "onnx":
        raise UsageError(
            f"model '{path}' holds weights for torch and --engine onnx cannot run it: export it first "
            "(inpaintkit export), or use --engine torch"
        )
    return _torch_engine(path, precision, None)


def _torch_engine(path: Path, precision: str, name: str | None) -> Engine:
    """The network in PyTorch: the only place where the light side reaches for it."""
    if importlib.util.find_spec("torch") is None:
        raise ModelError(
            f"model '{name or path}' needs PyTorch here: pip install 'inpaintkit[train]', or use an ONNX model"
        )
    from ..models.runtime import TorchEngine

    engine: Engine = TorchEngine(path, precision=precision)
    if name is not None:
        engine.name = name
    return engine


def _require_float32(precision: str) -> None:
    if precision != "float32":
        raise UsageError(f"--precision {precision} needs --engine torch: ONNX Runtime fills in float32")
