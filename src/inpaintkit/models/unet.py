"""A small U-Net on a diffusion fill: this project's own network for photos on ordinary computers.

Not from a paper. The hole is first filled by diffusion, the cheap classical way, inside the network (`diffuse`); the
network then only has to add what diffusion cannot know. Its parts are known ones: an encoder-decoder with additive
skips (Ronneberger, Fischer and Brox 2015), dilated residual blocks at 1/16 so that every output sees far beyond the
hole (Iizuka et al. 2017 use the same means), no normalisation layers (EDSR, Lim et al. 2017), and for sharpness the
spectrally normalised patch discriminator with hinge loss of free-form inpainting (Yu et al. 2019).
"""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..losses.adversarial import hinge_discriminator, hinge_generator
from ..losses.reconstruction import hole_l1
from ..schedule import Phase, Update
from ..tensors import check, composite
from .system import Batch, Completion, Losses, System

# --- The diffusion fill ----------------------------------------------------------------------------------------------

LEVELS = 4
SPREADS = 12
RELAXATIONS = (2, 2, 4, 8, 16)  # at full size, 1/2, 1/4, 1/8, 1/16


def _box(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _spread(colour: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Known colours grow by one cell into the unknown; returns the colours (0 where unknown) and what is known now."""
    weight = _box(known)
    grown = torch.where(known > 0, colour, _box(colour * known) / weight.clamp_min(1e-6))
    now_known = (weight > 0).to(colour.dtype)
    return grown * now_known, now_known


def _relax(fill: Tensor, colour: Tensor, known: Tensor, times: int) -> Tensor:
    """Jacobi steps towards the membrane between the known pixels."""
    for _ in range(times):
        fill = torch.where(known > 0, colour, _box(fill))
    return fill


def diffuse(image: Tensor, mask: Tensor) -> Tensor:
    """The image with its hole filled smoothly from its rim; known pixels stay.

    Image (N, 3, H, W) in [0, 1], mask (N, 1, H, W), 1 = missing; H and W multiples of 16. Known colours are averaged
    down to 1/16, spread there, and relaxed towards the Laplace equation on the way back up: multigrid in one pass.
    Holes more than 12 coarse cells deep end in the photo's mean colour.
    """
    known = 1 - mask.contiguous()  # pooling three channels is several times faster in the plain layout
    colours, knowns = [image.contiguous() * known], [known]
    for _ in range(LEVELS):
        weight = F.avg_pool2d(knowns[-1], 2)
        colours.append(F.avg_pool2d(colours[-1] * knowns[-1], 2) / weight.clamp_min(1e-6))
        knowns.append((weight > 0).to(image.dtype))
    colour, spread_known = colours[-1], knowns[-1]
    for _ in range(SPREADS):
        colour, spread_known = _spread(colour, spread_known)
    share = spread_known.mean((2, 3), keepdim=True).clamp_min(1e-6)
    mean = (colour * spread_known).mean((2, 3), keepdim=True) / share
    fill = torch.where(spread_known > 0, colour, mean)
    fill = _relax(fill, colours[-1], knowns[-1], RELAXATIONS[LEVELS])
    for level in reversed(range(LEVELS)):
        fill = F.interpolate(fill, scale_factor=2.0, mode="bilinear", align_corners=False)
        fill = torch.where(knowns[level] > 0, colours[level], fill)
        fill = _relax(fill, colours[level], knowns[level], RELAXATIONS[level])
    return fill


# --- The network -----------------------------------------------------------------------------------------------------


def _start_at_zero(*parameters: Tensor | None) -> None:
    for parameter in parameters:
        if parameter is not None:
            nn.init.zeros_(parameter)


def _conv(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    _start_at_zero(layer.bias)
    return nn.Sequential(layer, nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """x + two dilated 3 x 3 convolutions; the last starts at zero, so every block starts as the identity."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        _start_at_zero(self.second.weight, self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class UNet(nn.Module):
    """Image and mask to the diffusion fill plus what the network adds to it.

    `width`: channels at full size; the levels below have 2, 4, 6 and 6 times as many. `dilations`: one residual
    block each at 1/16. H and W must be multiples of 16.
    """

    size_multiple = 16

    def __init__(self, width: PositiveInt = 32, dilations: tuple[PositiveInt, ...] = (1, 2, 4, 2, 1)) -> None:
        super().__init__()
        channels = (width, 2 * width, 4 * width, 6 * width, 6 * width)
        self.stem = _conv(7, channels[0], 5)
        self.down = nn.ModuleList(nn.Sequential(_conv(a, b, stride=2), _conv(b, b)) for a, b in pairwise(channels[:-1]))
        self.bottom = nn.Sequential(
            _conv(channels[3], channels[4], stride=2), *(_Residual(channels[4], d) for d in dilations)
        )
        self.up = nn.ModuleList(_conv(b, a) for a, b in pairwise(channels))
        self.merge = nn.ModuleList(_conv(a, a) for a in channels[:-1])
        self.out = nn.Conv2d(channels[0], 3, 3, padding=1)
        _start_at_zero(self.out.weight, self.out.bias)

    def forward(self, image: Tensor, mask: Tensor) -> Completion:
        """The completion of the whole frame, in [0, 1]; `coarse` is the diffusion fill that it corrects."""
        check(image, mask, self.size_multiple)
        smooth = diffuse(image, mask)
        x = self.stem(torch.cat([image * (1 - mask) - 0.5, mask, smooth - 0.5], 1).to(self.out.weight.dtype))
        skips = [x]
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.bottom(x)
        for level in reversed(range(len(skips))):
            x = F.interpolate(self.up[level](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.merge[level](x + skips[level])
        return Completion((smooth + self.out(x).to(image.dtype)).clamp(0, 1), smooth)


# --- The discriminator -----------------------------------------------------------------------------------------------


class PatchDiscriminator(nn.Module):
    """Logits for every patch: spectrally normalised 5 x 5 convolutions of stride 2, mask as fourth channel.

    Source: Yu et al., "Free-Form Image Inpainting with Gated Convolution", 2019, section 3.3. Differs: `depth` and
    `width` are numbers (6 and 64 there), and a last convolution makes one logit a position.
    """

    def __init__(self, width: PositiveInt = 48, depth: PositiveInt = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 4
        for level in range(depth):
            outside = width * min(2**level, 4)
            layers += [spectral_norm(nn.Conv2d(inside, outside, 5, 2, padding=2)), nn.LeakyReLU(0.2, inplace=True)]
            inside = outside
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(inside, 1, 3, padding=1)))

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Logits (N, 1, h, w) at 1 / 2^depth of the image's size."""
        return self.layers(torch.cat([image - 0.5, mask], 1))


# --- Training --------------------------------------------------------------------------------------------------------


def objective(networks: Mapping[str, nn.Module], batch: Batch, rng: torch.Generator) -> Losses:
    """L1 in the hole, and both sides of the hinge loss on the composite, over the patches that touch the hole.

    Differs from Yu et al. 2019, who average over all patches: where nothing is missing, real and completed are equal,
    and small holes would teach the discriminator next to nothing. The mean is over all such patches of the batch, so a
    sample weighs as much as its hole is large.
    """
    image, mask = batch.image, batch.mask

    @cache
    def completed() -> Tensor:
        return networks["generator"](image, mask).image

    def reconstruction() -> Tensor:
        return hole_l1(completed(), image, mask)

    def judge(photo: Tensor) -> Tensor:
        logits = networks["discriminator"](photo, mask)
        return logits[F.adaptive_max_pool2d(mask, logits.shape[2:]) > 0]

    def adversarial() -> Tensor:
        return hinge_generator(judge(composite(image, mask, completed())))

    def discrimination() -> Tensor:
        return hinge_discriminator(judge(image), judge(composite(image, mask, completed().detach())))

    return {"reconstruction": reconstruction, "adversarial": adversarial, "discrimination": discrimination}


def schedule(
    completion_steps: NonNegativeInt = 20_000,
    discriminator_steps: NonNegativeInt = 500,
    joint_steps: NonNegativeInt = 10_000,
    adversarial_weight: NonNegativeFloat = 0.02,
) -> tuple[Phase, ...]:
    """GLCIC's three phases with this file's losses."""
    learn_to_tell = Update("discriminator", {"discrimination": 1.0})
    return (
        Phase("completion", completion_steps, (Update("generator", {"reconstruction": 1.0}),)),
        Phase("discriminator", discriminator_steps, (learn_to_tell,)),
        Phase(
            "joint",
            joint_steps,
            (learn_to_tell, Update("generator", {"reconstruction": 1.0, "adversarial": adversarial_weight})),
        ),
    )


SYSTEM = System(
    generator="unet",
    parts={"generator": UNet, "discriminator": PatchDiscriminator},
    schedule=schedule,
    objective=objective,
)
