"""Photos find their masks and their results' names; lists of photos; parts of a batch. Nothing is opened."""

import json
import os
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaintkit.errors import UsageError
from inpaintkit.filling.pairing import _distinct, find_items, item_key, read_manifest, shard, shard_of


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Makes empty files below the test's folder and returns the folder."""

    def touch(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return touch


def link(at: Path, to: Path) -> None:
    """A symbolic link, where this system makes them."""
    at.parent.mkdir(parents=True, exist_ok=True)
    try:
        at.symlink_to(to)
    except OSError:
        pytest.skip("this system makes no links for this user")


def pairs(items: list, top: Path) -> dict[str, str | None]:
    """Result's name -> mask's path below the folder."""
    return {item.name: item.mask and Path(item.mask).relative_to(top).as_posix() for item in items}


# ---- folders of masks ------------------------------------------------------------------------------------------------


def test_masks_are_found_by_relative_path_and_stem_whatever_their_suffix(make):
    top = make("in/a.jpg", "in/x/a.png", "in/x/y/b.tif", "m/a.png", "m/x/a.webp", "m/x/y/b.JPG")
    items = find_items(top / "in", top / "m", top / "out", recursive=True)
    assert pairs(items, top) == {"a.jpg": "m/a.png", "x/a.png": "m/x/a.webp", "x/y/b.tif": "m/x/y/b.JPG"}
    assert items.notes == ()
    assert items[1].photo == str(top / "in" / "x" / "a.png")
    assert items[1].output == str(top / "out" / "x" / "a.png")
    assert [item.name for item in find_items(top / "in", top / "m", top / "out")] == ["a.jpg"]


def test_the_mask_of_a_whole_name_goes_before_that_of_a_stem(make):
    top = make("in/a.jpg", "in/a.png", "in/a.tif", "in/b.jpg", "m/a.jpg.png", "m/a.png", "m/b.jpg", "m/b.png")
    assert pairs(find_items(top / "in", top / "m", top / "out"), top) == {
        "a.jpg": "m/a.jpg.png",
        "a.png": "m/a.png",
        "a.tif": "m/a.png",
        "b.jpg": "m/b.jpg",
    }


def test_polygons_are_masks_and_png_goes_before_them(make):
    top = make("in/a.jpg", "in/b.jpg", "m/a.json", "m/b.json", "m/b.png")
    assert pairs(find_items(top / "in", top / "m", top / "out"), top) == {"a.jpg": "m/a.json", "b.jpg": "m/b.png"}
    top = make("one/c.jpg", "one/c.json")
    assert pairs(find_items(top / "one", top / "one", top / "out"), top) == {"c.jpg": "one/c.json"}


def test_a_mask_at_the_top_serves_the_only_photo_of_its_name(make):
    top = make("in/x/a.jpg", "in/x/b.jpg", "in/y/b.jpg", "m/a.png", "m/b.png")
    items = find_items(top / "in", top / "m", top / "out", recursive=True)
    assert pairs(items, top) == {"x/a.jpg": "m/a.png", "x/b.jpg": None, "y/b.jpg": None}
    assert all("has no mask" in str(item.fault) for item in items[1:])
    assert items[0].fault is None


def test_a_photo_without_a_mask_fails_alone_and_masks_without_photos_are_noted_once(make):
    top = make("in/a.jpg", "in/b.jpg", "m/b.png", *(f"m/z{number}.png" for number in range(5)))
    items = find_items(top / "in", top / "m", top / "out")
    assert [(item.name, item.mask is None, item.fault is None) for item in items] == [
        ("a.jpg", True, False),
        ("b.jpg", False, True),
    ]
    assert "'a.jpg'" in items[0].fault
    assert "a.png" in items[0].fault
    (note,) = items.notes
    assert note == f"5 masks in '{top / 'm'}' without a photo: z0.png, z1.png, z2.png, ..."


def test_lamas_folder_of_photos_and_masks(make):
    top = make("in/a.png", "in/a_mask001.png", "in/a_mask002.png", "in/b.jpg", "in/b_mask.png", "in/c.png")
    make("in/lonely_mask003.png", "in/x/a.png", "in/x/a_mask000.png")
    items = find_items(top / "in", top / "in", top / "out", recursive=True)
    assert pairs(items, top) == {
        "a_mask001.png": "in/a_mask001.png",
        "a_mask002.png": "in/a_mask002.png",
        "b_mask.jpg": "in/b_mask.png",
        "c.png": None,
        "x/a_mask000.png": "in/x/a_mask000.png",
    }
    assert [Path(item.photo).name for item in items] == ["a.png", "a.png", "b.jpg", "c.png", "a.png"]
    assert [item.fault is None for item in items] == [True, True, True, False, True]
    assert items.notes == (f"1 mask in '{top / 'in'}' without a photo: lonely_mask003.png",)


def test_lamas_names_in_a_folder_of_masks(make):
    top = make("in/a.jpg", "in/b_mask.jpg", "m/a_mask1.png", "m/a_mask2.png", "m/b_mask.png")
    assert pairs(find_items(top / "in", top / "m", top / "out"), top) == {
        "a_mask1.jpg": "m/a_mask1.png",
        "a_mask2.jpg": "m/a_mask2.png",
        "b_mask.jpg": "m/b_mask.png",
    }


def test_capitals_tell_masks_apart_where_there_are_two(make):
    top = make("in/A.jpg", "in/a.jpg", "in/b.JPG", "m/A.png", "m/a.png", "m/B.png")
    if len(list((top / "in").iterdir())) < 3:
        pytest.skip("this file system knows no capitals")
    assert pairs(find_items(top / "in", top / "m", top / "out"), top) == {
        "A_jpg.jpg": "m/A.png",
        "a_jpg-2.jpg": "m/a.png",
        "b.JPG": "m/B.png",
    }
    top = make("l/A.jpg", "l/a.jpg", "l/A_mask1.png", "l/a_mask1.png", "l/a_mask2.png")
    items = find_items(top / "l", top / "l", top / "out")
    assert [(Path(item.photo).name, Path(str(item.mask)).name) for item in items] == [
        ("A.jpg", "A_mask1.png"),
        ("a.jpg", "a_mask1.png"),
        ("a.jpg", "a_mask2.png"),
    ]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_that_look_alike_are_alike(make, form):
    other = "NFD" if form == "NFC" else "NFC"
    top = make("in/" + unicodedata.normalize(form, "café.jpg"), "m/" + unicodedata.normalize(other, "café.png"))
    (item,) = find_items(top / "in", top / "m", top / "out")
    assert item.fault is None


# ---- one mask, patterns, words ---------------------------------------------------------------------------------------


def test_one_mask_for_all_is_no_photo(make):
    top = make("in/a.jpg", "in/b.jpg", "in/mask.png")
    items = find_items(top / "in", top / "in" / "mask.png", top / "out")
    assert pairs(items, top) == {"a.jpg": "in/mask.png", "b.jpg": "in/mask.png"}


def test_one_mask_for_all_is_no_photo_when_it_is_named_through_a_link(make):
    top = make("in/a.jpg", "in/mask.png")
    link(top / "again", top / "in")
    link(top / "m.png", top / "in" / "mask.png")
    for mask in (top / "again" / "mask.png", top / "m.png"):
        assert [item.name for item in find_items(top / "in", mask, top / "out")] == ["a.jpg"]
    make("in/a_m.png", "in/mask_m.png")
    items = find_items(top / "again", str(top / "in" / "{stem}_m.png"), top / "out")
    assert [item.name for item in items] == ["a.jpg", "mask.png"]


@pytest.mark.parametrize("mask", ["alpha", "color:#ff00ff", "colour:#0f0", None])
def test_masks_in_words_go_to_every_photo(make, mask):
    top = make("in/a.jpg", "in/b.png")
    assert [item.mask for item in find_items(top / "in", mask, top / "out")] == [mask, mask]


def test_a_pattern_names_every_mask(make, monkeypatch):
    top = make("in/a.jpg", "in/x/b.png", "m/a_m.png", "m/x/b_m.png", "in/x/c.png")
    monkeypatch.chdir(top)
    items = find_items("in", "m/{subfolder}/{stem}_m.png", "out", recursive=True)
    assert pairs(items, top) == {"a.jpg": "m/a_m.png", "x/b.png": "m/x/b_m.png", "x/c.png": None}
    assert f"expected '{top / 'm' / 'x' / 'c_m.png'}'" in items[2].fault
    make("q/a.jpg.gif")
    (item, *_) = find_items("in", "q/{name}.gif", "out")
    assert item.mask == str(top / "q" / "a.jpg.gif")
    make("q/a-jpg.gif")
    assert find_items("in", "q/{stem}-{suffix}.gif", "out")[0].mask == str(top / "q" / "a-jpg.gif")


def test_masks_beside_their_photos_are_no_photos(make):
    top = make("in/a.jpg", "in/a_m.png", "in/x/b.png", "in/x/b_m.png", "in/x/c_m.png")
    items = find_items(top / "in", "{folder}/{stem}_m.png", top / "out", recursive=True)
    assert pairs(items, top) == {
        "a.jpg": "in/a_m.png",
        "x/b.png": "in/x/b_m.png",
        "x/c_m.png": None,
    }


@pytest.mark.parametrize("pattern", ["m/{stam}.png", "m/{stem!r}.png", "m/{stem:>9}.png", "m/{}.png", "m/{stem.png"])
def test_a_pattern_that_cannot_be_meant(make, pattern):
    top = make("in/a.jpg")
    with pytest.raises(UsageError, match="mask pattern"):
        find_items(top / "in", pattern, top / "out")


def test_a_mask_that_is_nothing(make):
    top = make("in/a.jpg")
    with pytest.raises(UsageError, match="is not there, expected a folder, a file, a pattern"):
        find_items(top / "in", top / "gone", top / "out")


# ---- what is a photo -------------------------------------------------------------------------------------------------


def test_what_is_no_photo_is_passed_by(make):
    top = make("in/a.jpg", "in/.hidden.jpg", "in/._a.jpg", "in/Thumbs.db", "in/notes.txt", "in/.git/b.jpg")
    make("in/__MACOSX/a.jpg", "in/@eaDir/a.jpg", "in/data.json")
    assert [item.name for item in find_items(top / "in", "alpha", top / "out", recursive=True)] == ["a.jpg"]


def test_output_and_masks_inside_the_folder_are_not_walked(make):
    top = make("in/a.jpg", "in/out/a.jpg", "in/masks/a.png")
    items = find_items(top / "in", top / "in" / "masks", top / "in" / "out", recursive=True)
    assert pairs(items, top) == {"a.jpg": "in/masks/a.png"}


def test_links_to_files_are_photos_broken_ones_too(make):
    top = make("elsewhere/real.jpg", "in/b.jpg")
    link(top / "in" / "a.jpg", top / "elsewhere" / "real.jpg")
    link(top / "in" / "c.jpg", top / "gone.jpg")
    items = find_items(top / "in", "alpha", top / "out")
    assert [item.name for item in items] == ["a.jpg", "b.jpg", "c.jpg"]


def test_links_to_folders_are_followed_once_and_loops_end(make):
    top = make("in/x/a.jpg", "elsewhere/deep/b.jpg")
    link(top / "in" / "x" / "round", top / "in")
    link(top / "in" / "x" / "self", top / "in" / "x")
    link(top / "in" / "again", top / "in" / "x")
    link(top / "in" / "linked", top / "elsewhere")
    items = find_items(top / "in", "alpha", top / "out", recursive=True)
    assert [item.name for item in items] == ["linked/deep/b.jpg", "x/a.jpg"]


@pytest.mark.parametrize("recursive", [False, True])
def test_a_link_to_itself_is_one_photo_that_fails(make, recursive):
    top = make("in/a.jpg", "m/a.png")
    link(top / "in" / "self.png", Path("self.png"))
    link(top / "m" / "self.png", Path("self.png"))
    for mask in ("alpha", top / "m", str(top / "m" / "{stem}.png")):
        items = find_items(top / "in", mask, top / "out", recursive=recursive)
        assert [item.name for item in items] == ["a.jpg", "self.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_left_out_with_a_note(make):
    top = make("in/a.jpg")
    os.mkfifo(top / "in" / "pipe.jpg")
    link(top / "in" / "to-pipe.png", top / "in" / "pipe.jpg")
    items = find_items(top / "in", "alpha", top / "out")
    assert [item.name for item in items] == ["a.jpg"]
    assert items.notes == (
        f"2 files in '{top / 'in'}' left out, pipes, sockets or devices and no photos: pipe.jpg, to-pipe.png",
    )


def test_results_of_another_run_are_left_out_with_a_note(make):
    top = make("in/a.jpg", "in/x/b.jpg", "in/x/old/b.jpg", "in/x/old/deep/c.jpg", "m/a.png", "m/x/b.png", "m/old/a.png")
    make("in/x/old/inpaintkit-journal-1-of-2.jsonl", "m/old/inpaintkit-journal.jsonl", "in/inpaintkit-journal.jsonl")
    items = find_items(top / "in", top / "m", top / "out", recursive=True)
    assert pairs(items, top) == {"a.jpg": "m/a.png", "x/b.jpg": "m/x/b.png"}
    left = "left out, with the journal and the results of another run"
    assert items.notes == (f"1 folder in '{top / 'in'}' {left}: x/old", f"1 folder in '{top / 'm'}' {left}: old")


@pytest.mark.parametrize("inside", ["", "deep/er"])
def test_an_output_that_is_a_link_to_nowhere_is_refused(make, inside):
    top = make("in/a.jpg")
    link(top / "out", top / "gone")
    with pytest.raises(UsageError, match="is a link that leads nowhere"):
        find_items(top / "in", "alpha", top / "out" / inside)
    with pytest.raises(UsageError, match="is a link that leads nowhere"):
        read_manifest(write(top / "list.csv", "photo\na.jpg\n"), top / "out" / inside)


def test_a_folder_that_cannot_be_listed_is_an_item_that_fails(make, monkeypatch):
    top = make("in/a.jpg", "in/x/b.jpg")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("x"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    items = find_items(top / "in", "alpha", top / "out", recursive=True)
    assert [(item.name, item.fault is None) for item in items] == [("a.jpg", True), ("x", False)]
    assert "Permission denied" in items[1].fault


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode on Windows")
def test_a_name_that_is_no_text_is_a_name(make):
    top = make("in/a.jpg")
    try:
        Path(os.fsdecode(os.fsencode(top / "in") + b"/\xff\xfe.jpg")).touch()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    items = find_items(top / "in", "alpha", top / "out")
    assert len(items) == 2
    assert all(item_key(item.name) for item in items)


def test_a_folder_without_photos_says_what_is_there(make):
    top = make("in/notes.txt", "in/x/a.jpg")
    with pytest.raises(UsageError, match=r"no photo in .* \(1 other file\).*\.jpg.*--recursive"):
        find_items(top / "in", "alpha", top / "out")
    with pytest.raises(UsageError, match="is no folder"):
        find_items(top / "in" / "notes.txt", "alpha", top / "out")


def test_photos_and_masks_are_never_overwritten(make):
    top = make("in/a.jpg", "in/in/a.jpg", "m/a.png")
    with pytest.raises(UsageError, match="never overwritten"):
        find_items(top / "in", "alpha", top / "in")
    with pytest.raises(UsageError, match="would overwrite"):
        find_items(top / "in", top / "m", top / "m", format="png")
    with pytest.raises(UsageError, match="would overwrite"):  # in/in/a.jpg -> in/a.jpg
        find_items(top / "in", "alpha", top, recursive=True)
    link(top / "out" / "in", top / "in" / "in")
    with pytest.raises(UsageError, match="would overwrite"):
        find_items(top / "in", "alpha", top / "out", recursive=True)


# ---- names of results ------------------------------------------------------------------------------------------------


def test_equal_stems_get_names_of_their_own(make):
    top = make("in/a.jpg", "in/a.png", "in/b.jpg", "in/c.gif", "in/c.bmp", "in/d.jpeg")
    named = [item.name for item in find_items(top / "in", "alpha", top / "out", format="png")]
    assert named == ["a_jpg.png", "a_png.png", "b.png", "c_bmp.png", "c_gif.png", "d.png"]
    named = [item.name for item in find_items(top / "in", "alpha", top / "out")]
    assert named == ["a.jpg", "a.png", "b.jpg", "c_bmp.png", "c_gif.png", "d.jpeg"]
    assert [item.name for item in find_items(top / "in", "alpha", top / "out", format="keep")] == named


def test_a_name_made_for_two_that_is_taken_gets_a_number(make):
    top = make("in/a.jpg", "in/a.png", "in/a_jpg.png", "in/a_png.webp")
    named = [item.name for item in find_items(top / "in", "alpha", top / "out", format="PNG")]
    assert named == ["a_jpg-2.png", "a_png-2.png", "a_jpg.png", "a_png.png"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "x", "X", "x/y"]),
            st.sampled_from(["a", "A", "a_png", "a_jpg", "a_jpg-2", "é", "e\u0301", "ß", "ss"]),
            st.sampled_from(["1.png", "2.jpg", "3.JPG", "4.gif", "noname"]),
            st.sampled_from(["", ".png"]),
        ),
        max_size=12,
    )
)
def test_no_two_results_share_a_name_on_any_system(wishes):
    names = _distinct(wishes)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(wishes)
    for name, (folder, stem, _, _) in zip(names, wishes, strict=True):
        assert name.startswith(f"{folder}/{stem}" if folder else stem)


