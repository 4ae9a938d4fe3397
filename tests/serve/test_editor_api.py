"""The editor's photos over HTTP: opened, filled version by version, looked at, rebuilt, selected in, downloaded."""

import io
import json

import cv2
import numpy as np
import pytest
from picture_files import HOLE, SIZE, decoded, hole_mask, png, white
from PIL import ExifTags, Image

import inpaintkit

PHOTOS = "/api/v1/photos"


def opened(client, content: bytes, name: str = "a.png") -> str:
    response = client.post(PHOTOS, files={"photo": (name, content)})
    assert response.status_code == 201, response.text
    return response.json()["photo"]


def filled(client, photo: str, hole=HOLE, **fields) -> dict:
    """Fill a box in the editor; what the `done` event says."""
    top, left, height, width = hole
    mask = white(np.ones((height, width), bool))
    response = client.post(
        f"{PHOTOS}/{photo}/fills", files={"mask": ("m.png", mask)}, data={"top": top, "left": left, **fields}
    )
    assert response.status_code == 202, response.text
    text = client.get(f"/{response.json()['events']}").text
    name, facts = text.strip().split("\n\n")[-1].split("\n")
    assert name == "event: done", text
    return json.loads(facts.removeprefix("data: "))


def file_of(client, photo: str, version: int, **query) -> bytes:
    response = client.get(f"{PHOTOS}/{photo}/versions/{version}/file", params=query)
    assert response.status_code == 200, response.text
    return response.content


def test_a_photo_is_opened_and_closed(client, photo_jpeg):
    response = client.post(PHOTOS, files={"photo": ("x/Grüße.jpg", photo_jpeg)})
    facts = response.json()
    photo = facts["photo"]
    assert len(photo) == 32
    assert facts == {
        "photo": photo,
        "width": 80,
        "height": 60,
        "media_type": "image/jpeg",
        "format": "jpg",
        "name": "Grüße.jpg",
        "bits": 8,
        "has_alpha": False,
        "turned": False,
        "notes": [],
        "version": 0,
    }
    assert client.get(f"{PHOTOS}/{photo}").json() == facts
    assert client.delete(f"{PHOTOS}/{photo}").status_code == 204
    for path in ("", "/versions/0/view", "/versions/0/file", "/versions/1/patch"):
        gone = client.get(f"{PHOTOS}/{photo}{path}")
        assert (gone.status_code, gone.json()["type"]) == (404, "photo-gone")


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_fills_on_fills_keep_every_known_pixel(client, pixels, depth):
    photo_pixels = pixels.astype(depth) * (257 if depth == np.uint16 else 1)
    photo = opened(client, png(photo_pixels))
    first = filled(client, photo, seed=0)
    assert {name: first[name] for name in ("version", "top", "left", "height", "width")} == {
        "version": 1,
        "top": HOLE[0],
        "left": HOLE[1],
        "height": HOLE[2],
        "width": HOLE[3],
    }
    one = decoded(file_of(client, photo, 1))
    assert one.dtype == depth
    assert np.array_equal(one, inpaintkit.fill(photo_pixels, hole_mask(), "telea"))
    hole = (2, 3, 9, 10)
    second = filled(client, photo, hole, version=1, model="ns")
    assert second["version"] == 2
    two = decoded(file_of(client, photo, 2))
    assert np.array_equal(two, inpaintkit.fill(one, hole_mask(SIZE, hole), "ns"))
    beside = filled(client, photo, hole, version=0)  # another branch, on the photo as it came
    three = decoded(file_of(client, photo, beside["version"]))
    assert np.array_equal(three[hole_mask()], photo_pixels[hole_mask()])
    assert np.array_equal(decoded(file_of(client, photo, 1)), one)


def test_a_grown_fill_tells_its_grown_window(client, photo_png):
    facts = filled(client, opened(client, photo_png), grow="2")
    assert (facts["top"], facts["left"], facts["height"], facts["width"]) == (18, 28, 16, 20)


def test_the_file_as_it_came_is_given_back_untouched(client, photo_jpeg):
    photo = opened(client, photo_jpeg, "a.jpg")
    assert file_of(client, photo, 0) == photo_jpeg
    assert file_of(client, photo, 0, format="png") != photo_jpeg
    assert len(file_of(client, photo, 0, quality=10)) < len(photo_jpeg)


def test_a_version_as_another_format(client, photo_png):
    photo = opened(client, photo_png)
    response = client.get(f"{PHOTOS}/{photo}/versions/0/file", params={"format": "jpg", "quality": 80})
    assert response.headers["content-type"] == "image/jpeg"
    assert "a-filled.jpg" in response.headers["content-disposition"]
    for query in ({"format": "exe"}, {"format": "../x"}, {"quality": 0}, {"quality": 50}):
        wrong = client.get(f"{PHOTOS}/{photo}/versions/0/file", params=query)
        assert (wrong.status_code, wrong.json()["type"]) == (422, "bad-option")


