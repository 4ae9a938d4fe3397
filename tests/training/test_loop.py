"""The loop: what each phase moves, how it stops, and that an interrupted run ends as an unbroken one."""

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from inpaintkit import models
from inpaintkit.data.photos import open_photos
from inpaintkit.data.samples import BatchStream, SampleSettings
from inpaintkit.errors import InpaintError, RecipeError, UsageError
from inpaintkit.masks import SHAPES
from inpaintkit.models import Completion
from inpaintkit.models.published import load_generator, read_generator_file
from inpaintkit.recipes import read_recipe
from inpaintkit.recipes.start import start_training
from inpaintkit.schedule import Phase, Update, batches_before, total_steps
from inpaintkit.training.checkpoint import Checkpoint, load, newest
from inpaintkit.training.loop import LoopSettings, Training
from inpaintkit.training.report import RunReport

State = dict[str, Tensor]


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def one_thread():
    """Toy networks have nothing to share out."""
    with _threads(1):
        yield


@pytest.fixture
def two_threads(one_thread):
    """For the promise of equal bits, which holds for one number of threads, and is harder to keep for two."""
    with _threads(2):
        yield


@pytest.fixture
def begin(photo_folder, tiny_overrides):
    """(recipe, out, *overrides, **options) -> a Training of the shipped recipe at toy size."""

    def start(recipe: str, out: Path, *overrides: str, **options: Any) -> Training:
        checked = read_recipe(recipe, [*tiny_overrides[recipe], *overrides])
        return start_training(checked, str(photo_folder), out, accelerator="cpu", **options).training

    return start


def _state(module: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _states(training: Training) -> dict[str, State]:
    return {name: _state(network) for name, network in training.networks.items()} | {"ema": _state(training.ema)}


def _same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _assert_same(first: Checkpoint, second: Checkpoint) -> None:
    """All tensors bit for bit, and the record but for what tells of the process."""
    assert first.tensors.keys() == second.tensors.keys()
    different = [name for name, tensor in first.tensors.items() if not torch.equal(tensor, second.tensors[name])]
    assert different == []
    assert first.record == second.record


def _log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.joinpath("log.jsonl").read_text(encoding="utf-8").splitlines()]


# --- what a phase moves ---


@pytest.mark.parametrize(("steps", "moved"), [((2, 0, 0), "generator"), ((0, 2, 0), "discriminators")])
def test_a_phase_of_one_network_leaves_the_other_as_it_was_statistics_included(begin, tmp_path, steps, moved):
    names = ("completion", "discriminator", "joint")
    training = begin("glcic", tmp_path, *(f"schedule.{n}_steps={s}" for n, s in zip(names, steps, strict=True)))
    before = _states(training)
    assert training.run() == "finished"
    after = _states(training)
    frozen = {"generator": "discriminators", "discriminators": "generator"}[moved]
    assert _same(before[frozen], after[frozen])  # running means and counters of its batch norms too
    assert not _same(before[moved], after[moved])
    assert _same(before["ema"], after["ema"]) == (moved == "discriminators")
    stayed = {name for name in before[moved] if torch.equal(before[moved][name], after[moved][name])}
    assert {name for name in stayed if not name.endswith("0.bias")} == set()  # a batch norm takes the bias out again


def test_the_joint_phase_moves_both(begin, tmp_path):
    training = begin("glcic", tmp_path, "schedule.completion_steps=0", "schedule.discriminator_steps=0")
    before = _states(training)
    training.run()
    after = _states(training)
    assert [name for name in before if _same(before[name], after[name])] == []


def test_the_completion_network_is_in_eval_in_the_second_phase_only(begin, tmp_path):
    training = begin("glcic", tmp_path)
    modes: dict[str, list[tuple[int, bool]]] = {"generator": [], "discriminators": []}
    for name, network in training.networks.items():
        norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
        norm.register_forward_hook(lambda m, *_, name=name: modes[name].append((training.step, m.training)))
    training.run()
    # 4 steps alone, 3 with the discriminators learning from it, 4 together
    assert sorted(set(modes["generator"])) == [(step, not 4 <= step < 7) for step in range(11)]
    assert sorted(set(modes["discriminators"])) == [(step, True) for step in range(4, 11)]


def test_in_a_joint_step_the_discriminators_move_first_and_neither_leaves_gradients_in_the_other(begin, tmp_path):
    training = begin("glcic", tmp_path, "schedule.completion_steps=0", "schedule.discriminator_steps=0")
    events: list[tuple[str, dict[str, State]]] = []

    def gradients() -> dict[str, State]:
        return {
            name: {key: p.grad.clone() for key, p in network.named_parameters() if p.grad is not None}
            for name, network in training.networks.items()
        }

    for name, optimiser in training.optimisers.items():
        optimiser.optimizer.register_step_pre_hook(lambda *_, name=name: events.append((name, gradients())))
    training.run()
    assert [name for name, _ in events] == ["discriminators", "generator"] * 4
    other = {"generator": "discriminators", "discriminators": "generator"}
    assert all(grads[other[name]] == {} for name, grads in events)  # with the generator's graph recorded all the while
    sizes = {name: len(list(network.parameters())) for name, network in training.networks.items()}
    assert all(len(grads[name]) == sizes[name] for name, grads in events)


