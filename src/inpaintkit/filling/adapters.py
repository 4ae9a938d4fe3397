"""ONNX files as engines: our own exports, and other people's, told apart by their inputs' names, types and shapes.

| signature  | inputs                                                     | mask        | size           |
|------------|------------------------------------------------------------|-------------|----------------|
| inpaintkit | image float32 (N,3,H,W) in [0,1], mask float32 (N,1,H,W)    | 1 = missing | any (multiple) |
| lama       | image float32 (N,3,S,S) in [0,1], mask float32 (N,1,S,S)    | 1 = missing | fixed S        |
| migan      | image uint8 (N,3,H,W), mask uint8 (N,1,H,W)                 | 255 = keep  | any            |

Beside somebody else's MODEL.onnx a sidecar file MODEL.json may say what a signature cannot: `signature`, `hole_value`
(the mask's value for a missing pixel: 0, or 1 for the largest), `output_range` ([0,1] or [0,255]), `working_size`,
`size_multiple`, `name`, `licence`.
"""

import difflib
import json
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, unknown_name
from .blend import composite, from_bytes, to_bytes
from .runtimes import Session, gist, open_session

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

MIGAN_WORKING_SIZE = 512
"""MI-GAN's pipeline shrinks what it is given to 512 pixels inside its graph (its smaller variant to 256)."""

UNKNOWN_WORKING_SIZE = 256
"""Working size of a file with our signature that does not say what it was trained at."""

OWN_MARK = "inpaintkit.name"
"""A metadata key that only our own exports have; they need no sidecar file."""

SIDECAR_KEYS = ("signature", "hole_value", "output_range", "working_size", "size_multiple", "name", "licence")

LARGEST = {"training_size": 16384, "working_size": 16384, "size_multiple": 1024}
"""Sizes in pixels above these are slips."""

RANGE_PROBE_ABOVE = 1.5
"""An output that exceeds this is not in [0,1]; a picture brighter than this in 8 bit shows the range of its output."""


class OnnxEngine:
    """A network in our own export: dynamic height and width, composite in the graph, metadata that says the rest.

    Sizes that the network does not take are padded by repeating the border of image and mask, so that a hole which
    touches the border is missing in the padding too.
    """

    signature = "inpaintkit"

    def __init__(self, session: Session, name: str | None = None) -> None:
        self._session = session
        self.runtime = session.runtime
        metadata, sidecar = session.metadata, session.sidecar
        self.name = name or sidecar.get("name") or metadata.get("inpaintkit.name") or session.path.stem
        trained_at = _size_in_metadata(session, "training_size", UNKNOWN_WORKING_SIZE)
        best_at = _size_in_metadata(session, "working_size", trained_at)
        self.working_size: int | None = int(sidecar.get("working_size", best_at))
        self.size_multiple = int(sidecar.get("size_multiple", _size_in_metadata(session, "size_multiple", 8)))
        self._hole_is_high = bool(sidecar.get("hole_value", 1))
        self.takes_batches = session.inputs["image"].shape[0] is None and session.inputs["mask"].shape[0] is None

    def __call__(self, image: FloatArray, mask: BoolArray) -> FloatArray:
        """The image (H, W, 3) in [0,1] with its missing pixels filled, known ones as they came."""
        return self.fill_batch(image[None], mask[None])[0]

    def fill_batch(self, images: FloatArray, masks: BoolArray) -> FloatArray:
        """`images` (N, H, W, 3) and `masks` (N, H, W) in one run, each as `__call__` fills it."""
        _, height, width = masks.shape
        pad = ((0, 0), (0, -height % self.size_multiple), (0, -width % self.size_multiple))
        planes = np.pad(images, (*pad, (0, 0)), mode="edge").transpose(0, 3, 1, 2)
        holes = np.pad(masks if self._hole_is_high else ~masks, pad, mode="edge")[:, None].astype(np.float32)
        output = self._session.run(np.ascontiguousarray(planes, dtype=np.float32), holes)
        filled = _pixels(self._session, output, planes.shape)[:, :height, :width]
        return np.stack([composite(*each) for each in zip(images, masks, filled, strict=True)])

    def describe(self) -> dict[str, Any]:
        """What this engine is, in plain values."""
        metadata = self._session.metadata
        return {
            "name": self.name,
            "runtime": self.runtime,
            "precision": self._session.precision,
            "signature": self.signature,
            "file": str(self._session.path),
            "working_size": self.working_size,
            "licence": self._session.sidecar.get("licence") or metadata.get("inpaintkit.licence"),
            "version": metadata.get("inpaintkit.version"),
        }