def test_views_show_a_window_in_8_bits(client, pixels):
    photo = opened(client, png(pixels.astype(np.uint16) * 257))
    whole = client.get(f"{PHOTOS}/{photo}/versions/0/view")
    assert whole.headers["x-window"] == "0,0,60,80"
    assert np.array_equal(decoded(whole.content), pixels)
    part = client.get(f"{PHOTOS}/{photo}/versions/0/view?top=5&left=6&height=7&width=8")
    assert part.headers["x-window"] == "5,6,7,8"
    assert np.array_equal(decoded(part.content), pixels[5:12, 6:14])
    half = client.get(f"{PHOTOS}/{photo}/versions/0/view?scale=0.5")
    assert decoded(half.content).shape == (30, 40, 3)


def test_a_large_view_is_a_jpeg_and_one_with_alpha_a_png(client):
    rows, columns = np.mgrid[:1100, :1000]
    large = np.stack([rows // 5, columns // 4, rows // 9], axis=-1).astype(np.uint8)
    view = client.get(f"{PHOTOS}/{opened(client, png(large))}/versions/0/view")
    assert view.headers["content-type"] == "image/jpeg"
    assert np.abs(decoded(view.content).astype(int) - large).mean() < 2
    clear = np.dstack([large, rows // 5]).astype(np.uint8)
    view = client.get(f"{PHOTOS}/{opened(client, png(clear))}/versions/0/view")
    assert view.headers["content-type"] == "image/png"
    assert decoded(view.content).shape == clear.shape


@pytest.mark.parametrize(
    "query", ["top=60", "left=79&width=2", "height=61", "height=0", "top=-1", "scale=0", "scale=2", "top=x"]
)
def test_views_outside_are_refused(client, photo_png, query):
    response = client.get(f"{PHOTOS}/{opened(client, photo_png)}/versions/0/view?{query}")
    assert (response.status_code, response.json()["type"]) == (422, "bad-option")


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_patches_rebuild_a_photo_bit_for_bit(client, pixels, depth):
    """What the editor does after the service was started anew."""
    content = png(pixels.astype(depth) * (257 if depth == np.uint16 else 1))
    photo = opened(client, content)
    filled(client, photo, grow="1")
    filled(client, photo, (1, 2, 5, 6), version=1)
    again = opened(client, content)
    for version in (1, 2):
        patch = client.get(f"{PHOTOS}/{photo}/versions/{version}/patch")
        assert decoded(patch.content).dtype == depth
        top, left, height, width = map(int, patch.headers["x-window"].split(","))
        assert decoded(patch.content).shape == (height, width, 4)
        response = client.post(
            f"{PHOTOS}/{again}/patches",
            files={"patch": ("p.png", patch.content)},
            data={"top": top, "left": left, "version": version - 1},
        )
        assert response.status_code == 201
        assert response.json() == {"version": version, "top": top, "left": left, "height": height, "width": width}
    assert file_of(client, again, 2) == file_of(client, photo, 2)


def test_patches_and_masks_outside_the_photo_are_refused(client, photo_png):
    photo = opened(client, photo_png)
    mask, patch = white(np.ones((10, 10), bool)), png(np.full((10, 10, 4), 255, np.uint8))
    for what, field, content in (("fills", "mask", mask), ("patches", "patch", patch)):
        for place in ({"top": 55}, {"left": 75}, {"top": -1}, {"version": 7}):
            response = client.post(f"{PHOTOS}/{photo}/{what}", files={field: ("x.png", content)}, data=place)
            assert response.status_code in (404, 422), (what, place)
    empty = client.post(f"{PHOTOS}/{photo}/fills", files={"mask": ("m.png", white(np.zeros((5, 5), bool)))})
    assert "nothing is marked" in empty.json()["detail"]
    deep = png(np.full((5, 5, 4), 65535, np.uint16))
    assert "16 bits" in client.post(f"{PHOTOS}/{photo}/patches", files={"patch": ("p.png", deep)}).json()["detail"]
    assert client.get("/healthz").json()["queue"] == 0


def test_version_0_has_no_patch(client, photo_png):
    response = client.get(f"{PHOTOS}/{opened(client, photo_png)}/versions/0/patch")
    assert (response.status_code, response.json()["type"]) == (404, "version-gone")


def test_a_cancelled_fill_changes_nothing(serving, waiting, pixels, photo_png):
    with serving() as client:
        photo = opened(client, photo_png)
        mask = white(np.ones((5, 5), bool))
        started = client.post(f"{PHOTOS}/{photo}/fills", files={"mask": ("m.png", mask)}).json()
        assert waiting.began.wait(5)
        client.delete(f"/api/v1/jobs/{started['job']}")
        waiting.go.set()
        assert client.get(f"{PHOTOS}/{photo}").json()["version"] == 0
        assert np.array_equal(decoded(file_of(client, photo, 0, format="png")), pixels)


def test_the_result_of_a_fill_is_what_its_event_said(client, photo_png):
    photo = opened(client, photo_png)
    mask = white(np.ones((5, 5), bool))
    started = client.post(f"{PHOTOS}/{photo}/fills", files={"mask": ("m.png", mask)}).json()
    client.get(f"/{started['events']}")
    status = client.get(f"/api/v1/jobs/{started['job']}").json()
    assert status["done"]["version"] == 1
    assert client.get(f"/{started['result']}").json() == status["done"]


def thing_photo() -> tuple[bytes, np.ndarray]:
    """A bright disc on a dark textured ground, and where it is."""
    rng = np.random.default_rng(0)
    picture = rng.normal(60, 12, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    disc = cv2.circle(np.zeros((300, 400), np.uint8), (220, 140), 50, 1, -1).astype(bool)
    picture[disc] = rng.normal((220, 180, 40), 10, (disc.sum(), 3)).clip(0, 255)
    return png(picture), disc


@pytest.mark.parametrize(
    "request_",
    [
        {"outline": [[150, 75], [290, 70], [300, 210], [140, 205]]},
        {"box": [70, 150, 140, 145]},
        {"box": [70, 150, 140, 145], "grow": 5, "version": 0},
    ],
)
def test_a_rough_outline_snaps_to_the_thing(client, request_):
    content, disc = thing_photo()
    response = client.post(f"{PHOTOS}/{opened(client, content)}/select", json=request_)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    top, left, height, width = map(int, response.headers["x-window"].split(","))
    found = np.zeros(disc.shape, bool)
    found[top : top + height, left : left + width] = decoded(response.content) > 0
    grown = cv2.dilate(disc.astype(np.uint8), np.ones((11, 11))) > 0 if "grow" in request_ else disc
    assert (found & grown).sum() / (found | grown).sum() > 0.85
    assert (found & disc).sum() / disc.sum() > 0.97


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "either an outline or a box"),
        ({"box": [1, 1, 5, 5], "outline": [[0, 0], [5, 0], [0, 5]]}, "either an outline or a box"),
        ({"box": [1, 1, 5]}, "four whole numbers"),
        ({"box": [1, 1, 0, 5]}, "inside the photo"),
        ({"box": [1, 1, True, 5]}, "four whole numbers"),
        ({"box": [55, 79, 1, 1]}, "hardly any pixel"),
        ({"outline": [[0, 0], [5, 0]]}, "3 to"),
        ({"outline": [[0, 0], [5, 0], ["a", 1]]}, "3 to"),
        ({"outline": [[0, 0], [5, 0], [1e9, 1]]}, "3 to"),
        ({"outline": "x", "grow": 0}, "3 to"),
        ({"box": [1, 1, 5, 5], "grow": -1}, "grow is -1"),
        ({"box": [1, 1, 5, 5], "grow": "2"}, 'grow is "2"'),
        ({"box": [1, 1, 5, 5], "path": "/"}, "unknown name 'path'"),
        ([], "no object"),
    ],
)
def test_selections_that_make_no_sense_are_refused(client, photo_png, request_, words):
    response = client.post(f"{PHOTOS}/{opened(client, photo_png)}/select", json=request_)
    assert (response.status_code, response.json()["type"]) == (
        422,
        "bad-option" if "hardly" not in words else "bad-mask",
    )
    assert words in response.json()["detail"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"box": [1e999, 1, 2, 3]}', b'{"version": NaN}']
)
def test_broken_json_is_refused(client, photo_png, content):
    headers = {"Content-Type": "application/json"}
    response = client.post(f"{PHOTOS}/{opened(client, photo_png)}/select", content=content, headers=headers)
    assert response.status_code in (400, 422)


@pytest.mark.parametrize(
    ("orientation", "kind"), [(1, "JPEG"), (3, "JPEG"), (6, "JPEG"), (6, "PNG"), (8, "WEBP"), (2, "TIFF")]
)
def test_a_photo_says_whether_it_was_turned(client, pixels, orientation, kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, exif=exif)
    facts = client.get(f"{PHOTOS}/{opened(client, file.getvalue())}").json()
    assert facts["turned"] is (orientation != 1)
    assert (facts["width"], facts["height"]) == ((60, 80) if orientation > 4 else (80, 60))


def test_a_selection_of_more_than_a_megabyte_is_refused(client, photo_png):
    photo = opened(client, photo_png)
    response = client.post(f"{PHOTOS}/{photo}/select", json={"outline": [[0, 0]] * 300_000})
    assert (response.status_code, response.json()["type"]) == (413, "too-large")


def test_the_address_of_a_job_is_relative_to_the_request(client, photo_png):
    photo = opened(client, photo_png)
    mask = {"mask": ("m.png", white(np.ones((5, 5), bool)))}
    response = client.post(f"{PHOTOS}/{photo}/fills", files=mask)
    job = response.json()["job"]
    assert response.headers["location"] == f"../../jobs/{job}"
    assert response.url.join(response.headers["location"]).path == f"/api/v1/jobs/{job}"
    response = client.post("/api/v1/jobs", files={"photo": ("a.png", photo_png)}, data={"box": "1,1,5,5"})
    assert response.headers["location"] == f"jobs/{response.json()['job']}"
