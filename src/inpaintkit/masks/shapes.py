"""Random holes to train and test on: every generator takes (height, width, rng) and returns a mask, True = missing.

Two families, told apart by the name:

- **A name that ends in a size** (`free_form_256`, `lama_thick_512`) is a published generator as its code draws it: same
  distribution, slips included, in that code's pixels whatever the frame. Use it for numbers set beside a paper's.
- **Any other name** is the clean variant: lengths are fractions of the frame's short side, coordinates and angles are
  continuous, slips are mended. At the size the paper used it covers the same area. Use it for everything else.

All are pure functions of their arguments (the same generator state gives the same mask), accept every frame from 1 x 1
pixel up and leave at least one pixel missing. Where a published distribution needs a larger frame than it is given, its
lengths are cut to fit. A hole that must lie within an area bound is drawn anew until it does, and after 32 vain draws
(in practice: in frames of a few pixels) a GLCIC rectangle takes its place.

Areas in the docstrings are means over 2,000 masks of the size named, as a share of the frame.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import MaskError, UsageError, unknown_name

Mask = npt.NDArray[np.bool_]
Shape = Callable[[int, int, np.random.Generator], Mask]

_Canvas = npt.NDArray[np.uint8]
_MAX_DRAWS = 32


# --- Rectangles -------------------------------------------------------------------------------------------------------


def rectangle(height: int, width: int, rng: np.random.Generator) -> Mask:
    """One rectangle, each side 3/8 to 1/2 of the short side of the frame (96 to 128 pixels at 256), anywhere.

    Sides and place are uniform over whole pixels, borders included. Mean area 0.19 of a square frame.
    Source: Iizuka et al. 2017 (GLCIC), the range as the authors' release states it.
    """
    canvas = _canvas(height, width)
    short = min(height, width)
    low, high = _rounded(short * 96 / 256), _rounded(short * 128 / 256)
    rows, columns = (int(side) for side in rng.integers(low, high + 1, size=2))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    canvas[top : top + rows, left : left + columns] = 1
    return canvas.view(np.bool_)


def centre(height: int, width: int, rng: np.random.Generator) -> Mask:
    """The square of half the short side in the middle of the frame; `rng` is not used.

    Area 0.25 of a square frame. Source: Pathak et al. 2016 (64 of 128), Wang et al. 2018 (GMCNN, 128 of 256).
    """
    canvas = _canvas(height, width)
    side = _rounded(min(height, width) / 2)
    top, left = (height - side) // 2, (width - side) // 2
    canvas[top : top + side, left : left + side] = 1
    return canvas.view(np.bool_)


def gmcnn_rectangle_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """A box of 128 pixels at a random place, then made 0 to 16 pixels smaller on both sides, height and width apart.

    The place is uniform over [0, side - 128), so the box never touches the bottom or right border (published slip).
    Mean area 0.19 at 256. Source: Wang et al. 2018 (GMCNN) and Yu et al. 2018 (contextual attention), released code.
    """
    canvas = _canvas(height, width)
    _shrunken_box(canvas, rng, 128, 16, last_place=0)
    return canvas.view(np.bool_)


def gmcnn_rectangle(height: int, width: int, rng: np.random.Generator) -> Mask:
    """A box of half the short side at a random place, made up to 1/16 of the short side smaller on both sides.

    Mean area 0.19 of a square frame. Source: as `gmcnn_rectangle_256`.
    Differs: scales with the frame; the last row and column of places can be drawn.
    """
    canvas = _canvas(height, width)
    short = min(height, width)
    _shrunken_box(canvas, rng, _rounded(short / 2), int(short / 16 + 0.5), last_place=1)
    return canvas.view(np.bool_)


# --- Brush strokes (DeepFill v2) --------------------------------------------------------------------------------------


def free_form_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """One to three zigzag brush strokes, 12 to 39 pixels wide at every frame size (DeepFill v2 as published).

    4 to 11 vertices a stroke; steps normal with mean diagonal / 8, clipped to twice that; angles about 2 pi / 5,
    mirrored at every other vertex, so strokes run from left to right (a slip: the release flips them and throws the
    result away). Mean area 0.15 at 256. Source: Yu et al. 2019, algorithm 1 and released code.
    """
    canvas = _canvas(height, width)
    for _ in range(int(rng.integers(1, 4))):
        _published_brush(canvas, rng, vertices=(4, 12), widths=(12, 40))
    return canvas.view(np.bool_)


def free_form(height: int, width: int, rng: np.random.Generator) -> Mask:
    """One to three zigzag brush strokes whose length and width scale with the frame (DeepFill v2, clean).

    Mean area 0.15 of a square frame. Source: as `free_form_256`.
    Differs: widths are 12/256 to 40/256 of the short side, steps follow the short side, coordinates are continuous, and
    every stroke is mirrored and turned a quarter at random, where the release throws its flips away.
    """
    canvas = _canvas(height, width)
    for _ in range(int(rng.integers(1, 4))):
        _brush(canvas, rng, vertices=(4, 12), widths=(12 / 256, 40 / 256))
    return canvas.view(np.bool_)


def deepfill_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """A brush drawing united with a box: what DeepFill v2 trained on.

    `free_form_256` or `gmcnn_rectangle_256`. Mean area 0.31 at 256. Source: Yu et al. 2019, released code.
    """
    return free_form_256(height, width, rng) | gmcnn_rectangle_256(height, width, rng)


def deepfill(height: int, width: int, rng: np.random.Generator) -> Mask:
    """A brush drawing united with a box, both scaled with the frame: DeepFill v2's training holes, clean.

    `free_form` or `gmcnn_rectangle`. Mean area 0.31 of a square frame. Source: as `deepfill_256`.
    """
    return free_form(height, width, rng) | gmcnn_rectangle(height, width, rng)


# --- LaMa's sets ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LamaSet:
    """The numbers of one of LaMa's mask sets, in pixels; ranges as the configuration states them, ends included."""

    strokes: tuple[int, int]
    length: int
    width: int
    box_share: float = 0.0
    margin: int = 0
    box_side: tuple[int, int] = (0, 0)
    boxes: tuple[int, int] = (0, 0)


