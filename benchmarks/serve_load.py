"""The service under load: answers to the right requests, throughput, an end that loses nothing, time to a patch.

    python benchmarks/serve_load.py --json serve.json --markdown serve.md
    python benchmarks/serve_load.py --parts soak --soak 20
    python benchmarks/serve_load.py --quick           # few requests and a small photo: does it run?

Every part starts `inpaintkit serve` as a process of its own on a free port and asks it over HTTP.

*load*: the same requests one at a time, at a concurrency, and again one at a time (half of the plain ones before, half
after, so that a machine that slows down does so for both). Each photo has a size and a colour of its own, and the known
pixels of the answer say whose it is. Then a burst at a queue so short that some are refused; who is refused waits as
`Retry-After` says and asks again. *term*: SIGTERM in the middle of the same load; every request that was accepted must
be answered. What is not accepted gets 503, or no connection once the service is gone. *editor*: a photo of 12
megapixels with a hole of 200 pixels, from the request that carries the mask to the patch, by the editor's addresses,
beside the bare fill in a process of its own; the two take turns. *cold*: `inpaintkit fill` of a JPEG of 12 megapixels
with a hole of 300 pixels, the whole process. *soak*: load for minutes, and the service's memory at every few seconds.

Lost and mixed-up answers, a broken end and memory that grows make the exit status 1. Times are compared with the aims,
not judged. The photos of *editor* and *cold* need the extra `classical`, all of it the extra `serve` and `httpx`.
"""

import argparse
import json
import queue
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reports
import turns
from inpaintkit.errors import InpaintError

if TYPE_CHECKING:
    import httpx
    import numpy as np
    from numpy.typing import NDArray

PARTS = ("load", "term", "editor", "cold", "soak")
LEAST_PX, SIZES = 160, 24
"""Sides of the photos of *load* begin here; so many widths and as many heights."""

HOLE_SHARE = 0.25
"""Side of the hole of those photos, of the photo's."""

EDITOR_PX, COLD_PX = 200, 300
"""Side of the hole of *editor* and *cold*."""

BUSY_TRIES = 200
"""A request that was refused so often is lost."""

SAMPLE_S = 5.0
"""Between two looks at the memory of a service that is kept up."""

WARM_SHARE = 0.25
"""The first part of a soak, in which a service takes what it keeps; growth counts from there."""

GROWTH_MB = 50.0
"""More than this between the second quarter of a soak and the last is no flat memory."""

THROUGHPUT_AIM, EDITOR_AIM, COLD_AIM_S, WARM_AIM_S = 1.0, 1.3, 2.0, 0.4
"""Least ratio of photos a second; most of request-to-patch over fill; whole cold process; warm editor."""

WAIT_S = 120.0


# --- Photos that say whose they are ----------------------------------------------------------------------------------


def size_of(number: int) -> tuple[int, int]:
    """Height and width of a photo, no two alike among the first SIZES squared."""
    return LEAST_PX + number // SIZES % SIZES, LEAST_PX + number % SIZES


def colour_of(number: int) -> tuple[int, int, int]:
    """A colour of its own for each of a million photos; none is near black or white."""
    return 20 + number % 100 * 2, 20 + number // 100 % 100 * 2, 20 + number // 10_000 % 100 * 2


