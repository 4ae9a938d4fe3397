"""IOPaint's addresses, asked as its plug-ins ask."""

import base64

import numpy as np
import pytest
from picture_files import decoded, hole_mask, png


@pytest.fixture
def compatible(serving):
    """A client of a service that answers IOPaint's addresses."""
    with serving(compat=("iopaint",)) as client:
        yield client


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "data:image/jpeg;charset=utf-8;base64,"])
def test_an_image_and_a_mask_in_base64_give_a_png(compatible, pixels, photo_png, mask_png, prefix):
    request = {
        "image": prefix + text(photo_png),
        "mask": prefix + text(mask_png),
        "hd_strategy": "Crop",
        "ldm_steps": 20,
        "sd_seed": 7,
        "prompt": "",
    }
    response = compatible.post("/api/v1/inpaint", json=request)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert response.headers["x-seed"] == "7"
    filled = decoded(response.content)
    assert np.array_equal(filled[~hole_mask()], pixels[~hole_mask()])
    assert not np.array_equal(filled, pixels)


def test_alpha_is_kept_and_the_seed_may_be_drawn(compatible, pixels, mask_png):
    clear = np.dstack([pixels, pixels[..., 0]])
    response = compatible.post(
        "/api/v1/inpaint", json={"image": text(png(clear)), "mask": text(mask_png), "sd_seed": -1}
    )
    assert np.array_equal(decoded(response.content)[..., 3], clear[..., 3])
    assert int(response.headers["x-seed"]) >= 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"mask": None}, 422),
        ({"image": "%%%="}, 415),
        ({"image": "a"}, 422),
        ({"image": ""}, 422),
        ({"sd_seed": "x"}, 422),
        ({"use_extender": True}, 422),
        ({"mask": text(png(np.zeros((5, 5), np.uint8)))}, 422),
    ],
)
def test_what_cannot_be_done_is_a_problem(compatible, photo_png, mask_png, change, status):
    response = compatible.post("/api/v1/inpaint", json={"image": text(photo_png), "mask": text(mask_png)} | change)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_front_ends_find_the_models_and_switch_between_them(compatible, photo_png, mask_png):
    config = compatible.get("/api/v1/server-config").json()
    assert [model["name"] for model in config["modelInfos"]] == ["telea", "ns"]
    assert config["plugins"] == []
    current = compatible.get("/api/v1/model").json()
    assert (current["name"], current["model_type"], current["need_prompt"]) == ("telea", "inpaint", False)
    request = {"image": text(photo_png), "mask": text(mask_png)}
    before = compatible.post("/api/v1/inpaint", json=request).content
    assert compatible.post("/api/v1/model", json={"name": "ns"}).json()["name"] == "ns"
    assert compatible.get("/api/v1/model").json()["name"] == "ns"
    assert compatible.post("/api/v1/inpaint", json=request).content != before
    assert compatible.post("/api/v1/model", json={"name": "lama"}).status_code == 422
    assert compatible.get("/api/v1/samplers").json() == []


def test_they_are_answered_only_where_it_was_asked_for(client):
    assert client.get("/api/v1/server-config").status_code == 404
    assert client.post("/api/v1/inpaint", json={}).status_code == 404


@pytest.mark.parametrize("body", [b'{"image": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"a": [' + b"1," * 5000 + b"1]}"])
def test_a_body_of_many_parts_is_refused_before_it_is_parsed(serving, body):
    with serving(compat=("iopaint",)) as client:
        response = client.post("/api/v1/inpaint", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["type"]) == (400, "bad-request")
        assert "1,000" in response.json()["detail"]


def test_only_a_photo_may_be_long(serving):
    with serving(compat=("iopaint",)) as client:
        response = client.post("/api/v1/model", json={"name": "x" * 1_100_000})
        assert (response.status_code, response.json()["type"]) == (413, "too-large")
