"""Charts as SVG text: bars, curves, differences and a scatter. Colours come from the page's style sheet.

Each chart is one `<svg>` with a spoken label; its numbers stand in a table beside it. A method has the same colour,
marker and dash in all of them: its index among the report's methods.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .markup import decimals_for, number, span, text

WIDTH = 390
COLOURS = 10
_DASHES = ("", "6 3", "2 3")
_LETTER = 6.5
"""Mean width of a letter of the charts' small text, in units of the drawing."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, of the method with this `index`; None where nothing was measured."""

    index: int
    label: str
    mean: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """One method in the scatter: `x` with its range, `y` with its interval, None where there is none."""

    index: int
    label: str
    x: float
    y: float
    x_low: float
    x_high: float
    y_low: float | None = None
    y_high: float | None = None

    @property
    def y_ends(self) -> tuple[float, float]:
        """The interval, or `y` alone."""
        return (self.y, self.y) if self.y_low is None or self.y_high is None else (self.y_low, self.y_high)


def bars(rows: Sequence[Estimate], *, spoken: str, axis: str, goal: float | None = None) -> str:
    """A bar from 0 to the mean with its interval for every method; `goal` draws a line, where a value is the best."""
    found = [value for row in rows for value in (row.mean, row.low, row.high) if value is not None]
    if goal is not None:
        found.append(goal)
    low, high = min([0.0, *found]), max([0.0, *found])
    scale = _Scale.of(low, high, (_label_width(rows), WIDTH - 52))
    digits = decimals_for(row.mean for row in rows)
    bottom = 8 + 26 * len(rows)
    parts = _vertical_grid(scale, 4, bottom)
    if goal is not None:
        parts.append(_line(scale(goal), 2, scale(goal), bottom, "goal"))
    for place, row in enumerate(rows):
        middle = 8 + 26 * place + 13
        said = _said(row, digits)
        shapes = [_label(row.label, scale.first - 8, middle + 4)]
        if row.mean is not None:
            left, right = sorted((scale(0.0), scale(row.mean)))
            shapes.append(
                f'<rect class="{_kind("bar", row.low is None)}" x="{left:.1f}" y="{middle - 8}" '
                f'width="{right - left:.1f}" height="16" rx="1.5"/>'
            )
            shapes += _whisker(row, scale, middle)
            end = max(right, scale(row.high) if row.high is not None else right)
            shapes.append(f'<text class="value" x="{end + 6:.1f}" y="{middle + 4}">{number(row.mean, digits)}</text>')
        else:
            shapes.append(f'<text class="value" x="{scale(0.0) + 6:.1f}" y="{middle + 4}">not measured</text>')
        parts.append(_group(row.index, said, shapes))
    parts.append(_caption(axis, (scale.first + scale.last) / 2, bottom + 32))
    return _svg(parts, bottom + 40, spoken)


def differences(rows: Sequence[Estimate], *, spoken: str, axis: str, good: str | None) -> str:
    """Points with intervals around a line at 0; `good` says which side is better: "left", "right" or None."""
    found = [value for row in rows for value in (row.mean, row.low, row.high) if value is not None]
    low, high = min([0.0, *found]), max([0.0, *found])
    low, high = min(low, -0.25 * high), max(high, -0.25 * low)  # room for a word on either side of 0
    scale = _Scale.of(low, high, (_label_width(rows), WIDTH - 58))
    digits = decimals_for(row.mean for row in rows)
    bottom = 26 + 26 * len(rows)
    parts = _vertical_grid(scale, 20, bottom)
    parts.append(_line(scale(0.0), 16, scale(0.0), bottom, "zero"))
    if good is not None:
        left, right = ("better", "worse") if good == "left" else ("worse", "better")
        parts.append(f'<text class="side" x="{scale.first:.1f}" y="12">\u2190 {left}</text>')
        parts.append(f'<text class="side" x="{scale.last:.1f}" y="12" text-anchor="end">{right} \u2192</text>')
    for place, row in enumerate(rows):
        middle = 26 + 26 * place + 11
        shapes = [_label(row.label, scale.first - 8, middle + 4)]
        if row.mean is not None:
            shapes += _whisker(row, scale, middle, bold=True)
            shapes.append(_marker(row.index, scale(row.mean), middle, hollow=row.low is None))
            shapes.append(
                f'<text class="value" x="{WIDTH - 2}" y="{middle + 4}" text-anchor="end">'
                f"{number(row.mean, digits, sign=True)}</text>"
            )
        parts.append(_group(row.index, _said(row, digits, sign=True), shapes))
    parts.append(_caption(axis, (scale.first + scale.last) / 2, bottom + 32))
    return _svg(parts, bottom + 40, spoken)


