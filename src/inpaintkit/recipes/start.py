"""From a checked recipe to a run: builds the networks, optimisers and data, and loads what the run goes on from."""

import json
import logging
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning.fabric import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from .. import __version__
from ..data.photos import open_photos
from ..data.samples import BatchStream, SampleSettings
from ..errors import ModelError, UsageError
from ..masks import SHAPES
from ..models import SYSTEMS
from ..models.published import layer_of, load_matching, read_generator_file
from ..schedule import batches_before, total_steps
from ..training import checkpoint as checkpoints
from ..training.loop import LoopSettings, Training
from ..training.precision import Bfloat16Autocast
from ..training.report import DownloadBar
from . import OptimiserSection, Recipe

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adadelta": lambda parameters, o: torch.optim.Adadelta(parameters, lr=o.lr, rho=o.rho, eps=o.eps or 1e-6),
    "adam": lambda parameters, o: torch.optim.Adam(parameters, lr=o.lr, betas=o.betas, eps=o.eps or 1e-8),
}


@dataclass(frozen=True)
class Beginning:
    """Where a run starts: a training ready to run, and lines that say what was loaded and what was not."""

    training: Training
    notes: tuple[str, ...]


def start_training(
    recipe: Recipe,
    data: str,
    out: Path,
    *,
    resume: bool = False,
    init_from: str | None = None,
    go_on: bool = False,
    accelerator: str = "auto",
    threads: int | None = None,
) -> Beginning:
    """Build a run from a recipe.

    `resume`: go on from the newest readable checkpoint in `out`. `init_from`: a run's folder or a weights file whose
    networks are the start; the schedule starts anew, or with `go_on` at the step stored there with fresh optimisers.

    Raises: InpaintError for data, weights or a folder that cannot be used.
    """
    if go_on and not init_from:
        raise UsageError("--continue without --init-from: name the weights or run to continue from")
    if resume and init_from:
        raise UsageError("--resume and --init-from exclude each other: a resumed run already has its weights")
    saved, notes = _newest(out, resume)
    cv2.setNumThreads(1)  # the threads that prepare batches are parallel already
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(recipe.training.seed)
    system = SYSTEMS[recipe.system]
    networks = {name: build(**recipe.part_arguments(name)) for name, build in system.parts.items()}
    frozen = {name: load(**recipe.frozen[name], progress=DownloadBar(name)) for name, load in system.frozen.items()}
    step = photos_before = 0
    if init_from:
        step, photos_before, found = _initialise(networks, recipe, Path(init_from), go_on)
        notes += found
    stream = _stream(recipe, data)
    training = Training(
        networks=networks,
        optimisers={n: _optimiser(network, recipe.optimiser[n]) for n, network in networks.items()},
        phases=recipe.phases(),
        frozen=frozen,
        objective=partial(system.objective, **recipe.objective),
        stream=stream,
        settings=_loop_settings(recipe),
        fabric=_fabric(recipe, accelerator),
        folder=out,
        record=_record(recipe) | _sources(frozen) | {"data": stream.photos.identity()},
        description=_description(recipe) | _sources(frozen),
        step=step,
        photos_before=photos_before,
    )
    if saved is not None:
        training.restore(saved)
        notes.append(f"resumed at step {saved.step}")
        notes += _changed_since(saved.record, training.record, frozen)
    return Beginning(training, tuple(notes))


def _changed_since(before: Mapping[str, Any], now: Mapping[str, Any], frozen: Mapping[str, nn.Module]) -> list[str]:
    """What a resumed run has not kept: recipe, frozen networks, photos; a line each."""
    notes = []
    changed = _changes(before["recipe"], now["recipe"])
    if changed:
        notes.append(f"the recipe is not the one this run began with: {'; '.join(changed)}")
    changed = _changes({name: before.get(name) for name in frozen}, {name: now[name] for name in frozen})
    if changed:
        notes.append(f"the frozen networks are not those this run began with: {'; '.join(changed)}")
    if before.get("data") != now["data"]:
        notes.append("the photos are not those this run began with: their order is another from here on")
    return notes


def _newest(out: Path, resume: bool) -> tuple[checkpoints.Checkpoint | None, list[str]]:
    saved, refused = checkpoints.newest(out / "checkpoints")
    if saved is not None and not resume:
        raise UsageError(f"{out}: holds a run at step {saved.step}; go on with --resume or choose another --out")
    if resume and saved is None and refused:
        raise ModelError(
            f"{out}: none of its checkpoints can be read ({refused[0]}); restore one or choose another --out"
        )
    if resume and saved is None:
        refused.append(f"{out}: no checkpoint to resume; starting at step 0")
    return saved, refused


