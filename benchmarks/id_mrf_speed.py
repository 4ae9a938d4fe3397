"""ID-MRF loss: seconds, extra memory and exactness of the streaming form beside the way published ports compute it.

    python benchmarks/id_mrf_speed.py --json id_mrf.json --markdown id_mrf.md

Three cases, each forward and backward. *relu3* and *relu4*: one layer's term on the features of a 256-pixel image, to
the gradient of the generated features. *image*: the whole loss, relu3_2 + 2 relu4_2, to the gradient of the generated
image, the feature network's passes over both images included. Weights of the feature network are random (Kaiming), the
pictures drawn by code: the generated one is the target blurred, mixed with noise, or another picture (`--pair`).

The *published way* is written here for the comparison, from what the ports have in common: an image at a time, the
target's unit vectors as the filters of a 1 x 1 convolution, and min, exp, sum and max as tensors that autograd keeps.
Its whole loss runs all 16 convolutions of VGG19 with weights that ask for gradients, keeps a graph on the target's side
too, and computes the content term beside the style term of the same layer. To compute the same number as ours it
measures at relu3_2 and relu4_2 and centres per channel, where one port or another does not. In *relu3* and *relu4* its
target asks for no gradient, which spares it work.

Every variant is a process of its own and takes turns with the others (turns.py). Nothing tunes the allocator.
*Extra memory* is the most the process held over what it held before its first call, after a call on a tiny map and a
return of freed memory to the system.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import reports
import turns
from fill_speed import draw_photo
from inpaintkit.errors import InpaintError

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_SIDE_PX = 256
TINY_SIDE_PX = 32
EXACTNESS_SIDE_PX = 128
"""Of the whole loss in double precision, which convolutions are slow in; the terms alone are compared at full size."""

PAIRS = ("blurred", "noisy", "unrelated")
"""What is generated: the target blurred over 15 x 15 px with a little noise, with more noise instead, or a stranger."""

VALUE_AIM, GRADIENT_AIM = 1e-5, 1e-10
"""How far a variant may be: relative, in float32; absolute, in double precision."""


@dataclass(frozen=True)
class Case:
    """What is computed, by which variants, and what each variant is called in the tables."""

    title: str
    variants: dict[str, str]
    calls_per_turn: int


TERM_VARIANTS = {
    "published": "published way: patch convolution, image by image",
    "dense": "batched matrix product and softmax, all pairs kept",
    "streaming": "inpaintkit, streaming",
}
CASES = {
    "relu3": Case("relu3_2 term, 256 channels, 64 x 64 positions", TERM_VARIANTS, 1),
    "relu4": Case("relu4_2 term, 512 channels, 32 x 32 positions", TERM_VARIANTS, 4),
    "image": Case(
        f"whole loss to the image's gradient, {IMAGE_SIDE_PX} px",
        {
            "published": "published way: all of VGG19, trainable, graph on the target, content term apart",
            "truncated": "published term on our features, relu4_2 once with weight 2",
            "ours": "inpaintkit: frozen to relu4_2, no graph on the target, streaming",
        },
        1,
    ),
}
"""The first variant of a case is its reference."""

TAPS = {"relu3": "relu3_2", "relu4": "relu4_2"}

AIMS = (
    ("relu3", "streaming", "published", "times faster", 6.0),
    ("relu3", "streaming", "published", "times less extra memory", 6.0),
    ("image", "ours", "published", "times faster", 3.0),
    ("image", "ours", "truncated", "times faster", 2.0),
)
"""Case, variant, what it is compared with, in what, and the least that is aimed at."""


# --- The measured computations ---------------------------------------------------------------------------------------


def published_id_mrf(generated: "Tensor", target: "Tensor") -> "Tensor":
    """The loss of one layer as published ports compute it; written for the comparison, not for use."""
    import torch
    import torch.nn.functional as F

    mean = target.mean((2, 3), keepdim=True)
    generated, target = generated - mean, target - mean
    generated = generated / generated.norm(dim=1, keepdim=True)
    target = target / target.norm(dim=1, keepdim=True)
    losses = []
    for made, wanted in zip(generated, target, strict=True):
        patches = wanted.flatten(1).t()[:, :, None, None]
        distance = (1 - F.conv2d(made[None], patches)) / 2
        nearest, _ = torch.min(distance, dim=1, keepdim=True)
        similarity = torch.exp((1 - distance / (nearest + 1e-5)) / 0.5)
        share = similarity / torch.sum(similarity, dim=1, keepdim=True)
        best, _ = torch.max(share.flatten(2), dim=2)
        losses.append(-torch.log(torch.mean(best)))
    return torch.stack(losses).mean()


def dense_id_mrf(generated: "Tensor", target: "Tensor") -> "Tensor":
    """The loss of one layer with all pairs of the batch in one tensor."""
    import torch
    import torch.nn.functional as F

    mean = target.mean((2, 3), keepdim=True)
    made = F.normalize((generated - mean).flatten(2), dim=1).transpose(1, 2)
    distance = (1 - torch.bmm(made, F.normalize((target - mean).flatten(2), dim=1))) / 2
    relative = distance / (distance.amin(2, keepdim=True) + 1e-5)
    return -torch.softmax(relative / -0.5, dim=2).amax(1).mean(1).log().mean()


def features_with_random_weights() -> "nn.Module":
    """Our feature network, to relu4_2, with Kaiming weights, the same every time."""
    import torch
    from torch import nn

    from inpaintkit.features import FeatureNetwork

    torch.manual_seed(0)
    network = FeatureNetwork()
    for parameter in network.parameters():
        _ = nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else nn.init.zeros_(parameter)
    return network


def whole_vgg19(features: "nn.Module") -> "Callable[[Tensor], dict[str, Tensor]]":
    """All 16 convolutions and 5 poolings of VGG19, every ReLU's output kept, every weight asking for a gradient.

    To relu4_2 it has the weights of our feature network `features`, behind it untrained ones.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    layers: dict[str, nn.Conv2d] = {}
    inside = 3
    for block, (count, outside) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)), 1):
        for number in range(1, count + 1):
            layer = layers[f"{block}_{number}"] = nn.Conv2d(inside, outside, 3, padding=1)
            inside = outside
            if hasattr(features, f"conv{block}_{number}"):
                layer.load_state_dict(features.get_submodule(f"conv{block}_{number}").state_dict())
    mean, std = features.mean.clone(), features.std.clone()

    def forward(image: "Tensor") -> "dict[str, Tensor]":
        found: dict[str, torch.Tensor] = {}
        maps = (image - mean) / std
        for name, layer in layers.items():
            if name.endswith("_1") and name != "1_1":
                maps = F.max_pool2d(maps, 2)
            layer.weight.grad = layer.bias.grad = None  # as an optimiser's zero_grad would, every step
            maps = found[f"relu{name}"] = F.relu(layer(maps))
        found["pool5"] = F.max_pool2d(maps, 2)
        return found

    return forward