def curves(series: Sequence[Sequence[Estimate]], bins: Sequence[str], *, spoken: str, axis: str, across: str) -> str:
    """One line per method over the bins, with intervals; a gap where nothing was measured. The legend stands above."""
    legend, top = _legend([each[0] for each in series if each])
    values = [value for each in series for row in each for value in (row.mean, row.low, row.high) if value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if 0 < low < 0.5 * high:
        low = 0.0
    bottom = top + 208
    height = _Scale.of(low, high, (bottom, top + 8))
    left, right = 46.0, WIDTH - 12.0
    step = (right - left) / max(1, len(bins))
    parts = [*legend]
    for tick, written in height.ticks():
        parts.append(_line(left, height(tick), right, height(tick), "grid"))
        parts.append(f'<text x="{left - 6:.1f}" y="{height(tick) + 4:.1f}" text-anchor="end">{written}</text>')
    for place, label in enumerate(bins):
        x = left + step * (place + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{text(label)}</text>')
    digits = decimals_for(row.mean for each in series for row in each)
    spread = min(step * 0.4, 4.0 * len(series))
    for rank, each in enumerate(series):
        aside = 0.0 if len(series) < 2 else spread * (rank / (len(series) - 1) - 0.5)
        places = [left + step * (place + 0.5) + aside for place in range(len(bins))]
        parts.append(_curve(each, places, height, bins, digits))
    parts.append(_caption(across, (left + right) / 2, bottom + 36))
    parts.append(f'<text class="axis" x="2" y="{top:.1f}">{text(axis)}</text>')
    return _svg(parts, bottom + 44, spoken)


def scatter(points: Sequence[Point], *, spoken: str, axis: str, across: str) -> str:
    """Quality against seconds, both with their ranges; the seconds on a logarithmic axis."""
    left, right, top, bottom = 46.0, WIDTH - 14.0, 22.0, 262.0
    low, high = min(point.y_ends[0] for point in points), max(point.y_ends[1] for point in points)
    if 0 < low < 0.5 * high:
        low = 0.0
    height = _Scale.of(low, high, (bottom, top + 10))
    first = math.log10(min(point.x_low for point in points)) - 0.12
    last = math.log10(max(point.x_high for point in points)) + 0.12

    def along(seconds: float) -> float:
        return left + (math.log10(seconds) - first) / (last - first) * (right - left)

    parts = []
    for tick, written in height.ticks():
        parts.append(_line(left, height(tick), right, height(tick), "grid"))
        parts.append(f'<text x="{left - 6:.1f}" y="{height(tick) + 4:.1f}" text-anchor="end">{written}</text>')
    for seconds in _decades(first, last):
        parts.append(_line(along(seconds), top, along(seconds), bottom, "grid"))
        parts.append(f'<text x="{along(seconds):.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{seconds:g}</text>')
    digits = decimals_for(point.y for point in points)
    taken: list[_Box] = []
    for point in points:
        x, y = along(point.x), height(point.y)
        taken.append((x - 6, y - 6, x + 6, y + 6))
        taken.append((along(point.x_low), y - 1, along(point.x_high), y + 1))
        taken.append((x - 1, height(point.y_ends[1]), x + 1, height(point.y_ends[0])))
    for point in points:
        x, y = along(point.x), height(point.y)
        said = (
            f"{point.label}: {number(point.y, digits)} ({span(point.y_low, point.y_high, digits)}) in {point.x:.3g} s"
        )
        whiskers = [_line(along(point.x_low), y, along(point.x_high), y, "whisker")]
        if point.y_low is not None and point.y_high is not None:
            whiskers.append(_line(x, height(point.y_low), x, height(point.y_high), "whisker"))
        shapes = [
            *whiskers,
            _marker(point.index, x, y, hollow=point.y_low is None),
            _beside(point.label, x, y, taken, (left, top, right + 12, bottom)),
        ]
        parts.append(_group(point.index, said, shapes))
    parts.append(_caption(across, (left + right) / 2, bottom + 34))
    parts.append(f'<text class="axis" x="2" y="12">{text(axis)}</text>')
    return _svg(parts, bottom + 42, spoken)


def swatch(index: int) -> str:
    """A method's line and marker, to stand before its name in a table."""
    return (
        f'<svg class="swatch" viewBox="0 0 26 12" width="26" height="12" aria-hidden="true" focusable="false">'
        f'<g class="m{index % COLOURS}">{_stroke(index, "M1 6H25")}{_marker(index, 13, 6)}</g></svg>'
    )


# ---- axes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scale:
    """A straight axis from values to places; it begins and ends at the given values, widened a little."""

    low: float
    high: float
    first: float
    last: float

    @classmethod
    def of(cls, low: float, high: float, places: tuple[float, float]) -> "_Scale":
        if high - low < 1e-12:
            low, high = low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
        room = 0.04 * (high - low)
        return cls(low if low == 0 else low - room, high if high == 0 else high + room, *places)

    def __call__(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values inside the axis, four to eight of them, with their text."""
        rough = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * each for each in (1, 2, 2.5, 5, 10) if size * each >= rough * 0.999)
        digits = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if f"{step:e}".startswith("2.5") else 0))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(place * step, number(place * step, digits)) for place in range(first, last + 1)]


def _decades(first: float, last: float) -> list[float]:
    """Round numbers between two powers of ten: every 1, and 2 and 5 where there is room."""
    found = [each * 10.0**power for power in range(math.floor(first), math.ceil(last) + 1) for each in (1, 2, 5)]
    inside = [each for each in found if first <= math.log10(each) <= last]
    if last - first > 2.2:
        inside = [each for each in inside if f"{each:e}".startswith("1.0")]
    return inside


def _vertical_grid(scale: _Scale, top: float, bottom: float) -> list[str]:
    parts, ticks = [], scale.ticks()
    width = max(len(written) for _, written in ticks) * _LETTER + 8
    gap = min((abs(scale(b) - scale(a)) for (a, _), (b, _) in pairwise(ticks)), default=width)
    for place, (tick, written) in enumerate(ticks):
        parts.append(_line(scale(tick), top, scale(tick), bottom, "grid"))
        if gap >= width or place % 2 == len(ticks) // 2 % 2:  # so that 0 in the middle keeps its number
            parts.append(f'<text x="{scale(tick):.1f}" y="{bottom + 15:.1f}" text-anchor="middle">{written}</text>')
    return parts


# ---- pieces ----------------------------------------------------------------------------------------------------------


def _svg(parts: Sequence[str], height: float, spoken: str) -> str:
    return (
        f'<svg class="chart" role="img" aria-label="{text(spoken)}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}">{"".join(parts)}</svg>'
    )


def _group(index: int, said: str, shapes: Sequence[str]) -> str:
    return f'<g class="series m{index % COLOURS}" data-m="{index}"><title>{text(said)}</title>{"".join(shapes)}</g>'


def _said(row: Estimate, digits: int, *, sign: bool = False) -> str:
    if row.mean is None:
        return f"{row.label}: not measured"
    return f"{row.label}: {number(row.mean, digits, sign=sign)} ({span(row.low, row.high, digits, sign=sign)})"


def _line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>'


def _caption(words: str, x: float, y: float) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text(words)}</text>'


def _label_width(rows: Sequence[Estimate]) -> float:
    """Room for the methods' names left of a chart."""
    return min(136.0, 16 + _LETTER * 1.05 * max((len(row.label) for row in rows), default=0))


def _clipped(label: str, letters: int) -> str:
    return label if len(label) <= letters else label[: letters - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _label(label: str, x: float, y: float) -> str:
    return f'<text class="name" x="{x:.1f}" y="{y:.1f}" text-anchor="end">{text(_clipped(label, 19))}</text>'


def _whisker(row: Estimate, scale: _Scale, y: float, *, bold: bool = False) -> list[str]:
    if row.low is None or row.high is None:
        return []
    low, high = scale(row.low), scale(row.high)
    kind = "whisker bold" if bold else "whisker"
    return [
        f'<path class="{kind}" d="M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 4}V{y + 4}M{high:.1f} {y - 4}V{y + 4}"/>'
    ]


def _stroke(index: int, path: str) -> str:
    dash = _DASHES[index // COLOURS % len(_DASHES)]
    return f'<path class="curve" d="{path}"' + (f' stroke-dasharray="{dash}"' if dash else "") + "/>"


def _curve(rows: Sequence[Estimate], places: Sequence[float], height: _Scale, bins: Sequence[str], digits: int) -> str:
    """One method's line with its intervals and markers."""
    shapes, path, pen_down = [], "", False
    for row, x, label in zip(rows, places, bins, strict=True):
        if row.mean is None:
            pen_down = False
            continue
        y = height(row.mean)
        path += f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}"
        pen_down = True
        if row.low is not None and row.high is not None:
            shapes.append(_line(x, height(row.low), x, height(row.high), "whisker"))
        said = f"{label}, {_said(row, digits)}"
        shapes.append(f"<g><title>{text(said)}</title>{_marker(row.index, x, y, hollow=row.low is None)}</g>")
    index = rows[0].index
    return _group(index, rows[0].label, [_stroke(index, path) if path else "", *shapes])


def _legend(rows: Sequence[Estimate]) -> tuple[list[str], float]:
    """The methods' names with their markers in as many lines as they need, and where the next thing may begin."""
    parts: list[str] = []
    x, y = 4.0, 12.0
    for row in rows:
        label = _clipped(row.label, 30)
        width = 34 + _LETTER * len(label)
        if x > 4 and x + width > WIDTH:
            x, y = 4.0, y + 17
        key = [_stroke(row.index, f"M{x:.1f} {y - 4}h20"), _marker(row.index, x + 10, y - 4)]
        key.append(f'<text class="name" x="{x + 25:.1f}" y="{y}">{text(label)}</text>')
        parts.append(_group(row.index, row.label, key))
        x += width + 6
    return parts, y + 22


def _kind(kind: str, hollow: bool) -> str:
    """The class of a shape; without an interval it is hollow, so that nobody takes it for certain."""
    return f"{kind} hollow" if hollow else kind


def _marker(index: int, x: float, y: float, *, hollow: bool = False) -> str:
    """A filled shape around (x, y); neighbours in the list differ in shape as well as in colour."""
    shapes = (
        "M{0} {1}m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
        "M{0} {1}m-3.6-3.6h7.2v7.2h-7.2z",
        "M{0} {1}m0-4.8l4.6 8h-9.2z",
        "M{0} {1}m0-5l4.4 5l-4.4 5l-4.4-5z",
        "M{0} {1}m0 4.8l4.6-8h-9.2z",
        "M{0} {1}m-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
        "M{0} {1}m-5-2.6h10v5.2h-10z",
    )
    return f'<path class="{_kind("marker", hollow)}" d="{shapes[index % len(shapes)].format(f"{x:.1f}", f"{y:.1f}")}"/>'


_Box = tuple[float, float, float, float]


def _beside(label: str, x: float, y: float, taken: list[_Box], room: _Box) -> str:
    """A point's name at the first place beside it where nothing stands yet; the place is then taken."""
    label = _clipped(label, 19)
    width = 1.1 * _LETTER * len(label) + 4  # it is bold
    sides = [(x + gap, y + dy) for gap in (9, 22) for dy in (4, -6, 14)]
    sides += [(x - gap - width, y + dy) for gap in (9, 22) for dy in (4, -6, 14)]
    places = sides + [(x + dx * width, y + dy) for dy in (-10, 18, -22, 30, -34, 42, -46, -58) for dx in (-0.5, -1, 0)]
    boxes = [(left, base - 9, left + width, base + 3) for left, base in places]
    inside = [
        box for box in boxes if box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]
    ]
    free = [box for box in inside if not any(_touch(box, other) for other in taken)]
    chosen = (free or inside or boxes)[0]
    taken.append(chosen)
    return f'<text class="name own" x="{chosen[0]:.1f}" y="{chosen[3] - 3:.1f}">{text(label)}</text>'


def _touch(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
