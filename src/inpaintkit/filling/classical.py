"""Filling without a network: fast marching, Navier-Stokes, the biharmonic equation and known patches, as engines."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .blend import composite, from_bytes, to_bytes
from .detail import ENOUGH_PATCHES, LUMA_ORDER, SHARPNESS_OF_VOTE, WINDOW_PX, search_radii, transfer_detail
from .patches import (
    STRIDE,
    Field,
    Grid,
    Known,
    Search,
    described,
    first_field,
    next_known,
    patch_grid,
    vote,
    whole_patches,
)
from .scaling import from_unit, to_unit

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

RADIUS_PX = 5
"""How far around a missing pixel OpenCV's two methods look."""

PATCH_WORKING_PX = 512
"""Side in pixels to which crops are shrunk for filling by patches; detail brings the photo's own resolution back."""

COARSEST_DEPTH_PX = 6
"""Filling by patches begins where no missing pixel is farther than this from a known one."""

COARSEST_SIDE_PX = 24
"""Nor does it begin at a smaller side than this: too few patches would be left."""

FILL_PASSES = (10, 3)
"""Searches and votes at the coarsest scale of a fill by patches, and at each finer one."""

FILL_SWEEPS = 3
"""Sweeps of propagation and random search at each search."""

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
        return {
            "name": self.name,
            "runtime": self.runtime,
            "working_size": self.working_size,
            "reference": self.reference,
        }


class Telea(ClassicalEngine):
    """Fast marching (Telea 2004). OpenCV computes it in 8 bit: a 16-bit photo's hole is filled with 8-bit precision."""

    name = "telea"
    reference = "A. Telea, An image inpainting technique based on the fast marching method, 2004"

    def __call__(self, image: FloatArray, mask: BoolArray) -> FloatArray:
        """The image (H, W, 3) in [0,1] with its missing pixels filled."""
        return _opencv_inpaint(image, mask, cv2.INPAINT_TELEA)


class NavierStokes(ClassicalEngine):
    """Navier-Stokes (Bertalmio et al. 2001). OpenCV computes it in 8 bit, like `Telea`."""

    name = "ns"
    reference = "M. Bertalmio et al., Navier-Stokes, fluid dynamics, and image and video inpainting, 2001"

    def __call__(self, image: FloatArray, mask: BoolArray) -> FloatArray:
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

    def __call__(self, image: FloatArray, mask: BoolArray) -> FloatArray:
        """The image (H, W, 3) in [0,1] with its missing pixels filled; at most `BIHARMONIC_LIMIT` of them."""
        missing = int(np.count_nonzero(mask))
        if missing > BIHARMONIC_LIMIT:
            raise ModelError(
                f"model 'biharmonic' solves one equation per missing pixel: one hole has {missing}, at most "
                f"{BIHARMONIC_LIMIT} are possible; use --model ns or default"
            )
        solved = self._solve(image.astype(np.float64), mask, channel_axis=-1)
        return composite(image, mask, np.clip(solved, 0, 1).astype(np.float32))


class Patch(ClassicalEngine):
    """Known patches alone (Wexler et al. 2007; Barnes et al. 2009; Newson et al. 2014): texture and repeated patterns.

    Another `seed` gives another fill.
    """

    name = "patch"
    working_size = PATCH_WORKING_PX
    crisp = True  # nothing is missing in its fills at working size
    reference = (
        "Y. Wexler et al., Space-time completion of video, 2007; C. Barnes et al., PatchMatch, 2009; A. Newson et al., "
        "Video inpainting of complex scenes, 2014"
    )

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, image: FloatArray, mask: BoolArray) -> FloatArray:
        """The image (H, W, 3) in [0,1] with its missing pixels filled."""
        return np.asarray(fill_by_patches(image, mask, self.seed), np.float32)

    def describe(self) -> dict[str, Any]:
        """What this engine is, in plain values."""
        return {**super().describe(), "seed": self.seed}


CLASSICAL: dict[str, type[Telea] | type[NavierStokes] | type[Biharmonic] | type[Patch]] = {
    "telea": Telea,
    "ns": NavierStokes,
    "biharmonic": Biharmonic,
    "patch": Patch,
}
"""The methods by the name that `--model` takes."""


def fill_by_patches(
    image: NDArray[Any], mask: BoolArray, rng: np.random.Generator | int = 0, *, window_px: int = WINDOW_PX
) -> NDArray[Any]:
    """The image (H, W, 3), float in [0,1], uint8 or uint16, with its missing pixels filled by known patches alone.

    Begins with Telea's fill where the picture is so small that the hole is a few pixels deep, and goes from coarse to
    fine. A picture of more than `window_px` a side is filled at half its size first. Without known patches Telea's
    fill is all there is.
    """
    if not mask.any() or mask.all():
        return np.array(image)
    rng, mask = np.random.default_rng(rng), np.ascontiguousarray(mask)
    picture = to_unit(image)
    picture[mask] = 0
    filled = _patched(picture, mask, rng, window_px)
    return np.where(mask[..., None], from_unit(filled, image.dtype), image)


