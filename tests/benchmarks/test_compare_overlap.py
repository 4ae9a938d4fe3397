"""The arithmetic of benchmarks/compare_overlap.py: shares of the pass, and what more processes bring."""

import sys
from pathlib import Path

import pytest

import compare_overlap as overlap
from inpaintkit.errors import InpaintError


def report(seconds: float, workers: int = 1, kinds: tuple[str, ...] = ("bundled",), **methods: float) -> dict:
    return {
        "cases": [{}, {}, {}],
        "methods": [{"kind": kind} for kind in kinds],
        "run": {
            "seconds": seconds,
            "workers": workers,
            "seconds_in_methods": methods,
            "seconds_scoring": 0.5,
            "seconds_decoding": 0.25,
        },
    }


def measured(seconds: float, workers: int = 1, kinds: tuple[str, ...] = ("bundled",), **methods: float) -> dict:
    return {**overlap.split(report(seconds, workers, kinds, **methods)), "command_s": seconds + 1}


def test_the_share_is_of_the_time_of_all_processes():
    found = overlap.split(report(5.0, 2, a=6.0, b=3.0))  # two processes have ten seconds in five
    assert (found["share"], found["methods_s"], found["cases"]) == (0.9, 9.0, 3)
    assert found["rest_s"] == pytest.approx(10 - 9 - 0.5 - 0.25)
    assert found["share_of_work"] == 9 / 9.75


def test_every_method_runs_alone_and_all_together_by_every_number_of_processes():
    runs = overlap.runs_of(["a", "b=c"], [1, 4])
    assert [(run.title, run.methods, run.workers) for run in runs] == [
        ("a", "a", 1),
        ("a", "a", 4),
        ("b=c", "b=c", 1),
        ("b=c", "b=c", 4),
        ("all together", "a,b=c", 1),
        ("all together", "a,b=c", 4),
    ]
    assert [run.title for run in overlap.runs_of(["a"], [1])] == ["a"]


def test_the_speed_up_compares_passes_of_the_same_round():
    one = [measured(4.0, a=3.0), measured(40.0, a=30.0), measured(4.0, a=3.0)]
    two = [measured(2.0, 2, a=3.0), measured(25.0, 2, a=30.0), measured(2.5, 2, a=3.0)]
    assert overlap.speed_up(one, two) == 1.6  # of 2, 1.6 and 1.6: a slow second round tilts nothing


def test_rows_have_medians_over_rounds_and_say_whether_a_network_alone_meets_the_aim():
    runs = overlap.runs_of(["a", "t"], [1, 2])
    shares = ((9.5, 9.0, 8.0), (8.9, 8.9, 9.9))  # of ten seconds: network by one and by two processes, three rounds
    rounds = [
        [
            measured(10.0, 1, a=one),
            measured(5.0, 2, a=two),
            measured(1.0, 1, ("classical",), t=0.2),
            measured(1.0, 2, ("classical",), t=0.2),
            measured(11.0, 1, ("bundled", "classical"), a=9.5, t=0.2),
            measured(5.5, 2, ("bundled", "classical"), a=9.5, t=0.2),
        ]
        for one, two in zip(*shares, strict=True)
    ]
    rows = overlap.summaries(runs, rounds)
    assert [(row["title"], row["workers"], row["met"]) for row in rows] == [
        ("a", 1, True),
        ("a", 2, False),
        ("t", 1, None),
        ("t", 2, None),
        ("all together", 1, None),
        ("all together", 2, None),
    ]
    assert [(row["share_lowest"], row["share"], row["share_highest"]) for row in rows[:2]] == [
        (0.8, 0.9, 0.95),
        (0.89, 0.89, 0.99),
    ]
    assert [row["speed_up"] for row in rows] == [1, 2, 1, 1, 1, 2]
    conditions = {
        "processor": "P",
        "cores": 2,
        "bfloat16_instructions": None,
        "system": "S",
        "threads": "defaults",
        "versions": {},
        "load_average_before": [0.0, 0.0, 0.0],
    }
    table = overlap.markdown({"conditions": conditions, "size": 256, "rounds": 3, "rows": rows})
    assert "| a | 1 | 10.0 | 90.0% (80.0% to 95.0%) | 5.0% | 2.5% | 2.5% | 92.3% | 1.00 | 11.0 |" in table
    assert "| a | 2 | 5.0 | 89.0% (89.0% to 99.0%) | 5.0% | 2.5% | 3.5% | 92.2% | 2.00 | 6.0 |" in table
    assert "- a, 1 process: 90.0%, met\n- a, 2 processes: 89.0%, missed\n" in table


def test_the_command_that_is_timed(tmp_path):
    given = overlap.parse(["--images", "p.tar", "--masks", "random_256", "--limit", "5", "--workers", "1,3"])
    assert given.workers == [1, 3]
    command = overlap.command_of(overlap.Run("a", "a,b", 3), given, tmp_path / "r")
    assert command[:4] == [sys.executable, "-m", "inpaintkit", "compare"]
    options = dict(zip(command[4:-2:2], command[5:-2:2], strict=True))
    assert options == {
        "--images": "p.tar",
        "--masks": "random_256",
        "--methods": "a,b",
        "--size": "256",
        "--workers": "3",
        "--rows": "0",
        "--out": str(tmp_path / "r"),
        "--limit": "5",
    }
    assert command[-2:] == ["--no-costs", "--quiet"]


def test_a_comparison_that_fails_is_an_error(monkeypatch):
    given = overlap.parse(["--images", "p.tar", "--masks", "m"])
    monkeypatch.setattr(overlap, "command_of", lambda run, given, out: [sys.executable, "-c", "raise SystemExit(2)"])
    with pytest.raises(InpaintError, match=r"compare --methods a failed: see its error above"):
        overlap.run_once(overlap.Run("a", "a", 1), given)


def test_the_report_is_read_where_the_command_leaves_it(monkeypatch):
    program = (
        "import json, pathlib, sys; out = pathlib.Path(sys.argv[1]); out.mkdir(); "
        "(out / 'report.json').write_text(sys.argv[2], encoding='utf-8')"
    )
    monkeypatch.setattr(
        overlap,
        "command_of",
        lambda run, given, out: [sys.executable, "-c", program, str(out), overlap.json.dumps(report(2.0, a=1.5))],
    )
    found = overlap.run_once(overlap.Run("a", "a", 1), overlap.parse(["--images", "p", "--masks", "m"]))
    assert found["share"] == 0.75
    assert found["command_s"] > 0
    assert not Path(overlap.REPORT).exists()
