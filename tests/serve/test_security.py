"""Who may ask for what: host, origin, token, headers, limits."""

import pytest
from picture_files import jpeg

from inpaintkit.serve.problems import KINDS
from inpaintkit.serve.security import HEADERS, cookie_of

TOKEN = "a-token-that-is-long"


def problem(response, kind: str) -> str:
    """The detail of a problem of this kind; anything else fails."""
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["type"] == kind, found
    assert response.status_code == found["status"] == KINDS[kind][0]
    assert found["request_id"] == response.headers["x-request-id"]
    assert "\n" not in found["detail"]
    return found["detail"]


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/models", "/nowhere", "/static/nothing.js", "/docs"])
def test_every_answer_has_its_headers(client, path):
    response = client.get(path)
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert len(response.headers["x-request-id"]) == 16
    assert client.get(path).headers["x-request-id"] != response.headers["x-request-id"]


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:1", "[::1]:8765", "LOCALHOST"])
def test_this_computers_names_are_answered(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "localhost.evil.example", "192.168.0.1", "[", ""]
)
def test_a_rebound_name_is_refused(client, host):
    problem(client.get("/healthz", headers={"Host": host}), "wrong-host")


def test_a_name_that_was_allowed_is_answered(serving):
    with serving(allow_hosts=("photos.example",)) as client:
        assert client.get("/healthz", headers={"Host": "photos.example"}).status_code == 200
        own = {"Host": "127.0.0.1:8765", "Origin": "https://photos.example"}
        assert client.delete(f"/api/v1/photos/{'0' * 32}", headers=own).json()["type"] == "photo-gone"


def test_on_every_address_any_name_is_answered_with_the_token(serving):
    known = {"Authorization": f"Bearer {TOKEN}"}
    with serving("photos.example", known, host="0.0.0.0", token=TOKEN) as client:
        assert client.get("/api/v1/models").status_code == 200
        problem(client.get("/api/v1/models", headers={"Authorization": ""}), "no-token")
    with serving("photos.example", known, host="0.0.0.0", token=TOKEN, allow_hosts=("other.example",)) as client:
        problem(client.get("/api/v1/models"), "wrong-host")
        assert client.get("/api/v1/models", headers={"Host": "10.0.0.7:8765"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_may_not_change_anything(client, headers):
    for method in ("POST", "DELETE"):
        problem(client.request(method, f"/api/v1/photos/{'0' * 32}", headers=headers), "wrong-origin")


def test_the_editors_own_page_may(client):
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    problem(client.delete(f"/api/v1/photos/{'0' * 32}", headers=own), "photo-gone")


@pytest.fixture
def guarded(serving):
    """A client without the token of a service that wants one."""
    with serving(token=TOKEN) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/static/editor.css", "/api/v1/models", "/nowhere"])
def test_without_the_token_nothing_is_told(guarded, path):
    response = guarded.get(path)
    problem(response, "no-token")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \xe9\xff"},
        {"Cookie": f"inpaintkit={TOKEN}"},
        {"Cookie": 'inpaintkit="; ='},
    ],
)
def test_a_wrong_token_is_none(guarded, headers):
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    problem(guarded.get("/api/v1/models", headers=sent), "no-token")
    problem(guarded.get("/?token=wrong"), "no-token")
    problem(guarded.get(f"/api/v1/models?token={TOKEN}"), "no-token")


def test_the_token_in_a_header_opens_everything(guarded):
    assert guarded.get("/api/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert guarded.get("/healthz").status_code == 200


def test_the_token_in_the_address_becomes_a_cookie_without_it(guarded):
    response = guarded.get(f"/?token={TOKEN}")
    assert response.status_code == 303
    assert response.headers["location"] == "./"
    cookie = response.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert guarded.cookies["inpaintkit"] == cookie_of(TOKEN)
    assert guarded.get("/api/v1/models").status_code == 200


def test_a_long_request_is_refused_by_what_it_says_and_by_what_it_is(serving, pixels, mask_png):
    with serving(max_bytes=5000) as client:
        files = {"photo": ("a.png", bytes(6000)), "mask": ("m.png", mask_png)}
        assert "0.0 MB" in problem(client.post("/api/v1/fill", files=files), "too-large")

        def chunks():
            yield b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
            for _ in range(10):
                yield bytes(1000)

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        problem(client.post("/api/v1/fill", content=chunks(), headers=headers), "too-large")
        files["photo"] = ("a.jpg", jpeg(pixels))
        assert client.post("/api/v1/fill", files=files).status_code == 200


def test_what_all_requests_hold_is_bounded_and_let_go(serving, photo_png, mask_png):
    size = len(photo_png) + 2000
    with serving(max_bytes=size, requests_memory=1) as client:
        for _ in range(5):
            response = client.post("/api/v1/fill", files={"photo": ("a.png", photo_png), "mask": ("m.png", mask_png)})
            assert response.status_code == 200


def test_a_person_without_the_token_gets_a_page(guarded):
    response = guarded.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (response.status_code, response.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "/?token=TOKEN" in response.text
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    problem(guarded.get("/api/v1/models", headers={"Accept": "text/html"}), "no-token")


@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_a_head_is_answered(client, path):
    assert client.head(path).status_code == 200
