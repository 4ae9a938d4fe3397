"""The ablations of the GMCNN article as commands, with small budgets: which losses make which fills.

    python benchmarks/gmcnn_ablations.py --data SHARDS --images VAL.tar --masks MASKS.tar --out FOLDER

Two groups, each differing in one number of the recipe and in nothing else (same photos, order, holes, seed, steps):

- matching: from the same weights after the first phase (`--base`, or trained here), the second phase with ID-MRF at
  2, 0.2, 0.02 and 0.002, with the cosine nearest neighbour in its place, and with neither.
- reconstruction: the first phase alone with the confidence weight, the spatial discount, and neither.

Every run is one `inpaintkit train` command, which is printed. A run that is finished is not repeated, one that was
stopped is resumed. Then all are measured by the protocol of `inpaintkit compare`. What a table of runs this short says
is which way a loss pulls, with one seed.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reports
from inpaintkit.errors import ModelError
from inpaintkit.evaluation.cases import plan_cases
from inpaintkit.evaluation.methods import Method, weights_sha256
from inpaintkit.evaluation.metrics import METRICS
from inpaintkit.evaluation.perceptual import PerceptualWeights
from inpaintkit.evaluation.scoring import Job, score_all
from inpaintkit.evaluation.tables import summary_tables
from inpaintkit.evaluation.threads import usable_cores
from inpaintkit.models.published import IN_RUN, read_generator_file, weights_file


@dataclass(frozen=True)
class Variant:
    """One row: its label, and what it changes in the recipe."""

    label: str
    overrides: tuple[str, ...]


MATCHING = {
    "mrf-2": Variant("ID-MRF, 2", ("schedule.id_mrf=2.0",)),
    "mrf-0.2": Variant("ID-MRF, 0.2", ("schedule.id_mrf=0.2",)),
    "mrf-0.02": Variant("ID-MRF, 0.02", ("schedule.id_mrf=0.02",)),
    "mrf-0.002": Variant("ID-MRF, 0.002", ("schedule.id_mrf=0.002",)),
    "cosine": Variant("cosine nearest neighbour, 0.1", ("schedule.id_mrf=0.0", "schedule.nearest_neighbour=0.1")),
    "no-matching": Variant("neither", ("schedule.id_mrf=0.0",)),
}
RECONSTRUCTION = {
    "confidence": Variant("confidence-driven L1", ()),
    "discounted": Variant(
        "spatially discounted L1, gamma 0.99", ("schedule.confidence_l1=0.0", "schedule.discounted_l1=1.0")
    ),
    "plain": Variant("plain L1", ("schedule.confidence_l1=0.0", "schedule.plain_l1=1.0")),
}


def train(given: argparse.Namespace, out: Path, overrides: list[str], init: Path | None) -> Path:
    """Run one training to its end, unless it has been there; returns the generator's file."""
    file = out / IN_RUN
    done = out / "ablation.json"
    wanted = {"overrides": overrides, "init": str(init)}
    if file.is_file() and done.is_file() and json.loads(done.read_text(encoding="utf-8")) == wanted:
        return file
    command = ["train", given.recipe, "--data", given.data, "--out", str(out)]
    for override in overrides:
        command += ["--set", override]
    if (out / "checkpoints").is_dir():
        command += ["--resume"]
    elif init is not None:
        command += ["--init-from", str(init)]
    print(f"$ inpaintkit {shlex.join(command)}", flush=True)
    subprocess.run([sys.executable, "-m", "inpaintkit", *command], check=True)
    done.write_text(json.dumps(wanted), encoding="utf-8")
    return file


def runs(given: argparse.Namespace) -> dict[str, Path]:
    """Train what is asked for; label to generator, in the order of the tables."""
    files: dict[str, Path] = {}
    common = given.set or []
    first = [*common, f"schedule.reconstruction_steps={given.reconstruction_steps}", "schedule.adversarial_steps=0"]
    second = [*common, "schedule.reconstruction_steps=0", f"schedule.adversarial_steps={given.adversarial_steps}"]
    if "reconstruction" in given.groups:
        for name, variant in RECONSTRUCTION.items():
            files[variant.label] = train(given, given.out / name, [*first, *variant.overrides], None)
    if "matching" in given.groups:
        base = given.base or train(given, given.out / "confidence", first, None)
        files["before the second phase"] = base
        for name, variant in MATCHING.items():
            files[variant.label] = train(given, given.out / name, [*second, *variant.overrides], base)
    return files


