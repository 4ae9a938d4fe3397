"""The layers of the design, read from the imports: an arrow that runs back, or a heavy light side, fails.

The checker below reads source text only, so it needs nothing installed; it is itself tested on small made-up packages.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "src" / "inpaintkit"

# The rows of the layout, top first. A module imports from its own row and from rows above it, never from below.
ROWS = (
    "errors",
    "photo",
    "weights",
    "masks",
    "filling",
    "serve",
    "tensors",
    "schedule",
    "pretrained",
    "features",
    "losses",
    "models",
    "data",
    "training",
    "evaluation",
    "export",
    "recipes",
    "cli",
)
LIGHT = {"__init__", "__main__", "errors", "photo", "weights", "masks", "filling", "serve", "cli"}
HEAVY_ROWS = set(ROWS[ROWS.index("tensors") :]) - {"cli"}
HEAVY_LIBRARIES = {
    "torch",
    "lightning",
    "lightning_fabric",
    "pytorch_lightning",
    "torchmetrics",
    "safetensors",
    "pydantic",
}

# The one door between the two sides: this function of `open_engine` may import this module, inside its body.
DOOR = ("filling.engines", "_torch_engine", "models.runtime")
# Light files that may import a heavy library inside a function: the door, and the commands (one thin file per verb).
HEAVY_INSIDE_FUNCTIONS = ("filling.engines", "cli")
# The package's own __init__ points to the light API; it stands above every row, so each target is named here.
FACADE = {"__init__": {"filling", "errors"}, "__main__": {"cli"}}

# Stands for `import_module(name)`. Only the command line may do that: it is the last row, so no arrow can run back.
RUN_TIME_NAME = "a name made at run time"

# What the name in an import statement is called in pyproject.toml, where the two differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "pillow_heif": "pillow-heif",
    "multipart": "python-multipart",
}


@dataclass(frozen=True)
class Import:
    """One import: `module` (dotted, without the package's name, "__init__" for the package itself) names `target`."""

    module: str
    line: int
    target: str
    function: str  # the outermost def the import stands in, "" at module level (class bodies and try blocks included)
    own: bool  # the target is a module of this package; else `target` is the name of a library

    @property
    def row(self) -> str:
        return self.module.split(".")[0]

    @property
    def target_row(self) -> str:
        return self.target.split(".")[0]

    def __str__(self) -> str:
        where = f" in {self.function}()" if self.function else ""
        return f"{self.module}:{self.line}{where} imports {self.target}"


def modules(package: Path) -> dict[str, Path]:
    """Every module of the package by dotted name without the package's own; a folder goes by its folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found[name] = path
    return found


def _statements(node: ast.AST, function: str = "") -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        yield child, function
        inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not function else function
        yield from _statements(child, inside)


def _named(node: ast.AST, module: str, is_folder: bool) -> list[tuple[str, list[str]]]:
    """The absolute dotted names that one statement imports, each with the names taken from it."""
    if isinstance(node, ast.Import):
        return [(alias.name, []) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            here = [] if module == "__init__" else module.split(".")
            inside = here if is_folder else here[:-1]
            kept = inside[: len(inside) - (node.level - 1)]
            base = ".".join(["inpaintkit", *kept, *([node.module] if node.module else [])])
        return [(base, [alias.name for alias in node.names])]
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in {"import_module", "__import__"}:
            first = node.args[0] if node.args else None
            known = isinstance(first, ast.Constant) and isinstance(first.value, str)
            return [(first.value if known else RUN_TIME_NAME, [])]
    return []


def imports(package: Path) -> list[Import]:
    """Every import statement and `import_module` call of the package, wherever it stands."""
    known = modules(package)
    found = []
    for module, path in known.items():
        is_folder = path.name == "__init__.py"
        for node, function in _statements(ast.parse(path.read_text(encoding="utf-8"))):
            for base, taken in _named(node, module, is_folder):
                line = getattr(node, "lineno", 0)
                if base.split(".")[0] != "inpaintkit":
                    found.append(Import(module, line, base.split(".")[0], function, own=False))
                    continue
                stem = base.partition(".")[2]
                full = [f"{stem}.{name}".lstrip(".") for name in taken]
                targets = [name if name in known else (stem or "__init__") for name in full] or [stem or "__init__"]
                found += [Import(module, line, target, function, own=True) for target in dict.fromkeys(targets)]
    return found


def backward_arrows(package: Path) -> list[str]:
    """Imports that run from a row to a row below it, the named door and the package's facade excepted."""
    wrong = [
        f"{name}: no row of the layout holds it"
        for name in modules(package)
        if name.split(".")[0] not in {*ROWS, *FACADE}
    ]
    for found in imports(package):
        if not found.own or found.target_row == "__init__" or found.row not in {*ROWS, *FACADE}:
            continue
        if found.row in FACADE:
            allowed = found.target_row in FACADE[found.row]
        elif (found.module, found.function, found.target) == DOOR:
            allowed = True
        else:
            allowed = found.target_row in ROWS and ROWS.index(found.target_row) <= ROWS.index(found.row)
        if not allowed:
            wrong.append(str(found))
    return wrong


def heavy_on_the_light_side(package: Path) -> list[str]:
    """Light modules that import a heavy library or a row below the line when they are themselves imported."""
    wrong = []
    for found in imports(package):
        if found.row not in LIGHT:
            continue
        heavy = found.target_row in HEAVY_ROWS if found.own else found.target in HEAVY_LIBRARIES
        may_wait = found.own or found.module.startswith(HEAVY_INSIDE_FUNCTIONS)
        if heavy and not (found.function and may_wait):
            wrong.append(str(found))
    return wrong


def undeclared_libraries(
    package: Path, light: set[str], all_extras: set[str], serve: frozenset[str] | set[str] = frozenset()
) -> list[str]:
    """Libraries imported undeclared: at module level, light modules may use only the light dependencies.

    Those below `serve/` may use what its extra brings: only the command `serve` imports them, inside a function.
    """
    wrong = []
    for found in imports(package):
        if found.own or found.target in sys.stdlib_module_names or (found.target, found.row) == (RUN_TIME_NAME, "cli"):
            continue
        name = DISTRIBUTIONS.get(found.target, found.target).lower()
        own = light | serve if found.module.startswith("serve.") else light
        declared = own if found.row in LIGHT and not found.function else all_extras
        if name not in declared:
            wrong.append(str(found))
    return wrong


def _declared() -> tuple[set[str], set[str], set[str]]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {requirement.split("[")[0].split(">")[0].split(";")[0].strip().lower() for requirement in requirements}

    light = names(project["dependencies"])
    extras = {key: names(value) for key, value in project["optional-dependencies"].items() if key != "dev"}
    return light, light.union(*extras.values()), extras["serve"]


def test_no_import_runs_back():
    assert backward_arrows(PACKAGE) == []


def test_light_modules_import_nothing_heavy():
    assert heavy_on_the_light_side(PACKAGE) == []


def test_every_library_is_declared_in_pyproject():
    light, all_extras, serve = _declared()
    assert undeclared_libraries(PACKAGE, light, all_extras, serve) == []


def test_every_row_of_the_layout_is_known_by_name():
    present = {name.split(".")[0] for name in modules(PACKAGE)}
    assert {"__init__", "errors", "photo", "masks", "filling", "cli"} <= present
    assert present <= {*ROWS, *FACADE}


def _write(package: Path, sources: dict[str, str]) -> Path:
    for name, text in {"__init__.py": "", **sources}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


def _door(body: str, name: str = DOOR[1]) -> str:
    return f"def {name}():\n    {body}\n"


@pytest.mark.parametrize(
    "sources",
    [
        {"photo.py": "from inpaintkit.masks import read\n", "masks/__init__.py": "", "masks/read.py": ""},
        {"photo.py": "def f():\n    import inpaintkit.cli\n", "cli/__init__.py": ""},
        {"photo.py": "from . import masks\n", "masks/__init__.py": ""},
        {"masks/__init__.py": "", "masks/read.py": "from ..filling.blend import paste\n", "filling/blend.py": ""},
        {"losses/__init__.py": "from inpaintkit import models\n", "models/__init__.py": ""},
        {"data/__init__.py": "import importlib\nimportlib.import_module('inpaintkit.training.loop')\n"},
        {"data/__init__.py": "from importlib import import_module\n\ndef f(n):\n    import_module('inpaintkit.cli')\n"},
        {"schedule.py": "try:\n    from inpaintkit.export import write\nexcept ImportError:\n    pass\n"},
        {
            "models/__init__.py": "class A:\n    def f(self):\n        from inpaintkit import training\n",
            "training/__init__.py": "",
        },
        {"filling/engines.py": "from inpaintkit import models\n", "models/__init__.py": ""},
        {"filling/engines.py": _door("import inpaintkit.models.runtime", "other"), "models/runtime.py": ""},
        {"filling/engines.py": _door("import inpaintkit.models.glcic"), "models/glcic.py": ""},
        {"filling/engines.py": _door("import inpaintkit.training"), "training/__init__.py": ""},
        {"filling/batch.py": _door("import inpaintkit.models.runtime"), "models/runtime.py": ""},
        {"__init__.py": "from inpaintkit.training import run\n", "training/__init__.py": ""},
        {"helping.py": ""},
    ],
)
def test_an_arrow_that_runs_back_is_found(tmp_path, sources):
    assert len(backward_arrows(_write(tmp_path / "inpaintkit", sources))) == 1


def test_arrows_that_run_up_and_the_door_pass(tmp_path):
    sources = {
        "__init__.py": "def __getattr__(name):\n    from inpaintkit import filling\n    return filling.fill\n",
        "errors.py": "",
        "photo.py": "from inpaintkit.errors import PhotoError\n",
        "filling/__init__.py": "from .engines import open_engine\nfrom inpaintkit import __version__\n",
        "filling/engines.py": _door("from ..models.runtime import TorchEngine"),
        "models/runtime.py": "from inpaintkit import tensors\n",
        "tensors.py": "import torch\n",
        "cli/__init__.py": "from . import fill\n",
        "cli/fill.py": "def fill():\n    from inpaintkit import export, fill\n",
        "export.py": "",
    }
    package = _write(tmp_path / "inpaintkit", sources)
    assert backward_arrows(package) == []
    assert heavy_on_the_light_side(package) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"photo.py": "import torch\n"},
        {"photo.py": "def f():\n    import torch\n"},
        {"masks/__init__.py": "try:\n    from torch import nn\nexcept ImportError:\n    pass\n"},
        {"filling/engines.py": "import torch.nn as nn\n"},
        {"cli/train.py": "from inpaintkit.training import loop\n", "training/loop.py": ""},
        {"cli/fill.py": "import safetensors.torch\n"},
        {"serve/__init__.py": "class A:\n    import pydantic\n"},
        {"__init__.py": "from lightning.fabric import Fabric\n"},
    ],
)
def test_a_heavy_import_on_the_light_side_is_found(tmp_path, sources):
    assert len(heavy_on_the_light_side(_write(tmp_path / "inpaintkit", sources))) == 1


def test_an_undeclared_library_is_found(tmp_path):
    sources = {
        "photo.py": "import numpy, PIL.Image, json\n",
        "masks/read.py": "import scipy\n",
        "export.py": "import onnx\n",
        "filling/batch.py": "import importlib\n\ndef f(name):\n    importlib.import_module(name)\n",
        "cli/__init__.py": "import importlib\n\ndef f(name):\n    importlib.import_module(name)\n",
        "cli/serve.py": "import fastapi\n",
        "serve/__init__.py": "import fastapi\n",
        "serve/app.py": "import fastapi, onnx\n",
    }
    package = _write(tmp_path / "inpaintkit", sources)
    everything = {"numpy", "pillow", "onnx", "fastapi"}
    assert undeclared_libraries(package, {"numpy", "pillow"}, everything, {"fastapi"}) == [
        "cli.serve:1 imports fastapi",
        f"filling.batch:4 in f() imports {RUN_TIME_NAME}",
        "masks.read:1 imports scipy",
        "serve:1 imports fastapi",
        "serve.app:1 imports onnx",
    ]
