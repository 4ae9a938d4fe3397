"""Seconds and peak memory of a fill: the light engine beside the same network in eager PyTorch, in the same run.

    python benchmarks/fill_speed.py --model default
    python benchmarks/fill_speed.py --onnx FILE.onnx --weights FILE.safetensors

Every variant runs in a process of its own; all of them stay open and take turns (turns.py). A ratio is the median over
the rounds of the two variants' times in the same round.
The reference is the network as its file describes it, float32, with PyTorch's and the C library's default settings; it
is timed on tensors that are ready, while the engines are timed from NumPy array to NumPy array.

This process imports neither NumPy nor PyTorch: on Linux a child's peak memory starts at its parent's.
"""

import argparse
import hashlib
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reports
import turns
from inpaintkit.errors import InpaintError, ModelError, UsageError
from inpaintkit.weights import CATALOGUE, bundled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PHOTO_SHAPE = (3000, 4000)
HOLE_SIDE_PX = 300
SAME_NETWORK = 0.02
"""Largest difference, in [0,1], between two variants' outputs averaged over an 8 x 8 grid; bfloat16 stays below."""

VARIANTS = {
    "eager": "PyTorch eager, float32, defaults",
    "light": "light engine (ONNX Runtime)",
    "bfloat16": "torch engine, bfloat16, freed memory kept",
    "photo": "whole photo in memory, light engine",
    "crop": "the hole's crop as a photo, light engine",
    "engine": "the bare crop, one call of the light engine",
}
"""What runs in a process, and how the tables call it."""


@dataclass(frozen=True)
class Case:
    """What is filled: a frame given to the network as it is, or a photo with a small hole; and by which variants."""

    title: str
    shape: tuple[int, int]
    variants: tuple[str, ...]
    reference: str
    calls_per_turn: int


CASES = {
    "256": Case("256 x 256 frame", (256, 256), ("eager", "light", "bfloat16"), "eager", 4),
    "512": Case("512 x 512 frame", (512, 512), ("eager", "light", "bfloat16"), "eager", 2),
    "photo": Case(
        f"12-megapixel photo, {HOLE_SIDE_PX}-pixel hole", PHOTO_SHAPE, ("engine", "crop", "photo", "eager"), "engine", 3
    ),
}

AIMS = (
    ("256", "light", "eager", 0.88),
    ("512", "light", "eager", 0.70),
    ("256", "bfloat16", "eager", 0.40),
    ("512", "bfloat16", "eager", 0.40),
    ("photo", "photo", "engine", 1.30),
    ("photo", "photo", "crop", 1.30),
)
"""Case, variant, what it is compared with, and the largest ratio of the two that is aimed at."""


# --- The measured processes ------------------------------------------------------------------------------------------


def draw_photo(height: int, width: int) -> "NDArray[np.uint8]":
    """A drawn photo (H, W, 3) with detail at every scale, the same every time; mirrored tiles, so drawing is cheap."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    side = 512
    tile = np.zeros((side, side, 3), np.float32)
    for octave in range(1, 9):
        cells = 2**octave
        noise = rng.standard_normal((cells, cells, 3), dtype=np.float32)
        tile += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC) / cells
    pixels = np.clip(128 + 80 * tile, 0, 255).astype(np.uint8)
    pad = ((0, max(height - side, 0)), (0, max(width - side, 0)), (0, 0))
    return np.ascontiguousarray(np.pad(pixels, pad, mode="symmetric")[:height, :width])


def draw_hole(height: int, width: int, side: int) -> "NDArray[np.bool_]":
    """A square hole (H, W), True = missing, a little off the centre."""
    import numpy as np

    hole = np.zeros((height, width), bool)
    top, left = (height - side) * 3 // 7, (width - side) * 4 // 7
    hole[top : top + side, left : left + side] = True
    return hole


def prepare_frame(shape: tuple[int, int]) -> tuple["NDArray[np.float32]", "NDArray[np.bool_]"]:
    """A frame for a network, float32 in [0,1] with its hole blanked, and the hole: half of each side."""
    import numpy as np

    hole = draw_hole(*shape, side=shape[0] // 2)
    image = draw_photo(*shape).astype(np.float32) / np.float32(255)
    image[hole] = 0
    return image, hole


def prepare_crop(working_size: int | None) -> tuple["NDArray[np.uint8]", "NDArray[np.bool_]", tuple[int, int]]:
    """A crop like the one that the photo's hole is filled in, its hole, and the size at which the network sees it."""
    from inpaintkit.filling.regions import plan_regions

    hole = draw_hole(*PHOTO_SHAPE, side=HOLE_SIDE_PX)
    (region,) = plan_regions(hole, working_size)
    return draw_photo(region.height, region.width), region.holes, region.working_shape


