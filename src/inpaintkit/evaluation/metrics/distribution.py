"""FID and KID: do the composites as a set look like the photos as a set? One number for all photos, not one for each.

Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017 (FID) and Binkowski, Sutherland, Arbel and Gretton 2018
(KID), computed by torchmetrics on the features of our own network.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import UsageError
from ...pretrained import Progress
from . import Metric, Pixels
from .inception import FEATURES, load_inception

Features = NDArray[np.float32]

FEWEST_FOR_FID = FEATURES + 1
"""The covariance of n photos has a rank of n - 1 at most: with fewer than these, that of 2,048 features is singular.

It is what FID can be computed from, not what makes it good: its bias falls with n, and 10,000 is the custom, which the
authors' release recommends. Compare only FIDs of the same number of photos.
"""

FEWEST_FOR_KID = 20
SUBSETS = 100
SUBSET_SIZE = 1000


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


def frechet_distance(real: NDArray[np.floating], filled: NDArray[np.floating]) -> float:
    """FID of two sets of features, (n, d) and (m, d): the Frechet distance of the Gaussians with their moments.

    Raises: UsageError for fewer than `FEWEST_FOR_FID` photos in either set, and for features that do not fit.
    """
    ours, theirs = _checked(real, filled)
    count = min(len(ours), len(theirs))
    if count < FEWEST_FOR_FID:
        raise UsageError(
            f"FID of {count:,} photos: expected {FEWEST_FOR_FID:,} or more (10,000 is the custom), because the "
            f"covariance of {FEATURES:,} features is singular below; use KID, which has no such bias"
        )
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(_Given(ours.shape[1]))
    metric.update(ours, real=True)
    metric.update(theirs, real=False)
    return max(float(metric.compute()), 0.0)  # rounding may bring the distance of equal sets below 0


def kernel_distance(real: NDArray[np.floating], filled: NDArray[np.floating], *, seed: int = 0) -> tuple[float, float]:
    """KID of two sets of features, (n, d) and (m, d): mean and deviation over `SUBSETS` random subsets.

    The squared maximum mean discrepancy with the kernel (x y / d + 1)^3, estimated without bias: at the same
    distribution it scatters around 0 and may fall below. A subset holds half the photos, at most `SUBSET_SIZE`, so the
    deviation shrinks with their number, but is no interval of the mean. The same `seed` draws the same photos for
    every method.

    Raises: UsageError for fewer than `FEWEST_FOR_KID` photos in either set, and for features that do not fit.
    """
    ours, theirs = _checked(real, filled)
    count = min(len(ours), len(theirs))
    if count < FEWEST_FOR_KID:
        raise UsageError(f"KID of {count} photos: expected {FEWEST_FOR_KID} or more; take more photos, or leave it out")
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save all extracted features")
        metric = KernelInceptionDistance(_Given(ours.shape[1]), SUBSETS, min(SUBSET_SIZE, count // 2))
    metric.update(ours, real=True)
    metric.update(theirs, real=False)
    with torch.random.fork_rng(devices=[]):  # torchmetrics draws from the global generator
        torch.manual_seed(seed)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def _checked(real: NDArray[np.floating], filled: NDArray[np.floating]) -> tuple[Tensor, Tensor]:
    """Both as float64: the kernel's cubes and the covariances' product lose digits in float32."""
    if real.ndim != 2 or filled.ndim != 2 or real.shape[1] != filled.shape[1]:
        raise UsageError(
            f"features of shapes {real.shape} and {filled.shape}, expected (photos, features) with as many features"
        )
    if not (np.isfinite(real).all() and np.isfinite(filled).all()):
        raise UsageError("features hold values that are not finite, expected numbers; compute them anew")
    return torch.tensor(real, dtype=torch.float64), torch.tensor(filled, dtype=torch.float64)


def _fid(network: str, source: str) -> Metric:
    return Metric(
        name="fid",
        label=f"FID ({network})",
        better="lower",
        scope="image",
        unit="",
        range="0 (sets of the same mean and covariance) upward.",
        definition="Frechet distance of two Gaussians with mean and covariance of the 2,048 pooled Inception features "
        "of all composites and of the same photos; biased by the number of photos, so compare it only at the same "
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
        range="About 0 upward; an estimate without bias, so it may fall below 0.",
        definition="Squared maximum mean discrepancy, kernel (x y / 2048 + 1)^3, of the 2,048 pooled Inception "
        f"features of composites and photos; mean and deviation over {SUBSETS} random subsets of half the photos, at "
        f"most {SUBSET_SIZE:,}; not given for fewer than {FEWEST_FOR_KID} photos. Weights: {source}.",
        source="Binkowski, Sutherland, Arbel and Gretton 2018; input as in pytorch-fid",
    )
