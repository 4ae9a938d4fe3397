"""The networks by name. Every system of this package is named here, and nowhere else above the recipes."""

from collections.abc import Callable

from torch import nn

from . import glcic, unet
from .system import Batch, Completion, System

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "glcic": glcic.CompletionNetwork,
    "unet": unet.UNet,
}

SYSTEMS: dict[str, System] = {
    "glcic": glcic.SYSTEM,
    "unet": unet.SYSTEM,
}

__all__ = ["GENERATORS", "SYSTEMS", "Batch", "Completion", "System"]
