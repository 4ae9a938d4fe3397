"""Rules of the house that can be read from the files: names, docstrings, unfinished work, foreign paths, links, sizes.

Words that must not stand in the project are put together from pieces here, so that this file passes its own check.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "src" / "inpaintkit"
MEGABYTE = 1_000_000

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "base", "manager", "common", "misc"}
LONGEST_FUNCTION = 60
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".html", ".css", ".js", ".json", ".cfg", ".sh", ""}

UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")))
STAND_IN = re.compile("place" + "holder", re.IGNORECASE)  # an HTML attribute of that name is no stand-in
FOREIGN = re.compile(
    "|".join(
        (
            r"(?<![\w.\-*])/(?:wo" + r"rk|ro" + r"ot|tm" + r"p|ho" + r"me|op" + r"t)/",
            r"\.libr" + r"ary/",
            r"py" + r"pi\.org",
            r"python" + r"hosted\.org",
            r"py" + r"torch\.org/wh" + r"l",
            r"regis" + r"try\.npm",
        )
    )
)
BROKEN_LIBRARY = re.compile(
    r"^\s*(?:import|from)\s+torch" + r"vision\b", re.MULTILINE
)  # its wheels break beside a CPU build of torch


@cache
def project_files() -> tuple[Path, ...]:
    """The files of the project: those git knows or would take; without git, those outside hidden and build folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout.decode()
        paths = [PROJECT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        hidden = re.compile(r"(^|/)(\.(?!ci/|github/)|__pycache__/|build/|dist/|demo/|runs/)|\.egg-info/")
        paths = [path for path in PROJECT.rglob("*") if not hidden.search(path.relative_to(PROJECT).as_posix())]
    return tuple(sorted(path for path in paths if path.is_file()))


def text_files() -> Iterator[tuple[str, str]]:
    """Every text file of the project but the licence, with its name."""
    for path in project_files():
        if path.suffix in TEXT_SUFFIXES and path.name not in {"LICENSE", "py.typed"}:
            text = path.read_text(encoding="utf-8")
            yield (
                path.relative_to(PROJECT).as_posix(),
                re.sub(r"(?<=;base64,)[\w+/=]+", "", text),
            )  # pictures are no words


def lines_with(pattern: re.Pattern, name: str, text: str) -> Iterator[str]:
    """The places where the pattern stands in one file."""
    for match in pattern.finditer(text):
        yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group().strip()!r}"


def public_definitions(tree: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Classes, functions and methods a reader may call; overloads and setters repeat one that has its docstring."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If | ast.Try):
            yield from public_definitions(node)
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if any(ast.unparse(decorator).endswith(("overload", ".setter")) for decorator in node.decorator_list):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node)


def without_docstring(name: str, source: str) -> Iterator[str]:
    """Public definitions, and the module itself, that say nothing of what they are."""
    tree = ast.parse(source)
    if tree.body and not ast.get_docstring(tree):
        yield f"{name}: the module has no docstring"
    for node in public_definitions(tree):
        first = (ast.get_docstring(node) or "").split("\n")[0].strip()
        if not first:
            yield f"{name}:{node.lineno}: {node.name} has no docstring"


