"""Variants: what agrees with the ring around the hole is ranked before what does not."""

import tracemalloc
from dataclasses import FrozenInstanceError

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data

from inpaintkit.filling.variants import Variant, rank, seam_agreement

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
PHOTOS = ("astronaut", "coffee", "chelsea", "brick")


def photo_and_hole(name: str) -> tuple[Bytes, Bools]:
    """A bundled photo (256, 320, 3) and a round hole in it."""
    pixels = getattr(data, name)()[20:276, 60:380]
    pixels = np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels
    down, along = np.mgrid[:256, :320]
    return np.ascontiguousarray(pixels), np.hypot(down - 120, along - 150) < 50


def in_hole(photo: Bytes, mask: Bools, filled: NDArray[np.generic]) -> Bytes:
    """The photo with another picture in its hole."""
    return np.where(mask[..., None], np.clip(np.rint(filled), 0, 255), photo).astype(np.uint8)


@pytest.mark.parametrize("name", PHOTOS)
def test_the_truth_comes_first_and_what_does_not_belong_comes_last(name: str) -> None:
    photo, mask = photo_and_hole(name)
    soft = cv2.GaussianBlur(photo, (0, 0), 4)
    fills = {
        "truth": photo,
        "a little soft": in_hole(photo, mask, cv2.GaussianBlur(photo, (0, 0), 1.2)),
        "soft": in_hole(photo, mask, soft),
        "shifted": in_hole(photo, mask, np.roll(photo, (17, 23), (0, 1))),
        "of wrong colour": in_hole(photo, mask, soft + np.array([40.0, -30, 35])),
        "noise": in_hole(photo, mask, np.random.default_rng(0).uniform(0, 255, photo.shape)),
    }
    ranked = rank([Variant(pixels, seam_agreement(pixels, mask), how) for how, pixels in fills.items()])
    order = [variant.how for variant in ranked]
    assert order[:3] == ["truth", "a little soft", "soft"]
    assert order[-1] == "noise"
    scores = {variant.how: variant.score for variant in ranked}
    assert -1.2 < scores["truth"] <= 0
    assert scores["soft"] - scores["of wrong colour"] > 1


def test_a_pattern_must_run_on_across_the_rim() -> None:
    down, along = np.mgrid[:200, :240]
    stripes = 128 + 70 * np.sin((down + 2 * along) / 5.0)
    moved = 128 + 70 * np.sin((down + 2 * along) / 5.0 + 2)
    photo, other = (np.dstack([values] * 3).round().astype(np.uint8) for values in (stripes, moved))
    mask = np.zeros((200, 240), bool)
    mask[70:130, 80:160] = True
    assert seam_agreement(photo, mask) - seam_agreement(in_hole(photo, mask, other), mask) > 1


def test_a_fill_should_have_the_photo_s_grain_no_less_and_no_more() -> None:
    rng, mask = np.random.default_rng(0), np.zeros((200, 240), bool)
    mask[60:140, 70:170] = True
    noise = rng.standard_normal((200, 240, 1)) * 6
    photo = in_hole(np.full((200, 240, 3), 120, np.uint8), np.ones_like(mask), 120 + noise)
    fresh = 120 + rng.standard_normal((200, 240, 1))
    scores = [seam_agreement(in_hole(photo, mask, 120 + (fresh - 120) * level), mask) for level in (6, 2, 0)]
    assert scores[0] > scores[1] > scores[2]
    assert scores[0] - seam_agreement(in_hole(photo, mask, 120 + (fresh - 120) * 20), mask) > 1
    # Grain of the right strength inside and none at the rim is better than none at all, and worse than everywhere.
    deep = cv2.erode(mask.astype(np.uint8), np.ones((17, 17), np.uint8))[..., None] > 0
    between = seam_agreement(in_hole(photo, mask, np.where(deep, 120 + (fresh - 120) * 6, 120)), mask)
    assert scores[0] > between > scores[2]


