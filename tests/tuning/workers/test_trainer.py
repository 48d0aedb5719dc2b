"""The trainer, driven as its workers drive it but from threads and without Ray: every trial is as if it were alone."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import pytest

from tests.material.trainers import (
    EPOCHS,
    SECONDS,
    alone,
    asked_for_an_epoch,
    assert_as_alone,
    assert_same_history,
    config,
    in_a_thread,
    metrics_in,
    quietly,
    results_of,
    train_together,
    until,
    varied,
)
from tuning.workers.sweep_context import SweepContext
from tuning.workers.trainer import Trainer
from vae.config import TrialConfig
from vae.errors import CheckpointError
from vae.model.shape_class import GROWTH, Frame, ShapeClass
from vae.storage.checkpoint import CHECKPOINT_FILE, MODEL_FILE, unpack_checkpoint
from vae.storage.state import TrialState
from vae.training import trial as training_module
from vae.training.pack import Pack

# ---------------------------------------------------------------- as if it were alone


def test_trials_of_a_trainer_equal_the_same_trials_alone_files_included(context: SweepContext) -> None:
    trials = varied(4)
    for trial_id, results in train_together(Trainer(context), trials).items():
        assert_as_alone(context, trial_id, trials[trial_id], results)


def test_more_trials_than_the_first_slots_change_nothing(context: SweepContext) -> None:
    """The pack gets more slots, twice, while others train."""
    trials, trainer = varied(2 * GROWTH + 3), Trainer(context)
    for trial_id, results in train_together(trainer, trials).items():
        assert_as_alone(context, trial_id, trials[trial_id], results)


def test_a_pack_grows_between_the_epochs_of_its_trials(context: SweepContext) -> None:
    trainer, trials = Trainer(context), varied(GROWTH + 1)
    *first, last = trials
    for trial_id in first:
        trainer.join(trial_id, trials[trial_id].model_dump(), 0)
    results = {trial_id: [trainer.result(trial_id)] for trial_id in first}
    results[last] = results_of(trainer, last, trials[last])
    for trial_id in first:
        results[trial_id] += [trainer.result(trial_id) for _ in range(EPOCHS - 1)]
        trainer.leave(trial_id, keep=False)
    for trial_id, told in results.items():
        assert_as_alone(context, trial_id, trials[trial_id], told)


def test_trials_of_several_shape_classes_train_at_the_same_time(context: SweepContext) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"activation": "softplus", "hidden_units": 70},
        {"hidden_layers": 2, "activation": "tanh"},
        {"batch_size": 32},
        {"mode": "autoencoder"},
        {"mode": "decoder_only"},
        {"mode": "autoencoder", "noise": "gaussian"},
    ]
    trials = {f"{i:04d}": config(i, **kinds[i % 7]) for i in range(14)}
    assert len({ShapeClass.of(one) for one in trials.values()}) == 7
    told = train_together(Trainer(context), trials)
    for trial_id, results in told.items():
        assert_same_history(metrics_in(results), alone(context, trials[trial_id]).history)


def test_a_trainer_pads_its_trials_to_the_frame_of_the_sweep_and_begins_with_its_slots(context: SweepContext) -> None:
    frame = Frame(hidden_units=(16, 72), latent_sizes=(8,), activations=("relu", "softplus"))
    trials = {
        f"{i:04d}": config(i, hidden_units=units, activation=name)
        for i, (units, name) in enumerate([(9, "relu"), (16, "softplus"), (17, "relu"), (70, "softplus")])
    }
    narrow, wide = (ShapeClass.of(trials[name], frame) for name in ("0000", "0003"))
    trainer = Trainer(replace(context, frame=frame, first_slots={narrow: 2, wide: 3}))
    told = train_together(trainer, trials)
    assert {shape: pack.n_slots for shape, pack in trainer._packs.items()} == {narrow: 2, wide: 3}
    for trial_id, results in told.items():
        assert_as_alone(context, trial_id, trials[trial_id], results)


def test_packs_without_trials_go_and_others_give_up_slots_when_one_needs_more(context: SweepContext) -> None:
    """What is in no pack's way stays: a class whose trials come back need not be built again."""
    trainer = Trainer(context)
    for number in range(GROWTH + 1):
        trainer.join(f"wide {number}", config(number, hidden_units=70).model_dump(), 0)
    results_of(trainer, "deep", config(hidden_layers=2))
    for number in range(1, GROWTH + 1):
        trainer.leave(f"wide {number}", keep=False)
    assert [pack.n_slots for pack in trainer._packs.values()] == [2 * GROWTH, GROWTH]
    results = results_of(trainer, "narrow", config())
    assert [shape.hidden_units for shape in trainer._packs] == [128, 64]
    assert [pack.n_slots for pack in trainer._packs.values()] == [GROWTH, GROWTH]
    assert_as_alone(context, "narrow", config(), results)
    told = [trainer.result("wide 0") for _ in range(EPOCHS)]
    assert_as_alone(context, "wide 0", config(hidden_units=70), told)


