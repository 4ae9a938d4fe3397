"""Under a memory ceiling windows and batches shrink, and a photo that cannot fit is refused in one line."""

from typing import Any

import pytest

from inpaintkit.errors import PhotoError
from inpaintkit.filling.budget import LEAST_WINDOW_PX, Budget, budget_for, check_photo


def test_without_a_ceiling_nothing_shrinks(watchful: Any) -> None:
    assert budget_for(None, 10**9, 3, watchful(256)) == Budget()


def test_sizes_shrink_with_the_ceiling(watchful: Any) -> None:
    budgets = [budget_for(memory * 10**6, 12_000_000, 3, watchful(256)) for memory in (2000, 800, 600, 460)]
    assert budgets[0] == Budget()
    assert [each.most_together for each in budgets] == sorted((each.most_together for each in budgets), reverse=True)
    assert [each.window_px for each in budgets] == sorted((each.window_px for each in budgets), reverse=True)
    assert budgets[-1].window_px >= LEAST_WINDOW_PX
    assert budgets[-1].most_together == 1
    assert budgets[-1].window_px < budgets[0].window_px


def test_classical_crops_are_bounded_by_the_ceiling(watchful: Any) -> None:
    budget = budget_for(600_000_000, 12_000_000, 3, watchful(None))
    assert budget.largest_crop is not None
    assert 1000 < budget.largest_crop < 3000


def test_other_photos_and_a_heavy_runtime_count(watchful: Any) -> None:
    engine = watchful(256)
    budget_for(500_000_000, 12_000_000, 3, engine)
    with pytest.raises(PhotoError, match="memory limit"):
        budget_for(500_000_000, 12_000_000, 3, engine, others=200_000_000)
    engine.runtime = "torch"
    with pytest.raises(PhotoError, match="memory limit"):
        budget_for(500_000_000, 12_000_000, 3, engine)


def test_a_photo_that_cannot_fit_is_refused_with_the_number_that_would_do(watchful: Any) -> None:
    with pytest.raises(
        PhotoError, match=r"the photo of 100,000,000 pixels needs about 1,... MB .*the 900 MB"
    ) as refusal:
        budget_for(900_000_000, 100_000_000, 3, watchful(256))
    needed = int(str(refusal.value).split("about ")[1].split(" MB")[0].replace(",", ""))
    budget_for((needed + 1) * 1_000_000, 100_000_000, 3, watchful(256))


def test_a_photo_is_refused_by_its_size_alone_only_where_no_engine_could_fill_it(watchful: Any) -> None:
    check_photo(None, (100_000, 100_000))
    with pytest.raises(PhotoError, match="memory limit"):
        check_photo(1_000_000_000, (10_000, 10_000))
    check_photo(1_300_000_000, (10_000, 10_000))
    budget_for(1_300_000_000, 100_000_000, 3, watchful(64))
