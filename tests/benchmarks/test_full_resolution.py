"""The arithmetic of benchmarks/full_resolution.py, and the photos and holes that it draws."""

import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

import full_resolution as full
import turns
from inpaintkit.errors import UsageError


def _worker(variant: str, rounds: list[float], peak_mb: float, parts: dict[str, float] | None = None) -> turns.Worker:
    given = [[{name: seconds * share for name, share in (parts or {}).items()}] for seconds in rounds]
    return turns.Worker(variant, SimpleNamespace(), {}, [[seconds] for seconds in rounds], given, peak_mb)


def _path() -> dict[str, turns.Worker]:
    return {
        "crop": _worker("crop", [1.0, 2.0, 1.0], 300, {"fill": 1}),
        "command-crop": _worker("command-crop", [2.0, 2.0, 2.0], 320),
        "files-JPEG": _worker("files-JPEG", [1.0, 2.0, 3.0], 200, {"decode": 0.25, "encode": 0.75}),
        "whole-JPEG": _worker("whole-JPEG", [2.2, 4.8, 4.0], 450, {"decode": 0.2, "fill": 0.5, "encode": 0.3}),
        "command-JPEG": _worker("command-JPEG", [3.0, 6.0, 5.0], 440),
    }


def test_the_whole_way_is_compared_with_its_parts_of_the_same_round():
    row = full.summarise_path(_path()["whole-JPEG"], _path())
    assert row["ratio"] == pytest.approx(1.1)  # 2.2 / 2, 4.8 / 4 and 4 / 4
    assert (row["ratio_lowest"], row["ratio_highest"]) == (pytest.approx(1.0), pytest.approx(1.2))
    assert row["above_crop_mb"] == 150
    assert row["parts_s"] == pytest.approx({"decode": 0.8, "fill": 2.0, "encode": 1.2})
    command = full.summarise_path(_path()["command-JPEG"], _path())
    assert command["ratio"] == 1.0  # 3 / 3, 6 / 4 and 5 / 5
    assert command["above_crop_mb"] == 120
    assert command["parts_s"] == {}


@pytest.mark.parametrize("name", ["crop", "command-crop", "files-JPEG"])
def test_parts_of_the_way_are_not_compared(name):
    assert "ratio" not in full.summarise_path(_path()[name], _path())


def test_sums_by_round_take_the_median_of_each_turn():
    assert full.sums_by_round([[1.0, 5.0, 2.0], [3.0]], [[10.0], [20.0]]) == [[12.0], [23.0]]
    with pytest.raises(ValueError, match="longer"):
        full.sums_by_round([[1.0]], [[1.0], [2.0]])


def test_a_point_of_a_curve():
    found = full.summarise_point(_worker("", [4.0, 2.0], 0, {"decode": 0.25, "fill": 0.5, "encode": 0.25}))
    assert (found["fill_s"], found["fill_min_s"], found["whole_s"], found["whole_min_s"]) == (1.5, 1.0, 3.0, 2.0)


def test_a_straight_line():
    assert full.straight_line([(1, 3.0), (2, 5.0), (4, 9.0)]) == pytest.approx((1.0, 2.0))


@pytest.mark.parametrize("megapixels", [*full.FULL.sizes_mp, *full.QUICK.sizes_mp])
def test_photos_have_as_many_pixels_as_they_say(megapixels):
    height, width = full.photo_shape(megapixels)
    assert height * width == pytest.approx(megapixels * 1e6, rel=2e-3)
    assert width / height == pytest.approx(1.5, abs=2e-3)
    assert full.photo_shape(24) == (4000, 6000)


@pytest.mark.parametrize("scale", [full.FULL, full.QUICK])
def test_every_hole_lies_apart_with_its_crop(scale):
    height, width = full.photo_shape(scale.holes_mp)
    for count in scale.holes:
        mask = full.draw_holes(height, width, count, full.MANY_HOLE_PX)
        assert np.count_nonzero(mask) == count * full.MANY_HOLE_PX**2
        boxes = full.hole_boxes(height, width, count, full.MANY_HOLE_PX)
        room = full.MANY_HOLE_PX // 2  # a crop is twice the hole
        assert all(room <= top <= height - 3 * room and room <= left <= width - 3 * room for top, left in boxes)
        for number, (top, left) in enumerate(boxes):
            for above, beside in boxes[:number]:
                assert max(abs(top - above), abs(left - beside)) >= 2 * full.MANY_HOLE_PX


def test_one_hole_lies_in_the_middle():
    for megapixels in full.FULL.sizes_mp:
        height, width = full.photo_shape(megapixels)
        (top, left), side = full.hole_boxes(height, width, 1, full.HOLE_PX)[0], full.HOLE_PX
        assert abs(2 * top + side - height) <= 1
        assert abs(2 * left + side - width) <= 1


def test_holes_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="do not fit"):
        full.hole_boxes(100, 150, 20, 40)


def test_the_huge_hole_is_as_large_as_it_says():
    assert full.draw_huge_hole(400, 600).mean() == pytest.approx(full.HUGE_SHARE, rel=0.01)


def test_smaller_photos_are_the_middle_of_larger_ones():
    large = full.draw_photo(300, 420)
    assert large.dtype == np.uint8
    assert np.array_equal(large, full.draw_photo(300, 420))
    assert np.array_equal(full.middle_of(large, 100, 120), large[100:200, 150:270])
    fine = large.astype(np.float32) - np.roll(large, 1, axis=1)
    assert fine.std() > 255 * full.NOISE  # noise alone gives 1.4 times as much


