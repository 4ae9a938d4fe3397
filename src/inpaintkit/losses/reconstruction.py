"""How far the completed pixels are from the photo's own, and how much each missing pixel counts in that.

Images are (N, 3, H, W) in [0, 1], masks (N, 1, H, W) with 1 = missing. A weight is computed from the mask alone, has
its shape, lies in [0, 1], is 0 on known pixels and carries no gradient.
"""

from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError, unknown_name

# --- Plain errors ----------------------------------------------------------------------------------------------------


def masked_mse(completed: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Squared error inside the hole, averaged over the *whole* N x 3 x H x W tensor.

    Images (N, 3, H, W) in [0, 1]; mask (N, 1, H, W), 1 = missing. A small hole therefore weighs less than a large
    one. Source: Iizuka, Simo-Serra and Ishikawa 2017, Eq. 1, normalised as Torch7's criterion does it: with this
    mean the paper's alpha of 0.0004 balances the adversarial term; with the literal sum that term would vanish.
    """
    return ((completed - target) * mask).square().mean()


def hole_l1(completed: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Absolute error averaged over each sample's *hole* (3 values a pixel), then over the batch.

    Images (N, 3, H, W), mask (N, 1, H, W), 1 = missing. A sample without a hole counts as 0.
    """
    return _hole_mean((completed - target).abs() * mask, mask)


def known_l1(completed: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Absolute error averaged over each sample's *known* pixels, then over the batch: `hole_l1` of the other side."""
    return hole_l1(completed, target, 1 - mask)


def weighted_l1(completed: Tensor, target: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """Absolute error times `weight`, averaged over each sample's *hole* (3 values a pixel), then over the batch.

    Images (N, 3, H, W); weight and mask (N, 1, H, W). The sum is divided by the number of missing values, not by the
    sum of the weights: a weight of 1 everywhere gives `hole_l1`. Known pixels never count, whatever their weight; a
    sample without a hole counts as 0.
    Source: Wang et al. 2018 (GMCNN), its reconstruction loss. The PyTorch release divides by the hole too, but once
    for the whole batch, which has one mask there.
    """
    return _hole_mean((completed - target).abs() * (weight * mask), mask)


def _hole_mean(errors: Tensor, mask: Tensor) -> Tensor:
    """Errors (N, 3, H, W), 0 outside the hole, over each sample's missing values, then over the batch; float32 sums."""
    kind = _weight_type(errors)
    missing = 3 * mask.sum((1, 2, 3), dtype=kind)
    return (errors.sum((1, 2, 3), dtype=kind) / missing.clamp_min(1)).mean()


# --- Weights that fall towards the middle of a hole ------------------------------------------------------------------


def discounted_weight(mask: Tensor, *, gamma: float = 0.9) -> Tensor:
    """Spatially discounted weight: gamma to the power of a missing pixel's depth, 1 at the hole's rim.

    The depth is the chessboard distance to the nearest known pixel, less one: 0 for missing pixels that touch a known
    one (corners touch too), 8 for those with 8 missing pixels before them. Where nothing is known the depth is
    infinite. Computed on the CPU, so the call waits for the mask's device.
    Source: Yu et al. 2018 (contextual attention), whose released configuration has 0.9.
    Differs: published for rectangles only, as max(gamma^min(i, H - i), gamma^min(j, W - j)) counted from the corner
    of the box. Here any hole has a depth. On a rectangle among known pixels both agree, but that the far half is one
    pixel shallower, so that opposite rims weigh the same. A side on the photo's border is no rim: nothing known is
    behind it.

    Raises UsageError if gamma is not above 0 and at most 1.
    """
    if not 0 < gamma <= 1:
        raise UsageError(f"gamma is {gamma!r}, expected a number above 0 and at most 1: choose 0.9")
    depth = (_distance_to_known(mask) - 1).clamp_min(0).to(_weight_type(mask))
    return gamma**depth * mask


def confidence_weight(
    mask: Tensor,
    *,
    kernel_size: int | Literal["auto"] = 64,
    sigma: float = 40.0,
    iterations: int = 7,
    padding: str = "zero",
) -> Tensor:
    """Confidence spread from the known pixels into the hole: high at its rim, falling inward.

    Known pixels start with confidence 1 and missing ones with 0; `iterations` times every missing pixel takes the mean
    confidence of its neighbours, weighted by a normalised Gaussian `kernel_size` pixels wide with standard deviation
    `sigma` pixels. The profile depends on the kernel and the hole together: kernel = hole / 2 gives the published
    one, and a kernel much smaller than the hole leaves the middle with nearly no weight.

    - `sigma=math.inf` is a box: in effect the released kernel (its "sigma of 1/40" makes it flat to 0.05 %).
    - `kernel_size="auto"` takes for every sample its largest chessboard distance of a missing pixel to a known one: 64
      for a 128 px hole with known pixels all around, a few pixels for strokes, never less than 3 (one that reaches
      both neighbours). `sigma` is then the one for a kernel of 64 and scales with it. It is measured on the CPU, so the
      call waits for the mask's device.
    - `padding="zero"` (TensorFlow release): nothing beyond the border is trusted, and holes there weigh little.
      `"reflect"` (PyTorch release): the photo is mirrored at its border pixels, again and again where the
      kernel reaches further than the photo is large.
    - An even kernel reaches one pixel further right and down than left and up, as TensorFlow's SAME padding does it:
      opposite rims differ a little.

    A mask that is all missing or all known has weight 0 everywhere.
    Source: Wang et al. 2018 (GMCNN), its confidence-driven reconstruction loss; both releases iterate in this way.

    Raises UsageError on an unknown padding, or a kernel size, sigma or iteration count out of range.
    """
    _check_kernel(kernel_size, sigma, iterations, padding)
    if mask.ndim != 4 or mask.shape[1] != 1 or 0 in mask.shape:
        raise UsageError(
            f"mask of shape {tuple(mask.shape)}: expected (N, 1, H, W), 1 = missing, with at least one pixel"
        )
    height, width = mask.shape[2:]
    if kernel_size == "auto":
        deepest = _distance_to_known(mask).amax((1, 2, 3)).clamp(3, max(height, width, 3)).int().tolist()
        kernels = [(size, sigma * size / 64) for size in deepest]
    else:
        kernels = [(kernel_size, sigma)]
    # The kernel is separable: a banded matrix for the columns and one for the rows do what a 64 x 64 convolution would.
    place = (padding, mask.device, _weight_type(mask))
    down = torch.stack([_band_matrix(height, *kernel, *place) for kernel in kernels])[:, None]
    along = torch.stack([_band_matrix(width, *kernel, *place) for kernel in kernels])[:, None].mT
    with torch.no_grad(), torch.autocast(mask.device.type, enabled=False):
        missing = mask.to(down.dtype)
        known = 1 - missing
        confidence = known
        for _ in range(iterations):
            spread = down @ confidence @ along
            confidence = torch.addcmul(known, spread, missing)
        return spread.clamp(max=1) * missing


def _check_kernel(kernel_size: object, sigma: float, iterations: int, padding: str) -> None:
    """Refuse numbers of `confidence_weight` that have no meaning, one line each."""
    if kernel_size != "auto" and not (isinstance(kernel_size, int) and kernel_size >= 2):
        raise UsageError(
            f"kernel_size is {kernel_size!r}, expected a whole number of pixels from 2 (a kernel of 1 reaches no "
            "known pixel) or 'auto': choose half the hole's side"
        )
    if not sigma > 0:
        raise UsageError(f"sigma is {sigma!r}, expected pixels above 0: choose 40, or infinity for a box")
    if not isinstance(iterations, int) or iterations < 1:
        raise UsageError(f"iterations is {iterations!r}, expected a whole number from 1: choose 7")
    if padding not in PADDINGS:
        raise UsageError(unknown_name("padding", str(padding), PADDINGS))


def _weight_type(mask: Tensor) -> torch.dtype:
    """The mask's own type, but at least float32: seven blurs in half precision would lose the profile."""
    return torch.promote_types(mask.dtype, torch.float32)


def _distance_to_known(mask: Tensor) -> Tensor:
    """Chessboard distance in pixels of every missing pixel to the nearest known one: 1 at the rim, 0 where known.

    (N, 1, H, W) float32 on the mask's device. Infinite in a sample of which nothing is known.
    """
    holes = (mask[:, 0] > 0.5).to(torch.uint8).cpu().numpy()
    distances = [  # OpenCV does not say what it returns where nothing is known
        np.full(hole.shape, inf, np.float32) if hole.all() else cv2.distanceTransform(hole, cv2.DIST_C, 3)
        for hole in holes
    ]
    return torch.from_numpy(np.stack(distances))[:, None].to(mask.device)


# --- The kernel as a matrix ------------------------------------------------------------------------------------------


def _nothing_outside(source: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    return source.clip(0, length - 1), (source >= 0) & (source < length)


def _mirrored_outside(source: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Fold positions back at the first and last pixel, which are not repeated, as often as it takes."""
    period = max(2 * (length - 1), 1)
    folded = source % period
    return np.minimum(folded, period - folded) % length, np.ones(source.shape, bool)


# name -> where a position beyond the border reads from, and whether it reads at all
PADDINGS: dict[str, Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]] = {
    "zero": _nothing_outside,
    "reflect": _mirrored_outside,
}


@lru_cache(maxsize=64)  # "auto" asks for a matrix a size; 64 of them are 16 MB at 256 px
def _band_matrix(
    length: int, kernel_size: int, sigma: float, padding: str, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """(length, length) matrix that blurs a line of pixels by the normalised Gaussian. Shared: never write into it."""
    taps = np.arange(kernel_size)
    kernel = np.exp(-0.5 * ((taps - (kernel_size - 1) / 2) / sigma) ** 2)
    kernel /= kernel.sum()
    rows = np.arange(length)
    matrix = np.zeros((length, length))
    for tap, share in zip(taps, kernel, strict=True):
        # TensorFlow's SAME: of an even kernel's 63 neighbours 31 lie before the pixel and 32 behind it
        columns, read = PADDINGS[padding](rows - (kernel_size - 1) // 2 + tap, length)
        matrix[rows[read], columns[read]] += share
    return torch.from_numpy(matrix).to(device, dtype)
