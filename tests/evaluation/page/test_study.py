"""A study gives nothing away, its key knows everything, and answers are counted by hand-worked rules."""

import base64
import io
import itertools
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage import data

from inpaintkit.errors import DataError, PhotoError
from inpaintkit.evaluation.page.study import MOST_PHOTOS, READING, judge_answers, write_study

SIDE = 50
PHOTO = data.astronaut()


def drawn_items(count: int, methods: tuple[str, ...] = ("telea", "mean")) -> list:
    """Different crops of one photo, each with a box of 10 x 20 and fills in flat colours."""
    items = []
    for index in range(count):
        top, left = 4 * (index % 100), 30 * (index // 100)
        truth = np.ascontiguousarray(PHOTO[top : top + SIDE, left : left + SIDE])
        hole = np.zeros((SIDE, SIDE), dtype=bool)
        hole[20:30, 10:30] = True
        fills = {name: np.where(hole[..., None], np.uint8(40 * k + 30), truth) for k, name in enumerate(methods)}
        items.append((index, truth, hole, fills))
    return items


@pytest.fixture
def study(tmp_path):
    """Forty photos: the page's text, the key's path and content."""
    page, key = tmp_path / "study.html", tmp_path / "key.json"
    write_study(page, key, drawn_items(40), seed=3)
    return page.read_text(encoding="utf-8"), key, json.loads(key.read_text(encoding="utf-8"))


def answers_file(tmp_path, key: dict, answers: list, name: str = "answers.json", judge: str = "J", **more):
    path = tmp_path / name
    found = {"schema": 1, "what": "study answers", "study": key["study"], "judge": judge, "answers": answers, **more}
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_the_page_shows_pictures_and_no_truth(study):
    page, _, key = study
    assert len(re.findall(r"<img ", page)) == len(key["photos"]) == 40
    for word in ("telea", "mean<", 'mean"', "method", "seed", "case", "truth"):
        assert word not in re.sub(r"base64,[^\"]*", "", page)
    embedded = json.loads(re.search(r'id="data">(.*?)</script>', page, flags=re.DOTALL)[1])
    assert embedded == {"schema": 1, "study": key["study"], "sizes": [[SIDE, SIDE]] * 40}
    assert "default-src 'none'" in page
    assert re.findall(r"https?:", page) == []


def test_real_and_filled_pictures_are_encoded_alike(study):
    """Every picture is the same encoder's output for the pixels that the key says."""
    from inpaintkit.evaluation.page.markup import data_uri

    page, _, key = study
    items = drawn_items(40)
    uris = re.findall(r'<img src="([^"]*)" alt="Photo \d+" draggable="false" hidden>', page)
    for uri, entry in zip(uris, key["photos"], strict=True):
        _, truth, _, fills = items[entry["case"]]
        shown = truth if entry["method"] is None else fills[entry["method"]]
        assert uri == data_uri(shown, quality=95)
    heads = {base64.b64decode(uri.split(",", 1)[1])[8:16] for uri in uris}
    assert len(heads) == 1  # one kind of WebP


def test_odds_are_even_methods_are_drawn_evenly_and_the_order_is_mixed(study):
    _, _, key = study
    drawn = [entry["method"] for entry in key["photos"]]
    assert 10 < drawn.count(None) < 30
    assert abs(drawn.count("telea") - drawn.count("mean")) <= 1
    order = [entry["case"] for entry in key["photos"]]
    assert sorted(order) == list(range(40)) != order
    assert ["hole" in entry for entry in key["photos"]] == [method is not None for method in drawn]


def test_the_seed_decides(tmp_path, study):
    page, path, key = study
    write_study(tmp_path / "b.html", tmp_path / "b.json", drawn_items(40), seed=3)
    assert (tmp_path / "b.html").read_text(encoding="utf-8") == page
    assert (tmp_path / "b.json").read_bytes() == path.read_bytes()
    write_study(tmp_path / "c.html", tmp_path / "c.json", drawn_items(40), seed=4)
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["photos"] != key["photos"]


def test_one_study_says_nothing_of_the_next(tmp_path):
    """The same seed and count, one pixel of one fill changed: other photos are filled, in another order."""
    items = drawn_items(40)
    changed = drawn_items(40)
    changed[7][3]["mean"][25, 15, 0] ^= 1
    drawn = []
    for name, each in (("a", items), ("b", changed), ("c", drawn_items(40))):
        write_study(tmp_path / f"{name}.html", tmp_path / f"{name}.json", each, seed=0)
        photos = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))["photos"]
        drawn.append(([entry["method"] is None for entry in photos], [entry["case"] for entry in photos]))
    assert drawn[0] == drawn[2]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_two_photos_are_one_of_each_kind(tmp_path):
    for seed in range(8):
        write_study(tmp_path / "a.html", tmp_path / "a.json", drawn_items(2), seed=seed)
        photos = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["photos"]
        assert sorted(entry["method"] is None for entry in photos) == [False, True]
    write_study(tmp_path / "a.html", tmp_path / "a.json", drawn_items(1), seed=0)


