"""The rows of benchmarks/detail.py on pictures small enough to check."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import detail
from inpaintkit.errors import UsageError
from inpaintkit.evaluation.cases import Case


def _case(name: str = "a", side: int = 20) -> Case:
    truth = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[10 : 10 + side, 10 : 10 + side] = True
    return Case(0, "all", name, "box", truth, truth, hole)


@pytest.fixture
def case() -> Case:
    return _case()


def test_a_row_scores_what_the_step_made_of_the_fill(case: Case) -> None:
    flat = np.where(case.hole[..., None], np.uint8(128), case.truth)
    kept, plain = detail.run_step([case], [flat], lambda filled, hole: filled, [])
    assert np.array_equal(kept[0], flat)
    _, mended = detail.run_step([case], [flat], lambda filled, hole: case.truth, [])
    assert mended["metrics"]["hole_psnr"]["mean"] == 100
    assert mended["metrics"]["sharpness"]["median"] == 1
    assert plain["metrics"]["hole_psnr"]["mean"] < 20
    assert plain["metrics"]["sharpness"]["median"] < 0.2
    assert 0 <= plain["seconds"] <= plain["most_seconds"]


def test_a_step_that_touches_known_pixels_is_counted(case: Case) -> None:
    _, row = detail.run_step([case], [case.truth], lambda filled, hole: 255 - filled, [])
    assert row["known_changed"] == 40 * 40 - 20 * 20


def test_networks_are_asked_and_what_is_not_defined_is_left_out_of_the_means(case: Case) -> None:
    class PerceptualMetric:
        metrics = (detail.metrics.METRICS["l1"],)
        source = "drawn"
        answers = iter((3.0, float("nan"), 5.0))

        def __call__(self, truth: np.ndarray, filled: np.ndarray, hole: np.ndarray) -> dict[str, float]:
            return {"l1": next(self.answers)}

    _, row = detail.run_step([case] * 3, [case.truth] * 3, lambda filled, hole: filled, [PerceptualMetric()])
    assert [each["l1"] for each in row["scores"]] == [3.0, None, 5.0]
    assert (row["metrics"]["l1"]["mean"], row["metrics"]["l1"]["photos"], row["photos"]) == (4.0, 2, 3)


def test_the_command_measures_the_fill_with_and_without_detail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, number in (("photos", 2), ("masks", 1)):
        (tmp_path / folder).mkdir()
        for index in range(number):
            case = _case()
            pixels = case.truth if folder == "photos" else np.uint8(255) * case.hole
            Image.fromarray(pixels).save(tmp_path / folder / f"{index}.png")
    words = ["--images", str(tmp_path / "photos"), "--masks", str(tmp_path / "masks"), "--size", "40"]
    assert detail.main([*words, "--model", "telea", "--sheet", str(tmp_path / "sheet.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "telea at 40 x 40, 2 photos of photos, masks of masks; holes of 25% on average."
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if line.startswith("| ")}
    assert list(rows) == ["method", "telea", "telea + detail", "patch"]
    for name in ("telea", "telea + detail", "patch"):
        cells = [cell.strip() for cell in rows[name]]
        assert 5 < float(cells[0]) < 60, name
        assert cells[3:5] == ["-", "-"], "no features were asked for"
        assert cells[-1] == "0", name
    assert float(rows["telea"][2]) < float(rows["patch"][2]), "noise is sharper where its own patches fill"
    assert Image.open(tmp_path / "sheet.png").size == (5 * 40, 16 + 2 * 40)


def test_rows_of_the_sheet_are_spread_over_the_holes_areas() -> None:
    cases = [_case(str(side), side) for side in (9, 1, 5, 7, 3)]
    assert detail.sheet_rows(cases, 3) == [1, 2, 0]
    assert detail.sheet_rows(cases[:2], 3) == [1, 0]


def test_a_sheet_inside_the_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="outside"):
        detail.check_sheet(Path(detail.__file__).with_name("sheet.png"))
    detail.check_sheet(tmp_path / "sheet.png")


@pytest.mark.parametrize("slip", [["--size", "4"], ["--every", "0"]])
def test_slips_on_the_command_line_are_refused(slip: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        detail.parse(["--images", "a.tar", "--masks", "b.tar", *slip])
    assert ended.value.code == 2