def long_functions(name: str, source: str) -> Iterator[str]:
    """Functions with more lines than a page shows."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{name}:{node.lineno}: {node.name} has {lines} lines"


def _anchors(text: str) -> set[str]:
    outside_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+\s+(.*?)\s*$", outside_code, flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)) for heading in headings]
    return {heading.lower().replace(" ", "-") for heading in plain} | set(
        re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text)
    )


def broken_links(page: Path) -> Iterator[str]:
    """Relative links and pictures of a page that lead nowhere, headings included."""
    text = page.read_text(encoding="utf-8")
    outside_code = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\(\s*<?([^)>\s]+)>?[^)]*\)", outside_code)
    targets += re.findall(r"(?:src|href)=\"([^\"]+)\"", outside_code)
    targets += re.findall(r"^\[[^\]^]+\]:\s+(\S+)", outside_code, flags=re.MULTILINE)
    for target in targets:
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name) if name else page
        if not there.exists():
            yield f"{page.name}: {target} does not exist"
        elif anchor and there.suffix == ".md" and anchor not in _anchors(there.read_text(encoding="utf-8")):
            yield f"{page.name}: {target}: no such heading"


def _python(*folders: str) -> list[tuple[str, str]]:
    return [(name, text) for name, text in text_files() if name.endswith(".py") and name.startswith(folders)]


def test_the_project_is_read():
    names = {name for name, _ in text_files()}
    assert {"pyproject.toml", "src/inpaintkit/errors.py", "tests/test_house.py"} <= names


def test_no_module_has_an_empty_name():
    stems = {path: re.split(r"[_.]", path.stem) for path in project_files() if path.suffix == ".py"}
    parts = {path: {*words, *path.relative_to(PROJECT).parts[:-1]} for path, words in stems.items()}
    assert [str(path.relative_to(PROJECT)) for path, words in parts.items() if words & EMPTY_NAMES] == []


def test_public_definitions_have_docstrings():
    assert [fault for name, text in _python("src/", "benchmarks/") for fault in without_docstring(name, text)] == []


def test_functions_fit_on_a_page():
    assert [fault for name, text in _python("src/") for fault in long_functions(name, text)] == []


def test_nothing_is_left_unfinished():
    faults = [fault for name, text in text_files() for fault in lines_with(UNFINISHED, name, text)]
    pages = [(name, text) for name, text in text_files() if Path(name).suffix not in {".html", ".css", ".js"}]
    assert faults + [fault for name, text in pages for fault in lines_with(STAND_IN, name, text)] == []


def test_no_path_or_host_of_one_workplace():
    assert [fault for name, text in text_files() for fault in lines_with(FOREIGN, name, text)] == []


def test_torchvision_is_never_imported():
    assert [fault for name, text in _python("") for fault in lines_with(BROKEN_LIBRARY, name, text)] == []


def test_relative_links_of_the_pages_resolve():
    pages = [path for path in project_files() if path.suffix == ".md"]
    assert pages
    assert [fault for page in pages for fault in broken_links(page)] == []


def test_bundled_weights_stay_small():
    """What the wheel carries; the feature network stays in the repository."""
    weights = [path for path in project_files() if path.suffix in {".onnx", ".safetensors"}]
    carried = [path for path in weights if PACKAGE in path.parents and path.name != "features.safetensors"]
    assert sum(path.stat().st_size for path in carried) <= 37 * MEGABYTE
    assert sum(path.stat().st_size for path in weights) <= 70 * MEGABYTE


def test_no_file_is_large():
    sizes = {path.relative_to(PROJECT).as_posix(): path.stat().st_size for path in project_files()}
    assert {name: size for name, size in sizes.items() if size > 30 * MEGABYTE} == {}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (UNFINISHED, "# TO" + "DO: later"),
        (UNFINISHED, "raise NotImplemented" + "Error"),
        (STAND_IN, "a Place" + "holder"),
        (FOREIGN, "cd /wo" + "rk/main"),
        (FOREIGN, "'/tm" + "p/x'"),
        (FOREIGN, "https://py" + "pi.org/simple"),
        (FOREIGN, "https://download.py" + "torch.org/wh" + "l/cpu"),
        (BROKEN_LIBRARY, "    from torch" + "vision.ops import nms"),
        (BROKEN_LIBRARY, "import numpy\nimport torch" + "vision"),
    ],
)
def test_what_must_not_stand_is_found(pattern, text):
    assert list(lines_with(pattern, "a", text))


@pytest.mark.parametrize("text", ["docs/wo" + "rk/page.md", "frame/wo" + "rkers/", "src/tm" + "p/x", "a homework/ b"])
def test_ordinary_paths_pass(text):
    assert list(lines_with(FOREIGN, "a", text)) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('"""Doc."""\ndef f():\n    pass\n', 1),
        ('"""Doc."""\nclass A:\n    """Doc."""\n    def f(self):\n        pass\n', 1),
        ("x = 1\n", 1),
        ('"""Doc."""\ndef f():\n    """   """\n', 1),
        ('"""Doc."""\ndef _f():\n    pass\nclass A:\n    """Doc."""\n    def __len__(self):\n        return 1\n', 0),
        ("", 0),
    ],
)
def test_missing_docstrings_are_found(source, count):
    assert len(list(without_docstring("a", source))) == count


def test_a_long_function_is_found():
    assert len(list(long_functions("a", "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION))) == 1
    assert list(long_functions("a", "def f():\n" + "    x = 1\n" * (LONGEST_FUNCTION - 1))) == []


def test_broken_links_are_found(tmp_path):
    tmp_path.joinpath("there.md").write_text("# A heading, here\n", encoding="utf-8")
    page = tmp_path / "page.md"
    good = "[a](there.md) [b](there.md#a-heading-here) ![c](https://example.com/x.png) [d](#own)\n\n# Own\n"
    page.write_text(good + "`[x](code.md)`\n", encoding="utf-8")
    assert list(broken_links(page)) == []
    page.write_text(good + '[a](gone.md) <img src="gone.png"> [b](there.md#gone)\n\n[c]: gone.txt\n', encoding="utf-8")
    assert len(list(broken_links(page))) == 4
