"""Fixed mask sets: the same pixels and bytes everywhere, whole or not at all, and told apart from what was touched."""

import hashlib
import json
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inpaintkit.errors import MaskError, UsageError
from inpaintkit.masks import SHAPES, benchmark, decode_mask
from inpaintkit.masks.benchmark import (
    MANIFEST,
    MASK_SETS,
    Manifest,
    check_set,
    draw_set,
    mask_png,
    mask_set_named,
    read_set,
    set_digest,
    square,
    write_set,
)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Manifest]:
    """A set of random boxes on disk."""
    folder = tmp_path / "böxes"
    return folder, write_set("random_256", folder)


# --- What the sets are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MASK_SETS)
def test_this_machine_draws_what_is_recorded(name):
    chosen, masks = MASK_SETS[name], list(draw_set(name))
    assert len(masks) == chosen.count
    assert [file for file, _ in masks] == sorted({file for file, _ in masks})
    for _, mask in masks:
        assert mask.dtype == np.bool_
        assert mask.shape == (chosen.size, chosen.size)
        assert 0.001 < mask.mean() < 0.95
    assert set_digest(mask for _, mask in masks) == chosen.sha256


def test_the_sets_are_those_that_were_promised():
    kinds = {"centre", "random", "rectangle", "free_form", "lama_thin", "lama_medium", "lama_thick", "boxes"}
    assert set(MASK_SETS) == {f"{kind}_{size}" for kind in kinds for size in (256, 512)}
    assert all(name == chosen.name and name.endswith(f"_{chosen.size}") for name, chosen in MASK_SETS.items())
    digests = [chosen.sha256 for chosen in MASK_SETS.values()]
    assert len(set(digests)) == len(digests)


def test_a_name_that_is_a_published_generators_promises_that_generator():
    for name, chosen in MASK_SETS.items():
        if name in SHAPES:
            assert chosen.shape == name


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("centre_256", 0.25),
        ("random_512", 0.25),
        ("rectangle_256", 0.19),
        ("free_form_256", 0.15),
        ("boxes_256", 0.44),
        ("lama_thin_512", 0.28),
        ("lama_medium_256", 0.24),
        ("lama_thick_256", 0.26),
    ],
)
def test_areas_are_those_of_the_shapes(name, area):
    assert np.mean([mask.mean() for _, mask in draw_set(name)]) == pytest.approx(area, abs=0.05)


def test_every_mask_has_a_seed_of_its_own():
    for index, (_, mask) in enumerate(draw_set("lama_thick_256")):
        if index in (0, 57, 99):
            alone = SHAPES["lama_thick_256"](256, 256, np.random.default_rng([0, index]))
            assert np.array_equal(mask, alone)


def test_boxes_of_half_the_side_lie_anywhere():
    tops = set()
    for _, mask in draw_set("random_256"):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert (len(rows), len(columns), mask.sum()) == (128, 128, 128 * 128)
        tops.add(int(rows[0]))
    assert min(tops) < 10
    assert max(tops) > 118
    places = [tuple(map(int, np.argwhere(square(3, 4, np.random.default_rng(seed)))[0])) for seed in range(200)]
    assert set(places) == {(top, left) for top in (0, 1) for left in (0, 1, 2)}


def test_an_unknown_set_lists_the_known():
    with pytest.raises(UsageError, match=r"did you mean 'lama_thin_256'.*rectangle_512"):
        mask_set_named("lama_thinn_256")


