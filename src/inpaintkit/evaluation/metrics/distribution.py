"""FID and KID: do the composites as a set look like the photos as a set? One number for all photos, not one for each.

Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017 (FID) and Binkowski, Sutherland, Arbel and Gretton 2018
(KID), computed by torchmetrics on the features of our own network.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import DataError, UsageError
from ...pretrained import Progress
from . import Metric, Pixels
from .inception import FEATURES, load_inception

Features = NDArray[np.float32]
Given = NDArray[np.floating]

FEWEST_FOR_FID = FEATURES + 1
"""The covariance of n photos has a rank of n - 1 at most: with fewer than these, that of 2,048 features is singular.

It is what FID can be computed from, not what makes it good: its bias falls with n, and 10,000 is the custom, which the
authors' release recommends. Compare only FIDs of the same number of photos.
"""

FEWEST_FOR_KID = 20
SUBSETS = 100
SUBSET_SIZE = 1000

AT_ONCE = 1000
"""Photos whose features are held in float64 at a time."""

DIGITS = 6
"""Significant digits of both distances: FID takes a root of a product of covariances, whose later digits are noise."""


class InceptionFeatures:
    """The 2,048 features of a picture that FID and KID compare; `source` says which weights found them.

    `weights`: "download" or a file, as `load_inception` takes them.

    Raises: ModelError when the weights are missing, damaged or of another network.
    """

    def __init__(self, weights: str | Path = "download", *, progress: Progress | None = None) -> None:
        self.network, self.source, published = load_inception(weights, progress=progress)
        name = "Inception 2015" if published else f"Inception {self.source}"
        self.metrics: tuple[Metric, ...] = (_fid(name, self.source), _kid(name, self.source))

    def __call__(self, pixels: Pixels) -> Features:
        """Features (2048,) float32 of 8-bit RGB (H, W, 3) of any size."""
        image = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            found: Features = self.network(image)[0].numpy()
        return found


class _Given(nn.Module):
    """Stands where torchmetrics expects its network: the features are there already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Given, filled: Given) -> float:
    """FID of two sets of features, (n, d) and (m, d): the Frechet distance of the Gaussians with their moments.

    Raises: UsageError for fewer than `FEWEST_FOR_FID` photos in either set, and for features that do not fit.
    """
    _check(real, filled)
    count = min(len(real), len(filled))
    if count < FEWEST_FOR_FID:
        raise UsageError(
            f"FID of {count:,} photos: expected {FEWEST_FOR_FID:,} or more (10,000 is the custom), because the "
            f"covariance of {FEATURES:,} features is singular below; use KID, which {FEWEST_FOR_KID} photos are enough "
            "for"
        )
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(_Given(real.shape[1]))
    for features, is_real in ((real, True), (filled, False)):
        for part in _in_parts(features):
            metric.update(part, real=is_real)
    return max(float(metric.compute()), 0.0)  # rounding may bring the distance of equal sets below 0


