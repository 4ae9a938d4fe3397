"""The networks by name. Every system of this package is named here, and nowhere else above the recipes."""

from collections.abc import Callable

from torch import nn

from . import glcic, gmcnn, unet
from .system import Batch, Completion, System

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "glcic": glcic.CompletionNetwork,
    "gmcnn": gmcnn.Generator,
    "gmcnn_fixed": gmcnn.fixed_generator,
    "unet": unet.UNet,
}

SYSTEMS: dict[str, System] = {
    "glcic": glcic.SYSTEM,
    "gmcnn": gmcnn.SYSTEM,
    "gmcnn_free_form": gmcnn.FREE_FORM_SYSTEM,
    "gmcnn_release": gmcnn.RELEASE_SYSTEM,
    "unet": unet.SYSTEM,
}

__all__ = ["GENERATORS", "SYSTEMS", "Batch", "Completion", "System"]