def test_an_unknown_format_is_refused(make):
    top = make("in/a.jpg")
    with pytest.raises(UsageError, match="did you mean 'png'"):
        find_items(top / "in", "alpha", top / "out", format="pgn")


# ---- manifests -------------------------------------------------------------------------------------------------------


def write(path: Path, text: str) -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_manifest(tmp_path):
    text = (
        "\ufeffphoto,mask,output,boxes,grow,caption\n"
        'a.jpg,m/a.png,,,,"one, two"\n'
        'sub/b.jpg,,new/b.png,"1,2,3,4; 5,6,7,8",3%,x\n'
        "../c.gif,alpha,,,12,\n"
    )
    items = read_manifest(write(tmp_path / "l" / "list.csv", text), tmp_path / "out")
    assert [item.photo for item in items] == [
        str(tmp_path / "l" / "a.jpg"),
        str(tmp_path / "l" / "sub" / "b.jpg"),
        str(tmp_path / "c.gif"),
    ]
    assert [item.mask for item in items] == [str(tmp_path / "l" / "m" / "a.png"), None, "alpha"]
    assert [item.name for item in items] == ["a.jpg", "new/b.png", "c.png"]
    assert [item.boxes for item in items] == [(), ((1, 2, 3, 4), (5, 6, 7, 8)), ()]
    assert [item.grow for item in items] == [None, "3%", "12"]
    assert items.notes == (f"columns left unread in '{tmp_path / 'l' / 'list.csv'}': caption",)