def published_loss(features: "nn.Module") -> "Callable[[Tensor, Tensor], Tensor]":
    """Generated and target image to the whole loss, the published way."""
    vgg = whole_vgg19(features)

    def loss(generated: "Tensor", target: "Tensor") -> "Tensor":
        made, wanted = vgg(generated), vgg(target)
        style = sum(published_id_mrf(made[tap], wanted[tap]) for tap in TAPS.values())
        return style + published_id_mrf(made["relu4_2"], wanted["relu4_2"])

    return loss


def loss_on_our_features(term: "Callable[[Tensor, Tensor], Tensor]") -> "Callable[[Tensor, Tensor], Tensor]":
    """Generated and target image to the whole loss: features as inpaintkit computes them, and any form of the term."""
    import torch

    network = features_with_random_weights()

    def loss(generated: "Tensor", target: "Tensor") -> "Tensor":
        with torch.no_grad():
            wanted = network(target)
        made = network(generated)
        return term(made["relu3_2"], wanted["relu3_2"]) + 2 * term(made["relu4_2"], wanted["relu4_2"])

    return loss


def loss_of(case: str, variant: str) -> "Callable[[Tensor, Tensor], Tensor]":
    """What the variant computes: a function of the generated and the target features, or images."""
    from inpaintkit.losses.id_mrf import id_mrf_loss

    if case != "image":
        return {"published": published_id_mrf, "dense": dense_id_mrf, "streaming": id_mrf_loss}[variant]
    if variant == "published":
        return published_loss(features_with_random_weights())
    return loss_on_our_features(published_id_mrf if variant == "truncated" else id_mrf_loss)


def draw_pair(pair: str, side: int) -> "tuple[Tensor, Tensor]":
    """A generated and a target image (1, 3, side, side) in [0, 1]."""
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(draw_photo(2 * side, side)).permute(2, 0, 1)[None].to(torch.get_default_dtype()) / 255
    target = pixels[:, :, :side].contiguous()
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    if pair == "blurred":
        generated = F.avg_pool2d(target, 15, 1, 7, count_include_pad=False) + 0.05 * noise
    else:
        generated = target + 0.1 * noise if pair == "noisy" else pixels[:, :, side:].contiguous()
    return generated.clamp(0, 1), target


