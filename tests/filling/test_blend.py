"""Blending happens inside the hole and nowhere else."""

from collections.abc import Callable

import numpy as np
import pytest

from inpaintkit.filling.blend import composite, feather, from_bytes, match_seam, poisson, to_bytes, wide_parts

Draw = Callable[[int, int], np.ndarray]


@pytest.fixture
def scene(gradient: Draw) -> tuple[np.ndarray, np.ndarray]:
    """A smooth photo in [0,1] and a hole in its middle."""
    hole = np.zeros((96, 112), bool)
    hole[30:66, 40:80] = True
    return from_bytes(gradient(96, 112)), hole


def test_bytes_and_back_are_exact() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(to_bytes(from_bytes(levels)), levels)


@pytest.mark.parametrize("blend", [composite, match_seam, feather])
def test_known_pixels_are_untouched(blend: Callable[..., np.ndarray], scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, hole = scene
    filled = np.random.default_rng(0).random(image.shape, dtype=np.float32)
    before = image.copy(), hole.copy(), filled.copy()
    result = blend(image, hole, filled)
    assert np.array_equal(result[~hole], image[~hole])
    assert result.dtype == np.float32
    for given, kept in zip((image, hole, filled), before, strict=True):
        assert np.array_equal(given, kept)


def test_a_colour_cast_is_taken_away_at_the_rim(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, hole = scene
    cast = image + np.float32(0.08)
    result = match_seam(image, hole, cast)
    inner = np.zeros_like(hole)
    inner[32:64, 42:78] = True
    rim = hole & ~inner
    assert np.abs(result - image)[rim].mean() < 0.35 * 0.08
    assert np.abs(result - image)[hole].mean() < 0.08


def test_a_fill_that_fits_stays(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, hole = scene
    result = match_seam(image, hole, image.copy())
    assert np.abs(result - image)[hole].max() < 0.02


def test_a_strong_edge_at_the_rim_is_no_cast(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, hole = scene
    filled = np.clip(image + np.float32(0.5), 0, 1)
    assert np.abs(match_seam(image, hole, filled) - filled)[hole].max() < 0.02


def test_feather_leads_from_the_known_colour_to_the_fill(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, hole = scene
    image = np.full_like(image, 0.2)
    filled = np.full_like(image, 0.8)
    result = feather(image, hole, filled, width=2)[48, 36:48, 0]
    assert result[:4] == pytest.approx(0.2)
    assert result[4:6] == pytest.approx([0.4, 0.6], abs=0.02)
    assert result[6:] == pytest.approx(0.8)


def test_feather_of_no_width_is_a_composite(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, hole = scene
    filled = np.full_like(image, 0.8)
    assert np.array_equal(feather(image, hole, filled, width=0), composite(image, hole, filled))


@pytest.mark.parametrize("blend", [match_seam, feather])
@pytest.mark.parametrize("missing", [False, True])
def test_empty_and_full_holes_do_not_fail(blend: Callable[..., np.ndarray], missing: bool) -> None:
    image, filled = np.zeros((5, 7, 3), np.float32), np.ones((5, 7, 3), np.float32)
    assert np.array_equal(blend(image, np.full((5, 7), missing), filled), filled if missing else image)


def test_poisson_takes_a_cast_away_and_keeps_the_fill_in_place(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, hole = scene
    texture = np.zeros_like(image)
    texture[36:60, 46:74] = np.random.default_rng(0).uniform(-0.1, 0.1, (24, 28, 3))
    completed = composite(image, hole, np.clip(image * 0.8 + texture, 0, 1))
    blended = poisson(completed, hole)
    assert np.array_equal(blended[~hole], completed[~hole])
    smooth = hole & (texture[..., 0] == 0)
    assert np.abs(blended - image)[smooth].mean() < np.abs(completed - image)[smooth].mean() / 2
    detail = (blended - image)[40:56, 50:70].ravel()
    agreement = {
        (down, along): np.corrcoef(detail, np.roll(texture, (down, along), (0, 1))[40:56, 50:70].ravel())[0, 1]
        for down in (-1, 0, 1)
        for along in (-1, 0, 1)
    }
    assert max(agreement, key=lambda shift: agreement[shift]) == (0, 0), "the fill is where it was"
    assert agreement[0, 0] > 0.9


@pytest.mark.parametrize("height", range(1, 9))
@pytest.mark.parametrize("width", range(1, 9))
def test_poisson_leaves_alone_what_would_be_nothing_but_ground(height: int, width: int) -> None:
    image = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    hole = np.zeros((40, 50), bool)
    hole[12 : 12 + height, 20 : 20 + width] = True
    blended = poisson(image, hole)
    assert np.array_equal(blended[~hole], image[~hole])
    assert np.array_equal(blended, image) == (min(height, width) < 7)
    assert len(list(wide_parts(hole))) == (min(height, width) >= 7)


def test_poisson_keeps_the_fill_of_a_stroke_beside_a_blob(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, hole = scene
    hole[40:45, 80:100] = True  # five pixels thick, of one piece with the blob
    completed = composite(image, hole, np.random.default_rng(0).random(image.shape, dtype=np.float32))
    blended = poisson(completed, hole)
    assert np.array_equal(blended[40:45, 81:100], completed[40:45, 81:100])
    assert not np.array_equal(blended[30:66, 40:80], completed[30:66, 40:80])


def test_poisson_keeps_finer_steps_than_8_bits(scene: tuple[np.ndarray, np.ndarray]) -> None:
    _, hole = scene
    rows, columns = np.mgrid[0:96, 0:112]
    fine = np.repeat(((rows + columns) / 800 + 0.3)[..., None], 3, axis=2).astype(np.float32)
    blended = poisson(fine, hole)
    assert np.abs(blended - fine)[hole].max() < 2.5 / 255
    levels = np.unique(blended[33:63, 43:77, 0])
    assert len(levels) > 3 * len(np.unique(to_bytes(fine)[33:63, 43:77, 0])), "not rounded to 8 bits"


def test_wide_parts_are_apart_and_lie_in_their_windows() -> None:
    mask = np.zeros((120, 140), bool)
    mask[:30, :30] = mask[40:60, 50:70] = mask[64:66, 10:100] = mask[80:110, 100:139] = True
    covered = np.zeros(mask.shape, int)
    for window, part in wide_parts(mask):
        covered[window] += part
    expected = mask.copy()
    expected[64:66] = False
    assert np.array_equal(covered, expected.astype(int))
    assert len(list(wide_parts(mask))) == 3
    assert list(wide_parts(np.zeros((4, 4), bool))) == []


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right", "none"])
def test_poisson_is_skipped_where_the_hole_touches_the_border(scene: tuple[np.ndarray, np.ndarray], edge: str) -> None:
    image, hole = scene
    hole = hole & (edge != "none")
    rows = {"top": slice(0, 40), "bottom": slice(40, None)}.get(edge, slice(40, 50))
    columns = {"left": slice(0, 40), "right": slice(60, None)}.get(edge, slice(50, 60))
    if edge != "none":
        hole[rows, columns] = True
    completed = composite(image, hole, np.full_like(image, 0.9))
    assert np.array_equal(poisson(completed, hole), completed)
