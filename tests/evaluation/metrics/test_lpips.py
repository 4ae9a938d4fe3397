"""LPIPS: by hand, against torchmetrics' own network, and its weights files."""

import hashlib
import math
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as reference
from safetensors.torch import save_file
from torch import Tensor, nn

from inpaintkit.errors import ModelError
from inpaintkit.evaluation.metrics import lpips as lpips_metric
from inpaintkit.evaluation.metrics.lpips import (
    ALEXNET,
    VGG16,
    Lpips,
    TappedNetwork,
    linear_weights,
    lpips_distance,
)

# torchvision's `features`, as its documentation prints them: convolution (channels in, out, kernel, stride, padding)
# with a ReLU behind it, or M, a max pooling.
ALEXNET_LAYERS = (
    *((3, 64, 11, 4, 2), "M", (64, 192, 5, 1, 2), "M"),
    *((192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1), "M"),
)
VGG16_CHANNELS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def _published(name: str) -> nn.Sequential:
    """torchvision's `features` with made-up weights that keep the signal's size, exact in half precision."""
    entries = list(ALEXNET_LAYERS)
    if name == "vgg":
        channels = [3, *(entry for entry in VGG16_CHANNELS if entry != "M")]
        pairs = pairwise(channels)
        entries = [entry if entry == "M" else (*next(pairs), 3, 1, 1) for entry in VGG16_CHANNELS]
    rng = torch.Generator().manual_seed(5)
    layers: list[nn.Module] = []
    for entry in entries:
        if entry == "M":
            layers.append(nn.MaxPool2d(3, 2) if name == "alex" else nn.MaxPool2d(2, 2))
            continue
        convolution = nn.Conv2d(*entry)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=rng)
        nn.init.normal_(convolution.bias, std=0.1, generator=rng)
        layers += [convolution, nn.ReLU()]
    return nn.Sequential(*layers).requires_grad_(False).half().float()


def _save(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)  # the official files have the format of 2017
    return path


def _tensors(layers: nn.Sequential) -> dict[str, Tensor]:
    """What the official file holds; its classifier is of toy size here."""
    return {
        **{f"features.{name}": tensor.half() for name, tensor in layers.state_dict().items()},
        "classifier.1.weight": torch.zeros(2, 2),
    }


@pytest.fixture(scope="module")
def alexnet() -> nn.Sequential:
    return _published("alex")


@pytest.fixture(scope="module")
def alexnet_file(alexnet, tmp_path_factory) -> Path:
    return _save(tmp_path_factory.mktemp("weights") / "alexnet.pth", _tensors(alexnet))


@pytest.fixture(scope="module")
def lpips(alexnet_file) -> Lpips:
    return Lpips(alexnet_file)


@pytest.fixture(scope="module")
def vgg16() -> nn.Sequential:
    return _published("vgg")


@pytest.fixture(scope="module")
def with_vgg16(vgg16, tmp_path_factory) -> Lpips:
    return Lpips(_save(tmp_path_factory.mktemp("weights") / "vgg16.pth", _tensors(vgg16)))


@pytest.fixture
def hole() -> np.ndarray:
    mask = np.zeros((64, 80), bool)
    mask[20:44, 30:60] = True
    return mask


def _refused(weights: str | Path, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        Lpips(weights)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# --- The measure -----------------------------------------------------------------------------------------------------


def test_by_hand():
    """One place: (3, 4) and (2, 0) have the unit vectors (0.6, 0.8) and (1, 0); 2 x 0.16 + 0.5 x 0.64 = 0.64.

    Two places, of which the first is equal and in the second one picture has no features: (0 + 3 x 1) / 2 = 1.5.
    """
    first = (torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), torch.tensor([2.0, 0.0]).view(1, 2, 1, 1))
    second = (torch.tensor([[7.0, 0.0], [7.0, 0.0]]).view(1, 2, 1, 2), torch.tensor([[1.0, 0.0], [1.0, 5.0]]))
    found = lpips_distance(
        [first[0], second[0]],
        [first[1], second[1].view(1, 2, 1, 2)],
        [torch.tensor([2.0, 0.5]), torch.tensor([1.0, 3.0])],
    )
    assert found.tolist() == [pytest.approx(0.64 + 1.5)]


def test_every_picture_of_a_batch_has_its_own_distance():
    rng = torch.Generator().manual_seed(1)
    ours, theirs = (torch.rand(2, 4, 3, 5, generator=rng) for _ in range(2))
    weights = [torch.rand(4, generator=rng)]
    both = lpips_distance([ours], [theirs], weights)
    assert both.shape == (2,)
    for i in range(2):
        assert both[i] == pytest.approx(float(lpips_distance([ours[i : i + 1]], [theirs[i : i + 1]], weights)))


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_against_torchmetrics(net, request, monkeypatch, draw_photo, hole):
    """Its network takes its layers from torchvision; here it gets the same made-up ones as ours."""
    layers = request.getfixturevalue("alexnet" if net == "alex" else "vgg16")
    lpips = request.getfixturevalue("lpips" if net == "alex" else "with_vgg16")
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_: layers)
    pictures = [draw_photo(64, 80, seed) for seed in (1, 2)]
    images = [torch.tensor(picture).permute(2, 0, 1)[None] / 255 for picture in pictures]
    expected = reference.learned_perceptual_image_patch_similarity(*images, net_type=net, normalize=True)
    (found,) = lpips(*pictures, hole).values()
    assert found > 0.01
    assert found == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("which", ["lpips", "with_vgg16"])
