"""The driver is told every epoch once and in order, wherever it and the checkpoint stand."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material.epochs import of_elbo
from tuning.workers import tune_results as tune_results_module
from tuning.workers.tune_results import TuneResults
from vae.model.metrics import EpochMetrics, Terms

ALL = None


@dataclass
class FakeTraining:
    """As much of a Training as TuneResults looks at: `at` epochs come from a checkpoint; it may diverge in one."""

    epochs: int
    at: int
    diverges_in: int = 0
    history: list[EpochMetrics] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = [of_elbo(epoch) for epoch in range(1, self.at + 1)]
        self.checkpoint_epoch = self.at
        self.note = ""
        self.device_note = "slow"

    @property
    def n_epochs(self) -> int:
        return len(self.history)

    @property
    def is_done(self) -> bool:
        return self.n_epochs >= self.epochs or (self.n_epochs > 0 and not self.history[-1].is_finite)

    def train(self) -> None:
        assert not self.is_done
        epoch = self.n_epochs + 1
        self.history.append(of_elbo(epoch, math.nan if epoch == self.diverges_in else -100.0))

    def preview(self) -> str:
        return f"preview of {self.n_epochs}"

    def save(self) -> None:
        self.saved.append(self.n_epochs)


def told(
    training: FakeTraining,
    n_known: int,
    preview_epochs: frozenset[int] | None = ALL,
    metric: str = "val_elbo",
    deciding_epochs: frozenset[int] | None = ALL,
    report_seconds: float = 0.0,
) -> list[dict[str, Any]]:
    """All results until the trial is done; epochs are trained before each that wants them."""
    ours = TuneResults(training, n_known, preview_epochs, metric, deciding_epochs, report_seconds)  # type: ignore[arg-type]
    results: list[dict[str, Any]] = []
    while not results or not results[-1]["done"]:
        while ours.wants_epoch:
            ours.keep_preview()
            training.train()
        results.append(ours.next())
        assert len(results) <= training.epochs + 1, "it never ends"
    return results


@given(data=st.data(), epochs=st.integers(1, 8))
def test_the_driver_that_keeps_what_is_new_has_every_epoch_once_and_in_order(data: st.DataObject, epochs: int) -> None:
    """n_known: epochs the driver has; the checkpoint may be behind it or ahead of it."""
    known, at = data.draw(st.integers(0, epochs)), data.draw(st.integers(0, epochs))
    results = told(FakeTraining(epochs, at), known)
    kept = list(range(1, known + 1))
    for result in results:
        if result["epoch"] == len(kept) + 1:  # as tuning.sweep.driver.Sweep does
            kept.append(len(kept) + 1)
    assert kept == list(range(1, epochs + 1))
    first = min(known, at) + 1 if min(known, at) < epochs else epochs
    assert [result["epoch"] for result in results] == list(range(first, epochs + 1))
    assert [result["done"] for result in results] == [False] * (len(results) - 1) + [True]


def test_a_trial_that_had_ended_tells_its_last_epoch_again() -> None:
    (result,) = told(FakeTraining(epochs=3, at=3), n_known=3)
    assert (result["epoch"], result["done"]) == (3, True)


def test_a_trial_that_diverges_is_done_in_that_epoch_and_has_no_preview() -> None:
    results = told(FakeTraining(epochs=9, at=0, diverges_in=2), n_known=0)
    assert [result["epoch"] for result in results] == [1, 2]
    assert (results[-1]["done"], results[-1]["preview"]) == (True, None)


def test_epochs_from_the_checkpoint_come_without_a_preview_for_the_model_is_of_the_last() -> None:
    results = told(FakeTraining(epochs=4, at=3), n_known=1)
    assert [result["preview"] for result in results] == [None, "preview of 3", "preview of 4"]


def test_only_the_chosen_epochs_come_with_a_preview() -> None:
    results = told(FakeTraining(epochs=5, at=0), n_known=0, preview_epochs=frozenset({1, 4}))
    assert [result["epoch"] for result in results if result["preview"]] == [1, 4]


def test_a_result_has_the_metrics_of_its_own_epoch() -> None:
    for result in told(FakeTraining(epochs=3, at=2), n_known=0):
        expected = of_elbo(int(str(result["epoch"]))).as_dict()
        assert {name: result[name] for name in expected} == expected
        assert result["checkpoint_epoch"] == 2


@pytest.mark.parametrize(("epochs", "saved"), [(3, [2]), (2, [])])
def test_a_trial_that_is_not_done_is_saved_to_go_on_from(epochs: int, saved: list[int]) -> None:
    training = FakeTraining(epochs, at=2)
    TuneResults(training, 0, ALL, "val_elbo").save()  # type: ignore[arg-type]
    assert training.saved == saved


@pytest.mark.parametrize(
    ("metric", "expected"), [("val_elbo", -100.0), ("rate_distortion", -100.0), ("val_distortion", -90.0)]
)
def test_every_result_has_the_score_that_its_sweep_ranks_by(metric: str, expected: float) -> None:
    assert [result["score"] for result in told(FakeTraining(epochs=2, at=0), 0, metric=metric)] == [expected] * 2


def test_a_trial_without_an_elbo_has_a_score_and_no_word_of_an_elbo() -> None:
    training, terms = FakeTraining(epochs=1, at=1), Terms(90.0, None)
    training.history = [EpochMetrics.of(1, 1.0, terms, terms, None, 0.5)]
    (result,) = told(training, n_known=1, metric="val_distortion")
    assert result["score"] == -90.0
    assert "val_elbo" not in result


# ---------------------------------------------------------------- several epochs in a result


@given(
    data=st.data(),
    epochs=st.integers(1, 12),
    deciding=st.frozensets(st.integers(1, 12)),
    report_seconds=st.sampled_from([0.0, 3600.0]),
)
def test_results_of_several_epochs_tell_each_once_and_end_wherever_the_scheduler_may_decide(
    data: st.DataObject, epochs: int, deciding: frozenset[int], report_seconds: float
) -> None:
    known, at = data.draw(st.integers(0, epochs)), data.draw(st.integers(0, epochs))
    shown = data.draw(st.frozensets(st.integers(1, 12)))
    results = told(FakeTraining(epochs, at), known, shown, "val_elbo", deciding | {epochs}, report_seconds)
    every = [one for result in results for one in (*result["earlier"], (of_elbo(result["epoch"]), result["preview"]))]
    first = min(known, at) + 1 if min(known, at) < epochs else epochs
    assert [metrics for metrics, _ in every] == [of_elbo(epoch) for epoch in range(first, epochs + 1)]
    ends = {result["epoch"] for result in results}
    assert ends >= {epoch for epoch in deciding | {epochs} if first <= epoch <= epochs}
    if report_seconds:
        assert ends <= deciding | {epochs}
    # The images are of the weights of their own epoch, which those of a checkpoint's earlier epochs are not.
    expected = {epoch: f"preview of {epoch}" for epoch in shown if max(first, at) <= epoch <= epochs}
    assert {metrics.epoch: preview for metrics, preview in every if preview} == expected


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_where_nothing_is_decided_a_result_comes_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(tune_results_module, "time", clock)
    training = FakeTraining(epochs=9, at=0)
    ours = TuneResults(training, 0, frozenset(), "val_elbo", frozenset({9}), 2.5)  # type: ignore[arg-type]
    ends = []
    for _ in range(9):
        training.train()
        clock.now += 1.0
        if not ours.wants_epoch:
            ends.append((ours.next()["epoch"], clock.now - 1000.0))
    assert ends == [(3, 3.0), (6, 6.0), (9, 9.0)]


def test_a_trial_that_diverges_is_told_at_once_though_nothing_was_due() -> None:
    (result,) = told(FakeTraining(9, 0, diverges_in=4), 0, frozenset(), "val_elbo", frozenset({9}), 3600.0)
    assert (result["epoch"], result["done"], len(result["earlier"])) == (4, True, 3)
