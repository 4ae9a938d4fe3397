"""Random holes: determinism, frames of any size, published areas, and how published and clean differ."""

import functools
import math
import re
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintkit import errors, masks
from inpaintkit.masks import shapes
from inpaintkit.masks.shapes import SHAPES

ALL = sorted(SHAPES)
PUBLISHED = [name for name in ALL if re.search(r"_\d+$", name)]
CLEAN = [name for name in ALL if name not in PUBLISHED]

# Mean hole areas measured on the published code: generator, frame size, mean.
PUBLISHED_AREAS = [
    ("lama_thin_256", 256, 0.30),
    ("lama_thin_512", 512, 0.30),
    ("lama_medium_256", 256, 0.25),
    ("lama_medium_512", 512, 0.27),
    ("lama_thick_256", 256, 0.26),
    ("lama_thick_512", 512, 0.26),
    ("lama_train_256", 256, 0.35),
    ("free_form_256", 256, 0.15),
    ("deepfill_256", 256, 0.31),
    ("comodgan_512", 256, 0.74),
    ("comodgan_512", 512, 0.65),
    ("mat_large_256", 256, 0.39),
    ("mat_large_512", 512, 0.39),
    ("mat_small_256", 256, 0.22),
    ("mat_small_512", 512, 0.23),
]


def draw(name: str, height: int, width: int, seed: int) -> np.ndarray:
    return SHAPES[name](height, width, np.random.default_rng(seed))


def draw_many(name: str, height: int, width: int, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([SHAPES[name](height, width, rng) for _ in range(count)])


@functools.cache
def mean_area(name: str, size: int, count: int = 300) -> float:
    return float(draw_many(name, size, size, count).mean())


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, rows and columns of a mask that must be one filled rectangle."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left, height, width = rows[0], columns[0], len(rows), len(columns)
    assert mask[top : top + height, left : left + width].all()
    assert mask.sum() == height * width
    return int(top), int(left), height, width


def is_boxes(mask: np.ndarray, most: int) -> bool:
    """Whether a mask can be a union of at most so many boxes: its rows, and its columns, change twice a box at most."""
    bordered = np.pad(mask, 1)
    changes = [(bordered[1:] != bordered[:-1]).any(1).sum(), (bordered[:, 1:] != bordered[:, :-1]).any(0).sum()]
    return max(changes) <= 2 * most


# --- every generator --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("frame", [(1, 1), (1, 2), (3, 1), (5, 7), (64, 33), (96, 160), (256, 256)])
def test_mask_has_the_frames_shape_and_something_missing(name: str, frame: tuple[int, int]) -> None:
    for seed in range(5):
        mask = draw(name, *frame, seed)
        assert mask.shape == frame
        assert mask.dtype == np.bool_
        assert set(np.unique(mask.view(np.uint8))) <= {0, 1}
        assert mask.any()


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(ALL), height=st.integers(1, 48), width=st.integers(1, 48), seed=st.integers(0, 2**32 - 1))
def test_no_small_frame_breaks_a_generator(name: str, height: int, width: int, seed: int) -> None:
    mask = draw(name, height, width, seed)
    assert mask.shape == (height, width)
    assert mask.any()
    if name == "mixed" and height * width > 1:
        assert not mask.all()


@pytest.mark.parametrize("name", ALL)
def test_same_generator_state_gives_the_same_mask_whatever_was_drawn_before(name: str) -> None:
    first = draw(name, 72, 64, 11)
    kept = first.copy()
    draw(name, 40, 90, 5)
    second = draw(name, 72, 64, 11)
    np.testing.assert_array_equal(first, second)
    second[:] = ~second
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("name", [name for name in ALL if name != "centre"])
def test_other_seeds_give_other_masks(name: str) -> None:
    assert len({draw(name, 256, 256, seed).tobytes() for seed in range(8)}) >= 7


@pytest.mark.parametrize("name", ALL)
def test_name_is_the_functions_and_its_docstring_states_source_and_area(name: str) -> None:
    assert SHAPES[name].__name__ == name
    text = " ".join((SHAPES[name].__doc__ or "").split())
    assert re.search(r"[Aa]rea 0\.\d\d", text)
    assert "Source:" in text or "source as" in text or "Our own" in text


@pytest.mark.parametrize("name", ALL)
def test_docstring_states_the_measured_area(name: str) -> None:
    stated = re.search(r"[Aa]rea (0\.\d\d)(?: at (\d+))?", SHAPES[name].__doc__ or "")
    assert stated is not None
    assert mean_area(name, int(stated[2] or 256)) == pytest.approx(float(stated[1]), abs=0.03)


@pytest.mark.parametrize(("name", "size", "published"), PUBLISHED_AREAS)
def test_published_generator_covers_the_published_area(name: str, size: int, published: float) -> None:
    assert mean_area(name, size) == pytest.approx(published, abs=0.03)


