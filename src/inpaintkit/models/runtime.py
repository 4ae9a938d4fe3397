"""Networks at work: a trained generator as an engine of the light side (NumPy in, NumPy out)."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UsageError, unknown_name
from ..tensors import composite, crop_back, pad_to_multiple
from .layers import fold_batch_norms
from .published import load_generator

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class TorchEngine:
    """A generator run by PyTorch: image (H, W, 3) float32 in [0, 1] and mask (H, W) bool to the composite.

    `precision`: float32, or bfloat16 for processors that have it (results differ by about 1/255). Any size from 1 x 1.
    Raises: UsageError for an unknown precision, ModelError for a weights file that cannot be used.
    """

    runtime = "torch"
    takes_batches = True

    def __init__(self, path: Path, *, precision: str = "float32", name: str | None = None) -> None:
        if precision not in PRECISIONS:
            raise UsageError(unknown_name("precision", precision, PRECISIONS))
        generator, self.description = load_generator(path)
        self.name = name or path.resolve().stem
        self.precision = precision
        self.size_multiple = int(generator.size_multiple)  # type: ignore[arg-type]
        self.working_size = int(self.description.get("working_size", self.description.get("training_size", 256)))
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        generator = fold_batch_norms(generator).to(self._device, PRECISIONS[precision])
        self._generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Fill the hole; known pixels come back bit for bit."""
        return self.fill_batch(image[None], mask[None])[0]

    def fill_batch(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """`images` (N, H, W, 3) and `masks` (N, H, W) in one run, each as `__call__` fills it."""
        with torch.inference_mode():
            x = torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2).to(self._device)
            m = torch.from_numpy(np.require(masks, requirements=["C", "W"]))[:, None].to(self._device, torch.float32)
            padded, padded_mask = pad_to_multiple(x, m, self.size_multiple)
            completed = self._generator(padded, padded_mask).image
            result = composite(x, m, crop_back(completed, *masks.shape[1:]))
            return np.ascontiguousarray(result.permute(0, 2, 3, 1).cpu().numpy())

    def describe(self) -> dict[str, Any]:
        """Name, runtime, precision, device and the weights file's own description."""
        return {
            "name": self.name,
            "runtime": self.runtime,
            "precision": self.precision,
            "device": str(self._device),
            **self.description,
        }


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed activations instead of returning them to the kernel at every layer.

    With glibc this spares hundreds of thousands of page faults a forward pass. It changes the whole process, so only
    programs call it, not the library. Returns whether it took effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    top_pad, mmap_threshold, trim_threshold = -2, -3, -1  # names in malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return all(
            mallopt(option, size)
            for option, size in ((mmap_threshold, 2**30), (trim_threshold, 2**31 - 1), (top_pad, 2**26))
        )
    except (OSError, AttributeError):
        return False
