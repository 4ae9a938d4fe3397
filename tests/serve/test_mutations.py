"""Mutated photos, masks and forms: each is a picture or a problem of the sender's, soon answered, and nothing stays."""

import gc
import io
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from picture_files import HOLE, SIZE, hole_mask
from PIL import Image

import turns
from inpaintkit.errors import ModelError
from inpaintkit.photo import Photo, decode_photo
from inpaintkit.serve.problems import KINDS

BOX = ",".join(map(str, HOLE))
MAX_PIXELS = 1_000_000
MAX_BYTES = 3_000_000
LONGEST_S = 20.0
"""What no request may take: hundreds of times what the slowest one takes."""

GROWTH_MB = 80.0
"""Room for what an allocator keeps; one photo of MAX_PIXELS kept by mistake for every hundredth request is more."""

EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk with the checksum it should have."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_right_checksums(content: bytes) -> bytes:
    """A PNG whose checksums fit again, so that a decoder reads what was changed; others as they are."""
    if not content.startswith(PNG_SIGNATURE):
        return content
    at, fixed = len(PNG_SIGNATURE), [PNG_SIGNATURE]
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if at + 12 + length > len(content):
            break
        fixed.append(chunk(content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join(fixed) + content[at:]


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bits flipped, most of them near the start, where a file says what it is."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        end = len(content) if rng.random() < 0.5 else min(len(content), 200)
        changed[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut off anywhere."""
    return content[: int(rng.integers(len(content)))]


def grow(content: bytes, rng: np.random.Generator) -> bytes:
    """A part of it again, or nothing but zeros, put in anywhere."""
    at, start = (int(rng.integers(len(content))) for _ in range(2))
    part = content[start : start + int(rng.integers(1, 5000))] if rng.random() < 0.5 else bytes(rng.integers(1, 70_000))
    return content[:at] + part + content[at:]


def exaggerate(content: bytes, rng: np.random.Generator) -> bytes:
    """A length, size or offset near the start that is extreme."""
    width = int(rng.choice([1, 2, 4]))
    number = EXTREMES[int(rng.integers(len(EXTREMES)))] % (1 << 8 * width)
    at = int(rng.integers(max(1, min(len(content), 400) - width)))
    return content[:at] + number.to_bytes(width, "big" if rng.random() < 0.5 else "little") + content[at + width :]


def overwrite(content: bytes, rng: np.random.Generator) -> bytes:
    """A run of bytes that mean nothing."""
    at = int(rng.integers(len(content)))
    noise = rng.integers(0, 256, int(rng.integers(1, 64))).astype(np.uint8).tobytes()
    return content[:at] + noise + content[at + len(noise) :]


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (flip, truncate, grow, exaggerate, overwrite)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One or two mutations; half of the PNGs get fitting checksums."""
    for _ in range(int(rng.integers(1, 3))):
        if content:
            content = MUTATIONS[int(rng.integers(len(MUTATIONS)))](content, rng)
    return with_right_checksums(content) if rng.random() < 0.5 else content


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file that Pillow writes."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def originals(photo_png: bytes, pixels: np.ndarray) -> dict[str, bytes]:
    """Photos of every kind and with every sort of metadata, by name."""
    from PIL import ImageCms, PngImagePlugin

    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8298] = 6, "a drawing", "nobody"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    told = {"exif": exif.tobytes(), "icc_profile": profile, "dpi": (300, 300)}
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "words " * 50, zip=True)
    deep = pixels.astype(np.uint16) * 257
    import cv2

    found = {
        "plain.png": photo_png,
        "told.png": saved(picture, "PNG", pnginfo=text, **told),
        "deep.png": cv2.imencode(".png", deep)[1].tobytes(),
        "alpha.png": saved(picture.convert("RGBA"), "PNG"),
        "palette.png": saved(picture.quantize(32), "PNG", transparency=3),
        "plain.jpg": saved(picture, "JPEG"),
        "told.jpg": saved(picture, "JPEG", comment=b"words", **told),
        "steps.jpg": saved(picture, "JPEG", progressive=True, subsampling=0),
        "grey.jpg": saved(picture.convert("L"), "JPEG"),
        "inks.jpg": saved(picture.convert("CMYK"), "JPEG"),
        "plain.webp": saved(picture, "WEBP", exif=told["exif"], icc_profile=profile),
        "exact.webp": saved(picture, "WEBP", lossless=True),
        "plain.tif": saved(picture, "TIFF", compression="tiff_lzw", icc_profile=profile, dpi=(300, 300)),
        "deep.tif": cv2.imencode(".tiff", deep)[1].tobytes(),
    }
    from PIL import features

    if features.check("avif"):
        found["plain.avif"] = saved(picture, "AVIF")
    return found


@pytest.fixture(scope="module")
def bombs(pixels: np.ndarray) -> dict[str, bytes]:
    """Small files that say or unpack to something large."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE[1], SIZE[0], 8, 2, 0, 0, 0))
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    zeros, end = zlib.compress(bytes(40_000_000)), chunk(b"IEND", b"")
    found = {
        name: PNG_SIGNATURE + header + before + chunk(b"IDAT", rows) + end
        for name, before in {
            "text": chunk(b"zTXt", b"Comment\0\0" + zeros),
            "words": chunk(b"iTXt", b"Comment\0\1\0\0\0" + zeros),
            "profile": chunk(b"iCCP", b"profile\0\0" + zeros),
            "chunks": chunk(b"tEXt", b"a\0b") * 40_000,
        }.items()
    }
    found["rows"] = PNG_SIGNATURE + header + chunk(b"IDAT", zeros) + end
    wide = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
    found["wide"] = PNG_SIGNATURE + wide + chunk(b"IDAT", rows) + end
    return found


@pytest.fixture(scope="module")
def masks() -> tuple[bytes, ...]:
    """Masks as files of several kinds."""
    picture = Image.fromarray(np.where(hole_mask(), np.uint8(255), np.uint8(0)))
    return (
        saved(picture, "PNG"),
        saved(picture.convert("1"), "PNG"),
        saved(picture.convert("RGBA"), "PNG"),
        saved(picture, "BMP"),
        saved(picture, "TIFF"),
        saved(picture, "GIF"),
        saved(picture, "JPEG"),
    )


class Sender:
    """Sends what should not be sent and checks every answer; `kinds` counts them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.kinds: Counter[str] = Counter()
        self.slowest_s = 0.0
        self._thread = ThreadPoolExecutor(1)

    def ask(self, method: str, path: str, what: str, **request: Any) -> Any:
        """An answer that came in time, and that is no error of the service's own."""
        begun = time.perf_counter()
        response = self._thread.submit(self.client.request, method, path, **request).result(LONGEST_S)
        self.slowest_s = max(self.slowest_s, time.perf_counter() - begun)
        assert response.status_code < 500, (what, response.status_code, response.text)
        if response.status_code >= 400:
            problem = response.json()
            assert KINDS[problem["type"]][0] == problem["status"] == response.status_code, what
            assert problem["detail"], what
            self.kinds[problem["type"]] += 1
        else:
            self.kinds["good"] += 1
        return response

    def photo(self, content: bytes, what: str) -> None:
        """A photo to fill, and to open in the editor, look at and download."""
        files = {"photo": ("a.jpg", content)}
        filled = self.ask("POST", "/api/v1/fill", what, files=files, data={"box": BOX, "format": "png"})
        if filled.status_code == 200:
            check_known_pixels(content, filled.content, what)
            self.ask("POST", "/api/v1/fill", what, files=files, data={"box": BOX})
        opened = self.ask("POST", "/api/v1/photos", what, files=files)
        if opened.status_code == 201:
            base = f"/api/v1/photos/{opened.json()['photo']}"
            self.ask("GET", f"{base}/versions/0/view", what, params={"scale": "0.5"})
            self.ask("GET", f"{base}/versions/0/file", what, params={"format": "png"})
            self.ask("POST", f"{base}/select", what, json={"box": [2, 2, 20, 20]})
            assert self.client.delete(base).status_code == 204

    def mask(self, content: bytes, photo: bytes, held: str, what: str) -> None:
        """A mask beside a whole photo, as a window of the editor's mask, and as a patch."""
        files = {"photo": ("a.png", photo), "mask": ("m.png", content)}
        filled = self.ask("POST", "/api/v1/fill", what, files=files)
        if filled.status_code == 200:
            assert decode_photo(filled.content).size == SIZE, what
        started = self.ask("POST", f"/api/v1/photos/{held}/fills", what, files={"mask": ("m.png", content)})
        if started.status_code == 202:
            self.ask("GET", "/" + started.json()["events"], what)
            self.ask("GET", "/" + started.json()["result"], what)
        self.ask("POST", f"/api/v1/photos/{held}/patches", what, files={"patch": ("p.png", content)})

    def form(self, body: bytes, kind: str, what: str) -> None:
        """A form whose every byte may be wrong."""
        self.ask("POST", "/api/v1/fill", what, content=body, headers={"Content-Type": kind})


def check_known_pixels(sent: bytes, answered: bytes, what: str) -> None:
    """What could be read of a damaged photo comes back outside the hole as it was."""
    before, after = decode_photo(sent), decode_photo(answered)
    assert before.size == after.size, what
    known = ~hole_mask(before.size)
    assert np.array_equal(before.pixels[known], after.pixels[known]), what


def form_of(photo: bytes, mask: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A whole form as it is sent, and its media type."""
    boundary = f"boundary{int(rng.integers(10**6))}"
    parts = [
        (b'name="photo"; filename="a.png"', photo),
        (b'name="mask"; filename="m.png"', mask),
        (b'name="grow"', b"2"),
        (b'name="box"', b"1,1,5,5"),
        (b'name="seed"', b"7"),
    ]
    mark = boundary.encode()
    body = b"".join(
        b"--" + mark + b"\r\nContent-Disposition: form-data; " + about + b"\r\n\r\n" + content + b"\r\n"
        for about, content in parts
    )
    return body + b"--" + mark + b"--\r\n", f"multipart/form-data; boundary={boundary}"


def held_photos() -> int:
    """Photos that anything still refers to."""
    gc.collect()
    return sum(type(each) is Photo for each in gc.get_objects())  # isinstance would ask lazy modules for their class


def send_mutants(
    serving: Any, originals: dict[str, bytes], masks: tuple[bytes, ...], count: int, seed: int
) -> tuple[Counter[str], list[float], float]:
    """So many mutants, a third each of photos, masks and forms: the answers by kind, the memory's course, the slowest.

    Nothing may be held when all were sent.
    """
    limits = {"max_pixels": MAX_PIXELS, "max_bytes": MAX_BYTES, "time_limit_s": LONGEST_S, "results_memory": 1_000_000}
    photos_before, course = held_photos(), []
    with serving(**limits) as client:
        sender, names = Sender(client), list(originals)
        held = client.post("/api/v1/photos", files={"photo": ("a.png", originals["plain.png"])}).json()["photo"]
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            name = names[int(rng.integers(len(names)))]
            mask = masks[int(rng.integers(len(masks)))]
            match number % 3:
                case 0:
                    sender.photo(mutated(originals[name], rng), f"photo {number} of {name}")
                case 1:
                    sender.mask(mutated(mask, rng), originals["plain.png"], held, f"mask {number}")
                case _:
                    body, kind = form_of(originals[name], mask, rng)
                    sender.form(mutated(body, rng), kind, f"form {number} of {name}")
            if number % (count // 4) == count // 4 - 1:
                # The versions of the photo that masks are tried on are kept on purpose.
                client.delete(f"/api/v1/photos/{held}")
                held = client.post("/api/v1/photos", files={"photo": ("a.png", originals["plain.png"])}).json()["photo"]
                gc.collect()
                course.append(turns.held_megabytes())
        client.delete(f"/api/v1/photos/{held}")
        state = client.app.state
        assert client.get("/healthz").json()["queue"] == 0
        assert state.store.nbytes == 0
        assert held_photos() == photos_before
    return sender.kinds, course, sender.slowest_s


def test_mutants_are_answered_and_leave_nothing(serving, originals, masks):
    kinds, course, _ = send_mutants(serving, originals, masks, 360, seed=6)
    # If the mutations were so wild that nothing got past the first check, this would be a test of that check only.
    assert kinds["good"] > 100
    assert len(kinds) > 5
    assert course[-1] - course[0] < GROWTH_MB, course


@pytest.mark.slow
def test_ten_thousand_mutants_are_answered_and_leave_nothing(serving, originals, masks):
    kinds, course, slowest_s = send_mutants(serving, originals, masks, 10_000, seed=7)
    print(dict(kinds), [round(each) for each in course], f"{slowest_s:.2f} s")  # noqa: T201 - for who runs it by hand
    assert course[-1] - course[0] < GROWTH_MB, course


def test_the_originals_are_all_filled(serving, originals):
    """Mutants of what was refused anyway would show nothing."""
    with serving() as client:
        for name, content in originals.items():
            sent = {"photo": (name, content)}
            response = client.post("/api/v1/fill", files=sent, data={"box": BOX, "format": "png"})
            assert response.status_code == 200, (name, response.text)
            check_known_pixels(content, response.content, name)


def test_bombs_cost_neither_time_nor_memory(serving, bombs):
    with serving(max_pixels=MAX_PIXELS) as client:
        sender = Sender(client)
        for name, content in bombs.items():
            sender.photo(content, name)
            sender.mask(content, content, "0" * 32, name)
        assert sender.slowest_s < LONGEST_S / 2


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_thin_photos_are_filled(serving, size):
    picture = saved(Image.fromarray(np.full((*size, 3), 90, np.uint8)), "PNG")
    with serving() as client:
        Sender(client).photo(picture, str(size))
        for model in ("telea", "ns"):
            files, data = {"photo": ("a.png", picture)}, {"box": "0,0,1,1", "model": model}
            assert client.post("/api/v1/fill", files=files, data=data).status_code in (200, 422)


def test_wrong_kinds_of_parts_are_the_senders_error(client, photo_png, mask_png):
    """Text for a file, a file for text, the same again, nothing, JSON."""
    photo, mask = ("photo", ("a.png", photo_png)), ("mask", ("m.png", mask_png))
    wrong: list[dict[str, Any]] = [
        {"data": {"photo": "text"}, "files": [mask]},
        {"files": [photo, ("mask", ("m.png", b""))]},
        {"files": [("photo", ("a.png", b"")), mask]},
        {"files": [photo, photo, mask]},
        {"files": [photo, mask, ("grow", ("g.txt", b"2"))]},
        {"files": [photo, mask, ("more", ("g.txt", b"2"))]},
        {"files": [photo, mask], "data": {"seed": ["1", "2"]}},
        {"files": [photo, mask], "data": {"grow": "9" * 20_000}},
        {"json": {"photo": "a"}},
        {"content": photo_png, "headers": {"Content-Type": "image/png"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"--b--", "headers": {"Content-Type": "multipart/form-data; boundary=b; charset=undefined"}},
        {"content": b"", "headers": {"Content-Type": "multipart/form-data; boundary="}},
    ]
    for request in wrong:
        for path in ("/api/v1/fill", "/api/v1/jobs", "/api/v1/photos"):
            response = client.post(path, **request)
            assert 400 <= response.status_code < 500, (path, request.keys(), response.status_code)
            assert response.json()["type"] in KINDS


@pytest.mark.parametrize("depth", [10, 900, 960, 980, 990, 995, 100_000])
def test_deep_json_is_the_senders_error(client, photo_png, depth):
    held = client.post("/api/v1/photos", files={"photo": ("a.png", photo_png)}).json()["photo"]
    for name in ("version", "grow", "box", "outline", "other"):
        body = f'{{"{name}": {"[" * depth}{"]" * depth}}}'
        response = client.post(
            f"/api/v1/photos/{held}/select", content=body, headers={"Content-Type": "application/json"}
        )
        assert response.status_code in (400, 422), (name, response.text)


def test_a_job_that_failed_does_not_hold_its_photo(serving, photo_png, mask_png):
    """Its problem is told for minutes; a problem that was raised would keep every frame it went through."""

    def broken(*_: Any, **__: Any) -> None:
        raise ModelError("the model is broken, expected a whole one: install it again")

    before = held_photos()
    with pytest.MonkeyPatch.context() as patch, serving() as client:
        patch.setattr("inpaintkit.serve.service.Inpainter.fill_photo_reported", broken)
        files = {"photo": ("a.png", photo_png), "mask": ("m.png", mask_png)}
        jobs = [client.post("/api/v1/jobs", files=files).json()["job"] for _ in range(3)]
        for job in jobs:
            client.get(f"/api/v1/jobs/{job}/events")
            for _ in range(2):
                assert client.get(f"/api/v1/jobs/{job}/result").json()["type"] == "model-failed"
        service = client.app.state.service
        assert service.job(jobs[0]).problem is not service.job(jobs[0]).problem
        assert held_photos() == before


def test_a_job_that_was_refused_is_no_job(serving, photo_png):
    """Nobody was told its id: the end of the service must not wait for anybody to fetch it."""
    with serving() as client:
        service = client.app.state.service
        held = client.post("/api/v1/photos", files={"photo": ("a.png", photo_png)}).json()["photo"]
        wrong = {"photo": ("a.png", photo_png), "mask": ("m.png", b"no picture")}
        assert client.post("/api/v1/jobs", files=wrong).status_code == 422
        assert client.post(f"/api/v1/photos/{held}/fills", files={"mask": wrong["mask"]}).status_code == 422
        assert (service.unfetched, service.queue, len(service._jobs)) == (0, 0, 0)


def test_results_that_nobody_fetches_go_without_being_asked_for(serving, photo_png, mask_png, monkeypatch):
    monkeypatch.setattr("inpaintkit.serve.app.TIDY_S", 0.02)
    with serving(result_s=0.05) as client:
        files = {"photo": ("a.png", photo_png), "mask": ("m.png", mask_png)}
        job = client.post("/api/v1/jobs", files=files).json()["job"]
        client.get(f"/api/v1/jobs/{job}/events")
        end = time.monotonic() + LONGEST_S
        while client.app.state.service._jobs:
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/json"])
def test_who_hangs_up_while_sending_is_no_defect(serving, photo_png, caplog, kind):
    """Half a form, then nothing: no answer, and above all no error in the log, which anybody could fill with it."""
    begun = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\nx'
    messages = [{"type": "http.request", "body": begun, "more_body": True}, {"type": "http.disconnect"}]
    told: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        told.append(message)

    with serving() as client:
        held = client.post("/api/v1/photos", files={"photo": ("a.png", photo_png)}).json()["photo"]
        path = "/api/v1/fill" if "form" in kind else f"/api/v1/photos/{held}/select"
        headers = [(b"host", b"localhost"), (b"content-type", kind.encode())]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        client.portal.call(client.app, {**scope, "scheme": "http", "root_path": ""}, receive, send)
        assert client.get("/healthz").json()["queue"] == 0
    assert (messages, told) == ([], [])
    assert not [each for each in caplog.records if each.name == "inpaintkit.serve" and each.levelname == "ERROR"]
