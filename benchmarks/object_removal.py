"""Objects taken out of photos of 12 megapixels: ways to fill at full resolution, where the truth behind is known.

    python benchmarks/object_removal.py --json removal.json --markdown removal.md [--features own] [--sheet FILE.png]
    python benchmarks/object_removal.py --images FOLDER        # your own large photos
    python benchmarks/object_removal.py --quick

Objects with soft shadows are pasted over a photo, the mask covers both with a small margin, and what a method fills is
compared with the photo as it was, inside the hole, in 8 bits and at full resolution. No photo of that size may lie in
the project: the scenes are made by code (`removal_scenes.py` says how) unless `--images` gives a folder of photos.

Every method has a process of its own that fills a small photo first and then each photo once. They need the extra
`classical`, with `--features` also `train`. This process imports neither NumPy nor PyTorch, as in fill_speed.py.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reports
import turns
from inpaintkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[1]
METHODS = {
    "shrink": "the whole photo shrunk to the network's size, the fill enlarged",
    "crop": "a crop around the hole, the fill enlarged",
    "detail": "crop, and detail from the photo",
    "auto": "crop, detail and grain, as `inpaintkit fill` does by itself",
    "patch": "known patches alone, with detail and grain",
    "telea": "fast marching",
}
"""What the rows are called, and what they do."""

SIZES = (0.12, 0.35)
"""Sides of the objects over the photo's height."""

QUICK_SHAPE = (480, 640)
VIEW_PX = 256
"""Side in pixels of the views that features are compared in."""

MOST_VIEWS = 6
"""Views at full resolution that are compared at most, of one hole."""

MEASURES = ("hole_psnr", "sharpness", "texture", "feature_distance", "whole_distance")
DEFINITIONS = {
    "hole PSNR": "10 log10(255^2 / mean squared error over missing pixels and channels), in dB; blurred fills do well",
    "sharpness": "energy of the Laplacian in the hole over the photo's, at full resolution: 1 is as much fine detail "
    "as was lost, 0 is flat; it cannot tell right detail from wrong",
    "texture": f"ID-MRF over log N in views of {VIEW_PX} px at full resolution, at most {MOST_VIEWS} a hole: 0 says "
    "that the photo's own features are there, 1 that nothing matches",
    "feature distance": "1 minus the cosine of the fill's and the photo's features, place by place, in the same views",
    "of the whole": f"the same with the hole and as much around it shrunk to {VIEW_PX} px: what one sees from afar",
    "memory": "the process's most, above what it held before its first photo was read",
}


# --- Filling ---------------------------------------------------------------------------------------------------------


def fill_shrunk(pixels: "NDArray[np.uint8]", mask: "NDArray[np.bool_]", engine: Any) -> "NDArray[np.uint8]":
    """The whole photo at the network's size, filled there, and the fill enlarged: what many tools do."""
    from inpaintkit.filling.blend import composite, match_seam
    from inpaintkit.filling.scaling import enlarge_crop, from_unit, shrink_crop, to_unit

    height, width = mask.shape
    scale = max(height, width) / engine.working_size
    small, missing = shrink_crop(pixels, mask, (max(1, round(height / scale)), max(1, round(width / scale))))
    filled = match_seam(small, missing, engine(small, missing))
    return from_unit(composite(to_unit(pixels), mask, enlarge_crop(filled, (height, width))), pixels.dtype)


def open_method(name: str, model: str, engine: str, threads: int | None) -> Callable[[Any, Any], Any]:
    """What fills a photo (H, W, 3) uint8 with a mask (H, W), as the row of this name says."""
    from inpaintkit import Inpainter
    from inpaintkit.filling.engines import open_engine

    if name == "shrink":
        network = open_engine(model, engine, threads=threads)
        if network.working_size is None:
            raise UsageError(f"--model is '{model}', expected a network: it has no size to shrink to")
        return lambda pixels, mask: fill_shrunk(pixels, mask, network)
    if name in ("patch", "telea"):
        return Inpainter(name)
    switches = {"crop": {"detail": "off", "grain": "off"}, "detail": {"detail": "on", "grain": "off"}, "auto": {}}
    return Inpainter(model, engine, threads=threads, **switches[name])


