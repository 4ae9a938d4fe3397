"""One photo on the command line in all the ways that it can be asked for: masks, growth, formats, plans, variants."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusal import refused

from inpaintkit import photo as photo_files
from inpaintkit.cli import progress
from inpaintkit.filling.inpainter import Inpainter
from inpaintkit.masks import grow_mask


@pytest.fixture
def fill(run: Any, scene: Any) -> Any:
    """(*options, photo=, mask=, output=) -> outcome of filling the scene with a quick model."""

    def call(*options: Any, photo: Any = scene.photo, mask: Any = scene.mask, output: Any = "out.png") -> Any:
        masks = [] if mask is None else ["-m", mask]
        outputs = [] if output is None else ["-o", scene.folder / output]
        return run("fill", photo, *masks, *outputs, "--model", "telea", *options)

    return call


def result(scene: Any, name: str = "out.png") -> np.ndarray:
    """A written photo's pixels."""
    return np.asarray(Image.open(scene.folder / name))


def assert_filled(scene: Any, name: str = "out.png") -> None:
    """Known pixels as they came, and in the hole about what the scene shows there."""
    filled = result(scene, name)[..., :3]
    assert np.array_equal(filled[~scene.hole], scene.pixels[~scene.hole])
    assert np.abs(filled.astype(int) - scene.pixels)[scene.hole].mean() < 8


def left_behind(scene: Any) -> set[str]:
    """Files in the folder besides the photo and its mask."""
    return {path.name for path in scene.folder.iterdir()} - {"photo.png", "mask.png"}


def wound(scene: Any, colour: tuple[int, ...] = (255, 0, 255)) -> np.ndarray:
    """The scene with its hole painted over, also in its file."""
    wounded = scene.pixels.copy()
    wounded[scene.hole] = colour
    Image.fromarray(wounded).save(scene.photo)
    return wounded


# --- what is missing ---


def test_boxes_say_what_is_missing(fill: Any, scene: Any) -> None:
    wound(scene)
    outcome = fill("--box", "20,30,14,8", "--box", "20,38,14,12", "--json", mask=None)
    facts = json.loads(outcome.out)
    assert (facts["mask"], facts["boxes"]) == (None, ["20,30,14,8", "20,38,14,12"])
    assert facts["hole_pixels"] == scene.hole.sum()
    assert_filled(scene)


def test_boxes_are_added_to_a_mask(fill: Any, scene: Any) -> None:
    facts = json.loads(fill("--box", "0,0,5,5", "--json").out)
    assert facts["hole_pixels"] == scene.hole.sum() + 25


def test_a_mask_the_other_way_round(fill: Any, scene: Any) -> None:
    Image.fromarray(~scene.hole).save(scene.mask)
    wound(scene)
    assert fill("--invert").status == 0
    assert_filled(scene)


def test_a_marker_colour_within_its_tolerance(fill: Any, scene: Any) -> None:
    wound(scene, (250, 6, 255))
    outcome = fill(mask="color:#ff00ff")
    assert outcome.status == 0, outcome
    assert_filled(scene)
    assert json.loads(fill("--tolerance", 4, "--json", "-f", mask="color:#ff00ff").out)["unchanged"] is True


def test_the_photos_own_alpha(fill: Any, scene: Any) -> None:
    transparent = np.dstack([wound(scene), np.where(scene.hole, 0, 255).astype(np.uint8)])
    Image.fromarray(transparent).save(scene.photo)
    assert fill(mask="alpha").status == 0
    assert_filled(scene)
    assert result(scene)[..., 3].min() == 255
    outcome = fill(mask="alpha", output="out.jpg")  # nothing is transparent any more
    assert outcome.status == 0, outcome
    assert result(scene, "out.jpg").shape == (60, 80, 3)


