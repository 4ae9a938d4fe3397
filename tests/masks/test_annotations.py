"""COCO and LabelMe files as masks: every kind of mark, the right photo among many, and bad files in one clear line."""

import base64
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inpaintkit.errors import InpaintError, MaskError, UsageError
from inpaintkit.masks.annotations import draw_annotations, is_annotations, parse_annotations, read_annotations

SIZE = (40, 60)


def box(top: int, left: int, height: int, width: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def around(top: float, left: float, height: float, width: float) -> list[float]:
    """A box as COCO writes a polygon."""
    return [left, top, left + width, top, left + width, top + height, left, top + height]


def coco(*segmentations: Any, images: list[dict] | None = None, **fields: Any) -> dict[str, Any]:
    photo = {"id": 7, "file_name": "photo.jpg", "height": SIZE[0], "width": SIZE[1]}
    return {
        "images": images or [photo],
        "annotations": [
            {"id": number, "image_id": 7, "category_id": number % 2, "segmentation": each, **fields}
            for number, each in enumerate(segmentations)
        ],
        "categories": [{"id": 0, "name": "wire"}, {"id": 1, "name": "Vogel ö"}],
    }


def labelme(*shapes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    record = {"version": "5.5.0", "imagePath": "photo.jpg", "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    return {**record, "shapes": list(shapes), **fields}


def shape(kind: str | None, points: Any, label: str = "wire", **fields: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **fields}


def mask_of(record: Any, photo: str | None = "photo.jpg", size: tuple[int, int] = SIZE, **options: Any) -> np.ndarray:
    return noted(record, photo, size, **options)[0]


def noted(record: Any, photo: str | None = "photo.jpg", size: tuple[int, int] = SIZE, **options: Any) -> tuple:
    annotations = parse_annotations(json.dumps(record).encode(), "marks.json")
    return draw_annotations(annotations, None if photo is None else Path(photo), size, **options)


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert "marks.json" in message
    return message


# ---- COCO ---------------------------------------------------------------------------------------------------------


def test_polygons_of_several_pieces_and_marks_are_added() -> None:
    record = coco([around(2, 3, 10, 5), around(20, 30, 4, 6)], [around(30, 1, 5, 5)])
    mask, notes = noted(record)
    np.testing.assert_array_equal(mask, box(2, 3, 10, 5) | box(20, 30, 4, 6) | box(30, 1, 5, 5))
    assert notes == ()


def test_marks_that_overlap_are_one_hole() -> None:
    np.testing.assert_array_equal(mask_of(coco([around(2, 3, 10, 5)], [around(2, 3, 10, 5)])), box(2, 3, 10, 5))
    np.testing.assert_array_equal(mask_of(coco([around(2, 3, 10, 5), around(4, 3, 2, 2)])), box(2, 3, 10, 5))


@pytest.mark.parametrize("crowd", [0, 1])
def test_run_lengths_in_both_forms(crowd: int) -> None:
    expected = np.zeros((5, 6), bool)
    expected[1:4, 2:4] = expected[4, 5] = True
    image = {"id": 7, "file_name": "photo.jpg", "height": 5, "width": 6}
    for counts in ([11, 3, 2, 3, 10, 1], ";3208N"):
        record = coco({"counts": counts, "size": [5, 6]}, images=[image], iscrowd=crowd)
        np.testing.assert_array_equal(mask_of(record, size=(5, 6)), expected)


def test_a_mark_without_outline_is_its_box() -> None:
    for missing in (None, []):
        np.testing.assert_array_equal(mask_of(coco(missing, bbox=[3, 2, 5, 10])), box(2, 3, 10, 5))


def test_a_polygon_without_the_list_around_it() -> None:
    np.testing.assert_array_equal(mask_of(coco(around(2, 3, 10, 5))), box(2, 3, 10, 5))


def test_outlines_beyond_the_photo_are_cut() -> None:
    np.testing.assert_array_equal(mask_of(coco([around(-5, 50, 10, 100)])), box(0, 50, 5, 10))


def test_two_points_are_no_outline_and_told() -> None:
    mask, notes = noted(
        coco([[1, 1, 9, 9], around(2, 3, 10, 5)], []) | {"annotations": coco([[1, 1, 9, 9]])["annotations"]}
    )
    assert not mask.any()
    assert "fewer than three points" in notes[0]


def test_labels_choose() -> None:
    record = coco([around(2, 3, 10, 5)], [around(30, 1, 5, 5)])
    np.testing.assert_array_equal(mask_of(record, labels=["wire"]), box(2, 3, 10, 5))
    np.testing.assert_array_equal(mask_of(record, labels=["Vogel ö"]), box(30, 1, 5, 5))
    np.testing.assert_array_equal(mask_of(record, labels=["Vogel ö", "wire"]), mask_of(record))
    with pytest.raises(
        UsageError, match=r"unknown label 'wires': did you mean 'wire'\? valid are Vogel ö, wire"
    ) as error:
        mask_of(record, labels=["wires"])
    one_line(error)
    del record["annotations"][0]
    mask, notes = noted(record, labels=["wire"])
    assert not mask.any()
    assert notes == ("'marks.json' marks nothing labelled wire in this photo",)


def test_only_this_photos_marks_are_taken() -> None:
    images = [{"id": each, "file_name": f"{each}.jpg", "height": 40, "width": 60} for each in ("a", 7, "ü")]
    record = coco([around(2, 3, 10, 5)], images=images)
    record["annotations"].append({"image_id": "ü", "category_id": 0, "segmentation": [around(20, 20, 5, 5)]})
    np.testing.assert_array_equal(mask_of(record, "somewhere/7.jpg"), box(2, 3, 10, 5))
    np.testing.assert_array_equal(mask_of(record, "ü.jpg"), box(20, 20, 5, 5))
    np.testing.assert_array_equal(mask_of(record, "u\u0308.jpg"), box(20, 20, 5, 5))  # as macOS writes it
    mask, notes = noted(record, "a.jpg")
    assert not mask.any()
    assert "marks nothing in this photo" in notes[0]


def test_folders_decide_between_photos_of_one_name() -> None:
    names = ["train/street/1.jpg", "train\\lake\\1.jpg", "val/street/1.jpg"]
    images = [{"id": place, "file_name": name, "height": 40, "width": 60} for place, name in enumerate(names)]
    record = coco(images=images)
    record["annotations"] = [
        {"image_id": place, "category_id": 0, "segmentation": [around(place, place, 5, 5)]} for place in range(3)
    ]
    for place, photo in enumerate(("data/train/street/1.jpg", "lake/1.jpg", "val/street/1.jpg")):
        np.testing.assert_array_equal(mask_of(record, photo), box(place, place, 5, 5))
    for photo in ("1.jpg", "street/1.jpg"):
        with pytest.raises(MaskError, match="could be") as error:
            mask_of(record, photo)
        one_line(error)


def test_a_photo_in_another_format_is_the_same_photo() -> None:
    np.testing.assert_array_equal(mask_of(coco([around(2, 3, 10, 5)]), "photo.png"), box(2, 3, 10, 5))
    two = [{"id": 7, "file_name": "photo.png"}, {"id": 8, "file_name": "photo.jpg"}]
    np.testing.assert_array_equal(mask_of(coco([around(2, 3, 10, 5)], images=two), "photo.png"), box(2, 3, 10, 5))
    assert not mask_of(coco([around(2, 3, 10, 5)], images=two), "photo.jpg").any()


@pytest.mark.parametrize("record", [coco([around(2, 3, 10, 5)]), labelme(shape("rectangle", [[3, 2], [8, 12]]))])
def test_another_photo_is_refused_and_one_without_a_name_is_not(record: dict) -> None:
    with pytest.raises(MaskError, match=r"says nothing of a photo 'phto\.jpg'.*'photo\.jpg'") as error:
        mask_of(record, "dir/phto.jpg")
    one_line(error)
    np.testing.assert_array_equal(mask_of(record, None), box(2, 3, 10, 5))


def test_many_photos_and_one_without_a_name() -> None:
    images = [{"id": each, "file_name": f"street-{each}.jpg"} for each in range(5000)]
    record = coco([around(2, 3, 10, 5)], images=images)
    with pytest.raises(MaskError, match="5000 photos"):
        mask_of(record, None)
    with pytest.raises(MaskError, match=r"5,000 others, 'street-\d+.jpg' for one"):
        mask_of(record, "streets-17.jpg")


def test_ids_are_one_id_as_number_and_as_text() -> None:
    for own, named in ((7, "7"), ("7", 7), (7.0, 7)):
        record = coco([around(2, 3, 10, 5)], images=[{"id": own, "file_name": "photo.jpg"}])
        record["annotations"][0]["image_id"] = named
        np.testing.assert_array_equal(mask_of(record), box(2, 3, 10, 5))


def test_names_in_any_case_unless_both_are_there() -> None:
    record = coco([around(2, 3, 10, 5)])
    for name in ("PHOTO.JPG", "Photo.png"):
        np.testing.assert_array_equal(mask_of(record, name), box(2, 3, 10, 5))
    two = [{"id": 7, "file_name": "a/photo.jpg"}, {"id": 8, "file_name": "a/PHOTO.jpg"}]
    record = coco([around(2, 3, 10, 5)], images=two)
    assert mask_of(record, "a/photo.jpg").any()
    assert not mask_of(record, "a/PHOTO.jpg").any()
    folders = [{"id": 7, "file_name": "val/photo.jpg"}, {"id": 8, "file_name": "train/photo.jpg"}]
    assert mask_of(coco([around(2, 3, 10, 5)], images=folders), "Val/PHOTO.JPG").any()


def test_marks_wholly_outside_are_told() -> None:
    outside = [around(2, 60, 10, 5), around(-9, 3, 9, 5), around(50, 3, 9, 5)]
    mask, notes = noted(coco([outside[0]], outside[1:], [outside[0], around(2, 3, 10, 5)], [around(-1, -1, 3, 3)]))
    assert mask.any()
    assert notes == ("2 marks of this photo in 'marks.json' lie wholly outside it",)
    mask, notes = noted(coco(None, bbox=[100, 2, 5, 5]))
    assert not mask.any()
    assert "wholly outside" in notes[0]
    assert "wholly outside" in noted(labelme(shape("circle", [[-20, 9], [-15, 9]])))[1][0]
    assert noted(labelme(shape("point", [[-3, 9]])))[1] == ()


def test_a_negative_box_is_an_error() -> None:
    with pytest.raises(MaskError, match=r"its box is -5 wide and 10 high") as error:
        mask_of(coco(None, bbox=[8, 2, -5, 10]))
    one_line(error)


def test_the_examples_on_the_page_are_read() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "masks.md"
    examples = re.findall(r"^```json\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(examples) == 2
    for example in examples:
        annotations = parse_annotations(example.encode(), "marks.json")
        for label in annotations.labels:
            mask, notes = draw_annotations(annotations, Path("street.jpg"), (480, 640), labels=[label])
            assert mask.any()
            assert notes == ()


# ---- LabelMe ------------------------------------------------------------------------------------------------------


def circle(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    return np.hypot(rows - y, columns - x) <= radius


def test_labelme_polygons_and_rectangles() -> None:
    corners = [[3, 2], [8, 2], [8, 12], [3, 12]]
    for record in (
        labelme(shape("polygon", corners)),
        labelme(shape(None, corners)),
        labelme(shape("rectangle", [[3, 2], [8, 12]])),
        labelme(shape("rectangle", [[8, 12], [3, 2]])),
        labelme(shape("rectangle", corners)),
        labelme(shape("oriented_rectangle", corners)),
        labelme({"label": "old", "points": corners}),
    ):
        np.testing.assert_array_equal(mask_of(record), box(2, 3, 10, 5))


def test_labelme_circle_points_and_lines() -> None:
    drawn = mask_of(labelme(shape("circle", [[20, 15], [20, 25.2]])))
    assert np.count_nonzero(drawn ^ circle(20, 15, 10.2)) <= 4
    assert not (drawn & ~circle(20, 15, 10.2)).any()
    for kind in ("point", "points"):
        drawn = mask_of(labelme(shape(kind, [[20, 15]])))
        assert np.count_nonzero(drawn ^ circle(20, 15, 5)) <= 4
    for kind in ("line", "linestrip"):
        drawn = mask_of(labelme(shape(kind, [[20, 15], [40, 15]])))
        np.testing.assert_array_equal(drawn[:, 20:40], box(10, 0, 10, 60)[:, 20:40])
        assert not drawn[:, :14].any()
    bent = mask_of(labelme(shape("linestrip", [[10, 10], [40, 10], [40, 35]])))
    assert bent[10, 25]
    assert bent[25, 40]
    assert not bent[25, 20]


def test_labelme_masks_are_pictures_of_0_and_1() -> None:
    part = np.zeros((6, 9), np.uint8)
    part[1:3, 2:7] = 1
    stream = io.BytesIO()
    Image.fromarray(part).save(stream, "PNG")
    text = base64.b64encode(stream.getvalue()).decode()
    np.testing.assert_array_equal(
        mask_of(labelme(shape("mask", [[30.0, 20.0], [38.0, 25.0]], mask=text))), box(21, 32, 2, 5)
    )
    np.testing.assert_array_equal(mask_of(labelme(shape("mask", [[-4, -2], [4, 3]], mask=text))), box(0, 0, 1, 3))
    np.testing.assert_array_equal(mask_of(labelme(shape("mask", [[55, 38], [63, 43]], mask=text))), box(39, 57, 1, 3))
    assert not mask_of(labelme(shape("mask", [[500, 380], [508, 385]], mask=text))).any()


def test_labelme_labels_and_empty_files() -> None:
    record = labelme(shape("rectangle", [[3, 2], [8, 12]]), shape("rectangle", [[30, 20], [40, 22]], "car"))
    np.testing.assert_array_equal(mask_of(record, labels=["car"]), box(20, 30, 2, 10))
    with pytest.raises(UsageError, match="valid are car, wire"):
        mask_of(record, labels=["bus"])
    mask, notes = noted(labelme())
    assert not mask.any()
    assert "marks nothing" in notes[0]
    assert mask_of(labelme(shape("rectangle", [[3, 2], [8, 12]]), imagePath=None), "any.png").any()


# ---- another size -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        coco([around(2, 3, 10, 5)]),
        labelme(shape("rectangle", [[3, 2], [8, 12]])),
        coco({"counts": [122, *[10, 30] * 4, 10, 40 * 60 - 122 - 170], "size": [40, 60]}),
    ],
    ids=["coco", "labelme", "runs"],
)
def test_annotations_of_another_size(record: dict) -> None:
    with pytest.raises(MaskError, match=r"60 x 40.*120 x 80") as error:
        mask_of(record, size=(80, 120))
    one_line(error)
    mask, notes = noted(record, size=(80, 120), resize=True)
    np.testing.assert_array_equal(mask, box(4, 6, 20, 10, (80, 120)))
    assert len(notes) == 1
    assert "scaled" in notes[0]
    assert "proportions" not in notes[0]
    mask, notes = noted(record, size=(80, 240), resize=True)
    np.testing.assert_array_equal(mask, box(4, 12, 20, 20, (80, 240)))
    assert "proportions" in notes[0]
    np.testing.assert_array_equal(mask_of(record, size=(20, 30), resize=True), box(1, 1, 5, 3, (20, 30)))


def test_the_sides_the_wrong_way_round_are_refused_even_so() -> None:
    with pytest.raises(MaskError, match="wrong way round") as error:
        mask_of(coco([around(2, 3, 10, 5)]), size=(60, 40), resize=True)
    one_line(error)


@pytest.mark.parametrize("side", [None, 0, -3, "40", 1e300])
def test_a_file_without_a_usable_size_has_the_photos(side: object) -> None:
    record = labelme(shape("rectangle", [[3, 2], [8, 12]]), imageHeight=side, imageWidth=side)
    np.testing.assert_array_equal(mask_of(record), box(2, 3, 10, 5))


# ---- files --------------------------------------------------------------------------------------------------------


def test_the_file_is_read_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "marks été.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(coco([around(2, 3, 10, 5)]), ensure_ascii=False).encode())
    first = read_annotations(path)
    assert first.labels == ("wire", "Vogel ö")
    assert read_annotations(str(path)) is first
    path.write_text(json.dumps(labelme()), encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert not read_annotations(path).coco


@pytest.mark.parametrize("start", [b"{", b" \n\t[", b"\xef\xbb\xbf {"])
def test_json_is_known_by_its_beginning(start: bytes) -> None:
    assert is_annotations(start)
    assert not is_annotations(b"\x89PNG")
    assert not is_annotations(b"")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"\xff\xfe{\0}\0", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "another kind"),
        (b"3", "another kind"),
        (b'{"type": "FeatureCollection"}', "another kind"),
        (b'{"shapes": [3]}', "another kind"),
        (b'{"images": [], "annotations": {}}', "another kind"),
        (b'{"images": [{"id": 3}], "annotations": []}', "file_name"),
        (b'{"images": [], "annotations": [{"image_id": [1]}]}', "list for an id"),
        (b'{"images": [], "annotations": [{"category_id": [1]}]}', "list for an id"),
    ],
)
def test_what_is_neither_is_refused(data: bytes, word: str) -> None:
    with pytest.raises(MaskError, match=word) as error:
        parse_annotations(data, "marks.json")
    assert "expected" in one_line(error)


@pytest.mark.parametrize(
    "segmentation",
    [
        [["a", "b", "c", "d", "e", "f"]],
        [[1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, None]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [{}],
        "polygon",
        {"counts": [3]},
        {"counts": [1, 2], "size": [40, 60]},
        {"counts": "~~", "size": [40, 60]},
        {"counts": None, "size": [40, 60]},
        {"counts": [30], "size": [5, 6]},
        {"counts": [30], "size": "ab"},
        None,
    ],
    ids=str,
)
def test_damaged_coco_marks_are_named(segmentation: object) -> None:
    with pytest.raises(MaskError, match=r"mark 1 of this photo \('wire'\) is damaged") as error:
        mask_of(coco(segmentation))
    assert "expected" in one_line(error)


@pytest.mark.parametrize(
    "bad",
    [
        shape("star", [[1, 2]]),
        shape("polygon", [[1, 2], [3]]),
        shape("polygon", None),
        shape("circle", [[1, 2]]),
        shape("mask", [[1, 2], [3, 4]]),
        shape("mask", [[1, 2], [3, 4]], mask="%%%"),
        shape("mask", [[1, 2], [3, 4]], mask="aaaa"),
        shape("mask", [], mask="aaaa"),
        {"label": "wire"},
    ],
    ids=str,
)
def test_damaged_labelme_shapes_are_named(bad: dict) -> None:
    with pytest.raises(MaskError, match=r"mark 1 of this photo \('wire'\) is damaged") as error:
        mask_of(labelme(bad))
    assert "expected" in one_line(error)


def test_bombs_do_not_go_off() -> None:
    huge = labelme(shape("rectangle", [[3, 2], [8, 12]]), imageHeight=10**9, imageWidth=10**9)
    with pytest.raises(MaskError, match="at most 200,000,000"):
        mask_of(huge, resize=True)
    with pytest.raises(MaskError, match="damaged"):
        mask_of(coco({"counts": [10**18], "size": [10**9, 10**9]}))


def test_files_damaged_anywhere_end_in_our_words() -> None:
    rng = np.random.default_rng(1)
    sources = [
        json.dumps(coco([around(2, 3, 10, 5)], {"counts": ";3208N", "size": [5, 6]})).encode(),
        json.dumps(labelme(shape("circle", [[3, 2], [8, 12]]), shape("rectangle", [[3, 2], [8, 12]]))).encode(),
    ]
    said = []
    for number in range(400):
        data = bytearray(sources[number % 2])
        for place in rng.integers(0, len(data), 2):
            data[place] = rng.choice(list(b'0129.-"[]{},:en'))
        try:
            mask, _ = draw_annotations(
                parse_annotations(bytes(data), "marks.json"), Path("photo.jpg"), SIZE, resize=True
            )
            assert mask.shape == SIZE
        except InpaintError as error:
            said.append(str(error))
    assert len(said) > 100
    assert not [message for message in said if "\n" in message]
