"""A drawn photo with its mask on disk, and the command line called in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inpaintkit.cli import main


@dataclass
class Outcome:
    """What one call of the command line did."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls the command line and returns its status and what it printed."""

    def call(*arguments: object) -> Outcome:
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return call


@dataclass
class Scene:
    """A photo and its mask, as arrays and as files."""

    folder: Path
    photo: Path
    mask: Path
    pixels: np.ndarray
    hole: np.ndarray


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A photo of 60 x 80 pixels with a rectangular hole."""
    rows, columns = np.mgrid[0:60, 0:80]
    pixels = np.stack([rows * 3, columns * 2, 200 - rows - columns], axis=2).astype(np.uint8)
    hole = np.zeros((60, 80), bool)
    hole[20:34, 30:50] = True
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.fromarray(pixels).save(photo)
    Image.fromarray(hole).save(mask)
    return Scene(tmp_path, photo, mask, pixels, hole)
