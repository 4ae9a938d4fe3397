"""The feature network: its taps against VGG19 built layer by layer, its weights from files and from a local server."""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from inpaintkit import features, pretrained
from inpaintkit.errors import InpaintError, ModelError, UsageError
from inpaintkit.features import CONVOLUTIONS, TAPS, FeatureNetwork, load_features

# torchvision's order, as its documentation prints it: a number is a convolution with its ReLU, M a max pooling.
PUBLISHED = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512)


@pytest.fixture(scope="module")
def published() -> nn.Sequential:
    """torchvision's `vgg19().features[:23]` with made-up weights that keep the signal's size from layer to layer."""
    rng = torch.Generator().manual_seed(3)
    layers: list[nn.Module] = []
    inside = 3
    for entry in PUBLISHED:
        if isinstance(entry, str):
            layers.append(nn.MaxPool2d(2, 2))
            continue
        convolution = nn.Conv2d(inside, entry, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=rng)
        nn.init.normal_(convolution.bias, std=0.1, generator=rng)
        layers += [convolution, nn.ReLU()]
        inside = entry
    return nn.Sequential(*layers).requires_grad_(False).half().float()  # exact in the files, which are stored so


@pytest.fixture(scope="module")
def official(published) -> "OrderedDict[str, Tensor]":
    """What the official file holds: the needed layers, later ones and the classifier (here of toy size, and halved)."""
    tensors = OrderedDict((f"features.{name}", tensor.half()) for name, tensor in published.state_dict().items())
    tensors["features.23.weight"] = torch.full((2, 2, 3, 3), torch.nan)
    tensors["classifier.0.weight"] = torch.zeros(2, 2)
    tensors["classifier.0.bias"] = torch.zeros(2)
    return tensors


@pytest.fixture(scope="module")
def pth(official, tmp_path_factory) -> Path:
    """The official layout in the format of 2017, in which the official file is."""
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    torch.save(official, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="module")
def network(pth) -> FeatureNetwork:
    return load_features(pth)


def _image(height: int = 24, width: int = 32, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(5))


def _normalised(image: Tensor) -> Tensor:
    channels = zip(image.unbind(1), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], 1)


def _assert_close(given: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    assert given.shape == expected.shape
    assert (given.double() - expected.double()).abs().max() <= tolerance * expected.double().abs().max()


def _refused(call: Callable[[], object], *words: str, error: type[InpaintError] = ModelError) -> None:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# --- The network -----------------------------------------------------------------------------------------------------


def test_parameters_and_names():
    network = FeatureNetwork()
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_865_536
    layers = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4", "4_1", "4_2")
    assert list(network.state_dict()) == [f"conv{layer}.{part}" for layer in layers for part in ("weight", "bias")]


@pytest.mark.parametrize(("tap", "index"), list(zip(TAPS, (1, 3, 6, 8, 11, 13, 15, 17, 20, 22), strict=True)))
def test_a_tap_is_the_layer_of_its_name(network, published, tap, index):
    assert isinstance(published[index], nn.ReLU)
    image = _image()
    _assert_close(network(image, [tap])[tap], published[: index + 1](_normalised(image)))


@pytest.mark.parametrize(("tap", "index"), [("relu3_2", 11), ("relu4_2", 20)])
def test_the_default_taps_are_not_the_first_relus_of_their_blocks(network, published, tap, index):
    """The published PyTorch code calls these layers relu3_2 and relu4_2: its counter moves at every ReLU too."""
    image = _image()
    ours, theirs = network(image)[tap], published[: index + 1](_normalised(image))
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().mean() > 0.1 * theirs.mean()


def test_the_default_taps(network):
    found = network(_image(64, 32))
    assert {tap: tuple(tensor.shape) for tap, tensor in found.items()} == {
        "relu3_2": (2, 256, 16, 8),
        "relu4_2": (2, 512, 8, 4),
    }


@pytest.mark.parametrize(("mean", "std"), [(True, False), (False, True)])
def test_the_mean_is_subtracted_and_the_deviation_divides(network, published, mean, std):
    image = _image()
    wrong = image - image.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) if mean else image
    wrong = wrong / wrong.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) if std else wrong
    found, expected = network(image, ["relu1_1"])["relu1_1"], published[:2](wrong)
    assert (found - expected).abs().mean() > 0.1 * expected.mean()


def test_all_taps_at_once_are_those_asked_for_one_by_one(network):
    """What has been tapped is not overwritten by the layers behind it."""
    image = _image()
    together = network(image, TAPS)
    assert set(together) == set(TAPS)
    for tap in TAPS:
        assert torch.equal(together[tap], network(image, [tap])[tap])


