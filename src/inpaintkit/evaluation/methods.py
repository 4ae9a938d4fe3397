"""What is compared: everything that `inpaintkit fill` takes, each with a name and the checksum of its weights."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import ModelError, UsageError
from ..filling.classical import CLASSICAL
from ..filling.engines import check_options, fill_crops, model_names, open_engine
from ..filling.inpainter import Inpainter
from ..weights import CATALOGUE, bundled, file_sha256
from .metrics.pixel import Hole, Pixels

Fill = Callable[[Pixels, Hole], Pixels]
"""A photo (H, W, 3) uint8 and its hole (H, W), True = missing, to the composite in 8 bits."""

_ELSEWHERE = re.compile(rb"\n\x08location\x12(.)(.{1,127})", re.DOTALL)
"""How an ONNX file names another one that holds a tensor: the key, and a name with its length before it."""

DETAIL = "+detail"
"""What a method's name ends in that fills as `inpaintkit fill` does."""


@dataclass(frozen=True)
class Method:
    """One row of a comparison.

    `through` "engine": the network or classical method alone fills the whole frame, as papers measure it; "fill": the
    whole path of `inpaintkit fill` (crops, colour match, detail, grain). `sha256` is that of the file with the weights.
    """

    label: str
    model: str
    through: Literal["engine", "fill"]
    kind: Literal["bundled", "classical", "onnx", "trained"]
    runtime: str = "auto"
    sha256: str | None = None
    terms: str | None = None


def parse_methods(asked: str, *, runtime: str = "onnx") -> list[Method]:
    """The methods of a list by comma, such as `default,default+detail,telea,mine=runs/x,FILE.onnx`.

    Each is what `inpaintkit fill --model` takes; `+detail` behind it asks for the whole path of `inpaintkit fill`,
    `LABEL=` before it gives it a name. `runtime` is what runs networks that have an ONNX file; runs and .safetensors
    files always go through PyTorch. Raises UsageError for an unknown name and for two methods of one label.
    """
    check_options(runtime, "auto", None)
    methods = [_parsed(part.strip(), runtime) for part in asked.split(",") if part.strip()]
    if not methods:
        raise UsageError(f"--methods is '{asked}', expected names or files by comma, such as default,telea,ns")
    twice = sorted(label for label, count in Counter(method.label for method in methods).items() if count > 1)
    if twice:
        raise UsageError(
            f"--methods has '{twice[0]}' {sum(m.label == twice[0] for m in methods)} times: give each method once, or "
            f"another name to one of them (other={next(m.model for m in methods if m.label == twice[0])})"
        )
    return methods


def _parsed(part: str, runtime: str) -> Method:
    """One method of the list."""
    label, model = "", part
    if "=" in part and not Path(part).exists():
        label, _, model = part.partition("=")
        label, model = label.strip(), model.strip()
        if not label or not model:
            raise UsageError(f"--methods has '{part}', expected NAME=MODEL with both sides")
    through: Literal["engine", "fill"] = "engine"
    if model.endswith(DETAIL) and not Path(model).exists():
        through, model = "fill", model.removesuffix(DETAIL)
    if not model:
        raise UsageError(f"--methods has '{part}', expected the model's name before {DETAIL}")
    label = label or _own_label(model) + (DETAIL if through == "fill" else "")
    if any(not letter.isprintable() for letter in label):
        raise UsageError(f"--methods has the name {label!r}, expected letters that can be printed")
    if model in CLASSICAL:
        return Method(label, model, through, "classical")
    if model in CATALOGUE:
        entry = bundled(model)
        trained = runtime == "torch" and entry.safetensors is not None
        file = entry.safetensors if trained and entry.safetensors is not None else entry.onnx
        return Method(label, model, through, "bundled", runtime, entry.sha256[file.name], entry.terms)
    path = Path(model)
    if path.suffix.lower() == ".onnx" and path.is_file():
        return Method(label, model, through, "onnx", "onnx" if runtime == "torch" else runtime, weights_sha256(path))
    if path.is_dir() or (path.suffix.lower() == ".safetensors" and path.is_file()):
        from ..models.published import weights_file

        return Method(label, model, through, "trained", "torch", weights_sha256(weights_file(path)))
    open_engine(model)  # says what is wrong with the name
    raise UsageError(f"--methods has '{model}', expected one of {', '.join(model_names())}, or a file")


