"""The description is true: every address is in it, with the content and the problems that it answers with."""

import pytest
from picture_files import hole_mask, white

PROBLEMS = "application/problem+json"


@pytest.fixture
def document(serving) -> dict:
    """The description with everything switched on."""
    with serving(compat=("iopaint",), token="a-token-that-is-long") as client:
        return client.get("/openapi.json", headers={"Authorization": "Bearer a-token-that-is-long"}).json()


def operations(document: dict):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_operation_says_what_it_does_and_what_can_go_wrong(document):
    found = list(operations(document))
    assert len(found) >= 18
    for method, path, operation in found:
        assert operation["description"], path
        good = [status for status in operation["responses"] if status < "300"]
        assert len(good) == 1, path
        assert {"401", "421", "429"} <= set(operation["responses"]), path
        for status, response in operation["responses"].items():
            assert response["headers"]["X-Request-Id"]
            if status >= "400":
                assert list(response["content"]) == [PROBLEMS], (path, status)
        if method == "POST":
            assert {"400", "403", "413", "415", "422"} <= set(operation["responses"]), path
            assert operation["requestBody"]["content"]


def test_names_of_operations_differ_and_references_lead_somewhere(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert set(document["components"]["schemas"]) == {"Problem"}
    assert str(document).count("#/components/schemas/") == str(document).count("#/components/schemas/Problem")


def test_pictures_are_described_as_pictures(document):
    content = document["paths"]["/api/v1/fill"]["post"]["responses"]["200"]["content"]
    assert set(content) == {
        "image/png",
        "image/jpeg",
        "image/webp",
        "image/tiff",
        "image/avif",
        "image/heic",
        "application/json",
    }
    fields = document["paths"]["/api/v1/fill"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert fields["required"] == ["photo"]
    assert fields["properties"]["model"]["enum"] == ["telea", "ns"]
    assert document["security"] == [{"token": []}]
    assert document["paths"]["/healthz"]["get"]["security"] == []


def test_answers_are_among_those_described(client, photo_png, mask_png):
    """Good and bad requests to every kind of address; each answer's status and content must be described."""
    document = client.get("/openapi.json").json()
    nobody = "0" * 32
    photo = client.post("/api/v1/photos", files={"photo": ("a.png", photo_png)}).json()["photo"]
    base = "/api/v1/photos/{photo}"
    small = white(hole_mask((5, 5), (1, 1, 2, 2)))
    job = client.post(f"/api/v1/photos/{photo}/fills", files={"mask": ("m.png", small)}).json()["job"]
    client.get(f"/api/v1/jobs/{job}/events")
    asked = [
        ("GET", "/healthz", {}),
        ("GET", "/api/v1/models", {}),
        ("POST", "/api/v1/fill", {"files": {"photo": ("a.png", photo_png), "mask": ("m.png", mask_png)}}),
        ("POST", "/api/v1/fill", {"files": {"photo": ("a.png", b"x")}}),
        ("POST", "/api/v1/fill", {"content": b""}),
        ("POST", "/api/v1/jobs", {"files": {"photo": ("a.png", photo_png), "mask": ("m.png", mask_png)}}),
        ("POST", "/api/v1/photos", {"files": {"photo": ("a.png", photo_png)}}),
        ("GET", base, {}),
        ("GET", f"{base}/versions/1/view", {}),
        ("GET", f"{base}/versions/1/patch", {}),
        ("GET", f"{base}/versions/1/file", {}),
        ("GET", f"{base}/versions/x/file", {}),
        ("GET", f"{base}/versions/9/file", {}),
        ("POST", f"{base}/select", {"json": {"box": [5, 5, 30, 30]}}),
        ("POST", f"{base}/select", {"json": {}}),
        ("POST", f"{base}/patches", {"files": {"patch": ("p.png", b"")}}),
        ("POST", f"{base}/fills", {"files": {"mask": ("p.png", small)}}),
        ("GET", "/api/v1/jobs/{job}", {}),
        ("GET", "/api/v1/jobs/{job}/events", {}),
        ("GET", "/api/v1/jobs/{job}/result", {}),
        ("DELETE", "/api/v1/jobs/{job}", {}),
        ("DELETE", base, {}),
        ("DELETE", base, {}),
    ]
    for method, path, request in asked:
        for who in ((photo, job), (nobody, nobody), ("x", "x")):
            url = path.replace("{photo}", who[0]).replace("{job}", who[1])
            response = client.request(method, url, **request)
            described = path
            for version in ("/versions/1/", "/versions/9/", "/versions/x/"):
                described = described.replace(version, "/versions/{version}/")
            known = document["paths"][described][method.lower()]["responses"]
            assert str(response.status_code) in known, (method, url, response.status_code, response.text)
            content = known[str(response.status_code)].get("content", {})
            kind = response.headers.get("content-type", "").partition(";")[0]
            assert kind in content or (not content and not response.content), (method, url, kind)


def test_the_page_for_people_names_every_address_and_loads_nothing_from_elsewhere(client):
    document = client.get("/openapi.json").json()
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page.text
    assert "<script" not in page.text
    assert "://" not in page.text
    assert client.get("/static/reference.css").headers["cache-control"] == "no-cache"


def test_wrong_methods_and_addresses_are_problems(client):
    for method, path, status in (("PUT", "/healthz", 405), ("GET", "/api/v1/fill", 405), ("GET", "/api/v2", 404)):
        response = client.request(method, path)
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEMS)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"]
)
def test_static_files_end_at_their_folder(client, path):
    assert client.get(path).status_code == 404
