"""Crops share batches, waves keep their order, and finishing window by window equals finishing at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inpaintkit import Inpainter
from inpaintkit.errors import ModelError
from inpaintkit.filling.engines import fill_crops
from inpaintkit.filling.passes import Finish, Meter, Stopped, fill_passes, planned_seconds, run_together
from inpaintkit.filling.regions import plan_fill

MakeModel = Callable[..., Path]


class BatchMean:
    """Fills with the mean of what is known; remembers the sizes of its batches."""

    name, runtime, working_size, takes_batches = "batch mean", "test", 32, True

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """One crop."""
        return self.fill_batch(image[None], mask[None])[0]

    def fill_batch(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Several crops."""
        self.batches.append(len(images))
        filled = images.copy()
        for image, mask in zip(filled, masks, strict=True):
            image[mask] = image[~mask].mean(axis=0)
        return filled

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}


class OneByOne(BatchMean):
    """The same without batches."""

    takes_batches = False


def specks(count: int, side: int = 400) -> np.ndarray:
    """So many holes of 6 pixels, far from each other."""
    mask = np.zeros((side, side), bool)
    places = np.linspace(20, side - 30, 8).astype(int)
    for number in range(count):
        top, left = places[number // 8], places[number % 8]
        mask[top : top + 6, left : left + 6] = True
    return mask


def photo(seed: int = 0, shape: tuple[int, int] = (400, 400)) -> np.ndarray:
    """Noise."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_crops_of_one_photo_share_batches_and_come_out_alike() -> None:
    together, alone = BatchMean(), OneByOne()
    mask = specks(13)
    assert np.array_equal(Inpainter(together)(photo(), mask), Inpainter(alone)(photo(), mask))
    assert together.batches == [8, 4, 1]
    assert alone.batches == [1] * 13


def test_crops_of_several_photos_share_batches(watchful: Any) -> None:
    engine = BatchMean()
    pairs = [(photo(seed), specks(1)) for seed in range(4)]
    results = list(Inpainter(engine).stream(pairs, together=4))
    assert engine.batches == [4]
    for (image, mask), result in zip(pairs, results, strict=True):
        assert np.array_equal(result, Inpainter(OneByOne())(image, mask))


def test_batches_through_onnx_equal_single_crops(own_model: MakeModel) -> None:
    mask = specks(11)
    inpainter = Inpainter(own_model(), engine="onnx")
    batched = inpainter(photo(), mask)
    inpainter.engine.takes_batches = False  # type: ignore[attr-defined]
    assert np.array_equal(inpainter(photo(), mask), batched)


def test_crops_of_other_sizes_do_not_share_a_batch() -> None:
    engine = BatchMean()
    crops = [(np.zeros((side, 8, 3), np.float32), np.eye(side, 8, dtype=bool)) for side in (8, 9, 8, 9, 9)]
    filled = fill_crops(engine, crops)
    assert [each.shape[0] for each in filled] == [8, 9, 8, 9, 9]
    assert sorted(engine.batches) == [1, 2, 2]


def test_a_batch_that_is_no_picture_is_an_error() -> None:
    class Broken(BatchMean):
        def fill_batch(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
            return np.full_like(images, np.nan)

    with pytest.raises(ModelError, match="no numbers"):
        Inpainter(Broken())(photo(), specks(3))


@pytest.mark.parametrize("window_px", [40, 100, 10_000])
def test_windows_do_not_show(window_px: int) -> None:
    image = photo(shape=(300, 340))
    mask = np.zeros((300, 340), bool)
    mask[60:240, 50:260] = True
    engine = BatchMean()
    plan = plan_fill(mask, engine.working_size)
    assert plan.regions[0].shrink > 1
    results = []
    for size in (window_px, 1000):
        filled = image.copy()
        steps = fill_passes(filled, mask, plan, Finish(detail="off", grain="off", window_px=size))
        assert run_together(engine, [steps]) == [None]
        results.append(filled)
    assert np.array_equal(*results)


def test_one_photo_whose_crop_fails_does_not_take_the_others_along() -> None:
    class Picky(BatchMean):
        def fill_batch(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
            if any(image[0, 0, 0] == 1 for image in images):
                raise ModelError("too bright")
            return super().fill_batch(images, masks)

    images = [np.full((40, 40, 3), level, np.uint8) for level in (10, 255, 20)]
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    plan = plan_fill(mask, 32)
    steps = [fill_passes(image, mask, plan, Finish(grain="off")) for image in images]
    errors = run_together(Picky(), steps)
    assert [type(error) for error in errors] == [type(None), ModelError, type(None)]
    assert images[0][15, 15, 0] == 10
    assert images[2][15, 15, 0] == 20


def test_the_meter_stops_a_fill_where_it_is_asked_to() -> None:
    mask = specks(20)
    shares: list[float] = []

    def listener(share: float) -> bool:
        shares.append(share)
        return len(shares) < 5

    plan = plan_fill(mask, 32)
    meter = Meter(listener)
    meter.planned = planned_seconds(plan, Finish())
    (error,) = run_together(BatchMean(), [fill_passes(photo(), mask, plan, Finish(), meter=meter)])
    assert isinstance(error, Stopped)
    assert len(shares) == 5
    assert shares == sorted(shares)


def test_what_other_holes_held_has_no_influence_on_detail() -> None:
    image = photo(shape=(600, 600))
    mask = np.zeros((600, 600), bool)
    mask[100:300, 100:300] = True
    mask[100:300, 330:420] = True
    other = image.copy()
    other[mask] = 255 - other[mask]
    results = [Inpainter(BatchMean(), detail="on")(each, mask) for each in (image, other)]
    assert np.array_equal(*results)
