"""Makes the report that the documentation shows, from scikit-image's bundled photos, which may be shown.

python benchmarks/example_report.py docs/images/report.html
"""

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage import data

from inpaintkit.errors import InpaintError
from inpaintkit.evaluation.compare import Settings, compare
from inpaintkit.evaluation.methods import parse_methods

PHOTOS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "moon",
    "rocket",
)
ROWS = 8
MASKS = "lama_medium_256"
METHODS = "default,default+detail,gmcnn,patch,ns,telea"


def make(page: Path) -> None:
    """Compare, and put the page where it is wanted. Raises InpaintError."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for name in PHOTOS:
            Image.fromarray(getattr(data, name)()).convert("RGB").save(photos / f"{name}.png")
        settings = Settings(
            images=str(photos),
            masks={MASKS: MASKS},
            methods=tuple(parse_methods(METHODS)),
            rows=ROWS,
            title="Six methods on eleven photos of scikit-image",
            command=f"inpaintkit compare --images photos --masks {MASKS} --methods {METHODS} --out report",
        )
        compare(settings, Path(folder) / "report")
        page.write_bytes((Path(folder) / "report" / "report.html").read_bytes())


def main() -> int:
    """Make it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("page", type=Path, help="the HTML file to write")
    try:
        make(parser.parse_args().page)
    except (InpaintError, OSError) as error:
        print(f"example_report: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