@pytest.mark.parametrize("name", CLEAN)
def test_clean_generator_covers_the_same_share_at_any_size(name: str) -> None:
    assert mean_area(name, 128) == pytest.approx(mean_area(name, 320), abs=0.015)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith(("free_form", "lama", "mat", "como"))])
def test_published_generator_draws_in_pixels_whatever_the_frame(name: str) -> None:
    assert mean_area(name, 128, 120) > mean_area(name, 512, 120) + 0.02


@pytest.mark.parametrize(
    ("clean", "published", "size"),
    [
        ("gmcnn_rectangle", "gmcnn_rectangle_256", 256),
        ("free_form", "free_form_256", 256),
        ("deepfill", "deepfill_256", 256),
        ("lama_thin", "lama_thin_256", 256),
        ("lama_medium", "lama_medium_256", 256),
        ("lama_thick", "lama_thick_256", 256),
        ("lama_train", "lama_train_256", 256),
        ("comodgan", "comodgan_512", 512),
        ("mat_large", "mat_large_512", 512),
        ("mat_small", "mat_small_512", 512),
        ("random_region", "random_region_128", 128),
    ],
)
def test_clean_generator_covers_the_published_area_at_the_papers_size(clean: str, published: str, size: int) -> None:
    assert mean_area(clean, size) == pytest.approx(mean_area(published, size), abs=0.035)


def test_unknown_shape_is_a_usage_error_that_names_the_nearest() -> None:
    with pytest.raises(errors.UsageError, match=r"'free_from': did you mean 'free_form'\? valid are .*mixed"):
        masks.shape_named("free_from")
    assert masks.shape_named("mixed") is shapes.mixed


@pytest.mark.parametrize("name", ALL)
def test_frame_without_pixels_is_an_error_of_ours(name: str) -> None:
    with pytest.raises(errors.MaskError, match="at least 1"):
        draw(name, 0, 5, 0)