def test_a_machine_that_draws_otherwise_says_so_and_gives_nothing(monkeypatch, tmp_path):
    monkeypatch.setitem(benchmark._DRAWN, "centre", SHAPES["rectangle"])
    with pytest.raises(MaskError, match=rf"other pixels here .*opencv {re.escape(cv2.__version__)}.*copy") as refusal:
        draw_set("centre_256")
    assert "\n" not in str(refusal.value)
    with pytest.raises(MaskError):
        write_set("centre_256", tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


# --- Digest and bytes -------------------------------------------------------------------------------------------------


def test_digest_is_what_it_says():
    first, second = np.array([[True, False, True]]), np.zeros((2, 9), bool)
    data = bytes.fromhex("00000001 00000003 a0" + "00000002 00000009 0000 0000")
    assert set_digest([first, second]) == hashlib.sha256(data).hexdigest()
    assert set_digest([second, first]) != set_digest([first, second])
    assert set_digest([first.T, second]) != set_digest([first, second])


def test_png_bytes_of_a_small_mask():
    mask = np.array([[1, 0, 0, 0, 0, 0, 0, 1, 1], [0, 1, 0, 0, 0, 0, 0, 0, 0]], bool)
    golden = (
        "89504e470d0a1a0a"
        "0000000d 49484452 00000009 00000002 01 00 00 00 00 a22dcb7e"
        "00000011 49444154 7801 01 0600 f9ff 00 8180 00 4000 050b0142 48518c4a"
        "00000000 49454e44 ae426082"
    )
    assert mask_png(mask).hex() == golden.replace(" ", "")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_png_is_read_by_everybody(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    data = mask_png(mask)
    assert np.array_equal(decode_mask(data), mask)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) == 255, mask)


def test_pillow_reads_one_bit(tmp_path):
    mask = SHAPES["blobs"](70, 91, np.random.default_rng(1))
    path = tmp_path / "a.png"
    path.write_bytes(mask_png(mask))
    with Image.open(path) as image:
        image.load()
        assert image.mode == "1"
        assert np.array_equal(np.asarray(image), mask)


def test_large_masks_take_several_stored_blocks():
    mask = SHAPES["lama_thin"](900, 1000, np.random.default_rng(1))
    data = mask_png(mask)
    start = data.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", data[start - 8 : start - 4])
    rows = zlib.decompress(data[start : start + length])
    assert len(rows) == 900 * 126 > 65_535
    assert length == len(rows) + 2 + 2 * 5 + 4  # nothing is compressed
    assert np.array_equal(decode_mask(data), mask)


def test_bytes_do_not_go_through_a_compressor(monkeypatch):
    mask = SHAPES["blobs"](64, 64, np.random.default_rng(1))
    before = mask_png(mask)
    monkeypatch.setattr(zlib, "compress", None)
    monkeypatch.setattr(zlib, "compressobj", None)
    assert mask_png(mask) == before


# --- Writing ----------------------------------------------------------------------------------------------------------


def test_a_written_set_is_files_and_a_manifest(written):
    folder, manifest = written
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{index:04d}.png" for index in range(100)] + [MANIFEST]
    for (file, mask), (read_file, read_mask) in zip(draw_set("random_256"), read_set(folder), strict=True):
        assert file == read_file
        assert np.array_equal(mask, read_mask)
        assert manifest.files[file] == hashlib.sha256((folder / file).read_bytes()).hexdigest()
    on_disk = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert on_disk["sha256"] == manifest.sha256 == MASK_SETS["random_256"].sha256
    assert (on_disk["name"], on_disk["shape"], on_disk["size"], on_disk["count"]) == ("random_256", "square", 256, 100)
    assert (on_disk["seed"], on_disk["schema"]) == (0, 1)
    assert on_disk["versions"] == {"opencv": cv2.__version__, "numpy": np.__version__}


def test_an_empty_folder_is_taken(tmp_path):
    write_set("centre_256", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000.png", MANIFEST]


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    for taken in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError, match="give a new or an empty"):
            write_set("centre_256", taken)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="make it first"):
        write_set("centre_256", tmp_path / "no" / "such")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("method", ["write_bytes", "replace"])
