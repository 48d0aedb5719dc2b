"""What a trial and a configuration are worth, and how they rank."""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material.records import metrics, trial
from tuning.records import TrialRecord, configurations, grouped, pareto_front, ranked, score, trial_id


def ids(records: Sequence[TrialRecord]) -> list[str]:
    return [record.trial_id for record in ranked(records)]


def test_a_trial_is_worth_its_best_epochs_elbo_at_beta_1() -> None:
    record = trial("0000", [100.0, 80.0, 95.0])
    assert record.best == metrics(2, 80.0)
    assert record.score == record.val_elbo == -90.0  # -(80 + 10), whatever beta weighs the loss with


def test_a_trial_without_a_finite_epoch_is_worth_nothing() -> None:
    for record in (trial("0000", []), trial("0001", [math.nan, math.inf])):
        assert record.best is None
        assert record.score == -math.inf
        assert record.val_elbo is None


@given(
    distortions=st.lists(st.sampled_from([80.0, 90.0, 100.0, math.nan]), max_size=8),
    asked=st.lists(st.booleans(), min_size=8, max_size=8),
    keep=st.sampled_from(["best", "last"]),
)
def test_the_running_best_is_that_of_the_whole_history_whenever_it_is_asked(
    distortions: list[float], asked: list[bool], keep: Any
) -> None:
    record = trial("0000", [])
    record.config = record.config.model_copy(update={"keep": keep})
    for epoch, distortion in enumerate(distortions, start=1):
        record.history.append(metrics(epoch, distortion))
        finite = [one for one in record.history if math.isfinite(one.val_distortion)]
        by_distortion = sorted(finite, key=lambda one: (one.val_distortion, one.epoch))
        expected = (finite[-1:] if keep == "last" else by_distortion)[:1]
        if asked[epoch - 1]:
            assert [record.best] == (expected or [None])


def test_another_history_in_its_place_has_its_own_best() -> None:
    record = trial("0000", [100.0, 80.0, 95.0])
    assert record.best == metrics(2, 80.0)
    record.history = record.history[:1]
    assert record.best == metrics(1, 100.0)
    record.history = [metrics(epoch, distortion) for epoch, distortion in enumerate([99.0, 98.0, 97.0], start=1)]
    assert record.best == metrics(3, 97.0)
    assert replace(record, history=record.history[:2]).best == metrics(2, 98.0)


def test_the_best_of_ten_thousand_epochs_is_not_looked_for_anew_at_each() -> None:
    """It took 89 ms an epoch."""
    record = trial("0000", [100.0] * 10_000)
    assert record.best is record.history[0]
    started = time.perf_counter()
    for epoch in range(10_001, 10_101):
        record.history.append(metrics(epoch, 90.0 - epoch / 1e4))
        assert record.best is record.history[-1]
    assert time.perf_counter() - started < 0.5


def test_seconds_are_those_of_training_and_evaluation() -> None:
    assert trial("0000", [100.0, 90.0, 80.0]).seconds == 0.75
    assert trial("0000", []).seconds == 0.0


def test_a_trials_folder_is_relative_to_the_sweeps() -> None:
    assert trial("0042", []).folder == "trials/0042"


def test_the_best_comes_first_whatever_its_state_and_the_failed_last() -> None:
    records = [
        trial("0000", [90.0]),
        trial("0001", [50.0], "failed"),
        trial("0002", [70.0, 99.0], "pruned"),
        trial("0003", [60.0], "running"),
        trial("0004", [], "running"),
        trial("0005", [], "failed"),
        trial("0006", [80.0]),
    ]
    assert ids(records) == ["0003", "0002", "0006", "0000", "0004", "0001", "0005"]


def test_equal_trials_keep_the_order_of_their_numbers() -> None:
    assert ids([trial(name, [90.0]) for name in ("0002", "0000", "0001")]) == ["0000", "0001", "0002"]


def test_an_epoch_that_is_not_finite_does_not_lift_or_sink_a_trial() -> None:
    assert ids([trial("0000", [90.0]), trial("0001", [80.0, math.nan]), trial("0002", [85.0, -math.inf])]) == [
        "0001",
        "0002",
        "0000",
    ]


