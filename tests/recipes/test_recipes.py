"""Recipes: the shipped ones hold, a wrong key or value is one line with the way out, the hash is of values alone."""

import copy
import json
import re
import tomllib
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch

from inpaintkit.errors import RecipeError, UsageError
from inpaintkit.masks import SHAPES
from inpaintkit.models import SYSTEMS
from inpaintkit.recipes import FOLDER, check_recipe, read_recipe, recipe_names
from inpaintkit.schedule import total_steps

ALL = recipe_names()


def _values(name: str = "glcic") -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def _one_line(error: pytest.ExceptionInfo[RecipeError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# --- the shipped recipes ---


def test_the_shipped_recipes_are_named():
    assert {"glcic", "glcic_small", "gmcnn", "gmcnn_free_form", "gmcnn_release", "gmcnn_small", "unet"} <= set(ALL)
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_shipped_recipe_is_valid_and_its_networks_can_be_built(name):
    recipe = read_recipe(name)
    assert recipe.system in SYSTEMS
    assert set(recipe.optimiser) == set(SYSTEMS[recipe.system].parts)
    assert {u.network for phase in recipe.phases() for u in phase.updates} <= set(recipe.parts)
    assert total_steps(recipe.phases()) > 0
    for part, build in SYSTEMS[recipe.system].parts.items():
        with torch.device("meta"):
            assert build(**recipe.part_arguments(part))


@pytest.mark.parametrize("name", ALL)
def test_a_shipped_recipe_is_complete(name):
    """A reader sees every number of the networks, the schedule and the losses in the file itself."""
    recipe, values = read_recipe(name), _values(name)
    for sections in (recipe.parts, recipe.frozen):
        assert {part: set(numbers) for part, numbers in sections.items()} == {p: set(values[p]) for p in sections}
    assert set(values["schedule"]) == set(recipe.schedule)
    assert set(values.get("objective", {})) == set(recipe.objective)


@pytest.mark.parametrize("name", ALL)
def test_a_recipe_can_be_written_down_and_read_again(name):
    """As a checkpoint does it, with a number that is not finite among others."""
    recipe = read_recipe(name)
    plain = json.loads(json.dumps(recipe.plain()))
    assert check_recipe(plain) == recipe
    assert check_recipe(plain).sha256 == recipe.sha256


@pytest.mark.parametrize("name", ALL)
def test_a_shipped_recipe_says_what_it_is_and_how_to_run_it(name):
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert f"inpaintkit train {name} --data" in text


def test_the_papers_recipe():
    recipe = read_recipe("glcic")
    assert [(phase.name, phase.steps) for phase in recipe.phases()] == [
        ("completion", 90_000),
        ("discriminators", 10_000),
        ("joint", 400_000),
    ]
    assert recipe.schedule["alpha"] == 0.0004
    assert (recipe.data.size, recipe.data.resize, recipe.data.holes) == (256, (256, 384), ("rectangle",))
    assert recipe.training.batch == 96
    assert recipe.training.scale == 1
    for section in recipe.optimiser.values():
        assert (section.name, section.lr, section.rho, section.eps) == ("adadelta", 1.0, 0.9, 1e-6)
    with torch.device("meta"):
        parts = {n: build(**recipe.part_arguments(n)) for n, build in SYSTEMS["glcic"].parts.items()}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    assert counts == {"generator": 6_072_131, "discriminators": 45_063_681}


def test_our_own_recipe_uses_adam_and_says_its_batch():
    recipe = read_recipe("glcic_small")
    assert {section.name for section in recipe.optimiser.values()} == {"adam"}
    assert "batch" in _values("glcic_small")["training"]


GMCNN = ["gmcnn", "gmcnn_free_form", "gmcnn_release"]


def _weights(name: str, *overrides: str) -> dict[tuple[str, str], dict[str, float]]:
    """(phase, network) -> its losses and their weights."""
    return {(p.name, u.network): dict(u.losses) for p in read_recipe(name, overrides).phases() for u in p.updates}


def test_the_recipe_of_the_gmcnn_article():
    """L_c + lambda_mrf L_mrf + lambda_adv L_adv; the known region's term is the releases'."""
    assert _weights("gmcnn") == {
        ("reconstruction", "generator"): {"confidence_l1": 1.0},
        ("adversarial", "critics"): {"wasserstein": 1.0, "gradient_penalty": 10.0},
        ("adversarial", "generator"): {"confidence_l1": 1.0, "id_mrf": 0.02, "adversarial": 0.001},
    }
    numbers = read_recipe("gmcnn").objective
    assert {name: numbers[name] for name in ("kernel_size", "sigma", "iterations")} == {
        "kernel_size": 64,
        "sigma": 40.0,
        "iterations": 7,
    }


def test_the_recipe_of_the_gmcnn_release():
    assert _weights("gmcnn_release") == {
        ("reconstruction", "generator"): {"confidence_l1": 1.4, "known_l1": 1.2},
        ("adversarial", "critics"): {"hinge": 1.0},
        ("adversarial", "generator"): {"confidence_l1": 1.4, "known_l1": 1.2, "id_mrf": 0.05, "adversarial": 0.001},
    }
    numbers = read_recipe("gmcnn_release").objective
    assert (numbers["kernel_size"], numbers["sigma"], numbers["iterations"]) == (65, inf, 7)  # a box


def test_free_form_holes_differ_in_holes_and_kernel_alone():
    assert _weights("gmcnn_free_form") == _weights("gmcnn")
    free, boxes = (read_recipe(name) for name in ("gmcnn_free_form", "gmcnn"))
    assert free.objective == {**boxes.objective, "kernel_size": "auto"}
    assert free.data.holes == ("free_form",)
    assert (free.parts, free.schedule, free.optimiser) == (boxes.parts, boxes.schedule, boxes.optimiser)


@pytest.mark.parametrize("name", GMCNN)
def test_what_all_gmcnn_recipes_share(name):
    recipe = read_recipe(name)
    critics = next(u for p in recipe.phases() for u in p.updates if u.network == "critics")
    assert critics.fresh_batches == 5
    assert [phase.name for phase in recipe.phases()] == ["reconstruction", "adversarial"]
    assert recipe.parts["generator"] == {"width": 32, "kernels": (7, 5, 3)}
    assert (recipe.data.size, recipe.parts["critics"]) == (256, {"width": 64})
    for section in recipe.optimiser.values():
        assert (section.name, section.lr, section.betas) == ("adam", 1e-4, (0.5, 0.9))


def test_the_small_gmcnn_needs_no_download():
    recipe = read_recipe("gmcnn_small")
    assert recipe.frozen == {"features": {"weights": "own"}}
    assert _weights("gmcnn_small") == _weights("gmcnn")


@pytest.mark.parametrize(("name", "commands"), [("gmcnn", 4), ("gmcnn_small", 4), ("gmcnn_release", 1)])
def test_the_ablations_that_a_recipe_names_are_valid(name, commands):
    """Every command in its comments, its --set taken together."""
    lines = (FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    comments = " ".join(line.lstrip("# ") for line in lines if line[:1] == "#")
    told = [re.findall(r'--set "?([\w.]+=(?:\[.*?\]|[\w.-]+))', part) for part in re.split(r"\||;|, or ", comments)]
    told = [settings for settings in told if settings]
    assert len(told) == commands
    for settings in told:
        # the release's comment tells how `gmcnn` becomes the other release
        assert read_recipe("gmcnn" if name == "gmcnn_release" else name, settings) != read_recipe(name)


@pytest.mark.parametrize(("name", "millions"), [("glcic_small", 1.5), ("unet", 5.66), ("gmcnn_small", 1.77)])
def test_the_size_that_a_recipe_tells_is_the_networks(name, millions):
    recipe = read_recipe(name)
    with torch.device("meta"):
        generator = SYSTEMS[recipe.system].parts["generator"](**recipe.part_arguments("generator"))
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert f"{millions} M" in (FOLDER / f"{name}.toml").read_text(encoding="utf-8")


# --- reading ---


def test_a_file_of_ones_own_is_read(tmp_path):
    path = tmp_path / "meins äöü.toml"
    path.write_text((FOLDER / "unet.toml").read_text(encoding="utf-8"), encoding="utf-8")
    assert read_recipe(str(path)) == read_recipe("unet")


def test_an_unknown_recipe_names_the_nearest_and_all():
    with pytest.raises(RecipeError, match="did you mean 'glcic'") as error:
        read_recipe("glicc")
    assert all(name in _one_line(error) for name in ALL)


@pytest.mark.parametrize("content", [b"system = ", b"\xff\xfe", b"[data]\n[data]\n"])
def test_a_file_that_is_no_toml_is_refused(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="expected a TOML file") as error:
        read_recipe(str(path))
    assert "broken.toml" in _one_line(error)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RecipeError) as error:
        read_recipe(str(tmp_path / "gone.toml"))
    assert "gone.toml" in _one_line(error)


def test_a_recipe_error_is_a_usage_error():
    assert issubclass(RecipeError, UsageError)  # exit status 2


# --- unknown keys ---


@pytest.mark.parametrize(
    ("override", "given", "nearest"),
    [
        ("training.bach=3", "bach", "batch"),
        ("data.hole=['mixed']", "hole", "holes"),
        ("generator.widht=3", "widht", "width"),
        ("discriminators.feature=3", "feature", "features"),
        ("schedule.completion_step=3", "completion_step", "completion_steps"),
        ("optimiser.generator.learning=3", "learning", None),
        ("optimiser.generator.beta=[0,1]", "beta", "betas"),
        ("optimiser.discriminator.lr=3", "discriminator", "discriminators"),
        ("trainig.batch=3", "trainig", "training"),
        ("sytem=3", "sytem", "system"),
    ],
)
def test_an_unknown_key_names_the_nearest(override, given, nearest):
    with pytest.raises(RecipeError) as error:
        read_recipe("glcic", [override])
    message = _one_line(error)
    assert f"'{given}'" in message
    assert "valid are" in message
    if nearest:
        assert f"did you mean '{nearest}'?" in message


def test_a_section_of_another_system_is_refused():
    with pytest.raises(RecipeError, match="did you mean 'discriminator'"):
        read_recipe("unet", ["discriminators.width=3"])


def test_the_size_of_the_discriminators_is_that_of_the_data_and_no_key_of_theirs():
    assert (
        read_recipe("glcic", ["data.size=128", "data.resize=[128,128]"]).part_arguments("discriminators")["size"] == 128
    )
    with pytest.raises(RecipeError, match="'size'"):
        read_recipe("glcic", ["discriminators.size=128"])


@pytest.mark.parametrize(
    ("override", "given", "nearest"),
    [
        ("objective.sigmo=3.0", "sigmo", "sigma"),
        ("objective.kernel=64", "kernel", "kernel_size"),
        ("objective.batch=3", "batch", None),
        ("objective.rng=3", "rng", None),
        ("objective.networks=3", "networks", None),
        ("features.weight='own'", "weight", "weights"),
        ("features.progress=3", "progress", None),
        ("feature.weights='own'", "feature", "features"),
        ("schedule.id_mfr=0.02", "id_mfr", "id_mrf"),
        ("schedule.hinge=1.0", "hinge", None),
        ("optimiser.features.lr=1e-4", "features", None),
        ("generator.kernel=[7,5,3]", "kernel", "kernels"),
    ],
)
def test_an_unknown_key_of_gmcnn_names_the_nearest(override, given, nearest):
    with pytest.raises(RecipeError) as error:
        read_recipe("gmcnn", [override])
    message = _one_line(error)
    assert f"'{given}'" in message
    assert "valid are" in message
    if nearest:
        assert f"did you mean '{nearest}'?" in message


@pytest.mark.parametrize("override", ["features.weights='own'", "objective.sigma=40.0"])
def test_a_system_without_features_or_numbers_of_its_losses_takes_none(override):
    with pytest.raises(RecipeError) as error:
        read_recipe("glcic", [override])
    assert override.partition("=")[0].partition(".")[0] in _one_line(error)


# --- wrong values ---


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("training.batch=many", "training.batch"),
        ("training.batch=0", "training.batch"),
        ("training.batch=2.5", "training.batch"),
        ("training.precision=16", "training.precision"),
        ("training.scale=0", "training.scale"),
        ("training.scale=nan", "training.scale"),
        ("training.ema_decay=1.0", "training.ema_decay"),
        ("training.seed=-1", "training.seed"),
        ("data.size=100", "data.size"),
        ("data.size=16", "data.size"),
        ("data.resize=[256]", "data.resize"),
        ("data.resize=[200,384]", "data.resize"),
        ("data.resize=[384,256]", "data.resize"),
        ("data.holes=[]", "data.holes"),
        ("data.flip=perhaps", "data.flip"),
        ("generator.width=wide", "generator.width"),
        ("generator.width=0", "generator.width"),
        ("generator.width=-4", "generator.width"),
        ("generator.groups=7", "generator.groups"),
        ("generator.mean=[1,2]", "generator.mean"),
        ("discriminators.features=0", "discriminators.features"),
        ("schedule.alpha=small", "schedule.alpha"),
        ("schedule.completion_steps=-5", "schedule.completion_steps"),
        ("optimiser.generator.name=sgd", "optimiser.generator.name"),
        ("optimiser.generator.lr=0", "optimiser.generator.lr"),
        ("optimiser.generator.rho=1.5", "optimiser.generator.rho"),
        ("optimiser.generator.betas=[0.9,1.0]", "optimiser.generator.betas"),
        ("optimiser.generator.eps=-1.0", "optimiser.generator.eps"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_key(override, place):
    """Here, and not by a traceback when the networks are built."""
    with pytest.raises(RecipeError) as error:
        read_recipe("glcic", [override])
    message = _one_line(error)
    assert place in message
    given = override.partition("=")[2]
    assert given[0] == "[" or given[:3] in message


WRONG = [
    ("objective.kernel_size=0", "objective.kernel_size"),
    ("objective.kernel_size=-64", "objective.kernel_size"),
    ("objective.kernel_size=6.5", "objective.kernel_size"),
    ("objective.kernel_size='large'", "objective.kernel_size"),
    ("objective.kernel_size=1", "objective.kernel_size"),
    ("objective.sigma=0.0", "objective.sigma"),
    ("objective.sigma=-40.0", "objective.sigma"),
    ("objective.sigma=nan", "objective.sigma"),
    ("objective.sigma=-inf", "objective.sigma"),
    ("objective.sigma=wide", "objective.sigma"),
    ("objective.sigma=true", "objective.sigma"),
    ("objective.iterations=0", "objective.iterations"),
    ("objective.iterations=2.5", "objective.iterations"),
    ("objective.gamma=0.0", "objective.gamma"),
    ("objective.gamma=1.5", "objective.gamma"),
    ("objective.gamma=inf", "objective.gamma"),
    ("objective.gamma=nan", "objective.gamma"),
    ("objective.max_positions=0", "objective.max_positions"),
    ("objective=3", "objective"),
    ("schedule.confidence_l1=-1.0", "schedule.confidence_l1"),
    ("schedule.id_mrf=nan", "schedule.id_mrf"),
    ("schedule.id_mrf=inf", "schedule.id_mrf"),
    ("schedule.adversarial=-0.001", "schedule.adversarial"),
    ("schedule.gradient_penalty=inf", "schedule.gradient_penalty"),
    ("schedule.n_critic=0", "schedule.n_critic"),
    ("schedule.reconstruction_steps=-1", "schedule.reconstruction_steps"),
    ("features.weights=3", "features.weights"),
    ("features=own", "features"),
    ("generator.width=0", "generator.width"),
    ("generator.width=1", "generator.width"),
    ("generator.kernels=[7,5]", "generator.kernels"),
    ("generator.kernels=[7,5,3,3]", "generator.kernels"),
    ("generator.kernels=[7,5,4]", "generator.kernels"),
    ("generator.kernels=[7,5,-3]", "generator.kernels"),
    ("critics.width=0", "critics.width"),
]


@pytest.mark.parametrize(
    ("recipe", "override", "place"),
    # the release has no penalty
    [(r, *w) for r in ("gmcnn", "gmcnn_release") for w in WRONG if r == "gmcnn" or "penalty" not in w[1]],
)
def test_a_wrong_number_of_gmcnn_is_refused_by_the_name_of_its_key(recipe, override, place):
    with pytest.raises(RecipeError) as error:
        read_recipe(recipe, [override])
    assert place in _one_line(error)


@pytest.mark.parametrize("recipe", GMCNN)
def test_a_sigma_without_end_is_the_releases_box(recipe):
    assert read_recipe(recipe, ["objective.sigma=inf"]).objective["sigma"] == inf
    assert read_recipe(recipe, ["objective.sigma=12.5"]).objective["sigma"] == 12.5
    assert read_recipe(recipe, ["objective.kernel_size=auto"]).objective["kernel_size"] == "auto"


@pytest.mark.parametrize("recipe", GMCNN)
def test_a_phase_that_would_learn_nothing_is_refused(recipe):
    nothing = ["schedule.confidence_l1=0.0", "schedule.known_l1=0.0"]
    with pytest.raises(RecipeError, match=r"phase reconstruction trains generator with every loss at 0") as error:
        read_recipe(recipe, nothing)
    _one_line(error)
    assert read_recipe(recipe, [*nothing, "schedule.discounted_l1=1.0"])
    assert read_recipe(recipe, [*nothing, "schedule.reconstruction_steps=0"])  # the second phase has other losses


def test_an_unknown_hole_shape_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'rectangle'"):
        read_recipe("glcic", ["data.holes=['rectangel']"])
    assert "rectangle" in SHAPES


@pytest.mark.parametrize("section", ["generator", "schedule", "data", "training", "optimiser", "optimiser.generator"])
@pytest.mark.parametrize("value", ["3", "adam", "[1]"])
def test_a_value_in_the_place_of_a_section_is_refused(section, value):
    with pytest.raises(RecipeError) as error:
        read_recipe("glcic", [f"{section}={value}"])
    assert section.rpartition(".")[2] in _one_line(error)


@pytest.mark.parametrize("system", ["glicc", 3, None, [], {}])
def test_an_unknown_system_lists_the_known(system):
    with pytest.raises(RecipeError, match="valid are glcic"):
        check_recipe({**_values(), "system": system})


def test_a_missing_key_is_named():
    values = _values()
    del values["training"]["batch"]
    with pytest.raises(RecipeError, match=r"training\.batch: field required") as error:
        check_recipe(values)
    assert "given" not in _one_line(error)


def test_a_missing_optimiser_is_named():
    values = _values()
    del values["optimiser"]["discriminators"]
    with pytest.raises(RecipeError, match=r"optimiser\.discriminators\.name"):
        check_recipe(values)


def test_numbers_left_out_are_the_papers():
    values = _values()
    for section in ("generator", "discriminators", "schedule"):
        del values[section]
    assert check_recipe(values) == read_recipe("glcic")


# --- --set ---


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("training.batch=7", lambda r: r.training.batch == 7),
        ("training.precision=bf16-mixed", lambda r: r.training.precision == "bf16-mixed"),
        ("training.precision='bf16-mixed'", lambda r: r.training.precision == "bf16-mixed"),
        ("training.channels_last=false", lambda r: r.training.channels_last is False),
        ("optimiser.generator.lr=5e-5", lambda r: r.optimiser["generator"].lr == 5e-5),
        ("data.resize=[256,300]", lambda r: r.data.resize == (256, 300)),
        ("data.holes=['mixed', \"centre\"]", lambda r: r.data.holes == ("mixed", "centre")),
        ("generator.mean=[0.1,0.2,0.3]", lambda r: r.parts["generator"]["mean"] == (0.1, 0.2, 0.3)),
    ],
)
def test_one_value_is_set(override, read):
    assert not read(read_recipe("glcic"))
    assert read(read_recipe("glcic", [override]))


def test_the_last_of_two_values_holds():
    assert read_recipe("glcic", ["training.batch=7", "training.batch=8"]).training.batch == 8


@pytest.mark.parametrize("text", ["training.batch", "=3", "training.batch:3", ""])
def test_a_setting_without_key_or_value_is_refused(text):
    with pytest.raises(RecipeError, match=r"expected SECTION\.KEY=VALUE"):
        read_recipe("glcic", [text])


@pytest.mark.parametrize("text", ["training.batch.size=3", "system.name=3"])
def test_a_key_below_a_value_is_refused(text):
    with pytest.raises(RecipeError, match="is a value, not a section"):
        read_recipe("glcic", [text])


def test_settings_do_not_leak_into_the_next_reading():
    read_recipe("glcic", ["training.batch=7"])
    assert read_recipe("glcic").training.batch == 96


# --- the hash ---


def test_the_hash_does_not_depend_on_the_order_of_keys_or_on_comments(tmp_path):
    values = _values()
    reordered = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(values.items())
    }
    assert check_recipe(reordered).sha256 == read_recipe("glcic").sha256
    text = (FOLDER / "glcic.toml").read_text(encoding="utf-8")
    bare = tmp_path / "bare.toml"
    bare.write_text("\n".join(line.partition("#")[0] for line in text.splitlines()), encoding="utf-8")
    assert read_recipe(str(bare)).sha256 == read_recipe("glcic").sha256


