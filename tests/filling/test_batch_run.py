"""Batches from folder to folder: results, journal, resuming, trouble of every kind, worker processes."""

import errno
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inpaintkit.errors import Cancelled, ModelError, PhotoError, UsageError
from inpaintkit.filling import batch, journal, pipeline
from inpaintkit.filling.batch import (
    Progress,
    Settings,
    Summary,
    fill_items,
    find_items,
    journal_file,
    plan_items,
    read_manifest,
)
from inpaintkit.filling.inpainter import Inpainter
from inpaintkit.filling.journal import Entry, Journal, JournalIndex
from inpaintkit.masks.grow import grow_mask

SHAPE = (40, 48)
HOLE = (slice(12, 24), slice(16, 30))
TELEA = Settings(model="telea")
DEADLY = (1, 2, 3)
"""The colour of a photo's first pixel that kills whoever fills it."""


def draw(number: int) -> np.ndarray:
    """A photo of its own for every number."""
    rows, columns = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    planes = [rows * 4 + number, columns * 3 + 2 * number, rows + columns + 5 * number]
    return (np.stack(planes, axis=2) % 251).astype(np.uint8)


def draw_hole() -> np.ndarray:
    """One rectangular hole."""
    hole = np.zeros(SHAPE, bool)
    hole[HOLE] = True
    return hole


@dataclass
class Folders:
    """Photos, their masks, and where results go."""

    top: Path
    names: list[str]

    @property
    def out(self) -> Path:
        return self.top / "out"

    def items(self, out: str = "out") -> Any:
        return find_items(self.top / "in", self.top / "masks", self.top / out, recursive=True)

    def fill(self, settings: Settings = TELEA, out: str = "out", items: Any = None, **options: Any) -> Summary:
        items = self.items(out) if items is None else items
        return fill_items(items, settings, journal=journal_file(self.top / out), **options)

    def results(self, out: str = "out") -> dict[str, str]:
        """Name -> SHA-256 of everything in the folder of results but the journal."""
        folder = self.top / out
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl"]
        return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in journal_file(self.out).read_bytes().splitlines()]


Make = Callable[..., Folders]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes so many photos, two to a folder, with their masks."""

    def write(count: int = 4) -> Folders:
        names = [f"s{number // 2}/p{number}.png" for number in range(count)]
        for number, name in enumerate(names):
            for folder, picture in (("in", draw(number)), ("masks", draw_hole())):
                path = tmp_path / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
        return Folders(tmp_path, names)

    return write


def pixels(path: Path) -> np.ndarray:
    """A picture's values."""
    with Image.open(path) as picture:
        return np.asarray(picture)


# ---- what a batch does -----------------------------------------------------------------------------------------------


def test_every_photo_is_filled_into_its_place_and_written_down(make: Make) -> None:
    folders = make(5)
    summary = folders.fill()
    assert (summary.total, summary.done, summary.failed, summary.skipped) == (5, 5, 0, 0)
    assert (summary.exit_status, summary.stopped, summary.failures) == (0, False, ())
    assert sorted(folders.results()) == folders.names
    for number, name in enumerate(folders.names):
        filled = pixels(folders.out / name)
        assert np.array_equal(filled[~draw_hole()], draw(number)[~draw_hole()])
        assert not np.array_equal(filled, draw(number))
        assert np.array_equal(filled, Inpainter("telea")(draw(number), draw_hole()))
    lines = folders.lines()
    assert sorted(line["output"] for line in lines) == folders.names
    for line in lines:
        content = (folders.out / line["output"]).read_bytes()
        photo = folders.top / "in" / line["output"]
        assert (line["status"], line["photo"], line["error"]) == ("done", str(photo), None)
        assert line["mask"] == str(folders.top / "masks" / line["output"])
        assert (line["written"]["bytes"], line["written"]["sha256"]) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )
        assert line["photo_file"]["sha256"] == hashlib.sha256(photo.read_bytes()).hexdigest()
        assert line["photo_file"]["modified_ns"] == photo.stat().st_mtime_ns
        assert line["mask_file"]["bytes"] == Path(line["mask"]).stat().st_size
        assert 0 < line["seconds"] < 60
        assert line["ended"].endswith("+00:00")


