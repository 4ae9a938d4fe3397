"""Makes a virtual environment: `demo FOLDER` for the light package, `test FOLDER` for all that the tests need.

The standard library is all this needs. The demo's environment holds the package itself, as a user would install it; the
test environment holds it in editable form with its development tools. PyTorch is treated with care, because a build for
CUDA weighs gigabytes: one that the chosen interpreter can import is used as it is, else the one that
constraints-test.txt pins is installed first, and in both cases pip is held to it for everything that follows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 11)
ASK_TORCH = "import torch; print(torch.__version__)"
ASK_FOLDERS = "import sysconfig; print(sysconfig.get_path('purelib'))"


def importable_torch(python: str) -> str | None:
    """The version of the PyTorch an interpreter can import, None where there is none or it is too old."""
    asked = subprocess.run([python, "-c", ASK_TORCH], capture_output=True, text=True, check=False)
    version = asked.stdout.strip()
    if asked.returncode != 0 or not version:
        return None
    numbers = tuple(int(number) for number in version.split("+")[0].split(".")[:2])
    return version if numbers >= OLDEST_TORCH else None


def pip(python: Path, *arguments: str) -> None:
    """Runs the environment's own pip; its output is the user's to see."""
    subprocess.run([str(python), "-m", "pip", "--disable-pip-version-check", *arguments], cwd=PROJECT, check=True)


def new_environment(folder: Path, system_packages: bool) -> Path:
    """A fresh virtual environment in place of any former one; returns its interpreter."""
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=os.name != "nt", system_site_packages=system_packages).create(
        folder
    )
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def share_packages(folder: Path, python: Path) -> None:
    """Lets an environment see the packages of the one this script runs in.

    `system_site_packages` shares those of the interpreter's installation, not those of a virtual environment.
    """
    asked = subprocess.run([str(python), "-c", ASK_FOLDERS], capture_output=True, text=True, check=True)
    own = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    Path(asked.stdout.strip(), "shared_packages.pth").write_text("\n".join(own) + "\n", encoding="utf-8")


def make_demo(folder: Path) -> None:
    """The light package alone, as `pip install inpaintkit` gives it."""
    python = new_environment(folder, system_packages=False)
    pip(python, "install", "--quiet", ".")


def make_test(folder: Path) -> None:
    """The package in editable form with its training side and development tools, and a PyTorch that pip leaves."""
    found = importable_torch(sys.executable)
    python = new_environment(folder, system_packages=found is not None)
    constraint = PROJECT / "constraints-test.txt"
    if found is not None:
        if importable_torch(str(python)) != found:
            share_packages(folder, python)
        print(f"using the importable PyTorch {found}")
        constraint = folder / "constraints.txt"
        constraint.write_text(f"torch=={found}\n", encoding="utf-8")
    else:
        print(f"installing the PyTorch that {constraint.name} pins")
        pip(python, "install", "--quiet", "--constraint", str(constraint), "torch")
    pip(python, "install", "--quiet", "--constraint", str(constraint), "--editable", ".[dev]")


def main() -> None:
    """Reads the two arguments and makes the environment."""
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        given = sys.version.split()[0]
        sys.exit(f"this is Python {given}, inpaintkit needs {wanted} or newer: try make PYTHON=python{wanted}")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=("demo", "test"))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    folder = PROJECT / given.folder
    try:
        make_demo(folder) if given.kind == "demo" else make_test(folder)
    except subprocess.CalledProcessError as failure:
        sys.exit(f"making {given.folder} failed (exit status {failure.returncode}); what pip said stands above")


if __name__ == "__main__":
    main()
