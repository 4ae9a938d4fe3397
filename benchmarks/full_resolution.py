"""Large photos: what a fill costs beside its bare crop, how time grows with photo and holes, whether a ceiling holds.

    python benchmarks/full_resolution.py --json full.json --markdown full.md --svg full.svg
    python benchmarks/full_resolution.py --quick

*path*: a photo of 24 megapixels with one hole of 400 pixels, as JPEG and as PNG. The whole way (decode, fill, encode)
stands beside its parts, each a process that takes turns with the others: filling the bare crop, the one that the hole
is filled in, as a photo of its own; decoding and encoding without a fill. The same again for `inpaintkit fill` as a
command: beside the command on the crop, and decoding and encoding. *sizes*: the same hole in photos of 1 to 100
megapixels. *holes*: more and more holes in one photo. Both with and without decoding and encoding, as JPEG. *ceilings*:
the command with `--memory` on photos of 24 and 100 megapixels of which 30 % are missing.

A ratio is the median over the rounds of the times of the same round. Photos are made by code from a photo of
scikit-image, enlarged tenfold and mirrored, with fresh fine texture and noise; smaller ones are the middle of the
largest, so that the hole has the same surroundings in all. They need the extra `classical`.

This process imports neither NumPy nor PyTorch, as in fill_speed.py.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reports
import turns
from inpaintkit.errors import InpaintError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inpaintkit import Inpainter

HOLE_PX = 400
"""Side of the one hole of *path* and *sizes*."""

MANY_HOLE_PX = 200
"""Side of each hole of *holes*: fifty of them lie apart in 12 megapixels, crops included."""

HUGE_SHARE = 0.3
"""What is missing of the photos of *ceilings*, in one rectangle."""

ENLARGED, BAND_ROWS, NOISE = 10, 256, 0.012
"""Pixels per pixel of the photo that the large ones are made of; rows made at a time; noise of the range."""

PARTS = ("path", "sizes", "holes", "ceilings")
TIME_AIM, MEMORY_AIM = 1.3, 3.0
"""The whole way over its parts; megabytes above those of the bare crop, in decoded photos."""


@dataclass(frozen=True)
class Scale:
    """How large the problem is, photos in megapixels. `ceilings`: what `--memory` and `--detail` are, None for none."""

    path_mp: int
    sizes_mp: tuple[int, ...]
    holes_mp: int
    holes: tuple[int, ...]
    ceilings_mp: tuple[int, ...]
    ceilings: tuple[tuple[str | None, str], ...]


FULL = Scale(
    path_mp=24,
    sizes_mp=(1, 3, 6, 12, 24, 50, 100),
    holes_mp=12,
    holes=(1, 2, 5, 10, 20, 50),
    ceilings_mp=(24, 100),
    ceilings=((None, "off"), ("2GB", "off"), ("1GB", "off"), ("2GB", "auto"), ("1GB", "auto")),
)
QUICK = Scale(6, (1, 3, 6), 6, (1, 2, 5), (6,), ((None, "off"), ("1GB", "off")))
"""A rehearsal; its numbers mean nothing."""


# --- Photos and holes ------------------------------------------------------------------------------------------------


def photo_shape(megapixels: int) -> tuple[int, int]:
    """Height and width of a 3:2 photo of so many megapixels."""
    height = round(math.sqrt(megapixels * 1e6 * 2 / 3))
    return height, round(megapixels * 1e6 / height)


def draw_photo(height: int, width: int) -> "NDArray[np.uint8]":
    """A photo (H, W, 3) enlarged and mirrored about its middle, with texture and noise at full resolution."""
    import cv2
    import numpy as np
    from skimage import data

    rng = np.random.default_rng(0)
    photo = cv2.resize(data.coffee(), None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    gravel = np.asarray(data.gravel(), np.float32)
    texture = 0.25 * (gravel - gravel.mean())[..., None]
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        band = np.zeros_like(pixels[rows], np.float32)
        for picture in (photo, texture):
            down, along = (mirrored(*sides) for sides in zip((height, width), picture.shape[:2], strict=True))
            band += picture[down[rows]][:, along]
        band += np.float32(255 * NOISE) * rng.standard_normal(band.shape, np.float32)
        pixels[rows] = np.rint(np.clip(band, 0, 255))
    return pixels


def mirrored(length: int, side: int) -> "NDArray[np.int64]":
    """Where `length` pixels lie on a side of a picture that is repeated by mirroring; middle falls on middle."""
    import numpy as np

    places = np.arange(length) - length // 2 + side // 2
    return np.abs(np.mod(places + side - 1, 2 * (side - 1)) - (side - 1))


def middle_of(pixels: "NDArray[np.uint8]", height: int, width: int) -> "NDArray[np.uint8]":
    """The middle of a photo, as a photo of its own."""
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()


def hole_boxes(height: int, width: int, count: int, side: int) -> list[tuple[int, int]]:
    """Top and left of `count` square holes, in the middles of the first cells of an even grid."""
    columns = max(1, round(math.sqrt(count * width / height)))
    rows = math.ceil(count / columns)
    cell_height, cell_width = height / rows, width / columns
    if min(cell_height, cell_width) < side:
        raise UsageError(
            f"{count} holes of {side} px do not fit into {width} x {height}: expected fewer or smaller ones"
        )
    places = [(row, column) for row in range(rows) for column in range(columns)][:count]
    return [
        (int((row + 0.5) * cell_height - side / 2), int((column + 0.5) * cell_width - side / 2))
        for row, column in places
    ]


def draw_holes(height: int, width: int, count: int, side: int) -> "NDArray[np.bool_]":
    """A mask (H, W) of square holes, True = missing."""
    import numpy as np

    mask = np.zeros((height, width), bool)
    for top, left in hole_boxes(height, width, count, side):
        mask[top : top + side, left : left + side] = True
    return mask


def draw_huge_hole(height: int, width: int) -> "NDArray[np.bool_]":
    """A rectangle of the photo's proportions over `HUGE_SHARE` of it, in the middle."""
    import numpy as np

    mask = np.zeros((height, width), bool)
    tall, wide = (round(side * math.sqrt(HUGE_SHARE)) for side in (height, width))
    top, left = (height - tall) // 2, (width - wide) // 2
    mask[top : top + tall, left : left + wide] = True
    return mask


