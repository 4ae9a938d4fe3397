"""`inpaintkit demo`: a photo that ships with the package, made whole."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import printable

if TYPE_CHECKING:
    from ..filling.inpainter import BoolArray
    from ..photo import Photo

ASSETS = Path(__file__).parent.parent / "assets"
"""The demo's photo and mask; `README.md` there says where they come from."""


def command(
    output: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("inpaintkit-demo"),
    model: Annotated[str, typer.Option(help="What fills, as in inpaintkit fill.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Fill a photo that ships with the package: two masts disappear from a launch pad at dusk.

    Writes photo.png, mask.png, filled.png and before-mask-after.png; pictures of an earlier demo are overwritten.
    """
    from ..errors import PhotoError
    from ..filling.inpainter import Inpainter
    from ..masks import read_mask
    from ..photo import read_photo, write_photo

    inpainter = Inpainter(model)
    photo = read_photo(ASSETS / "rocket.jpg")
    mask = read_mask(ASSETS / "rocket-mask.png", photo.size)
    whole, report = inpainter.fill_photo_reported(photo, mask)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"folder '{output}' cannot be made ({error.strerror}): name another with -o") from error
    pictures = {
        "photo": photo,
        "mask": _white_where(mask),
        "filled": whole,
        "before-mask-after": _side_by_side(photo, mask, whole),
    }
    paths = {name: str(write_photo(each, output / f"{name}.png", force=True)) for name, each in pictures.items()}
    if as_json:
        facts = {
            "model": report.model,
            "hole_ratio": round(report.hole_ratio, 6),
            "fill_seconds": round(report.seconds, 3),
        }
        typer.echo(json.dumps({**paths, **facts}))
        return
    typer.echo(
        f"filled by {printable(report.model)} in {report.seconds:.2f} s, {100 * report.hole_ratio:.2g} % of the photo"
    )
    for path in paths.values():
        typer.echo(f"  {printable(path)}")


def _white_where(mask: "BoolArray") -> "Photo":
    """The mask as a grey picture, white = missing."""
    import numpy as np

    from ..photo import Photo

    return Photo(np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=2), grey=True)


def _side_by_side(photo: "Photo", mask: "BoolArray", whole: "Photo") -> "Photo":
    """Before, the mask laid over it, and after, with a narrow white gap between."""
    import numpy as np

    from ..photo import Photo

    marked = photo.pixels.copy()
    marked[mask] = (marked[mask] * 0.25 + np.array([255, 60, 80]) * 0.75).astype(np.uint8)
    gap = np.full((photo.size[0], 8, 3), 255, np.uint8)
    return Photo(np.concatenate([photo.pixels, gap, marked, gap, whole.pixels], axis=1))