def test_alpha_does_not_touch_the_discriminators(begin, tmp_path):
    joint = ("schedule.completion_steps=0", "schedule.discriminator_steps=0", "schedule.joint_steps=1")
    finished = []
    for alpha in ("0.0004", "100.0"):
        training = begin("glcic", tmp_path / alpha, *joint, f"schedule.alpha={alpha}")
        training.run()
        finished.append(_states(training))
    first, second = (states["discriminators"] for states in finished)
    assert all(torch.equal(first[name], second[name]) for name in first if name.endswith(("weight", "bias")))
    assert not _same(finished[0]["generator"], finished[1]["generator"])


def test_with_alpha_0_the_generator_learns_as_if_alone(begin, tmp_path):
    joint = begin(
        "glcic", tmp_path / "a", "schedule.completion_steps=0", "schedule.discriminator_steps=0", "schedule.alpha=0.0"
    )
    alone = begin(
        "glcic", tmp_path / "b", "schedule.discriminator_steps=0", "schedule.joint_steps=0", "training.seed=0"
    )
    joint.run()
    alone.run()
    for name, tensor in _state(joint.networks["generator"]).items():
        torch.testing.assert_close(tensor, alone.networks["generator"].state_dict()[name], rtol=1e-4, atol=1e-6)


# --- toys whose every number is known ---


