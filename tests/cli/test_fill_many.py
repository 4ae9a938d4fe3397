"""`inpaintkit fill` for folders and lists: the summary, failures by line, exit statuses, going on where it stopped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusal import refused

from inpaintkit.filling import batch
from inpaintkit.filling.inpainter import Inpainter


@pytest.fixture
def album(scene: Any) -> Any:
    """The scene with a folder of three photos, one of them in a folder of its own, and a folder of their masks."""
    for name in ("a.png", "b.png", "trip/c.png"):
        for folder, source in (("photos", scene.photo), ("masks", scene.mask)):
            path = scene.folder / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
    scene.photos, scene.masks, scene.filled = (scene.folder / name for name in ("photos", "masks", "filled"))
    return scene


@pytest.fixture
def fill(run: Any, album: Any) -> Any:
    """(*options, photos=, mask=) -> outcome of filling the album with a quick model."""

    def call(*options: Any, photos: Any = album.photos, mask: Any = album.masks) -> Any:
        masks = [] if mask is None else ["-m", mask]
        return run("fill", photos, *masks, "-o", album.filled, "--model", "telea", *options)

    return call


def written(album: Any) -> list[str]:
    """The files in the folder of results, the journal left out."""
    found = [path for path in album.filled.rglob("*") if path.is_file() and "journal" not in path.name]
    return sorted(path.relative_to(album.filled).as_posix() for path in found)


def assert_whole(album: Any, name: str) -> None:
    """Known pixels as they came, and something else in the hole."""
    result = np.asarray(Image.open(album.filled / name))
    assert np.array_equal(result[~album.hole], album.pixels[~album.hole])


def test_a_folder_is_filled_and_summed_up_in_one_line(fill: Any, album: Any) -> None:
    outcome = fill()
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.count("\n") == 1
    assert outcome.out.startswith("filled 2 of 2 photos in ")
    for words in (" a second)", "0 skipped", "0 failed", str(album.filled / "inpaintkit-journal.jsonl")):
        assert words in outcome.out
    assert written(album) == ["a.png", "b.png"]
    assert_whole(album, "a.png")


def test_a_mask_without_a_photo_is_noted(fill: Any, album: Any) -> None:
    (album.photos / "b.png").unlink()
    outcome = fill()
    assert outcome.status == 0
    assert outcome.out.startswith("filled 1 of 1 photos")
    assert outcome.err.startswith("note: 1 mask in ")
    assert "b.png" in outcome.err
    assert fill("--quiet", "--force").err == ""


def test_the_tree_is_kept(fill: Any, album: Any) -> None:
    outcome = fill("--recursive")
    assert (outcome.status, outcome.err) == (0, "")
    assert written(album) == ["a.png", "b.png", "trip/c.png"]
    assert_whole(album, "trip/c.png")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_is_its_own_and_one_line(fill: Any, album: Any, jobs: int) -> None:
    (album.photos / "b.png").write_bytes(b"no photo")
    (album.photos / "d.png").write_bytes(album.photo.read_bytes())
    outcome = fill("--recursive", "--jobs", jobs)
    assert outcome.status == 1
    lines = sorted(outcome.err.splitlines())
    assert len(lines) == 2, outcome.err
    assert lines[0].startswith(f"failed {album.photos / 'b.png'}: ")
    assert lines[1].startswith(f"failed {album.photos / 'd.png'}: ")
    assert "has no mask" in lines[1]
    assert outcome.out.startswith("filled 2 of 4 photos")
    assert "2 failed" in outcome.out
    assert written(album) == ["a.png", "trip/c.png"]


def test_json_is_one_object(fill: Any, album: Any) -> None:
    (album.photos / "b.png").write_bytes(b"no photo")
    outcome = fill("--json")
    assert outcome.status == 1
    facts = json.loads(outcome.out)
    assert {key: facts[key] for key in ("total", "done", "skipped", "failed", "stopped")} == {
        "total": 2,
        "done": 1,
        "skipped": 0,
        "failed": 1,
        "stopped": False,
    }
    assert facts["output"] == str(album.filled)
    assert facts["seconds"] > 0
    assert facts["photos_per_second"] > 0
    assert Path(facts["journal"]).is_file()
    (failure,) = facts["failures"]
    assert failure["photo"] == str(album.photos / "b.png")
    assert failure["error"]
    assert outcome.err.count("\n") == 1


def test_quiet_prints_failures_only(fill: Any, album: Any) -> None:
    outcome = fill("--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    (album.photos / "b.png").write_bytes(b"no photo")
    outcome = fill("--quiet", "--force")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.count("\n") == 1


def test_what_exists_is_not_overwritten_unless_asked(fill: Any, album: Any) -> None:
    assert fill().status == 0
    before = (album.filled / "a.png").stat().st_mtime_ns
    outcome = fill()
    assert outcome.status == 2
    assert "--resume" in outcome.err
    assert "--force" in outcome.err
    assert (album.filled / "a.png").stat().st_mtime_ns == before
    assert fill("--force").status == 0
    assert (album.filled / "a.png").stat().st_mtime_ns != before


def test_resume_does_what_is_left(fill: Any, album: Any) -> None:
    assert fill("--recursive").status == 0
    (album.filled / "b.png").unlink()
    outcome = fill("--recursive", "--resume")
    assert outcome.status == 0
    assert outcome.out.startswith("filled 1 of 3 photos")
    assert "2 skipped" in outcome.out
    assert "filled 0 of 3 photos" in fill("--recursive", "--resume").out


def test_shards_together_are_everything(fill: Any, album: Any) -> None:
    totals = []
    for part in ("1/2", "2/2"):
        outcome = fill("--recursive", "--json", "--shard", part)
        totals.append(json.loads(outcome.out)["done"])
    assert sum(totals) == 3
    assert written(album) == ["a.png", "b.png", "trip/c.png"]


def test_on_error_stop_ends_the_run(fill: Any, album: Any) -> None:
    (album.photos / "b.png").unlink()
    (album.masks / "a.png").unlink()
    outcome = fill("--recursive", "--on-error", "stop")
    assert outcome.status == 1
    assert "stopped" in outcome.out
    assert outcome.err.count("failed ") == 1


@pytest.mark.parametrize(
    ("mask", "options"),
    [
        ("{masks}/{{stem}}.png", []),
        ("{mask}", []),
        ("color:#ff00ff", ["--tolerance", "4"]),
        (None, ["--box", "20,30,14,20"]),
    ],
)
def test_masks_of_every_kind(fill: Any, album: Any, mask: str | None, options: list[str]) -> None:
    if mask is not None and mask.startswith("color"):
        marked = album.pixels.copy()
        marked[album.hole] = (253, 2, 255)
        for name in ("a.png", "b.png"):
            Image.fromarray(marked).save(album.photos / name)
    given = None if mask is None else mask.format(masks=album.masks, mask=album.mask)
    outcome = fill(*options, mask=given)
    assert outcome.status == 0, outcome
    assert outcome.out.startswith("filled 2 of 2")
    assert_whole(album, "b.png")
    assert np.abs(np.asarray(Image.open(album.filled / "a.png")).astype(int) - album.pixels)[album.hole].mean() < 8


def test_a_list_of_photos(fill: Any, album: Any) -> None:
    listed = album.folder / "list.csv"
    listed.write_text(
        "photo,mask,output\nphotos/a.png,masks/a.png,one.png\nphotos/gone.png,masks/a.png,two.png\n", "utf-8"
    )
    outcome = fill(photos=listed, mask=None)
    assert outcome.status == 1
    assert "gone.png" in outcome.err
    assert written(album) == ["one.png"]
    assert_whole(album, "one.png")


def test_all_in_another_format(fill: Any, album: Any) -> None:
    assert fill("--format", "jpg", "--quality", "80", "--subsampling", "4:4:4").status == 0
    assert written(album) == ["a.jpg", "b.jpg"]
    assert fill("--format", "keep").status == 0
    assert written(album) == ["a.jpg", "a.png", "b.jpg", "b.png"]


def test_a_mask_of_another_size_is_resized_with_a_note(fill: Any, album: Any) -> None:
    Image.open(album.mask).resize((160, 120)).save(album.masks / "a.png")
    outcome = fill("--recursive")
    assert outcome.status == 0
    assert "note: " in outcome.err
    assert "160 x 120" in outcome.err


def test_a_dry_run_lists_and_touches_nothing(fill: Any, album: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is opened in a dry run")

    monkeypatch.setattr(Inpainter, "__init__", fail)
    (album.masks / "b.png").unlink()
    outcome = fill("--recursive", "--dry-run")
    assert outcome.status == 1
    assert f"{album.photos / 'a.png'} with {album.masks / 'a.png'} -> {album.filled / 'a.png'}\n" in outcome.out
    assert "2 to do, 0 whole already, 1 would fail" in outcome.out
    assert outcome.err.startswith(f"would fail {album.photos / 'b.png'}: ")
    assert not album.filled.exists()
    facts = json.loads(fill("--recursive", "--dry-run", "--json").out)
    assert [each["fault"] is None for each in facts["to_do"]] == [True, False, True]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--grow", "many"], ["many"]),
        (["--memory", "2 elephants"], ["2 elephants"]),
        (["--shard", "3/2"], ["3/2"]),
        (["--format", "xyz"], ["xyz"]),
        (["--format", "png", "--quality", "80"], ["--quality", "PNG"]),
        (["--jobs", "1000"], ["1000"]),
        (["--model", "telae"], ["did you mean 'telea'"]),
        (["--on-error", "sleep"], ["sleep"]),
    ],
)
def test_slips_are_told_before_any_work(fill: Any, album: Any, options: list[str], words: list[str]) -> None:
    outcome = fill(*options)
    refused((outcome.status, outcome.out, outcome.err), 2, *words)
    assert written(album) == []


def test_an_interrupt_says_how_to_go_on(fill: Any, album: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("inpaintkit.filling.batch.fill_items", interrupt)
    outcome = fill("--recursive")
    assert outcome.status == 130
    assert outcome.err.splitlines()[-1] == "inpaintkit: interrupted"
    assert "--resume" in outcome.err


def test_a_cluster_gets_the_same_batch(fill: Any, album: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def on_cluster(items: Any, settings: Any, *, address: str, workers: int | None, **options: Any) -> Any:
        asked.update(address=address, workers=workers, count=len(items))
        return batch.fill_items(items, settings, **options)

    monkeypatch.setattr("inpaintkit.filling.cluster.fill_on_cluster", on_cluster)
    outcome = fill("--recursive", "--cluster", "ray://head:10001", "--jobs", 5)
    assert outcome.status == 0, outcome
    assert asked == {"address": "ray://head:10001", "workers": 5, "count": 3}
    assert outcome.out.startswith("filled 3 of 3 photos")
    outcome = fill("--recursive", "--cluster", " ", "--resume")
    refused((outcome.status, outcome.out, outcome.err), 2, "address")
