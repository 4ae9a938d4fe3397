"""What a fill costs: seconds and memory of every method, in a process of its own, one method after the other.

A process opens its method, fills every photo once and writes down how long that took; the first fill at each size is
not counted, since runtimes prepare themselves for it. Memory is the most that the process held in the machine's own
memory from the opening of the method to the last fill (its resident high-water mark, in 10^6 bytes), and how much that
is above what it held before, when only Python, this package and the photos were there. On Linux the mark is VmHWM: the
other one that the system keeps begins at the parent's. On macOS it is `ru_maxrss`; on Windows memory is not measured.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InpaintError, ModelError
from .methods import Fill, Hole, Method, Pixels, open_method
from .threads import THREAD_VARIABLES, usable_cores

if TYPE_CHECKING:
    from .cases import Case

MOST_PHOTOS = 20
"""Photos that a method is timed on."""

PATIENCE_S = 120.0
"""A method that has been filling for so long is given no further photo; its row says how many there were."""

SILENCE_S = 600.0
"""A process that neither opens its method nor fills a photo in this time is ended, and its row says so."""

QUARTILES = (25, 50, 75)

START = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = json.loads(sys.stdin.readline())
from inpaintkit.evaluation.cost import serve
serve()
"""
"""What a measured process runs. Ctrl-C reaches all processes of a terminal; this one's parent decides what it means."""


class Numbered(Protocol):
    """Cases by number, each read when it is asked for, which may raise InpaintError: `Cases`, or any sequence."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> "Case": ...


def measure_costs(
    methods: Sequence[Method],
    cases: Numbered,
    *,
    threads: int | None = None,
    progress: Callable[[float], object] | None = None,
) -> list[dict[str, Any]]:
    """One row per method, in order, from at most `MOST_PHOTOS` cases, evenly over all; no other one is read.

    Those of them that cannot be read are left out.

    Keys: `label`; `seconds_median` per fill with `seconds_low` and `seconds_high`, between which the middle half of the
    photos lies; `photos` that were timed; `seconds_to_open` the method, libraries included; `peak_mb` and
    `peak_above_idle_mb`; `parameters` and `macs` (see complexity.py; None for classical methods, and where `uncounted`
    says why); `threads`, of every library (default: the usable cores); `error`, one line or None. A method that fails
    on every photo, ends its process or hangs has an error and None everywhere else, and the next one is measured.

    `progress` is told the share that is done. However the call ends, no process of it is left.
    """
    count = threads or usable_cores()
    chosen = []
    for number in _spread(len(cases)):
        with suppress(InpaintError):
            chosen.append(cases[number])
    tell = progress or (lambda share: None)
    rows = []
    with tempfile.TemporaryDirectory(prefix="inpaintkit-costs-", ignore_cleanup_errors=True) as folder:
        pictures = Path(folder) / "cases.npz"
        arrays: dict[str, Any] = {f"shown_{number}": case.shown for number, case in enumerate(chosen)}
        arrays |= {f"hole_{number}": case.hole for number, case in enumerate(chosen)}
        np.savez(pictures, **arrays)
        for number, method in enumerate(methods):
            row = _row_of(method, count)
            if not chosen:
                row["error"] = "there are no photos to measure on" + (": none can be read" if len(cases) else "")
            else:
                with closing(_messages(method, pictures, count)) as messages:
                    for message in messages:
                        row.update({key: value for key, value in message.items() if key in row})
                        if "filled" in message:
                            tell((number + message["filled"] / len(chosen)) / len(methods))
            rows.append(row)
            tell((number + 1) / len(methods))
    return rows


def _spread(count: int) -> list[int]:
    """At most `MOST_PHOTOS` of so many numbers, evenly, the first and the last among them."""
    if count <= MOST_PHOTOS:
        return list(range(count))
    return [round(number * (count - 1) / (MOST_PHOTOS - 1)) for number in range(MOST_PHOTOS)]


def _row_of(method: Method, threads: int) -> dict[str, Any]:
    """A method's row before anything is known."""
    names = ("seconds_median", "seconds_low", "seconds_high", "photos", "seconds_to_open", "peak_mb")
    more = ("peak_above_idle_mb", "parameters", "macs", "uncounted")
    return {"label": method.label, **dict.fromkeys((*names, *more)), "threads": threads, "error": None}


# --- The parent's side -----------------------------------------------------------------------------------------------


def _messages(method: Method, pictures: Path, threads: int) -> Generator[dict[str, Any], None, None]:
    """What a method's process says, to its end: `filled` (photos so far), parts of its row, or why it ended early."""
    measured = False
    log = pictures.with_name("log.txt")
    with log.open("wb") as errors, _process(threads, errors) as process:
        spec = {"method": asdict(method), "pictures": str(pictures), "threads": threads}
        with suppress(OSError):  # it has ended already, and its silence tells of it
            assert process.stdin is not None
            process.stdin.write(f"{json.dumps(sys.path)}\n{json.dumps(spec)}\n".encode())
            process.stdin.flush()
        try:
            for message in _listen(process):
                measured |= "seconds_median" in message
                yield message
                if "error" in message or "uncounted" in message:
                    return
            why = _why_it_ended(process, log)
        except TimeoutError:
            why = f"no answer for {SILENCE_S:.0f} s: its process was ended"
        yield {"uncounted": why} if measured else {"error": why}


