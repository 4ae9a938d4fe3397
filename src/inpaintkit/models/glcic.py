"""GLCIC: globally and locally consistent image completion.

Iizuka, Simo-Serra and Ishikawa, "Globally and Locally Consistent Image Completion", ACM Transactions on Graphics
(SIGGRAPH) 36(4), 2017.

Read from top to bottom as the paper: completion network, context discriminators, training (objective and schedule).

Differs:
- The generator's adversarial term is -log D; the paper's Eq. 2 prints log(1 - D), which saturates.
- Eq. 1 is averaged over the whole tensor (see `masked_mse`), the normalisation at which alpha = 0.0004 acts.
- Holes may have any shape. A crop is centred on a hole that fits; otherwise on a hole pixel drawn at random.
- `groups` replaces batch normalisation by group normalisation for small batches; `width` scales every layer.
"""

from collections.abc import Mapping
from functools import cache

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from ..losses.adversarial import vanilla_discriminator, vanilla_generator
from ..losses.reconstruction import masked_mse
from ..schedule import Phase, Update
from ..tensors import check, composite, crop_at, crop_corner_on_hole
from .system import Batch, Completion, Losses, System

PLACES2_MEAN = (0.4560, 0.4472, 0.4155)  # RGB, from the published model


# --- Completion network ----------------------------------------------------------------------------------------------


def _normalisation(channels: int, groups: int) -> nn.Module:
    return nn.GroupNorm(groups, channels) if groups else nn.BatchNorm2d(channels)


def _conv(inside: int, outside: int, kernel: int, groups: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, normalisation, ReLU, in this order; the padding keeps (or halves) the size."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation),
        _normalisation(outside, groups),
        nn.ReLU(inplace=True),
    )


