"""One frozen VGG19 for every loss and metric that compares features, with taps named by what they are.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, configuration
E, up to the ReLU after conv4_2: no loss here looks deeper.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import ModelError, UsageError, unknown_name
from .pretrained import Progress, checked_sha256, chosen_tensors, find_weights, read_tensors
from .weights import FOLDER

# Where torchvision's `vgg19` fetches VGG19_Weights.IMAGENET1K_V1 (574,673,361 bytes with the classifier).
IMAGENET_ADDRESS = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB in [0, 1]; the published weights were trained on images normalised so
IMAGENET_STD = (0.229, 0.224, 0.225)

BLOCKS = ((2, 64), (2, 128), (4, 256), (2, 512))
"""Convolutions and channels of each block; every block but the first begins with a 2 x 2 max pooling."""
CONVOLUTIONS = tuple(f"conv{block}_{i + 1}" for block, (count, _) in enumerate(BLOCKS, 1) for i in range(count))
"""conv1_1 ... conv4_2, in order: the layers that have weights."""
TAPS = tuple(name.replace("conv", "relu") for name in CONVOLUTIONS)
"""relu1_1 ... relu4_2, in order: reluB_I is the ReLU after the I-th convolution of block B."""
IN_TORCHVISION = dict(zip(CONVOLUTIONS, (0, 2, 5, 7, 10, 12, 14, 16, 19, 21), strict=True))
"""Where each convolution stands in torchvision's `features`, in which ReLUs and poolings count as well."""

OWN = FOLDER / "features.safetensors"
"""The project's own weights: not in the light wheel, but in the repository."""


class FeatureNetwork(nn.Module):
    """VGG19 from the image to relu4_2: ten 3 x 3 convolutions, 5,865,536 parameters, max pooling.

    Frozen from the start: no parameter asks for a gradient and `train` leaves it in eval mode; gradients reach the
    image. `source` says which weights these are, so that every result can name them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.source = "untrained"
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        inside = 3
        for name in CONVOLUTIONS:
            outside = BLOCKS[int(name[4]) - 1][1]
            self.add_module(name, nn.Conv2d(inside, outside, 3, padding=1))
            inside = outside
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stays in eval mode whatever `mode` says, so that the training of a network around it changes nothing."""
        return super().train(False)

    def forward(self, image: Tensor, taps: Sequence[str] = ("relu3_2", "relu4_2")) -> dict[str, Tensor]:
        """Features (N, C, H / s, W / s) of an RGB image in [0, 1] for each tap; s is 1, 2, 4, 8 by block, rounded down.

        Layers behind the last tap are not computed. Raises: UsageError for an unknown tap or an image too small for it.
        """
        for tap in taps:
            if tap not in TAPS:
                raise UsageError(unknown_name("feature tap", tap, TAPS))
        depth = max((TAPS.index(tap) + 1 for tap in taps), default=0)
        _check_image(image, TAPS[:depth])
        features: Tensor = ((image - self.mean) / self.std).to(next(self.parameters()).dtype)
        found = {}
        for name, tap in zip(CONVOLUTIONS[:depth], TAPS, strict=False):
            if name.endswith("_1") and name != CONVOLUTIONS[0]:
                features = F.max_pool2d(features, 2)
            # in place on the convolution's own output, which nothing else holds; what is tapped is never written again
            features = F.relu(self.get_submodule(name)(features), inplace=True)
            if tap in taps:
                found[tap] = features
        return found


def _check_image(image: Tensor, layers: Sequence[str]) -> None:
    smallest = 2 ** (int(layers[-1][4]) - 1) if layers else 1
    shape = tuple(image.shape)
    if len(shape) != 4 or shape[1] != 3 or min(shape[2:]) < smallest or not image.is_floating_point():
        raise UsageError(
            f"features of an image of shape {shape} and type {image.dtype}: expected a float tensor (N, 3, H, W) in "
            f"[0, 1] with H and W of {smallest} or more"
        )


# --- Weights ---------------------------------------------------------------------------------------------------------


def load_features(weights: str | Path = "own", *, progress: Progress | None = None) -> FeatureNetwork:
    """The feature network with weights, float32, frozen and in eval mode.

    `weights`: "own" for the project's own; "imagenet" for the official ImageNet weights, taken from torch hub's folder
    of checkpoints or fetched into it; or a .safetensors or .pth file, named as here or as in torchvision. Files hold
    tensors only: no code in them is run. `progress` is told how a download goes.

    Raises: ModelError when the weights are missing, damaged or of another network.
    """
    if str(weights) == "own":
        path, source = OWN, "own"
        if not path.is_file():
            raise ModelError(
                f"feature weights 'own': {path.name} is not here (it is not part of the light wheel; the repository "
                "has it in src/inpaintkit/weights); give the path of that file, or 'imagenet'"
            )
    else:
        path = find_weights(
            weights,
            {"imagenet": IMAGENET_ADDRESS},
            what="feature weights",
            otherwise="use 'own'",
            expected="'own', 'imagenet', or a .safetensors or .pth file",
            progress=progress,
        )
        source = "imagenet" if str(weights) == "imagenet" else ""
    digest = checked_sha256(path)
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten; the caller's seed shall not notice
        network = FeatureNetwork()
    network.load_state_dict(_by_our_names(read_tensors(path), network.state_dict(), path))
    network.source = source or f"{path.name} (sha256 {digest[:12]})"
    return network


def _by_our_names(tensors: Mapping[str, Any], wanted: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """A file's tensors by the names of `wanted`, each of the same shape as there; others are left out."""
    names = {name: name for name in wanted}
    if "conv1_1.weight" not in tensors:
        parts = {name: name.partition(".") for name in wanted}
        names = {name: f"features.{IN_TORCHVISION[layer]}.{part}" for name, (layer, _, part) in parts.items()}
    shapes = {names[name]: tuple(tensor.shape) for name, tensor in wanted.items()}
    chosen = chosen_tensors(
        tensors,
        shapes,
        path,
        network="a VGG19",
        expected="a VGG19 without batch normalisation, named as here (conv1_1.weight) or as in torchvision",
    )
    return {name: chosen[theirs] for name, theirs in names.items()}
