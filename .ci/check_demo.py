"""Looks at what `inpaintkit demo` wrote in the current folder; run by the Python that has the light package.

Fails when a pixel outside the mask differs from the photo that went in, when most of the hole is as it was, or when the
light environment holds PyTorch. Reads the pictures with Pillow, so that no code of the package vouches for itself.
"""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import inpaintkit

ASSETS = Path(inpaintkit.__file__).parent / "assets"


def pixels(path: Path, mode: str) -> np.ndarray:
    """A picture's values."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert(mode))


def faults(folder: Path) -> list[str]:
    """What is wrong with the demo's pictures, in words."""
    given = pixels(next(ASSETS.glob("*.jpg")), "RGB")
    hole = pixels(next(ASSETS.glob("*-mask.png")), "L") > 127
    photo, filled = pixels(folder / "photo.png", "RGB"), pixels(folder / "filled.png", "RGB")
    if not given.shape == photo.shape == filled.shape or hole.shape != given.shape[:2]:
        return [
            f"sizes differ: in {given.shape}, photo.png {photo.shape}, filled.png {filled.shape}, mask {hole.shape}"
        ]
    found = []
    if not np.array_equal(photo, given):
        found.append("photo.png is not the photo that ships with the package")
    if not np.array_equal(pixels(folder / "mask.png", "L") > 127, hole):
        found.append("mask.png is not the mask that ships with the package")
    changed = np.any(filled != given, axis=-1)
    if np.any(changed & ~hole):
        found.append(f"{np.count_nonzero(changed & ~hole)} pixels outside the mask differ from the photo")
    if np.count_nonzero(changed & hole) < 0.5 * np.count_nonzero(hole):
        found.append("most of the hole is as it was")
    if not (folder / "before-mask-after.png").is_file():
        found.append("before-mask-after.png is missing")
    return found


def environment_megabytes() -> float:
    """Size of all installed files in this environment, pip and the package itself among them."""
    sites = {Path(str(distribution.locate_file(""))) for distribution in importlib.metadata.distributions()}
    return sum(file.stat().st_size for site in sites for file in site.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    """Prints what was found; exit status 1 when something is wrong."""
    found = faults(Path("inpaintkit-demo"))
    if importlib.util.find_spec("torch") is not None:
        found.append("the light environment holds torch")
    if found:
        sys.exit("the demo is wrong: " + "; ".join(found))
    print(
        f"the demo is right: outside the mask all is as it was; the environment takes {environment_megabytes():.0f} MB"
    )


if __name__ == "__main__":
    main()
