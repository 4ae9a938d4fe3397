"""`inpaintkit masks`: make, list, check, with and without --json, and one line for whatever is wrong."""

import json

import pytest
from refusal import refused

from inpaintkit.cli import main
from inpaintkit.masks.benchmark import MASK_SETS


@pytest.fixture
def call(capsys):
    """(*arguments) -> (status, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["masks", *(str(part) for part in arguments)])
        return status, *capsys.readouterr()

    return run


def test_make_and_check(call, tmp_path):
    status, output, error = call("make", "centre_256", "--out", tmp_path / "set")
    assert (status, error) == (0, "")
    assert output == f"{tmp_path / 'set'}: 1 mask of 256 x 256, SHA-256 {MASK_SETS['centre_256'].sha256}\n"
    well = f"{tmp_path / 'set'}: the set 'centre_256', 1 mask, all as written\n"
    assert call("check", tmp_path / "set") == (0, well, "")


def test_make_as_json(call, tmp_path):
    status, output, _ = call("make", "rectangle_256", "-o", tmp_path / "set", "--json")
    made = json.loads(output)
    assert status == 0
    assert (made["folder"], made["name"], made["count"]) == (str(tmp_path / "set"), "rectangle_256", 100)
    assert len(made["files"]) == 100
    assert made["sha256"] == MASK_SETS["rectangle_256"].sha256


def test_list(call):
    status, output, _ = call("list")
    lines = output.splitlines()
    assert status == 0
    assert [line.split()[0] for line in lines] == list(MASK_SETS)
    assert all(len(line) <= 120 for line in lines)
    listed = json.loads(call("list", "--json")[1])
    assert [each["sha256"] for each in listed] == [each.sha256 for each in MASK_SETS.values()]


def test_check_says_what_is_wrong(call, tmp_path):
    call("make", "random_256", "--out", tmp_path / "set")
    (tmp_path / "set" / "0001.png").unlink()
    (tmp_path / "set" / "a\nb.png").write_bytes(b"")
    status, output, error = call("check", tmp_path / "set")
    assert (status, error) == (1, "")
    assert output.splitlines() == [
        f"{tmp_path / 'set'}: 0001.png is missing",
        f"{tmp_path / 'set'}: a\\nb.png does not belong to the set",
    ]
    status, output, _ = call("check", tmp_path / "set", "--json")
    found = json.loads(output)
    assert status == 1
    assert (found["well"], found["set"]) == (False, "random_256")
    assert (found["changed"], found["missing"], found["extra"]) == ([], ["0001.png"], ["a\nb.png"])


def test_refusals(call, tmp_path):
    refused(call("make", "lama_thick", "--out", tmp_path / "a"), 2, "unknown mask set 'lama_thick'", "boxes_256")
    refused(call("make", "centre_256"), 2, "--out")
    (tmp_path / "mine").write_bytes(b"")
    refused(call("make", "centre_256", "--out", tmp_path), 2, "is not empty", "nothing is overwritten")
    refused(call("make", "centre_256", "--out", tmp_path / "mine"), 2, "is not a folder")
    refused(call("check", tmp_path), 1, "holds no manifest.json")
    refused(call("check", tmp_path / "absent"), 1, "holds no manifest.json")
    refused(call("mke", "centre_256"), 2, "did you mean 'make'")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("verb", ["make", "list", "check"])
def test_help(call, verb):
    status, output, _ = call(verb, "--help")
    assert status == 0
    assert f"inpaintkit masks {verb}" in output
    assert "--json" in output