def _own_label(model: str) -> str:
    """How a method is called that was given no name: its name, or its file's without folders and ending."""
    if model in model_names():
        return model
    path = Path(model)
    return path.resolve().name if path.is_dir() else path.stem


def weights_sha256(path: Path) -> str:
    """The checksum of a weights file's content; of an ONNX file together with the files that hold its tensors."""
    if path.suffix.lower() != ".onnx":
        return file_sha256(path)
    content = path.read_bytes()
    digest = hashlib.sha256(content)
    for name in sorted({found[2][: found[1][0]] for found in _ELSEWHERE.finditer(content)}):
        outside = path.parent / name.decode("utf-8", "replace")
        if outside.is_file():
            digest.update(bytes.fromhex(file_sha256(outside)))
    return digest.hexdigest()


def open_method(method: Method, *, threads: int | None = None) -> Fill:
    """The method ready to fill, with as many threads as are given (None: as many as the runtime likes).

    A number of `threads` also binds OpenCV and PyTorch in the whole process: give one in processes of your own only.

    What the hole holds is blanked before the method sees it. Raises UsageError or ModelError, also for weights that
    are no longer those that `parse_methods` found; the fill raises ModelError where what comes back is no picture
    (wrong shape, values that are no numbers).
    """
    _check_unchanged(method)
    runtime_threads = None if method.kind == "classical" or method.runtime == "torch" else threads
    runtime = "auto" if method.kind == "classical" else method.runtime
    if method.through == "fill":
        inpainter = Inpainter(method.model, runtime, threads=runtime_threads)
        _bound_threads(method, threads)

        def whole_path(shown: Pixels, hole: Hole) -> Pixels:
            return np.asarray(inpainter(_blanked(shown, hole), hole), np.uint8)

        return whole_path
    engine = open_engine(method.model, runtime, threads=runtime_threads)
    _bound_threads(method, threads)

    def alone(shown: Pixels, hole: Hole) -> Pixels:
        image = _blanked(shown, hole).astype(np.float32) / np.float32(255)
        filled = fill_crops(engine, [(image, hole.copy())])[0]
        return np.rint(np.clip(filled, 0, 1) * np.float32(255)).astype(np.uint8)

    return alone


def _check_unchanged(method: Method) -> None:
    """Raises ModelError where a file has other weights by now, as that of a run in training may have."""
    if method.kind not in ("onnx", "trained"):
        return
    path = Path(method.model)
    if method.kind == "trained":
        from ..models.published import weights_file

        path = weights_file(path)
    if not path.is_file():
        raise ModelError(f"model '{method.model}' is gone, expected the file that was there at the start: put it back")
    if weights_sha256(path) != method.sha256:
        raise ModelError(
            f"model '{method.model}' changed while it was compared: compare a copy of its weights, which stays the same"
        )


def _blanked(shown: Pixels, hole: Hole) -> Pixels:
    """The photo as a method gets it: black where it is missing."""
    blanked = shown.copy()
    blanked[hole] = 0
    return blanked


def _bound_threads(method: Method, threads: int | None) -> None:
    """Hold the libraries that count threads for the whole process to as many; only processes of our own ask for it."""
    if threads is None:
        return
    import cv2

    cv2.setNumThreads(threads)
    if method.runtime == "torch":
        import torch

        torch.set_num_threads(threads)


def labels_of(methods: Sequence[Method]) -> list[str]:
    """The methods' labels, in order."""
    return [method.label for method in methods]
