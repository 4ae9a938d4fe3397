"""Hole L1, hole PSNR and sharpness of several methods on the same photos and masks, by hole area.

    python benchmarks/validation.py --images PHOTOS.tar --masks MASKS.tar --methods default,telea,ns [--features own]

Protocol. Photos are sorted by name, their short side is resized to `--size` by Pillow's Lanczos filter and the centre
is cropped; masks are sorted by name and resized by nearest neighbour; photo i gets mask i mod (number of masks). Every
method fills the 8-bit frame as a whole, hole blanked, through the engine that `inpaintkit fill --model NAME` opens; its
composite is rounded to 8 bits and compared with the photo, inside the hole only.
"""

import argparse
import hashlib
import math
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import reports
import turns
from inpaintkit.errors import DataError, UsageError
from inpaintkit.filling.engines import Engine, model_names, open_engine
from inpaintkit.masks import as_mask, decode_mask
from inpaintkit.photo import decode_photo
from inpaintkit.weights import CATALOGUE, bundled

Pixels = NDArray[np.uint8]
Hole = NDArray[np.bool_]

PROJECT = Path(__file__).resolve().parents[1]
METHODS = "default,glcic,telea,ns"
CLASSICAL = ("telea", "ns", "biharmonic")
RESAMPLES = 10_000
SEED = 0
PSNR_CEILING_DB = 100.0
"""What an exact fill counts as: its PSNR is infinite and would swallow every mean."""

LARGE_HOLE = 0.3
SHEET_ROWS = 12
DEFINITIONS = {
    "hole_l1": "mean absolute error over missing pixels and channels, per photo, in percent of the range",
    "hole_psnr": "10 log10(255^2 / mean squared error over missing pixels and channels) per photo, in dB",
    "sharpness": "sum of squares of the Laplacian (3 x 3, four neighbours, of the Rec. 601 luma) at the missing pixels "
    "of the composite over the same of the photo, per photo; photos that are flat in the hole are left out",
    "texture": "ID-MRF from the hole of the composite to the whole photo over log N, the mean of relu3_2 and relu4_2, "
    "per photo: 0 says that the photo's own patches are there, each used; 1 that nothing matches",
    "feature_distance": "1 minus the cosine of composite's and photo's features at the same place, each less the "
    "photo's mean, over the hole's positions, the mean of relu3_2 and relu4_2, per photo",
    "interval": f"95 % percentile bootstrap of the mean over photos, {RESAMPLES} resamples, seed {SEED}",
}


@dataclass(frozen=True)
class Case:
    """One photo with its hole: `truth` (S, S, 3) uint8, `hole` (S, S), True = missing."""

    name: str
    truth: Pixels
    hole: Hole


FEATURE_MEASURES = ("texture", "feature_distance")


@dataclass(frozen=True)
class Score:
    """How one method filled one photo. `sharpness` is NaN where the photo is flat in the hole.

    The feature measures are NaN where no features were asked for, or the hole is thinner than a feature position.
    """

    photo: str
    hole_ratio: float
    hole_l1: float
    hole_psnr: float
    sharpness: float
    known_changed: int
    texture: float = math.nan
    feature_distance: float = math.nan


# --- The metrics -----------------------------------------------------------------------------------------------------


def hole_l1(truth: Pixels, filled: Pixels, hole: Hole) -> float:
    """Mean absolute error over missing pixels and channels, in percent of the 8-bit range."""
    return float(np.abs(_errors(truth, filled, hole)).mean() / 255 * 100)


def hole_psnr(truth: Pixels, filled: Pixels, hole: Hole) -> float:
    """Peak signal to noise ratio over missing pixels and channels, in dB, at most `PSNR_CEILING_DB`."""
    mean_squared = float(np.square(_errors(truth, filled, hole)).mean())
    if mean_squared == 0:
        return PSNR_CEILING_DB
    return min(10 * math.log10(255**2 / mean_squared), PSNR_CEILING_DB)


def laplacian_energy(image: Pixels, hole: Hole) -> float:
    """Sum of squares of the luma's Laplacian at the missing pixels; at the rim it reaches one known pixel outward."""
    luma = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return float(np.square(cv2.Laplacian(luma, cv2.CV_64F, ksize=1)[hole]).sum())


