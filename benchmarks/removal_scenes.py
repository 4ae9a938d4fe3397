"""Large scenes made by code, and objects with soft shadows pasted over them, for `object_removal.py`.

No photo of 12 megapixels may lie in the project, so scenes are composed of scikit-image's bundled photos. Their
textures are sampled near their own resolution through random smooth displacements, mirrored beyond the border: nothing
repeats exactly. Pictures of things are enlarged and given fresh fine texture where they have texture at all. Light,
shading and a little sensor noise, the same over the whole scene, come last. All of it is a function of the seed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

Plane = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Hole = NDArray[np.bool_]

FULL_SIZE = (3000, 4000)
"""Height and width of a scene: 12 megapixels."""

NOISE = 0.008
"""Standard deviation of the sensor noise, of the range."""

SHADOW_FLOOR = 0.01
"""Darkening by a shadow below which a pixel counts as untouched."""

MASK_MARGIN_PX = 6
"""Pixels by which the mask exceeds object and shadow, as a careful hand would draw it."""


@dataclass(frozen=True, eq=False)
class Removal:
    """A scene as it was and with an object over it: (H, W, 3) uint8, and what the object hides, True = missing."""

    name: str
    truth: Pixels
    shown: Pixels
    hole: Hole


# --- Textures --------------------------------------------------------------------------------------------------------


def _smooth(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> Plane:
    """Noise of variance near 1 whose features are about `cell` pixels wide."""
    height, width = shape
    coarse = rng.standard_normal((int(height / cell) + 4, int(width / cell) + 4)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _fractal(shape: tuple[int, int], cell: float, rng: np.random.Generator, fall: float = 0.6) -> Plane:
    """Noise of variance 1 with features from `cell` pixels down to two."""
    total = np.zeros(shape, np.float32)
    share = 1.0
    while cell >= 2:
        total += np.float32(share) * _smooth(shape, cell, rng)
        cell, share = cell / 2, share * fall
    return np.asarray(total / max(float(total.std()), 1e-6), np.float32)


def _texture(name: str, shape: tuple[int, int], rng: np.random.Generator, near: float = 1.0, far: float = 1.0) -> Plane:
    """A bundled texture, (H, W) in [0,1]; `far` and `near` are its photo's pixels per pixel at top and bottom."""
    photo = np.asarray(getattr(data, name)(), np.float32) / 255
    height, width = shape
    step = np.linspace(far, near, height, dtype=np.float32)[:, None]
    down = np.cumsum(step, axis=0) + np.float32(rng.uniform(0, 512))
    along = (np.arange(width, dtype=np.float32)[None] - width / 2) * step + np.float32(rng.uniform(0, 512))
    wander = 5.0 if name == "brick" else 25.0  # pixels; bricks lie in rows
    down = down + wander * _smooth(shape, 350, rng)
    along = along + wander * _smooth(shape, 350, rng)
    folded = (_mirrored(places, side) for places, side in ((along, photo.shape[1]), (down, photo.shape[0])))
    return np.asarray(cv2.remap(photo, *folded, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _mirrored(places: Plane, side: int) -> Plane:
    """Places on an endless line, folded back and forth into a picture's side."""
    return np.asarray(np.abs(np.mod(places, 2 * (side - 1)) - (side - 1)), np.float32)


def _tinted(grey: Plane, dark: tuple[float, float, float], light: tuple[float, float, float]) -> Plane:
    """A grey picture between two colours, (H, W, 3)."""
    low, high = np.float32(dark), np.float32(light)
    return np.asarray(low + grey[..., None] * (high - low), np.float32)


def _enlarged(photo: Pixels, shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A picture of things, cropped to the shape's proportions and enlarged, with fresh texture where it has any."""
    height, width = shape
    rows = min(photo.shape[0], round(photo.shape[1] * height / width))
    columns = min(photo.shape[1], round(rows * width / height))
    first = (photo.shape[0] - rows) // 2
    part = photo[first : first + rows, :columns].astype(np.float32) / 255
    large = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LANCZOS4), np.float32)
    rough = cv2.GaussianBlur(np.abs(part - cv2.GaussianBlur(part, (0, 0), 1.5)).mean(axis=2), (0, 0), 3)
    rough = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    fine = _texture("gravel", shape, rng, 1.2, 1.2) - 0.5 + 0.05 * _fractal(shape, 16, rng, 0.9)
    return np.asarray(large + (2.0 * np.clip(rough, 0, 0.08) * fine)[..., None], np.float32)


# --- Scenes ----------------------------------------------------------------------------------------------------------


def _sky(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Blue that pales towards the horizon, and clouds."""
    height, width = shape
    pale = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    clouds = np.clip(_fractal(shape, width / 5, rng, 0.55) * 0.5 - 0.1, 0, 1)
    return _tinted(np.clip(0.7 * pale + clouds, 0, 1), (0.36, 0.55, 0.80), (0.93, 0.95, 0.97))


def _over(below: Plane, above: Plane, edge: Plane, softness: float = 1.5) -> Plane:
    """`above` where a row lies above the `edge` (W,), `below` elsewhere."""
    rows = np.arange(below.shape[0], dtype=np.float32)[:, None]
    share = np.clip((edge[None] - rows) / np.float32(2 * softness) + 0.5, 0, 1)[..., None]
    return np.asarray(share * above + (1 - share) * below, np.float32)


def meadow(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Grass that grows finer towards a line of trees, under a sky."""
    height, width = shape
    grass = _tinted(_texture("grass", shape, rng, 0.8, 2.2), (0.05, 0.10, 0.02), (0.62, 0.72, 0.30))
    grass *= 1 + 0.08 * _fractal(shape, 500, rng)[..., None]
    trees = _tinted(_texture("grass", shape, rng, 1.6, 1.6), (0.02, 0.05, 0.03), (0.30, 0.40, 0.20))
    horizon = 0.42 * height + 0.01 * height * _fractal((1, width), width / 3, rng)[0]
    tops = horizon - 0.06 * height - 0.02 * height * _fractal((1, width), width / 8, rng, 0.7)[0]
    return _over(_over(grass, trees, horizon, 6), _sky(shape, rng), tops, 2)


def wall(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Bricks above gravel, with a kerb between them."""
    height, width = shape
    bricks = _tinted(_texture("brick", shape, rng, 0.7, 0.7), (0.20, 0.09, 0.06), (0.86, 0.55, 0.42))
    bricks *= 1 + 0.10 * _fractal(shape, 900, rng)[..., None]
    gravel = _tinted(_texture("gravel", shape, rng, 0.8, 1.4), (0.10, 0.09, 0.08), (0.85, 0.81, 0.74))
    kerb = _tinted(0.6 + 0.07 * _fractal(shape, 40, rng, 0.85), (0, 0, 0), (0.95, 0.95, 0.92))
    slope = np.linspace(-0.02, 0.02, width, dtype=np.float32) * height
    return _over(_over(gravel, kerb, 0.66 * height + slope), bricks, 0.62 * height + slope)


def planks(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Boards that run aslant, with grain along them, dark joints between them and boards of differing tone."""
    height, width = shape
    down, along = np.mgrid[:height, :width].astype(np.float32)
    across = down + 0.25 * along + 6 * _smooth(shape, 900, rng)
    board = np.float32(height / 9)
    number = np.floor(across / board).astype(np.int64)
    tone = rng.uniform(0.42, 0.68, int(number.max()) + 1).astype(np.float32)[number]
    lengthwise = along - 0.25 * down
    grain = _fractal(shape, 64, rng, 0.8)
    ahead, beside = _mirrored(lengthwise / 14, width), _mirrored(across + 37 * number, height)
    streaks = np.asarray(cv2.remap(grain, ahead, beside, cv2.INTER_CUBIC), np.float32)
    gap = np.mod(across, board)
    dark = 1 - 0.8 * np.exp(-np.square(np.minimum(gap, board - gap) / 5))
    grey = np.clip((tone + 0.07 * streaks) * dark, 0, 1)
    return _tinted(np.asarray(grey, np.float32), (0.05, 0.03, 0.02), (0.98, 0.80, 0.58))


def path(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A curved path of gravel through grass, seen from above."""
    height, width = shape
    grass = _tinted(_texture("grass", shape, rng, 0.9, 0.9), (0.05, 0.09, 0.03), (0.60, 0.70, 0.34))
    gravel = _tinted(_texture("gravel", shape, rng, 0.8, 0.8), (0.16, 0.13, 0.10), (0.92, 0.86, 0.76))
    columns = np.linspace(0, 1, width, dtype=np.float32)
    middle = height * (0.5 + 0.22 * np.sin(2.2 * np.pi * columns + rng.uniform(0, 6)))
    ragged = [8 * _fractal((1, width), 60, rng, 0.8)[0] for _ in range(2)]
    upper, lower = (middle + sign * 0.17 * height + rag for sign, rag in zip((-1, 1), ragged, strict=True))
    scene = _over(_over(grass, gravel, lower), grass, upper)
    return np.asarray(scene * (1 + 0.06 * _fractal(shape, 1200, rng)[..., None]), np.float32)


def table(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A cup of coffee on a table, enlarged."""
    return _enlarged(np.asarray(data.coffee()), shape, rng)


def cat(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A cat's face, enlarged."""
    return _enlarged(np.asarray(data.chelsea()), shape, rng)


SCENES: dict[str, Callable[[tuple[int, int], np.random.Generator], Plane]] = {
    "meadow": meadow,
    "wall": wall,
    "planks": planks,
    "path": path,
    "table": table,
    "cat": cat,
}
"""The scenes by name."""


# --- Objects ---------------------------------------------------------------------------------------------------------


def _cutout(name: str, side: int, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """An object (side, side, 3) and how far it covers, (side, side)."""
    down, along = np.mgrid[:side, :side].astype(np.float32) / np.float32(side) * 2 - 1
    if name == "ball":
        light = np.clip(1 - np.hypot(down + 0.35, along + 0.35) / 1.5, 0.05, 1)
        picture = light[..., None] * np.float32(rng.uniform(0.3, 1.0, 3)) + 0.25 * np.square(light)[..., None]
        radius = np.hypot(down, along)
    elif name == "crate":
        picture = _tinted(_texture("brick", (side, side), rng, 0.6, 0.6), (0.1, 0.1, 0.2), (0.7, 0.75, 0.9))
        radius = np.maximum(np.abs(down + 0.15 * along), np.abs(along)) * 1.2
    else:
        photo, (top, left, extent) = {
            "portrait": (data.astronaut(), (0, 110, 220)),
            "cup": (data.coffee(), (60, 150, 260)),
            "head": (data.chelsea(), (20, 110, 200)),
        }[name]
        part = np.asarray(photo)[top : top + extent, left : left + extent].astype(np.float32) / 255
        picture = cv2.resize(part, (side, side), interpolation=cv2.INTER_CUBIC)
        radius = np.hypot(down / 0.95, along / 0.8)
    cover = np.clip((1 - radius) * side / 6 + 0.5, 0, 1)
    return np.asarray(picture, np.float32), np.asarray(cover, np.float32)


OBJECTS = ("ball", "portrait", "crate", "cup", "head")
"""What is pasted over a scene and is to be taken out again."""


def pasted(
    truth: Plane, name: str, side: int, place: tuple[float, float], rng: np.random.Generator
) -> tuple[Plane, Hole]:
    """The scene with an object `side` px wide centred at `place` (shares of height and width), and what it hides."""
    height, width = truth.shape[:2]
    picture, cover = _cutout(name, side, rng)
    top = int(np.clip(place[0] * height - side / 2, 0, height - side))
    left = int(np.clip(place[1] * width - side / 2, 0, width - side))
    down, along = np.mgrid[:height, :width].astype(np.float32)
    centre = top + 0.93 * side, left + 0.62 * side
    distance = np.hypot((down - centre[0]) / (0.16 * side), (along - centre[1]) / (0.55 * side))
    shadow = 0.55 * np.clip(1.3 - distance, 0, 1) ** 1.5
    shown = truth * (1 - shadow[..., None])
    box = (slice(top, top + side), slice(left, left + side))
    shown[box] += cover[..., None] * (picture - shown[box])
    hidden = shadow > SHADOW_FLOOR
    hidden[box] |= cover > 0
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MASK_MARGIN_PX + 1,) * 2)
    return shown, cv2.dilate(hidden.view(np.uint8), kernel) > 0


def removals(
    scenes: Iterable[tuple[str, Plane]], sizes: Sequence[float], seed: int, noise: float = NOISE
) -> Iterator[Removal]:
    """Every scene with one object of each of `sizes` (shares of the scene's height) at a time, and sensor noise."""
    for number, (name, truth) in enumerate(scenes):
        rng = np.random.default_rng([seed, number])
        grain = rng.standard_normal(truth.shape, np.float32) * np.float32(noise)
        for index, share in enumerate(sizes):
            kind = OBJECTS[(number + index) % len(OBJECTS)]
            place = (rng.uniform(0.45, 0.65), rng.uniform(0.3, 0.7))
            side = min(round(share * truth.shape[0]), *truth.shape[:2])
            shown, hole = pasted(truth, kind, side, place, rng)
            yield Removal(f"{name}, {kind} of {side} px", _bytes(truth + grain), _bytes(shown + grain), hole)


def drawn_scenes(names: Sequence[str], shape: tuple[int, int], seed: int) -> Iterator[tuple[str, Plane]]:
    """The named scenes, (H, W, 3) around [0,1]."""
    for name in names:
        yield name, SCENES[name](shape, np.random.default_rng([seed, list(SCENES).index(name), 1]))


def _bytes(picture: Plane) -> Pixels:
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)
