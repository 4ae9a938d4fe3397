"""The rows of benchmarks/detail.py on pictures small enough to check."""

import numpy as np
import pytest

import detail
import validation


@pytest.fixture
def case() -> validation.Case:
    truth = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[10:30, 10:30] = True
    return validation.Case("a", truth, hole)


def test_a_row_scores_what_the_step_made_of_the_fill(case: validation.Case) -> None:
    flat = np.where(case.hole[..., None], np.uint8(128), case.truth)
    kept, plain = detail.run_step([case], [flat], lambda filled, hole: filled, None)
    assert np.array_equal(kept[0], flat)
    _, mended = detail.run_step([case], [flat], lambda filled, hole: case.truth, None)
    assert mended["hole_psnr"]["mean"] == 100
    assert mended["sharpness"]["median"] == 1
    assert plain["hole_psnr"]["mean"] < 20
    assert plain["sharpness"]["median"] < 0.2
    assert 0 <= plain["seconds"] <= plain["most_seconds"]


def test_a_step_that_touches_known_pixels_is_counted(case: validation.Case) -> None:
    _, row = detail.run_step([case], [case.truth], lambda filled, hole: 255 - filled, None)
    assert row["known_changed"] == 40 * 40 - 20 * 20


@pytest.mark.parametrize("slip", [["--size", "4"], ["--every", "0"]])
def test_slips_on_the_command_line_are_refused(slip: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        detail.parse(["--images", "a.tar", "--masks", "b.tar", *slip])
    assert ended.value.code == 2