class _Dot(nn.Module):
    """A generator that paints one colour, with a batch norm's statistics beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Parameter(torch.full((1, 3, 1, 1), 0.5))
        self.norm = nn.BatchNorm2d(3, affine=False)

    def forward(self, image: Tensor, mask: Tensor) -> Completion:
        self.norm(image)
        return Completion(self.colour.expand_as(image))


class _Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((1, 2, 3)) * self.weight


def _toy(
    photo_folder: Path, out: Path, phases, objective, frozen=None, precision="32-true", **settings: Any
) -> Training:
    photos = open_photos(str(photo_folder))
    samples = SampleSettings(32, 32, 40, True, (SHAPES["rectangle"],), batch=2, seed=3)
    networks: dict[str, nn.Module] = {"generator": _Dot(), "judge": _Judge()}
    return Training(
        networks=networks,
        optimisers={name: torch.optim.SGD(network.parameters(), lr=0.1) for name, network in networks.items()},
        phases=phases,
        objective=objective,
        stream=BatchStream(photos, samples),
        settings=LoopSettings(**{"log_every": 1, "samples": 1, "checkpoint_every": 1, **settings}),
        fabric=Fabric(accelerator="cpu", devices=1, precision=precision),
        folder=out,
        record={"recipe": "toy"},
        description={"model": "toy", "arguments": {}},
        frozen=frozen or {},
    )


GENERATE, CRITICISE = Update("generator", {"bright": 1.0}), Update("judge", {"grow": 1.0}, fresh_batches=3)
ALONE = (Phase("alone", 6, (GENERATE,)),)


def _bright(networks, batch, rng):
    return {
        "bright": lambda: networks["generator"](batch.image, batch.mask).image.mean(dim=None),
        "grow": lambda: -networks["judge"](batch.image).mean(),
    }


def test_losses_are_weighted_summed_and_logged_unweighted(photo_folder, tmp_path):
    def objective(networks, batch, rng):
        colour = networks["generator"](batch.image, batch.mask).image
        return {"a": colour.mean, "b": lambda: colour.square().mean()}

    phases = (Phase("one", 1, (Update("generator", {"a": 2.0, "b": 0.5}),)),)
    training = _toy(photo_folder, tmp_path, phases, objective)
    training.run()
    # each of three colours: d/dc of 2 mean(c) + 0.5 mean(c^2) is (2 + c) / 3
    expected = 0.5 - 0.1 * (2 + 0.5) / 3
    assert training.networks["generator"].state_dict()["colour"].flatten().tolist() == pytest.approx([expected] * 3)
    (record,) = _log(tmp_path)
    assert (record["step"], record["phase"], record["a"], record["b"]) == (1, "one", 0.5, 0.25)
    assert {"steps_per_s", "photos_per_s", "time"} <= record.keys()


def test_fresh_batches_are_the_critics_own_and_nothing_is_seen_twice(photo_folder, tmp_path):
    seen: list[Tensor] = []

    def objective(networks, batch, rng):
        seen.append(batch.image)
        return _bright(networks, batch, rng)

    phases = (Phase("warm", 1, (GENERATE,)), Phase("wgan", 2, (CRITICISE, GENERATE)))
    training = _toy(photo_folder, tmp_path, phases, objective)
    training.run()
    assert len(seen) == batches_before(phases, 3) == 9
    stream = training.stream
    assert all(torch.equal(image, stream.batch(number).image) for number, image in enumerate(seen))
    assert training.networks["judge"].state_dict()["weight"] != 1


def test_a_resumed_run_goes_on_at_its_place_in_the_data(photo_folder, tmp_path):
    phases = (Phase("warm", 2, (GENERATE,)), Phase("wgan", 3, (CRITICISE, GENERATE)))
    seen: list[Tensor] = []

    def objective(networks, batch, rng):
        seen.append(batch.image)
        return _bright(networks, batch, rng)

    for _ in range(5):  # a step a run
        training = _toy(photo_folder, tmp_path, phases, objective)
        saved, _ = newest(tmp_path / "checkpoints")
        if saved:
            training.restore(saved)
        training.run(time_limit_s=0)
    assert len(seen) == batches_before(phases, 5)
    assert all(torch.equal(image, training.stream.batch(number).image) for number, image in enumerate(seen))


def test_the_steps_random_numbers_are_a_function_of_seed_and_step(photo_folder, tmp_path):
    def numbers(out: Path, **settings: Any) -> list[float]:
        drawn: list[float] = []

        def objective(networks, batch, rng):
            drawn.append(float(torch.rand((), generator=rng)))
            return _bright(networks, batch, rng)

        _toy(photo_folder, tmp_path / out, ALONE, objective, **settings).run()
        return drawn

    first, again, other = numbers("a"), numbers("b"), numbers("c", seed=1)
    assert first == again
    assert len(set(first) | set(other)) == 12


def test_the_average_follows_the_generator_faster_at_first(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, ALONE, _bright, ema_decay=0.25)
    colour, average = 0.5, 0.5
    for step in range(6):
        training.run(time_limit_s=0) if step == 0 else None
        if step:
            training = _toy(photo_folder, tmp_path, ALONE, _bright, ema_decay=0.25)
            training.restore(newest(tmp_path / "checkpoints")[0])
            training.run(time_limit_s=0)
        colour -= 0.1 / 3
        decay = min(0.25, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * colour
        assert training.networks["generator"].state_dict()["colour"].flatten()[0].item() == pytest.approx(colour)
        assert training.ema.state_dict()["colour"].flatten()[0].item() == pytest.approx(average)


def test_the_average_has_statistics_and_counters_too_and_stays_in_eval(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, ALONE, _bright, ema_decay=0.0)
    training.run()
    for name, tensor in training.networks["generator"].state_dict().items():
        torch.testing.assert_close(training.ema.state_dict()[name], tensor)
    assert training.ema.norm.num_batches_tracked == 6
    assert not any(m.training for m in training.ema.modules())
    assert not any(p.requires_grad for p in training.ema.parameters())


# --- what is watched, and what is frozen ---


def test_what_is_watched_is_logged_beside_the_losses_and_moves_nothing(photo_folder, tmp_path):
    asked: list[tuple[str, bool]] = []

    def objective(networks, batch, rng):
        colour = networks["generator"](batch.image, batch.mask).image

        def quantity(name: str, value: Tensor) -> Tensor:
            asked.append((name, torch.is_grad_enabled()))
            return value

        return {
            "a": lambda: quantity("a", colour.mean()),
            "seen": lambda: quantity("seen", 3 * colour.square().mean()),
            "unseen": lambda: quantity("unseen", colour.mean()),
        }

    phases = (Phase("one", 2, (Update("generator", {"a": 2.0}, watched=("seen",)),)),)
    training = _toy(photo_folder, tmp_path, phases, objective)
    training.run()
    assert asked == [("a", True), ("seen", False)] * 2  # the loss first: what they share keeps its graph
    first, second = _log(tmp_path)
    assert (first["a"], first["seen"]) == (0.5, 0.75)
    after = 0.5 - 0.1 * 2 / 3
    assert (second["a"], second["seen"]) == pytest.approx((after, 3 * after**2), rel=1e-4)
    assert "unseen" not in first


def test_a_frozen_network_serves_the_losses_and_is_neither_trained_nor_saved(photo_folder, tmp_path):
    torch.manual_seed(0)
    eye = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.9))
    before = _state(eye)
    answers: list[tuple[bool, torch.dtype]] = []

    def objective(networks, batch, rng):
        assert set(networks) == {"generator", "judge", "eye"}
        seen = networks["eye"](networks["generator"](batch.image, batch.mask).image)
        answers.append((seen.requires_grad, seen.dtype))
        return {"bright": lambda: seen.float().mean()}

    training = _toy(photo_folder, tmp_path, ALONE, objective, {"eye": eye}, precision="bf16-mixed", checkpoint_every=3)
    training.run()
    assert answers == [(True, torch.bfloat16)] * 6  # in the run's precision, and gradients go through it
    assert _same(before, _state(eye))  # running means too
    assert not any(m.training for m in eye.modules())
    assert all(p.grad is None and not p.requires_grad for p in eye.parameters())
    assert training.networks["generator"].state_dict()["colour"].ne(0.5).all()
    saved, _ = newest(tmp_path / "checkpoints")
    names = {name.split("/")[1] for name in saved.tensors if name.startswith(("networks/", "optimisers/"))}
    assert names == {"generator", "judge"}
    assert set(saved.record["optimisers"]) == {"generator", "judge"}


# --- hand-over ---

THREE = (
    Phase("first", 2, (GENERATE,)),
    Phase("skipped", 0, (GENERATE,)),
    Phase("second", 1, (CRITICISE,)),
    Phase("third", 2, (GENERATE,)),
)


def _published(folder: Path) -> dict[str, tuple[int, str, list[float]]]:
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors, description = read_generator_file(path)
        found[path.name] = (description["step"], description["phase"], tensors["colour"].flatten().tolist())
    return found


def test_a_phase_that_hands_over_leaves_its_generator_behind(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, THREE, _bright, checkpoint_every=100, ema_decay=0.0)
    training.run()
    after = [0.5 - 0.1 * steps / 3 for steps in range(5)]  # the colour after that many steps of the generator
    found = _published(tmp_path)
    assert {name: (step, phase) for name, (step, phase, _) in found.items()} == {
        "generator-first.safetensors": (2, "first"),
        "generator-second.safetensors": (3, "second"),
        "generator.safetensors": (5, "third"),
    }
    assert found["generator-first.safetensors"][2] == pytest.approx([after[2]] * 3, abs=1e-6)
    assert found["generator-second.safetensors"][2] == pytest.approx([after[2]] * 3, abs=1e-6)
    assert found["generator.safetensors"][2] == pytest.approx([after[4]] * 3, abs=1e-6)


@pytest.mark.parametrize("end", ["time limit", "SIGTERM"])
def test_a_run_that_stops_where_one_phase_hands_over_leaves_the_same_behind(photo_folder, tmp_path, end):
    """Step by step, so that a stop falls onto every hand-over."""
    if end == "SIGTERM" and os.name == "nt":
        pytest.skip("no POSIX signals")
    _toy(photo_folder, tmp_path / "unbroken", THREE, _bright).run()

    def objective(networks, batch, rng):
        if end == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        return _bright(networks, batch, rng)

    for _ in range(5):
        training = _toy(photo_folder, tmp_path / "parts", THREE, objective)
        saved, _ = newest(tmp_path / "parts" / "checkpoints")
        if saved:
            training.restore(saved)
        training.run(time_limit_s=0 if end == "time limit" else None)
    assert _published(tmp_path / "parts") == _published(tmp_path / "unbroken")


# --- twenty steps ---


@pytest.fixture
def one_batch(tmp_path, draw_photo, tiny_overrides):
    """(recipe, *overrides) -> a Training whose every batch holds the same four photos with the same hole."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        folder.joinpath(f"{i}.png").write_bytes(cv2.imencode(".png", draw_photo(64, 64, i))[1].tobytes())
    same = ("data.resize=[64,64]", "data.flip=false", "data.holes=['centre']", "training.batch=4")

    def start(recipe: str, *overrides: str) -> Training:
        checked = read_recipe(recipe, [*tiny_overrides[recipe], *same, *overrides])
        return start_training(checked, str(folder), tmp_path / "run", accelerator="cpu").training

    return start


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
@pytest.mark.parametrize(("recipe", "rate", "share"), [("glcic_small", 3e-3, 0.8), ("unet", 1e-3, 0.93)])
def test_twenty_steps_reduce_the_reconstruction_loss(one_batch, tmp_path, recipe, rate, share, precision):
    alone = ("schedule.completion_steps=20", "schedule.discriminator_steps=0", "schedule.joint_steps=0")
    settings = ("generator.width=16", f"optimiser.generator.lr={rate}", f"training.precision={precision}")
    one_batch(recipe, *alone, *settings).run()
    losses = [record["reconstruction"] for record in _log(tmp_path / "run")]
    assert len(losses) == 20
    assert losses[-1] < share * losses[0]