def prepare_working_frame(working_size: int | None) -> tuple["NDArray[np.float32]", "NDArray[np.bool_]"]:
    """That crop as the network gets it."""
    import numpy as np

    from inpaintkit.filling.scaling import shrink_crop

    pixels, hole, working_shape = prepare_crop(working_size)
    return shrink_crop(pixels.astype(np.float32) / np.float32(255), hole, working_shape)


def eager_fill(spec: dict[str, Any]) -> Callable[[], "NDArray[Any]"]:
    """The network as its weights file describes it, called as its paper's code would call it."""
    import torch

    from inpaintkit.models.published import load_generator
    from inpaintkit.tensors import composite

    generator, description = load_generator(Path(spec["weights"]))
    if spec["case"] == "photo":
        pixels, hole = prepare_working_frame(description.get("working_size", description.get("training_size", 256)))
    else:
        pixels, hole = prepare_frame(tuple(spec["shape"]))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    mask = torch.from_numpy(hole)[None, None].float()

    def run() -> "NDArray[Any]":
        with torch.inference_mode():
            return composite(image, mask, generator(image, mask).image)[0].permute(1, 2, 0).numpy()

    return run


def light_fill(spec: dict[str, Any]) -> Callable[[], "NDArray[Any]"]:
    """The light engine on a frame, or on the photo's crop as the network gets it."""
    from inpaintkit.filling.engines import open_engine

    engine = open_engine(spec["onnx"], "onnx", threads=spec["threads"])
    if spec["case"] == "photo":
        image, hole = prepare_working_frame(engine.working_size)
    else:
        image, hole = prepare_frame(tuple(spec["shape"]))
    return lambda: engine(image, hole)


def bfloat16_fill(spec: dict[str, Any]) -> Callable[[], "NDArray[Any]"]:
    """The torch engine in bfloat16, as `inpaintkit fill` sets it up."""
    from inpaintkit.filling.engines import open_engine
    from inpaintkit.models.runtime import keep_freed_memory

    engine = open_engine(spec["weights"], "torch", "bfloat16")
    keep_freed_memory()
    image, hole = prepare_frame(tuple(spec["shape"]))
    return lambda: engine(image, hole)


def photo_fill(spec: dict[str, Any]) -> Callable[[], "NDArray[Any]"]:
    """`Inpainter` on the photo in memory, or on the hole's crop alone, without what full_resolution.py measures."""
    from inpaintkit import Inpainter

    inpainter = Inpainter(spec["onnx"], "onnx", detail="off", grain="off", threads=spec["threads"])
    if spec["variant"] == "crop":
        pixels, hole, _ = prepare_crop(inpainter.engine.working_size)
    else:
        pixels, hole = draw_photo(*PHOTO_SHAPE), draw_hole(*PHOTO_SHAPE, side=HOLE_SIDE_PX)
    return lambda: inpainter(pixels, hole)


PREPARE: dict[str, Callable[[dict[str, Any]], Callable[[], "NDArray[Any]"]]] = {
    "eager": eager_fill,
    "light": light_fill,
    "bfloat16": bfloat16_fill,
    "engine": light_fill,
    "photo": photo_fill,
    "crop": photo_fill,
}
"""Variant to the function that makes everything ready and returns the call to be timed."""


