"""Mixed precision as the loop needs it: networks run in bfloat16, everything around them stays float32."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from lightning.fabric.plugins import Precision
from lightning.fabric.utilities.apply_func import apply_to_collection
from torch import Tensor


class Bfloat16Autocast(Precision):
    """Fabric's bf16-mixed without its guard on backward, which only loss scaling needs.

    Gradient penalties ask a critic for gradients in the middle of a loss. bfloat16 has float32's range, so nothing has
    to be scaled, and such gradients are as good outside Fabric's own backward as inside it.
    """

    precision = "bf16-mixed"  # type: ignore[assignment]

    def __init__(self, device_type: str = "cpu") -> None:
        self.device_type = device_type

    def forward_context(self) -> AbstractContextManager[Any]:
        """Autocast to bfloat16 on the run's kind of device."""
        return torch.autocast(self.device_type, dtype=torch.bfloat16)

    def convert_output(self, data: Any) -> Any:
        """Floating-point tensors in float32, as losses want them."""
        return apply_to_collection(data, Tensor, lambda t: t.float() if t.is_floating_point() else t)