def fill_all(spec: dict[str, Any]) -> dict[str, Any]:
    """One method on every photo: seconds of each, and the memory that it took; the fills lie in the folder then."""
    import numpy as np

    method = open_method(spec["method"], spec["model"], spec["engine"], spec["threads"])
    method(*_small_photo())
    before, seconds = turns.held_megabytes(), []
    for number in range(spec["photos"]):
        shown, hole = (np.load(Path(spec["folder"], f"{number}-{name}.npy")) for name in ("shown", "hole"))
        started = time.perf_counter()
        filled = method(shown, hole)
        seconds.append(time.perf_counter() - started)
        changed = int(np.count_nonzero((filled != shown).any(axis=2) & ~hole))
        if changed:
            raise UsageError(f"method '{spec['method']}' changed {changed} known pixels, expected none: it is broken")
        np.save(Path(spec["folder"], f"{number}-{spec['method']}.npy"), filled)
    return {"seconds": seconds, "memory_mb": turns.peak_megabytes() - before}


def _small_photo() -> tuple["NDArray[np.uint8]", "NDArray[np.bool_]"]:
    import numpy as np

    hole = np.zeros((96, 96), bool)
    hole[40:56, 40:56] = True
    return np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8), hole


# --- Photos ----------------------------------------------------------------------------------------------------------


def make_photos(spec: dict[str, Any]) -> dict[str, Any]:
    """Lay photos, what is shown of them and holes into the folder; returns what each is."""
    import numpy as np

    import removal_scenes

    if spec["images"] is None:
        shape = QUICK_SHAPE if spec["quick"] else removal_scenes.FULL_SIZE
        scenes, noise = removal_scenes.drawn_scenes(spec["scenes"], shape, spec["seed"]), removal_scenes.NOISE
    else:
        scenes, noise = _own_photos(Path(spec["images"])), 0.0
    photos = []
    for number, removal in enumerate(removal_scenes.removals(scenes, SIZES, spec["seed"], noise)):
        for name, values in (("truth", removal.truth), ("shown", removal.shown), ("hole", removal.hole)):
            np.save(Path(spec["folder"], f"{number}-{name}.npy"), values)
        height, width = removal.hole.shape
        missing = int(np.count_nonzero(removal.hole))
        photos.append({"name": removal.name, "height": height, "width": width, "missing": missing})
    if not photos:
        raise UsageError(f"--images '{spec['images']}' holds no photo, expected a folder of large ones")
    return {"photos": photos}


def _own_photos(folder: Path) -> Any:
    """The photos of a folder as scenes."""
    from inpaintkit.filling.scaling import to_unit
    from inpaintkit.photo import read_photo

    if not folder.is_dir():
        raise UsageError(f"--images is '{folder}', expected a folder of photos")
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            yield file.stem, to_unit(read_photo(file).pixels[..., :3])


# --- Scores ----------------------------------------------------------------------------------------------------------


def views_of(hole: "NDArray[np.bool_]", side: int = VIEW_PX, most: int = MOST_VIEWS) -> list[tuple[slice, slice]]:
    """Squares of `side` px at full resolution that together show a hole: those of an even grid that hold most of it."""
    import numpy as np

    height, width = hole.shape
    side = min(side, height, width)
    rows, columns = np.nonzero(hole)
    found = []
    for top in range(int(rows.min()), int(rows.max()) + 1, side):
        for left in range(int(columns.min()), int(columns.max()) + 1, side):
            down, along = min(top, height - side), min(left, width - side)
            square = slice(down, down + side), slice(along, along + side)
            found.append((int(np.count_nonzero(hole[square])), square))
    fullest = sorted(found, key=lambda each: -each[0])
    return [square for missing, square in fullest[:most] if missing > 0]