class MiGanEngine(OnnxEngine):
    """MI-GAN's exported pipeline: 8-bit picture and mask of any size, where 255 marks the pixels to *keep*."""

    signature = "migan"

    def __init__(self, session: Session, name: str | None = None) -> None:
        super().__init__(session, name)
        self.working_size = int(session.sidecar.get("working_size") or MIGAN_WORKING_SIZE)
        self._hole_is_high = bool(session.sidecar.get("hole_value", 0))

    def __call__(self, image: FloatArray, mask: BoolArray) -> FloatArray:
        """The image (H, W, 3) in [0,1] with its missing pixels filled, in 8-bit precision."""
        return self.fill_batch(image[None], mask[None])[0]

    def fill_batch(self, images: FloatArray, masks: BoolArray) -> FloatArray:
        """`images` (N, H, W, 3) and `masks` (N, H, W) in one run, each as `__call__` fills it."""
        high = masks if self._hole_is_high else ~masks
        planes = np.ascontiguousarray(to_bytes(images).transpose(0, 3, 1, 2))
        output = self._session.run(planes, high[:, None].astype(np.uint8) * np.uint8(255))
        filled = from_bytes(_pixels(self._session, output, planes.shape))
        return np.stack([composite(*each) for each in zip(images, masks, filled, strict=True)])


