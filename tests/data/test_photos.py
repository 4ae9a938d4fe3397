"""Where training photos come from: folders, lists and shards in one order; what cannot be read is skipped."""

import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from inpaintkit.data.photos import PhotoFile, Photos, open_photos
from inpaintkit.errors import DataError


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


@pytest.fixture
def flat():
    """(value, height, width) -> the bytes of a one-colour PNG, so that a photo can be told by its colour."""

    def make(value: int, height: int = 8, width: int = 9) -> bytes:
        return _png(np.full((height, width, 3), value, np.uint8))

    return make


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def _values(photos: Photos) -> list[int]:
    return [int(photos[i][0, 0, 0]) for i in range(len(photos))]


# --- folders ---


def test_a_folder_is_searched_to_the_bottom_and_ordered_by_name(tmp_path, flat):
    for name, value in {"b.png": 2, "a.png": 1, "c/z.png": 4, "c/a.PNG": 3, "notes.md": 9, "d.json": 9}.items():
        _write(tmp_path / name, flat(value))
    photos = open_photos(str(tmp_path))
    assert _values(photos) == [1, 2, 3, 4]
    assert [Path(file.name).as_posix() for file in photos.files] == ["a.png", "b.png", "c/a.PNG", "c/z.png"]


def test_photos_are_rgb_bytes(photo_folder):
    photos = open_photos(str(photo_folder))
    assert len(photos) == 10
    for i in range(10):
        assert photos[i].dtype == np.uint8
        assert photos[i].ndim == 3
        assert photos[i].shape[2] == 3


def test_colours_are_in_rgb_order_and_orientation_is_applied(tmp_path):
    pixels = np.zeros((6, 10, 3), np.uint8)
    pixels[:, :5] = (250, 20, 10)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    photo = open_photos(str(tmp_path))[0]
    assert photo.shape == (10, 6, 3)
    assert photo[0, 0].tolist() == [250, 20, 10]
    assert photo[-1, 0].tolist() == [0, 0, 0]


def test_grey_and_16_bit_photos_keep_their_tones(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    for name, array in {
        "grey.png": (ramp / 257).astype(np.uint8),
        "deep.png": ramp.astype(np.uint16),
        "colour.tif": np.repeat(ramp.astype(np.uint16)[..., None], 3, 2),
    }.items():
        _write(tmp_path / name, cv2.imencode(Path(name).suffix, array)[1].tobytes())
    photos = open_photos(str(tmp_path))
    for i in range(3):
        np.testing.assert_allclose(photos[i][..., 1], ramp / 257, atol=1.01)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".tif", ".avif"])
def test_other_formats_are_read(tmp_path, draw_photo, suffix):
    pixels = draw_photo(40, 50, 3)
    Image.fromarray(pixels).save(tmp_path / f"photo{suffix}")
    photo = open_photos(str(tmp_path))[0]
    assert photo.shape == (40, 50, 3)
    assert np.abs(photo.astype(int) - pixels).mean() < 12


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no photo found") as error:
        open_photos(str(tmp_path))
    assert str(tmp_path) in str(error.value)
    assert ".png" in str(error.value)


def test_a_folder_of_shards_alone_says_how_to_name_them(tmp_path, flat):
    _shard(tmp_path / "train-000.tar", {"a.png": flat(1)})
    with pytest.raises(DataError, match=r"name the shards, as in '.*\*\.tar'"):
        open_photos(str(tmp_path))
    assert len(open_photos(str(tmp_path / "*.tar"))) == 1  # as it says


@pytest.mark.parametrize("source", ["gone", "gone.tar", "gone.png", "gone-*.tar", "gone-{00..02}.tar"])
def test_what_does_not_exist_is_refused(tmp_path, source):
    with pytest.raises(DataError, match=r"no such file|no file has such a name"):
        open_photos(str(tmp_path / source))


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected a folder of photos"):
        open_photos(str(_write(tmp_path / "data.zip", b"PK")))


@pytest.mark.parametrize("source", ["", "{folder},", ",{folder}"])
def test_an_empty_name_is_not_the_present_folder(tmp_path, flat, monkeypatch, source):
    _write(tmp_path / "here" / "stray.png", flat(9))
    _write(tmp_path / "photos" / "a.png", flat(1))
    monkeypatch.chdir(tmp_path / "here")
    try:
        photos = open_photos(source.format(folder=tmp_path / "photos"))
    except DataError:
        return
    assert _values(photos) == [1]


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path, flat):
    _write(tmp_path / "trip [2024], best {of}" / "a.png", flat(7))
    assert _values(open_photos(str(tmp_path / "trip [2024], best {of}"))) == [7]


