"""Fills over HTTP: at once and as jobs, in every format, known pixels bit for bit; what is refused, and how."""

import base64
import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from picture_files import HOLE, SIZE, decoded, hole_mask, jpeg, png, white
from PIL import Image

import inpaintkit
from inpaintkit import __version__
from inpaintkit.photo import decode_photo
from inpaintkit.serve.forms import File

FILL = "/api/v1/fill"


def send(client, photo: bytes, mask: bytes | None, path: str = FILL, name: str = "a.png", headers=None, **fields):
    files = {"photo": (name, photo)} | ({} if mask is None else {"mask": ("m.png", mask)})
    return client.post(path, files=files, data=fields, headers=headers)


def events_of(client, job: str) -> list[tuple[str, dict]]:
    """Every event of a job up to its end."""
    text = client.get(f"/api/v1/jobs/{job}/events").text
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event:")]
    return [(lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in blocks]


def test_a_photo_comes_back_filled_as_the_library_fills_it(client, pixels, photo_png, mask_png):
    response = send(client, photo_png, mask_png, model="telea")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert float(response.headers["x-fill-seconds"]) > 0
    assert (
        response.headers["content-disposition"]
        == "attachment; filename=\"a-filled.png\"; filename*=UTF-8''a-filled.png"
    )
    filled = decoded(response.content)
    assert np.array_equal(filled, inpaintkit.fill(pixels, hole_mask(), "telea"))
    assert np.array_equal(filled[~hole_mask()], pixels[~hole_mask()])
    assert not np.array_equal(filled, pixels)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_depth_and_channels_stay(client, pixels, mask_png, depth, channels):
    photo = np.dstack([pixels, pixels[..., :1]])[..., :channels].astype(depth) * (257 if depth == np.uint16 else 1)
    photo = photo[..., 0] if channels == 1 else photo
    filled = decoded(send(client, png(photo), mask_png).content)
    assert (filled.shape, filled.dtype) == (photo.shape, photo.dtype)
    assert np.array_equal(filled[~hole_mask()], photo[~hole_mask()])


def test_a_jpeg_keeps_its_format_and_metadata(client, pixels, mask_png):
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif, quality=90, icc_profile=b"", dpi=(300, 300))
    response = send(client, buffer.getvalue(), mask_png, name="Grüße.jpg")
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["content-disposition"].endswith("filename*=UTF-8''Gr%C3%BC%C3%9Fe-filled.jpg")
    back = Image.open(io.BytesIO(response.content))
    assert back.getexif()[0x010F] == "A maker"
    assert back.info["dpi"] == (300, 300)


