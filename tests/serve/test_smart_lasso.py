"""GrabCut behind the smart lasso, where it finds something and where it cannot."""

import numpy as np
import pytest

from inpaintkit.errors import MaskError
from inpaintkit.serve.select import around, box_of, outline_mask, snap


def test_an_outline_is_filled_and_cut_to_the_photo():
    mask = outline_mask([(-50, -50), (10, -50), (10, 10), (-50, 10)], (40, 60))
    assert box_of(mask) == (0, 0, 11, 11)
    assert mask[:11, :11].all()


@pytest.mark.parametrize("points", [[(0, 0), (0, 0), (0, 0)], [(500, 500), (600, 500), (600, 600)]])
def test_an_outline_without_pixels_is_refused(points):
    with pytest.raises(MaskError, match="hardly any pixel"):
        outline_mask(points, (40, 60))


def test_the_surroundings_stay_inside_the_photo():
    assert around((0, 0, 10, 10), (40, 60), 0) == (0, 0, 26, 26)
    assert around((10, 10, 200, 100), (1000, 1000), 0) == (0, 0, 260, 160)
    assert around((30, 50, 10, 10), (40, 60), 100) == (0, 0, 40, 60)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_flat_photo_gives_the_outline_back(depth):
    rough = np.zeros((50, 60), bool)
    rough[10:30, 20:40] = True
    found = snap(np.full((50, 60, 3), 90, depth), rough)
    assert np.array_equal(found, rough)


def test_the_whole_photo_as_outline_is_the_whole_photo():
    noise = np.random.default_rng(0).integers(0, 255, (30, 30, 3)).astype(np.uint8)
    assert snap(noise, np.ones((30, 30), bool)).all()


def test_the_same_outline_gives_the_same_mask():
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    rough = np.zeros((90, 120), bool)
    rough[20:60, 30:90] = True
    noise[30:50, 40:80] //= 4
    assert np.array_equal(snap(noise, rough), snap(noise, rough))
    assert not (snap(noise, rough) & ~rough).any()