def test_a_slot_serves_one_trial_after_another(context: SweepContext) -> None:
    trainer = Trainer(context)
    for trial_id, one in varied(3 * GROWTH).items():
        assert_as_alone(context, trial_id, one, results_of(trainer, trial_id, one))


def test_a_diverging_neighbour_ends_and_no_other_trial_notices(
    context: SweepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrialState, "initial", spoilt_if(lambda one: one.seed == 2, TrialState.initial))
    trials = varied(3)
    told = train_together(Trainer(context), trials)
    assert not metrics_in(told["0002"])[-1].is_finite
    assert told["0002"][-1]["preview"] is None
    for trial_id in ("0000", "0001"):
        assert_as_alone(context, trial_id, trials[trial_id], told[trial_id])


def spoilt_if(is_spoilt: Callable[[TrialConfig], bool], initial: Callable[..., TrialState]) -> Any:
    """TrialState.initial, with weights that no training saves for some configs."""

    def spoilt(n_pixels: int, one: TrialConfig) -> TrialState:
        state = initial(n_pixels, one)
        if is_spoilt(one):
            state.weights["mean.bias"].fill_(math.nan)
        return state

    return spoilt


# ---------------------------------------------------------------- several epochs in a result


def test_results_of_several_epochs_equal_those_of_the_trials_alone_files_included(context: SweepContext) -> None:
    context = replace(context, deciding_epochs=frozenset({3, EPOCHS}))
    trials = varied(3) | {"other": config(9, activation="tanh")}
    for trial_id, results in train_together(Trainer(context), trials, report_seconds=3600.0).items():
        assert [result["epoch"] for result in results] == [3, EPOCHS]
        assert_as_alone(context, trial_id, trials[trial_id], results)


def test_a_trial_joins_and_leaves_while_others_train_epoch_after_epoch_without_a_result(context: SweepContext) -> None:
    """A lock is not fair: without turns the trainer would take the device again before anybody who waits for it."""
    trainer = Trainer(replace(context, deciding_epochs=frozenset()))
    trainer.join("busy", config(epochs=100_000).model_dump(), 0, report_seconds=3600.0)
    busy = in_a_thread(quietly, trainer.result, "busy")
    until(lambda: trainer._members["busy"].results.training.n_epochs > 0)
    for number in range(5):
        trainer.join(f"{number}", config(number).model_dump(), 0)
        before = len(trainer._members["busy"].results.training.history)
        trainer.leave(f"{number}", keep=False)
        assert len(trainer._members["busy"].results.training.history) <= before + 2
    trainer.leave("busy", keep=True)
    assert isinstance(busy.result(SECONDS), CancelledError)
    state, _ = unpack_checkpoint(context.storage.trial_files("busy").read(CHECKPOINT_FILE) or b"", "")
    assert state.epoch > 0


# ---------------------------------------------------------------- gathering


