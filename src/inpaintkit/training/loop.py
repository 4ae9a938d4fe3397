"""One loop for every system: it follows the schedule, owns zero_grad, backward and step, and survives being stopped."""

import copy
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from lightning.fabric import Fabric
from torch import Tensor, nn

from ..data.samples import BatchStream
from ..errors import InpaintError, ModelError, UsageError
from ..models.published import IN_RUN, read_generator_file, save_generator
from ..models.system import Batch, Losses, Objective
from ..schedule import Phase, Update, batches_before, phase_at, total_steps
from . import checkpoint as checkpoints
from .checkpoint import Checkpoint
from .report import RunReport


@dataclass(frozen=True)
class LoopSettings:
    """The numbers of the loop itself. Steps count from the start of the schedule."""

    seed: int = 0
    ema_decay: float = 0.999
    channels_last: bool = True
    log_every: int = 50
    sample_every: int = 1000
    samples: int = 12
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2


@dataclass
class Training:
    """A run in progress: networks and their optimisers by name, the schedule, and the step reached.

    `networks["generator"]` is the network whose exponential moving average becomes the weights people use. `frozen`:
    networks that the objective uses and nothing trains. `photos_before`: photos that the initial weights had seen in
    runs before this one. `record` goes into every checkpoint as it is (recipe, versions), `description` into the
    published generator.
    """

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    phases: Sequence[Phase]
    objective: Objective
    stream: BatchStream
    settings: LoopSettings
    fabric: Fabric
    folder: Path
    record: Mapping[str, Any]
    description: Mapping[str, Any]
    frozen: Mapping[str, nn.Module] = field(default_factory=dict)
    step: int = 0
    photos_before: int = 0
    ema: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        if self.settings.channels_last:
            for network in self.networks.values():
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.networks["generator"]).eval().requires_grad_(False)
        self.ema.to(self.fabric.device)
        for name, network in self.networks.items():
            self.networks[name], self.optimisers[name] = self.fabric.setup(network, self.optimisers[name])
        self.frozen = {name: _InPrecision(network, self.fabric) for name, network in self.frozen.items()}
        self._stop: str | None = None
        self._waited_s = 0.0
        self._saved_at = self.step

    # --- state ---

    def checkpoint(self) -> Checkpoint:
        """The whole state at the present step."""
        tensors: dict[str, Tensor] = {"rng/torch": torch.get_rng_state()}
        optimisers = {}
        for name, network in self.networks.items():
            tensors |= {f"networks/{name}/{key}": value for key, value in network.state_dict().items()}
            packed, optimisers[name] = checkpoints.pack_optimiser(self.optimisers[name])
            tensors |= {f"optimisers/{name}/{key}": value for key, value in packed.items()}
        tensors |= {f"ema/{key}": value for key, value in self.ema.state_dict().items()}
        return Checkpoint(self.step, tensors, {**self.record, **self._position(), "optimisers": optimisers})

    def _position(self) -> dict[str, Any]:
        """How far the run has come."""
        return {
            "step": self.step,
            "phase": phase_at(self.phases, max(self.step - 1, 0)).phase.name,
            "photos_before": self.photos_before,
            "photos_seen": self.photos_before + batches_before(self.phases, self.step) * self.stream.settings.batch,
        }

    def restore(self, saved: Checkpoint) -> None:
        """Go on from `saved` exactly. Raises: InpaintError if it belongs to other networks."""
        try:
            for name, network in self.networks.items():
                network.load_state_dict(saved.under(f"networks/{name}"))
                checkpoints.unpack_optimiser(
                    self.optimisers[name], saved.under(f"optimisers/{name}"), saved.record["optimisers"][name]
                )
            self.ema.load_state_dict(saved.under("ema"))
        except (RuntimeError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InpaintError(
                f"the checkpoint at step {saved.step} does not fit this recipe ({reason}); "
                "resume with the recipe that wrote it or start a new --out"
            ) from error
        torch.set_rng_state(saved.tensors["rng/torch"].cpu())
        self.step = saved.step
        self.photos_before = saved.record["photos_before"]

    # --- running ---

    def run(self, *, time_limit_s: float | None = None) -> str:
        """Train to the end of the schedule, the time limit, or SIGTERM/SIGINT; returns which of these it was.

        Raises: InpaintError for a loss or gradient that is not finite, naming the step; UsageError if another process
        is writing to the folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            with lock.acquire(timeout=0):
                return self._run(time_limit_s)
        except Timeout as error:
            raise UsageError(f"{self.folder}: another training is writing there; choose another --out") from error

    def _run(self, time_limit_s: float | None) -> str:
        self._stop = None
        if self.step and not self._is_published():
            self._publish()
        end = total_steps(self.phases)
        deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
        report = RunReport(self.folder, total_steps=end, first_step=self.step, batch=self.stream.settings.batch)
        handlers = self._listen()
        batches = self.stream.batches(batches_before(self.phases, self.step))
        sums: dict[str, list[float]] = {}
        try:
            while self.step < end and self._stop is None:
                phase = phase_at(self.phases, self.step).phase
                self._waited_s = 0.0
                for name, value in self._train_step(phase, batches).items():
                    sums.setdefault(name, []).append(value)
                sums.setdefault("data_wait_s", []).append(self._waited_s)
                self.step += 1
                report.advance(self.step)
                if deadline is not None and time.monotonic() >= deadline:
                    self._stop = "time limit"
                self._write(report, phase, sums, last=self.step == end or self._stop is not None)
            if self._stop is not None and self._saved_at != self.step:  # the signal came while the step was written up
                self._save()
        finally:
            batches.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            report.close()
        return "finished" if self.step == end else self._stop or "finished"

    def _train_step(self, phase: Phase, batches: Any) -> dict[str, float]:
        """Perform the phase's updates once; returns the losses."""
        for name, network in self.networks.items():
            network.train(name in phase.trained)
        rng = torch.Generator().manual_seed(_seed_of(self.settings.seed, self.step))
        values: dict[str, float] = {}
        shared: Losses | None = None
        ahead = [u.network for u in phase.updates if u.fresh_batches == 0]
        for update in phase.updates:
            if update.fresh_batches:
                for _ in range(update.fresh_batches):
                    losses = self._losses(batches, rng)
                    values |= self._update(update, losses, {update.network})
            else:
                if shared is None:
                    shared = self._losses(batches, rng)
                # what is updated later in this step may already be run here, and must record its graph
                values |= self._update(update, shared, set(ahead))
                ahead.remove(update.network)
        return values

    def _losses(self, batches: Any, rng: torch.Generator) -> Losses:
        return self.objective({**self.networks, **self.frozen}, self._next(batches), rng)

    def _update(self, update: Update, losses: Losses, recorded: set[str]) -> dict[str, float]:
        """One optimiser step of one network. Only networks in `recorded` record gradients."""
        for name, network in self.networks.items():
            network.requires_grad_(name in recorded)
        terms = {name: losses[name]() for name in update.losses}
        total = torch.stack([update.losses[name] * term for name, term in terms.items()]).sum()
        values = {name: float(term.detach()) for name, term in terms.items()}
        with torch.no_grad():
            values |= {name: float(losses[name]()) for name in update.watched}
        if not torch.isfinite(total):
            raise self._not_finite(f"the loss is not finite ({values})")
        optimiser = self.optimisers[update.network]
        optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        gradients = [p.grad for p in self.networks[update.network].parameters() if p.grad is not None]
        if not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
            raise self._not_finite(f"the gradient of {update.network} is not finite")
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)  # gradients make room for the other networks
        if update.network == "generator":
            self._average()
        return values

    def _not_finite(self, what: str) -> InpaintError:
        saved, _ = checkpoints.newest(self.folder / "checkpoints")
        go_on = f"resume from step {saved.step}" if saved is not None else "there is no checkpoint yet: start again"
        return InpaintError(f"step {self.step}: {what}; {go_on} with a lower learning rate or in float32")

    @torch.no_grad()
    def _average(self) -> None:
        """Move the EMA towards the generator; early on it follows faster, so that it forgets the initial weights."""
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        current = self.networks["generator"].state_dict()
        for name, average in self.ema.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name], 1 - decay)
            else:
                average.copy_(current[name])

    def _next(self, batches: Any) -> Batch:
        asked = time.monotonic()
        prepared = next(batches)
        self._waited_s += time.monotonic() - asked
        batch = Batch(*(tensor.to(self.fabric.device, non_blocking=True) for tensor in prepared))
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        return Batch(*(tensor.contiguous(memory_format=layout) for tensor in batch))

    # --- stopping and writing ---

    def _listen(self) -> dict[int, Any]:
        """Turn SIGTERM and SIGINT into a clean stop after the present step."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._stop = signal.Signals(number).name

        try:
            return {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not in the main thread: whoever started this thread listens
            return {}

    def _write(self, report: RunReport, phase: Phase, sums: dict[str, list[float]], *, last: bool) -> None:
        settings = self.settings
        ahead = total_steps(self.phases) - self.step
        handed_over = ahead > 0 and phase_at(self.phases, self.step).phase is not phase
        if last or handed_over or self.step % settings.log_every == 0:
            means = {name: sum(v) / len(v) for name, v in sums.items()}
            report.scalars(self.step, phase.name, self._position()["photos_seen"], means)
            sums.clear()
            report.skipped(self.stream.photos.unreadable)
        if self.fabric.global_rank != 0:
            return
        if handed_over:
            self._write_generator(f"generator-{phase.name}.safetensors")
        if last or self.step % settings.checkpoint_every == 0:
            self._save()
        if last or self.step % settings.sample_every == 0:
            self._sheet(report)

    def _save(self) -> None:
        """The checkpoint, and beside it the generator as people use it."""
        self._saved_at = self.step
        checkpoints.save(self.folder / "checkpoints", self.checkpoint(), keep=self.settings.keep_checkpoints)
        self._publish()

    def _publish(self) -> None:
        self._write_generator(IN_RUN)

    def _write_generator(self, name: str) -> None:
        """The averaged generator as a file of its own in the run's folder."""
        description = {**self.description, **self._position()}
        save_generator(self.folder / name, self.ema.state_dict(), description, half=False)

    def _is_published(self) -> bool:
        """Whether the generator beside the checkpoints is that of this step: a kill may have come between the two."""
        try:
            return read_generator_file(self.folder)[1].get("step") == self.step
        except ModelError:
            return False

    @torch.no_grad()
    def _sheet(self, report: RunReport) -> None:
        """The EMA's fills of the first samples of the stream, always the same ones."""
        samples = [self.stream.sample(number) for number in range(self.settings.samples)]
        image = torch.stack([torch.from_numpy(s[0]).permute(2, 0, 1).float() / 255 for s in samples])
        mask = torch.stack([torch.from_numpy(s[1])[None].float() for s in samples])
        image, mask = image.to(self.fabric.device), mask.to(self.fabric.device)
        report.sheet(self.step, image, mask, self.ema(image, mask).image.float())


class _InPrecision(nn.Module):
    """A frozen network on the run's device, run in the run's precision."""

    def __init__(self, network: nn.Module, fabric: Fabric) -> None:
        super().__init__()
        self.network = fabric.to_device(network.eval().requires_grad_(False))
        self._autocast = fabric.autocast

    def forward(self, *inputs: Any) -> Any:
        with self._autocast():
            return self.network(*inputs)


def _seed_of(seed: int, step: int) -> int:
    """A seed of its own for every step, so that a resumed run draws what an unbroken one draws."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
