"""A study gives nothing away, its key knows everything, and answers are counted by hand-worked rules."""

import base64
import json
import re

import numpy as np
import pytest
from skimage import data

from inpaintkit.errors import DataError, PhotoError
from inpaintkit.evaluation.page.study import MOST_PHOTOS, judge_answers, write_study

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


def answers_file(tmp_path, key: dict, answers: list, name: str = "answers.json", judge: str = "J"):
    path = tmp_path / name
    found = {"schema": 1, "what": "study answers", "study": key["study"], "judge": judge, "answers": answers}
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
    assert found["methods"]["a"] == {
        "answers": 3,
        "hits": one_of_three,
        "misses": one_of_three,
        "elsewhere": one_of_three,
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