def test_nothing_behind_the_last_tap_is_computed(network):
    reached = []
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: reached.append(name))
        for name in CONVOLUTIONS
    ]
    network(_image(), ("relu3_2", "relu1_1"))
    for hook in hooks:
        hook.remove()
    assert reached == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2"]


def test_no_tap_asks_for_nothing(network):
    assert network(_image(), ()) == {}


def test_the_image_is_not_changed(network):
    image = _image()
    network(image)
    assert torch.equal(image, _image())


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (33, 47)])
def test_odd_sizes(network, published, size):
    image = _image(*size)
    _assert_close(network(image)["relu4_2"], published(_normalised(image)))


def test_an_unknown_tap_lists_the_valid_ones(network):
    _refused(lambda: network(_image(), ["relu3_2", "relu3_5"]), "'relu3_5'", *TAPS, error=UsageError)
    _refused(lambda: network(_image(), ["conv3_2"]), "'conv3_2'", error=UsageError)


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (torch.rand(3, 32, 32), "(3, 32, 32)"),
        (torch.rand(1, 1, 32, 32), "(1, 1, 32, 32)"),
        (torch.rand(1, 3, 7, 32), "8 or more"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "uint8"),
    ],
)
def test_what_is_no_image_is_refused(network, image, word):
    _refused(lambda: network(image), word, "(N, 3, H, W)", error=UsageError)


def test_a_shallow_tap_takes_a_smaller_image(network):
    assert network(_image(4, 5), ["relu3_1"])["relu3_1"].shape == (2, 256, 1, 1)


# --- Gradients and precision -----------------------------------------------------------------------------------------


def test_gradients_reach_the_image_and_not_the_weights(network, published):
    image, twin = _image().requires_grad_(), _image().requires_grad_()
    found = network(image)
    (found["relu3_2"].square().mean() + found["relu4_2"].square().mean()).backward()
    (published[:14](_normalised(twin)).square().mean() + published(_normalised(twin)).square().mean()).backward()
    assert twin.grad.abs().amax() > 0
    _assert_close(image.grad, twin.grad)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_targets_have_no_graph(network):
    with torch.no_grad():
        under_no_grad = network(_image().requires_grad_())
    for tensor in (*under_no_grad.values(), *network(_image()).values()):
        assert tensor.grad_fn is None
        assert not tensor.requires_grad


@pytest.mark.parametrize("build", [FeatureNetwork, lambda: load_features(features.OWN)])
def test_it_stays_frozen_and_in_eval(build, monkeypatch, tmp_path, official):
    monkeypatch.setattr(features, "OWN", _safetensors(tmp_path / "own.safetensors", _by_our_names(official)))
    frozen = build()
    around = nn.Sequential(frozen, nn.Dropout()).train()
    assert frozen.train() is frozen
    assert around[1].training
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_bfloat16_autocast(network):
    image = _image()
    with torch.autocast("cpu", torch.bfloat16):
        found = network(image)
    for tap, expected in network(image).items():
        assert found[tap].dtype == torch.bfloat16
        _assert_close(found[tap], expected, 0.05)


def test_the_image_is_cast_to_the_weights(network, pth):
    half = load_features(pth).bfloat16()
    for tap, expected in network(_image()).items():
        found = half(_image())[tap]
        assert found.dtype == torch.bfloat16
        _assert_close(found, expected, 0.05)
    assert network(_image().half())["relu4_2"].dtype == torch.float32


def test_channels_last(network, pth):
    other = load_features(pth).to(memory_format=torch.channels_last)
    image = _image().contiguous(memory_format=torch.channels_last)
    for tap, expected in network(image).items():
        found = other(image)[tap]
        assert found.is_contiguous(memory_format=torch.channels_last)
        _assert_close(found, expected)


# --- Weights from files ----------------------------------------------------------------------------------------------


def _by_our_names(official: dict[str, Tensor]) -> dict[str, Tensor]:
    indices = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21)
    return {
        f"{name}.{part}": official[f"features.{index}.{part}"]
        for name, index in zip(CONVOLUTIONS, indices, strict=True)
        for part in ("weight", "bias")
    }


def _safetensors(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(tensors, path, {"inpaintkit": json.dumps({"licence": "CC0"})})
    return path


def _same_weights(given: nn.Module, expected: nn.Module) -> None:
    theirs = expected.state_dict()
    for name, tensor in given.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, theirs[name])


def test_source_names_the_file_and_its_hash(network, pth):
    digest = hashlib.sha256(pth.read_bytes()).hexdigest()
    assert network.source == f"vgg19.pth (sha256 {digest[:12]})"
    assert FeatureNetwork().source == "untrained"


def test_a_mapped_file_is_the_same_network(network, official, tmp_path):
    path = tmp_path / "größe.pth"
    torch.save(official, path)
    _same_weights(load_features(str(path)), network)


