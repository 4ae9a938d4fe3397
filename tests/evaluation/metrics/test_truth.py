"""What is kept of the last photo: used again for the same pixels, and never for others."""

import numpy as np

from inpaintkit.evaluation.metrics.truth import OfLastTruth


def test_a_photo_is_looked_at_once_until_another_one_comes():
    seen: list[float] = []

    def mean(pixels: np.ndarray) -> float:
        seen.append(float(pixels.mean()))
        return seen[-1]

    kept = OfLastTruth(mean)
    one, two = np.full((4, 6, 3), 7, np.uint8), np.full((4, 6, 3), 9, np.uint8)
    assert [kept(one), kept(one.copy()), kept(two), kept(one)] == [7, 7, 9, 7]
    assert seen == [7, 9, 7]
    one[0] = 19  # the same array with other pixels
    assert kept(one) == 10
    assert kept(np.full((6, 4, 3), 10, np.uint8)) == 10
    assert len(seen) == 5
