"""The numbers that benchmarks/bundle_weights.py puts on a card, from a comparison's report; and the shipped cards."""

import copy
import json
from typing import Any

import pytest

import bundle_weights
from inpaintkit.errors import DataError
from inpaintkit.evaluation.metrics import METRICS
from inpaintkit.evaluation.statistics import area_bin
from inpaintkit.evaluation.tables import summary_tables
from inpaintkit.weights import FOLDER

RATIOS = (0.05, 0.3, 0.31, 0.55, 0.07)


def _report() -> dict[str, Any]:
    """Five photos; hole L1 of `mine` is 1 to 5 %, of `telea` twice that."""
    cases = [
        {"group": "holes", "photo": f"{at}.png", "mask": "0", "hole_ratio": ratio, "depth_px": 5.0}
        | {"area_bin": area_bin(ratio), "depth_bin": "4-8 px"}
        for at, ratio in enumerate(RATIOS)
    ]
    scores = {
        label: [
            {"hole_l1": by * (at + 1.0), "hole_psnr": 20.0 + at, "sharpness": sharp, "known_changed": 0}
            for at, sharp in enumerate((0.1, None, 0.5, 0.9, 0.3))
        ]
        for label, by in (("mine", 1), ("other", 3), ("telea", 2))
    }
    about = {"through": "engine", "sha256": None, "kind": "classical"}
    metrics = [METRICS[name] for name in bundle_weights.SHOWN]
    return {
        "images": {"name": "photos.tar", "sha256": "a1" * 32},
        "protocol": {"size": 256},
        "groups": [{"name": "holes", "photos": 5, "sha256": "b2" * 32}],
        "methods": [
            {**about, "label": "mine", "model": "run", "kind": "trained", "sha256": "c3" * 32},
            {**about, "label": "other", "model": "default", "kind": "bundled", "through": "fill"},
            {**about, "label": "telea", "model": "telea"},
        ],
        "cases": cases,
        "scores": scores,
        **summary_tables(cases, scores, metrics),
    }


def test_the_table_has_the_model_and_the_classical_methods_by_area_above_30_percent_and_over_all() -> None:
    text = bundle_weights.numbers_of(_report(), "mine", ["c3" * 32])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    areas = ["0-10 %", "30-40 %", "50-60 %", ">30 %", "all"]
    assert [row[:3] for row in rows] == [
        [f"`{name}`", area, photos]
        for name in ("mine", "telea")
        for area, photos in zip(areas, ("2", "2", "1", "2", "5"), strict=True)
    ]
    assert rows[3][3].startswith("3.50 ("), "photos 2 and 3: 0.3 itself is not above 30 %"
    assert rows[4][3].startswith("3.00 (")
    assert rows[4][4].startswith("22.00 (")
    assert rows[4][5] == "0.40", "the median of 0.1, 0.3, 0.5 and 0.9"
    assert rows[9][3].startswith("6.00 (")


def test_the_command_and_the_hashes_are_those_of_the_report() -> None:
    text = " ".join(bundle_weights.numbers_of(_report(), "mine", ["c3" * 32]).split())
    assert "5 photos (photos.tar, SHA-256 `a1a1a1a1a1a1`) with the masks holes (`b2b2b2b2b2b2`) at 256 x 256" in text
    command = "inpaintkit compare --images photos.tar --masks holes --size 256 --methods"
    assert f"`{command} mine=run,other=default+detail,telea`" in text


def _other_weights(report: dict[str, Any]) -> None:
    report["methods"][0]["sha256"] = "d4" * 32


def _two_groups(report: dict[str, Any]) -> None:
    report["groups"] *= 2


def _changed(report: dict[str, Any]) -> None:
    report["scores"]["mine"][1]["known_changed"] = 7


def _failed(report: dict[str, Any]) -> None:
    report["scores"]["telea"][0] = {"error": "it broke"}


def _absent(report: dict[str, Any]) -> None:
    report["methods"][0]["label"] = "yours"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_other_weights, "other weights"),
        (_two_groups, "2 sets of masks"),
        (_changed, "'mine' failed on 0 photos and changed 7"),
        (_failed, "'telea' failed on 1 photos"),
        (_absent, "expected 'mine' among them"),
    ],
)
def test_numbers_that_should_not_be_published_are_refused(spoil: Any, told: str) -> None:
    report = copy.deepcopy(_report())
    spoil(report)
    with pytest.raises(DataError, match=told):
        bundle_weights.numbers_of(report, "mine", ["c3" * 32])


@pytest.mark.parametrize("name", ["default", "glcic", "gmcnn"])
def test_the_shipped_cards_for_people_are_those_for_programs(name: str) -> None:
    card = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert bundle_weights.as_markdown(card) == (FOLDER / f"{name}.md").read_text(encoding="utf-8")
