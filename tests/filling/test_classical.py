"""The methods without a network."""

import sys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from skimage import data

from inpaintkit.errors import ModelError
from inpaintkit.filling.blend import from_bytes, to_bytes
from inpaintkit.filling.classical import BIHARMONIC_LIMIT, CLASSICAL, Patch
from inpaintkit.filling.engines import Engine
from inpaintkit.filling.inpainter import Inpainter

Draw = Callable[[int, int], np.ndarray]


@pytest.mark.parametrize("name", list(CLASSICAL))
def test_a_smooth_hole_comes_back(name: str, gradient: Draw) -> None:
    photo = gradient(60, 80)
    hole = np.zeros((60, 80), bool)
    hole[20:40, 30:50] = True
    wounded = np.where(hole[..., None], np.float32(1), from_bytes(photo))
    engine: Engine = CLASSICAL[name]()
    filled = engine(wounded, hole)
    assert filled.dtype == np.float32
    assert np.array_equal(filled[~hole], wounded[~hole])
    assert np.abs(filled - from_bytes(photo))[hole].mean() < 0.05
    assert engine.describe()["name"] == name == engine.name
    assert engine.working_size == engine.describe()["working_size"] == (512 if name == "patch" else None)


@pytest.mark.parametrize(("name", "method"), [("telea", cv2.INPAINT_TELEA), ("ns", cv2.INPAINT_NS)])
def test_opencv_methods_are_opencvs_own_at_radius_5(name: str, method: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    photo = cv2.GaussianBlur(photo, (0, 0), 3)
    hole = np.zeros((300, 400), bool)
    hole[50:90, 60:160] = hole[200:203, 20:380] = True
    expected = cv2.inpaint(photo, hole.astype(np.uint8), 5, method)
    assert np.array_equal(Inpainter(name)(photo, hole), expected), "filling by crops changes nothing"


@pytest.mark.parametrize("name", ["telea", "ns"])
@pytest.mark.parametrize("shape", [(1, 37), (37, 1), (1, 2), (2, 1)])
def test_a_photo_of_one_row_or_column_is_filled_from_itself(name: str, shape: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), 77, np.uint8)
    hole = np.zeros(shape, bool)
    hole.flat[1 : 1 + max(shape) // 2] = True
    results = []
    for seed in range(20):  # what lies beyond the picture in memory differs from time to time
        litter = [np.random.default_rng(seed).integers(0, 256, 3 * max(shape), np.uint8) for _ in range(50)]
        del litter
        results.append(Inpainter(name)(photo, hole))
    assert all(np.array_equal(result, results[0]) for result in results)
    assert results[0].min() >= 76
    assert results[0].max() <= 77 + 12, "OpenCV's own drift"


def test_opencv_methods_do_not_touch_16_bit_precision_of_known_pixels() -> None:
    photo = np.random.default_rng(0).random((30, 40, 3), dtype=np.float32)
    hole = np.zeros((30, 40), bool)
    hole[10:20, 10:20] = True
    filled = CLASSICAL["telea"]()(photo, hole)
    assert np.array_equal(filled[~hole], photo[~hole])
    assert np.array_equal(from_bytes(to_bytes(filled))[hole], filled[hole]), "the hole is in 8-bit steps"


def test_patch_fills_another_way_from_another_seed_and_names_its_sources() -> None:
    photo = from_bytes(np.stack([data.gravel()[:96, :96]] * 3, axis=2))
    hole = np.zeros((96, 96), bool)
    hole[32:64, 32:64] = True
    first, again, other = (Patch(seed)(photo, hole) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(first, Patch()(np.where(hole[..., None], np.float32(1), photo), hole)), "the hole is not read"
    assert Patch(3).describe()["seed"] == 3
    assert "PatchMatch" in Patch.reference


def test_patch_continues_a_pattern_across_a_photo_larger_than_its_working_size() -> None:
    along = np.arange(1200)[None] * np.ones((900, 1))
    photo = np.repeat(np.rint(128 + 80 * np.sin(along * 2 * np.pi / 48))[..., None], 3, axis=2).astype(np.uint8)
    hole = np.zeros((900, 1200), bool)
    hole[250:650, 400:800] = True
    filled = Inpainter("patch")(np.where(hole[..., None], np.uint8(0), photo), hole)
    errors = np.abs(filled.astype(int) - photo)[hole]
    assert np.array_equal(filled[~hole], photo[~hole])
    assert errors.mean() < 12


def test_biharmonic_refuses_a_hole_that_would_not_fit_in_memory() -> None:
    side = int(BIHARMONIC_LIMIT**0.5) + 10
    hole = np.zeros((side + 20, side + 20), bool)
    hole[10:-10, 10:-10] = True
    with pytest.raises(ModelError, match="at most 40000"):
        CLASSICAL["biharmonic"]()(np.zeros((*hole.shape, 3), np.float32), hole)


def test_biharmonic_without_scikit_image_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    with pytest.raises(ModelError, match=r"inpaintkit\[classical\]"):
        CLASSICAL["biharmonic"]()