# --- rectangles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frame", "sides"), [((256, 256), (96, 128)), ((128, 512), (48, 64)), ((96, 64), (24, 32))])
def test_rectangle_sides_and_places_are_uniform_up_to_the_borders(
    frame: tuple[int, int], sides: tuple[int, int]
) -> None:
    boxes = np.array([box_of(mask) for mask in draw_many("rectangle", *frame, 3000)])
    for axis in (0, 1):
        start, side = boxes[:, axis], boxes[:, 2 + axis]
        assert set(side) == set(range(sides[0], sides[1] + 1))
        assert side.mean() == pytest.approx(sum(sides) / 2, abs=0.05 * (sides[1] - sides[0]))
        assert start.min() == 0
        assert (start + side).max() == frame[axis]
        place = (start + 0.5) / (frame[axis] - side + 1)  # uniform on (0, 1) for every side
        tenths = np.histogram(place, bins=10, range=(0, 1))[0]
        assert np.abs(tenths - 300).max() < 90  # 5 standard deviations
    assert abs(np.corrcoef(boxes[:, 2], boxes[:, 3])[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("frame", "box"),
    [((256, 256), (64, 64, 128, 128)), ((128, 64), (48, 16, 32, 32)), ((5, 9), (1, 3, 3, 3)), ((1, 1), (0, 0, 1, 1))],
)
def test_centre_is_half_the_short_side_in_the_middle(frame: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    assert box_of(draw("centre", *frame, 0)) == box


def test_gmcnn_box_shrinks_evenly_and_only_the_clean_one_reaches_the_far_borders() -> None:
    published = np.array([box_of(mask) for mask in draw_many("gmcnn_rectangle_256", 256, 256, 4000)])
    clean = np.array([box_of(mask) for mask in draw_many("gmcnn_rectangle", 256, 256, 4000)])
    for boxes in (published, clean):
        assert set(boxes[:, 2]) == set(boxes[:, 3]) == set(range(96, 129, 2))
    # The box before it shrank: its centre does not move.
    assert set(published[:, 0] + published[:, 2] // 2 - 64) == set(range(128))
    assert set(clean[:, 0] + clean[:, 2] // 2 - 64) == set(range(129))
    assert draw_many("gmcnn_rectangle_256", 256, 256, 500)[:, -1].sum() == 0


# --- strokes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2.6, 3, 12, 12.9, 13, 39, 50])
def test_stroke_is_drawn_as_wide_as_asked(width: float) -> None:
    canvas = np.zeros((128, 128), np.uint8)
    shapes._draw_stroke(canvas, [(30, 60), (100, 60)], width)
    assert abs(int(canvas[:, 64].sum()) - width) <= 1
    assert canvas[60].sum() >= 71  # and its ends are round, not cut off


def recorded_lines(monkeypatch: pytest.MonkeyPatch, name: str, count: int) -> list[list[tuple]]:
    """The lines (start, end, thickness) that a generator asks OpenCV for at 256, mask by mask; boxes leave none."""
    lines: list[tuple] = []
    original = cv2.line

    def line(canvas, start, end, colour, thickness):
        lines.append((start, end, thickness))
        return original(canvas, start, end, colour, thickness)

    drawings = []
    with monkeypatch.context() as patch:
        patch.setattr(cv2, "line", line)
        rng = np.random.default_rng(0)
        for _ in range(count):
            lines.clear()
            SHAPES[name](256, 256, rng)
            drawings.append(list(lines))
    return [drawing for drawing in drawings if drawing]


def off_the_eight_directions(drawings: list[list[tuple]]) -> np.ndarray:
    """How far each long line that stays inside the frame is from the nearest of LaMa's directions, in radians."""
    allowed = np.array([sign * (0.01 + whole) for sign in (1, -1) for whole in range(4)])
    distances = []
    for start, end, _ in (line for drawing in drawings for line in drawing):
        across, down = end[0] - start[0], end[1] - start[1]
        if math.hypot(across, down) > 60 and min(end) > 0 and max(end) < 255:
            turn = math.atan2(across, down) - allowed
            distances.append(np.abs(np.angle(np.exp(1j * turn))).min())
    return np.array(distances)


def test_published_lama_knows_eight_directions_and_the_clean_one_all(monkeypatch: pytest.MonkeyPatch) -> None:
    published = off_the_eight_directions(recorded_lines(monkeypatch, "lama_train_256", 400))
    clean = off_the_eight_directions(recorded_lines(monkeypatch, "lama_train", 400))
    assert min(len(published), len(clean)) > 200
    assert published.max() < 0.04
    assert np.mean(clean < 0.04) < 0.25


def test_published_lama_draws_up_to_one_chain_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def most_chains(name: str) -> int:
        drawings = recorded_lines(monkeypatch, name, 600)
        return max(1 + sum(one[1] != two[0] for one, two in pairwise(drawing)) for drawing in drawings)

    assert most_chains("lama_train_256") == 6
    assert most_chains("lama_train") == 5


@pytest.mark.parametrize("name", [name for name in ALL if re.match(r"lama_(thin|medium|thick)", name)])
def test_lama_test_holes_stay_at_or_below_half_the_frame(name: str) -> None:
    assert draw_many(name, 256, 256, 150).mean((1, 2)).max() <= 0.5


def test_lama_boxes_keep_their_margin() -> None:
    boxes = [mask for mask in draw_many("lama_thick_256", 256, 256, 400) if is_boxes(mask, 3)]
    assert len(boxes) > 50
    union = np.any(boxes, axis=0)
    for ends in (np.flatnonzero(union.any(1)), np.flatnonzero(union.any(0))):
        assert (ends[0], ends[-1]) == (10, 245)


def test_published_brush_drifts_to_the_right_and_the_clean_one_does_not() -> None:
    def rightness(name: str) -> float:
        often = draw_many(name, 128, 128, 800).mean((0, 1))
        return float(often[64:].sum() / often.sum())

    assert rightness("free_form_256") > 0.6
    assert rightness("free_form") == pytest.approx(0.5, abs=0.04)
    assert rightness("comodgan_512") == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("name", ["comodgan", "comodgan_512", "multi_box", "mat_large_512"])
def test_comodgan_holes_are_never_everything(name: str) -> None:
    shares = draw_many(name, 32, 32, 300).mean((1, 2))
    assert shares.max() < 1
    assert shares.max() > 0.75


@pytest.mark.parametrize(("name", "frame"), [("random_region", (96, 200)), ("random_region_128", (128, 128))])
def test_random_region_covers_a_fifth_to_three_tenths(name: str, frame: tuple[int, int]) -> None:
    shares = draw_many(name, *frame, 200).mean((1, 2))
    assert shares.min() > 0.2
    assert shares.max() < 0.3


# --- mixed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [(128, 128), (256, 256), (96, 192)])
def test_mixed_holes_are_half_boxes_and_within_their_area_bounds(frame: tuple[int, int]) -> None:
    drawn = draw_many("mixed", *frame, 400)
    shares = drawn.mean((1, 2))
    assert shares.min() >= 0.02
    assert shares.max() <= 0.55
    assert np.mean([is_boxes(mask, 4) for mask in drawn]) == pytest.approx(0.5, abs=0.08)
    assert np.mean(shares > 0.3) > 0.05  # large holes are not rare
    assert drawn.mean(0).min() > 0.03  # and every pixel has its turn


def test_mixed_holes_are_thick_enough_to_be_hard() -> None:
    deepest = [
        cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5).max() for mask in draw_many("mixed", 128, 128, 200)
    ]
    assert np.median(deepest) > 12
