"""The page is one well-formed file that shows the report's numbers, believes no name, and asks the network nothing."""

import base64
import copy
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from inpaintkit.errors import PhotoError
from inpaintkit.evaluation.page import write_page
from inpaintkit.evaluation.page.markup import amount, decimals_for, element, number, script_data, text
from inpaintkit.evaluation.page.pictures import (
    best_of,
    difference_colours,
    difference_picture,
    most_spread_first,
    shrunk,
)

VOID = {"meta", "link", "img", "br", "input"}
LOADS = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


class Reader(HTMLParser):
    """Walks a page: its elements with their attributes, and the text in each; faults in `faults`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict]] = []
        self.elements: list[tuple[str, dict]] = []
        self.text: list[tuple[list[str], str]] = []
        self.faults: list[str] = []
        self.feed(page)
        self.close()
        self.faults += [f"{tag} is never closed" for tag, _ in self.open]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.faults.append(f"{tag} has an attribute twice: {names}")
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))  # inside SVG

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        self.text.append(([tag for tag, _ in self.open], data))

    def all(self, tag: str, **wanted: str) -> list[dict]:
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]

    def words(self) -> str:
        return "".join(data for tags, data in self.text if not {"script", "style"} & set(tags))

    def embedded(self) -> dict:
        (data,) = [data for tags, data in self.text if tags[-1:] == ["script"] and data.startswith("{")]
        return json.loads(data)


@pytest.fixture
def page(sample, tmp_path) -> str:
    return write(sample, tmp_path)


def write(sample, tmp_path, cases=None) -> str:
    chosen = range(len(sample.report["cases"])) if cases is None else cases
    return write_page(tmp_path / "page.html", sample.report, sample.picture, chosen).read_text(encoding="utf-8")


def test_it_is_well_formed(page):
    reader = Reader(page)
    assert reader.faults == []
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    known = set(ids)
    pointers = ("aria-labelledby", "aria-describedby", "for")
    assert {found[key] for _, found in reader.elements for key in pointers if key in found} <= known
    assert {found["href"][1:] for found in reader.all("a") if found["href"].startswith("#")} <= known
    assert len(reader.all("h1")) == 1
    assert all(image.get("alt") and image.get("width") and image.get("height") for image in reader.all("img"))
    assert all(chart.get("aria-label") for chart in reader.all("svg", role="img"))


def test_it_loads_nothing(page):
    reader = Reader(page)
    (policy,) = reader.all("meta", **{"http-equiv": "Content-Security-Policy"})
    allowed = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    assert policy["content"] == allowed
    loaded = [value for _, found in reader.elements for key, value in found.items() if key in LOADS]
    assert loaded
    assert [value for value in loaded if not value.startswith(("data:", "#"))] == []
    assert re.findall(r"https?:|url\(|@import|\bfetch\(|XMLHttpRequest|[\"'(]//", page) == []


def test_names_cannot_break_out(sample, page):
    reader = Reader(page)
    assert not [found for _, found in reader.elements if any(key.startswith("on") for key in found)]
    assert [found for found in reader.all("img") if found["src"] == "x"] == []
    assert "i" not in {tag for tag, _ in reader.elements}
    assert len(re.findall(r"<script", page)) == len(re.findall(r"</script", page)) == 2
    for given in (sample.hostile, "boxes <1>", "Three & <more> methods", "photos <of> scikit-image", "no <weights>"):
        assert given in reader.words()
    assert "it gave <NaN> & nothing else" in reader.words()
    assert "a \u202egnp.<b>photo</b>\ufffd\ufffd.png" in reader.words()  # half a pair and a bell cannot be written
    assert sample.hostile in reader.embedded()["methods"]


def test_the_same_report_gives_the_same_bytes(sample, tmp_path, page):
    assert write(copy.deepcopy(sample), tmp_path) == page


def test_the_tables_hold_the_reports_numbers(sample, page):
    rows = re.findall(r'<tr><th scope="row" data-value="([^"]*)">.*?</tr>', page, flags=re.DOTALL)
    assert rows.count("telea") == 3  # two groups and the costs
    for table in sample.report["tables"]:
        for row in table["rows"]:
            for metric in ("hole_l1", "hole_psnr"):
                stated = row["metrics"][metric]
                shown = f'data-value="{stated["mean"]!r}" title="median {stated["median"]:.2f}">'
                assert shown in page
                ends = "fewer than 10 photos"
                if table["group"] == "centre 48":
                    ends = f"{stated['low']:.2f} to {stated['high']:.2f}"
                assert f'<span class="interval">{ends}</span>' in page.split(shown, 1)[1].split("</td>", 1)[0]


def test_what_has_no_interval_says_so_and_is_not_drawn_as_certain(sample, page):
    assert "none for fewer than 10 photos" in Reader(page).words()
    assert "None" not in page
    panels = re.findall(r'<details class="panel" data-metric="hole_l1".*?</figure></div></details>', page, re.DOTALL)
    without, with_ = (panel.split("<h2", 1)[0] for panel in panels)
    assert 'class="bar hollow"' in without
    assert 'class="marker hollow"' in without
    assert 'class="whisker bold"' not in without
    assert 'class="bar hollow"' not in with_
    assert with_.count('class="whisker bold"') == 3 * 2  # three references, two methods beside each
    assert without.count("(fewer than 10 photos)") > 10  # spoken


def test_differences_of_distances_say_so_and_have_a_better_side(sample, tmp_path):
    """Nearer to the goal is better whichever side of it: less is better although sharpness has no lower or higher."""
    report = sample.report
    for row in report["tables"][0]["rows"]:
        row["metrics"]["sharpness"] = {"mean": 0.5, "low": None, "high": None, "median": 0.5, "photos": 4}
    report["differences"] = [
        {"group": "boxes <1>", "metric": "sharpness", "of": "distance to 1", "method": "mean colour"}
        | {"reference": "telea", "mean": -0.5, "low": -0.75, "high": -0.25, "photos": 12}
    ]
    page = write(sample, tmp_path)
    words = Reader(page).words()
    assert "distance to 1, |ln|: method less telea" in words
    assert "Differences in sharpness (distance to 1, |ln|), photo by photo" in words
    assert words.count("\u2190 better") == words.count("worse \u2192") == 2  # one chart for each as the reference
    assert "Geometric mean sharpness" in words
    assert "+0.500+0.250 to +0.750" in words  # the other way round
    assert report["metrics"][0]["average"] == "arithmetic"
    report["differences"][0] |= {"metric": "hole_l1", "of": "distance to the photo's own"}
    assert "distance to the photo's own, %: method less telea" in Reader(write(sample, tmp_path)).words()


def test_the_best_mean_is_marked(sample, page):
    marked = re.findall(r'<td data-value="([^"]*)" title="[^"]*"><strong class="best">', page)
    expected = []
    for table in sample.report["tables"]:
        for metric, best in (("hole_l1", min), ("hole_psnr", max)):
            expected.append(repr(best(row["metrics"][metric]["mean"] for row in table["rows"])))
    assert marked == expected


def test_failures_and_the_known_check_are_shown(page):
    words = Reader(page).words()
    assert "1 failed" in words
    assert "killed <for> memory" in words
    assert "defect" not in words


def test_a_changed_known_pixel_is_a_defect(sample, tmp_path):
    sample.report["scores"]["telea"][0]["known_changed"] = 7
    sample.report["tables"][0]["rows"][0]["known_changed"] = 7
    assert write(sample, tmp_path).count('<strong class="bad">7 ') == 2  # in the head and in the table


def test_every_metric_is_defined_and_every_absent_one_explained(sample, page):
    reader = Reader(page)
    for metric in sample.report["metrics"]:
        assert {"id": f"def-{metric['name']}"} in reader.all("dt")
        assert metric["definition"] in reader.words()
        assert metric["source"] in reader.words()
    assert "LPIPS: no <weights> were given" in reader.words()


def test_charts_are_xml_and_each_stands_beside_numbers(sample, page):
    charts = re.findall(r'<svg class="chart".*?</svg>', page, flags=re.DOTALL)
    # Two groups of two metrics: bars, scatter, one chart for each of three references, area, depth.
    assert len(charts) == 2 * 2 * 7
    for chart in charts:
        ET.fromstring(chart)
    assert len(re.findall(r"<summary>Numbers</summary>", page)) == 2 * 2 * 3
    assert 'data-metric="sharpness" data-group' not in page  # measured nowhere: no panel


def test_a_reference_is_any_method(sample, page):
    (stated,) = [
        each
        for each in sample.report["differences"]
        if (each["group"], each["metric"], each["method"]) == ("centre 48", "hole_l1", "mean colour")
        and each["reference"] == "telea"
    ]
    assert f'data-value="{stated["mean"]!r}"' in page
    assert f'data-value="{-stated["mean"]!r}"' in page


def test_pictures_are_those_of_the_report(sample, page):
    reader = Reader(page)
    images = {found["alt"]: found["src"] for found in reader.all("img")}
    cases = len(sample.report["cases"])
    assert len(reader.all("button")) == cases * 5 - 1  # photo, input and three fills; one fill failed
    mask = decoded(images["The mask of astronaut.png, white is missing"])
    assert {tuple(pixel) for pixel in mask.reshape(-1, 3)} == {(0, 0, 0), (255, 255, 255)}
    fill = decoded(images["astronaut.png filled by telea"]).astype(float)
    wanted = sample.pictures[5, "telea"].astype(float)
    assert np.abs(fill - wanted).mean() < 6  # quality 85


def decoded(uri: str) -> np.ndarray:
    head, content = uri.split(",", 1)
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def test_pictures_of_large_photos_are_shrunk(sample, tmp_path):
    for what in ("truth", "shown", "hole", "telea", sample.hostile, "mean colour"):
        sample.pictures[5, what] = sample.pictures[5, what].repeat(10, axis=0).repeat(15, axis=1)
    page = write(sample, tmp_path, cases=[4, 5])
    images = {found["alt"]: found for found in Reader(page).all("img")}
    own = {alt: found for alt, found in images.items() if "astronaut.png" in alt}
    assert len(own) == 1 + 1 + 1 + 3 + 3  # photo, mask, input, fills and their differences
    assert {(found["width"], found["height"]) for found in own.values()} == {("768", "512")}
    mask = decoded(own["The mask of astronaut.png, white is missing"]["src"])
    assert mask.shape == (512, 768, 3)
    assert set(np.unique(mask)) == {0, 255}
    truth = decoded(own["The photo astronaut.png"]["src"]).astype(float)
    assert np.abs(truth.mean(axis=(0, 1)) - sample.pictures[5, "truth"].mean(axis=(0, 1))).max() < 2
    assert "The pictures of 1 of them are larger than 768 pixels and stand here shrunk" in page
    assert "shrunk to that" not in write(sample, tmp_path, cases=[4])


def test_shrinking_keeps_the_shape_and_averages():
    wide = np.zeros((10, 1536, 3), np.uint8)
    wide[:, ::2] = 200
    assert shrunk(wide).shape == (5, 768, 3)
    assert np.unique(shrunk(wide)).tolist() == [100]
    hole = np.zeros((2000, 3), bool)
    hole[1000:] = True
    assert (shrunk(hole).shape, shrunk(hole).dtype, shrunk(hole).mean()) == ((768, 1), np.bool_, 0.5)
    small = np.zeros((768, 768, 3), np.uint8)
    assert shrunk(small) is small


def test_a_photo_that_cannot_be_read_leaves_the_others(sample, tmp_path):
    good = sample.picture

    def picture(index, what):
        if index == 2:
            raise PhotoError("'c.png' is truncated")
        return good(index, what)

    sample.report["cases"][2] |= {"hole_ratio": None, "depth_px": None, "area_bin": None, "depth_bin": None}
    for scores in sample.report["scores"].values():
        scores[2] = {"error": "'c.png' is truncated"}
    page = write_page(tmp_path / "a.html", sample.report, picture, range(len(sample.report["cases"]))).read_text(
        encoding="utf-8"
    )
    assert Reader(page).faults == []
    assert "&#39;c.png&#39; is truncated" in page
    assert "filled by telea" in page


def test_a_report_without_costs_or_pictures(sample, tmp_path):
    sample.report |= {"costs": None, "costs_conditions": None, "differences": [], "absent": []}
    reader = Reader(write(sample, tmp_path, cases=[]))
    assert reader.faults == []
    assert reader.all("img") == []
    assert not {"costs", "pictures"} & {found.get("id") for found in reader.all("section")}
    assert "#pictures" not in {found["href"] for found in reader.all("a")}


def test_the_photos_own_values_stand_below_the_methods(sample, tmp_path):
    own = {"mean": 3.875, "low": 3.5, "high": 4.25, "median": 4.0, "photos": 8}
    sample.report["tables"][0]["truth"] = {sample.report["metrics"][0]["name"]: own}
    page = write(sample, tmp_path)
    assert Reader(page).faults == []
    (row,) = re.findall(r"<tfoot>(.*?)</tfoot>", page)
    assert "the photos themselves" in row
    assert 'data-value="3.875"' in row
    assert row.count("<td") + row.count("<th") == page.split("</thead>", 1)[0].split("<thead>", 1)[1].count("<th ")


def test_distributions_are_defined_by_their_network(sample, tmp_path):
    kid = sample.report["metrics"][0] | {"name": "kid", "label": "KID (a network)", "definition": "Of features."}
    sample.report["distribution_metrics"] = [kid]
    page = write(sample, tmp_path)
    assert "KID (a network)" in page.split("<tbody>", 1)[0]
    assert 'id="def-kid"' in page


def test_who_failed_on_some_photos_has_not_won(sample, tmp_path):
    rows = sample.report["tables"][0]["rows"]
    name = sample.report["metrics"][0]["name"]
    for row, mean, photos in zip(rows, (3.0, 2.0, 1.0), (8, 8, 5), strict=True):
        row["metrics"][name] = {"mean": mean, "low": None, "high": None, "median": mean, "photos": photos}
    first = write(sample, tmp_path).split('class="sortable results"', 1)[1].split("</table>", 1)[0]
    assert 'class="best">2' in first.replace(".00", "")


def test_one_method_alone(sample, tmp_path):
    sample.report["methods"] = sample.report["methods"][:1]
    for table in (*sample.report["tables"], *sample.report["by_area"], *sample.report["by_depth"]):
        table["rows"] = table["rows"][:1]
    sample.report |= {"scores": {"telea": sample.report["scores"]["telea"]}, "differences": []}
    page = write(sample, tmp_path)
    assert Reader(page).faults == []
    assert "worst first" in page
    assert 'class="best">' not in page.split("<tbody>", 1)[1]  # nothing to be better than


def test_only_the_pictures_shown_are_asked_for(sample, tmp_path):
    page = write(sample, tmp_path, cases=[6, 1])
    assert {index for index, _ in sample.asked} == {1, 6}
    assert "2 of 8 cases" in page


# ---- which photos ----------------------------------------------------------------------------------------------------


def made(values: list[tuple[float, float] | None], bins: list[str]) -> dict:
    """A report of two methods with these hole L1 values; None = the second failed."""
    first = [{"hole_l1": pair[0] if pair else 1.0} for pair in values]
    second = [{"hole_l1": pair[1]} if pair else {"error": "no"} for pair in values]
    return {
        "methods": [{"label": "a"}, {"label": "b"}],
        "metrics": [{"name": "hole_l1"}],
        "cases": [{"group": "g", "area_bin": name} for name in bins],
        "scores": {"a": first, "b": second},
    }


def test_most_disagreement_comes_first():
    report = made([(0.0, 2.0), (0.0, 9.0), None, (4.0, 0.0)], ["x"] * 4)
    assert most_spread_first(report, range(4)) == [1, 3, 0, 2]
    assert most_spread_first(report, [3, 0, 3]) == [3, 0]


def test_a_page_without_a_folder_is_refused(sample, tmp_path):
    with pytest.raises(PhotoError, match="cannot write"):
        write_page(tmp_path / "none" / "a.html", sample.report, sample.picture, [0])


def test_the_difference_has_its_colour_inside_the_hole_only():
    truth = np.full((2, 2, 3), 100, dtype=np.uint8)
    filled = truth.copy()
    filled[0, 0] = 100 + 64  # 25 % of the range is the end of the scale
    filled[0, 1] = 100 - 32
    filled[1, 0] = 200
    hole = np.array([[True, True], [False, True]])
    drawn = difference_picture(truth, filled, hole)
    colours = difference_colours()
    assert drawn[0, 0].tolist() == colours[255].tolist()
    assert drawn[0, 1].tolist() == colours[128].tolist()  # 32 / 255 / 0.25 * 255
    assert drawn[1, 1].tolist() == colours[0].tolist()
    assert drawn[1, 0].tolist() == [120, 120, 120]


def test_the_colours_grow_lighter():
    luma = difference_colours() @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(luma) > -0.6).all()
    assert luma[-1] - luma[0] > 200


# ---- words and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "better", "best"),
    [
        ({"a": 2.0, "b": 1.0}, "lower", {"b"}),
        ({"a": 2.0, "b": 1.0, "c": 2.0}, "higher", {"a", "c"}),
        ({"a": 1.3, "b": 0.8, "c": None}, "one", {"b"}),
        ({"a": 0.5, "b": 1.6}, "one", {"b"}),  # a half is as far from 1 as twice
        ({"a": 0.0, "b": 3.0}, "one", {"b"}),
        ({"a": 2.0, "b": 1.0}, "truth", set()),
        ({"a": 2.0, "b": None}, "lower", set()),
    ],
)
def test_best(values, better, best):
    assert best_of(values, better) == best


@pytest.mark.parametrize(
    ("value", "digits", "sign", "shown"),
    [
        (1.005, 1, False, "1.0"),
        (-0.25, 2, True, "\u22120.25"),
        (0.25, 2, True, "+0.25"),
        (-0.0004, 2, True, "0.00"),
        (None, 2, False, "\u2013"),
        (float("nan"), 2, False, "\u2013"),
    ],
)
def test_numbers(value, digits, sign, shown):
    assert number(value, digits, sign=sign) == shown


@pytest.mark.parametrize(("value", "digits"), [(20.5, 2), (0.812, 3), (0.0123, 4), (0.00001, 5), (0.0, 2)])
def test_digits(value, digits):
    assert decimals_for([value, None]) == digits


@pytest.mark.parametrize(("value", "shown"), [(6_068_547, "6.07 M"), (999_900, "1 M"), (24e9, "24 G"), (12, "12")])
def test_amounts(value, shown):
    assert amount(value) == shown


def test_text_and_scripts_are_escaped():
    assert text("<a b='c'>&\"\x00") == "&lt;a b=&#39;c&#39;&gt;&amp;&quot;\ufffd"
    assert element("p", "x", class_="a", data_value="<", hidden=True, title=None) == (
        '<p class="a" data-value="&lt;" hidden="">x</p>'
    )
    written = script_data({"a": "</script><!--&\u2028"})
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == {"a": "</script><!--&\u2028"}