def whole_view(hole: "NDArray[np.bool_]") -> tuple[slice, slice]:
    """The square around a hole with as much on every side as half of its extent, within the photo."""
    import numpy as np

    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    extent = int(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
    spans = []
    for places, size in zip((rows, columns), hole.shape, strict=True):
        length = min(2 * extent, size)
        start = min(max(int(places[0] + places[-1] + 1 - length) // 2, 0), size - length)
        spans.append(slice(start, start + length))
    return spans[0], spans[1]


def score_all(spec: dict[str, Any]) -> dict[str, Any]:
    """Every measure of every method on every photo."""
    import numpy as np

    scores: dict[str, list[dict[str, float | None]]] = {name: [] for name in spec["methods"]}
    for number in range(len(spec["photos"])):
        truth, hole = (np.load(Path(spec["folder"], f"{number}-{name}.npy")) for name in ("truth", "hole"))
        fills = {name: np.load(Path(spec["folder"], f"{number}-{name}.npy")) for name in spec["methods"]}
        for name, score in score_photo(truth, hole, fills, spec["features"]).items():
            scores[name].append(score)
    return {"scores": scores}


def score_photo(
    truth: "NDArray[np.uint8]",
    hole: "NDArray[np.bool_]",
    fills: dict[str, "NDArray[np.uint8]"],
    features: str | None,
) -> dict[str, dict[str, float | None]]:
    """The measures of several fills of one photo; None for what was not asked for, or says nothing here."""
    from inpaintkit.evaluation.metrics import measure

    found: dict[str, dict[str, float | None]] = {}
    for name, filled in fills.items():
        plain = measure(truth, filled, hole, ("hole_psnr", "sharpness"))
        row: dict[str, float | None] = dict.fromkeys(MEASURES)
        row["hole_psnr"] = plain["hole_psnr"]
        row["sharpness"] = _mean_of_numbers([plain["sharpness"]])
        found[name] = row
    if features:
        for name, measured in measure_photo(truth, hole, fills, features).items():
            found[name] |= measured
    return found


def measure_photo(
    truth: "NDArray[np.uint8]", hole: "NDArray[np.bool_]", fills: dict[str, "NDArray[np.uint8]"], features: str
) -> dict[str, dict[str, float | None]]:
    """What the features say of several fills of one photo: from near, the mean over views, and from afar."""
    from inpaintkit.evaluation.metrics.features import FeatureDistance

    distance = FeatureDistance(features)
    near: dict[str, list[dict[str, float]]] = {name: [] for name in fills}
    for at in views_of(hole):  # view by view, since the network keeps the features of the last truth
        for name, filled in fills.items():
            near[name].append(distance(truth[at], filled[at], hole[at]))
    whole = whole_view(hole)
    afar_truth, afar_hole = _from_afar(truth[whole]), _from_afar(255 * hole[whole].astype("uint8")) > 127
    found = {}
    for name, filled in fills.items():
        afar = distance(afar_truth, _from_afar(filled[whole]), afar_hole)["feature_distance"]
        row = {measure: _mean_of_numbers([each[measure] for each in near[name]]) for measure in near[name][0]}
        found[name] = {**row, "whole_distance": _mean_of_numbers([afar])}
    return found


def _from_afar(picture: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """A view shrunk to the side that features are compared in."""
    import cv2

    return cv2.resize(picture, (VIEW_PX, VIEW_PX), interpolation=cv2.INTER_AREA)


def _mean_of_numbers(values: Sequence[float]) -> float | None:
    """The mean of what is a number: features say nothing of a hole that is thinner than one of their places."""
    return mean_of([None if math.isnan(value) else value for value in values])


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of what was measured; None without any."""
    measured = [value for value in values if value is not None]
    return statistics.mean(measured) if measured else None


# --- Processes and report --------------------------------------------------------------------------------------------


def serve(spec: dict[str, Any]) -> None:
    """What a process of this script does: make photos, fill them all by one method, score or draw."""
    answer = turns.answering()
    does = {"make": make_photos, "fill": fill_all, "score": score_all, "draw": draw_sheet}
    answer(**does[spec["does"]](spec))


def draw_sheet(spec: dict[str, Any]) -> dict[str, Any]:
    """A picture with one photo a row: the hole and its fills from afar, and below the middle of them at full size."""
    import cv2
    import numpy as np

    rows, side = [], 320
    for number in range(len(spec["photos"])):
        names = ("shown", *spec["methods"], "truth")
        pictures = [np.load(Path(spec["folder"], f"{number}-{name}.npy")) for name in names]
        hole = np.load(Path(spec["folder"], f"{number}-hole.npy"))
        around = whole_view(hole)
        afar = [cv2.resize(each[around], (side, side), interpolation=cv2.INTER_AREA) for each in pictures]
        square = views_of(hole, side, 1)[0]
        near = [cv2.resize(each[square], (side, side), interpolation=cv2.INTER_NEAREST) for each in pictures]
        rows += [np.hstack(afar), np.hstack(near)]
    encoded = cv2.imencode(".png", np.vstack(rows)[..., ::-1])[1]
    Path(spec["sheet"]).write_bytes(encoded.tobytes())
    return {}


def markdown(report: dict[str, Any]) -> str:
    """The report as tables a page can hold."""
    photos = report["photos"]
    megapixels = statistics.mean(each["height"] * each["width"] for each in photos) / 1e6
    lines = [
        f"Objects taken out of {len(photos)} photos of {megapixels:.1f} megapixels ({report['source']}) with "
        f"{report['model']}, engine {report['engine']}; means over photos, all measures inside the hole."
        + (" A rehearsal: the numbers mean nothing." if report["quick"] else ""),
        "",
        *reports.machine_lines(report["conditions"]),
        "",
        "| method | hole PSNR, dB | sharpness | texture | feature distance | of the whole | seconds | s per million "
        "missing | memory, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    missing = sum(each["missing"] for each in photos) / 1e6
    for name, row in report["methods"].items():
        means = [row["means"][measure] for measure in MEASURES]
        shown = ["-" if value is None else f"{value:.{2 if at < 2 else 3}f}" for at, value in enumerate(means)]
        total = sum(row["seconds"])
        lines.append(
            f"| {METHODS[name]} | {' | '.join(shown)} | {total / len(photos):.1f} | {total / missing:.1f} | "
            f"{row['memory_mb']:.0f} |"
        )
    lines += [
        "",
        "| photo | missing, MP | " + " | ".join(f"{name}: PSNR, sharpness" for name in report["methods"]) + " |",
    ]
    lines.append("|---|---|" + "---|" * len(report["methods"]))
    for number, photo in enumerate(photos):
        cells = []
        for row in report["methods"].values():
            score = row["scores"][number]
            sharp = "-" if score["sharpness"] is None else f"{score['sharpness']:.2f}"
            cells.append(f"{score['hole_psnr']:.2f}, {sharp}")
        lines.append(f"| {photo['name']} | {photo['missing'] / 1e6:.2f} | {' | '.join(cells)} |")
    lines += ["", *(f"- {name}: {text}." for name, text in DEFINITIONS.items())]
    lines.append(f"- features: {report['features'] or 'not asked for'}.")
    return "\n".join(lines) + "\n"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--images", type=Path, help="a folder of large photos to use instead of the made ones")
    parser.add_argument("--model", default="default", help="the network of the first rows (default default)")
    parser.add_argument("--engine", default="auto", help="what runs it: auto, onnx, openvino or torch (default auto)")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"by comma, of {', '.join(METHODS)} (default all)")
    parser.add_argument("--features", help="also compare features: own, imagenet or a file (needs the train extra)")
    parser.add_argument("--seed", type=int, default=0, help="another number makes other scenes (default 0)")
    parser.add_argument("--quick", action="store_true", help="a rehearsal with two small scenes")
    parser.add_argument("--sheet", type=Path, help="draw every fill here")
    parser.add_argument("--threads", type=int, help="threads of every method (default: each library's own)")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given, given.sheet)
    if given.sheet is not None and given.images is not None and given.sheet.resolve().is_relative_to(PROJECT):
        parser.error(f"--sheet {given.sheet} lies inside the project: photos of others must not get into its history")
    given.methods = reports.chosen(parser, given.methods, "method", tuple(METHODS))
    if given.seed < 0:
        parser.error("--seed must be 0 or more")
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Make the photos, let every method fill them, score the fills, and return the report."""
    machine = turns.conditions(given.threads)  # before the first process: the load average is of others
    scenes = ["path", "table"] if given.quick else ["meadow", "wall", "planks", "path", "table", "cat"]
    with tempfile.TemporaryDirectory() as folder:
        common = {"folder": folder, "model": given.model, "engine": given.engine, "threads": given.threads}
        images = None if given.images is None else str(given.images.resolve())
        request = {**common, "does": "make", "images": images, "scenes": scenes, "seed": given.seed}
        photos = _ask({**request, "quick": given.quick}, "makes the photos")["photos"]
        print(f"{len(photos)} photos are made", file=sys.stderr)
        methods = {}
        for name in given.methods:
            spec = {**common, "does": "fill", "method": name, "photos": len(photos)}
            methods[name] = _ask(spec, f"fills by method '{name}'")
            print(f"{name}: {sum(methods[name]['seconds']):.0f} s", file=sys.stderr)
        request = {**common, "photos": photos, "methods": given.methods}
        scores = _ask({**request, "does": "score", "features": given.features}, "scores the fills")["scores"]
        if given.sheet is not None:
            _ask({**request, "does": "draw", "sheet": str(given.sheet)}, "draws the sheet")
    for name, row in methods.items():
        row["scores"] = scores[name]
        row["means"] = {measure: mean_of([each[measure] for each in scores[name]]) for measure in MEASURES}
    return {
        "conditions": machine,
        "quick": given.quick,
        "source": "made by code" if given.images is None else given.images.name,
        "seed": given.seed,
        "model": given.model,
        "engine": given.engine,
        "features": given.features,
        "definitions": DEFINITIONS,
        "photos": photos,
        "methods": methods,
    }


def _ask(spec: dict[str, Any], what: str) -> dict[str, Any]:
    found: dict[str, Any] = turns.ask(__file__, spec, what, threads=spec["threads"])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    return reports.run("object_removal", parse(arguments), measure, markdown, serve=serve)


if __name__ == "__main__":
    raise SystemExit(main())
