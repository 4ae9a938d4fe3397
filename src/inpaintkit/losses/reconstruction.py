"""How far the completed pixels are from the photo's own."""

from torch import Tensor


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
    total = ((completed - target).abs() * mask).sum((1, 2, 3))
    return (total / (3 * mask.sum((1, 2, 3))).clamp_min(1)).mean()


def known_l1(completed: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Absolute error averaged over each sample's *known* pixels, then over the batch: `hole_l1` of the other side."""
    return hole_l1(completed, target, 1 - mask)