def _initialise(
    networks: Mapping[str, nn.Module], recipe: Recipe, source: Path, go_on: bool
) -> tuple[int, int, list[str]]:
    """Load what fits from a run or a weights file; returns the step to start at, the photos that the weights had seen
    beyond that step's own, and what was left out."""
    if source.is_dir():
        saved, refused = checkpoints.newest(source / "checkpoints")
        if saved is None:
            raise ModelError(f"{source}: no readable checkpoint; give a run's folder or a .safetensors file")
        tensors = {name: saved.under(f"networks/{name}") for name in networks} | {"generator": saved.under("ema")}
        step, notes = saved.step, list(refused)
        trained = saved.record["recipe"]["system"]
        model = SYSTEMS[trained].generator if trained in SYSTEMS else trained
        seen = int(saved.record["photos_seen"])
    else:
        generator, description = read_generator_file(source)
        tensors, model, notes = {"generator": generator}, description.get("model"), []
        step, seen = int(description.get("step", 0)), int(description.get("photos_seen", 0))
    wanted = SYSTEMS[recipe.system].generator
    if model != wanted:
        raise ModelError(f"{source}: weights of {model}, but the recipe trains {wanted}; give weights of the same")
    last = total_steps(recipe.phases())
    if go_on and step >= last:
        raise UsageError(
            f"{source}: at step {step} already, and the schedule ends at {last}; raise its steps to continue"
        )
    for name, network in networks.items():
        left = load_matching(network, tensors.get(name, {}))
        if left:
            layers = ", ".join(dict.fromkeys(map(layer_of, left)))
            if len(left) == len(network.state_dict()):
                layers = "all of them"
            notes.append(f"{name}: layers that do not fit {source.name} start anew: {layers}")
        unused = tensors.get(name, {}).keys() - network.state_dict().keys()
        if unused:
            layers = ", ".join(dict.fromkeys(map(layer_of, sorted(unused))))
            notes.append(f"{name}: layers of {source.name} that this network does not have: {layers}")
    if not go_on:
        return 0, seen, notes
    return step, max(0, seen - batches_before(recipe.phases(), step) * recipe.training.batch), notes


def _optimiser(network: nn.Module, section: OptimiserSection) -> torch.optim.Optimizer:
    return OPTIMISERS[section.name](network.parameters(), section)


def _stream(recipe: Recipe, data: str) -> BatchStream:
    section = recipe.data
    photos = open_photos(data, short_side=section.resize[1], cache_bytes=round(section.cache_gb * 2**30))
    settings = SampleSettings(
        size=section.size,
        resize_min=section.resize[0],
        resize_max=section.resize[1],
        flip=section.flip,
        shapes=tuple(SHAPES[name] for name in section.holes),
        batch=recipe.training.batch,
        seed=recipe.training.seed,
    )
    return BatchStream(photos, settings, workers=section.workers)


def _loop_settings(recipe: Recipe) -> LoopSettings:
    t = recipe.training
    return LoopSettings(
        seed=t.seed,
        ema_decay=t.ema_decay,
        channels_last=t.channels_last,
        log_every=t.log_every,
        sample_every=t.sample_every,
        samples=t.samples,
        checkpoint_every=t.checkpoint_every,
        keep_checkpoints=t.keep_checkpoints,
    )


def _fabric(recipe: Recipe, accelerator: str) -> Fabric:
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it announces the precision that the recipe names
    mixed = [Bfloat16Autocast()] if recipe.training.precision == "bf16-mixed" else []
    try:
        fabric = Fabric(accelerator=accelerator, devices=1, plugins=list(mixed))
    except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        raise UsageError(
            f"--accelerator {accelerator}: not to be had here; auto and cpu always are, cuda and mps where there is one"
        ) from error
    for precision in mixed:
        precision.device_type = fabric.device.type
    return fabric


def _record(recipe: Recipe) -> dict[str, Any]:
    """What every checkpoint says about where it comes from."""
    versions = {"inpaintkit": __version__, "torch": torch.__version__, "python": platform.python_version()}
    return {"recipe": recipe.plain(), "recipe_sha256": recipe.sha256, "versions": versions}


def _sources(frozen: Mapping[str, nn.Module]) -> dict[str, str]:
    """Which weights the frozen networks carry."""
    return {name: str(network.source) for name, network in frozen.items()}


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], section: str = "") -> list[str]:
    """Every value of a recipe that is not what it was, as 'training.batch 16 -> 8'."""
    changed = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changed += _changes(old, new, f"{section}{key}.")
        elif json.loads(json.dumps(old)) != json.loads(json.dumps(new)):
            changed.append(f"{section}{key} {old} -> {new}")
    return changed


def _description(recipe: Recipe) -> dict[str, Any]:
    """How to build the generator, and what it learned from; the loop adds how far it came."""
    return {
        "model": SYSTEMS[recipe.system].generator,
        "arguments": recipe.part_arguments("generator"),
        "recipe_sha256": recipe.sha256,
        "training_size": recipe.data.size,
        "holes": list(recipe.data.holes),
        "version": __version__,
    }