def make_files(spec: dict[str, Any]) -> dict[str, Any]:
    """Write the photos, crops and masks that the parts need into a folder; returns the crop's box and file sizes."""
    import cv2
    import numpy as np

    from inpaintkit.photo import Photo, encode_photo

    folder, scale = Path(spec["folder"]), Scale(**spec["scale"])
    needed = needed_photos(scale, spec["parts"])
    largest = draw_photo(*photo_shape(max(needed)))

    def write(name: str, pixels: Any) -> None:
        photo = Photo(np.repeat(pixels[..., None], 3, axis=2), grey=True) if pixels.ndim == 2 else Photo(pixels)
        format = "JPEG" if name.endswith(".jpg") else "PNG"
        folder.joinpath(name).write_bytes(encode_photo(photo, format))

    found: dict[str, Any] = {"megabytes": {}}
    for megapixels in needed:
        write(f"photo-{megapixels}.jpg", middle_of(largest, *photo_shape(megapixels)))
    if "path" in spec["parts"]:
        shape = photo_shape(scale.path_mp)
        pixels, mask = middle_of(largest, *shape), draw_holes(*shape, 1, HOLE_PX)
        (region,) = open_inpainter(spec).plan(mask).regions
        found["crop"] = [region.top, region.left, region.height, region.width]
        for name, part in (("photo", np.s_[:]), ("crop", region.window)):
            stem = f"{name}-{scale.path_mp}"
            write(f"{stem}.png", np.ascontiguousarray(pixels[part]))
            write(f"{stem}-mask.png", 255 * mask[part].astype(np.uint8))
    if "ceilings" in spec["parts"]:
        for megapixels in scale.ceilings_mp:
            mask = draw_huge_hole(*photo_shape(megapixels))
            _, encoded = cv2.imencode(".png", 255 * mask.astype(np.uint8))
            folder.joinpath(f"huge-{megapixels}-mask.png").write_bytes(encoded.tobytes())
    found["megabytes"] = {file.name: file.stat().st_size / 1e6 for file in sorted(folder.glob("photo-*"))}
    return found


def needed_photos(scale: Scale, parts: Iterable[str]) -> list[int]:
    """The sizes of photos that the parts need, in megapixels."""
    by_part = {
        "path": (scale.path_mp,),
        "sizes": scale.sizes_mp,
        "holes": (scale.holes_mp,),
        "ceilings": scale.ceilings_mp,
    }
    return sorted({megapixels for part in parts for megapixels in by_part[part]})


