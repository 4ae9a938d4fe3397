"""Composite and photo compared by the features of one VGG19, in the hole only: the right thing, the right texture.

Neither measure is LPIPS, which compares other layers of other networks with weights fitted to people's judgement. Both
work without a network connection, because the project has feature weights of its own.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...features import load_features
from ...losses.id_mrf import id_mrf_loss, log_positions
from . import Hole, Metric, Pixels
from .truth import OfLastTruth

TAPS = ("relu3_2", "relu4_2")
NAMES = {"own": "own VGG19", "imagenet": "ImageNet VGG19"}
"""How the tables call the network, by `FeatureNetwork.source`; any other file is called by its name."""


class FeatureDistance:
    """Feature distance and texture of one composite; `source` says which weights compared them.

    `weights`: "own", "imagenet" or a file, as `inpaintkit.features.load_features` takes them.

    Raises: ModelError when the weights are missing, damaged or of another network.
    """

    def __init__(self, weights: str | Path = "own") -> None:
        self.network = load_features(weights)
        self.source = self.network.source
        network = NAMES.get(self.source) or f"VGG19 {self.source}"
        self.metrics: tuple[Metric, ...] = (_feature_distance(network), _texture(network))
        self._truth_features = OfLastTruth(self._features)

    def __call__(self, truth: Pixels, filled: Pixels, hole: Hole) -> dict[str, float]:
        """`feature_distance` and `texture`; NaN where less than two positions of a layer lie in the hole."""
        if min(hole.shape) < 8:  # nothing is left of the picture at relu4_2
            return {"feature_distance": math.nan, "texture": math.nan}
        mask = torch.tensor(hole)[None, None].float()
        distances, textures = [], []
        with torch.inference_mode():
            ours = self._features(filled)
            for tap, target in self._truth_features(truth).items():
                inside = F.adaptive_avg_pool2d(mask, (target.shape[2], target.shape[3]))[0, 0] > 0.5
                if inside.sum() < 2:
                    return {"feature_distance": math.nan, "texture": math.nan}
                centre = target.mean((2, 3), keepdim=True)
                alike = F.cosine_similarity(ours[tap] - centre, target - centre)[0]
                distances.append(max(float(1 - alike[inside].mean()), 0.0))
                textures.append(float(id_mrf_loss(ours[tap], target, mask) / log_positions(target, mask)))
        return {"feature_distance": float(np.mean(distances)), "texture": float(np.mean(textures))}

    def _features(self, pixels: Pixels) -> dict[str, Tensor]:
        image = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
        found: dict[str, Tensor] = self.network(image, TAPS)
        return found


def _feature_distance(network: str) -> Metric:
    return Metric(
        name="feature_distance",
        label=f"feature distance ({network})",
        better="lower",
        scope="hole",
        unit="",
        range="0 (exact) to 2; about 1 for an unrelated fill.",
        definition="1 minus the cosine of the composite's and the photo's features at the same place, each less the "
        "mean of the photo's features over the frame, averaged over the places that lie in the hole by more than half; "
        "the mean over the layers relu3_2 and relu4_2 of VGG19. It is not LPIPS.",
        source="inpaintkit; the layers and the centring are those of Wang et al. 2018 (GMCNN)",
    )


def _texture(network: str) -> Metric:
    return Metric(
        name="texture",
        label=f"texture ({network})",
        better="lower",
        scope="hole",
        unit="",
        range="0 (the photo's own patches are there, each used) to 1 (nothing matches).",
        definition="The ID-MRF loss from the hole of the composite to the whole photo, over its largest value (the "
        "logarithm of the number of places in the hole): where a patch stands does not matter; the mean over the "
        "layers relu3_2 and relu4_2 of VGG19.",
        source="Wang, Tao, Qi, Shen and Jia 2018 (GMCNN), their loss read as a measure",
    )
