"""The same photos and masks filled by several methods: scores, costs, and the files of a report."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import onnxruntime

from .. import __version__
from ..errors import UsageError
from ..photo import write_bytes
from .cases import PAIRING, PAIRING_AS_THEY_ARE, Cases, plan_cases
from .gallery import Gallery
from .journal import JOURNAL, Journal
from .methods import Method, labels_of, open_method
from .metrics import METRICS, Metric
from .perceptual import PerceptualWeights
from .protocols import Protocol
from .scoring import TRUTH, Job, features_file, score_all
from .statistics import rounded
from .tables import as_json, costs_csv, scores_csv, summary_tables
from .threads import usable_cores

SCHEMA = 1
PACKAGES = ("numpy", "pillow", "openvino", "torch", "torchmetrics", "scikit-image")
"""What a report names the versions of."""

Progress = Callable[[float, str], object]
"""Told the share of the work that is done and what is being done."""


@dataclass(frozen=True)
class Settings:
    """What a comparison is made of.

    `images` is a folder, a list or a tar; `masks` maps the name of each group of the report to a folder, a tar or a
    fixed set. `size` None leaves pictures as they are. `limit` takes the first photos. `workers` None: one for a core.
    `rows` photos are shown on the page; `keep_fills` keeps the fills of all. `command` is stated in the report.
    """

    images: str
    masks: Mapping[str, str]
    methods: tuple[Method, ...]
    size: int | None = 256
    protocol: Protocol | None = None
    limit: int | None = None
    seed: int = 0
    perceptual: PerceptualWeights = field(default_factory=PerceptualWeights)
    workers: int | None = None
    costs: bool = True
    rows: int = 24
    keep_fills: bool = False
    study: bool = False
    title: str = ""
    command: str = ""


def compare(settings: Settings, out: Path, *, resume: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Fill every case by every method, measure, and write the report into the folder `out`.

    Returns the report as `report.json` holds it. A method that fails on a photo has its message there and the others
    go on. What is measured is kept in `out` at once; `resume` goes on from there, and refuses other settings. Raises
    UsageError for a folder that already holds something (without `resume`), DataError for photos or masks that cannot
    be paired, ModelError for a method or weights that cannot be opened.
    """
    tell = progress or (lambda share, words: None)
    _check_folder(settings.images, out, resume)
    opened = settings.perceptual.opened()
    inception = settings.perceptual.open_inception()
    networks = settings.perceptual.sources(opened, inception)
    metrics = [*METRICS.values(), *(metric for each in opened for metric in each.metrics)]
    cases = plan_cases(
        settings.images,
        settings.masks,
        size=settings.size,
        limit=settings.limit,
        seed=settings.seed,
        reading=lambda share: tell(0.02 * share, "reading photos"),
    )
    for method in settings.methods:
        open_method(method, threads=None)  # before anything is written: what cannot be opened here cannot in a worker
    out.mkdir(parents=True, exist_ok=True)
    kept = {"rows_and_kept_fills": [settings.rows, settings.study, settings.keep_fills]}
    identity = _fingerprint(settings, cases, networks)
    with Journal(out / JOURNAL, {**identity, **kept}, resume=resume) as journal:
        gallery = Gallery(
            cases,
            out,
            labels_of(settings.methods),
            rows=settings.rows,
            study=settings.study,
            keep=settings.keep_fills,
            seed=settings.seed,
        )
        job = Job(cases, settings.methods, settings.perceptual, out, networks, tuple(range(len(settings.methods))))
        _score(job, settings, journal, gallery, tell)
        records = [journal.records[index] for index in range(len(cases))]
        seconds = journal.seconds
    report = _report(settings, cases, records, metrics)
    if inception is not None:
        tell(0.9, "comparing distributions")
        _add_distributions(report, inception.metrics, settings.seed, out)
    _write(out / "scores.json", as_json(report))
    _write(out / "scores.csv", scores_csv(report))
    costs = _costs(settings, cases, identity, out, resume, tell) if settings.costs else None
    whole = {**report, **(costs or {"costs": None, "costs_conditions": None}), "run": _run(settings, records, seconds)}
    _write(out / "report.json", as_json(whole))
    tell(0.97, "writing the page")
    gallery.write_pages(whole)
    tell(1.0, "done")
    return whole