def test_what_stops_it_leaves_nothing(monkeypatch, tmp_path, there, stop, method):
    folder = tmp_path / "set"
    if there:
        folder.mkdir()
    done, real = [], getattr(Path, method)

    def fail_late(self, *rest):
        done.append(self)
        if len(done) > 40:
            raise stop
        return real(self, *rest)

    monkeypatch.setattr(Path, method, fail_late)
    expected = MaskError if isinstance(stop, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as refusal:
        write_set("free_form_256", folder)
    monkeypatch.undo()
    assert len(done) == 41
    assert [str(path) for path in tmp_path.rglob("*")] == ([str(folder)] if there else [])
    if expected is MaskError:
        assert re.search("No space left on device, expected .* free bytes", str(refusal.value))


# --- Checking ---------------------------------------------------------------------------------------------------------


def test_a_set_as_written_is_well(written):
    found = check_set(written[0])
    assert found.problems == found.changed == found.missing == found.extra == ()
    assert found.manifest == written[1]


def test_changed_missing_and_extra_files_are_named(written):
    folder, _ = written
    (folder / "0007.png").write_bytes((folder / "0008.png").read_bytes())
    (folder / "0099.png").unlink()
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"")
    found = check_set(folder)
    assert (found.changed, found.missing, found.extra) == (("0007.png",), ("0099.png",), ("notes.txt",))
    assert len(found.problems) == 3
    with pytest.raises(MaskError, match=r"0007\.png is not as it was written \(and 2 more\)"):
        read_set(folder)


def edited(folder: Path, **entries: object) -> None:
    """Change a manifest."""
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(content | entries), encoding="utf-8")


def test_masks_and_manifest_changed_together_are_found(tmp_path):
    write_set("centre_256", tmp_path)
    other = mask_png(np.eye(256, dtype=bool))
    (tmp_path / "0000.png").write_bytes(other)
    edited(tmp_path, files={"0000.png": hashlib.sha256(other).hexdigest()})
    assert "the manifest says" in check_set(tmp_path).problems[0]
    edited(tmp_path, sha256=set_digest([np.eye(256, dtype=bool)]))
    assert "not the set 'centre_256' of this version" in check_set(tmp_path).problems[0]
    edited(tmp_path, name="mine")
    assert "knows no set 'mine'" in check_set(tmp_path).problems[0]
    (tmp_path / "0000.png").write_bytes(b"no picture")
    edited(tmp_path, files={"0000.png": hashlib.sha256(b"no picture").hexdigest()})
    assert "0000.png" in check_set(tmp_path).problems[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"{}", b'{"schema": 1}', b"null"],
)
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(MaskError, match="not the manifest of a mask set"):
        check_set(tmp_path)


@pytest.mark.parametrize(
    "entries",
    [{"files": {"../0000.png": "0"}}, {"files": {}}, {"files": []}, {"count": 2}, {"count": "1"}, {"name": 3}],
)
def test_a_manifest_with_wrong_entries_is_refused(tmp_path, entries):
    write_set("centre_256", tmp_path)
    edited(tmp_path, **entries)
    with pytest.raises(MaskError, match="not the manifest of a mask set"):
        check_set(tmp_path)


def test_folders_without_manifest_and_of_later_versions_are_refused(tmp_path):
    with pytest.raises(MaskError, match=r"holds no manifest\.json"):
        check_set(tmp_path / "absent")
    write_set("centre_256", tmp_path / "set")
    edited(tmp_path / "set", schema=2)
    with pytest.raises(MaskError, match="schema 2, expected 1"):
        check_set(tmp_path / "set")


# --- The page ---------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[2] / "docs" / "masks.md"


def page_row(name: str) -> str:
    """A set's row of the table in docs/masks.md; depth is that of the deepest missing pixel, averaged over masks."""
    chosen = MASK_SETS[name]
    masks = np.array([mask for _, mask in draw_set(name)])
    depths = [cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max() for mask in masks]
    return (
        f"| `{name}` | {chosen.about} | {chosen.size} | {chosen.count} | {100 * masks.mean():.1f} % | "
        f"{np.mean(depths):.0f} px | `{chosen.sha256[:12]}` |"
    )


@pytest.mark.parametrize("number", range(len(MASK_SETS)))
def test_the_page_shows_the_sets_as_they_are(number):
    rows = re.findall(r"^\| `\w+_(?:256|512)` \|.*`[0-9a-f]{12}` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(MASK_SETS)
    assert rows[number] == page_row(list(MASK_SETS)[number])
