"""Protocols: size, holes and headline numbers that belong together, so that a name says how something was measured."""

from dataclasses import dataclass

from ..errors import UsageError, unknown_name


@dataclass(frozen=True)
class PhotoList:
    """A test set of the article: what goes into which folder, for those who have the files.

    `photos` is how many there are, None where no count is known; `put_there` includes our own convention for what the
    article leaves open. `told` is what a source says, `not_known` what none that we have read says.
    """

    folder: str
    data_set: str
    photos: int | None
    put_there: str
    told: str
    not_known: str


@dataclass(frozen=True)
class Protocol:
    """How a comparison is made.

    `size` in pixels, None for any; `groups` maps what a row is called to what its masks are: a name in `MASK_SETS`, or
    "removal" for the holes that `removal_case` makes; `headline` are names in `METRICS`, the first ones to look at.
    """

    name: str
    size: int | None
    groups: dict[str, str]
    headline: tuple[str, ...]
    description: str
    photo_lists: tuple[PhotoList, ...] = ()


_ARTICLE_LISTS = (
    PhotoList(
        folder="paris_streetview",
        data_set="Paris StreetView",
        photos=100,
        put_there="the test images; the data come by e-mail from the authors of the Context Encoder",
        told="the review of the article names the data set",
        not_known="the count is the one usually given; we have not seen it, nor a list of names, in a source",
    ),
    PhotoList(
        folder="imagenet",
        data_set="ImageNet",
        photos=200,
        put_there="200 validation images; the first 200 by name where no other choice is given",
        told="an author: 200 random validation images (issue 30 of the release)",
        not_known="which 200",
    ),
    PhotoList(
        folder="places2",
        data_set="Places2",
        photos=2000,
        put_there="2,000 validation images; the first 2,000 by name where no other choice is given",
        told="an author: 2,000 random validation images (issue 30 of the release)",
        not_known="which 2,000",
    ),
    PhotoList(
        folder="celeba",
        data_set="CelebA",
        photos=None,
        put_there="the images of the data set's test split; say how many",
        told="the review of the article names the data set",
        not_known="how many, and which",
    ),
    PhotoList(
        folder="celeba_hq",
        data_set="CelebA-HQ",
        photos=2000,
        put_there="2,000 images that no compared model was trained on; the last by name where that is free",
        told="the review of the article names the data set",
        not_known="the count is the one usually given, not seen in a source; which 2,000, and what was trained on",
    ),
)

PROTOCOLS: dict[str, Protocol] = {
    each.name: each
    for each in (
        Protocol(
            name="article",
            size=256,
            groups={"centre 128": "centre_256", "random 128": "random_256"},
            headline=("psnr", "ssim"),
            description=(
                "The test of Wang et al. 2018 (GMCNN): photos at 256 x 256, a box of 128 x 128 missing, PSNR and SSIM "
                "of the whole composite, known pixels included. The authors describe the place of the box once as "
                "the centre and once as random, so both are measured, each in rows of its own. Their PSNR and SSIM "
                "are MATLAB's and ours are not, so compare within one report only. Because three quarters of the "
                "pixels are known and exact, a photo's PSNR is 6.0 dB above that of its hole alone."
            ),
            photo_lists=_ARTICLE_LISTS,
        ),
        Protocol(
            name="removal",
            size=None,
            groups={"removed object": "removal"},
            headline=("hole_l1", "hole_psnr", "sharpness"),
            description=(
                "What people use inpainting for: an object cut out of another photo of the same folder lies on the "
                "photo and casts a soft shadow, and the mask is drawn around both with a few pixels to spare. The "
                "truth is the photo as it was without them. Known pixels equal the truth, since the mask covers the "
                "shadow to its end. Each photo gets one object, the same at every run."
            ),
        ),
    )
}
"""The protocols by name."""


def protocol_named(name: str) -> Protocol:
    """The protocol of that name in `PROTOCOLS`. Raises UsageError; the message lists those that are there."""
    if name not in PROTOCOLS:
        raise UsageError(unknown_name("protocol", name, PROTOCOLS))
    return PROTOCOLS[name]
