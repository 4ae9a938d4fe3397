"""The light side works where PyTorch is not installed: importing it, its command line, and a fill.

The fast tests start an interpreter in which the training side's libraries cannot be imported; the slow one makes a real
environment with nothing but the light package in it.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inpaintkit
from inpaintkit.cli import VERBS

SOURCE = Path(inpaintkit.__file__).resolve().parents[1]
PROJECT = Path(__file__).resolve().parents[1]

# What the extras bring and the light package must do without. (Typer itself needs pydantic, so that one is not hidden:
# tests/test_layering.py shows that our own light modules do not import it.)
HIDDEN = (
    "torch torchvision torchmetrics lightning lightning_fabric lightning_utilities pytorch_lightning safetensors onnx "
    "onnxscript tensorboard tqdm skimage scipy openvino pillow_heif"
)
HIDE = f"""
import sys
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        hidden = name.partition('.')[0] in {HIDDEN.split()!r}
        return None if hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""
COMMAND_LINE = """
from inpaintkit.cli import main
sys.argv[0] = 'inpaintkit'
sys.exit(main())
"""


def python(code: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Runs code in a fresh interpreter that finds this package."""
    paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8", "COLUMNS": "120"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=cwd, check=False)


def without_torch(*arguments: object, code: str = COMMAND_LINE) -> str:
    """Standard output of the command line, or of other code, in an interpreter without the training libraries."""
    finished = python(HIDE + code, *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    return finished.stdout


def draw_photo_and_mask(folder: Path) -> tuple[Path, Path]:
    """A smooth drawn photo with a black square in it, and the mask of that square."""
    rows, columns = np.mgrid[0:60, 0:80]
    pixels = np.stack([rows * 4, columns * 3, 255 - rows * 2 - columns], axis=-1).astype(np.uint8)
    hole = np.zeros((60, 80), dtype=bool)
    hole[20:34, 30:50] = True
    pixels[hole] = 0
    photo, mask = folder / "photo.png", folder / "mask.png"
    Image.fromarray(pixels).save(photo)
    Image.fromarray(np.where(hole, 255, 0).astype(np.uint8)).save(mask)
    return photo, mask


def assert_filled(photo: Path, mask: Path, out: Path) -> None:
    """Known pixels as they came, and no black left in the hole."""
    before, after = (np.asarray(Image.open(path)) for path in (photo, out))
    hole = np.asarray(Image.open(mask)) > 127
    assert after.shape == before.shape
    assert np.array_equal(after[~hole], before[~hole])
    assert after[hole].max(axis=-1).min() > 0


@pytest.mark.parametrize("library", ["torch", "skimage.data", "onnx"])
def test_the_training_libraries_are_really_hidden(library):
    finished = python(HIDE + f"import {library}")
    assert finished.returncode == 1
    assert f"No module named '{library.partition('.')[0]}'" in finished.stderr


def test_import_works_without_torch():
    assert without_torch(code="import inpaintkit; print(inpaintkit.__version__)").strip() == inpaintkit.__version__


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_works_without_torch(arguments):
    assert "Usage" in without_torch(*arguments)


def test_doctor_works_without_torch():
    assert inpaintkit.__version__ in without_torch("doctor")


def test_fill_command_works_without_torch(tmp_path):
    photo, mask = draw_photo_and_mask(tmp_path)
    out = tmp_path / "filled.png"
    without_torch("fill", photo, "--mask", mask, "-o", out, "--model", "telea")
    assert_filled(photo, mask, out)


def test_fill_function_works_without_torch(tmp_path):
    photo, mask = draw_photo_and_mask(tmp_path)
    out = tmp_path / "filled.png"
    code = """
import numpy, inpaintkit
from PIL import Image
pixels, hole = numpy.asarray(Image.open(sys.argv[1])), numpy.asarray(Image.open(sys.argv[2]))
Image.fromarray(inpaintkit.fill(pixels, hole, model='telea')).save(sys.argv[3])
"""
    without_torch(photo, mask, out, code=code)
    assert_filled(photo, mask, out)


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_loads_no_heavy_library(verb):
    code = """
import sys, json
from inpaintkit.cli import main
sys.argv = ['inpaintkit', *filter(None, sys.argv[1:]), '--help']
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)
"""
    finished = python(code, verb)
    loaded = set(json.loads(finished.stderr.splitlines()[-1]))
    assert "Usage" in finished.stdout
    assert loaded & {"numpy", "cv2", "PIL", "onnxruntime", "tifffile", *HIDDEN.split()} == set()


def test_every_module_imports_and_fill_is_still_the_function():
    pytest.importorskip("torch")
    code = """
import importlib, pkgutil, sys

class Watch:
    '''Notes which of our modules asks for torchvision; other libraries may look for it.'''
    asked_by = []
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torchvision':
            frame = sys._getframe(1)
            while frame and 'importlib' in frame.f_code.co_filename:
                frame = frame.f_back
            if frame and frame.f_globals.get('__name__', '').startswith('inpaintkit'):
                Watch.asked_by.append(frame.f_globals['__name__'])

sys.meta_path.insert(0, Watch())
import inpaintkit
names = [module.name for module in pkgutil.walk_packages(inpaintkit.__path__, 'inpaintkit.')]
for name in names:
    if not name.endswith('__main__'):
        importlib.import_module(name)
import numpy as np
image, mask = np.full((40, 48, 3), 90, np.uint8), np.zeros((40, 48), bool)
mask[10:20, 12:30] = True
for _ in range(2):
    filled = inpaintkit.fill(image, mask, model='telea')
    assert filled.shape == image.shape and filled.dtype == image.dtype
assert Watch.asked_by == [], Watch.asked_by
print(len(names))
"""
    finished = python(code)
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout.splitlines()[-1]) >= 10


@pytest.mark.slow
def test_fill_in_a_clean_environment(tmp_path):
    folder = tmp_path / "venv"
    venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(folder)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(program: str, *arguments: object) -> str:
        command = [str(scripts / program), *map(str, arguments)]
        finished = subprocess.run(
            command, capture_output=True, encoding="utf-8", env=environment, cwd=tmp_path, check=False
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PROJECT)
    packages = {entry["name"].lower() for entry in json.loads(run("python", "-m", "pip", "list", "--format", "json"))}
    assert packages & set(HIDDEN.split()) == set()
    photo, mask = draw_photo_and_mask(tmp_path)
    for verb in ([], ["fill"], ["doctor"]):
        assert "Usage" in run("inpaintkit", *verb, "--help")
    run("inpaintkit", "doctor")
    for model in ("telea", "default"):
        out = tmp_path / f"{model}.png"
        run("inpaintkit", "fill", photo, "--mask", mask, "-o", out, "--model", model)
        assert_filled(photo, mask, out)