@pytest.mark.parametrize("recipe", ["glcic_small", "unet"])
def test_sixty_steps_teach_the_discriminators_to_tell(one_batch, tmp_path, recipe):
    alone = ("schedule.completion_steps=0", "schedule.discriminator_steps=60", "schedule.joint_steps=0")
    name = "discriminators" if recipe == "glcic_small" else "discriminator"
    one_batch(recipe, *alone, f"optimiser.{name}.lr=1e-2").run()
    losses = [record["discrimination"] for record in _log(tmp_path / "run")]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(("recipe", "size", "precision"), [("gmcnn", 64, "32-true"), ("gmcnn_small", 80, "bf16-mixed")])
def test_twenty_steps_of_gmcnn_reduce_its_confidence_weighted_error(one_batch, tmp_path, recipe, size, precision):
    alone = ("schedule.reconstruction_steps=20", "schedule.adversarial_steps=0", "generator.width=8")
    settings = (f"data.size={size}", f"data.resize=[{size},{size}]", f"training.precision={precision}")
    one_batch(recipe, *alone, *settings, "optimiser.generator.lr=3e-4").run()
    losses = [record["confidence_l1"] for record in _log(tmp_path / "run")]
    assert len(losses) == 20
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("recipe", "loss"), [("gmcnn", "wasserstein"), ("gmcnn_release", "hinge")])
def test_the_critics_learn_to_tell_completed_photos(one_batch, tmp_path, recipe, loss):
    alone = ("schedule.reconstruction_steps=0", "schedule.adversarial_steps=8", "schedule.n_critic=1")
    still = ("schedule.id_mrf=0.0", "schedule.adversarial=1e-9", "optimiser.generator.lr=1e-9")
    one_batch(recipe, *alone, *still, "optimiser.critics.lr=3e-3").run()
    losses = [record[loss] for record in _log(tmp_path / "run")]
    undecided = 0.0 if loss == "wasserstein" else 4.0  # two critics, a hinge of 1 on each side
    assert abs(losses[0] - undecided) < 0.5
    assert losses[-1] < losses[0] - 0.5


# --- GMCNN's two phases ---

IN_TURN = ["gmcnn", "gmcnn_free_form", "gmcnn_release"]


