"""Filling without a network: fast marching, Navier-Stokes and the biharmonic equation, as engines."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .blend import composite, from_bytes, to_bytes

RADIUS_PX = 5
"""How far around a missing pixel OpenCV's two methods look."""

BIHARMONIC_LIMIT = 40_000
"""Missing pixels per crop above which the biharmonic system of equations no longer fits into ordinary memory."""


class ClassicalEngine:
    """What the methods without a network have in common: any size, no weights, no runtime to choose."""

    runtime = "classical"
    working_size: int | None = None
    name = ""
    reference = ""

    def describe(self) -> dict[str, Any]:
        """What this engine is, in plain values."""
        return {"name": self.name, "runtime": self.runtime, "working_size": None, "reference": self.reference}


class Telea(ClassicalEngine):
    """Fast marching (Telea 2004). OpenCV computes it in 8 bit: a 16-bit photo's hole is filled with 8-bit precision."""

    name = "telea"
    reference = "A. Telea, An image inpainting technique based on the fast marching method, 2004"

    def __call__(self, image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The image (H, W, 3) in [0,1] with its missing pixels filled."""
        return _opencv_inpaint(image, mask, cv2.INPAINT_TELEA)


class NavierStokes(ClassicalEngine):
    """Navier-Stokes (Bertalmio et al. 2001). OpenCV computes it in 8 bit, like `Telea`."""

    name = "ns"
    reference = "M. Bertalmio et al., Navier-Stokes, fluid dynamics, and image and video inpainting, 2001"

    def __call__(self, image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The image (H, W, 3) in [0,1] with its missing pixels filled."""
        return _opencv_inpaint(image, mask, cv2.INPAINT_NS)


class Biharmonic(ClassicalEngine):
    """The biharmonic equation (Damelin and Hoang 2018) by scikit-image: very smooth, for holes of moderate size.

    Raises ModelError when scikit-image is not installed.
    """

    name = "biharmonic"
    reference = "S. Damelin and N. Hoang, On surface completion and image inpainting by biharmonic functions, 2018"

    def __init__(self) -> None:
        try:
            from skimage.restoration import inpaint_biharmonic
        except ImportError:
            raise ModelError(
                "model 'biharmonic' needs scikit-image: pip install 'inpaintkit[classical]', or use --model ns"
            ) from None
        self._solve: Callable[..., Any] = inpaint_biharmonic

    def __call__(self, image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The image (H, W, 3) in [0,1] with its missing pixels filled; at most `BIHARMONIC_LIMIT` of them."""
        missing = int(np.count_nonzero(mask))
        if missing > BIHARMONIC_LIMIT:
            raise ModelError(
                f"model 'biharmonic' solves one equation per missing pixel: one hole has {missing}, at most "
                f"{BIHARMONIC_LIMIT} are possible; use --model ns or default"
            )
        solved = self._solve(image.astype(np.float64), mask, channel_axis=-1)
        return composite(image, mask, np.clip(solved, 0, 1).astype(np.float32))


CLASSICAL: dict[str, type[Telea] | type[NavierStokes] | type[Biharmonic]] = {
    "telea": Telea,
    "ns": NavierStokes,
    "biharmonic": Biharmonic,
}
"""The methods by the name that `--model` takes."""


def _opencv_inpaint(image: NDArray[np.float32], mask: NDArray[np.bool_], method: int) -> NDArray[np.float32]:
    height, width = mask.shape
    # OpenCV reads beyond a picture of one row or column: such a one is doubled.
    pad = ((0, int(height == 1)), (0, int(width == 1)))
    picture = np.pad(to_bytes(image), (*pad, (0, 0)), mode="edge")
    hole = np.pad(mask.astype(np.uint8), pad, mode="edge")
    filled = cv2.inpaint(picture, hole, RADIUS_PX, method)[:height, :width]
    return composite(image, mask, from_bytes(filled))
