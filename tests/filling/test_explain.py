"""The drawing of a plan shows the hole, every crop and its place, at a size that can be looked at."""

import numpy as np
import pytest

from inpaintkit.filling.explain import LONGEST_PX, WAVE_COLOURS, draw_plan
from inpaintkit.filling.regions import plan_fill


def test_a_plan_is_drawn_over_the_photo() -> None:
    image = np.full((900, 1200, 3), 200, np.uint8)
    mask = np.zeros((900, 1200), bool)
    mask[100:120, 200:220] = mask[600:620, 900:920] = True
    plan = plan_fill(mask, 256)
    drawn = draw_plan(image, mask, plan)
    assert drawn.shape == (900, 1200, 3)
    assert drawn.dtype == np.uint8
    assert np.array_equal(image, np.full((900, 1200, 3), 200, np.uint8))
    plain = drawn[450, 600].astype(int)
    assert (plain < 200).all(), "the photo is darkened"
    hole = drawn[110, 210].astype(int)
    assert hole[0] > plain[0] > hole[1], "the hole is tinted"
    for region, wave in zip(plan.regions, plan.waves, strict=True):
        frame = drawn[region.top, region.left + 1 : region.left + region.width - 1]
        assert (frame == WAVE_COLOURS[wave]).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (4000, 3000, 1), (50, 70, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_any_photo_can_be_drawn(shape: tuple[int, ...], dtype: str) -> None:
    image = np.zeros(shape, dtype)
    mask = np.zeros(shape[:2], bool)
    mask[0, 0] = True
    drawn = draw_plan(image, mask, plan_fill(mask, 64))
    assert max(drawn.shape[:2]) <= LONGEST_PX
    assert drawn.shape[2] == 3
