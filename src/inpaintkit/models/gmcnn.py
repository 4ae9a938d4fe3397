"""GMCNN: image inpainting by a generative multi-column convolutional neural network.

Wang, Tao, Qi, Shen and Jia, "Image Inpainting via Generative Multi-column Convolutional Neural Networks", NeurIPS 2018.

Read from top to bottom as the paper: three-column generator, critics, training (objective and schedule). The authors
published two codes that differ from the paper and from each other, named here the TensorFlow and the PyTorch release.

Differs:
- Zero padding where the PyTorch release reflects by up to 48 px (on maps of a quarter of the size, so that it needs
  photos of 196 px); any size from 32 px up works, in multiples of 4.
- The input is [image, mask] as the paper's 12.562 M parameters imply; the TensorFlow release adds a plane of ones.
- Weights start Glorot-uniform (TensorFlow release); the PyTorch release's N(0, 0.02) starts the third column silent.
- Every sample has its own hole, of any shape. The local critic's crop, half the image's side, is centred on a hole that
  fits, otherwise on a hole pixel drawn at random; both releases draw one rectangle a batch.
- Critics pool their last map to the size that their fully connected layer was made for, so they take any image size.
- ID-MRF reads relu3_2 and relu4_2 of a feature network with ImageNet's mean *and* deviation (see `features`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import AllowInfNan, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..features import load_features
from ..losses.adversarial import (
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
    wasserstein_critic,
    wasserstein_generator,
)
from ..losses.id_mrf import id_mrf_loss, log_positions, nearest_neighbour_loss
from ..losses.reconstruction import confidence_weight, discounted_weight, hole_l1, known_l1, weighted_l1
from ..schedule import Phase, Update
from ..tensors import check, composite, crop_at, crop_corner_on_hole
from .system import Batch, Completion, Losses, System


def signed(image: Tensor) -> Tensor:
    """From [0, 1] to the paper's range, [-1, 1]."""
    return 2 * image - 1


# --- Generator -------------------------------------------------------------------------------------------------------

DILATIONS = (2, 4, 8, 16)
LARGEST_KERNEL = 31


