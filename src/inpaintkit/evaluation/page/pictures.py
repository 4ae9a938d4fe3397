"""The picture grid: which photos are shown, the pictures drawn for them, and the cards that hold them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ...errors import InpaintError
from ..metrics import distance_from_one
from ..statistics import disagreement
from .markup import PICTURE_QUALITY, Pixels, choice, data_uri, decimals_for, finite, name, number, text

Picture = Callable[[int, str], Pixels | None]
"""`picture(case index, "truth" | "shown" | "hole" | METHOD LABEL)`."""

FULL_DIFFERENCE = 0.25
"""Share of the range at which the difference's colours end."""

DIFFERENCE_QUALITY = 60

LONGEST_SIDE = 768
"""Pixels of the longer side of a picture in the page: whole photos of a camera would make it too large to open."""

HOLE_COLOUR = (214, 64, 159)
KNOWN_COLOUR = (120, 120, 120)

# Dark to light, so that they can be told apart without colour too; between them the scale is straight.
_SCALE_COLOURS = (
    (8, 6, 26), (52, 14, 84), (108, 24, 110), (164, 40, 98),
    (214, 74, 66), (244, 126, 24), (250, 192, 50), (252, 252, 168),
)  # fmt: skip


def difference_colours() -> np.ndarray:
    """The colour scale of the difference pictures, (256, 3) uint8: entry 255 is `FULL_DIFFERENCE` and more."""
    places = np.linspace(0, 255, len(_SCALE_COLOURS))
    channels = [np.interp(np.arange(256), places, [colour[c] for colour in _SCALE_COLOURS]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def difference_picture(truth: Pixels, filled: Pixels, hole: np.ndarray) -> Pixels:
    """|filled - truth|, the mean of the channels, as colours inside the hole (True = missing) and grey outside."""
    error = np.abs(filled.astype(np.int16) - truth.astype(np.int16)).mean(axis=2) / 255
    level = np.rint(np.clip(error / FULL_DIFFERENCE, 0, 1) * 255).astype(np.uint8)
    drawn = difference_colours()[level]
    drawn[~hole] = KNOWN_COLOUR
    return drawn


def as_hole(drawn: np.ndarray) -> np.ndarray:
    """A hole as bool (H, W), True = missing, from bool, from 0 to 255, or from either as RGB."""
    flat = drawn if drawn.ndim == 2 else drawn[..., 0]
    return flat if flat.dtype == np.bool_ else flat > 127


def shrunk(picture: np.ndarray) -> np.ndarray:
    """A picture whose longer side is at most `LONGEST_SIDE`: by area, a hole (bool) by its nearest pixels."""
    height, width = picture.shape[:2]
    share = LONGEST_SIDE / max(height, width)
    if share >= 1:
        return picture
    size = max(1, round(width * share)), max(1, round(height * share))
    if picture.dtype == np.bool_:
        return cv2.resize(picture.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), picture.dtype)


# ---- which photos ----------------------------------------------------------------------------------------------------


def sorting_metric(report: dict[str, Any]) -> dict[str, Any] | None:
    """The metric by which methods disagree: hole L1, else the first headline metric, else the first of all."""
    metrics = {metric["name"]: metric for metric in report.get("metrics", ())}
    for wanted in ("hole_l1", *report.get("headline", ()), *metrics):
        if wanted in metrics:
            return metrics[wanted]
    return None


def spread(report: dict[str, Any], index: int) -> float | None:
    """How far the methods are apart on one case, by hole L1; of one method alone its value. None where it failed."""
    return disagreement([report["scores"][method["label"]][index] for method in report["methods"]])


def most_spread_first(report: dict[str, Any], cases: Iterable[int]) -> list[int]:
    """These cases, each once, sorted by `spread`, failures of all last."""
    found = {index: spread(report, index) for index in cases}
    losses = {index: math.inf if apart is None else -apart for index, apart in found.items()}
    return sorted(losses, key=lambda index: (losses[index], index))


# ---- the cards -------------------------------------------------------------------------------------------------------


def picture_section(report: dict[str, Any], picture: Picture, cases: Iterable[int]) -> tuple[str, dict[str, Any]]:
    """The grid of pictures, and what its script needs to know of the cases shown."""
    shown = most_spread_first(report, cases)
    metric = sorting_metric(report)
    if not shown or metric is None:
        return "", {"cases": [], "metrics": [], "methods": []}
    digits = _digits(report)
    grid = _Grid(report, metric, digits[metric["name"]], picture)
    data = {
        "cases": [_facts(report, place, index) for place, index in enumerate(shown)],
        "metrics": [
            {key: each[key] for key in ("name", "label", "unit", "better")} | {"digits": digits[each["name"]]}
            for each in report["metrics"]
        ],
        "methods": [method["label"] for method in report["methods"]],
        "sorted_by": metric["name"],
    }
    cards = "".join(grid.card(index) for index in shown)
    section = (
        '<section id="pictures" aria-labelledby="pictures-title">\n<h2 id="pictures-title">Pictures</h2>\n'
        f"{_introduction(report, metric, len(shown), len(grid.shrunk))}{_controls(report, metric)}"
        f'<p class="count needs-script" id="shown-count" role="status">{len(shown)} of {len(shown)} shown</p>'
        f'<ol class="cards" id="cards">\n{cards}</ol>\n</section>\n'
    )
    return section, data


@dataclass(frozen=True)
class _Grid:
    """What the cards are made of: the report, the metric under each picture, and where the pictures come from.

    `shrunk` notes the cases whose pictures are smaller in the page than they are.
    """

    report: dict[str, Any]
    metric: dict[str, Any]
    digits: int
    picture: Picture
    shrunk: set[int] = field(default_factory=set)

    def card(self, index: int) -> str:
        """One photo: as it was, its mask, what the methods were given, and every fill over its difference."""
        report, photo = self.report, str(self.report["cases"][index]["photo"])
        truth, drawn_hole = self._drawn(index, "truth"), self._drawn(index, "hole")
        if truth is None or drawn_hole is None:
            errors = [str(report["scores"][each["label"]][index].get("error", "")) for each in report["methods"]]
            said = next(filter(None, errors), "The photo is not at hand.")
            cells = [_cell("photo", "", f'<p class="failed">{text(said)}</p>')]
        else:
            if max(truth.shape[:2]) > LONGEST_SIDE:
                self.shrunk.add(index)
            whole, given = as_hole(drawn_hole), self._drawn(index, "shown")
            hole, masked = shrunk(whole), shrunk(truth if given is None else given).copy()
            masked[hole] = HOLE_COLOUR
            mask = np.repeat((hole * np.uint8(255))[..., None], 3, axis=2)
            mask_image = _still(mask, f"The mask of {photo}, white is missing")
            best = self._best(index)
            cells = [
                _cell("photo", "", _thumb(shrunk(truth), "truth", f"The photo {photo}"), mask_image),
                _cell("input", "", _thumb(masked, "given", f"{photo} with its hole"), ""),
                *(self._fill(index, place, truth, whole, place in best) for place in range(len(report["methods"]))),
            ]
        apart = spread(report, index)
        facts = text(_about(report["cases"][index]))
        if apart is not None and len(report["methods"]) > 1:
            facts += f", spread of {text(self.metric['label'])} {number(apart, self.digits)}{_unit(self.metric)}"
        count = len(report["methods"]) + 2
        columns = count if count <= 10 else math.ceil(count / 2)
        return (
            f'<li class="card" id="case-{index}"><h3>{name(photo)}</h3><p class="facts">{facts}</p>'
            f'<div class="strip" style="--columns:{columns}">{"".join(cells)}</div></li>\n'
        )

    def _drawn(self, index: int, what: str) -> Pixels | None:
        """A picture of a case, None where it cannot be read: the page tells of the failure in its scores."""
        try:
            return self.picture(index, what)
        except InpaintError:
            return None

    def _best(self, index: int) -> set[int]:
        """The methods with the best value of the metric on this case; none where only one was measured."""
        scores = [self.report["scores"][method["label"]][index] for method in self.report["methods"]]
        found = {place: finite(score.get(self.metric["name"])) for place, score in enumerate(scores)}
        return best_of(found, self.metric["better"])

    def _fill(self, index: int, place: int, truth: Pixels, hole: np.ndarray, best: bool) -> str:
        """One method's fill with its value over its difference, or what went wrong."""
        label = str(self.report["methods"][place]["label"])
        score, photo = self.report["scores"][label][index], self.report["cases"][index]["photo"]
        if "error" in score:
            return _cell(label, "failed", f'<p class="failed">{text(score["error"])}</p>')
        filled = self._drawn(index, label)
        if filled is None:
            return _cell(label, "", '<p class="failed">This picture was not kept.</p>')
        value = number(score.get(self.metric["name"]), self.digits) + _unit(self.metric)
        drawn = shrunk(difference_picture(truth, filled, hole))
        return _cell(
            label,
            f"<strong>{value}</strong>" if best else value,
            _thumb(shrunk(filled), f"m{place}", f"{photo} filled by {label}"),
            _still(drawn, f"Difference of {label} to {photo}", quality=DIFFERENCE_QUALITY),
        )


def best_of(values: dict[Any, float | None], better: str) -> set[Any]:
    """The keys of the best values: none for a metric without a direction, or where fewer than two were measured."""
    if better not in ("lower", "higher", "one"):
        return set()
    losses = {
        key: distance_from_one(value) if better == "one" else {"lower": value, "higher": -value}[better]
        for key, value in values.items()
        if value is not None
    }
    return {key for key, loss in losses.items() if loss == min(losses.values())} if len(losses) > 1 else set()


def _introduction(report: dict[str, Any], metric: dict[str, Any], shown: int, smaller: int) -> str:
    total, label = len(report["cases"]), text(metric["label"])
    several = len(report["methods"]) > 1
    order = f"the spread of {label} between the methods (largest less smallest)" if several else f"{label}, worst first"
    if metric["better"] == "higher" and not several:
        order = f"{label}, highest first"
    sample = "an even sample over groups and hole-area bins"
    more = ", and up to two on which a method failed" if any(map(_has_error, report["scores"].values())) else ""
    how = (
        f"{shown} of {total} cases (a photo with a mask): those where {order} is largest, and {sample}{more}."
        if shown < total
        else f"All {total} cases (a photo with a mask), sorted by {order}."
    )
    if smaller:
        how += (
            f" The pictures of {smaller} of them are larger than {LONGEST_SIDE} pixels and stand here shrunk to that, "
            "their differences too; everything was measured at full size."
        )
    stops = ", ".join(
        f"rgb({r} {g} {b}) {100 * place / (len(_SCALE_COLOURS) - 1):.0f}%"
        for place, (r, g, b) in enumerate(_SCALE_COLOURS)
    )
    return (
        f'<p class="note">{how} Click a picture to enlarge it; the arrow keys then step through the methods, and a '
        "slider compares any two.</p>\n"
        '<p class="scale"><span>Difference to the photo, |filled \u2212 truth|, mean of the channels, inside the hole: '
        f'</span><span class="scale-bar"><span>0</span><span class="ramp" style="background:linear-gradient(90deg,'
        f'{stops})"></span><span>{100 * FULL_DIFFERENCE:.0f} % of the range and more</span></span></p>\n'
    )


def _has_error(scores: Sequence[dict[str, Any]]) -> bool:
    return any("error" in score for score in scores)


def _controls(report: dict[str, Any], metric: dict[str, Any]) -> str:
    groups = [str(group["name"]) for group in report["groups"]]
    bins = list(dict.fromkeys(_bin(case) for case in sorted(report["cases"], key=_hole_ratio)))
    orders = [("spread", "most disagreement"), ("area", "largest hole"), ("depth", "deepest hole"), ("photo", "name")]
    if len(report["methods"]) == 1:
        orders = orders[1:]
    label = str(metric["label"])
    worst = [(f"m{place}", f"{label}: worst of {m['label']}") for place, m in enumerate(report["methods"])]
    boxes = [
        choice("sort", "Sort by", [*orders, *worst]),
        choice("group-filter", "Group", [("", "all"), *((each, each) for each in groups)]) if len(groups) > 1 else "",
        choice("bin-filter", "Hole area", [("", "all"), *((each, each) for each in bins)]),
        choice("view", "Show", [("both", "fills and differences"), ("fills", "fills"), ("gaps", "differences")]),
    ]
    return f'<form class="controls needs-script" id="grid-controls">{"".join(boxes)}</form>\n'


def _bin(case: dict[str, Any]) -> str:
    return str(case["area_bin"] or "unknown")


def _hole_ratio(case: dict[str, Any]) -> float:
    return finite(case["hole_ratio"]) or 0.0


def _digits(report: dict[str, Any]) -> dict[str, int]:
    """Digits of each metric, the same for every photo."""
    lists = [report["scores"][method["label"]] for method in report["methods"]]
    return {
        metric["name"]: decimals_for(finite(score.get(metric["name"])) for scores in lists for score in scores)
        for metric in report["metrics"]
    }


def _facts(report: dict[str, Any], place: int, index: int) -> dict[str, Any]:
    """What the script knows of one case shown; `rank` is its place by disagreement."""
    case = report["cases"][index]
    scores = []
    for method in report["methods"]:
        score = report["scores"][method["label"]][index]
        found = {metric["name"]: finite(score.get(metric["name"])) for metric in report["metrics"]}
        scores.append({"error": str(score["error"])} if "error" in score else found)
    return {
        "id": f"case-{index}",
        "rank": place,
        "photo": str(case["photo"]),
        "about": _about(case),
        "group": str(case["group"]),
        "bin": _bin(case),
        "area": _hole_ratio(case),
        "depth": finite(case["depth_px"]),
        "scores": scores,
    }


def _about(case: dict[str, Any]) -> str:
    depth = finite(case["depth_px"])
    deep = f"{depth:.0f} px deep" if depth is not None else "no known pixel"
    if finite(case["hole_ratio"]) is None:
        return f"{case['group']}, mask {case['mask']}, not read"
    return f"{case['group']}, mask {case['mask']}, hole {100 * _hole_ratio(case):.1f} % of the frame, {deep}"


def _unit(metric: dict[str, Any]) -> str:
    return f" {text(metric['unit'])}" if metric["unit"] else ""


def _cell(label: str, value: str, above: str, below: str | None = None) -> str:
    """One column of a card: a name and a value over a picture, and under it a second one, which may be blank."""
    said = f'<span class="cell-name">{name(label)}</span><span class="cell-value">{value}</span>'
    under = "" if below is None else f'<div class="below">{below}</div>'
    return f'<div class="cell"><p class="cell-head">{said}</p><div class="above">{above}</div>{under}</div>'


def _thumb(pixels: Pixels, key: str, alt: str) -> str:
    """A picture that can be enlarged; `key` names it for the dialog."""
    return (
        f'<button type="button" class="thumb" data-key="{key}">{_still(pixels, alt, quality=PICTURE_QUALITY)}</button>'
    )


def _still(pixels: Pixels, alt: str, *, quality: int | None = None) -> str:
    """A picture in the page; without a `quality` every pixel is kept."""
    height, width = pixels.shape[:2]
    uri = data_uri(pixels, quality=quality)
    return f'<img src="{uri}" alt="{text(alt)}" width="{width}" height="{height}" loading="lazy" decoding="async">'
