"""Weights files: what is written is what is read, and what is damaged or foreign is refused in one line."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from inpaintkit.errors import InpaintError, ModelError
from inpaintkit.models import GENERATORS
from inpaintkit.models.published import SMALL, build_generator, load_generator, read_generator_file, save_generator

DESCRIPTION = {
    "model": "glcic",
    "arguments": {"width": 4, "groups": 0, "mean": [0.1, 0.2, 0.3]},
    "step": 1200,
    "phase": "joint",
    "photos_seen": 28_800,
    "recipe_sha256": "ab" * 32,
    "licence": "CC0; für jeden",
}


def _tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return GENERATORS["glcic"](width=4).state_dict()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_generator(path, _tensors(), DESCRIPTION, half=True)
    return path


def _one_line(error: pytest.ExceptionInfo[InpaintError], path: Path) -> None:
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_description_comes_back(weights):
    assert read_generator_file(weights)[1] == DESCRIPTION


def test_floats_are_stored_in_half_precision_and_counters_as_they_are(weights):
    with safe_open(weights, framework="pt") as file:
        kinds = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 (not a mapping)
        assert json.loads(file.metadata()["inpaintkit"])["step"] == 1200
    large = {
        name
        for name, tensor in read_generator_file(weights)[0].items()
        if tensor.numel() >= SMALL and "running_" not in name
    }
    assert {kind for name, kind in kinds.items() if name in large} == {torch.float16}
    assert {kind for name, kind in kinds.items() if "running_" in name} == {torch.float32}
    assert {kind for name, kind in kinds.items() if name.endswith("num_batches_tracked")} == {torch.int64}
    assert all(t.dtype in {torch.float32, torch.int64} for t in read_generator_file(weights)[0].values())


def test_the_network_is_built_from_the_description(weights):
    generator, _ = load_generator(weights)
    assert generator.layers[0][0].out_channels == 4
    assert generator.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_a_name_with_any_letters_will_do(tmp_path):
    path = tmp_path / "Gewichte für Zoë 写真.safetensors"
    save_generator(path, _tensors(), DESCRIPTION, half=True)
    assert load_generator(path)[1]["licence"] == "CC0; für jeden"


def test_tensors_in_any_memory_format_are_stored(tmp_path):
    network = GENERATORS["glcic"](width=4).to(memory_format=torch.channels_last)
    save_generator(tmp_path / "a.safetensors", network.state_dict(), DESCRIPTION, half=False)
    for name, tensor in load_generator(tmp_path / "a.safetensors")[0].state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 2000, -1])
def test_a_truncated_file_is_refused(weights, kept):
    data = weights.read_bytes()
    weights.write_bytes(data[:kept])
    with pytest.raises(ModelError, match="not a whole weights file") as error:
        load_generator(weights)
    _one_line(error, weights)


def test_a_damaged_header_is_refused(weights):
    data = bytearray(weights.read_bytes())
    data[8:40] = b"\xff" * 32
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="not a whole weights file") as error:
        load_generator(weights)
    _one_line(error, weights)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle perhaps", b"{}" * 500], ids=["empty", "zip", "text"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a whole weights file") as error:
        read_generator_file(path)
    _one_line(error, path)


def test_another_programs_weights_are_refused(tmp_path):
    path = tmp_path / "theirs.safetensors"
    save_file({"a": torch.zeros(2)}, path, {"format": "pt"})
    with pytest.raises(ModelError, match="inpaintkit") as error:
        read_generator_file(path)
    _one_line(error, path)


@pytest.mark.parametrize("text", ["[]", "3", '"glcic"', "{", "null"])
def test_a_description_that_is_no_object_is_refused(tmp_path, text):
    path = tmp_path / "odd.safetensors"
    save_file({"a": torch.zeros(2)}, path, {"inpaintkit": text})
    with pytest.raises(ModelError) as error:
        load_generator(path)
    _one_line(error, path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError) as error:
        load_generator(tmp_path / "gone.safetensors")
    _one_line(error, tmp_path / "gone.safetensors")


def test_an_unknown_network_lists_the_known_ones(tmp_path):
    path = tmp_path / "newer.safetensors"
    save_generator(path, _tensors(), {**DESCRIPTION, "model": "glicc"}, half=True)
    with pytest.raises(ModelError, match=r"did you mean 'glcic'\?"):
        load_generator(path)


@pytest.mark.parametrize(
    "arguments", [{"width": 4, "wings": 2}, {"width": "four"}, {"width": 0}, {"width": 6, "groups": 5}]
)
def test_numbers_that_build_no_network_are_refused(arguments):
    """A file of a newer version may have arguments that this one does not know."""
    with pytest.raises(ModelError, match="glcic"):
        build_generator({"model": "glcic", "arguments": arguments})


@pytest.mark.parametrize(
    "arguments", [{"width": 4, "kernels": [7, 5, 4]}, {"width": 1}, {"width": 4, "kernels": 5}, {"columns": 4}]
)
def test_numbers_that_build_no_columns_are_refused(arguments):
    with pytest.raises(ModelError, match="gmcnn") as error:
        build_generator({"model": "gmcnn", "arguments": arguments})
    assert "\n" not in str(error.value)


def test_columns_are_built_as_the_description_says(tmp_path):
    """Lists of a file become the tuple of kernels; both names build one class."""
    path = tmp_path / "columns.safetensors"
    written = GENERATORS["gmcnn"](width=4, kernels=(3, 7, 5))
    description = {"model": "gmcnn", "arguments": {"width": 4, "kernels": [3, 7, 5]}}
    save_generator(path, written.state_dict(), description, half=False)
    read, _ = load_generator(path)
    assert {k: t.shape for k, t in read.state_dict().items()} == {k: t.shape for k, t in written.state_dict().items()}
    fixed = build_generator({"model": "gmcnn_fixed", "arguments": {"width": 4}}).state_dict()
    five = GENERATORS["gmcnn"](width=4, kernels=(5, 5, 5)).state_dict()
    assert {k: t.shape for k, t in fixed.items()} == {k: t.shape for k, t in five.items()}


def test_weights_of_another_width_are_refused(tmp_path):
    path = tmp_path / "wide.safetensors"
    save_generator(path, _tensors(), {**DESCRIPTION, "arguments": {"width": 8}}, half=True)
    with pytest.raises(ModelError, match="do not fit") as error:
        load_generator(path)
    _one_line(error, path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5], ids=["nan", "inf", "too large for half"])
def test_weights_that_are_not_finite_are_never_published(tmp_path, value):
    tensors = _tensors()
    tensors["layers.5.0.weight"][0, 0, 0, 0] = value
    with pytest.raises(ModelError, match=r"layers\.5\.0\.weight"):
        save_generator(tmp_path / "weights.safetensors", tensors, DESCRIPTION, half=True)
    assert list(tmp_path.iterdir()) == []


def test_statistics_too_large_for_half_precision_are_kept_whole(tmp_path):
    tensors = _tensors()
    tensors["layers.5.1.running_var"][0] = 1e6
    save_generator(tmp_path / "weights.safetensors", tensors, DESCRIPTION, half=True)
    assert read_generator_file(tmp_path / "weights.safetensors")[0]["layers.5.1.running_var"][0] == 1e6


def test_a_tensor_too_few_is_refused(tmp_path):
    path = tmp_path / "part.safetensors"
    tensors = _tensors()
    tensors.pop("layers.16.0.bias")
    save_generator(path, tensors, DESCRIPTION, half=True)
    with pytest.raises(ModelError, match="do not fit"):
        load_generator(path)


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(ModelError, match="cannot be written"):
        save_generator(tmp_path / "gone" / "weights.safetensors", _tensors(), DESCRIPTION, half=True)
    assert list(tmp_path.iterdir()) == []


def test_a_name_taken_by_a_folder_is_an_error_and_leaves_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.mkdir()
    with pytest.raises(ModelError, match="cannot be written"):
        save_generator(path, _tensors(), DESCRIPTION, half=True)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_file_is_replaced_whole(weights):
    save_generator(weights, _tensors(), {**DESCRIPTION, "step": 5}, half=True)
    assert read_generator_file(weights)[1]["step"] == 5
    assert [p.name for p in weights.parent.iterdir()] == [weights.name]
