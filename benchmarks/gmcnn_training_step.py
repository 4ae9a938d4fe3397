"""One training step of GMCNN's second phase: seconds, peak memory, where the time goes, beside a plain port's step.

    python benchmarks/gmcnn_training_step.py --json step.json --markdown step.md
    python benchmarks/gmcnn_training_step.py --quick

The step is the training loop's own, `Training._train_step` of recipe `gmcnn`: critics with gradient penalty, then the
generator with confidence L1, ID-MRF and the adversarial term. Photos are drawn by code; batches are prepared before.

Beside it stands a *plain step*, written here the way the published PyTorch ports do it: the same networks from the same
weights on the same batches, but NCHW float32, all 16 convolutions of VGG19 with trainable weights and a graph on the
photo too, ID-MRF by a patch convolution an image, the content term computed again beside the style term of the same
layer, the confidence weight by seven 65 x 65 convolutions whose kernel is made anew each time, and critics that gather
gradients in the generator's step. Like the ports it runs the generator once a step and shows the critics that fill;
ours fills a batch of its own for them. It has the gradient penalty that the ports define and never call. Its ID-MRF
compares the whole photo, as the ports do for strokes, or the hole's crop alone, as they do for rectangles.

Every variant runs in a process of its own. Those of one table take turns (turns.py). The ports' ID-MRF and VGG19 are
those of id_mrf_speed.py.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import reports
import turns
from fill_speed import draw_photo
from id_mrf_speed import published_loss
from inpaintkit.errors import InpaintError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from inpaintkit.models.system import Batch
    from inpaintkit.recipes import Recipe
    from inpaintkit.training.loop import Training

BATCHES = 6
"""Batches that are prepared and go round: as many as a step with five critic steps needs."""

PHOTOS = 8
OPERATORS = 10
PART = "part: "
"""Begins the names that this benchmark gives to stretches of a step, so that they are not taken for operators."""

KEPT = "by mallopt as in `inpaintkit train` (mmap threshold 1 GiB, trim threshold 2 GiB, top pad 64 MiB)"

PRECISIONS = {"32-true": "float32", "bf16-mixed": "bf16-mixed"}


@dataclass(frozen=True)
class Scale:
    """How large the problem is: side of the photos in px, width of generator and critics, and what is measured."""

    size: int
    width: int
    critics: int
    hole: str
    profiled_steps: int


FULL = Scale(size=256, width=32, critics=64, hole="gmcnn_rectangle_256", profiled_steps=3)
QUICK = Scale(size=80, width=8, critics=8, hole="gmcnn_rectangle", profiled_steps=1)
"""A rehearsal at the smallest size that the recipe takes in bf16-mixed; its numbers mean nothing."""


@dataclass(frozen=True)
class Variant:
    """A way to do a step. `kept`: freed memory stays with the process, as in `inpaintkit train`."""

    title: str
    way: str
    precision: str = "32-true"
    kept: bool = True


VARIANTS = {
    "float32": Variant("inpaintkit, float32", "own"),
    "bf16": Variant("inpaintkit, bf16-mixed", "own", precision="bf16-mixed"),
    "float32-default": Variant("inpaintkit, float32", "own", kept=False),
    "plain": Variant("plain step, float32, ID-MRF on the whole photo", "whole", kept=False),
    "plain-crop": Variant("plain step, float32, ID-MRF on the hole's crop", "crop", kept=False),
    "plain-kept": Variant("plain step, float32, ID-MRF on the whole photo", "whole"),
}


@dataclass(frozen=True)
class Case:
    """Variants that take turns on batches of one size. `reference`: the one that ratios are to."""

    batch: int
    n_critic: int
    variants: tuple[str, ...]
    reference: str

    @property
    def title(self) -> str:
        """As the tables call it."""
        return f"batch {self.batch}, n_critic {self.n_critic}"


CASES = {
    "batch1": Case(1, 1, ("float32", "bf16", "float32-default", "plain", "plain-crop", "plain-kept"), "plain"),
    "batch1-critics5": Case(1, 5, ("float32", "bf16"), "float32"),
    "batch4": Case(4, 1, ("float32", "bf16", "plain", "plain-crop"), "plain"),
    "batch4-critics5": Case(4, 5, ("float32", "bf16"), "float32"),
}
PROFILE = "profile"
"""The case of the command line that stands for all of PROFILED."""
PROFILED = (("32-true", 1), ("bf16-mixed", 1), ("32-true", 4), ("bf16-mixed", 4))
"""Precision and batch of the profiles, all with n_critic 1."""


# --- The step of the training loop -----------------------------------------------------------------------------------


def read_case_recipe(spec: dict[str, Any]) -> "Recipe":
    """Recipe `gmcnn` from the start of its second phase, at the spec's scale."""
    from inpaintkit.recipes import read_recipe

    scale = Scale(**spec["scale"])
    changes = {
        "generator.width": scale.width,
        "critics.width": scale.critics,
        "features.weights": spec["features"],
        "schedule.reconstruction_steps": 0,
        "schedule.n_critic": spec["n_critic"],
        "data.size": scale.size,
        "data.resize": [scale.size, scale.size * 3 // 2],
        "data.holes": json.dumps([scale.hole]),
        "training.batch": spec["batch"],
        "training.precision": spec["precision"],
    }
    return read_recipe("gmcnn", [f"{key}={value}" for key, value in changes.items()])


def draw_photos(folder: Path) -> None:
    """A few drawn photos as PNG files."""
    import cv2
    import numpy as np

    photo = draw_photo(400, 512)
    for number in range(PHOTOS):
        _, encoded = cv2.imencode(".png", np.roll(photo, 61 * number, axis=(0, 1)))
        folder.joinpath(f"{number}.png").write_bytes(encoded.tobytes())


def prepare_training(spec: dict[str, Any]) -> tuple["Training", "list[Batch]"]:
    """The run as `inpaintkit train` would begin it on the processor, and its first batches."""
    from inpaintkit.recipes.start import start_training

    with TemporaryDirectory() as folder:
        draw_photos(Path(folder))
        recipe = read_case_recipe(spec)
        training = start_training(recipe, folder, Path(folder) / "run", accelerator="cpu").training
        return training, [training.stream.batch(number) for number in range(BATCHES)]


def own_step(training: "Training", batches: "Sequence[Batch]") -> Callable[[], dict[str, float]]:
    """The loop's step, time after time; returns the losses."""
    from inpaintkit.schedule import phase_at

    endless = cycle(batches)

    def step() -> dict[str, float]:
        values = training._train_step(phase_at(training.phases, training.step).phase, endless)
        training.step += 1
        return values

    return step


# --- The plain step, written for the comparison ----------------------------------------------------------------------


def plain_step(training: "Training", batches: "Sequence[Batch]", region: str) -> Callable[[], dict[str, float]]:
    """The same losses in the ports' manner; `region` of the ID-MRF is "whole" or "crop"."""
    import torch

    from inpaintkit.models.gmcnn import local_size, signed
    from inpaintkit.tensors import crop_at, crop_corner_on_hole

    networks = {name: network.module for name, network in training.networks.items()}
    for network in networks.values():
        network.to(memory_format=torch.contiguous_format).requires_grad_(True).train()
    published = published_loss(training.frozen["features"].network)
    optimisers = {name: plain_optimiser(training, name) for name in networks}
    rng, endless = torch.Generator().manual_seed(0), cycle(batches)

    def step() -> dict[str, float]:
        image, mask, _ = next(endless)
        target = signed(image)
        weight = convolved_confidence(mask)
        top, left = crop_corner_on_hole(mask, local_size(image), rng)

        def crop(images: "Tensor") -> "Tensor":
            return crop_at(images, top, left, local_size(image))

        completed = signed(networks["generator"](image, mask).image)
        composite = completed * mask + target * (1 - mask)
        optimisers["critics"].zero_grad()
        critics_loss = plain_critics_loss(networks["critics"], target, composite.detach(), mask, crop, rng)
        critics_loss.backward()
        optimisers["critics"].step()

        optimisers["generator"].zero_grad()
        reconstruction = ((completed - target).abs() * weight).mean() / mask.mean()
        seen = (composite, target) if region == "whole" else (crop(composite), crop(target))
        id_mrf = published(*((images + 1) / 2 for images in seen))
        scores = (networks["critics"].whole(composite), networks["critics"].local(crop(composite)))
        adversarial = -(scores[0].mean() + scores[1].mean())
        (reconstruction + 0.02 * id_mrf + 0.001 * adversarial).backward()
        optimisers["generator"].step()
        named = {
            "reconstruction": reconstruction,
            "id_mrf": id_mrf,
            "adversarial": adversarial,
            "critics": critics_loss,
        }
        return {name: float(value.detach()) for name, value in named.items()}

    return step


def plain_optimiser(training: "Training", name: str) -> Any:
    """An optimiser of its own for one of the run's networks, as the recipe has it."""
    from inpaintkit.recipes import OptimiserSection
    from inpaintkit.recipes.start import OPTIMISERS

    section = OptimiserSection(**training.record["recipe"]["optimiser"][name])
    return OPTIMISERS[section.name](training.networks[name].module.parameters(), section)


def plain_critics_loss(
    critics: "nn.Module",
    target: "Tensor",
    composite: "Tensor",
    mask: "Tensor",
    crop: "Callable[[Tensor], Tensor]",
    rng: Any,
) -> "Tensor":
    """Wasserstein loss and 10 x gradient penalty in the hole, one critic after the other."""
    import torch

    total = torch.zeros(())
    for critic, view in ((critics.whole, lambda images: images), (critics.local, crop)):
        real, fake = view(target), view(composite)
        share = torch.rand(len(real), 1, 1, 1, generator=rng)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norm = ((slope * view(mask)).square().sum((1, 2, 3)) + 1e-12).sqrt()
        total = total + critic(fake).mean() - critic(real).mean() + 10 * (norm - 1).square().mean()
    return total


def convolved_confidence(mask: "Tensor") -> "Tensor":
    """The confidence weight by seven convolutions with a full Gaussian of 65 x 65 px, mirrored at the border."""
    import torch
    import torch.nn.functional as F

    known = 1 - mask
    weight = torch.zeros_like(mask)
    for _ in range(7):
        line = torch.exp(-0.5 * (torch.arange(-32.0, 33.0) / 40) ** 2)
        kernel = line[:, None] * line[None]
        spread = F.conv2d(F.pad(known, (32, 32, 32, 32), mode="reflect"), (kernel / kernel.sum())[None, None])
        weight = spread * mask
        known = weight + (1 - mask)
    return weight


# --- Where the time goes ---------------------------------------------------------------------------------------------


class Watch:
    """Names the parts of the loop's step for the profiler, from outside, and counts what must not happen.

    A part is named after the network that is being updated. Parts do not lie inside each other.
    """

    def __init__(self, training: "Training") -> None:
        self.training = training
        self.updating = ""
        self.updates: Counter[str] = Counter()
        self.feature_calls: Counter[tuple[str, str]] = Counter()
        self.critic_gradients = 0
        self.before_generator: list[float] = []
        """Shares of the generator's backward passes that were over when the completed image got its gradient."""
        self._completed_at = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A stretch of the present update."""
        from torch.profiler import record_function

        with record_function(f"{PART}{self.updating}: {name}"):
            yield

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it lasts every step is watched."""
        import torch

        from inpaintkit.models import gmcnn

        training = self.training
        functions = (
            (gmcnn, "id_mrf_loss", "ID-MRF with its gradient"),
            (gmcnn, "confidence_weight", "confidence weight"),
            (torch.autograd, "grad", "gradient penalty's inner gradient"),
            (training, "_average", "weight average"),
            *((optimiser, "step", "optimiser") for optimiser in training.optimisers.values()),
        )
        with ExitStack() as stack:
            for owner, name, part in functions:
                stack.enter_context(patch.object(owner, name, self._as_part(getattr(owner, name), part)))
            stack.enter_context(patch.object(training.fabric, "backward", self._backward(training.fabric.backward)))
            stack.enter_context(patch.object(training, "_update", self._update(training._update)))
            for network in ("generator", "critics"):
                self._hook(stack, training.networks[network], lambda inputs, name=network: f"{name} forward")
            self._hook(stack, training.frozen["features"], self._features)
            stack.callback(
                training.networks["generator"].register_forward_hook(self._await_gradient, prepend=True).remove
            )
            yield

    def _as_part(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def named(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return call(*args, **kwargs)

        return named

    def _hook(self, stack: ExitStack, module: "nn.Module", name: Callable[[tuple[Any, ...]], str]) -> None:
        """Make the module's forward pass a part."""
        parts: list[Any] = []

        def begin(module: "nn.Module", inputs: tuple[Any, ...]) -> None:
            parts.append(self.part(name(inputs)))
            parts[-1].__enter__()

        def end(module: "nn.Module", inputs: tuple[Any, ...], output: Any) -> None:
            parts.pop().__exit__(None, None, None)

        stack.callback(module.register_forward_pre_hook(begin).remove)
        stack.callback(module.register_forward_hook(end).remove)

    def _features(self, inputs: tuple[Any, ...]) -> str:
        """Which image the feature network is given: only the composite hangs on the generator."""
        image = "composite" if inputs[0].requires_grad else "target"
        self.feature_calls[self.updating, image] += 1
        return f"features forward, {image}"

    def _await_gradient(self, module: "nn.Module", inputs: tuple[Any, ...], output: Any) -> None:
        def arrived(gradient: "Tensor") -> None:
            self._completed_at = time.perf_counter()

        if output.image.requires_grad:
            output.image.register_hook(arrived)

    def _backward(self, backward: Callable[..., None]) -> Callable[..., None]:
        def named(total: "Tensor") -> None:
            started = time.perf_counter()
            with self.part("backward"):
                backward(total)
            if self.updating == "generator":
                ended = time.perf_counter()
                self.before_generator.append((self._completed_at - started) / (ended - started))

        return named

    def _update(self, update: Callable[..., dict[str, float]]) -> Callable[..., dict[str, float]]:
        """Know which network is updated, and whether the generator's update leaves gradients in the critics."""

        def known(planned: Any, *args: Any) -> dict[str, float]:
            self.updating = planned.network
            self.updates[self.updating] += 1
            values = update(planned, *args)
            if self.updating == "generator":
                critics = self.training.networks["critics"].parameters()
                self.critic_gradients += sum(parameter.grad is not None for parameter in critics)
            return values

        return known

    def checks(self) -> list[dict[str, Any]]:
        """What must hold, with what was counted over all steps watched."""
        steps, calls = self.updates["generator"], self.feature_calls
        named = {
            "generator's updates": (steps, self.updates["critics"]),  # n_critic is 1
            "features of the target, a generator's update": (1, calls["generator", "target"] / steps),
            "features of the composite, a generator's update": (1, calls["generator", "composite"] / steps),
            "features forward in all critics' updates": (0, calls["critics", "target"] + calls["critics", "composite"]),
            "critic tensors with a gradient after the generator's updates": (0, self.critic_gradients),
        }
        return [{"what": w, "expected": e, "found": f, "met": e == f} for w, (e, f) in named.items()]


def run_profile(spec: dict[str, Any]) -> dict[str, Any]:
    """Parts and operators of the loop's step in milliseconds a step, and the checks."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from inpaintkit.models.runtime import keep_freed_memory

    training, batches = prepare_training(spec)
    kept = keep_freed_memory()
    step, watch = own_step(training, batches), Watch(training)
    steps = spec["scale"]["profiled_steps"]
    step()
    with watch.watching(), profile(activities=[ProfilerActivity.CPU]) as recording:
        started = time.perf_counter()
        for _ in range(steps):
            step()
        step_ms = (time.perf_counter() - started) * 1e3 / steps
    averages = recording.key_averages()
    parts = {a.key.removeprefix(PART): a.cpu_time_total / 1e3 / steps for a in averages if a.key.startswith(PART)}
    operators = [a for a in averages if not a.is_user_annotation]
    largest = sorted(operators, key=lambda a: a.self_cpu_time_total, reverse=True)[:OPERATORS]
    return {
        "step_ms": step_ms,
        "steps": steps,
        "kept": kept,
        "torch_threads": torch.get_num_threads(),
        "parts_ms": split_backward(parts, statistics.mean(watch.before_generator)),
        "operators": [
            {"name": a.key, "calls": a.count / steps, "self_ms": a.self_cpu_time_total / 1e3 / steps} for a in largest
        ],
        "checks": watch.checks(),
    }


def split_backward(parts: dict[str, float], before: float) -> dict[str, float]:
    """The parts with the generator's backward pass cut where the completed image has its gradient."""
    found = {}
    for name, value in parts.items():
        if name == "generator: backward":
            found[f"{name}, from the losses to the completed image"] = value * before
            found[f"{name}, through the generator"] = value * (1 - before)
        else:
            found[name] = value
    return found


# --- The measured processes ------------------------------------------------------------------------------------------


def serve(spec: dict[str, Any]) -> None:
    """What a process of this script does: profile a step, or get ready by one and time steps as they are asked for."""
    answer = turns.answering()
    if spec.get("profile"):
        answer(**run_profile(spec))
        return
    training, batches = prepare_training(spec)
    import torch

    from inpaintkit.models.runtime import keep_freed_memory

    kept = spec["kept"] and keep_freed_memory()
    before = turns.peak_megabytes()
    step = own_step(training, batches) if spec["way"] == "own" else plain_step(training, batches, spec["way"])
    del training
    losses = step()
    if not all(math.isfinite(value) for value in losses.values()):
        raise InpaintError(f"the first step's losses are not all finite ({losses})")
    answer(before_mb=before, torch_threads=torch.get_num_threads(), first_losses=losses, kept=kept)
    turns.answer_turns(answer, step, untimed=0)


# --- Taking turns ----------------------------------------------------------------------------------------------------


def run_case(name: str, settings: dict[str, Any], rounds: int) -> dict[str, dict[str, Any]]:
    """All variants of one case, taking turns of one step."""
    case = CASES[name]
    common = {**settings, "batch": case.batch, "n_critic": case.n_critic}
    specs = ((each, {**common, **asdict(VARIANTS[each])}) for each in case.variants)
    starts = (turns.start(__file__, each, spec, threads=settings["threads"]) for each, spec in specs)
    with turns.all_ready(starts) as workers:
        turns.take_turns(case.title, workers, rounds, 1)
        reference = next(worker for worker in workers if worker.variant == case.reference)
        return {
            worker.variant: {
                **turns.summarise(worker, reference),
                "kept": worker.ready["kept"],
                "first_losses": worker.ready["first_losses"],
            }
            for worker in workers
        }


def profile_in_process(settings: dict[str, Any], precision: str, batch: int) -> dict[str, Any]:
    """`run_profile` in a process of its own. Raises InpaintError when it fails."""
    spec = {**settings, "precision": precision, "batch": batch, "n_critic": 1, "profile": True}
    found = turns.ask(__file__, spec, f"profiles {PRECISIONS[precision]}, batch {batch},", threads=settings["threads"])
    print(f"profile of {PRECISIONS[precision]}, batch {batch}: done", file=sys.stderr)
    return {"precision": PRECISIONS[precision], "batch": batch, **found}


# --- The report ------------------------------------------------------------------------------------------------------


def markdown(report: dict[str, Any]) -> str:
    """The report as tables a page can hold."""
    scale = report["scale"]
    measured = [*(row for rows in report["cases"].values() for row in rows.values()), *report["profiles"]]
    lines = [
        f"A step of GMCNN's second phase at {scale['size']} px, width {scale['width']}, critics {scale['critics']}; "
        f"features: {report['features']}; {report['rounds']} rounds."
        + (" A rehearsal: the numbers mean nothing." if report["quick"] else ""),
        "",
        *reports.machine_lines(report["conditions"], torch_threads=measured[0]["torch_threads"]),
        f"- freed memory kept: {KEPT}; default: the C library's own settings",
    ]
    for name, rows in report["cases"].items():
        lines += case_table(CASES[name], rows)
    if report["profiles"]:
        lines += parts_table(report["profiles"])
    for found in report["profiles"]:
        lines += operators_table(found)
    if report["profiles"]:
        lines += checks_table(report["profiles"])
    return "\n".join(lines) + "\n"


def case_table(case: Case, rows: dict[str, dict[str, Any]]) -> list[str]:
    """Seconds and memory of the variants of one case."""
    lines = [
        "",
        f"| {case.title} | freed memory | median, s | minimum, s | ratio (lowest to highest round) | ratio of minima | "
        "peak memory, MB (before the first step) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {VARIANTS[name].title} | {_allocator(row['kept'])} | {row['median_s']:.2f} | {row['min_s']:.2f} "
            f"| {row['ratio']:.2f} ({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f}) "
            f"| {row['ratio_of_minima']:.2f} | {row['peak_mb']:.0f} ({row['before_mb']:.0f}) |"
        )
    reference = VARIANTS[case.reference]
    return [*lines, "", f"Ratios are to: {reference.title}, freed memory {_allocator(rows[case.reference]['kept'])}."]


def _allocator(kept: bool) -> str:
    return "kept" if kept else "default"


def _profiled(found: dict[str, Any]) -> str:
    return f"{found['precision']}, batch {found['batch']}"


def parts_table(profiles: Sequence[dict[str, Any]]) -> list[str]:
    """Milliseconds of every part of the step and their share in it, a column a profile."""
    names = list(dict.fromkeys(name for found in profiles for name in found["parts_ms"]))
    lines = [
        "",
        "| update of the | part of a step (n_critic 1), ms | " + " | ".join(map(_profiled, profiles)) + " |",
        "|---" * (len(profiles) + 2) + "|",
    ]

    def row(title: str, values: Iterable[float]) -> str:
        shares = zip(values, profiles, strict=True)
        cells = [*title.rpartition(": ")[::2], *(f"{v:.0f} ({v / f['step_ms']:.1%})" for v, f in shares)]
        return f"| {' | '.join(cells)} |"

    lines += [row(name, [found["parts_ms"].get(name, 0.0) for found in profiles]) for name in names]
    lines.append(row("everything else", [found["step_ms"] - sum(found["parts_ms"].values()) for found in profiles]))
    lines.append(row("**the step**", [found["step_ms"] for found in profiles]))
    steps, kept = profiles[0]["steps"], _allocator(profiles[0]["kept"])
    return [*lines, "", f"Means of {steps} steps under the profiler, which slows them; freed memory {kept}."]


def operators_table(found: dict[str, Any]) -> list[str]:
    """The operators with the largest self time of one profile."""
    lines = [
        "",
        f"| operator or autograd function, {_profiled(found)} | calls a step | self time, ms | share |",
        "|---|---|---|---|",
    ]
    for row in found["operators"]:
        share = row["self_ms"] / found["step_ms"]
        lines.append(f"| `{row['name']}` | {row['calls']:.0f} | {row['self_ms']:.0f} | {share:.1%} |")
    return lines


def checks_table(profiles: Sequence[dict[str, Any]]) -> list[str]:
    """What must hold of the step, a column a profile."""
    columns = " | ".join(map(_profiled, profiles))
    lines = ["", f"| check | expected | {columns} |", "|---" * (len(profiles) + 2) + "|"]
    for rows in zip(*(found["checks"] for found in profiles), strict=True):
        cells = " | ".join(f"{row['found']:g}, {'met' if row['met'] else 'missed'}" for row in rows)
        lines.append(f"| {rows[0]['what']} | {rows[0]['expected']:g} | {cells} |")
    return lines


# --- The command -----------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    names = [*CASES, PROFILE]
    parser.add_argument("--cases", default=",".join(names), help=f"by comma, of {', '.join(names)} (default all)")
    parser.add_argument("--features", default="own", help="weights of the feature network, as the recipe names them")
    parser.add_argument("--quick", action="store_true", help="a rehearsal with tiny networks and one round")
    reports.add_turn_options(parser, rounds=5)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    given.cases = reports.chosen(parser, given.cases, "case", names)
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run what is asked for and return the report."""
    machine = turns.conditions(given.threads)  # before the first process: the load average is of others
    scale, rounds = (QUICK, 1) if given.quick else (FULL, given.rounds)
    settings = {"scale": asdict(scale), "features": given.features, "threads": given.threads}
    profiled = PROFILED if PROFILE in given.cases else ()
    return {
        "conditions": machine,
        "quick": given.quick,
        **settings,
        "rounds": rounds,
        "cases": {name: run_case(name, settings, rounds) for name in given.cases if name != PROFILE},
        "profiles": [profile_in_process(settings, precision, batch) for precision, batch in profiled],
    }


def fault(report: dict[str, Any]) -> str:
    """The checks that are missed, as one line, or nothing."""
    checks = (check for found in report["profiles"] for check in found["checks"])
    return "; ".join(
        f"{check['what']}: {check['found']:g}, expected {check['expected']:g}" for check in checks if not check["met"]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status, 1 when a check is missed."""
    return reports.run("gmcnn_training_step", parse(arguments), measure, markdown, serve=serve, fault=fault)


if __name__ == "__main__":
    raise SystemExit(main())
