"""The same batch on a Ray cluster: its items as a Ray Data pipeline, its journal written by this process.

Every node sees photos, masks and results under the same paths, and has inpaintkit installed. Needs the extra `ray`.
"""

import importlib.util
import logging
import os
import pickle
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, UsageError
from .batch import Crew, Listener, Summary, Tally, check_run, failure_of, plan_items
from .journal import Entry, Journal, remove_parts
from .pairing import Item, result_folders
from .pipeline import Settings

MOST_BLOCKS = 10_000
"""Pieces into which a list is cut; the results of a piece arrive together."""


def fill_on_cluster(
    items: Sequence[Item],
    settings: Settings,
    *,
    journal: str | Path,
    address: str = "auto",
    workers: int | None = None,
    resume: bool = False,
    force: bool = False,
    on_error: str = "skip",
    progress: Listener | None = None,
) -> Summary:
    """`batch.fill_items` on the Ray cluster at `address`: "auto" for the one this machine belongs to, "HOST:PORT",
    "ray://HOST:PORT", or "local" for one on this machine alone. A Ray that is connected already is used as it is.

    `workers` is how many processes fill, each with `settings.threads` processor cores (1 if None); without it as many
    as the cluster has cores for. Everything else is as in `fill_items`. Raises ModelError where Ray is not installed,
    and when the cluster cannot be reached or fails.
    """
    check_run(items, 1 if workers is None else workers, on_error)
    _require_ray()
    started = time.monotonic()
    plan = plan_items(items, settings, journal=journal, resume=resume, force=force)
    faulty = [place for place in plan.to_do if items[place].fault is not None]
    sound = [items[place] for place in plan.to_do if items[place].fault is None]
    if sound:
        settings.open_inpainter()  # what is wrong with the model is told here, once, and not by every worker
    with Journal(journal) as book:
        remove_parts(items, result_folders(items))
        tally = Tally(plan, book, on_error, progress, started)
        tally.add([failure_of(items[place], plan.fingerprint) for place in faulty])
        if sound and not tally.over:
            with _connected(address), closing(_results(sound, settings, plan.fingerprint, workers)) as results:
                for entries in results:
                    tally.add(entries)
                    if tally.over:
                        break
    return tally.summary()


def _require_ray() -> None:
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        raise ModelError("a cluster needs Ray here and on every node: pip install 'inpaintkit[ray]'")


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Connected to the cluster; disconnected afterwards, unless the program was connected before."""
    # Ray reports its use over the network unless told otherwise before it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise ModelError(
            f"cannot reach a Ray cluster at '{address}' ({' '.join(str(error).split())[:200]}), expected auto, "
            "HOST:PORT, ray://HOST:PORT or local: start one with ray start --head, or name its address"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _results(
    items: list[Item], settings: Settings, fingerprint: str, workers: int | None
) -> Generator[list[Entry], None, None]:
    """Entries as the cluster delivers them. Raises ModelError when the cluster itself fails."""
    import ray
    import ray.data

    cores = settings.threads or 1
    size = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // cores)
    together = settings.together
    chunks = [items[start : start + together] for start in range(0, len(items), together)]
    rows = [{"chunk": pickle.dumps(chunk)} for chunk in chunks]
    with _quiet():
        dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS)).map_batches(
            ClusterWorker,
            fn_constructor_args=(replace(settings, threads=cores), fingerprint),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=min(size, len(chunks))),
            num_cpus=cores,
        )
        try:
            for row in dataset.iter_rows():
                yield [Entry.of_line(line) for line in row["lines"].splitlines()]
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:500]
            raise ModelError(f"the cluster failed ({reason}): see its logs, and go on with --resume") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray Data's bars and log lines are kept off the terminal, which is not ours."""
    import ray.data

    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        context.enable_progress_bars = before[0]
        logger.setLevel(before[1])


class ClusterWorker:
    """Fills chunks of items in a process of the cluster.

    The work itself is done one process further on: a photo that kills its process would otherwise be handed to one
    worker after the other, because Ray repeats what a dead worker had in hand for as long as it takes.
    """

    def __init__(self, settings: Settings, fingerprint: str) -> None:
        self._crew = Crew(settings, fingerprint, 1, apart=True)
        self._crew.start()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The journal's lines for a batch of packed chunks, a text for each chunk."""
        texts = []
        for packed in batch["chunk"]:
            items = pickle.loads(packed)
            done = [entry for entries in self._crew.work(items, range(len(items))) for entry in entries]
            texts.append(b"".join(entry.to_line() for entry in done).decode("ascii"))
        return {"lines": np.array(texts, object)}


def cluster_address(text: str) -> str:
    """An address of a cluster as it was typed. Raises UsageError for none."""
    if not text.strip():
        raise UsageError("the cluster has no address, expected auto, HOST:PORT, ray://HOST:PORT or local: give one")
    return text.strip()
