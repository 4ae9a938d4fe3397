"""Masks grown: by pixels or in proportion to each hole, exactly as far as asked, at a cost that follows the holes."""

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inpaintkit.errors import MaskError, UsageError
from inpaintkit.masks import grow as grow_module
from inpaintkit.masks import grow_mask, grown_px, growth_of


def drawn(height: int = 20, width: int = 30) -> np.ndarray:
    """A mask without symmetry, so that a turn or a swap of height and width shows."""
    mask = np.zeros((height, width), bool)
    mask[2:5, 3:9] = True
    mask[height - 2, width - 1] = True
    return mask


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert "expected" in message
    return message


def hole_by_hole(mask: np.ndarray, percent: float, least: int) -> np.ndarray:
    """What a growth in percent means, spelled out: each hole alone, each of its pixels alone."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    rows, columns = np.indices(mask.shape)
    grown = mask.copy()
    for number in range(1, count):
        own = np.argwhere(labels == number)
        side = int((own.max(axis=0) - own.min(axis=0)).max()) + 1
        radius = max(int(np.ceil(side * percent / 100 - 1e-9)), least)
        for row, column in own:
            grown |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return grown


@pytest.mark.parametrize(
    ("given_as", "meant"),
    [
        (0, 0),
        (12, 12),
        (np.int64(7), 7),
        ("12", 12),
        ("12px", 12),
        (" 12 px ", 12),
        ("3%", "3%"),
        ("1.50 %", "1.5%"),
        ("0%", "0%"),
        (100_000, 100_000),
    ],
)
def test_growth_is_understood(given_as: object, meant: int | str) -> None:
    assert growth_of(given_as) == meant
    assert type(growth_of(given_as)) is type(meant)
    assert growth_of(growth_of(given_as)) == meant


@pytest.mark.parametrize(
    "bad",
    [-1, 100_001, True, 2.5, None, "", "x", "-3", "3.5", "3.5px", "3 %%", "1001%", "-1%", "nan%", "1e3", "٣", b"3"],
)
def test_other_growth_is_refused(bad: object) -> None:
    with pytest.raises(UsageError, match="grow is") as error:
        growth_of(bad)
    one_line(error)
    with pytest.raises(UsageError):
        grow_mask(drawn(), bad)


@settings(deadline=None)
@given(
    mask=arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=15), fill=st.just(False)),
    pixels=st.integers(0, 12),
)
def test_grow_takes_all_within_the_distance_and_no_more(mask: np.ndarray, pixels: int) -> None:
    before = mask.copy()
    rows, columns = np.indices(mask.shape)
    expected = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        expected |= (rows - row) ** 2 + (columns - column) ** 2 <= pixels**2
    grown = grow_mask(mask, pixels)
    assert grown.dtype == np.bool_
    np.testing.assert_array_equal(grown, expected)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("pixels", [1, 2, 5, 10, 50])
def test_grow_stays_inside_opencvs_ellipse(pixels: int) -> None:
    mask = np.zeros((160, 170), bool)
    mask[70:80, 60:90] = True
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    ellipse = cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)
    grown = grow_mask(mask, pixels)
    assert not (grown & ~ellipse).any()
    assert np.count_nonzero(ellipse & ~grown) <= 0.02 * np.count_nonzero(ellipse)


def test_grow_reaches_the_distance_exactly_far_out() -> None:
    mask = np.zeros((3, 601), bool)
    mask[1, 0] = True
    grown = grow_mask(mask, 500)
    assert grown[1, 500]
    assert not grown[1, 501]
    assert not grown[0, 500]


def test_grow_at_the_border_and_of_nothing() -> None:
    corner = np.zeros((6, 7), bool)
    corner[0, 0] = corner[5, 6] = True
    assert np.count_nonzero(grow_mask(corner, 1)) == 6
    assert not grow_mask(np.zeros((6, 7), bool), 3).any()
    assert grow_mask(np.ones((6, 7), bool), 3).all()
    np.testing.assert_array_equal(grow_mask(drawn().T, 2), grow_mask(drawn(), 2).T)  # other strides


def test_grow_refuses_what_is_no_mask() -> None:
    for mask in (drawn().astype(np.uint8), np.zeros((2, 3, 1), bool)):
        with pytest.raises(MaskError) as error:
            grow_mask(mask, 1)
        one_line(error)


@settings(deadline=None)
@given(
    mask=arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24), fill=st.just(False)),
    percent=st.sampled_from([0, 1, 20, 50, 100, 250]),
    least=st.integers(0, 4),
)
def test_percent_is_of_each_hole(mask: np.ndarray, percent: int, least: int) -> None:
    before = mask.copy()
    np.testing.assert_array_equal(grow_mask(mask, f"{percent}%", least=least), hole_by_hole(mask, percent, least))
    np.testing.assert_array_equal(mask, before)


def test_each_hole_grows_by_its_own_longer_side() -> None:
    mask = np.zeros((300, 400), bool)
    mask[100:110, 50:150] = True  # 100 wide: 3 px
    mask[200:210, 300:310] = True  # 10 wide: 1 px, rounded up
    grown = grow_mask(mask, "3%")
    assert np.flatnonzero(grown[105]).tolist() == list(range(47, 153))
    assert np.flatnonzero(grown[:, 100]).tolist() == list(range(97, 113))
    assert np.flatnonzero(grown[205]).tolist() == list(range(299, 311))
    again = grow_mask(mask, "1%", least=3)
    assert np.flatnonzero(again[205]).tolist() == list(range(297, 313))
    assert np.flatnonzero(again[105]).tolist() == list(range(47, 153))


def test_least_counts_for_pixels_too() -> None:
    np.testing.assert_array_equal(grow_mask(drawn(), 1, least=3), grow_mask(drawn(), 3))
    np.testing.assert_array_equal(grow_mask(drawn(), "5px", least=3), grow_mask(drawn(), 5))
    np.testing.assert_array_equal(grow_mask(drawn(), 0, least=2), grow_mask(drawn(), 2))


def scattered(height: int, width: int, count: int, largest: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    for top, left, rows, columns in zip(
        rng.integers(0, height, count),
        rng.integers(0, width, count),
        rng.integers(1, largest + 1, count),
        rng.integers(1, largest + 1, count),
        strict=True,
    ):
        mask[top : top + rows, left : left + columns] = True
    return mask


@pytest.mark.parametrize("grow", [1, 9, "10%", "60%"])
@pytest.mark.parametrize(("count", "largest"), [(1, 50), (6, 30), (40, 8), (400, 3)])
def test_windows_change_nothing(count: int, largest: int, grow: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holes far apart, near each other and in one window: the same mask as without any windows."""
    mask = scattered(700, 900, count, largest)
    grown = grow_mask(mask, grow)
    together = lambda mask: iter([(0, 0, mask)])  # noqa: E731
    monkeypatch.setattr(grow_module, "_far_apart", together)
    monkeypatch.setattr(grow_module, "_WINDOW_COST", 1 << 40)
    np.testing.assert_array_equal(grown, grow_mask(mask, grow))
    assert grown.sum() > mask.sum()