def test_two_processes_write_what_one_writes(make: Make) -> None:
    folders = make(11)
    assert folders.fill(replace(TELEA, together=2)).done == 11
    seen: list[Progress] = []
    summary = folders.fill(replace(TELEA, together=2), out="two", jobs=2, progress=seen.append)
    assert (summary.done, summary.failed) == (11, 0)
    assert folders.results("two") == folders.results()
    assert len(JournalIndex(folders.top / "two")) == 11
    assert [each.done for each in seen] == list(range(12))
    assert seen[0].left_seconds is None
    assert seen[0].share == 0
    assert seen[-1].left_seconds == 0
    assert seen[-1].share == 1
    assert seen[5].left_seconds == pytest.approx(seen[5].seconds / 5 * 6)


def test_what_a_manifest_says_of_one_photo_holds_for_that_photo(make: Make) -> None:
    folders = make(3)
    rows = [
        {"photo": "in/s0/p0.png", "mask": "masks/s0/p0.png", "grow": 3},
        {"photo": "in/s0/p1.png", "boxes": [[0, 0, 5, 7]]},
        {"photo": "in/s1/p2.png", "mask": "masks/s1/p2.png", "boxes": "30,40,4,4"},
    ]
    manifest = folders.top / "list.jsonl"
    manifest.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    summary = folders.fill(replace(TELEA, grow=1), items=read_manifest(manifest, folders.out))
    assert summary.done == 3
    box, corner = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    box[:5, :7] = corner[30:34, 40:44] = True
    expected = [(0, draw_hole(), 3), (1, box, 1), (2, draw_hole() | corner, 1)]
    for number, hole, grow in expected:
        filled = Inpainter("telea", grow=grow)(draw(number), hole)
        assert np.array_equal(pixels(folders.out / "in" / folders.names[number]), filled), number


def test_an_empty_mask_copies_the_file(make: Make) -> None:
    folders = make(2)
    Image.fromarray(draw(0)).save(folders.top / "in" / "s0" / "q.jpg", quality=50)
    for name in ("p0.png", "q.png"):
        Image.fromarray(np.zeros(SHAPE, bool)).save(folders.top / "masks" / "s0" / name)
    assert folders.fill().done == 3
    for name in ("s0/p0.png", "s0/q.jpg"):
        assert (folders.out / name).read_bytes() == (folders.top / "in" / name).read_bytes()
    assert {line["output"]: line["unchanged"] for line in folders.lines()} == {
        "s0/p0.png": True,
        "s0/p1.png": False,
        "s0/q.jpg": True,
    }


def test_transparent_parts_are_filled_and_shown(make: Make) -> None:
    folders = make(1)
    alpha = np.where(draw_hole(), 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([draw(0), alpha])).save(folders.top / "in" / "s0" / "p0.png")
    items = find_items(folders.top / "in", "alpha", folders.out, recursive=True)
    assert folders.fill(items=items).done == 1
    filled = pixels(folders.out / "s0" / "p0.png")
    assert filled.shape == (*SHAPE, 4)
    assert (filled[..., 3] == 255).all()


def test_transparent_parts_are_shown_as_far_as_the_mask_was_grown(make: Make) -> None:
    folders = make(2)
    alpha = np.where(draw_hole(), 0, 120 + np.indices(SHAPE).sum(0)).astype(np.uint8)
    alpha[HOLE[0].stop : HOLE[0].stop + 2] = 200
    picture = Image.fromarray(np.dstack([draw(0), alpha]))
    for name in folders.names:
        picture.save(folders.top / "in" / name)
    items = find_items(folders.top / "in", "alpha", folders.out, recursive=True)
    items[1] = replace(items[1], grow="5")
    assert folders.fill(replace(TELEA, grow=2), items=items).done == 2
    for name, grow in zip(folders.names, (2, 5), strict=True):
        grown = grow_mask(alpha < 128, grow)
        filled = pixels(folders.out / name)
        assert (filled[..., 3][grown] == 255).all()
        assert np.array_equal(filled[..., 3][~grown], alpha[~grown])


