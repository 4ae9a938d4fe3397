"""LPIPS: how different two pictures look, by a classification network whose channels are weighted by people's answers.

Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
2018, version 0.1 of their release, networks AlexNet (MI-GAN and CoModGAN report it) and VGG16 (LaMa reports it).

The networks are defined here, because torchmetrics' own need torchvision; the fitted weights of the channels are those
in torchmetrics' package. Differs from torchmetrics where a place has hardly any features: its unit length is the
square root of 1e-8 + the sum of squares, the release's is the root of the sum, + 1e-10, as here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ModelError
from ...pretrained import Progress, checked_sha256, chosen_tensors, find_weights, read_tensors
from . import Hole, Metric, Pixels
from .truth import OfLastTruth

SHIFT = (-0.030, -0.088, -0.188)  # of RGB in [-1, 1]; ImageNet's mean and deviation, as the release rounds them
SCALE = (0.458, 0.448, 0.450)
EPS = 1e-10


@dataclass(frozen=True)
class Stage:
    """What stands between two taps: a max pooling (side, stride) if any, then convolutions, each with its ReLU.

    A convolution is its number in torchvision's `features`, channels in and out, kernel side, stride and padding.
    """

    pooling: tuple[int, int] | None
    convolutions: tuple[tuple[int, int, int, int, int, int], ...]


@dataclass(frozen=True)
class Backbone:
    """A network that LPIPS is defined with; every stage ends in a tap, after the ReLU."""

    name: str
    stages: tuple[Stage, ...]
    smallest: int
    """The shortest side of a picture that reaches the last tap."""
    address: str
    published: tuple[str, ...]
    """How the SHA-256 of the files that torchvision has published begins: their weights may bear the plain name."""
    linear: str
    linear_sha256: str
    """torchmetrics' file of the fitted weights: the bytes of the release's v0.1."""

    @property
    def metric_name(self) -> str:
        """What the metric with this network is called in reports."""
        return f"lpips_{self.name.lower()}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensor name as in torchvision to shape, of the layers in use."""
        found: dict[str, tuple[int, ...]] = {}
        for stage in self.stages:
            for number, inside, outside, side, _, _ in stage.convolutions:
                found[f"features.{number}.weight"] = (outside, inside, side, side)
                found[f"features.{number}.bias"] = (outside,)
        return found


def _vgg_stage(first: int, inside: int, outside: int, count: int) -> Stage:
    """Convolutions 3 x 3 from number `first` on (every other number is a ReLU), behind a pooling unless it is 0."""
    layers = ((first + 2 * i, outside if i else inside, outside, 3, 1, 1) for i in range(count))
    return Stage((2, 2) if first else None, tuple(layers))


ALEXNET = Backbone(
    "AlexNet",
    (
        Stage(None, ((0, 3, 64, 11, 4, 2),)),
        Stage((3, 2), ((3, 64, 192, 5, 1, 2),)),
        Stage((3, 2), ((6, 192, 384, 3, 1, 1),)),
        Stage(None, ((8, 384, 256, 3, 1, 1),)),
        Stage(None, ((10, 256, 256, 3, 1, 1),)),
    ),
    smallest=31,
    address="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    published=("7be5be79", "4df8aa71"),
    linear="alex.pth",
    linear_sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
)
VGG16 = Backbone(
    "VGG16",
    (
        _vgg_stage(0, 3, 64, 2),
        _vgg_stage(5, 64, 128, 2),
        _vgg_stage(10, 128, 256, 3),
        _vgg_stage(17, 256, 512, 3),
        _vgg_stage(24, 512, 512, 3),
    ),
    smallest=16,
    address="https://download.pytorch.org/models/vgg16-397923af.pth",
    published=("397923af",),
    linear="vgg.pth",
    linear_sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
)
DOWNLOADS = {"download": ALEXNET, "download-vgg16": VGG16}


class TappedNetwork(nn.Module):
    """A backbone from the picture to its last tap, frozen and in eval mode; its tensors bear torchvision's names."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        convolutions = [layer for stage in backbone.stages for layer in stage.convolutions]
        self.features = nn.ModuleDict(
            {
                str(number): nn.Conv2d(inside, outside, side, stride, padding)
                for number, inside, outside, side, stride, padding in convolutions
            }
        )
        self.requires_grad_(False)
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features (N, C, h, w) at every tap of RGB in [-1, 1], (N, 3, H, W)."""
        features = (image - image.new_tensor(SHIFT).view(1, 3, 1, 1)) / image.new_tensor(SCALE).view(1, 3, 1, 1)
        found = []
        for stage in self.backbone.stages:
            if stage.pooling:
                features = F.max_pool2d(features, *stage.pooling)
            for number, *_ in stage.convolutions:
                features = F.relu(self.features[str(number)](features))
            found.append(features)
        return found


def lpips_distance(ours: list[Tensor], theirs: list[Tensor], linear: list[Tensor]) -> Tensor:
    """LPIPS (N,) of two pictures' features at all taps, with one weight per channel for each tap.

    Source: Zhang et al. 2018, Eq. 1: features of unit length over the channels, squared differences, weighted sum over
    the channels, mean over the places, sum over the taps.
    """
    layers = []
    for own, their, weights in zip(ours, theirs, linear, strict=True):
        squared = (_unit(own) - _unit(their)).square()
        layers.append((squared * weights.view(1, -1, 1, 1)).sum(1).mean((1, 2)))
    return torch.stack(layers).sum(0)


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + EPS)


