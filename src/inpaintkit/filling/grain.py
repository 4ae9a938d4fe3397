"""Grain for a smooth fill: the photo's own noise, measured in the ring around the hole and drawn anew inside it.

Noise is not texture: it is measured where the ring is flattest, and only if those patches differ in energy no more than
patches of Gaussian noise do. So a lawn gives no grain, and a drawn picture or a denoised one gives none either. What is
measured: the covariance between the colours (grain of luma and of colour differ), the autocovariance up to a few pixels
(demosaicing and JPEG make grain two or three pixels wide), and the level by brightness. What is drawn: white noise that
depends on seed and place only, filtered to that autocovariance, so that windows join without a seam.

A fill is given what it lacks: its own high frequencies are measured locally, so texture that already carries grain gets
none on top.

Source: Liu, Tanaka and Okutomi 2013 (noise level from weak-texture patches, iterated selection); Immerkaer 1996 (the
level from what second differences leave); Liu, Freeman, Szeliski and Kang 2006 (level as a function of brightness).
Differs: patches are chosen and described by their cosine terms; whether they hold noise at all is decided by how much
their energies scatter, which for Gaussian noise of a known spectrum is known; the autocovariance is the one whose
expected spectrum fits best, so that taking away each patch's mean and slope causes no bias.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .blend import hole_box
from .patches import cosine_waves

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

PATCH = 16
"""Side in pixels of the patches that are measured: wide enough for grain of a few pixels, often still flat."""

CELL = 8
"""Patches stand on every eighth pixel in both directions."""

RING_PX = 96
"""Width in pixels of the ring around the hole in which grain is looked for first; then in the whole crop."""

MOST_PATCHES = 2048
"""Patches that are read at most."""

MOST_BINS = 6
"""Classes of brightness in which the level is measured."""

ENOUGH_IN_BIN = 48
"""Fewer patches than this do not make a class of their own."""

ENOUGH_FLAT = 12
"""A class of brightness with fewer flat patches says nothing."""

CLIPPED = 0.05
"""A patch with a larger share of values at either end of the range is not measured: its noise is cut off."""

SLOPES = 4
"""Cosine terms whose two orders add up to less than this may be shading; flatness is judged by all others."""

FLATTEST = 0.1
"""Share of the patches, the flattest ones, from which the selection begins."""

WIDTH = 2.0
"""A patch is flat whose energy lies no more standard deviations of Gaussian noise's energy above the mean."""

MOST_SCATTER = 1.8
"""Variance of the flat patches' energies over that of Gaussian noise from which on they hold texture."""

MOST_COMMON = 0.4
"""So do they where the logarithms of their coarse and of their fine energy correlate more."""

MOST_SLOPE = 5.0
"""So do they where the terms that may be shading exceed the next ones by more. Grain of three pixels reaches 3."""

LEAST_FREEDOM = 12.0
"""So do they where a patch has fewer independent values than this: it is a shape, not grain."""

MOST_LEVEL = 18 / 255
"""Standard deviation above which it is taken for texture in any case: gravel can be as even as noise, but is louder."""

FLOOR, MOST_OVER_FLOOR = 0.03, 2.5
"""Noise is everywhere: what is louder by more than this factor than the flattest share of all patches is texture.

Noise in shadows may be so much weaker than in the light: in photos coded for the eye it differs little.
"""

MOST_GAIN = 3.0
"""The level of a class of brightness is at most so many times the typical one, and at least its inverse."""

LEAST_LEVEL = 1.0 / 255
"""Standard deviation over the three colours below which grain is not seen, and rounding to 8 bits makes as much."""

ROUNDING = 1 / (12 * 255**2)
"""Variance that rounding to 8 bits adds; what is drawn here is rounded once more."""

LEAST_AXIS = 0.3 / 255
"""An axis of colour along which the grain deviates less than this is left out."""

MEDIAN_OF_SQUARES = 0.4549
"""Median of the square of a normal variable of variance 1."""

LAGS = 6
"""Distance in pixels up to which grain may be correlated."""

KEPT_ENERGY = 0.998
"""Share of a kernel's energy that is kept when its margins are cut off."""

BLOCK = 128
"""White noise is drawn in blocks of so many pixels a side, each from its own seed."""

DETAIL_SIGMA = 1.5
"""What a Gaussian of this radius in pixels takes away counts as high frequency."""

ENOUGH = 0.9
"""A fill with this share of the noise's variance gets none: it is measured in few pixels, and scatters."""

LOCAL_PX = 9
"""Side of the box, applied twice, over which a fill's own high frequencies are averaged."""