def _patched(picture: FloatArray, mask: BoolArray, rng: np.random.Generator, window_px: int) -> FloatArray:
    """The picture filled by patches; larger than a window, at half its size and then by restoring an octave."""
    if max(mask.shape) > window_px:
        pictures, holes = _pyramid(picture, mask, 1)
        small = _patched(pictures[1], holes[1], rng, window_px)
        guide = cv2.resize(small, holes[0].shape[::-1], interpolation=cv2.INTER_CUBIC)
        filled = composite(picture, mask, np.clip(guide[: mask.shape[0], : mask.shape[1]], 0, 1))
        return np.asarray(transfer_detail(filled, mask, octaves=1, rng=rng, window_px=window_px), np.float32)
    levels = _levels(mask)
    pictures, holes = _pyramid(picture, mask, levels)
    while levels > 0 and np.count_nonzero(_lenders(holes[levels], mask.shape, levels)) < ENOUGH_PATCHES:
        levels -= 1
    current = _opencv_inpaint(pictures[levels], holes[levels], cv2.INPAINT_TELEA)
    field: Field | None = None
    grid: Grid | None = None
    for level in reversed(range(levels + 1)):
        known, finer = Known.of(_lenders(holes[level], mask.shape, level)), patch_grid(holes[level])
        if known.places.size < ENOUGH_PATCHES:
            return _opencv_inpaint(picture, mask, cv2.INPAINT_TELEA)
        if grid is None or field is None:
            field = first_field(finer, known)
        else:
            field = _enlarged_field(grid, field, finer, known)
            current = _revoted(pictures[level], holes[level], finer, field, SHARPNESS_OF_VOTE[0])
        grid = finer
        for left in reversed(range(FILL_PASSES[level < levels])):
            _search(current, grid, field, known, rng, anew=level == levels)
            current = _revoted(pictures[level], holes[level], grid, field, SHARPNESS_OF_VOTE[left == 0])
    filled = composite(picture, mask, np.clip(current[: mask.shape[0], : mask.shape[1]], 0, 1))
    return np.asarray(transfer_detail(filled, mask, octaves=1, rng=rng, window_px=window_px), np.float32)


def _levels(mask: BoolArray) -> int:
    """How often a picture is halved until its hole is a few pixels deep."""
    depth = float(cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3).max())
    levels = 0
    while depth / 2**levels > COARSEST_DEPTH_PX and min(mask.shape) / 2 ** (levels + 1) >= COARSEST_SIDE_PX:
        levels += 1
    return levels


def _lenders(hole: BoolArray, shape: tuple[int, ...], level: int) -> BoolArray:
    """The centres of known patches at a halving of a picture of this shape; what pads it lends nothing."""
    lost = hole.copy()
    lost[shape[0] >> level :] = True
    lost[:, shape[1] >> level :] = True
    return whole_patches(lost)


def _search(
    picture: FloatArray, grid: Grid, field: Field, known: Known, rng: np.random.Generator, *, anew: bool
) -> None:
    """Bring `field` up to date with the picture; `anew` looks among all known patches again."""
    table = described(picture, LUMA_ORDER)
    wanted = table[grid.rows, grid.columns]
    search = Search(wanted, table.reshape(-1, table.shape[2]), grid, field, known)
    if anew:
        search.sample(rng)
    for _ in range(FILL_SWEEPS):
        search.sweep(rng, search_radii(max(picture.shape)))


def _revoted(picture: FloatArray, hole: BoolArray, grid: Grid, field: Field, exponent: float) -> FloatArray:
    """The picture with its hole as its patches' known patches vote."""
    return np.where(hole[..., None], vote(picture, grid, field, hole.shape, exponent), picture)


def _enlarged_field(grid: Grid, field: Field, finer: Grid, known: Known) -> Field:
    """The field at twice the size: each patch goes where the one that covered it before went."""
    height, width = len(known.usable) // known.width, known.width
    down = np.minimum(finer.rows // (2 * STRIDE), grid.number.shape[0] - 1)
    along = np.minimum(finer.columns // (2 * STRIDE), grid.number.shape[1] - 1)
    parent = grid.number[down, along]
    rows = 2 * (field.place[parent] // (width // 2) - grid.rows[parent]) + finer.rows
    columns = 2 * (field.place[parent] % (width // 2) - grid.columns[parent]) + finer.columns
    place = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
    place = np.where(parent < 0, finer.rows * width + finer.columns, place)
    return Field(next_known(place, known), np.where(parent < 0, field.distance.max(), field.distance[parent]))


def _pyramid(picture: FloatArray, hole: BoolArray, levels: int) -> tuple[list[FloatArray], list[BoolArray]]:
    """Picture and hole at full size and `levels` halvings, the border repeated so that every halving is exact.

    A pixel that touches a missing one is missing.
    """
    step = 2**levels
    pad = ((0, -hole.shape[0] % step), (0, -hole.shape[1] % step))
    pictures, holes = [np.pad(picture, (*pad, (0, 0)), mode="edge")], [np.pad(hole, pad, mode="edge")]
    for _ in range(levels):
        height, width = holes[-1].shape
        half = (width // 2, height // 2)
        pictures.append(np.asarray(cv2.resize(pictures[-1], half, interpolation=cv2.INTER_AREA), np.float32))
        holes.append(np.asarray(holes[-1].reshape(height // 2, 2, width // 2, 2).any(axis=(1, 3))))
    return pictures, holes


def _opencv_inpaint(image: FloatArray, mask: BoolArray, method: int) -> FloatArray:
    height, width = mask.shape
    # OpenCV reads beyond a picture of one row or column: such a one is doubled.
    pad = ((0, int(height == 1)), (0, int(width == 1)))
    picture = np.pad(to_bytes(image), (*pad, (0, 0)), mode="edge")
    hole = np.pad(mask.astype(np.uint8), pad, mode="edge")
    filled = cv2.inpaint(picture, hole, RADIUS_PX, method)[:height, :width]
    return composite(image, mask, from_bytes(filled))