def test_what_transparency_grew_by_is_opaque_too(fill: Any, scene: Any) -> None:
    alpha = np.full((60, 80), 255, np.uint8)
    alpha[17:37, 27:53] = 160  # a soft rim, more opaque than not
    alpha[scene.hole] = 0
    Image.fromarray(np.dstack([wound(scene), alpha])).save(scene.photo)
    assert fill("--grow", 2, mask="alpha").status == 0
    grown = grow_mask(scene.hole, 2)
    filled = result(scene)[..., 3]
    assert (filled[grown] == 255).all()
    assert np.array_equal(filled[~grown], alpha[~grown])
    assert (filled == 160).any()


def test_polygons_of_a_file_with_labels(fill: Any, scene: Any) -> None:
    shapes = [
        {"label": "bird", "shape_type": "rectangle", "points": [[30, 20], [50, 34]]},
        {"label": "tree", "shape_type": "rectangle", "points": [[0, 0], [10, 10]]},
    ]
    polygons = scene.folder / "photo.json"
    labelled = {"imagePath": "photo.png", "imageHeight": 60, "imageWidth": 80, "shapes": shapes}
    polygons.write_text(json.dumps(labelled), "utf-8")
    some = json.loads(fill("--label", "bird", "--json", mask=polygons).out)["hole_pixels"]
    both = json.loads(fill("--json", "-f", mask=polygons).out)["hole_pixels"]
    assert 0.8 * scene.hole.sum() < some < 1.3 * scene.hole.sum()
    assert both > some + 80
    outcome = fill("--label", "boat", "-f", mask=polygons)
    assert outcome.status in {1, 2}
    assert "boat" in outcome.err


def test_growth_in_percent_says_the_pixels_it_became(fill: Any, scene: Any) -> None:
    mask = scene.hole.copy()
    mask[5:10, 5:10] = True
    Image.fromarray(mask).save(scene.mask)
    outcome = fill("--grow", "30%")
    assert "grown by 2 to 6 px" in outcome.out
    facts = json.loads(fill("--grow", "30%", "--json", "-f").out)
    assert facts["grow"] == "30%"
    assert facts["grown"] == [2, 6]
    assert facts["grown_pixels"] == facts["hole_pixels"] - mask.sum() > 0
    assert "grown by 2 px" in fill("--grow", "2px", "-f").out
    assert json.loads(fill("--json", "-f").out)["grown"] == [0, 0]
    assert "grown" not in fill("-f").out


# --- what is written ---


def test_the_options_that_it_was_filled_with_are_told(fill: Any, scene: Any) -> None:
    options = ("--memory", "2GB", "--seed", 7, "--detail", "off", "--grain", "on", "--json")
    facts = json.loads(fill(*options).out)
    told = {key: facts[key] for key in ("memory", "seed", "detail", "grain", "detailed_regions")}
    assert told == {"memory": 2_000_000_000, "seed": 7, "detail": "off", "grain": "on", "detailed_regions": 0}


def test_quality_and_subsampling_reach_the_file(fill: Any, scene: Any) -> None:
    assert fill("--quality", 40, "--subsampling", "4:2:0", output="low.jpg").status == 0
    assert fill("--quality", 95, "--subsampling", "4:4:4", output="high.jpg").status == 0
    sizes = [(scene.folder / name).stat().st_size for name in ("low.jpg", "high.jpg")]
    assert sizes[0] < sizes[1]
    with Image.open(scene.folder / "low.jpg") as low, Image.open(scene.folder / "high.jpg") as high:
        assert (low.layer[0][1:3], high.layer[0][1:3]) == ((2, 2), (1, 1))


def test_a_format_for_a_name_without_a_suffix(fill: Any, scene: Any) -> None:
    assert fill("--format", "webp", output="out").status == 0
    assert Image.open(scene.folder / "out").format == "WEBP"
    assert fill("--format", "keep", output="kept").status == 0
    assert Image.open(scene.folder / "kept").format == "PNG"
    assert fill("--format", "keep", output="out.png").status == 0
    outcome = fill("--format", "keep", output="out.jpg")
    refused((outcome.status, outcome.out, outcome.err), 2, "out.jpg", "JPEG", "PNG")