def test_large_pictures_are_shrunk_alike_and_clicks_stay_in_pixels_of_the_original(tmp_path):
    """1536 x 600 becomes 1024 x 400, of real photos and fills; the page and the key speak of 1536 x 600."""
    rng = np.random.default_rng(0)
    hole = np.zeros((600, 1536), dtype=bool)
    hole[100:200, 300:600] = True
    items = []
    for index in range(2):
        truth = np.repeat(np.repeat(rng.integers(0, 256, (6, 16, 3), np.uint8), 100, axis=0), 96, axis=1)
        items.append((index, truth, hole, {"telea": np.where(hole[..., None], np.uint8(99), truth)}))
    write_study(tmp_path / "a.html", tmp_path / "a.json", items, seed=0)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    key = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    uris = re.findall(r'<img src="data:image/webp;base64,([^"]*)"', page)
    for uri, entry in zip(uris, key["photos"], strict=True):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))))
        assert shown.shape == (400, 1024, 3)
        _, truth, _, fills = items[entry["case"]]
        expected = truth if entry["method"] is None else fills["telea"]
        # The middle of the hole, and one row where rows of 1.5 px are averaged over an edge of the drawing.
        assert np.abs(shown[100, 300].astype(int) - expected[150, 450]).max() <= 6
        assert (entry["height"], entry["width"]) == (600, 1536)
    assert json.loads(re.search(r'id="data">(.*?)</script>', page, flags=re.DOTALL)[1])["sizes"] == [[1536, 600]] * 2
    answers = [None if entry["method"] is None else [590, 190] for entry in key["photos"]]
    found = judge_answers(tmp_path / "a.json", answers_file(tmp_path, key, answers))
    assert found["methods"]["telea"]["hits"]["count"] == 1


def test_a_photo_comes_once_and_100_are_enough(tmp_path):
    items = drawn_items(MOST_PHOTOS + 5)
    twice = [(500 + index, truth, hole, fills) for index, truth, hole, fills in items[:60]]
    write_study(tmp_path / "a.html", tmp_path / "a.json", [*items[:60], *twice], seed=0)
    cases = [entry["case"] % 500 for entry in json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["photos"]]
    assert sorted(cases) == list(range(60))
    write_study(tmp_path / "a.html", tmp_path / "a.json", items, seed=0)
    assert len(json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["photos"]) == MOST_PHOTOS


def test_a_study_without_fills_is_refused(tmp_path):
    items = [(index, truth, hole, {}) for index, truth, hole, _ in drawn_items(3)]
    with pytest.raises(DataError, match="no photo of the study"):
        write_study(tmp_path / "a.html", tmp_path / "a.json", items, seed=0)
    with pytest.raises(PhotoError, match="cannot write"):
        write_study(tmp_path / "no" / "a.html", tmp_path / "a.json", drawn_items(3), seed=0)


INSIDE = (20 * 10 + 2 * (20 + 10) * 1 + np.pi * 1**2) / 50**2
"""The share of `small_key`'s frame where a click counts as inside: the box and 1 px around it, corners round."""