@pytest.mark.parametrize("grow", [40, "200%"])
def test_distances_are_measured_in_windows_around_the_holes(grow: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured, real = [], cv2.distanceTransform
    monkeypatch.setattr(
        grow_module.cv2, "distanceTransform", lambda known, *rest: measured.append(known.size) or real(known, *rest)
    )
    mask = np.zeros((6000, 6000), bool)
    for place in (0, 2990, 5980):
        mask[place : place + 20, place : place + 20] = True
    grow_mask(mask, grow)
    assert len(measured) == 3
    assert sum(measured) <= 3 * (128 + 2 * 40) ** 2  # a hole of 20 px lies in at most two blocks of 64 a side
    measured.clear()
    grow_mask(scattered(2000, 2000, 8000, 4), grow)
    assert len(measured) < 200
    assert sum(measured) < 40 * 2000 * 2000


def test_thousands_of_specks_in_a_large_photo_take_no_minute() -> None:
    mask = np.zeros((4000, 6000), bool)
    mask[::40, ::40] = True  # 15,000 specks
    started = time.perf_counter()
    grown = grow_mask(mask, "100%", least=2)
    assert time.perf_counter() - started < 20
    assert np.count_nonzero(grown[1000:1040, 1000:1040]) == 13


def test_the_radii_that_are_told_are_those_that_are_grown_by() -> None:
    mask = np.zeros((400, 400), bool)
    mask[20:30, 20:60] = mask[200:300, 200:250] = True  # 40 and 100 px
    assert grown_px(mask, "3%") == (2, 3)
    assert grown_px(mask, "3%", least=3) == (3, 3)
    assert grown_px(mask, 5) == (5, 5)
    grown = grow_mask(mask, "3%")
    assert [int(np.flatnonzero(grown[:, column])[0]) for column in (40, 225)] == [20 - 2, 200 - 3]
    assert grown_px(np.zeros((4, 4), bool), "50%") == (0, 0)
    with pytest.raises(UsageError):
        grown_px(mask, "much")
