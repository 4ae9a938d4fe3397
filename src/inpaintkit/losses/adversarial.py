"""Adversarial objectives, the discriminator's side and the generator's side next to each other. Inputs are logits."""

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
