"""Every missing pixel is filled exactly once, in a crop with context, at no more than the working size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintkit.filling.regions import FillPlan, Region, plan_fill, plan_regions


def covered(shape: tuple[int, int], regions: list[Region]) -> np.ndarray:
    """How many regions fill each pixel."""
    count = np.zeros(shape, int)
    for region in regions:
        assert region.top >= 0
        assert region.left >= 0
        assert region.top + region.height <= shape[0]
        assert region.left + region.width <= shape[1]
        assert region.holes.shape == (region.height, region.width)
        assert region.holes.any()
        count[region.window] += region.holes
    return count


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Masks of any size: noise of any density, rectangles, thin lines."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.random((height, width)) < draw(st.sampled_from([0.0, 0.002, 0.05, 0.5, 1.0]))
    for _ in range(draw(st.integers(0, 3))):
        top, left = rng.integers(height), rng.integers(width)
        mask[top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)] = True
    return mask


@settings(max_examples=150, deadline=None)
@given(mask=masks(), working_size=st.sampled_from([None, 8, 16, 32, 64]))
def test_every_missing_pixel_belongs_to_exactly_one_region(mask: np.ndarray, working_size: int | None) -> None:
    before = mask.copy()
    regions = plan_regions(mask, working_size)
    assert np.array_equal(covered(mask.shape, regions), mask.astype(int))
    assert np.array_equal(mask, before)
    for region in regions:
        assert region.shrink >= 1
        if working_size is None:
            assert region.shrink == 1
        else:
            assert max(region.working_shape) <= working_size


@settings(max_examples=60, deadline=None)
@given(mask=masks(), working_size=st.sampled_from([None, 16, 64]))
def test_a_region_always_sees_a_known_pixel(mask: np.ndarray, working_size: int | None) -> None:
    if mask.all():
        return
    for region in plan_regions(mask, working_size):
        assert not mask[region.window].all()


def test_an_empty_mask_has_no_regions() -> None:
    assert plan_regions(np.zeros((40, 50), bool), 32) == []


def test_a_small_hole_gets_a_crop_of_working_size_at_native_resolution() -> None:
    mask = np.zeros((1000, 1000), bool)
    mask[400:440, 500:550] = True
    (region,) = plan_regions(mask, 256)
    assert (region.height, region.width, region.shrink) == (256, 256, 1.0)
    assert region.top + 128 == pytest.approx(420, abs=1)
    assert region.left + 128 == pytest.approx(525, abs=1)


def test_a_large_compact_hole_is_at_most_half_of_its_crop() -> None:
    mask = np.zeros((2000, 2000), bool)
    mask[900:1200, 700:1000] = True
    (region,) = plan_regions(mask, 256)
    assert (region.height, region.width) == (600, 600)
    assert region.working_shape == (256, 256)
    rows, columns = np.nonzero(region.holes)
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 300


def test_crops_are_shifted_inward_at_the_border() -> None:
    mask = np.zeros((400, 400), bool)
    mask[:30, 380:] = True
    (region,) = plan_regions(mask, 128)
    assert (region.top, region.left, region.height, region.width) == (0, 272, 128, 128)


def test_a_photo_smaller_than_the_working_size_is_one_crop_at_native_size() -> None:
    mask = np.zeros((90, 140), bool)
    mask[20:60, 30:90] = True
    (region,) = plan_regions(mask, 256)
    assert (region.height, region.width, region.shrink) == (90, 140, 1.0)


def test_specks_share_crops() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((1000, 1000), bool)
    mask[rng.integers(0, 1000, 2000), rng.integers(0, 1000, 2000)] = True
    regions = plan_regions(mask, 256)
    assert len(regions) <= 50
    assert np.array_equal(covered(mask.shape, regions), mask.astype(int))


def test_a_long_thin_stroke_is_filled_at_native_resolution() -> None:
    mask = np.zeros((1500, 1500), bool)
    for step in range(1300):
        mask[100 + step : 110 + step, 100 + step] = True
    regions = plan_regions(mask, 256)
    assert all(region.shrink == 1 for region in regions)
    assert len(regions) < 25


def test_two_holes_far_apart_are_two_crops_and_neighbours_one() -> None:
    mask = np.zeros((2000, 2000), bool)
    mask[100:120, 100:120] = mask[1800:1820, 1800:1820] = True
    assert len(plan_regions(mask, 256)) == 2
    mask[1800:1820, 1800:1820] = False
    mask[110:130, 150:170] = True
    assert len(plan_regions(mask, 256)) == 1


def stroke(length: int) -> np.ndarray:
    """A mask with one long upright stroke, which is cut into pieces."""
    mask = np.zeros((length + 40, 300), bool)
    mask[20 : 20 + length, 140:150] = True
    return mask


def test_crops_that_see_each_others_holes_are_filled_one_after_the_other() -> None:
    plan = plan_fill(stroke(1500), 64)
    assert len(plan.regions) > 10
    assert plan.waves == tuple(range(len(plan.regions)))
    for wave in plan.in_waves():
        assert len(wave) == 1


def test_crops_far_apart_are_filled_together() -> None:
    mask = np.zeros((1000, 1000), bool)
    for top, left in ((100, 100), (100, 800), (800, 100), (800, 800)):
        mask[top : top + 20, left : left + 20] = True
    plan = plan_fill(mask, 64)
    assert plan.waves == (0, 0, 0, 0)


@settings(max_examples=80, deadline=None)
@given(mask=masks(), working_size=st.sampled_from([None, 8, 16, 64]))
def test_within_a_wave_no_crop_sees_what_another_before_it_fills(mask: np.ndarray, working_size: int | None) -> None:
    plan = plan_fill(mask, working_size)
    assert plan.hole_pixels == int(mask.sum())
    assert sum(map(len, plan.in_waves())) == len(plan.regions)
    for wave in plan.in_waves():
        filled = np.zeros(mask.shape, bool)
        for region in wave:
            assert not filled[region.window].any()
            filled[region.window] |= region.holes


def test_a_plan_reads_as_text() -> None:
    mask = np.zeros((2000, 3000), bool)
    mask[900:1200, 700:1000] = True
    mask[100:110, 2000:2010] = True
    lines = str(plan_fill(mask, 256)).splitlines()
    assert lines[0] == ("3000 x 2000 pixels, 90,100 missing (1.5 %): 2 crops for a working size of 256, in 1 wave")
    assert lines[1] == "  1. wave 1: 256 x 256 from (left 1877, top 0), seen as it is, 100 pixels to fill"
    assert lines[2].endswith(
        "600 x 600 from (left 550, top 750), seen at 256 x 256 (2.34 times smaller), 90,000 pixels to fill"
    )
    assert str(FillPlan(4, 5, None, (), ())) == "5 x 4 pixels: nothing is missing"


def test_more_context_is_more_of_the_photo_at_the_same_working_size() -> None:
    mask = np.zeros((2000, 2000), bool)
    mask[900:1200, 700:1000] = True
    (region,) = plan_regions(mask, 256, context=2.0)
    assert (region.height, region.width) == (900, 900)
    assert region.working_shape == (256, 256)


def test_crops_of_an_engine_of_any_size_shrink_only_when_they_must() -> None:
    mask = np.zeros((2000, 2000), bool)
    mask[400:1600, 400:1600] = True
    (region,) = plan_regions(mask)
    assert region.shrink == 1
    (region,) = plan_regions(mask, largest_crop=500)
    assert max(region.working_shape) == 500