def grid_means(output: "NDArray[Any]") -> list[float]:
    """The output averaged over an 8 x 8 grid, to tell whether two variants computed the same."""
    import numpy as np

    height, width = output.shape[0] // 8 * 8, output.shape[1] // 8 * 8
    blocks = output[:height, :width].reshape(8, height // 8, 8, width // 8, -1)
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3), dtype=np.float64)
    return [float(value) for value in means.ravel()]


def serve(spec: dict[str, Any]) -> None:
    """What a process of this script does: time files, or get ready, fill once and take turns."""
    answer = turns.answering()
    if "files" in spec:
        answer(**time_files(spec["files"]))
        return
    run = PREPARE[spec["variant"]](spec)
    before = turns.peak_megabytes()
    means = grid_means(run())
    torch = sys.modules.get("torch")
    answer(means=means, before_mb=before, torch_threads=torch.get_num_threads() if torch else None)
    turns.answer_turns(answer, run)


def time_files(repeats: int) -> dict[str, dict[str, float]]:
    """Seconds to decode and to encode the photo in memory, and the file's size, by format."""
    from inpaintkit.photo import Photo, decode_photo, encode_photo

    photo = Photo(pixels=draw_photo(*PHOTO_SHAPE))
    found = {}
    for name in ("JPEG", "PNG"):
        encoded, encode_s = turns.median_seconds(partial(encode_photo, photo, name), repeats)
        _, decode_s = turns.median_seconds(partial(decode_photo, encoded), repeats)
        found[name] = {"decode_s": decode_s, "encode_s": encode_s, "megabytes": len(encoded) / 1e6}
    return found


# --- Taking turns ----------------------------------------------------------------------------------------------------


def run_case(name: str, model: dict[str, Any], rounds: int, threads: int | None) -> dict[str, dict[str, Any]]:
    """All variants of one case, taking turns. Raises InpaintError when they do not compute the same."""
    case = CASES[name]
    specs = (
        {"case": name, "variant": each, "shape": case.shape, "threads": threads, **model} for each in case.variants
    )
    starts = (turns.start(__file__, spec["variant"], spec, threads=threads) for spec in specs)
    with turns.all_ready(starts) as workers:
        check_same(name, workers)
        turns.take_turns(case.title, workers, rounds, case.calls_per_turn)
        reference = next(worker for worker in workers if worker.variant == case.reference)
        return {worker.variant: turns.summarise(worker, reference) for worker in workers}


def check_same(case: str, workers: Sequence[turns.Worker]) -> None:
    """Raise InpaintError when the variants on one frame disagree: then they are not one network."""
    if case == "photo":
        return
    first = workers[0]
    for worker in workers[1:]:
        pairs = zip(worker.ready["means"], first.ready["means"], strict=True)
        worst = max(abs(a - b) for a, b in pairs)
        if not worst <= SAME_NETWORK:
            raise InpaintError(
                f"variant '{worker.variant}' differs from '{first.variant}' by {worst:.3g}, expected at most "
                f"{SAME_NETWORK}: give the ONNX file and the weights of one network"
            )


# --- The report ------------------------------------------------------------------------------------------------------