def test_zero_for_equal_pictures_and_symmetric(which, request, draw_photo, hole):
    lpips = request.getfixturevalue(which)
    first, second = draw_photo(64, 80, 1), draw_photo(64, 80, 2)
    assert list(lpips(first, first.copy(), hole).values()) == [0]
    forth, back = lpips(first, second, hole), lpips(second, first, hole)
    assert forth == pytest.approx(back, rel=1e-5)
    assert next(iter(forth.values())) > 0


def test_more_change_is_further_away(lpips, draw_photo, hole):
    truth = draw_photo(64, 80, 1)
    slight, wrong = truth.copy(), truth.copy()
    slight[hole] = np.clip(truth[hole].astype(int) + 6, 0, 255)
    wrong[hole] = np.random.default_rng(2).integers(0, 256, (int(hole.sum()), 3))
    near, far = (lpips(truth, filled, hole)["lpips_alexnet"] for filled in (slight, wrong))
    assert 0 < near < far


def test_the_kept_truth_is_never_another_one(lpips, draw_photo, hole):
    filled = draw_photo(64, 80, 3)
    first, second = draw_photo(64, 80, 1), draw_photo(64, 80, 2)
    expected = [lpips(truth, filled, hole) for truth in (first, second)]
    assert expected[0] != expected[1]
    buffer = first.copy()
    assert lpips(buffer, filled, hole) == expected[0]
    assert lpips(buffer, filled, hole) == expected[0]  # the same bits from what was kept
    buffer[:] = second
    assert lpips(buffer, filled, hole) == expected[1]


def test_arguments_are_read_only(lpips, draw_photo, hole):
    arrays = [draw_photo(64, 80, 1), draw_photo(64, 80, 2), hole]
    for array in arrays:
        array.flags.writeable = False
    lpips(*arrays)


@pytest.mark.parametrize(("which", "smallest"), [("lpips", 31), ("with_vgg16", 16)])
def test_the_smallest_picture(which, smallest, request, draw_photo):
    lpips = request.getfixturevalue(which)
    for side, measured in ((smallest, True), (smallest - 1, False)):
        pictures = [draw_photo(side, 40, seed) for seed in (1, 2)]
        (found,) = lpips(*pictures, np.ones((side, 40), bool)).values()
        assert math.isfinite(found) == measured


# --- The networks ----------------------------------------------------------------------------------------------------


def test_names_and_shapes_of_alexnet():
    shapes = {name: tuple(tensor.shape) for name, tensor in TappedNetwork(ALEXNET).state_dict().items()}
    assert shapes == ALEXNET.shapes()
    assert shapes == {
        "features.0.weight": (64, 3, 11, 11),
        "features.0.bias": (64,),
        "features.3.weight": (192, 64, 5, 5),
        "features.3.bias": (192,),
        "features.6.weight": (384, 192, 3, 3),
        "features.6.bias": (384,),
        "features.8.weight": (256, 384, 3, 3),
        "features.8.bias": (256,),
        "features.10.weight": (256, 256, 3, 3),
        "features.10.bias": (256,),
    }


def test_names_and_shapes_of_vgg16():
    shapes = {name: tuple(tensor.shape) for name, tensor in TappedNetwork(VGG16).state_dict().items()}
    assert shapes == VGG16.shapes()
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    channels = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    assert shapes == {
        f"features.{number}.{part}": (outside, inside, 3, 3) if part == "weight" else (outside,)
        for number, (inside, outside) in zip(numbers, pairwise(channels), strict=True)
        for part in ("weight", "bias")
    }
    assert sum(math.prod(shape) for shape in shapes.values()) == 14_714_688


@pytest.mark.parametrize(
    ("backbone", "channels"), [(ALEXNET, (64, 192, 384, 256, 256)), (VGG16, (64, 128, 256, 512, 512))]
)
def test_the_fitted_weights(backbone, channels):
    """One for each channel of every tap, none below 0, so that no difference brings pictures nearer."""
    weights = linear_weights(backbone)
    assert [tuple(tensor.shape) for tensor in weights] == [(count,) for count in channels]
    assert all((tensor >= 0).all() and (tensor > 0).any() for tensor in weights)


def test_fitted_weights_of_another_release_are_refused(monkeypatch):
    with pytest.raises(ModelError, match="torchmetrics"):
        linear_weights(replace(ALEXNET, linear_sha256="0" * 64))
    with pytest.raises(ModelError, match="torchmetrics"):
        linear_weights(replace(ALEXNET, linear="none.pth"))
    monkeypatch.setattr(lpips_metric, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="torchmetrics"):
        linear_weights(ALEXNET)


