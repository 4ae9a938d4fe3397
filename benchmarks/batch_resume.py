"""A thousand photos: photos a second beside a plain loop, and whether a batch killed thrice ends like one that ran.

    python benchmarks/batch_resume.py --json batch.json --markdown batch.md
    python benchmarks/batch_resume.py --count 40 --entries 1000        # does it run?

Photos are crops of scikit-image's photos, 512 pixels a side and a little around it, JPEG and PNG in turns, with a mask
of one of the shapes of `inpaintkit.masks`; all made by code from a seed. They need the extra `classical`.

*Pace*: the plain loop is what one would write without batches: read, fill, write, one photo after the other, one
process, every library's own number of threads. It is run over the first half of the photos before the batch and over
the second half after it, so that a machine that slows down does so for both. Starting is part of both.

*Kills*: the same batch is started again into another folder, killed with SIGKILL when so many photos are done as the
seed says and a random part of a second has passed, resumed, killed again, and at last left to its end. Every result
must be there once and have the hash that the batch without a kill gave it, and no temporary file may be left; else the
exit status is 1.

*Entries*: what it takes to list, pair and plan many entries, of which nothing is filled.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reports
import turns
from inpaintkit.errors import InpaintError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE_PX = 512
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
"""Photos of scikit-image that are large enough, and shown to no one: their crops are only filled."""

MASK_SHAPES = ("rectangle", "free_form", "lama_medium", "comodgan", "blobs")
TEMPORARY = "*.part"


# ---- the photos ------------------------------------------------------------------------------------------------------


def make_crop(photo: "NDArray[np.uint8]", rng: "np.random.Generator") -> "NDArray[np.uint8]":
    """A crop of about SIDE_PX, enlarged where the photo is smaller, turned or mirrored."""
    import cv2
    import numpy as np

    height, width = (int(SIDE_PX + rng.integers(-64, 65)) for _ in range(2))
    least = max(height / photo.shape[0], width / photo.shape[1])
    scale = max(least, float(rng.uniform(0.6, 1.4)))
    size = max(width, round(photo.shape[1] * scale)), max(height, round(photo.shape[0] * scale))
    scaled = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (int(rng.integers(0, free + 1)) for free in (scaled.shape[0] - height, scaled.shape[1] - width))
    crop = scaled[top : top + height, left : left + width]
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def make_photos(folder: Path, count: int, seed: int) -> None:
    """Photos in `folder`/photos and their masks in `folder`/masks, a hundred to a folder inside."""
    import numpy as np
    from PIL import Image
    from skimage import data

    from inpaintkit.masks import SHAPES

    photos = [np.asarray(getattr(data, name)()) for name in PHOTOS]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        crop = make_crop(photos[number % len(photos)], rng)
        hole = SHAPES[MASK_SHAPES[number % len(MASK_SHAPES)]](*crop.shape[:2], rng)
        name = Path(f"{number // 100:02}") / f"{number:05}"
        for kind, suffix, picture in (("photos", (".jpg", ".png")[number % 2], crop), ("masks", ".png", hole)):
            path = (folder / kind / name).with_suffix(suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path, quality=92)


# ---- who fills them --------------------------------------------------------------------------------------------------


def plain_loop(spec: dict[str, Any]) -> None:
    """What one writes without batches: the photos of a part of the list, one after the other."""
    from inpaintkit import Inpainter
    from inpaintkit.masks import read_mask
    from inpaintkit.photo import read_photo, write_photo

    folder, out = Path(spec["folder"]), Path(spec["out"])
    inpainter = Inpainter(spec["model"], threads=spec["threads"])
    photos = sorted(path for path in (folder / "photos").rglob("*") if path.is_file())
    for path in photos[spec["first"] : spec["last"]]:
        inside = path.relative_to(folder / "photos")
        photo = read_photo(path)
        whole = inpainter.fill_photo(photo, read_mask((folder / "masks" / inside).with_suffix(".png"), photo.size))
        (out / inside).parent.mkdir(parents=True, exist_ok=True)
        write_photo(whole, out / inside)


def time_entries(spec: dict[str, Any]) -> None:
    """Seconds to list, pair and plan many entries, on standard output; photos are files of one byte."""
    from inpaintkit.filling.batch import Settings, find_items, journal_file, plan_items, read_manifest, shard
    from inpaintkit.filling.journal import Entry, Journal, stamp_of
    from inpaintkit.filling.pipeline import options_of

    top, count = Path(spec["folder"]), spec["entries"]
    kinds = (("photos", "jpg"), ("masks", "png"), ("out", "jpg"))
    for number in range(count):
        for kind, suffix in kinds:
            path = top / kind / f"{number // 1000:03}" / f"{number:07}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    rows = [
        f"photos/{number // 1000:03}/{number:07}.jpg,masks/{number // 1000:03}/{number:07}.png"
        for number in range(count)
    ]
    (top / "list.csv").write_text("photo,mask\n" + "\n".join(rows) + "\n", encoding="utf-8")
    settings, seconds = Settings(model="telea"), {}

    def timed(what: str, call: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = call()
        seconds[what] = time.perf_counter() - started
        return result

    held = turns.held_megabytes()
    items = timed("list and pair", lambda: find_items(top / "photos", top / "masks", top / "out", recursive=True))
    grown = turns.held_megabytes() - held
    timed("read a manifest", lambda: read_manifest(top / "list.csv", top / "elsewhere"))
    timed("take a shard", lambda: shard(items, "1/8"))
    journal, fingerprint = journal_file(top / "out"), settings.fingerprint()
    stamp = {kind: stamp_of(next((top / kind).rglob(f"*.{suffix}"))) for kind, suffix in kinds}
    with Journal(journal) as book:
        book.append(
            [
                Entry(
                    output=item.name,
                    status="done",
                    photo=item.photo,
                    mask=item.mask,
                    written=stamp_of(item.output),
                    photo_file=stamp_of(item.photo),
                    mask_file=stamp_of(str(item.mask)),
                    options=options_of(item, fingerprint),
                )
                for item in items
            ]
        )
    plan = timed("plan a resumed run", lambda: plan_items(items, settings, journal=journal, resume=True))
    if plan.to_do or len(items) != count or not stamp:
        raise InpaintError(f"{len(plan.to_do)} of {len(items)} entries were to be done again, expected none")
    print(json.dumps({"entries": count, "seconds": seconds, "megabytes": grown}))


def serve(spec: dict[str, Any]) -> None:
    """A process that this script started."""
    {"loop": plain_loop, "entries": time_entries}[spec["does"]](spec)


def timed_process(command: list[str], given: argparse.Namespace) -> float:
    """Seconds that a process takes from start to end. Raises InpaintError."""
    started = time.perf_counter()
    done = subprocess.run(command, env=turns.child_environment(given.threads), stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise InpaintError(f"a measured process ended with status {done.returncode}: see its error above")
    return time.perf_counter() - started


def batch_command(folder: Path, out: str, given: argparse.Namespace, *options: str) -> list[str]:
    """The batch from the command line."""
    command = [sys.executable, "-m", "inpaintkit", "fill", str(folder / "photos"), "--mask", str(folder / "masks")]
    command += ["-o", str(folder / out), "--recursive", "--jobs", str(given.jobs), "--model", given.model, "--quiet"]
    return [*command, *(["--threads", str(given.threads)] if given.threads else []), *options]


# ---- what is measured ------------------------------------------------------------------------------------------------


def measure_pace(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Loop over one half, batch over all, loop over the other half."""
    half = given.count // 2
    shared = {"does": "loop", "folder": str(folder), "out": str(folder / "loop"), "model": given.model}
    shared["threads"] = given.threads

    def loop(first: int, last: int) -> float:
        return timed_process(turns.command(__file__, {**shared, "first": first, "last": last}), given)

    first = loop(0, half)
    batch = timed_process(batch_command(folder, "unbroken", given), given)
    second = loop(half, given.count)
    one, many = hashes(folder / "loop"), hashes(folder / "unbroken")
    return {
        "loop_seconds": [first, second],
        "batch_seconds": batch,
        "ratio": (first + second) / batch,
        "different_results": sorted(name for name in one.keys() | many.keys() if one.get(name) != many.get(name)),
    }


