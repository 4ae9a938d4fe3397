"""The editor's photos: held in memory only, each with its fills as patches, dropped when idle or when room is needed.

A photo's pixels are kept once. Every fill keeps what stood in its hole before and after, so that the one array can be
taken to any version by undoing and doing patches: twenty fills of a 24-megapixel photo cost little more than one.
"""

import math
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np

from ..errors import MaskError
from ..filling.blend import hole_box
from ..photo import Photo
from .problems import Problem

MOST_VERSIONS = 10_000
"""More fills of one photo than this are a program's error."""

Window = tuple[int, int, int, int]
"""Top, left, height, width in pixels of the photo."""


@dataclass(frozen=True, eq=False)
class Patch:
    """What one fill changed: in a window of the photo, the pixels where `holes` is True, before it and after it.

    `holes` is packed, eight pixels to a byte; `before` and `after` are (pixels, 3) in the photo's type.
    """

    parent: int
    window: Window
    holes: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Which pixels of the window are changed, bool (height, width)."""
        _, _, height, width = self.window
        return np.unpackbits(self.holes, axis=1, count=width).astype(bool)[:height]

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self.holes.nbytes + self.before.nbytes + self.after.nbytes


class HeldPhoto:
    """One photo that is open, and the tree of its versions; 0 is the photo as it came.

    `content` is the file as it was sent, `turned` whether its orientation was applied. With its versions it never takes
    more than `ceiling` bytes. Safe to use from several threads.
    """

    def __init__(
        self, photo: Photo, content: bytes, name: str, *, turned: bool = False, ceiling: float = math.inf
    ) -> None:
        self.id = secrets.token_hex(16)
        self.content, self.name, self.turned, self.ceiling = content, name, turned, ceiling
        self.used = time.monotonic()
        self._photo = photo
        self._patches: list[Patch] = []
        self._at = 0
        self._lock = threading.Lock()
        self.nbytes = photo.pixels.nbytes + (0 if photo.alpha is None else photo.alpha.nbytes) + len(content)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._photo.size

    @property
    def about(self) -> Photo:
        """The photo for what its file says; its pixels may be those of any version."""
        return self._photo

    @property
    def newest(self) -> int:
        """The version that was made last."""
        return len(self._patches)

    def check_version(self, version: int) -> None:
        """Raise Problem for a version that there is not."""
        if not 0 <= version <= len(self._patches):
            raise Problem(
                "version-gone", f"version {version} is not there, expected 0 to {len(self._patches)}: open it again"
            )

    def at(self, version: int) -> Photo:
        """The photo of a version, in an array of its own."""
        height, width = self.size
        return self._photo.replace_pixels(self.window(version, (0, 0, height, width)))

    def window(self, version: int, window: Window) -> np.ndarray:
        """A copy of the pixels in a window of a version, (height, width, 3). Raises Problem."""
        self.check_version(version)
        self.check_window(window)
        with self._lock:
            self._go_to(version)
            return self._photo.pixels[_slices(window)].copy()

    def check_window(self, window: Window) -> None:
        """Raise Problem for a window that has no pixels or reaches beyond the photo."""
        top, left, height, width = window
        if height < 1 or width < 1 or min(top, left) < 0 or top + height > self.size[0] or left + width > self.size[1]:
            raise Problem(
                "bad-option",
                f"the window {top},{left},{height},{width} (top, left, height, width) is not inside the photo of "
                f"{self.size[1]} x {self.size[0]} pixels (width x height): cut it to the photo",
            )

    def patch(self, version: int) -> Patch:
        """What a version changed in its parent. Raises Problem for version 0, which changed nothing."""
        self.check_version(version)
        if version == 0:
            raise Problem("version-gone", "version 0 is the photo as it came and has no patch: ask for its view")
        return self._patches[version - 1]

    def add(self, parent: int, mask: np.ndarray, top: int, left: int, pixels: np.ndarray) -> tuple[int, Patch]:
        """A new version: `parent` with `pixels` of a window at `top`, `left` where its `mask` (bool) is True.

        `pixels` may have an alpha channel, which is ignored. Raises MaskError for an empty mask, and Problem where the
        photo with all its versions would take more than its ceiling.
        """
        if not mask.any():
            raise MaskError("nothing is marked as missing, expected white pixels in the mask: paint over what is to go")
        rows, columns = hole_box(mask)
        tight = mask[rows, columns]
        window = (top + rows.start, left + columns.start, *tight.shape)
        self.check_version(parent)
        self.check_window(window)
        with self._lock:
            if len(self._patches) >= MOST_VERSIONS:
                raise Problem(
                    "too-large", f"the photo has {MOST_VERSIONS} versions already: download it, open it again"
                )
            self._go_to(parent)
            before = self._photo.pixels[_slices(window)][tight]
            after = pixels[rows, columns, :3][tight]
            patch = Patch(parent, window, np.packbits(tight, axis=1), before, after)
            if self.nbytes + patch.nbytes > self.ceiling:
                raise Problem(
                    "too-large",
                    f"the photo with its {len(self._patches) + 1} versions takes "
                    f"{(self.nbytes + patch.nbytes) / 1e6:,.0f} MB in memory, expected at most "
                    f"{self.ceiling / 1e6:,.0f}: open it again and put back what is wanted",
                )
            self._patches.append(patch)
            self.nbytes += patch.nbytes
            return len(self._patches), patch

    def _go_to(self, version: int) -> None:
        """Take the one array to a version: undo up to the last common ancestor, then do."""
        above, seen = [], {self._at}
        at = self._at
        while at:
            at = self._patches[at - 1].parent
            seen.add(at)
        at = version
        while at not in seen:
            above.append(at)
            at = self._patches[at - 1].parent
        while self._at != at:
            patch = self._patches[self._at - 1]
            self._photo.pixels[_slices(patch.window)][patch.mask] = patch.before
            self._at = patch.parent
        for each in reversed(above):
            patch = self._patches[each - 1]
            self._photo.pixels[_slices(patch.window)][patch.mask] = patch.after
            self._at = each


def _slices(window: Window) -> tuple[slice, slice]:
    top, left, height, width = window
    return slice(top, top + height), slice(left, left + width)


class PhotoStore:
    """The photos that are open, the one used longest ago first.

    At most `ceiling` bytes are held, and nothing that was not used for `idle_s`.
    """

    def __init__(self, ceiling: int, idle_s: float) -> None:
        self.ceiling, self.idle_s = ceiling, idle_s
        self._photos: OrderedDict[str, HeldPhoto] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """What is held."""
        with self._lock:
            return sum(photo.nbytes for photo in self._photos.values())

    def open(self, photo: Photo, content: bytes, name: str, *, turned: bool = False) -> HeldPhoto:
        """Hold a photo, whose pixels become the store's own. Raises Problem for one that alone is above the ceiling."""
        pixels = photo.pixels if photo.pixels.flags.writeable and photo.pixels.base is None else photo.pixels.copy()
        held = HeldPhoto(replace(photo, pixels=pixels), content, name, turned=turned, ceiling=self.ceiling)
        if held.nbytes > self.ceiling:
            raise Problem(
                "too-large",
                f"the photo takes {held.nbytes / 1e6:,.0f} MB in memory, expected at most {self.ceiling / 1e6:,.0f}: "
                "scale it down, or start the service with a larger --photos-memory",
            )
        with self._lock:
            self._photos[held.id] = held
        self.make_room(held)
        return held

    def get(self, id: str) -> HeldPhoto:
        """The photo of an id. Raises Problem when it was dropped, or never there."""
        self.drop_idle()
        with self._lock:
            held = self._photos.get(id)
            if held is None:
                raise Problem("photo-gone", "the photo is not open any more: open it again")
            held.used = time.monotonic()
            self._photos.move_to_end(id)
            return held

    def close(self, id: str) -> None:
        """Let go of a photo. Raises Problem when there is none of this id."""
        with self._lock:
            if self._photos.pop(id, None) is None:
                raise Problem("photo-gone", "the photo is not open any more: nothing is left to close")

    def drop_idle(self) -> None:
        """Let go of photos that were not used for long."""
        oldest = time.monotonic() - self.idle_s
        with self._lock:
            for id in [id for id, held in self._photos.items() if held.used < oldest]:
                del self._photos[id]

    def make_room(self, kept: HeldPhoto) -> None:
        """Let go of photos, those used longest ago first, until the rest is below the ceiling; `kept` stays."""
        with self._lock:
            held = sum(photo.nbytes for photo in self._photos.values())
            for id in [id for id, photo in self._photos.items() if photo is not kept]:
                if held <= self.ceiling:
                    break
                held -= self._photos.pop(id).nbytes