def _check_folder(images: str, out: Path, resume: bool) -> None:
    """Raises UsageError where the report would be mixed with something else."""
    if Path(images).is_dir() and out.resolve().is_relative_to(Path(images).resolve()):
        raise UsageError(f"--out '{out}' lies among the photos of '{images}', expected a folder outside: give another")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out '{out}' is a file, expected a folder: give another name")
    if not out.is_dir() or not any(out.iterdir()):
        return
    begun = (out / JOURNAL).is_file()
    if begun and resume:
        return
    if begun:
        raise UsageError(f"--out '{out}' holds a comparison: go on with it (--resume), or give another folder")
    raise UsageError(f"--out '{out}' is not empty and holds no comparison: give a new folder")


def _score(job: Job, settings: Settings, journal: Journal, gallery: Gallery, tell: Progress) -> None:
    """Measure every case that the journal does not hold yet."""
    started, cases = time.perf_counter(), job.cases
    for record in journal.records.values():
        gallery.offer(record)
    missing = [index for index in range(len(cases)) if index not in journal.records]
    workers = settings.workers or usable_cores()
    with closing(score_all(job, missing, workers)) as records:
        for record in records:
            journal.append({**record, "at": time.perf_counter() - started})
            gallery.offer(record)
            share = len(journal.records) / len(cases)
            tell(0.02 + (0.83 if settings.costs else 0.95) * share, f"{len(journal.records)} of {len(cases)} cases")
    for _ in score_all(job, gallery.lost(journal.records), workers):
        tell(0.85, "filling again what the page shows and somebody deleted")


