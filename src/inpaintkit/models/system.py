"""What the training loop knows of a system: networks, a schedule, and losses by name. Nothing here names a paper."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..schedule import Phase


class Completion(NamedTuple):
    """A generator's raw output on the whole frame, (N, 3, H, W) in [0, 1]; `coarse` is a first stage's, if any."""

    image: Tensor
    coarse: Tensor | None = None


class Batch(NamedTuple):
    """Training photos and their holes.

    `image` (N, 3, H, W) in [0, 1]; `mask` (N, 1, H, W), 1 = missing; `reference_mask`: a second mask a sample, drawn
    independently by the same shape generator, for systems that compare real and completed photos at different places.
    """

    image: Tensor
    mask: Tensor
    reference_mask: Tensor


Losses = Mapping[str, Callable[[], Tensor]]


class Objective(Protocol):
    """Names the losses of one batch. Each is computed when called; what two of them share is computed once.

    `networks` maps the schedule's network names to modules; `rng` is seeded by the training step.
    """

    def __call__(self, networks: Mapping[str, nn.Module], batch: Batch, rng: torch.Generator) -> Losses: ...


@dataclass(frozen=True)
class System:
    """A trainable inpainting system. `parts` and `schedule` build it from a recipe's numbers.

    `parts`: network name -> builder, one of them "generator"; a builder that takes `size` is given the training
    size. `schedule`: builder of the phases. `objective`: the losses.
    """

    parts: Mapping[str, Callable[..., nn.Module]]
    schedule: Callable[..., tuple[Phase, ...]]
    objective: Objective
