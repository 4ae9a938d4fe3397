"""Exported files: they say what PyTorch says at every size, keep known pixels, and nothing unsound gets a name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from inpaintkit import __version__, export
from inpaintkit.errors import ModelError
from inpaintkit.export import SMALL, TOLERANCE, export_onnx, export_tensors
from inpaintkit.filling.engines import open_engine
from inpaintkit.models import GENERATORS, Completion
from inpaintkit.models.published import read_generator_file, save_generator
from inpaintkit.tensors import composite

NETWORKS = {"glcic": {"width": 16}, "unet": {"width": 8, "dilations": (1, 2)}}


def _description(name: str) -> dict[str, Any]:
    return {
        "model": name,
        "arguments": NETWORKS[name],
        "training_size": 96,
        "licence": "research only, für Forschung",
        "step": 7,
        "phase": "joint",
    }


def _network(name: str) -> nn.Module:
    """A small generator whose every layer matters."""
    torch.manual_seed(0)
    network = GENERATORS[name](**NETWORKS[name])
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=(1.5 / layer.weight[0].numel()) ** 0.5)
            nn.init.normal_(layer.bias, std=0.05)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return network.eval()


class Exported:
    """A network, its file, the report and the graph before anything was done to it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.network = _network(name)
        self.path = folder / "modèle 1.onnx"
        original, kept = export._trace, []

        def trace(*arguments: Any) -> onnx.ModelProto:
            kept.append(original(*arguments).SerializeToString())
            return onnx.load_from_string(kept[0])

        export._trace = trace
        try:
            self.report = export_onnx(self.network, self.path, _description(name))
        finally:
            export._trace = original
        self.graph: bytes = kept[0]
        self.model = onnx.load(self.path)

    def trace(self, *_: Any) -> onnx.ModelProto:
        """Stands in for the slow step."""
        return onnx.load_from_string(self.graph)


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def exported(request, tmp_path_factory) -> Exported:
    return Exported(request.param, tmp_path_factory.mktemp("export"))


@pytest.fixture
def quick(exported, monkeypatch) -> Exported:
    """The same, with an exporter that gives the graph it gave before."""
    monkeypatch.setattr(export, "_trace", exported.trace)
    return exported


def _sample(n: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(height * width + n)
    mask = (rng.random((n, 1, height, width)) < 0.4).astype(np.float32)
    return rng.random((n, 3, height, width), dtype=np.float32), mask


# --- what the file computes ---


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (1, 2, 5), (3, 4, 3), (1, 9, 7), (2, 6, 6)])
def test_any_size_that_is_a_multiple_gives_what_pytorch_gives(exported, n, rows, columns):
    multiple = exported.network.size_multiple
    image, mask = _sample(n, rows * multiple, columns * multiple)
    session = onnxruntime.InferenceSession(exported.path.read_bytes(), providers=["CPUExecutionProvider"])
    (filled,) = session.run(["completed"], {"image": image, "mask": mask})
    with torch.inference_mode():
        x, m = torch.from_numpy(image), torch.from_numpy(mask)
        expected = composite(x, m, exported.network(x, m).image).numpy()
    assert (filled.dtype, filled.shape) == (np.float32, image.shape)
    np.testing.assert_allclose(filled, expected, rtol=0, atol=TOLERANCE)
    known = np.broadcast_to(mask == 0, image.shape)
    assert np.array_equal(filled[known].view(np.int32), image[known].view(np.int32))
    assert (filled[~known] != image[~known]).mean() > 0.9


def test_what_lies_under_the_mask_does_not_matter(exported):
    image, mask = _sample(1, 64, 48)
    session = onnxruntime.InferenceSession(exported.path.read_bytes(), providers=["CPUExecutionProvider"])
    fills = [
        session.run(None, {"image": np.where(mask == 1, v, image), "mask": mask})[0] for v in (np.float32(0), image)
    ]
    assert np.array_equal(*fills)


