"""The cost pass: a row per method whatever becomes of its process, and numbers that are those of the fills."""

import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from inpaintkit.errors import DataError, ModelError
from inpaintkit.evaluation import cost
from inpaintkit.evaluation.cost import measure_costs
from inpaintkit.evaluation.methods import Method, weights_sha256
from inpaintkit.weights import bundled

TELEA = Method("telea", "telea", "engine", "classical")
KEYS = [
    "label",
    "seconds_median",
    "seconds_low",
    "seconds_high",
    "photos",
    "seconds_to_open",
    "peak_mb",
    "peak_above_idle_mb",
    "parameters",
    "macs",
    "uncounted",
    "threads",
    "error",
]
MEASURED = KEYS[1:8]


class Case:
    """What the pass takes of a case."""

    def __init__(self, shown: np.ndarray, hole: np.ndarray) -> None:
        self.shown, self.hole = shown, hole


def cases_of(*sizes: tuple[int, int]) -> list[Case]:
    rng = np.random.default_rng(0)
    found = []
    for height, width in sizes:
        hole = np.zeros((height, width), bool)
        hole[height // 4 : height // 2, width // 4 : width // 2] = True
        found.append(Case(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), hole))
    return found


def run_instead(monkeypatch: pytest.MonkeyPatch, program: str, *, when: str = "") -> None:
    """The measured process, or that of every other than the first, runs this program."""
    real = cost._command()
    commands = iter([real] if when == "later" else [])
    monkeypatch.setattr(cost, "_command", lambda: next(commands, [sys.executable, "-c", program]))


def test_a_classical_method_has_times_memory_and_no_parameters():
    shares: list[float] = []
    (row,) = measure_costs([TELEA], cases_of((40, 48), (40, 48), (40, 48)), threads=1, progress=shares.append)
    assert list(row) == KEYS
    assert (row["label"], row["photos"], row["threads"], row["error"]) == ("telea", 3, 1, None)
    assert 0 < row["seconds_low"] <= row["seconds_median"] <= row["seconds_high"] < 1
    assert row["seconds_to_open"] > 0
    assert (row["parameters"], row["macs"], row["uncounted"]) == (None, None, None)
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="memory is not measured there")
def test_memory_is_that_of_the_methods_own_process():
    """This process holds more than any small method needs, and its peak must not be taken for the child's."""
    ballast = np.ones(400_000_000, np.uint8)
    small, network = measure_costs(
        [TELEA, replace(TELEA, label="n", model="glcic", kind="bundled")], cases_of((64, 64))
    )
    assert ballast[-1] == 1
    assert 20 < small["peak_mb"] < 300
    assert 0 <= small["peak_above_idle_mb"] < small["peak_mb"]
    assert small["peak_above_idle_mb"] + 10 < network["peak_above_idle_mb"] < network["peak_mb"]


def test_a_networks_numbers_are_those_of_its_card_at_the_photos_size():
    pytest.importorskip("onnx")
    glcic = Method("g", "glcic", "engine", "bundled", "onnx")
    small, large = (measure_costs([glcic], cases_of(size), threads=1)[0] for size in ((32, 32), (32, 64)))
    assert small["parameters"] == large["parameters"] == bundled("glcic").facts["parameters"]
    assert small["macs"] > 0
    assert large["macs"] == 2 * small["macs"]
    mixed = measure_costs([glcic], cases_of((32, 32), (32, 64)), threads=1)[0]
    assert (mixed["photos"], mixed["macs"]) == (2, None)
    assert mixed["uncounted"] == "multiply-accumulates: the photos differ in size"


def test_a_method_that_cannot_be_opened_has_an_error_and_the_others_go_on(tmp_path):
    file = tmp_path / "damaged.onnx"
    file.write_bytes(b"no graph at all")
    damaged = Method("mine", str(file), "engine", "onnx", "onnx", weights_sha256(file))
    broken, good = measure_costs([damaged, TELEA], cases_of((24, 24)), threads=1)
    assert f"model '{file}' is not a readable ONNX file" in broken["error"]
    assert "\n" not in broken["error"]
    assert [broken[key] for key in MEASURED] == [None] * len(MEASURED)
    assert (good["error"], good["photos"]) == (None, 1)


