"""`inpaintkit train`: a run from the command line, how it stops, and one line for whatever is wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from refusal import refused

import inpaintkit
from inpaintkit.cli import main
from inpaintkit.cli.train import seconds
from inpaintkit.errors import UsageError
from inpaintkit.models.published import read_generator_file
from inpaintkit.training.checkpoint import newest

SOURCE = Path(inpaintkit.__file__).resolve().parents[1]


@pytest.fixture
def options(tiny_overrides) -> list[str]:
    """What makes `glcic_small` a matter of a second."""
    settings = [part for setting in tiny_overrides["glcic_small"] for part in ("--set", setting)]
    return ["--accelerator", "cpu", *settings]


@pytest.fixture
def train(photo_folder, options, capsys):
    """(out, *arguments, recipe=, data=) -> (status, standard output, standard error)."""

    def call(out: Path, *arguments: object, recipe: str = "glcic_small", data: object = None) -> tuple[int, str, str]:
        capsys.readouterr()
        given = ["train", recipe, "--data", data or photo_folder, "--out", out, *options, *arguments]
        status = main([str(part) for part in given])
        return status, *capsys.readouterr()

    return call


# --- runs ---


def test_a_run_from_photos_to_weights(train, tmp_path):
    status, output, error = train(tmp_path / "run")
    assert status == 0
    assert output == f"finished at step 11; the run is in {tmp_path / 'run'}\n"
    assert "Traceback" not in error
    assert newest(tmp_path / "run" / "checkpoints")[0].step == 11
    assert read_generator_file(tmp_path / "run")[1]["step"] == 11
    assert (tmp_path / "run" / "samples" / "step-000000011.png").is_file()


def test_the_outcome_as_json_with_corrupt_photos_counted_and_named(train, tmp_path, photo_folder):
    shutil.copytree(photo_folder, tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no photo")
    status, output, error = train(tmp_path / "run", "--json", data=tmp_path / "photos")
    assert status == 0
    outcome = json.loads(output)
    assert outcome == {"ended": "finished", "step": 11, "out": str(tmp_path / "run"), "unreadable": 1}
    assert "skipped broken.jpg" in error
    assert "1 of 11 photos could not be read" in error


def test_the_time_limit_then_resume(train, tmp_path):
    status, output, _ = train(tmp_path / "run", "--time-limit", "0s")
    assert (status, output.split(";")[0]) == (0, "time limit at step 1")
    status, output, error = train(tmp_path / "run", "--resume")
    assert (status, output.split(";")[0]) == (0, "finished at step 11")
    assert "resumed at step 1" in error


def test_from_a_run_anew_and_going_on(train, tmp_path, trained_run):
    same = (
        "--set",
        "data.size=64",
        "--set",
        "data.resize=[64,64]",
        "--set",
        "schedule.joint_steps=6",
        "--time-limit",
        "0",
    )
    status, output, _ = train(tmp_path / "anew", *same, "--init-from", trained_run)
    assert (status, output.split(";")[0]) == (0, "time limit at step 1")
    status, output, _ = train(tmp_path / "on", *same, "--init-from", trained_run, "--continue")
    assert (status, output.split(";")[0]) == (0, "time limit at step 12")


def test_layers_that_do_not_fit_are_named_on_standard_error(train, tmp_path, trained_run):
    larger = ("--set", "data.size=128", "--set", "data.resize=[128,128]", "--time-limit", "0")
    status, output, error = train(tmp_path / "run", *larger, "--init-from", trained_run)
    assert status == 0
    assert "whole.7" in error
    assert "whole.7" not in output


def test_a_recipe_file_of_ones_own(train, tmp_path):
    recipe = tmp_path / "mine.toml"
    text = (Path(inpaintkit.__file__).parent / "recipes" / "glcic_small.toml").read_text(encoding="utf-8")
    recipe.write_text(text, encoding="utf-8")
    status, output, _ = train(tmp_path / "run", "--time-limit", "0", recipe=str(recipe))
    assert (status, output.split(";")[0]) == (0, "time limit at step 1")


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
def test_sigterm_to_the_process_saves_and_ends_with_status_0(tmp_path, photo_folder, options):
    out = tmp_path / "run"
    paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    code = "import sys; from inpaintkit.cli import main; sys.exit(main(sys.argv[1:]))"
    endless = ["--set", "schedule.completion_steps=100000"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", "glcic_small", "--data", photo_folder, "--out", out, *options, *endless],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        deadline = time.monotonic() + 300
        while not (out / "log.jsonl").exists() or not (out / "log.jsonl").read_text(encoding="utf-8"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, error
    saved, _ = newest(out / "checkpoints")
    assert output.startswith(f"SIGTERM at step {saved.step}; ")
    last = json.loads((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["step"] == saved.step
    assert "Traceback" not in error


# --- what is refused ---


def test_a_run_in_the_way_isrefused(train, trained_run):
    before = sorted(path.name for path in trained_run.rglob("*"))
    refused(train(trained_run), 2, "holds a run at step 11", "--resume")
    assert sorted(path.name for path in trained_run.rglob("*")) == before


def test_an_empty_folder_isrefused(train, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(train(tmp_path / "run", data=tmp_path / "empty"), 1, "no photo found", str(tmp_path / "empty"))
    assert not (tmp_path / "run").exists()


def test_photos_that_are_not_there_arerefused(train, tmp_path):
    refused(train(tmp_path / "run", data=tmp_path / "gone"), 1, "no such file or folder", "gone")


def test_nothing_but_corrupt_photos_ends_the_run(train, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    status, _, error = train(tmp_path / "run", data=tmp_path)
    assert status == 1
    assert "none of the 1 photos can be read (first: a.jpg" in error.splitlines()[-1]
    assert "Traceback" not in error


def test_an_unknown_recipe_isrefused(train, tmp_path):
    refused(
        train(tmp_path / "run", recipe="glcik_small"), 2, "unknown recipe 'glcik_small'", "did you mean 'glcic_small'"
    )


def test_an_unknown_key_names_the_nearest(train, tmp_path):
    refused(train(tmp_path / "run", "--set", "training.bacth=3"), 2, "'bacth'", "did you mean 'batch'")


def test_a_setting_without_a_value_isrefused(train, tmp_path):
    refused(train(tmp_path / "run", "--set", "training.batch"), 2, "--set training.batch")


def test_a_time_limit_that_is_none_isrefused(train, tmp_path):
    refused(train(tmp_path / "run", "--time-limit", "soon"), 2, "--time-limit soon", "9m")


def test_options_that_exclude_each_other_arerefused(train, tmp_path, trained_run):
    refused(train(tmp_path / "run", "--resume", "--init-from", trained_run), 2, "exclude each other")
    refused(train(tmp_path / "run", "--continue"), 2, "--init-from")


def test_damaged_weights_arerefused(train, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    refused(train(tmp_path / "run", "--init-from", tmp_path / "w.safetensors"), 1, "not a whole weights file")


@pytest.mark.parametrize("accelerator", ["quantum", "cuda"])
def test_a_device_that_is_not_here_isrefused(train, tmp_path, accelerator):
    import torch

    if accelerator == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    refused(train(tmp_path / "run", "--accelerator", accelerator), 2, accelerator)


def test_data_and_out_must_be_given(capsys):
    for missing in (["--data", "x"], ["--out", "x"]):
        assert main(["train", "glcic", *missing]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert {"--data": "--out", "--out": "--data"}[missing[0]] in line


def test_an_out_that_is_a_file_isrefused(train, tmp_path):
    (tmp_path / "run").write_text("mine", encoding="utf-8")
    status, _, error = train(tmp_path / "run")
    assert status in {1, 2}
    assert len(error.strip().splitlines()) == 1
    assert (tmp_path / "run").read_text(encoding="utf-8") == "mine"


# --- the time limit ---


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("9m", 540), ("2h", 7200), ("1.5h", 5400), ("45", 45), (" 3m ", 180), ("0s", 0)]
)
def test_a_time_is_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "9 m", "-9m", "9d", "1e3", "nan", "9mm"])
def test_anything_else_is_not(text):
    with pytest.raises(UsageError, match="--time-limit"):
        seconds(text)