def test_parameters_count_as_tensors(network, official, tmp_path):
    path = tmp_path / "model.pth"
    torch.save(OrderedDict((name, nn.Parameter(tensor)) for name, tensor in official.items()), path)
    loaded = load_features(path)
    _same_weights(loaded, network)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("names", ["ours", "torchvision"])
def test_safetensors(network, official, tmp_path, names):
    tensors = _by_our_names(official) if names == "ours" else dict(official)
    loaded = load_features(_safetensors(tmp_path / "vgg.safetensors", tensors))
    _same_weights(loaded, network)
    assert loaded.source.startswith("vgg.safetensors (sha256 ")


def test_own(network, official, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "OWN", _safetensors(tmp_path / "features.safetensors", _by_our_names(official)))
    loaded = load_features()
    _same_weights(loaded, network)
    assert loaded.source == "own"


def test_own_missing_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "OWN", tmp_path / "features.safetensors")
    _refused(load_features, "light wheel", "repository", "'imagenet'", "path")


def test_loading_leaves_the_seed_alone(pth):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    load_features(pth)
    assert torch.equal(torch.rand(3), expected)


def test_the_hash_in_a_name_is_checked(network, pth, tmp_path):
    content = pth.read_bytes()
    right = tmp_path / f"vgg19-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    right.write_bytes(content)
    _same_weights(load_features(right), network)
    wrong = tmp_path / "vgg19-0123abcd.pth"
    wrong.write_bytes(content)
    _refused(lambda: load_features(wrong), str(wrong), "0123abcd", right.stem[-8:], "rename")
    assert wrong.read_bytes() == content