# --- The measured processes ------------------------------------------------------------------------------------------


Call = Callable[[], dict[str, float]]


def open_inpainter(spec: dict[str, Any]) -> "Inpainter":
    """As the options of this script have it; detail and grain are automatic."""
    from inpaintkit import Inpainter

    return Inpainter(spec["model"], spec["engine"], threads=spec["threads"])


class Stopwatch:
    """Seconds of the parts of a call by name."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """What was done since the last lap was `name`."""
        now = time.perf_counter()
        self.parts[name] = now - self._since
        self._since = now


def crop_work(spec: dict[str, Any]) -> Call:
    """Fill the bare crop in memory."""
    from inpaintkit.masks import read_mask
    from inpaintkit.photo import read_photo

    inpainter = open_inpainter(spec)
    photo = read_photo(spec["photo"])
    mask = read_mask(Path(spec["mask"]), photo.size)

    def call() -> dict[str, float]:
        watch = Stopwatch()
        inpainter.fill_photo(photo, mask)
        watch.lap("fill")
        return watch.parts

    call()
    return call


def file_work(spec: dict[str, Any]) -> Call:
    """Decode the photo and encode it again."""
    from inpaintkit.photo import decode_photo, encode_photo

    content = Path(spec["photo"]).read_bytes()

    def call() -> dict[str, float]:
        watch = Stopwatch()
        photo = decode_photo(content)
        watch.lap("decode")
        encode_photo(photo)
        watch.lap("encode")
        return watch.parts

    call()
    return call


def whole_work(spec: dict[str, Any]) -> Call:
    """Decode the photo, fill its holes and encode it.

    With `warm` the first call is not measured; otherwise a small photo is filled before, which is enough for times.
    """
    import numpy as np

    from inpaintkit.photo import decode_photo, encode_photo

    inpainter = open_inpainter(spec)
    content = Path(spec["photo"]).read_bytes()
    mask = draw_holes(*photo_shape(spec["megapixels"]), spec["holes"], spec["hole_px"])

    def call() -> dict[str, float]:
        watch = Stopwatch()
        photo = decode_photo(content)
        watch.lap("decode")
        whole = inpainter.fill_photo(photo, mask)
        watch.lap("fill")
        encode_photo(whole)
        watch.lap("encode")
        return watch.parts

    if spec["warm"]:
        call()
    else:
        inpainter(np.zeros((96, 96, 3), np.uint8), draw_holes(96, 96, 1, 48))
    return call


def command_work(spec: dict[str, Any]) -> Call:
    """`inpaintkit fill` as a process of its own, from file to file."""

    def call() -> dict[str, float]:
        done = subprocess.run(fill_command(spec), stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise InpaintError(f"inpaintkit fill ended with status {done.returncode}: see its error above")
        return {}

    call()
    return call


def fill_command(spec: dict[str, Any]) -> list[str]:
    """`inpaintkit fill` on the spec's files, with its options."""
    command = [sys.executable, "-m", "inpaintkit", "fill", spec["photo"], "--mask", spec["mask"], "--quiet", "--force"]
    options = {"-o": spec["output"], "--model": spec["model"], "--engine": spec["engine"]}
    options |= {f"--{name}": spec.get(name) for name in ("threads", "memory", "detail")}
    return command + [str(word) for name, value in options.items() if value is not None for word in (name, value)]


def fill_under_ceiling(spec: dict[str, Any]) -> dict[str, Any]:
    """One run of the command: its exit status (None: stopped at the time limit), last error line, seconds and peak."""
    from inpaintkit.filling.memory import parse_memory

    started = time.perf_counter()
    try:
        done = subprocess.run(
            fill_command(spec), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=spec["limit_s"], check=False
        )
        status, error = done.returncode, done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    except subprocess.TimeoutExpired:
        status, error = None, []
    seconds = time.perf_counter() - started
    return {
        "status": status,
        "error": "".join(error).removeprefix("inpaintkit: "),
        "seconds": seconds,
        "peak_mb": turns.peak_of_children(),
        "ceiling_mb": parse_memory(spec["memory"]) / 1e6 if spec["memory"] else None,
    }