def test_a_turned_photo_is_filled_upright(client, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    upright = decode_photo(buffer.getvalue()).pixels
    mask = hole_mask(upright.shape[:2], (5, 6, 7, 8))
    filled = decoded(send(client, buffer.getvalue(), white(mask)).content)
    assert np.array_equal(filled[~mask], upright[~mask])
    assert "expected equal sizes" in send(client, buffer.getvalue(), white(hole_mask())).json()["detail"]


def test_boxes_do_in_place_of_a_mask_and_add_to_one(client, pixels, photo_png, mask_png):
    top, left, height, width = HOLE
    box = f"{top},{left},{height},{width}"
    assert send(client, photo_png, None, box=box).content == send(client, photo_png, mask_png).content
    both = decoded(send(client, photo_png, mask_png, box=["1,1,4,4", "50,70,5,5"]).content)
    changed = (both != pixels).any(axis=-1)
    assert changed[1:5, 1:5].any()
    assert changed[50:55, 70:75].any()
    assert changed[hole_mask()].any()


def test_an_empty_mask_gives_the_very_file_back(client, photo_jpeg):
    response = send(client, photo_jpeg, white(np.zeros(SIZE, bool)), name="a.jpg")
    assert response.content == photo_jpeg


def test_options_are_those_of_the_command_line(client, pixels, photo_png, mask_png):
    filled = decoded(send(client, photo_png, mask_png, grow="3", grain="on", seed="5", model="ns").content)
    wanted = inpaintkit.fill(pixels, hole_mask(), "ns", grow=3, grain="on", seed=5)
    assert np.array_equal(filled, wanted)


@pytest.mark.parametrize(
    ("fields", "media_type"),
    [
        ({"format": "jpg", "quality": "50"}, "image/jpeg"),
        ({"format": "webp"}, "image/webp"),
        ({"format": "tif"}, "image/tiff"),
    ],
)
def test_another_format_is_written_where_it_is_asked_for(client, photo_png, mask_png, fields, media_type):
    response = send(client, photo_png, mask_png, **fields)
    assert response.headers["content-type"] == media_type
    assert decode_photo(response.content).size == SIZE


def test_as_json_the_file_is_in_base64(client, photo_png, mask_png):
    response = send(client, photo_png, mask_png, headers={"Accept": "application/json"})
    found = response.json()
    image = base64.b64decode(found.pop("image"))
    assert image == send(client, photo_png, mask_png).content
    assert found.pop("seconds") > 0
    assert found == {"media_type": "image/png", "width": 80, "height": 60, "model": "telea", "notes": []}


def test_what_was_converted_is_said(client, mask_png):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE)).convert("P").save(buffer, "GIF")
    response = send(client, buffer.getvalue(), mask_png)
    assert response.headers["content-type"] == "image/png"
    assert "GIF can be read but not written" in response.headers["x-fill-notes"]


def test_what_cannot_be_filled_is_refused_in_the_command_lines_words(client, photo_png, photo_jpeg, mask_png):
    cases = [
        (b"", mask_png, {}, 415, "unreadable-photo", "empty"),
        (b"%PDF-1.4", mask_png, {}, 415, "unreadable-photo", "is a PDF file"),
        (photo_png[:500], mask_png, {}, 422, "damaged-photo", "cut short or damaged"),
        (photo_jpeg, b"GIF", {}, 422, "bad-mask", "mask: cannot read"),
        (photo_png, None, {}, 422, "bad-option", "a mask or a box"),
        (photo_png, white(np.ones(SIZE, bool)), {}, 422, "bad-mask", "nothing is left to learn from"),
        (photo_png, white(hole_mask((61, 80))), {}, 422, "bad-mask", "80 x 61"),
        (photo_png, None, {"box": "900,900,5,5"}, 422, "bad-mask", "lies outside"),
        (photo_png, mask_png, {"model": "lama"}, 422, "bad-option", "valid are ns, telea"),
        (photo_png, mask_png, {"quality": "80"}, 422, "bad-option", "quality means nothing to PNG"),
        (photo_png, mask_png, {"format": "heic", "quality": "0"}, 422, "bad-option", "from 1 to 100"),
    ]
    for photo, mask, fields, status, kind, words in cases:
        response = send(client, photo, mask, **fields)
        found = response.json()
        assert (response.status_code, found["type"]) == (status, kind), found
        assert words in found["detail"]
        assert "\n" not in found["detail"]
    assert client.get("/healthz").json() == {"status": "ok", "version": __version__, "queue": 0}


def test_a_bomb_is_refused_by_its_header(serving, mask_png):
    with serving(max_pixels=100_000) as client:
        header = cv2.imencode(".png", np.zeros((400, 400), np.uint8))[1].tobytes()
        response = send(client, header, mask_png)
        assert (response.status_code, response.json()["type"]) == (413, "too-large")
        response = send(client, png(np.zeros((*SIZE, 3), np.uint8)), header)
        assert (response.status_code, response.json()["type"]) == (422, "bad-mask")


