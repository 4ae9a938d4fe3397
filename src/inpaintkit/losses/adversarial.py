"""Adversarial objectives, the discriminator's (or critic's) side and the generator's side next to each other.

Inputs of the vanilla and hinge losses are logits. A critic's inputs are scores (N, K), one column a critic (global,
local): columns are summed, never averaged, so that each critic has its objective as if it were alone.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def vanilla_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(real) - log(1 - D(fake)), the mean over each batch of logits.

    Source: Goodfellow et al. 2014, Algorithm 1; Iizuka et al. 2017, Eq. 2.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def vanilla_generator(fake: Tensor) -> Tensor:
    """-log D(fake), the non-saturating form, the mean over the batch of logits.

    Source: Goodfellow et al. 2014, section 3. Differs: Iizuka et al. 2017, Eq. 2 print the saturating
    log(1 - D(fake)), whose gradient vanishes exactly where the discriminator wins.
    """
    return F.softplus(-fake).mean()


def saturating_generator(fake: Tensor) -> Tensor:
    """log(1 - D(fake)) as printed in Iizuka et al. 2017, Eq. 2, the mean over the batch of logits."""
    return -F.softplus(fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - real) + max(0, 1 + fake), the mean over batch and positions. Source: Lim and Ye 2017."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """-fake, the mean over batch and positions. Source: Lim and Ye 2017."""
    return -fake.mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """fake - real, the mean over each batch of scores (N, K), summed over the K critics.

    Source: Arjovsky et al. 2017; it bounds a distance only together with `gradient_penalty`.
    """
    return (fake.mean(0) - real.mean(0)).sum()


def wasserstein_generator(fake: Tensor) -> Tensor:
    """-fake, the mean over the batch of scores (N, K), summed over the K critics. Source: Arjovsky et al. 2017."""
    return -fake.mean(0).sum()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, weight: Tensor, rng: torch.Generator
) -> Tensor:
    """How far the critics' slope between real and fake images is from 1: (|gradient * weight| - 1)^2.

    The norm is over a sample's pixels and channels (in float32 at least), the mean over the batch, the sum over the K
    critics. `critic` maps images (N, 3, H, W) to scores (N, K), every sample by itself (no batch normalisation); its K
    columns share one forward pass. The slope is taken at real + a (fake - real) with one `a` a sample, drawn uniformly
    from [0, 1) by `rng`. `weight` (N, 1, H, W) multiplies the gradient: the hole's binary mask, as released, or
    the confidence weight; where it is 0 the slope is free. `real` and `fake` are detached: only the critic learns.
    Source: Gulrajani et al. 2017, Eq. 3; inside the hole only: the released codes of Yu et al. 2018 and GMCNN.
    Differs: 1e-12 under the root, absent from the releases, keeps the derivative finite where the gradient is 0.
    """
    real, fake = real.detach(), fake.detach()
    share = torch.rand(len(real), 1, 1, 1, generator=rng, device=rng.device).to(real)
    between = (real + share * (fake - real)).requires_grad_()
    scores = critic(between)
    penalty = torch.zeros((), device=real.device)
    for column in scores.sum(0):
        (gradient,) = torch.autograd.grad(column, between, create_graph=True)
        inside = gradient.to(torch.promote_types(gradient.dtype, torch.float32)) * weight
        norm = (inside.square().sum((1, 2, 3)) + 1e-12).sqrt()
        penalty = penalty + (norm - 1).square().mean()
    return penalty
