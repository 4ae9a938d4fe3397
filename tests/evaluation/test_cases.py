"""Which photo is filled with which hole, and how both come to one size."""

import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inpaintkit.errors import DataError, UsageError
from inpaintkit.evaluation.cases import crop_photo, named_groups, plan_cases, resize_mask
from inpaintkit.masks.benchmark import MASK_SETS, draw_set


def _pairs(cases) -> list[tuple[str, str]]:
    return [(cases[index].name, cases[index].mask_name) for index in range(len(cases))]


def test_photo_i_gets_mask_i_mod_count(photos: Path, masks: Path) -> None:
    cases = plan_cases(str(photos), {"holes": str(masks)}, size=48)
    expected = [("a.png", "0.png"), ("b.png", "1.png"), ("c.png", "0.png"), ("d.png", "1.png"), ("e.png", "0.png")]
    assert _pairs(cases) == expected
    assert [cases.names(index) for index in range(5)] == [("holes", *pair) for pair in expected]


def test_photos_and_masks_come_to_one_size(photos: Path, masks: Path) -> None:
    case = plan_cases(str(photos), {"holes": str(masks)}, size=48)[1]
    assert case.truth.shape == (48, 48, 3)
    assert case.truth.dtype == np.uint8
    hole = np.zeros((48, 48), bool)
    hole[10:34, 15:39] = True
    assert np.array_equal(case.hole, hole)
    assert case.shown is case.truth