def test_thin_holes_can_be_ranked() -> None:
    photo, _ = photo_and_hole("astronaut")
    mask = np.zeros(photo.shape[:2], bool)
    for first in range(0, 250, 25):
        cv2.line(view := mask.astype(np.uint8), (30, first), (280, first + 20), 1, 2)
        mask |= view > 0
    wrong = in_hole(photo, mask, photo + np.array([60.0, 60, -60]))
    assert seam_agreement(photo, mask) - seam_agreement(wrong, mask) > 1


def test_number_formats_agree() -> None:
    photo, mask = photo_and_hole("coffee")
    photo = in_hole(photo, mask, cv2.GaussianBlur(photo, (0, 0), 2))
    score = seam_agreement(photo, mask)
    for other in (photo.astype(np.uint16) * 257, (photo / 255).astype(np.float32), photo / 255):
        assert seam_agreement(other, mask) == pytest.approx(score, abs=1e-3)


def test_only_the_ring_counts_and_a_crop_of_it_is_enough() -> None:
    photo, mask = photo_and_hole("coffee")
    photo = in_hole(photo, mask, cv2.GaussianBlur(photo, (0, 0), 2))
    wide = np.random.default_rng(0).integers(0, 256, (700, 800, 3), np.uint8)
    far = np.zeros((700, 800), bool)
    wide[200:456, 240:560], far[200:456, 240:560] = photo, mask
    score = seam_agreement(wide, far)
    wide[:150] = 0
    assert seam_agreement(wide, far) == score
    assert seam_agreement(photo, mask) == pytest.approx(score, abs=0.3)


def test_it_is_a_pure_function() -> None:
    photo, mask = photo_and_hole("chelsea")
    before, mask_before = photo.copy(), mask.copy()
    np.random.default_rng(3).random()
    assert seam_agreement(photo, mask) == seam_agreement(photo, mask)
    assert np.array_equal(photo, before)
    assert np.array_equal(mask, mask_before)


def test_a_big_hole_is_judged_in_the_large_too_and_in_bounded_memory() -> None:
    down, along = np.mgrid[:2400, :3000]
    large = (90 + 60 * np.sin(down / 90) * np.sin(along / 70)).astype(np.uint8)
    photo = np.dstack([large, large // 2, 255 - large])
    mask = np.zeros((2400, 3000), bool)
    mask[600:1800, 800:2200] = True
    wrong = photo.copy()
    # The fill begins right and becomes another picture within sixty pixels, which patches of eight do not see.
    share = np.clip(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3) / 60, 0, 1)[..., None]
    wrong[...] = photo * (1 - share) + share * np.array([200, 30, 60])
    tracemalloc.start()
    scores = seam_agreement(photo, mask), seam_agreement(wrong, mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
    assert scores[0] > scores[1] + 0.2


@pytest.mark.parametrize("hole", [np.s_[:0], np.s_[:], np.s_[:, 4:]], ids=["none", "all", "nearly all"])
def test_with_nothing_to_compare_the_score_is_zero(hole: tuple[slice, ...]) -> None:
    mask = np.zeros((60, 60), bool)
    mask[hole] = True
    assert seam_agreement(np.zeros((60, 60, 3), np.uint8), mask) == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([np.uint8, np.uint16, np.float32]), st.integers(0, 99))
def test_any_size_and_any_hole(height: int, width: int, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((height, width, 3))
    image = image.astype(dtype) if dtype == np.float32 else (image * np.iinfo(dtype).max).astype(dtype)
    mask = np.zeros((height, width), bool)
    mask[rng.integers(height) :, rng.integers(width) :] = rng.random() < 0.5
    mask |= rng.random((height, width)) < rng.random() / 20
    score = seam_agreement(image, mask)
    assert np.isfinite(score)
    assert score <= 0


def test_ranking_is_stable_and_leaves_its_argument() -> None:
    variants = [
        Variant(None, -1.0, "first"),
        Variant(None, float("nan"), "no number"),
        Variant(None, -0.5, "best"),
        Variant(None, -1.0, "second"),
        Variant(None, float("-inf"), "no number either"),
    ]
    given_order = list(variants)
    order = [variant.how for variant in rank(variants)]
    assert order == ["best", "first", "second", "no number", "no number either"]
    assert variants == given_order
    assert rank(()) == []
    with pytest.raises(FrozenInstanceError):
        variants[0].score = 2.0  # type: ignore[misc]