@pytest.fixture
def small_key(tmp_path):
    """Four filled photos and two real ones; the hole is the box from (10, 20) to (30, 30) of 50 x 50."""
    hole = {"hole": [20 * 50 + 10, *[20, 30] * 9, 20, 20 * 50 + 20]}
    size = {"height": 50, "width": 50}
    photos = [{"case": i, "method": method, **size, **hole} for i, method in enumerate(("a", "a", "a", "b"))]
    photos += [{"case": i, "method": None, **size} for i in (4, 5)]
    key = {"schema": 1, "what": "study key", "study": "f" * 64, "seed": 0, "photos": photos}
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key), encoding="utf-8")
    return path, key


def test_answers_are_counted(tmp_path, small_key):
    path, key = small_key
    # Inside; 1.4 px aside (more than 2 % of 50 = 1 px); nothing seen; 1 px aside; a false alarm; rightly real.
    given = [[20, 25], [31.4, 25], "real", [20, 31], [3, 3], "real"]
    found = judge_answers(path, answers_file(tmp_path, key, given))
    one_of_three = {
        "count": 1,
        "share": 1 / 3,
        "low": pytest.approx(0.0615, abs=5e-5),
        "high": pytest.approx(0.7923, abs=5e-5),
    }
    a = found["methods"]["a"]
    assert a["answers"] == 3
    assert [a[name] for name in ("hits", "misses", "elsewhere")] == [one_of_three] * 3
    assert a["called_filled"]["count"] == 2
    # Two of three were clicked.
    assert a["hits_by_chance"] == pytest.approx(2 / 3 * INSIDE, abs=4e-4)
    # 2/3 (0.2077 to 0.9385) less 1/2 (0.0945 to 0.9055): reach down and up by Pythagoras.
    assert a["sensitivity"] == {
        "difference": pytest.approx(1 / 6),
        "low": pytest.approx(1 / 6 - np.hypot(2 / 3 - 0.2077, 0.9055 - 1 / 2), abs=2e-4),
        "high": pytest.approx(1 / 6 + np.hypot(0.9385 - 2 / 3, 1 / 2 - 0.0945), abs=2e-4),
    }
    # Wilson for 1 of 1: 1 / (1 + 1.96^2) to 1.
    all_of_one = {"count": 1, "share": 1.0, "low": pytest.approx(1 / (1 + 3.841459), abs=1e-6), "high": 1.0}
    assert found["methods"]["b"]["hits"] == all_of_one
    assert found["real"]["answers"] == 2
    assert found["real"]["false_alarms"]["count"] == 1
    # 1 of 2: centre 1/2, reach z sqrt(1/8 + z^2/16) / (1 + z^2/2).
    assert found["real"]["false_alarms"]["low"] == pytest.approx(0.0945, abs=5e-5)
    assert found["answers"] == 6
    assert found["unanswered"] == 0
    assert found["judges"] == ["J"]


def test_chance_follows_the_holes_that_were_clicked(tmp_path, small_key):
    """Photo 1 has a hole of the whole frame: a click there is always inside, a photo not clicked counts for nothing."""
    path, key = small_key
    key["photos"][1]["hole"] = [0, 2500]
    path.write_text(json.dumps(key), encoding="utf-8")
    for given, chance in (
        ([None, [1, 1], "real", None, None, None], 1 / 2),
        ([[1, 1], "real", "real", None, None, None], INSIDE / 3),
        (["real", "real", "real", None, None, None], 0),
    ):
        found = judge_answers(path, answers_file(tmp_path, key, given))["methods"]["a"]
        assert found["hits_by_chance"] == pytest.approx(chance, abs=4e-4)
        assert found["sensitivity"] is None  # no untouched photo was answered


def seen(found: dict) -> tuple[bool, bool]:
    """What `READING` says of method "a": seen where it is, seen at all."""
    of = found["methods"]["a"]
    return of["hits"]["low"] > of["hits_by_chance"], of["sensitivity"]["low"] > 0


