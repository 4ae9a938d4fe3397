"""Recipes: one complete, commented TOML file per system, read into numbers and checked before anything starts."""

import hashlib
import inspect
import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import RecipeError, unknown_name
from ..masks import SHAPES
from ..models import SYSTEMS
from ..models.system import System
from ..schedule import Phase, total_steps

FOLDER = Path(__file__).parent


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_S = TypeVar("_S", bound=_Section)
_Share = Annotated[float, Field(ge=0, lt=1)]


class DataSection(_Section):
    """[data]: how photos become samples."""

    size: int = Field(ge=32, multiple_of=16)
    resize: tuple[int, int]
    flip: bool
    holes: tuple[str, ...] = Field(min_length=1)
    cache_gb: float = Field(default=6.0, ge=0)
    workers: int = Field(default=2, ge=1)


class TrainingSection(_Section):
    """[training]: the loop's numbers. `scale` multiplies every phase's steps."""

    batch: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    scale: float = Field(default=1.0, gt=0)
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"
    channels_last: bool = True
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    log_every: int = Field(default=50, ge=1)
    sample_every: int = Field(default=1000, ge=1)
    samples: int = Field(default=12, ge=1)
    checkpoint_every: int = Field(default=1000, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)


class OptimiserSection(_Section):
    """[optimiser.NETWORK]: an optimiser by name and its numbers."""

    name: Literal["adadelta", "adam"]
    lr: float = Field(gt=0)
    betas: tuple[_Share, _Share] = (0.9, 0.999)
    rho: _Share = 0.9
    eps: float | None = Field(default=None, gt=0)


class Recipe(BaseModel):
    """A checked recipe. Parts, frozen, schedule and objective hold the numbers for the system's own builders."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    system: str
    parts: dict[str, dict[str, Any]]
    frozen: dict[str, dict[str, Any]]
    schedule: dict[str, Any]
    objective: dict[str, Any]
    data: DataSection
    training: TrainingSection
    optimiser: dict[str, OptimiserSection]

    @property
    def sha256(self) -> str:
        """Hash of all values, whatever the order or comments of the file."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def part_arguments(self, name: str) -> dict[str, Any]:
        """The arguments of one network's builder; `size` is the training size where the builder takes it."""
        arguments = dict(self.parts[name])
        if "size" in inspect.signature(SYSTEMS[self.system].parts[name]).parameters:
            arguments.setdefault("size", self.data.size)
        return arguments

    def phases(self) -> tuple[Phase, ...]:
        """The schedule, its steps multiplied by `training.scale`."""
        planned = SYSTEMS[self.system].schedule(**self.schedule)
        scale = self.training.scale
        return tuple(Phase(p.name, max(1, round(p.steps * scale)) if p.steps else 0, p.updates) for p in planned)

    def plain(self) -> dict[str, Any]:
        """All values as a recipe file has them: a section a network, and the sections common to all."""
        values: dict[str, Any] = self.model_dump(mode="json")
        networks = values.pop("parts") | values.pop("frozen")
        return values | networks


def recipe_names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name or a file, apply `section.key=value` overrides and check every value.

    Raises: RecipeError naming the key, what it may be, and the nearest valid key for an unknown one.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
        if not path.is_file():
            raise RecipeError(unknown_name("recipe", name_or_path, recipe_names()) + "; or give a .toml file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{name_or_path}: cannot be read as a recipe ({error}); expected a TOML file") from error
    for override in overrides:
        _override(values, override)
    return check_recipe(values)


def check_recipe(values: Mapping[str, Any]) -> Recipe:
    """Turn a recipe's plain values into a Recipe. Raises: RecipeError as `read_recipe`."""
    system = _system_named(values.get("system"))
    sections = {"system", "schedule", "objective", "data", "training", "optimiser", *system.parts, *system.frozen}
    for key in values:
        if key not in sections:
            raise RecipeError(unknown_name("recipe section", key, sections))
    parts = {
        name: _check_arguments(name, builder, values.get(name, {}), derived=("size",))
        for name, builder in system.parts.items()
    }
    frozen = {
        name: _check_arguments(name, load, values.get(name, {}), derived=("progress",))
        for name, load in system.frozen.items()
    }
    schedule = _check_arguments("schedule", system.schedule, values.get("schedule", {}))
    objective = _check_arguments(
        "objective", system.objective, values.get("objective", {}), derived=("networks", "batch", "rng")
    )
    optimisers = _mapping("optimiser", values.get("optimiser", {}))
    for name in optimisers:
        if name not in system.parts:
            raise RecipeError(unknown_name("network in [optimiser]", name, system.parts))
    recipe = Recipe(
        system=values["system"],
        parts=parts,
        frozen=frozen,
        schedule=schedule,
        objective=objective,
        data=_check_section("data", DataSection, values.get("data", {})),
        training=_check_section("training", TrainingSection, values.get("training", {})),
        optimiser={
            name: _check_section(f"optimiser.{name}", OptimiserSection, optimisers.get(name, {}))
            for name in system.parts
        },
    )
    _check_data(recipe)
    _check_phases(recipe)
    for name in recipe.parts:
        _check_builds(recipe, name)
    return recipe


