"""Outlines and run lengths as pixels, against brute force, other libraries' drawings and examples worked by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from inpaintkit.errors import MaskError
from inpaintkit.masks.outlines import (
    circle_outline,
    mask_of_runs,
    polygon_part,
    runs_of_text,
    stroke_outlines,
)


def drawn(points: object, height: int = 40, width: int = 50) -> np.ndarray:
    """The whole mask of one polygon."""
    mask = np.zeros((height, width), bool)
    part = polygon_part(np.asarray(points, float), height, width)
    if part is not None:
        top, left, marked = part
        assert marked.dtype == np.bool_
        mask[top : top + marked.shape[0], left : left + marked.shape[1]] = marked
        assert np.count_nonzero(mask) == np.count_nonzero(marked)
    return mask


def centres_inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Even-odd by the definition: the number of edges that a ray from the centre to the left crosses."""
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    inside = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 != y1:
            crossing = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))
            inside ^= ((y0 <= rows) != (y1 <= rows)) & (crossing <= columns)
    return inside


def test_a_box_covers_its_own_pixels_and_no_more() -> None:
    mask = drawn([[10, 5], [20, 5], [20, 30], [10, 30]])
    expected = np.zeros((40, 50), bool)
    expected[5:30, 10:20] = True
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(drawn([[10.4, 5.4], [20.4, 5.4], [20.4, 30.4], [10.4, 30.4]]), expected)
    np.testing.assert_array_equal(drawn([[9.6, 4.6], [19.6, 4.6], [19.6, 29.6], [9.6, 29.6]]), expected)


def test_a_triangle_worked_by_hand() -> None:
    mask = drawn([[0, 0], [4, 0], [0, 4]], 5, 5)
    assert mask.astype(int).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


@settings(max_examples=200, deadline=None)
@given(
    points=arrays.arrays(float, st.tuples(st.integers(3, 9), st.just(2)), elements=st.floats(-15, 45, width=16)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_any_polygon_is_drawn_by_the_definition(points: np.ndarray, size: tuple[int, int]) -> None:
    before = points.copy()
    np.testing.assert_array_equal(drawn(points, *size), centres_inside(points, *size))
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("seed", range(20))
def test_hand_drawn_shapes_agree_with_other_libraries_but_for_the_rim(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.arange(14) * (2 * np.pi / 14) + rng.uniform(0, 0.4, 14)
    radii = rng.uniform(40, 45, 14)
    points = np.stack([60 + radii * np.cos(angles), 50 + radii * np.sin(angles)], axis=1)
    mask = drawn(points, 100, 120)
    picture = Image.new("L", (120, 100))
    ImageDraw.Draw(picture).polygon([tuple(point) for point in points - 0.5], fill=255, outline=255)
    opencv = np.zeros((100, 120), np.uint8)
    cv2.fillPoly(opencv, [np.rint((points - 0.5) * 256).astype(np.int32)], 255, shift=8)
    contour = points.astype(np.float32)
    # PIL rounds the corners to whole pixels first, OpenCV draws the rim as well.
    for other, reach in ((np.array(picture) > 0, 1.6), (opencv > 0, 1.0)):
        apart = [cv2.pointPolygonTest(contour, (x + 0.5, y + 0.5), True) for y, x in np.argwhere(mask ^ other).tolist()]
        assert max(np.abs(apart)) < reach
        assert np.count_nonzero(mask & other) > 2500
    area = abs(np.dot(points[:, 0], np.roll(points[:, 1], 1)) - np.dot(points[:, 1], np.roll(points[:, 0], 1))) / 2
    assert np.count_nonzero(mask) == pytest.approx(area, rel=0.03)


def test_neighbours_share_no_pixel_and_leave_none() -> None:
    points = np.random.default_rng(3).uniform(5, 35, (2, 2))
    left = drawn([[0, 0], points[0], points[1], [0, 40]])
    right = drawn([[50, 0], points[0], points[1], [50, 40]])
    top, bottom = drawn([[0, 0], points[0], [50, 0]]), drawn([[0, 40], points[1], [50, 40]])
    assert (sum(each.astype(int) for each in (left, right, top, bottom)) == 1).all()


@pytest.mark.parametrize(
    "points",
    [
        [[-30, -30], [-2, -30], [-2, -2]],
        [[60, 5], [70, 5], [70, 10]],
        [[5, 5], [5, 5], [5, 5]],
        [[5, 5], [20, 5], [9, 5]],
        [[1.1, 1.1], [1.4, 1.1], [1.4, 1.4]],
    ],
)
def test_outlines_around_no_centre_mark_nothing(points: list) -> None:
    assert not drawn(points).any()


def test_outlines_of_any_size_cover_the_frame_at_most() -> None:
    assert drawn([[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300], [-1e300, 1e300]]).all()
    assert drawn([[-1e9, -5], [1e9, -5], [1e9, 20], [-1e9, 20]])[:20].all()


@pytest.mark.parametrize("radius", [0.3, 1, 7.5, 19])
def test_circles_and_strokes_reach_as_far_as_they_should(radius: float) -> None:
    rows, columns = np.mgrid[0:40, 0:50] + 0.5
    distance = np.hypot(rows - 20.25, columns - 22.75)
    mask = drawn(circle_outline(22.75, 20.25, radius))
    assert not (mask & (distance > radius + 1e-6)).any()
    assert mask[distance <= radius - 0.06].all()

    line = np.array([[10.0, 10.0], [30.0, 25.0], [30.0, 25.0], [40.0, 5.0]])
    stroke = np.logical_or.reduce([drawn(outline) for outline in stroke_outlines(line, 2 * radius)])
    to_line = np.full((40, 50), np.inf)
    for start, end in ((line[0], line[1]), (line[2], line[3])):
        along = ((columns - start[0]) * (end - start)[0] + (rows - start[1]) * (end - start)[1]) / np.sum(
            (end - start) ** 2
        )
        nearest = start + along.clip(0, 1)[..., None] * (end - start)
        to_line = np.minimum(to_line, np.hypot(columns - nearest[..., 0], rows - nearest[..., 1]))
    assert not (stroke & (to_line > radius + 1e-6)).any()
    assert stroke[to_line <= radius - 0.06].all()


# ---- run lengths ----------------------------------------------------------------------------------------------------

# 5 rows, 6 columns; read down the columns: 11 known, 3 missing, 2 known, 3 missing, 10 known, 1 missing.
WORKED = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 1],
    ],
    bool,
)


