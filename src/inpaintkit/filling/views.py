"""The same hole seen in other ways, because a fill seen otherwise is another fill: variants come from here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .classical import CLASSICAL, Patch
from .engines import BatchEngine, Engine

_AXES = {"": (), "mirrored": (2,), "upside down": (1,), "turned by half": (1, 2)}
"""How a batch (N, H, W, ...) is flipped; each is its own inverse."""


@dataclass(frozen=True)
class View:
    """One way to see a hole: flipped, with less or more of its surroundings, from another seed, by another model.

    `model` is a classical one's name, or empty for the model at hand.
    """

    flip: str = ""
    context: float = 1.0
    seed: int = 0
    model: str = ""

    def engine(self, given: Engine, seed: int) -> Engine:
        """The engine that fills in this view; `seed` is for a model that draws."""
        if not self.model and isinstance(given, Patch):
            given = Patch(given.seed + seed + self.seed)
        elif self.model == "patch":
            given = Patch(seed + self.seed)
        elif self.model:
            given = CLASSICAL[self.model]()
        return Viewed(given, self.flip) if self.flip else given

    @property
    def how(self) -> str:
        """In words."""
        around = {True: "more context", False: "less context"}[self.context > 1] if self.context != 1 else ""
        parts = [self.model, self.flip, around, f"seed +{self.seed}" if self.seed else ""]
        return ", ".join(part for part in parts if part) or "as it is"


VIEWS = (
    View(),
    View(model="patch"),
    View(flip="mirrored"),
    View(context=1.6),
    View(model="patch", context=1.6, seed=1),
    View(seed=1),
    View(flip="upside down"),
    View(context=0.6),
    View(flip="turned by half"),
)
"""The ways that are tried first, those that change most before those that change less."""


def all_views() -> Iterator[View]:
    """`VIEWS`, and then the same again with ever other seeds."""
    yield from VIEWS
    seed = 2
    while True:
        for view in (each for each in VIEWS if not each.seed):
            yield replace(view, seed=seed)
            seed += 1


class Viewed:
    """An engine that is shown everything flipped, and whose fills are flipped back."""

    def __init__(self, engine: Engine, flip: str) -> None:
        self.engine, self.axes = engine, _AXES[flip]
        self.name, self.runtime = engine.name, engine.runtime
        self.crisp = getattr(engine, "crisp", False)
        self.takes_batches = isinstance(engine, BatchEngine) and engine.takes_batches

    @property
    def working_size(self) -> int | None:
        """The engine's own."""
        return self.engine.working_size

    def __call__(self, image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The image (H, W, 3) in [0,1] with its missing pixels filled, known ones as they came."""
        axes = tuple(axis - 1 for axis in self.axes)
        filled = self.engine(np.flip(image, axes).copy(), np.flip(mask, axes).copy())
        return np.flip(np.asarray(filled), axes)

    def fill_batch(self, images: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """`images` (N, H, W, 3) and `masks` (N, H, W) in one run, each as `__call__` fills it."""
        assert isinstance(self.engine, BatchEngine)
        filled = self.engine.fill_batch(np.flip(images, self.axes).copy(), np.flip(masks, self.axes).copy())
        return np.flip(np.asarray(filled), self.axes)

    def describe(self) -> dict[str, Any]:
        """What the engine is."""
        return self.engine.describe()