_MOSTLY_STROKES = 0.3 / 1.3  # the configuration weighs strokes 1 and boxes 0.3
_THIN_256 = _LamaSet((4, 50), 40, 10)
_THIN_512 = _LamaSet((4, 70), 100, 20)
_MEDIUM_256 = _LamaSet((4, 5), 100, 50, _MOSTLY_STROKES, 0, (10, 50), (1, 5))
_MEDIUM_512 = _LamaSet((4, 10), 200, 100, _MOSTLY_STROKES, 0, (30, 150), (1, 5))
_THICK_256 = _LamaSet((1, 5), 200, 100, _MOSTLY_STROKES, 10, (30, 150), (1, 3))
_THICK_512 = _LamaSet((1, 5), 450, 250, _MOSTLY_STROKES, 10, (30, 300), (1, 4))
_TRAIN_256 = _LamaSet((1, 5), 200, 100, 0.5, 10, (30, 150), (1, 4))


def lama_thin_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """LaMa's thin test holes for 256 pixels as published: 4 to 51 chains of short lines, 5 to 14 pixels wide.

    Lines run in 8 directions only and one chain more than configured can be drawn (published slips); OpenCV draws them
    1 or 2 pixels wider than the stated width; holes above half the frame are drawn anew. Mean area 0.29 at 256.
    Source: Suvorov et al. 2022, released code and configuration.
    """
    return _at_most_half(height, width, rng, lambda canvas: _published_lama(canvas, rng, _THIN_256))


def lama_thin_512(height: int, width: int, rng: np.random.Generator) -> Mask:
    """LaMa's thin test holes for 512 pixels as published: 4 to 71 chains of lines, 5 to 24 pixels wide.

    Mean area 0.28 at 512. Slips, area bound and source as `lama_thin_256`.
    """
    return _at_most_half(height, width, rng, lambda canvas: _published_lama(canvas, rng, _THIN_512))


def lama_medium_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """LaMa's medium test holes for 256 pixels as published: 4 to 6 chains, 5 to 54 wide, or (3 in 13) 1 to 5 boxes.

    Mean area 0.24 at 256. Slips, area bound and source as `lama_thin_256`.
    """
    return _at_most_half(height, width, rng, lambda canvas: _published_lama(canvas, rng, _MEDIUM_256))


def lama_medium_512(height: int, width: int, rng: np.random.Generator) -> Mask:
    """LaMa's medium test holes for 512 pixels as published: 4 to 11 chains, 5 to 104 wide, or (3 in 13) 1 to 5 boxes.

    Mean area 0.27 at 512. Slips, area bound and source as `lama_thin_256`.
    """
    return _at_most_half(height, width, rng, lambda canvas: _published_lama(canvas, rng, _MEDIUM_512))