def test_an_empty_mask_is_encoded_anew_for_a_quality(fill: Any, scene: Any) -> None:
    photo = scene.folder / "photo.jpg"
    Image.fromarray(scene.pixels).save(photo, quality=95)
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(scene.mask)
    assert fill("--quality", 30, photo=photo, output="out.jpg").status == 0
    assert (scene.folder / "out.jpg").stat().st_size < photo.stat().st_size


def test_quiet_prints_nothing(fill: Any, scene: Any) -> None:
    Image.fromarray(scene.pixels).convert("CMYK").save(scene.folder / "photo.jpg")
    outcome = fill("--quiet", photo=scene.folder / "photo.jpg")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    assert result(scene).shape == (60, 80, 3)


# --- plans ---


def test_a_plan_is_drawn_and_printed(fill: Any, scene: Any) -> None:
    outcome = fill("--explain", scene.folder / "plan.png")
    assert outcome.status == 0, outcome
    assert outcome.out.startswith("80 x 60 pixels, 280 missing")
    assert "wrote " in outcome.out.splitlines()[-1]
    assert result(scene, "plan.png").shape == (60, 80, 3)
    assert_filled(scene)
    facts = json.loads(fill("--explain", scene.folder / "plan.png", "--json", "-f").out)
    assert facts["explained"] == str(scene.folder / "plan.png")
    (region,) = facts["plan"]["regions"]
    assert region["hole_pixels"] == facts["hole_pixels"] == scene.hole.sum()
    assert region["top"] <= 20
    assert region["top"] + region["height"] >= 34


