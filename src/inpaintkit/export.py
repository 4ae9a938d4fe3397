"""A trained generator as one ONNX file for the light side, checked against PyTorch before it is believed."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from . import __version__
from .errors import ModelError
from .models.layers import fold_batch_norms
from .models.published import SMALL, load_generator, restore_generator
from .tensors import composite

CHECK_SIZES = ((64, 64), (96, 160), (256, 256))
TOLERANCE = 2e-3  # of the range [0, 1]; a value on disk is a 255th, 4e-3


class _Filler(nn.Module):
    """What an exported graph computes: the composite of image and completion."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return composite(image, mask, self.generator(image, mask).image)


def export_onnx(
    generator: nn.Module, path: Path, description: Mapping[str, Any], *, sizes: Sequence[tuple[int, int]] = CHECK_SIZES
) -> dict[str, Any]:
    """Write a generator as ONNX with dynamic batch, height and width; returns the parity report.

    Inputs `image` (N, 3, H, W) in [0, 1] and `mask` (N, 1, H, W), 1 = missing; output `completed`, the composite. H
    and W must be multiples of the metadata's `inpaintkit.size_multiple`. Weights are stored in half precision and
    computed with in float32. The file appears under its name only after its outputs at `sizes` agree with PyTorch's.

    Raises: ModelError if an operation cannot be exported or the outputs differ.
    """
    filler = _Filler(fold_batch_norms(generator)).eval()
    multiple = int(generator.size_multiple)  # type: ignore[arg-type]
    model = _trace(filler, multiple)
    _forget_origin(model)
    _store_half(model)
    metadata = {
        "name": str(description.get("name", path.stem)),
        "training_size": str(description.get("training_size", 256)),
        "working_size": str(description.get("working_size", description.get("training_size", 256))),
        "size_multiple": str(multiple),
        "normalisation": "image in [0, 1], mask 1 = missing",
        "licence": str(description.get("licence", "see the training photos' terms")),
        "version": __version__,
        "card": json.dumps(dict(description), sort_keys=True),
    }
    helper.set_model_props(model, {f"inpaintkit.{key}": value for key, value in metadata.items()})
    partial = path.with_name(f".{path.name}.partial")
    try:
        onnx.save(model, partial)
        report = check_parity(_Filler(copy.deepcopy(generator)).eval(), partial, sizes)
        if not report["max_abs_error"] <= TOLERANCE or not report["known_pixels_equal"]:
            raise ModelError(
                f"{path}: the exported graph differs from PyTorch by {report['max_abs_error']:.2g} (inf: not finite; "
                f"allowed: {TOLERANCE}) or changes known pixels; nothing was written, check the weights"
            )
        partial.replace(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error}); choose a folder you may write to") from error
    finally:
        partial.unlink(missing_ok=True)
    return report


def export_file(source: Path, path: Path, *, name: str | None = None) -> dict[str, Any]:
    """Export a weights file; see `export_onnx`. `name` is what the model calls itself, by default the file's stem."""
    generator, description = load_generator(source)
    return export_onnx(generator, path, {**description, "name": name or path.stem})


def export_tensors(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any], path: Path, *, name: str | None = None
) -> dict[str, Any]:
    """Export a generator given as tensors and description, as a run's checkpoint holds it; see `export_onnx`."""
    generator = restore_generator(tensors, description, "the weights")
    return export_onnx(generator, path, {**description, "name": name or path.stem})


def check_parity(filler: nn.Module, path: Path, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Run the file by ONNX Runtime beside PyTorch on seeded noise with half of each frame missing.

    Returns sizes, the largest and the mean absolute difference inside the hole, and whether known pixels are equal.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst, means, known_equal = 0.0, [], True
    for height, width in sizes:
        image = rng.random((2, 3, height, width), dtype=np.float32)
        mask = np.zeros((2, 1, height, width), np.float32)
        mask[0, :, height // 4 : 3 * height // 4, : width // 2] = 1
        mask[1, :, height // 8 : height // 2, width // 4 :] = 1
        (ours,) = session.run(None, {"image": image, "mask": mask})
        with torch.inference_mode():
            theirs = filler(torch.from_numpy(image), torch.from_numpy(mask)).numpy()
        difference = np.abs(ours - theirs)
        worst = max(worst, float(difference.max()) if np.isfinite(difference).all() else np.inf)
        means.append(float(difference.sum() / (3 * mask.sum())))
        known = np.broadcast_to(mask == 0, image.shape)
        known_equal &= bool(np.array_equal(ours[known], image[known]))
    return {
        "sizes": [list(size) for size in sizes],
        "max_abs_error": worst,
        "mean_abs_error": float(np.mean(means)),
        "known_pixels_equal": known_equal,
        "bytes": path.stat().st_size,
    }


def _trace(filler: nn.Module, multiple: int) -> onnx.ModelProto:
    """The graph with symbolic batch, height and width."""
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 4 * multiple, 6 * multiple, generator=rng)
    mask = (torch.rand(2, 1, 4 * multiple, 6 * multiple, generator=rng) > 0.5).float()
    batch = torch.export.Dim("batch", min=1, max=4096)
    height = multiple * torch.export.Dim("rows", min=1, max=16384 // multiple)
    width = multiple * torch.export.Dim("columns", min=1, max=16384 // multiple)
    shapes = {name: {0: batch, 2: height, 3: width} for name in ("image", "mask")}
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                filler,
                (image, mask),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=["image", "mask"],
                output_names=["completed"],
                verbose=False,
            )
    except Exception as error:  # the exporter raises many kinds
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"this network cannot be exported to ONNX ({reason}); fill with --engine torch") from error
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without the exporter's warnings about packages that are not installed and about its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes on every node: stack traces with the paths of the machine that exported."""
    graph = model.graph
    for item in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, graph):
        item.doc_string = ""
        del item.metadata_props[:]
    del graph.value_info[:]


def _store_half(model: onnx.ModelProto) -> None:
    """Keep large float32 initialisers as float16 followed by a cast, which runtimes fold away when they load."""
    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < SMALL:
            continue
        name = tensor.name
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half")
        casts.append(helper.make_node("Cast", [half.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
