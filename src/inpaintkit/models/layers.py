"""What several networks share, and what is done to any network before it is only run."""

import copy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """A copy of an eval-mode network whose batch norms are folded into the convolutions before them.

    Same outputs up to rounding, one pass over memory less per layer. Only convolution and batch norm that follow each
    other in an `nn.Sequential` are folded.
    """
    folded = copy.deepcopy(module).eval()
    for parent in folded.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        children = list(parent)
        for i, (convolution, norm) in enumerate(pairwise(children)):
            if isinstance(convolution, _CONVOLUTIONS) and isinstance(norm, nn.BatchNorm2d):
                transposed = isinstance(convolution, nn.ConvTranspose2d)
                parent[i] = fuse_conv_bn_eval(convolution, norm, transpose=transposed)  # type: ignore[type-var]
                parent[i + 1] = nn.Identity()
    return folded