def test_mirrored_places_keep_the_middle_and_turn_at_the_borders():
    assert list(full.mirrored(5, 5)) == [0, 1, 2, 3, 4]
    assert list(full.mirrored(11, 5)) == [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]
    assert list(full.mirrored(3, 5)) == [1, 2, 3]


def test_only_needed_photos_are_made():
    assert full.needed_photos(full.FULL, ["path", "ceilings"]) == [24, 100]
    assert full.needed_photos(full.FULL, full.PARTS) == [1, 3, 6, 12, 24, 50, 100]


def test_options_that_are_not_given_are_not_passed_on():
    common = {"photo": "p", "mask": "m", "output": "o", "model": "telea", "engine": "auto", "threads": None}
    plain = full.fill_command(common)
    assert plain[1:8] == ["-m", "inpaintkit", "fill", "p", "--mask", "m", "--quiet"]
    assert not {"--threads", "--memory", "--detail", "None"} & set(plain)
    asked = " ".join(full.fill_command({**common, "threads": 2, "memory": "1GB", "detail": "off"}))
    assert re.search(r"-o o .*--threads 2 --memory 1GB --detail off$", asked)


def _report() -> dict:
    ceiling = {"megapixels": 24, "detail": "off", "memory": "1GB", "ceiling_mb": 1000.0, "status": 0, "error": ""}
    return {
        "conditions": {
            "processor": "Abacus",
            "bfloat16_instructions": True,
            "cores": 2,
            "threads": "defaults",
            "system": "Linux",
            "load_average_before": [0.0, 0.0, 0.0],
            "versions": {"python": "3"},
        },
        "quick": False,
        "scale": {"path_mp": 24, "holes_mp": 12},
        "model": "default",
        "engine": "auto",
        "rounds": 3,
        "curve_rounds": 2,
        "crop": [10, 20, 800, 640],
        "megabytes": {"photo-24.jpg": 12.0, "photo-24.png": 45.0},
        "decoded_mb": 72.0,
        "path": {name: full.summarise_path(worker, _path()) for name, worker in _path().items()},
        "sizes": [
            {"megapixels": n, "holes": 1, "hole_px": 400, "fill_s": 1, "fill_min_s": 1, "whole_s": n, "whole_min_s": n}
            for n in (1, 3)
        ],
        "holes": [],
        "ceilings": [
            {**ceiling, "seconds": 20.0, "peak_mb": 999.0},
            {**ceiling, "seconds": 1.0, "peak_mb": 1001.0, "status": None},
            {**ceiling, "seconds": 1.0, "peak_mb": 500.0, "memory": None, "ceiling_mb": None},
        ],
    }


def test_aims_are_compared_in_their_units():
    aims = full.compare_with_aims(_report())
    found = {each["what"]: (each["aim"], round(each["measured"], 3), each["met"]) for each in aims}
    times = [value for what, value in found.items() if what.startswith("time")]
    assert times == [(1.3, 1.1, True), (1.3, 1.0, True)]
    photos = [value for what, value in found.items() if what.endswith("photos")]
    assert photos == [(3.0, 2.083, True), (3.0, 1.667, True)]
    assert [each["met"] for each in aims if "--memory" in each["what"]] == [True, False]
    slower = _report()
    slower["path"]["whole-JPEG"]["ratio"] = 1.31
    assert [each["met"] for each in full.compare_with_aims(slower)].count(False) == 2


def test_the_report_as_tables():
    report = _report()
    report["path"] |= {name.replace("JPEG", "PNG"): row for name, row in report["path"].items()}
    page = full.markdown({**report, "aims": full.compare_with_aims(report)})
    whole = "| JPEG: decoded, filled, encoded | 4.00 | 2.20 | 0.80, 2.00, 1.20 | 1.10 (1.00 to 1.20) | 450 | 2.1 |"
    assert whole in page
    assert "The crop is 640 x 800; the photo takes 72 MB decoded, 12 MB as JPEG and 45 MB as PNG." in page
    assert "the fill 1.00 s and 0.0 ms a megapixel, all 0.00 s and 1000.0 ms a megapixel" in page
    assert "| 24 | off | 1GB | filled | 20 | 999 | yes |" in page
    assert "| 24 | off | 1GB | stopped after 1 s | 1 | 1001 | no |" in page
    assert "| 24 | off | none | filled | 1 | 500 |  |" in page
    widths = {block: {line.count("|") for line in block.splitlines()} for block in page.split("\n\n") if "|--" in block}
    assert all(len(counts) == 1 for counts in widths.values())


def test_the_curves_lie_inside_their_picture():
    report = _report()
    report["holes"] = [{**row, "holes": row["megapixels"]} for row in report["sizes"]]
    picture = ElementTree.fromstring(full.draw_curves(report))
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    lines = [each for each in picture.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 4
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert len(points) == 2
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    assert len(list(ElementTree.fromstring(full.draw_curves(_report())).iter())) < len(list(picture.iter()))


@pytest.mark.parametrize(
    "wrong", [("--limit", "0"), ("--limit", "nan"), ("--svg", "missing/a.svg"), ("--parts", "all")]
)
def test_wrong_options_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        full.parse(wrong)
    assert ended.value.code == 2
    assert capsys.readouterr().err