# --- Weights files ---------------------------------------------------------------------------------------------------


def test_the_column_names_the_network(lpips, with_vgg16, alexnet_file, monkeypatch):
    digest = hashlib.sha256(alexnet_file.read_bytes()).hexdigest()
    assert lpips.source == f"alexnet.pth (sha256 {digest[:12]}), alex.pth of LPIPS v0.1"
    (metric,) = lpips.metrics
    assert (metric.name, metric.label) == ("lpips_alexnet", "LPIPS (AlexNet alexnet.pth)")
    assert digest[:12] in metric.definition
    (metric,) = with_vgg16.metrics
    assert (metric.name, metric.label) == ("lpips_vgg16", "LPIPS (VGG16 vgg16.pth)")
    published = replace(ALEXNET, published=("00000000", digest[:8]))
    monkeypatch.setattr(lpips_metric, "DOWNLOADS", {"download": published})
    assert Lpips(alexnet_file).metrics[0].label == "LPIPS (AlexNet)"


def test_safetensors(lpips, alexnet, tmp_path, draw_photo, hole):
    path = tmp_path / "größe.safetensors"
    save_file(_tensors(alexnet), path)
    pictures = [draw_photo(64, 80, seed) for seed in (1, 2)]
    assert Lpips(str(path))(*pictures, hole) == lpips(*pictures, hole)


def test_loading_leaves_the_seed_alone(alexnet_file):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    Lpips(alexnet_file)
    assert torch.equal(torch.rand(3), expected)


def test_no_such_file(tmp_path):
    _refused(tmp_path / "alexnet.pth", "no such file", "'download'", "'download-vgg16'")


@pytest.mark.parametrize("content", [b"", b"not weights\n" * 30, None], ids=["empty", "text", "cut"])
def test_a_damaged_file(alexnet_file, tmp_path, content):
    path = tmp_path / "alexnet.pth"
    path.write_bytes(alexnet_file.read_bytes()[:-1000] if content is None else content)
    _refused(path, str(path), "damaged")


def test_the_hash_in_a_name_is_checked(alexnet_file, tmp_path):
    path = tmp_path / "alexnet-owt-7be5be79.pth"
    path.write_bytes(alexnet_file.read_bytes())
    _refused(path, str(path), "7be5be79")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features.6.weight": None}, ("features.6.weight is missing", "AlexNet")),
        ({"features.8.bias": torch.full((256,), torch.nan)}, ("features.8.bias", "not finite")),
        ({"features.0.weight": None}, ("neither AlexNet nor VGG16",)),
        ({"features.0.weight": torch.zeros(96, 3, 7, 7)}, ("(96, 3, 7, 7)", "neither AlexNet nor VGG16")),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, ("VGG16",)),
    ],
)
def test_another_network_is_refused(alexnet, tmp_path, change, words):
    tensors = {name: value for name, value in {**_tensors(alexnet), **change}.items() if value is not None}
    path = _save(tmp_path / "model.pth", tensors)
    _refused(path, str(path), *words)


def test_vgg19_is_not_vgg16(vgg16, tmp_path):
    """They begin alike; VGG19 has a fourth convolution where VGG16 has the pooling."""
    tensors = _tensors(vgg16)
    moved = {name.replace("features.17.", "features.16."): tensor for name, tensor in tensors.items()}
    _refused(_save(tmp_path / "model.pth", moved), "features.17.weight is missing")


# --- The official file -----------------------------------------------------------------------------------------------


def test_the_official_addresses_name_their_hash():
    assert ALEXNET.address == "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
    assert VGG16.address == "https://download.pytorch.org/models/vgg16-397923af.pth"


@pytest.fixture
def hub(alexnet_file, tmp_path, monkeypatch) -> Path:
    """Where the official file would lie; its name has the right hash, and nobody listens at its address."""
    name = f"alexnet-{hashlib.sha256(alexnet_file.read_bytes()).hexdigest()[:8]}.pth"
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    official = replace(ALEXNET, address=f"http://127.0.0.1:{port}/{name}")
    monkeypatch.setattr(lpips_metric, "DOWNLOADS", {"download": official, "download-vgg16": VGG16})
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "checkpoints" / name


def test_a_file_that_is_there_is_used(hub, alexnet_file, lpips, draw_photo, hole):
    hub.parent.mkdir()
    hub.write_bytes(alexnet_file.read_bytes())
    pictures = [draw_photo(64, 80, seed) for seed in (1, 2)]
    assert Lpips("download")(*pictures, hole) == lpips(*pictures, hole)


def test_a_damaged_file_in_its_place(hub, alexnet_file):
    hub.parent.mkdir()
    hub.write_bytes(alexnet_file.read_bytes()[:-1])
    _refused("download", str(hub), "damaged")


def test_without_a_network_one_line_names_the_ways_out(hub):
    _refused("download", "LPIPS weights 'download'", str(hub.parent), hub.name, "path", "leave LPIPS out")
