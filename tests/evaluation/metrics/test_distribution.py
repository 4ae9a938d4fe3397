"""FID and KID of sets of features whose distance is known."""

import warnings

import numpy as np
import pytest
import torch

from inpaintkit.errors import UsageError
from inpaintkit.evaluation.metrics.distribution import (
    FEWEST_FOR_FID,
    FEWEST_FOR_KID,
    frechet_distance,
    kernel_distance,
)


def _with_moments(mean: list[float], covariance: np.ndarray, seed: int, count: int = FEWEST_FOR_FID) -> np.ndarray:
    """Points (count, d) whose sample mean and covariance (divided by count - 1) are exactly these."""
    points = np.random.default_rng(seed).normal(size=(count, len(mean)))
    points -= points.mean(0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(points.T)), points.T)
    return (np.linalg.cholesky(covariance) @ white).T + mean


# --- FID -------------------------------------------------------------------------------------------------------------


def test_fid_of_independent_features():
    """Squared distance of the means and of the deviations: 3^2 + 4^2 + (1 - 2)^2 + (3 - 1)^2 + 0 = 30."""
    real = _with_moments([0, 0, 5], np.diag([1.0, 9.0, 4.0]), 1)
    filled = _with_moments([3, 4, 5], np.diag([4.0, 1.0, 4.0]), 2, FEWEST_FOR_FID + 100)
    assert frechet_distance(real, filled) == pytest.approx(30, rel=1e-9)
    assert frechet_distance(filled, real) == pytest.approx(30, rel=1e-9)


def test_fid_of_features_that_hang_together():
    """In two dimensions the trace of the root of A B is the root of tr(A B) + 2 root(det(A B))."""
    a, b = np.array([[2.0, 0.8], [0.8, 1.0]]), np.array([[1.0, -0.6], [-0.6, 3.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    found = frechet_distance(_with_moments([1, 0], a, 1), _with_moments([0, 0], b, 2))
    assert found == pytest.approx(1 + np.trace(a) + np.trace(b) - 2 * root, rel=1e-9)


def test_fid_of_a_set_with_itself_is_0():
    features = np.random.default_rng(3).random((FEWEST_FOR_FID, 16)).astype(np.float32)
    assert 0 <= frechet_distance(features, features.copy()) < 1e-9


def test_fid_does_not_lose_small_distances_beside_large_means():
    """Float32 features far from 0, as float64 inside: covariances of 1e-6 beside squares of 1e4."""
    shift = np.full(4, 1e-3)
    real = _with_moments([100] * 4, np.eye(4) * 1e-6, 1)
    assert frechet_distance(real, real + shift) == pytest.approx(4e-6, rel=1e-3)


@pytest.mark.parametrize("few", ["real", "filled"])
def test_fid_refuses_few_photos_and_offers_kid(few):
    enough, less = np.zeros((FEWEST_FOR_FID, 3)), np.zeros((FEWEST_FOR_FID - 1, 3))
    with pytest.raises(UsageError) as caught:
        frechet_distance(*((less, enough) if few == "real" else (enough, less)))
    message = str(caught.value)
    assert "\n" not in message
    for word in ("2,048 photos", "2,049", "10,000", "KID"):
        assert word in message


def test_fewer_photos_than_that_make_a_singular_covariance():
    """The reason in small: n points in n - 1 dimensions have a covariance of full rank, in n dimensions not."""
    points = np.random.default_rng(4).normal(size=(6, 6))
    assert np.linalg.matrix_rank(np.cov(points.T)) == 5
    assert np.linalg.matrix_rank(np.cov(points[:, :5].T)) == 5
    assert FEWEST_FOR_FID == 2048 + 1


# --- KID -------------------------------------------------------------------------------------------------------------


def test_kid_by_hand():
    """Sets of one point each: (1 + 1)^3 - 2 (3 + 1)^3 + (9 + 1)^3 = 880; in two dimensions the product is halved."""
    ones, threes = np.full((30, 1), 1.0), np.full((40, 1), 3.0)
    assert kernel_distance(ones, threes) == (pytest.approx(880), pytest.approx(0, abs=1e-9))
    plane = kernel_distance(np.tile(ones, (1, 2)), np.tile([[3.0, 1.0]], (40, 1)))
    assert plane[0] == pytest.approx((1 + 1) ** 3 - 2 * (2 + 1) ** 3 + (5 + 1) ** 3)


def test_kid_of_one_distribution_is_about_0_without_bias():
    rng = np.random.default_rng(5)
    pairs = [(rng.normal(size=(60, 32)), rng.normal(size=(60, 32))) for _ in range(12)]
    found = np.array([kernel_distance(*pair) for pair in pairs])
    assert abs(found[:, 0].mean()) < 0.02
    assert found[:, 0].min() < 0 < found[:, 0].max()
    assert (found[:, 1] > 0).all()
    shifted = kernel_distance(pairs[0][0], pairs[0][1] + 0.5)
    assert shifted[0] > 0.2


def test_kid_draws_by_its_seed_alone():
    rng = np.random.default_rng(6)
    real, filled = rng.normal(size=(40, 8)), rng.normal(size=(40, 8)).astype(np.float32)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = kernel_distance(real, filled, seed=4)
    assert torch.equal(torch.rand(3), expected)
    assert kernel_distance(real, filled, seed=4) == first
    assert kernel_distance(real, filled, seed=5) != first


def test_kid_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel_distance(np.ones((20, 2)), np.ones((20, 2)))


def test_kid_refuses_a_handful():
    enough, less = np.ones((FEWEST_FOR_KID, 2)), np.ones((FEWEST_FOR_KID - 1, 2))
    assert kernel_distance(enough, enough)[0] == pytest.approx(0, abs=1e-9)
    with pytest.raises(UsageError, match="19 photos"):
        kernel_distance(enough, less)


# --- Both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("real", "filled", "words"),
    [
        (np.ones((2100, 3)), np.ones((2100, 4)), "(2100, 3) and (2100, 4)"),
        (np.ones(2100), np.ones(2100), "(photos, features)"),
        (np.ones((2100, 3)), np.full((2100, 3), np.nan), "not finite"),
    ],
)
def test_features_that_do_not_fit(distance, real, filled, words):
    with pytest.raises(UsageError) as caught:
        distance(real, filled)
    assert words in str(caught.value)


def test_features_are_not_changed():
    rng = np.random.default_rng(7)
    real, filled = rng.normal(size=(FEWEST_FOR_FID, 3)), rng.normal(size=(FEWEST_FOR_FID, 3))
    before = real.copy(), filled.copy()
    real.flags.writeable = filled.flags.writeable = False
    frechet_distance(real, filled)
    kernel_distance(real, filled)
    assert np.array_equal(real, before[0])
    assert np.array_equal(filled, before[1])