# --- lists ---


def test_a_list_has_paths_of_its_own_folder_and_absolute_ones_in_its_own_order(tmp_path, flat):
    _write(tmp_path / "near" / "b.png", flat(2))
    far = _write(tmp_path / "far" / "ä ö.png", flat(1))
    listing = _write(tmp_path / "near" / "photos.txt", f"{far}\n\n  b.png  \n".encode())
    assert _values(open_photos(str(listing))) == [1, 2]


def test_a_list_from_an_editor_that_marks_its_files_is_read(tmp_path, flat):
    _write(tmp_path / "a.png", flat(5))
    listing = _write(tmp_path / "photos.flist", b"\xef\xbb\xbfa.png\r\n")
    assert _values(open_photos(str(listing))) == [5]


def test_a_list_that_names_missing_photos_counts_them(tmp_path, flat):
    _write(tmp_path / "a.png", flat(5))
    listing = _write(tmp_path / "photos.txt", b"a.png\ngone.png\nlost.png\n")
    with pytest.raises(DataError, match=r"2 of 3 listed photos do not exist, the first is gone\.png"):
        open_photos(str(listing))


def test_a_list_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a readable text file"):
        open_photos(str(_write(tmp_path / "photos.txt", b"\xff\xfe\x00\xd8")))


# --- shards ---


def test_shards_by_braces_stars_and_commas(tmp_path, flat):
    for number in range(4):
        members = {f"k{number}b.png": flat(10 * number + 1), f"k{number}a.webp": flat(10 * number + 2), "x.json": b"{}"}
        _shard(tmp_path / f"train-{number:03d}.tar", members)
    first_two = [1, 2, 11, 12]
    assert _values(open_photos(str(tmp_path / "train-{000..001}.tar"))) == first_two
    assert _values(open_photos(f"{tmp_path / 'train-000.tar'}, {tmp_path / 'train-001.tar'}")) == first_two
    assert len(open_photos(str(tmp_path / "train-*.tar"))) == 8
    photos = open_photos(str(tmp_path / "train-{002..003}.tar"))
    assert photos.files[0].name == "train-002.tar/k2b.png"
    assert _values(photos) == [21, 22, 31, 32]


def test_braces_count_with_and_without_leading_zeros_and_more_than_once(tmp_path, flat):
    for name in ("s0-8", "s0-9", "s0-10", "s1-8", "s1-9", "s1-10"):
        _shard(tmp_path / f"{name}.tar", {"a.png": flat(int(name[3:]) + 100 * int(name[1]))})
    assert _values(open_photos(str(tmp_path / "s{0..1}-{8..10}.tar"))) == [8, 9, 10, 108, 109, 110]


def test_masks_in_a_shard_are_no_photos(tmp_path, flat):
    _shard(tmp_path / "a.tar", {"k.png": flat(1), "k.mask.png": flat(255)})
    assert _values(open_photos(str(tmp_path / "a.tar"))) == [1]


def test_a_missing_shard_of_a_range_is_named(tmp_path, flat):
    _shard(tmp_path / "s-0.tar", {"a.png": flat(1)})
    with pytest.raises(DataError, match=r"s-1\.tar: no such file"):
        open_photos(str(tmp_path / "s-{0..1}.tar"))


@pytest.mark.parametrize("kept", [0.4, 0.97])
def test_a_cut_off_shard_is_refused(tmp_path, draw_photo, kept):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = _shard(tmp_path / "a.tar", {f"{i}.png": _png(noise) for i in range(4)}).read_bytes()
    end = max(i for i in range(len(whole)) if whole[i])  # a tar ends in blocks of zeros, which say nothing
    _write(tmp_path / "a.tar", whole[: int(end * kept)])
    with pytest.raises(DataError, match="not a whole tar file"):
        open_photos(str(tmp_path / "a.tar"))


def test_a_compressed_shard_is_refused(tmp_path, flat):
    with tarfile.open(tmp_path / "a.tar", "w:gz") as archive:
        archive.add(_write(tmp_path / "a.png", flat(1)), "a.png")
    with pytest.raises(DataError, match="uncompressed tar"):
        open_photos(str(tmp_path / "a.tar"))


# --- what cannot be read ---


