"""Total variation on pictures small enough to work out by hand, and beside torchmetrics."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import total_variation as torch_total_variation

from inpaintkit.errors import DataError
from inpaintkit.evaluation.metrics.variation import hole_total_variation, total_variation


def _noise(height: int = 9, width: int = 14) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_one_bright_pixel_differs_from_its_four_neighbours():
    image = np.full((3, 4, 3), 100, np.uint8)
    image[1, 1] = (151, 100, 49)  # two channels differ by a fifth of the range, over four of the 17 pairs
    assert total_variation(image) == pytest.approx(100 * (4 * 2 * 0.2) / (17 * 3))


def test_the_seam_belongs_to_the_hole():
    image = np.full((3, 4, 3), 100, np.uint8)
    image[1, 1] = (151, 100, 49)
    inside, beside = np.zeros((2, 3, 4), bool)
    inside[1, 1] = beside[1, 2] = True
    assert hole_total_variation(image, inside) == pytest.approx(100 * (4 * 2 * 0.2) / (4 * 3))
    assert hole_total_variation(image, beside) == pytest.approx(100 * (1 * 2 * 0.2) / (4 * 3))


def test_a_corner_has_two_neighbours():
    image = np.zeros((5, 5, 3), np.uint8)
    image[0, 0] = 255
    hole = np.zeros((5, 5), bool)
    hole[0, 0] = True
    assert hole_total_variation(image, hole) == 100


def test_flat_is_zero_and_a_chessboard_is_all():
    board = (np.indices((6, 7)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    assert total_variation(np.full((6, 7, 3), 30, np.uint8)) == 0
    assert total_variation(board) == hole_total_variation(board, np.eye(6, 7, dtype=bool)) == 100


def test_a_hole_over_the_whole_frame_is_the_whole_image():
    image = _noise()
    assert hole_total_variation(image, np.ones(image.shape[:2], bool)) == total_variation(image)


def test_turned_and_inverted_pictures_vary_as_much():
    image = _noise()
    for other in (image[::-1], image[:, ::-1], image.transpose(1, 0, 2), 255 - image):
        assert total_variation(other) == total_variation(image)


def test_it_is_the_sum_of_torchmetrics_by_the_number_of_pairs():
    image = _noise()
    total = float(torch_total_variation(torch.from_numpy(image).permute(2, 0, 1)[None].double()))
    assert total_variation(image) == pytest.approx(total / (255 * 3 * (9 * 13 + 8 * 14)) * 100)


def test_one_pixel_has_no_neighbours():
    assert math.isnan(total_variation(np.zeros((1, 1, 3), np.uint8)))
    assert math.isnan(hole_total_variation(np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), bool)))


def test_an_empty_hole_is_refused():
    with pytest.raises(DataError, match="empty"):
        hole_total_variation(_noise(), np.zeros((9, 14), bool))
