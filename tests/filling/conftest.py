"""Tiny ONNX files with the signatures that are understood, drawn photos, and engines that watch what they are given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

MakeModel = Callable[..., Path]


def _save(nodes: list[Any], inputs: list[Any], outputs: list[Any], path: Path, properties: dict[str, str]) -> Path:
    constants = [
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("top", TensorProto.FLOAT, [], [255.0]),
        helper.make_tensor("sides", TensorProto.INT64, [2], [2, 3]),
    ]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def _mean_fill(image: str, known: str, filled: str) -> list[Any]:
    """Nodes that put the mean colour of the known pixels into the others, so that a wrong polarity shows at once."""
    return [
        helper.make_node("Mul", [image, known], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "sides"], ["total"], keepdims=1),
        helper.make_node("ReduceSum", [known, "sides"], ["weight"], keepdims=1),
        helper.make_node("Div", ["total", "weight"], ["mean"]),
        helper.make_node("Sub", ["one", known], ["gone"]),
        helper.make_node("Mul", ["mean", "gone"], ["patch"]),
        helper.make_node("Add", ["seen", "patch"], [filled]),
    ]


def _known_of_mask(reversed_polarity: bool) -> Any:
    """The node that makes `known` of a mask in which 1 is missing (or, reversed, known)."""
    if reversed_polarity:
        return helper.make_node("Identity", ["mask"], ["known"])
    return helper.make_node("Sub", ["one", "mask"], ["known"])


@pytest.fixture
def own_model(tmp_path: Path) -> MakeModel:
    """Our signature: the hole gets the mean of the known pixels; sides that are no multiple of 4 fail."""

    def make(name: str = "own.onnx", training_size: int = 64, **properties: str) -> Path:
        nodes = [
            helper.make_node("SpaceToDepth", ["image"], ["deep"], blocksize=4),
            helper.make_node("DepthToSpace", ["deep"], ["same"], blocksize=4),
            _known_of_mask(False),
            *_mean_fill("same", "known", "completed"),
        ]
        inputs = [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 1, "h", "w"]),
        ]
        outputs = [helper.make_tensor_value_info("completed", TensorProto.FLOAT, ["n", 3, "h", "w"])]
        facts = {
            "name": "own",
            "training_size": str(training_size),
            "size_multiple": "4",
            "licence": "CC0",
            **properties,
        }
        return _save(nodes, inputs, outputs, tmp_path / name, {f"inpaintkit.{k}": v for k, v in facts.items()})

    return make


@pytest.fixture
def unmarked_model(tmp_path: Path) -> MakeModel:
    """Our signature without our metadata, as another program might write it."""

    def make(name: str = "unmarked.onnx", *, reversed_polarity: bool = False) -> Path:
        nodes = [_known_of_mask(reversed_polarity), *_mean_fill("image", "known", "completed")]
        inputs = [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 1, "h", "w"]),
        ]
        outputs = [helper.make_tensor_value_info("completed", TensorProto.FLOAT, ["n", 3, "h", "w"])]
        return _save(nodes, inputs, outputs, tmp_path / name, {})

    return make


@pytest.fixture
def lama_model(tmp_path: Path) -> MakeModel:
    """LaMa's signature at a small fixed size; `scale` 255 is the other exporters' range."""

    def make(name: str = "lama.onnx", side: int = 64, scale: float = 1.0, *, reversed_polarity: bool = False) -> Path:
        nodes = [
            _known_of_mask(reversed_polarity),
            *_mean_fill("image", "known", "whole"),
            helper.make_node("Constant", [], ["scale"], value_float=scale),
            helper.make_node("Mul", ["whole", "scale"], ["output"]),
        ]
        inputs = [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, side, side]),
        ]
        outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, side, side])]
        return _save(nodes, inputs, outputs, tmp_path / name, {})

    return make


@pytest.fixture
def migan_model(tmp_path: Path) -> MakeModel:
    """MI-GAN's pipeline: 8-bit picture and mask of any size, 255 = keep (or, reversed, 255 = missing)."""

    def make(name: str = "migan.onnx", *, reversed_polarity: bool = False) -> Path:
        known = [helper.make_node("Div", ["level", "top"], ["share"])]
        if reversed_polarity:
            known.append(helper.make_node("Sub", ["one", "share"], ["known"]))
        else:
            known.append(helper.make_node("Identity", ["share"], ["known"]))
        nodes = [
            helper.make_node("Cast", ["image"], ["colour"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["mask"], ["level"], to=TensorProto.FLOAT),
            *known,
            *_mean_fill("colour", "known", "whole"),
            helper.make_node("Round", ["whole"], ["rounded"]),
            helper.make_node("Cast", ["rounded"], ["result"], to=TensorProto.UINT8),
        ]
        inputs = [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 3, "height", "width"]),
            helper.make_tensor_value_info("mask", TensorProto.UINT8, ["batch", 1, "height", "width"]),
        ]
        outputs = [helper.make_tensor_value_info("result", TensorProto.UINT8, ["batch", 3, "height", "width"])]
        return _save(nodes, inputs, outputs, tmp_path / name, {})

    return make


@pytest.fixture
def foreign_model(tmp_path: Path) -> MakeModel:
    """A graph with one four-channel input, which is no signature of ours."""

    def make(name: str = "foreign.onnx") -> Path:
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 64, 64])]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 64, 64])]
        return _save(nodes, inputs, outputs, tmp_path / name, {})

    return make


class WatchfulEngine:
    """Fills holes with one grey and remembers what it saw."""

    name = "watchful"
    runtime = "test"

    def __init__(self, working_size: int | None = 64, level: float = 0.5) -> None:
        self.working_size = working_size
        self.level = level
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The image with its hole filled by one grey."""
        self.seen.append((image.copy(), mask.copy()))
        return np.where(mask[..., None], np.float32(self.level), image)

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}


@pytest.fixture
def watchful() -> type[WatchfulEngine]:
    """An engine that remembers what it saw."""
    return WatchfulEngine


@pytest.fixture
def gradient() -> Callable[[int, int], np.ndarray]:
    """A smooth drawn photo, uint8 (H, W, 3)."""

    def draw(height: int, width: int) -> np.ndarray:
        rows, columns = np.mgrid[0:height, 0:width]
        planes = [rows * 200 / max(height - 1, 1), columns * 200 / max(width - 1, 1), 120 + 0 * rows]
        return (np.stack(planes, axis=2) + 20).astype(np.uint8)

    return draw
