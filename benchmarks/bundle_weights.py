"""Put a trained run into the package: ONNX and safetensors in half precision, and a model card with their hashes.

    python benchmarks/bundle_weights.py RUN --name default --facts facts.json

`facts.json` holds what a run cannot know: terms, data, hardware, limits, how it was trained, and the validation
numbers as a markdown table. Writes NAME.onnx, NAME.safetensors, NAME.json and NAME.md into
src/inpaintkit/weights.
"""

import argparse
import hashlib
import json
from pathlib import Path

from inpaintkit.export import export_tensors
from inpaintkit.models.published import read_generator_file, save_generator
from inpaintkit.weights import FOLDER


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


def main() -> None:
    """Export, describe, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--card-only", action="store_true", help="Keep the weight files, write the card anew.")
    arguments = parser.parse_args()
    facts = json.loads(arguments.facts.read_text(encoding="utf-8"))
    tensors, description = read_generator_file(arguments.run)
    description |= {"name": arguments.name, "licence": facts["terms"], "working_size": facts["working_size"]}
    old = FOLDER / f"{arguments.name}.json"
    if arguments.card_only:
        parity = json.loads(old.read_text(encoding="utf-8"))["parity"]
    else:
        save_generator(FOLDER / f"{arguments.name}.safetensors", tensors, description, half=True)
        parity = export_tensors(tensors, description, FOLDER / f"{arguments.name}.onnx", name=arguments.name)
    parameters = sum(t.numel() for key, t in tensors.items() if "running_" not in key and "num_batches" not in key)
    card = card_of(arguments.name, description | {"parameters": parameters}, facts, parity)
    old.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (FOLDER / f"{arguments.name}.md").write_text(as_markdown(card), encoding="utf-8")
    print(f"{arguments.name}: {sum(card['bytes'].values()) / 1e6:.1f} MB, parity {parity['max_abs_error']:.1e}")


if __name__ == "__main__":
    main()
