"""The load test's parts that need no service: whose answer it is, who waits, what counts as growth, the report."""

import cv2
import httpx
import numpy as np
import pytest

import reports
import serve_load as load
from inpaintkit.errors import InpaintError


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def filled(number: int) -> np.ndarray:
    """The answer a service should give: any colour in the hole, nothing else changed."""
    pixels = load.draw(number)
    top, left, height, width = load.hole_of(*pixels.shape[:2])
    pixels[top : top + height, left : left + width] = (1, 2, 3)
    return pixels


def test_photos_differ_in_size_and_colour():
    numbers = range(load.SIZES**2)
    assert len({load.size_of(number) for number in numbers}) == len(numbers)
    assert len({load.colour_of(number) for number in range(3000)}) == 3000
    assert not np.array_equal(load.draw(0), load.draw(load.SIZES**2)[: load.LEAST_PX, : load.LEAST_PX])


def test_an_answer_is_known_by_its_known_pixels():
    for number in (0, 1, 24, 199):
        assert load.is_answer_to(number, png(filled(number)))
        assert load.is_answer_to(number, png(load.draw(number)))
        assert not load.is_answer_to(number + 1, png(filled(number)))
    assert not load.is_answer_to(load.SIZES**2, png(filled(0)))  # the same size, another colour
    spoilt = filled(3)
    spoilt[0, 0, 2] += 1
    assert not load.is_answer_to(3, png(spoilt))
    assert not load.is_answer_to(3, b"no picture")


def client_of(*answers: httpx.Response | Exception) -> httpx.Client:
    """A client whose service gives these answers, one after the other."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return httpx.Client(transport=httpx.MockTransport(answer))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited; nothing is."""
    found: list[float] = []
    monkeypatch.setattr(load.time, "sleep", found.append)
    return found


def test_who_is_refused_waits_as_told(pauses):
    busy = httpx.Response(429, headers={"Retry-After": "3"})
    good = httpx.Response(200, content=png(filled(5)))
    asked = load.ask("http://service/", 5, client_of(busy, busy, good))
    assert (asked.kind, asked.busy, asked.hasty, pauses) == ("good", 2, 0, [3.0, 3.0])
    assert load.ask("http://service/", 5, client_of(httpx.Response(429), good)).hasty == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, content=png(filled(6))), "mixed up"),
        (httpx.Response(503), "refused"),
        (httpx.Response(500), "500"),
        (httpx.ConnectError("no"), "refused"),
        (httpx.ReadError("cut off"), "lost"),
        (httpx.ReadTimeout("late"), "lost"),
    ],
)
def test_ends_of_a_request_by_kind(answer, kind):
    assert load.ask("http://service/", 5, client_of(answer)).kind == kind


def test_a_request_that_is_always_refused_is_lost(pauses, monkeypatch):
    monkeypatch.setattr(load, "BUSY_TRIES", 3)
    asked = load.ask("http://service/", 0, client_of(*[httpx.Response(429, headers={"Retry-After": "1"})] * 3))
    assert (asked.kind, asked.busy) == ("lost", 3)


def test_what_became_of_many_requests_in_numbers():
    asked = [load.Asked(n, "good", seconds=n) for n in (1, 2, 6)] + [load.Asked(4, "lost", seconds=9, busy=2)]
    facts = load.Result(4, 2.0, asked).facts()
    assert (facts["a_second"], facts["median_s"], facts["slowest_s"], facts["busy"]) == (1.5, 4, 9, 2)
    assert facts["kinds"] == {"good": 3, "lost": 1}


def test_growth_counts_after_the_first_quarter():
    flat = [(float(second), 900.0 if second > 20 else 100.0) for second in range(0, 101, 5)]
    found = load.growth(flat)
    assert (found["first_mb"], found["early_mb"], found["late_mb"], found["most_mb"]) == (100, 900, 900, 900)
    assert found["mb_a_minute"] == pytest.approx(0, abs=1e-9)
    rising = load.growth([(float(second), 100.0 + second) for second in range(0, 401, 5)])
    assert rising["mb_a_minute"] == pytest.approx(60)
    assert rising["late_mb"] - rising["early_mb"] > load.GROWTH_MB
    with pytest.raises(InpaintError, match="keep the service up longer"):
        load.growth(flat[:3])


def row(**more) -> dict:
    return {**load.Result(1, 2.0, [load.Asked(0, "good", seconds=0.5)]).facts(), **more}