def kernel_distance(real: Given, filled: Given, *, seed: int = 0) -> tuple[float, float]:
    """KID of photos and their composites, both (n, d) in one order: mean and deviation over `SUBSETS` random subsets.

    The squared maximum mean discrepancy with the kernel (x y / d + 1)^3. Each subset sets half the photos, at most
    `SUBSET_SIZE`, against the composites of as many others: a composite beside its own photo would not be a draw of
    its own, and would bring the distance below its true value. Without such pairs it is estimated without bias: where
    nothing differs it scatters around 0. The deviation is that of subsets which share photos, so it is no interval of
    the mean. The same `seed` draws the same photos for every method.

    Raises: UsageError for fewer than `FEWEST_FOR_KID` photos, and for features that do not fit.
    """
    _check(real, filled)
    count = len(real)
    if len(filled) != count:
        raise UsageError(
            f"KID of {count:,} photos and {len(filled):,} composites: expected the composite of every photo, in the "
            "same order; leave out photos that have none"
        )
    if count < FEWEST_FOR_KID:
        raise UsageError(f"KID of {count} photos: expected {FEWEST_FOR_KID} or more; take more photos, or leave it out")
    from torchmetrics.image.kid import poly_mmd

    rng = np.random.default_rng(seed)
    size = min(SUBSET_SIZE, count // 2)
    found = []
    for _ in range(SUBSETS):
        order = rng.permutation(count)
        found.append(float(poly_mmd(_double(real[order[:size]]), _double(filled[order[size : 2 * size]]))))
    return float(np.mean(found)), float(np.std(found))


def distances(
    real: Sequence[Path], filled: Sequence[Path], *, seed: int
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """FID and KID of one method, and what is refused with the reason, from the files of features of its cases.

    A file holds the features (d,) of one picture in numpy's format: `real` are those of the photos, `filled` those of
    their composites in the same order. The first result has "photos", their number, and as far as it can be computed
    "fid" and "kid" (its "mean" and "std"), to `DIGITS` digits; the second "metric" and "why" of what cannot.

    Raises: DataError for a file that is missing, damaged, or of another length than the first.
    """
    ours, theirs = _read(real), _read(filled)
    found: dict[str, Any] = {"photos": len(ours)}
    refused = []
    try:
        found["fid"] = _rounded(frechet_distance(ours, theirs))
    except UsageError as error:
        refused.append({"metric": "FID", "why": str(error)})
    try:
        mean, deviation = kernel_distance(ours, theirs, seed=seed)
        found["kid"] = {"mean": _rounded(mean), "std": _rounded(deviation)}
    except UsageError as error:
        refused.append({"metric": "KID", "why": str(error)})
    return found, refused


def _read(files: Sequence[Path]) -> Features:
    """The features (files, d) that the files hold, float32 whatever they are. Raises: DataError."""
    found = np.empty((0, FEATURES), np.float32)
    for number, file in enumerate(files):
        try:
            features = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            why = getattr(error, "strerror", None) or "it is damaged"
            raise DataError(f"features '{file}' cannot be read ({why}); compare anew, into a new folder") from error
        if number == 0 and features.ndim == 1:
            found = np.empty((len(files), len(features)), np.float32)
        if features.shape != found.shape[1:]:
            raise DataError(
                f"features '{file}' have the shape {features.shape}, expected {found.shape[1:]}; compare anew, into a "
                "new folder"
            )
        found[number] = features
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _check(real: Given, filled: Given) -> None:
    if real.ndim != 2 or filled.ndim != 2 or real.shape[1] != filled.shape[1]:
        raise UsageError(
            f"features of shapes {real.shape} and {filled.shape}, expected (photos, features) with as many features"
        )
    if not all(part.isfinite().all() for features in (real, filled) for part in _in_parts(features)):
        raise UsageError("features hold values that are not finite, expected numbers; compute them anew")


def _in_parts(features: Given) -> Iterator[Tensor]:
    """The features of `AT_ONCE` photos after those of others, as float64."""
    for start in range(0, len(features), AT_ONCE):
        yield _double(features[start : start + AT_ONCE])


def _double(features: Given) -> Tensor:
    """A copy in float64: the kernel's cubes and the covariances' product lose digits in float32."""
    return torch.from_numpy(features.astype(np.float64))


def _fid(network: str, source: str) -> Metric:
    return Metric(
        name="fid",
        label=f"FID ({network})",
        better="lower",
        scope="image",
        unit="",
        range="0 (sets of the same mean and covariance) upward.",
        definition="Frechet distance of two Gaussians with mean and covariance of the 2,048 pooled Inception features "
        "of all composites and of the same photos; it depends on the number of photos, so compare it only at the same "
        f"number; not given for fewer than {FEWEST_FOR_FID:,} (10,000 is the custom). Weights: {source}.",
        source="Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017; input as in pytorch-fid",
    )


def _kid(network: str, source: str) -> Metric:
    return Metric(
        name="kid",
        label=f"KID ({network})",
        better="lower",
        scope="image",
        unit="",
        range="About 0 upward; it scatters around 0 where nothing differs, so it may fall below.",
        definition="Squared maximum mean discrepancy, kernel (x y / 2048 + 1)^3, of the 2,048 pooled Inception "
        f"features of photos and of the composites of other photos; mean and deviation over {SUBSETS} random subsets, "
        f"half the photos (at most {SUBSET_SIZE:,}) against as many others' composites; a value below 0, or above it "
        "by no more than its deviation, cannot be told from 0 by these photos; not given for fewer than "
        f"{FEWEST_FOR_KID} photos. Weights: {source}.",
        source="Binkowski, Sutherland, Arbel and Gretton 2018; input as in pytorch-fid",
    )