@pytest.fixture
def mixed_folder(tmp_path, flat) -> Path:
    """Five good photos, a truncated one, a text under a photo's name and an empty file."""
    for value in (0, 1, 3, 5, 6):
        _write(tmp_path / f"{value}.png", flat(value, 40, 40))
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    _write(tmp_path / "2.png", _png(noise)[:700])
    _write(tmp_path / "4.jpg", b"this is no photo")
    _write(tmp_path / "7.webp", b"")
    return tmp_path


def test_a_corrupt_photo_is_skipped_counted_and_named(mixed_folder):
    photos = open_photos(str(mixed_folder))
    assert len(photos) == 8
    assert _values(photos) == [0, 1, 3, 3, 5, 5, 6, 0]  # the next one that can be read, round the end
    assert {Path(name).name for name in photos.unreadable} == {"2.png", "4.jpg", "7.webp"}
    assert all(reason and "\n" not in reason for reason in photos.unreadable.values())


def test_what_a_photo_is_does_not_depend_on_what_was_asked_before(mixed_folder):
    forwards, backwards = open_photos(str(mixed_folder)), open_photos(str(mixed_folder), cache_bytes=0)
    there = [forwards[i] for i in range(8)]
    back = [backwards[i] for i in reversed(range(8))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(there, back, strict=True))


def test_two_photos_of_one_name_do_not_share_their_fate(tmp_path, flat):
    _write(tmp_path / "first" / "a.png", b"broken")
    _write(tmp_path / "second" / "a.png", flat(4))
    photos = open_photos(f"{tmp_path / 'first'},{tmp_path / 'second'}")
    assert _values(photos) == [4, 4]
    assert len(photos.unreadable) == 1


def test_nothing_but_corrupt_photos_is_an_error_that_names_one(tmp_path):
    for name in ("a.png", "b.png"):
        _write(tmp_path / name, b"broken")
    with pytest.raises(DataError, match=r"none of the 2 photos can be read \(first: a\.png"):
        open_photos(str(tmp_path))[0]


def test_a_photo_that_vanishes_while_training_is_skipped(tmp_path, flat):
    for value in (1, 2):
        _write(tmp_path / f"{value}.png", flat(value))
    photos = open_photos(str(tmp_path))
    os.remove(tmp_path / "1.png")
    assert _values(photos) == [2, 2]
    assert list(photos.unreadable) == ["1.png"]


# --- the memory ---


def test_photos_are_decoded_once_and_then_kept(tmp_path, flat):
    _write(tmp_path / "a.png", flat(1))
    photos = open_photos(str(tmp_path))
    first = photos[0]
    os.remove(tmp_path / "a.png")
    assert photos[0] is first


def test_the_memory_is_bounded_and_what_does_not_fit_is_decoded_again(tmp_path, flat):
    for value in range(4):
        _write(tmp_path / f"{value}.png", flat(value, 10, 10))  # 300 bytes each
    photos = open_photos(str(tmp_path), cache_bytes=650)
    assert _values(photos) == [0, 1, 2, 3]
    kept = [photos[i] is photos[i] for i in range(4)]
    assert kept == [True, True, False, False]
    assert _values(photos) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("height", "width", "shrunk"),
    [(100, 200, (50, 100)), (301, 77, (195, 50)), (40, 400, (40, 400)), (50, 50, (50, 50)), (1000, 51, (980, 50))],
)
def test_photos_are_shrunk_to_the_short_side_never_enlarged(tmp_path, flat, height, width, shrunk):
    _write(tmp_path / "a.png", flat(77, height, width))
    photo = open_photos(str(tmp_path), short_side=50)[0]
    assert photo.shape[:2] == shrunk
    assert (photo == 77).all()


def test_threads_may_share_the_photos(mixed_folder):
    photos = open_photos(str(mixed_folder))
    with ThreadPoolExecutor(4) as pool:
        values = list(pool.map(lambda i: int(photos[i % 8][0, 0, 0]), range(400)))
    assert values == [0, 1, 3, 3, 5, 5, 6, 0] * 50
    assert len(photos.unreadable) == 3
    assert photos._cached_bytes == sum(a.nbytes for a in photos._cache.values())


def test_part_of_a_file_is_read_where_it_lies(tmp_path):
    path = _write(tmp_path / "x.bin", b"0123456789")
    assert PhotoFile("x", path, 3, 4).read() == b"3456"
    assert PhotoFile("x", path).read() == b"0123456789"
