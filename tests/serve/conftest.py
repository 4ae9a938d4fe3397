"""What the service's tests share: a drawn photo, a client, and an engine that waits until it is let go."""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
from picture_files import SIZE, hole_mask, jpeg, png, white

if importlib.util.find_spec("fastapi") is None:  # the extra [serve] is not installed
    collect_ignore_glob = ["*"]

Serving = Callable[..., AbstractContextManager[Any]]


class WaitingEngine:
    """Fills with one grey, once it is let go; keeps count of its batches."""

    name, runtime, working_size, takes_batches = "waiting", "none", None, True

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self.fill_batch(image[None], mask[None])[0]

    def fill_batch(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        self.began.set()
        assert self.go.wait(20)
        return np.where(masks[..., None], np.float32(0.5), images)

    def describe(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[WaitingEngine]:
    """The engine that every model of a service is, until the test ends."""
    engine = WaitingEngine()
    monkeypatch.setattr("inpaintkit.serve.service.open_engine", lambda *_, **__: engine)
    yield engine
    engine.go.set()


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """A drawn photo (60, 80, 3) without two equal neighbours."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([rows * 4, columns * 3, 255 - rows * 2 - columns], axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def photo_png(pixels: np.ndarray) -> bytes:
    """The drawn photo as a PNG."""
    return png(pixels)


@pytest.fixture(scope="session")
def photo_jpeg(pixels: np.ndarray) -> bytes:
    """The drawn photo as a JPEG."""
    return jpeg(pixels)


@pytest.fixture(scope="session")
def mask_png() -> bytes:
    """The mask of the hole as a file."""
    return white(hole_mask())


@pytest.fixture
def serving() -> Serving:
    """`with serving(option=...) as client`: a client of a service with the models telea and ns."""
    from fastapi.testclient import TestClient

    from inpaintkit.serve.app import create_app
    from inpaintkit.serve.settings import ServeSettings

    @contextmanager
    def make(name: str = "localhost", headers: dict[str, str] | None = None, **options: Any) -> Iterator[Any]:
        app = create_app(ServeSettings(**{"models": ("telea", "ns"), **options}))
        with TestClient(app, base_url=f"http://{name}", headers=headers, follow_redirects=False) as client:
            yield client

    return make


@pytest.fixture
def client(serving: Serving) -> Iterator[Any]:
    """A client of a service with the usual settings."""
    with serving() as found:
        yield found