class _Code:
    """An object that writes a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Callable, tuple]:
        return open, (str(self.victim), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(official, tmp_path, zipped):
    victim, path = tmp_path / "victim", tmp_path / "model.pth"
    torch.save({**official, "extra": _Code(victim)}, path, _use_new_zipfile_serialization=zipped)
    _refused(lambda: load_features(path), str(path), "never run")
    assert not victim.exists()
    torch.load(path, weights_only=False)["extra"].close()
    assert victim.exists()  # the file was indeed dangerous


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights\n" * 30, None], ids=["empty", "text", "cut"])
def test_a_damaged_file_is_refused(official, tmp_path, suffix, content):
    path = tmp_path / f"model{suffix}"
    if content is None:
        torch.save(official, path) if suffix == ".pth" else _safetensors(path, _by_our_names(official))
        content = path.read_bytes()[:-1000]
    path.write_bytes(content)
    _refused(lambda: load_features(path), str(path), "cannot be read")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features.16.weight": None}, ("features.16.weight is missing",)),
        (
            {"features.5.weight": torch.zeros(128, 64, 5, 5)},
            ("features.5.weight", "(128, 64, 5, 5)", "(128, 64, 3, 3)"),
        ),
        ({"features.0.bias": torch.zeros(64, dtype=torch.int32)}, ("features.0.bias", "int32")),
        ({"features.0.bias": [0.0] * 64}, ("features.0.bias",)),
        ({"features.2.bias": torch.full((64,), torch.inf)}, ("features.2.bias", "not finite")),
    ],
)
def test_another_network_is_refused(official, tmp_path, change, words):
    path = tmp_path / "model.pth"
    torch.save({name: value for name, value in {**official, **change}.items() if value is not None}, path)
    _refused(lambda: load_features(path), str(path), *words)


def test_something_else_than_a_state_dict_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    torch.save([torch.zeros(2)], path)
    _refused(lambda: load_features(path), str(path), "state dict")


@pytest.mark.parametrize("weights", ["owl", "", "missing/vgg19.pth"])
def test_no_such_file(weights):
    _refused(lambda: load_features(weights), f"'{weights}'", "'own'", "'imagenet'", ".safetensors")


# --- The official file -----------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """Serves one file. `ranges`: whether it honours Range; `stop_after`: bytes after which it hangs up."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.ranges = True
        self.shift = 0  # by how much a partial answer is not the one asked for
        self.stop_after: int | None = None
        self.asked: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        content, first = self.server.content, 0
        if asked and self.server.ranges:
            first = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) + self.server.shift
            if first >= len(content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first : self.server.stop_after])

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(pth) -> Iterator[_Server]:
    with _Server(pth.read_bytes()) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hub(server, tmp_path, monkeypatch) -> Path:
    """Where the official file is to come to rest; its address is the local server's, its name has the right hash."""
    name = f"vgg19-{hashlib.sha256(server.content).hexdigest()[:8]}.pth"
    monkeypatch.setattr(features, "IMAGENET_ADDRESS", f"http://127.0.0.1:{server.server_port}/models/{name}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "hub" / "checkpoints" / name


def _partial(target: Path, content: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.with_name(f"{target.name}.partial")
    path.write_bytes(content)
    return path


def _left(target: Path) -> set[str]:
    """What lies in the folder, empty lock files aside."""
    return {path.name for path in target.parent.iterdir() if path.suffix != ".lock"}


def test_the_official_address_names_its_hash():
    assert features.IMAGENET_ADDRESS == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    assert pretrained.HASH_IN_NAME.search(features.IMAGENET_ADDRESS)[1] == "dcbb9e9d"


def test_a_whole_download(network, server, hub):
    told = []
    loaded = load_features("imagenet", progress=lambda done, total: told.append((done, total)))
    _same_weights(loaded, network)
    assert loaded.source == "imagenet"
    assert _left(hub) == {hub.name}
    assert server.asked == [None]
    size = len(server.content)
    assert told == sorted(told)
    assert len(told) > 3
    assert told[-1] == (size, size)


def test_a_file_that_is_there_is_used(network, server, hub):
    hub.parent.mkdir(parents=True)
    hub.write_bytes(server.content)
    _same_weights(load_features("imagenet"), network)
    assert server.asked == []
    assert list(hub.parent.iterdir()) == [hub]  # nothing is written beside it: the folder may be another's


def test_a_broken_download_goes_on_where_it_stopped(network, server, hub):
    size = len(server.content)
    server.stop_after = size // 2
    _refused(lambda: load_features("imagenet"), f"{size // 2:,} of {size:,} bytes", "try again", "'own'")
    assert _left(hub) == {f"{hub.name}.partial"}
    server.stop_after = None
    told = []
    _same_weights(load_features("imagenet", progress=lambda *state: told.append(state)), network)
    assert server.asked == [None, f"bytes={size // 2}-"]
    assert told[0][0] > size // 2
    assert told[-1] == (size, size)
    assert _left(hub) == {hub.name}


def test_a_server_without_ranges_starts_again(network, server, hub):
    server.ranges = False
    _partial(hub, b"old" * 1000)
    told = []
    _same_weights(load_features("imagenet", progress=lambda *state: told.append(state)), network)
    assert told[-1] == (len(server.content), len(server.content))
    assert server.asked == ["bytes=3000-"]
    assert hub.read_bytes() == server.content


def test_another_part_than_asked_for_is_not_appended(network, server, hub):
    server.shift = 5
    partial = _partial(hub, server.content[:1000])
    _refused(lambda: load_features("imagenet"), "another part")
    assert not partial.exists()
    _same_weights(load_features("imagenet"), network)


def test_a_whole_partial_file_is_only_checked(network, server, hub):
    _partial(hub, server.content)
    _same_weights(load_features("imagenet"), network)
    assert server.asked == [f"bytes={len(server.content)}-"]


@pytest.mark.parametrize("partial", [b"", b"another beginning"])
def test_a_download_with_a_wrong_hash_is_refused_and_removed(network, server, hub, partial):
    right = server.content
    if partial:
        _partial(hub, partial)
    else:
        server.content = right[:-1] + bytes([right[-1] ^ 1])
    _refused(lambda: load_features("imagenet"), hub.stem[-8:], "try again", "'own'")
    assert _left(hub) == set()
    server.content = right
    _same_weights(load_features("imagenet"), network)


def test_a_wrong_file_of_the_user_is_refused_and_kept(server, hub):
    hub.parent.mkdir(parents=True)
    hub.write_bytes(b"another program is still writing this")
    _refused(lambda: load_features("imagenet"), str(hub), hub.stem[-8:])
    assert hub.read_bytes() == b"another program is still writing this"
    assert server.asked == []


def test_without_a_network_one_line_names_the_ways_out(hub, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as closed:
        port = closed.server_port
    address = f"http://127.0.0.1:{port}/{hub.name}"
    monkeypatch.setattr(features, "IMAGENET_ADDRESS", address)
    _refused(lambda: load_features("imagenet"), address, str(hub.parent), "path", "'own'")
    assert _left(hub) == set()


def test_a_file_that_is_not_on_the_server(hub, server, monkeypatch):
    monkeypatch.setattr(_Handler, "do_GET", lambda self: self.send_error(404))
    _refused(lambda: load_features("imagenet"), "404", "'own'")


def test_a_folder_that_cannot_be_made(hub, server):
    hub.parents[1].write_text("a file where the folder should be")
    _refused(lambda: load_features("imagenet"), str(hub.parent), "'own'")
    assert server.asked == []


def test_of_two_at_once_one_fetches(network, server, hub):
    with ThreadPoolExecutor(2) as pool:
        for loaded in pool.map(load_features, ["imagenet"] * 2):
            _same_weights(loaded, network)
    assert server.asked == [None]
