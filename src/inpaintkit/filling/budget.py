"""How large a piece of work may be under a memory ceiling: batches, windows and crops shrink until it holds."""

from dataclasses import dataclass

from ..errors import PhotoError
from .detail import WINDOW_PX
from .engines import MOST_TOGETHER, Engine

PROCESS_BYTES = 220_000_000
"""What the program, its libraries and an open model take (measured: 150 to 210 MB with ONNX Runtime or OpenVINO)."""

TORCH_PROCESS_BYTES = 700_000_000
"""The same with PyTorch."""

BYTES_PER_WORKING_PIXEL = 1200
"""What a network's activations take for every pixel of a crop at working size (measured: the bundled ones at 256)."""

BYTES_PER_WINDOW_PIXEL = 240
"""What finishing takes for every pixel of a window, with detail (measured from 192 to 640 pixels a side)."""

WINDOW_BYTES = 30_000_000
"""What it takes beside that."""

BYTES_PER_CLASSICAL_PIXEL = 80
"""What a method without a working size takes for every pixel of its crop."""

BYTES_PER_BLENDED_PIXEL = 220
"""What Poisson blending, which OpenCV does in one piece, takes for every pixel of a hole's box (measured: 4 GB for 18
million)."""

MASK_COPIES = 4
"""Bool arrays of the photo's size that exist at once: the mask, what is still missing, a region's holes and its own."""

LEAST_WINDOW_PX = 192
"""Smaller windows would know too little of the photo."""


@dataclass(frozen=True)
class Budget:
    """The sizes to work with. `largest_crop` bounds a crop's side for engines without a working size, None: as is."""

    window_px: int = WINDOW_PX
    most_together: int = MOST_TOGETHER
    largest_crop: int | None = None


def budget_for(
    memory: int | None, pixels: int, bytes_per_pixel: int, engine: Engine, *, others: int = 0, blended: int = 0
) -> Budget:
    """The sizes with which a photo of so many pixels is filled under a ceiling of `memory` bytes for the process.

    Counted are the program, the photo twice (what comes out, or what encoding it takes), its masks, `others`: bytes of
    further photos that are held meanwhile, and `blended`: pixels of the largest crop that is blended whole. Raises
    PhotoError where no size is small enough.
    """
    if memory is None:
        return Budget()
    working_size = engine.working_size
    held = others + (TORCH_PROCESS_BYTES if engine.runtime == "torch" else PROCESS_BYTES)
    photo = pixels * (2 * bytes_per_pixel + MASK_COPIES)
    crop = BYTES_PER_WORKING_PIXEL * (working_size or 0) ** 2
    free = memory - held - photo
    least_window = WINDOW_BYTES + BYTES_PER_WINDOW_PIXEL * LEAST_WINDOW_PX**2
    least = max(crop + least_window, BYTES_PER_BLENDED_PIXEL * blended)
    _refuse_above(memory, pixels, held + photo + least, " with this model" if not blended else " with Poisson blending")
    together = 1 if crop == 0 else min(max(1, free // 2 // crop), MOST_TOGETHER)
    for_window = max(free - together * crop, least_window) - WINDOW_BYTES
    window = int(min((for_window / BYTES_PER_WINDOW_PIXEL) ** 0.5, WINDOW_PX))
    largest = int((free / BYTES_PER_CLASSICAL_PIXEL) ** 0.5) if working_size is None else None
    return Budget(window, together, largest)


def check_photo(memory: int | None, size: tuple[int, int]) -> None:
    """Refuse a photo of (height, width), before it is decoded, that no engine could fill under the ceiling.

    Raises PhotoError.
    """
    if memory is not None:
        least = PROCESS_BYTES + WINDOW_BYTES + BYTES_PER_WINDOW_PIXEL * LEAST_WINDOW_PX**2
        pixels = size[0] * size[1]
        _refuse_above(memory, pixels, least + pixels * (2 * 3 + MASK_COPIES), "")


def _refuse_above(memory: int, pixels: int, needed: int, by: str) -> None:
    if needed > memory:
        raise PhotoError(
            f"the photo of {pixels:,} pixels needs about {_megabytes(needed)}{by}, expected at most the "
            f"{_megabytes(memory)} of the memory limit: raise the limit, or scale the photo down"
        )


def _megabytes(size: int) -> str:
    return f"{max(size, 0) / 1e6:,.0f} MB"
