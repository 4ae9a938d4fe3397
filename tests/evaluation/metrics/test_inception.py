"""The Inception of FID: names and shapes as published, the forward pass written down a second time, its weights."""

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintkit.errors import ModelError
from inpaintkit.evaluation.metrics import inception
from inpaintkit.evaluation.metrics.distribution import InceptionFeatures
from inpaintkit.evaluation.metrics.inception import FidInception, load_inception

ROW, COLUMN = (1, 7), (7, 1)


def _published() -> Iterator[tuple[str, int, int, tuple[int, int]]]:
    """Name, channels in and out and kernel of every unit, as torchvision and pytorch-fid's patches of it have them."""
    yield "Conv2d_1a_3x3", 3, 32, (3, 3)
    yield "Conv2d_2a_3x3", 32, 32, (3, 3)
    yield "Conv2d_2b_3x3", 32, 64, (3, 3)
    yield "Conv2d_3b_1x1", 64, 80, (1, 1)
    yield "Conv2d_4a_3x3", 80, 192, (3, 3)
    for name, inside, pooled in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        yield f"Mixed_{name}.branch1x1", inside, 64, (1, 1)
        yield f"Mixed_{name}.branch5x5_1", inside, 48, (1, 1)
        yield f"Mixed_{name}.branch5x5_2", 48, 64, (5, 5)
        yield f"Mixed_{name}.branch3x3dbl_1", inside, 64, (1, 1)
        yield f"Mixed_{name}.branch3x3dbl_2", 64, 96, (3, 3)
        yield f"Mixed_{name}.branch3x3dbl_3", 96, 96, (3, 3)
        yield f"Mixed_{name}.branch_pool", inside, pooled, (1, 1)
    yield "Mixed_6a.branch3x3", 288, 384, (3, 3)
    yield "Mixed_6a.branch3x3dbl_1", 288, 64, (1, 1)
    yield "Mixed_6a.branch3x3dbl_2", 64, 96, (3, 3)
    yield "Mixed_6a.branch3x3dbl_3", 96, 96, (3, 3)
    for name, narrow in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        yield f"Mixed_{name}.branch1x1", 768, 192, (1, 1)
        yield f"Mixed_{name}.branch7x7_1", 768, narrow, (1, 1)
        yield f"Mixed_{name}.branch7x7_2", narrow, narrow, ROW
        yield f"Mixed_{name}.branch7x7_3", narrow, 192, COLUMN
        yield f"Mixed_{name}.branch7x7dbl_1", 768, narrow, (1, 1)
        yield f"Mixed_{name}.branch7x7dbl_2", narrow, narrow, COLUMN
        yield f"Mixed_{name}.branch7x7dbl_3", narrow, narrow, ROW
        yield f"Mixed_{name}.branch7x7dbl_4", narrow, narrow, COLUMN
        yield f"Mixed_{name}.branch7x7dbl_5", narrow, 192, ROW
        yield f"Mixed_{name}.branch_pool", 768, 192, (1, 1)
    yield "Mixed_7a.branch3x3_1", 768, 192, (1, 1)
    yield "Mixed_7a.branch3x3_2", 192, 320, (3, 3)
    yield "Mixed_7a.branch7x7x3_1", 768, 192, (1, 1)
    yield "Mixed_7a.branch7x7x3_2", 192, 192, ROW
    yield "Mixed_7a.branch7x7x3_3", 192, 192, COLUMN
    yield "Mixed_7a.branch7x7x3_4", 192, 192, (3, 3)
    for name, inside in (("7b", 1280), ("7c", 2048)):
        yield f"Mixed_{name}.branch1x1", inside, 320, (1, 1)
        yield f"Mixed_{name}.branch3x3_1", inside, 384, (1, 1)
        yield f"Mixed_{name}.branch3x3_2a", 384, 384, (1, 3)
        yield f"Mixed_{name}.branch3x3_2b", 384, 384, (3, 1)
        yield f"Mixed_{name}.branch3x3dbl_1", inside, 448, (1, 1)
        yield f"Mixed_{name}.branch3x3dbl_2", 448, 384, (3, 3)
        yield f"Mixed_{name}.branch3x3dbl_3a", 384, 384, (1, 3)
        yield f"Mixed_{name}.branch3x3dbl_3b", 384, 384, (3, 1)
        yield f"Mixed_{name}.branch_pool", inside, 192, (1, 1)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """The published file's tensors with made-up values that keep the signal's size, in half precision."""
    rng = torch.Generator().manual_seed(7)
    found = {}
    for name, inside, outside, kernel in _published():
        scale = (2 / (inside * kernel[0] * kernel[1])) ** 0.5
        found[f"{name}.conv.weight"] = torch.randn(outside, inside, *kernel, generator=rng) * scale
        found[f"{name}.bn.weight"] = 0.8 + 0.4 * torch.rand(outside, generator=rng)
        found[f"{name}.bn.bias"] = 0.2 * torch.randn(outside, generator=rng)
        found[f"{name}.bn.running_mean"] = 0.2 * torch.randn(outside, generator=rng)
        found[f"{name}.bn.running_var"] = 0.8 + 0.4 * torch.rand(outside, generator=rng)
    found["fc.weight"], found["fc.bias"] = torch.zeros(1008, 2048), torch.zeros(1008)
    return {name: tensor.half() for name, tensor in found.items()}


