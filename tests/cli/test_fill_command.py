"""`inpaintkit fill`, and the manners of the command line as a whole: one line per error, never half a file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inpaintkit
from inpaintkit.cli import VERBS
from inpaintkit.filling.inpainter import Inpainter


def assert_one_line(outcome: Any, status: int, *words: str) -> None:
    """The call failed with this status and said so in one line that holds these words."""
    assert outcome.status == status, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("inpaintkit: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err, outcome.err


def left_behind(scene: Any) -> set[str]:
    """Files in the folder besides the photo and its mask."""
    return {path.name for path in scene.folder.iterdir()} - {"photo.png", "mask.png"}


@pytest.mark.parametrize("model", ["telea", "ns", "biharmonic"])
def test_a_photo_is_filled(run: Any, scene: Any, model: str) -> None:
    output = scene.folder / "ausgefüllt.png"
    outcome = run("fill", scene.photo, "--mask", scene.mask, "-o", output, "--model", model)
    assert outcome.status == 0, outcome
    assert outcome.err == ""
    assert outcome.out.count("\n") == 1
    for word in (str(output), model, "5.8 %", "80 x 60", " s"):
        assert word in outcome.out
    filled = np.asarray(Image.open(output))
    assert np.array_equal(filled[~scene.hole], scene.pixels[~scene.hole])
    assert np.abs(filled.astype(int) - scene.pixels)[scene.hole].mean() < 8
    assert left_behind(scene) == {output.name}


def test_json_says_what_was_done(run: Any, scene: Any) -> None:
    output = scene.folder / "out.png"
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", output, "--model", "telea", "--json", "--grow", 2)
    facts = json.loads(outcome.out)
    assert (facts["output"], facts["model"], facts["engine"]) == (str(output), "telea", "classical")
    assert (facts["height"], facts["width"], facts["regions"], facts["unchanged"]) == (60, 80, 1, False)
    assert facts["hole_pixels"] > scene.hole.sum()
    assert {"fill_seconds", "read_seconds", "write_seconds", "hole_ratio", "notes"} <= set(facts)


def test_the_mask_as_grown_is_what_changes(run: Any, scene: Any) -> None:
    scene.pixels[scene.hole] = 255
    scene.pixels[18:36, 28:52] = 255  # the object is two pixels larger than its mask
    Image.fromarray(scene.pixels).save(scene.photo)
    output = scene.folder / "out.png"
    run("fill", scene.photo, "-m", scene.mask, "-o", output, "--model", "ns", "--grow", 4)
    filled = np.asarray(Image.open(output))
    changed = (filled != scene.pixels).any(axis=2)
    assert filled[18:36, 28:52].min(axis=2).max() < 255
    assert not changed[:15].any()
    assert not changed[:, :25].any()


def test_an_empty_mask_copies_the_file_and_says_so(run: Any, scene: Any) -> None:
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(scene.mask)
    output = scene.folder / "out.png"
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", output, "--model", "telea")
    assert outcome.status == 0
    assert "the mask is empty, the photo is unchanged" in outcome.out
    assert output.read_bytes() == scene.photo.read_bytes()
    other = scene.folder / "out.tiff"
    assert run("fill", scene.photo, "-m", scene.mask, "-o", other, "--model", "telea").status == 0
    assert np.array_equal(np.asarray(Image.open(other)), scene.pixels)
    assert left_behind(scene) == {"out.png", "out.tiff"}


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no names for open files")
def test_an_empty_mask_copies_a_photo_that_can_be_read_once(run: Any, scene: Any) -> None:
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(scene.mask)
    output = scene.folder / "out.png"
    reading, writing = os.pipe()
    os.write(writing, scene.photo.read_bytes())
    os.close(writing)
    outcome = run("fill", f"/dev/fd/{reading}", "-m", scene.mask, "-o", output, "--model", "telea")
    os.close(reading)
    assert outcome.status == 0
    assert output.read_bytes() == scene.photo.read_bytes()


def test_an_empty_mask_copies_through_a_link(run: Any, scene: Any) -> None:
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(scene.mask)
    target, link = scene.folder / "target.png", scene.folder / "link.png"
    target.write_bytes(b"old")
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("this system makes no links for this user")
    assert run("fill", scene.photo, "-m", scene.mask, "-o", link, "--model", "telea", "--force").status == 0
    assert link.is_symlink()
    assert target.read_bytes() == scene.photo.read_bytes()


def test_an_empty_mask_does_not_recompress_a_jpeg(run: Any, scene: Any) -> None:
    photo, output = scene.folder / "photo.jpg", scene.folder / "out.jpeg"
    Image.fromarray(scene.pixels).save(photo, quality=60)
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(scene.mask)
    facts = json.loads(run("fill", photo, "-m", scene.mask, "-o", output, "--model", "telea", "--json").out)
    assert facts["unchanged"] is True
    assert output.read_bytes() == photo.read_bytes()


def test_a_full_mask_fails(run: Any, scene: Any) -> None:
    Image.fromarray(np.full((60, 80), 255, np.uint8)).save(scene.mask)
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder / "out.png", "--model", "telea")
    assert_one_line(outcome, 1, "every pixel")
    assert left_behind(scene) == set()


def test_a_mask_of_another_size_is_resized_with_a_warning(run: Any, scene: Any) -> None:
    Image.open(scene.mask).resize((160, 120), Image.Resampling.NEAREST).save(scene.mask)
    output = scene.folder / "out.png"
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", output, "--model", "telea")
    assert outcome.status == 0
    assert outcome.err.startswith("note: ")
    assert "160 x 120" in outcome.err
    assert "80 x 60" in outcome.err
    filled = np.asarray(Image.open(output))
    assert np.array_equal(filled[~scene.hole], scene.pixels[~scene.hole])
    assert left_behind(scene) == {"out.png"}


@pytest.mark.parametrize("content", [b"", b"no photo at all", b"\x89PNG\r\n\x1a\n", None])
@pytest.mark.parametrize("which", ["photo", "mask"])
def test_a_file_that_is_no_photo_fails(run: Any, scene: Any, which: str, content: bytes | None) -> None:
    path = getattr(scene, which)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder / "out.png", "--model", "telea")
    assert_one_line(outcome, 1, path.name)
    assert left_behind(scene) == set()


def test_missing_files_and_folders_fail(run: Any, scene: Any) -> None:
    gone = scene.folder / "gone.png"
    assert_one_line(run("fill", gone, "-m", scene.mask, "-o", scene.folder / "o.png", "--model", "ns"), 1, "gone.png")
    assert_one_line(run("fill", scene.photo, "-m", gone, "-o", scene.folder / "o.png", "--model", "ns"), 1, "gone.png")
    nowhere = scene.folder / "nowhere" / "o.png"
    assert_one_line(run("fill", scene.photo, "-m", scene.mask, "-o", nowhere, "--model", "ns"), 1, "nowhere")
    assert_one_line(run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder, "--model", "ns"), 1)
    assert_one_line(run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder / "o.xyz", "--model", "ns"), 2, "xyz")
    assert left_behind(scene) == set()


def test_an_output_that_exists_needs_force(run: Any, scene: Any) -> None:
    output = scene.folder / "out.png"
    output.write_bytes(b"precious")
    arguments = ("fill", scene.photo, "-m", scene.mask, "-o", output, "--model", "telea")
    assert_one_line(run(*arguments), 2, "exists", "--force")
    assert output.read_bytes() == b"precious"
    assert run(*arguments, "--force").status == 0
    assert np.asarray(Image.open(output)).shape == (60, 80, 3)


def test_the_photo_itself_may_be_overwritten_with_force(run: Any, scene: Any) -> None:
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", scene.photo, "--model", "telea", "--force")
    assert outcome.status == 0
    assert np.array_equal(np.asarray(Image.open(scene.photo))[~scene.hole], scene.pixels[~scene.hole])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "telae"], ["did you mean 'telea'"]),
        (["--model", "gone.onnx"], ["gone.onnx", "does not exist"]),
        (["--model", "telea", "--engine", "tourch"], ["did you mean 'torch'"]),
        (["--model", "telea", "--precision", "float16"], ["valid are auto, bfloat16, float32"]),
        (["--model", "telea", "--postprocess", "poison"], ["did you mean 'poisson'"]),
        (["--model", "telea", "--grow", "-3"], ["-3"]),
        (["--model", "telea", "--grow", "many"], ["many", "3%"]),
        (["--modle", "telea"], ["--modle"]),
        (["--model", "telea", "--memory", "2"], ["2 bytes", "2GB"]),
        (["--model", "telea", "--seed", "-1"], ["seed", "-1"]),
    ],
)
def test_wrong_usage_is_status_2(run: Any, scene: Any, options: list[str], words: list[str]) -> None:
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder / "out.png", *options)
    assert_one_line(outcome, 2, *words)
    assert left_behind(scene) == set()


def test_empty_names_are_missing_ones(run: Any, scene: Any) -> None:
    output = scene.folder / "out.png"
    assert_one_line(run("fill", "", "-m", scene.mask, "-o", output), 2, "missing photo")
    assert_one_line(run("fill", scene.photo, "-m", "", "-o", output), 2, "missing mask")


def test_an_interrupt_while_it_is_loaded_is_one_line() -> None:
    code = """
