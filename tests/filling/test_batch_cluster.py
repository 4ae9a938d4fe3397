"""A batch on a local Ray of two workers: the files and the journal that one process would have written.

Ray is large (half a gigabyte with what it needs), so the tests' environment does not hold it: pip install
'inpaintkit[ray]', then pytest -m slow tests/filling/test_batch_cluster.py.
"""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inpaintkit.errors import ModelError, UsageError
from inpaintkit.filling.batch import Settings, fill_items, find_items, journal_file
from inpaintkit.filling.cluster import fill_on_cluster
from inpaintkit.filling.inpainter import Inpainter
from inpaintkit.filling.journal import JournalIndex

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
DEADLY = 250
"""A photo of this grey kills whoever fills it."""


class DeadlyEngine:
    """Fills with black; dies of one grey."""

    name, runtime, working_size = "deadly", "test", None

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if round(float(image[0, 0, 0]) * 255) == DEADLY:
            os._exit(9)
        return np.where(mask[..., None], np.float32(0), image)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


@dataclass(frozen=True)
class DeadlySettings(Settings):
    """Opens the deadly engine, in whatever process."""

    def open_inpainter(self, engine: Any = None) -> Inpainter:
        return Inpainter(DeadlyEngine())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine photos, eight masks."""
    hole = np.zeros((40, 48), bool)
    hole[10:20, 10:30] = True
    for number in range(9):
        path = tmp_path / "in" / f"s{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 48, 3), 10 * number, np.uint8)).save(path)
        mask = tmp_path / "masks" / path.parent.name / path.name
        mask.parent.mkdir(parents=True, exist_ok=True)
        if number != 4:
            Image.fromarray(hole).save(mask)
    return tmp_path


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    """A Ray of two processor cores on this machine, in which the modules of the tests can be imported."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


def hashes(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every result."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl"]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@needs_ray
@pytest.mark.slow
def test_a_cluster_writes_what_one_process_writes(folder: Path, two_workers: None) -> None:
    settings, seen = Settings(model="telea", together=2), []
    here, there = (
        find_items(folder / "in", folder / "masks", folder / out, recursive=True) for out in ("here", "there")
    )
    assert fill_items(here, settings, journal=journal_file(folder / "here")).done == 8
    journal = journal_file(folder / "there")
    summary = fill_on_cluster(there, settings, journal=journal, workers=2, progress=seen.append)
    assert (summary.done, summary.failed, summary.exit_status) == (8, 1, 1)
    assert "has no mask" in str(summary.failures[0].error)
    assert hashes(folder / "there") == hashes(folder / "here")
    assert [each.done + each.failed for each in seen] == list(range(10))
    with JournalIndex(folder / "here") as one, JournalIndex(folder / "there") as other:
        assert len(one) == len(other) == 9
        for item in here:
            assert one.entry(item.name).written.sha256 == other.entry(item.name).written.sha256 if item.mask else True
    (folder / "there" / "s1" / "3.png").unlink()
    again = fill_on_cluster(there, settings, journal=journal, resume=True)
    assert (again.done, again.failed, again.skipped) == (1, 1, 7)
    assert hashes(folder / "there") == hashes(folder / "here")
    assert fill_items(there, settings, journal=journal, resume=True).skipped == 8


@needs_ray
@pytest.mark.slow
def test_a_photo_that_kills_its_process_fails_alone_on_a_cluster(folder: Path, two_workers: None) -> None:
    Image.fromarray(np.full((40, 48, 3), DEADLY, np.uint8)).save(folder / "in" / "s0" / "2.png")
    items = find_items(folder / "in", folder / "masks" / "s0" / "0.png", folder / "out", recursive=True)
    summary = fill_on_cluster(items, DeadlySettings(together=3), journal=journal_file(folder / "out"), workers=1)
    assert (summary.done, summary.failed) == (8, 1)
    assert summary.failures[0].output == "s0/2.png"
    assert "died while filling it, twice (exit code 9)" in str(summary.failures[0].error)


def test_a_cluster_without_ray_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    items = find_items(folder / "in", "alpha", folder / "out", recursive=True)
    with pytest.raises(ModelError, match=r"pip install 'inpaintkit\[ray\]'"):
        fill_on_cluster(items, Settings(), journal=journal_file(folder / "out"))
    with pytest.raises(UsageError, match="jobs is 0"):
        fill_on_cluster(items, Settings(), journal=journal_file(folder / "out"), workers=0)
    assert not (folder / "out").exists()
