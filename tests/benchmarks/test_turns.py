"""Turns of measured processes: their order, what is counted, and the arithmetic of two that took turns."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import turns
from inpaintkit.errors import InpaintError


def _measured(rounds: list[list[float]], peak_mb: float = 0.0, **ready: object) -> turns.Worker:
    worker = turns.Worker("a", SimpleNamespace(), {"before_mb": 1.0, **ready})
    worker.rounds, worker.peak_mb = rounds, peak_mb
    return worker


def test_a_ratio_compares_medians_of_the_same_round():
    slow, fast = [[1.0, 9.0, 2.0], [40.0]], [[1.0], [10.0, 20.0, 90.0]]
    assert turns.paired_ratios(slow, fast) == [2.0, 2.0]  # a slow second round tilts neither


def test_rounds_that_were_not_taken_together_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        turns.paired_ratios([[1.0], [1.0]], [[1.0]])


def test_the_summary_of_a_variant():
    reference = _measured([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    found = turns.summarise(_measured([[2.0, 4.0], [1.0, 3.0], [8.0, 8.0]], 120.0, torch_threads=2), reference)
    assert (found["median_s"], found["min_s"], found["calls"]) == (3.5, 1.0, 6)
    assert (found["ratio_lowest"], found["ratio"], found["ratio_highest"]) == (1.0, 2.0, 3.0)
    assert found["ratio_of_minima"] == 1.0
    assert (found["before_mb"], found["peak_mb"], found["torch_threads"]) == (1.0, 120.0, 2)


def test_turns_go_forward_and_backward(monkeypatch, capsys):
    monkeypatch.setattr(turns, "PAUSE_S", 0)
    taken = []
    workers = [SimpleNamespace(name=name, turn=lambda calls, name=name: taken.append((name, calls))) for name in "abc"]
    turns.take_turns("letters", workers, 3, lambda worker: ord(worker.name) - 96)
    assert taken == [("a", 1), ("b", 2), ("c", 3), ("c", 3), ("b", 2), ("a", 1), ("a", 1), ("b", 2), ("c", 3)]
    assert capsys.readouterr().err == "letters: 3 rounds done\n"


def test_measured_processes_do_not_inherit_what_tunes_them(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    free = turns.child_environment(None)
    assert not {"MALLOC_TOP_PAD_", "OMP_NUM_THREADS"} & set(free)
    assert free["CUDA_VISIBLE_DEVICES"] == ""
    assert free["PATH"] == os.environ["PATH"]
    assert turns.child_environment(3)["OMP_NUM_THREADS"] == "3"


SCRIPT = """
import json, sys
import turns
spec = json.loads(sys.argv[2])
answer = turns.answering()
print("a library speaks")
if spec.get("fails"):
    raise SystemExit(3)
if spec.get("once"):
    answer(twice=2 * spec["once"])
else:
    calls = []
    answer(before_mb=turns.peak_megabytes(), kind=spec["kind"])
    count = lambda: calls.append(0) or {"calls": len(calls)}
    turns.answer_turns(answer, count, untimed=spec["untimed"], parts=spec["untimed"] > 0)
"""


@pytest.fixture
def script(tmp_path, monkeypatch) -> Path:
    folders = [str(Path(turns.__file__).parent), str(Path(turns.__file__).parents[1] / "src")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    file = tmp_path / "script.py"
    file.write_text(SCRIPT, encoding="utf-8")
    return file


def test_a_process_gets_ready_and_takes_turns(script, monkeypatch):
    monkeypatch.setattr(turns, "PAUSE_S", 0)
    specs = ({"kind": kind, "untimed": untimed} for kind, untimed in (("a", 1), ("b", 0)))
    with turns.all_ready(turns.start(script, spec["kind"], spec) for spec in specs) as workers:
        turns.take_turns("both", workers, 2, 3)
    assert [worker.ready["kind"] for worker in workers] == ["a", "b"]
    for worker in workers:
        assert [len(seconds) for seconds in worker.rounds] == [3, 3]
        assert min(min(seconds) for seconds in worker.rounds) > 0
        assert worker.process.returncode == 0
        assert 1 < worker.ready["before_mb"] <= worker.peak_mb < 1000
    # the calls number themselves: the untimed one of a turn is counted, and not handed over
    assert workers[0].parts == [[{"calls": n} for n in (2, 3, 4)], [{"calls": n} for n in (6, 7, 8)]]
    assert workers[1].parts == [[], []]


def test_a_process_that_ends_early_is_named(script):
    with (
        pytest.raises(InpaintError, match="variant 'x' ended early"),
        turns.all_ready([turns.start(script, "x", {"fails": True})]),
    ):
        pytest.fail("it never got ready")
    with pytest.raises(InpaintError, match="the process that doubles ended early"):
        turns.ask(script, {"fails": True}, "doubles")


def test_one_answer_is_kept_apart_from_what_libraries_print(script, capfd):
    assert turns.ask(script, {"once": 21}, "doubles") == {"twice": 42}
    assert capfd.readouterr().err == "a library speaks\n"


def test_the_most_held_begins_anew(tmp_path):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells what a process holds")
    code = (
        "import turns; held = bytearray(60_000_000); most = turns.peak_megabytes(); del held\n"
        "now = turns.held_megabytes(); again = turns.peak_megabytes(); print(most, now, again)"
    )
    folder = Path(turns.__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(folder.parent / "src")))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    most, now, again = map(float, done.stdout.split())
    assert most - now > 50
    assert again - now < 10


def test_the_shared_modules_load_neither_numpy_nor_torch(tmp_path):
    folder = Path(turns.__file__).parent
    code = "import sys, turns, reports; print([name for name in ('numpy', 'torch', 'cv2') if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(folder.parent / "src")))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_versions_leave_out_what_is_not_installed():
    found = turns.versions(["numpy", "no-such-package-anywhere"])
    assert list(found) == ["python", "numpy"]
