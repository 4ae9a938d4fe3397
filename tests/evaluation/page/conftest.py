"""A small comparison whose names are hostile, with fills by OpenCV: the report that the page's tests show."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from inpaintkit.evaluation.metrics import METRICS
from inpaintkit.evaluation.metrics.pixel import hole_l1, hole_psnr
from inpaintkit.evaluation.statistics import area_bin, depth_bin, hole_depth
from inpaintkit.evaluation.tables import summary_tables

SIDE = 96
HOSTILE = "</script><img src=x onerror=alert(1)>&\"'"
"""A method's label that would break out of an element, an attribute and a script."""

HOSTILE_PHOTO = "a \u202egnp.<b>photo</b>\udcff\x07.png"
FAILING = 3
"""The case on which a method failed."""


@dataclass
class Sample:
    """A report with its pictures; `asked` notes which were asked for."""

    report: dict[str, Any]
    pictures: dict[tuple[int, str], np.ndarray]
    asked: list[tuple[int, str]] = field(default_factory=list)
    hostile: str = HOSTILE
    hostile_photo: str = HOSTILE_PHOTO
    failing: int = FAILING

    def picture(self, index: int, what: str) -> np.ndarray | None:
        self.asked.append((index, what))
        return self.pictures.get((index, what))


def _photos() -> dict[str, np.ndarray]:
    found = {HOSTILE_PHOTO: data.chelsea(), "astronaut.png": data.astronaut(), "coffee.png": data.coffee()}
    found["rocket.png"] = data.rocket()
    return {
        name: cv2.resize(photo[:300, :300], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for name, photo in found.items()
    }


def _inpainted(radius: int, kind: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def fill(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
        blank = np.where(hole[..., None], 0, photo).astype(np.uint8)
        return np.where(hole[..., None], cv2.inpaint(blank, hole.astype(np.uint8), radius, kind), photo)

    return fill


def _flat(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.where(hole[..., None], np.rint(photo[~hole].mean(axis=0)), photo).astype(np.uint8)


METHODS = {"telea": _inpainted(3, cv2.INPAINT_TELEA), HOSTILE: _inpainted(3, cv2.INPAINT_NS), "mean colour": _flat}


def _holes() -> dict[str, list[np.ndarray]]:
    boxes = np.zeros((3, SIDE, SIDE), dtype=bool)
    boxes[0, 20:40, 20:50] = True
    boxes[1, 10:70, 30:80] = True
    boxes[2, 24:72, 24:72] = True
    return {"boxes <1>": [boxes[0], boxes[1]], "centre 48": [boxes[2]]}


def _cases() -> tuple[list[dict[str, Any]], dict[tuple[int, str], np.ndarray]]:
    cases, pictures = [], {}
    for group, holes in _holes().items():
        for number, (name, photo) in enumerate(_photos().items()):
            hole = holes[number % len(holes)]
            depth, index = hole_depth(hole), len(cases)
            case = {
                "group": group,
                "photo": name,
                "mask": f"{number % len(holes)}.png",
                "hole_ratio": float(hole.mean()),
            }
            case |= {"depth_px": depth, "area_bin": area_bin(hole.mean()), "depth_bin": depth_bin(depth)}
            cases.append(case)
            pictures |= {(index, "truth"): photo, (index, "shown"): photo}
            pictures[index, "hole"] = np.repeat((hole * np.uint8(255))[..., None], 3, axis=2)
    return cases, pictures


def _scores(pictures: dict[tuple[int, str], np.ndarray], count: int) -> dict[str, list[dict[str, Any]]]:
    scores: dict[str, list[dict[str, Any]]] = {label: [] for label in METHODS}
    for label, fill in METHODS.items():
        for index in range(count):
            if label == HOSTILE and index == FAILING:
                scores[label].append({"error": "it gave <NaN> & nothing else"})
                continue
            truth, hole = pictures[index, "truth"], pictures[index, "hole"][..., 0] > 0
            pictures[index, label] = filled = fill(truth, hole)
            measured = {"hole_l1": hole_l1(truth, filled, hole), "hole_psnr": hole_psnr(truth, filled, hole)}
            scores[label].append({**measured, "sharpness": None, "known_changed": 0})
    return scores


def _costs() -> list[dict[str, Any]]:
    keys = ("seconds_median", "seconds_low", "seconds_high", "photos", "peak_mb", "peak_above_idle_mb", "parameters")
    rows = [(0.0213, 0.02, 0.03, 4, 310.0, 25.0, None), (1.25, 1.1, 1.5, 4, 700.4, 300.2, 6_068_547), (None,) * 7]
    return [
        {"label": label, **dict(zip(keys, row, strict=True)), "macs": None, "threads": 1, "error": error}
        for label, row, error in zip(METHODS, rows, (None, None, "killed <for> memory"), strict=True)
    ]


def _with_intervals(report: dict[str, Any]) -> None:
    """Intervals for the second group, as if it had more photos; the first has four, too few for any."""
    parts = [part for key in ("tables", "by_area", "by_depth") for part in report[key]]
    stated = [value for part in parts[1:2] for row in part["rows"] for value in row["metrics"].values() if value]
    stated += [each for each in report["differences"] if each["group"] == "centre 48"]
    for value in stated:
        value |= {"low": value["mean"] - 0.25, "high": value["mean"] + 0.5}


@pytest.fixture
def sample() -> Sample:
    """Four photos in two groups of holes, three methods, one of which failed once; the second group has intervals."""
    metrics = [METRICS[name] for name in ("hole_l1", "hole_psnr", "sharpness")]
    cases, pictures = _cases()
    scores = _scores(pictures, len(cases))
    groups = [
        {"name": name, "masks": len(holes), "sha256": "ab" * 32, "photos": 4, "left_out": ["<i>broken</i>.jpg"]}
        for name, holes in _holes().items()
    ]
    report = {
        "schema": 1,
        "inpaintkit": "0.0.test",
        "title": "Three & <more> methods",
        "protocol": {"name": "fixed masks", "description": "All fill all.", "size": SIDE, "pairing": "i mod n."},
        "images": {"name": "photos <of> scikit-image", "count": 4, "sha256": "cd" * 32},
        "groups": groups,
        "methods": [
            {"label": label, "model": "x", "through": "engine", "kind": "classical", "sha256": None, "terms": None}
            for label in METHODS
        ],
        "metrics": [asdict(metric) for metric in metrics],
        "headline": ["hole_l1"],
        "absent": [{"metric": "LPIPS", "why": "no <weights> were given"}],
        "cases": cases,
        "scores": scores,
        **summary_tables(cases, scores, metrics),
        "costs": _costs(),
        "costs_conditions": {"cores": 2},
        "run": {"command": "inpaintkit compare --methods 'a<b'", "date": "2026-01-02", "seconds": 3.0, "workers": 1}
        | {"versions": {"numpy": "2"}, "machine": {"cores": 2}},
    }
    report["tables"][0]["rows"][0]["distribution"] = {"fid": None, "kid": {"mean": 0.0125, "std": 0.001}}
    _with_intervals(report)
    return Sample(report, pictures)
