"""Workers that die, run out of memory, or find other weights: the others go on, and nothing is journaled wrongly."""

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inpaintkit.errors import ModelError
from inpaintkit.evaluation import scoring
from inpaintkit.evaluation.cases import plan_cases
from inpaintkit.evaluation.methods import Fill, Method, open_method, parse_methods
from inpaintkit.evaluation.perceptual import PerceptualMetric, PerceptualWeights
from inpaintkit.evaluation.scoring import Job, score_all
from inpaintkit.evaluation.threads import THREAD_VARIABLES


@dataclass(frozen=True)
class Sabotage(PerceptualWeights):
    """No network at all; in the worker, Navier-Stokes ends the process at some photos or has no memory."""

    how: str = ""
    brightness: float = 0.0

    def opened(self) -> list[PerceptualMetric]:
        def opening(method: Method, *, threads: int | None = None) -> Fill:
            fill = open_method(method, threads=threads)

            def sabotaged(shown: np.ndarray, hole: np.ndarray) -> np.ndarray:
                if method.model == "ns" and abs(float(shown.mean()) - self.brightness) < 1e-9:
                    if self.how == "memory":
                        raise MemoryError
                    os.kill(os.getpid(), signal.SIGKILL)
                return fill(shown, hole)

            return sabotaged

        scoring.open_method = opening
        return []


def job_of(photos: Path, masks: Path, out: Path, methods: str = "telea,ns") -> Job:
    cases = plan_cases(str(photos), {"holes": str(masks)}, size=48)
    chosen = tuple(parse_methods(methods))
    return Job(cases, chosen, PerceptualWeights(), out, (), tuple(range(len(chosen))))


def sabotaged(job: Job, how: str, index: int = 2) -> Job:
    return replace(job, perceptual=Sabotage(how=how, brightness=float(job.cases[index].shown.mean())))


def by_case(records: Any) -> dict[int, dict[str, Any]]:
    return {record["case"]: record for record in records}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_method_that_ends_its_process_fails_on_that_photo_alone(photos: Path, masks: Path, tmp_path: Path) -> None:
    job = job_of(photos, masks, tmp_path / "out")
    expected = by_case(score_all(job, range(5), 2))
    found = by_case(score_all(sabotaged(job, "kill"), range(5), 2))
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert "ended its process" in found[2]["scores"][1]["error"]
    for index in range(5):
        assert found[index]["about"] == expected[index]["about"]
        assert found[index]["scores"][0] == expected[index]["scores"][0]
        if index != 2:
            assert found[index]["scores"][1] == expected[index]["scores"][1]


def test_a_worker_without_memory_stops_the_run(photos: Path, masks: Path, tmp_path: Path) -> None:
    job = sabotaged(job_of(photos, masks, tmp_path / "out"), "memory")
    with pytest.raises(ModelError, match="fewer --workers"):
        list(score_all(job, range(5), 1))


def test_networks_that_changed_meanwhile_are_refused(photos: Path, masks: Path, tmp_path: Path) -> None:
    job = replace(job_of(photos, masks, tmp_path / "out"), networks=("own (sha256 0)",))
    with pytest.raises(ModelError, match="by now"):
        list(score_all(job, [0], 1))


def test_the_environment_is_put_back(
    photos: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(THREAD_VARIABLES[0], "7")
    monkeypatch.delenv(THREAD_VARIABLES[1], raising=False)
    for _ in score_all(job_of(photos, masks, tmp_path / "out", "telea"), [0, 1], 1):
        assert os.environ[THREAD_VARIABLES[0]] == "7"
        assert THREAD_VARIABLES[1] not in os.environ
