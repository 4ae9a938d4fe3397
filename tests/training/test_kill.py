"""A real process, really killed: what SIGKILL leaves behind goes on to the weights of a run that was never stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import inpaintkit
from inpaintkit.recipes import read_recipe
from inpaintkit.recipes.start import start_training
from inpaintkit.training.checkpoint import Checkpoint, newest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")

# The command line in a process of its own, which waits to be killed once it is where the test wants it:
# AFTER update NUMBER of step STEP (0: before any), or while it writes the checkpoint of STEP.
WAITS_FOR_ITS_END = """
import sys, time
from pathlib import Path
from inpaintkit.cli import main
from inpaintkit.training import checkpoint
from inpaintkit.training.loop import Training

moment, step, number, sign = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
done = {}

def wait():
    sign.touch()
    time.sleep(600)

def update(self, *arguments, original=Training._update):
    values = original(self, *arguments)
    done[self.step] = done.get(self.step, 0) + 1
    if moment == "update" and (self.step, done[self.step]) == (step, number):
        wait()
    return values

def sync(path, original=checkpoint._sync):
    original(path)
    if moment == "write" and f"step-{step:09d}" in str(path):
        wait()

Training._update, checkpoint._sync = update, sync
sys.exit(main(sys.argv[5:]))
"""
SOURCE = Path(inpaintkit.__file__).resolve().parents[1]
SETTINGS = {
    "glcic_small": ("training.checkpoint_every=2", "training.precision=bf16-mixed"),
    "gmcnn_small": ("training.checkpoint_every=2", "training.precision=32-true"),
}
THREADS = {"glcic_small": 2, "gmcnn_small": 1}


def _start(code: str, *arguments: object) -> subprocess.Popen:
    paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def _kill_at(moment: str, step: int, number: int, sign: Path, command: list[str]) -> None:
    process = _start(WAITS_FOR_ITS_END, moment, step, number, sign, *command)
    try:
        deadline = time.monotonic() + 300
        while not sign.exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the run never came to the place where it was to be killed"
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    sign.unlink()


@pytest.fixture(scope="module")
def command(photo_folder, tiny_overrides):
    """Recipe -> `inpaintkit train` of it at toy size, a checkpoint every second step; without --out."""

    def of(recipe: str) -> list[str]:
        settings = [*tiny_overrides[recipe], *SETTINGS[recipe]]
        options = [part for setting in settings for part in ("--set", setting)]
        where = ["--data", str(photo_folder), "--accelerator", "cpu", "--threads", str(THREADS[recipe])]
        return ["train", recipe, *where, *options]

    return of


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, photo_folder, tiny_overrides):
    """Recipe -> the end of a run in this process that nothing disturbed."""

    def of(recipe: str) -> Checkpoint:
        before = torch.get_num_threads()
        torch.set_num_threads(THREADS[recipe])
        out = tmp_path_factory.mktemp("unbroken")
        checked = read_recipe(recipe, [*tiny_overrides[recipe], *SETTINGS[recipe]])
        start_training(checked, str(photo_folder), out, accelerator="cpu").training.run()
        torch.set_num_threads(before)
        saved, _ = newest(out / "checkpoints")
        assert saved is not None
        return saved

    return of


def _go_on(command: list[str]) -> str:
    """Run it to its end; returns what it said."""
    last = _start("import sys; from inpaintkit.cli import main; sys.exit(main(sys.argv[1:]))", *command)
    output, _ = last.communicate(timeout=300)
    assert last.returncode == 0, output
    return output


def _assert_ends_as(out: Path, expected: Checkpoint) -> None:
    """All tensors bit for bit, and the record."""
    ended, refused = newest(out / "checkpoints")
    assert refused == []
    assert ended.tensors.keys() == expected.tensors.keys()
    different = [name for name, t in ended.tensors.items() if not torch.equal(t, expected.tensors[name])]
    assert different == []
    assert ended.record == expected.record


def test_a_run_killed_in_every_phase_and_while_saving_ends_with_the_unbroken_runs_weights(tmp_path, command, unbroken):
    out = tmp_path / "run"
    training = [*command("glcic_small"), "--out", str(out)]
    sign = tmp_path / "here"

    _kill_at("update", 3, 1, sign, training)  # completion: the generator has moved in step 3, no checkpoint of it
    assert newest(out / "checkpoints")[0].step == 2
    resumed = [*training, "--resume"]
    _kill_at("update", 5, 1, sign, resumed)  # discriminators alone
    assert newest(out / "checkpoints")[0].step == 4
    _kill_at("write", 8, 0, sign, resumed)  # the tensors of step 8 lie on the disk, the checkpoint is not named yet
    found, refused = newest(out / "checkpoints")
    assert (found.step, refused) == (6, [])
    _kill_at("update", 9, 1, sign, resumed)  # joint: the discriminators have moved in step 9, the generator has not
    assert newest(out / "checkpoints")[0].step == 8

    output = _go_on(resumed)
    assert "resumed at step 8" in output
    assert "finished at step 11" in output
    _assert_ends_as(out, unbroken("glcic_small"))
    left = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert left == ["step-000000010", "step-000000011"]  # nothing of the write that was cut off


def test_gmcnn_killed_in_both_phases_ends_with_the_unbroken_runs_weights(tmp_path, command, unbroken):
    """The PyTorch release saves the generator alone: no critics, no optimisers, no step."""
    out, sign = tmp_path / "run", tmp_path / "here"
    training = [*command("gmcnn_small"), "--out", str(out)]
    resumed = [*training, "--resume"]

    _kill_at("update", 1, 1, sign, training)  # reconstruction: the generator has moved in step 1, no checkpoint yet
    assert newest(out / "checkpoints")[0] is None
    _kill_at("update", 3, 2, sign, resumed)  # adversarial: both critic steps of step 3 are done, the generator's is not
    assert newest(out / "checkpoints")[0].step == 2
    output = _go_on(resumed)
    assert "resumed at step 2" in output
    assert "finished at step 4" in output
    _assert_ends_as(out, unbroken("gmcnn_small"))
    assert (out / "generator-reconstruction.safetensors").is_file()
