"""Whatever fills a crop, behind one call; and `open_engine`, the one door to the torch side."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, UsageError, unknown_name
from ..weights import CATALOGUE, bundled
from .adapters import OnnxEngine, open_onnx
from .classical import CLASSICAL
from .runtimes import openvino_has_bfloat16, openvino_works

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "BatchEngine",
    "Engine",
    "OnnxEngine",
    "check_options",
    "fill_crops",
    "model_names",
    "open_engine",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

RUNTIMES = ("auto", "onnx", "openvino", "torch")
"""What runs a network; auto: OpenVINO where it is installed, else ONNX Runtime; torch where there is no ONNX file."""

PRECISIONS = ("auto", "float32", "bfloat16")
"""Number format of a network's activations; auto: float32, or bfloat16 for a network of `TRUE_IN_BFLOAT16` that
OpenVINO runs on a processor with instructions for it. ONNX Runtime has float32 only."""

TRUE_IN_BFLOAT16 = frozenset({"default", "glcic"})
"""Bundled networks that bfloat16 changes by at most 0.01 of the range. GMCNN's weights were changed by 0.012."""

MOST_TOGETHER = 8
"""Crops that a network is given at once."""

MOST_THREADS = 1024
"""More threads than this are a slip, not a computer."""


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


@runtime_checkable
class BatchEngine(Engine, Protocol):
    """An engine that can fill several crops of one size in one run."""

    takes_batches: bool

    def fill_batch(self, images: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """`images` (N, H, W, 3) and `masks` (N, H, W), each filled as a call of its own would fill it."""
        ...


def fill_crops(
    engine: Engine, crops: Sequence[tuple[FloatArray, BoolArray]], most_together: int = MOST_TOGETHER
) -> list[FloatArray]:
    """Every crop (image, mask) filled, in order; crops of one size go through the engine together where it can.

    Batches have 8, 4, 2 or 1 crops, at most `most_together`: some runtimes prepare themselves for every new size. An
    engine is free to write into what it is given. Raises ModelError when what comes back is no picture.
    """
    fills: dict[int, FloatArray] = {}
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for number, (_, mask) in enumerate(crops):
        by_shape.setdefault(mask.shape, []).append(number)
    for members in by_shape.values():
        while members:
            size = 1
            if isinstance(engine, BatchEngine) and engine.takes_batches:
                size = 1 << (min(len(members), most_together).bit_length() - 1)
            batch, members[:size] = members[:size], []
            if size == 1:
                results = [engine(*crops[batch[0]])]
            else:
                images, masks = (np.stack([crops[each][part] for each in batch]) for part in (0, 1))
                results = list(engine.fill_batch(images, masks))  # type: ignore[attr-defined]
            for each, result in zip(batch, results, strict=True):
                fills[each] = _picture(engine, np.asarray(result), crops[each][0].shape)
    return [fills[number] for number in range(len(crops))]


def _picture(engine: Engine, filled: NDArray[Any], shape: tuple[int, ...]) -> FloatArray:
    """What an engine made of a crop, as float32. Raises ModelError when that is no picture."""
    if filled.shape != shape or filled.dtype.kind not in "fiu":
        raise ModelError(
            f"model '{engine.name}' returned {filled.dtype} {filled.shape} for an image {shape}, expected numbers of "
            "the same shape: mend it, or use another one"
        )
    if not np.isfinite(filled).all():
        raise ModelError(f"model '{engine.name}' returned values that are no numbers: use another one, or float32")
    return filled.astype(np.float32, copy=False)


def model_names() -> list[str]:
    """The names that `--model` takes besides files: bundled networks and classical methods."""
    return [*CATALOGUE, *CLASSICAL]


def open_engine(
    name_or_path: str | Path, runtime: str = "auto", precision: str = "auto", *, threads: int | None = None
) -> Engine:
    """The engine for a model's name, an ONNX file, a .safetensors file or a training run's folder.

    `runtime` and `precision` concern networks only; `threads` ONNX Runtime and OpenVINO only (None: one per processor
    core). Raises UsageError for a name or an option that is not known, ModelError for a model that cannot be used.
    """
    check_options(runtime, precision, threads)
    if not isinstance(name_or_path, str | Path):
        raise UsageError(f"model is {_shown(name_or_path)}, expected one of {', '.join(model_names())}, or a path")
    name = str(name_or_path)
    if name in CLASSICAL:
        _require_no_options(name, runtime, precision)
        return CLASSICAL[name]()
    if name in CATALOGUE:
        return _open_bundled(name, runtime, precision, threads)
    path = Path(name_or_path)
    try:
        if "\0" in name:
            raise ValueError("it holds a null character")
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:  # too long for a file name, or with a character that none may have
        raise UsageError(
            f"model {_shown(name)} cannot be a file ({_reason(error)}): expected a path, or one of "
            f"{', '.join(model_names())}"
        ) from None
    if is_folder or path.suffix.lower() == ".safetensors":
        return _open_trained(path, runtime, precision)
    if path.suffix.lower() == ".onnx":
        return _open_onnx_file(path, runtime, precision, threads)
    if exists:
        raise ModelError(f"model '{name}' is a file of unknown kind, expected .onnx, .safetensors or a run's folder")
    raise UsageError(unknown_name("model", name, model_names()) + ", FILE.onnx, FILE.safetensors or a run's folder")


def check_options(runtime: object, precision: object, threads: object) -> None:
    """Raise UsageError for an option that no model takes."""
    for kind, given, valid in (("engine", runtime, RUNTIMES), ("precision", precision, PRECISIONS)):
        if not isinstance(given, str) or given not in valid:
            raise UsageError(unknown_name(kind, given if isinstance(given, str) else repr(given), valid))
    whole = isinstance(threads, int | np.integer) and not isinstance(threads, bool)
    if threads is not None and not (whole and 1 <= threads <= MOST_THREADS):  # type: ignore[operator]
        raise UsageError(f"threads is {_shown(threads)}, expected a whole number from 1 to {MOST_THREADS}, or None")


def _open_bundled(name: str, runtime: str, precision: str, threads: int | None) -> Engine:
    """A network that ships with the package, its files checked against their card."""
    entry = bundled(name)
    if runtime == "torch" or (runtime == "auto" and precision == "bfloat16" and not openvino_has_bfloat16()):
        if entry.safetensors is None:
            raise ModelError(f"model '{name}' ships without weights for torch: leave out --engine and --precision")
        entry.verified(entry.safetensors)
        return _torch_engine(entry.safetensors, precision, name)
    automatic = "float32"
    if name in TRUE_IN_BFLOAT16 and runtime != "onnx" and openvino_has_bfloat16():
        automatic = "bfloat16"
    data = entry.verified(entry.onnx)
    return _open_graph(entry.onnx, runtime, precision, automatic, name=name, threads=threads, data=data)


def _open_onnx_file(path: Path, runtime: str, precision: str, threads: int | None) -> Engine:
    """A user's ONNX file."""
    if not path.is_file():
        raise UsageError(f"model '{path}' does not exist: expected an ONNX file, or one of {', '.join(model_names())}")
    if runtime == "torch":
        raise UsageError(
            f"model '{path}' is an ONNX file and --engine torch cannot run it: use --engine onnx or openvino"
        )
    return _open_graph(path, runtime, precision, threads=threads)


def _open_graph(path: Path, runtime: str, precision: str, automatic: str = "float32", **options: Any) -> Engine:
    """An ONNX file in the runtime that was asked for; `automatic` is the precision that auto means in OpenVINO.

    Runtime auto falls back on ONNX Runtime where OpenVINO cannot read the file.
    """
    if runtime == "openvino" or (runtime == "auto" and openvino_works()):
        try:
            wanted = automatic if precision == "auto" else precision
            return open_onnx(path, runtime="openvino", precision=wanted, **options)
        except ModelError:
            if runtime == "openvino" or precision == "bfloat16":
                raise
    return open_onnx(path, runtime="onnx", precision="float32" if precision == "auto" else precision, **options)


def _open_trained(path: Path, runtime: str, precision: str) -> Engine:
    """A .safetensors file or a training run's folder."""
    if not path.exists():
        raise UsageError(f"model '{path}' does not exist: expected weights, or one of {', '.join(model_names())}")
    if runtime in ("onnx", "openvino"):
        raise UsageError(
            f"model '{path}' holds weights for torch and --engine {runtime} cannot run it: export it first "
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

    engine: Engine = TorchEngine(path, precision="float32" if precision == "auto" else precision)
    if name is not None:
        engine.name = name
    return engine


def _require_no_options(name: str, runtime: str, precision: str) -> None:
    if runtime != "auto":
        raise UsageError(f"--engine {runtime} runs networks and model '{name}' is none: leave it out")
    if precision not in ("auto", "float32"):
        raise UsageError(f"--precision {precision} is for networks and model '{name}' is none: leave it out")


def _shown(given: object) -> str:
    """A value as a message shows it: on one line, and not thousands of characters long."""
    text = repr(given)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