def arguments_of(case: str, pair: str, side: int) -> "tuple[Tensor, Tensor]":
    """The images of one size, or their features at the layer of the case."""
    import torch

    generated, target = draw_pair(pair, side)
    if case == "image":
        return generated, target
    network = features_with_random_weights()
    with torch.no_grad():
        return network(generated, (TAPS[case],))[TAPS[case]], network(target, (TAPS[case],))[TAPS[case]]


# --- The measured processes ------------------------------------------------------------------------------------------


def forward_and_backward(loss: "Callable[[Tensor, Tensor], Tensor]", pair: "tuple[Tensor, Tensor]") -> Any:
    """The value, and the gradient to the generated side."""
    generated = pair[0].detach().requires_grad_()
    value = loss(generated, pair[1])
    value.backward()
    return value.item(), generated.grad


def serve(spec: dict[str, Any]) -> None:
    """What a process of this script does: compare in double precision, or get ready and take turns."""
    answer = turns.answering()
    if "exactness" in spec:
        answer(**compare_in_double_precision(spec))
        return
    import torch

    loss = loss_of(spec["case"], spec["variant"])
    pair = arguments_of(spec["case"], spec["pair"], IMAGE_SIDE_PX)
    forward_and_backward(loss, arguments_of(spec["case"], spec["pair"], TINY_SIDE_PX))
    before = turns.held_megabytes()
    value, gradient = forward_and_backward(loss, pair)
    touched = (gradient != 0).any(1).float().mean().item()
    answer(value=value, touched=touched, before_mb=before, torch_threads=torch.get_num_threads())
    turns.answer_turns(answer, lambda: forward_and_backward(loss, pair))


def compare_in_double_precision(spec: dict[str, Any]) -> dict[str, Any]:
    """How far each variant's value and gradient are from the reference's, all of it in double precision."""
    import torch

    torch.set_default_dtype(torch.float64)
    side = EXACTNESS_SIDE_PX if spec["case"] == "image" else IMAGE_SIDE_PX
    pair = arguments_of(spec["case"], spec["pair"], side)
    expected: Any = None
    found = {}
    for variant in CASES[spec["case"]].variants:
        value, gradient = forward_and_backward(loss_of(spec["case"], variant), pair)
        expected = expected or (value, gradient)
        found[variant] = {
            "value_difference": abs(value - expected[0]),
            "gradient_difference": (gradient - expected[1]).abs().max().item(),
            "gradient_largest": expected[1].abs().max().item(),
        }
    return {"side_px": side, "variants": found}


# --- Taking turns ----------------------------------------------------------------------------------------------------


def run_case(name: str, given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """All variants of one case, taking turns. Raises InpaintError when they do not compute the same."""
    case = CASES[name]
    specs = ({"case": name, "variant": variant, "pair": given.pair} for variant in case.variants)
    starts = (turns.start(__file__, spec["variant"], spec, threads=given.threads) for spec in specs)
    with turns.all_ready(starts) as workers:
        turns.take_turns(case.title, workers, given.rounds, case.calls_per_turn)
        found = {worker.variant: summarise(worker, workers[0]) for worker in workers}
    for variant, row in found.items():
        if not row["value_difference"] <= VALUE_AIM:
            raise InpaintError(
                f"variant '{variant}' of case '{name}' gives {row['value']}, {row['value_difference']:.3g} from the "
                f"reference, expected at most {VALUE_AIM}: they are not one loss"
            )
    return found


def summarise(worker: turns.Worker, reference: turns.Worker) -> dict[str, Any]:
    """Seconds, extra memory and value of one variant, and how many times the reference takes of the first two."""
    seconds = [each for turn in worker.rounds for each in turn]
    ratios = turns.paired_ratios(reference.rounds, worker.rounds)
    extra, theirs = (each.peak_mb - each.ready["before_mb"] for each in (worker, reference))
    value, expected = worker.ready["value"], reference.ready["value"]
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "times_faster": statistics.median(ratios),
        "times_faster_lowest": min(ratios),
        "times_faster_highest": max(ratios),
        "times_faster_of_minima": min(min(turn) for turn in reference.rounds) / min(seconds),
        "extra_mb": extra,
        "times_less_memory": theirs / extra,
        "value": value,
        "value_difference": abs(value - expected) / abs(expected),
        "touched": worker.ready["touched"],
        "torch_threads": worker.ready["torch_threads"],
        "rounds_s": worker.rounds,
    }