def measure(given: argparse.Namespace, files: dict[str, Path]) -> dict[str, Any]:
    """Every generator on the same photos and masks. Raises ModelError for one that cannot fill a photo."""
    cases = plan_cases(str(given.images), {given.masks.name: str(given.masks)}, size=given.size)
    perceptual = PerceptualWeights(features=given.features or None)
    opened = perceptual.opened()
    methods = tuple(
        Method(label, str(file), "engine", "trained", "torch", weights_sha256(weights_file(file)))
        for label, file in files.items()
    )
    chosen = range(0, len(cases), given.every)
    with tempfile.TemporaryDirectory() as folder:
        sources, numbers = perceptual.sources(opened, None), tuple(range(len(methods)))
        job = Job(cases, methods, perceptual, Path(folder), sources, numbers)
        found = list(score_all(job, chosen, usable_cores()))
    found.sort(key=lambda record: record["case"])
    if wrong := [score["error"] for record in found for score in record["scores"] if "error" in score]:
        raise ModelError(f"{len(wrong)} fills failed (first: {wrong[0]})")
    about = [{"group": "all", **record["about"]} for record in found]
    scores = {label: [record["scores"][number] for record in found] for number, label in enumerate(files)}
    metrics = [*METRICS.values(), *(metric for each in opened for metric in each.metrics)]
    rows = {row.pop("method"): row for row in summary_tables(about, scores, metrics)["tables"][0]["rows"]}
    for label, file in files.items():
        description = read_generator_file(file)[1]
        rows[label] |= {"photos_seen": description.get("photos_seen"), "steps": description.get("step")}
    features = opened[0].source if opened else None
    return {"size": given.size, "photos": len(found), "features": features, "rows": rows}


def markdown(report: dict[str, Any]) -> str:
    """The table."""
    lines = [
        "| | hole L1, % | hole PSNR, dB | sharpness, median | texture distance | feature distance | photos seen |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, row in report["rows"].items():
        found = row["metrics"]
        cells = [
            label,
            f"{found['hole_l1']['mean']:.2f}",
            f"{found['hole_psnr']['mean']:.2f}",
            f"{found['sharpness']['median']:.2f}" if found["sharpness"] else "",
            *(f"{found[name]['mean']:.3f}" if found.get(name) else "" for name in ("texture", "feature_distance")),
            f"{row['photos_seen']:,}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    conditions = f"{report['photos']} photos at {report['size']} px; features: {report['features']}"
    return "\n".join([*lines, "", conditions, ""])


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--data", required=True, help="training photos")
    parser.add_argument("--images", type=Path, required=True, help="validation photos, tar or folder")
    parser.add_argument("--masks", type=Path, required=True, help="validation masks: tar, folder or a fixed set")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--base", type=Path, help="weights after the first phase; default: trained here")
    parser.add_argument("--recipe", default="gmcnn_small")
    parser.add_argument("--groups", default="reconstruction,matching", type=lambda text: text.split(","))
    parser.add_argument("--reconstruction-steps", type=int, default=250)
    parser.add_argument("--adversarial-steps", type=int, default=80)
    parser.add_argument("--set", action="append", help="changes the recipe of every run")
    parser.add_argument("--features", default="own", help="feature weights for the distances; '' for none")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--every", type=int, default=1, help="only each Nth validation photo, holes of all areas still")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--train-only", action="store_true", help="stop before measuring")
    given = parser.parse_args(arguments)
    if given.every < 1:
        parser.error("--every must be 1 or more")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure, write; returns the exit status."""
    given = parse(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    files = runs(given)
    if given.train_only:
        return 0
    return reports.run("gmcnn_ablations", given, lambda given: measure(given, files), markdown)


if __name__ == "__main__":
    raise SystemExit(main())
