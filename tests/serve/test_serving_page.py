"""What docs/serving.md shows runs, and names every option that there is."""

import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from picture_files import hole_mask, jpeg, white

from inpaintkit.cli.serve import command
from inpaintkit.photo import read_photo
from inpaintkit.serve.problems import KINDS
from inpaintkit.serve.settings import ServeSettings

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "serving.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8765"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def options() -> set[str]:
    application = typer.Typer(add_completion=False)
    application.command()(command)
    found = typer.main.get_command(application).params
    return {name for parameter in found for name in (*parameter.opts, *parameter.secondary_opts)} - {"--help", "-h"}


@pytest.fixture
def address() -> Iterator[str]:
    """A service on a free port, in a thread."""
    import uvicorn

    from inpaintkit.serve.app import create_app
    from inpaintkit.serve.server import address_of, listening_socket

    listening = listening_socket("127.0.0.1", 0)
    app = create_app(ServeSettings(models=("telea", "ns")))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    end = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < end
        time.sleep(0.01)
    yield address_of(listening).rstrip("/")
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray) -> Path:
    """The working folder, with the photo and the mask that the page speaks of."""
    (tmp_path / "photo.jpg").write_bytes(jpeg(pixels))
    (tmp_path / "mask.png").write_bytes(white(hole_mask()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_client_runs(address, folder, capsys):
    (example,) = blocks("python")
    assert ADDRESS in example
    exec(compile(example.replace(ADDRESS, address), "serving.md", "exec"), {})
    output = capsys.readouterr().out.splitlines()
    assert output[0].startswith("image/jpeg ")
    assert "'media_type': 'image/jpeg'" in output[-1]
    for name in ("filled.jpg", "filled-2.jpg"):
        assert read_photo(folder / name).format == "JPEG"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_lines_run(address, folder):
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("curl ")]
    assert len(lines) == 2
    for line in lines:
        subprocess.run([*shlex.split(line.replace(ADDRESS, address)), "-sS"], check=True, timeout=30)
    assert (read_photo(folder / "filled.jpg").format, read_photo(folder / "filled.png").format) == ("JPEG", "PNG")


def test_every_option_has_a_row():
    rows = re.findall(r"^\| (`-.*?) \|", PAGE.partition("## From a program")[0], re.MULTILINE)
    assert set(re.findall(r"--[a-z][a-z-]*", " ".join(rows))) == options()


def test_the_deployments_use_options_that_exist():
    docker = (PROJECT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    unit = (PROJECT / "deploy" / "inpaintkit.service").read_text(encoding="utf-8")
    used = re.findall(r"--[a-z-]+", docker.partition("ENTRYPOINT")[2] + re.search(r"ExecStart=(.*)", unit)[1])
    assert len(used) >= 4
    assert set(used) <= options()
    assert "USER 10001" in docker
    assert "HEALTHCHECK" in docker


def test_the_problem_on_the_page_is_one_of_ours():
    (example,) = blocks("json")
    kind = re.search(r'"type": "([\w-]+)"', example)[1]
    assert KINDS[kind] == (422, "The mask cannot be used")
