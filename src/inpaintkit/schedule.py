"""What a training step updates, as data: a schedule is a list of phases, and the phase is a function of the step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .errors import UsageError


@dataclass(frozen=True)
class Update:
    """One optimiser step within a training step: which network moves, and the weighted losses that move it.

    `fresh_batches` = 0: one step on the training step's own batch, shared with the other updates. n > 0: n steps,
    each on a batch that nothing else sees (the n_critic of Wasserstein critics). `watched`: quantities of the
    objective that are logged beside the losses and move nothing.
    """

    network: str
    losses: Mapping[str, float]
    fresh_batches: int = 0
    watched: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phase:
    """A stretch of training: `steps` steps that each perform `updates` in order. Other networks are frozen, in eval."""

    name: str
    steps: int
    updates: tuple[Update, ...]

    @property
    def batches_per_step(self) -> int:
        """Batches that one step consumes: the shared one, if any update uses it, and every fresh one."""
        shared = any(update.fresh_batches == 0 for update in self.updates)
        return int(shared) + sum(update.fresh_batches for update in self.updates)

    @property
    def trained(self) -> frozenset[str]:
        """Names of the networks that this phase updates."""
        return frozenset(update.network for update in self.updates)


class PhaseAt(NamedTuple):
    """Where a step lies: its phase, that phase's number in the schedule (from 0), and the steps done within it."""

    phase: Phase
    number: int
    step_in_phase: int


def total_steps(phases: Sequence[Phase]) -> int:
    """Steps of the whole schedule."""
    return sum(phase.steps for phase in phases)


def phase_at(phases: Sequence[Phase], step: int) -> PhaseAt:
    """The phase of training step `step` (the first step is 0).

    Raises: UsageError for a step outside the schedule.
    """
    first = 0
    for number, phase in enumerate(phases):
        if first <= step < first + phase.steps:
            return PhaseAt(phase, number, step - first)
        first += phase.steps
    raise UsageError(f"step {step}: the schedule has steps 0 to {first - 1}; raise a phase's steps to train longer")


def batches_before(phases: Sequence[Phase], step: int) -> int:
    """Batches consumed by all steps before `step`: the data position, so that resuming needs no saved reader state."""
    consumed = 0
    for phase in phases:
        done = min(max(step, 0), phase.steps)
        consumed += done * phase.batches_per_step
        step -= phase.steps
    return consumed
