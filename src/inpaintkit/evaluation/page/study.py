"""A page for human judges: photos as they are and filled ones, and where, if anywhere, the judge sees the fill.

The page holds pictures and nothing else: which are filled, by what and where stands in a key of its own. Real and
filled pictures go the same way into the page: same pixels type, same encoder, same settings.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...errors import DataError
from ...photo import write_bytes
from ..statistics import wilson
from .markup import Pixels, data_uri, document, text

SCHEMA = 1
MOST_PHOTOS = 100
STUDY_QUALITY = 95
"""WebP quality of all pictures: their own traces of compression are gone, the fill is seen as it is."""

LONGEST_SIDE = 1024
"""Larger pictures are shrunk to this in the page, real and filled alike; clicks stay in pixels of the original."""

TOLERANCE_SHARE = 0.02
"""A click counts as inside the hole up to this share of the picture's shorter side away from it."""

READING = (
    "a method's fills were seen if the whole interval of its hits lies above its hits by chance, or that of its "
    "sensitivity above 0; if neither does, the study has not shown that they were, and its intervals say how much "
    "it may have missed"
)
"""How to read what `judge_answers` counts."""

Item = tuple[int, Pixels, np.ndarray, Mapping[str, Pixels]]
"""Case index, truth (H, W, 3), hole (H, W) True = missing, and the fills by their methods' labels."""


def write_study(path_html: str | Path, path_key: str | Path, items: Sequence[Item], *, seed: int) -> None:
    """Write a study of at most `MOST_PHOTOS` photos, each real or filled with even odds, and its key.

    A photo comes once, however many of the items have it. Which are taken, which are filled, and in which order they
    come is drawn from `seed` and the pictures themselves: the same comparison gives the same study, and whoever took
    part in one knows nothing of the next. Of two photos and more some are filled and some are not; every method fills
    as many as the others, give or take one. Keep the key away from the judges. Raises DataError without an item that
    has a hole and a fill, PhotoError where it cannot be written.
    """
    rng = np.random.default_rng([seed, _digest(items)])
    chosen = _chosen(items, rng)
    filled = _coins(len(chosen), rng)
    methods = _evenly_drawn([list(item[3]) for item, fill in zip(chosen, filled, strict=True) if fill], rng)
    pictures, entries = [], []
    for (index, truth, hole, fills), fill in zip(chosen, filled, strict=True):
        method = next(methods) if fill else None
        pictures.append(data_uri(_shrunk(fills[method] if method is not None else truth), quality=STUDY_QUALITY))
        height, width = truth.shape[:2]
        entry: dict[str, Any] = {"case": int(index), "method": method, "height": height, "width": width}
        entries.append(entry | ({"hole": _runs(hole)} if fill else {}))
    study = hashlib.sha256("\n".join(pictures).encode("ascii")).hexdigest()
    key = {"schema": SCHEMA, "what": "study key", "study": study, "seed": seed, "photos": entries}
    sizes = [[entry["width"], entry["height"]] for entry in entries]
    data = {"schema": SCHEMA, "study": study, "sizes": sizes}
    page = document(
        "Real or filled?", _body(pictures), style="study.css", script="study.js", data=data, classes="study"
    )
    write_bytes((json.dumps(key, indent=1) + "\n").encode("utf-8"), path_key)
    write_bytes(page.encode("utf-8"), path_html)


