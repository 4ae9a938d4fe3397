"""Seconds and peak memory of a fill: the light engine beside the same network in eager PyTorch, in the same run.

    python benchmarks/fill_speed.py --model default
    python benchmarks/fill_speed.py --onnx FILE.onnx --weights FILE.safetensors

Every variant runs in a process of its own; all of them stay open and take turns (A B C, C B A, ...), so that a machine
that slows down slows all of them. A ratio is the median over the rounds of the two variants' times in the same round.
The reference is the network as its file describes it, float32, with PyTorch's and the C library's default settings; it
is timed on tensors that are ready, while the engines are timed from NumPy array to NumPy array.

This process imports neither NumPy nor PyTorch: on Linux a child's peak memory starts at its parent's.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from inpaintkit.errors import InpaintError, ModelError, UsageError
from inpaintkit.weights import CATALOGUE, bundled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PHOTO_SHAPE = (3000, 4000)
HOLE_SIDE_PX = 300
PAUSE_S = 0.2
"""Rest between two turns: a runtime's threads go on spinning for a moment after their work."""

SAME_NETWORK = 0.02
"""Largest difference, in [0,1], between two variants' outputs averaged over an 8 x 8 grid; bfloat16 stays below."""

TUNING_VARIABLES = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "THP_MEM_ALLOC_ENABLE", "OMP_", "MKL_", "KMP_", "GOMP_")
"""Environment variables that would change the default settings; the measured processes do not inherit them."""

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

    from inpaintkit.filling.regions import shrink_crop

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
    """`Inpainter` on the photo in memory, or on the hole's crop alone."""
    from inpaintkit import Inpainter

    inpainter = Inpainter(spec["onnx"], "onnx", threads=spec["threads"])
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


def peak_megabytes() -> float:
    """The most memory this process ever held, in 10^6 bytes."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def grid_means(output: "NDArray[Any]") -> list[float]:
    """The output averaged over an 8 x 8 grid, to tell whether two variants computed the same."""
    import numpy as np

    height, width = output.shape[0] // 8 * 8, output.shape[1] // 8 * 8
    blocks = output[:height, :width].reshape(8, height // 8, 8, width // 8, -1)
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3), dtype=np.float64)
    return [float(value) for value in means.ravel()]


def serve_turns(spec: dict[str, Any]) -> None:
    """Answer the parent on standard input and output: get ready, run turns of timed calls, say what memory it took."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get between the answers

    def answer(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    run = PREPARE[spec["variant"]](spec)
    before = peak_megabytes()
    means = grid_means(run())
    torch = sys.modules.get("torch")
    answer(means=means, before_mb=before, torch_threads=torch.get_num_threads() if torch else None)
    for line in sys.stdin:
        calls = json.loads(line)
        run()
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        answer(seconds=seconds, peak_mb=peak_megabytes())


def time_files(repeats: int) -> dict[str, dict[str, float]]:
    """Seconds to decode and to encode the photo in memory, and the file's size, by format."""
    from inpaintkit.photo import Photo, decode_photo, encode_photo

    photo = Photo(pixels=draw_photo(*PHOTO_SHAPE))
    found = {}
    for name in ("JPEG", "PNG"):
        encoded, encode_s = _median_seconds(partial(encode_photo, photo, name), repeats)
        _, decode_s = _median_seconds(partial(decode_photo, encoded), repeats)
        found[name] = {"decode_s": decode_s, "encode_s": encode_s, "megabytes": len(encoded) / 1e6}
    return found


def _median_seconds(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The call's last result, and its median duration."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - started)
    return result, statistics.median(seconds)


# --- Taking turns ----------------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """A process that runs one variant, and what it has measured: one list of seconds per round."""

    variant: str
    process: subprocess.Popen[str]
    ready: dict[str, Any] = field(default_factory=dict)
    rounds: list[list[float]] = field(default_factory=list)
    peak_mb: float = 0.0

    def wait_ready(self) -> None:
        """Wait until the variant has filled once. Raises InpaintError."""
        self.ready = self._answer()

    def turn(self, calls: int) -> None:
        """One round's timed calls. Raises InpaintError."""
        assert self.process.stdin is not None
        print(json.dumps(calls), file=self.process.stdin, flush=True)
        answer = self._answer()
        self.rounds.append(answer["seconds"])
        self.peak_mb = answer["peak_mb"]

    def _answer(self) -> dict[str, Any]:
        stream: IO[str] | None = self.process.stdout
        assert stream is not None
        line = stream.readline()
        if not line:
            raise InpaintError(f"the process of variant '{self.variant}' ended early: see its error above")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it end; a process that does not is ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
            self.process.wait(timeout=1 if kind else 30)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def child_environment(threads: int | None) -> dict[str, str]:
    """The environment of the measured processes: default settings, the processor only."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(TUNING_VARIABLES)}
    kept["CUDA_VISIBLE_DEVICES"] = ""
    return kept if threads is None else {**kept, "OMP_NUM_THREADS": str(threads)}


def start(spec: dict[str, Any]) -> Worker:
    """A new process for one variant."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "--worker", json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(spec["threads"]),
        text=True,
        encoding="utf-8",
    )
    return Worker(spec["variant"], process)


def run_case(name: str, model: dict[str, Any], rounds: int, threads: int | None) -> dict[str, dict[str, Any]]:
    """All variants of one case, taking turns. Raises InpaintError when they do not compute the same."""
    case = CASES[name]
    with ExitStack() as stack:
        workers = []
        for variant in case.variants:  # one after the other: loading must not disturb loading
            spec = {"case": name, "variant": variant, "shape": case.shape, "threads": threads, **model}
            worker = stack.enter_context(start(spec))
            worker.wait_ready()
            workers.append(worker)
        check_same(name, workers)
        for number in range(rounds):
            for worker in workers if number % 2 == 0 else reversed(workers):
                time.sleep(PAUSE_S)
                worker.turn(case.calls_per_turn)
        print(f"{case.title}: {rounds} rounds done", file=sys.stderr)
        reference = next(worker for worker in workers if worker.variant == case.reference)
        return {worker.variant: summarise(worker, reference) for worker in workers}


def check_same(case: str, workers: Sequence[Worker]) -> None:
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


def paired_ratios(rounds: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> list[float]:
    """One ratio of medians per round of two variants that took turns."""
    return [statistics.median(a) / statistics.median(b) for a, b in zip(rounds, reference, strict=True)]


def summarise(worker: Worker, reference: Worker) -> dict[str, Any]:
    """Medians, minima, memory and ratios of one variant."""
    seconds = [each for turn in worker.rounds for each in turn]
    theirs = [each for turn in reference.rounds for each in turn]
    ratios = paired_ratios(worker.rounds, reference.rounds)
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "calls": len(seconds),
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "ratio_of_minima": min(seconds) / min(theirs),
        "peak_mb": worker.peak_mb,
        "before_mb": worker.ready["before_mb"],
        "torch_threads": worker.ready["torch_threads"],
        "rounds_s": worker.rounds,
    }


def run_files(repeats: int, threads: int | None) -> dict[str, dict[str, float]]:
    """`time_files` in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", json.dumps({"files": repeats})]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=child_environment(threads), check=False)
    if done.returncode:
        raise InpaintError("the process that decodes and encodes ended early: see its error above")
    return json.loads(done.stdout)


# --- The report ------------------------------------------------------------------------------------------------------


def compare_with_aims(cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every aim beside what was measured."""
    found = []
    for case, variant, reference, aim in AIMS:
        if case in cases:
            rounds = (cases[case][name]["rounds_s"] for name in (variant, reference))
            measured = statistics.median(paired_ratios(*rounds))
            names = {"case": case, "variant": variant, "reference": reference}
            found.append({**names, "aim": aim, "measured": measured, "met": measured <= aim})
    return found


def conditions(threads: int | None) -> dict[str, Any]:
    """The machine and the versions, as far as they are known without loading anything."""
    packages = ("inpaintkit", "numpy", "opencv-python-headless", "onnxruntime", "openvino", "torch")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    processor, flags = _processor()
    return {
        "processor": processor,
        "bfloat16_instructions": bool(flags & {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}) if flags else None,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads or "defaults",
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver()).strip()}",
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "versions": versions,
    }