import runpy, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
runpy.run_module("inpaintkit", run_name="__main__")
"""
    finished = python(code)
    assert (finished.returncode, finished.stdout, finished.stderr) == (130, "", "inpaintkit: interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_standard_output_does_not_hide_that_the_photo_is_written(scene: Any, options: list[str]) -> None:
    output = scene.folder / "out.png"
    words = [scene.photo, "-m", scene.mask, "-o", output, "--model", "telea", *options]
    command = [sys.executable, "-m", "inpaintkit", "fill", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(inpaintkit.__file__).parents[1])}
    with open("/dev/full", "w", encoding="utf-8") as full:
        finished = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", env=environment, check=False
        )
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1
    assert f"{output} is written" in finished.stderr
    assert np.asarray(Image.open(output)).shape == (60, 80, 3)


def test_missing_arguments_are_wrong_usage(run: Any, scene: Any) -> None:
    assert_one_line(run("fill"), 2)
    assert_one_line(run("fill", scene.photo), 2)
    assert_one_line(run("fil"), 2, "did you mean 'fill'")
    assert_one_line(run("--wrong"), 2, "--wrong")


def test_damaged_weights_fail(run: Any, scene: Any) -> None:
    model = scene.folder / "broken.onnx"
    model.write_bytes(b"not a model")
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder / "out.png", "--model", model)
    assert_one_line(outcome, 1, "broken.onnx", "not a readable ONNX file")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "not enough memory"),
        (PermissionError(13, "Permission denied", "x.png"), 1, "Permission denied 'x.png'"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, "pip install 'inpaintkit[train]'"),
        (ImportError("DLL load failed while importing cv2"), 1, "DLL load failed while importing cv2): run inpaintkit"),
    ],
)
def test_what_goes_wrong_on_the_way_is_one_line(
    run: Any, scene: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, words: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Inpainter, "fill_photo_reported", fail)
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder / "out.png", "--model", "telea")
    assert_one_line(outcome, status, words)
    assert left_behind(scene) == set()


@pytest.mark.parametrize("error", [ZeroDivisionError(), ImportError("cannot import name", name="inpaintkit.photo")])
def test_a_defect_of_ours_is_not_hidden(
    run: Any, scene: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Inpainter, "fill_photo_reported", fail)
    with pytest.raises(type(error)):
        run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder / "out.png", "--model", "telea")


def test_conversions_are_named_on_standard_error(run: Any, scene: Any) -> None:
    photo, output = scene.folder / "photo.jpg", scene.folder / "out.png"
    Image.fromarray(scene.pixels).convert("CMYK").save(photo)
    outcome = run("fill", photo, "-m", scene.mask, "-o", output, "--model", "telea")
    assert outcome.status == 0, outcome
    assert outcome.err.startswith("note: ")
    assert "CMYK" in outcome.err


def test_version_and_help(run: Any) -> None:
    assert run("--version").out.strip() == f"inpaintkit {inpaintkit.__version__}"
    shown = run("--help")
    assert shown.status == 0
    assert run().out == shown.out
    for verb in VERBS:
        assert verb in shown.out


def test_what_cannot_be_written_is_told_before_the_fill(run: Any, scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the fill may take long")

    monkeypatch.setattr(Inpainter, "fill_photo_reported", fail)
    Image.fromarray(np.dstack([scene.pixels, scene.pixels[..., 0]])).save(scene.photo)
    outcome = run("fill", scene.photo, "-m", scene.mask, "-o", scene.folder / "out.jpg", "--model", "telea")
    assert_one_line(outcome, 1, "alpha")
    loop = scene.folder / "loop.png"
    try:
        loop.symlink_to(loop)
    except OSError:
        pytest.skip("this system makes no links for this user")
    assert_one_line(run("fill", scene.photo, "-m", scene.mask, "-o", loop, "--model", "telea", "--force"), 1, "loop")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_with_a_line_break_stays_on_one_line(run: Any, scene: Any) -> None:
    output = scene.folder / "a\nb\x1b[2J.png"
    arguments = ("fill", scene.photo, "-m", scene.mask, "-o", output, "--model", "telea")
    outcome = run(*arguments)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"wrote {scene.folder}{os.sep}a\\nb\\x1b[2J.png: ")
    assert outcome.out.count("\n") == 1
    assert "\x1b" not in outcome.out
    refused = run(*arguments)
    assert_one_line(refused, 2, "exists")
    assert "\x1b" not in refused.err


def test_damaged_tags_print_nothing_but_our_own_lines(run: Any, scene: Any) -> None:
    photo, output = scene.folder / "photo.jpg", scene.folder / "out.png"
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\xff\xff\0\0\xff\xff\0\0"
    Image.fromarray(scene.pixels).save(photo, exif=damaged)
    code = "import sys; from inpaintkit.cli import main; sys.exit(main())"
    words = ["fill", photo, "-m", scene.mask, "-o", output, "--model", "telea"]
    finished = python(code, *words)
    assert finished.returncode == 0, finished.stderr
    assert all(line.startswith("note: ") for line in finished.stderr.splitlines())


@pytest.mark.skipif(os.name == "nt", reason="a stream cannot be closed so on Windows")
@pytest.mark.parametrize(("descriptors", "model", "status"), [((1,), "telea", 0), ((1, 2), "telea", 0), ((2,), "x", 2)])
def test_closed_streams_do_no_harm(scene: Any, descriptors: tuple[int, ...], model: str, status: int) -> None:
    output = scene.folder / "out.png"
    command = (sys.executable, "-m", "inpaintkit", "fill", scene.photo, "-m", scene.mask, "-o", output)
    closing = f"import os, sys; [os.close(number) for number in {descriptors}]; os.execv(sys.argv[1], sys.argv[1:])"
    finished = python(closing, *command, "--model", model)
    assert (finished.returncode, finished.stdout, finished.stderr) == (status, "", ""), finished
    if status == 0:
        assert np.asarray(Image.open(output)).shape == (60, 80, 3)


def python(code: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Runs code in a fresh interpreter that finds this package."""
    environment = {**os.environ, "PYTHONPATH": str(Path(inpaintkit.__file__).parents[1])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)