def _deconv(inside: int, outside: int, groups: int) -> nn.Sequential:
    """Transposed convolution that doubles the size, normalisation, ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1),
        _normalisation(outside, groups),
        nn.ReLU(inplace=True),
    )


class CompletionNetwork(nn.Module):
    """The 17-layer fully convolutional completion network.

    `width` is the channel count of the first layer: 64 gives the paper's 6,072,131 parameters. `groups`: 0 for the
    paper's batch normalisation, n for group normalisation with n groups. `mean`: the RGB colour in [0, 1] that fills
    the hole and is subtracted from the input: the training photos' mean.

    H and W must be multiples of 4.
    """

    size_multiple = 4
    mean: Tensor

    def __init__(
        self, width: PositiveInt = 64, groups: NonNegativeInt = 0, mean: tuple[float, float, float] = PLACES2_MEAN
    ) -> None:
        super().__init__()
        if width < 2:
            raise ValueError(f"width is {width}, expected 2 or more: the last but one layer has half of it")
        full, half, quarter = width, 2 * width, 4 * width
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.layers = nn.Sequential(
            _conv(4, full, 5, groups),
            _conv(full, half, 3, groups, stride=2),
            _conv(half, half, 3, groups),
            _conv(half, quarter, 3, groups, stride=2),
            _conv(quarter, quarter, 3, groups),
            _conv(quarter, quarter, 3, groups),
            _conv(quarter, quarter, 3, groups, dilation=2),
            _conv(quarter, quarter, 3, groups, dilation=4),
            _conv(quarter, quarter, 3, groups, dilation=8),
            _conv(quarter, quarter, 3, groups, dilation=16),
            _conv(quarter, quarter, 3, groups),
            _conv(quarter, quarter, 3, groups),
            _deconv(quarter, half, groups),
            _conv(half, half, 3, groups),
            _deconv(half, full, groups),
            _conv(full, full // 2, 3, groups),
            nn.Sequential(nn.Conv2d(full // 2, 3, 3, padding=1), nn.Sigmoid()),
        )

    def forward(self, image: Tensor, mask: Tensor) -> Completion:
        """The raw completion C(x, M_c) of the whole frame, in [0, 1]."""
        check(image, mask, self.size_multiple)
        filled = (image - self.mean) * (1 - mask)  # the hole holds the mean colour, which is 0 once subtracted
        network_input = torch.cat([filled, mask], 1).to(next(self.layers.parameters()).dtype)
        return Completion(self.layers(network_input).to(image.dtype))


# --- Context discriminators ------------------------------------------------------------------------------------------


def _encoder(size: int, channels: tuple[int, ...], features: int, groups: int) -> nn.Sequential:
    """Strided 5 x 5 convolutions down from size x size, then one fully connected layer to `features` numbers."""
    layers: list[nn.Module] = []
    inside = 3
    for outside in channels:
        layers.append(_conv(inside, outside, 5, groups, stride=2))
        inside = outside
        size = -(-size // 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inside * size * size, features), nn.ReLU(inplace=True))


class Discriminators(nn.Module):
    """Global and local discriminator and the layer that joins them.

    `size`: side of the whole image; the local discriminator sees crops of half that side. At 256 and width 64 there
    are 25,808,384 + 19,253,248 + 2,049 = 45,063,681 parameters. The fully connected layers tie the networks to
    `size`; the convolutions do not, so their weights carry over to another size. `groups` as in the completion network.
    """

    def __init__(
        self,
        size: PositiveInt = 256,
        width: PositiveInt = 64,
        features: PositiveInt = 1024,
        groups: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.local_size = size // 2
        channels = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        self.whole = _encoder(size, (*channels, 8 * width), features, groups)
        self.local = _encoder(self.local_size, channels, features, groups)
        self.join = nn.Linear(2 * features, 1)

    def forward(self, image: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """Logits (N, 1): is this a real photo? `top` and `left` (N,) place the local crop. The mask is not an input."""
        crop = crop_at(image, top, left, self.local_size)
        return self.join(torch.cat([self.whole(image), self.local(crop)], 1))


# --- Training: objective ---------------------------------------------------------------------------------------------


def objective(networks: Mapping[str, nn.Module], batch: Batch, rng: torch.Generator) -> Losses:
    """Eq. 1 and both sides of Eq. 2; the schedule weighs them into Eq. 3.

    The discriminators see the composite, never the raw output. Real photos are cropped by an independent mask M_d
    that erases nothing, so that real and completed photos enter in the same way.
    """
    image, mask, reference_mask = batch
    local_size = image.shape[2] // 2

    @cache
    def completed() -> Tensor:
        return networks["generator"](image, mask).image

    @cache
    def corner() -> tuple[Tensor, Tensor]:
        return crop_corner_on_hole(mask, local_size, rng)

    def judge_completed(completion: Tensor) -> Tensor:
        return networks["discriminators"](composite(image, mask, completion), *corner())

    def reconstruction() -> Tensor:
        return masked_mse(completed(), image, mask)

    def adversarial() -> Tensor:
        return vanilla_generator(judge_completed(completed()))

    def discrimination() -> Tensor:
        fake = judge_completed(completed().detach())
        real = networks["discriminators"](image, *crop_corner_on_hole(reference_mask, local_size, rng))
        return vanilla_discriminator(real, fake)

    return {"reconstruction": reconstruction, "adversarial": adversarial, "discrimination": discrimination}


# --- Training: schedule (Algorithm 1) --------------------------------------------------------------------------------


def schedule(
    completion_steps: NonNegativeInt = 90_000,
    discriminator_steps: NonNegativeInt = 10_000,
    joint_steps: NonNegativeInt = 400_000,
    alpha: NonNegativeFloat = 0.0004,
) -> tuple[Phase, ...]:
    """Three phases: the completion network alone, the discriminators alone, then both in turn.

    `alpha` weighs the generator's adversarial term only, never the discriminators' loss (Eq. 3). The paper's 500,000
    steps are read as the total, so the joint phase has 400,000.
    """
    learn_to_tell = Update("discriminators", {"discrimination": 1.0})
    return (
        Phase("completion", completion_steps, (Update("generator", {"reconstruction": 1.0}),)),
        Phase("discriminators", discriminator_steps, (learn_to_tell,)),
        Phase(
            "joint",
            joint_steps,
            (learn_to_tell, Update("generator", {"reconstruction": 1.0, "adversarial": alpha})),
        ),
    )


SYSTEM = System(
    generator="glcic",
    parts={"generator": CompletionNetwork, "discriminators": Discriminators},
    schedule=schedule,
    objective=objective,
)