@contextmanager
def _process(threads: int, errors: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A fresh Python, which does not outlive the block."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    process = subprocess.Popen(
        _command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()


def _command() -> list[str]:
    return [sys.executable, "-c", START]


def _listen(process: "subprocess.Popen[bytes]") -> Iterator[dict[str, Any]]:
    """What the process says, to its end. Raises TimeoutError when it has said nothing for `SILENCE_S`."""
    said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def pass_on() -> None:
        assert process.stdout is not None
        with suppress(OSError, ValueError):
            for line in process.stdout:
                said.put(line)
        said.put(None)

    threading.Thread(target=pass_on, daemon=True).start()
    heard = time.monotonic()
    while True:
        try:
            line = said.get(timeout=0.5)  # in short waits: where a long one cannot be interrupted, Ctrl-C would wait
        except queue.Empty:
            if time.monotonic() - heard > SILENCE_S:
                raise TimeoutError from None
            continue
        if line is None:
            return
        heard = time.monotonic()
        with suppress(ValueError):  # something printed before the process got to say anything
            yield json.loads(line)


def _why_it_ended(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """The error of a process that ended before it said everything, with the last line that it printed."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    status = process.poll()
    if status is None:
        how = "stopped to answer"
    elif status < 0:
        name = signal.Signals(-status).name
        how = f"was ended by {name}" + (", perhaps because memory ran out" if name == "SIGKILL" else "")
    else:
        how = f"ended with exit status {status}"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
    return f"its process {how}" + (f" ({last})" if last else "")


# --- The measured process's side -------------------------------------------------------------------------------------


def serve() -> None:
    """What a measured process does: measure the method that standard input names, say how it goes, and end.

    It also ends when nobody listens any more. What libraries print goes to standard error.
    """
    spec = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    method = Method(**spec["method"])
    try:
        with np.load(spec["pictures"]) as stored:
            count = len(stored.files) // 2
            pictures = [(stored[f"shown_{number}"], stored[f"hole_{number}"]) for number in range(count)]
        say(**_measured(method, pictures, spec["threads"], say))
        say(**_counted(method, pictures))
    except MemoryError:
        say(error="memory ran out")
    except Exception as error:  # a method may be anybody's
        say(error=_one_line(error))
    answers.flush()
    os._exit(0)  # a library's threads may take their time, or crash, at an ordinary exit


def _end_with_parent() -> None:
    with suppress(OSError, ValueError):
        sys.stdin.read()
    os._exit(1)


def _measured(
    method: Method, pictures: Sequence[tuple[Pixels, Hole]], threads: int, say: Callable[..., None]
) -> dict[str, Any]:
    """Seconds and memory of one method. Raises its error where it fails on every photo."""
    idle = _held_megabytes()
    started = time.perf_counter()
    fill = open_method(method, threads=threads)
    opened = time.perf_counter() - started
    say(filled=0)
    seconds = _fill_seconds(fill, pictures, lambda filled: say(filled=filled))
    peak = _peak_megabytes()
    low, median, high = np.percentile(seconds, QUARTILES)
    return {
        "seconds_median": round(float(median), 6),
        "seconds_low": round(float(low), 6),
        "seconds_high": round(float(high), 6),
        "photos": len(seconds),
        "seconds_to_open": round(opened, 6),
        "peak_mb": None if peak is None else round(peak, 1),
        "peak_above_idle_mb": None if peak is None or idle is None else round(max(peak - idle, 0.0), 1),
    }


def _fill_seconds(fill: Fill, pictures: Sequence[tuple[Pixels, Hole]], filled: Callable[[int], None]) -> list[float]:
    """Seconds of every fill that succeeds, warmed up for each size. Raises ModelError when none does."""
    seconds: list[float] = []
    sizes: set[tuple[int, ...]] = set()
    failed = "it was given no photo"
    began = time.perf_counter()
    for number, (shown, hole) in enumerate(pictures):
        if seconds and time.perf_counter() - began > PATIENCE_S:
            break
        try:
            if shown.shape not in sizes:
                fill(shown, hole)
                sizes.add(shown.shape)
                filled(number)
            started = time.perf_counter()
            fill(shown, hole)
            seconds.append(time.perf_counter() - started)
        except MemoryError:
            raise
        except Exception as error:
            failed = _one_line(error)
        filled(number + 1)
    if not seconds:
        raise ModelError(failed)
    return seconds


def _counted(method: Method, pictures: Sequence[tuple[Pixels, Hole]]) -> dict[str, Any]:
    """Parameters and MACs, counted when memory has been measured already."""
    from .complexity import complexity

    sizes = {shown.shape[:2] for shown, _ in pictures}
    try:
        found = complexity(method, *max(sizes))
    except ModuleNotFoundError as error:
        return {"uncounted": f"counting needs the package '{error.name}': pip install 'inpaintkit[train]'"}
    except Exception as error:
        return {"uncounted": _one_line(error)}
    if found is None:
        return {"uncounted": None}
    macs, why = found.macs, found.why
    if macs is not None and len(sizes) > 1:
        macs, why = None, "multiply-accumulates: the photos differ in size"
    return {"parameters": found.parameters, "macs": macs, "uncounted": why}


def _one_line(error: Exception) -> str:
    told = " ".join(str(error).split())[:500]
    return told if isinstance(error, InpaintError) and told else f"{type(error).__name__}: {told}".removesuffix(": ")


def _held_megabytes() -> float | None:
    """What this process holds now, in 10^6 bytes; the most that it held begins anew, where that can be asked for.

    Where only the most is known, that; None where nothing is.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _linux_megabytes("VmRSS")
    return _peak_megabytes()


def _peak_megabytes() -> float | None:
    """The most that this process held since `_held_megabytes`, in 10^6 bytes; None where the system does not tell."""
    if sys.platform == "linux":
        return _linux_megabytes("VmHWM")
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _linux_megabytes(name: str) -> float | None:
    """A field of the process's status. None where the system leaves it out."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return float(line.split()[1]) * 1024 / 1e6
    return None