def test_a_process_that_dies_leaves_a_row_that_says_how(monkeypatch):
    run_instead(monkeypatch, "import sys; print('out of luck', file=sys.stderr); sys.exit(7)", when="later")
    good, dead = measure_costs([TELEA, replace(TELEA, label="dead")], cases_of((24, 24)), threads=1)
    assert good["error"] is None
    assert dead["error"] == "its process ended with exit status 7 (out of luck)"
    assert [dead[key] for key in MEASURED] == [None] * len(MEASURED)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_a_process_that_is_killed_leaves_a_row_that_says_so(monkeypatch):
    run_instead(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    (row,) = measure_costs([TELEA], cases_of((24, 24)))
    assert row["error"] == "its process was ended by SIGKILL, perhaps because memory ran out"


def test_a_process_that_hangs_is_ended(monkeypatch):
    started = watched(monkeypatch)
    run_instead(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(cost, "SILENCE_S", 0.2)
    before = time.monotonic()
    (row,) = measure_costs([TELEA], cases_of((24, 24)))
    assert row["error"].startswith("no answer for")
    assert time.monotonic() - before < 20
    assert started[0].poll() is not None


def watched(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    """The processes that are started from now on."""
    found = []

    class Watched(subprocess.Popen):
        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, **options)
            found.append(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    return found


def test_an_interrupt_leaves_no_process_and_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(cost.tempfile, "tempdir", str(tmp_path))
    started = watched(monkeypatch)

    def interrupted(share: float) -> None:
        assert any(tmp_path.iterdir())
        assert started[0].poll() is None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_costs([TELEA], cases_of((24, 24)), threads=1, progress=interrupted)
    assert len(started) == 1
    assert started[0].poll() is not None
    assert not any(tmp_path.iterdir())


def test_a_process_ends_when_its_parent_is_gone(tmp_path):
    """A pipe that nobody holds any more is how it notices."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n" + WAITING],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.stdin.close()
    assert process.wait(timeout=10) == 1


WAITING = """
import threading, time
from inpaintkit.evaluation import cost
threading.Thread(target=cost._end_with_parent, daemon=True).start()
time.sleep(60)
"""


# --- In the measured process -----------------------------------------------------------------------------------------


def pairs(*sizes: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(case.shown, case.hole) for case in cases_of(*sizes)]


def test_the_first_fill_at_each_size_is_not_counted():
    seen: list[tuple[int, ...]] = []

    def fill(shown: np.ndarray, hole: np.ndarray) -> np.ndarray:
        if shown.shape not in seen:
            time.sleep(0.2)
        seen.append(shown.shape)
        return shown

    told: list[int] = []
    seconds = cost._fill_seconds(fill, pairs((8, 8), (8, 8), (8, 16), (8, 8)), told.append)
    assert [shape[:2] for shape in seen] == [(8, 8), (8, 8), (8, 8), (8, 16), (8, 16), (8, 8)]
    assert len(seconds) == 4
    assert max(seconds) < 0.1
    assert told[-1] == 4
    assert told == sorted(told)


def test_photos_that_fail_are_left_out_and_all_of_them_are_an_error():
    def fill(shown: np.ndarray, hole: np.ndarray) -> np.ndarray:
        if shown.shape[1] == 16:
            raise ValueError("too\nwide")
        return shown

    assert len(cost._fill_seconds(fill, pairs((8, 16), (8, 8), (8, 16), (8, 8)), lambda filled: None)) == 2
    with pytest.raises(ModelError, match=r"^ValueError: too wide$"):
        cost._fill_seconds(fill, pairs((8, 16)), lambda filled: None)


def test_a_slow_method_is_given_fewer_photos(monkeypatch):
    monkeypatch.setattr(cost, "PATIENCE_S", 0.25)

    def fill(shown: np.ndarray, hole: np.ndarray) -> np.ndarray:
        time.sleep(0.1)
        return shown

    seconds = cost._fill_seconds(fill, pairs(*[(8, 8)] * 9), lambda filled: None)
    assert 1 <= len(seconds) <= 3
    monkeypatch.setattr(cost, "PATIENCE_S", 0)
    assert len(cost._fill_seconds(fill, pairs(*[(8, 8)] * 9), lambda filled: None)) == 1  # one at least


def test_the_middle_half_lies_between_low_and_high(monkeypatch):
    monkeypatch.setattr(cost, "_fill_seconds", lambda *_: [5.0, 1.0, 2.0, 4.0, 3.0])
    found = cost._measured(TELEA, pairs((8, 8)), 1, lambda **_: None)
    assert (found["seconds_low"], found["seconds_median"], found["seconds_high"]) == (2, 3, 4)


@pytest.mark.skipif(sys.platform != "linux", reason="the mark begins anew on Linux")
def test_the_high_water_mark_begins_anew_and_keeps_what_is_given_back():
    script = """
import numpy as np
from inpaintkit.evaluation import cost
np.ones(150_000_000, np.uint8)
idle = cost._held_megabytes()
assert cost._peak_megabytes() < idle + 100
block = np.ones(80_000_000, np.uint8)
held = cost._held_megabytes()
del block
assert held > idle + 60
assert cost._peak_megabytes() >= held - 1
"""
    # in a process of its own: one that others have used may hand out memory that it never gave back
    subprocess.run([sys.executable, "-c", script], check=True)


def test_twenty_photos_at_most_evenly_over_all():
    assert cost._spread(3) == [0, 1, 2]
    assert cost._spread(20) == list(range(20))
    chosen = cost._spread(254)
    assert len(set(chosen)) == 20
    assert (chosen[0], chosen[-1]) == (0, 253)
    assert {b - a for a, b in pairwise(chosen)} == {13, 14}


class FromDisk:
    """Cases that are read one by one, some of which cannot be; what was asked for is in `read`."""

    def __init__(self, count: int, *, broken: set[int]) -> None:
        self.count, self.broken, self.read = count, broken, []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Case:
        self.read.append(index)
        if index in self.broken:
            raise DataError("photo 'p.png' cannot be read")
        return cases_of((16, 16))[0]


def test_cases_that_cannot_be_read_are_left_out_and_no_other_is_read():
    cases = FromDisk(254, broken={0, 253})
    (row,) = measure_costs([TELEA], cases, threads=1)
    assert (row["error"], row["photos"]) == (None, 18)
    assert cases.read == cost._spread(254)


def test_without_a_photo_that_can_be_read_there_is_an_error(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    (row,) = measure_costs([TELEA], FromDisk(3, broken={0, 1, 2}))
    assert row["error"] == "there are no photos to measure on: none can be read"


def test_why_a_network_is_not_counted_is_in_its_row(tmp_path):
    """A quantised product: its file is no network that fills, and is counted all the same."""
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("QGemm", ["x", "s", "z", "w", "s", "z"], ["y"], domain="com.microsoft")
    value = onnx.helper.make_tensor_value_info
    constants = [
        onnx.numpy_helper.from_array(array, name)
        for name, array in (("w", np.ones((3, 5), np.int8)), ("s", np.ones(1, np.float32)), ("z", np.zeros(1, np.int8)))
    ]
    given, result = value("x", onnx.TensorProto.INT8, (2, 3)), value("y", onnx.TensorProto.INT8, None)
    graph = onnx.helper.make_graph([node], "g", [given], [result], constants)
    domains = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("com.microsoft", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=domains), tmp_path / "q.onnx")
    found = cost._counted(Method("q", str(tmp_path / "q.onnx"), "engine", "onnx"), pairs((8, 8), (8, 16)))
    assert (found["parameters"], found["macs"]) == (15, None)
    assert found["uncounted"].endswith("what the operation com.microsoft.QGemm computes is not known here")


def test_without_photos_there_is_an_error_and_no_process(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert measure_costs([TELEA], [])[0]["error"] == "there are no photos to measure on"


def test_arguments_stay_as_they_are_and_the_folder_of_the_caller_does_not_matter(tmp_path, monkeypatch):
    cases = cases_of((16, 16))
    before = cases[0].shown.copy()
    monkeypatch.chdir(tmp_path)
    assert measure_costs([TELEA], cases, threads=1)[0]["error"] is None
    assert np.array_equal(cases[0].shown, before)
    assert list(Path(tmp_path).iterdir()) == []