def test_mutated_files_never_break_anything(client, photo_png, photo_jpeg, mask_png):
    rng = np.random.default_rng(0)
    buffers = [photo_png, photo_jpeg]
    for suffix in (".webp", ".tiff"):
        buffers.append(cv2.imencode(suffix, decoded(photo_png))[1].tobytes())
    seen = set()
    for number in range(160):
        content = bytearray(buffers[number % 4])
        for place in rng.integers(0, len(content), rng.integers(1, 12)):
            content[place] = rng.integers(256)
        if number % 5 == 0:
            del content[int(rng.integers(len(content))) :]
        as_mask = number % 2 == 0
        response = send(client, photo_png if as_mask else bytes(content), bytes(content) if as_mask else mask_png)
        seen.add(response.status_code)
        assert response.status_code in {200, 400, 413, 415, 422}, response.text
    assert {200, 422} <= seen
    assert client.get("/healthz").json()["queue"] == 0


def test_many_at_once_get_each_their_own(serving):
    with serving(together=4, queue_length=64) as client:
        rng = np.random.default_rng(3)
        photos = [rng.integers(0, 255, (*SIZE, 3)).astype(np.uint8) for _ in range(24)]
        mask = white(hole_mask())
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda photo: send(client, png(photo), mask), photos))
        for photo, answer in zip(photos, answers, strict=True):
            assert answer.status_code == 200
            assert np.array_equal(decoded(answer.content)[~hole_mask()], photo[~hole_mask()])


def test_a_full_queue_is_429_and_tells_when(serving, waiting, photo_png, mask_png):
    with serving(queue_length=1) as client:
        first = send(client, photo_png, mask_png, "/api/v1/jobs")
        response = send(client, photo_png, mask_png)
        assert (response.status_code, response.json()["type"]) == (429, "busy")
        assert int(response.headers["retry-after"]) >= 1
        waiting.go.set()
        assert events_of(client, first.json()["job"])[-1][0] == "done"


def test_a_job_tells_of_itself_and_keeps_its_result(client, photo_png, mask_png):
    started = send(client, photo_png, mask_png, "/api/v1/jobs", name="b.png")
    assert started.status_code == 202
    job = started.json()["job"]
    assert started.json()["events"] == f"api/v1/jobs/{job}/events"
    events = events_of(client, job)
    shares = [facts["share"] for name, facts in events if name == "progress"]
    assert shares == sorted(shares)
    assert events[-1][0] == "done"
    assert events[-1][1]["media_type"] == "image/png"
    status = client.get(f"/api/v1/jobs/{job}").json()
    assert (status["status"], status["share"], status["problem"]) == ("done", 1.0, None)
    for _ in range(2):
        result = client.get(f"/api/v1/jobs/{job}/result")
        assert result.content == send(client, photo_png, mask_png).content
        assert "b-filled.png" in result.headers["content-disposition"]
    assert events_of(client, job)[-1][0] == "done"


def test_a_job_can_be_cancelled(serving, waiting, photo_png, mask_png):
    with serving() as client:
        job = send(client, photo_png, mask_png, "/api/v1/jobs").json()["job"]
        assert waiting.began.wait(5)
        early = client.get(f"/api/v1/jobs/{job}/result")
        assert (early.status_code, early.json()["type"]) == (409, "not-finished")
        assert client.delete(f"/api/v1/jobs/{job}").json()["status"] == "cancelled"
        assert events_of(client, job)[-1][0] == "cancelled"
        late = client.get(f"/api/v1/jobs/{job}/result")
        assert (late.status_code, late.json()["type"]) == (409, "cancelled")
        waiting.go.set()


def test_a_failed_job_says_why(client, photo_png):
    job = send(client, photo_png, white(np.ones(SIZE, bool)), "/api/v1/jobs").json()["job"]
    name, facts = events_of(client, job)[-1]
    assert (name, facts["problem"]["type"], facts["problem"]["status"]) == ("failed", "bad-mask", 422)
    assert client.get(f"/api/v1/jobs/{job}").json()["problem"]["detail"] == facts["problem"]["detail"]
    assert client.get(f"/api/v1/jobs/{job}/result").status_code == 422


