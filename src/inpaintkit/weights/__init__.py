"""The networks that ship with the package: a catalogue of names, each with a card that states terms and checksums.

`weights/NAME.json` is the card of one network. These keys are read here; others are for people:

    {"sha256": {"NAME.onnx": "...", "NAME.safetensors": "..."},   checksums of the files beside the card
     "terms": "one line: what the weights may be used for",
     "model": "generator and its width", "training_size": 256, "data": "...", "steps": ..., "photos_seen": ...}
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError, unknown_name

FOLDER = Path(__file__).parent
"""Where the weights lie in an installed package."""


@dataclass(frozen=True)
class WeightsEntry:
    """One bundled network: its files, and what its card says about them."""

    name: str
    onnx: Path
    safetensors: Path | None
    card: Path
    sha256: dict[str, str] = field(default_factory=dict)
    """File name to checksum, as the card gives it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Everything the card says."""

    @property
    def terms(self) -> str:
        """What the weights may be used for, in one line."""
        return str(self.facts.get("terms", "not stated"))

    def verified(self, file: Path) -> bytes:
        """The content of one of the files, compared with its checksum. Raises ModelError."""
        if not file.is_file():
            raise ModelError(f"model '{self.name}': its file {file.name} is missing: reinstall inpaintkit")
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256.get(file.name):
            raise ModelError(f"model '{self.name}': its file {file.name} is damaged: reinstall inpaintkit")
        return content


def file_sha256(path: Path) -> str:
    """The checksum of a file's content, in hexadecimal digits, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _catalogued(name: str) -> WeightsEntry:
    return WeightsEntry(name, FOLDER / f"{name}.onnx", FOLDER / f"{name}.safetensors", FOLDER / f"{name}.json")


CATALOGUE: dict[str, WeightsEntry] = {name: _catalogued(name) for name in ("default", "glcic", "gmcnn")}
"""Every bundled network by name. Cards are read by `bundled`, so that the names cost nothing."""


def bundled(name: str) -> WeightsEntry:
    """A bundled network with its card read. Raises UsageError for an unknown name, ModelError when it is not usable.

    The files are not hashed here: `WeightsEntry.verified` does that.
    """
    if name not in CATALOGUE:
        raise UsageError(unknown_name("bundled model", name, CATALOGUE))
    entry = CATALOGUE[name]
    if not entry.card.is_file() or not entry.onnx.is_file():
        raise ModelError(
            f"model '{name}' is not part of this installation ({entry.onnx.name} is missing): reinstall inpaintkit, or "
            "use a model that needs no weights (--model ns or telea)"
        )
    try:
        facts = json.loads(entry.card.read_text(encoding="utf-8"))
        sha256 = {str(file): str(digest) for file, digest in facts["sha256"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"model '{name}': its card {entry.card.name} is damaged: reinstall inpaintkit") from None
    if entry.onnx.name not in sha256:
        raise ModelError(f"model '{name}': its card names no checksum of {entry.onnx.name}: reinstall inpaintkit")
    with_torch = entry.safetensors if entry.safetensors is not None and entry.safetensors.is_file() else None
    return WeightsEntry(name, entry.onnx, with_torch, entry.card, sha256, facts)
