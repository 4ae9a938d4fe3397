"""What a service is started with: where it listens, which models it has, and how much of everything it allows."""

import importlib.util
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, unknown_name
from ..filling.engines import check_options, model_names
from ..weights import CATALOGUE

COMPATIBLE = ("iopaint",)
"""Programs whose addresses can be answered too."""

SHORTEST_TOKEN = 16
"""Letters that a token has at least, so that it cannot be guessed."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
MODEL_FILES = (".onnx", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How a service runs. Raises UsageError for what makes no sense.

    `models` are names, ONNX files, weights or runs' folders, the default one first; empty means every model that is
    installed. A client names them by the keys of `model_paths` only. `token` is required for any `host` but this
    computer's own. `allow_hosts` are further names under which the service is reached, as behind a proxy.

    `queue_length` bounds the fills that wait for one model, `queue_pixels` their size in all, and `together` how many
    of them may share a network's batches. `concurrency` bounds the requests that are answered at once and
    `requests_memory` what they may have sent in all. `photos_memory` is the ceiling in bytes of what the editor has
    open; it is dropped after `idle_s` without use. `result_s` and `results_memory` bound how long and how many results
    of jobs are kept. At the end, results may still be fetched for `stop_s`. With `save_dir`, every result is also
    written there under a generated name.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    models: tuple[str, ...] = ()
    engine: str = "auto"
    threads: int | None = None
    max_bytes: int = 100_000_000
    max_pixels: int = 120_000_000
    time_limit_s: float = 300.0
    upload_limit_s: float = 120.0
    queue_length: int = 32
    queue_pixels: int = 150_000_000
    together: int = 2
    concurrency: int = 64
    requests_memory: int = 500_000_000
    photos_memory: int = 1_500_000_000
    idle_s: float = 3600.0
    results_memory: int = 250_000_000
    result_s: float = 600.0
    stop_s: float = 8.0
    save_dir: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    compat: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.token:
            raise UsageError(
                f"host '{self.host}' can be reached from other computers, expected a token as well: give --token or "
                "set INPAINTKIT_TOKEN, or leave --host out"
            )
        if self.token is not None and (len(self.token) < SHORTEST_TOKEN or not self.token.isascii()):
            raise UsageError(
                f"the token has {len(self.token)} letters, expected at least {SHORTEST_TOKEN}, all of them ASCII: make "
                "one with python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port is {self.port}, expected 0 to 65535")
        for name in self.compat:
            if name not in COMPATIBLE:
                raise UsageError(unknown_name("--compat", name, COMPATIBLE))
        for name, value in self._limits().items():
            if value <= 0:
                raise UsageError(f"{name} is {value}, expected more than 0")
        check_options(self.engine, "auto", self.threads)
        if self.save_dir is not None and not self.save_dir.is_dir():
            raise UsageError(f"there is no folder '{self.save_dir}' to save in, expected an existing one: create it")

    def _limits(self) -> dict[str, float]:
        return {
            "max_bytes": self.max_bytes,
            "max_pixels": self.max_pixels,
            "time_limit_s": self.time_limit_s,
            "upload_limit_s": self.upload_limit_s,
            "queue_length": self.queue_length,
            "queue_pixels": self.queue_pixels,
            "together": self.together,
            "concurrency": self.concurrency,
            "requests_memory": self.requests_memory,
            "photos_memory": self.photos_memory,
            "idle_s": self.idle_s,
            "results_memory": self.results_memory,
            "result_s": self.result_s,
        }

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def model_paths(self) -> dict[str, str]:
        """The name by which a client asks for a model -> what it is opened by; the default one first."""
        given = self.models or tuple(installed_models())
        paths: dict[str, str] = {}
        for model in given:
            path = Path(model)
            is_file = model not in model_names() and (path.suffix.lower() in MODEL_FILES or path.exists())
            name = path.stem if is_file else model
            if not is_file and model not in model_names():
                raise UsageError(unknown_name("model", model, model_names()) + ", or a model's file")
            if name in paths:
                raise UsageError(f"two models are called '{name}', expected names that differ: rename a file")
            paths[name] = model
        return paths


def installed_models() -> list[str]:
    """The models of this installation by name: bundled networks that are there, and classical methods."""
    found = []
    for name in model_names():
        if name in CATALOGUE:
            entry = CATALOGUE[name]
            if entry.onnx.is_file() and entry.card.is_file():
                found.append(name)
        elif name != "biharmonic" or importlib.util.find_spec("skimage") is not None:
            found.append(name)
    return found
