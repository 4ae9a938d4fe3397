"""A tiny comparison whose scores are written down: nothing that a report states may drift unnoticed.

The photos are drawn without chance, the holes are a fixed set's and a folder's, and the network fills with mid-grey.
After a change that is meant, UPDATE_GOLDEN=1 in the environment of this test writes the file anew.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from inpaintkit.evaluation.compare import Settings, compare
from inpaintkit.evaluation.methods import parse_methods

GOLDEN = Path(__file__).with_name("golden_report.json")
UNSTABLE = ("inpaintkit", "run", "costs", "costs_conditions")


def grey_network(path: Path) -> Path:
    """A network of our signature that fills with mid-grey."""
    nodes = [
        helper.make_node("Sub", ["one", "mask"], ["known"]),
        helper.make_node("Mul", ["image", "known"], ["kept"]),
        helper.make_node("Mul", ["mask", "half"], ["grey"]),
        helper.make_node("Add", ["kept", "grey"], ["completed"]),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("one", 1), ("half", 0.5))
    ]
    shape = ["n", 3, "h", "w"]
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 1, "h", "w"]),
    ]
    outputs = [helper.make_tensor_value_info("completed", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "grey", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"inpaintkit.name": "grey", "inpaintkit.size_multiple": "1"})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def tiny_report(folder: Path) -> dict[str, Any]:
    """Three photos, two groups of masks, one network, at 192 pixels: MS-SSIM included."""
    photos, masks = folder / "photos", folder / "masks"
    photos.mkdir()
    masks.mkdir()
    down, along = np.mgrid[:200, :240]
    for number in range(3):
        waves = [127 + 90 * np.sin(down / (7 + number)), 127 + 80 * np.cos(along / (9 + number)), (down ^ along) % 256]
        Image.fromarray(np.stack(waves, 2).astype(np.uint8)).save(photos / f"{number}.png")
    for number, (top, side) in enumerate(((0, 20), (60, 96))):
        mask = np.zeros((192, 192), np.uint8)
        mask[top : top + side, 40 : 40 + side] = 255
        Image.fromarray(mask).save(masks / f"{number}.png")
    settings = Settings(
        images=str(photos),
        masks={"boxes": str(masks), "centre": "centre_256"},
        methods=tuple(parse_methods(str(grey_network(folder / "grey.onnx")))),
        size=192,
        costs=False,
        rows=1,
    )
    return compare(settings, folder / "out")


def comparable(report: dict[str, Any]) -> Any:
    """What must not drift: everything but versions, times, and the checksum of a file that another library wrote."""
    kept = {key: value for key, value in report.items() if key not in UNSTABLE}
    kept["images"] = {**kept["images"], "sha256": None}  # of PNG files, which encoders compress differently
    kept["groups"] = [
        {**group, "sha256": group["sha256"] if group["name"].startswith("centre") else None} for group in kept["groups"]
    ]
    kept["methods"] = [{**method, "sha256": None} for method in kept["methods"]]
    return json.loads(json.dumps(kept))


def assert_alike(found: Any, expected: Any, where: str = "report") -> None:
    """Equal, numbers to a millionth: processors round the last digits of filters differently."""
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key in expected:
            assert_alike(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_alike(one, other, f"{where}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), where
    else:
        assert found == expected, where


@pytest.mark.usefixtures("in_process")
def test_the_report_is_as_it_was_written_down(tmp_path: Path) -> None:
    found = comparable(tiny_report(tmp_path))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert_alike(found, json.loads(GOLDEN.read_text(encoding="utf-8")))
