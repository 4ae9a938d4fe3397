"""The editor's photos in memory: versions as patches, and what is let go of when."""

import time

import numpy as np
import pytest

from inpaintkit.errors import MaskError
from inpaintkit.photo import Photo
from inpaintkit.serve.photos import HeldPhoto, PhotoStore
from inpaintkit.serve.problems import Problem


def photo(height: int = 20, width: int = 30, depth: type = np.uint8) -> Photo:
    """A photo of its own, drawn at random."""
    return Photo(np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(depth))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_any_version_can_be_had_in_any_order(depth):
    """A tree of random patches, compared with whole copies of every version."""
    rng = np.random.default_rng(1)
    given = photo(depth=depth)
    held = HeldPhoto(given, b"", "a.png")
    copies = [given.pixels.copy()]
    for _ in range(40):
        parent = int(rng.integers(len(copies)))
        mask = rng.random((20, 30)) < 0.1
        fill = rng.integers(0, 255, (20, 30, 3)).astype(depth)
        version, patch = held.add(parent, mask, 0, 0, fill)
        copies.append(np.where(mask[..., None], fill, copies[parent]))
        assert (version, patch.parent) == (len(copies) - 1, parent)
        asked = int(rng.integers(len(copies)))
        assert np.array_equal(held.at(asked).pixels, copies[asked])
    for version, copy in reversed(list(enumerate(copies))):
        assert np.array_equal(held.at(version).pixels, copy)
        assert np.array_equal(held.window(version, (3, 4, 5, 6)), copy[3:8, 4:10])


def test_what_is_had_is_a_copy():
    held = HeldPhoto(photo(), b"", "a.png")
    held.at(0).pixels[:] = 0
    assert held.at(0).pixels.any()


def test_a_patch_is_small():
    held = HeldPhoto(photo(1000, 1000), b"", "a.png")
    mask = np.zeros((1000, 1000), bool)
    mask[100:110, 200:210] = True
    before = held.nbytes
    _, patch = held.add(0, mask, 0, 0, np.zeros((1000, 1000, 3), np.uint8))
    assert patch.window == (100, 200, 10, 10)
    assert patch.mask.all()
    assert held.nbytes - before == patch.nbytes < 700


def test_a_window_patch_lies_where_it_was_put():
    held = HeldPhoto(photo(), b"", "a.png")
    mask = np.array([[False, True], [False, False]])
    held.add(0, mask, 4, 5, np.full((2, 2, 4), 9, np.uint8))
    changed = (held.at(1).pixels != held.at(0).pixels).any(axis=-1)
    assert list(zip(*np.nonzero(changed), strict=True)) == [(4, 6)]
    assert (held.at(1).pixels[4, 6] == 9).all()


@pytest.mark.parametrize("window", [(0, 0, 21, 1), (0, 0, 1, 31), (-1, 0, 1, 1), (19, 29, 2, 2), (0, 0, 0, 5)])
def test_windows_outside_are_refused(window):
    with pytest.raises(Problem, match="not inside"):
        HeldPhoto(photo(), b"", "a.png").window(0, window)


def test_versions_that_are_not_there_are_refused():
    held = HeldPhoto(photo(), b"", "a.png")
    for version in (-1, 1):
        with pytest.raises(Problem, match="expected 0 to 0"):
            held.at(version)
    with pytest.raises(Problem, match="no patch"):
        held.patch(0)
    with pytest.raises(MaskError, match="nothing is marked"):
        held.add(0, np.zeros((2, 2), bool), 0, 0, np.zeros((2, 2, 3), np.uint8))


def test_the_photo_used_longest_ago_makes_room():
    store = PhotoStore(3 * (20 * 30 * 3 + 1), 100)
    first, second, third = (store.open(photo(), b"x", "a") for _ in range(3))
    store.get(first.id)
    store.open(photo(), b"x", "b")
    assert store.get(first.id) is first
    assert store.get(third.id) is third
    with pytest.raises(Problem) as caught:
        store.get(second.id)
    assert caught.value.kind == "photo-gone"
    assert store.nbytes <= store.ceiling


def test_a_photo_above_the_ceiling_is_refused():
    with pytest.raises(Problem, match="photos-memory") as caught:
        PhotoStore(1000, 100).open(photo(), b"", "a")
    assert caught.value.status == 413


def test_a_photo_whose_versions_grow_above_the_ceiling_takes_no_more():
    store = PhotoStore(4 * 20 * 30 * 3, 100)
    held = store.open(photo(), b"", "a")
    everything, grey = np.ones((20, 30), bool), np.zeros((20, 30, 3), np.uint8)
    held.add(0, everything, 0, 0, grey)
    before = held.nbytes
    with pytest.raises(Problem, match="2 versions") as caught:
        held.add(0, everything, 0, 0, grey)
    assert caught.value.status == 413
    assert (held.newest, held.nbytes) == (1, before)
    assert before <= store.ceiling
    assert np.array_equal(held.at(0).pixels, photo().pixels)
    assert not held.at(1).pixels.any()


def test_an_idle_photo_is_dropped():
    store = PhotoStore(10**9, 0.05)
    held = store.open(photo(), b"", "a")
    store.get(held.id)
    time.sleep(0.1)
    store.drop_idle()
    assert store.nbytes == 0
    with pytest.raises(Problem):
        store.get(held.id)


def test_a_photo_is_never_the_callers_own_array():
    array = np.zeros((40, 60, 3), np.uint8)
    held = PhotoStore(10**9, 100).open(Photo(array[:20, :30]), b"", "a")
    held.add(0, np.ones((1, 1), bool), 0, 0, np.full((1, 1, 3), 7, np.uint8))
    held.at(1)
    assert not array.any()