def sharpness(truth: Pixels, filled: Pixels, hole: Hole) -> float:
    """Energy of the fill's Laplacian over the truth's: 1 is as sharp as the photo, 0 is flat, NaN if the photo is flat.

    It says how much detail there is, not whether it is the right one.
    """
    there = laplacian_energy(truth, hole)
    # Luma is computed in floating point: below one grey step in one pixel the truth counts as flat.
    return laplacian_energy(filled, hole) / there if there >= 1 else math.nan


def known_pixels_changed(truth: Pixels, filled: Pixels, hole: Hole) -> int:
    """Pixels outside the hole that differ in any channel; anything but 0 is a defect."""
    return int(np.count_nonzero((truth != filled).any(axis=2) & ~hole))


def area_bin(hole_ratio: float) -> str:
    """The table's row for a hole of this share of the frame, lower bound included."""
    if hole_ratio >= 0.6:
        return "60-100 %"
    lower = 10 * int(hole_ratio * 10)
    return f"{lower}-{lower + 10} %"


def bootstrap_interval(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values` (n,)."""
    draws = rng.integers(0, len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


class FeatureJudge:
    """Compares composites and photos by the features of one network; needs the training side of the package."""

    def __init__(self, weights: str) -> None:
        from inpaintkit.features import load_features

        self.network = load_features(weights)
        self.source = self.network.source
        self._truths: dict[str, dict[str, Any]] = {}

    def __call__(self, case: Case, filled: Pixels) -> dict[str, float]:
        """`texture` and `feature_distance` of one composite."""
        import torch
        import torch.nn.functional as F

        from inpaintkit.losses.id_mrf import id_mrf_loss, log_positions

        mask = torch.from_numpy(case.hole)[None, None].float()
        texture, distance = [], []
        with torch.inference_mode():
            if case.name not in self._truths:
                self._truths[case.name] = self._features(case.truth)
            ours, theirs = self._features(filled), self._truths[case.name]
            for name, target in theirs.items():
                inside = F.adaptive_avg_pool2d(mask, target.shape[2:])[0, 0] > 0.5
                if inside.sum() < 2:
                    return {}
                ceiling = log_positions(target, mask)
                texture.append(float(id_mrf_loss(ours[name], target, mask) / ceiling))
                centre = target.mean((2, 3), keepdim=True)
                alike = F.cosine_similarity(ours[name] - centre, target - centre)[0]
                distance.append(float(1 - alike[inside].mean()))
        return {"texture": float(np.mean(texture)), "feature_distance": float(np.mean(distance))}

    def _features(self, pixels: Pixels) -> dict[str, Any]:
        import torch

        return self.network(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255)


def score(case: Case, filled: Pixels, judge: FeatureJudge | None = None) -> Score:
    """All measures of one composite."""
    return Score(
        photo=case.name,
        hole_ratio=float(case.hole.mean()),
        hole_l1=hole_l1(case.truth, filled, case.hole),
        hole_psnr=hole_psnr(case.truth, filled, case.hole),
        sharpness=sharpness(case.truth, filled, case.hole),
        known_changed=known_pixels_changed(case.truth, filled, case.hole),
        **(judge(case, filled) if judge is not None else {}),
    )


def _errors(truth: Pixels, filled: Pixels, hole: Hole) -> NDArray[np.float64]:
    """Filled minus truth at the missing pixels, (n, 3). Raises DataError for an empty hole."""
    if not hole.any():
        raise DataError("the hole is empty, expected at least one missing pixel: there is nothing to measure")
    return filled[hole].astype(np.float64) - truth[hole].astype(np.float64)


# --- Photos and masks ------------------------------------------------------------------------------------------------


def read_members(source: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in a tar or a folder, sorted by name. Raises DataError."""
    if source.is_dir():
        files = {file.name: file for file in source.iterdir() if file.is_file() and not file.name.startswith(".")}
        yield from ((name, files[name].read_bytes()) for name in sorted(files))
        return
    try:
        with tarfile.open(source) as archive:
            members = {member.name: member for member in archive.getmembers() if member.isfile()}
            for name in sorted(members):
                content = archive.extractfile(members[name])
                assert content is not None
                yield name, content.read()
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"'{source}' cannot be read ({error}), expected a tar or a folder of pictures") from error


def crop_photo(pixels: NDArray[Any], size: int) -> Pixels:
    """The photo's short side at `size` by Lanczos, and its centre square: (size, size, 3) uint8."""
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / 257).astype(np.uint8)
    height, width = pixels.shape[:2]
    scale = size / min(height, width)
    scaled = (max(size, round(width * scale)), max(size, round(height * scale)))
    image = Image.fromarray(pixels).resize(scaled, Image.Resampling.LANCZOS)
    left, top = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def resize_mask(mask: Hole, size: int) -> Hole:
    """The mask at (size, size) by nearest neighbour."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST)) > 0


def read_cases(images: Path, masks: Path, size: int, limit: int | None) -> list[Case]:
    """The first `limit` photos with their holes, by the protocol at the top. Raises DataError."""
    holes = [resize_mask(as_mask(decode_mask(data, source=name)), size) for name, data in read_members(masks)]
    if not holes:
        raise DataError(f"'{masks}' holds no masks, expected a tar or a folder of black and white pictures")
    cases = []
    for index, (name, data) in enumerate(read_members(images)):
        if limit is not None and index >= limit:
            break
        truth = crop_photo(decode_photo(data, source=name).pixels, size)
        cases.append(Case(name, truth, holes[index % len(holes)]))
    measurable = [case for case in cases if case.hole.any()]
    if not measurable:
        raise DataError(f"'{images}' holds no photo with a hole, expected a tar or a folder of photos")
    return measurable


# --- Filling ---------------------------------------------------------------------------------------------------------


def fill(engine: Engine, case: Case) -> Pixels:
    """The engine's composite in 8 bits. The engine does not get to see what the hole held."""
    image = case.truth.astype(np.float32) / np.float32(255)
    image[case.hole] = 0
    filled = engine(image, case.hole.copy())
    return np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)


def run_method(
    engine: Engine,
    cases: Sequence[Case],
    keep: Sequence[int],
    progress: Callable[[int], None],
    judge: FeatureJudge | None = None,
) -> tuple[list[Score], dict[int, Pixels]]:
    """One method's scores on all photos, and its composites of those whose index is in `keep`."""
    scores, kept = [], {}
    for index, case in enumerate(cases):
        filled = fill(engine, case)
        scores.append(score(case, filled, judge))
        if index in keep:
            kept[index] = filled
        progress(index + 1)
    return scores, kept


def method_label(method: str) -> str:
    """How a method is called in the tables: its name, or its file's name without the folders."""
    return method if method in model_names() else Path(method).name


# --- Tables ----------------------------------------------------------------------------------------------------------


def summarise(scores: Sequence[Score]) -> dict[str, Any]:
    """Means with intervals, median and mean sharpness, and changed known pixels, over some photos."""
    row: dict[str, Any] = {"photos": len(scores)}
    for measure in ("hole_l1", "hole_psnr"):
        values = np.array([getattr(each, measure) for each in scores])
        low, high = bootstrap_interval(values, np.random.default_rng(SEED))
        row[measure] = {"mean": float(values.mean()), "low": low, "high": high}
    ratios = np.array([each.sharpness for each in scores if math.isfinite(each.sharpness)])
    row["sharpness"] = {
        "median": float(np.median(ratios)) if ratios.size else None,
        "mean": float(ratios.mean()) if ratios.size else None,
        "photos": int(ratios.size),
    }
    for measure in FEATURE_MEASURES:
        found = [value for each in scores if math.isfinite(value := getattr(each, measure))]
        row[measure] = float(np.mean(found)) if found else None
    row["known_changed"] = sum(each.known_changed for each in scores)
    return row


def rows_by_area(scores: Sequence[Score]) -> dict[str, dict[str, Any]]:
    """One summary per hole-area bin that has photos, one above 30 %, and one over all."""
    bins: dict[str, list[Score]] = {}
    for each in sorted(scores, key=lambda each: each.hole_ratio):
        bins.setdefault(area_bin(each.hole_ratio), []).append(each)
    large = [each for each in scores if each.hole_ratio > LARGE_HOLE]
    rows = {name: summarise(members) for name, members in bins.items()}
    if large:
        rows[">30 %"] = summarise(large)
    rows["all"] = summarise(scores)
    return rows


def paired_difference(ours: Sequence[Score], theirs: Sequence[Score], measure: str) -> dict[str, float]:
    """Ours minus theirs, photo by photo: the mean with its interval."""
    differences = np.array([getattr(a, measure) - getattr(b, measure) for a, b in zip(ours, theirs, strict=True)])
    low, high = bootstrap_interval(differences, np.random.default_rng(SEED))
    return {"mean": float(differences.mean()), "low": low, "high": high}


def against_classical(scores: dict[str, list[Score]]) -> list[dict[str, Any]]:
    """Every network against the classical method that is better in that measure: hole L1 over all, PSNR above 30 %."""
    classical = [name for name in scores if name in CLASSICAL]
    large = {name: [each for each in of if each.hole_ratio > LARGE_HOLE] for name, of in scores.items()}
    found = []
    for measure, area, pool, sign in (("hole_l1", "all", scores, 1), ("hole_psnr", ">30 %", large, -1)):
        if not classical or not all(pool.values()):
            continue
        best = min(classical, key=lambda name: sign * np.mean([getattr(each, measure) for each in pool[name]]))
        for name in scores:
            if name not in CLASSICAL:
                difference = paired_difference(pool[name], pool[best], measure)
                found.append({"method": name, "against": best, "measure": measure, "area": area, **difference})
    return found


def markdown(report: dict[str, Any]) -> str:
    """The report as tables a page can hold."""
    size, inputs = report["size"], report["inputs"]
    lines = [
        f"Hole metrics at {size} x {size}, {inputs['images']['used']} photos of {inputs['images']['file']}, masks of "
        f"{inputs['masks']['file']}; means with 95 % bootstrap intervals over photos.",
        "",
        "| method | hole area | photos | hole L1, % | hole PSNR, dB | sharpness, median (mean) | texture | feature "
        "distance | known changed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, method in report["methods"].items():
        for area, row in method["rows"].items():
            lines.append(
                f"| {name} | {area} | {row['photos']} | {_interval(row['hole_l1'])} | {_interval(row['hole_psnr'])} | "
                f"{_ratio(row['sharpness'])} | "
                + " | ".join("-" if row[name] is None else f"{row[name]:.3f}" for name in FEATURE_MEASURES)
                + f" | {row['known_changed']} |"
            )
    if report["against_classical"]:
        lines += [
            "",
            "| method | against | measure | hole area | difference, photo by photo |",
            "|---|---|---|---|---|",
        ]
    for row in report["against_classical"]:
        unit = "hole L1, points" if row["measure"] == "hole_l1" else "hole PSNR, dB"
        lines.append(f"| {row['method']} | {row['against']} | {unit} | {row['area']} | {_interval(row, '+.2f')} |")
    lines += ["", *(f"- {name}: {text}." for name, text in DEFINITIONS.items())]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines.append(f"- features: {report['features'] or 'not asked for'}.")
    lines.append(f"- versions: {versions}.")
    hashes = [(entry["file"], entry["sha256"]) for entry in inputs.values()]
    hashes += [pair for method in report["methods"].values() for pair in method["weights_sha256"].items()]
    lines += [f"- sha256 of {name}: `{digest}`." for name, digest in hashes if digest]
    return "\n".join(lines) + "\n"


def _interval(value: dict[str, float], form: str = ".2f") -> str:
    return f"{value['mean']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


def _ratio(value: dict[str, Any]) -> str:
    return "-" if value["median"] is None else f"{value['median']:.2f} ({value['mean']:.2f})"


# --- Where it came from ----------------------------------------------------------------------------------------------


def file_sha256(path: Path) -> str | None:
    """SHA-256 of a file; None for a folder."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weight_hashes(method: str) -> dict[str, str]:
    """File name to SHA-256 of what a method loads; empty without weights."""
    path = bundled(method).onnx if method in CATALOGUE else Path(method)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    names = [f"{path.name}/{file.name}" if path.is_dir() else file.name for file in files]
    digests = zip(names, map(file_sha256, files), strict=True)
    return {name: digest for name, digest in digests if digest is not None}


def versions() -> dict[str, str]:
    """What computed the numbers; PyTorch only where it took part."""
    packages = ["inpaintkit", "numpy", "pillow", "opencv-python-headless", "onnxruntime", "scikit-image"]
    return turns.versions([*packages, "torch"] if "torch" in sys.modules else packages)


# --- The picture sheet -----------------------------------------------------------------------------------------------


def sheet_rows(cases: Sequence[Case], rows: int = SHEET_ROWS) -> list[int]:
    """Indices of some photos, evenly spread over hole area."""
    by_area = sorted(range(len(cases)), key=lambda index: cases[index].hole.mean())
    places = np.linspace(0, len(by_area) - 1, min(rows, len(by_area)))
    return [by_area[round(place)] for place in places]


def draw_sheet(cases: Sequence[Case], rows: Sequence[int], fills: dict[str, dict[int, Pixels]], path: Path) -> None:
    """A picture with one photo a row: the hole in white, every method's fill, the truth."""
    size = cases[0].truth.shape[0]
    header = 16
    names = ["input", *fills, "truth"]
    sheet = Image.new("RGB", (len(names) * size, header + len(rows) * size), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((column * size + 3, 2), name, fill="black")
        for row, index in enumerate(rows):
            case = cases[index]
            blanked = np.where(case.hole[..., None], np.uint8(255), case.truth)
            pixels = {"input": blanked, "truth": case.truth}.get(name)
            pixels = fills[name][index] if pixels is None else pixels
            sheet.paste(Image.fromarray(pixels), (column * size, header + row * size))
    sheet.save(path)


def check_sheet(path: Path) -> None:
    """Raise UsageError for a sheet inside the project: photos for research only must not get into its history."""
    if path.resolve().is_relative_to(PROJECT):
        raise UsageError(
            f"sheet '{path}' lies inside the project, expected a place outside: photos are not ours to show"
        )


# --- The command -----------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="tar or folder of photos")
    parser.add_argument("--masks", type=Path, required=True, help="tar or folder of masks, white = missing")
    parser.add_argument("--methods", default=METHODS, help=f"names, FILE.onnx or RUN, by comma (default {METHODS})")
    parser.add_argument("--size", type=int, default=256, help="side of the frame in pixels (default 256)")
    parser.add_argument("--limit", type=int, help="only the first N photos")
    parser.add_argument("--features", help="also compare features: own, imagenet or a file (needs the train extra)")
    parser.add_argument("--sheet", type=Path, help="write a picture sheet here, outside the project")
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given, given.sheet)
    if given.size < 8 or (given.limit is not None and given.limit < 1):
        parser.error("--size must be 8 or more and --limit 1 or more")
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run every method and return the report; draws the sheet when asked."""
    if given.sheet:
        check_sheet(given.sheet)
    methods = [method.strip() for method in given.methods.split(",") if method.strip()]
    labels = [method_label(method) for method in methods]
    if not methods or len(set(labels)) < len(labels):
        raise UsageError(f"--methods is '{given.methods}', expected one or more, each of another name")
    engines = {label: open_engine(method, precision="float32") for label, method in zip(labels, methods, strict=True)}
    judge = FeatureJudge(given.features) if given.features else None
    cases = read_cases(given.images, given.masks, given.size, given.limit)
    rows = sheet_rows(cases) if given.sheet else []
    scores, fills = {}, {}
    for label, engine in engines.items():
        scores[label], fills[label] = run_method(engine, cases, rows, _progress(label, len(cases)), judge)
    if given.sheet:
        draw_sheet(cases, rows, fills, given.sheet)
    return {
        "size": given.size,
        "definitions": DEFINITIONS,
        "versions": versions(),
        "features": judge.source if judge is not None else None,
        "inputs": {
            "images": {"file": given.images.name, "sha256": file_sha256(given.images), "used": len(cases)},
            "masks": {"file": given.masks.name, "sha256": file_sha256(given.masks)},
        },
        "methods": {
            label: {
                "engine": _public(engines[label].describe()),
                "weights_sha256": weight_hashes(method),
                "rows": rows_by_area(scores[label]),
                "scores": [_finite(asdict(each)) for each in scores[label]],
            }
            for label, method in zip(labels, methods, strict=True)
        },
        "against_classical": against_classical(scores),
    }


def fault(report: dict[str, Any]) -> str:
    """What is broken by the report, as one line, or nothing."""
    changed = sum(method["rows"]["all"]["known_changed"] for method in report["methods"].values())
    return f"{changed} known pixels changed, expected none: a method is broken" if changed else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    return reports.run("validation", parse(arguments), measure, markdown, fault=fault)


def _progress(label: str, total: int) -> Callable[[int], None]:
    """A counter on a terminal's standard error; elsewhere one line at the end."""
    terminal = sys.stderr.isatty()

    def show(done: int) -> None:
        if terminal or done == total:
            start, end = "\r" if terminal else "", "\n" if done == total else ""
            print(f"{start}{label}: {done} of {total} photos", end=end, file=sys.stderr, flush=True)

    return show


def _public(description: dict[str, Any]) -> dict[str, Any]:
    """An engine's description without the folders of this machine."""
    if "file" not in description:
        return description
    return {**description, "file": Path(description["file"]).name}


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """The same with null for NaN, which JSON does not know."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


if __name__ == "__main__":
    raise SystemExit(main())