def test_tolerance_and_labels_are_for_the_masks_that_they_mean_something_to(make: Make) -> None:
    folders = make(4)
    top, photos = folders.top, [folders.top / "in" / name for name in folders.names]
    marked = draw(0)
    marked[HOLE] = (255, 0, 240)
    Image.fromarray(marked).save(photos[0])
    box = [[16, 12], [30, 24]]
    shapes = [{"label": "sign", "points": box, "shape_type": "rectangle"}]
    facts = {"shapes": shapes, "imagePath": "p1.png", "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]}
    (top / "p1.json").write_text(json.dumps(facts), encoding="utf-8")
    masks = ["color:#ff00ff", "p1.json", f"masks/{folders.names[2]}", ""]
    rows = [
        {"photo": str(photo), "mask": mask, "boxes": "" if mask else "1,1,4,4"}
        for photo, mask in zip(photos, masks, strict=True)
    ]
    (top / "list.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    items = read_manifest(top / "list.jsonl", folders.out)
    summary = folders.fill(replace(TELEA, tolerance=20, labels=("sign",)), items=items)
    assert (summary.done, summary.failures) == (4, ())
    notes = {line["output"]: line["notes"] for line in folders.lines()}
    left = [sorted(note.split()[1] for note in notes[f"p{number}.png"] if "left out" in note) for number in range(4)]
    assert left == [["labels"], ["tolerance"], ["labels", "tolerance"], ["labels", "tolerance"]]
    assert not np.array_equal(pixels(folders.out / "p0.png")[HOLE], marked[HOLE])  # needs the tolerance of 20
    assert folders.fill(replace(TELEA, labels=("sing",)), items=items[1:3], force=True).failed == 1


def test_a_label_that_the_one_coco_file_does_not_know_is_refused_before_any_work(make: Make) -> None:
    folders = make(3)
    images = [{"id": 1, "file_name": "p0.png", "height": SHAPE[0], "width": SHAPE[1]}]
    marks = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [16, 12, 14, 12], "segmentation": []}]
    record = {"images": images, "annotations": marks, "categories": [{"id": 1, "name": "sign"}]}
    (folders.top / "marks.json").write_text(json.dumps(record), encoding="utf-8")
    items = find_items(folders.top / "in", folders.top / "marks.json", folders.out, recursive=True)
    with pytest.raises(UsageError, match="did you mean 'sign'"):
        folders.fill(replace(TELEA, labels=("sing",)), items=items)
    assert not folders.out.exists()
    plan = plan_items(items, replace(TELEA, labels=("sign",)), journal=journal_file(folders.out))
    assert len(plan.to_do) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_a_list_fails_alone(make: Make) -> None:
    folders = make(3)
    os.mkfifo(folders.top / "pipe.png")
    items = folders.items()
    items[0] = replace(items[0], photo=str(folders.top / "pipe.png"))
    items[1] = replace(items[1], mask=str(folders.top / "pipe.png"))
    summary = folders.fill(replace(TELEA, labels=("any",)), items=items)
    assert (summary.done, summary.failed) == (1, 2)
    assert all("pipe.png' is a pipe" in str(entry.error) for entry in summary.failures)


def test_as_many_processes_as_the_memory_has_room_for(make: Make) -> None:
    folders = make(4)
    summary = folders.fill(replace(TELEA, memory="300MB"), jobs=4)
    assert (summary.done, summary.failures) == (4, ())
    assert summary.notes == ("1 of 4 --jobs at work: the 300MB of --memory has no room for more",)
    for memory, telea, network, torch in (
        ("700MB", 2, 1, 1),
        ("1.5GB", 5, 3, 1),
        ("4GB", 14, 11, 4),
        (None, 20, 20, 20),
    ):
        settings = Settings(memory=memory)
        assert replace(settings, model="telea").jobs_within_memory(20) == telea
        assert settings.jobs_within_memory(20) == network
        assert replace(settings, engine="torch").jobs_within_memory(20) == torch
    assert Settings(memory="4GB").jobs_within_memory(3) == 3
    assert folders.fill(replace(TELEA, memory="4GB"), force=True).notes == ()