@pytest.mark.parametrize("recipe", IN_TURN)
def test_critics_take_their_steps_first_and_neither_side_leaves_gradients_in_the_other(begin, tmp_path, recipe):
    """The PyTorch release computes the critics' gradients in the generator's step."""
    training = begin(recipe, tmp_path)
    networks, features = training.networks, training.frozen["features"]
    events: list[tuple[int, str, dict[str, State]]] = []

    def gradients() -> dict[str, State]:
        return {
            name: {key: p.grad.clone() for key, p in network.named_parameters() if p.grad is not None}
            for name, network in networks.items()
        }

    for name, optimiser in training.optimisers.items():
        optimiser.optimizer.register_step_pre_hook(
            lambda *_, name=name: events.append((training.step, name, gradients()))
        )
    before = {name: _state(network) for name, network in networks.items()}
    kept = _state(features)
    training.run()
    turns = [(step, name) for step, name, _ in events]
    assert turns == [(s, "generator") for s in (0, 1)] + [
        (step, name) for step in (2, 3) for name in ("critics", "critics", "generator")
    ]
    other = {"generator": "critics", "critics": "generator"}
    assert all(grads[other[moving]] == {} for _, moving, grads in events)
    moved = {name: len(list(network.parameters())) for name, network in networks.items()}
    assert all(len(grads[name]) == moved[name] for _, name, grads in events)
    assert not any(_same(before[name], _state(network)) for name, network in networks.items())
    assert _same(kept, _state(features))
    assert all(p.grad is None for p in features.parameters())


@pytest.mark.parametrize("recipe", ["gmcnn_small", "gmcnn_release"])
def test_features_run_twice_a_step_of_the_second_phase_and_never_elsewhere(begin, tmp_path, recipe):
    """The composite with a graph, the photo without one; the PyTorch release builds both, and all of VGG19."""
    training = begin(recipe, tmp_path)
    passes: list[tuple[int, bool]] = []
    training.frozen["features"].register_forward_hook(
        lambda _m, _i, found: passes.append((training.step, any(t.requires_grad for t in found.values())))
    )
    training.run()
    assert sorted(passes) == [(2, False), (2, True), (3, False), (3, True)]
    logged = [record.keys() & {"id_mrf", "id_mrf_relu3_2", "id_mrf_relu4_2", "clipped"} for record in _log(tmp_path)]
    assert logged == [{"clipped"}] * 2 + [{"id_mrf", "id_mrf_relu3_2", "id_mrf_relu4_2", "clipped"}] * 2
    assert all(0 < record[f"id_mrf_relu{tap}"] <= 1 for record in _log(tmp_path)[2:] for tap in ("3_2", "4_2"))


def test_losses_of_weight_0_are_not_computed(begin, tmp_path):
    training = begin(
        "gmcnn", tmp_path, "schedule.reconstruction_steps=0", "schedule.id_mrf=0.0", "schedule.adversarial=0.001"
    )
    called: list[str] = []
    training.frozen["features"].register_forward_hook(lambda *_: called.append("features"))
    objective = training.objective

    def watching(networks, batch, rng):
        losses = objective(networks, batch, rng)
        return {name: (lambda name=name, loss=loss: (called.append(name), loss())[1]) for name, loss in losses.items()}

    training.objective = watching
    training.run(time_limit_s=0)
    assert called == ["wasserstein", "gradient_penalty"] * 2 + ["confidence_l1", "adversarial", "clipped"]


def test_gmcnn_hands_over_by_itself_and_keeps_the_generator_of_its_first_phase(begin, tmp_path):
    training = begin("gmcnn", tmp_path, "training.checkpoint_every=1", "training.keep_checkpoints=9")
    training.run()
    assert [record["phase"] for record in _log(tmp_path)] == ["reconstruction"] * 2 + ["adversarial"] * 2
    assert [record["photos_seen"] for record in _log(tmp_path)] == [2, 4, 4 + 3 * 2, 4 + 6 * 2]
    generator, description = load_generator(tmp_path / "generator-reconstruction.safetensors")
    assert (description["model"], description["step"], description["phase"]) == ("gmcnn", 2, "reconstruction")
    saved = load(tmp_path / "checkpoints" / "step-000000002")
    assert _same(_state(generator), saved.under("ema"))
    assert not _same(_state(generator), load(tmp_path / "checkpoints" / "step-000000004").under("ema"))


def test_a_checkpoint_of_gmcnn_holds_both_sides_and_names_the_features_it_does_not_hold(begin, tmp_path):
    """The PyTorch release saves the generator alone, a Keras port the global critic in the place of the local one."""
    training = begin("gmcnn", tmp_path)
    training.run()
    saved, _ = newest(tmp_path / "checkpoints")
    assert {name.split("/")[1] for name in saved.tensors if name.startswith("networks/")} == {"generator", "critics"}
    assert {name.split("/")[1] for name in saved.tensors if name.startswith("optimisers/")} == {"generator", "critics"}
    assert _same(saved.under("networks/critics"), _state(training.networks["critics"]))
    size = sum(path.stat().st_size for path in (tmp_path / "checkpoints").rglob("*"))
    assert size < 8e6  # the features alone are 23 MB
    assert saved.record["features"] == "own"
    assert load_generator(tmp_path)[1]["features"] == "own"


def test_every_sample_of_a_batch_has_a_hole_of_its_own(begin, tmp_path):
    """Both releases draw one mask a batch."""
    batch = begin("gmcnn", tmp_path, "data.holes=['gmcnn_rectangle']").stream.batch(0)
    assert len(batch.mask) == 2
    assert not torch.equal(batch.mask[0], batch.mask[1])


# --- interrupted = unbroken ---