def judge_answers(key: str | Path, answers: str | Path | Sequence[str | Path]) -> dict[str, Any]:
    """Count what one judge or several said against the study's key.

    A click on a filled photo is a hit inside the hole, or up to `TOLERANCE_SHARE` of the shorter side beside it, else
    it is elsewhere; either way the photo was called filled, and "nothing is filled" is a miss. A click on a real photo
    is a false alarm. Hits and false alarms are shares of different things, a small place and the whole photo; what can
    be compared is

    - where: `hits` with `hits_by_chance`, what the same clicks would hit at places drawn evenly over the photo. The
      clicks are those on the method's own photos, not as many as false alarms: a judge who senses a fill and cannot
      point to it clicks on filled photos more often, and is right by chance more often.
    - filled or not: `called_filled` with the false alarms; `sensitivity` is the difference, 0 for a judge who cannot
      tell and 1 for one who is never wrong.

    Shares come with 95 % Wilson intervals, differences with Newcombe's of the same. They take every answer for itself:
    judges who see the same photos agree more than that. Photos without an answer count nowhere. Raises DataError for
    files that are damaged, of another study, or of one judge twice.
    """
    truth = _read_key(Path(key))
    files = [Path(each) for each in ([answers] if isinstance(answers, str | Path) else answers)]
    if not files:
        raise DataError("no answers were given, expected the files that the study's page saves")
    judges = [_read_answers(file, truth) for file in files]
    _refuse_twice(files, judges)
    methods: dict[str, list[tuple[str, float]]] = {}
    real = []
    for place, entry in enumerate(truth["photos"]):
        answers_here = [judge["answers"][place] for judge in judges if judge["answers"][place] is not None]
        if entry["method"] is None:
            real += [answer != "real" for answer in answers_here]
        elif answers_here:
            hole = _hole_of(entry)
            inside = _inside_share(hole)
            methods.setdefault(entry["method"], []).extend((_verdict(hole, answer), inside) for answer in answers_here)
    false_alarms = _share(sum(real), len(real))
    given = len(real) + sum(map(len, methods.values()))
    return {
        "schema": SCHEMA,
        "study": truth["study"],
        "judges": [judge["judge"] for judge in judges],
        "photos": len(truth["photos"]),
        "answers": given,
        "unanswered": len(judges) * len(truth["photos"]) - given,
        "tolerance": f"a click up to {100 * TOLERANCE_SHARE:g} % of the shorter side from the hole counts as inside",
        "reading": READING,
        "methods": {label: _counted(verdicts, false_alarms) for label, verdicts in sorted(methods.items())},
        "real": {"answers": len(real), "false_alarms": false_alarms},
    }


# ---- making a study --------------------------------------------------------------------------------------------------


def _digest(items: Sequence[Item]) -> int:
    """A number that all pictures, holes and labels decide: nobody knows it before the comparison is done."""
    found = hashlib.sha256()
    for index, truth, hole, fills in items:
        found.update(repr((int(index), truth.shape, list(fills))).encode("utf-8", "backslashreplace"))
        for array in (truth, hole, *fills.values()):
            found.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(found.digest(), "big")


def _coins(photos: int, rng: np.random.Generator) -> np.ndarray:
    """Which photos are filled, bool: each with even odds, but of two and more neither all nor none."""
    filled = rng.random(photos) < 0.5
    while photos > 1 and filled.all() == filled.any():
        filled = rng.random(photos) < 0.5
    return filled


