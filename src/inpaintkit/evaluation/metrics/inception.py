"""The Inception network that FID and KID are defined with: not torchvision's, though its layers have the same names.

Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture for Computer Vision", 2015, as
Google's graph of 2015-12-05 has it, in which Heusel et al. 2017 defined FID; pytorch-fid carried its weights over to
PyTorch. It differs from the network that torchvision calls by the same name: other weights, for 1,008 classes; average
pooling does not count the zeros of the padding; the last block takes the largest value where the others average.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...pretrained import Progress, checked_sha256, chosen_tensors, find_weights, read_tensors

# 95,628,359 bytes, weights of float32 with the classifier.
ADDRESS = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
PUBLISHED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
FEATURES = 2048
CLASSES = 1008
SIDE = 299


class ConvolutionUnit(nn.Module):
    """A convolution without bias, batch normalisation by fixed statistics, ReLU."""

    def __init__(
        self, inside: int, outside: int, kernel: tuple[int, int], stride: int = 1, padding: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=0.001)

    def forward(self, features: Tensor) -> Tensor:
        """The unit's result (N, outside, h, w)."""
        return F.relu(self.bn(self.conv(features)), inplace=True)


class Layer(NamedTuple):
    """One unit of a branch: its name in the weights file, channels out, kernel (height, width)."""

    name: str
    outside: int
    kernel: tuple[int, int]


class Branch(NamedTuple):
    """Units one after the other; the `fork` then looks at their result side by side."""

    chain: tuple[Layer, ...]
    fork: tuple[Layer, ...] = ()


average_pool = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
max_pool = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
halving_pool = partial(F.max_pool2d, kernel_size=3, stride=2)


class Mixed(nn.Module):
    """Branches over the same features and a pooling, their results stacked in this order.

    Units keep the size. In a block that halves it (`pooled` is 0: the pooling has no unit behind it), the last unit of
    every branch has stride 2 and no padding.
    """

    def __init__(self, inside: int, branches: Sequence[Branch], pool: "partial[Tensor]", pooled: int = 0) -> None:
        super().__init__()
        self.branches = branches
        self.pool = pool
        for branch in branches:
            width = inside
            for layer in branch.chain:
                halves = not pooled and layer is branch.chain[-1]
                self.add_module(layer.name, _unit(width, layer, halves=halves))
                width = layer.outside
            for layer in branch.fork:
                self.add_module(layer.name, _unit(width, layer))
        self.branch_pool = ConvolutionUnit(inside, pooled, (1, 1)) if pooled else None

    def forward(self, features: Tensor) -> Tensor:
        """The stacked results (N, C, h, w), the pooling's last."""
        found = []
        for branch in self.branches:
            result = features
            for layer in branch.chain:
                result = self.get_submodule(layer.name)(result)
            found += [self.get_submodule(layer.name)(result) for layer in branch.fork] or [result]
        pooled = self.pool(features)
        found.append(pooled if self.branch_pool is None else self.branch_pool(pooled))
        return torch.cat(found, 1)