def _processor() -> tuple[str, set[str]]:
    """The processor's name and its instruction sets, where Linux tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), set()
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags") or facts.get("Features") or ""
    return facts.get("model name") or platform.machine(), set(flags.split())


def markdown(report: dict[str, Any]) -> str:
    """The report as tables a page can hold."""
    machine = report["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    bfloat16 = {True: "with", False: "without", None: "perhaps with"}[machine["bfloat16_instructions"]]
    threads = next(
        (v["torch_threads"] for c in report["cases"].values() for v in c.values() if v["torch_threads"]), "?"
    )
    lines = [
        f"Filling with {report['model']['name']}, batch 1, {report['rounds']} rounds.",
        "",
        f"- {machine['processor']}, {machine['cores']} cores, {bfloat16} bfloat16 instructions; {machine['system']}",
        f"- threads: {machine['threads']} (PyTorch: {threads}); {versions}",
        f"- load average before the start: {' '.join(map(str, machine['load_average_before']))}{_busy(machine)}",
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


def _busy(machine: dict[str, Any]) -> str:
    """A warning when others were at work."""
    return (
        " (other work was running: only the ratios mean something)" if machine["load_average_before"][0] > 0.5 else ""
    )


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="default", help="a bundled name, or FILE.onnx with FILE.safetensors beside it"
    )
    parser.add_argument("--onnx", type=Path, help="the model for the light engine")
    parser.add_argument("--weights", type=Path, help="the same model's .safetensors for PyTorch")
    parser.add_argument("--cases", default=",".join(CASES), help=f"by comma, of {', '.join(CASES)} (default all)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every variant (default 7)")
    parser.add_argument("--threads", type=int, help="threads of every variant (default: each library's own)")
    parser.add_argument("--json", type=Path, help="write everything here, every call's seconds included")
    parser.add_argument("--markdown", type=Path, help="write the tables here too")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    given.cases = given.cases.split(",")
    if unknown := set(given.cases) - set(CASES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}: valid are {', '.join(CASES)}")
    if given.rounds < 1 or (given.threads is not None and given.threads < 1):
        parser.error("--rounds and --threads must be 1 or more")
    for path in (given.json, given.markdown):
        if path is not None and not path.resolve().parent.is_dir():
            parser.error(f"cannot write {path}: its folder does not exist")
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run all cases and return the report."""
    model = find_model(given)
    machine = conditions(given.threads)  # before the first process: the load average is of others
    cases = {name: run_case(name, model, given.rounds, given.threads) for name in given.cases}
    return {
        "conditions": machine,
        "model": {"name": model["name"], "sha256": model["sha256"]},
        "rounds": given.rounds,
        "cases": cases,
        "files": run_files(min(given.rounds, 3), given.threads) if "photo" in cases else {},
        "aims": compare_with_aims(cases),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    given = parse(arguments)
    if given.worker is not None:
        if "files" in given.worker:
            print(json.dumps(time_files(given.worker["files"])))
        else:
            serve_turns(given.worker)
        return 0
    try:
        report = measure(given)
    except InpaintError as error:
        print(f"fill_speed: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    tables = markdown(report)
    print(tables, end="")
    if given.markdown:
        given.markdown.write_text(tables, encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