def test_a_jsonl_manifest(tmp_path):
    rows = [
        {"photo": "a.jpg", "mask": "a.png"},
        {"photo": str(tmp_path / "x" / "a.jpg"), "mask": "a.png", "boxes": [[1, 2, 3, 4]], "grow": 4},
        {"photo": "b.jpg", "boxes": [1, 2, 3, 4], "output": "ü.webp"},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    items = read_manifest(write(tmp_path / "list.jsonl", text), tmp_path / "out", format="png")
    assert [item.name for item in items] == ["a_jpg.png", "a_jpg-2.png", "ü.webp"]
    assert [item.boxes for item in items] == [(), ((1, 2, 3, 4),), ((1, 2, 3, 4),)]
    assert [item.grow for item in items] == [None, "4", None]


def test_columns_are_known_whatever_their_capitals(tmp_path):
    (item,) = read_manifest(write(tmp_path / "a.csv", "Photo, MASK,Grow\na.jpg,alpha,3\n"), tmp_path / "out")
    assert (item.photo, item.mask, item.grow) == (str(tmp_path / "a.jpg"), "alpha", "3")
    items = read_manifest(write(tmp_path / "a.jsonl", '{"PHOTO": "a.jpg", "Mask": "alpha"}\n'), tmp_path / "out")
    assert (items[0].mask, items.notes) == ("alpha", ())


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "photo,mask\na.jpg,a.png\n,b.png\n", "line 3: there is no photo"),
        ("a.csv", "image,mask\na.jpg,a.png\n", "line 1: the columns are image, mask"),
        ("a.csv", "", "line 1: the columns are none"),
        ("a.csv", "photo,mask\na.jpg,a.png,c\n", "line 2: it has more cells"),
        ("a.csv", 'photo,mask\na.jpg,"a.png\n', "no CSV"),
        ("a.csv", "photo\n", "lists no photo"),
        ("a.csv", 'photo,boxes\na.jpg,"1,2,3"\n', "line 2: boxes are"),
        ("a.csv", 'photo,boxes\na.jpg,"1,2,0,4"\n', "line 2: boxes are"),
        ("a.csv", 'photo,boxes\na.jpg,"1,2,3,x"\n', "line 2: boxes are"),
        ("a.csv", "photo,grow\na.jpg,much\n", "line 2: grow is 'much'"),
        ("a.csv", "photo,output\na.jpg,../b.png\n", "line 2: output '../b.png' lies outside"),
        ("a.csv", "photo,output\na.jpg,b.txt\n", "line 2: output 'b.txt' has no suffix"),
        ("a.csv", "photo,output\na.jpg,x.png\nb.jpg,c.png\nc.jpg,X.png\n", "line 4: output 'X.png' is that of line 2"),
        ("a.jsonl", '{"photo": "a.jpg"}\n{"photo": \n', "line 2: no JSON"),
        ("a.jsonl", '["a.jpg"]\n', "line 1: expected an object"),
        ("a.jsonl", '{"photo": 3}\n', "line 1: photo is 3"),
        ("a.jsonl", '{"photo": "a.jpg", "boxes": [1.5, 2, 3, 4]}\n', "line 1: boxes are"),
        ("a.jsonl", '{"photo": "a.jpg", "boxes": {"top": 1}}\n', "line 1: boxes are"),
        ("a.jsonl", '{"photo": "a.jpg", "grow": -1}\n', "line 1: grow is -1"),
        ("a.jsonl", '{"photo": "a.jpg"}\n' + 200_000 * "[", "line 2: no JSON"),
        ("a.jsonl", '{"photo": "a.jpg", "output": "b\\u0000.png"}\n', "line 1: output is"),
        ("a.jsonl", '{"photo": "\\u0000/a.jpg"}\n', "with a null byte"),
        ("a.csv", "photo,output\na.jpg,b\0.png\n", "line 2: output is"),
        ("a.csv", "photo,Photo\na.jpg,b.jpg\n", "line 2: the columns photo, Photo have one twice"),
        ("a.txt", "a.jpg\n", "ends in '.txt', expected .csv or .jsonl"),
    ],
)
def test_a_manifest_that_cannot_be_meant_names_the_line(tmp_path, name, text, words):
    with pytest.raises(UsageError) as caught:
        read_manifest(write(tmp_path / name, text), tmp_path / "out")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot read manifest"):
        read_manifest(tmp_path / "gone.csv", tmp_path / "out")
    (tmp_path / "a.csv").write_bytes("photo\né.jpg\n".encode("latin-1"))
    with pytest.raises(UsageError, match="not in UTF-8"):
        read_manifest(tmp_path / "a.csv", tmp_path / "out")


