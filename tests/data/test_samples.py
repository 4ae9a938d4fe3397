"""Seeded batches: sample k is a function of the seed and k, every photo comes once an epoch, ranks share a batch."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inpaintkit.data.photos import Photos, open_photos
from inpaintkit.data.samples import BatchStream, SampleSettings, random_crop
from inpaintkit.masks import SHAPES
from inpaintkit.models import Batch

SETTINGS = SampleSettings(
    size=32, resize_min=32, resize_max=48, flip=True, shapes=(SHAPES["rectangle"], SHAPES["free_form"]), batch=4, seed=7
)


def _equal(first: Batch, second: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def photos(photo_folder) -> Photos:
    return open_photos(str(photo_folder), short_side=48)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> Photos:
    """Seven photos of one colour each: photo i is i * 30."""
    folder = tmp_path_factory.mktemp("numbered")
    for i in range(7):
        flat = np.full((40, 44, 3), i * 30, np.uint8)
        folder.joinpath(f"{i}.png").write_bytes(cv2.imencode(".png", flat)[1].tobytes())
    return open_photos(str(folder))


# --- batches ---


def test_a_batch_keeps_the_contract(photos):
    image, mask, reference = BatchStream(photos, SETTINGS).batch(3)
    assert image.shape == (4, 3, 32, 32)
    assert mask.shape == reference.shape == (4, 1, 32, 32)
    assert {t.dtype for t in (image, mask, reference)} == {torch.float32}
    assert image.min() >= 0
    assert image.max() <= 1
    assert torch.equal(image * 255, (image * 255).round())
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.flatten(1).any(1).all()
    assert not mask.flatten(1).all(1).any()


def test_batch_b_is_the_same_whenever_and_by_whomever_it_is_asked_for(photos, photo_folder):
    stream = BatchStream(photos, SETTINGS)
    there = [stream.batch(b) for b in range(6)]
    again = BatchStream(open_photos(str(photo_folder), short_side=48, cache_bytes=0), SETTINGS)
    for b in reversed(range(6)):
        assert _equal(again.batch(b), there[b])
    assert not _equal(there[0], there[1])


@pytest.mark.parametrize("workers", [1, 4])
def test_the_stream_starts_at_any_batch_whatever_the_number_of_threads(photos, workers):
    stream = BatchStream(photos, SETTINGS, workers=workers)
    batches = stream.batches(5)
    taken = list(islice(batches, 4))
    batches.close()
    single = BatchStream(photos, SETTINGS)
    assert all(_equal(batch, single.batch(5 + i)) for i, batch in enumerate(taken))


def test_the_seed_changes_everything(photos):
    first, other = (BatchStream(photos, replace(SETTINGS, seed=seed)).batch(0) for seed in (7, 8))
    assert not torch.equal(first.image, other.image)
    assert not torch.equal(first.mask, other.mask)


def test_an_error_in_a_thread_reaches_the_one_who_waits(tmp_path):
    tmp_path.joinpath("a.png").write_bytes(b"broken")
    batches = BatchStream(open_photos(str(tmp_path)), SETTINGS).batches(0)
    with pytest.raises(Exception, match="none of the 1 photos can be read"):
        next(batches)


# --- epochs ---


def test_every_photo_is_seen_once_before_any_is_seen_again(numbered):
    stream = BatchStream(numbered, SETTINGS)
    seen = [int(stream.sample(k)[0][0, 0, 0]) // 30 for k in range(4 * 7)]
    epochs = [seen[i : i + 7] for i in range(0, 28, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1  # shuffled anew


def test_epochs_run_across_batches(numbered):
    """Seven photos in batches of four: the second batch ends one epoch and begins the next."""
    stream = BatchStream(numbered, SETTINGS)
    seen = torch.cat([stream.batch(b).image[:, 0, 0, 0] for b in range(7)]).mul(255 / 30).round().int().tolist()
    assert Counter(seen) == dict.fromkeys(range(7), 4)
    assert sorted(seen[:7]) == list(range(7))


# --- ranks ---


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_ranks_together_see_the_whole_batch(photos, ranks):
    whole = BatchStream(photos, SETTINGS).batch(9)
    parts = [BatchStream(photos, SETTINGS, rank=rank, ranks=ranks).batch(9) for rank in range(ranks)]
    assert _equal(Batch(*(torch.cat(tensors) for tensors in zip(*parts, strict=True))), whole)


def test_a_batch_that_the_ranks_cannot_share_evenly_is_refused(photos):
    with pytest.raises(Exception, match=r"\b4\b.*\b3\b"):
        BatchStream(photos, SETTINGS, rank=0, ranks=3)


# --- holes ---


def test_the_reference_mask_is_drawn_independently(photos):
    stream = BatchStream(photos, SETTINGS)
    masks, references = (np.stack(m) for m in zip(*(stream.sample(k)[1:] for k in range(300)), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(masks, references, strict=True))
    shares = [m.mean((1, 2)) for m in (masks, references)]
    assert abs(np.corrcoef(*shares)[0, 1]) < 0.2
    centres = [(m * np.arange(32)).sum((1, 2)) / m.sum((1, 2)) for m in (masks, references)]
    assert abs(np.corrcoef(*centres)[0, 1]) < 0.2
    assert abs(shares[0].mean() - shares[1].mean()) < 0.03  # the same shapes


def test_the_shapes_are_picked_evenly(numbered):
    left, right = np.zeros((32, 32), bool), np.zeros((32, 32), bool)
    left[0, 0], right[0, 31] = True, True
    settings = replace(SETTINGS, shapes=(lambda h, w, rng: left, lambda h, w, rng: right))
    stream = BatchStream(numbered, settings)
    picked = [int(stream.sample(k)[1][0, 0]) for k in range(400)]
    assert 150 < sum(picked) < 250


# --- crops ---


def _ramp(height: int, width: int) -> np.ndarray:
    """Row in red, column in green, so that a crop tells where it was."""
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.arange(height)[:, None]
    ramp[..., 1] = np.arange(width)[None, :]
    return ramp


def test_a_crop_is_a_piece_of_the_photo_anywhere_and_mirrored_half_of_the_time():
    photo = _ramp(48, 64)
    settings = replace(SETTINGS, resize_min=48, resize_max=48)
    tops, lefts, mirrored = set(), set(), 0
    for seed in range(400):
        crop = random_crop(photo, settings, np.random.default_rng(seed))
        flipped = crop[0, 0, 1] > crop[0, -1, 1]
        mirrored += flipped
        upright = crop[:, ::-1] if flipped else crop
        top, left = int(upright[0, 0, 0]), int(upright[0, 0, 1])
        assert np.array_equal(upright, photo[top : top + 32, left : left + 32])
        tops.add(top)
        lefts.add(left)
    assert tops == set(range(17))
    assert lefts == set(range(33))
    assert 160 < mirrored < 240


def test_without_flip_nothing_is_mirrored():
    settings = replace(SETTINGS, flip=False)
    for seed in range(50):
        crop = random_crop(_ramp(48, 64), settings, np.random.default_rng(seed))
        assert crop[0, 0, 1] < crop[0, -1, 1]


def test_the_short_side_is_drawn_from_the_whole_range():
    """A crop of 32 px from a photo whose short side becomes 32 to 64 px sees all to half of it."""
    photo = _ramp(128, 160)
    settings = replace(SETTINGS, resize_min=32, resize_max=64, flip=False)
    spans = [int(np.ptp(random_crop(photo, settings, np.random.default_rng(s))[..., 0])) for s in range(300)]
    assert min(spans) < 68
    assert max(spans) > 118


@pytest.mark.parametrize(("height", "width"), [(20, 300), (300, 20), (1, 1), (32, 32), (1, 500)])
def test_photos_smaller_than_the_crop_are_enlarged(height, width):
    photo = np.full((height, width, 3), 90, np.uint8)
    crop = random_crop(photo, SETTINGS, np.random.default_rng(0))
    assert crop.shape == (32, 32, 3)
    assert (crop == 90).all()


def test_a_photo_in_memory_is_never_written_to(photo_folder: Path):
    photos = open_photos(str(photo_folder), short_side=48)
    before = [photos[i].copy() for i in range(len(photos))]
    stream = BatchStream(photos, replace(SETTINGS, resize_min=32, resize_max=32))
    for number in range(6):
        batch = stream.batch(number)
        for tensor in batch:
            tensor.zero_()
    assert all(np.array_equal(photos[i], before[i]) for i in range(len(photos)))