TILE = 512
"""A window is worked on in tiles of so many pixels a side."""


@dataclass(frozen=True, eq=False)
class Grain:
    """The noise of a photo: what it looks like and how strong it is, in [0,1].

    `axes` (3, n) are orthonormal directions of colour along which the noise is uncorrelated, one to three of them, and
    `kernels` the filter along each, (side, side) with an odd side: white noise of deviation 1 filtered by it has the
    noise's deviation and autocovariance. `gain` (256,) multiplies them by brightness, from black to white.
    """

    axes: FloatArray
    kernels: tuple[FloatArray, ...]
    gain: FloatArray

    @property
    def deviation(self) -> FloatArray:
        """Standard deviation of red, green and blue, where `gain` is 1."""
        energy = np.array([np.square(kernel).sum() for kernel in self.kernels])
        return np.asarray(np.sqrt(np.square(self.axes) @ energy), np.float32)

    def add(self, pixels: FloatArray, own: BoolArray, *, seed: int, origin: tuple[int, int]) -> FloatArray:
        """A copy of the window `pixels` (h, w, 3) with the grain that it lacks in its pixels `own`.

        `origin` is the window's (top, left) in the photo: the noise is a function of the seed and of the place there.
        Only `own` pixels are looked at, so it does not matter whether others have been given their grain before.
        """
        result = pixels.copy()
        if not own.any():
            return result
        rows, columns = hole_box(np.ascontiguousarray(own))
        margin = 3 * round(DETAIL_SIGMA) + LOCAL_PX + 1
        for top in range(rows.start, rows.stop, TILE):
            for left in range(columns.start, columns.stop, TILE):
                bottom, right = min(top + TILE, rows.stop), min(left + TILE, columns.stop)
                ours = own[top:bottom, left:right]
                if not ours.any():
                    continue
                first, before = max(top - margin, 0), max(left - margin, 0)
                wide = (slice(first, bottom + margin), slice(before, right + margin))
                inner = (slice(top - first, bottom - first), slice(left - before, right - before))
                strengths, limit = self._lacking(pixels[wide], own[wide], inner)
                place = (origin[0] + top, origin[1] + left)
                noise = self._noise(ours.shape, place, seed, strengths) * limit
                tile = result[top:bottom, left:right]
                tile[ours] = np.clip(tile[ours] + noise[ours], 0, 1)
        return result

    def _lacking(
        self, pixels: FloatArray, own: BoolArray, inner: tuple[slice, slice]
    ) -> tuple[list[FloatArray], FloatArray]:
        """By how much the noise along each axis is to be multiplied, and by how much each colour is to be (h, w, 3).

        Both are for the pixels `inner`. The variance v that is there already is read from the mean of
        exp(-x^2 / 2s^2), which is s / sqrt(s^2 + v) for Gaussian x and takes little notice of a few edges. Noise is
        held so small near black and white that it is not cut off on one side and does not shift the mean.
        """
        weight = own.astype(np.float32)
        smooth = _blurred(pixels * weight[..., None]) / np.maximum(_blurred(weight), 1e-6)[..., None]
        detail = (pixels - smooth) @ self.axes
        number = np.clip(smooth.mean(axis=2) * 255 + np.float32(0.5), 0, 255).astype(np.uint8)
        gain = self.gain[number]
        share = np.maximum(_local_mean(weight), 1e-6)
        strengths = []
        for axis, kernel in enumerate(self.kernels):
            wanted = np.square(gain) * np.float32(_detail_energy(kernel))
            alike = np.exp(np.square(detail[..., axis]) * np.float32(-2) / np.maximum(wanted, 1e-12)) * weight
            alike = np.clip(_local_mean(alike) / share, 1e-3, 1)[inner]
            there = (1 / np.square(alike) - 1) / 4
            strengths.append(np.asarray(gain[inner] * np.sqrt(np.clip(1 - there / ENOUGH, 0, 1)), np.float32))
        near = np.minimum(smooth[inner], 1 - smooth[inner])
        limit = np.clip(near / np.maximum(gain[inner][..., None] * self.deviation, 1e-9), 0, 1)
        return strengths, np.asarray(limit, np.float32)

    def _noise(
        self, shape: tuple[int, int], place: tuple[int, int], seed: int, strengths: list[FloatArray]
    ) -> FloatArray:
        """Noise (h, w, 3) for the pixels from `place` (top, left) in the photo on."""
        reach = max(len(kernel) // 2 for kernel in self.kernels)
        white = _white_noise(
            (shape[0] + 2 * reach, shape[1] + 2 * reach), (place[0] - reach, place[1] - reach), seed, len(self.kernels)
        )
        total = np.zeros((*shape, 3), np.float32)
        for axis, (kernel, strength) in enumerate(zip(self.kernels, strengths, strict=True)):
            filtered = np.asarray(cv2.filter2D(white[axis], cv2.CV_32F, kernel), np.float32)
            filtered = filtered[reach : reach + shape[0], reach : reach + shape[1]] * strength
            for colour in range(3):
                total[..., colour] += self.axes[colour, axis] * filtered
        return total


def measure_grain(image: NDArray[Any], missing: BoolArray, lost: BoolArray, *, ring_px: int = RING_PX) -> Grain | None:
    """The grain around the missing pixels, or None where there is none to speak of, or no flat place to see it.

    `image` is (H, W, 3) or (H, W, 1), uint8, uint16 or float in [0,1]; only a few thousand patches of it are read.
    Pixels of `lost` (at least the missing ones) are not looked at. Grain is looked for within `ring_px` of the missing
    pixels first, and then in the whole image.
    """
    if not missing.any() or min(missing.shape) < PATCH:
        return None
    known, near = _known_patches(missing, lost, ring_px)
    for usable in (known & near, known):
        rows, columns = (CELL * each for each in np.nonzero(usable))
        grain = _grain_of(_patches(image, rows, columns), ROUNDING if image.dtype == np.uint8 else 0.0)
        if grain is not None or near.all():
            return grain
    return None


# --- Measuring -------------------------------------------------------------------------------------------------------


def _known_patches(missing: BoolArray, lost: BoolArray, ring_px: int) -> tuple[BoolArray, BoolArray]:
    """For every cell whether the patch that begins there is known, and whether it is near the missing pixels."""
    missing_cells = any_in_cells(missing)
    lost_cells = missing_cells | any_in_cells(lost)
    reach = PATCH // CELL
    square = np.ones((reach, reach), np.uint8)
    # The anchor at the square's first corner: a patch covers its own cell and those after it.
    covered = cv2.dilate(
        lost_cells.view(np.uint8), square, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=1
    )
    cells = max(-(-ring_px // CELL), 1)
    around = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
    near = cv2.dilate(missing_cells.view(np.uint8), around)
    return covered == 0, near > 0


def any_in_cells(mask: BoolArray) -> BoolArray:
    """Whether a cell of CELL pixels a side holds a True pixel, for all whole cells."""
    height, width = mask.shape[0] // CELL, mask.shape[1] // CELL
    whole = mask[: height * CELL, : width * CELL]
    in_row = np.bitwise_or.reduce(whole.reshape(height, CELL, width * CELL), axis=1)
    return np.ascontiguousarray(in_row.reshape(height, width, CELL).any(axis=2))


def _patches(image: NDArray[Any], rows: IntArray, columns: IntArray) -> FloatArray:
    """At most MOST_PATCHES of the patches that begin there, (n, 3, PATCH, PATCH) in [0,1], none of them clipped."""
    if rows.size > MOST_PATCHES:
        chosen = np.random.default_rng(0).choice(rows.size, MOST_PATCHES, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    views = np.lib.stride_tricks.sliding_window_view(image, (PATCH, PATCH), axis=(0, 1))
    read = views[rows, columns]
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    clipped = ((read <= 0) | (read >= top)).mean(axis=(1, 2, 3))
    patches = read[clipped <= CLIPPED].astype(np.float32) / np.float32(top)
    return np.repeat(patches, 3, axis=1) if patches.shape[1] == 1 else patches


def _grain_of(patches: FloatArray, rounding: float) -> Grain | None:
    """The grain that these patches have in common, without the variance that rounding gave each colour."""
    if (patches == patches[:, :1]).all():
        rounding *= 3  # of grey, where one error stands in three colours
    waves = cosine_waves(PATCH)
    terms = np.asarray(waves @ patches @ waves.T, np.float32)
    brightness = patches.mean(axis=(1, 2, 3))
    levels: list[tuple[float, float]] = []
    flat_terms: list[FloatArray] = []
    order = np.argsort(brightness, kind="stable")
    if order.size < ENOUGH_FLAT:
        return None
    floor = float(np.sqrt(np.quantile(_energy(terms, _JUDGED), FLOOR)))
    for members in np.array_split(order, max(1, min(MOST_BINS, order.size // ENOUGH_IN_BIN))):
        flat = members[_flattest(terms[members])]
        level = float(np.sqrt(_energy(terms[flat], _JUDGED).mean()))
        if level < min(MOST_LEVEL, MOST_OVER_FLOOR * floor) and _is_noise(terms[flat]):
            levels.append((float(brightness[flat].mean()), level))
            flat_terms.append(np.asarray(terms[flat] / max(level, 1e-9), np.float32))
    if not levels:
        return None
    centres, values = np.array(levels).T
    typical = float(np.median(values))
    axes, kernels = _axes_and_kernels(np.concatenate(flat_terms) * np.float32(typical), rounding)
    gain = np.interp(np.linspace(0, 1, 256), centres, np.clip(values / typical, 1 / MOST_GAIN, MOST_GAIN))
    grain = Grain(axes, kernels, gain.astype(np.float32))
    return grain if kernels and np.sqrt(np.square(grain.deviation).mean()) >= LEAST_LEVEL else None


def _flattest(terms: FloatArray) -> BoolArray:
    """The patches whose energy is that of noise alone: begins with the flattest and grows to all that are alike."""
    energy = _energy(terms, _CHOSEN_BY)
    level = float(np.quantile(energy, FLATTEST))
    flat = np.asarray(energy <= level)
    for _ in range(20):
        spread = np.sqrt(2 / _freedom(terms[flat], _CHOSEN_BY))
        now = energy <= max(float(energy[flat].mean()), level) * (1 + WIDTH * spread)
        if (now == flat).all():
            break
        flat = now
    return flat


def _is_noise(terms: FloatArray) -> bool:
    """Whether the patches differ no more than patches of Gaussian noise do, coarse and fine apart, and are not coarse.

    Texture is stronger in one place than in another, and where its coarse part is stronger, so is its fine part.
    """
    energy, freedom = _energy(terms, _JUDGED), _freedom(terms, _JUDGED)
    if len(terms) < ENOUGH_FLAT or freedom < LEAST_FREEDOM or not energy.all():
        return False
    scatter = float(energy.var() / np.square(energy.mean())) * freedom / 2
    coarse, fine = (np.log(_energy(terms, band) + 1e-15) for band in (_COARSE, _RISING & ~_COARSE))
    together = float(np.corrcoef(coarse, fine)[0, 1])
    spectrum = np.median(np.square(terms).mean(axis=1), axis=0)
    slope = spectrum[_RISING & ~_FINE].mean() / max(float(spectrum[_FINE & (_ORDER < 2 * SLOPES)].mean()), 1e-15)
    return scatter <= MOST_SCATTER and together <= MOST_COMMON and slope <= MOST_SLOPE


def _energy(terms: FloatArray, band: BoolArray) -> FloatArray:
    """Mean square of every patch's terms in a band."""
    return np.asarray(np.square(terms[:, :, band]).mean(axis=(1, 2)))


def _freedom(terms: FloatArray, band: BoolArray) -> float:
    """Independent values that a band of Gaussian noise with these patches' spectrum and covariance of colours has."""
    spectrum = np.square(terms).mean(axis=(0, 1))[band]
    colours = np.linalg.eigvalsh(_colour_covariance(terms))
    total = spectrum.sum() * colours.sum()
    squares = np.square(spectrum).sum() * np.square(colours).sum()
    return max(float(np.square(total) / max(squares, 1e-30)), 3.0)


def _colour_covariance(terms: FloatArray) -> NDArray[np.float64]:
    """Covariance (3, 3) of the colours in the terms that are no shading."""
    fine = terms[:, :, _FINE].astype(np.float64).transpose(1, 0, 2).reshape(3, -1)
    return np.asarray(fine @ fine.T / fine.shape[1])


def _axes_and_kernels(terms: FloatArray, rounding: float) -> tuple[FloatArray, tuple[FloatArray, ...]]:
    """Uncorrelated directions of colour, (3, n), and the filter along each."""
    _, axes = np.linalg.eigh(_colour_covariance(terms))
    kept: list[FloatArray] = []
    kernels: list[FloatArray] = []
    for axis in axes.T[::-1]:
        along = np.tensordot(terms, axis.astype(np.float32), axes=(1, 0))
        # The median, because a few patches with an edge or a slope must not count.
        spectrum = np.median(np.square(along), axis=0) / MEDIAN_OF_SQUARES
        kernel = _kernel(_autocovariance(np.maximum(spectrum - rounding, 0)))
        if np.sqrt(np.square(kernel).sum()) >= LEAST_AXIS:
            kept.append(axis.astype(np.float32))
            kernels.append(kernel)
    return np.array(kept, np.float32).reshape(-1, 3).T, tuple(kernels)


def _autocovariance(spectrum: NDArray[Any]) -> NDArray[np.float64]:
    """The autocovariance (LAGS + 1, LAGS + 1), alike in all quadrants, that explains the mean squared terms best.

    A term's expected square is linear in it: the sum over all lags of the covariance times what the wave overlaps with
    itself there.
    """
    waves, far = cosine_waves(PATCH).astype(np.float64), LAGS + 1
    overlap = np.array([[(1 + (lag > 0)) * wave[: PATCH - lag] @ wave[lag:] for lag in range(far)] for wave in waves])
    expected = np.einsum("ua,vb->uvab", overlap, overlap).reshape(PATCH, PATCH, -1)[_RISING]
    measured = spectrum[_RISING]
    # A squared term scatters in proportion to itself; slopes are believed least, as shading adds to them.
    weight = 1 / (measured + 0.05 * measured.mean() + 1e-15)
    weight *= np.where(_FINE[_RISING], 1.0, 0.3)
    found, *_ = np.linalg.lstsq(expected * weight[:, None], measured * weight, rcond=1e-6)
    return np.asarray(found.reshape(far, far))


def _kernel(covariance: NDArray[np.float64]) -> FloatArray:
    """The symmetric filter that gives white noise this autocovariance, its weak margins cut off."""
    side = 4 * LAGS
    lag = np.minimum(np.arange(side), side - np.arange(side))
    inside, fade = lag <= LAGS, np.cos(np.pi / 2 * np.clip((lag - LAGS // 2) / (LAGS - LAGS // 2 + 1), 0, 1))
    near = np.minimum(lag, LAGS)
    around = covariance[np.ix_(near, near)] * np.outer(inside * fade, inside * fade)
    response = np.fft.ifft2(np.sqrt(np.maximum(np.fft.fft2(around).real, 0))).real
    centred = np.fft.fftshift(response)
    middle, energy = side // 2, float(np.square(response).sum())
    for reach in range(LAGS + 1):
        kernel = centred[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
        kept = float(np.square(kernel).sum())
        if kept >= KEPT_ENERGY * energy:
            break
    return np.ascontiguousarray(kernel * np.sqrt(energy / max(kept, 1e-30)), np.float32)


_ORDER = np.add.outer(np.arange(PATCH), np.arange(PATCH))
_RISING = _ORDER >= 2
_FINE = _ORDER >= SLOPES
_COARSE = _RISING & (_ORDER < 6)
# Patches are chosen by one half of their terms and judged by the other: being chosen says nothing about that half.
_CHOSEN_BY, _JUDGED = _FINE & (_ORDER % 2 == 0), _FINE & (_ORDER % 2 == 1)


# --- Drawing ---------------------------------------------------------------------------------------------------------


def _white_noise(shape: tuple[int, int], place: tuple[int, int], seed: int, planes: int) -> FloatArray:
    """Normal noise (planes, h, w) for the pixels from `place` on: every block of the plane has its own generator."""
    noise = np.empty((planes, *shape), np.float32)
    (top, left), (height, width) = place, shape
    for row in range(top // BLOCK, (top + height - 1) // BLOCK + 1):
        for column in range(left // BLOCK, (left + width - 1) // BLOCK + 1):
            # A kernel reaches over the photo's border: numbers of blocks begin one before it. Seeds are not negative.
            rng = np.random.default_rng((seed % 2**64, row + 1, column + 1))
            block = rng.standard_normal((planes, BLOCK, BLOCK), np.float32)
            down, along = row * BLOCK - top, column * BLOCK - left
            first, before = max(-down, 0), max(-along, 0)
            part = block[:, first : height - down, before : width - along]
            noise[:, down + first : down + first + part.shape[1], along + before : along + before + part.shape[2]] = (
                part
            )
    return noise


def _detail_energy(kernel: FloatArray) -> float:
    """Variance that noise of this kernel keeps when its own blur is taken from it."""
    padded = np.pad(kernel, 3 * round(DETAIL_SIGMA))
    return float(np.square(padded - _blurred(padded)).sum())


def _blurred(values: FloatArray) -> FloatArray:
    """Gaussian of DETAIL_SIGMA, nothing beyond the border."""
    side = 6 * round(DETAIL_SIGMA) + 1
    blurred = cv2.GaussianBlur(values, (side, side), DETAIL_SIGMA, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float32)


def _local_mean(values: FloatArray) -> FloatArray:
    """A box blur, twice."""
    box = (LOCAL_PX, LOCAL_PX)
    once = cv2.blur(values, box, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.blur(once, box, borderType=cv2.BORDER_CONSTANT), np.float32)
