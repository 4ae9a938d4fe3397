"""Variants that take turns: one process each, all open at once and timed a turn at a time (A B C, C B A, ...).

A machine that slows down then slows all of them, and the median over the rounds of two variants' times in the same
round says how they compare. A script of this folder starts itself again for every variant, with `--worker SPEC`; that
process gets ready, answers with what it wants to say once, and then times as many calls as each line of its standard
input asks for.

This module imports neither NumPy nor PyTorch: where the system counts a process's most memory from its start, a child
begins with its parent's.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from inpaintkit.errors import InpaintError

PAUSE_S = 0.2
"""Rest between two turns: a runtime's threads go on spinning for a moment after their work."""

TUNING_VARIABLES = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "THP_MEM_ALLOC_ENABLE", "OMP_", "MKL_", "KMP_", "GOMP_")
"""Environment variables that would change the default settings; the measured processes do not inherit them."""

PACKAGES = ("inpaintkit", "numpy", "opencv-python-headless", "onnxruntime", "openvino", "torch")
"""What the conditions of a measurement name the versions of."""


# --- The parent's side -----------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """A process that runs one variant, and what it has measured: one list of seconds per round.

    `parts` beside them holds what the timed calls returned, where that is the seconds of their parts by name.
    """

    variant: str
    process: subprocess.Popen[str]
    ready: dict[str, Any] = field(default_factory=dict)
    rounds: list[list[float]] = field(default_factory=list)
    parts: list[list[dict[str, float]]] = field(default_factory=list)
    peak_mb: float = 0.0

    def wait_ready(self) -> None:
        """Wait until the variant has run once. Raises InpaintError."""
        self.ready = self._answer()

    def turn(self, calls: int) -> None:
        """One round's timed calls. Raises InpaintError."""
        assert self.process.stdin is not None
        print(json.dumps(calls), file=self.process.stdin, flush=True)
        answer = self._answer()
        self.rounds.append(answer["seconds"])
        self.parts.append(answer["parts"])
        self.peak_mb = answer["peak_mb"]

    def _answer(self) -> dict[str, Any]:
        stream: IO[str] | None = self.process.stdout
        assert stream is not None
        line = stream.readline()
        if not line:
            raise InpaintError(f"the process of variant '{self.variant}' ended early: see its error above")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it end; a process that does not is ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
            self.process.wait(timeout=1 if kind else 30)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def child_environment(threads: int | None) -> dict[str, str]:
    """The environment of the measured processes: default settings, the processor only."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(TUNING_VARIABLES)}
    kept["CUDA_VISIBLE_DEVICES"] = ""
    return kept if threads is None else {**kept, "OMP_NUM_THREADS": str(threads)}


def command(script: str | Path, spec: Mapping[str, Any]) -> list[str]:
    """What starts a process of a script that does what `spec` says."""
    return [sys.executable, str(Path(script).resolve()), "--worker", json.dumps(spec)]


def start(
    script: str | Path,
    variant: str,
    spec: Mapping[str, Any],
    *,
    threads: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Worker:
    """A new process of `script` for one variant; `environment` is added to that of all."""
    process = subprocess.Popen(
        command(script, spec),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**child_environment(threads), **(environment or {})},
        text=True,
        encoding="utf-8",
    )
    return Worker(variant, process)


def ask(script: str | Path, spec: Mapping[str, Any], what: str, *, threads: int | None = None) -> Any:
    """The one answer of a process of `script` that takes no turns. `what` it does is for the error, InpaintError."""
    done = subprocess.run(command(script, spec), stdout=subprocess.PIPE, env=child_environment(threads), check=False)
    if done.returncode:
        raise InpaintError(f"the process that {what} ended early: see its error above")
    return json.loads(done.stdout)


@contextmanager
def all_ready(workers: Iterable[Worker]) -> Iterator[list[Worker]]:
    """The workers, all open and ready. Give a generator that starts them: loading must not disturb loading."""
    with ExitStack() as stack:
        ready = []
        for worker in workers:
            stack.enter_context(worker)
            worker.wait_ready()
            ready.append(worker)
        yield ready


def take_turns(title: str, workers: Sequence[Worker], rounds: int, calls: int | Callable[[Worker], int]) -> None:
    """Rounds of one turn of every worker, forward and backward. `calls`: how many of them are timed in a turn."""
    for number in range(rounds):
        for worker in workers if number % 2 == 0 else reversed(workers):
            time.sleep(PAUSE_S)
            worker.turn(calls if isinstance(calls, int) else calls(worker))
    print(f"{title}: {rounds} rounds done", file=sys.stderr)


# --- The measured process's side -------------------------------------------------------------------------------------


def answering() -> Callable[..., None]:
    """How this process answers its parent: call it once, first, and the result with every answer's facts by name.

    What libraries print must not get between the answers, and goes to standard error from now on.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    return answer