def _check_data(recipe: Recipe) -> None:
    """Refuse holes, sizes and precisions that do not go together."""
    for shape in recipe.data.holes:
        if shape not in SHAPES:
            raise RecipeError(unknown_name("hole shape in data.holes", shape, SHAPES))
    low, high = recipe.data.resize
    if not recipe.data.size <= low <= high:
        raise RecipeError(
            f"data.resize = [{low}, {high}]: expected two lengths in px from data.size = {recipe.data.size} up"
        )
    smallest = SYSTEMS[recipe.system].smallest_in_bfloat16
    if recipe.training.precision == "bf16-mixed" and recipe.data.size < smallest:
        raise RecipeError(
            f"data.size = {recipe.data.size} with training.precision = bf16-mixed: expected {smallest} px or more; "
            "below, gradients of convolutions on single cells are wrong on some processors: use 32-true"
        )


def _check_phases(recipe: Recipe) -> None:
    """Refuse a schedule that trains nothing, or has nothing to train by."""
    if total_steps(recipe.phases()) == 0:
        raise RecipeError("schedule: every phase has 0 steps; give at least one phase a step")
    for phase in recipe.phases():
        for update in phase.updates:
            if phase.steps and not update.losses:
                raise RecipeError(
                    f"schedule: phase {phase.name} trains {update.network} with every loss at 0; give one a weight"
                )


def _check_builds(recipe: Recipe, name: str) -> None:
    """Build a network without memory, so that numbers it refuses are told now and not hours later."""
    arguments = recipe.part_arguments(name)
    try:
        with torch.device("meta"):
            SYSTEMS[recipe.system].parts[name](**arguments)
    except (ValueError, RuntimeError, TypeError, ZeroDivisionError) as error:
        given = ", ".join(f"{name}.{key} = {value}" for key, value in arguments.items())
        raise RecipeError(f"[{name}] cannot be built: {str(error).splitlines()[0]} (given: {given})") from error


def _mapping(name: str, values: object) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{name} = {values}: expected a section [{name}] with keys and values")
    return values


def _system_named(name: object) -> System:
    if not isinstance(name, str) or name not in SYSTEMS:
        raise RecipeError(unknown_name("system", str(name), SYSTEMS))
    return SYSTEMS[name]


def _override(values: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {text}: expected SECTION.KEY=VALUE, for example training.batch=16")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *sections, last = key.split(".")
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {text}: '{section}' is a value, not a section")
    table[last] = parsed


def _check_section(name: str, section: type[_S], values: object) -> _S:
    values = _mapping(name, values)
    for key in values:
        if key not in section.model_fields:
            raise RecipeError(unknown_name(f"key in [{name}]", key, section.model_fields))
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise _one_line(name, error) from error


def _check_arguments(
    name: str, builder: Callable[..., Any], values: object, derived: Sequence[str] = ()
) -> dict[str, Any]:
    """The arguments of a builder, every one filled in, each checked against its annotation."""
    values = _mapping(name, values)
    parameters = {k: p for k, p in inspect.signature(builder).parameters.items() if k not in derived}
    for key in values:
        if key not in parameters:
            raise RecipeError(unknown_name(f"key in [{name}]", key, parameters))
    checked = {}
    for key, parameter in parameters.items():
        value = values.get(key, parameter.default)
        infinite = isinstance(value, float) and not math.isfinite(value)
        if isinstance(value, bool) or (infinite and (math.isnan(value) or not _may_be_infinite(parameter))):
            raise RecipeError(f"{name}.{key}: expected a number that is finite (given: {value})")
        try:
            checked[key] = TypeAdapter(parameter.annotation).validate_python(value)
        except ValidationError as error:
            raise _one_line(f"{name}.{key}", error, keys=False) from error
    return checked


def _may_be_infinite(parameter: inspect.Parameter) -> bool:
    metadata = getattr(parameter.annotation, "__metadata__", ())
    return any(isinstance(entry, AllowInfNan) and entry.allow_inf_nan for entry in metadata)


def _one_line(where: str, error: ValidationError, *, keys: bool = True) -> RecipeError:
    """The error's first fault, or all of them where a value may be of several kinds and is of none.

    `keys`: whether the error's places are keys; a single value's are pydantic's names for the kinds it may have.
    """
    faults = error.errors()
    first = faults[0]
    inside = [str(part) for part in first["loc"] if keys or isinstance(part, int)]
    given = "" if first["type"] == "missing" else f" (given: {first['input']!r})"
    same = [fault["msg"] for fault in faults if fault["input"] == first["input"]]
    wanted = " or ".join(dict.fromkeys(message[0].lower() + message[1:] for message in same))
    return RecipeError(f"{'.'.join([where, *inside])}: {wanted}{given}; correct it in the recipe or by --set")
