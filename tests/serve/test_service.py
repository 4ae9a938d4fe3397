"""The queue, batches, cancelling, time limit and end of the fills behind the service."""

import threading
import time

import numpy as np
import pytest
from picture_files import hole_mask

from inpaintkit.errors import MaskError
from inpaintkit.photo import Photo
from inpaintkit.serve.problems import Problem
from inpaintkit.serve.service import FillOptions, FillService, Job
from inpaintkit.serve.settings import ServeSettings

TELEA = FillOptions("telea")


@pytest.fixture
def make(waiting):
    """Makes services whose models wait; closes them."""
    made = []

    def service(**options) -> FillService:
        made.append(FillService(ServeSettings(models=("telea", "ns"), **options)))
        return made[-1]

    yield service
    waiting.go.set()
    for each in made:
        each.close()


def queue(service: FillService, pixels: np.ndarray, options: FillOptions = TELEA, **more) -> Job:
    job = service.reserve(options, pixels.shape[0] * pixels.shape[1], **more)
    service.submit(job, lambda: (Photo(pixels.copy()), hole_mask()), lambda photo, report: photo.pixels)
    return job


def until(true, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_job_is_filled_and_known_pixels_stay(make, waiting, pixels):
    service = make()
    job = queue(service, pixels)
    assert waiting.began.wait(5)
    assert (job.state, service.queue) == ("running", 1)
    waiting.go.set()
    until(lambda: job.ended)
    assert (job.state, job.share, service.queue) == ("done", 1.0, 0)
    hole = hole_mask()
    assert np.array_equal(job.result[~hole], pixels[~hole])
    assert np.abs(job.result[hole].astype(int) - 128).max() <= 1


def test_a_full_queue_is_refused_and_says_when_to_come_back(make, waiting, pixels):
    service = make(queue_length=3)
    jobs = [queue(service, pixels) for _ in range(3)]
    with pytest.raises(Problem, match="3 fills wait") as caught:
        queue(service, pixels)
    assert caught.value.status == 429
    assert int(caught.value.headers["Retry-After"]) >= 1
    other = queue(service, pixels, FillOptions("ns"))  # another model has a queue of its own
    waiting.go.set()
    until(lambda: all(job.state == "done" for job in [*jobs, other]))
    assert queue(service, pixels).state in ("queued", "running", "done")


def test_large_photos_fill_the_queue_sooner_but_never_keep_one_out(make, pixels):
    service = make(queue_pixels=1000)
    queue(service, pixels)
    with pytest.raises(Problem, match="fills wait"):
        queue(service, pixels)


def test_waiting_jobs_share_batches_up_to_the_limit_and_only_with_equal_options(make, waiting, pixels):
    service = make(together=3)
    first = queue(service, pixels)
    assert waiting.began.wait(5)
    others = [queue(service, pixels) for _ in range(4)]
    seeded = queue(service, pixels, FillOptions("telea", seed=1))
    waiting.go.set()
    until(lambda: all(job.state == "done" for job in [first, *others, seeded]))
    # Three of the four together (the engine is given 2 and 1), then the last of them, then the one with its own seed.
    assert waiting.batches == [1, 2, 1, 1, 1]


def test_an_error_of_one_is_not_that_of_its_neighbours(make, waiting, pixels):
    service = make(together=4)
    first = queue(service, pixels)
    assert waiting.began.wait(5)
    bad = service.reserve(TELEA, pixels.size)
    everything = np.ones(pixels.shape[:2], bool)
    service.submit(bad, lambda: (Photo(pixels.copy()), everything), lambda photo, report: photo)
    broken = service.reserve(TELEA, pixels.size)

    def unprepared():
        raise MaskError("no mask")

    service.submit(broken, unprepared, lambda photo, report: photo)
    good = queue(service, pixels)
    waiting.go.set()
    until(lambda: all(job.ended for job in (first, bad, broken, good)))
    assert [job.state for job in (first, bad, broken, good)] == ["done", "failed", "failed", "done"]
    assert "every pixel" in str(bad.problem)
    assert (broken.problem.kind, str(broken.problem)) == ("bad-mask", "no mask")


def test_a_defect_ends_the_job_and_not_the_worker(make, waiting, pixels, caplog):
    service = make()
    waiting.go.set()
    job = service.reserve(TELEA, 1)
    service.submit(job, lambda: (Photo(pixels.copy()), hole_mask()), lambda photo, report: 1 / 0)
    until(lambda: job.ended)
    assert (job.problem.kind, "ZeroDivision" in str(job.problem)) == ("defect", False)
    assert "ZeroDivisionError" in caplog.text
    after = queue(service, pixels)
    until(lambda: after.state == "done")


def test_a_cancelled_job_leaves_the_queue_at_once(make, waiting, pixels):
    service = make(queue_length=2)
    first = queue(service, pixels)
    assert waiting.began.wait(5)
    second = queue(service, pixels)
    second.cancel()
    first.cancel()
    assert (first.state, second.state, service.queue) == ("cancelled", "cancelled", 0)
    assert first.problem.status == 409
    third = queue(service, pixels)
    waiting.go.set()
    until(lambda: third.state == "done")
    assert waiting.batches == [1, 1]  # the second was never begun
    third.cancel()
    assert third.state == "done"


def test_a_job_that_is_cancelled_while_it_is_begun_stays_cancelled(make, waiting, pixels):
    service = make()
    waiting.go.set()
    job = service.reserve(TELEA, pixels.size)

    def prepare():
        job.cancel()  # in the very moment between being taken from the queue and being filled
        return Photo(pixels.copy()), hole_mask()

    service.submit(job, prepare, lambda photo, report: photo)
    until(lambda: job.ended)
    after = queue(service, pixels)
    until(lambda: after.state == "done")
    assert (job.state, service.queue) == ("cancelled", 0)


def test_an_ended_job_neither_begins_nor_takes_a_photo(pixels):
    job = Job(TELEA, 1)
    job.cancel()
    assert not job.begin()
    job.give(lambda: (Photo(pixels), hole_mask()), lambda photo, report: photo)
    assert (job.state, job._prepare, job._finish) == ("cancelled", None, None)
    other = Job(TELEA, 1)
    assert other.begin()
    assert other.state == "running"


def test_a_job_that_ends_while_another_thread_begins_it_is_not_running():
    """Forced: the beginning has to wait for the lock that the end holds, and sees the end."""
    job, began = Job(TELEA, 1), []
    beginning = threading.Thread(target=lambda: began.append(job.begin()))
    with job._lock:
        beginning.start()
        time.sleep(0.05)
        assert (job.state, began) == ("queued", [])
        job.state = "cancelled"
    beginning.join()
    assert (job.state, began) == ("cancelled", [False])


def test_a_fill_that_takes_too_long_is_ended(make, waiting, pixels):
    service = make(time_limit_s=0.05)
    job = queue(service, pixels)
    until(lambda: job.ended)
    assert (job.problem.kind, job.problem.status) == ("time-limit", 503)
    assert "0.05 s" in str(job.problem)


def test_listeners_hear_every_change_until_they_leave(make, waiting, pixels):
    service = make()
    heard, ended = [], threading.Event()
    job = service.reserve(TELEA, pixels.size)
    leave = job.watch(lambda: (heard.append(job.share), job.ended and ended.set()))
    job.told(0.25)
    job.told(0.2)
    leave()
    job.told(0.5)
    assert heard == [0.25]
    job.watch(ended.set)
    service.submit(job, lambda: (Photo(pixels.copy()), hole_mask()), lambda photo, report: photo)
    waiting.go.set()
    assert ended.wait(10)


def test_the_end_finishes_what_was_accepted_and_accepts_nothing(make, waiting, pixels):
    service = make()
    jobs = [queue(service, pixels) for _ in range(5)]
    service.stop()
    with pytest.raises(Problem) as caught:
        queue(service, pixels)
    assert caught.value.status == 503
    waiting.go.set()
    service.close()
    assert [job.state for job in jobs] == ["done"] * 5


def test_kept_jobs_are_found_until_they_are_old_or_too_large(make, waiting, pixels):
    waiting.go.set()
    service = make(results_memory=100, result_s=1000)
    jobs = []
    for size in (60, 60, 500):
        job = service.reserve(TELEA, 1, keep=True)
        assert service.unfetched == len(jobs) + 1 or jobs
        job.kept_bytes = size
        job.succeed(b"")
        jobs.append(job)
    assert service.job(jobs[-1].id) is jobs[-1]  # the newest stays, whatever its size
    for old in jobs[:-1]:
        with pytest.raises(Problem, match="no such job"):
            service.job(old.id)
    jobs[-1].ended_at -= 2000
    with pytest.raises(Problem):
        service.job(jobs[-1].id)


def test_an_unknown_model_is_named(make):
    with pytest.raises(Problem, match="did you mean 'telea'"):
        make().reserve(FillOptions("telae"), 1)


def test_a_model_that_cannot_be_opened_fails_its_jobs(pixels, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    service = FillService(ServeSettings(models=(str(tmp_path / "bad.onnx"),)))
    job = queue(service, pixels, FillOptions("bad"))
    until(lambda: job.ended)
    service.close()
    assert (job.state, job.problem.status) == ("failed", 500)


def test_variants_are_other_fills(pixels):
    service = FillService(ServeSettings(models=("telea",)))
    plain, other = (queue(service, pixels, FillOptions("telea", variant=number)) for number in (0, 1))
    until(lambda: plain.ended and other.ended)
    service.close()
    hole = hole_mask()
    assert np.array_equal(plain.result[~hole], other.result[~hole])
    assert not np.array_equal(plain.result, other.result)
