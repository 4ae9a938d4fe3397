"""What a metric is called, what it says and how it is read; the table of those that need no network."""

import math
from dataclasses import dataclass
from typing import Literal

from .pixel import PSNR_CEILING_DB
from .sharpness import FLAT
from .structure import MS_SSIM_SIDE, MS_SSIM_WHOLE_WINDOW

DIRECTIONS: dict[str, tuple[str, str]] = {
    "lower": ("\u2193", "lower is better"),
    "higher": ("\u2191", "higher is better"),
    "one": ("\u2192\u20091", "nearest to 1 is better"),
    "truth": ("\u2192\u2009truth", "as the photo has it is better; no direction of its own"),
}
"""What `Metric.better` says, as an arrow and in words."""

LEAST_AVERAGED = 1e-3
"""What a smaller value counts as where logarithms are taken: one flat fill must not send a geometric mean to 0."""


@dataclass(frozen=True)
class Metric:
    """What one metric is called and how it is read.

    `better` is "lower" or "higher"; "one" where 1 is right; "truth" where it has no direction of its own and is read
    beside the same metric of the photo. `scope` says whether it looks at the missing pixels or at the whole image.
    `range`, `definition` and `source` are sentences for the report. `average` says which mean over photos is taken:
    "geometric", of ratios, is that of the logarithms, where less than `LEAST_AVERAGED` counts as that.
    """

    name: str
    label: str
    better: Literal["lower", "higher", "one", "truth"]
    scope: Literal["hole", "image"]
    unit: Literal["", "%", "dB"]
    range: str
    definition: str
    source: str
    average: Literal["arithmetic", "geometric"] = "arithmetic"


def distance_from_one(ratio: float) -> float:
    """How far a ratio is from 1, where 1 is right: |ln ratio|, less than `LEAST_AVERAGED` counting as that.

    NaN, which was not measured, stays NaN.
    """
    return abs(math.log(max(ratio, LEAST_AVERAGED)))


_SSIM_SOURCE = "Wang, Bovik, Sheikh and Simoncelli 2004, Image quality assessment: from error visibility to structural "
_SSIM_SOURCE += "similarity"
_L1 = "Mean absolute error over {} and channels, per photo, in percent of the range of 8 bits."
_PSNR = "10 log10(255^2 / mean squared error) in dB, the error over {} and the three channels together, per photo. An "
_PSNR += f"exact fill counts as {PSNR_CEILING_DB:.0f} dB, which is also the most that is given."
_SSIM = "SSIM of each colour channel (Gaussian window of 11 x 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, statistics "
_SSIM += "not corrected for the size of the window, the frame mirrored beyond its border), the mean over channels and "
_VARIATION = "Mean absolute difference of neighbouring pixels of the composite, side by side and one above the other, "
_VARIATION += "over {} and channels, per photo, in percent of the range of 8 bits."
_VARIATION_RANGE = "0 (one colour) to 100; read it beside the photo's own value."
_VARIATION_SOURCE = "Rudin, Osher and Fatemi 1992, Nonlinear total variation based noise removal algorithms (here the "
_VARIATION_SOURCE += "absolute differences of neighbours, by the number of pairs)"

_LISTED = (
    Metric(
        "hole_l1",
        "hole L1",
        "lower",
        "hole",
        "%",
        "0 (equal) to 100 (black for white).",
        _L1.format("the missing pixels"),
        "Common in inpainting since Pathak et al. 2016, Context Encoders; here over the hole alone",
    ),
    Metric(
        "hole_psnr",
        "hole PSNR",
        "higher",
        "hole",
        "dB",
        f"0 (black for white) to {PSNR_CEILING_DB:.0f} (equal).",
        _PSNR.format("the missing pixels"),
        "Peak signal to noise ratio for a peak of 255; here over the hole alone",
    ),
    Metric(
        "hole_ssim",
        "hole SSIM",
        "higher",
        "hole",
        "",
        "-1 to 1 (equal); photos rarely come below 0.",
        _SSIM + "the missing pixels of the same map whose mean over the frame is SSIM, per photo.",
        _SSIM_SOURCE,
    ),
    Metric(
        "sharpness",
        "sharpness",
        "one",
        "hole",
        "",
        "0 (flat) upward; 1 is as sharp as the photo, under 0.5 is blur, well over 1 is noise or false texture.",
        "Sum of squares of the Laplacian (3 x 3, four neighbours, of the Rec. 601 luma) at the missing pixels of the "
        "composite over the same of the photo, per photo. Photos that are flat in the hole, with a mean square below "
        f"{FLAT:g} grey step squared, are left out. The mean over photos is the geometric one, in which a ratio below "
        f"{LEAST_AVERAGED:g} counts as {LEAST_AVERAGED:g}: a half is as far from 1 as twice.",
        "This project; energy of the Laplacian as a measure of focus: Subbarao, Choi and Nikzad 1993, Focusing "
        "techniques",
        average="geometric",
    ),
    Metric(
        "hole_total_variation",
        "hole total variation",
        "truth",
        "hole",
        "%",
        _VARIATION_RANGE,
        _VARIATION.format("the pairs of which at least one pixel is missing"),
        _VARIATION_SOURCE,
    ),
    Metric(
        "l1",
        "L1",
        "lower",
        "image",
        "%",
        "0 (equal) to 100 (black for white), and at most the hole's share of the frame.",
        _L1.format("all pixels"),
        "Common in inpainting since Pathak et al. 2016, Context Encoders",
    ),
    Metric(
        "psnr",
        "PSNR",
        "higher",
        "image",
        "dB",
        f"0 (black for white) to {PSNR_CEILING_DB:.0f} (equal).",
        _PSNR.format("all pixels"),
        "Peak signal to noise ratio for a peak of 255",
    ),
    Metric(
        "ssim",
        "SSIM",
        "higher",
        "image",
        "",
        "-1 to 1 (equal); photos rarely come below 0.",
        _SSIM + "all pixels, per photo.",
        _SSIM_SOURCE,
    ),
    Metric(
        "ms_ssim",
        "MS-SSIM",
        "higher",
        "image",
        "",
        "0 to 1 (equal).",
        "Product over five scales, each half the one before by the mean of 2 x 2 pixels, of the mean contrast-and-"
        "structure factor of SSIM, at the coarsest of SSIM itself, each to its weight (0.0448, 0.2856, 0.3001, 0.2363, "
        f"0.1333), per photo. Both sides must be over {MS_SSIM_SIDE} pixels; below {MS_SSIM_WHOLE_WINDOW} the coarsest "
        "scale is 10 pixels, one less than the window, which is filled up by mirroring (torchmetrics refuses there).",
        "Wang, Simoncelli and Bovik 2003, Multiscale structural similarity for image quality assessment",
    ),
    Metric(
        "total_variation",
        "total variation",
        "truth",
        "image",
        "%",
        _VARIATION_RANGE,
        _VARIATION.format("all pairs"),
        _VARIATION_SOURCE,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _LISTED}
"""Name to metric, in the order of the tables."""
