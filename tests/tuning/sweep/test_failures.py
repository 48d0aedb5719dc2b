"""When failures in a row end a sweep."""

from tuning.sweep.failures import FailuresInARow

FULL = "CUDA out of memory. Tried to allocate 20.00 MiB at 0x7f3a"


def test_as_many_failures_of_one_cause_as_trials_run_at_a_time_end_a_sweep() -> None:
    failures = FailuresInARow(slots=4)
    assert [failures.failed(FULL) for _ in range(3)] == ["", "", ""]
    assert failures.failed(FULL) == f"4 trials in a row failed for the same cause: {FULL}"


def test_with_one_slot_three_failures_end_it() -> None:
    failures = FailuresInARow(slots=1)
    assert [bool(failures.failed(FULL)) for _ in range(3)] == [False, False, True]


def test_numbers_make_no_other_cause() -> None:
    failures = FailuresInARow(slots=1)
    failures.failed("trials/0001/model: No such file")
    failures.failed("trials/0002/model: No such file")
    assert failures.failed("trials/0003/model: No such file").endswith("trials/0003/model: No such file")


def test_a_trial_that_ends_well_or_fails_of_something_else_starts_the_count_anew() -> None:
    failures = FailuresInARow(slots=1)
    failures.failed(FULL)
    failures.failed(FULL)
    failures.ended()
    assert not failures.failed(FULL)
    assert not failures.failed(FULL)
    assert not failures.failed("KeyError: 'x'")
    assert not failures.failed(FULL)
