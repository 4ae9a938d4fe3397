"""Milliseconds of one generator in every way this project can run it, with and without the allocator setting.

    python benchmarks/generator_speed.py --generator gmcnn
    python benchmarks/generator_speed.py --weights FILE.safetensors --sizes 256

The reference is the network as published ports run it: eager PyTorch, float32, the plain layout, the C library's
default allocator. Beside it: bfloat16 weights with channels last, ONNX Runtime, OpenVINO in float32 and in bfloat16;
each with the defaults and with the C library told to keep freed memory (what `models.runtime.keep_freed_memory` does,
here by the environment, so that it holds for libraries of any kind from their first allocation). Every variant is a
process of its own; all stay open and take turns. All compute the same: the composite of one frame, batch 1, from arrays
that are ready. Without --weights the weights are random, from a fixed seed; a random network answers with nearly one
colour, so its errors say little. Weights are stored in half precision, as in a file, before anything is timed.

This process imports neither NumPy nor PyTorch, as in fill_speed.py.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reports
import turns
from fill_speed import prepare_frame
from inpaintkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""glibc's names for the numbers that `models.runtime.keep_freed_memory` sets."""

SECONDS_PER_TURN = 0.6
"""A turn holds as many calls as fit, at least one."""


@dataclass(frozen=True)
class Way:
    """One way to run a generator, and how the tables call it."""

    title: str
    runtime: str
    precision: str


WAYS = {
    "eager": Way("PyTorch eager, float32", "eager", "float32"),
    "eager-bfloat16": Way("PyTorch eager, bfloat16 weights, channels last", "eager", "bfloat16"),
    "onnx": Way("ONNX Runtime, float32", "onnx", "float32"),
    "openvino": Way("OpenVINO, float32", "openvino", "float32"),
    "openvino-bfloat16": Way("OpenVINO, bfloat16", "openvino", "bfloat16"),
}
REFERENCE = "eager"

ALLOCATORS: dict[str, dict[str, str]] = {"default": {}, "kept": KEPT_MEMORY}
"""Allocator setting to the environment that makes it."""


# --- The measured processes ------------------------------------------------------------------------------------------


def store_generator(name: str | None, weights: str | None, folder: Path) -> dict[str, Any]:
    """Write the generator as safetensors and ONNX into a folder; returns the two paths and what it is."""
    import torch

    from inpaintkit.errors import unknown_name
    from inpaintkit.export import export_file
    from inpaintkit.models import GENERATORS
    from inpaintkit.models.published import load_generator, save_generator

    stored = folder / "generator.safetensors"
    if weights is None:
        if name not in GENERATORS:
            raise UsageError(unknown_name("generator", str(name), GENERATORS))
        torch.manual_seed(0)
        generator = GENERATORS[name]()
        description: dict[str, Any] = {"model": name, "arguments": {}}
    else:
        generator, description = load_generator(Path(weights))
    save_generator(stored, generator.state_dict(), description, half=True)
    parity = export_file(stored, stored.with_suffix(".onnx"))
    return {
        "weights": str(stored),
        "onnx": str(stored.with_suffix(".onnx")),
        "name": description["model"],
        "trained": weights is not None,
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "export_max_abs_error": parity["max_abs_error"],
    }


def draw_frame(size: int) -> tuple["NDArray[np.float32]", "NDArray[np.float32]"]:
    """A drawn image (1, 3, size, size) in [0,1] and the mask of a hole of half its side (1, 1, size, size)."""
    import numpy as np

    image, hole = prepare_frame((size, size))
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None]), hole[None, None].astype(np.float32)


def eager_run(spec: dict[str, Any]) -> Callable[[], "NDArray[Any]"]:
    """The generator in PyTorch: as it is built, or as the torch engine prepares it for bfloat16."""
    import torch

    from inpaintkit.models.layers import fold_batch_norms
    from inpaintkit.models.published import load_generator
    from inpaintkit.tensors import composite

    generator, _ = load_generator(Path(spec["weights"]))
    if spec["precision"] == "bfloat16":
        generator = fold_batch_norms(generator).to(torch.bfloat16)
        generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image, mask = map(torch.from_numpy, draw_frame(spec["size"]))

    def run() -> "NDArray[Any]":
        with torch.inference_mode():
            return composite(image, mask, generator(image, mask).image).numpy()

    return run


def session_run(spec: dict[str, Any]) -> Callable[[], "NDArray[Any]"]:
    """The exported graph as the light side's engines open it."""
    from inpaintkit.filling.runtimes import open_session

    session = open_session(Path(spec["onnx"]), spec["runtime"], spec["precision"], threads=spec["threads"])
    image, mask = draw_frame(spec["size"])
    return lambda: session.run(image, mask)