@given(st.permutations(range(8)))
def test_the_ranking_does_not_depend_on_the_order_of_the_records(order: list[int]) -> None:
    records = [trial(f"{n:04d}", [100.0 - n // 2], "failed" if n == 5 else "complete") for n in range(8)]
    assert ids([records[n] for n in order]) == ["0006", "0007", "0004", "0002", "0003", "0000", "0001", "0005"]


# ---------------------------------------------------------------- what a sweep is ranked by


@pytest.mark.parametrize(
    ("metric", "rate", "expected"),
    [
        ("val_elbo", 10.0, -90.0),
        ("val_distortion", 10.0, -80.0),
        ("val_distortion", None, -80.0),
        ("rate_distortion", 10.0, -90.0),
    ],
)
def test_an_epoch_is_worth_what_its_sweep_is_ranked_by(metric: str, rate: float | None, expected: float) -> None:
    assert score(metrics(1, 80.0, rate), metric) == expected
    assert trial("0000", [80.0], metric=metric, rate=rate).score == expected


def test_a_trial_without_a_kl_has_no_elbo() -> None:
    assert trial("0000", [80.0], metric="val_distortion", rate=None).val_elbo is None


def test_ranked_by_distortion_a_vae_stands_beside_an_autoencoder_whatever_its_rate() -> None:
    vae = trial("0000", [70.0], metric="val_distortion", rate=60.0)
    autoencoder = trial("0001", [75.0], metric="val_distortion", rate=None, mode="autoencoder")
    assert ids([autoencoder, vae]) == ["0000", "0001"]


def test_the_epoch_that_is_kept_stands_for_the_trial() -> None:
    distortions = [100.0, 80.0, 95.0, math.nan]
    assert trial("0000", distortions, keep="best").score == -90.0
    assert trial("0000", distortions, keep="last").score == -105.0


# ---------------------------------------------------------------- configurations


def repeats(name: str, distortions: Sequence[float], state: Any = "complete") -> list[TrialRecord]:
    return [trial(f"{name}-{i}", [distortion], state) for i, distortion in enumerate(distortions, start=1)]


@given(st.integers(0, 99_999), st.integers(1, 100), st.integers(2, 100))
def test_a_trials_id_says_its_configuration_and_its_repeat(number: int, repeat: int, repeats: int) -> None:
    one = trial(trial_id(number, repeat, repeats), [])
    assert (int(one.configuration), one.repeat) == (number, repeat)


def test_without_repeats_ids_are_the_plain_numbers() -> None:
    assert trial_id(7, 1, 1) == "0007"
    assert (trial("0007", []).configuration, trial("0007", []).repeat) == ("0007", 0)


@given(st.lists(st.floats(50, 200), min_size=2, max_size=9))
def test_a_configuration_has_the_mean_and_the_spread_of_its_seeds(distortions: list[float]) -> None:
    (one,) = configurations(repeats("0003", distortions))
    elbos = np.array([-(distortion + 10.0) for distortion in distortions])
    assert (one.number, one.n) == (3, len(distortions))
    assert one.mean == pytest.approx(elbos.mean())
    assert one.sd == pytest.approx(elbos.std(ddof=1), abs=1e-9)
    assert one.values("val_distortion") == distortions


def test_a_single_trial_has_no_spread() -> None:
    (one,) = configurations([trial("0003", [80.0])])
    assert (one.mean, one.sd, one.n) == (-90.0, None, 1)


def test_configurations_rank_by_their_means_and_hold_their_trials_in_order() -> None:
    worse, better = repeats("0000", [60.0, 100.0]), repeats("0001", [75.0, 77.0])  # means -90 and -86
    found = configurations([better[1], worse[0], better[0], worse[1]])
    assert [one.name for one in found] == ["0001", "0000"]
    assert [record.trial_id for one in found for record in one.records] == ["0001-1", "0001-2", "0000-1", "0000-2"]


def test_the_tenth_repeat_comes_after_the_second() -> None:
    (one,) = configurations(repeats("0000", [float(n) for n in range(12, 0, -1)]))
    assert [record.repeat for record in one.records] == list(range(1, 13))


def test_a_configuration_of_which_a_trial_has_failed_is_last_and_says_why() -> None:
    good = repeats("0000", [90.0, 92.0])
    broken = [trial("0001-1", [50.0]), trial("0001-2", [40.0], "failed", "diverged in epoch 2")]
    first, last = configurations([*broken, *good])
    assert (first.name, first.error) == ("0000", "")
    assert (last.is_failed, last.error) == (True, "0001-2: diverged in epoch 2")
    assert last.scores == [-60.0]


def test_a_configuration_counts_what_its_trials_have_reached_so_far() -> None:
    (one,) = grouped([trial("0000-1", [90.0]), trial("0000-2", [80.0], "running"), trial("0000-3", [], "running")])
    assert (one.n, one.mean, one.has_ended) == (2, statistics.fmean([-100.0, -90.0]), False)
    assert grouped([trial("0000-1", [], "running")])[0].mean == -math.inf


def test_grouping_keeps_the_order_of_proposal() -> None:
    records = [*repeats("0002", [1.0]), *repeats("0000", [1.0]), *repeats("0001", [1.0])]
    assert [one.name for one in grouped(records)] == ["0002", "0000", "0001"]


@given(st.permutations(range(8)))
def test_without_repeats_configurations_rank_as_their_trials_do(order: list[int]) -> None:
    records = [trial(f"{n:04d}", [100.0 - n // 2], "failed" if n == 5 else "complete") for n in order]
    assert [one.name for one in configurations(records)] == ids(records)


# ---------------------------------------------------------------- two objectives


def dominates(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Deb 2001, definition 2.5: no worse in all objectives and better in one; both are minimised."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_of_the_trials_that_no_other_dominates(points: list[tuple[int, int]]) -> None:
    records = [
        trial(f"{n:04d}", [float(d)], metric="rate_distortion", rate=float(r)) for n, (r, d) in enumerate(points)
    ]
    expected = {f"{n:04d}" for n, point in enumerate(points) if not any(dominates(other, point) for other in points)}
    assert pareto_front(records) == expected


def test_the_front_leaves_out_who_failed_who_has_no_epoch_and_who_has_no_rate() -> None:
    records = [
        trial("0000", [50.0], "failed", rate=1.0),
        trial("0001", [], "running"),
        trial("0002", [10.0], rate=None),
        trial("0003", [90.0], "running", rate=20.0),
    ]
    assert pareto_front(records) == {"0003"}