def test_waiting_requests_are_gathered_into_one_batched_epoch(
    context: SweepContext, calls: list[list[int]], patient: None
) -> None:
    trainer, trials = Trainer(context), varied(4)
    for trial_id, one in trials.items():
        trainer.join(trial_id, one.model_dump(), 0)
    for _ in range(EPOCHS):
        for answer in [in_a_thread(trainer.result, trial_id) for trial_id in trials]:
            answer.result(SECONDS)
    assert calls == [[0, 1, 2, 3]] * EPOCHS


def test_a_trial_that_does_not_ask_holds_nobody_up(context: SweepContext, calls: list[list[int]]) -> None:
    trainer = Trainer(context)
    trainer.join("idle", config(1).model_dump(), 0)
    results = results_of(trainer, "0000", config())
    assert calls == [[1]] * EPOCHS
    assert_as_alone(context, "0000", config(), results)


def test_epochs_that_the_checkpoint_holds_are_told_without_training(
    context: SweepContext, calls: list[list[int]]
) -> None:
    results_of(Trainer(context), "0000", config())
    calls.clear()
    results = results_of(Trainer(context), "0000", config(), n_known=1)
    assert [result["epoch"] for result in results] == [2, 3, 4]
    assert calls == []


# ---------------------------------------------------------------- joining and leaving


@pytest.mark.parametrize("call", ["result", "after leaving"])
def test_the_result_of_a_trial_that_has_not_joined_is_a_key_error(context: SweepContext, call: str) -> None:
    trainer = Trainer(context)
    if call == "after leaving":
        trainer.join("0007", config().model_dump(), 0)
        trainer.leave("0007", keep=False)
    with pytest.raises(KeyError, match="0007"):
        trainer.result("0007")


def test_leaving_without_having_joined_does_nothing(context: SweepContext) -> None:
    Trainer(context).leave("0007", keep=True)
    assert not context.storage.folder.exists()


def test_a_trial_that_leaves_while_it_waits_is_let_go_and_the_others_go_on(
    context: SweepContext, calls: list[list[int]], patient: None
) -> None:
    """The trainer waits for the neighbour, which never asks, for longer than this test may take."""
    trainer = Trainer(context)
    trainer.join("0000", config().model_dump(), 0)
    trainer.join("idle", config(1).model_dump(), 0)
    waiting = in_a_thread(trainer.result, "0000")
    until(lambda: asked_for_an_epoch(trainer))
    in_a_thread(trainer.leave, "0000", True).result(SECONDS)
    with pytest.raises(CancelledError, match=r"^$"):
        waiting.result(SECONDS)
    assert in_a_thread(trainer.result, "idle").result(SECONDS)["epoch"] == 1
    assert calls == [[1]]
    assert context.storage.trial_files("0000").read(CHECKPOINT_FILE) is None


def test_no_epoch_is_trained_for_a_request_that_was_taken_back(
    context: SweepContext, calls: list[list[int]], patient: None
) -> None:
    trainer = Trainer(context)
    trainer.join("0000", config().model_dump(), 0)
    trainer.join("idle", config(1).model_dump(), 0)
    waiting = in_a_thread(trainer.result, "0000")
    until(lambda: asked_for_an_epoch(trainer))
    trainer.leave("idle", keep=False)
    waiting.result(SECONDS)
    trainer.join("idle", config(1).model_dump(), 0)
    waiting = in_a_thread(trainer.result, "0000")
    until(lambda: asked_for_an_epoch(trainer))
    time.sleep(0.1)  # for the trainer to begin to gather
    trainer.leave("0000", keep=False)
    trainer.leave("idle", keep=False)  # nobody is left
    time.sleep(0.1)  # for the trainer to notice
    results_of(trainer, "0001", config(2))
    assert [] not in calls
    assert len(calls) == 1 + EPOCHS