SYSTEMS = [
    ("glcic", 64, "32-true"),  # Adadelta
    ("glcic_small", 64, "bf16-mixed"),  # Adam
    ("unet", 64, "bf16-mixed"),
    ("gmcnn_small", 80, "bf16-mixed"),  # n_critic steps on batches of their own, a penalty of second derivatives
    ("gmcnn_release", 64, "32-true"),  # spectral norms, whose power iteration has a state
]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("recipe", "size", "precision"), SYSTEMS)
def test_a_run_stopped_after_every_step_ends_as_the_unbroken_one(begin, tmp_path, recipe, size, precision):
    settings = (f"data.size={size}", "data.resize=[80,80]")
    settings += (f"training.precision={precision}", "training.ema_decay=0.9", "training.keep_checkpoints=20")
    unbroken = begin(recipe, tmp_path / "unbroken", *settings)
    unbroken.run()
    total, phases = total_steps(unbroken.phases), []
    for step in range(total):
        part = begin(recipe, tmp_path / "parts", *settings, resume=step > 0)
        assert part.step == step
        part.run(time_limit_s=0)
        phases.append(newest(tmp_path / "parts" / "checkpoints")[0].record["phase"])
    assert list(dict.fromkeys(phases)) == [phase.name for phase in unbroken.phases]
    _assert_same(*(newest(tmp_path / name / "checkpoints")[0] for name in ("unbroken", "parts")))
    for step in range(1, total + 1):  # going on from a checkpoint does not write into it
        assert load(tmp_path / "parts" / "checkpoints" / f"step-{step:09d}").step == step


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, photo_folder, tiny_overrides) -> Checkpoint:
    """The last checkpoint of the GLCIC recipe at toy size, run in one go."""
    out = tmp_path_factory.mktemp("unbroken")
    recipe = read_recipe("glcic", tiny_overrides["glcic"])
    with _threads(2):
        start_training(recipe, str(photo_folder), out, accelerator="cpu").training.run()
    saved, _ = newest(out / "checkpoints")
    assert saved is not None
    return saved


@pytest.mark.usefixtures("two_threads")
@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
@pytest.mark.parametrize(("number", "stop_at"), [("SIGTERM", 2), ("SIGINT", 5), ("SIGTERM", 9)])
def test_a_signal_in_any_phase_saves_stops_and_loses_nothing(begin, tmp_path, unbroken, number, stop_at):
    training = begin("glcic", tmp_path / "parts")
    objective = training.objective

    def interrupted(networks, batch, rng):
        if training.step == stop_at:
            os.kill(os.getpid(), getattr(signal, number))
        return objective(networks, batch, rng)

    training.objective = interrupted
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    assert training.run() == number
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert training.step == stop_at + 1  # the step it was in is finished
    assert newest(tmp_path / "parts" / "checkpoints")[0].step == stop_at + 1

    assert begin("glcic", tmp_path / "parts", resume=True).run() == "finished"
    _assert_same(unbroken, newest(tmp_path / "parts" / "checkpoints")[0])


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
@pytest.mark.parametrize("moment", ["scalars", "sheet"])
def test_a_signal_while_the_report_is_written_loses_no_step(photo_folder, tmp_path, monkeypatch, moment):
    written = getattr(RunReport, moment)

    def slow(self, step, *arguments):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return written(self, step, *arguments)

    monkeypatch.setattr(RunReport, moment, slow)
    training = _toy(photo_folder, tmp_path, ALONE, _bright, checkpoint_every=100, sample_every=1)
    assert training.run() == "SIGTERM"
    assert newest(tmp_path / "checkpoints")[0].step == training.step


def test_the_time_limit_stops_after_the_step_it_falls_into(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, ALONE, _bright, checkpoint_every=100)
    assert training.run(time_limit_s=0) == "time limit"
    assert training.step == 1
    assert newest(tmp_path / "checkpoints")[0].step == 1


def test_a_run_that_comes_to_its_end_is_finished_even_if_its_time_is_up_too(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, (Phase("alone", 1, (GENERATE,)),), _bright)
    assert training.run(time_limit_s=0) == "finished"


def test_a_stopped_training_may_be_run_on(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, ALONE, _bright)
    training.run(time_limit_s=0)
    assert training.run() == "finished"
    assert training.step == 6


def test_a_finished_run_has_nothing_left_to_do(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, ALONE, _bright)
    training.run()
    before = _states(training)
    assert training.run() == "finished"
    assert training.step == 6
    assert all(_same(before[name], state) for name, state in _states(training).items())


def test_a_training_runs_outside_the_main_thread(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, ALONE, _bright)
    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(training.run()))
    thread.start()
    thread.join(60)
    assert ended == ["finished"]


def test_a_resumed_run_takes_the_learning_rate_of_its_recipe(begin, tmp_path):
    """The way out of a loss that is not finite: resume with a lower learning rate."""
    begin("glcic_small", tmp_path).run(time_limit_s=0)
    lower = begin("glcic_small", tmp_path, "optimiser.generator.lr=1e-6", resume=True)
    assert [group["lr"] for group in lower.optimisers["generator"].param_groups] == [1e-6]


def test_a_checkpoint_of_another_architecture_is_refused(begin, tmp_path):
    begin("glcic_small", tmp_path).run(time_limit_s=0)
    with pytest.raises(InpaintError, match="checkpoint at step 1 does not fit this recipe") as error:
        begin("glcic_small", tmp_path, "generator.width=4", resume=True)
    assert "\n" not in str(error.value)