@pytest.fixture(scope="module")
def weights(tensors, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(tensors, path)
    return path


@pytest.fixture(scope="module")
def features(weights) -> InceptionFeatures:
    return InceptionFeatures(weights)


class _Reference:
    """The network once more, block by block, straight from the tensors. The two quirks can be switched off."""

    def __init__(self, tensors: dict[str, Tensor], *, count_padding: bool = False, average_last: bool = False) -> None:
        self.tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self.count_padding, self.average_last = count_padding, average_last

    def unit(self, x: Tensor, name: str, stride: int = 1, padding: int | tuple[int, int] = 0) -> Tensor:
        t = self.tensors
        x = F.conv2d(x, t[f"{name}.conv.weight"], stride=stride, padding=padding)
        mean, variance = t[f"{name}.bn.running_mean"], t[f"{name}.bn.running_var"]
        return F.relu(F.batch_norm(x, mean, variance, t[f"{name}.bn.weight"], t[f"{name}.bn.bias"], eps=1e-3))

    def average(self, x: Tensor) -> Tensor:
        total = F.avg_pool2d(x, 3, 1, 1) * 9
        return total / (9 if self.count_padding else F.avg_pool2d(torch.ones_like(x), 3, 1, 1) * 9)

    def block_a(self, x: Tensor, b: str) -> Tensor:
        five = self.unit(self.unit(x, f"{b}.branch5x5_1"), f"{b}.branch5x5_2", padding=2)
        three = self.unit(self.unit(x, f"{b}.branch3x3dbl_1"), f"{b}.branch3x3dbl_2", padding=1)
        three = self.unit(three, f"{b}.branch3x3dbl_3", padding=1)
        pool = self.unit(self.average(x), f"{b}.branch_pool")
        return torch.cat([self.unit(x, f"{b}.branch1x1"), five, three, pool], 1)

    def block_b(self, x: Tensor, b: str) -> Tensor:
        three = self.unit(self.unit(x, f"{b}.branch3x3dbl_1"), f"{b}.branch3x3dbl_2", padding=1)
        three = self.unit(three, f"{b}.branch3x3dbl_3", 2)
        return torch.cat([self.unit(x, f"{b}.branch3x3", 2), three, F.max_pool2d(x, 3, 2)], 1)

    def block_c(self, x: Tensor, b: str) -> Tensor:
        row, column = (0, 3), (3, 0)
        single = self.unit(self.unit(x, f"{b}.branch7x7_1"), f"{b}.branch7x7_2", padding=row)
        single = self.unit(single, f"{b}.branch7x7_3", padding=column)
        double = self.unit(x, f"{b}.branch7x7dbl_1")
        for i, padding in enumerate((column, row, column, row), 2):
            double = self.unit(double, f"{b}.branch7x7dbl_{i}", padding=padding)
        pool = self.unit(self.average(x), f"{b}.branch_pool")
        return torch.cat([self.unit(x, f"{b}.branch1x1"), single, double, pool], 1)

    def block_d(self, x: Tensor, b: str) -> Tensor:
        three = self.unit(self.unit(x, f"{b}.branch3x3_1"), f"{b}.branch3x3_2", 2)
        seven = self.unit(self.unit(x, f"{b}.branch7x7x3_1"), f"{b}.branch7x7x3_2", padding=(0, 3))
        seven = self.unit(self.unit(seven, f"{b}.branch7x7x3_3", padding=(3, 0)), f"{b}.branch7x7x3_4", 2)
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)

    def block_e(self, x: Tensor, b: str) -> Tensor:
        single = self.unit(x, f"{b}.branch3x3_1")
        double = self.unit(self.unit(x, f"{b}.branch3x3dbl_1"), f"{b}.branch3x3dbl_2", padding=1)
        largest = b == "Mixed_7c" and not self.average_last
        pool = F.max_pool2d(x, 3, 1, 1) if largest else self.average(x)
        return torch.cat(
            [
                self.unit(x, f"{b}.branch1x1"),
                self.unit(single, f"{b}.branch3x3_2a", padding=(0, 1)),
                self.unit(single, f"{b}.branch3x3_2b", padding=(1, 0)),
                self.unit(double, f"{b}.branch3x3dbl_3a", padding=(0, 1)),
                self.unit(double, f"{b}.branch3x3dbl_3b", padding=(1, 0)),
                self.unit(pool, f"{b}.branch_pool"),
            ],
            1,
        )

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        x = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
        x = F.interpolate(x, (299, 299), mode="bilinear", antialias=False)
        x = self.unit(self.unit(x, "Conv2d_1a_3x3", 2), "Conv2d_2a_3x3")
        x = F.max_pool2d(self.unit(x, "Conv2d_2b_3x3", padding=1), 3, 2)
        x = F.max_pool2d(self.unit(self.unit(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
        assert x.shape[1:] == (192, 35, 35)
        for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self.block_a(x, name)
        x = self.block_b(x, "Mixed_6a")
        assert x.shape[1:] == (768, 17, 17)
        for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self.block_c(x, name)
        x = self.block_e(self.block_e(self.block_d(x, "Mixed_7a"), "Mixed_7b"), "Mixed_7c")
        assert x.shape[1:] == (2048, 8, 8)
        return x.mean((2, 3))[0].numpy()


def _refused(weights: str | Path, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_inception(weights)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# --- The network -----------------------------------------------------------------------------------------------------


def test_names_shapes_and_parameters():
    """torchvision documents 27,161,264 parameters, of which the two classifiers have 5,375,696."""
    network = FidInception()
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    expected = {}
    for name, inside, outside, kernel in _published():
        expected[f"{name}.conv.weight"] = (outside, inside, *kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{name}.bn.{part}"] = (outside,)
    assert shapes == expected
    assert len(expected) == 94 * 5
    second_classifier = 768 * 128 + 2 * 128 + 128 * 768 * 25 + 2 * 768 + 768 * 1000 + 1000
    classifier = 2048 * 1000 + 1000
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 27_161_264 - second_classifier - classifier == 21_785_568


def test_the_same_features_as_the_network_written_down_again(features, tensors, draw_photo):
    pixels = draw_photo(256, 256, 1)
    found, expected = features(pixels), _Reference(tensors)(pixels)
    assert found.shape == (2048,)
    assert found.dtype == np.float32
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < 1e-4 * scale
    for quirk in ("count_padding", "average_last"):
        other = _Reference(tensors, **{quirk: True})(pixels)
        assert np.abs(found - other).max() > 1e-2 * scale


def test_a_wide_picture_is_squeezed_into_the_square(features, tensors, draw_photo):
    pixels = draw_photo(90, 400, 2)
    pixels.flags.writeable = False
    expected = _Reference(tensors)(pixels)
    assert np.abs(features(pixels) - expected).max() < 1e-4 * np.abs(expected).max()


def test_it_stays_frozen_and_in_eval():
    network = FidInception()
    assert network.train() is network
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


# --- Weights ---------------------------------------------------------------------------------------------------------


def test_the_column_names_the_network(features, weights, monkeypatch):
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    source = f"inception.pth (sha256 {digest[:12]})"
    assert features.source == source
    assert [metric.label for metric in features.metrics] == [f"FID (Inception {source})", f"KID (Inception {source})"]
    monkeypatch.setattr(inception, "PUBLISHED_SHA256", digest)
    assert [metric.label for metric in InceptionFeatures(weights).metrics] == [
        "FID (Inception 2015)",
        "KID (Inception 2015)",
    ]


def test_counters_in_a_file_do_not_matter(tensors, tmp_path):
    path = tmp_path / "inception.pth"
    counters = {f"{name}.bn.num_batches_tracked": torch.tensor(0) for name, *_ in _published()}
    torch.save({**tensors, **counters}, path)
    network, _, published = load_inception(path)
    assert not published
    assert torch.equal(network.Mixed_7c.branch1x1.bn.running_var, tensors["Mixed_7c.branch1x1.bn.running_var"].float())


def test_loading_leaves_the_seed_alone(weights):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    load_inception(weights)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, ("1,008 classes", "torchvision")),
        ({"fc.weight": None, "fc.bias": None}, ("fc.weight is missing", "torchvision")),
        ({"Mixed_6c.branch7x7_2.conv.weight": None}, ("Mixed_6c.branch7x7_2.conv.weight is missing",)),
        ({"Mixed_5b.branch1x1.bn.bias": torch.full((64,), torch.inf)}, ("Mixed_5b.branch1x1.bn.bias", "not finite")),
    ],
)
def test_another_network_is_refused(tensors, tmp_path, change, words):
    """torchvision's Inception has the same names, and the same shapes up to its 1,000 classes."""
    path = tmp_path / "inception.pth"
    torch.save({name: value for name, value in {**tensors, **change}.items() if value is not None}, path)
    _refused(path, str(path), *words)


@pytest.mark.parametrize("content", [b"", b"not weights\n" * 30, None], ids=["empty", "text", "cut"])
def test_a_damaged_file(weights, tmp_path, content):
    path = tmp_path / "inception.pth"
    path.write_bytes(weights.read_bytes()[:-1000] if content is None else content)
    _refused(path, str(path), "damaged")


def test_no_such_file(tmp_path):
    _refused(tmp_path / "inception.pth", "no such file", "pt_inception-2015-12-05-6726825d.pth", "'download'")


def test_the_published_file():
    assert inception.ADDRESS == (
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
    )
    assert inception.PUBLISHED_SHA256 == "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


@pytest.fixture
def hub(weights, tmp_path, monkeypatch) -> Path:
    """Where the published file would lie; its name has the right hash, and nobody listens at its address."""
    name = f"inception-{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}.pth"
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    monkeypatch.setattr(inception, "ADDRESS", f"http://127.0.0.1:{port}/{name}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "checkpoints" / name


def test_a_file_that_is_there_is_used(hub, weights):
    hub.parent.mkdir()
    hub.write_bytes(weights.read_bytes())
    assert load_inception("download")[1].startswith(f"{hub.name} (sha256 ")


def test_a_damaged_file_in_its_place(hub, weights):
    hub.parent.mkdir()
    hub.write_bytes(weights.read_bytes()[:-1])
    _refused("download", str(hub), "damaged")


def test_without_a_network_one_line_names_the_ways_out(hub):
    _refused("download", "Inception weights", str(hub.parent), hub.name, "path", "leave FID and KID out")