def _conv(inside: int, outside: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution and ELU; the padding keeps (or halves) the size."""
    convolution = nn.Conv2d(inside, outside, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation)
    nn.init.xavier_uniform_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return nn.Sequential(convolution, nn.ELU(inplace=True))


class Column(nn.Sequential):
    """One column: twelve convolutions down to a quarter of the size, and back up to the whole of it.

    `kernel`: side of all its convolutions. `doublings`: how many of the two doublings on the way up are learned
    (nearest neighbour, then two convolutions); what remains is one bilinear enlargement.
    """

    def __init__(self, width: int, kernel: int, doublings: int) -> None:
        half, quarter = 2 * width, 4 * width
        layers: list[nn.Module] = [
            _conv(4, width, kernel),
            _conv(width, half, kernel, stride=2),
            _conv(half, half, kernel),
            _conv(half, quarter, kernel, stride=2),
            _conv(quarter, quarter, kernel),
            _conv(quarter, quarter, kernel),
            *(_conv(quarter, quarter, kernel, dilation=dilation) for dilation in DILATIONS),
            _conv(quarter, quarter, kernel),
            _conv(quarter, quarter, kernel),
        ]
        inside = quarter
        for _ in range(doublings):
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
            layers += [_conv(inside, inside // 2, kernel), _conv(inside // 2, inside // 2, kernel)]
            inside //= 2
        if doublings < 2:
            scale = 4 // 2**doublings
            layers.append(nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=True))
        super().__init__(*layers)
        self.channels = inside


class Generator(nn.Module):
    """Three columns side by side, joined by two convolutions.

    `width`: channels of the first layer; 32 gives the paper's 12,561,891 parameters. `kernels`: side of the
    convolutions in each column, odd; the columns learn 0, 1 and 2 of the doublings on the way up.

    H and W must be multiples of 4, from 32 px.
    """

    size_multiple = 4

    def __init__(
        self, width: PositiveInt = 32, kernels: tuple[PositiveInt, PositiveInt, PositiveInt] = (7, 5, 3)
    ) -> None:
        super().__init__()
        if width < 2 or any(kernel % 2 == 0 or not 3 <= kernel <= LARGEST_KERNEL for kernel in kernels):
            raise ValueError(
                f"width is {width} and kernels are {kernels}: expected 2 or more, and odd kernels from 3 to "
                f"{LARGEST_KERNEL}"
            )
        self.columns = nn.ModuleList(Column(width, kernel, doublings) for doublings, kernel in enumerate(kernels))
        joined = sum(column.channels for column in self.columns)  # type: ignore[misc]
        last = _conv(width // 2, 3, 3)[0]
        self.merge = nn.Sequential(_conv(joined, width // 2, 3), last)

    def forward(self, image: Tensor, mask: Tensor) -> Completion:
        """The raw completion of the whole frame, in [0, 1]; clamped, so what overshoots gets no gradient."""
        check(image, mask, self.size_multiple)
        network_input = torch.cat([signed(image) * (1 - mask), mask], 1).to(next(self.parameters()).dtype)
        joined = torch.cat([column(network_input) for column in self.columns], 1)
        return Completion((self.merge(joined).to(image.dtype).clamp(-1, 1) + 1) / 2)


def fixed_generator(width: PositiveInt = 32) -> Generator:
    """GMCNN-f of the paper's ablation: 5 x 5 convolutions in all three columns; 11,643,363 parameters at 32."""
    return Generator(width, (5, 5, 5))


# --- Critics ---------------------------------------------------------------------------------------------------------


def _plain(layer: nn.Module) -> nn.Module:
    return layer


def _convolutions(
    channels: Sequence[int], activation: nn.Module, wrap: Callable[[nn.Module], nn.Module] = _plain
) -> nn.Sequential:
    """5 x 5 convolutions of stride 2 from RGB on, each wrapped by `wrap` and followed by the activation."""
    layers: list[nn.Module] = []
    inside = 3
    for outside in channels:
        layers += [wrap(nn.Conv2d(inside, outside, 5, 2, padding=2)), activation]
        inside = outside
    return nn.Sequential(*layers)


class _Critic(nn.Module):
    """Convolutions, then one fully connected layer on a map of `side` x `side` cells: one score (N, 1) a photo.

    Maps of another size are averaged down or repeated up to that one, so the same weights judge photos of any size.
    """

    def __init__(
        self,
        channels: Sequence[int],
        side: int,
        activation: nn.Module,
        wrap: Callable[[nn.Module], nn.Module] = _plain,
    ) -> None:
        super().__init__()
        self.side = side
        self.layers = _convolutions(channels, activation, wrap)
        self.head = wrap(nn.Linear(channels[-1] * side * side, 1))

    def forward(self, image: Tensor) -> Tensor:
        cells = self.layers(image)
        if cells.shape[2:] != (self.side, self.side):
            cells = F.adaptive_avg_pool2d(cells, self.side)
        return self.head(cells.flatten(1))


class _MaskedPatchCritic(nn.Module):
    """A score a patch, averaged over the patches that touch the hole: (N, 1)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.layers = _convolutions(channels, nn.LeakyReLU(0.2))
        self.head = nn.Conv2d(channels[-1], 1, 5, 2, padding=2)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        scores = self.head(self.layers(image))
        touched = F.adaptive_max_pool2d(mask, scores.shape[2:])
        return ((scores * touched).sum((2, 3)) / touched.sum((2, 3)).clamp_min(1)).float()


def _local_crop(image: Tensor, top: Tensor, left: Tensor) -> Tensor:
    return crop_at(image, top, left, local_size(image))


def local_size(image: Tensor) -> int:
    """Side of the local critic's crop: half the image's, 128 px of 256."""
    return min(image.shape[2:]) // 2


class Critics(nn.Module):
    """Global and local critic of Wasserstein GANs (paper, TensorFlow release): no normalisation, LeakyReLU 0.2.

    8,404,993 + 8,403,457 parameters at width 64. All critics map images (N, 3, H, W) in [-1, 1], their masks and the
    local crop's corner (N,) to scores (N, 2): the whole image's and the hole's.
    """

    def __init__(self, width: PositiveInt = 64) -> None:
        super().__init__()
        channels = (width, 2 * width, 4 * width, 8 * width, 4 * width, 2 * width)
        self.whole = _Critic(channels, 4, nn.LeakyReLU(0.2))
        self.local = _Critic(channels, 2, nn.LeakyReLU(0.2))

    def forward(self, image: Tensor, mask: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """Scores (N, 2). The mask is not an input of the networks."""
        return torch.cat([self.whole(image), self.local(_local_crop(image, top, left))], 1)


class FreeFormCritics(nn.Module):
    """The TensorFlow release's pair for free-form holes: the local critic is a patch critic that counts hole patches.

    8,404,993 + 4,319,361 parameters at width 64.
    """

    def __init__(self, width: PositiveInt = 64) -> None:
        super().__init__()
        self.whole = _Critic((width, 2 * width, 4 * width, 8 * width, 4 * width, 2 * width), 4, nn.LeakyReLU(0.2))
        self.local = _MaskedPatchCritic((width, 2 * width, 4 * width, 8 * width))

    def forward(self, image: Tensor, mask: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """Scores (N, 2). The corner is not needed: the patches under the mask are what is local."""
        return torch.cat([self.whole(image), self.local(image, mask)], 1)


class SpectralNormCritics(nn.Module):
    """The PyTorch release's pair: shallower, ELU, spectral normalisation of every layer; made for the hinge loss.

    2,733,441 + 2,684,289 parameters at width 64.
    """

    def __init__(self, width: PositiveInt = 64) -> None:
        super().__init__()
        channels = (width, 2 * width, 4 * width, 4 * width)
        self.whole = _Critic(channels, 16, nn.ELU(), spectral_norm)
        self.local = _Critic(channels, 8, nn.ELU(), spectral_norm)

    def forward(self, image: Tensor, mask: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """Scores (N, 2). The mask is not an input of the networks."""
        return torch.cat([self.whole(image), self.local(_local_crop(image, top, left))], 1)


# --- Training: objective ---------------------------------------------------------------------------------------------

ID_MRF_LAYERS = {"relu3_2": 1.0, "relu4_2": 2.0}
"""Feature layers and their weights: style on both, content on the second, which is the same term once more."""


class _Scene:
    """One batch as the losses see it; everything that two losses share is computed once, when first asked for."""

    def __init__(self, networks: Mapping[str, nn.Module], batch: Batch, rng: torch.Generator) -> None:
        self.networks, self.rng = networks, rng
        self.image, self.mask = batch.image, batch.mask
        self.target = signed(batch.image)

    @cached_property
    def completed(self) -> Tensor:
        """The generator's raw output, in [-1, 1]."""
        return signed(self.networks["generator"](self.image, self.mask).image)

    @cached_property
    def composite(self) -> Tensor:
        """Completed in the hole, the photo elsewhere, in [-1, 1]."""
        return composite(self.target, self.mask, self.completed)

    @cached_property
    def corner(self) -> tuple[Tensor, Tensor]:
        return crop_corner_on_hole(self.mask, local_size(self.image), self.rng)

    def scores(self, image: Tensor) -> Tensor:
        """Both critics' scores (N, 2), the local one's of the same place for real and completed photos."""
        return self.networks["critics"](image, self.mask, *self.corner)

    @cached_property
    def features(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Feature maps of the composite, and those of the photo without a graph."""
        network = self.networks["features"]
        with torch.no_grad():
            target = network(self.image)
        return network((self.composite + 1) / 2), target

    def clipped(self) -> Tensor:
        """Share of the hole's values that stand at the ends of the range, where the clamp passes no gradient."""
        held = (self.completed.detach().abs() >= 1) * self.mask
        return held.sum() / (3 * self.mask.sum()).clamp_min(1)


class _Matching:
    """The feature losses of one scene over ID_MRF_LAYERS. Generated positions: the hole's, or all without a mask."""

    def __init__(self, scene: _Scene, mask: Tensor | None, max_positions: int) -> None:
        self.scene, self.mask, self.max_positions = scene, mask, max_positions

    @cached_property
    def per_layer(self) -> dict[str, Tensor]:
        """ID-MRF of each layer."""
        generated, target = self.scene.features
        return {
            name: id_mrf_loss(
                generated[name], target[name], self.mask, max_positions=self.max_positions, rng=self.scene.rng
            )
            for name in ID_MRF_LAYERS
        }

    def id_mrf(self) -> Tensor:
        return torch.stack([weight * self.per_layer[name] for name, weight in ID_MRF_LAYERS.items()]).sum()

    def nearest_neighbour(self) -> Tensor:
        generated, target = self.scene.features
        terms = [
            weight
            * nearest_neighbour_loss(
                generated[name], target[name], self.mask, max_positions=self.max_positions, rng=self.scene.rng
            )
            for name, weight in ID_MRF_LAYERS.items()
        ]
        return torch.stack(terms).sum()

    def relative(self, name: str) -> Tensor:
        """ID-MRF of a layer over its largest possible value, log N: 0 is a perfect match, 1 says nothing matches."""
        generated, _ = self.scene.features
        return self.per_layer[name] / log_positions(generated[name], self.mask, max_positions=self.max_positions)


def _generator_losses(
    scene: _Scene, matching: _Matching, weight: Callable[[], Tensor], discounted: Callable[[], Tensor]
) -> dict[str, Callable[[], Tensor]]:
    """What both objectives ask of the generator besides its adversarial term. L1 is measured in [-1, 1]."""

    def l1(weights: Tensor) -> Tensor:
        return weighted_l1(scene.completed, scene.target, weights, scene.mask)

    return {
        "confidence_l1": lambda: l1(weight()),
        "discounted_l1": lambda: l1(discounted()),
        "plain_l1": lambda: hole_l1(scene.completed, scene.target, scene.mask),
        "known_l1": lambda: known_l1(scene.completed, scene.target, scene.mask),
        "id_mrf": matching.id_mrf,
        "nearest_neighbour": matching.nearest_neighbour,
        "id_mrf_relu3_2": lambda: matching.relative("relu3_2"),
        "id_mrf_relu4_2": lambda: matching.relative("relu4_2"),
        "clipped": scene.clipped,
    }


KernelSize = Annotated[int, Field(ge=2, le=1024)] | Literal["auto"]
Iterations = Annotated[int, Field(ge=1, le=100)]
Sigma = Annotated[float, Field(gt=0), AllowInfNan(True)]


def objective(
    networks: Mapping[str, nn.Module],
    batch: Batch,
    rng: torch.Generator,
    *,
    kernel_size: KernelSize = 64,
    sigma: Sigma = 40.0,
    iterations: Iterations = 7,
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.99,
    max_positions: PositiveInt = 4225,
) -> Losses:
    """The paper's: confidence-driven reconstruction, ID-MRF from the hole to the whole photo, WGAN with penalty.

    `kernel_size`, `sigma`, `iterations`: the confidence weight's. `gamma`: the spatial discount's, for the ablation.
    `max_positions`: feature positions above this number are sampled (the TensorFlow release's cap is 65 x 65).
    """
    scene = _Scene(networks, batch, rng)

    @cache
    def confidence() -> Tensor:
        return confidence_weight(scene.mask, kernel_size=kernel_size, sigma=sigma, iterations=iterations)

    def penalty(weight: Tensor) -> Tensor:
        return gradient_penalty(scene.scores, scene.target, scene.composite, weight, rng)

    matching = _Matching(scene, scene.mask, max_positions)
    return _generator_losses(scene, matching, confidence, lambda: discounted_weight(scene.mask, gamma=gamma)) | {
        "adversarial": lambda: wasserstein_generator(scene.scores(scene.composite)),
        "wasserstein": lambda: wasserstein_critic(scene.scores(scene.target), scene.scores(scene.composite.detach())),
        "gradient_penalty": lambda: penalty(scene.mask),
        "confident_penalty": lambda: penalty(confidence()),
    }


def hinge_objective(
    networks: Mapping[str, nn.Module],
    batch: Batch,
    rng: torch.Generator,
    *,
    kernel_size: KernelSize = 65,
    sigma: Sigma = math.inf,
    iterations: Iterations = 7,
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.9,
    max_positions: PositiveInt = 4225,
) -> Losses:
    """The PyTorch release's: a box for the confidence weight, ID-MRF between whole images, hinge losses."""
    scene = _Scene(networks, batch, rng)

    @cache
    def confidence() -> Tensor:
        return confidence_weight(
            scene.mask, kernel_size=kernel_size, sigma=sigma, iterations=iterations, padding="reflect"
        )

    def discrimination() -> Tensor:
        return 2 * hinge_discriminator(scene.scores(scene.target), scene.scores(scene.composite.detach()))

    matching = _Matching(scene, None, max_positions)
    return _generator_losses(scene, matching, confidence, lambda: discounted_weight(scene.mask, gamma=gamma)) | {
        "adversarial": lambda: 2 * hinge_generator(scene.scores(scene.composite)),  # the sum over both critics
        "hinge": discrimination,
    }


# --- Training: schedule ----------------------------------------------------------------------------------------------


def _some(**weights: float) -> dict[str, float]:
    """The losses whose weight is not zero; the others are not even computed."""
    return {name: weight for name, weight in weights.items() if weight}


def _phases(
    reconstruction_steps: int,
    adversarial_steps: int,
    reconstruction: dict[str, float],
    refinement: dict[str, float],
    critics: Update,
) -> tuple[Phase, ...]:
    learn_to_tell = (critics,) if "adversarial" in refinement else ()  # nobody listens to them otherwise
    watched = ("id_mrf_relu3_2", "id_mrf_relu4_2", "clipped") if "id_mrf" in refinement else ("clipped",)
    return (
        Phase("reconstruction", reconstruction_steps, (Update("generator", reconstruction, watched=("clipped",)),)),
        Phase(
            "adversarial",
            adversarial_steps,
            (*learn_to_tell, Update("generator", reconstruction | refinement, watched=watched)),
        ),
    )


def schedule(
    reconstruction_steps: NonNegativeInt = 40_000,
    adversarial_steps: NonNegativeInt = 40_000,
    n_critic: PositiveInt = 5,
    confidence_l1: NonNegativeFloat = 1.0,
    discounted_l1: NonNegativeFloat = 0.0,
    plain_l1: NonNegativeFloat = 0.0,
    known_l1: NonNegativeFloat = 0.0,
    id_mrf: NonNegativeFloat = 0.02,
    nearest_neighbour: NonNegativeFloat = 0.0,
    adversarial: NonNegativeFloat = 0.001,
    gradient_penalty: NonNegativeFloat = 10.0,
    confident_penalty: NonNegativeFloat = 0.0,
) -> tuple[Phase, ...]:
    """Two phases: reconstruction alone, then with ID-MRF and the critics, who start fresh and take `n_critic` steps,
    each on a batch of its own, to every one of the generator.

    The numbers weigh the losses of `objective`; those at 0 are left out. Differs: the PyTorch release repeats the
    critics' steps on one batch and one fake.
    """
    return _phases(
        reconstruction_steps,
        adversarial_steps,
        _some(confidence_l1=confidence_l1, discounted_l1=discounted_l1, plain_l1=plain_l1, known_l1=known_l1),
        _some(id_mrf=id_mrf, nearest_neighbour=nearest_neighbour, adversarial=adversarial),
        Update(
            "critics",
            {"wasserstein": 1.0} | _some(gradient_penalty=gradient_penalty, confident_penalty=confident_penalty),
            fresh_batches=n_critic,
        ),
    )


def hinge_schedule(
    reconstruction_steps: NonNegativeInt = 40_000,
    adversarial_steps: NonNegativeInt = 40_000,
    n_critic: PositiveInt = 5,
    confidence_l1: NonNegativeFloat = 1.4,
    discounted_l1: NonNegativeFloat = 0.0,
    plain_l1: NonNegativeFloat = 0.0,
    known_l1: NonNegativeFloat = 1.2,
    id_mrf: NonNegativeFloat = 0.05,
    nearest_neighbour: NonNegativeFloat = 0.0,
    adversarial: NonNegativeFloat = 0.001,
) -> tuple[Phase, ...]:
    """The PyTorch release's two phases: the weights of `hinge_objective`, and critics without a gradient penalty."""
    return _phases(
        reconstruction_steps,
        adversarial_steps,
        _some(confidence_l1=confidence_l1, discounted_l1=discounted_l1, plain_l1=plain_l1, known_l1=known_l1),
        _some(id_mrf=id_mrf, nearest_neighbour=nearest_neighbour, adversarial=adversarial),
        Update("critics", {"hinge": 1.0}, fresh_batches=n_critic),
    )


SYSTEM = System(
    generator="gmcnn",
    parts={"generator": Generator, "critics": Critics},
    frozen={"features": load_features},
    schedule=schedule,
    objective=objective,
    smallest_in_bfloat16=80,  # the local critic halves its crop of half the size six times
)
FREE_FORM_SYSTEM = replace(SYSTEM, parts={"generator": Generator, "critics": FreeFormCritics})
RELEASE_SYSTEM = replace(
    SYSTEM,
    parts={"generator": Generator, "critics": SpectralNormCritics},
    schedule=hinge_schedule,
    objective=hinge_objective,
    smallest_in_bfloat16=48,
)
