"""Milliseconds of GMCNN's generator beside the ones that were published.

    python benchmarks/gmcnn_article_timing.py
    python benchmarks/gmcnn_article_timing.py --device cuda --json timing.json

A review of the article (Wang et al., NeurIPS 2018) reports 12.562 M parameters and, per photo, 49.37 ms at 256 x 256
and 146.11 ms at 512 x 512 on a GPU that it does not name: they stand beside ours and nothing is divided by them. Here:
batch 1, `inference_mode`, random weights (they cost the same), the generator alone on tensors that are on the device
already; float32 with PyTorch's defaults (on a GPU, convolutions may then round to TF32), and bfloat16 weights with
channels last. On a GPU every call is timed twice, by the clock with the device synchronised before and after, and by
the device's own events.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import reports
import turns
from inpaintkit.models import GENERATORS

ARTICLE_MS = {256: 49.37, 512: 146.11}
ARTICLE_MILLION_PARAMETERS = 12.562

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def prepared(precision: str, device: torch.device) -> nn.Module:
    """The generator with random weights on the device."""
    torch.manual_seed(0)
    generator = GENERATORS["gmcnn"]().eval().to(device, PRECISIONS[precision])
    if precision == "bfloat16":
        generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return generator


def drawn_input(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A random image and a square hole of half its side in the middle."""
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    return image.to(device), mask.to(device)


def clock_ms(call: Callable[[], object], device: torch.device) -> tuple[float, float | None]:
    """One call by the clock, and by the device's events where it has them."""
    if device.type != "cuda":
        started = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - started), None
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize(device)
    return 1e3 * (time.perf_counter() - started), begin.elapsed_time(end)


def time_case(size: int, precision: str, device: torch.device, repeats: int) -> dict[str, Any]:
    """Median and minimum of the repeats, after three calls that do not count."""
    generator = prepared(precision, device)
    image, mask = drawn_input(size, device)
    with torch.inference_mode():
        for _ in range(3):
            generator(image, mask)
        timed = [clock_ms(lambda: generator(image, mask), device) for _ in range(repeats)]
    found: dict[str, Any] = {"device": device.type, "size": size, "precision": precision}
    for name, values in (("clock", [a for a, _ in timed]), ("events", [b for _, b in timed if b is not None])):
        found |= {f"{name}_median_ms": statistics.median(values), f"{name}_min_ms": min(values)} if values else {}
    return found


def conditions(devices: Sequence[torch.device]) -> dict[str, Any]:
    """The machine, as far as it matters."""
    with_gpu = any(device.type == "cuda" for device in devices)
    return {
        **turns.conditions(None),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if with_gpu else None,
        "convolutions_may_use_tf32": with_gpu and torch.backends.cudnn.allow_tf32,
    }


def markdown(report: dict[str, Any]) -> str:
    """The report as a table a page can hold."""
    machine = report["conditions"]
    millions = report["parameters"] / 1e6
    lines = [
        f"GMCNN's generator, batch 1, {report['repeats']} calls each; {report['parameters']:,} parameters = "
        f"{millions:.3f} M (the article: {ARTICLE_MILLION_PARAMETERS} M).",
        "",
        *reports.machine_lines(machine, torch_threads=machine["torch_threads"]),
        f"- GPU: {machine['gpu'] or 'none at hand'}"
        + (", TF32 allowed in float32 convolutions" if machine["convolutions_may_use_tf32"] else ""),
        "",
        "| device | size | precision | median, ms | minimum, ms | median by the device's events, ms | the article, ms "
        "(GPU not named there) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        events = f"{row['events_median_ms']:.2f}" if "events_median_ms" in row else "-"
        stated = ARTICLE_MS.get(row["size"], "-")
        lines.append(
            f"| {row['device']} | {row['size']} x {row['size']} | {row['precision']} | {row['clock_median_ms']:.2f} | "
            f"{row['clock_min_ms']:.2f} | {events} | {stated} |"
        )
    return "\n".join(lines) + "\n"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: both, where there are")
    parser.add_argument("--sizes", default="256,512", help="sides in pixels, multiples of 4 by comma (256,512)")
    parser.add_argument("--repeats", type=int, default=10, help="timed calls of each case (10)")
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    given.sizes = reports.whole_numbers(parser, given.sizes, "--sizes", lowest=32, multiple=4)
    if given.repeats < 1:
        parser.error("--repeats must be 1 or more")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device: leave out --device, or use --device cpu")
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Time every case on every device and return the report."""
    both = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    devices = [torch.device(name) for name in (both if given.device == "auto" else [given.device])]
    machine = conditions(devices)
    rows = []
    for device in devices:
        for size in given.sizes:
            for precision in PRECISIONS:
                print(f"{device.type}, {size} px, {precision}", file=sys.stderr)
                rows.append(time_case(size, precision, device, given.repeats))
    parameters = sum(parameter.numel() for parameter in GENERATORS["gmcnn"]().parameters())
    return {"conditions": machine, "parameters": parameters, "repeats": given.repeats, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write what was asked for; returns the exit status."""
    return reports.run("gmcnn_article_timing", parse(arguments), measure, markdown)


if __name__ == "__main__":
    raise SystemExit(main())