PREPARE: dict[str, Callable[[dict[str, Any]], Call]] = {
    "crop": crop_work,
    "files": file_work,
    "whole": whole_work,
    "command": command_work,
}
"""What a process does to the function that makes everything ready and returns the call to be timed."""


def serve(spec: dict[str, Any]) -> None:
    """What a process of this script does: make the files, run the command once, or get ready and take turns."""
    answer = turns.answering()
    if spec["does"] == "make":
        answer(**make_files(spec))
    elif spec["does"] == "ceiling":
        answer(**fill_under_ceiling(spec))
    else:
        call = PREPARE[spec["does"]](spec)
        answer()
        turns.answer_turns(answer, call, untimed=0, parts=True, children=spec["does"] == "command")


# --- Taking turns ----------------------------------------------------------------------------------------------------


def run_path(scale: Scale, common: dict[str, Any], rounds: int) -> dict[str, dict[str, Any]]:
    """The whole way and its parts, in both formats, all taking turns."""
    folder = Path(common["folder"])
    crop = {"photo": f"crop-{scale.path_mp}.png", "mask": f"crop-{scale.path_mp}-mask.png", "output": "crop-out.png"}
    specs: dict[str, dict[str, Any]] = {"crop": crop, "command-crop": crop}
    for name, suffix in (("JPEG", "jpg"), ("PNG", "png")):
        photo = {"photo": f"photo-{scale.path_mp}.{suffix}", "mask": f"photo-{scale.path_mp}-mask.png"}
        one = {"megapixels": scale.path_mp, "holes": 1, "hole_px": HOLE_PX, "warm": True}
        specs[f"files-{name}"] = photo
        specs[f"whole-{name}"] = {**photo, **one}
        specs[f"command-{name}"] = {**photo, "output": f"out.{suffix}"}

    def starts() -> Iterator[turns.Worker]:
        for variant, given in specs.items():
            files = {key: str(folder / name) for key, name in given.items() if key in ("photo", "mask", "output")}
            spec = {**common, "does": variant.partition("-")[0], **given, **files}
            yield turns.start(__file__, variant, spec, threads=common["threads"])

    with turns.all_ready(starts()) as workers:
        turns.take_turns(f"{scale.path_mp}-megapixel photo", workers, rounds, 1)
        by_name = {worker.variant: worker for worker in workers}
        return {name: summarise_path(worker, by_name) for name, worker in by_name.items()}


def summarise_path(worker: turns.Worker, workers: dict[str, turns.Worker]) -> dict[str, Any]:
    """Seconds, parts and memory of one row of the path; for a whole way also what it is over its parts."""
    seconds = [each for turn in worker.rounds for each in turn]
    parts = [each for turn in worker.parts for each in turn]
    found: dict[str, Any] = {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "parts_s": {name: statistics.median([each[name] for each in parts]) for name in parts[0]},
        "peak_mb": worker.peak_mb,
        "rounds_s": worker.rounds,
    }
    does, _, format = worker.variant.partition("-")
    if format in ("JPEG", "PNG") and does != "files":
        crop = workers["crop" if does == "whole" else "command-crop"]
        ratios = turns.paired_ratios(worker.rounds, sums_by_round(crop.rounds, workers[f"files-{format}"].rounds))
        found["ratio"] = statistics.median(ratios)
        found["ratio_lowest"], found["ratio_highest"] = min(ratios), max(ratios)
        found["above_crop_mb"] = worker.peak_mb - crop.peak_mb
    return found


def sums_by_round(*rounds: Sequence[Sequence[float]]) -> list[list[float]]:
    """The medians of several variants, added up round by round."""
    return [[sum(statistics.median(turn) for turn in turns_of_round)] for turns_of_round in zip(*rounds, strict=True)]


