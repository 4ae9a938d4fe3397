"""The light side works where PyTorch is not installed: importing it, its command line, fills and comparisons.

The fast tests start an interpreter in which the training side's libraries cannot be imported; the slow one makes a real
environment with nothing but the light package in it.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
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
    "onnxscript tensorboard tqdm skimage scipy openvino pillow_heif fastapi starlette uvicorn multipart "
    "python_multipart"
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


def python(
    code: str, *arguments: object, cwd: Path | None = None, first: Path | None = None
) -> subprocess.CompletedProcess:
    """Runs code in a fresh interpreter that finds this package; modules in `first` come before all others."""
    paths = [*map(str, filter(None, [first])), str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8", "COLUMNS": "120"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=cwd, check=False)


def without_torch(*arguments: object, code: str = COMMAND_LINE) -> str:
    """Standard output of the command line, or of other code, in an interpreter without the training libraries."""
    finished = python(HIDE + code, *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    return finished.stdout


@pytest.fixture
def inpaintkit_without_torch(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """The command line in interpreters without the training libraries: its own, and those of the processes it starts.

    Python imports `sitecustomize` at every start, so that worker processes do without those libraries as well.
    """
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HIDE, encoding="utf-8")

    def run(*arguments: object) -> subprocess.CompletedProcess:
        return python("from inpaintkit.cli import main, sys; sys.exit(main())", *arguments, cwd=tmp_path, first=site)

    return run


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


def draw_comparison(folder: Path) -> list[str]:
    """Two photos and a mask in folders, and the options of `compare` that name them."""
    for name in ("photos", "masks"):
        (folder / name).mkdir()
    photo, mask = draw_photo_and_mask(folder)
    for name in ("a.png", "b.png"):
        (folder / "photos" / name).write_bytes(photo.read_bytes())
    (folder / "masks" / "hole.png").write_bytes(mask.read_bytes())
    return ["--images", "photos", "--masks", "masks", "--size", "64", "--workers", "2"]


def assert_compared(report: Path, methods: list[str]) -> None:
    """Every method filled both photos, nothing known was changed, and the costs say what could not be counted."""
    found = json.loads(report.joinpath("report.json").read_text(encoding="utf-8"))
    rows = found["tables"][0]["rows"]
    assert [row["method"] for row in rows] == methods
    assert all((row["photos"], row["failed"], row["known_changed"]) == (2, 0, 0) for row in rows)
    assert all(row["metrics"]["hole_ssim"]["photos"] == 2 for row in rows)
    assert "<html" in report.joinpath("report.html").read_text(encoding="utf-8")
    assert report.joinpath("study.html").is_file()
    costs = {row["label"]: row for row in found["costs"]}
    assert all(row["error"] is None and row["seconds_median"] > 0 for row in costs.values())
    assert costs["telea"]["uncounted"] is None
    assert costs["default"]["uncounted"] == "counting needs the package 'onnx': pip install 'inpaintkit[train]'"


@pytest.mark.parametrize("library", ["torch", "skimage"])
def test_worker_processes_do_without_the_libraries_too(library, tmp_path, inpaintkit_without_torch):
    code = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', sys.argv[1]]).returncode)"
    finished = python(code, f"import {library}", first=tmp_path / "site")
    assert finished.returncode == 1
    assert f"No module named '{library}'" in finished.stderr


def test_compare_works_without_torch(tmp_path, inpaintkit_without_torch):
    given = draw_comparison(tmp_path)
    methods = ["telea", "default", "default+detail"]
    finished = inpaintkit_without_torch("compare", *given, "--methods", ",".join(methods), "--study", "--out", "report")
    assert finished.returncode == 0, finished.stderr
    assert "`default+detail`" in finished.stdout
    assert_compared(tmp_path / "report", methods)


@pytest.mark.parametrize(
    ("options", "extra"),
    [
        (["--methods", "biharmonic"], "classical"),
        (["--methods", "telea,run"], "train"),
        (["--methods", "telea", "--features", "own"], "train"),
        (["--methods", "telea", "--lpips", "weights.pth"], "train"),
        (["--methods", "telea", "--inception", "weights.pth"], "train"),
    ],
    ids=["scikit-image", "a run", "features", "LPIPS", "FID"],
)
def test_compare_names_the_extra_that_it_needs(options, extra, tmp_path, inpaintkit_without_torch):
    given = draw_comparison(tmp_path)
    (tmp_path / "run").mkdir()
    finished = inpaintkit_without_torch("compare", *given, *options, "--no-costs", "--quiet", "--out", "report")
    assert finished.returncode == 1
    assert finished.stdout == ""
    [line] = finished.stderr.splitlines()
    assert line.startswith("inpaintkit: ")
    assert f"pip install 'inpaintkit[{extra}]'" in line


def test_metrics_work_without_torch(tmp_path):
    photo, mask = draw_photo_and_mask(tmp_path)
    out = tmp_path / "filled.png"
    without_torch("fill", photo, "--mask", mask, "-o", out, "--model", "telea")
    found = json.loads(without_torch("metrics", photo, out, "--mask", mask, "--json"))
    assert found["known_changed"] == 0
    assert found["metrics"]["hole_l1"]["value"] > 0
    assert found["metrics"]["ssim"]["value"] < 1
    for option in ("--features", "--lpips"):
        finished = python(HIDE + COMMAND_LINE, "metrics", photo, out, "--mask", mask, option, "own")
        assert (finished.returncode, len(finished.stderr.splitlines())) == (1, 1)
        assert "pip install 'inpaintkit[train]'" in finished.stderr


def test_mask_sets_work_without_torch(tmp_path):
    folder = tmp_path / "set"
    assert "free_form_256" in without_torch("masks", "list")
    without_torch("masks", "make", "centre_256", "--out", folder)
    assert "all as written" in without_torch("masks", "check", folder)


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
def test_the_commands_in_a_clean_environment(tmp_path):
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
    for verb in ([], ["fill"], ["doctor"], ["compare"], ["metrics"], ["masks"]):
        assert "Usage" in run("inpaintkit", *verb, "--help")
    run("inpaintkit", "doctor")
    for model in ("telea", "default"):
        out = tmp_path / f"{model}.png"
        run("inpaintkit", "fill", photo, "--mask", mask, "-o", out, "--model", model)
        assert_filled(photo, mask, out)
    run("inpaintkit", "masks", "make", "lama_medium_256", "--out", "set")
    assert "all as written" in run("inpaintkit", "masks", "check", "set")
    assert "hole L1" in run("inpaintkit", "metrics", photo, tmp_path / "default.png", "--mask", mask)
    given = draw_comparison(tmp_path)
    methods = ["telea", "default", "gmcnn", "default+detail", "patch"]
    run("inpaintkit", "compare", *given, "--methods", ",".join(methods), "--study", "--out", "report")
    assert_compared(tmp_path / "report", methods)
