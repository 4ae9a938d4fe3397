"""Text and numbers as HTML: everything that comes from outside is escaped here, in one place."""

import base64
import json
import math
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import numpy as np

from ...photo import Photo, encode_photo
from ..tables import TOO_FEW

Pixels = np.ndarray
"""uint8 RGB (H, W, 3)."""

PICTURE_QUALITY = 85
"""WebP quality of the page's photos and fills."""

DASH = "\N{EN DASH}"
NONE = f'<span class="none" title="not measured">{DASH}</span>'
"""What stands where there is no number."""

# Neither HTML nor XML can hold these; half a surrogate pair comes from a file name that is not UTF-8.
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def text(value: Any) -> str:
    """A value as it may stand in an element or in a quoted attribute, in HTML and in XML."""
    clean = _UNSPEAKABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        clean = clean.replace(sign, entity)
    return clean


def name(value: Any) -> str:
    """A name somebody chose: escaped, and kept from turning the text around it (right to left)."""
    return f"<bdi>{text(value)}</bdi>"


def element(tag: str, content: str = "", /, **attributes: Any) -> str:
    """One element around markup that is ready; attributes are escaped, None and False leave one out.

    `class_` and `for_` lose their underscore, others become hyphens: `data_value` is `data-value`.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        written.append(f' {attribute}="{"" if value is True else text(value)}"')
    return f"<{tag}{''.join(written)}>{content}</{tag}>"


def choice(key: str, label: str, options: Sequence[tuple[str, str]]) -> str:
    """A list to choose from, of values with what is shown for them, under its label."""
    inside = "".join(element("option", text(shown), value=value) for value, shown in options)
    return f'<label for="{key}"><span>{label}</span>{element("select", inside, id=key)}</label>'


def script_data(value: Any) -> str:
    """A value as JSON that can stand inside a script element: nothing in it can end that element."""
    written = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def package_text(file: str) -> str:
    """A style sheet or script that lies beside this module."""
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")


def document(title: str, body: str, *, style: str, script: str, data: Any, classes: str = "") -> str:
    """A whole page that asks the network for nothing: `style` and `script` name files beside this module.

    `data` is what the script finds as JSON in the element `data`.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>\n{package_text(style)}</style>\n</head>\n"
        f'<body class="{classes}">\n{body}\n'
        f'<script type="application/json" id="data">{script_data(data)}</script>\n'
        f"<script>\n{package_text(script)}</script>\n</body>\n</html>\n"
    )


def data_uri(pixels: Pixels, *, quality: int | None = PICTURE_QUALITY) -> str:
    """A picture as WebP inside the page; a `quality` of None keeps every pixel."""
    content = encode_photo(Photo(np.ascontiguousarray(pixels)), "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")


def finite(value: Any) -> float | None:
    """A number of the report, or None where there is none (null, NaN, infinite)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def decimals_for(values: Iterable[float | None]) -> int:
    """Digits after the point that tell such values apart: three figures of the largest, from 2 to 5 digits."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    if largest >= 2 or largest == 0:
        return 2
    return min(5, max(3, 2 - math.floor(math.log10(largest))))


def number(value: Any, decimals: int, *, sign: bool = False) -> str:
    """A number with its digits, a true minus sign, and `+` where asked for; a dash for none."""
    found = finite(value)
    if found is None:
        return DASH
    written = f"{found:+.{decimals}f}" if sign else f"{found:.{decimals}f}"
    if float(written) == 0:
        written = written.lstrip("+-")
    return written.replace("-", "\N{MINUS SIGN}")


def span(low: Any, high: Any, decimals: int, *, sign: bool = False) -> str:
    """An interval in words: "5.11 to 5.35"; where there is none, why."""
    if finite(low) is None or finite(high) is None:
        return TOO_FEW
    return f"{number(low, decimals, sign=sign)} to {number(high, decimals, sign=sign)}"


def short(value: Any, length: int = 12) -> str:
    """A hash by its first digits, the whole of it on hover."""
    if not value:
        return NONE
    return element("code", text(str(value)[:length]), title=str(value), class_="hash")


def amount(value: Any) -> str:
    """A large count with three figures: 6.07 M."""
    found = finite(value)
    if found is None:
        return DASH
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(found) >= size * 0.9995:
            return f"{found / size:.3g} {letter}"
    return f"{found:.3g}"
