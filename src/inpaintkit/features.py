"""One frozen VGG19 for every loss and metric that compares features, with taps named by what they are.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, configuration
E, up to the ReLU after conv4_2: no loss here looks deeper.
"""

import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
import torch.nn.functional as F
from filelock import FileLock
from safetensors import safe_open
from torch import Tensor, nn

from .errors import ModelError, UsageError, unknown_name
from .weights import FOLDER

# Where torchvision's `vgg19` fetches VGG19_Weights.IMAGENET1K_V1 (574,673,361 bytes with the classifier). By the
# convention of torch.hub, the digits after the dash are the first of the file's SHA-256.
IMAGENET_ADDRESS = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$")

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
CHUNK = 1 << 20
TIMEOUT_S = 30.0

Progress = Callable[[int, int | None], None]
"""Told after each piece of a download: the bytes at hand, and those of the whole file where the server says so."""


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
    elif str(weights) == "imagenet":
        path, source = _imagenet_file(progress), "imagenet"
    else:
        path, source = Path(weights).expanduser(), ""
        if not path.is_file():
            raise ModelError(
                f"feature weights '{weights}': no such file; give 'own', 'imagenet', or a .safetensors or .pth file"
            )
    digest = _checked_sha256(path)
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten; the caller's seed shall not notice
        network = FeatureNetwork()
    network.load_state_dict(_by_our_names(_read_tensors(path), network.state_dict(), path))
    network.source = source or f"{path.name} (sha256 {digest[:12]})"
    return network


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked_sha256(path: Path) -> str:
    """The file's SHA-256, compared with the digits in its name if it has any."""
    try:
        digest = _sha256(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give a file you may read") from error
    named = HASH_IN_NAME.search(path.name)
    if named and not digest.startswith(named[1]):
        raise ModelError(
            f"{path}: its SHA-256 begins with {digest[: len(named[1])]}, its name says {named[1]}: the file is damaged "
            "or another one; get it anew, or rename it if these digits are no checksum"
        )
    return digest


def _read_tensors(path: Path) -> Mapping[str, Any]:
    """What a weights file holds, by name. Neither format can run code the way it is read here."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        mapped = zipfile.is_zipfile(path)  # the old format, which the official file of 2017 has, cannot be mapped
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        if not isinstance(found, Mapping):
            raise TypeError(f"it holds a {type(found).__name__}")
        return found
    except Exception as error:  # a damaged or hostile file may raise anything
        raise ModelError(
            f"{path}: cannot be read as named tensors ({type(error).__name__}): the file is damaged, or it holds more "
            "than tensors, which is never run; give a .safetensors file, or a .pth file of a state dict"
        ) from error


def _by_our_names(tensors: Mapping[str, Any], wanted: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """A file's tensors by the names of `wanted`, each of the same shape as there; others are left out."""
    foreign = "conv1_1.weight" not in tensors
    chosen = {}
    for name, own in wanted.items():
        layer, _, part = name.partition(".")
        theirs = f"features.{IN_TORCHVISION[layer]}.{part}" if foreign else name
        tensor = tensors.get(theirs)
        if not isinstance(tensor, Tensor) or tensor.shape != own.shape or not tensor.is_floating_point():
            given = f"is {tuple(tensor.shape)} {tensor.dtype}" if isinstance(tensor, Tensor) else "is missing"
            raise ModelError(
                f"{path}: not the weights of a VGG19: {theirs} {given}, expected floats {tuple(own.shape)}; give "
                "a VGG19 without batch normalisation, named as here (conv1_1.weight) or as in torchvision"
            )
        if not tensor.isfinite().all():
            raise ModelError(f"{path}: {theirs} holds values that are not finite; get the file anew")
        chosen[name] = tensor
    return chosen


# --- The official file -----------------------------------------------------------------------------------------------


def _imagenet_file(progress: Progress | None) -> Path:
    """The official file in torch hub's folder, which other programs share; fetched if it is not there yet."""
    target = Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET_ADDRESS.rpartition("/")[2]
    if target.is_file():
        return target
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):  # of several processes that start at once, one fetches
            if not target.is_file():
                _fetch(IMAGENET_ADDRESS, partial, progress)
                _publish(partial, target)
    except (OSError, HTTPException) as error:
        raise ModelError(
            f"feature weights 'imagenet': {IMAGENET_ADDRESS} cannot be fetched to {target.parent} ("
            f"{' '.join(str(error).split()) or type(error).__name__}); try again (what has arrived is kept), give the "
            f"path of {target.name}, or use 'own'"
        ) from error
    return target


def _fetch(address: str, partial: Path, progress: Progress | None) -> None:
    """Bring the file at `address` to `partial`, going on from what is there. Raises: OSError or HTTPException."""
    there = partial.stat().st_size if partial.is_file() else 0
    headers = {"User-Agent": "inpaintkit", **({"Range": f"bytes={there}-"} if there else {})}
    try:
        answer = urlopen(Request(address, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        if there and error.code == 416:  # nothing comes after what is there: it is whole, and its hash will be checked
            return
        raise
    with answer:
        resumed = answer.status == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
            partial.unlink(missing_ok=True)
            raise OSError("the server sent another part of the file than was asked for")
        there = there if resumed else 0
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length else None
        with partial.open("ab" if resumed else "wb") as file:
            there = _copy(answer, file, there, total, progress)
    if total is not None and there < total:
        raise OSError(f"the connection ended after {there:,} of {total:,} bytes")


def _copy(answer: BinaryIO, file: BinaryIO, there: int, total: int | None, progress: Progress | None) -> int:
    """Append what the server sends; returns the bytes then at hand."""
    while piece := answer.read(CHUNK):
        file.write(piece)
        there += len(piece)
        if progress is not None:
            progress(there, total)
    return there


def _publish(partial: Path, target: Path) -> None:
    """Give a whole download its name if its hash is the one in that name; remove it otherwise. Raises: ModelError."""
    digest = _sha256(partial)
    named = HASH_IN_NAME.search(target.name)
    if named and not digest.startswith(named[1]):
        partial.unlink()
        raise ModelError(
            f"feature weights 'imagenet': the download's SHA-256 begins with {digest[: len(named[1])]}, expected "
            f"{named[1]}: it was damaged or changed on the way and is removed; try again, or use 'own'"
        )
    partial.replace(target)
