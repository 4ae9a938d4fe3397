"""Feature distance and texture: against an independent computation, on planted features and on made-up weights."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from inpaintkit import features
from inpaintkit.errors import ModelError
from inpaintkit.evaluation.metrics.features import FeatureDistance
from inpaintkit.features import FeatureNetwork


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """VGG19 with made-up weights that keep the signal's size from layer to layer."""
    rng = torch.Generator().manual_seed(3)
    network = FeatureNetwork()
    for layer in network.children():
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)
        nn.init.normal_(layer.bias, std=0.1, generator=rng)
    path = tmp_path_factory.mktemp("weights") / "vgg.safetensors"
    save_file({name: tensor.half() for name, tensor in network.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def measured_by(weights) -> FeatureDistance:
    return FeatureDistance(weights)


@pytest.fixture
def hole() -> np.ndarray:
    mask = np.zeros((64, 96), bool)
    mask[16:48, 24:72] = True
    return mask


def _grain(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_exact_fill_is_0(measured_by, hole, draw_photo):
    truth = draw_photo(64, 96, 1)
    found = measured_by(truth, truth.copy(), hole)
    assert found == {"feature_distance": pytest.approx(0, abs=1e-5), "texture": pytest.approx(0, abs=1e-5)}


def test_worse_fills_score_worse(measured_by, hole, draw_photo):
    truth = draw_photo(64, 96, 1)
    slight, wrong = truth.copy(), truth.copy()
    slight[hole] = np.clip(truth[hole].astype(int) + 6, 0, 255)
    wrong[hole] = _grain(64, 96, 2)[hole]
    near, far = measured_by(truth, slight, hole), measured_by(truth, wrong, hole)
    for name in ("feature_distance", "texture"):
        assert 0 < near[name] < far[name]
    assert far["texture"] <= 1


def test_the_right_texture_in_another_place_is_good_texture_only(measured_by, hole):
    """A tile of 16 px, repeated: shifted by half a tile every patch is there, but none where it belongs."""
    truth = np.tile(_grain(16, 16, 4), (4, 6, 1))
    shifted, noise = truth.copy(), truth.copy()
    shifted[hole] = np.roll(truth, 8, axis=1)[hole]
    noise[hole] = _grain(64, 96, 5)[hole]
    moved, other = measured_by(truth, shifted, hole), measured_by(truth, noise, hole)
    assert moved["feature_distance"] > 0.7 * other["feature_distance"]
    assert moved["texture"] < 0.7 * other["texture"]


class _Planted:
    """Stands for the network: two layers made from the pixels themselves, at 1/4 and 1/8."""

    def __call__(self, image: Tensor, taps: tuple[str, ...]) -> dict[str, Tensor]:
        near = nn.functional.avg_pool2d(image, 4)
        return dict(zip(taps, (torch.cat([near, near.square()], 1), nn.functional.avg_pool2d(image, 8)), strict=True))


def test_feature_distance_by_hand(weights, hole):
    measured_by = FeatureDistance(weights)
    measured_by.network = _Planted()
    truth, filled = _grain(64, 96, 6), _grain(64, 96, 7)
    filled[~hole] = truth[~hole]

    def pooled(pixels: np.ndarray, side: int) -> np.ndarray:
        return (pixels / 255).reshape(64 // side, side, 96 // side, side, 3).mean((1, 3))

    distances = []
    for side in (4, 8):
        layers = [pooled(pixels, side) for pixels in (truth, filled)]
        if side == 4:
            layers = [np.concatenate([layer, layer**2], 2) for layer in layers]
        theirs, ours = (layer - layers[0].mean((0, 1)) for layer in layers)
        cosine = (ours * theirs).sum(2) / np.linalg.norm(ours, axis=2) / np.linalg.norm(theirs, axis=2)
        distances.append((1 - cosine)[16 // side : 48 // side, 24 // side : 72 // side].mean())
    found = measured_by(truth, filled, hole)
    assert found["feature_distance"] == pytest.approx(np.mean(distances), rel=1e-4)


@pytest.mark.parametrize("shape", [(64, 96), (6, 40)])
def test_a_hole_without_positions_is_not_measured(measured_by, shape):
    truth = _grain(*shape, 1)
    thin = np.zeros(shape, bool)
    thin[5] = True
    found = measured_by(truth, truth, thin)
    assert list(found) == ["feature_distance", "texture"]
    assert np.isnan(list(found.values())).all()


def test_the_kept_truth_is_never_another_one(measured_by, hole, draw_photo):
    filled = draw_photo(64, 96, 3)
    first, second = draw_photo(64, 96, 1), draw_photo(64, 96, 2)
    expected = [measured_by(truth, filled, hole) for truth in (first, second)]
    assert expected[0] != expected[1]
    buffer = first.copy()
    assert measured_by(buffer, filled, hole) == expected[0]
    assert measured_by(buffer, filled, hole) == expected[0]  # the same bits from what was kept
    buffer[:] = second
    assert measured_by(buffer, filled, hole) == expected[1]


def test_arguments_are_read_only(measured_by, hole, draw_photo):
    arrays = [draw_photo(64, 96, 1), draw_photo(64, 96, 2), hole]
    for array in arrays:
        array.flags.writeable = False
    measured_by(*arrays)


def test_the_column_names_the_network(measured_by, weights, monkeypatch):
    name = f"vgg.safetensors (sha256 {hashlib.sha256(weights.read_bytes()).hexdigest()[:12]})"
    assert measured_by.source == name
    assert [metric.label for metric in measured_by.metrics] == [
        f"feature distance (VGG19 {name})",
        f"texture (VGG19 {name})",
    ]
    assert [metric.name for metric in measured_by.metrics] == ["feature_distance", "texture"]
    monkeypatch.setattr(features, "OWN", weights)
    assert [metric.label for metric in FeatureDistance().metrics] == [
        "feature distance (own VGG19)",
        "texture (own VGG19)",
    ]


def test_missing_weights(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        FeatureDistance(tmp_path / "vgg.pth")