def test_a_dry_run_fills_nothing(fill: Any, scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is filled in a dry run")

    monkeypatch.setattr(Inpainter, "fill_photo_reported", fail)
    outcome = fill("--dry-run")
    assert outcome.status == 0, outcome
    assert "280 missing" in outcome.out
    assert "nothing was filled" in outcome.out
    assert left_behind(scene) == set()
    outcome = fill("--dry-run", "--explain", scene.folder / "plan.png", output=None)
    assert outcome.status == 0, outcome
    assert left_behind(scene) == {"plan.png"}
    assert json.loads(fill("--dry-run", "--json", output=None).out)["plan"]["hole_pixels"] == 280


# --- variants ---


@pytest.fixture
def noisy(scene: Any) -> Any:
    """The scene with a texture that every way to fill it fills otherwise."""
    scene.pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(scene.pixels).save(scene.photo)
    return scene


def test_variants_are_written_best_first(fill: Any, noisy: Any) -> None:
    outcome = fill("--variants", 2)
    assert outcome.status == 0, outcome
    assert left_behind(noisy) == {"out-1.png", "out-2.png"}
    lines = outcome.out.splitlines()
    assert [f"out-{number}.png: score " in lines[number - 1] for number in (1, 2)] == [True, True]
    first, second = (result(noisy, f"out-{number}.png") for number in (1, 2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first[~noisy.hole], second[~noisy.hole])
    facts = json.loads(fill("--variants", 2, "--json", "-f").out)
    scores = [each["score"] for each in facts["variants"]]
    assert scores == sorted(scores, reverse=True)
    assert all(each["how"] for each in facts["variants"])
    assert facts["variants"][0]["output"].endswith("out-1.png")


def test_variants_are_written_all_or_none(fill: Any, noisy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = photo_files.write_bytes, []

    def fails_at_the_second(data: bytes, path: Any) -> Any:
        calls.append(path)
        if len(calls) == 2:
            raise photo_files.PhotoError("no space left")
        return write(data, path)

    monkeypatch.setattr(photo_files, "write_bytes", fails_at_the_second)
    outcome = fill("--variants", 3)
    refused((outcome.status, outcome.out, outcome.err), 1, "no space left")
    assert len(calls) == 2
    assert left_behind(noisy) == set()


@pytest.mark.parametrize(
    ("found", "told"), [(1, "there is only 1 way to fill"), (2, "there are only 2 different ways to fill")]
)
def test_fewer_variants_than_wished_for_are_told(
    fill: Any, noisy: Any, monkeypatch: pytest.MonkeyPatch, found: int, told: str
) -> None:
    offered = Inpainter.variants

    def few(self: Inpainter, photo: Any, mask: np.ndarray, count: int, **options: Any) -> Any:
        return offered(self, photo, mask, min(count, found), **options)

    monkeypatch.setattr(Inpainter, "variants", few)
    outcome = fill("--variants", 3)
    assert outcome.status == 0, outcome
    assert told in outcome.err
    assert left_behind(noisy) == {f"out-{number}.png" for number in range(1, found + 1)}


def test_variants_of_an_empty_mask_are_one_copy(fill: Any, scene: Any) -> None:
    photo = scene.folder / "photo.jpg"
    Image.fromarray(scene.pixels).save(photo, quality=60)
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(scene.mask)
    outcome = fill("--variants", 3, photo=photo, output="out.jpg")
    assert outcome.status == 0, outcome
    assert "the mask is empty" in outcome.out
    assert (scene.folder / "out-1.jpg").read_bytes() == photo.read_bytes()
    facts = json.loads(fill("--variants", 3, "--json", "-f", photo=photo, output="out.jpg").out)
    assert facts["unchanged"] is True
    assert [each["output"] for each in facts["variants"]] == [str(scene.folder / "out-1.jpg")]
    assert left_behind(scene) == {"photo.jpg", "out-1.jpg"}


# --- what must not be lost ---


def test_the_mask_and_other_files_of_a_call_are_not_written_over(fill: Any, scene: Any) -> None:
    before = scene.mask.read_bytes(), scene.photo.read_bytes()
    roundabout = scene.folder / "here" / ".." / "mask.png"
    (scene.folder / "here").mkdir()
    other = scene.folder / "here" / ".." / "photo.png"
    for options, output in (
        (("--explain", scene.mask), "out.png"),
        (("--explain", roundabout), "out.png"),
        (("--explain", scene.photo), "out.png"),
        (("--explain", other), "out.png"),
        (("--explain", scene.folder / "here" / ".." / "out.png"), "out.png"),
        ((), "mask.png"),
        ((), "here/../mask.png"),
    ):
        outcome = fill(*options, "-f", output=output)
        refused((outcome.status, outcome.out, outcome.err), 2, "name another")
    assert (scene.mask.read_bytes(), scene.photo.read_bytes()) == before
    assert left_behind(scene) == {"here"}
    numbered = scene.folder / "out-2.png"
    scene.mask.rename(numbered)
    outcome = fill("--variants", 2, "-f", mask=numbered)
    refused((outcome.status, outcome.out, outcome.err), 2, "is the mask")
    numbered.rename(scene.mask)
    assert fill("-f", output="here/../photo.png").status == 0


def test_files_of_a_call_are_known_through_links(fill: Any, scene: Any) -> None:
    link, first = scene.folder / "link.png", scene.folder / "out-1.png"
    try:
        link.symlink_to(scene.mask)
        first.symlink_to(scene.folder / "out-2.png")
    except OSError:
        pytest.skip("this system makes no links for this user")
    outcome = fill("-f", output="link.png")
    refused((outcome.status, outcome.out, outcome.err), 2, "is the mask")
    outcome = fill("-f", "--variants", 2)
    refused((outcome.status, outcome.out, outcome.err), 2, "by a link")


# --- the bar ---


def test_the_bar_is_for_people_and_follows_the_fill(fill: Any, scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    wanted: list[bool] = []

    class Recorded(progress.ProgressBar):
        def __init__(self, title: str, *, wanted: bool = True) -> None:
            super().__init__(title, wanted=wanted)
            assert "photo.png" in title
            all_wanted.append(wanted)

        def __call__(self, share: float, *words: Any, **more: Any) -> bool:
            shares.append(share)
            return super().__call__(share, *words, **more)

    all_wanted = wanted
    monkeypatch.setattr("inpaintkit.cli.fill_one.ProgressBar", Recorded)
    for options in ((), ("--quiet", "-f"), ("--json", "-f")):
        assert fill(*options).status == 0
    assert wanted == [True, False, False]
    assert shares[-1] == 1
    assert all(0 <= share <= 1 for share in shares)