def serve(spec: dict[str, Any]) -> None:
    """What a process of this script does: make the generator's files, or get ready and take turns.

    The reference's process leaves its output in a file, and the others tell how far theirs is from it in the hole.
    """
    answer = turns.answering()
    if "folder" in spec:
        answer(**store_generator(spec["generator"], spec["weights"], Path(spec["folder"])))
        return
    import numpy as np

    run = (eager_run if spec["runtime"] == "eager" else session_run)(spec)
    before = turns.peak_megabytes()
    output, expected = run(), Path(spec["expected"])
    if not expected.exists():
        np.save(expected, output)
    difference = np.abs(output - np.load(expected))
    _, seconds = turns.median_seconds(run, 1)
    torch = sys.modules.get("torch")
    answer(
        before_mb=before,
        calls=max(1, int(SECONDS_PER_TURN / seconds)),
        max_abs_error=float(difference.max()),
        mean_abs_error=float(difference.sum() / (3 * draw_frame(spec["size"])[1].sum())),
        spread=float(np.std(np.load(expected)[..., draw_frame(spec["size"])[1][0, 0] == 1])),
        torch_threads=torch.get_num_threads() if torch else None,
    )
    turns.answer_turns(answer, run)


# --- Taking turns ----------------------------------------------------------------------------------------------------


def run_size(size: int, files: dict[str, Any], given: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    """All ways at one size, taking turns; the first is the reference. Raises InpaintError."""
    expected = str(folder / f"expected-{size}.npy")
    common = {"size": size, "threads": given.threads, "expected": expected, **files}

    def starts() -> Iterator[turns.Worker]:
        for allocator in given.allocators:
            for way in given.ways:
                spec = {**common, "runtime": WAYS[way].runtime, "precision": WAYS[way].precision}
                environment = ALLOCATORS[allocator]
                yield turns.start(__file__, f"{way} {allocator}", spec, threads=given.threads, environment=environment)

    with turns.all_ready(starts()) as workers:
        turns.take_turns(f"{size} px", workers, given.rounds, lambda worker: worker.ready["calls"])
        errors = ("max_abs_error", "mean_abs_error", "spread")
        return {
            worker.variant: {**turns.summarise(worker, workers[0]), **{name: worker.ready[name] for name in errors}}
            for worker in workers
        }


# --- The report ------------------------------------------------------------------------------------------------------


def markdown(report: dict[str, Any]) -> str:
    """The report as tables a page can hold."""
    generator = report["generator"]
    lines = [
        f"Generator {generator['name']}, {generator['parameters']:,} parameters, "
        f"{'trained' if generator['trained'] else 'random'} weights, batch 1, {report['rounds']} rounds.",
        "",
        *reports.machine_lines(report["conditions"]),
    ]
    for size, rows in report["sizes"].items():
        spread = next(iter(rows.values()))["spread"]
        lines += [
            "",
            f"| {size} x {size} | freed memory | median, ms | minimum, ms | times as fast (lowest to highest round) | "
            "of minima | largest error | mean error in the hole | peak memory, MB |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_row(name, row) for name, row in rows.items()]
        lines += ["", f"The reference's values in the hole have a standard deviation of {spread:.2g}."]
    lines += [
        "",
        f"Speed and errors are relative to: {WAYS[REFERENCE].title}, freed memory returned to the system. Errors are "
        "in [0, 1].",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, row: dict[str, Any]) -> str:
    way, allocator = name.split()
    return (
        f"| {WAYS[way].title} | {'kept' if allocator == 'kept' else 'returned'} | {1e3 * row['median_s']:.0f} | "
        f"{1e3 * row['min_s']:.0f} | {1 / row['ratio']:.2f} ({1 / row['ratio_highest']:.2f} to "
        f"{1 / row['ratio_lowest']:.2f}) | {1 / row['ratio_of_minima']:.2f} | {row['max_abs_error']:.1e} | "
        f"{row['mean_abs_error']:.1e} | {row['peak_mb']:.0f} |"
    )


# --- The command -----------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--generator", default="gmcnn", help="a name in GENERATORS, random weights (default gmcnn)")
    parser.add_argument("--weights", help="trained weights instead: a .safetensors file or a run's folder")
    parser.add_argument("--sizes", default="256,512", help="sides in pixels, by comma (default 256,512)")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"by comma, of {', '.join(WAYS)} (default all)")
    parser.add_argument("--allocators", default=",".join(ALLOCATORS), help="default, kept or both (default both)")
    reports.add_turn_options(parser, rounds=7)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    given.ways = reports.chosen(parser, f"{REFERENCE},{given.ways}", "way", list(WAYS))
    given.allocators = reports.chosen(parser, f"default,{given.allocators}", "allocator setting", list(ALLOCATORS))
    given.sizes = reports.whole_numbers(parser, given.sizes, "--sizes", lowest=32, multiple=32)
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Make the files, run all sizes and return the report."""
    machine = turns.conditions(given.threads)  # before the first process: the load average is of others
    with tempfile.TemporaryDirectory() as name:
        request = {"generator": given.generator, "weights": given.weights, "folder": name}
        files = turns.ask(__file__, request, "makes the generator's files", threads=given.threads)
        sizes = {str(size): run_size(size, files, given, Path(name)) for size in given.sizes}
    about = {key: files[key] for key in ("name", "trained", "parameters", "export_max_abs_error")}
    return {"conditions": machine, "generator": about, "rounds": given.rounds, "sizes": sizes}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    return reports.run("generator_speed", parse(arguments), measure, markdown, serve=serve)


if __name__ == "__main__":
    raise SystemExit(main())
