"""`inpaintkit export`: a run as an ONNX or weights file, and one line for whatever is wrong."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from refusal import refused

from inpaintkit.cli import main
from inpaintkit.filling.engines import open_engine
from inpaintkit.models.published import read_generator_file, save_generator


@pytest.fixture
def call(capsys):
    """(*arguments) -> (status, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(part) for part in arguments])
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def exported(tmp_path_factory, trained_run) -> tuple[Path, int]:
    """A run, exported by the command under a name and with terms."""
    path = tmp_path_factory.mktemp("out") / "model.onnx"
    return path, main(["export", str(trained_run), "-o", str(path), "--name", "mine", "--licence", "CC0"])


def test_a_run_becomes_a_model_for_the_light_side(exported, trained_run):
    path, status = exported
    assert status == 0
    facts = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert (facts["inpaintkit.name"], facts["inpaintkit.licence"]) == ("mine", "CC0")
    assert (facts["inpaintkit.training_size"], facts["inpaintkit.size_multiple"]) == ("64", "4")
    assert json.loads(facts["inpaintkit.card"])["step"] == 11
    image = np.random.default_rng(0).random((45, 70, 3), dtype=np.float32)
    mask = np.zeros((45, 70), bool)
    mask[10:30, 20:50] = True
    light, heavy = open_engine(path)(image, mask), open_engine(trained_run)(image, mask)
    np.testing.assert_allclose(light, heavy, rtol=0, atol=2e-3)
    assert np.array_equal(light[~mask], image[~mask])


def test_it_tells_size_step_and_agreement(call, exported, trained_run, tmp_path, monkeypatch):
    from inpaintkit import export

    stored = exported[0].read_bytes()
    monkeypatch.setattr(export, "_trace", lambda *_: onnx.load_from_string(stored))  # the slow step
    monkeypatch.setattr(export, "_store_half", lambda model: None)
    status, output, error = call("export", trained_run, "-o", tmp_path / "a.onnx")
    assert status == 0, error
    first, second = output.strip().splitlines()
    assert first.startswith(f"{tmp_path / 'a.onnx'}: ")
    assert first.endswith("trained to step 11")
    assert "known pixels equal: True" in second
    status, output, _ = call("export", trained_run, "-o", tmp_path / "b.onnx", "--json")
    report = json.loads(output)
    assert status == 0
    assert report["file"] == str(tmp_path / "b.onnx")
    assert (report["step"], report["known_pixels_equal"]) == (11, True)
    assert report["max_abs_error"] <= 2e-3
    assert report["bytes"] == (tmp_path / "b.onnx").stat().st_size


def test_a_run_becomes_a_weights_file_in_half_precision(call, trained_run, tmp_path):
    path = tmp_path / "weights.safetensors"
    status, output, _ = call("export", trained_run, "-o", path, "--name", "mine", "--licence", "CC0")
    assert status == 0
    assert "trained to step 11" in output
    tensors, description = read_generator_file(path)
    assert (description["name"], description["licence"], description["step"]) == ("mine", "CC0", 11)
    whole, _ = read_generator_file(trained_run)
    for name, tensor in whole.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=1e-3, atol=1e-6)
    assert path.stat().st_size < next(trained_run.glob("*.safetensors")).stat().st_size * 0.7


def test_weights_may_be_exported_again(call, trained_run, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert call("export", trained_run, "-o", first)[0] == 0
    assert call("export", first, "-o", second)[0] == 0
    assert read_generator_file(second)[1]["name"] == "b"


def test_an_existing_file_is_kept_without_force(call, trained_run, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"mine")
    refused(call("export", trained_run, "-o", path), 2, "exists already", "--force")
    assert path.read_bytes() == b"mine"
    assert call("export", trained_run, "-o", path, "--force")[0] == 0
    assert read_generator_file(path)[1]["step"] == 11


@pytest.mark.parametrize("name", ["model.pt", "model", "model.onnx.txt"])
def test_another_suffix_isrefused(call, trained_run, tmp_path, name):
    refused(call("export", trained_run, "-o", tmp_path / name), 2, ".onnx or .safetensors")


def test_a_folder_that_is_not_there_isrefused(call, trained_run, tmp_path):
    refused(call("export", trained_run, "-o", tmp_path / "gone" / "model.onnx"), 2, "no such folder")


def test_a_run_that_is_not_there_isrefused(call, tmp_path):
    refused(call("export", tmp_path / "gone", "-o", tmp_path / "model.onnx"), 1, "gone", "no such run or file")


def test_a_folder_that_is_no_run_isrefused(call, tmp_path):
    refused(call("export", tmp_path, "-o", tmp_path / "model.onnx"), 1, "run")


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_damaged_weights_are_refused_and_leave_nothing(call, trained_run, tmp_path, suffix):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(next(trained_run.glob("*.safetensors")).read_bytes()[:-50])
    refused(call("export", damaged, "-o", tmp_path / f"model{suffix}"), 1, "not a whole weights file")
    assert list(tmp_path.iterdir()) == [damaged]


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
@pytest.mark.parametrize(
    "change",
    [{"model": "gmcnn_9"}, {"arguments": {"width": 2}}, {"arguments": {"wings": 2}}],
    ids=lambda c: str(*c.values()),
)
def test_weights_that_do_not_fit_their_description_arerefused(call, trained_run, tmp_path, suffix, change):
    tensors, description = read_generator_file(trained_run)
    path = tmp_path / "odd.safetensors"
    save_generator(path, tensors, {**description, **change}, half=True)
    refused(call("export", path, "-o", tmp_path / f"model{suffix}"), 1)
    assert list(tmp_path.iterdir()) == [path]
