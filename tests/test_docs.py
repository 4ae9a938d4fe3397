"""What the pages say is so: lines that they point at, commands, recipes' keys, Python examples, numbers of layers."""

import ast
import importlib
import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from torch import nn

import inpaintkit
from inpaintkit.cli import VERBS, main
from inpaintkit.masks import SHAPES
from inpaintkit.models import GENERATORS
from inpaintkit.recipes import read_recipe, recipe_names
from inpaintkit.weights import CATALOGUE

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])
ANCHOR = re.compile(r"\[([\w.]+):(\d+)\]\(([^)#]+)#L(\d+)\) \| `([^`]+)`")
ANCHORS = [(page, *row) for page in PAGES for row in ANCHOR.findall(page.read_text(encoding="utf-8"))]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every `inpaintkit VERB ...` that a page shows, as words."""
    lines = [line for page in PAGES for block in blocks(page, "console") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("inpaintkit ")]


def known_options(verb: str, subverb: str = "") -> set[str]:
    """The options of a verb as its parser knows them; `subverb` is needed where it has verbs of its own."""
    module = importlib.import_module(VERBS[verb][0])
    application = typer.Typer(add_completion=False)
    application.command()(module.COMMANDS[subverb][0] if hasattr(module, "COMMANDS") else module.command)
    found = typer.main.get_command(application).params
    return {option for parameter in found for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize(("page", "name", "shown", "target", "line", "phrase"), ANCHORS)
def test_a_line_holds_the_phrase(page: Path, name: str, shown: str, target: str, line: str, phrase: str) -> None:
    file = (page.parent / target).resolve()
    assert (file.name, shown) == (name, line)
    assert phrase in file.read_text(encoding="utf-8").splitlines()[int(line) - 1]


def test_pages_point_at_lines() -> None:
    assert len(ANCHORS) >= 20


def test_commands_use_options_that_exist() -> None:
    shown = commands()
    assert len(shown) >= 15
    for words in shown:
        options = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
        assert options <= known_options(*words[:2]), words


def test_train_commands_have_recipes_that_are_accepted() -> None:
    trains = [words for words in commands() if words[0] == "train" and not words[1].endswith(".toml")]
    assert len(trains) >= 5
    for words in trains:
        overrides = [after for before, after in pairwise(words) if before == "--set"]
        read_recipe(words[1], overrides)


def test_the_training_page_names_every_recipe_and_key() -> None:
    page = (PROJECT / "docs" / "training.md").read_text(encoding="utf-8")
    recipe = read_recipe("unet")
    keys = [*type(recipe.data).model_fields, *type(recipe.training).model_fields]
    keys += type(recipe.optimiser["generator"]).model_fields
    assert [name for name in [*recipe_names(), *keys] if f"`{name}`" not in page] == []


def test_the_mask_page_has_a_row_for_every_shape() -> None:
    page = (PROJECT / "docs" / "masks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| \d+ \|", page, re.MULTILINE) == list(SHAPES)


@pytest.mark.parametrize("name", ["glcic", "gmcnn", "unet"])
def test_the_page_of_a_system_states_its_parameters(name: str) -> None:
    page = (PROJECT / "docs" / "systems" / f"{name}.md").read_text(encoding="utf-8")
    generator: nn.Module = GENERATORS[name]()
    assert f"{sum(p.numel() for p in generator.parameters()):,}" in page


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    hole = np.zeros((96, 128), np.uint8)
    hole[30:60, 40:80] = 255
    for name in ("photo.png", "photo.jpg", "a.jpg", "b.jpg"):
        Image.fromarray(picture).save(tmp_path / name)
    for name in ("mask.png", "a-mask.png", "b-mask.png"):
        Image.fromarray(hole).save(tmp_path / name)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "log.jsonl").write_text(json.dumps({"step": 1, "reconstruction": 0.5}), "utf-8")
    monkeypatch.chdir(tmp_path)
    fill = inpaintkit.fill
    monkeypatch.setattr(inpaintkit, "fill", lambda image, mask, model="ns", **o: fill(image, mask, model, **o))
    for page in ("filling.md", "masks.md", "training.md"):
        names: dict[str, object] = {}
        for block in blocks(PROJECT / "docs" / page, "python"):
            ast.parse(block)
            exec(compile(block, page, "exec"), names)
        assert names


def test_the_readme_example_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not CATALOGUE["default"].onnx.exists():
        pytest.skip("no weights in this checkout")
    page = (PROJECT / "README.md").read_text(encoding="utf-8")
    example = re.findall(r"^```python\n(.*?)^```$[^`]*^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(example) == len(blocks(PROJECT / "README.md", "python")) == 1
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--model", "telea"]) == 0
    capsys.readouterr()
    exec(compile(example[0][0], "README.md", "exec"), {})
    assert capsys.readouterr().out == example[0][1]


def test_the_filling_page_shows_the_error_as_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = blocks(PROJECT / "docs" / "filling.md", "text")
    assert len(shown) == 1
    command, _, message = shown[0].partition("\n")
    assert main(shlex.split(command.removeprefix("$ inpaintkit "))) == 2
    assert capsys.readouterr().err == message


def test_the_filling_page_lists_every_option_of_the_command() -> None:
    page = (PROJECT / "docs" / "filling.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`-.*?) \|", page, re.MULTILINE)
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(rows))) == {
        name for name in known_options("fill") if name[0] == "-"
    }


def test_the_comparing_page_lists_every_option_of_the_command() -> None:
    page = (PROJECT / "docs" / "comparing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`-.*?) \|", page.partition("## Every option")[2], re.MULTILINE)
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(rows))) == {
        name for name in known_options("compare") if name[0] == "-"
    }