def answer_turns(
    answer: Callable[..., None],
    call: Callable[[], Any],
    *,
    untimed: int = 1,
    parts: bool = False,
    children: bool = False,
) -> None:
    """Time calls as the parent asks for them, to its end; each turn begins with some that are not timed.

    `parts`: calls return the seconds of their parts by name. `children`: the memory is that of processes they start.
    """
    for line in sys.stdin:
        for _ in range(untimed):
            call()
        seconds, found = [], []
        for _ in range(json.loads(line)):
            started = time.perf_counter()
            returned = call()
            seconds.append(time.perf_counter() - started)
            found += [returned] if parts else []
        answer(seconds=seconds, parts=found, peak_mb=peak_of_children() if children else peak_megabytes())


def median_seconds(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The call's last result, and its median duration."""
    result, seconds = None, []
    for _ in range(repeats):
        started = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - started)
    return result, statistics.median(seconds)


def peak_megabytes() -> float:
    """The most memory this process ever held (or held since `held_megabytes`), in 10^6 bytes.

    On Linux VmHWM, which does not begin at the parent's; elsewhere what the system counts.
    """
    try:
        return _process_megabytes("VmHWM")
    except (OSError, StopIteration):
        import resource

        return _counted_megabytes(resource.RUSAGE_SELF)


def peak_of_children() -> float:
    """The most that any process held that this one started and waited for, in 10^6 bytes."""
    import resource

    return _counted_megabytes(resource.RUSAGE_CHILDREN)


def _counted_megabytes(whose: int) -> float:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(whose).ru_maxrss * unit / 1e6


def held_megabytes() -> float:
    """What this process holds now, in 10^6 bytes, freed memory given back; where only the most is known, that."""
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the most held begins anew
        return _process_megabytes("VmRSS")
    except (OSError, AttributeError, StopIteration):
        return peak_megabytes()


def _process_megabytes(field_name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{field_name}:")) * 1024 / 1e6


# --- Conditions and arithmetic ---------------------------------------------------------------------------------------


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Python's version and those of the packages that are installed, none of them loaded."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def conditions(threads: int | None) -> dict[str, Any]:
    """The machine and the versions, as far as they are known without loading anything.

    Call it before the first process: the load average is meant to be of others.
    """
    processor, flags = _processor()
    return {
        "processor": processor,
        "bfloat16_instructions": bool(flags & {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}) if flags else None,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads or "defaults",
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver()).strip()}",
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "versions": versions(),
    }


def _processor() -> tuple[str, set[str]]:
    """The processor's name and its instruction sets, where Linux tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), set()
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags") or facts.get("Features") or ""
    return facts.get("model name") or platform.machine(), set(flags.split())


def paired_ratios(rounds: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> list[float]:
    """One ratio of medians per round of two variants that took turns."""
    return [statistics.median(a) / statistics.median(b) for a, b in zip(rounds, reference, strict=True)]


def summarise(worker: Worker, reference: Worker) -> dict[str, Any]:
    """Medians, minima, memory and ratios of one variant."""
    seconds = [each for turn in worker.rounds for each in turn]
    theirs = [each for turn in reference.rounds for each in turn]
    ratios = paired_ratios(worker.rounds, reference.rounds)
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "calls": len(seconds),
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "ratio_of_minima": min(seconds) / min(theirs),
        "peak_mb": worker.peak_mb,
        "before_mb": worker.ready["before_mb"],
        "torch_threads": worker.ready.get("torch_threads"),
        "rounds_s": worker.rounds,
    }