class LamaEngine(OnnxEngine):
    """LaMa's export: one fixed square size, mask 1 = missing, output in [0,1] or [0,255] depending on who exported it.

    A crop of another size is brought to the square with its proportions kept and its border mirrored. The output's
    range comes from the sidecar file, else from the first picture that shows it, else from a drawn one.
    """

    signature = "lama"

    def __init__(self, session: Session, name: str | None = None) -> None:
        super().__init__(session, name)
        side = session.inputs["image"].shape[2] or session.sidecar.get("working_size") or 512
        self.side = int(side)
        if session.sidecar.get("working_size", self.side) != self.side:
            raise ModelError(
                f"sidecar '{session.path.with_suffix('.json')}': working_size is {session.sidecar['working_size']} and "
                f"the model's size is fixed at {self.side}: leave it out"
            )
        self.working_size = self.side
        self.takes_batches = False
        given = session.sidecar.get("output_range")
        self._output_scale: float | None = None if given is None else float(given[1])
        self._lock = threading.Lock()

    def __call__(self, image: FloatArray, mask: BoolArray) -> FloatArray:
        """The image (H, W, 3) in [0,1] with its missing pixels filled, known ones as they came."""
        height, width = mask.shape
        scale = self.side / max(height, width)
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        small, hole = image, mask
        if inner != (height, width):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            small = np.asarray(cv2.resize(image, inner[::-1], interpolation=how), np.float32)
            hole = cv2.resize(mask.astype(np.float32), inner[::-1], interpolation=how) > 0
        pad = ((0, self.side - inner[0]), (0, self.side - inner[1]))
        square, hole = np.pad(small, (*pad, (0, 0)), mode="symmetric"), np.pad(hole, pad, mode="symmetric")
        filled = self._run_square(square, hole)[: inner[0], : inner[1]]
        if inner != (height, width):
            how = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
            filled = np.asarray(cv2.resize(filled, (width, height), interpolation=how), np.float32)
        return composite(image, mask, np.clip(filled, 0, 1))

    def _run_square(self, image: FloatArray, mask: BoolArray) -> FloatArray:
        """One run at the fixed size, the output brought to [0,1]."""
        output = self._raw(image, mask)
        if self._output_scale is None:
            with self._lock:
                if self._output_scale is None:
                    self._output_scale = self._range_of(output, image, mask)
        return np.clip(output / np.float32(self._output_scale), 0, 1)

    def _raw(self, image: FloatArray, mask: BoolArray) -> FloatArray:
        hole = mask if self._hole_is_high else ~mask
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
        output = self._session.run(planes, hole[None, None].astype(np.float32))
        return _pixels(self._session, output, planes.shape)[0].astype(np.float32)

    def _range_of(self, output: FloatArray, image: FloatArray, mask: BoolArray) -> float:
        """1 or 255, the largest value the output can take; a picture too dark to tell is replaced by a drawn one."""
        if output.max() <= RANGE_PROBE_ABOVE and image[~mask].max(initial=0) < 4 * RANGE_PROBE_ABOVE / 255:
            probe = np.full_like(image, 0.5)
            probe[:, ::2] = 0.9
            hole = np.zeros(mask.shape, bool)
            hole[self.side // 2 - 1 : self.side // 2 + 1, self.side // 2 - 1 : self.side // 2 + 1] = True
            output = self._raw(probe, hole)
        if output.min() < -RANGE_PROBE_ABOVE / 10:
            raise ModelError(
                f"model '{self._session.path}' returns values down to {output.min():.2f}, expected [0,1] or [0,255]; "
                "export it with its output in one of these ranges"
            )
        return 255.0 if output.max() > RANGE_PROBE_ABOVE else 1.0


SIGNATURES: dict[str, type[OnnxEngine]] = {"inpaintkit": OnnxEngine, "lama": LamaEngine, "migan": MiGanEngine}
"""The signatures that are understood, by the name a sidecar file gives them."""


def open_onnx(
    path: Path,
    *,
    name: str | None = None,
    runtime: str = "onnx",
    precision: str = "float32",
    threads: int | None = None,
    data: bytes | None = None,
) -> OnnxEngine:
    """An ONNX file as an engine, chosen by its signature, in one of the runtimes that `open_session` knows.

    `data` is the file's content where it has been read already. Raises ModelError for a damaged file or an unknown
    signature.
    """
    session = open_session(path, runtime, precision, threads=threads, data=data)
    if OWN_MARK not in session.metadata:
        session = replace(session, sidecar=_read_sidecar(path))
    signature = _signature(session)
    for key, meant_for in (("output_range", "lama"), ("size_multiple", "inpaintkit")):
        if key in session.sidecar and signature != meant_for:
            raise ModelError(
                f"sidecar '{path.with_suffix('.json')}': {key} is for the signature {meant_for} and the model's is "
                f"{signature}: leave it out"
            )
    return SIGNATURES[signature](session, name)


def _signature(session: Session) -> str:
    """The name of the file's signature. Raises ModelError that lists what was found and what is known."""
    if set(session.inputs) == {"image", "mask"} and all(len(port.shape) == 4 for port in session.inputs.values()):
        image, mask = session.inputs["image"], session.inputs["mask"]
        if "signature" in session.sidecar:
            return str(session.sidecar["signature"])
        planes = image.shape[1] == 3 and mask.shape[1] == 1
        types = {image.type, mask.type}
        sides = image.shape[2:] + mask.shape[2:]
        if planes and types == {"tensor(uint8)"} and sides == (None,) * 4:
            return "migan"
        if planes and types == {"tensor(float)"}:
            ours = OWN_MARK in session.metadata or session.outputs[0].name == "completed"
            if ours and sides == (None,) * 4:
                return "inpaintkit"
            if not ours and None not in sides and len(set(sides)) == 1:
                return "lama"
    found = ", ".join(map(str, session.inputs.values()))
    raise ModelError(
        f"model '{session.path}' has the inputs {found} and the output {session.outputs[0]}, which is no known "
        "signature; known are inpaintkit (image float (?,3,?,?), mask float (?,1,?,?), output completed), lama "
        "(image float (1,3,S,S), mask float (1,1,S,S)) and migan (image uint8 (?,3,?,?), mask uint8 (?,1,?,?)); if it "
        f'is one of these, say so in {session.path.with_suffix(".json").name}: {{"signature": "lama"}}'
    )


def _read_sidecar(path: Path) -> dict[str, Any]:
    """What the JSON file beside the model says, checked; empty without one. A file that is not ours is ignored."""
    sidecar = path.with_suffix(".json")
    if path.suffix.lower() != ".onnx" or not sidecar.is_file():
        return {}
    try:
        stated = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"sidecar '{sidecar}' is not readable JSON: {gist(error)}; mend or remove it") from error
    if not isinstance(stated, dict) or not any(_close_to(key, SIDECAR_KEYS) for key in stated):
        return {}
    for key in stated:
        if key not in SIDECAR_KEYS:
            raise ModelError(f"sidecar '{sidecar}': {unknown_name('key', key, SIDECAR_KEYS)}")
    _check_sidecar(sidecar, stated)
    return stated