@pytest.mark.parametrize("jobs", [1, 2])
def test_memory_for_not_even_one_process_is_refused_before_any_work(make: Make, jobs: int) -> None:
    folders = make(2)
    with pytest.raises(UsageError, match="--memory is 100 MB, expected at least 259 MB"):
        folders.fill(replace(TELEA, memory="100MB"), jobs=jobs)
    assert not folders.out.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not take such names")
def test_names_of_every_kind(make: Make) -> None:
    folders = make(0)
    names = ["x" * 251 + ".png", "Küche 厨房 🍳.png", "two\nlines.png", "'; rm *.png", os.fsdecode(b"\xff\xfe.png")]
    (folders.top / "in").mkdir()
    Image.fromarray(draw_hole()).save(folders.top / "mask.png")
    for number, name in enumerate(names):
        try:
            Image.fromarray(draw(number)).save(folders.top / "in" / name, "PNG")
        except OSError:  # a file system that takes UTF-8 only
            names.remove(name)
    items = find_items(folders.top / "in", folders.top / "mask.png", folders.out)
    assert folders.fill(items=items, jobs=2).done == len(names)
    assert {path.name for path in folders.out.iterdir()} == {*names, journal.JOURNAL}
    assert folders.fill(items=items, resume=True).skipped == len(names)


def test_a_link_where_a_result_belongs_is_replaced_and_not_written_through(make: Make) -> None:
    folders = make(1)
    (folders.out / "s0").mkdir(parents=True)
    try:
        (folders.out / "s0" / "p0.png").symlink_to(folders.top / "in" / "s0" / "p0.png")
    except OSError:
        pytest.skip("this system makes no links for this user")
    before = (folders.top / "in" / "s0" / "p0.png").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        folders.fill()
    assert folders.fill(force=True).done == 1
    assert (folders.top / "in" / "s0" / "p0.png").read_bytes() == before
    assert not (folders.out / "s0" / "p0.png").is_symlink()