@pytest.mark.parametrize(
    "override",
    [
        "training.seed=1",
        "generator.width=32",
        "schedule.alpha=0.001",
        "data.holes=['mixed']",
        "optimiser.generator.lr=2.0",
    ],
)
def test_the_hash_changes_with_any_value(override):
    assert read_recipe("glcic", [override]).sha256 != read_recipe("glcic").sha256


@pytest.mark.parametrize(
    "override", ["objective.sigma=inf", "objective.kernel_size=auto", "features.weights=own", "schedule.id_mrf=0.2"]
)
def test_the_hash_changes_with_the_losses_numbers_and_the_features(override):
    assert read_recipe("gmcnn", [override]).sha256 != read_recipe("gmcnn").sha256


def test_the_hash_is_of_values_not_of_how_they_are_written():
    assert read_recipe("glcic", ["optimiser.generator.lr=1"]).sha256 == read_recipe("glcic").sha256
    assert read_recipe("glcic", ["training.batch=96"]).sha256 == read_recipe("glcic").sha256


def test_recipes_hash_differently():
    assert len({read_recipe(name).sha256 for name in ALL}) == len(ALL)


# --- scale ---


def test_scale_multiplies_every_phase():
    phases = read_recipe("glcic", ["training.scale=0.01"]).phases()
    assert [phase.steps for phase in phases] == [900, 100, 4000]


def test_scale_leaves_a_phase_a_step_but_none_where_there_was_none():
    phases = read_recipe("glcic", ["training.scale=0.00001", "schedule.completion_steps=0"]).phases()
    assert [phase.steps for phase in phases] == [0, 1, 4]


def test_scale_keeps_losses_and_weights():
    whole, small = (read_recipe("glcic", [f"training.scale={scale}"]).phases() for scale in (1.0, 0.5))
    assert [phase.updates for phase in whole] == [phase.updates for phase in small]


def test_checking_modifies_nothing():
    values = _values()
    before = copy.deepcopy(values)
    check_recipe(values)
    assert values == before


def test_recipes_lie_in_the_package():
    assert FOLDER.is_relative_to(Path(__import__("inpaintkit").__file__).parent)
