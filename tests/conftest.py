"""What the tests of the training side share: a small folder of drawn photos, and recipes that train in seconds."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the computer is, not whether the code is right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

DrawPhoto = Callable[..., np.ndarray]

# A full system at toy widths. What a test is about it sets on top; later overrides win.
TINY = (
    "data.size=64",
    "data.resize=[64,80]",
    "data.holes=['mixed']",
    "data.cache_gb=0.1",
    "training.batch=4",
    "training.scale=1.0",
    "training.precision=32-true",
    "training.samples=2",
    "training.log_every=1",
    "training.sample_every=1000",
    "training.checkpoint_every=1000",
)
TINY_GLCIC = (
    *TINY,
    "generator.width=8",
    "discriminators.width=4",
    "discriminators.features=16",
    "schedule.completion_steps=4",
    "schedule.discriminator_steps=3",
    "schedule.joint_steps=4",
)
TINY_UNET = (
    *TINY,
    "generator.width=8",
    "generator.dilations=[1,2]",
    "discriminator.width=4",
    "discriminator.depth=3",
    "schedule.completion_steps=4",
    "schedule.discriminator_steps=3",
    "schedule.joint_steps=4",
)
TINY_GMCNN = (
    *TINY,
    "training.batch=2",
    "generator.width=4",
    "critics.width=4",
    "features.weights=own",
    "schedule.reconstruction_steps=2",
    "schedule.adversarial_steps=2",
    "schedule.n_critic=2",
)


def draw(height: int, width: int, seed: int) -> np.ndarray:
    """A photo-like picture (height, width, 3) uint8: a smooth backdrop, discs, bars and a little grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (4, 4, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(4):
        colour = [int(c) for c in rng.integers(0, 256, 3)]
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(picture, centre, int(rng.integers(4, max(5, min(height, width) // 4))), colour, -1, cv2.LINE_AA)
    start, end = ((int(rng.integers(width)), int(rng.integers(height))) for _ in range(2))
    cv2.line(picture, start, end, [int(c) for c in rng.integers(0, 256, 3)], 3)
    grain = rng.normal(0, 3, picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def save_png(path: Path, pixels: np.ndarray) -> Path:
    """Write RGB pixels under any file name."""
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    return path


@pytest.fixture(scope="session")
def draw_photo() -> DrawPhoto:
    """(height, width, seed) -> uint8 (height, width, 3)."""
    return draw


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawn photos of different shapes, one of them in a folder of its own. Tests only read here."""
    folder = tmp_path_factory.mktemp("photos")
    folder.joinpath("inner").mkdir()
    for number in range(10):
        height, width = 56 + 5 * (number % 3), 64 + 7 * (number % 4)
        where = folder / "inner" if number == 7 else folder
        save_png(where / f"photo-{number}.png", draw(height, width, number))
    return folder


@pytest.fixture(scope="session")
def tiny_overrides() -> dict[str, tuple[str, ...]]:
    """Shipped recipe name -> `section.key=value` overrides that make it a matter of seconds."""
    glcic = dict.fromkeys(("glcic", "glcic_small"), TINY_GLCIC)
    gmcnn = dict.fromkeys(("gmcnn", "gmcnn_small", "gmcnn_free_form", "gmcnn_release"), TINY_GMCNN)
    return {**glcic, **gmcnn, "unet": TINY_UNET}


@pytest.fixture(scope="session")
def trained_run(
    tmp_path_factory: pytest.TempPathFactory, photo_folder: Path, tiny_overrides: dict[str, tuple[str, ...]]
) -> Path:
    """The folder of a finished run: GLCIC at toy width and 64 px, 4 + 3 + 4 steps. Tests only read here."""
    from inpaintkit.recipes import read_recipe
    from inpaintkit.recipes.start import start_training

    out = tmp_path_factory.mktemp("runs") / "first"
    recipe = read_recipe("glcic_small", [*tiny_overrides["glcic_small"], "data.size=64", "data.resize=[64,64]"])
    start_training(recipe, str(photo_folder), out, accelerator="cpu").training.run()
    return out