def compare_with_aims(cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every aim beside what was measured."""
    found = []
    for case, variant, reference, aim in AIMS:
        if case in cases:
            rounds = (cases[case][name]["rounds_s"] for name in (variant, reference))
            measured = statistics.median(turns.paired_ratios(*rounds))
            names = {"case": case, "variant": variant, "reference": reference}
            found.append({**names, "aim": aim, "measured": measured, "met": measured <= aim})
    return found


def markdown(report: dict[str, Any]) -> str:
    """The report as tables a page can hold."""
    threads = next(
        (v["torch_threads"] for c in report["cases"].values() for v in c.values() if v["torch_threads"]), None
    )
    lines = [
        f"Filling with {report['model']['name']}, batch 1, {report['rounds']} rounds.",
        "",
        *reports.machine_lines(report["conditions"], torch_threads=threads),
    ]
    for name, variants in report["cases"].items():
        case = CASES[name]
        lines += [
            "",
            f"| {case.title} | median, ms | minimum, ms | ratio (lowest to highest round) | ratio of minima | "
            "peak memory, MB (before the first fill) |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(VARIANTS[variant], row) for variant, row in variants.items()]
        lines += ["", f"Ratios are to: {VARIANTS[case.reference]}."]
    if report["files"]:
        lines += ["", "| 12-megapixel photo as | decode, ms | encode, ms | megabytes |", "|---|---|---|---|"]
    for name, row in report["files"].items():
        lines.append(f"| {name} | {1e3 * row['decode_s']:.0f} | {1e3 * row['encode_s']:.0f} | {row['megabytes']:.1f} |")
    lines += ["", "| aim | at most | measured | |", "|---|---|---|---|"]
    for aim in report["aims"]:
        what = f"{CASES[aim['case']].title}: {VARIANTS[aim['variant']]} / {VARIANTS[aim['reference']]}"
        lines.append(f"| {what} | {aim['aim']:.2f} | {aim['measured']:.2f} | {'met' if aim['met'] else 'missed'} |")
    lines += ["", *(f"- sha256 of {name}: `{digest}`." for name, digest in report["model"]["sha256"].items())]
    return "\n".join(lines) + "\n"


def _row(title: str, row: dict[str, Any]) -> str:
    return (
        f"| {title} | {1e3 * row['median_s']:.0f} | {1e3 * row['min_s']:.0f} | {row['ratio']:.2f} "
        f"({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f}) | {row['ratio_of_minima']:.2f} | "
        f"{row['peak_mb']:.0f} ({row['before_mb']:.0f}) |"
    )


# --- The command -----------------------------------------------------------------------------------------------------


def find_model(given: argparse.Namespace) -> dict[str, Any]:
    """The model's two files, ONNX for the light engine and safetensors for PyTorch, with their checksums."""
    if given.onnx or given.weights:
        onnx, weights = given.onnx, given.weights
    elif given.model in CATALOGUE:
        entry = bundled(given.model)
        onnx, weights = entry.onnx, entry.safetensors
    else:
        onnx, weights = Path(given.model).with_suffix(".onnx"), Path(given.model).with_suffix(".safetensors")
    if onnx is None or weights is None:
        raise UsageError("one of the model's two files is missing, expected --onnx FILE and --weights FILE together")
    for file in (onnx, weights):
        if not file.is_file():
            raise ModelError(
                f"'{file}' does not exist, expected {' or '.join(CATALOGUE)}, or a model's .onnx and .safetensors"
            )
    name = given.model if given.model in CATALOGUE and not given.onnx else onnx.stem
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (onnx, weights)}
    return {"name": name, "onnx": str(onnx.resolve()), "weights": str(weights.resolve()), "sha256": digests}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument(
        "--model", default="default", help="a bundled name, or FILE.onnx with FILE.safetensors beside it"
    )
    parser.add_argument("--onnx", type=Path, help="the model for the light engine")
    parser.add_argument("--weights", type=Path, help="the same model's .safetensors for PyTorch")
    parser.add_argument("--cases", default=",".join(CASES), help=f"by comma, of {', '.join(CASES)} (default all)")
    reports.add_turn_options(parser, rounds=7)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    given.cases = reports.chosen(parser, given.cases, "case", list(CASES))
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run all cases and return the report."""
    model = find_model(given)
    machine = turns.conditions(given.threads)  # before the first process: the load average is of others
    cases = {name: run_case(name, model, given.rounds, given.threads) for name in given.cases}
    request = {"files": min(given.rounds, 3)}
    files = turns.ask(__file__, request, "decodes and encodes", threads=given.threads) if "photo" in cases else {}
    return {
        "conditions": machine,
        "model": {"name": model["name"], "sha256": model["sha256"]},
        "rounds": given.rounds,
        "cases": cases,
        "files": files,
        "aims": compare_with_aims(cases),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    return reports.run("fill_speed", parse(arguments), measure, markdown, serve=serve)


if __name__ == "__main__":
    raise SystemExit(main())
