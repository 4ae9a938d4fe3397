"""Charts: places worked out by hand, marks inside the drawing, and text that is XML whatever a method is called."""

import re
import xml.etree.ElementTree as ET

import pytest

from inpaintkit.evaluation.page.charts import WIDTH, Estimate, Point, bars, curves, differences, scatter, swatch

ROWS = [
    Estimate(0, "telea", 4.0, 3.0, 5.0),
    Estimate(1, '<ns> & "co" \'', 2.0, 1.5, 2.5),
    Estimate(2, "a method that has a very long name indeed", None),
]


def shapes(svg: str, tag: str, kind: str) -> list[ET.Element]:
    return [found for found in ET.fromstring(svg).iter(tag) if kind in found.get("class", "").split()]


def drawn_height(svg: str) -> float:
    return float(ET.fromstring(svg).get("viewBox").split()[3])


def test_bars_begin_at_0_and_keep_their_ratio():
    svg = bars(ROWS, spoken="said", axis="hole L1, %")
    first, second = shapes(svg, "rect", "bar")
    assert first.get("x") == second.get("x")
    assert float(first.get("width")) == pytest.approx(2 * float(second.get("width")), abs=0.11)
    low, high = map(float, re.match(r"M([\d.]+) [\d.]+H([\d.]+)", shapes(svg, "path", "whisker")[0].get("d")).groups())
    middle = float(first.get("x")) + float(first.get("width"))
    assert high - middle == pytest.approx(middle - low, abs=0.11)  # 3 and 5 around 4
    assert ET.fromstring(svg).get("aria-label") == "said"
    assert "not measured" in svg


def test_a_goal_is_drawn_in_its_place():
    svg = bars([Estimate(0, "a", 2.0, 2.0, 2.0)], spoken="", axis="sharpness", goal=1.0)
    (goal,) = shapes(svg, "path", "goal")
    (bar,) = shapes(svg, "rect", "bar")
    place = float(re.match(r"M([\d.]+)", goal.get("d"))[1])
    assert place == pytest.approx(float(bar.get("x")) + float(bar.get("width")) / 2, abs=0.11)


def test_differences_stand_on_their_side_of_0():
    rows = [Estimate(0, "worse", 2.0, 1.0, 3.0), Estimate(1, "better", -1.0, -2.0, 0.5)]
    svg = differences(rows, spoken="", axis="", good="left")
    zero = float(re.match(r"M([\d.]+)", shapes(svg, "path", "zero")[0].get("d"))[1])
    worse, better = (float(re.match(r"M([\d.]+)", mark.get("d"))[1]) for mark in shapes(svg, "path", "marker"))
    assert better < zero < worse
    assert (worse - zero) == pytest.approx(2 * (zero - better), abs=0.3)
    assert [found.text for found in shapes(svg, "text", "value")] == ["+2.00", "\u22121.00"]
    sides = [found.text for found in shapes(svg, "text", "side")]
    assert sides == ["\u2190 better", "worse \u2192"]
    assert shapes(differences(rows, spoken="", axis="", good=None), "text", "side") == []


def test_what_has_no_interval_is_hollow_and_has_no_whisker():
    one = [Estimate(0, "a", 2.0)]
    for svg in (
        bars(one, spoken="", axis=""),
        differences(one, spoken="", axis="", good="left"),
        curves([one], ["0-10 %"], spoken="", axis="", across=""),
    ):
        assert shapes(svg, "path", "whisker") == []
        assert len([*shapes(svg, "path", "hollow"), *shapes(svg, "rect", "hollow")]) == 1
        assert "fewer than 10 photos" in svg
    svg = scatter([Point(0, "a", 0.1, 2.0, 0.05, 0.2)], spoken="", axis="", across="")
    assert len(shapes(svg, "path", "whisker")) == 1  # of the seconds
    assert len(shapes(svg, "path", "hollow")) == 1
    svg = scatter([Point(0, "a", 0.1, 2.0, 0.05, 0.2, 1.5, 2.5)], spoken="", axis="", across="")
    assert len(shapes(svg, "path", "whisker")) == 2
    assert shapes(svg, "path", "hollow") == []


def test_curves_break_where_nothing_was_measured():
    gap = [Estimate(0, "a", 1.0), Estimate(0, "a", None), Estimate(0, "a", 3.0), Estimate(0, "a", 2.0)]
    svg = curves([gap], ["0-10 %", "10-20 %", "20-30 %", "<30 %"], spoken="", axis="y", across="x")
    line = shapes(svg, "path", "curve")[-1].get("d")
    assert [letter for letter in line if letter.isalpha()] == ["M", "M", "L"]
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line)]
    assert heights[1] < heights[2] < heights[0]  # 3 above 2 above 1
    assert "<30 %" in [found.text for found in ET.fromstring(svg).iter("text")]


def test_seconds_lie_on_a_logarithmic_axis():
    points = [Point(i, f"m{i}", x, 1.0 + i, x, x, 1.0 + i, 1.0 + i) for i, x in enumerate((0.01, 0.1, 1.0))]
    svg = scatter(points, spoken="", axis="", across="")
    places = [float(re.match(r"M([\d.]+)", mark.get("d"))[1]) for mark in shapes(svg, "path", "marker")]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.11)
    names = shapes(svg, "text", "name")
    assert len({(name.get("x"), name.get("y")) for name in names}) == 3


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("count", [1, 3, 13])
def test_every_mark_lies_inside_the_drawing(scale, count):
    rows = [
        Estimate(i, f"<method & number> {i}", scale * (i - 1), scale * (i - 1.5), scale * (i - 0.5))
        for i in range(count)
    ]
    points = [Point(r.index, r.label, 10.0 ** (r.index / 2 - 3), r.mean, 0.0005, 9e3, r.low, r.high) for r in rows]
    charts = [
        bars(rows, spoken="<&>", axis="a<b", goal=1.0),
        differences(rows, spoken="<&>", axis="a<b", good="right"),
        curves([[row, row] for row in rows], ["0-10 %", "60-100 %"], spoken="<&>", axis="a<b", across="&"),
        scatter(points, spoken="<&>", axis="a<b", across="&"),
    ]
    for svg in charts:
        height = drawn_height(svg)
        for mark in (*shapes(svg, "path", "marker"), *shapes(svg, "path", "grid")):
            x, y = map(float, re.match(r"M([-\d.]+) ([-\d.]+)", mark.get("d")).groups())
            assert 0 <= x <= WIDTH
            assert 0 <= y <= height


def test_equal_values_have_an_axis_too():
    for value in (0.0, 5.0, -5.0):
        rows = [Estimate(0, "a", value, value, value)]
        for svg in (bars(rows, spoken="", axis=""), curves([rows], ["x"], spoken="", axis="", across="")):
            assert "nan" not in svg
            ET.fromstring(svg)


def test_methods_differ_in_colour_or_dash():
    assert len({swatch(index) for index in range(30)}) == 30
