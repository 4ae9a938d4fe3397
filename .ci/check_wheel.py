"""Looks into the wheel in a folder: every file of the package is in it, with what the package reads at run time."""

import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
NEEDED = (
    "inpaintkit/py.typed",
    "inpaintkit/weights/*.onnx",
    "inpaintkit/weights/*.json",
    "inpaintkit/recipes/*.toml",
    "inpaintkit/assets/*",
    "inpaintkit/evaluation/page/*.css",
    "inpaintkit/evaluation/page/*.js",
    "inpaintkit/serve/static/*.html",
    "inpaintkit/serve/static/*.js",
    "*.dist-info/licenses/LICENSE",
    "*.dist-info/licenses/licenses/WEIGHTS.md",
)
LEFT_OUT = ("inpaintkit/weights/features.safetensors",)
LARGEST_MB = 40


def main() -> None:
    """Compares the wheel with the source tree and with the list above."""
    wheels = sorted(Path(sys.argv[1]).glob("inpaintkit-*.whl"))
    if not wheels:
        sys.exit(f"no inpaintkit wheel in {sys.argv[1]}")
    wheel = max(wheels, key=lambda path: path.stat().st_mtime)
    names = set(zipfile.ZipFile(wheel).namelist())
    source = PROJECT / "src"
    present = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    missing = [path.relative_to(source).as_posix() for path in present]
    missing = [name for name in missing if name not in names and name not in LEFT_OUT]
    missing += [pattern for pattern in NEEDED if not any(fnmatch(name, pattern) for name in names)]
    foreign = sorted(name for name in names if not name.startswith(("inpaintkit/", "inpaintkit-")) or name in LEFT_OUT)
    size_mb = wheel.stat().st_size / 1e6
    faults = [f"missing: {name}" for name in missing] + [f"not of this package: {name}" for name in foreign]
    if size_mb > LARGEST_MB:
        faults.append(f"{size_mb:.1f} MB, at most {LARGEST_MB} are wanted")
    if faults:
        sys.exit(f"{wheel.name}: " + "; ".join(faults))
    print(f"{wheel.name}: {len(names)} files, {size_mb:.1f} MB")


if __name__ == "__main__":
    main()