@pytest.mark.parametrize(
    ("on_filled", "on_real", "finds", "expected"),
    [
        # Clicks on all photos, at random: as many hits as the holes are large, and fewer than false alarms.
        (1.0, 1.0, 0.0, (False, False)),
        # Sees one fill of four, always in its place, and suspects as many untouched photos.
        (0.25, 0.25, 1.0, (True, False)),
        # Senses that a photo is filled, not where.
        (0.9, 0.1, 0.0, (False, True)),
        (0.1, 0.1, 0.0, (False, False)),
        (0.0, 0.0, 0.0, (False, False)),
    ],
)
def test_simulated_judges_are_read_rightly(tmp_path, on_filled, on_real, finds, expected):
    """Four hundred photos, half of them filled, and a hole of a seventh of the frame that is elsewhere in each."""
    rng = np.random.default_rng(5)
    photos, answers = [], []
    for index in range(400):
        top, left = (int(place) for place in rng.integers(0, 50 - 19, 2))
        hole = [50 * top + left, *[19, 31] * 18, 19, 2500 - 50 * (top + 18) - left - 19]
        size = {"case": index, "height": 50, "width": 50}
        filled = index % 2 == 0
        photos.append(size | ({"method": "a", "hole": hole} if filled else {"method": None}))
        click = [left + 9, top + 9] if filled and rng.random() < finds else rng.uniform(0, 50, 2).tolist()
        answers.append(click if rng.random() < (on_filled if filled else on_real) else "real")
    key = {"schema": 1, "what": "study key", "study": "e" * 64, "seed": 0, "photos": photos}
    (tmp_path / "key.json").write_text(json.dumps(key), encoding="utf-8")
    found = judge_answers(tmp_path / "key.json", answers_file(tmp_path, key, answers))
    assert seen(found) == expected
    assert found["reading"] == READING
    if not finds:
        assert found["methods"]["a"]["hits_by_chance"] == pytest.approx(
            found["methods"]["a"]["hits"]["share"], abs=0.05
        )


def test_chance_is_what_clicks_all_over_the_photo_find(tmp_path):
    """A round hole that runs out of the frame, and a click in the middle of each of 43 x 29 fields."""
    rows, columns = np.mgrid[:100, :150]
    hole = np.hypot(columns - 60, rows - 80) < 25
    runs = [len(list(run)) for _, run in itertools.groupby(hole.ravel().tolist())]
    clicks = [[150 * (x + 0.5) / 43, 100 * (y + 0.5) / 29] for y in range(29) for x in range(43)]
    photos = [{"case": 0, "method": "a", "height": 100, "width": 150, "hole": runs}] * len(clicks)
    key = {"schema": 1, "what": "study key", "study": "e" * 64, "seed": 0, "photos": photos}
    (tmp_path / "key.json").write_text(json.dumps(key), encoding="utf-8")
    found = judge_answers(tmp_path / "key.json", answers_file(tmp_path, key, clicks))["methods"]["a"]
    assert found["hits_by_chance"] == pytest.approx(found["hits"]["share"], abs=0.005)
    assert found["hits_by_chance"] > hole.mean() + 0.015


def test_the_tolerance_ends_where_it_says(tmp_path, small_key):
    path, key = small_key
    for x, hits in ((9.01, 1), (8.98, 0), (31.0, 1), (31.02, 0)):
        found = judge_answers(path, answers_file(tmp_path, key, [None, None, None, [x, 25], None, None]))
        assert found["methods"]["b"]["hits"]["count"] == hits, x


def test_judges_are_merged_and_gaps_count_nowhere(tmp_path, small_key):
    path, key = small_key
    one = answers_file(tmp_path, key, [[20, 25], None, None, None, "real", None], "one.json", "A")
    two = answers_file(tmp_path, key, ["real", [20, 25], None, None, "real", [1, 1]], "two.json", "B")
    found = judge_answers(path, [one, two])
    assert found["judges"] == ["A", "B"]
    assert (found["answers"], found["unanswered"]) == (6, 6)
    assert found["methods"]["a"]["hits"]["count"] == 2
    assert found["methods"]["a"]["misses"]["count"] == 1
    assert found["real"]["false_alarms"] | {"low": 0, "high": 0} == {"count": 1, "share": 1 / 3, "low": 0, "high": 0}
    assert "b" not in found["methods"]
    with pytest.raises(DataError, match="the same answers"):
        judge_answers(path, [one, one])


