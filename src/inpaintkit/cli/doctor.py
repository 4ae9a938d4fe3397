"""`inpaintkit doctor`: versions, engines, device and models, and a fill to see that they work."""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from typing import Annotated, Any

import typer

from . import printable

LIBRARIES = {
    "numpy": "numpy",
    "pillow": "PIL.Image",
    "opencv-python-headless": "cv2",
    "tifffile": "tifffile",
    "onnxruntime": "onnxruntime",
    "typer": "typer",
}
"""What is needed, and the module that shows whether it can be loaded."""

OPTIONAL_LIBRARIES = {"openvino": "openvino", "torch": "torch", "scikit-image": "skimage", "onnx": "onnx"}
"""The same for what an extra brings."""


def command(as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False) -> int:
    """Print versions, engines, device and models, and whether all is well (exit status 0) or not (1)."""
    findings = examine()
    if as_json:
        typer.echo(json.dumps(findings))
    else:
        _print(findings)
    return 0 if findings["well"] else 1


def examine() -> dict[str, Any]:
    """What is installed and whether it works; `problems` says in words what does not."""
    from .. import __version__

    versions = {name: _version(name) for name in LIBRARIES}
    optional = {name: _version(name) for name in OPTIONAL_LIBRARIES}
    problems = [f"{name} is not installed: reinstall inpaintkit" for name, found in versions.items() if found is None]
    modules = {**LIBRARIES, **OPTIONAL_LIBRARIES}
    problems += filter(None, (_load(name, modules[name]) for name, found in {**versions, **optional}.items() if found))
    try:
        from ..filling.engines import model_names

        models = {name: _examine_model(name) for name in model_names()}
    except ImportError as error:  # of a library that every model needs
        models = {}
        problems += [] if problems else [f"no model can be opened ({error}): reinstall inpaintkit"]
    for name, about in models.items():
        if about["problem"] and (name != "biharmonic" or importlib.util.find_spec("skimage") is not None):
            problems.append(about["problem"])
    return {
        "inpaintkit": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": versions,
        "optional_libraries": optional,
        "engines": ["onnx", *(name for name in ("openvino", "torch") if importlib.util.find_spec(name))],
        "device": f"CPU with {os.cpu_count()} cores",
        "models": models,
        "problems": problems,
        "well": not problems,
    }


def _version(name: str) -> str | None:
    """An installed distribution's version; OpenCV may come under any of its four names."""
    names = [name]
    if name.startswith("opencv"):
        names += ["opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"]
    for candidate in names:
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _load(name: str, module: str) -> str | None:
    """Why an installed library cannot be loaded, in one sentence; None when it can.

    An optional library that lacks another package counts as absent: it came with something else, not with our extra.
    """
    try:
        if name == "openvino":
            from ..filling.runtimes import import_openvino

            import_openvino()
        else:
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        return None if name in OPTIONAL_LIBRARIES else f"{name} cannot be loaded ({_reason(error)}): reinstall it"
    except Exception as error:  # a broken installation raises nearly anything
        return f"{name} cannot be loaded ({_reason(error)}): reinstall it"
    return None


def _reason(error: Exception) -> str:
    """An unexpected error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _examine_model(name: str) -> dict[str, Any]:
    """A model's terms and whether it fills a small drawn picture as it should."""
    from ..errors import InpaintError
    from ..weights import CATALOGUE, bundled

    found: dict[str, Any] = {"problem": None, "seconds": None, "engine": None, "precision": None, "terms": None}
    try:
        if name in CATALOGUE:
            found["terms"] = bundled(name).terms
        found.update(_try_out(name))
    except InpaintError as error:
        found["problem"] = str(error)
    except Exception as error:  # what is wrong with one model must not hide the others
        found["problem"] = f"model '{name}' fails ({_reason(error)}): reinstall inpaintkit"
    return found


def _try_out(name: str) -> dict[str, Any]:
    """Seconds for a fill of a drawn picture, and by what. Raises ModelError when the result cannot be right."""
    import numpy as np

    from ..errors import ModelError
    from ..filling.inpainter import Inpainter

    rows, columns = np.mgrid[0:96, 0:128]
    picture = np.stack([rows * 2, columns * 2 - 1, 255 - rows - columns], axis=2).clip(0, 255).astype(np.uint8)
    mask = np.zeros(picture.shape[:2], bool)
    mask[30:60, 40:80] = True
    wounded = picture.copy()
    wounded[mask] = (255, 0, 255)
    inpainter = Inpainter(name)
    filled, report = inpainter.fill_pixels(wounded, mask)
    if not np.array_equal(filled[~mask], picture[~mask]):
        raise ModelError(f"model '{name}' changed known pixels in a trial fill: report this with what doctor prints")
    if np.array_equal(filled[mask], wounded[mask]):
        raise ModelError(f"model '{name}' left the hole as it was in a trial fill: reinstall inpaintkit")
    precision = inpainter.engine.describe().get("precision")
    return {"seconds": round(report.seconds, 3), "engine": report.runtime, "precision": precision}


def _works(found: dict[str, Any]) -> str:
    """How a model did its trial fill."""
    by = f" by {found['engine']} in {found['precision']}" if found["precision"] else ""
    return f"works, {found['seconds']:.2f} s for a small trial fill{by}"


def _print(findings: dict[str, Any]) -> None:
    """The findings as aligned lines."""
    rows = [("inpaintkit", findings["inpaintkit"]), ("Python", f"{findings['python']} ({sys.executable})")]
    rows.append(("platform", findings["platform"]))
    rows += [(name, version or "not installed") for name, version in findings["libraries"].items()]
    rows += [(name, version or "not installed (optional)") for name, version in findings["optional_libraries"].items()]
    rows += [("device", findings["device"]), ("engines", ", ".join(findings["engines"]))]
    for name, found in findings["models"].items():
        state = "not usable" if found["problem"] else _works(found)
        rows.append((f"model {name}", f"{state}; terms: {found['terms']}" if found["terms"] else state))
    for label, value in rows:
        typer.echo(f"{label:<24} {value}")
    for problem in findings["problems"]:
        typer.echo(f"problem: {printable(problem)}")
    typer.echo("all is well" if findings["well"] else "not all is well")
