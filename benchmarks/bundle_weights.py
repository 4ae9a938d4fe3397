"""Put a trained run into the package: ONNX and safetensors in half precision, and a model card with their hashes.

    python benchmarks/bundle_weights.py RUN --name default --facts facts.json
    inpaintkit compare --images PHOTOS --masks MASKS --methods default,ns,telea --out REPORT
    python benchmarks/bundle_weights.py RUN --name default --facts facts.json --card-only --report REPORT/report.json

`facts.json` holds what a run cannot know: terms, data, hardware, limits, how it was trained. Writes NAME.onnx,
NAME.safetensors, NAME.json and NAME.md into src/inpaintkit/weights. The numbers of the card are those of a comparison's
report, of the bundled weights or of the run itself, beside the classical methods that it holds; a card that is written
anew without a report keeps the numbers that it has.
"""

import argparse
import hashlib
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inpaintkit.errors import DataError, InpaintError
from inpaintkit.evaluation.methods import DETAIL, weights_sha256
from inpaintkit.evaluation.metrics import METRICS
from inpaintkit.evaluation.tables import shown_interval, summary_tables
from inpaintkit.export import export_tensors
from inpaintkit.models.published import read_generator_file, save_generator, weights_file
from inpaintkit.weights import FOLDER

LARGE_HOLE = 0.3
SHOWN = ("hole_l1", "hole_psnr", "sharpness")
WIDTH = 128


def card_of(name: str, description: dict, facts: dict, parity: dict) -> dict:
    """The card: the run's own description, the given facts, hashes and sizes of the files."""
    files = [FOLDER / f"{name}.onnx", FOLDER / f"{name}.safetensors"]
    return {
        "name": name,
        **description,
        **facts,
        "parity": {key: parity[key] for key in ("sizes", "max_abs_error", "mean_abs_error", "known_pixels_equal")},
        "bytes": {file.name: file.stat().st_size for file in files},
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
    }


def as_markdown(card: dict) -> str:
    """The card for people."""
    lines = [f"# {card['name']}", "", card["summary"], "", "| | |", "|---|---|"]
    rows = {
        "network": f"`{card['model']}` with {card['arguments']}",
        "parameters": f"{card['parameters']:,}",
        "terms": card["terms"],
        "data": card["data"],
        "holes": card["holes_said"],
        "training": card["training"],
        "photos seen": f"{card['photos_seen_in_all']:,}",
        "hardware": card["hardware"],
        "training size": f"{card['training_size']} px; fills work best at {card['working_size']} px",
        "recipe hash": f"`{card['recipe_sha256'][:16]}`",
        "against PyTorch": f"largest difference {card['parity']['max_abs_error']:.1e} of 1",
    }
    lines += [f"| {key} | {value} |" for key, value in rows.items()]
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in card["limits"])]
    if "numbers" in card:
        lines += ["", "## Numbers", "", card["numbers"]]
    return "\n".join(lines) + "\n"


# --- The numbers of a comparison -------------------------------------------------------------------------------------


def numbers_of(report: Mapping[str, Any], name: str, known_sha256: Sequence[str]) -> str:
    """What a card says of a comparison: how it was made, and a table of the model beside the classical methods.

    Raises DataError for a report without this model, of other weights than those of `known_sha256`, of several sets of
    masks, and for one whose method failed or changed known pixels: such numbers are not published.
    """
    kinds = {method["label"]: method for method in report["methods"]}
    if name not in kinds:
        raise DataError(f"the report compares {', '.join(kinds)}, expected '{name}' among them: name a method so")
    if kinds[name]["sha256"] not in known_sha256:
        raise DataError(f"the report's '{name}' has other weights than the card: compare the ones that are bundled")
    if len(report["groups"]) != 1:
        raise DataError(f"the report has {len(report['groups'])} sets of masks, expected one: compare on one")
    labels = [name, *sorted(label for label, method in kinds.items() if method["kind"] == "classical")]
    table = rows_by_area(report, labels)
    for row in table["all"]:
        if row["failed"] or row["known_changed"]:
            raise DataError(
                f"'{row['method']}' failed on {row['failed']} photos and changed {row['known_changed']} known pixels, "
                "expected neither: mend it first"
            )
    lines = [
        _conditions(report),
        "",
        "| model | hole area | photos | hole L1, % | hole PSNR, dB | sharpness |",
        "|---|---|---|---|---|---|",
    ]
    for number, label in enumerate(labels):
        for area, rows in table.items():
            lines.append(f"| `{label}` | {area} | {_cells(rows[number])} |")
    return "\n".join(lines)


