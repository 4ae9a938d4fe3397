"""What the training loop knows of a system: networks, a schedule, and losses by name. Nothing here names a paper."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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

    `networks` maps the schedule's network names, and those of the frozen networks, to modules; `rng` is seeded by the
    training step. Keyword-only arguments are numbers that a recipe's [objective] section sets.
    """

    def __call__(self, networks: Mapping[str, nn.Module], batch: Batch, rng: torch.Generator) -> Losses: ...


@dataclass(frozen=True)
class System:
    """A trainable inpainting system. Everything but `generator` is built from a recipe's numbers.

    `generator`: its network's name in GENERATORS, by which weights are read again. `parts`: network name -> builder,
    one of them "generator"; a builder that takes `size` is given the training size. `schedule`: builder of the phases.
    `objective`: the losses. `frozen`: networks that the losses use and that are never trained or saved, such as
    pretrained features; their builders are also given `progress`, told (bytes, bytes in all) of a download, and what
    they build has a `source` that says which weights it carries. `smallest_in_bfloat16`: the training size in px below
    which a strided convolution would meet a single cell; oneDNN's bfloat16 gradients of those are wrong.
    """

    generator: str
    parts: Mapping[str, Callable[..., nn.Module]]
    schedule: Callable[..., tuple[Phase, ...]]
    objective: Objective
    frozen: Mapping[str, Callable[..., nn.Module]] = field(default_factory=dict)
    smallest_in_bfloat16: int = 48