def hole_of(height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, height, width of the hole in the middle."""
    down, along = max(1, round(height * HOLE_SHARE)), max(1, round(width * HOLE_SHARE))
    return (height - down) // 2, (width - along) // 2, down, along


def draw(number: int) -> "NDArray[np.uint8]":
    """The photo of a number: its colour, and a step of one in every other row, which a fill must leave as it is."""
    import numpy as np

    pixels = np.full((*size_of(number), 3), colour_of(number), np.uint8)
    pixels[::2] += 1
    return pixels


def is_answer_to(number: int, content: bytes) -> bool:
    """Whether a PNG is the photo of this number outside the hole."""
    import cv2
    import numpy as np

    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    sent = draw(number)
    if found is None or found.shape != sent.shape:
        return False
    top, left, height, width = hole_of(*sent.shape[:2])
    known = np.ones(sent.shape[:2], np.bool_)
    known[top : top + height, left : left + width] = False
    return bool(np.array_equal(found[..., ::-1][known], sent[known]))


def form_of(number: int) -> dict[str, Any]:
    """A request as httpx sends it: the photo of a number, and a box for its hole."""
    import cv2

    content = cv2.imencode(".png", draw(number)[..., ::-1])[1].tobytes()
    return {
        "files": {"photo": (f"{number}.png", content, "image/png")},
        "data": {"box": ",".join(map(str, hole_of(*size_of(number))))},
    }


# --- The service and who asks it -------------------------------------------------------------------------------------


@contextmanager
def service(given: argparse.Namespace, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`inpaintkit serve` on a free port, with its model open, and its address; killed at the end."""
    command = [sys.executable, "-u", "-m", "inpaintkit", "serve", "--port", "0", "--no-open", "--model", given.model]
    command += ["--engine", given.engine, *(["--threads", str(given.threads)] if given.threads else []), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=turns.child_environment(given.threads), text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise InpaintError(f"the service did not start (it said '{line.strip()}'): see its error above")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        warm = ask(found[0], 0)
        if warm.kind != "good":
            raise InpaintError(f"the service's first answer was {warm.kind}, expected a filled photo")
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@dataclass
class Asked:
    """How one request ended: good, mixed up, lost, refused (the service was ending) or its status, and what it took."""

    number: int
    kind: str
    seconds: float = 0.0
    busy: int = 0
    hasty: int = 0
    began: float = 0.0
    ended: float = 0.0


def ask(address: str, number: int, client: "httpx.Client | None" = None) -> Asked:
    """One photo filled; refused for a full queue, it waits as it is told and asks again."""
    import httpx

    request, found = form_of(number), Asked(number, "lost", began=time.monotonic())
    begun = time.perf_counter()
    post = httpx.post if client is None else client.post
    while found.busy < BUSY_TRIES:
        try:
            answer = post(f"{address}api/v1/fill", **request, timeout=WAIT_S)
        except httpx.ConnectError:
            found.kind = "refused"
            break
        except httpx.HTTPError:
            found.kind = "lost"
            break
        if answer.status_code == 429:
            found.busy += 1
            told = answer.headers.get("Retry-After", "")
            if not told.isdigit() or int(told) < 1:
                found.hasty += 1  # a 429 that does not say when
            time.sleep(float(told) if told.isdigit() else 1.0)
            continue
        if answer.status_code == 200:
            found.kind = "good" if is_answer_to(number, answer.content) else "mixed up"
        else:
            found.kind = "refused" if answer.status_code == 503 else str(answer.status_code)
        break
    found.seconds, found.ended = time.perf_counter() - begun, time.monotonic()
    return found


@dataclass
class Result:
    """What became of many requests, `together` of them at a time."""

    together: int
    seconds: float
    asked: list[Asked] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """In numbers: answers by kind, requests a second, waits."""
        times = sorted(each.seconds for each in self.asked)
        kinds = Counter(each.kind for each in self.asked)
        return {
            "together": self.together,
            "requests": len(self.asked),
            "seconds": self.seconds,
            "a_second": kinds["good"] / self.seconds if self.seconds else 0.0,
            "median_s": statistics.median(times) if times else 0.0,
            "slowest_s": times[-1] if times else 0.0,
            "kinds": dict(kinds),
            "busy": sum(each.busy for each in self.asked),
            "busy_without_retry_after": sum(each.hasty for each in self.asked),
        }


def ask_all(address: str, numbers: Sequence[int], together: int, go_on: Callable[[], bool] = lambda: True) -> Result:
    """All photos, so many at once, by clients that keep their connection."""
    import httpx

    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)
    found: list[Asked] = []

    def work() -> None:
        with httpx.Client() as client:
            while go_on():
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                found.append(ask(address, number, client))

    begun = time.perf_counter()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Result(together, time.perf_counter() - begun, found)


# --- What is measured ------------------------------------------------------------------------------------------------


def measure_load(given: argparse.Namespace) -> dict[str, Any]:
    """Half of the plain requests, all at once, the other half; then a burst at a queue that is too short for it."""
    half = given.requests // 2
    numbers = range(given.requests)
    with service(given) as (_, address):
        first = ask_all(address, numbers[:half], 1)
        many = ask_all(address, numbers, given.together)
        second = ask_all(address, numbers[half:], 1)
    plain = Result(1, first.seconds + second.seconds, [*first.asked, *second.asked])
    with service(given, "--queue", str(max(1, given.together // 4))) as (_, address):
        burst = ask_all(address, range(max(given.together, given.requests // 4)), given.together)
    rows = {"one at a time": plain.facts(), "together": many.facts(), "short queue": burst.facts()}
    return {"rows": rows, "ratio": rows["together"]["a_second"] / max(rows["one at a time"]["a_second"], 1e-9)}


def measure_term(given: argparse.Namespace) -> dict[str, Any]:
    """SIGTERM once a third of the requests are answered."""
    import httpx

    with service(given) as (process, address):
        results: list[Result] = []
        loader = threading.Thread(
            target=lambda: results.append(
                ask_all(address, range(given.requests), given.together, lambda: alive(process))
            )
        )
        loader.start()
        time.sleep(given.term_after)
        waiting = httpx.get(f"{address}healthz", timeout=WAIT_S).json()["queue"]
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status: int | None = process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            status = None
        ended = time.monotonic()
        loader.join(WAIT_S)
    for each in results[0].asked:
        if each.kind == "lost" and each.began > told:
            each.kind = "refused"  # sent when nothing was accepted any more, on a connection that was just closed
    facts = results[0].facts()
    late = [each for each in results[0].asked if each.kind == "good" and each.ended > told]
    return {**facts, "queue_then": waiting, "answered_after": len(late), "status": status, "end_s": ended - told}


def alive(process: "subprocess.Popen[str]") -> bool:
    """Whether a process is still there."""
    return process.poll() is None


def measure_editor(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Rounds of the bare fill and of the whole way through the editor's addresses, in turns."""
    import httpx

    photo, mask = folder / "photo.jpg", folder / f"mask-{EDITOR_PX}.png"
    spec = {"does": "bare", "photo": str(photo), "mask": str(mask)}
    spec |= {name: getattr(given, name) for name in ("model", "engine", "threads")}
    times = []
    with turns.start(__file__, "bare fill", spec, threads=given.threads) as worker:
        worker.wait_ready()
        with service(given) as (_, address), httpx.Client(base_url=address, timeout=WAIT_S) as client:
            opened = client.post("api/v1/photos", files={"photo": photo.read_bytes()}).raise_for_status().json()
            window, place = cut_mask(mask)
            to_patch(client, opened["photo"], window, place)
            for _ in range(given.rounds):
                time.sleep(turns.PAUSE_S)
                worker.turn(1)
                time.sleep(turns.PAUSE_S)
                to_patch(client, opened["photo"], window, place)  # not timed, as in the worker's turn
                times.append(to_patch(client, opened["photo"], window, place))
        bare = [turn[0] for turn in worker.rounds]
    whole = [each["seconds"] for each in times]
    ratios = [one / other for one, other in zip(whole, bare, strict=True)]
    return {
        "megapixels": given.megapixels,
        "hole_px": EDITOR_PX,
        "bare_s": statistics.median(bare),
        "whole_s": statistics.median(whole),
        "told_s": statistics.median(each["told"] for each in times),
        "inside_s": statistics.median(each["inside"] for each in times),
        "ratio": statistics.median(ratios),
        "rounds": {"bare": bare, "whole": times},
    }


def cut_mask(path: Path) -> tuple[bytes, tuple[int, int]]:
    """The window of a mask that has something in it, as a PNG, and its top and left: what the editor sends."""
    import cv2
    import numpy as np

    mask = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cv2.imencode(".png", part)[1].tobytes(), (int(rows[0]), int(columns[0]))


def to_patch(client: "httpx.Client", photo: str, mask: bytes, place: tuple[int, int]) -> dict[str, float]:
    """Seconds from sending a mask to having the patch; to the news that it is done; and what the fill says it took."""
    begun = time.perf_counter()
    base = f"api/v1/photos/{photo}"
    data = {"top": str(place[0]), "left": str(place[1]), "version": "0"}
    job = client.post(f"{base}/fills", files={"mask": ("m.png", mask)}, data=data).raise_for_status().json()
    done: dict[str, Any] = {}
    with client.stream("GET", job["events"]) as events:
        for line in events.iter_lines():
            if line.startswith("data: "):
                done = json.loads(line.removeprefix("data: "))
    if "version" not in done:
        raise InpaintError(f"the editor's fill ended with {json.dumps(done)[:200]}, expected a new version")
    told = time.perf_counter() - begun
    client.get(f"{base}/versions/{done['version']}/patch").raise_for_status()
    return {"seconds": time.perf_counter() - begun, "told": told, "inside": done["seconds"]}


def measure_cold(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """`inpaintkit fill` from start to end, as often as there are rounds after one that is not timed."""
    command = [sys.executable, "-m", "inpaintkit", "fill", str(folder / "photo.jpg")]
    command += ["--mask", str(folder / f"mask-{COLD_PX}.png"), "-o", str(folder / "filled.jpg"), "--quiet", "--force"]
    command += ["--model", given.model, "--engine", given.engine]
    command += ["--threads", str(given.threads)] if given.threads else []
    seconds = []
    for _ in range(given.rounds + 1):
        begun = time.perf_counter()
        done = subprocess.run(command, env=turns.child_environment(given.threads), stdout=subprocess.PIPE, check=False)
        seconds.append(time.perf_counter() - begun)
        if done.returncode:
            raise InpaintError(f"inpaintkit fill ended with status {done.returncode}: see its error above")
    return {
        "megapixels": given.megapixels,
        "hole_px": COLD_PX,
        "median_s": statistics.median(seconds[1:]),
        "first_s": seconds[0],
        "seconds": seconds[1:],
    }


def measure_soak(given: argparse.Namespace) -> dict[str, Any]:
    """Fills, and photos opened, filled and closed in the editor, until the time is over; the memory's course."""
    import httpx

    end = time.monotonic() + 60 * given.soak
    course: list[tuple[float, float]] = []
    with service(given) as (process, address):
        begun = time.monotonic()

        def watch() -> None:
            while time.monotonic() < end and alive(process):
                course.append((time.monotonic() - begun, megabytes_of(process.pid)))
                time.sleep(min(SAMPLE_S, 60 * given.soak / 40))

        def edit() -> None:
            number = 0
            with httpx.Client(base_url=address, timeout=WAIT_S) as client:
                while time.monotonic() < end:
                    edited.append(edit_once(client, number))
                    number += 1

        edited: list[str] = []
        others = [threading.Thread(target=watch, daemon=True), threading.Thread(target=edit, daemon=True)]
        for thread in others:
            thread.start()
        kinds: Counter[str] = Counter()
        while time.monotonic() < end:
            numbers = range(given.requests)
            result = ask_all(address, numbers, given.together, lambda: time.monotonic() < end)
            kinds.update(each.kind for each in result.asked)
        for thread in others:
            thread.join(WAIT_S)
    kinds.update(edited)
    return {"minutes": given.soak, "kinds": dict(kinds), "course": course, **growth(course)}


def edit_once(client: "httpx.Client", number: int) -> str:
    """A photo opened in the editor, filled, looked at and closed: good, busy or lost."""
    form = form_of(number)
    try:
        photo = client.post("api/v1/photos", files=form["files"]).raise_for_status().json()["photo"]
        top, left, height, width = hole_of(*size_of(number))
        to_patch(client, photo, white_png(height, width), (top, left))
        client.get(f"api/v1/photos/{photo}/versions/1/file").raise_for_status()
        client.delete(f"api/v1/photos/{photo}").raise_for_status()
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        return "busy" if status == 429 else "lost"
    return "good"


def white_png(height: int, width: int) -> bytes:
    """A mask of a window in which everything is missing."""
    import cv2
    import numpy as np

    return cv2.imencode(".png", np.full((height, width), 255, np.uint8))[1].tobytes()


def megabytes_of(pid: int) -> float:
    """What another process holds now, in 10^6 bytes. Raises InpaintError where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        return float(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024 / 1e6  # type: ignore[index]
    except (OSError, TypeError) as error:
        raise InpaintError("the memory of another process is not to be had here: leave --soak out") from error


def growth(course: Sequence[tuple[float, float]]) -> dict[str, float]:
    """What a service holds in the second quarter of the time and in the last, its most, and a slope a minute since."""
    if len(course) < 4:
        raise InpaintError(
            f"the memory was looked at {len(course)} times, expected 4 or more: keep the service up longer"
        )
    whole = course[-1][0]
    settled = [(at, held) for at, held in course if at >= WARM_SHARE * whole]
    early = [held for at, held in settled if at < 2 * WARM_SHARE * whole] or [settled[0][1]]
    late = [held for at, held in settled if at >= (1 - WARM_SHARE) * whole]
    middle = statistics.fmean(at for at, _ in settled)
    spread = sum((at - middle) ** 2 for at, _ in settled)
    slope = sum((at - middle) * held for at, held in settled) / spread if spread else 0.0
    return {
        "first_mb": course[0][1],
        "early_mb": statistics.median(early),
        "late_mb": statistics.median(late),
        "most_mb": max(held for _, held in course),
        "mb_a_minute": 60 * slope,
    }


# --- The measured processes' side ------------------------------------------------------------------------------------


def make_files(spec: dict[str, Any]) -> None:
    """A large photo as JPEG, and a mask for each hole's size, in a folder."""
    import cv2
    import numpy as np

    import full_resolution

    folder = Path(spec["folder"])
    height, width = full_resolution.photo_shape(spec["megapixels"])
    pixels = full_resolution.draw_photo(height, width)
    content = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    (folder / "photo.jpg").write_bytes(content.tobytes())
    for side in (EDITOR_PX, COLD_PX):
        mask = full_resolution.draw_holes(height, width, 1, side)
        (folder / f"mask-{side}.png").write_bytes(cv2.imencode(".png", np.uint8(255) * mask)[1].tobytes())
    turns.answering()(made=True)


def fill_barely(spec: dict[str, Any]) -> None:
    """The fill alone, of a photo and a mask that are in memory."""
    answer = turns.answering()
    from inpaintkit import Inpainter
    from inpaintkit.masks import read_mask
    from inpaintkit.photo import read_photo

    inpainter = Inpainter(spec["model"], engine=spec["engine"], threads=spec["threads"])
    photo = read_photo(Path(spec["photo"]))
    mask = read_mask(Path(spec["mask"]), photo.size)

    def call() -> None:
        inpainter.fill_photo(photo, mask)

    call()
    answer(before_mb=turns.peak_megabytes())
    turns.answer_turns(answer, call)


def serve(spec: dict[str, Any]) -> None:
    """A process that this script started."""
    {"make": make_files, "bare": fill_barely}[spec["does"]](spec)


# --- The report ------------------------------------------------------------------------------------------------------


def fault(report: dict[str, Any]) -> str:
    """What must not be and was, "" for nothing."""
    found = []
    for name, row in report["load"].get("rows", {}).items():
        wrong = {kind: count for kind, count in row["kinds"].items() if kind != "good"}
        found += [f"{name}: {count} answers {kind}" for kind, count in wrong.items()]
        if row["busy_without_retry_after"]:
            found.append(f"{name}: {row['busy_without_retry_after']} times 429 without Retry-After")
    if report["load"] and not report["load"]["rows"]["short queue"]["busy"]:
        found.append("short queue: nobody was refused, so that limits were not tried: ask for more at once")
    if term := report["term"]:
        wrong = {kind: count for kind, count in term["kinds"].items() if kind not in ("good", "refused")}
        found += [f"SIGTERM: {count} answers {kind}" for kind, count in wrong.items()]
        if term["status"] != 0:
            found.append(f"SIGTERM: the service ended with status {term['status']}")
        if not term["answered_after"]:
            found.append("SIGTERM: nothing was under way, so that nothing was tried: choose an earlier --term-after")
    if soak := report["soak"]:
        wrong = {kind: count for kind, count in soak["kinds"].items() if kind not in ("good", "busy")}
        found += [f"soak: {count} answers {kind}" for kind, count in wrong.items()]
        if soak["late_mb"] - soak["early_mb"] > GROWTH_MB:
            found.append(f"soak: memory grew from {soak['early_mb']:.0f} to {soak['late_mb']:.0f} MB")
    return "; ".join(found)


def compare_with_aims(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured beside what was aimed at."""
    rows: list[tuple[str, float, float, bool]] = []
    if load := report["load"]:
        ratio = load["ratio"]
        rows.append(("throughput together over one at a time", THROUGHPUT_AIM, ratio, ratio >= THROUGHPUT_AIM))
    if editor := report["editor"]:
        rows.append(("request to patch over bare fill", EDITOR_AIM, editor["ratio"], editor["ratio"] <= EDITOR_AIM))
        rows.append(("warm editor, s", WARM_AIM_S, editor["whole_s"], editor["whole_s"] <= WARM_AIM_S))
    if cold := report["cold"]:
        rows.append(("cold fill, whole process, s", COLD_AIM_S, cold["median_s"], cold["median_s"] <= COLD_AIM_S))
    return [dict(zip(("what", "aim", "measured", "met"), row, strict=True)) for row in rows]


def markdown(report: dict[str, Any]) -> str:
    """The tables."""
    lines = [f"## The service under load, model {report['model']}", ""]
    lines += [*reports.machine_lines(report["conditions"]), ""]
    if report["quick"]:
        lines += ["A rehearsal: the numbers mean nothing.", ""]
    lines += load_table(report["load"]) if report["load"] else []
    if term := report["term"]:
        lines += [
            f"SIGTERM with {term['queue_then']} fills waiting: {kinds_text(term['kinds'])}; {term['answered_after']} "
            f"were answered after it, status {term['status']}, over in {term['end_s']:.1f} s.",
            "",
        ]
    if editor := report["editor"]:
        lines += [
            f"{editor['megapixels']} megapixels, a hole of {editor['hole_px']} pixels, medians:",
            "",
            "| bare fill, s | request to patch, s | to the news, s | fill as the service says, s | ratio |",
            "|---|---|---|---|---|",
            f"| {editor['bare_s']:.3f} | {editor['whole_s']:.3f} | {editor['told_s']:.3f} | {editor['inside_s']:.3f} | "
            f"{editor['ratio']:.2f} |",
            "",
        ]
    if cold := report["cold"]:
        lines += [
            f"`inpaintkit fill`, {cold['megapixels']} megapixels, a hole of {cold['hole_px']} pixels, the whole "
            f"process: {cold['median_s']:.2f} s (the first one {cold['first_s']:.2f} s).",
            "",
        ]
    lines += soak_table(report["soak"]) if report["soak"] else []
    if report["aims"]:
        lines += ["| aim | | measured | met |", "|---|---|---|---|"]
        for row in report["aims"]:
            lines.append(
                f"| {row['what']} | {row['aim']:g} | {row['measured']:.2f} | {'yes' if row['met'] else 'no'} |"
            )
        lines.append("")
    return "\n".join(lines)


def load_table(load: dict[str, Any]) -> list[str]:
    """One row for each way to ask."""
    lines = ["| | at once | requests | a second | median, s | slowest, s | answers | 429 |", "|---|" + "---|" * 7]
    for name, row in load["rows"].items():
        lines.append(
            f"| {name} | {row['together']} | {row['requests']} | {row['a_second']:.2f} | {row['median_s']:.3f} | "
            f"{row['slowest_s']:.3f} | {kinds_text(row['kinds'])} | {row['busy']} |"
        )
    return [*lines, ""]


def soak_table(soak: dict[str, Any]) -> list[str]:
    """The memory's course, twelve moments of it."""
    course = soak["course"]
    chosen = [course[round(number * (len(course) - 1) / 11)] for number in range(12)]
    return [
        f"{soak['minutes']:g} minutes: {kinds_text(soak['kinds'])}. {soak['early_mb']:.0f} MB in the second quarter, "
        f"{soak['late_mb']:.0f} MB in the last, {soak['mb_a_minute']:+.2f} MB a minute between.",
        "",
        "| minute | " + " | ".join(f"{at / 60:.1f}" for at, _ in chosen) + " |",
        "|---|" + "---|" * len(chosen),
        "| MB | " + " | ".join(f"{held:.0f}" for _, held in chosen) + " |",
        "",
    ]


def kinds_text(kinds: dict[str, int]) -> str:
    """Answers by kind, in words."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


# --- The command -----------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = reports.option_parser(__doc__)
    parser.add_argument("--model", default="default", help="what fills (default default)")
    parser.add_argument("--engine", default="auto", help="what runs it: auto, onnx, openvino or torch (default auto)")
    parser.add_argument("--parts", help=f"by comma, of {', '.join(PARTS)} (default all; soak only with --soak)")
    parser.add_argument("--requests", type=int, default=200, help="photos that are filled (default 200)")
    parser.add_argument("--together", type=int, default=16, help="of them at once (default 16)")
    parser.add_argument("--term-after", type=float, default=2.0, help="seconds of load before SIGTERM (default 2)")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help="keep the service up under load")
    parser.add_argument("--megapixels", type=int, default=12, help="of the photo of editor and cold (default 12)")
    parser.add_argument("--quick", action="store_true", help="a rehearsal: few requests, a small photo, one round")
    reports.add_turn_options(parser, rounds=7)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    usual = ",".join(part for part in PARTS if part != "soak" or given.soak)
    given.parts = reports.chosen(parser, given.parts or usual, "part", PARTS)
    if given.quick:
        given.requests, given.megapixels, given.rounds = min(given.requests, 32), min(given.megapixels, 2), 1
        given.term_after = min(given.term_after, 0.5)
    if given.requests < 2 or not 1 <= given.together <= 64 or given.megapixels < 1 or given.term_after <= 0:
        parser.error("--requests must be 2 or more, --together 1 to 64, --megapixels 1 or more, --term-after above 0")
    if not given.soak >= 0 or ("soak" in given.parts) != (given.soak > 0):
        parser.error("--soak must be above 0 minutes where the part soak is asked for, and only there")
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run the parts, in a folder that is removed afterwards."""
    report: dict[str, Any] = {"conditions": turns.conditions(given.threads), **{part: {} for part in PARTS}}
    report |= {name: getattr(given, name) for name in ("model", "engine", "requests", "together", "rounds", "quick")}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if {"editor", "cold"} & set(given.parts):
            spec = {"does": "make", "folder": name, "megapixels": given.megapixels}
            turns.ask(__file__, spec, "makes the photo", threads=given.threads)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "load": lambda: measure_load(given),
            "term": lambda: measure_term(given),
            "editor": lambda: measure_editor(given, folder),
            "cold": lambda: measure_cold(given, folder),
            "soak": lambda: measure_soak(given),
        }
        for part in given.parts:
            report[part] = parts[part]()
            print(f"{part} is done", file=sys.stderr)
    report["aims"] = compare_with_aims(report)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write what was asked for; returns the exit status."""
    return reports.run("serve_load", parse(arguments), measure, markdown, serve=serve, fault=fault)


if __name__ == "__main__":
    raise SystemExit(main())