def report() -> dict:
    course = [(60.0 * minute, 200.0) for minute in range(21)]
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
        "model": "default",
        "quick": False,
        "load": {"rows": {"one at a time": row(), "together": row(), "short queue": row(busy=3)}, "ratio": 1.2},
        "term": {
            **row(kinds={"good": 9, "refused": 2}),
            "queue_then": 5,
            "answered_after": 5,
            "status": 0,
            "end_s": 1.0,
        },
        "editor": {
            "megapixels": 12,
            "hole_px": 200,
            "bare_s": 0.2,
            "whole_s": 0.25,
            "told_s": 0.24,
            "inside_s": 0.2,
            "ratio": 1.25,
        },
        "cold": {"megapixels": 12, "hole_px": 300, "median_s": 2.1, "first_s": 3.0},
        "soak": {"minutes": 20, "kinds": {"good": 99, "busy": 1}, "course": course, **load.growth(course)},
    }


def test_aims_are_met_or_not():
    aims = load.compare_with_aims(report())
    assert [each["met"] for each in aims] == [True, True, True, False]
    slower = report()
    slower["load"]["ratio"], slower["editor"]["ratio"], slower["editor"]["whole_s"] = 0.99, 1.31, 0.41
    assert [each["met"] for each in load.compare_with_aims(slower)] == [False] * 4
    nothing = {**report(), **{part: {} for part in load.PARTS}}
    assert load.compare_with_aims(nothing) == []
    assert load.fault(nothing) == ""


def test_nothing_is_wrong_with_a_good_report():
    assert load.fault(report()) == ""


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("together", {"kinds": {"good": 1, "mixed up": 2}}, "together: 2 answers mixed up"),
        ("together", {"kinds": {"refused": 1}}, "1 answers refused"),
        ("short queue", {"busy_without_retry_after": 1}, "without Retry-After"),
        ("short queue", {"busy": 0}, "nobody was refused"),
        ("term", {"kinds": {"good": 1, "lost": 1}}, "SIGTERM: 1 answers lost"),
        ("term", {"status": -9}, "ended with status -9"),
        ("term", {"answered_after": 0}, "nothing was under way"),
        ("soak", {"kinds": {"lost": 1}}, "soak: 1 answers lost"),
        ("soak", {"late_mb": 251.0}, "memory grew from 200 to 251 MB"),
    ],
)
def test_faults_are_found(part, change, said):
    wrong = report()
    (wrong["load"]["rows"] if part in wrong["load"]["rows"] else wrong)[part].update(change)
    assert said in load.fault(wrong)


def test_the_report_as_tables():
    whole = report()
    page = load.markdown({**whole, "aims": load.compare_with_aims(whole)})
    assert "| together | 1 | 1 | 0.50 | 0.500 | 0.500 | 1 good | 0 |" in page
    assert "SIGTERM with 5 fills waiting: 9 good, 2 refused; 5 were answered after it, status 0" in page
    assert "| 0.200 | 0.250 | 0.240 | 0.200 | 1.25 |" in page
    assert "| cold fill, whole process, s | 2 | 2.10 | no |" in page
    assert "20 minutes: 1 busy, 99 good. 200 MB in the second quarter, 200 MB in the last" in page
    widths = {block: {line.count("|") for line in block.splitlines()} for block in page.split("\n\n") if "|--" in block}
    assert len(widths) == 4
    assert all(len(counts) == 1 for counts in widths.values())
    assert reports.QUIET_LOAD > 0


def test_options_of_a_rehearsal_and_parts():
    assert load.parse([]).parts == ["load", "term", "editor", "cold"]
    assert load.parse(["--soak", "20"]).parts == list(load.PARTS)
    quick = load.parse(["--quick"])
    assert (quick.requests, quick.megapixels, quick.rounds) == (32, 2, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--parts", "soak"),
        ("--parts", "load", "--soak", "1"),
        ("--soak", "-1"),
        ("--together", "65"),
        ("--requests", "1"),
    ],
)
def test_wrong_options_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        load.parse(wrong)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_a_mask_is_cut_to_what_is_marked(tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[10:14, 20:27] = 255
    path = tmp_path / "mask.png"
    path.write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    content, place = load.cut_mask(path)
    part = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert place == (10, 20)
    assert part.shape == (4, 7)
    assert (part == 255).all()
    assert np.array_equal(part, cv2.imdecode(np.frombuffer(load.white_png(4, 7), np.uint8), cv2.IMREAD_GRAYSCALE))
