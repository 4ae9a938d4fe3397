"""Forms and JSON as they arrive: what is read, and what is refused in which words."""

import pytest

from inpaintkit.errors import UsageError
from inpaintkit.serve.forms import BOX, FORMAT, GROW, QUALITY, SEED, safe_name

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


def detail(client, **request) -> tuple[int, str]:
    response = client.post("/api/v1/fill", **request)
    return response.status_code, response.json()["detail"]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (GROW, "4", 4),
        (GROW, "4px", 4),
        (GROW, "3%", "3%"),
        (BOX, "1,2,3,4", (1, 2, 3, 4)),
        (SEED, "7", 7),
        (QUALITY, "100", 100),
        (FORMAT, "keep", None),
        (FORMAT, "jpg", "JPEG"),
    ],
)
def test_fields_are_read(field, text, value):
    assert field.read(text) == value


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (GROW, ""),
        (GROW, "-1"),
        (GROW, "99999"),
        (GROW, "4 px"),
        (BOX, "1,2,3"),
        (BOX, "1,2,0,4"),
        (BOX, "-1,2,3,4"),
        (BOX, "\u0661,2,3,4"),
        (SEED, "1.5"),
        (SEED, "-1"),
        (SEED, "9" * 30),
        (QUALITY, "0"),
        (QUALITY, "101"),
        (FORMAT, "PNG"),
        (FORMAT, "exe"),
        (FORMAT, ""),
    ],
)
def test_other_values_are_refused(field, text):
    with pytest.raises(UsageError, match=r"expected|valid are"):
        field.read(text)


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"json": {}}, 415, "multipart/form-data"),
        ({"content": b""}, 415, "multipart/form-data"),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 400, "boundary"),
        ({"content": b"nonsense", "headers": MULTIPART}, 400, "cannot be read"),
        ({"content": b"--b\r\n\r\nx\r\n--b--\r\n", "headers": MULTIPART}, 400, "cannot be read"),
        ({"content": b"--b--\r\n", "headers": MULTIPART}, 422, "missing photo"),
        ({"data": {"photo": "text"}, "files": {"mask": b"x"}}, 422, "photo is text, expected a file"),
        ({"files": {"model": b"x"}}, 422, "model is a file, expected text"),
        ({"files": {"foto": b"x"}}, 422, "did you mean 'photo'"),
        ({"files": [("photo", b"x"), ("photo", b"y")]}, 422, "twice"),
        ({"files": {"photo": b"x"}, "data": {"seed": "x"}}, 422, "seed is 'x'"),
        ({"files": {"photo": b"x"}, "data": {"model": "../../etc"}}, 422, "valid are ns, telea"),
        ({"files": {"photo": b"x"}, "data": {"detail": "x" * 20000}}, 400, "maximum size"),
    ],
)
def test_a_form_that_is_wrong_is_refused_in_words(client, request_, status, words):
    found = detail(client, **request_)
    assert found[0] == status, found
    assert words in found[1]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.jpg", "a.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.jpg", "a.jpg"),
        ('a"b\r\nc.jpg', "abc.jpg"),
        ("Grüße.jpg", "Grüße.jpg"),
        ("", "photo"),
        ("...", "photo"),
        ("\ud800.png", "png"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_name_cannot_lead_anywhere(name, safe):
    assert safe_name(name) == safe