def test_progress_is_heard_while_it_runs(serving, waiting, photo_png, mask_png):
    with serving() as client:
        job = send(client, photo_png, mask_png, "/api/v1/jobs").json()["job"]
        assert waiting.began.wait(5)
        found = []
        listening = threading.Thread(target=lambda: found.extend(events_of(client, job)))
        listening.start()
        watched = client.app.state.service.job(job)
        end = time.monotonic() + 10
        while not watched._listeners:
            assert time.monotonic() < end
            time.sleep(0.005)
        waiting.go.set()
        listening.join(10)
        assert found[0][0] == "progress"
        assert found[-1][0] == "done"


@pytest.mark.parametrize("what", ["", "/events", "/result"])
def test_a_job_that_is_not_there_is_404(client, what):
    response = client.get(f"/api/v1/jobs/{'0' * 32}{what}")
    assert (response.status_code, response.json()["type"]) == (404, "job-gone")
    assert client.get(f"/api/v1/jobs/..%2f..%2fetc{what}").status_code in (404, 422)


def test_models_are_listed_without_their_paths(serving, tmp_path):
    (tmp_path / "secret.onnx").write_bytes(b"")
    with serving(models=("telea", "default", str(tmp_path / "secret.onnx"))) as client:
        text = client.get("/api/v1/models").text
        found = json.loads(text)
        assert str(tmp_path) not in text
        assert found["default"] == "telea"
        assert [model["name"] for model in found["models"]] == ["telea", "default", "secret"]
        assert "non-commercial" in found["models"][1]["terms"]
        assert found["limits"]["max_pixels"] > 10**6


def test_results_are_written_only_where_they_are_to_be_saved(serving, tmp_path, photo_png, mask_png):
    with serving(save_dir=tmp_path) as client:
        names = ["../../evil.png", "/etc/a.png", "b.png"]
        contents = {send(client, photo_png, mask_png, name=name).content for name in names}
    written = sorted(tmp_path.rglob("*"))
    assert len(written) == 3
    assert {path.read_bytes() for path in written} == contents
    assert all(re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}\.png", path.name) for path in written)


def test_nothing_is_written_to_disk(client, monkeypatch, mask_png):
    """Bodies above the size at which Starlette would take a temporary file."""
    import tempfile

    def refuse(*_, **__):
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    noise = np.random.default_rng(0).integers(0, 255, (800, 900, 3)).astype(np.uint8)
    photo = png(noise)
    assert len(photo) > 1_500_000
    mask = white(hole_mask(noise.shape[:2]))
    assert send(client, photo, mask).status_code == 200


def test_a_jpeg_is_encoded_once_by_the_librarys_own_encoder(client, photo_jpeg, mask_png):
    from inpaintkit.filling.inpainter import Inpainter
    from inpaintkit.photo import encode_photo

    wanted = encode_photo(Inpainter("telea").fill_photo(decode_photo(photo_jpeg), hole_mask()))
    assert send(client, photo_jpeg, mask_png, name="a.jpg").content == wanted
    assert jpeg(decoded(photo_jpeg)) != wanted


def test_a_job_that_waits_does_not_hold_the_file_that_was_sent(serving, waiting, photo_png, mask_png):
    with serving() as client:
        files = {"photo": ("a.png", photo_png), "mask": ("m.png", mask_png)}
        job = client.app.state.service.job(client.post("/api/v1/jobs", files=files).json()["job"])
        assert not any(isinstance(cell.cell_contents, bytes | File) for cell in job._finish.__closure__)
        waiting.go.set()


def test_the_done_event_encodes_no_file(client, photo_png, mask_png, monkeypatch):
    files = {"photo": ("a.png", photo_png), "mask": ("m.png", mask_png)}
    started = client.post("/api/v1/jobs", files=files).json()
    monkeypatch.setattr("inpaintkit.serve.exchange.base64.b64encode", None)
    assert "event: done" in client.get(f"/{started['events']}").text
    assert "image" not in client.get(f"/api/v1/jobs/{started['job']}").json()["done"]