def test_big_photos_do_not_wait_for_each_other_in_memory(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many photos may share a batch: what is read ahead is bounded by pixels."""
    folders = make(12)
    monkeypatch.setattr(pipeline, "GROUP_PIXELS", SHAPE[0] * SHAPE[1] * 2)
    alive, most = [0], [0]
    read, write, lock = pipeline.read_sheet, pipeline.write_sheet, threading.Lock()

    def counted_read(*arguments: Any) -> Any:
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        return read(*arguments)

    def counted_write(*arguments: Any) -> Any:
        time.sleep(0.02)
        entry = write(*arguments)
        with lock:
            alive[0] -= 1
        return entry

    monkeypatch.setattr(pipeline, "read_sheet", counted_read)
    monkeypatch.setattr(pipeline, "write_sheet", counted_write)
    assert folders.fill(replace(TELEA, together=12)).done == 12
    assert alive[0] == 0
    assert 2 < most[0] <= 6
    assert folders.fill(replace(TELEA, together=12, memory="3GB"), out="tight").done == 12
    assert folders.results("tight") == folders.results()


@pytest.mark.parametrize(("seconds", "fewest", "most"), [(0.25, 1, 4), (0.0, 5, 8)])
def test_slow_photos_come_alone_and_quick_ones_share_batches(
    make: Make, monkeypatch: pytest.MonkeyPatch, seconds: float, fewest: int, most: int
) -> None:
    folders = make(12 if seconds else 100)
    fill_photos, sizes = Inpainter.fill_photos, []

    def timed(self: Inpainter, pairs: Any, **options: Any) -> Any:
        pairs = list(pairs)
        sizes.append(len(pairs))
        time.sleep(seconds * len(pairs))
        return fill_photos(self, pairs, **options)

    monkeypatch.setattr(Inpainter, "fill_photos", timed)
    assert folders.fill(replace(TELEA, together=8)).exit_status == 0
    assert sizes[0] == 1
    assert fewest <= max(sizes) <= most


# ---- trouble that is one photo's own ---------------------------------------------------------------------------------


def test_one_photos_trouble_is_its_own_line(make: Make) -> None:
    folders = make(8)
    top = folders.top
    cut = top / "in" / "s0" / "p0.png"
    cut.write_bytes(cut.read_bytes()[:-100])
    (top / "masks" / "s0" / "p1.png").unlink()
    Image.fromarray(np.ones(SHAPE, bool)).save(top / "masks" / "s1" / "p2.png")
    items = folders.items()
    (top / "in" / "s1" / "p3.png").unlink()
    (top / "masks" / "s2" / "p4.png").unlink()
    (top / "out").mkdir()
    (top / "out" / "s3").write_bytes(b"a file where a folder should be")
    summary = folders.fill(items=items)
    assert (summary.done, summary.failed, summary.exit_status, summary.stopped) == (1, 7, 1, False)
    errors = {line["output"]: line["error"] for line in folders.lines()}
    assert errors.pop("s2/p5.png") is None
    words = {
        "s0/p0.png": "cut short or damaged",
        "s0/p1.png": "has no mask",
        "s1/p2.png": "every pixel as missing",
        "s1/p3.png": "no such file",
        "s2/p4.png": "no such file",
        "s3/p6.png": "cannot write",
        "s3/p7.png": "cannot write",
    }
    assert errors.keys() == words.keys()
    for name, word in words.items():
        assert word in errors[name]
        assert "\n" not in errors[name]
    assert {entry.output for entry in summary.failures} == set(words)


def test_stop_ends_at_the_first_failure_and_resume_goes_on(make: Make) -> None:
    folders = make(30)
    good = (folders.top / "in" / "s1" / "p3.png").read_bytes()
    (folders.top / "in" / "s1" / "p3.png").write_bytes(b"no photo")
    summary = folders.fill(replace(TELEA, together=1), on_error="stop")
    assert summary.stopped
    assert summary.exit_status == 1
    assert summary.failed == 1
    assert 1 <= summary.done < 29
    (folders.top / "in" / "s1" / "p3.png").write_bytes(good)
    again = folders.fill(replace(TELEA, together=1), on_error="stop", resume=True)
    assert (again.done, again.skipped, again.failed) == (30 - summary.done, summary.done, 0)
    assert len(folders.results()) == 30


def test_a_fault_of_the_list_stops_before_any_fill(make: Make) -> None:
    folders = make(4)
    (folders.top / "masks" / "s1" / "p3.png").unlink()
    summary = folders.fill(on_error="stop")
    assert (summary.done, summary.failed, summary.stopped) == (0, 1, True)
    assert folders.results() == {}


def test_a_defect_in_a_batch_of_crops_costs_only_its_photo(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = make(6)
    fill_photos = Inpainter.fill_photos

    def failing(self: Inpainter, pairs: Any, **options: Any) -> Any:
        pairs = list(pairs)
        if any(photo.source.name == "p4.png" for photo, _ in pairs):
            raise ZeroDivisionError("a defect")
        return fill_photos(self, pairs, **options)

    monkeypatch.setattr(Inpainter, "fill_photos", failing)
    summary = folders.fill()
    assert (summary.done, summary.failed) == (5, 1)
    assert summary.failures[0].output == "s2/p4.png"
    assert summary.failures[0].error == "unexpected ZeroDivisionError: a defect"


def test_a_full_disk_fails_items_and_leaves_no_part_of_them(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = make(4)
    sync, written = os.fsync, []

    def full(number: int) -> None:
        if sys._getframe(1).f_code.co_name == "replace_file":
            written.append(number)
            if len(written) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(journal.os, "fsync", full)
    summary = folders.fill()
    assert (summary.done, summary.failed) == (2, 2)
    assert all("No space left on device" in str(entry.error) for entry in summary.failures)
    assert len(folders.results()) == 2
    monkeypatch.undo()
    again = folders.fill(resume=True)
    assert (again.done, again.skipped) == (2, 2)
    assert sorted(folders.results()) == folders.names


def test_a_disk_too_full_for_the_journal_ends_the_batch_which_can_go_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = make(6)
    append, calls = Journal.append, []

    def full(self: Journal, entries: Any) -> None:
        calls.append(entries)
        if len(calls) > 1:
            raise self._unwritable(OSError(errno.ENOSPC, "No space left on device"))
        append(self, entries)

    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(PhotoError, match=r"cannot write the journal .* No space left on device"):
        folders.fill(replace(TELEA, together=1))
    monkeypatch.undo()
    assert folders.fill(resume=True).exit_status == 0
    assert sorted(folders.results()) == folders.names


def test_results_that_cannot_be_written_anywhere_are_told_before_any_work(make: Make) -> None:
    folders = make(2)
    (folders.top / "file").write_bytes(b"")
    items = find_items(folders.top / "in", "alpha", folders.top / "file" / "out", recursive=True)
    with pytest.raises(PhotoError, match="cannot write the journal"):
        fill_items(items, TELEA, journal=journal_file(folders.top / "file" / "out"))


# ---- going on --------------------------------------------------------------------------------------------------------


def test_resume_redoes_what_is_not_whole_and_nothing_else(make: Make) -> None:
    folders = make(12)
    assert folders.fill().done == 12
    before = folders.results()
    top, names = folders.top, folders.names
    (folders.out / names[0]).unlink()
    (folders.out / names[1]).write_bytes(b"short")
    content = bytearray((folders.out / names[2]).read_bytes())
    content[-1] ^= 1
    (folders.out / names[2]).write_bytes(content)  # of the same size
    Image.fromarray(draw(50)).save(top / "in" / names[3])  # another photo
    hole = draw_hole()
    hole[30:33, 5:9] = True
    Image.fromarray(hole).save(top / "masks" / names[4])  # another mask
    os.utime(top / "in" / names[5], ns=(1, 1))  # touched: the same content at another time
    os.utime(folders.out / names[6], ns=(1, 1))
    os.utime(top / "masks" / names[7], ns=(1, 1))
    plan = plan_items(folders.items(), TELEA, journal=journal_file(folders.out), resume=True)
    assert (plan.to_do, plan.skipped) == ([0, 1, 2, 3, 4], 7)
    lines = len(folders.lines())
    summary = folders.fill(resume=True)
    assert (summary.done, summary.skipped, summary.exit_status) == (5, 7, 0)
    after = folders.results()
    assert {name for name in names if after[name] != before[name]} == {names[3], names[4]}
    assert len(folders.lines()) == lines + 5
    assert folders.fill(resume=True).skipped == 12
    assert len(folders.lines()) == lines + 5


def test_other_settings_are_done_anew_and_threads_are_no_other_settings(make: Make) -> None:
    folders = make(3)
    folders.fill()
    before = folders.results()
    assert folders.fill(replace(TELEA, threads=1, together=1, grow="0px"), resume=True).skipped == 3
    for settings in (replace(TELEA, grow=2), replace(TELEA, model="ns"), replace(TELEA, boxes=((0, 0, 4, 4),))):
        summary = folders.fill(settings, resume=True)
        assert (summary.done, summary.skipped) == (3, 0), settings
        assert folders.results() != before
    assert folders.fill(resume=True).done == 3
    assert folders.results() == before


def test_a_model_file_that_was_exported_anew_is_another_setting(own_model: Any) -> None:
    path = own_model()
    before = Settings(model=str(path)).fingerprint()
    assert Settings(model=str(path)).fingerprint() == before
    own_model(training_size=32)
    assert Settings(model=str(path)).fingerprint() != before
    assert Settings(model="default").fingerprint() != Settings(model="glcic").fingerprint()


def test_failures_are_tried_again(make: Make) -> None:
    folders = make(3)
    mask = folders.top / "masks" / "s0" / "p1.png"
    content = mask.read_bytes()
    mask.unlink()
    assert folders.fill().failed == 1
    mask.write_bytes(content)
    summary = folders.fill(resume=True)
    assert (summary.done, summary.skipped, summary.failed) == (1, 2, 0)


def test_results_may_be_moved_and_gone_on_with(make: Make) -> None:
    folders = make(4)
    folders.fill()
    folders.out.rename(folders.top / "moved")
    assert folders.fill(out="moved", resume=True).skipped == 4


def test_results_that_exist_are_refused_before_any_work(make: Make) -> None:
    folders = make(3)
    (folders.out / "s1").mkdir(parents=True)
    (folders.out / "s1" / "p2.png").write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"p2\.png' exists.*--resume, or overwrite with --force"):
        folders.fill()
    with pytest.raises(UsageError, match=r"exists.*no journal"):
        folders.fill(resume=True)
    assert [path.name for path in folders.out.rglob("*")] == ["s1", "p2.png"]
    assert (folders.out / "s1" / "p2.png").read_bytes() == b"somebody's"
    assert folders.fill(force=True).done == 3
    assert folders.fill(force=True).done == 3
    with pytest.raises(UsageError, match="exists and 2 more"):
        folders.fill()


def test_a_torn_line_is_dropped_and_strange_lines_are_passed_over(make: Make) -> None:
    folders = make(4)
    folders.fill()
    path = journal_file(folders.out)
    lines = path.read_bytes().splitlines(keepends=True)
    torn = lines[3][:-20]
    path.write_bytes(b'{"a": 1}\n\xff\xfe\n[]\nnull\n' + b"".join(lines[:3]) + torn)
    summary = folders.fill(resume=True)
    assert (summary.done, summary.skipped) == (1, 3)
    kept = path.read_bytes().splitlines(keepends=True)
    assert kept[:7] == [b'{"a": 1}\n', b"\xff\xfe\n", b"[]\n", b"null\n", *lines[:3]]
    assert len(kept) == 8
    assert Entry.of_line(kept[7]).output == Entry.of_line(lines[3]).output


def test_a_line_that_is_nested_too_deep_is_a_damaged_line(make: Make) -> None:
    folders = make(2)
    folders.fill()
    path = journal_file(folders.out)
    path.write_bytes(b"[" * 200_000 + b"\n" + path.read_bytes())
    assert folders.fill(resume=True).skipped == 2


def test_a_torn_line_longer_than_a_piece_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_PIECE", 4)
    path = tmp_path / "j.jsonl"
    for content, kept in ((b"whole\nand a torn line", b"whole\n"), (b"torn alone", b""), (b"", b""), (b"a\n", b"a\n")):
        path.write_bytes(content)
        Journal(path).__exit__(None, None, None)
        assert path.read_bytes() == kept


def test_parts_of_a_killed_run_are_removed_and_those_of_others_stay(make: Make) -> None:
    folders = make(2)
    folders.fill()
    own = folders.out / "s0" / f".{journal.item_key('s0/p0.png')}-0123abcd.part"
    shards = folders.out / "s0" / f".{journal.item_key('s0/other.png')}-0123abcd.part"
    users = folders.out / "s0" / ".backup.part"
    for path in (own, shards, users):
        path.write_bytes(b"half a photo")
    folders.fill(resume=True)
    assert [path.exists() for path in (own, shards, users)] == [False, True, True]


def test_shards_keep_journals_of_their_own_and_see_each_others(make: Make) -> None:
    folders = make(10)
    for number in (1, 2):
        part = batch.shard(folders.items(), f"{number}/2")
        summary = fill_items(part, TELEA, journal=journal_file(folders.out, f"{number}/2"))
        assert summary.done == summary.total == len(part)
    assert sorted(path.name for path in folders.out.glob("*.jsonl")) == [
        "inpaintkit-journal-1-of-2.jsonl",
        "inpaintkit-journal-2-of-2.jsonl",
    ]
    assert folders.fill(resume=True).skipped == 10
    empty = fill_items(batch.ItemList(), TELEA, journal=journal_file(folders.out, "3/3"))
    assert (empty.total, empty.exit_status) == (0, 0)


def test_an_interrupt_finishes_what_is_being_written(make: Make) -> None:
    folders = make(40)
    seen = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folders.fill(replace(TELEA, together=2), progress=interrupt)
    done = len(folders.results())
    assert 3 <= done < 40
    assert not [name for name in folders.results() if name.endswith(".part")]
    assert {line["output"] for line in folders.lines()} == set(folders.results())
    summary = folders.fill(replace(TELEA, together=2), resume=True)
    assert (summary.done, summary.skipped) == (40 - done, done)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_listener_cancels(make: Make, jobs: int) -> None:
    folders = make(40)
    with pytest.raises(Cancelled, match="of 40 photos: go on with --resume"):
        folders.fill(replace(TELEA, together=1), jobs=jobs, progress=lambda progress: progress.done < 3)
    done = len(folders.lines())
    assert 3 <= done < 40
    assert {line["output"] for line in folders.lines()} == set(folders.results())


# ---- worker processes ------------------------------------------------------------------------------------------------


class DeadlyEngine:
    """Fills with grey; dies of one colour, as a process does that the system kills."""

    name, runtime, working_size = "deadly", "test", None

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if np.array_equal(np.rint(image[0, 0] * 255), DEADLY):
            os._exit(9)
        return np.where(mask[..., None], np.float32(0.5), image)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


@dataclass(frozen=True)
class DeadlySettings(Settings):
    """Opens the deadly engine, in whatever process."""

    def open_inpainter(self, engine: Any = None) -> Inpainter:
        return Inpainter(DeadlyEngine())


@dataclass(frozen=True)
class StillbornSettings(Settings):
    """Dies before it is ready."""

    def open_inpainter(self, engine: Any = None) -> Inpainter:
        os._exit(7)


def test_a_worker_that_dies_costs_the_photo_that_killed_it(make: Make) -> None:
    folders = make(9)
    deadly = draw(4)
    deadly[0, 0] = DEADLY
    Image.fromarray(deadly).save(folders.top / "in" / "s2" / "p4.png")
    hole = np.zeros(SHAPE, bool)
    hole[2:4, 2:4] = True
    for name in folders.names:
        Image.fromarray(hole).save(folders.top / "masks" / name)
    half = folders.out / "s0" / f".{journal.item_key('s0/p0.png')}-0123abcd.part"

    def leave_half_a_photo(progress: Progress) -> None:
        if progress.done == 1:
            half.parent.mkdir(parents=True, exist_ok=True)
            half.touch()  # as the worker may leave one that it is writing when it dies

    summary = folders.fill(DeadlySettings(together=3), jobs=2, progress=leave_half_a_photo)
    assert (summary.done, summary.failed, summary.stopped) == (8, 1, False)
    assert summary.failures[0].output == "s2/p4.png"
    assert "the worker process died while filling it, twice (exit code 9)" in str(summary.failures[0].error)
    assert sorted(folders.results()) == [name for name in folders.names if name != "s2/p4.png"]
    assert len(folders.lines()) == 9


def test_workers_that_cannot_start_are_an_error(make: Make) -> None:
    folders = make(2)
    with pytest.raises(ModelError, match=r"die before they are ready \(exit code 7\)"):
        folders.fill(StillbornSettings(), jobs=2)
    with pytest.raises(UsageError, match="did you mean 'telea'"):
        folders.fill(Settings(model="telae"), jobs=2)
    with pytest.raises(UsageError, match="did you mean 'telea'"):
        folders.fill(Settings(model="telae"))
    assert not folders.out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"jobs": 0}, "jobs is 0"), ({"jobs": 1.5}, "jobs is 1.5"), ({"on_error": "skpi"}, "did you mean 'skip'")],
)
def test_options_that_make_no_sense(make: Make, options: dict[str, Any], words: str) -> None:
    folders = make(1)
    with pytest.raises(UsageError, match=words):
        folders.fill(**options)
    assert not folders.out.exists()
