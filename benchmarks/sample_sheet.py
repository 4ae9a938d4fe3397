"""Fill scikit-image's bundled photos by several models and set the results side by side.

    python benchmarks/sample_sheet.py -o sheet.jpg [--models default,glcic,ns] [--size 256] [--seed 0]

A row a photo: holed, each model, truth. Photos and masks are not chosen by result: every photo of the
list appears, its mask drawn by the shape `mixed` from the seed and the row's number.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import skimage.data

import inpaintkit
from inpaintkit.masks import SHAPES
from inpaintkit.photo import Photo, encode_photo


def square(name: str, size: int) -> np.ndarray:
    """The photo's middle square at `size` px, RGB."""
    photo = getattr(skimage.data, name)()
    photo = np.repeat(photo[..., None], 3, 2) if photo.ndim == 2 else photo[..., :3]
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    return cv2.resize(photo[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)


def row(name: str, number: int, models: list[str], size: int, seed: int) -> np.ndarray:
    """Holed photo, fills, truth."""
    photo = square(name, size)
    mask = SHAPES["mixed"](size, size, np.random.default_rng([seed, number]))
    holed = photo.copy()
    holed[mask] = 128
    return np.concatenate([holed, *(inpaintkit.fill(photo, mask, model) for model in models), photo], 1)


def main() -> None:
    """Fill, assemble, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--models", default="default,glcic,ns")
    parser.add_argument("--photos", default="chelsea,coffee,astronaut,rocket,brick,grass,gravel")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    models, names = arguments.models.split(","), arguments.photos.split(",")
    rows = [row(name, number, models, arguments.size, arguments.seed) for number, name in enumerate(names)]
    kind = "JPEG" if arguments.out.suffix in {".jpg", ".jpeg"} else "PNG"
    arguments.out.write_bytes(encode_photo(Photo(np.concatenate(rows)), kind, quality=80 if kind == "JPEG" else None))
    print(f"{arguments.out}: columns are holed, {', '.join(models)}, truth; rows are {', '.join(names)}")


if __name__ == "__main__":
    main()