def test_the_light_engine_and_pytorch_fill_alike_at_odd_sizes(exported, tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_generator(weights, exported.network.state_dict(), _description(exported.name), half=False)
    light, heavy = open_engine(exported.path, "onnx"), open_engine(weights)
    assert (light.runtime, heavy.runtime) == ("onnx", "torch")
    assert light.working_size == heavy.working_size == 96
    image = np.random.default_rng(0).random((37, 51, 3), dtype=np.float32)
    mask = np.zeros((37, 51), bool)
    mask[5:30, 20:] = True
    first, second = light(image, mask), heavy(image, mask)
    np.testing.assert_allclose(first, second, rtol=0, atol=TOLERANCE)
    for filled in (first, second):
        assert np.array_equal(filled[~mask], image[~mask])


# --- what the file is ---


def test_inputs_and_output_have_the_names_types_and_free_sides_of_the_seam(exported):
    session = onnxruntime.InferenceSession(exported.path.read_bytes(), providers=["CPUExecutionProvider"])
    inputs = {i.name: (i.type, i.shape) for i in session.get_inputs()}
    (output,) = session.get_outputs()
    assert set(inputs) == {"image", "mask"}
    assert output.name == "completed"
    for kind, shape in [*inputs.values(), (output.type, output.shape)]:
        assert kind == "tensor(float)"
        assert [isinstance(side, str) for side in shape] == [True, False, True, True]
    assert [inputs["image"][1][1], inputs["mask"][1][1], output.shape[1]] == [3, 1, 3]


def test_the_file_is_valid_and_stands_alone(exported):
    onnx.checker.check_model(exported.model, full_check=True)
    assert not any(t.data_location == TensorProto.EXTERNAL for t in exported.model.graph.initializer)
    assert [path.name for path in exported.path.parent.iterdir()] == [exported.path.name]


def test_weights_are_stored_in_half_precision(exported):
    stored = exported.model.graph.initializer
    floats = [t for t in stored if t.data_type == TensorProto.FLOAT]
    halves = [t for t in stored if t.data_type == TensorProto.FLOAT16]
    assert all(np.prod(t.dims) < SMALL for t in floats)
    weights = sum(p.numel() for p in exported.network.parameters() if p.ndim == 4)
    assert sum(int(np.prod(t.dims)) for t in halves) >= weights
    assert exported.path.stat().st_size < 2.05 * weights + 80_000  # and the graph
    before = {t.name: numpy_helper.to_array(t) for t in exported.trace().graph.initializer}
    for tensor in halves:
        whole = before[tensor.name.removesuffix(".half")]
        np.testing.assert_allclose(numpy_helper.to_array(tensor).astype(np.float32), whole, rtol=1e-3, atol=1e-7)


def test_batch_norms_are_folded_away(exported):
    assert "BatchNormalization" not in {node.op_type for node in exported.model.graph.node}


def test_the_metadata_says_what_a_filler_must_know(exported):
    facts = {prop.key: prop.value for prop in exported.model.metadata_props}
    card = json.loads(facts.pop("inpaintkit.card"))
    description = json.loads(json.dumps(_description(exported.name)))
    assert {key: card[key] for key in description} == description
    assert facts.pop("inpaintkit.normalisation")
    assert facts == {
        "inpaintkit.name": "modèle 1",
        "inpaintkit.training_size": "96",
        "inpaintkit.working_size": "96",
        "inpaintkit.size_multiple": str(exported.network.size_multiple),
        "inpaintkit.licence": "research only, für Forschung",
        "inpaintkit.version": __version__,
    }


def test_no_path_of_the_machine_that_exported_is_in_the_file(exported):
    data = exported.path.read_bytes()
    assert str(Path(__file__).parent.parent).encode() not in data
    assert b"site-packages" not in data


def test_the_report_tells_sizes_errors_and_bytes(exported):
    report = exported.report
    assert report["sizes"] == [[64, 64], [96, 160], [256, 256]]
    assert 0 < report["mean_abs_error"] < report["max_abs_error"] <= TOLERANCE  # halves of weights differ a little
    assert report["known_pixels_equal"] is True
    assert report["bytes"] == exported.path.stat().st_size
    json.dumps(report)


# --- what is refused ---


def _store(how):
    """A wrong way to store the weights."""

    def store(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) > SMALL:
                tensor.CopyFrom(numpy_helper.from_array(how(numpy_helper.to_array(tensor)), tensor.name))

    return store


@pytest.mark.parametrize("how", [lambda w: w * np.float32(1.1), lambda w: w * np.float32("nan")], ids=["wrong", "nan"])
def test_a_graph_that_differs_from_pytorch_is_not_written(quick, tmp_path, monkeypatch, how):
    monkeypatch.setattr(export, "_store_half", _store(how))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the one before")
    with pytest.raises(ModelError, match="differs from PyTorch") as error:
        export_onnx(quick.network, path, _description(quick.name))
    assert "\n" not in str(error.value)
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_graph_that_touches_known_pixels_is_not_written(quick, tmp_path, monkeypatch):
    """Be it by less than the tolerance."""

    def leak(model: onnx.ModelProto) -> None:
        (last,) = (node for node in model.graph.node if "completed" in node.output)
        last.output[list(last.output).index("completed")] = "almost"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1e-4), "little"))
        model.graph.node.append(onnx.helper.make_node("Add", ["almost", "little"], ["completed"]))

    monkeypatch.setattr(export, "_store_half", leak)
    with pytest.raises(ModelError, match="known"):
        export_onnx(quick.network, tmp_path / "model.onnx", _description(quick.name))
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_compared_with_the_network_itself_not_with_a_copy_made_for_the_export(quick, tmp_path, monkeypatch):
    """Were folding wrong, file and folded copy would agree with each other."""

    class AlwaysGrey(nn.Module):
        size_multiple = quick.network.size_multiple

        def forward(self, image: Tensor, mask: Tensor) -> Completion:
            return Completion(torch.full_like(image, 0.5))

    def grey(model: onnx.ModelProto) -> None:
        del model.graph.node[:]
        constants = {"half": np.float32(0.5)}
        for name, value in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(value, name))
        model.graph.node.append(onnx.helper.make_node("Cast", ["mask"], ["hole"], to=TensorProto.BOOL))
        model.graph.node.append(onnx.helper.make_node("Where", ["hole", "half", "image"], ["completed"]))

    monkeypatch.setattr(export, "fold_batch_norms", lambda generator: AlwaysGrey())
    monkeypatch.setattr(export, "_store_half", grey)
    with pytest.raises(ModelError, match="differs from PyTorch"):
        export_onnx(quick.network, tmp_path / "model.onnx", _description(quick.name))