def text_of_runs(runs: list[int]) -> str:
    """COCO's compressed form, written from its description, for going there and back."""
    text = ""
    for place, run in enumerate(runs):
        number = run - runs[place - 2] if place > 2 else run
        while True:
            digit, number = number & 31, number >> 5
            last = number == (-1 if digit & 16 else 0)
            text += chr(48 + digit + (0 if last else 32))
            if last:
                break
    return text


def test_runs_worked_by_hand() -> None:
    np.testing.assert_array_equal(mask_of_runs([11, 3, 2, 3, 10, 1], 5, 6), WORKED)
    # 11 and 3 and 2 stand for themselves; then 3 - 3 = 0, 10 - 2 = 8, 1 - 3 = -2: ";" "3" "2" "0" "8" "N".
    assert runs_of_text(";3208N") == [11, 3, 2, 3, 10, 1]
    # 100 = 3 * 32 + 4: the low five bits with the sixth, "4" + 32 = "T", then 3.
    assert runs_of_text("T3") == [100]
    # 20 needs a second character, because its fifth bit would read as a sign.
    assert runs_of_text("d0") == [20]
    assert runs_of_text("") == []


@settings(deadline=None)
@given(mask=arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_runs_of_any_mask_are_read_back(mask: np.ndarray) -> None:
    values = mask.T.ravel()
    edges = np.flatnonzero(np.diff(values)) + 1
    runs = np.diff([0, *edges, values.size]).tolist()
    runs = [0, *runs] if values[0] else runs
    np.testing.assert_array_equal(mask_of_runs(runs, *mask.shape), mask)
    assert runs_of_text(text_of_runs(runs)) == runs


@settings(deadline=None)
@given(runs=st.lists(st.integers(0, 1 << 40), max_size=30))
def test_runs_of_any_length_are_read_back(runs: list[int]) -> None:
    assert runs_of_text(text_of_runs(runs)) == runs


@pytest.mark.parametrize(
    ("runs", "word"),
    [
        ([29], "29 pixels"),
        ([31], "31"),
        ([31, -1], "at least 0"),
        ([30.0], "whole"),
        (["30"], "whole"),
        ([True], "whole"),
    ],
)
def test_runs_that_do_not_fit_are_refused(runs: list, word: str) -> None:
    with pytest.raises(MaskError, match=word):
        mask_of_runs(runs, 5, 6)


@pytest.mark.parametrize("text", ["~", " ", "11é", "\x2f", "T", "o" * 40])
def test_text_that_is_no_runs_is_refused(text: str) -> None:
    with pytest.raises(MaskError, match="compressed runs"):
        runs_of_text(text)
