"""Schedules as data: where phases begin and end, and how many batches lie before a step."""

import pytest

from inpaintkit.errors import UsageError
from inpaintkit.schedule import Phase, Update, batches_before, phase_at, total_steps

A = Phase("a", 3, (Update("generator", {"x": 1.0}),))
B = Phase("b", 2, (Update("critic", {"y": 1.0}, fresh_batches=5), Update("generator", {"x": 1.0})))
C = Phase("c", 4, (Update("critic", {"y": 1.0}), Update("generator", {"x": 0.5, "z": 0.1})))
EMPTY = Phase("empty", 0, (Update("generator", {"x": 1.0}),))


@pytest.mark.parametrize(
    ("step", "name", "number", "within"),
    [(0, "a", 0, 0), (2, "a", 0, 2), (3, "b", 1, 0), (4, "b", 1, 1), (5, "c", 2, 0), (8, "c", 2, 3)],
)
def test_a_step_belongs_to_the_phase_whose_span_holds_it(step, name, number, within):
    phase, place, done = phase_at((A, B, C), step)
    assert (phase.name, place, done) == (name, number, within)


@pytest.mark.parametrize("step", [-1, 9, 10_000])
def test_a_step_outside_the_schedule_is_refused_with_its_range(step):
    with pytest.raises(UsageError, match=r"steps 0 to 8") as error:
        phase_at((A, B, C), step)
    assert str(step) in str(error.value)


def test_a_phase_without_steps_is_passed_over():
    assert phase_at((EMPTY, A, EMPTY, C), 0).phase.name == "a"
    assert phase_at((EMPTY, A, EMPTY, C), 3).phase.name == "c"
    assert phase_at((EMPTY, A, EMPTY, C), 3).number == 3


def test_total_steps_is_the_sum_of_the_phases():
    assert total_steps((A, B, EMPTY, C)) == 9


def test_every_step_has_exactly_one_phase():
    names = [phase_at((A, B, C), step).phase.name for step in range(9)]
    assert names == ["a"] * 3 + ["b"] * 2 + ["c"] * 4


def test_updates_share_a_batch_and_fresh_ones_take_their_own():
    assert A.batches_per_step == 1
    assert B.batches_per_step == 6  # five of the critic's own, one for the generator
    assert C.batches_per_step == 1  # both updates see the same one
    assert Phase("d", 1, (Update("critic", {"y": 1.0}, fresh_batches=2),)).batches_per_step == 2


@pytest.mark.parametrize(
    ("step", "batches"), [(0, 0), (1, 1), (3, 3), (4, 9), (5, 15), (6, 16), (9, 19), (12, 19), (-3, 0)]
)
def test_batches_before_a_step(step, batches):
    assert batches_before((A, B, C), step) == batches


def test_batches_before_is_what_the_steps_consume_one_by_one():
    phases = (A, EMPTY, B, C)
    consumed = 0
    for step in range(total_steps(phases)):
        assert batches_before(phases, step) == consumed
        consumed += phase_at(phases, step).phase.batches_per_step
    assert batches_before(phases, total_steps(phases)) == consumed


def test_a_phase_names_the_networks_it_trains():
    assert A.trained == {"generator"}
    assert C.trained == {"critic", "generator"}


def test_what_is_watched_takes_no_batch_and_trains_nothing():
    watching = Phase("watching", 2, (Update("critic", {"y": 1.0}, 5), Update("generator", {"x": 1.0}, watched=("z",))))
    assert (watching.batches_per_step, watching.trained) == (B.batches_per_step, B.trained)
    assert watching.updates[1].losses == {"x": 1.0}
    assert A.updates[0].watched == ()  # nothing, unless said