def test_a_folder_that_is_not_there_is_an_error(quick, tmp_path):
    with pytest.raises(ModelError, match="cannot be written"):
        export_onnx(quick.network, tmp_path / "gone" / "model.onnx", _description(quick.name))


def test_a_network_that_cannot_be_exported_is_an_error_in_one_line(tmp_path):
    class Undecided(nn.Module):
        size_multiple = 4

        def forward(self, image: Tensor, mask: Tensor) -> Completion:
            return Completion(image * 0 if image.sum() > 0 else image)

    with pytest.raises(ModelError, match="cannot be exported to ONNX") as error:
        export_onnx(Undecided(), tmp_path / "model.onnx", {})
    assert "\n" not in str(error.value)
    assert "--engine torch" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_exported_network_is_left_as_it_was(quick, tmp_path):
    network = quick.network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export_onnx(network, tmp_path / "model.onnx", _description(quick.name))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    network.eval()


# --- from a file or a run ---


def test_weights_from_a_file_are_exported_under_a_name(quick, tmp_path):
    path = tmp_path / "model.onnx"
    report = export_tensors(quick.network.state_dict(), _description(quick.name), path, name="mine")
    facts = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert facts["inpaintkit.name"] == "mine"
    assert json.loads(facts["inpaintkit.card"])["step"] == 7
    assert report["known_pixels_equal"]


def test_weights_that_do_not_fit_are_refused(quick, tmp_path):
    tensors = dict(list(quick.network.state_dict().items())[1:])
    with pytest.raises(ModelError, match="do not fit"):
        export_tensors(tensors, _description(quick.name), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_weights_file_is_refused(tmp_path, trained_run):
    whole = next(trained_run.glob("*.safetensors")).read_bytes()
    path = tmp_path / "broken.safetensors"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="not a whole weights file"):
        export_tensors(*read_generator_file(path), tmp_path / "model.onnx")