def rows_by_area(report: Mapping[str, Any], labels: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """A row per method for every bin of hole area that has photos, for all holes above 30 %, and for all photos."""
    cases = report["cases"]
    members = {
        part["bin"]: [i for i, case in enumerate(cases) if case["area_bin"] == part["bin"]]
        for part in report["by_area"]
    }
    members[f">{LARGE_HOLE * 100:.0f} %"] = [
        i for i, case in enumerate(cases) if (case["hole_ratio"] or 0) > LARGE_HOLE
    ]
    members["all"] = list(range(len(cases)))
    metrics = [METRICS[name] for name in SHOWN]
    found = {}
    for area, inside in members.items():
        if inside:
            scores = {label: [report["scores"][label][number] for number in inside] for label in labels}
            found[area] = summary_tables([cases[number] for number in inside], scores, metrics)["tables"][0]["rows"]
    return found


def _conditions(report: Mapping[str, Any]) -> str:
    """What was measured on what, and by which command, without the folders of one machine."""
    group, images, size = report["groups"][0], report["images"], report["protocol"]["size"]
    frame = "their own size" if size is None else f"{size} x {size}"
    asked = ",".join(_asked(method) for method in report["methods"])
    command = f"inpaintkit compare --images {images['name']} --masks {group['name']} --size {size or 'original'}"
    text = (
        f"{group['photos']} photos ({images['name']}, SHA-256 `{images['sha256'][:12]}`) with the masks "
        f"{group['name']} (`{group['sha256'][:12]}`) at {frame}, holes only; the mean over photos with its 95 % "
        "bootstrap interval. Sharpness is the median ratio of the Laplacian's energy in the hole to the truth's: 1 is "
        "right, under 0.5 is blur. Known pixels changed: 0 for every row. Command: "
        f"`{command} --methods {asked}`."
    )
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _asked(method: Mapping[str, Any]) -> str:
    """A method as `--methods` takes it."""
    model = method["model"] + (DETAIL if method["through"] == "fill" else "")
    return model if method["label"] == model else f"{method['label']}={model}"


def _cells(row: Mapping[str, Any]) -> str:
    of = row["metrics"]
    sharp = f"{of['sharpness']['median']:.2f}" if of["sharpness"] else "-"
    return f"{row['photos']} | {shown_interval(of['hole_l1'])} | {shown_interval(of['hole_psnr'])} | {sharp}"


def bundle(given: argparse.Namespace) -> None:
    """Export, describe, write. Raises InpaintError."""
    facts = json.loads(given.facts.read_text(encoding="utf-8"))
    tensors, description = read_generator_file(given.run)
    description |= {"name": given.name, "licence": facts["terms"], "working_size": facts["working_size"]}
    written = FOLDER / f"{given.name}.json"
    old = json.loads(written.read_text(encoding="utf-8")) if given.card_only else {}
    if given.card_only:
        parity = old["parity"]
    else:
        save_generator(FOLDER / f"{given.name}.safetensors", tensors, description, half=True)
        parity = export_tensors(tensors, description, FOLDER / f"{given.name}.onnx", name=given.name)
    parameters = sum(t.numel() for key, t in tensors.items() if "running_" not in key and "num_batches" not in key)
    if "numbers" in old:
        facts = {"numbers": old["numbers"], **facts}
    card = card_of(given.name, description | {"parameters": parameters}, facts, parity)
    if given.report is not None:
        report = json.loads(given.report.read_text(encoding="utf-8"))
        known = [*card["sha256"].values(), weights_sha256(weights_file(given.run))]
        card["numbers"] = numbers_of(report, given.name, known)
    written.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (FOLDER / f"{given.name}.md").write_text(as_markdown(card), encoding="utf-8")
    print(f"{given.name}: {sum(card['bytes'].values()) / 1e6:.1f} MB, parity {parity['max_abs_error']:.1e}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Bundle one run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--report", type=Path, help="report.json of `inpaintkit compare`: the numbers of the card")
    parser.add_argument("--card-only", action="store_true", help="keep the weight files, write the card anew")
    try:
        bundle(parser.parse_args(arguments))
    except (InpaintError, OSError) as error:
        print(f"bundle_weights: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