def test_a_tar_gives_the_same_cases_as_its_folder(photos: Path, masks: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for file in sorted(photos.iterdir(), reverse=True):  # the order in the tar does not matter
            archive.add(file, file.name)
    folder = plan_cases(str(photos), {"holes": str(masks)}, size=32)
    tar = plan_cases(str(tmp_path / "all.tar"), {"holes": str(masks)}, size=32)
    assert [name.removeprefix("all.tar/") for name, _ in _pairs(tar)] == [name for name, _ in _pairs(folder)]
    assert all(np.array_equal(tar[index].truth, folder[index].truth) for index in range(5))


def test_every_group_has_every_photo(photos: Path, masks: Path) -> None:
    cases = plan_cases(str(photos), {"one": str(masks), "two": "free_form_256"}, size=64, limit=3)
    assert [case[0] for case in cases.entries] == [0, 0, 0, 1, 1, 1]
    drawn = dict(draw_set("free_form_256"))
    case = cases[4]
    assert case.group == "two, resized to 64"
    assert np.array_equal(case.hole, resize_mask(drawn[case.mask_name], 64))


def test_a_fixed_set_at_its_own_size_is_taken_as_it_is(photos: Path) -> None:
    cases = plan_cases(str(photos), {"set": "lama_thin_256"}, size=256)
    assert cases.groups[0].sha256 == MASK_SETS["lama_thin_256"].sha256
    expected = [mask for _, mask in list(draw_set("lama_thin_256"))[:5]]
    assert all(np.array_equal(cases[index].hole, expected[index]) for index in range(5))


def test_cases_sent_to_another_process_are_the_same(photos: Path) -> None:
    cases = plan_cases(str(photos), {"set": "boxes_256", "removal": "removal"}, size=64)
    _ = cases[0]
    data = pickle.dumps(cases)
    assert len(data) < 100_000  # nothing that was drawn or decoded travels
    sent = pickle.loads(data)
    for index in range(len(cases)):
        assert np.array_equal(sent[index].hole, cases[index].hole)
        assert np.array_equal(sent[index].shown, cases[index].shown)


def test_removal_shows_an_object_that_the_truth_lacks(photos: Path) -> None:
    cases = plan_cases(str(photos), {"removal": "removal"}, size=64)
    for index in range(5):
        case = cases[index]
        assert np.array_equal(case.truth, crop_photo(np.asarray(Image.open(photos / case.name)), 64))
        assert (case.shown != case.truth)[case.hole].any()
        assert 0 < case.hole.mean() < 0.6
    other = plan_cases(str(photos), {"removal": "removal"}, size=64, seed=1)
    assert not np.array_equal(other[0].hole, cases[0].hole)


def test_digests_follow_contents_and_names(photos: Path, masks: Path, tmp_path: Path) -> None:
    first = plan_cases(str(photos), {"holes": str(masks)}, size=32)
    copy = shutil.copytree(photos, tmp_path / "copy")
    same = plan_cases(str(copy), {"holes": str(masks)}, size=32)
    assert same.images_sha256 == first.images_sha256
    (copy / "a.png").rename(copy / "a2.png")
    assert plan_cases(str(copy), {"holes": str(masks)}, size=32).images_sha256 != first.images_sha256
    mask = np.asarray(Image.open(masks / "0.png")).copy()
    mask[0, 0] = 255
    Image.fromarray(mask).save(masks / "0.png")
    assert plan_cases(str(photos), {"holes": str(masks)}, size=32).groups[0].sha256 != first.groups[0].sha256


def test_photos_with_nothing_missing_are_left_out(photos: Path, masks: Path) -> None:
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(masks / "0.png")
    cases = plan_cases(str(photos), {"holes": str(masks)}, size=48)
    assert [name for name, _ in _pairs(cases)] == ["b.png", "d.png"]
    assert cases.left_out == {"holes": ["a.png", "c.png", "e.png"]}
    assert len(cases) == 2
    (masks / "1.png").unlink()
    with pytest.raises(DataError, match="nothing to fill"):
        plan_cases(str(photos), {"holes": str(masks)}, size=48)


def test_sixteen_bit_photos_are_brought_to_eight(photos: Path, masks: Path) -> None:
    import cv2

    wide = (np.asarray(Image.open(photos / "a.png")).astype(np.uint16) * 257)[..., ::-1]
    (photos / "a.png").write_bytes(cv2.imencode(".png", wide)[1].tobytes())
    before = np.asarray(Image.open(photos / "b.png"))
    cases = plan_cases(str(photos), {"holes": str(masks)}, size=60)
    assert cases[0].truth.dtype == np.uint8
    assert np.array_equal(
        cases[0].truth, crop_photo(np.ascontiguousarray((wide[..., ::-1] // 257).astype(np.uint8)), 60)
    )
    assert np.array_equal(cases[1].truth, crop_photo(before, 60))


def test_without_a_size_masks_must_fit(photos: Path, masks: Path) -> None:
    with pytest.raises(DataError, match=r"mask '0\.png' does not fit photo 'a\.png': expected 60 x 72.*--size"):
        plan_cases(str(photos), {"holes": str(masks)}, size=None)
    for file in masks.iterdir():
        Image.open(file).resize((72, 60), Image.Resampling.NEAREST).save(file)
    case = plan_cases(str(photos), {"holes": str(masks)}, size=None)[3]
    assert np.array_equal(case.truth, np.asarray(Image.open(photos / "d.png")))


def test_groups_are_told_apart_by_their_last_parts_where_that_is_enough() -> None:
    assert named_groups(["x/thin", "centre_256"]) == {"thin": "x/thin", "centre_256": "centre_256"}
    assert named_groups(["x/thin", "y/thin"]) == {"x/thin": "x/thin", "y/thin": "y/thin"}
    with pytest.raises(UsageError, match="twice"):
        named_groups(["x", "x"])
    with pytest.raises(UsageError, match="nothing"):
        named_groups([])


def test_what_cannot_be_paired_is_told(photos: Path, masks: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no photo found"):
        plan_cases(str(empty), {"holes": str(masks)})
    with pytest.raises(DataError, match="no mask found"):
        plan_cases(str(photos), {"holes": str(empty)})
    with pytest.raises(UsageError, match="lama_thin_256"):
        plan_cases(str(photos), {"lama": "lama_thin"})
    with pytest.raises(DataError, match="no such file"):
        plan_cases(str(tmp_path / "gone"), {"holes": str(masks)})
    with tarfile.open(tmp_path / "twice.tar", "w") as archive:
        archive.add(photos / "a.png", "a.png")
        archive.add(photos / "b.png", "a.png")
    with pytest.raises(DataError, match=r"'twice\.tar/a\.png' twice"):
        plan_cases(str(tmp_path / "twice.tar"), {"holes": str(masks)})
    with pytest.raises(DataError, match="holds one photo"):
        plan_cases(str(photos / "a.png"), {"removal": "removal"})


def test_a_damaged_photo_is_told_by_its_name(photos: Path, masks: Path) -> None:
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(whole[: len(whole) // 2])
    cases = plan_cases(str(photos), {"holes": str(masks)}, size=48)
    with pytest.raises(Exception, match=r"b\.png"):
        _ = cases[1]
    assert cases[2].name == "c.png"


def test_a_mask_of_its_photos_shape_is_cropped_with_it(photos: Path, tmp_path: Path) -> None:
    marked = np.zeros((60, 72), np.uint8)
    marked[10:20, 40:60] = 255
    picture = np.repeat(marked[..., None], 3, axis=2)
    for folder in ("wide", "own"):
        (tmp_path / folder).mkdir()
    Image.fromarray(picture).save(tmp_path / "wide" / "p.png")
    Image.fromarray(marked).save(tmp_path / "own" / "m.png")
    case = plan_cases(str(tmp_path / "wide"), {"own": str(tmp_path / "own")}, size=60)[0]
    assert np.array_equal(case.hole, case.truth[..., 0] > 127)
    Image.fromarray(marked[:, :50]).save(tmp_path / "own" / "m.png")
    with pytest.raises(DataError, match="expected a square, or 60 x 72"):
        plan_cases(str(tmp_path / "wide"), {"own": str(tmp_path / "own")}, size=60)


def test_a_set_at_another_size_says_so(photos: Path) -> None:
    assert plan_cases(str(photos), {"boxes_256": "boxes_256"}, size=64).groups[0].name == "boxes_256, resized to 64"
    assert plan_cases(str(photos), {"boxes_256": "boxes_256"}, size=256).groups[0].name == "boxes_256"


def test_a_name_with_two_meanings_is_refused(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boxes_256").mkdir()
    with pytest.raises(UsageError, match=r"\./boxes_256"):
        plan_cases(str(photos), {"boxes_256": "boxes_256"})


def test_an_object_does_not_depend_on_how_many_photos_are_compared(photos: Path) -> None:
    few = plan_cases(str(photos), {"removal": "removal"}, size=64, limit=2)
    all_of_them = plan_cases(str(photos), {"boxes_256": "boxes_256", "removal": "removal"}, size=64)
    assert few.count == len(few) == 2
    for index in range(2):
        assert np.array_equal(few[index].shown, all_of_them[5 + index].shown)


def test_a_tar_and_its_folder_have_one_digest(photos: Path, masks: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for file in photos.iterdir():
            archive.add(file, file.name)
    digests = {
        plan_cases(source, {"holes": str(masks)}, size=32).images_sha256
        for source in (str(photos), str(tmp_path / "all.tar"))
    }
    assert len(digests) == 1