def run_exactness(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """`compare_in_double_precision` of one case in a process of its own."""
    spec = {"case": name, "pair": given.pair, "exactness": True}
    found = turns.ask(__file__, spec, f"compares case '{name}'", threads=given.threads)
    print(f"{CASES[name].title}: compared in double precision", file=sys.stderr)
    return found


# --- The report ------------------------------------------------------------------------------------------------------


def compare_with_aims(cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every aim beside what was measured."""
    found = []
    for case, variant, reference, what, aim in AIMS:
        if case in cases:
            ours, theirs = cases[case][variant], cases[case][reference]
            faster = statistics.median(turns.paired_ratios(theirs["rounds_s"], ours["rounds_s"]))
            measured = faster if what == "times faster" else theirs["extra_mb"] / ours["extra_mb"]
            names = {"case": case, "variant": variant, "reference": reference, "what": what}
            found.append({**names, "aim": aim, "measured": measured, "met": measured >= aim})
    return found


def markdown(report: dict[str, Any]) -> str:
    """The report as tables a page can hold."""
    threads = next(row["torch_threads"] for case in report["cases"].values() for row in case.values())
    lines = [
        f"ID-MRF, forward and backward, batch 1, float32, generated image: {report['pair']}, {report['rounds']} "
        "rounds.",
        "",
        *reports.machine_lines(
            report["conditions"], torch_threads=threads, settings="allocator: the C library's defaults"
        ),
    ]
    for name, variants in report["cases"].items():
        lines += [
            "",
            f"| {CASES[name].title} | median, ms | minimum, ms | times faster (lowest to highest round) | of minima | "
            "extra memory, MB | times less | value off by |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(CASES[name].variants[variant], row) for variant, row in variants.items()),
            "",
            f"Positions that get a gradient: {list(variants.values())[-1]['touched']:.0%}." if name != "image" else "",
        ]
    if report["exactness"]:
        lines += ["", "| double precision, off by | value | gradient | largest gradient |", "|---|---|---|---|"]
    for name, found in report["exactness"].items():
        for variant, row in list(found["variants"].items())[1:]:
            lines.append(
                f"| {CASES[name].variants[variant]} ({name}, {found['side_px']} px) | {row['value_difference']:.1e} | "
                f"{row['gradient_difference']:.1e} | {row['gradient_largest']:.1e} |"
            )
    lines += ["", "| aim | at least | measured | |", "|---|---|---|---|"]
    for aim in report["aims"]:
        what = f"{CASES[aim['case']].title}: {aim['variant']}, {aim['what']} than {aim['reference']}"
        lines.append(f"| {what} | {aim['aim']:.1f} | {aim['measured']:.1f} | {'met' if aim['met'] else 'missed'} |")
    return "\n".join(lines) + "\n"


def _row(title: str, row: dict[str, Any]) -> str:
    return (
        f"| {title} | {1e3 * row['median_s']:.0f} | {1e3 * row['min_s']:.0f} | {row['times_faster']:.2f} "
        f"({row['times_faster_lowest']:.2f} to {row['times_faster_highest']:.2f}) | "
        f"{row['times_faster_of_minima']:.2f} | {row['extra_mb']:.0f} | {row['times_less_memory']:.1f} | "
        f"{row['value_difference']:.0e} |"
    )


# --- The command -----------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help=f"by comma, of {', '.join(CASES)} (default all)")
    parser.add_argument("--pair", default="blurred", choices=PAIRS, help="the generated image (default blurred)")
    parser.add_argument("--skip-exactness", action="store_true", help="do not compare in double precision")
    reports.add_turn_options(parser, rounds=7)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    given.cases = reports.chosen(parser, given.cases, "case", list(CASES))
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run all cases and return the report."""
    machine = turns.conditions(given.threads)  # before the first process: the load average is of others
    cases = {name: run_case(name, given) for name in given.cases}
    exactness = {} if given.skip_exactness else {name: run_exactness(name, given) for name in given.cases}
    return {
        "conditions": machine,
        "pair": given.pair,
        "rounds": given.rounds,
        "cases": cases,
        "exactness": exactness,
        "aims": compare_with_aims(cases),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    return reports.run("id_mrf_speed", parse(arguments), measure, markdown, serve=serve)


if __name__ == "__main__":
    raise SystemExit(main())