def run_curve(name: str, scale: Scale, common: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
    """Seconds against photo size or number of holes, the points taking turns."""
    if name == "sizes":
        points = [{"megapixels": megapixels, "holes": 1, "hole_px": HOLE_PX} for megapixels in scale.sizes_mp]
    else:
        points = [{"megapixels": scale.holes_mp, "holes": count, "hole_px": MANY_HOLE_PX} for count in scale.holes]

    def starts() -> Iterator[turns.Worker]:
        for point in points:
            photo = str(Path(common["folder"]) / f"photo-{point['megapixels']}.jpg")
            spec = {**common, "does": "whole", "warm": False, "photo": photo, **point}
            title = f"{point['holes']} holes in {point['megapixels']} megapixels"
            yield turns.start(__file__, title, spec, threads=common["threads"])

    with turns.all_ready(starts()) as workers:
        turns.take_turns(name, workers, rounds, 1)
        return [{**point, **summarise_point(worker)} for point, worker in zip(points, workers, strict=True)]


def summarise_point(worker: turns.Worker) -> dict[str, Any]:
    """Medians and minima of one point of a curve: the fill alone, and with decoding and encoding."""
    fills = [each["fill"] for turn in worker.parts for each in turn]
    wholes = [each for turn in worker.rounds for each in turn]
    return {
        "fill_s": statistics.median(fills),
        "fill_min_s": min(fills),
        "whole_s": statistics.median(wholes),
        "whole_min_s": min(wholes),
        "parts": worker.parts,
    }


def straight_line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Value at 0 and slope of the line with the least squares through the points."""
    fitted = statistics.linear_regression(*zip(*points, strict=True))
    return fitted.intercept, fitted.slope


def run_ceilings(scale: Scale, common: dict[str, Any], limit_s: float) -> list[dict[str, Any]]:
    """The command on every photo with a huge hole, under every ceiling."""
    folder, found = Path(common["folder"]), []
    for megapixels in scale.ceilings_mp:
        for memory, detail in scale.ceilings:
            settings = {"memory": memory, "detail": detail}
            files = {"photo": f"photo-{megapixels}.jpg", "mask": f"huge-{megapixels}-mask.png", "output": "huge.jpg"}
            paths = {key: str(folder / name) for key, name in files.items()}
            spec = {**common, "does": "ceiling", "limit_s": limit_s, **settings, **paths}
            title = f"fills {megapixels} megapixels under {memory or 'no ceiling'}, detail {detail},"
            row = turns.ask(__file__, spec, title, threads=common["threads"])
            found.append({"megapixels": megapixels, **settings, **row})
            print(f"{title} {outcome(row)}", file=sys.stderr)
    return found


def outcome(row: dict[str, Any]) -> str:
    """How a run under a ceiling ended."""
    if row["status"] is None:
        return f"stopped after {row['seconds']:.0f} s"
    return "filled" if row["status"] == 0 else f"status {row['status']}: {row['error']}"


# --- The report ------------------------------------------------------------------------------------------------------


def compare_with_aims(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every aim beside what was measured, as far as it was."""
    found: list[dict[str, Any]] = []
    for name, row in report["path"].items():
        if "ratio" in row:
            what = f"{PATH_TITLES[name]}, of the bare crop with decoding and encoding"
            found.append({"what": f"time: {what}", "aim": TIME_AIM, "measured": row["ratio"]})
            photos = row["above_crop_mb"] / report["decoded_mb"]
            what = f"memory: {PATH_TITLES[name]}, above the bare crop, in decoded photos"
            found.append({"what": what, "aim": MEMORY_AIM, "measured": photos})
    for row in report["ceilings"]:
        if row["memory"] is not None:
            what = f"memory: {row['megapixels']} megapixels, detail {row['detail']}, --memory {row['memory']}, in GB"
            found.append({"what": what, "aim": row["ceiling_mb"] / 1e3, "measured": row["peak_mb"] / 1e3})
    return [{**each, "met": each["measured"] <= each["aim"]} for each in found]


PATH_TITLES = {
    "crop": "the bare crop, filled in memory",
    "command-crop": "`inpaintkit fill` on the bare crop",
    **{f"files-{format}": f"{format}: decoded and encoded" for format in ("JPEG", "PNG")},
    **{f"whole-{format}": f"{format}: decoded, filled, encoded" for format in ("JPEG", "PNG")},
    **{f"command-{format}": f"{format}: `inpaintkit fill`" for format in ("JPEG", "PNG")},
}
"""How the tables call what runs in a process of *path*."""


def markdown(report: dict[str, Any]) -> str:
    """The report as tables a page can hold."""
    lines = [
        f"Filling large photos with {report['model']}, engine {report['engine']}, {report['rounds']} rounds"
        f" ({report['curve_rounds']} for the curves)."
        + (" A rehearsal: the numbers mean nothing." if report["quick"] else ""),
        "",
        *reports.machine_lines(report["conditions"]),
    ]
    if report["path"]:
        lines += path_table(report)
    for name, title in (("sizes", "megapixels"), ("holes", "holes")):
        if report[name]:
            lines += curve_table(report[name], title)
    if report["ceilings"]:
        lines += ceilings_table(report["ceilings"])
    if report["aims"]:
        lines += ["", "| aim | at most | measured | |", "|---|---|---|---|"]
    for aim in report["aims"]:
        met = "met" if aim["met"] else "missed"
        lines.append(f"| {aim['what']} | {aim['aim']:.1f} | {aim['measured']:.2f} | {met} |")
    return "\n".join(lines) + "\n"


def path_table(report: dict[str, Any]) -> list[str]:
    """The whole way beside its parts."""
    lines = [
        "",
        f"| {report['scale']['path_mp']} megapixels, one hole of {HOLE_PX} px | median, s | minimum, s | decode, fill, "
        "encode, s | over crop with decoding and encoding (lowest to highest round) | peak memory, MB | above the "
        "crop, decoded photos |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in PATH_TITLES.items():
        row = report["path"][name]
        parts = ", ".join(f"{row['parts_s'][part]:.2f}" if part in row["parts_s"] else "-" for part in PART_NAMES)
        ratio = photos = ""
        if "ratio" in row:
            ratio = f"{row['ratio']:.2f} ({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f})"
            photos = f"{row['above_crop_mb'] / report['decoded_mb']:.1f}"
        lines.append(
            f"| {title} | {row['median_s']:.2f} | {row['min_s']:.2f} | {parts} | {ratio} | {row['peak_mb']:.0f} | "
            f"{photos} |"
        )
    height, width = report["crop"][2:]
    sizes = [report["megabytes"][f"photo-{report['scale']['path_mp']}.{suffix}"] for suffix in ("jpg", "png")]
    return [
        *lines,
        "",
        f"The crop is {width} x {height}; the photo takes {report['decoded_mb']:.0f} MB decoded, {sizes[0]:.0f} MB as "
        f"JPEG and {sizes[1]:.0f} MB as PNG. The command also starts Python, loads the model and reads the mask.",
    ]


PART_NAMES = ("decode", "fill", "encode")


def curve_table(rows: list[dict[str, Any]], unit: str) -> list[str]:
    """One curve, and the straight line through it."""
    key = "holes" if unit == "holes" else "megapixels"
    about = (
        f"{rows[0]['megapixels']} megapixels, holes of {rows[0]['hole_px']} px"
        if unit == "holes"
        else f"one hole of {rows[0]['hole_px']} px"
    )
    lines = [
        "",
        f"| {unit} ({about}) | fill, median s | minimum | with decoding and encoding, median s | minimum |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row[key]} | {row['fill_s']:.2f} | {row['fill_min_s']:.2f} | {row['whole_s']:.2f} "
        f"| {row['whole_min_s']:.2f} |"
        for row in rows
    ]
    if len(rows) > 1:
        fill, whole = (straight_line([(row[key], row[each]) for row in rows]) for each in ("fill_s", "whole_s"))
        one = "hole" if unit == "holes" else "megapixel"
        lines += [
            "",
            f"Straight lines through the medians: the fill {fill[0]:.2f} s and {1e3 * fill[1]:.1f} ms a {one}, all "
            f"{whole[0]:.2f} s and {1e3 * whole[1]:.1f} ms a {one}.",
        ]
    return lines


def ceilings_table(rows: list[dict[str, Any]]) -> list[str]:
    """What became of every run under a ceiling."""
    lines = [
        "",
        f"| megapixels, {HUGE_SHARE:.0%} missing | `--detail` | `--memory` | outcome | seconds | peak memory, MB "
        "| holds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ceiling = row["ceiling_mb"]
        holds = "" if ceiling is None else "yes" if row["peak_mb"] <= ceiling else "no"
        lines.append(
            f"| {row['megapixels']} | {row['detail']} | {row['memory'] or 'none'} | {outcome(row)} "
            f"| {row['seconds']:.0f} | {row['peak_mb']:.0f} | {holds} |"
        )
    return lines


PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 860, 300, 56


def draw_curves(report: dict[str, Any]) -> str:
    """Both curves as an SVG picture: blue is the fill alone, orange with decoding and encoding."""
    named = (("sizes", "megapixels", "megapixels"), ("holes", "holes", f"holes in {report['scale']['holes_mp']} MP"))
    panels = [(report[name], key, title) for name, key, title in named if report[name]]
    drawn = "".join(draw_panel(*panel, PANEL_HEIGHT * number) for number, panel in enumerate(panels))
    height = PANEL_HEIGHT * len(panels) + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PANEL_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{drawn}</svg>\n'
    )


def draw_panel(rows: list[dict[str, Any]], key: str, title: str, top: int) -> str:
    """Seconds over `key`, both axes from 0."""
    right, highest = max(row[key] for row in rows), max(row["whole_s"] for row in rows)
    inner_width, inner_height, first = PANEL_WIDTH - 2 * MARGIN, PANEL_HEIGHT - 70, top + 30
    bottom = first + inner_height

    def place(row: dict[str, Any], value: str) -> tuple[float, float]:
        return MARGIN + inner_width * row[key] / right, bottom - inner_height * row[value] / highest

    drawn = [
        f'<text x="{MARGIN}" y="{top + 18}" font-weight="bold">seconds over {title}</text>',
        f'<rect x="{MARGIN}" y="{first}" width="{inner_width}" height="{inner_height}" fill="none" stroke="#bbb"/>',
        f'<text x="{MARGIN - 6}" y="{first + 6}" text-anchor="end">{highest:.3g}</text>',
        f'<text x="{MARGIN - 6}" y="{bottom}" text-anchor="end">0</text>',
    ]
    drawn += [
        f'<text x="{place(row, "fill_s")[0]:.1f}" y="{bottom + 16}" text-anchor="middle">{row[key]}</text>'
        for row in rows
    ]
    for number, (value, colour, label) in enumerate(
        (("fill_s", "#1565c0", "fill alone"), ("whole_s", "#ef6c00", "with decoding and encoding"))
    ):
        points = [place(row, value) for row in rows]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        drawn.append(f'<text x="{MARGIN + 12}" y="{first + 18 + 16 * number}" fill="{colour}">{label}</text>')
    return "".join(drawn)


# --- The command -----------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--model", default="default", help="what fills: a name, FILE.onnx, ... (default default)")
    parser.add_argument("--engine", default="auto", help="what runs it: auto, onnx, openvino or torch (default auto)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"by comma, of {', '.join(PARTS)} (default all)")
    parser.add_argument("--limit", type=float, default=100, help="seconds after which a run under a ceiling is stopped")
    parser.add_argument("--quick", action="store_true", help="a rehearsal with small photos and one round")
    parser.add_argument("--svg", type=Path, help="draw the curves here")
    reports.add_turn_options(parser, rounds=3)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given, given.svg)
    given.parts = reports.chosen(parser, given.parts, "part", PARTS)
    if not given.limit > 0:
        parser.error("--limit must be above 0")
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Make the files, run the parts and return the report; draws the curves when asked."""
    machine = turns.conditions(given.threads)  # before the first process: the load average is of others
    scale, rounds = (QUICK, 1) if given.quick else (FULL, given.rounds)
    curve_rounds = min(rounds, 2)
    with tempfile.TemporaryDirectory() as folder:
        common = {"model": given.model, "engine": given.engine, "threads": given.threads, "folder": folder}
        request = {**common, "does": "make", "scale": asdict(scale), "parts": given.parts}
        made = turns.ask(__file__, request, "makes the photos", threads=given.threads)
        print("photos are made", file=sys.stderr)
        curves = {
            name: run_curve(name, scale, common, curve_rounds) if name in given.parts else []
            for name in ("sizes", "holes")
        }
        path = run_path(scale, common, rounds) if "path" in given.parts else {}
        ceilings = run_ceilings(scale, common, given.limit) if "ceilings" in given.parts else []
    height, width = photo_shape(scale.path_mp)
    report = {
        "conditions": machine,
        "quick": given.quick,
        "scale": asdict(scale),
        "model": given.model,
        "engine": given.engine,
        "rounds": rounds,
        "curve_rounds": curve_rounds,
        "crop": made.get("crop"),
        "megabytes": made["megabytes"],
        "decoded_mb": height * width * 3 / 1e6,
        "path": path,
        **curves,
        "ceilings": ceilings,
    }
    report["aims"] = compare_with_aims(report)
    if given.svg:
        given.svg.write_text(draw_curves(report), encoding="utf-8")
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    return reports.run("full_resolution", parse(arguments), measure, markdown, serve=serve)


if __name__ == "__main__":
    raise SystemExit(main())
