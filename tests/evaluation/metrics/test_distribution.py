"""FID and KID of sets of features whose distance is known."""

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from inpaintkit.errors import DataError, UsageError
from inpaintkit.evaluation.metrics import distribution
from inpaintkit.evaluation.metrics.distribution import (
    FEWEST_FOR_FID,
    FEWEST_FOR_KID,
    SUBSETS,
    distances,
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
    ones, threes = np.full((30, 1), 1.0), np.full((30, 1), 3.0)
    assert kernel_distance(ones, threes) == (pytest.approx(880), pytest.approx(0, abs=1e-9))
    plane = kernel_distance(np.tile(ones, (1, 2)), np.tile([[3.0, 1.0]], (30, 1)))
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


@pytest.mark.parametrize("count", [20, 61, 200])
def test_kid_of_photos_with_themselves_is_0(count):
    """A composite is never set against its own photo: with such pairs the mean would be 2 (k(x, x) - k(x, y)) / n less.

    The error of the mean is that of `SUBSETS` draws from these photos, which are all there are here.
    """
    features = np.random.default_rng(count).normal(size=(count, 32))
    mean, deviation = kernel_distance(features, features.copy())
    error = deviation / SUBSETS**0.5
    kernel = (features @ features.T / 32 + 1) ** 3
    others = ~np.eye(count, dtype=bool)
    assert 2 / count * (kernel.diagonal().mean() - kernel[others].mean()) > 8 * error
    assert abs(mean) < 4 * error


def test_kid_agrees_with_torchmetrics_on_sets_that_share_nothing():
    """Composites of other photos, which torchmetrics' independent draws are meant for: within both means' errors."""
    from torchmetrics.image.kid import KernelInceptionDistance

    class Given(torch.nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features

    rng = np.random.default_rng(8)
    real, filled = rng.normal(size=(80, 16)), rng.normal(size=(80, 16)) * 1.2 + 0.2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = KernelInceptionDistance(Given(), SUBSETS, 40)
    theirs.update(torch.tensor(real), real=True)
    theirs.update(torch.tensor(filled), real=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected, spread = (float(each) for each in theirs.compute())
    mean, deviation = kernel_distance(real, filled)
    assert expected > 10 * spread / SUBSETS**0.5
    assert mean == pytest.approx(expected, abs=4 * np.hypot(spread, deviation) / SUBSETS**0.5)
    assert deviation == pytest.approx(spread, rel=0.3)


def test_kid_needs_the_composite_of_every_photo():
    with pytest.raises(UsageError, match="KID of 30 photos and 40 composites") as caught:
        kernel_distance(np.ones((30, 2)), np.ones((40, 2)))
    assert "\n" not in str(caught.value)


def test_kid_draws_by_its_seed_alone():
    rng = np.random.default_rng(6)
    real, filled = rng.normal(size=(40, 8)), rng.normal(size=(40, 8)).astype(np.float32)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = kernel_distance(real, filled, seed=4)
    np.random.seed(1)  # noqa: NPY002 - the global generator, which nothing here may draw from
    assert kernel_distance(real, filled, seed=4) == first
    assert torch.equal(torch.rand(3), expected)
    assert kernel_distance(real, filled, seed=5) != first


def test_kid_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel_distance(np.ones((20, 2)), np.ones((20, 2)))


def test_kid_refuses_a_handful():
    real, filled = np.full((FEWEST_FOR_KID, 1), 1.0), np.full((FEWEST_FOR_KID, 1), 3.0)
    assert kernel_distance(real, filled)[0] == pytest.approx(880)
    with pytest.raises(UsageError, match="19 photos"):
        kernel_distance(real[1:], filled[1:])


# --- From files ------------------------------------------------------------------------------------------------------


def _files(folder: Path, features: np.ndarray) -> list[Path]:
    """One file for each picture, as workers write them."""
    folder.mkdir()
    found = [folder / f"{number:06d}.npy" for number in range(len(features))]
    for file, row in zip(found, features, strict=True):
        np.save(file, row.astype(np.float32))
    return found


def test_distances_of_files_are_those_of_their_features(tmp_path):
    rng = np.random.default_rng(9)
    real, filled = (rng.normal(size=(38, 6)).astype(np.float32) for _ in range(2))
    found, refused = distances(_files(tmp_path / "r", real), _files(tmp_path / "f", filled), seed=3)
    mean, deviation = kernel_distance(real, filled, seed=3)
    assert found == {"photos": 38, "kid": {"mean": float(f"{mean:.6g}"), "std": float(f"{deviation:.6g}")}}
    assert [each["metric"] for each in refused] == ["FID"]
    assert "38 photos" in refused[0]["why"]


def test_fid_of_files_to_six_digits(tmp_path):
    rng = np.random.default_rng(10)
    real, filled = (rng.normal(size=(FEWEST_FOR_FID, 3)).astype(np.float32) * 5 for _ in range(2))
    found, refused = distances(_files(tmp_path / "r", real), _files(tmp_path / "f", filled), seed=0)
    assert refused == []
    assert found["photos"] == FEWEST_FOR_FID
    exact = frechet_distance(real, filled)
    assert found["fid"] == float(f"{exact:.6g}") != exact


def test_too_few_files_are_refused_and_none_is_no_error(tmp_path):
    files = _files(tmp_path / "f", np.ones((5, 3)))
    for given in (files, []):
        found, refused = distances(given, given, seed=0)
        assert found == {"photos": len(given)}
        assert [each["metric"] for each in refused] == ["FID", "KID"]


@pytest.mark.parametrize(
    ("data", "words"),
    [(None, "No such file"), (b"no array", "damaged"), (b"", "damaged"), (np.ones(2), r"\(2,\), expected \(3,\)")],
)
def test_a_file_that_is_missing_or_damaged_is_named(tmp_path, data, words):
    files = _files(tmp_path / "f", np.ones((25, 3)))
    whole = list(files)
    files[7] = tmp_path / "other.npy"
    if isinstance(data, bytes):
        files[7].write_bytes(data)
    elif data is not None:
        np.save(files[7], data)
    for given in ((files, whole), (whole, files)):
        with pytest.raises(DataError, match=rf"other\.npy'.*{words}.*anew") as caught:
            distances(*given, seed=0)
        assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    files = _files(tmp_path / "f", np.ones((25, 300)))
    files[3].write_bytes(files[3].read_bytes()[:-5])
    with pytest.raises(DataError, match=r"000003\.npy"):
        distances(files, files, seed=0)


def test_features_are_read_without_copies_of_all(tmp_path, monkeypatch):
    """Two sets in float32, and of the whole no copy in float64, which would be twice as large."""
    monkeypatch.setattr(distribution, "SUBSETS", 1)
    count, features = 6000, 256
    files = _files(tmp_path / "f", np.random.default_rng(0).random((1, features))) * count
    tracemalloc.start()
    found, _ = distances(files, files, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["photos"] == count
    assert set(found) == {"photos", "fid", "kid"}
    assert peak < 1.6 * (2 * count * features * 4)


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