def _fingerprint(settings: Settings, cases: Cases, networks: Sequence[str]) -> dict[str, Any]:
    """Everything that the scores depend on, by names that a message can use."""
    methods = [
        [each.label, each.kind, each.through, each.runtime, each.sha256 or each.model] for each in settings.methods
    ]
    return {
        "schema": SCHEMA,
        "inpaintkit_version": __version__,
        "methods": methods,
        "photos": cases.images_sha256,
        "masks": [[group.name, group.sha256] for group in cases.groups],
        "size": settings.size,
        "seed": settings.seed,
        "networks": list(networks),
        "library_versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """Versions of Python and of the libraries that matter; of two that come under several names, as they are loaded."""
    found = {"python": platform.python_version(), "opencv": cv2.__version__, "onnxruntime": onnxruntime.__version__}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


# --- The report ------------------------------------------------------------------------------------------------------


def _report(
    settings: Settings, cases: Cases, records: Sequence[Mapping[str, Any]], metrics: Sequence[Metric]
) -> dict[str, Any]:
    """The part of the report that is the same, to the last byte, whenever and wherever on a machine it is made."""
    about = []
    for index, record in enumerate(records):
        group, photo, mask = cases.names(index)
        unknown = dict.fromkeys(("hole_ratio", "depth_px", "area_bin", "depth_bin", "truth"))
        about.append({"group": group, "photo": photo, "mask": mask, **(record["about"] or unknown)})
    scores = {
        label: [record["scores"][number] for record in records]
        for number, label in enumerate(labels_of(settings.methods))
    }
    return {
        "schema": SCHEMA,
        "inpaintkit": __version__,
        "title": settings.title or f"{len(settings.methods)} methods on {cases.count} photos",
        "protocol": _protocol(settings),
        "images": {"name": Path(settings.images).name, "count": cases.count, "sha256": cases.images_sha256},
        "groups": [
            {
                "name": group.name,
                "masks": len(group),
                "sha256": group.sha256 or _digest_of_shown(about, group.name),
                "photos": sum(1 for each in about if each["group"] == group.name),
                "left_out": cases.left_out[group.name],
            }
            for group in cases.groups
        ],
        "methods": [
            {
                "label": each.label,
                "model": each.model if each.kind in ("bundled", "classical") else Path(each.model).name,
                "through": each.through,
                "kind": each.kind,
                "runtime": each.runtime,
                "sha256": each.sha256,
                "terms": each.terms,
            }
            for each in settings.methods
        ],
        "metrics": [_described(metric) for metric in metrics],
        "headline": _headline(settings, metrics),
        "absent": settings.perceptual.absent(),
        "cases": about,
        "scores": scores,
        **summary_tables(about, scores, metrics),
    }


def _digest_of_shown(cases: Sequence[Mapping[str, Any]], group: str) -> str:
    """A checksum of what a group's cases show, which no file holds: that of theirs, in order."""
    members = [case.get("shown_sha256") or "unreadable" for case in cases if case["group"] == group]
    return hashlib.sha256("\n".join(members).encode()).hexdigest()


def _protocol(settings: Settings) -> dict[str, Any]:
    if settings.protocol is not None:
        name, description = settings.protocol.name, settings.protocol.description
    else:
        name, description = "fixed masks", "Every photo is filled once in each group of masks, by every method."
    pairing = PAIRING if settings.size is not None else PAIRING_AS_THEY_ARE
    return {"name": name, "description": description, "size": settings.size, "pairing": pairing}


def _described(metric: Metric) -> dict[str, str]:
    names = ("name", "label", "better", "scope", "unit", "range", "definition", "source", "average")
    return {name: getattr(metric, name) for name in names}


def _headline(settings: Settings, metrics: Sequence[Metric]) -> list[str]:
    """The metrics to quote first: the protocol's, and those of the networks that were asked for."""
    protocol = settings.protocol
    plain = protocol.headline if protocol and protocol.headline else ("hole_l1", "hole_psnr", "hole_ssim", "sharpness")
    return [*plain, *(metric.name for metric in metrics if metric.name not in METRICS and metric.name != "texture")]


def _add_distributions(report: dict[str, Any], metrics: Sequence[Metric], seed: int, out: Path) -> None:
    """FID where there are photos enough, and KID, from the features that the workers left."""
    from .metrics.distribution import distances

    report["distribution_metrics"] = [_described(metric) for metric in metrics]
    for table in report["tables"]:
        members = [index for index, case in enumerate(report["cases"]) if case["group"] == table["group"]]
        for number, row in enumerate(table["rows"]):
            done = [index for index in members if "error" not in report["scores"][row["method"]][index]]
            real, filled = ([features_file(out, index, what) for index in done] for what in (TRUTH, number))
            row["distribution"], refused = distances(real, filled, seed=seed)
            for missing in refused:
                _add_once(report["absent"], {**missing, "metric": f"{missing['metric']} ({table['group']})"})


def _add_once(absent: list[dict[str, str]], missing: dict[str, str]) -> None:
    if missing["metric"] not in [each["metric"] for each in absent]:
        absent.append(missing)


def _costs(
    settings: Settings, cases: Cases, compared: Mapping[str, Any], out: Path, resume: bool, tell: Progress
) -> dict[str, Any]:
    """The serial cost pass, or what an earlier run measured of these very methods."""
    from .cost import measure_costs

    file = out / "costs.json"
    identity = hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()
    if resume and file.is_file():
        with suppress(ValueError, OSError):
            kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if kept.pop("comparison", None) == identity:
                return kept
    rows = measure_costs(
        settings.methods, cases, progress=lambda share: tell(0.85 + 0.1 * share, "measuring time and memory")
    )
    found = {
        "costs": rows,
        "costs_conditions": {"size": settings.size, **_machine()},
    }
    _write(file, as_json({"comparison": identity, **found}))
    _write(out / "costs.csv", costs_csv(rows))
    return found


def _machine() -> dict[str, Any]:
    return {"system": platform.platform(), "processor": _processor(), "cores": usable_cores()}


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _run(settings: Settings, records: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """When, how and on what this report was made, and where the time went."""
    fills = dict.fromkeys(labels_of(settings.methods), 0.0)
    for record in records:
        for label, spent in zip(fills, record.get("fill_seconds", ()), strict=False):
            fills[label] += spent
    return {
        "command": settings.command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": rounded(seconds),
        "seconds_in_methods": {label: rounded(spent) for label, spent in fills.items()},
        "seconds_scoring": rounded(sum(record.get("scoring_seconds", 0.0) for record in records)),
        "seconds_decoding": rounded(sum(record.get("decoding_seconds", 0.0) for record in records)),
        "workers": settings.workers or usable_cores(),
        "versions": _versions(),
        "machine": _machine(),
    }


def _write(path: Path, text: str) -> None:
    write_bytes(text.encode("utf-8", "backslashreplace"), path)


def failures(report: Mapping[str, Any]) -> list[str]:
    """What went wrong in a comparison, one line each: photos not read, methods that failed or changed known pixels."""
    found = []
    unreadable = [number for number, case in enumerate(report["cases"]) if case["hole_ratio"] is None]
    if unreadable:
        first = next(iter(report["scores"].values()))[unreadable[0]]["error"]
        found.append(f"{len(unreadable)} of {len(report['cases'])} cases cannot be read (first: {first})")
    for label, of in report["scores"].items():
        errors = [each["error"] for number, each in enumerate(of) if "error" in each and number not in unreadable]
        if errors:
            found.append(f"{label} failed on {len(errors)} of {len(of)} cases (first: {errors[0]})")
        changed = sum(1 for each in of if each.get("known_changed"))
        if changed:
            found.append(f"{label} changed known pixels in {changed} of {len(of)} cases")
    return found
