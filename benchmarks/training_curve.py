"""Draw the losses of one or several runs, one after the other, as an SVG picture.

python benchmarks/training_curve.py LOG.jsonl [LOG.jsonl ...] -o curve.svg
"""

import argparse
import json
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 860, 220, 56
SPEED = {"step", "time", "steps_per_s", "photos_per_s", "phase", "photos_seen", "data_wait_s"}


def read_logs(paths: list[Path]) -> list[dict]:
    """The records of all logs, their photos counted on from one log to the next."""
    records, before = [], 0.0
    for path in paths:
        seen, last_step = 0.0, 0
        carried: float | None = None  # photos that this log's first record counts from the log before it
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["step"] <= last_step:
                continue  # logged before a kill, and again after the resume
            if "photos_seen" in record:
                if carried is None:
                    carried = before if record["photos_seen"] > before else 0.0
                seen = record["photos_seen"] - carried
            else:  # logs from before this was written
                seen += (record["step"] - last_step) * record["photos_per_s"] / record["steps_per_s"]
            last_step = record["step"]
            records.append({**record, "photos": before + seen, "run": path.name})
        before += seen
    return records


def panel(records: list[dict], name: str, top: int) -> str:
    """One loss over photos seen, its scale at the left."""
    points = [(r["photos"], r[name]) for r in records if name in r]
    low, high = min(v for _, v in points), max(v for _, v in points)
    span = (high - low) or 1.0
    right = max(r["photos"] for r in records)
    inner_width, inner_height = WIDTH - 2 * MARGIN, HEIGHT - 60

    def place(photos: float, value: float) -> str:
        x = MARGIN + inner_width * photos / right
        return f"{x:.1f},{top + 30 + inner_height * (1 - (value - low) / span):.1f}"

    line = " ".join(place(*point) for point in points)
    bottom = top + 30 + inner_height
    return (
        f'<text x="{MARGIN}" y="{top + 18}" font-weight="bold">{name}</text>'
        f'<rect x="{MARGIN}" y="{top + 30}" width="{inner_width}" height="{inner_height}" fill="none" stroke="#bbb"/>'
        f'<text x="{MARGIN - 6}" y="{top + 36}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{MARGIN - 6}" y="{bottom}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{bottom + 16}" text-anchor="end">{right:,.0f} photos seen</text>'
        f'<polyline points="{line}" fill="none" stroke="#1565c0" stroke-width="1.5"/>'
    )


def phase_marks(records: list[dict], height: int) -> str:
    """A thin vertical line wherever a phase begins."""
    right = max(r["photos"] for r in records)
    marks, last = [], None
    for record in records:
        key = (record["run"], record["phase"])
        if key != last and last is not None:
            x = MARGIN + (WIDTH - 2 * MARGIN) * record["photos"] / right
            marks.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="24" y2="{height}" stroke="#e57373" stroke-dasharray="3"/>'
            )
        last = key
    return "".join(marks)


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    records = read_logs(arguments.logs)
    names = sorted({name for record in records for name in record} - SPEED - {"photos", "run"})
    height = HEIGHT * len(names) + 10
    panels = "".join(panel(records, name, HEIGHT * number) for number, name in enumerate(names))
    arguments.out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{phase_marks(records, height)}{panels}</svg>\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