def lama_thick_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """LaMa's thick test holes for 256 pixels as published: 1 to 6 chains, 5 to 104 wide, or (3 in 13) 1 to 3 boxes.

    Mean area 0.26 at 256. Slips, area bound and source as `lama_thin_256`.
    """
    return _at_most_half(height, width, rng, lambda canvas: _published_lama(canvas, rng, _THICK_256))


def lama_thick_512(height: int, width: int, rng: np.random.Generator) -> Mask:
    """LaMa's thick test holes for 512 pixels as published: 1 to 6 chains, 5 to 254 wide, or (3 in 13) 1 to 4 boxes.

    Mean area 0.27 at 512. Slips, area bound and source as `lama_thin_256`.
    """
    return _at_most_half(height, width, rng, lambda canvas: _published_lama(canvas, rng, _THICK_512))


def lama_train_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """The holes every LaMa model trained on, as published: thick chains or 1 to 4 boxes, evenly; any area.

    Mean area 0.35 at 256, a fifth of the holes above half the frame. Slips and source as `lama_thin_256`.
    """
    canvas = _canvas(height, width)
    _published_lama(canvas, rng, _TRAIN_256)
    return canvas.view(np.bool_)


def lama_thin(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Many thin crooked lines, 3 to 6 % of the short side wide, over at most half the frame (LaMa thin, clean).

    Mean area 0.29 of a square frame. Source: as `lama_thin_256`.
    Differs: lengths are shares of the short side (reference 256), directions continuous, no chain too many.
    """
    return _at_most_half(height, width, rng, lambda canvas: _lama(canvas, rng, _THIN_256))


def lama_medium(height: int, width: int, rng: np.random.Generator) -> Mask:
    """A few crooked lines, 3 to 22 % of the short side wide, or some boxes, at most half the frame (medium, clean).

    Mean area 0.23 of a square frame. Source: as `lama_medium_256`. Differs: as `lama_thin`.
    """
    return _at_most_half(height, width, rng, lambda canvas: _lama(canvas, rng, _MEDIUM_256))


def lama_thick(height: int, width: int, rng: np.random.Generator) -> Mask:
    """A few crooked lines, 3 to 42 % of the short side wide, or large boxes, at most half the frame (thick, clean).

    Mean area 0.27 of a square frame. Source: as `lama_thick_256`. Differs: as `lama_thin`.
    """
    return _at_most_half(height, width, rng, lambda canvas: _lama(canvas, rng, _THICK_256))


def lama_train(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Thick crooked lines or boxes, evenly, of any area: LaMa's training holes, clean.

    Mean area 0.35 of a square frame. Source: as `lama_train_256`. Differs: as `lama_thin`.
    """
    canvas = _canvas(height, width)
    _lama(canvas, rng, _TRAIN_256)
    return canvas.view(np.bool_)


# --- CoModGAN and MAT -------------------------------------------------------------------------------------------------


def comodgan_512(height: int, width: int, rng: np.random.Generator) -> Mask:
    """CoModGAN's large holes as published: boxes of all sizes and up to 19 brush strokes, 12 to 47 pixels wide.

    0 to 9 boxes up to half the frame, 0 to 4 up to the whole, either may hang out by half; drawn anew while nothing or
    everything is missing. Mean area 0.65 at 512; MI-GAN uses the same pixels at 256, where it is 0.73.
    Source: Zhao et al. 2021 (CoModGAN) and Sargsyan et al. 2023 (MI-GAN), released code.
    """
    return _partial(height, width, rng, lambda canvas: _published_boxes_and_brush(canvas, rng, (10, 5, 20)))


def mat_large_512(height: int, width: int, rng: np.random.Generator) -> Mask:
    """MAT's large holes for 512 pixels as published: CoModGAN's drawing with fewer parts (5, 3, 9).

    Mean area 0.40 at 512. Source: Li et al. 2022, released code.
    """
    return _partial(height, width, rng, lambda canvas: _published_boxes_and_brush(canvas, rng, (5, 3, 9)))


def mat_large_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """MAT's large holes for 256 pixels as published (4, 2, 8). Mean area 0.41 at 256. Source: as `mat_large_512`."""
    return _partial(height, width, rng, lambda canvas: _published_boxes_and_brush(canvas, rng, (4, 2, 8)))


def mat_small_512(height: int, width: int, rng: np.random.Generator) -> Mask:
    """MAT's small holes for 512 pixels as published (3, 2, 4). Mean area 0.22 at 512. Source: as `mat_large_512`."""
    return _partial(height, width, rng, lambda canvas: _published_boxes_and_brush(canvas, rng, (3, 2, 4)))


def mat_small_256(height: int, width: int, rng: np.random.Generator) -> Mask:
    """MAT's small holes for 256 pixels as published (2, 2, 3). Mean area 0.22 at 256. Source: as `mat_large_512`."""
    return _partial(height, width, rng, lambda canvas: _published_boxes_and_brush(canvas, rng, (2, 2, 3)))


def comodgan(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Boxes of all sizes and up to 19 brush strokes, large holes scaled with the frame (CoModGAN, clean).

    Mean area 0.66 of a square frame. Source: as `comodgan_512`.
    Differs: strokes are 12/512 to 48/512 of the short side wide, continuous, mirrored and turned one by one.
    """
    return _partial(height, width, rng, lambda canvas: _boxes_and_brush(canvas, rng, (10, 5, 20)))


def mat_large(height: int, width: int, rng: np.random.Generator) -> Mask:
    """MAT's large holes scaled with the frame. Mean area 0.41. Source: as `mat_large_512`. Differs: as `comodgan`."""
    return _partial(height, width, rng, lambda canvas: _boxes_and_brush(canvas, rng, (5, 3, 9)))


def mat_small(height: int, width: int, rng: np.random.Generator) -> Mask:
    """MAT's small holes scaled with the frame. Mean area 0.21. Source: as `mat_large_512`. Differs: as `comodgan`."""
    return _partial(height, width, rng, lambda canvas: _boxes_and_brush(canvas, rng, (3, 2, 4)))


def multi_box(height: int, width: int, rng: np.random.Generator) -> Mask:
    """CoModGAN's boxes alone: up to 9 of at most half the frame and up to 4 of at most the whole, hanging out or not.

    Drawn anew while nothing or everything is missing. Mean area 0.44 of a square frame. Source: as `comodgan_512`.
    """
    return _partial(height, width, rng, lambda canvas: _hanging_boxes(canvas, rng, 10, 5))


# --- Context Encoder's random region ----------------------------------------------------------------------------------


def random_region_128(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Blotches where smoothed noise falls below a quarter, 20 to 30 % of the frame; noise cells of 16.7 pixels.

    Mean area 0.23 at 128. Source: Pathak et al. 2016, released code.
    Differs: each hole has its own noise, where the release cuts windows from one 10,000-pixel pattern and uses one for
    the whole batch; OpenCV's cubic kernel.
    """
    return _below_a_quarter(height, width, rng, 10_000 / 600)


def random_region(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Blotches where smoothed noise falls below a quarter, 20 to 30 % of the frame; noise cells scale with the frame.

    Mean area 0.23. Source: as `random_region_128`. Differs: cells are 13 % of the short side, and as there.
    """
    return _below_a_quarter(height, width, rng, 10_000 / 600 * min(height, width) / 128)


# --- What the default model trains with -------------------------------------------------------------------------------


def blobs(height: int, width: int, rng: np.random.Generator) -> Mask:
    """One to three filled smooth outlines, as of an object circled to be removed; mean radius 7 to 25 % of the frame.

    Mean area 0.15 of a square frame. Our own.
    """
    canvas = _canvas(height, width)
    for _ in range(int(rng.integers(1, 4))):
        _blob(canvas, rng, 0.07, 0.25)
    return canvas.view(np.bool_)


def mixed(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Rectangles and free forms, evenly, 2 to 55 % of the frame: what a user's rectangle tool, brush and lasso leave.

    Half the holes: `rectangle`, or 1 to 4 boxes with sides of 8 to 50 % of the short side. The other half, a quarter
    each: 1 to 6 strokes of `free_form`, LaMa's medium strokes, LaMa's thick strokes, `blobs`. All of the frame is never
    missing unless it is a single pixel. Mean area 0.22 of a square frame. Our own, made of the parts above.
    """

    def draw(canvas: _Canvas) -> None:
        kind = int(rng.integers(8))
        if kind < 2:
            np.copyto(canvas, rectangle(height, width, rng))
        elif kind < 4:
            short = min(height, width)
            _boxes(canvas, rng, (1, 4), (_rounded(short * 0.08), _rounded(short * 0.5)), 0)
        elif kind == 4:
            for _ in range(int(rng.integers(1, 7))):
                _brush(canvas, rng, vertices=(4, 12), widths=(12 / 256, 40 / 256))
        elif kind == 5:
            _lama_strokes(canvas, rng, _MEDIUM_256)
        elif kind == 6:
            _lama_strokes(canvas, rng, _THICK_256)
        else:
            np.copyto(canvas, blobs(height, width, rng))

    return _drawn_until(height, width, rng, draw, lambda share: 0.02 <= share <= 0.55)


SHAPES: dict[str, Shape] = {
    "rectangle": rectangle,
    "centre": centre,
    "gmcnn_rectangle": gmcnn_rectangle,
    "gmcnn_rectangle_256": gmcnn_rectangle_256,
    "free_form": free_form,
    "free_form_256": free_form_256,
    "deepfill": deepfill,
    "deepfill_256": deepfill_256,
    "lama_thin": lama_thin,
    "lama_thin_256": lama_thin_256,
    "lama_thin_512": lama_thin_512,
    "lama_medium": lama_medium,
    "lama_medium_256": lama_medium_256,
    "lama_medium_512": lama_medium_512,
    "lama_thick": lama_thick,
    "lama_thick_256": lama_thick_256,
    "lama_thick_512": lama_thick_512,
    "lama_train": lama_train,
    "lama_train_256": lama_train_256,
    "comodgan": comodgan,
    "comodgan_512": comodgan_512,
    "mat_large": mat_large,
    "mat_large_256": mat_large_256,
    "mat_large_512": mat_large_512,
    "mat_small": mat_small,
    "mat_small_256": mat_small_256,
    "mat_small_512": mat_small_512,
    "multi_box": multi_box,
    "random_region": random_region,
    "random_region_128": random_region_128,
    "blobs": blobs,
    "mixed": mixed,
}


def shape_named(name: str) -> Shape:
    """The generator of that name in `SHAPES`.

    Raises: UsageError for a name that is not there; the message lists those that are.
    """
    if name not in SHAPES:
        raise UsageError(unknown_name("mask shape", name, SHAPES))
    return SHAPES[name]


# --- Parts ------------------------------------------------------------------------------------------------------------


def _check_frame(height: int, width: int) -> None:
    """Raises: MaskError for a frame without pixels."""
    if height < 1 or width < 1:
        raise MaskError(f"a mask of {height} x {width} pixels was asked for; give a height and a width of at least 1")


def _canvas(height: int, width: int) -> _Canvas:
    """An empty mask to draw ones on."""
    _check_frame(height, width)
    return np.zeros((height, width), np.uint8)


def _rounded(length: float) -> int:
    """A length in whole pixels, half up, at least one."""
    return max(1, int(length + 0.5))


def _drawn_until(
    height: int,
    width: int,
    rng: np.random.Generator,
    draw: Callable[[_Canvas], None],
    accept: Callable[[float], bool],
) -> Mask:
    """The first drawing whose missing share is accepted; a GLCIC rectangle when none of 32 is."""
    for _ in range(_MAX_DRAWS):
        canvas = _canvas(height, width)
        draw(canvas)
        if accept(cv2.countNonZero(canvas) / canvas.size):
            return canvas.view(np.bool_)
    return rectangle(height, width, rng)


def _at_most_half(height: int, width: int, rng: np.random.Generator, draw: Callable[[_Canvas], None]) -> Mask:
    """A drawing with something and at most half of the frame missing (LaMa's `max_tamper_area`)."""
    return _drawn_until(height, width, rng, draw, lambda share: 0 < share <= 0.5)


def _partial(height: int, width: int, rng: np.random.Generator, draw: Callable[[_Canvas], None]) -> Mask:
    """A drawing with something, but not everything, missing (CoModGAN's hole range 0 to 1, ends excluded)."""
    return _drawn_until(height, width, rng, draw, lambda share: 0 < share < 1)


def _shrunken_box(canvas: _Canvas, rng: np.random.Generator, side: int, max_shrink: int, last_place: int) -> None:
    """A square at a uniform place, then 0 to `max_shrink` pixels taken off both ends of its height and of its width."""
    ends = []
    for length in canvas.shape:
        full = side if length > side else _rounded(length / 2)  # a box that does not fit: half the frame, as at 256
        shrink = int(rng.integers(max_shrink * full // side + 1))
        start = int(rng.integers(max(1, length - full + last_place)))
        ends.append(slice(start + shrink, start + full - shrink))
    canvas[ends[0], ends[1]] = 1


def _published_brush(
    canvas: _Canvas, rng: np.random.Generator, vertices: tuple[int, int], widths: tuple[int, int]
) -> None:
    """One stroke of DeepFill v2's algorithm 1 on whole pixels; `vertices` and `widths` without their upper ends."""
    height, width = canvas.shape
    radius = math.hypot(height, width) / 8
    angles, steps = _zigzag(rng, int(rng.integers(*vertices)), radius, radius // 2)
    x, y = int(rng.integers(width)), int(rng.integers(height))
    points = [(x, y)]
    for along, down in zip((steps * np.cos(angles)).tolist(), (steps * np.sin(angles)).tolist(), strict=True):
        x, y = int(min(max(x + along, 0), width)), int(min(max(y + down, 0), height))
        points.append((x, y))
    _draw_stroke(canvas, points, int(rng.uniform(*widths)) // 2 * 2 + 1)  # the release draws discs of radius width // 2


def _brush(canvas: _Canvas, rng: np.random.Generator, vertices: tuple[int, int], widths: tuple[float, float]) -> None:
    """One zigzag stroke scaled with the frame; `widths` are shares of its short side."""
    height, width = canvas.shape
    short = min(height, width)
    radius = short * math.sqrt(2) / 8
    angles, steps = _zigzag(rng, int(rng.integers(*vertices)), radius, radius / 2)
    moves = np.stack([steps * np.cos(angles), steps * np.sin(angles)], 1) * rng.choice((-1, 1), size=2)
    if rng.random() < 0.5:
        moves = moves[:, ::-1]
    x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
    points = [(int(x), int(y))]
    for along, down in moves.tolist():
        x, y = min(max(x + along, 0), width), min(max(y + down, 0), height)
        points.append((int(x), int(y)))
    _draw_stroke(canvas, points, short * rng.uniform(*widths))


def _zigzag(
    rng: np.random.Generator, vertices: int, radius: float, spread: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Angles and lengths of a stroke's steps: about 2 pi / 5, every other one mirrored; normal, within two radii."""
    low = 2 * math.pi / 5 - rng.uniform(0, 2 * math.pi / 15)
    high = 2 * math.pi / 5 + rng.uniform(0, 2 * math.pi / 15)
    angles = rng.uniform(low, high, size=vertices)
    angles[::2] = 2 * math.pi - angles[::2]
    return angles, np.clip(rng.normal(radius, spread, size=vertices), 0, 2 * radius)


def _draw_stroke(canvas: _Canvas, points: list[tuple[int, int]], width: float) -> None:
    """A line through (x, y) points. OpenCV rounds thick lines off at both ends, which are the discs at the vertices."""
    cv2.polylines(canvas, [np.array(points, np.int32)], False, 1, _thickness(width))


def _thickness(width: float) -> int:
    """The thickness to ask OpenCV for to get the odd width nearest to `width`: it draws even t as t + 1 pixels."""
    return max(1, 2 * int(width / 2))


def _published_lama(canvas: _Canvas, rng: np.random.Generator, numbers: _LamaSet) -> None:
    """One of LaMa's drawings on whole pixels, either strokes or boxes."""
    if rng.random() < numbers.box_share:
        _boxes(canvas, rng, numbers.boxes, numbers.box_side, numbers.margin)
    else:
        _published_lama_strokes(canvas, rng, numbers)


def _lama(canvas: _Canvas, rng: np.random.Generator, numbers: _LamaSet) -> None:
    """One of LaMa's drawings with the numbers for 256 pixels scaled to the frame, either strokes or boxes."""
    if rng.random() < numbers.box_share:
        scale = min(canvas.shape) / 256
        low, high = (_rounded(scale * side) for side in numbers.box_side)
        _boxes(canvas, rng, numbers.boxes, (low, high), int(scale * numbers.margin + 0.5))
    else:
        _lama_strokes(canvas, rng, numbers)


def _published_lama_strokes(canvas: _Canvas, rng: np.random.Generator, numbers: _LamaSet) -> None:
    """Chains of 1 to 5 lines, each of its own width; x goes with the sine and y with the cosine of the angle.

    The release adds one to the largest count twice (+ 2 below, whose end is excluded), and draws angles from four
    whole numbers of radians, mirrored in every other chain: eight directions.
    """
    height, width = canvas.shape
    low, high = numbers.strokes
    segments = rng.integers(1, 6, size=int(rng.integers(low, high + 2)))
    total = int(segments.sum())
    mirrored = np.repeat(np.arange(len(segments)) % 2 == 0, segments)
    angles = 0.01 + rng.integers(0, 4, size=total)
    angles = np.where(mirrored, 2 * math.pi - angles, angles)
    lengths = 10 + rng.integers(0, numbers.length, size=total)
    thickness = (5 + rng.integers(0, numbers.width, size=total)).tolist()
    along, down = (lengths * np.sin(angles)).tolist(), (lengths * np.cos(angles)).tolist()
    starts = rng.integers(0, (width, height), size=(len(segments), 2)).tolist()
    index = 0
    for start, count in zip(starts, segments.tolist(), strict=True):
        x, y = start
        for _ in range(count):
            to_x, to_y = min(max(int(x + along[index]), 0), width), min(max(int(y + down[index]), 0), height)
            cv2.line(canvas, (x, y), (to_x, to_y), 1, thickness[index])
            x, y, index = to_x, to_y, index + 1


def _lama_strokes(canvas: _Canvas, rng: np.random.Generator, numbers: _LamaSet) -> None:
    """Chains of 1 to 5 lines in any direction, lengths and widths scaled from 256 pixels to the frame's short side."""
    height, width = canvas.shape
    scale = min(height, width) / 256
    low, high = numbers.strokes
    segments = rng.integers(1, 6, size=int(rng.integers(low, high + 1)))
    total = int(segments.sum())
    angles = rng.uniform(0, 2 * math.pi, size=total)
    lengths = scale * rng.uniform(10, 10 + numbers.length, size=total)
    # OpenCV draws the release's whole thicknesses 1 or 2 pixels wider than they say: 1.5 keeps the area at 256.
    widths = (scale * rng.uniform(5 + 1.5, 5 + 1.5 + numbers.width, size=total)).tolist()
    along, down = (lengths * np.sin(angles)).tolist(), (lengths * np.cos(angles)).tolist()
    starts = rng.uniform(0, (width, height), size=(len(segments), 2)).tolist()
    index = 0
    for start, count in zip(starts, segments.tolist(), strict=True):
        x, y = start
        for _ in range(count):
            to_x, to_y = min(max(x + along[index], 0), width), min(max(y + down[index], 0), height)
            cv2.line(canvas, (int(x), int(y)), (int(to_x), int(to_y)), 1, _thickness(widths[index]))
            x, y, index = to_x, to_y, index + 1


def _boxes(
    canvas: _Canvas, rng: np.random.Generator, counts: tuple[int, int], sides: tuple[int, int], margin: int
) -> None:
    """Rectangles at uniform places inside the margin, LaMa's way: counts and sides include their upper ends.

    In a frame too small for the largest side the upper end is the frame without margins less one, as published.
    """
    height, width = canvas.shape
    margin = min(margin, (min(height, width) - 1) // 2)
    stop = max(2, min(sides[1] + 1, height - 2 * margin, width - 2 * margin))
    low = min(sides[0], stop - 1)
    for _ in range(int(rng.integers(counts[0], counts[1] + 1))):
        columns, rows = (int(side) for side in rng.integers(low, stop, size=2))
        left = int(rng.integers(margin, width - margin - columns + 1))
        top = int(rng.integers(margin, height - margin - rows + 1))
        canvas[top : top + rows, left : left + columns] = 1


def _published_boxes_and_brush(canvas: _Canvas, rng: np.random.Generator, tries: tuple[int, int, int]) -> None:
    """CoModGAN's drawing: hanging boxes, then brush strokes of fixed width; `tries` are counts, ends excluded.

    All strokes together are mirrored at random (single strokes are not: the release throws those flips away).
    """
    _hanging_boxes(canvas, rng, tries[0], tries[1])
    strokes = np.zeros_like(canvas)
    for _ in range(int(rng.integers(tries[2]))):
        _published_brush(strokes, rng, vertices=(4, 18), widths=(12, 48))
    down, along = (-1 if rng.random() > 0.5 else 1 for _ in range(2))
    canvas |= strokes[::down, ::along]


def _boxes_and_brush(canvas: _Canvas, rng: np.random.Generator, tries: tuple[int, int, int]) -> None:
    """CoModGAN's drawing with strokes whose width scales with the frame (reference 512)."""
    _hanging_boxes(canvas, rng, tries[0], tries[1])
    for _ in range(int(rng.integers(tries[2]))):
        _brush(canvas, rng, vertices=(4, 18), widths=(12 / 512, 48 / 512))


def _hanging_boxes(canvas: _Canvas, rng: np.random.Generator, halves: int, wholes: int) -> None:
    """Fewer than `halves` boxes up to half the frame, fewer than `wholes` up to all of it, half of each maybe outside.

    Published for square frames; here each side of a box is bounded by its own side of the frame.
    """
    height, width = canvas.shape
    for tries, part in ((halves, 2), (wholes, 1)):
        for _ in range(int(rng.integers(tries))):
            columns, rows = int(rng.integers(max(1, width // part))), int(rng.integers(max(1, height // part)))
            left = int(rng.integers(-(columns // 2), width - columns + columns // 2))
            top = int(rng.integers(-(rows // 2), height - rows + rows // 2))
            canvas[max(top, 0) : max(top + rows, 0), max(left, 0) : max(left + columns, 0)] = 1


def _below_a_quarter(height: int, width: int, rng: np.random.Generator, cell: float) -> Mask:
    """Where uniform noise, enlarged by `cell` with a cubic kernel, is below 0.25; drawn until 20 to 30 % are.

    After 32 vain draws (frames of less than a cell, or of so many cells that the share hardly varies) the lowest
    quarter of the last drawing is missing.
    """
    _check_frame(height, width)
    shape = (int(height / cell) + 5, int(width / cell) + 5)
    stride = max(1, int(cell / 4))
    for _ in range(_MAX_DRAWS):
        noise = rng.random(shape, dtype=np.float32)
        corner = rng.uniform(2, 3, size=2)  # past the two cells that the kernel would have to make up at the border
        # Most drawings fail the bound: a coarse look, with a little to spare, saves enlarging those in full.
        coarse = _enlarged(noise, corner, cell / stride, -(-height // stride), -(-width // stride))
        if 0.19 < np.count_nonzero(coarse < 0.25) / coarse.size < 0.31:
            low = _enlarged(noise, corner, cell, height, width) < 0.25
            if 0.2 < np.count_nonzero(low) / low.size < 0.3:
                return low
    enlarged = _enlarged(noise, corner, cell, height, width)
    return enlarged <= np.quantile(enlarged, 0.25)


def _enlarged(
    noise: npt.NDArray[np.float32], corner: npt.NDArray[np.float64], cell: float, height: int, width: int
) -> npt.NDArray[np.float32]:
    """A window of `noise` enlarged `cell` times; `corner` (x, y) is its top left pixel, in cells."""
    window = np.array([[1 / cell, 0, corner[0]], [0, 1 / cell, corner[1]]])
    warped = cv2.warpAffine(noise, window, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    return np.asarray(warped, np.float32)


def _blob(canvas: _Canvas, rng: np.random.Generator, smallest: float, largest: float) -> None:
    """A filled closed curve: an ellipse of random turn whose radius swings with a few low harmonics."""
    height, width = canvas.shape
    turns = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    harmonics = np.arange(2, 6)
    swings = rng.uniform(0, 0.35, size=4) / (harmonics - 1)
    phases = rng.uniform(0, 2 * math.pi, size=4)
    radii = 1 + (swings[:, None] * np.cos(harmonics[:, None] * turns + phases[:, None])).sum(0)
    radii *= min(height, width) * rng.uniform(smallest, largest)
    stretch, tilt = math.sqrt(rng.uniform(1, 2.5)), rng.uniform(0, math.pi)
    across, up = radii * np.cos(turns) * stretch, radii * np.sin(turns) / stretch
    x = rng.uniform(0, width) + across * math.cos(tilt) - up * math.sin(tilt)
    y = rng.uniform(0, height) + across * math.sin(tilt) + up * math.cos(tilt)
    cv2.fillPoly(canvas, [np.stack([x, y], 1).astype(np.int32)], 1)
