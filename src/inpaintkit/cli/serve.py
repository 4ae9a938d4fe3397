"""`inpaintkit serve`: the editor in the browser, and the HTTP API."""

import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..serve.settings import ServeSettings

TOKEN_VARIABLE = "INPAINTKIT_TOKEN"

_WHERE, _FILL, _LIMITS = "Where", "Fill", "Limits"


@dataclass(frozen=True, kw_only=True)
class Given:
    """One call of `inpaintkit serve` as it was typed; None where nothing was."""

    host: Annotated[str, typer.Option(help="Address to listen on.", rich_help_panel=_WHERE)] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.", rich_help_panel=_WHERE)] = (
        8765
    )
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help=f"Who has it may enter; or set {TOKEN_VARIABLE}.", rich_help_panel=_WHERE),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="Another name it goes by; repeatable.", rich_help_panel=_WHERE
        ),
    ] = None
    open_page: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the page in the browser.", rich_help_panel=_WHERE),
    ] = None
    compat: Annotated[
        list[str] | None,
        typer.Option(
            "--compat", metavar="iopaint", help="Answer this program's addresses too.", rich_help_panel=_WHERE
        ),
    ] = None
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="As in inpaintkit fill; repeatable, the first is the default. [default: all that are installed]",
            rich_help_panel=_FILL,
        ),
    ] = None
    engine: Annotated[
        str,
        typer.Option(metavar="NAME", help="What runs a network: auto, onnx, openvino or torch.", rich_help_panel=_FILL),
    ] = "auto"
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of a network; all cores if left out.", rich_help_panel=_FILL)
    ] = None
    save_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep every result here, under names of its own.", rich_help_panel=_FILL),
    ] = None
    max_bytes: Annotated[str, typer.Option(metavar="SIZE", help="Largest request.", rich_help_panel=_LIMITS)] = "100MB"
    max_pixels: Annotated[int, typer.Option(min=1, metavar="N", help="Largest photo.", rich_help_panel=_LIMITS)] = (
        120_000_000
    )
    time_limit: Annotated[
        float, typer.Option(min=0.001, metavar="S", help="Longest fill, in seconds.", rich_help_panel=_LIMITS)
    ] = 300.0
    queue: Annotated[
        int, typer.Option(min=1, metavar="N", help="Fills that wait for one model.", rich_help_panel=_LIMITS)
    ] = 32
    together: Annotated[
        int, typer.Option(min=1, metavar="N", help="Waiting fills that share batches.", rich_help_panel=_LIMITS)
    ] = 2
    photos_memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Of the photos open in the editor.", rich_help_panel=_LIMITS)
    ] = "1500MB"


def command(**given: Any) -> int:
    """Edit photos in the browser, and answer programs over HTTP. Ctrl-C ends it when what it accepted is done."""
    order = Given(**given)
    settings = _settings(order)
    from ..serve.server import run

    def on_start(address: str) -> None:
        page = f"{address}?token={settings.token}" if settings.token else address
        typer.echo(f"inpaintkit is at {page} (Ctrl-C ends it)")
        if order.open_page or (order.open_page is None and settings.is_loopback and _has_browser()):
            import webbrowser

            webbrowser.open(page)

    left = run(settings, on_start)
    if left:
        typer.echo(f"ended at once, and left: {left}", err=True)
        sys.stdout.flush()
        os._exit(1)  # returning would take the interpreter from under the threads that still fill, which aborts
    typer.echo("ended: everything that was accepted is done")
    return 0


command.__signature__ = inspect.signature(Given)  # type: ignore[attr-defined]  # its fields are the options


def _settings(order: Given) -> "ServeSettings":
    """What the service is started with. Raises UsageError."""
    from ..filling.memory import parse_memory
    from ..serve.settings import ServeSettings

    return ServeSettings(
        host=order.host,
        port=order.port,
        token=order.token or os.environ.get(TOKEN_VARIABLE) or None,
        models=tuple(order.model or ()),
        engine=order.engine,
        threads=order.threads,
        max_bytes=parse_memory(order.max_bytes),
        max_pixels=order.max_pixels,
        time_limit_s=order.time_limit,
        queue_length=order.queue,
        together=order.together,
        photos_memory=parse_memory(order.photos_memory),
        save_dir=order.save_dir,
        allow_hosts=tuple(order.allow_host or ()),
        compat=tuple(order.compat or ()),
    )


def _has_browser() -> bool:
    """Whether a person sits at a screen here: then the page may open by itself."""
    has_screen = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return has_screen and sys.stdout.isatty()
