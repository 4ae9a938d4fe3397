"""The arithmetic of benchmarks/object_removal.py, and what its scenes promise, on pictures small enough to check."""

import math

import numpy as np
import pytest

import object_removal
import removal_scenes


def box(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[top : top + side, left : left + side] = True
    return hole


def test_views_show_the_fullest_squares_of_a_hole_and_stay_within_the_photo():
    hole = box(100, 120, 10, 20, 50)
    views = object_removal.views_of(hole, side=30, most=10)
    assert views == [
        (slice(10, 40), slice(20, 50)),  # 30 x 30 missing
        (slice(10, 40), slice(50, 80)),  # 30 x 20
        (slice(40, 70), slice(20, 50)),  # 20 x 30
        (slice(40, 70), slice(50, 80)),  # 20 x 20
    ]
    assert object_removal.views_of(hole, side=30, most=1) == views[:1]
    at_corner = object_removal.views_of(box(40, 40, 30, 30, 10), side=32)
    assert at_corner == [(slice(8, 40), slice(8, 40))]
    assert object_removal.views_of(box(20, 10, 5, 5, 2), side=32) == [(slice(5, 15), slice(0, 10))]


def test_the_whole_view_has_half_the_extent_on_every_side_shifted_inward():
    assert object_removal.whole_view(box(100, 100, 40, 30, 20)) == (slice(30, 70), slice(20, 60))
    assert object_removal.whole_view(box(100, 100, 0, 90, 10)) == (slice(0, 20), slice(80, 100))
    assert object_removal.whole_view(box(30, 100, 5, 40, 20)) == (slice(0, 30), slice(30, 70))


def test_means_leave_out_what_was_not_measured():
    assert object_removal.mean_of([1.0, None, 2.0]) == 1.5
    assert object_removal.mean_of([None]) is None


def test_scores_of_a_perfect_and_a_flat_fill():
    truth = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    hole = box(40, 40, 10, 10, 20)
    flat = np.where(hole[..., None], np.uint8(128), truth)
    scores = object_removal.score_photo(truth, hole, {"same": truth, "flat": flat}, None)
    assert scores["same"] == {**dict.fromkeys(object_removal.MEASURES), "hole_psnr": 100.0, "sharpness": 1.0}
    wrong = (truth[hole].astype(float) - 128) ** 2
    assert scores["flat"]["hole_psnr"] == pytest.approx(10 * math.log10(255**2 / wrong.mean()))
    assert 0 < scores["flat"]["sharpness"] < 0.2, "the rim reaches a known pixel outward"
    plain = np.full((40, 40, 3), 9, np.uint8)
    assert object_removal.score_photo(plain, hole, {"same": plain}, None)["same"]["sharpness"] is None


def test_features_judge_from_near_and_from_afar_and_say_nothing_of_a_thin_hole():
    pytest.importorskip("torch")
    rows, columns = np.mgrid[0:120, 0:160]
    truth = np.stack([rows * columns % 201, rows * 2, columns], axis=2).astype(np.uint8)
    hole = box(120, 160, 30, 40, 64)
    flat = np.where(hole[..., None], np.uint8(128), truth)
    scores = object_removal.score_photo(truth, hole, {"same": truth, "flat": flat}, "own")
    assert list(scores["same"]) == list(object_removal.MEASURES)
    assert scores["same"]["feature_distance"] == pytest.approx(0, abs=1e-6)
    assert scores["same"]["whole_distance"] == pytest.approx(0, abs=1e-6)
    assert all(scores["flat"][name] > scores["same"][name] + 0.05 for name in object_removal.MEASURES[2:])
    thin = object_removal.score_photo(truth, box(120, 160, 30, 40, 2), {"same": truth}, "own")["same"]
    assert (thin["texture"], thin["feature_distance"]) == (None, None)


def test_a_shrunk_photo_is_filled_at_the_networks_size_and_known_pixels_stay():
    class Red:
        working_size = 32

        def __call__(self, image, mask):
            assert max(mask.shape) == 32
            return np.where(mask[..., None], np.float32([1, 0, 0]), image)

    shown = np.zeros((96, 64, 3), np.uint8)
    shown[..., 0] = 255
    hole = box(96, 64, 30, 20, 24)
    shown[hole] = (0, 255, 0)
    filled = object_removal.fill_shrunk(shown, hole, Red())
    assert np.array_equal(filled[~hole], shown[~hole])
    assert np.abs(filled[hole].astype(int) - [255, 0, 0]).max() <= 1


@pytest.mark.parametrize("name", list(removal_scenes.SCENES))
def test_scenes_have_their_size_and_follow_the_seed(name: str):
    shape = (120, 160)
    first, again, other = (next(removal_scenes.drawn_scenes([name], shape, seed))[1] for seed in (0, 0, 1))
    assert first.shape == (*shape, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.std() > 0.02


@pytest.mark.parametrize("size", [0.3, 2.0])
def test_the_hole_covers_all_that_an_object_and_its_shadow_change(size: float):
    scene = np.full((90, 120, 3), 0.6, np.float32)
    for removal in removal_scenes.removals([("grey", scene)] * 5, [size], seed=0):
        changed = (removal.truth != removal.shown).any(axis=2)
        assert changed.any()
        assert np.abs(removal.truth.astype(int) - removal.shown)[~removal.hole].max(initial=0) <= 3, removal.name
        assert removal.truth.std() > 0, "sensor noise"


def test_the_table_divides_by_photos_and_by_missing_pixels():
    score = {"hole_psnr": 20.0, "sharpness": None, "texture": None, "feature_distance": None, "whole_distance": None}
    photo = {"name": "wall, ball of 9 px", "height": 1000, "width": 2000, "missing": 500_000}
    report = {
        "photos": [photo, photo],
        "source": "made by code",
        "model": "default",
        "engine": "auto",
        "features": None,
        "quick": False,
        "conditions": {
            "processor": "p",
            "cores": 2,
            "threads": 1,
            "system": "s",
            "bfloat16_instructions": None,
            "load_average_before": [0.0, 0.0, 0.0],
            "versions": {"python": "3"},
        },
        "methods": {"crop": {"seconds": [1.0, 3.0], "memory_mb": 12.4, "scores": [score, score], "means": score}},
    }
    table = object_removal.markdown(report)
    assert "2 photos of 2.0 megapixels (made by code)" in table
    assert "| a crop around the hole, the fill enlarged | 20.00 | - | - | - | - | 2.0 | 4.0 | 12 |" in table
    assert "| wall, ball of 9 px | 0.50 | 20.00, - |" in table


@pytest.mark.parametrize("arguments", [["--methods", "crop,magic"], ["--seed", "-1"]])
def test_slips_on_the_command_line_are_refused(arguments: list[str]):
    with pytest.raises(SystemExit) as ended:
        object_removal.parse(arguments)
    assert ended.value.code == 2


def test_sheets_of_other_peoples_photos_stay_out_of_the_project():
    inside = str(object_removal.PROJECT / "sheet.png")
    with pytest.raises(SystemExit):
        object_removal.parse(["--images", "photos", "--sheet", inside])
    assert object_removal.parse(["--sheet", inside]).images is None