def hashes(out: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file of a folder but journals, hidden ones too."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def journal_lines(out: Path) -> list[bytes]:
    """Whole lines of the journal."""
    paths = out.glob("*.jsonl")
    return [line for path in paths for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def kill_at(process: "subprocess.Popen[bytes]", out: Path, lines: int, delay: float) -> dict[str, Any]:
    """Kill a batch when its journal has so many lines, after a delay, and say what it left. Raises InpaintError."""
    started = time.perf_counter()
    try:
        while process.poll() is None and len(journal_lines(out)) < lines:
            time.sleep(0.05)
        time.sleep(delay)
        was_over = process.poll() is not None
    finally:
        process.kill()
        process.wait()
    seconds = time.perf_counter() - started
    if process.returncode > 0:
        raise InpaintError(f"the batch ended with status {process.returncode}: see its error above")
    time.sleep(1)  # its workers end when they notice that it is gone
    return {
        "seconds": seconds,
        "was_over": was_over,
        "journal_lines": len(journal_lines(out)),
        "temporary_files": len(list(out.rglob(TEMPORARY))),
    }


def measure_kills(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The batch killed and resumed until it ends, and what is wrong with what it left."""
    rng, out, kills = random.Random(given.seed), folder / "killed", []
    for number, lines in enumerate(sorted(rng.sample(range(given.count), given.kills))):
        command = batch_command(folder, out.name, given, *(["--resume"] if number else []))
        process = subprocess.Popen(command, env=turns.child_environment(given.threads))
        kills.append(kill_at(process, out, lines, rng.random()))
    last = timed_process(batch_command(folder, out.name, given, "--resume"), given)
    expected, found = hashes(folder / "unbroken"), hashes(out)
    written = Counter(json.loads(line)["output"] for line in journal_lines(out))
    return {
        "kills": kills,
        "last_run_seconds": last,
        "missing": sorted(expected.keys() - found.keys()),
        "extra": sorted(found.keys() - expected.keys()),
        "different": sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name]),
        "temporary_files": len(list(out.rglob(TEMPORARY))),
        "filled_twice": sum(count - 1 for count in written.values()),
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Everything, in a folder that is removed afterwards."""
    report: dict[str, Any] = {"machine": turns.conditions(given.threads)}
    report |= {name: getattr(given, name) for name in ("count", "jobs", "model", "seed")}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        make_photos(folder, given.count, given.seed)
        report["pace"] = measure_pace(folder, given)
        report["resume"] = measure_kills(folder, given) if given.kills else None
        report["entries"] = None
        if given.entries:
            spec = {"does": "entries", "folder": str(folder / "many"), "entries": given.entries}
            report["entries"] = turns.ask(__file__, spec, "lists entries")
    return report


def fault(report: dict[str, Any]) -> str:
    """What is wrong with the results, "" for nothing."""
    resume = report["resume"]
    found = (
        {name: resume[name] for name in ("missing", "extra", "different", "temporary_files") if resume[name]}
        if resume
        else {}
    )
    return "; ".join(f"{name}: {value if isinstance(value, int) else len(value)}" for name, value in found.items())


def markdown(report: dict[str, Any]) -> str:
    """The tables."""
    count, pace, resume, entries = (report[name] for name in ("count", "pace", "resume", "entries"))
    loop = sum(pace["loop_seconds"])
    lines = [f"## {count} photos of about {SIDE_PX} x {SIDE_PX}, model {report['model']}", ""]
    lines += [*reports.machine_lines(report["machine"]), ""]
    lines += ["| | seconds | photos a second | times the loop |", "|---|---|---|---|"]
    lines += [f"| plain loop | {loop:.1f} | {count / loop:.2f} | 1 |"]
    lines += [
        f"| `--jobs {report['jobs']}` | {pace['batch_seconds']:.1f} | {count / pace['batch_seconds']:.2f} | "
        f"{pace['ratio']:.2f} |",
        "",
        f"Results that differ between the two: {len(pace['different_results'])}.",
        "",
    ]
    if resume:
        lines += ["| killed after, s | lines in the journal then | temporary files then |", "|---|---|---|"]
        for kill in resume["kills"]:
            moment = f"{kill['seconds']:.1f}{' (it was over)' if kill['was_over'] else ''}"
            lines += [f"| {moment} | {kill['journal_lines']} | {kill['temporary_files']} |"]
        lines += [
            "",
            f"After the last run: {len(resume['missing'])} missing, {len(resume['extra'])} too many, "
            f"{len(resume['different'])} with another hash than without kills, {resume['temporary_files']} temporary "
            f"files; {resume['filled_twice']} photos were journalled twice.",
            "",
        ]
    if entries:
        lines += [f"| {entries['entries']:,} entries | seconds |", "|---|---|"]
        lines += [f"| {what} | {seconds:.2f} |" for what, seconds in entries["seconds"].items()]
        lines += ["", f"The list takes {entries['megabytes']:.0f} MB.", ""]
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--count", type=int, default=1000, help="photos (default 1000)")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes of the batch (default 2)")
    parser.add_argument("--kills", type=int, default=3, help="how often the batch is killed (default 3)")
    parser.add_argument("--entries", type=int, default=100_000, help="entries that are listed only (default 100000)")
    parser.add_argument("--model", default="default", help="what fills (default: default)")
    parser.add_argument("--seed", type=int, default=0, help="of photos, masks and kills")
    parser.add_argument("--threads", type=int, help="of both variants, all processes together (default: each's own)")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    if given.count < 2 or given.jobs < 1 or not 0 <= given.kills < given.count or given.entries < 0:
        parser.error("--count must be 2 or more, --jobs 1 or more, --kills fewer than photos, --entries 0 or more")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    return reports.run("batch_resume", parse(arguments), measure, markdown, serve=serve, fault=fault)


if __name__ == "__main__":
    raise SystemExit(main())
