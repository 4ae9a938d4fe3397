"""A real service in a process of its own: started by the command line, asked over a socket, ended by a signal."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from picture_files import png, white

import inpaintkit
from inpaintkit.cli import main

SOURCE = Path(inpaintkit.__file__).resolve().parents[1]


@pytest.fixture
def start() -> Iterator:
    """Starts services on free ports; ends them."""
    running = []

    def begin(*options: str) -> tuple[subprocess.Popen, str]:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "inpaintkit", "serve", "--port", "0", "--no-open", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", env=environment
        )
        running.append(process)
        line = process.stdout.readline()
        return process, re.search(r"http://\S+", line)[0]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def slow_request() -> dict:
    """A fill by patches that takes a while."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (160, 180, 3)).astype(np.uint8)
    mask = np.zeros((160, 180), bool)
    mask[50:110, 50:120] = True
    return {"files": {"photo": ("a.png", png(photo)), "mask": ("m.png", white(mask))}}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal to send to another process")
def test_a_signal_under_load_loses_nothing_that_was_accepted(start):
    process, address = start("--model", "patch")
    answers: list[int] = []

    def ask() -> None:
        answers.append(httpx.post(f"{address}api/v1/fill", **slow_request(), timeout=60).status_code)

    with httpx.Client(base_url=address, timeout=60) as client:
        job = client.post("/api/v1/jobs", **slow_request()).json()["job"]
        asking = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking:
            thread.start()
        end = time.monotonic() + 20
        while client.get("/healthz").json()["queue"] < 5:
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        while client.get("/healthz").json()["status"] != "stopping":
            assert time.monotonic() < end
        refused = client.post("/api/v1/fill", **slow_request())
        assert (refused.status_code, refused.json()["type"]) == (503, "stopping")
        assert refused.headers["retry-after"]
        for thread in asking:
            thread.join(60)
        assert answers == [200] * 4
        while client.get(f"/api/v1/jobs/{job}").json()["status"] != "done":
            time.sleep(0.02)
        assert client.get(f"/api/v1/jobs/{job}/result").status_code == 200
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "everything that was accepted is done" in output
    assert "Traceback" not in output


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal to send to another process")
def test_an_idle_service_ends_at_once_and_a_client_that_hangs_up_cancels(start):
    process, address = start("--model", "patch", "--token", "a-token-that-is-long")
    assert address.endswith("/?token=a-token-that-is-long")
    address = address.partition("?")[0]
    assert httpx.get(f"{address}api/v1/models").status_code == 401
    headers = {"Authorization": "Bearer a-token-that-is-long"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{address}api/v1/fill", **slow_request(), headers=headers, timeout=0.15)
    end = time.monotonic() + 20
    while httpx.get(f"{address}healthz").json()["queue"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert time.monotonic() - begun < 5
    assert "Traceback" not in output


def ask_to_the_end(method: str, address: str, answers: list[object], **request) -> None:
    """Note the status of an answer, or that it was cut."""
    try:
        answers.append(httpx.request(method, address, timeout=60, **request).status_code)
    except httpx.TransportError:
        answers.append("cut")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal to send to another process")
def test_a_second_signal_ends_it_at_once_and_says_what_is_left(start):
    process, address = start("--model", "patch")
    with httpx.Client(base_url=address, timeout=60) as client:
        jobs = [client.post("/api/v1/jobs", **slow_request()).json() for _ in range(20)]
        cut: list[object] = []
        asking = [
            threading.Thread(target=ask_to_the_end, args=("GET", address + jobs[-1]["events"], cut)),
            threading.Thread(target=ask_to_the_end, args=("POST", f"{address}api/v1/fill", cut), kwargs=slow_request()),
        ]
        for thread in asking:
            thread.start()
        end = time.monotonic() + 10
        while client.get("/healthz").json()["queue"] < 15:
            assert time.monotonic() < end
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        while client.get("/healthz").json()["status"] != "stopping":
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    for thread in asking:
        thread.join(20)
    assert set(cut) <= {503, "cut"}
    assert process.returncode == 1, output
    assert re.search(r"ended at once, and left: unfinished fills: [0-9]+", output)
    assert "Traceback" not in output
    assert "everything" not in output


def test_damaged_files_write_nothing(start):
    process, address = start("--model", "telea")
    grey = np.zeros((40, 40), np.uint8)
    tiff = b"II*\0\x08\0\0\0" + b"\x05\0" + bytes(range(60))
    for content in (png(grey)[:-30], png(grey.astype(np.uint16))[:-30], tiff, b"\xff\xd8\xff\xe1\xff\xff" + bytes(50)):
        files = {"photo": ("a", content)}
        assert 400 <= httpx.post(f"{address}api/v1/fill", files=files, data={"box": "1,1,2,2"}).status_code < 500
    bad = {"Content-Type": "multipart/form-data; boundary=b"}
    assert httpx.post(f"{address}api/v1/fill", content=b"--c\r\nx", headers=bad).status_code == 400
    process.terminate()
    output, _ = process.communicate(timeout=20)
    assert output.replace("ended: everything that was accepted is done\n", "") == ""


def test_the_command_refuses_what_makes_no_sense(capsys, monkeypatch):
    monkeypatch.delenv("INPAINTKIT_TOKEN", raising=False)
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "expected a token" in capsys.readouterr().err
    assert main(["serve", "--model", "lama"]) == 2
    assert "unknown model 'lama'" in capsys.readouterr().err
    assert main(["serve", "--max-bytes", "much"]) == 2
    assert "expected an amount" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(capsys):
    from inpaintkit.serve.server import address_of, listening_socket

    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address_of(taken) == f"http://127.0.0.1:{port}/"
        assert main(["serve", "--port", str(port), "--no-open", "--model", "telea"]) == 2
    message = capsys.readouterr().err
    assert f"port {port}" in message
    assert message.count("\n") == 1