def _unit(inside: int, layer: Layer, *, halves: bool = False) -> ConvolutionUnit:
    height, width = layer.kernel
    padding = (0, 0) if halves else (height // 2, width // 2)
    return ConvolutionUnit(inside, layer.outside, layer.kernel, 2 if halves else 1, padding)


def _chain(name: str, *layers: tuple[int, tuple[int, int]]) -> Branch:
    """A branch whose units are called NAME_1, NAME_2, ..., or NAME alone if it is one."""
    if len(layers) == 1:
        return Branch((Layer(name, *layers[0]),))
    return Branch(tuple(Layer(f"{name}_{i}", *layer) for i, layer in enumerate(layers, 1)))


def _block_35(inside: int, pooled: int) -> Mixed:
    """At 35 x 35: 1 x 1, 5 x 5, two 3 x 3. Source: Szegedy et al. 2015, Fig. 5 (the 5 x 5 stays one convolution)."""
    return Mixed(
        inside,
        (
            _chain("branch1x1", (64, (1, 1))),
            _chain("branch5x5", (48, (1, 1)), (64, (5, 5))),
            _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
        ),
        average_pool,
        pooled,
    )


def _to_17() -> Mixed:
    """From 35 x 35 to 17 x 17. Source: Szegedy et al. 2015, Fig. 10."""
    return Mixed(
        288,
        (
            _chain("branch3x3", (384, (3, 3))),
            _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
        ),
        halving_pool,
    )


def _block_17(narrow: int) -> Mixed:
    """At 17 x 17: rows and columns of 7, `narrow` channels inside. Source: Szegedy et al. 2015, Fig. 6."""
    row, column = (1, 7), (7, 1)
    return Mixed(
        768,
        (
            _chain("branch1x1", (192, (1, 1))),
            _chain("branch7x7", (narrow, (1, 1)), (narrow, row), (192, column)),
            _chain("branch7x7dbl", (narrow, (1, 1)), (narrow, column), (narrow, row), (narrow, column), (192, row)),
        ),
        average_pool,
        192,
    )


def _to_8() -> Mixed:
    """From 17 x 17 to 8 x 8."""
    return Mixed(
        768,
        (
            _chain("branch3x3", (192, (1, 1)), (320, (3, 3))),
            _chain("branch7x7x3", (192, (1, 1)), (192, (1, 7)), (192, (7, 1)), (192, (3, 3))),
        ),
        halving_pool,
    )


def _block_8(inside: int, pool: "partial[Tensor]") -> Mixed:
    """At 8 x 8: rows and columns of 3 side by side. Source: Szegedy et al. 2015, Fig. 7."""

    def forked(name: str, last: int, *chain: Layer) -> Branch:
        row, column = Layer(f"{name}_{last}a", 384, (1, 3)), Layer(f"{name}_{last}b", 384, (3, 1))
        return Branch(chain, (row, column))

    return Mixed(
        inside,
        (
            _chain("branch1x1", (320, (1, 1))),
            forked("branch3x3", 2, Layer("branch3x3_1", 384, (1, 1))),
            forked("branch3x3dbl", 3, Layer("branch3x3dbl_1", 448, (1, 1)), Layer("branch3x3dbl_2", 384, (3, 3))),
        ),
        pool,
        192,
    )


class FidInception(nn.Module):
    """Inception from the picture to its pooled features, without the classifier: 21,785,568 parameters.

    Frozen and in eval mode, whatever `train` says. Tensors bear the names of the published file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvolutionUnit(3, 32, (3, 3), 2)
        self.Conv2d_2a_3x3 = ConvolutionUnit(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = ConvolutionUnit(32, 64, (3, 3), padding=(1, 1))
        self.Conv2d_3b_1x1 = ConvolutionUnit(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = ConvolutionUnit(80, 192, (3, 3))
        self.Mixed_5b = _block_35(192, 32)
        self.Mixed_5c = _block_35(256, 64)
        self.Mixed_5d = _block_35(288, 64)
        self.Mixed_6a = _to_17()
        self.Mixed_6b = _block_17(128)
        self.Mixed_6c = _block_17(160)
        self.Mixed_6d = _block_17(160)
        self.Mixed_6e = _block_17(192)
        self.Mixed_7a = _to_8()
        self.Mixed_7b = _block_8(1280, average_pool)
        self.Mixed_7c = _block_8(2048, max_pool)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FidInception":
        """Stays in eval mode: the statistics of the normalisation are part of the measure."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Features (N, 2048) of RGB in [0, 1], (N, 3, H, W): the mean over the last block's 8 x 8 places.

        The picture is brought to 299 x 299 whatever its shape, linearly between pixels and without a filter against
        aliasing, and to [-1, 1], both as in pytorch-fid.
        """
        features = 2 * F.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False) - 1
        for name, layer in self.named_children():
            features = layer(features)
            if name in {"Conv2d_2b_3x3", "Conv2d_4a_3x3"}:
                features = halving_pool(features)
        return features.mean((2, 3))


def load_inception(
    weights: str | Path = "download", *, progress: Progress | None = None
) -> tuple[FidInception, str, bool]:
    """The network with weights, what they are called ("FILE (sha256 ...)"), and whether they are the published ones.

    `weights`: "download" for pytorch-fid's file, taken from torch hub's folder of checkpoints or fetched into it; or a
    .pth or .safetensors file with its names.

    Raises: ModelError when the weights are missing, damaged or of another network, torchvision's Inception included.
    """
    path = find_weights(
        weights,
        {"download": ADDRESS},
        what="Inception weights",
        otherwise="leave FID and KID out",
        expected=f"{ADDRESS.rpartition('/')[2]} as pytorch-fid publishes it, or 'download'",
        progress=progress,
    )
    digest = checked_sha256(path)
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten; the caller's seed shall not notice
        network = FidInception()
    wanted = network.state_dict()
    counters = {name: tensor for name, tensor in wanted.items() if name.endswith("num_batches_tracked")}
    shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items() if name not in counters}
    # torchvision's Inception has the same names and shapes up to the classifier, which tells them apart.
    shapes |= {"fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}
    chosen = chosen_tensors(
        read_tensors(path),
        shapes,
        path,
        network="the Inception of FID",
        expected=f"the file that pytorch-fid publishes, for {CLASSES:,} classes; torchvision's is another network",
    )
    del chosen["fc.weight"], chosen["fc.bias"]
    network.load_state_dict({**counters, **chosen})
    return network, f"{path.name} (sha256 {digest[:12]})", digest == PUBLISHED_SHA256