def _shrunk(pixels: Pixels) -> Pixels:
    """The picture, or where it is larger than `LONGEST_SIDE` a smaller one, every pixel the mean of those it covers."""
    height, width = pixels.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _chosen(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """At most `MOST_PHOTOS` items in random order, each photo once: seen twice, it gives itself away."""
    usable = [item for item in items if item[2].any() and item[3]]
    if not usable:
        raise DataError("no photo of the study has a hole and a fill, expected at least one: check what was compared")
    found: list[Item] = []
    seen = set()
    for place in rng.permutation(len(usable)):
        digest = hashlib.sha256(np.ascontiguousarray(usable[place][1]).tobytes()).digest()
        if digest not in seen:
            seen.add(digest)
            found.append(usable[place])
    return found[:MOST_PHOTOS]


def _evenly_drawn(offers: Sequence[Sequence[str]], rng: np.random.Generator) -> Any:
    """One method for each photo among those that filled it: the one drawn least so far, ties by lot."""
    drawn: dict[str, int] = {}
    for labels in offers:
        least = min(drawn.get(label, 0) for label in labels)
        candidates = [label for label in labels if drawn.get(label, 0) == least]
        label = candidates[int(rng.integers(len(candidates)))]
        drawn[label] = drawn.get(label, 0) + 1
        yield label


def _runs(hole: np.ndarray) -> list[int]:
    """Lengths of the runs of known and missing pixels by turns, row after row, known first."""
    flat = hole.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def _hole_of(entry: dict[str, Any]) -> np.ndarray:
    """The hole of a key's entry, bool (H, W)."""
    lengths = np.asarray(entry["hole"], dtype=np.int64)
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(entry["height"], entry["width"])


def _body(pictures: Sequence[str]) -> str:
    """The page's elements; pictures are only sources here, the script shows one at a time."""
    images = "".join(
        f'<img src="{text(uri)}" alt="Photo {place}" draggable="false" hidden>'
        for place, uri in enumerate(pictures, start=1)
    )
    return (
        '<header><h1>Real or filled?</h1><p id="progress" role="status"></p>'
        f'<progress id="bar" max="{len(pictures)}" value="0" aria-label="Photos answered"></progress></header>\n'
        '<noscript><p class="note">This page needs JavaScript, which sends nothing anywhere.</p></noscript>\n'
        '<main><section id="start" aria-labelledby="start-title"><h2 id="start-title">What to do</h2>'
        f"<p>You will see {len(pictures)} photos. In some of them a part was removed and filled in by a program, the "
        "others are as they were taken. <strong>Click where you think the fill is</strong>, or say that nothing is "
        "filled. There may be any number of filled photos. You can go back and change an answer.</p>"
        "<p>At the end the page saves your answers as a file on this device. Nothing is sent.</p>"
        '<p><label for="judge">Your name or a sign (optional) <input id="judge" maxlength="80" autocomplete="off">'
        '</label></p><p class="note" id="kept" hidden></p>'
        '<p class="buttons"><button type="button" class="primary" id="begin">Begin</button> '
        '<button type="button" id="anew" hidden>Start anew</button></p></section>\n'
        '<section id="judging" aria-labelledby="progress" hidden>'
        '<div id="frame" tabindex="0" role="application" aria-describedby="keys" aria-label="The photo: click on the '
        f'fill">{images}<span id="mark" hidden></span><span id="cross" hidden></span></div>'
        '<p id="said" role="status"></p><div class="buttons">'
        '<button type="button" id="back">\u2190 Back</button>'
        '<button type="button" id="none">Nothing is filled</button>'
        '<button type="button" class="primary" id="next">Next \u2192</button></div>'
        '<p class="note" id="keys">Keys: N nothing is filled, Enter next, Backspace back. Arrow keys move a cross over '
        "the photo (with Shift faster), the space bar sets the mark there.</p>"
        '<p><button type="button" class="quiet" id="finish">Stop here and save</button></p></section>\n'
        '<section id="end" aria-labelledby="end-title" hidden><h2 id="end-title">Thank you</h2><p id="summary"></p>'
        '<p class="buttons"><button type="button" class="primary" id="save">Save answers</button>'
        '<button type="button" id="again">Back to the photos</button></p>'
        '<p class="note">Send the saved file to whoever asked you.</p></section></main>'
    )


# ---- reading answers -------------------------------------------------------------------------------------------------


def _read_json(path: Path, kind: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON"
        raise DataError(f"'{path}' cannot be read ({reason}), expected {kind}: check the file") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise DataError(f"'{path}' is something else, expected {kind} of version {SCHEMA}: check the file")
    return found


def _read_key(path: Path) -> dict[str, Any]:
    """The key of a study, checked as far as it is used. Raises DataError."""
    key = _read_json(path, "the key of a study")
    fault = DataError(f"'{path}' is damaged or no key of a study, expected the key that came with the page")
    photos = key.get("photos")
    if not isinstance(key.get("study"), str) or not isinstance(photos, list) or not photos:
        raise fault
    for entry in photos:
        try:
            if entry["method"] is not None and (not isinstance(entry["method"], str) or not _hole_of(entry).any()):
                raise fault
            if entry["height"] < 1 or entry["width"] < 1:
                raise fault
        except (KeyError, TypeError, ValueError):
            raise fault from None
    return key


def _read_answers(path: Path, key: dict[str, Any]) -> dict[str, Any]:
    """One judge's answers: None, "real", or a click as (x, y) in pixels. Raises DataError."""
    found = _read_json(path, "the answers that a study's page saves")
    if found.get("study") != key["study"]:
        raise DataError(f"'{path}' answers another study than the key's: give the files that belong together")
    answers, judge, sign = found.get("answers"), found.get("judge", ""), found.get("id")
    sound = isinstance(judge, str) and (sign is None or isinstance(sign, str))
    if not sound or not isinstance(answers, list) or len(answers) != len(key["photos"]):
        raise DataError(f"'{path}' is damaged, expected {len(key['photos'])} answers: save them again from the page")
    read: list[Any] = []
    for number, (answer, entry) in enumerate(zip(answers, key["photos"], strict=True), start=1):
        if answer is None or answer == "real":
            read.append(answer)
            continue
        if not _is_click(answer, entry):
            raise DataError(
                f"'{path}': answer {number} is damaged, expected null, \"real\" or [x, y] inside the photo of "
                f"{entry['width']} x {entry['height']}: save them again from the page"
            )
        read.append((float(answer[0]), float(answer[1])))
    return {"id": sign, "judge": judge, "answers": read}


def _refuse_twice(files: Sequence[Path], judges: Sequence[dict[str, Any]]) -> None:
    """The same judge twice: the same id, or in files of older pages, which have none, the same name and answers."""
    for place, judge in enumerate(judges):
        for earlier, other in zip(files, judges[:place], strict=False):
            if judge["id"] is None and judge == other:
                raise DataError(f"'{files[place]}' holds the same answers as '{earlier}': give each once")
            if judge["id"] is not None and judge["id"] == other["id"]:
                raise DataError(
                    f"'{files[place]}' and '{earlier}' are of one judge, expected one file of each: give the last "
                    "that was saved, and let a second judge on one device choose 'Start anew'"
                )


def _is_click(answer: Any, entry: dict[str, Any]) -> bool:
    if not isinstance(answer, list) or len(answer) != 2:
        return False
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in answer):
        return False
    return 0 <= answer[0] <= entry["width"] and 0 <= answer[1] <= entry["height"]


# ---- counting --------------------------------------------------------------------------------------------------------


def _verdict(hole: np.ndarray, answer: Any) -> str:
    """What an answer to a filled photo is worth; hole (H, W), True = missing."""
    if answer == "real":
        return "misses"
    rows, columns = np.nonzero(hole)
    x, y = answer
    # From the click to the nearest edge of a missing pixel, which reaches half a pixel around its centre.
    aside = np.maximum(np.abs(columns + 0.5 - x) - 0.5, 0)
    away = np.maximum(np.abs(rows + 0.5 - y) - 0.5, 0)
    return "hits" if float(np.hypot(aside, away).min()) <= TOLERANCE_SHARE * min(hole.shape) else "elsewhere"


def _inside_share(hole: np.ndarray) -> float:
    """The share of the frame in which a click is a hit, that is, what a click at a random place hits."""
    # From pixel centre to pixel centre; a missing pixel reaches half a pixel around its own (a little more aslant).
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5
    # A pixel that the tolerance ends in counts by the part of it that lies inside.
    return float(np.mean(np.clip(TOLERANCE_SHARE * min(hole.shape) - away + 0.5, 0, 1)))


def _counted(verdicts: Sequence[tuple[str, float]], false_alarms: Mapping[str, Any]) -> dict[str, Any]:
    """One method's numbers, from the verdict on each answer and the inside share of the photo it is about."""
    answers = len(verdicts)
    clicked = [inside for verdict, inside in verdicts if verdict != "misses"]
    of = {name: sum(verdict == name for verdict, _ in verdicts) for name in ("hits", "misses", "elsewhere")}
    called_filled = _share(len(clicked), answers)
    return {
        "answers": answers,
        **{name: _share(count, answers) for name, count in of.items()},
        "hits_by_chance": math.fsum(clicked) / answers,
        "called_filled": called_filled,
        "sensitivity": _difference(called_filled, false_alarms),
    }


def _difference(of: Mapping[str, Any], without: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first share less the second with its 95 % interval, None without answers to both.

    Source: Newcombe 1998, Interval estimation for the difference between independent proportions, method 10.
    """
    if of["share"] is None or without["share"] is None:
        return None
    apart = of["share"] - without["share"]
    down = math.hypot(of["share"] - of["low"], without["high"] - without["share"])
    up = math.hypot(of["high"] - of["share"], without["share"] - without["low"])
    return {"difference": apart, "low": apart - down, "high": apart + up}


def _share(count: int, of: int) -> dict[str, Any]:
    """A count with its share of `of` and the share's Wilson interval; without any answers the share is None."""
    low, high = wilson(count, of)
    return {"count": count, "share": count / of if of else None, "low": low, "high": high}
