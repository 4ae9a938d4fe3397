"""All metrics of one composite together: the table, names, refusals, and the same bits on every call."""

import math
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from inpaintkit.errors import DataError, UsageError
from inpaintkit.evaluation.metrics import DIRECTIONS, METRICS, distance_from_one, known_changed, measure

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


@pytest.fixture(scope="module")
def composite() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo of 170 x 190 pixels, a blurred fill of its middle, and the hole."""
    truth = np.ascontiguousarray(data.astronaut()[20:190, 120:310])
    hole = np.zeros(truth.shape[:2], bool)
    hole[60:110, 50:120] = True
    return truth, np.where(hole[..., None], cv2.GaussianBlur(truth, (0, 0), 4), truth), hole


def test_in_a_hole_that_is_the_whole_frame_both_scopes_say_the_same(composite):
    truth, filled, hole = composite
    found = measure(truth, filled, np.ones_like(hole))
    for name in ("l1", "psnr", "ssim", "total_variation"):
        assert found[f"hole_{name}"] == pytest.approx(found[name], rel=1e-12)


def test_what_is_outside_the_hole_counts_for_the_image_alone(composite):
    """The known part is made equal or not, far from the hole: metrics of the hole do not see it, the others do."""
    truth, filled, hole = composite
    other = filled.copy()
    other[:30] = 255 - other[:30]
    one, two = measure(truth, filled, hole), measure(truth, other, hole)
    for name, metric in METRICS.items():
        assert (one[name] == two[name]) == (metric.scope == "hole"), name
    assert one["l1"] == pytest.approx(one["hole_l1"] * hole.mean())
    assert one["psnr"] == pytest.approx(one["hole_psnr"] - 10 * math.log10(hole.mean()))


def test_what_has_no_detail_has_no_sharpness_and_no_variation(composite):
    truth, _, hole = composite
    found = measure(truth, np.full_like(truth, 100), np.ones_like(hole))
    assert (found["total_variation"], found["hole_total_variation"]) == (0, 0)
    assert found["sharpness"] == pytest.approx(0, abs=1e-12)
    assert measure(truth, truth, hole)["total_variation"] > 1  # in percent


def test_a_half_is_as_far_from_one_as_twice():
    assert distance_from_one(1) == 0
    assert distance_from_one(0.5) == pytest.approx(math.log(2))
    assert distance_from_one(2) == pytest.approx(math.log(2))
    assert distance_from_one(0) == distance_from_one(1e-3) == pytest.approx(math.log(1000))
    assert math.isnan(distance_from_one(math.nan))


def test_ratios_are_averaged_in_logarithms_and_every_direction_has_words():
    assert [name for name, metric in METRICS.items() if metric.average == "geometric"] == ["sharpness"]
    assert "geometric" in METRICS["sharpness"].definition
    assert {metric.better for metric in METRICS.values()} == set(DIRECTIONS)


def test_the_table_describes_what_is_measured(composite):
    assert list(measure(*composite)) == list(METRICS)
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.scope == ("hole" if name.startswith("hole_") or name == "sharpness" else "image")
        assert metric.label
        assert metric.source
        assert metric.definition.endswith(".")
        assert metric.range.endswith(".")
        assert "per photo" in metric.definition


def test_the_direction_of_each_metric_is_the_right_one(composite):
    truth, filled, hole = composite
    worse = np.where(hole[..., None], 255 - truth, truth)
    better, bad = measure(truth, filled, hole), measure(truth, worse, hole)
    for name, metric in METRICS.items():
        if metric.better == "lower":
            assert better[name] < bad[name]
        if metric.better == "higher":
            assert better[name] > bad[name]


def test_an_exact_fill_has_the_best_of_every_range(composite):
    truth, _, hole = composite
    best = {"lower": 0, "one": 1, "higher": 1}
    for name, value in measure(truth, truth, hole).items():
        metric = METRICS[name]
        if metric.better != "truth":
            assert value == (100 if metric.unit == "dB" else best[metric.better])


def test_the_same_pixels_give_the_same_bits(composite):
    threads = cv2.getNumThreads()
    try:
        results = []
        for number in (1, 2, 4):
            cv2.setNumThreads(number)
            results.append({name: value.hex() for name, value in measure(*composite).items()})
    finally:
        cv2.setNumThreads(threads)
    views = [np.asfortranarray(each) for each in composite]
    results.append({name: value.hex() for name, value in measure(*views).items()})
    assert all(each == results[0] for each in results)


def test_no_argument_is_modified(composite):
    for each in composite:
        each.flags.writeable = False
    measure(*composite)
    for each in composite:
        each.flags.writeable = True


def test_only_the_metrics_named_are_measured(composite):
    truth, filled, hole = composite
    assert list(measure(truth, filled, hole, ["ssim", "l1"])) == ["l1", "ssim"]
    assert measure(truth, filled, hole, []) == {}
    with pytest.raises(UsageError, match="unknown metric 'hole_l2': did you mean 'hole_l1'"):
        measure(truth, filled, hole, ["hole_l2"])


def test_metrics_of_the_image_need_no_hole(composite):
    truth, filled, hole = composite
    names = [name for name, metric in METRICS.items() if metric.scope == "image"]
    whole = measure(truth, filled, hole)
    assert measure(truth, filled, np.zeros_like(hole), names) == {name: whole[name] for name in names}
    with pytest.raises(DataError, match="the hole is empty, expected"):
        measure(truth, filled, np.zeros_like(hole))


def test_what_is_not_defined_is_nan():
    flat = np.full((40, 300, 3), 9, np.uint8)
    hole = np.zeros((40, 300), bool)
    hole[10:20, 10:20] = True
    undefined = {name for name, value in measure(flat, flat, hole).items() if math.isnan(value)}
    assert undefined == {"sharpness", "ms_ssim"}


def test_a_frame_of_a_few_pixels_is_measured():
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 7), (3, 2)):
        truth, filled = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        found = measure(truth, filled, np.ones((height, width), bool))
        assert math.isfinite(found["ssim"])
        assert math.isfinite(found["hole_psnr"])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t, f, h: (t, f[:-1], h), "expected (170, 190, 3) as the truth has"),
        (lambda t, f, h: (t, f, h[:, :-1]), "expected bool (170, 190)"),
        (lambda t, f, h: (t, f, h.astype(np.uint8)), "the hole is uint8"),
        (lambda t, f, h: (t.astype(np.float32), f, h), "the truth is float32"),
        (lambda t, f, h: (t, f[..., 0], h), "the fill is uint8 (170, 190), expected"),
    ],
)
def test_frames_that_do_not_fit_are_refused(composite, spoil, words):
    with pytest.raises(DataError, match=re.escape(words)):
        measure(*spoil(*composite))


def test_known_changed_counts_pixels_outside_the_hole(composite):
    truth, filled, hole = composite
    assert known_changed(truth, filled, hole) == 0
    touched = filled.copy()
    touched[0, 0] = 255 - touched[0, 0]  # one pixel, though three channels
    touched[169, 189, 2] ^= 1
    assert known_changed(truth, touched, hole) == 2
    assert known_changed(truth, 255 - truth, hole) == hole.size - hole.sum()


def test_measuring_needs_neither_torch_nor_scikit_image():
    code = (
        "import sys, numpy as np; from inpaintkit.evaluation.metrics import measure; "
        "frame = np.zeros((200, 200, 3), np.uint8); measure(frame, frame, np.ones((200, 200), bool)); "
        "assert not {'torch', 'torchmetrics', 'skimage', 'scipy'} & set(sys.modules)"
    )
    source = str(Path(__file__).resolve().parents[3] / "src")
    subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}); {code}"], check=True)


def test_the_page_has_every_metric_in_the_order_of_the_table():
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", page, re.MULTILINE)
    directions = {"lower": "lower", "higher": "higher", "one": "1 is right", "truth": "as the photo's"}
    assert rows == [(name, metric.unit or "-", directions[metric.better]) for name, metric in METRICS.items()]
    for metric in METRICS.values():
        assert f"{metric.label}" in page