def _check_sidecar(sidecar: Path, stated: dict[str, Any]) -> None:
    """Raise ModelError for a value that does not make sense."""
    if "signature" in stated and str(stated["signature"]) not in SIGNATURES:
        raise ModelError(f"sidecar '{sidecar}': {unknown_name('signature', str(stated['signature']), SIGNATURES)}")
    if not (type(stated.get("hole_value", 1)) is int and stated.get("hole_value", 1) in (0, 1, 255)):
        raise ModelError(f"sidecar '{sidecar}': hole_value is {stated['hole_value']!r}, expected 0, 1 or 255")
    if stated.get("output_range", [0, 1]) not in ([0, 1], [0, 255]):
        raise ModelError(
            f"sidecar '{sidecar}': output_range is {stated['output_range']!r}, expected [0, 1] or [0, 255]"
        )
    for key in ("working_size", "size_multiple"):
        if key in stated and not (type(stated[key]) is int and 0 < stated[key] <= LARGEST[key]):
            raise ModelError(
                f"sidecar '{sidecar}': {key} is {stated[key]!r}, expected a whole number of pixels above 0, at most "
                f"{LARGEST[key]}"
            )
    for key in ("name", "licence"):
        if key in stated and not isinstance(stated[key], str):
            raise ModelError(f"sidecar '{sidecar}': {key} is {stated[key]!r}, expected text in quotes")


def _close_to(key: str, known: Iterable[str]) -> bool:
    """Whether a key is one of the known ones or a likely slip for one."""
    return bool(difflib.get_close_matches(key.lower(), list(known), n=1, cutoff=0.75))


def _size_in_metadata(session: Session, key: str, otherwise: int) -> int:
    """A number of pixels that the file states about itself. Raises ModelError when it is none."""
    stated = session.metadata.get(f"inpaintkit.{key}")
    if stated is None:
        return otherwise
    if not (stated.isascii() and stated.isdigit() and len(stated) < 9 and 0 < int(stated) <= LARGEST[key]):
        raise ModelError(
            f"model '{session.path}' states the {key} {stated[:40]!r} in its metadata, expected a whole number from 1 "
            f"to {LARGEST[key]}: export it again"
        )
    return int(stated)


def _pixels(session: Session, output: Any, given: tuple[int, ...]) -> NDArray[Any]:
    """A graph's (N, 3, H, W) output as (N, H, W, 3); `given` is the shape that went in. Raises ModelError otherwise."""
    shape = tuple(output.shape) if isinstance(output, np.ndarray) else type(output).__name__
    if shape != given or output.dtype.kind not in "fiu":
        raise ModelError(
            f"model '{session.path}' returned {getattr(output, 'dtype', '')} {shape}, expected numbers "
            f"{given}, the size that went in: export it again"
        )
    return output.transpose(0, 2, 3, 1)
