"""A folder of drawn photos and one of masks, and a comparison that runs in this process."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_photos import drawn_photo
from PIL import Image

from inpaintkit.evaluation import compare as comparing
from inpaintkit.evaluation.scoring import Job, Scorer

PHOTOS = 5
MASKS = 2


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five PNGs, a.png to e.png."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        Image.fromarray(drawn_photo(number)).save(folder / f"{'abcde'[number]}.png")
    return folder


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A small box and a large one, 0.png and 1.png, at twice the size of the comparisons."""
    folder = tmp_path / "holes"
    folder.mkdir()
    for number, side in enumerate((16, 48)):
        mask = np.zeros((96, 96), np.uint8)
        mask[20 : 20 + side, 30 : 30 + side] = 255
        Image.fromarray(mask).save(folder / f"{number}.png")
    return folder


def _score_here(job: Job, indices: Sequence[int], workers: int) -> Iterator[dict[str, Any]]:
    scorer = Scorer(job)
    yield from map(scorer, indices)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases are measured in this process: starting others takes seconds, and is tested by itself."""
    monkeypatch.setattr(comparing, "score_all", _score_here)
