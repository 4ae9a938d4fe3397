"""What benchmarks/gmcnn_ablations.py measures of finished runs, and its table."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gmcnn_ablations as ablations
from inpaintkit.errors import ModelError
from inpaintkit.evaluation.scoring import Job, Scorer
from inpaintkit.weights import FOLDER


def _score_here(job: Job, indices: Sequence[int], workers: int) -> Iterator[dict[str, Any]]:
    scorer = Scorer(job)
    yield from map(scorer, reversed(indices))  # workers are done in any order


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line for every second of four drawn photos, measured in this process."""
    monkeypatch.setattr(ablations, "score_all", _score_here)
    for folder, count in (("photos", 4), ("masks", 3)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            rows, columns = np.mgrid[0:64, 0:64]
            hole = np.uint8(255) * ((rows < 8 + 8 * number) & (columns < 32))
            photo = np.stack([rows * 3, columns * 3, rows * columns % (40 + number)], axis=2).astype(np.uint8)
            Image.fromarray(photo if folder == "photos" else hole).save(tmp_path / folder / f"{number}.png")
    words = ["--data", "unused", "--images", str(tmp_path / "photos"), "--masks", str(tmp_path / "masks")]
    return ablations.parse([*words, "--out", str(tmp_path), "--size", "64", "--every", "2", "--features", "own"])


def test_every_run_is_measured_on_every_nth_photo_with_its_own_mask(given: Any) -> None:
    files = {"ID-MRF, 2": FOLDER / "gmcnn.safetensors", "neither": FOLDER / "gmcnn.safetensors"}
    report = ablations.measure(given, files)
    assert (report["photos"], report["features"], list(report["rows"])) == (2, "own", list(files))
    first, second = report["rows"].values()
    assert first == second
    assert (first["photos"], first["known_changed"]) == (2, 0)
    assert first["photos_seen"] > 0
    assert all(first["metrics"][name]["photos"] == 2 for name in ("hole_l1", "texture", "feature_distance"))
    table = ablations.markdown(report).splitlines()
    cells = [cell.strip() for cell in table[2].split("|")[1:-1]]
    assert cells[0] == "ID-MRF, 2"
    assert cells[1] == f"{first['metrics']['hole_l1']['mean']:.2f}"
    assert cells[3] == f"{first['metrics']['sharpness']['median']:.2f}"
    assert cells[4] == f"{first['metrics']['texture']['mean']:.3f}"
    assert cells[5] == f"{first['metrics']['feature_distance']['mean']:.3f}"
    assert table[-1] == "2 photos at 64 px; features: own"


def test_a_photo_that_cannot_be_read_ends_the_measurement(given: Any) -> None:
    (given.images / "2.png").write_bytes((given.images / "2.png").read_bytes()[:200])
    with pytest.raises(ModelError, match=r"1 fills failed \(first: .*2\.png"):
        ablations.measure(given, {"one": FOLDER / "gmcnn.safetensors"})
