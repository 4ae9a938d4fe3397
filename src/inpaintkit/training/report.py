"""What a run tells: a progress bar, a JSONL log, TensorBoard scalars and pictures, sample sheets."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ..photo import Photo, encode_photo
from ..tensors import composite


class RunReport:
    """Writes a run's log.jsonl, TensorBoard files, sample sheets and, on a terminal, its progress bar.

    Without a terminal one line a minute goes to standard error instead.
    """

    def __init__(self, folder: Path, *, total_steps: int, first_step: int, batch: int) -> None:
        self.folder = folder
        self.batch = batch
        folder.mkdir(parents=True, exist_ok=True)
        self._log = _log_up_to(folder / "log.jsonl", first_step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)
        self._bar = tqdm(total=total_steps, initial=first_step, unit="step", dynamic_ncols=True, disable=None)
        self._since = (time.monotonic(), first_step)
        self._spoken = 0.0
        self._told = 0
        self._latest = ""
        self._total = total_steps

    def advance(self, step: int) -> None:
        """Step `step` is done."""
        self._bar.update(step - self._bar.n)
        if self._bar.disable and time.monotonic() - self._spoken >= 60:
            self._spoken = time.monotonic()
            self.note(f"step {step}/{self._total} {self._latest}".strip())

    def scalars(self, step: int, phase: str, photos_seen: int, values: Mapping[str, float]) -> None:
        """Log the mean losses since the last call, with the speed."""
        now = time.monotonic()
        elapsed, steps = now - self._since[0], step - self._since[1]
        speed = steps / elapsed if elapsed > 0 else 0.0
        self._since = (now, step)
        record = {"step": step, "phase": phase, "photos_seen": photos_seen, "time": round(time.time(), 1)}
        record |= {"steps_per_s": float(f"{speed:.4g}"), "photos_per_s": float(f"{speed * self.batch:.4g}")}
        record |= {name: float(f"{value:.6g}") for name, value in values.items()}
        self._log.write(json.dumps(record) + "\n")
        self._log.flush()
        for name, value in {**values, "steps_per_s": speed}.items():
            self._board.add_scalar(name, value, step)
        losses = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._bar.set_postfix_str(f"{phase}: {losses}")
        left = (self._total - step) / speed if speed else float("inf")
        self._latest = f"{phase}: {losses}; {speed:.2f} steps/s, {left / 60:.0f} min left"

    def skipped(self, unreadable: Mapping[str, str]) -> None:
        """Name the photos that could not be read since the last call."""
        untold = list(unreadable.items())[self._told :]  # a copy: other threads may add to it meanwhile
        for name, reason in untold:
            self.note(f"skipped {name}: {reason}")
        self._told += len(untold)

    def note(self, text: str) -> None:
        """One line for the person who watches."""
        tqdm.write(text, file=sys.stderr)

    def sheet(self, step: int, image: Tensor, mask: Tensor, completed: Tensor) -> None:
        """Write samples/step-N.png: a row a sample with the holed photo, the composite and the truth."""
        known = image * (1 - mask) + 0.5 * mask
        rows = [
            np.concatenate([_pixels(t[i]) for t in (known, composite(image, mask, completed), image)], 1)
            for i in range(len(image))
        ]
        half = (len(rows) + 1) // 2
        while len(rows) < 2 * half:
            rows.append(np.zeros_like(rows[0]))
        sheet = np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], 1)
        path = self.folder / "samples" / f"step-{step:09d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_photo(Photo(sheet), "PNG"))
        self._board.add_image("samples", sheet, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close everything."""
        self._bar.close()
        self._log.close()
        self._board.close()


class DownloadBar:
    """A progress bar for one download, shown from its first bytes on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: tqdm | None = None

    def __call__(self, there: int, total: int | None) -> None:
        """`there` of `total` bytes have come."""
        if self._bar is None:
            self._bar = tqdm(total=total, desc=self._name, unit="B", unit_scale=True, dynamic_ncols=True)
        self._bar.update(there - self._bar.n)
        if there == total:
            self._bar.close()


def _log_up_to(path: Path, step: int) -> TextIO:
    """The run's log, open for appending, without lines beyond `step`: a killed run's last steps are done again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # a line cut short by the kill
            continue
        if record["step"] <= step:
            kept.append(line + "\n")
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)
    return path.open("a", encoding="utf-8")


def _pixels(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
