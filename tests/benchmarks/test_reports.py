"""Options that benchmarks share, the machine's lines, and how a run ends."""

import json
import math

import pytest

import reports
from inpaintkit.errors import ModelError, UsageError

MACHINE = {
    "processor": "Abacus",
    "bfloat16_instructions": False,
    "cores": 2,
    "threads": "defaults",
    "system": "Linux 1, glibc 2",
    "load_average_before": [0.1, 0.2, 0.3],
    "versions": {"python": "3.11", "numpy": "2.0"},
}


def _parse(*arguments: str):
    parser = reports.option_parser("what it does")
    reports.add_turn_options(parser, rounds=7)
    reports.add_report_options(parser)
    given = parser.parse_args(arguments)
    reports.check_options(parser, given)
    return given


def test_defaults():
    given = _parse()
    assert (given.rounds, given.threads, given.json, given.markdown, given.worker) == (7, None, None, None, None)
    assert _parse("--worker", '{"a": [1]}').worker == {"a": [1]}


@pytest.mark.parametrize("wrong", [("--rounds", "0"), ("--threads", "0"), ("--rounds", "2", "--threads", "-1")])
def test_numbers_below_one_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        _parse(*wrong)
    assert ended.value.code == 2
    assert "must be 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--markdown"])
def test_a_report_without_a_folder_is_refused_before_anything_runs(option, tmp_path, capsys):
    with pytest.raises(SystemExit):
        _parse(option, str(tmp_path / "missing" / "report"))
    assert "its folder does not exist" in capsys.readouterr().err
    assert _parse(option, str(tmp_path / "report"))


def test_names_come_in_their_own_order(capsys):
    parser = reports.option_parser("")
    assert reports.chosen(parser, "c,a", "case", ["a", "b", "c"]) == ["a", "c"]
    with pytest.raises(SystemExit):
        reports.chosen(parser, "a,d", "case", ["a", "b", "c"])
    assert "unknown case d: valid are a, b, c" in capsys.readouterr().err


def test_whole_numbers_by_comma(capsys):
    parser = reports.option_parser("")
    assert reports.whole_numbers(parser, "64,32", "--sizes", lowest=32, multiple=32) == [64, 32]
    for wrong in ("65", "0", "", "a"):
        with pytest.raises(SystemExit):
            reports.whole_numbers(parser, wrong, "--sizes", lowest=32, multiple=32)
        assert f"--sizes is '{wrong}', expected multiples of 32 from 32 on" in capsys.readouterr().err


def test_machine_lines():
    quiet = reports.machine_lines(MACHINE, torch_threads=2, settings="nothing tuned")
    assert quiet == [
        "- Abacus, 2 cores, without bfloat16 instructions; Linux 1, glibc 2",
        "- threads: defaults (PyTorch: 2); nothing tuned; python 3.11, numpy 2.0",
        "- load average before the start: 0.1 0.2 0.3",
    ]
    busy = reports.machine_lines({**MACHINE, "load_average_before": [0.6, 0, 0], "bfloat16_instructions": None})
    assert busy[0].count("perhaps with bfloat16") == 1
    assert busy[1] == "- threads: defaults; python 3.11, numpy 2.0"
    assert busy[2].endswith("(other work was running: only the ratios mean something)")


def _fail(error):
    raise error


@pytest.mark.parametrize(("error", "status"), [(ModelError("no\nmodel"), 1), (UsageError("no\nmodel"), 2)])
def test_an_error_is_one_line_and_a_status(error, status, capsys):
    assert reports.run("script", _parse(), lambda given: _fail(error), str) == status
    assert capsys.readouterr() == ("", "script: no model\n")


def test_a_run_prints_and_writes_its_report(tmp_path, capsys):
    table, values = tmp_path / "t.md", tmp_path / "v.json"
    given = _parse("--markdown", str(table), "--json", str(values))
    assert reports.run("script", given, lambda given: {"rounds": given.rounds}, lambda report: f"| {report} |\n") == 0
    assert capsys.readouterr().out == table.read_text("utf-8") == "| {'rounds': 7} |\n"
    assert json.loads(values.read_text("utf-8")) == {"rounds": 7}


def test_what_json_does_not_know_is_no_report(tmp_path):
    given = _parse("--json", str(tmp_path / "v.json"))
    with pytest.raises(ValueError, match="JSON"):
        reports.emit(given, "", {"ratio": math.nan})
    assert not (tmp_path / "v.json").exists()


def test_a_fault_is_printed_after_the_report(capsys):
    assert reports.run("script", _parse(), lambda given: {}, lambda report: "table\n", fault=lambda report: "bad") == 1
    assert capsys.readouterr() == ("table\n", "script: bad\n")
    assert reports.run("script", _parse(), lambda given: {}, lambda report: "table\n", fault=lambda report: "") == 0


def test_a_worker_serves_and_measures_nothing(capsys):
    served = []
    given = _parse("--worker", '{"variant": "a"}')
    assert reports.run("script", given, lambda given: pytest.fail("measured"), str, serve=served.append) == 0
    assert served == [{"variant": "a"}]
    assert capsys.readouterr().out == ""
