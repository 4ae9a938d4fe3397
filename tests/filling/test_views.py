"""A flipped view comes back the right way round, and every view says what it is."""

import itertools
from typing import Any

import numpy as np
import pytest

from inpaintkit.filling.views import VIEWS, View, Viewed, all_views


class TopLeft:
    """Fills with the colour of the first pixel it sees, so that a flip shows."""

    name, runtime, working_size, takes_batches = "top left", "test", 16, True

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """One crop."""
        return np.where(mask[..., None], image[0, 0], image)

    def fill_batch(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Several crops."""
        return np.stack([self(*each) for each in zip(images, masks, strict=True)])

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}


@pytest.mark.parametrize(
    ("flip", "corner"), [("", (0, 0)), ("mirrored", (0, -1)), ("upside down", (-1, 0)), ("turned by half", (-1, -1))]
)
def test_a_flipped_engine_sees_the_other_side_and_fills_the_right_way_round(flip: str, corner: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((6, 9, 3)).astype(np.float32)
    mask = np.zeros((6, 9), bool)
    mask[2:4, 3:5] = True
    viewed = Viewed(TopLeft(), flip)
    filled = viewed(image, mask)
    assert np.array_equal(filled[~mask], image[~mask])
    assert np.array_equal(filled[2, 3], image[corner])
    assert np.array_equal(viewed.fill_batch(np.stack([image, image]), np.stack([mask, mask]))[1], filled)
    assert viewed.takes_batches


def test_every_view_is_different_and_says_so() -> None:
    views = list(itertools.islice(all_views(), 60))
    assert views[: len(VIEWS)] == list(VIEWS)
    assert len(set(views)) == len({view.how for view in views}) == 60
    assert VIEWS[0].how == "as it is"
    assert View("mirrored", 1.6, 3).how == "mirrored, more context, seed +3"
    assert View(context=0.6).how == "less context"
