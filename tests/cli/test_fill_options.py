"""Options of `inpaintkit fill` that make no sense, alone or together: one line, status 2, before any work."""

import time
from typing import Any

import pytest
from refusal import refused

from inpaintkit.cli.fill_options import mask_kind
from inpaintkit.filling.inpainter import Inpainter


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is opened is work."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a refusal must come before any work")

    monkeypatch.setattr(Inpainter, "__init__", fail)


@pytest.fixture
def call(run: Any, scene: Any) -> Any:
    """(*options, photo=, mask=, output=) -> (status, standard output, standard error) of `inpaintkit fill`."""

    def fill(*options: Any, photo: Any = scene.photo, mask: Any = scene.mask, output: Any = "out.png") -> Any:
        words = ["fill", photo, *(["-m", mask] if mask is not None else []), *options]
        outcome = run(*words, *(["-o", scene.folder / output] if output is not None else []))
        assert not (scene.folder / "out").exists()
        return outcome.status, outcome.out, outcome.err

    return fill


@pytest.fixture
def folder(scene: Any) -> Any:
    """A folder with a photo in it."""
    photos = scene.folder / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(scene.photo.read_bytes())
    return photos


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--detail", "yes"], ["unknown --detail 'yes'", "auto, off, on"]),
        (["--grain", "of"], ["did you mean 'off'"]),
        (["--postprocess", "poison"], ["did you mean 'poisson'"]),
        (["--subsampling", "4:2:1"], ["4:2:0"]),
        (["--box", "1,2,3"], ["'1,2,3'", "top,left,height,width"]),
        (["--box", "1,2,-3,4"], ["height -3"]),
        (["--box", "1,2,3,0"], ["width 0"]),
        (["--box", "1.5,2,3,4"], ["whole pixels"]),
        (["--tolerance", "5"], ["--tolerance", "--mask color:#ff00ff"]),
        (["--label", "person", "--mask", "alpha"], ["--label", "FILE.json"]),
        (["--variants", "0"], ["--variants"]),
        (["--variants", "21"], ["--variants"]),
        (["--variants", "2", "--dry-run"], ["exclude each other"]),
        (["--quality", "0"], ["--quality"]),
        (["--quality", "90"], ["--quality", "PNG"]),
        (["--subsampling", "4:2:0"], ["--subsampling", "PNG"]),
        (["--format", "jpg"], ["PNG by its suffix", "JPEG"]),
        (["--threads", "0"], ["--threads"]),
    ],
)
def test_a_slip_is_told(call: Any, options: list[str], words: list[str]) -> None:
    refused(call(*options), 2, *words)


@pytest.mark.parametrize(
    "options",
    [
        ["--recursive"],
        ["--jobs", "2"],
        ["--resume"],
        ["--shard", "1/2"],
        ["--on-error", "stop"],
        ["--cluster", "auto"],
    ],
)
def test_what_is_for_many_photos_is_refused_with_one(call: Any, options: list[str]) -> None:
    refused(call(*options), 2, options[0], "photo.png", "one photo")


@pytest.mark.parametrize("options", [["--variants", "2"], ["--explain", "plan.png"]])
def test_what_is_for_one_photo_is_refused_with_many(call: Any, folder: Any, options: list[str]) -> None:
    refused(call(*options, photo=folder, output="out"), 2, options[0], "a folder")


@pytest.mark.parametrize("options", [["--mask", "alpha"], ["--box", "0,0,2,2"], ["--recursive"]])
@pytest.mark.parametrize("name", ["list.csv", "LIST.JSONL"])
def test_a_list_says_itself_what_is_missing(call: Any, scene: Any, name: str, options: list[str]) -> None:
    manifest = scene.folder / name
    manifest.write_text("photo,mask\nphoto.png,mask.png\n", encoding="utf-8")
    refused(call(*options, photo=manifest, mask=None, output="out"), 2, options[0], name)


def test_what_is_missing_must_be_said(call: Any, folder: Any) -> None:
    refused(call(mask=None), 2, "photo.png", "--mask FILE, --mask alpha, --mask color:#ff00ff or --box T,L,H,W")
    refused(call(mask=None, photo=folder, output="out"), 2, "masks/{stem}.png", "folder")


def test_many_masks_for_one_photo_are_refused(call: Any, folder: Any) -> None:
    refused(call(mask=folder), 2, "is a folder", "one photo")
    refused(call(mask="masks/{stem}.png"), 2, "is a pattern", "one photo")


def test_an_output_must_be_named_unless_nothing_is_written(call: Any, folder: Any) -> None:
    refused(call(output=None), 2, "--out")
    refused(call("--dry-run", photo=folder, output=None), 2, "--out")
    refused(call("--dry-run", "--quality", "90", output=None), 2, "--quality")


def test_many_photos_go_into_a_folder(call: Any, scene: Any, folder: Any) -> None:
    for name in ("filled.png", "filled.JPEG", "mask.png"):
        refused(call(photo=folder, output=name), 2, name, "name a folder")
    (scene.folder / "file").write_bytes(b"precious")
    refused(call(photo=folder, output="file"), 2, "name a folder")
    assert not (scene.folder / "filled.png").exists()


def test_what_is_not_there_is_told_as_it_is(call: Any, scene: Any) -> None:
    for options, mask in (([], scene.folder), (["--resume"], scene.mask)):
        refused(call(*options, photo=scene.folder / "photso", mask=mask), 1, "photso", "no such file or folder")


def test_another_file_of_the_call_is_not_drawn_over(call: Any, scene: Any) -> None:
    for path in (scene.photo, scene.folder / "out.png"):
        refused(call("--explain", path, "--force"), 2, "--explain", path.name)
    refused(call("--explain", scene.folder / "plan.gif"), 2, ".gif")
    refused(call("--explain", scene.folder / "gone" / "plan.png"), 1, "gone")


def test_every_output_that_exists_is_seen(call: Any, scene: Any) -> None:
    (scene.folder / "out-2.png").write_bytes(b"precious")
    refused(call("--variants", "3"), 2, "out-2.png", "exists", "--force")
    (scene.folder / "plan.png").write_bytes(b"precious")
    refused(call("--explain", scene.folder / "plan.png"), 2, "plan.png", "exists")
    assert not (scene.folder / "out-1.png").exists()


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (None, "none"),
        ("alpha", "alpha"),
        ("Alpha", "alpha"),
        ("color:#ff00ff", "color"),
        ("colour:#ff00ff", "color"),
        ("a.json", "path"),
        ("alpha.png", "path"),
        ("masks", "path"),
    ],
)
def test_what_a_mask_names(mask: str | None, kind: str) -> None:
    assert mask_kind(mask) == kind


def test_help_is_quick_and_grouped(run: Any) -> None:
    started = time.perf_counter()
    shown = run("fill", "--help")
    assert time.perf_counter() - started < 1
    assert shown.status == 0
    places = [shown.out.index(f"\n{heading}:\n") for heading in ("Arguments", "Mask", "Fill", "Output", "Many photos")]
    assert places == sorted(places)
    mask = shown.out[places[1] : places[2]]
    assert all(option in mask for option in ("--mask", "--box", "--invert", "--tolerance", "--label", "--grow"))
    assert "--resume" in shown.out[places[4] :]
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    assert "\x1b" not in shown.out
