"""The metrics of benchmarks/validation.py on pictures small enough to work out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

import validation
from inpaintkit.errors import DataError, UsageError


def _grey(value: int, side: int = 5) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def _hole(*pixels: tuple[int, int], side: int = 5) -> np.ndarray:
    hole = np.zeros((side, side), bool)
    for row, column in pixels:
        hole[row, column] = True
    return hole


def _score(name: str = "a", ratio: float = 0.5, l1: float = 1.0, psnr: float = 20.0, sharp: float = 1.0):
    return validation.Score(name, ratio, l1, psnr, sharp, 0)


def test_hole_l1_is_the_mean_over_hole_pixels_and_channels():
    truth, filled, hole = _grey(100), _grey(100), _hole((1, 1), (2, 3))
    filled[1, 1] = (151, 100, 49)  # 51 up, equal, 51 down: a fifth of the range twice in six values
    assert validation.hole_l1(truth, filled, hole) == pytest.approx(100 * (0.2 + 0.2) / 6)


def test_errors_below_zero_do_not_wrap_around():
    assert validation.hole_l1(_grey(255), _grey(0), _hole((0, 0))) == 100
    assert validation.hole_psnr(_grey(255), _grey(0), _hole((0, 0))) == pytest.approx(0)


def test_errors_outside_the_hole_do_not_count():
    truth, filled, hole = _grey(100), _grey(100), _hole((1, 1))
    filled[4, 4] = 0
    assert validation.hole_l1(truth, filled, hole) == 0
    assert validation.hole_psnr(truth, filled, hole) == validation.PSNR_CEILING_DB


def test_hole_psnr_from_the_mean_square_over_the_hole():
    truth, filled, hole = _grey(100), _grey(100), _hole((1, 1), (2, 3))
    filled[1, 1] = (106, 100, 100)  # 36 in one of six values: a mean square of 6
    assert validation.hole_psnr(truth, filled, hole) == pytest.approx(10 * math.log10(65025 / 6))
    filled[hole] = 110  # 100 everywhere
    assert validation.hole_psnr(truth, filled, hole) == pytest.approx(28.1308, abs=1e-4)


def test_an_empty_hole_is_refused():
    for measure in (validation.hole_l1, validation.hole_psnr):
        with pytest.raises(DataError, match="empty"):
            measure(_grey(0), _grey(0), _hole())


def test_laplacian_energy_of_one_bright_pixel():
    image = _grey(100)
    image[2, 2] = 110  # luma 10 above: -40 there, +10 at each of its four neighbours
    assert validation.laplacian_energy(image, _hole((2, 2))) == pytest.approx(1600)
    assert validation.laplacian_energy(image, _hole((2, 1))) == pytest.approx(100)
    assert validation.laplacian_energy(image, _hole((1, 1))) == pytest.approx(0, abs=1e-9)
    assert validation.laplacian_energy(image, np.ones((5, 5), bool)) == pytest.approx(1600 + 4 * 100)


def test_laplacian_energy_weighs_colours_by_luma():
    image = _grey(0)
    image[2, 2] = (0, 100, 0)
    assert validation.laplacian_energy(image, _hole((2, 2))) == pytest.approx((4 * 58.7) ** 2)


def test_sharpness_is_the_ratio_of_the_energies():
    truth, filled, hole = _grey(100), _grey(100), _hole((2, 2))
    truth[2, 2], filled[2, 2] = 120, 110
    assert validation.sharpness(truth, truth, hole) == 1
    assert validation.sharpness(truth, filled, hole) == pytest.approx(0.25)
    assert validation.sharpness(truth, _grey(100), hole) == pytest.approx(0, abs=1e-12)
    assert math.isnan(validation.sharpness(_grey(7), filled, hole))


def test_known_pixels_changed_counts_pixels_outside_the_hole():
    truth, filled, hole = _grey(100), _grey(100), _hole((1, 1))
    filled[1, 1] = 0
    assert validation.known_pixels_changed(truth, filled, hole) == 0
    filled[0, 0] = (100, 101, 102)  # one pixel, though two channels
    filled[4, 4, 2] = 0
    assert validation.known_pixels_changed(truth, filled, hole) == 2


@pytest.mark.parametrize(
    ("ratio", "name"),
    [(0.001, "0-10 %"), (0.0999, "0-10 %"), (0.1, "10-20 %"), (0.3, "30-40 %"), (0.5999, "50-60 %"), (0.6, "60-100 %")],
)
def test_area_bins_include_their_lower_bound(ratio, name):
    assert validation.area_bin(ratio) == name


def test_bootstrap_interval_covers_the_mean_and_narrows_with_more_photos():
    values = np.random.default_rng(1).standard_normal(400) + 3
    low, high = validation.bootstrap_interval(values, np.random.default_rng(0))
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)  # the normal approximation
    assert (low, high) == validation.bootstrap_interval(values, np.random.default_rng(0))
    assert validation.bootstrap_interval(np.full(7, 2.5), np.random.default_rng(0)) == (2.5, 2.5)


def test_summary_takes_means_and_leaves_flat_photos_out_of_the_sharpness():
    row = validation.summarise(
        [_score(l1=2, psnr=10, sharp=0.1), _score(l1=4, psnr=20, sharp=math.nan), _score(l1=9, psnr=60, sharp=0.5)]
    )
    assert row["photos"] == 3
    assert row["hole_l1"]["mean"] == 5
    assert row["hole_psnr"]["mean"] == 30
    assert row["sharpness"] == {"median": pytest.approx(0.3), "mean": pytest.approx(0.3), "photos": 2}


def test_rows_by_area_hold_every_photo_once_in_a_bin_and_once_in_all():
    scores = [_score(str(n), ratio) for n, ratio in enumerate((0.05, 0.55, 0.31, 0.3, 0.07))]
    counts = {name: row["photos"] for name, row in validation.rows_by_area(scores).items()}
    assert counts == {"0-10 %": 2, "30-40 %": 2, "50-60 %": 1, ">30 %": 2, "all": 5}
    assert list(counts) == ["0-10 %", "30-40 %", "50-60 %", ">30 %", "all"]


def test_a_network_meets_the_classical_method_that_is_better_in_that_measure():
    scores = {
        "default": [_score(ratio=0.1, l1=3, psnr=25), _score(ratio=0.4, l1=5, psnr=18)],
        "telea": [_score(ratio=0.1, l1=5, psnr=20), _score(ratio=0.4, l1=7, psnr=16)],
        "ns": [_score(ratio=0.1, l1=4, psnr=30), _score(ratio=0.4, l1=6, psnr=15)],
    }
    l1, psnr = validation.against_classical(scores)
    assert (l1["against"], l1["area"], l1["mean"]) == ("ns", "all", -1)
    assert (psnr["against"], psnr["area"], psnr["mean"]) == ("telea", ">30 %", 2)


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40), (33, 47), (16, 16), (10, 30)])
def test_photos_are_cropped_to_their_centre(height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2] = 255
    crop = validation.crop_photo(pixels, 16)
    assert crop.shape == (16, 16, 3)
    assert crop.dtype == np.uint8
    bright = np.argwhere(crop[..., 0] > 64).mean(axis=0)
    assert bright == pytest.approx([7.5, 7.5], abs=1)


def test_a_photo_of_the_frame_size_is_not_resampled():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(validation.crop_photo(pixels, 16), pixels)


def test_masks_are_resized_without_new_values():
    mask = np.zeros((8, 8), bool)
    mask[:4, :2] = True
    small = validation.resize_mask(mask, 4)
    assert small.dtype == bool
    assert np.array_equal(small, mask[::2, ::2])


def test_the_engine_does_not_see_the_hole_and_is_clamped():
    seen = {}

    def engine(image, mask):
        seen["image"], seen["mask"] = image.copy(), mask.copy()
        filled = image.copy()
        filled[mask] = (-1, 0.5, 2)
        return filled

    truth = np.arange(75, dtype=np.uint8).reshape(5, 5, 3) + 100
    before = truth.copy()
    case = validation.Case("a", truth, _hole((1, 1)))
    filled = validation.fill(engine, case)
    assert seen["image"].dtype == np.float32
    assert (seen["image"][1, 1] == 0).all()
    assert list(filled[1, 1]) == [0, 128, 255]
    assert validation.known_pixels_changed(truth, filled, case.hole) == 0
    assert np.array_equal(truth, before)


def test_a_sheet_inside_the_project_is_refused(tmp_path):
    with pytest.raises(UsageError, match="outside"):
        validation.check_sheet(Path(validation.__file__).with_name("sheet.png"))
    validation.check_sheet(tmp_path / "sheet.png")