class Lpips:
    """LPIPS v0.1 of one composite, over the whole frame; `source` says which files judged it.

    `weights`: "download" (AlexNet) or "download-vgg16" for torchvision's official file, taken from torch hub's folder
    of checkpoints or fetched into it; or a .pth or .safetensors file of either network with torchvision's names: the
    file says which one it is.

    Raises: ModelError when weights are missing, damaged or of another network.
    """

    def __init__(self, weights: str | Path = "download", *, progress: Progress | None = None) -> None:
        path = find_weights(
            weights,
            {name: backbone.address for name, backbone in DOWNLOADS.items()},
            what="LPIPS weights",
            otherwise="leave LPIPS out",
            expected="a .pth or .safetensors file of torchvision's AlexNet or VGG16, or "
            + " or ".join(map(repr, DOWNLOADS)),
            progress=progress,
        )
        digest = checked_sha256(path)
        tensors = read_tensors(path)
        backbone = _backbone_in(tensors, path)
        expected = "AlexNet or VGG16 (without batch normalisation), named as in torchvision"
        chosen = chosen_tensors(
            tensors, backbone.shapes(), path, network=f"an LPIPS {backbone.name}", expected=expected
        )
        with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten; the caller's seed shall not see
            self.network = TappedNetwork(backbone)
        self.network.load_state_dict(chosen)
        self.linear = linear_weights(backbone)
        self.source = f"{path.name} (sha256 {digest[:12]}), {backbone.linear} of LPIPS v0.1"
        known = digest.startswith(backbone.published)
        self.metrics: tuple[Metric, ...] = (_metric(backbone, "" if known else f" {path.name}", self.source),)
        self._truth_features = OfLastTruth(self._features)

    def __call__(self, truth: Pixels, filled: Pixels, hole: Hole) -> dict[str, float]:
        """LPIPS under its network's name; NaN for a picture that is too small for the network.

        `hole` is not used.
        """
        name = self.network.backbone.metric_name
        if min(truth.shape[:2]) < self.network.backbone.smallest:
            return {name: math.nan}
        with torch.inference_mode():
            ours, theirs = self._features(filled), self._truth_features(truth)
            return {name: float(lpips_distance(ours, theirs, self.linear))}

    def _features(self, pixels: Pixels) -> list[Tensor]:
        found: list[Tensor] = self.network(torch.tensor(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1)
        return found


def _metric(backbone: Backbone, file: str, source: str) -> Metric:
    return Metric(
        name=backbone.metric_name,
        label=f"LPIPS ({backbone.name}{file})",
        better="lower",
        scope="image",
        unit="",
        range="0 (equal) upward, seldom above 1.",
        definition=f"LPIPS v0.1 with {backbone.name} of the whole composite and the photo: at five layers, after the "
        "ReLU, features of unit length over the channels, their squared differences weighted by channel, the mean over "
        f"places, summed over layers. Weights: {source}.",
        source="Zhang, Isola, Efros, Shechtman and Wang 2018",
    )


# --- Weights ---------------------------------------------------------------------------------------------------------


def _backbone_in(tensors: Mapping[str, Any], path: Path) -> Backbone:
    """The backbone that a file holds, by its first convolution."""
    first = tensors.get("features.0.weight")
    for backbone in DOWNLOADS.values():
        if isinstance(first, Tensor) and first.shape == backbone.shapes()["features.0.weight"]:
            return backbone
    given = f"is {tuple(first.shape)}" if isinstance(first, Tensor) else "is missing"
    raise ModelError(
        f"{path}: features.0.weight {given}: neither AlexNet nor VGG16; give one of these, named as in torchvision: "
        "LPIPS is defined with no other network here"
    )


def linear_weights(backbone: Backbone) -> list[Tensor]:
    """The fitted weights of the channels at every tap, from torchmetrics' package. Raises: ModelError."""
    package = find_spec("torchmetrics")
    folders = list(package.submodule_search_locations or ()) if package else []
    path = Path(*folders[:1], "functional", "image", "lpips_models", backbone.linear)
    if not folders or not path.is_file() or checked_sha256(path) != backbone.linear_sha256:
        raise ModelError(
            f"LPIPS: the fitted weights {backbone.linear} (sha256 {backbone.linear_sha256[:12]}) are not in the "
            "torchmetrics that is installed; install torchmetrics 1.6 or newer, or leave LPIPS out"
        )
    channels = [stage.convolutions[-1][2] for stage in backbone.stages]
    shapes: dict[str, tuple[int, ...]] = {f"lin{i}.model.1.weight": (1, n, 1, 1) for i, n in enumerate(channels)}
    chosen = chosen_tensors(
        read_tensors(path), shapes, path, network=f"LPIPS {backbone.name}", expected="the file of LPIPS v0.1"
    )
    return [chosen[name].flatten() for name in shapes]