def test_a_trial_that_leaves_between_its_request_and_the_epoch_moves_no_other(
    context: SweepContext, calls: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's joining holds the device while the request waits, its trial leaves and its slot is taken."""
    trainer, holds, go_on = Trainer(context), threading.Event(), threading.Event()
    join = Pack.join
    trainer.join("0000", config().model_dump(), 0)

    def slow_join(pack: Pack, one: TrialConfig, state: Any = None) -> int:
        if one.seed == 1:
            holds.set()
            assert go_on.wait(SECONDS)
        return join(pack, one, state)

    monkeypatch.setattr(Pack, "join", slow_join)
    joining = in_a_thread(trainer.join, "0001", config(1).model_dump(), 0)
    assert holds.wait(SECONDS)
    leaving = in_a_thread(trainer.leave, "0000", False)
    next_one = in_a_thread(results_of, trainer, "0002", config(2))
    waiting = in_a_thread(quietly, trainer.result, "0000")
    time.sleep(0.2)  # for each to come as far as it can
    go_on.set()
    for each in (joining, leaving, waiting):
        each.result(SECONDS)
    assert_as_alone(context, "0002", config(2), next_one.result(SECONDS))
    assert_as_alone(context, "0001", config(1), [trainer.result("0001") for _ in range(EPOCHS)])


def test_a_trial_that_joins_again_without_having_left_takes_no_second_slot_and_goes_on_from_its_checkpoint(
    context: SweepContext, calls: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "CHECKPOINT_SECONDS", -1.0)  # a checkpoint at every epoch
    trainer, one = Trainer(context), config()
    trainer.join("0000", one.model_dump(), 0)
    results = [trainer.result("0000") for _ in range(2)]
    trainer.join("0000", one.model_dump(), 2)  # the worker was killed; the driver has two epochs
    results += [trainer.result("0000") for _ in range(2)]
    assert calls == [[0]] * EPOCHS
    assert_as_alone(context, "0000", one, results)


def test_two_workers_that_join_one_trial_at_once_leave_it_one_slot(
    context: SweepContext, calls: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was killed while the trainer was busy with its joining."""
    trainer, joined, free = Trainer(context), [], threading.Event()
    join = Pack.join

    def slow_join(pack: Pack, one: TrialConfig, state: Any = None) -> int:
        assert free.wait(SECONDS)
        joined.append(join(pack, one, state))
        return joined[-1]

    monkeypatch.setattr(Pack, "join", slow_join)
    both = [in_a_thread(trainer.join, "0000", config().model_dump(), 0) for _ in range(2)]
    time.sleep(0.1)
    free.set()
    for each in both:
        each.result(SECONDS)
    assert joined == [0, 0]


def test_a_trial_kept_goes_on_exactly_in_a_new_trainer(context: SweepContext) -> None:
    first, trials = Trainer(context), varied(3)
    for trial_id, one in trials.items():
        first.join(trial_id, one.model_dump(), 0)
    results = {trial_id: [first.result(trial_id) for _ in range(2)] for trial_id in trials}
    for trial_id in trials:
        first.leave(trial_id, keep=True)
    second = Trainer(context)
    for trial_id in reversed(trials):  # other slots than before
        second.join(trial_id, trials[trial_id].model_dump(), 2)
    for trial_id, one in trials.items():
        results[trial_id] += [second.result(trial_id) for _ in range(EPOCHS - 2)]
        second.leave(trial_id, keep=False)
        assert_as_alone(context, trial_id, one, results[trial_id])


def test_a_trial_that_is_not_kept_leaves_no_checkpoint(context: SweepContext) -> None:
    trainer = Trainer(context)
    trainer.join("0000", config().model_dump(), 0)
    trainer.result("0000")
    trainer.leave("0000", keep=False)
    files = context.storage.trial_files("0000")
    assert files.read(MODEL_FILE) is not None
    assert files.read(CHECKPOINT_FILE) is None


def test_a_checkpoint_of_another_config_is_refused_and_takes_no_slot(
    context: SweepContext, calls: list[list[int]]
) -> None:
    trainer = Trainer(context)
    results_of(trainer, "0000", config())
    calls.clear()
    with pytest.raises(CheckpointError, match="of config"):
        trainer.join("0000", config(1).model_dump(), 0)
    results_of(trainer, "0001", config(1))
    assert calls == [[0]] * EPOCHS
