"""Seeded batches: which photo, crop, flip and hole sample number k gets is a function of the seed and k alone."""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..errors import UsageError
from ..models.system import Batch
from .photos import Photos

Shape = Callable[[int, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class SampleSettings:
    """How a photo becomes a training sample.

    The short side is resized to a length drawn from [resize_min, resize_max] px, a size x size crop is taken at
    random (Iizuka et al. 2017: 256 of [256, 384]) and mirrored half of the time if `flip`. Holes are
    drawn by `shapes`, one of them picked evenly a sample.
    """

    size: int
    resize_min: int
    resize_max: int
    flip: bool
    shapes: tuple[Shape, ...]
    batch: int
    seed: int


class BatchStream:
    """Batches by number, prepared ahead by threads. Batch b is the same whenever and wherever it is asked for.

    `rank` of `ranks` processes gets its own share of every batch. Every photo is seen once before any is seen again.
    """

    def __init__(
        self, photos: Photos, settings: SampleSettings, *, rank: int = 0, ranks: int = 1, workers: int = 2
    ) -> None:
        if settings.batch % ranks:
            raise UsageError(
                f"a batch of {settings.batch} cannot be shared evenly by {ranks} processes; make it a multiple of that"
            )
        self.photos = photos
        self.settings = settings
        self.rank, self.ranks = rank, ranks
        self.workers = workers
        self._order: tuple[int, np.ndarray] | None = None

    def batches(self, first: int) -> Generator[Batch, None, None]:
        """Batches `first`, `first` + 1, ... without end; a few are prepared ahead."""
        ahead = self.workers + 2
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="samples")
        pending: list[Future[Batch]] = [pool.submit(self.batch, first + i) for i in range(ahead)]
        number = first + ahead
        try:
            while True:
                yield pending.pop(0).result()
                pending.append(pool.submit(self.batch, number))
                number += 1
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def batch(self, number: int) -> Batch:
        """Batch `number` of this rank: image in [0, 1], mask and reference mask, all float32."""
        per_rank = self.settings.batch // self.ranks
        first = number * self.settings.batch + self.rank * per_rank
        samples = [self.sample(first + i) for i in range(per_rank)]
        image = torch.from_numpy(np.stack([s[0] for s in samples])).permute(0, 3, 1, 2).float() / 255
        mask = torch.from_numpy(np.stack([s[1] for s in samples]))[:, None].float()
        reference = torch.from_numpy(np.stack([s[2] for s in samples]))[:, None].float()
        return Batch(image, mask, reference)

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample `number`: crop uint8 (size, size, 3), mask bool and an independent second mask bool (size, size)."""
        epoch, place = divmod(number, len(self.photos))
        photo = self.photos[int(self._epoch_order(epoch)[place])]
        rng = np.random.default_rng([self.settings.seed, 1, number])
        crop = random_crop(photo, self.settings, rng)
        size = self.settings.size
        masks = [self._draw_mask(size, np.random.default_rng([self.settings.seed, 2 + i, number])) for i in range(2)]
        return crop, masks[0], masks[1]

    def _draw_mask(self, size: int, rng: np.random.Generator) -> np.ndarray:
        shapes = self.settings.shapes
        return shapes[int(rng.integers(len(shapes)))](size, size, rng)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        order = self._order
        if order is None or order[0] != epoch:
            rng = np.random.default_rng([self.settings.seed, 0, epoch])
            order = self._order = (epoch, rng.permutation(len(self.photos)))
        return order[1]


def random_crop(photo: np.ndarray, settings: SampleSettings, rng: np.random.Generator) -> np.ndarray:
    """A size x size crop of the photo as if its short side had been resized to a random length; mirrored at random."""
    height, width = photo.shape[:2]
    short = int(rng.integers(settings.resize_min, settings.resize_max + 1))
    side = max(1, min(round(settings.size * min(height, width) / short), height, width))
    top = int(rng.integers(height - side + 1))
    left = int(rng.integers(width - side + 1))
    crop = photo[top : top + side, left : left + side]
    if side != settings.size:
        method = cv2.INTER_AREA if side > settings.size else cv2.INTER_CUBIC
        crop = cv2.resize(crop, (settings.size, settings.size), interpolation=method)
    if settings.flip and rng.random() < 0.5:
        crop = crop[:, ::-1]
    return np.ascontiguousarray(crop)
