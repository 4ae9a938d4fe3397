"""Beginning a run: fresh, resumed, or from weights; what was loaded and what was not is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from inpaintkit.errors import DataError, InpaintError, ModelError, UsageError
from inpaintkit.features import OWN, FeatureNetwork
from inpaintkit.filling.engines import open_engine
from inpaintkit.models.gmcnn import Generator
from inpaintkit.models.published import load_generator, read_generator_file, save_generator
from inpaintkit.recipes import check_recipe, read_recipe
from inpaintkit.recipes.start import Beginning, start_training
from inpaintkit.training.checkpoint import newest


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Toy networks have nothing to share out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def start(photo_folder, tiny_overrides):
    """(recipe, out, *overrides, **options) -> Beginning at toy size."""

    def begin(recipe: str, out: Path, *overrides: str, data: str | None = None, **options: Any) -> Beginning:
        checked = read_recipe(recipe, [*tiny_overrides[recipe], *overrides])
        return start_training(checked, data or str(photo_folder), out, accelerator="cpu", **options)

    return begin


@pytest.fixture
def run(trained_run) -> Path:
    """A finished run of GLCIC at 64 px: 4 steps of completion, 3 of the discriminators, 4 joint ones."""
    return trained_run


AT_64 = ("data.size=64", "data.resize=[64,64]")
AT_128 = ("data.size=128", "data.resize=[128,128]")


def _weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _different(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, t in first.items() if t.shape != second[n].shape or not torch.equal(t, second[n])}


# --- fresh ---


def test_a_fresh_run_begins_at_step_0_with_seeded_weights(start, tmp_path):
    first, again = start("glcic", tmp_path / "a"), start("glcic", tmp_path / "b")
    other = start("glcic", tmp_path / "c", "training.seed=1")
    assert (first.training.step, first.notes) == (0, ())
    for name, network in first.training.networks.items():
        assert _different(_weights(network), _weights(again.training.networks[name])) == set()
        assert _different(_weights(network), _weights(other.training.networks[name])) != set()


def test_the_recipes_numbers_arrive(start, tmp_path):
    settings = (
        "training.batch=3",
        "training.seed=5",
        "data.flip=false",
        "data.holes=['centre','blobs']",
        "data.workers=1",
    )
    training = start("glcic", tmp_path, *settings, "optimiser.generator.eps=1e-5", "training.ema_decay=0.5").training
    samples = training.stream.settings
    assert (samples.batch, samples.seed, samples.flip, samples.size) == (3, 5, False, 64)
    assert [shape.__name__ for shape in samples.shapes] == ["centre", "blobs"]
    assert training.stream.workers == 1
    assert training.settings.ema_decay == 0.5
    (group,) = training.optimisers["generator"].param_groups
    assert (group["lr"], group["rho"], group["eps"]) == (1.0, 0.9, 1e-5)
    assert isinstance(training.optimisers["generator"].optimizer, torch.optim.Adadelta)
    adam = start("glcic_small", tmp_path).training.optimisers["discriminators"].optimizer
    assert isinstance(adam, torch.optim.Adam)
    assert list(adam.param_groups[0]["betas"]) == [0.5, 0.99]


def test_threads_are_those_asked_for(start, tmp_path):
    before = torch.get_num_threads()
    try:
        start("glcic", tmp_path, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("recipe", ["glcic", "gmcnn", "gmcnn_release"])
def test_the_record_rebuilds_the_recipe(start, tmp_path, recipe):
    beginning = start(recipe, tmp_path)
    recorded = json.loads(json.dumps(beginning.training.checkpoint().record))
    assert check_recipe(recorded["recipe"]).sha256 == recorded["recipe_sha256"]
    assert {"inpaintkit", "torch", "python"} <= recorded["versions"].keys()


@pytest.mark.parametrize("source", ["", "gone"])
def test_a_run_without_photos_is_refused_and_leaves_nothing(start, tmp_path, source):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        start("glcic", tmp_path / "run", data=str(tmp_path / (source or "empty")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("accelerator", ["quantum", "tpu"])
def test_a_device_that_is_not_here_is_refused_in_one_line(tiny_overrides, photo_folder, tmp_path, accelerator):
    recipe = read_recipe("glcic", tiny_overrides["glcic"])
    with pytest.raises(UsageError, match=accelerator) as error:
        start_training(recipe, str(photo_folder), tmp_path, accelerator=accelerator)
    assert "cpu" in str(error.value)  # what is expected


# --- resume ---


def test_a_folder_that_holds_a_run_is_refused_without_resume(start, run):
    with pytest.raises(UsageError, match=r"holds a run at step 11; go on with --resume"):
        start("glcic_small", run)


def test_resume_goes_on_and_says_where(start, run):
    beginning = start("glcic_small", run, *AT_64, resume=True)
    assert beginning.training.step == 11
    assert "resumed at step 11" in beginning.notes


def test_resume_where_there_is_nothing_starts_and_says_so(start, tmp_path):
    beginning = start("glcic_small", tmp_path / "new", resume=True)
    assert beginning.training.step == 0
    assert any("no checkpoint to resume" in note for note in beginning.notes)


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(start, tmp_path):
    settings = ("training.checkpoint_every=2", "training.keep_checkpoints=3")
    start("glcic_small", tmp_path / "whole", *settings).training.run()
    training = start("glcic_small", tmp_path / "broken", *settings).training
    training.run()
    for step in (11, 10):
        damaged = tmp_path / "broken" / "checkpoints" / f"step-{step:09d}" / "state.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-100])
    beginning = start("glcic_small", tmp_path / "broken", *settings, resume=True)
    assert beginning.training.step == 8
    assert ["step-000000011" in beginning.notes[0], "step-000000010" in beginning.notes[1]] == [True, True]
    assert "damaged checkpoint" in beginning.notes[0]
    assert "resumed at step 8" in beginning.notes
    assert beginning.training.run() == "finished"
    ended, whole = (newest(tmp_path / name / "checkpoints")[0] for name in ("broken", "whole"))
    assert _different(dict(ended.tensors), dict(whole.tensors)) == set()


def test_resuming_with_another_recipe_says_what_changed(start, run):
    beginning = start("glcic_small", run, *AT_64, "training.batch=2", resume=True)
    assert any("training.batch" in note for note in beginning.notes)
    assert not any("training.batch" in note for note in start("glcic_small", run, *AT_64, resume=True).notes)


def test_resuming_with_other_photos_says_so(start, run, tmp_path, photo_folder):
    (tmp_path / "fewer").mkdir()
    for path in sorted(photo_folder.glob("*.png"))[:5]:
        (tmp_path / "fewer" / path.name).write_bytes(path.read_bytes())
    notes = start("glcic_small", run, *AT_64, data=str(tmp_path / "fewer"), resume=True).notes
    assert any("the photos are not those" in note for note in notes)
    assert not any("the photos are not those" in note for note in start("glcic_small", run, *AT_64, resume=True).notes)


def test_a_run_whose_checkpoints_are_all_damaged_is_not_begun_anew_over_them(start, tmp_path):
    start("glcic_small", tmp_path / "run").training.run(time_limit_s=0)
    (damaged,) = (tmp_path / "run" / "checkpoints").rglob("state.safetensors")
    damaged.write_bytes(b"")
    with pytest.raises(ModelError, match="none of its checkpoints can be read"):
        start("glcic_small", tmp_path / "run", resume=True)


def test_resume_and_init_from_exclude_each_other(start, run, tmp_path):
    with pytest.raises(UsageError, match="exclude each other"):
        start("glcic_small", tmp_path / "new", resume=True, init_from=str(run))


def test_continue_needs_init_from(start, tmp_path):
    with pytest.raises(UsageError, match="--continue without --init-from"):
        start("glcic_small", tmp_path / "new", go_on=True)


# --- from weights ---


@pytest.mark.parametrize("go_on", [False, True])
def test_from_a_run_all_networks_begin_where_it_ended_with_fresh_optimisers(start, run, tmp_path, go_on):
    longer = ("schedule.joint_steps=9", "schedule.completion_steps=4")
    beginning = start("glcic_small", tmp_path / "new", *AT_64, *longer, init_from=str(run), go_on=go_on)
    assert beginning.training.step == (11 if go_on else 0)
    assert beginning.notes == ()  # all fits
    saved, _ = newest(run / "checkpoints")
    networks = beginning.training.networks
    assert _different(_weights(networks["generator"]), saved.under("ema")) == set()
    assert _different(_weights(networks["discriminators"]), saved.under("networks/discriminators")) == set()
    assert all(optimiser.state_dict()["state"] == {} for optimiser in beginning.training.optimisers.values())
    assert _different(_weights(beginning.training.ema), saved.under("ema")) == set()
    assert beginning.training.run(time_limit_s=0) == "time limit"
    assert newest(tmp_path / "new" / "checkpoints")[0].step == (12 if go_on else 1)


@pytest.mark.parametrize("go_on", [False, True])
def test_from_a_weights_file_the_generator_begins_and_the_rest_is_named(start, run, tmp_path, go_on):
    tensors, description = read_generator_file(run)
    path = tmp_path / "published.safetensors"
    save_generator(path, tensors, description, half=True)
    beginning = start(
        "glcic_small", tmp_path / "new", *AT_64, "schedule.joint_steps=9", init_from=str(path), go_on=go_on
    )
    assert beginning.training.step == (11 if go_on else 0)
    generator = _weights(beginning.training.networks["generator"])
    assert _different(generator, read_generator_file(path)[0]) == set()
    (note,) = beginning.notes
    assert note.startswith("discriminators: ")
    assert note.endswith("start anew: all of them")


def test_from_128_to_256_the_convolutions_are_kept_and_what_starts_anew_is_named(start, run, tmp_path):
    """At toy size from 64 to 128 px: the fully connected layers see 2 x 2 cells instead of 1."""
    again = ("schedule.completion_steps=0", "schedule.discriminator_steps=2", "schedule.joint_steps=1")
    beginning = start("glcic_small", tmp_path / "new", *AT_128, *again, init_from=str(run))
    (note,) = beginning.notes
    assert note.startswith("discriminators: ")
    assert note.endswith("start anew: whole.7, local.6")
    saved, _ = newest(run / "checkpoints")
    old, new = saved.under("networks/discriminators"), _weights(beginning.training.networks["discriminators"])
    kept = {name for name in new if new[name].ndim == 4 or "running" in name}
    assert len(kept) == 11 + 22
    assert _different({n: new[n] for n in kept}, old) == set()
    assert {"whole.7.weight", "local.6.weight"} <= _different(new, old)
    assert [phase.name for phase in beginning.training.phases if phase.steps] == ["discriminators", "joint"]
    assert beginning.training.run() == "finished"


def test_the_growing_recipe_runs_as_its_comment_says():
    """The command in glcic_small.toml that goes on to 256 px."""
    recipe = read_recipe("glcic_small", ["data.size=256", "data.resize=[256,384]", "schedule.completion_steps=0"])
    phases = [(phase.name, phase.steps) for phase in recipe.phases() if phase.steps]
    assert [name for name, _ in phases] == ["discriminators", "joint"]
    assert phases[0][1] < phases[1][1]  # the second phase is repeated, and short


def test_a_network_of_another_width_starts_wholly_anew(start, run, tmp_path):
    beginning = start("glcic_small", tmp_path / "new", *AT_64, "generator.width=4", init_from=str(run))
    (note,) = [note for note in beginning.notes if note.startswith("generator: ")]
    assert note.endswith("start anew: all of them")


@pytest.mark.parametrize("name", ["gone", "gone.safetensors"])
def test_weights_that_are_not_there_are_refused(start, tmp_path, name):
    with pytest.raises(ModelError, match="gone"):
        start("glcic_small", tmp_path / "new", init_from=str(tmp_path / name))


def test_a_damaged_weights_file_is_refused(start, tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\0" * 50)
    with pytest.raises(ModelError, match="not a whole weights file"):
        start("glcic_small", tmp_path / "new", init_from=str(path))
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_checkpoint_is_refused(start, tmp_path):
    with pytest.raises(ModelError, match="no readable checkpoint"):
        start("glcic_small", tmp_path / "new", init_from=str(tmp_path))


def test_weights_of_another_system_are_refused_not_left_out_one_by_one(start, run, tmp_path):
    """Nothing of them fits: the run would begin from noise."""
    with pytest.raises(InpaintError, match="glcic"):
        start("unet", tmp_path / "new", init_from=str(run))


def test_continuing_beyond_the_end_of_the_schedule_is_refused(start, run, tmp_path):
    with pytest.raises(UsageError, match="step 11"):
        start("glcic_small", tmp_path / "new", *AT_64, "schedule.joint_steps=1", init_from=str(run), go_on=True)


# --- GMCNN: features that are not trained, two systems of one generator ---


@pytest.fixture(scope="module")
def gmcnn_run(one_thread, tmp_path_factory, photo_folder, tiny_overrides) -> Path:
    """A finished run of GMCNN at toy size: 2 steps of reconstruction, 2 adversarial ones. Tests only read here."""
    out = tmp_path_factory.mktemp("runs") / "gmcnn"
    recipe = read_recipe("gmcnn", tiny_overrides["gmcnn"])
    start_training(recipe, str(photo_folder), out, accelerator="cpu").training.run()
    return out


@pytest.fixture(scope="module")
def other_features(tmp_path_factory) -> Path:
    """A feature network that has learned nothing."""
    path = tmp_path_factory.mktemp("weights") / "others.safetensors"
    torch.manual_seed(0)
    save_file({name: tensor.half() for name, tensor in FeatureNetwork().state_dict().items()}, path)
    return path


def test_the_features_and_the_losses_numbers_arrive(start, tmp_path, other_features):
    training = start("gmcnn", tmp_path, f"features.weights={other_features}", "objective.sigma=inf").training
    source = training.record["features"]
    assert "others.safetensors" in source
    assert source == training.description["features"]
    assert training.objective.keywords == read_recipe("gmcnn", ["objective.sigma=inf"]).objective
    assert start("gmcnn", tmp_path).training.record["features"] == "own"


def test_features_take_nothing_of_the_seed_that_the_networks_start_from(start, tmp_path, other_features):
    own, other = (start("gmcnn", tmp_path, *w).training for w in ((), (f"features.weights={other_features}",)))
    for name, network in own.networks.items():
        assert _different(_weights(network), _weights(other.networks[name])) == set()


def test_features_that_are_not_there_are_refused_before_anything_is_written(start, tmp_path):
    with pytest.raises(ModelError, match=r"gone\.pth") as error:
        start("gmcnn", tmp_path / "run", "features.weights=gone.pth")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_resuming_with_other_features_says_so(start, gmcnn_run, other_features):
    notes = start("gmcnn", gmcnn_run, f"features.weights={other_features}", resume=True).notes
    (note,) = [note for note in notes if note.startswith("the frozen networks are not those this run began with")]
    assert "features own -> others.safetensors" in note
    assert any("features.weights own -> " in note for note in notes)  # and the recipe
    assert start("gmcnn", gmcnn_run, resume=True).notes == ("resumed at step 4",)


def test_the_same_path_with_other_weights_in_it_is_other_features(start, tmp_path, other_features):
    path = tmp_path / "features.safetensors"
    path.write_bytes(other_features.read_bytes())
    start("gmcnn", tmp_path / "run", f"features.weights={path}").training.run(time_limit_s=0)
    path.write_bytes(OWN.read_bytes())
    notes = start("gmcnn", tmp_path / "run", f"features.weights={path}", resume=True).notes
    assert [("frozen" in note, "recipe" in note) for note in notes] == [(False, False), (True, False)]


def test_a_run_of_gmcnn_is_its_generator_whatever_critics_it_met(start, gmcnn_run, tmp_path):
    release = tmp_path / "release"
    start("gmcnn_release", release).training.run(time_limit_s=0)
    for folder in (gmcnn_run, release):
        generator, description = load_generator(folder)
        assert type(generator) is Generator
        assert description["model"] == "gmcnn"
        assert description["arguments"]["width"] == 4
        assert description["features"] == "own"
    begun = start("gmcnn", tmp_path / "new", init_from=str(release)).training.networks["generator"]
    assert _different(_weights(begun), newest(release / "checkpoints")[0].under("ema")) == set()
    _, first_phase = load_generator(gmcnn_run / "generator-reconstruction.safetensors")
    assert (first_phase["step"], first_phase["phase"]) == (2, "reconstruction")


@pytest.mark.parametrize("recipe", ["gmcnn", "gmcnn_free_form", "gmcnn_release"])
def test_the_generator_of_one_gmcnn_starts_another(start, gmcnn_run, tmp_path, recipe):
    beginning = start(recipe, tmp_path / "new", init_from=str(gmcnn_run))
    saved, _ = newest(gmcnn_run / "checkpoints")
    networks = beginning.training.networks
    assert _different(_weights(networks["generator"]), saved.under("ema")) == set()
    assert [note for note in beginning.notes if note.startswith("generator")] == []
    if recipe == "gmcnn":
        assert beginning.notes == ()
        assert _different(_weights(networks["critics"]), saved.under("networks/critics")) == set()
    assert beginning.training.run(time_limit_s=0) == "time limit"


def test_critics_of_another_kind_start_wholly_anew_and_are_named(start, gmcnn_run, tmp_path):
    """A layer is taken whole or not at all: no bias without its weight."""
    beginning = start("gmcnn_release", tmp_path / "new", init_from=str(gmcnn_run))
    fresh = start("gmcnn_release", tmp_path / "fresh").training.networks["critics"]
    assert _different(_weights(fresh), _weights(beginning.training.networks["critics"])) == set()
    assert any(note.startswith("critics: ") for note in beginning.notes)


def test_the_first_phases_generator_starts_a_second_phase(start, gmcnn_run, tmp_path):
    path = gmcnn_run / "generator-reconstruction.safetensors"
    beginning = start("gmcnn_release", tmp_path / "new", "schedule.reconstruction_steps=0", init_from=str(path))
    generator = _weights(beginning.training.networks["generator"])
    assert _different(generator, read_generator_file(path)[0]) == set()
    assert all(note.startswith("critics: ") for note in beginning.notes)
    assert beginning.training.run(time_limit_s=0) == "time limit"
    assert load_generator(tmp_path / "new")[1]["phase"] == "adversarial"


@pytest.mark.parametrize("recipe", ["gmcnn", "gmcnn_release"])
def test_weights_of_another_generator_are_refused_for_gmcnn(start, run, gmcnn_run, tmp_path, recipe):
    with pytest.raises(ModelError, match=r"weights of glcic, but the recipe trains gmcnn"):
        start(recipe, tmp_path / "new", init_from=str(run))
    with pytest.raises(ModelError, match=r"weights of gmcnn, but the recipe trains glcic"):
        start("glcic_small", tmp_path / "new", init_from=str(gmcnn_run))
    assert not (tmp_path / "new").exists()


# --- a run as a model ---


def test_a_run_is_a_model_by_its_folder(run):
    image = np.random.default_rng(0).random((50, 70, 3), dtype=np.float32)
    mask = np.zeros((50, 70), bool)
    mask[10:30, 20:50] = True
    engine = open_engine(run)
    filled = engine(image, mask)
    assert engine.working_size == 64
    assert np.array_equal(filled[~mask], image[~mask])
    assert not np.array_equal(filled[mask], image[mask])
    generator, description = load_generator(run)
    assert description["step"] == 11
    saved, _ = newest(run / "checkpoints")
    assert _different(_weights(generator), saved.under("ema")) == set()


def test_published_weights_tell_their_story(run):
    _, description = read_generator_file(run)
    assert {
        "model": "glcic",
        "step": 11,
        "phase": "joint",
        "photos_seen": 44,
        "training_size": 64,
        "holes": ["mixed"],
    }.items() <= description.items()
    assert len(description["recipe_sha256"]) == 64
    saved, _ = newest(run / "checkpoints")
    assert description["recipe_sha256"] == saved.record["recipe_sha256"]
