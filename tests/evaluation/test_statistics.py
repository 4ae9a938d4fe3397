"""Bootstrap, paired differences, bins, hole depth and Wilson's interval."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from inpaintkit.errors import DataError, UsageError
from inpaintkit.evaluation import statistics
from inpaintkit.evaluation.statistics import (
    AREA_BINS,
    DEPTH_BINS,
    FEWEST_FOR_INTERVAL,
    Bootstrap,
    Interval,
    area_bin,
    depth_bin,
    disagreement,
    hole_depth,
    rounded,
    student_quantile,
    widening,
    wilson,
)


def _column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)[:, None]


def _normal(photos: int, columns: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((photos, columns))


# --- Bootstrap -------------------------------------------------------------------------------------------------------


def test_a_few_photos_have_a_mean_and_no_interval():
    assert Bootstrap(2).intervals(_column(0, 2)) == [Interval(1, None, None, 1, 2)]
    for photos in (1, 5, FEWEST_FOR_INTERVAL - 1):
        (found,) = Bootstrap(photos).intervals(_normal(photos, 1))
        assert (found.low, found.high, found.photos) == (None, None, photos)
    (found,) = Bootstrap(FEWEST_FOR_INTERVAL).intervals(_normal(FEWEST_FOR_INTERVAL, 1))
    assert found.low < found.mean < found.high


def test_two_values_by_hand():
    """One photo of ten differs: 35 % of the resamples never draw it, 7 % three times or more, 1.3 % four or more."""
    (found,) = Bootstrap(10).intervals(_column(10, *[0] * 9))
    wider = math.sqrt(10 / 9) * 2.262157 / 1.959964
    assert (found.mean, found.median) == (1, 0)
    assert found.low == pytest.approx(1 - wider, abs=2e-5)
    assert found.high == pytest.approx(1 + 2 * wider, abs=4e-5)  # three times


def test_equal_values_have_an_interval_of_no_width():
    assert Bootstrap(12).intervals(np.full((12, 2), [2.5, 0.1])) == [
        Interval(2.5, 2.5, 2.5, 2.5, 12),
        Interval(*[pytest.approx(0.1, abs=1e-15)] * 4, 12),
    ]


def test_median_and_mean_are_those_of_the_values():
    (found,) = Bootstrap(4).intervals(_column(1, 2, 4, 13))
    assert (found.mean, found.median, found.photos) == (5, 3, 4)


def test_the_interval_is_that_of_plain_resampling_made_wider():
    values = _normal(40, 1)[:, 0] ** 2
    draws = np.random.default_rng(5).integers(0, 40, size=(3000, 40))
    ends = np.percentile(values[draws].mean(axis=1), (2.5, 97.5)) - values.mean()
    low, high = values.mean() + ends * math.sqrt(40 / 39) * 2.022691 / 1.959964
    (found,) = Bootstrap(40, seed=5, resamples=3000).intervals(values[:, None])
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_the_interval_narrows_as_the_normal_approximation_says():
    values = _normal(400, 1) + 3
    (found,) = Bootstrap(400).intervals(values)
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_nineteen_of_twenty_intervals_hold_the_true_mean():
    samples = _normal(60, 300, seed=2) * 2 + 7
    held = sum(found.low <= 7 <= found.high for found in Bootstrap(60, resamples=1000).intervals(samples))
    assert 270 <= held <= 296


def test_intervals_of_ten_photos_hold_the_true_mean_nearly_as_often():
    """Without widening they hold it in 91 of 100 samples: 364 of these 400."""
    samples = _normal(10, 400, seed=3)
    held = sum(found.low <= 0 <= found.high for found in Bootstrap(10, resamples=2000).intervals(samples))
    assert 374 <= held <= 388


@pytest.mark.parametrize(
    ("degrees", "tabled"), [(9, 2.262157), (10, 2.228139), (14, 2.144787), (29, 2.045230), (99, 1.984217)]
)
def test_the_quantile_of_student_is_the_tabled_one(degrees, tabled):
    assert student_quantile(degrees) == pytest.approx(tabled, abs=2e-5)
    assert student_quantile(degrees) == pytest.approx(student.ppf(0.975, degrees), abs=2e-5)


def test_widening_falls_to_one():
    assert widening(10) == pytest.approx(math.sqrt(10 / 9) * 2.262157 / 1.959964, abs=2e-5)
    assert 1 < widening(1000) < 1.003
    assert 1 < widening(30_000) < widening(1000) < widening(11) < widening(10)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    values = _normal(50, 3)
    assert Bootstrap(50).intervals(values) == Bootstrap(50).intervals(values)
    assert Bootstrap(50).intervals(values) != Bootstrap(50, seed=1).intervals(values)


def test_columns_share_their_resamples_and_do_not_disturb_each_other():
    values = _normal(50, 3)
    values[7, 1] = np.nan
    alone = [Bootstrap(50).intervals(values[:, [column]])[0] for column in range(3)]
    assert Bootstrap(50).intervals(values) == alone
    shifted = Bootstrap(50).intervals(np.stack([values[:, 0], values[:, 0] + 8], axis=1))
    assert shifted[1].low - shifted[0].low == pytest.approx(8, abs=1e-9)


def test_the_order_of_sums_and_the_size_of_pieces_do_not_matter(monkeypatch):
    values = _normal(61, 4) * [1e-6, 1, 1e3, 1e9]
    values[3, 2] = np.nan
    whole = Bootstrap(61, resamples=500).intervals(values)
    monkeypatch.setattr(statistics, "_DRAWS_AT_ONCE", 61 * 7)
    assert Bootstrap(61, resamples=500).intervals(values) == whole
    monkeypatch.setattr(statistics, "_DRAWS_AT_ONCE", 1)
    assert Bootstrap(61, resamples=500).intervals(values) == whole


def test_gaps_are_left_out():
    values = np.full((30, 3), np.nan)
    values[:20, 0] = [1, 3] * 10
    values[5:8, 1] = 4, 6, 5
    first, second, third = Bootstrap(30).intervals(values)
    assert (first.mean, first.median, first.photos) == (2, 2, 20)
    assert first.high - first.low == pytest.approx(2 * 2.093024 * math.sqrt(1 / 19), rel=0.06)  # t of 19, of 20 photos
    assert second == Interval(5, None, None, 5, 3)  # of thirty photos, three were measured
    assert third is None


def test_one_measurement_among_many_photos_is_not_certain():
    values = np.full((50, 1), np.nan)
    values[20] = 4.25
    assert Bootstrap(50).intervals(values) == [Interval(4.25, None, None, 4.25, 1)]


def test_thirty_thousand_photos_fit_in_memory():
    values = _normal(30_000, 2)
    (first, _) = Bootstrap(30_000, resamples=300).intervals(values)
    assert first.high - first.low == pytest.approx(2 * 1.96 / math.sqrt(30_000), rel=0.15)


def test_no_columns_are_no_intervals():
    assert Bootstrap(3).intervals(np.empty((3, 0))) == []


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"shape \(4, 1\), expected \(3, columns\)"):
        Bootstrap(3).intervals(_column(1, 2, 3, 4))
    with pytest.raises(DataError, match="infinite"):
        Bootstrap(2).intervals(_column(1, math.inf))
    with pytest.raises(UsageError, match="0 photos"):
        Bootstrap(0)


def test_values_are_not_modified():
    values = _column(1, math.nan, 3)
    before = values.copy()
    Bootstrap(3).intervals(values)
    assert np.array_equal(values, before, equal_nan=True)


# --- Disagreement and digits ----------------------------------------------------------------------------------------


def _l1(*values: float | None) -> list[dict[str, object]]:
    return [{"error": "it broke"} if value is None else {"hole_l1": value} for value in values]


def test_disagreement_is_the_spread_of_the_methods():
    assert disagreement(_l1(1.0, 4.5, None, 2.0)) == 3.5
    assert disagreement(_l1(1.0, None)) is None
    assert disagreement(_l1(2.5)) == 2.5  # of one method alone its own
    assert disagreement(_l1(None)) is None


def test_numbers_have_the_digits_that_machines_agree_on():
    assert rounded(1 / 3) == 0.3333333333
    assert rounded(math.pi * 1e6) == 3141592.654


# --- Wilson ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # z^2 / (n + z^2) = 3.8415 / 13.8415
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),  # 0.5 -+ z sqrt(n + z^2) / (2 (n + z^2)) = 1.96 / (2 sqrt(13.8415))
        (50, 100, 0.4038, 0.5962),
        (1, 1, 0.2065, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_by_hand(hits, trials, low, high):
    assert wilson(hits, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_wilson_is_that_of_scipy():
    for hits, trials in ((3, 17), (40, 41), (250, 1000)):
        theirs = binomtest(hits, trials).proportion_ci(method="wilson")
        assert wilson(hits, trials) == (pytest.approx(theirs.low), pytest.approx(theirs.high))


@pytest.mark.parametrize(("hits", "trials"), [(3, 2), (-1, 2)])
def test_wilson_refuses_more_hits_than_trials(hits, trials):
    with pytest.raises(UsageError, match="expected 0 or more hits"):
        wilson(hits, trials)


# --- Bins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "name"),
    [
        (0, "0-10 %"),
        (0.0999, "0-10 %"),
        (0.1, "10-20 %"),
        (6554 / 65536, "10-20 %"),
        (6553 / 65536, "0-10 %"),
        (0.3, "30-40 %"),
        (math.nextafter(0.3, 0), "20-30 %"),
        (0.5999, "50-60 %"),
        (0.6, "60-100 %"),
        (1, "60-100 %"),
    ],
)
def test_area_bins_include_their_lower_bound(ratio, name):
    assert area_bin(ratio) == name


@pytest.mark.parametrize(
    ("depth", "name"),
    [
        (0, "0-4 px"),
        (1, "0-4 px"),
        (3.99, "0-4 px"),
        (4, "4-8 px"),
        (8, "8-16 px"),
        (31.9, "16-32 px"),
        (32, "32-64 px"),
        (64, "64+ px"),
        (math.inf, "64+ px"),
    ],
)
def test_depth_bins_include_their_lower_bound(depth, name):
    assert depth_bin(depth) == name


@pytest.mark.parametrize("bins", [AREA_BINS, DEPTH_BINS])
def test_bins_leave_no_gap(bins):
    bounds = list(bins.values())
    assert [high for _, high in bounds[:-1]] == [low for low, _ in bounds[1:]]
    assert bounds[0][0] == 0


@pytest.mark.parametrize(
    ("choose", "value"), [(area_bin, -0.1), (area_bin, 1.1), (area_bin, math.nan), (depth_bin, -1)]
)
def test_what_lies_in_no_bin_is_refused(choose, value):
    with pytest.raises(DataError, match="expected 0 to"):
        choose(value)


# --- Depth -----------------------------------------------------------------------------------------------------------


def test_depth_of_a_box_is_half_its_shorter_side():
    hole = np.zeros((256, 256), bool)
    hole[64:192, 64:192] = True  # the centre hole of the articles
    assert hole_depth(hole) == 64
    assert depth_bin(hole_depth(hole)) == "64+ px"
    hole = np.zeros((40, 60), bool)
    hole[10:21, 5:55] = True
    assert hole_depth(hole) == 6


def test_depth_is_euclidean():
    hole = np.ones((9, 9), bool)
    hole[0, 0] = False
    assert hole_depth(hole) == pytest.approx(math.hypot(8, 8))


def test_the_border_is_not_known():
    inside, outside = np.zeros((2, 50, 50), bool)
    inside[20:30, 5:45] = outside[:10, 5:45] = True
    assert hole_depth(inside) == 5
    assert hole_depth(outside) == 10


def test_depth_of_nothing_and_of_everything():
    assert hole_depth(np.zeros((5, 6), bool)) == 0
    assert hole_depth(np.ones((5, 6), bool)) == math.inf


def test_depth_looks_for_the_deepest_of_all_holes():
    hole = np.zeros((60, 60), bool)
    hole[2:4, 2:4] = True
    hole[30:50, 30:50] = True
    assert hole_depth(hole) == 10


def test_the_depth_does_not_depend_on_where_the_hole_lies_in_memory() -> None:
    from inpaintkit.masks.benchmark import draw_set

    for _, hole in list(draw_set("lama_thick_256"))[:40]:
        found = set()
        for shift in range(16):
            held = np.zeros(hole.size + 64, np.bool_)[shift : shift + hole.size].reshape(hole.shape)
            held[:] = hole
            found.add(hole_depth(held))
        assert len(found) == 1
        assert float(found.pop() ** 2) == pytest.approx(round(hole_depth(hole) ** 2), abs=1e-9)