def test_judges_who_agree_are_two_and_one_judge_is_one(tmp_path, small_key):
    path, key = small_key
    one = answers_file(tmp_path, key, ["real"] * 6, "one.json", "", id="aa")
    two = answers_file(tmp_path, key, ["real"] * 6, "two.json", "", id="bb")
    old = answers_file(tmp_path, key, ["real"] * 6, "old.json", "")
    found = judge_answers(path, [one, two, old])
    assert found["answers"] == 18
    # The same judge saved twice, with an answer changed in between and another name.
    again = answers_file(tmp_path, key, ["real"] * 5 + [[1, 1]], "again.json", "Anna", id="aa")
    with pytest.raises(DataError, match=r"again\.json' and '.*one\.json' are of one judge"):
        judge_answers(path, [one, two, again])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b"{}",
        b'{"schema": 2}',
        b"[" * 100_000,
        b'{"schema": 1, "study": "other", "answers": []}',
        b'{"schema": 1, "study": "%s", "answers": []}' % (b"f" * 64),
        b'{"schema": 1, "study": "%s", "answers": 5}' % (b"f" * 64),
        b'{"schema": 1, "study": "%s", "judge": 3, "answers": [null,null,null,null,null,null]}' % (b"f" * 64),
        b'{"schema": 1, "study": "%s", "id": 3, "answers": [null,null,null,null,null,null]}' % (b"f" * 64),
        b'{"schema": 1, "study": "%s", "answers": ["filled",null,null,null,null,null]}' % (b"f" * 64),
        b'{"schema": 1, "study": "%s", "answers": [[1],null,null,null,null,null]}' % (b"f" * 64),
        b'{"schema": 1, "study": "%s", "answers": [[1, 50.5],null,null,null,null,null]}' % (b"f" * 64),
        b'{"schema": 1, "study": "%s", "answers": [[1, NaN],null,null,null,null,null]}' % (b"f" * 64),
        b'{"schema": 1, "study": "%s", "answers": [[true, 1],null,null,null,null,null]}' % (b"f" * 64),
    ],
)
def test_damaged_or_foreign_answers_are_refused_in_one_line(tmp_path, small_key, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        judge_answers(small_key[0], path)
    assert "bad.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def damaged(key: dict, **changes) -> dict:
    return key | {"photos": [key["photos"][0] | changes, *key["photos"][1:]]}


def test_a_damaged_key_is_refused(tmp_path, small_key):
    path, key = small_key
    given = answers_file(tmp_path, key, [None] * 6)
    broken = [{}, {**key, "photos": []}, {**key, "photos": [{"method": "a"}]}]
    broken += [
        damaged(key, hole=[1, 2]),
        damaged(key, hole=[2500]),
        damaged(key, hole=[-1, 2501]),
        damaged(key, method=3),
    ]
    broken += [damaged(key, hole="x"), damaged(key, height=None)]
    for content in broken:
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(DataError, match=r"key\.json"):
            judge_answers(path, given)
    with pytest.raises(DataError, match="No such file"):
        judge_answers(tmp_path / "none.json", given)


def test_no_answers_are_refused(small_key):
    with pytest.raises(DataError, match="no answers"):
        judge_answers(small_key[0], [])


def test_holes_survive_the_key(study, tmp_path):
    _, path, key = study
    place = next(i for i, entry in enumerate(key["photos"]) if entry["method"])
    for x, y, hits in ((10.5, 20.5, 1), (29.5, 29.5, 1), (35, 25, 0), (20, 15, 0)):
        answers = [None] * 40
        answers[place] = [x, y]
        found = judge_answers(path, answers_file(tmp_path, key, answers))
        assert found["methods"][key["photos"][place]["method"]]["hits"]["count"] == hits


# ---- in a browser ----------------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def opened(tmp_path):
    """A study of four photos in a browser on a telephone: its page, its key's path and content, and what went wrong."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    write_study(tmp_path / "study.html", tmp_path / "key.json", drawn_items(4), seed=0)
    faults: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 375, "height": 667}, has_touch=True)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else faults.append(asked.url),
        )
        page.goto((tmp_path / "study.html").as_uri())
        yield page, tmp_path / "key.json", json.loads((tmp_path / "key.json").read_text(encoding="utf-8"))
        browser.close()
    assert faults == []


def saved_by(page, path) -> dict:
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(path)
    return json.loads(path.read_text(encoding="utf-8"))


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth") == 375


def test_a_judge_answers_on_a_telephone_and_the_file_counts(opened, tmp_path):
    page, path, key = opened
    assert fits(page)
    page.locator("#judge").fill("Ann\N{LATIN SMALL LETTER E WITH ACUTE}")
    page.locator("#begin").tap()
    for entry in key["photos"]:
        box = page.locator("#frame").bounding_box()
        assert fits(page)
        assert page.locator("#next").is_disabled()
        if entry["method"] is None:
            page.locator("#none").tap()
        else:
            page.touchscreen.tap(box["x"] + box["width"] * 20 / SIDE, box["y"] + box["height"] * 25 / SIDE)
        page.locator("#next").tap()
    assert fits(page)
    said = saved_by(page, tmp_path / "one.json")
    assert re.fullmatch("[0-9a-f]{32}", said["id"])
    found = judge_answers(path, tmp_path / "one.json")
    assert found["judges"] == ["Ann\N{LATIN SMALL LETTER E WITH ACUTE}"]
    filled = sum(entry["method"] is not None for entry in key["photos"])
    assert sum(of["hits"]["count"] for of in found["methods"].values()) == filled
    assert found["real"]["false_alarms"]["count"] == 0
    # Saved once more, after a second thought: still the same judge, after a reload too.
    page.locator("#again").tap()
    page.locator("#none").tap()
    page.reload()
    page.locator("#begin").tap()
    page.locator("#finish").tap()
    assert saved_by(page, tmp_path / "two.json")["id"] == said["id"]
    with pytest.raises(DataError, match="of one judge"):
        judge_answers(path, [tmp_path / "one.json", tmp_path / "two.json"])


def test_a_second_judge_starts_anew(opened, tmp_path):
    """Who says no to the question keeps everything; who says yes is asked for a name and sees nothing of the first."""
    page, path, _ = opened
    assert page.locator("#anew").is_hidden()
    page.locator("#judge").fill("Anna")
    page.locator("#begin").click()
    for _ in range(4):
        page.keyboard.press("n")
        page.keyboard.press("Enter")
    saved_by(page, tmp_path / "one.json")
    page.reload()
    assert "answers of Anna to 4 of 4 photos" in page.locator("#kept").inner_text()
    assert page.locator("#bar").get_attribute("value") == "4"
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.locator("#anew").click()
    assert page.locator("#judge").input_value() == "Anna"
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.locator("#anew").click()
    assert len(asked) == 2
    assert page.locator("#judge").input_value() == ""
    assert page.locator("#anew").is_hidden()
    assert page.locator("#kept").is_hidden()
    assert page.locator("#bar").get_attribute("value") == "0"
    page.locator("#begin").click()
    for _ in range(4):
        assert page.locator("#none").get_attribute("aria-pressed") == "false"
        page.keyboard.press("n")
        page.keyboard.press("Enter")
    saved_by(page, tmp_path / "two.json")
    # Two judges without a word of difference but their names, and the second has none.
    found = judge_answers(path, [tmp_path / "one.json", tmp_path / "two.json"])
    assert found["judges"] == ["Anna", ""]
    assert found["answers"] == 8


def test_a_name_typed_before_starting_anew_stays(opened):
    page, _, _ = opened
    page.locator("#judge").fill("Anna")
    page.locator("#begin").click()
    page.keyboard.press("n")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.locator("#judge").fill("Ben")
    page.locator("#anew").click()
    assert page.locator("#judge").input_value() == "Ben"
    page.locator("#begin").click()
    assert page.locator("#progress").inner_text() == "Photo 1 of 4"
    assert page.locator("#said").inner_text() == "Where is the fill?"