def test_two_runs_do_not_write_into_one_folder(photo_folder, tmp_path):
    second = _toy(photo_folder, tmp_path, ALONE, _bright)

    def objective(networks, batch, rng):
        if first.step == 2:
            with pytest.raises(UsageError, match="another training is writing there"):
                second.run()
        return _bright(networks, batch, rng)

    first = _toy(photo_folder, tmp_path, ALONE, objective)
    assert first.run() == "finished"
    assert second.step == 0
    second.restore(newest(tmp_path / "checkpoints")[0])
    assert second.run() == "finished"  # the folder is free again


def test_a_kill_between_the_last_checkpoint_and_its_published_weights_is_mended_by_resuming(
    begin, tmp_path, monkeypatch
):
    training = begin("glcic", tmp_path)

    def dies(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_publish", dies)
        with pytest.raises(KeyboardInterrupt):
            training.run()
    assert newest(tmp_path / "checkpoints")[0].step == 11
    assert not (tmp_path / "generator.safetensors").exists()
    assert begin("glcic", tmp_path, resume=True).run() == "finished"
    generator, description = load_generator(tmp_path)
    assert description["step"] == 11
    assert _same(_state(generator), _state(training.ema))


# --- numbers that are not finite ---


@pytest.mark.parametrize("recipe", ["glcic_small", "unet", "gmcnn", "gmcnn_free_form", "gmcnn_release"])
def test_the_smallest_size_that_a_recipe_may_have_poisons_no_weight_in_bfloat16(begin, tmp_path, recipe):
    """Gradients of strided bfloat16 convolutions on single cells hold memory that nobody wrote on some processors."""
    smallest = models.SYSTEMS[read_recipe(recipe).system].smallest_in_bfloat16
    with pytest.raises(RecipeError, match=f"expected {smallest} px or more"):
        begin(recipe, tmp_path, f"data.size={smallest - 16}", "training.precision=bf16-mixed")
    torch.full((1 << 20,), torch.nan)  # so that such memory is not 0 by chance
    settings = (f"data.size={smallest}", f"data.resize=[{smallest},{smallest + 16}]", "training.precision=bf16-mixed")
    training = begin(recipe, tmp_path, *settings)
    training.run()
    poisoned = [
        name for name, t in training.checkpoint().tensors.items() if t.is_floating_point() and (t.abs() > 1e6).any()
    ]
    poisoned += [name for name, t in training.checkpoint().tensors.items() if t.is_floating_point() and t.isnan().any()]
    assert poisoned == []


def _breaks(step: int, value: float):
    def objective(networks, batch, rng):
        losses = _bright(networks, batch, rng)
        objective.calls += 1
        broken = objective.calls == step + 1
        return losses | {"bright": lambda: losses["bright"]() * (value if broken else 1.0)}

    objective.calls = 0
    return objective


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(photo_folder, tmp_path, value):
    training = _toy(photo_folder, tmp_path, ALONE, _breaks(3, value))
    with pytest.raises(InpaintError, match=r"step 3: the loss is not finite .*bright") as error:
        training.run()
    assert "\n" not in str(error.value)
    saved, refused = newest(tmp_path / "checkpoints")
    assert (saved.step, refused) == (3, [])  # three steps were done, the fourth broke
    assert all(t.isfinite().all() for t in saved.tensors.values() if t.is_floating_point())
    assert training.networks["generator"].state_dict()["colour"].isfinite().all()


def test_a_gradient_that_is_not_finite_never_reaches_a_checkpoint(photo_folder, tmp_path):
    """The loss itself is 0 at that step, the root's slope there is not a number."""

    def objective(networks, batch, rng):
        losses = _bright(networks, batch, rng)
        objective.calls += 1
        if objective.calls == 3:
            colour = networks["generator"](batch.image, batch.mask).image
            return {"bright": lambda: (colour - colour).sum().sqrt() * 0.0 + colour.mean()}
        return losses

    objective.calls = 0
    training = _toy(photo_folder, tmp_path, ALONE, objective)
    with pytest.raises(InpaintError, match=r"step [23]"):
        training.run()
    saved, _ = newest(tmp_path / "checkpoints")
    assert all(t.isfinite().all() for t in saved.tensors.values() if t.is_floating_point())


# --- what a run leaves behind ---


def test_checkpoints_come_at_their_times_and_at_the_end_and_are_thinned(begin, tmp_path):
    training = begin("glcic", tmp_path, "training.checkpoint_every=3", "training.keep_checkpoints=2")
    training.run()
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000000009", "step-000000011"]
    record = load(tmp_path / "checkpoints" / "step-000000009").record
    assert record["phase"] == "joint"
    assert record["photos_seen"] == 9 * 4
    assert record["recipe"]["system"] == "glcic"
    assert len(record["recipe_sha256"]) == 64


def test_a_checkpoint_names_the_phase_of_its_last_step(begin, tmp_path):
    begin("glcic", tmp_path, "training.checkpoint_every=1", "training.keep_checkpoints=20").run()
    phases = [load(tmp_path / "checkpoints" / f"step-{step:09d}").record["phase"] for step in range(1, 12)]
    assert phases == ["completion"] * 4 + ["discriminators"] * 3 + ["joint"] * 4


def test_beside_the_checkpoints_lie_the_averaged_weights_with_their_story(begin, tmp_path):
    training = begin("glcic", tmp_path, "data.size=80", "data.resize=[80,80]")
    training.run()
    generator, description = load_generator(tmp_path)
    assert _same(_state(generator), _state(training.ema))
    told = {key: description[key] for key in ("model", "step", "phase", "photos_seen", "training_size")}
    assert told == {"model": "glcic", "step": 11, "phase": "joint", "photos_seen": 44, "training_size": 80}
    assert description["recipe_sha256"] == training.record["recipe_sha256"]
    assert description["arguments"]["width"] == 8


def test_the_log_tells_every_step_its_phase_losses_and_speed(begin, tmp_path):
    begin("glcic", tmp_path).run()
    records = _log(tmp_path)
    assert [record["step"] for record in records] == list(range(1, 12))
    assert [record["phase"] for record in records] == ["completion"] * 4 + ["discriminators"] * 3 + ["joint"] * 4
    losses = [record.keys() & {"reconstruction", "discrimination", "adversarial"} for record in records]
    assert (
        losses
        == [{"reconstruction"}] * 4
        + [{"discrimination"}] * 3
        + [{"reconstruction", "discrimination", "adversarial"}] * 4
    )
    assert all(record["steps_per_s"] > 0 for record in records)


def test_the_log_of_a_resumed_run_tells_no_step_twice(begin, tmp_path):
    """A killed run has logged steps beyond its last checkpoint; they are done again."""
    training = begin("glcic", tmp_path, "training.checkpoint_every=2")
    objective = training.objective

    def dies(networks, batch, rng):
        if training.step == 5:
            raise KeyboardInterrupt
        return objective(networks, batch, rng)

    training.objective = dies
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert newest(tmp_path / "checkpoints")[0].step == 4
    begin("glcic", tmp_path, "training.checkpoint_every=2", resume=True).run()
    assert [record["step"] for record in _log(tmp_path)] == list(range(1, 12))


def test_losses_between_two_lines_are_averaged(photo_folder, tmp_path):
    training = _toy(photo_folder, tmp_path, ALONE, _bright, log_every=4)
    training.run()
    records = _log(tmp_path)
    assert [record["step"] for record in records] == [4, 6]
    values = [0.5 - step * 0.1 / 3 for step in range(6)]
    assert [record["bright"] for record in records] == pytest.approx(
        [sum(values[:4]) / 4, sum(values[4:]) / 2], rel=1e-4
    )


def test_a_line_of_the_log_never_mixes_two_phases(begin, tmp_path):
    begin("glcic", tmp_path, "training.log_every=100").run()
    records = [(record["step"], record["phase"], record["photos_seen"]) for record in _log(tmp_path)]
    assert records == [(4, "completion", 16), (7, "discriminators", 28), (11, "joint", 44)]


def test_a_line_of_the_log_that_was_cut_short_is_dropped(begin, tmp_path):
    begin("glcic", tmp_path).run(time_limit_s=0)
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "pha')
    begin("glcic", tmp_path, resume=True).run()
    assert [record["step"] for record in _log(tmp_path)] == list(range(1, 12))


def test_sheets_show_the_same_samples_every_time(begin, tmp_path):
    begin("glcic", tmp_path, "training.sample_every=5").run()
    sheets = {p.name: cv2.imread(str(p)) for p in sorted((tmp_path / "samples").iterdir())}
    assert list(sheets) == ["step-000000005.png", "step-000000010.png", "step-000000011.png"]
    first, second, _ = sheets.values()
    assert first.shape == (64, 2 * 3 * 64, 3)  # two samples beside each other, each holed, filled and true
    for holed_or_true in (slice(0, 64), slice(128, 192)):
        assert (first[:, holed_or_true] == second[:, holed_or_true]).all()
    assert (first[:, 64:128] != second[:, 64:128]).any()


def test_sheets_round_to_the_nearest_value(tmp_path):
    """GMCNN's PyTorch release truncates, which darkens every picture by half a step."""
    report = RunReport(tmp_path, total_steps=1, first_step=0, batch=1)
    image = (torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8) * 4) / 255
    report.sheet(1, image, torch.ones(1, 1, 8, 8), image + 0.75 / 255)
    report.close()
    sheet = cv2.imread(str(tmp_path / "samples" / "step-000000001.png"))
    values = torch.arange(64).view(8, 8).numpy() * 4
    assert (sheet[:8, 8:16] == (values + 1)[..., None]).all()
    assert (sheet[:8, 16:24] == values[..., None]).all()


def test_tensorboard_gets_scalars_and_pictures(begin, tmp_path):
    begin("glcic", tmp_path).run()
    (events,) = (tmp_path / "tensorboard").iterdir()
    data = events.read_bytes()
    assert all(
        tag in data for tag in (b"reconstruction", b"discrimination", b"adversarial", b"steps_per_s", b"samples")
    )


@pytest.mark.parametrize("layout", [True, False])
def test_channels_last_is_how_weights_and_photos_lie(begin, tmp_path, layout):
    training = begin("glcic", tmp_path, f"training.channels_last={str(layout).lower()}")
    weight = training.networks["generator"].state_dict()["layers.1.0.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last) == layout
    laid: list[bool] = []
    objective = training.objective

    def watching(networks, batch, rng):
        laid.append(batch.image.is_contiguous(memory_format=torch.channels_last))
        return objective(networks, batch, rng)

    training.objective = watching
    training.run(time_limit_s=0)
    assert laid == [layout]
