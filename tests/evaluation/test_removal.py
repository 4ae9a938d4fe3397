"""The removal set: an object with its shadow on the photo, a hole around both, and the photo untouched elsewhere."""

import cv2
import numpy as np
import pytest

from inpaintkit.errors import PhotoError
from inpaintkit.evaluation import removal
from inpaintkit.evaluation.removal import SMALLEST_SIDE, removal_case


def case(photo: np.ndarray, donors: list[np.ndarray], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return removal_case(photo, donors, np.random.default_rng([seed, 0]))


def flat(value: int, height: int = 128, width: int = 128) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (128, 128), (256, 256), (400, 256), (512, 512)])
def test_known_pixels_are_the_photos_own(draw_photo, size):
    for seed in range(3):
        photo, donor = draw_photo(*size, seed), draw_photo(*size, seed + 50)
        before = photo.copy(), donor.copy()
        shown, hole = case(photo, [donor], seed)
        assert (shown.dtype, shown.shape, hole.dtype, hole.shape) == (np.uint8, photo.shape, np.bool_, photo.shape[:2])
        assert np.array_equal(shown[~hole], photo[~hole])
        assert 0.02 < hole.mean() < 0.5
        assert np.array_equal(photo, before[0])
        assert np.array_equal(donor, before[1])


def test_the_same_generator_state_gives_the_same_case(draw_photo):
    photo, donors = draw_photo(128, 128, 1), [draw_photo(128, 128, seed) for seed in (2, 3, 4)]
    first, again, other = case(photo, donors, 5), case(photo, donors, 5), case(photo, donors, 6)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_the_object_comes_from_the_donor_and_its_shadow_darkens_the_photo():
    shown, hole = case(flat(200), [flat(20)], 3)
    red, blue = flat(200), flat(200)
    red[..., 1:], blue[..., :2] = 0, 0
    shown, hole = case(red, [blue], 3)
    inside = shown[hole].astype(int)
    own = inside[:, 2] > 150
    shadow = (inside[:, 2] == 0) & (inside[:, 0] < 190) & (inside[:, 0] > 0)
    untouched = (inside == (200, 0, 0)).all(1)
    assert 0.2 < own.mean() < 0.9
    assert shadow.mean() > 0.02
    assert 0 < untouched.mean() < 0.5  # the margin
    assert inside[:, 1].max() == 0
    darkest = inside[shadow, 0].min()
    assert 60 < darkest < 140


def test_the_margin_is_a_few_pixels():
    """Around everything that differs from the photo lie known-to-be-untouched pixels inside the hole, and not many."""
    for seed in range(8):
        photo = flat(255, 256, 256)
        shown, hole = case(photo, [flat(0, 256, 256)], seed)
        differs = (shown != photo).any(2)
        away = cv2.distanceTransform((~differs).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        assert away[~hole].min() > 3
        assert np.quantile(away[hole], 0.99) < 10


@pytest.mark.parametrize("half", [40, 160])
def test_the_border_follows_the_donors_edges(half):
    """A square between the two outlines is found as a square, also where it is looked for at a smaller size."""
    part = flat(60, 2 * half, 2 * half)
    extent = slice(round(0.65 * half), round(1.45 * half))
    part[extent, extent] = (250, 240, 10)
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    inside, contrast = removal._divided(part, [circle * 0.25 * half, circle * 0.9 * half])
    square = part[..., 0] == 250
    assert (inside & square).sum() / (inside | square).sum() > 0.92
    nothing, none = removal._divided(flat(60, 2 * half, 2 * half), [circle * 0.25 * half, circle * 0.9 * half])
    assert none == 0 < contrast
    assert nothing.any()


@pytest.mark.parametrize("donor", [(1, 1), (30, 500), (900, 40), (64, 64), (1000, 1000)])
def test_donors_of_any_size_will_do(draw_photo, donor):
    photo = draw_photo(96, 120, 1)
    shown, hole = case(photo, [np.full((*donor, 3), 90, np.uint8)])
    assert np.array_equal(shown[~hole], photo[~hole])
    assert hole.any()


def test_every_donor_is_used():
    seen = set()
    for seed in range(20):
        shown, _ = case(flat(0), [flat(100), flat(180), flat(250)], seed)
        seen.add(int(shown.max()))
    assert seen == {100, 180, 250}


def test_too_small_photos_and_no_donors_are_refused():
    with pytest.raises(PhotoError, match="expected sides of at least 64"):
        case(flat(9, SMALLEST_SIDE - 1, 200), [flat(9)])
    with pytest.raises(PhotoError, match="needs at least two photos"):
        case(flat(9), [])
