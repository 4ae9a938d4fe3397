"""What schemathesis makes of the description: requests as it allows them and as it does not, and answers as it says."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from picture_files import hole_mask, white

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is part of the extra [dev]")

EXAMPLES = 12
"""Requests of each operation and way; the seed is fixed, so that a run is like the one before."""

STREAM = "/api/v1/jobs/{job}/events"


@pytest.fixture(scope="module")
def pictures(photo_png: bytes, photo_jpeg: bytes, mask_png: bytes) -> None:
    """Half of the files that are sent are ones that can be read."""
    small = white(hole_mask((5, 5), (1, 1, 2, 2)))
    real = st.sampled_from([photo_png, photo_jpeg, mask_png, small])
    schemathesis.openapi.format("binary", real | st.binary(max_size=200))


@pytest.fixture
def opened(client: Any, photo_png: bytes, mask_png: bytes, pictures: None) -> dict[str, str]:
    """A photo that is open and a job that is done, by the names that they have in addresses."""
    photo = client.post("/api/v1/photos", files={"photo": ("a.png", photo_png)}).json()["photo"]
    job = client.post(f"/api/v1/photos/{photo}/fills", files={"mask": ("m.png", mask_png)}).json()["job"]
    client.get(f"/api/v1/jobs/{job}/events")
    return {"photo": photo, "job": job}


def checks_of(path: str) -> list[Any]:
    """What is asked of every answer: its status, type, headers and content are those described."""
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    names = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
    ]
    if path != STREAM:  # described as the text that it is, where schemathesis expects the schema of a single event
        names.append("response_schema_conformance")
    return list(CHECKS.get_by_names(names))


def send(client: Any, case: Any) -> Any:
    """The answer to a case; the test's own client sends it, so that one service answers all of them."""
    import requests

    given = case.as_transport_kwargs(base_url=str(client.base_url).rstrip("/"))
    parts = ("method", "url", "params", "headers", "cookies", "data", "json", "files")
    request = requests.Request(**{name: given[name] for name in parts if name in given}).prepare()
    headers = [(name, value) for name, value in request.headers.items() if name.lower() != "content-length"]
    body = request.body.encode() if isinstance(request.body, str) else request.body
    return client.request(request.method, request.url, content=body, headers=headers)


def use_known(case: Any, opened: dict[str, str]) -> None:
    """Ask for the photo, the version and the job that are there, and leave them there."""
    if case.method.upper() != "DELETE":
        known = {**opened, "version": 1, "top": 0, "left": 0}
        for given in (case.path_parameters, case.body):
            if isinstance(given, dict):
                given.update({name: known[name] for name in given if name in known})


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_answers_are_as_described(client, opened, mode):
    document = client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    statuses: Counter[int] = Counter()
    asked = 0
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            if mode == "negative" and not {"parameters", "requestBody"} & described.keys():
                continue  # nothing can be wrong with it
            answers_are_as_described(client, opened, schema[path][method.upper()], mode, statuses)
            asked += 1
    assert asked >= (16 if mode == "positive" else 14)
    # Cases that never got past the first check would show nothing.
    assert statuses[200] + statuses[201] + statuses[202] > (40 if mode == "positive" else 5), statuses
    assert statuses[422] > 10, statuses


def answers_are_as_described(
    client: Any, opened: dict[str, str], operation: Any, mode: str, statuses: Counter[int]
) -> None:
    """A few cases of one operation; an error names it."""
    checks = checks_of(operation.path)
    way = schemathesis.GenerationMode(mode)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=way), known=st.sampled_from([True, True, False]))
    def sent(case: Any, known: bool) -> None:
        if known:
            use_known(case, opened)
        response = send(client, case)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=checks)

    try:
        sent()
    except Exception as error:
        raise AssertionError(f"{operation.method.upper()} {operation.path}, {mode} cases") from error