def test_a_manifest_never_overwrites_its_photos(tmp_path):
    path = write(tmp_path / "list.csv", "photo,mask\na.jpg,b.jpg\n")
    with pytest.raises(UsageError, match="would overwrite"):
        read_manifest(path, tmp_path)


# ---- parts -----------------------------------------------------------------------------------------------------------


def test_parts_are_disjoint_complete_and_stay_when_photos_come_and_go(make):
    top = make(*(f"in/{number}.jpg" for number in range(60)))
    items = find_items(top / "in", "alpha", top / "out")
    parts = [[item.name for item in shard(items, f"{number}/4")] for number in range(1, 5)]
    assert sorted(name for part in parts for name in part) == sorted(item.name for item in items)
    assert all(5 < len(part) < 30 for part in parts)
    fewer = random.Random(0).sample(items, 30)
    for number, part in enumerate(parts, 1):
        assert {item.name for item in shard(fewer, f"{number}/4")} == set(part) & {item.name for item in fewer}
    assert list(shard(items, "1/1")) == list(items)


def test_parts_do_not_depend_on_where_the_results_lie(make):
    top = make(*(f"in/{number}.jpg" for number in range(20)))
    here, there = (shard(find_items(top / "in", "alpha", top / out), "2/3") for out in ("out", "mounted/elsewhere"))
    assert [item.name for item in here] == [item.name for item in there]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/b", "1/4/2", "-1/4", "1.0/4", "", "\u0661/\u0664"])
def test_a_part_that_is_none(text):
    with pytest.raises(UsageError, match="expected i/n with i from 1 to n"):
        shard_of(text)
