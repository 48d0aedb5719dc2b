"""A trial in its worker's own process: from its config to its files, and on from them."""

from dataclasses import replace

import pytest

from tests.material.trainers import EPOCHS, alone, assert_as_alone, assert_same_history, config, metrics_in
from tuning.workers.own_process import OwnProcess
from tuning.workers.sweep_context import SweepContext
from vae.errors import CheckpointError
from vae.storage.checkpoint import CHECKPOINT_FILE, unpack_checkpoint
from vae.training import trial as training_module
from vae.training.trial import TRAINING_FILES


def test_one_trial_after_another_has_the_numbers_and_the_files_of_a_trial_alone(context: SweepContext) -> None:
    device = OwnProcess(context)
    for number in range(2):
        device.join(f"000{number}", config(number).model_dump(), 0)
        results = [device.result() for _ in range(EPOCHS)]
        device.leave(keep=False)
        assert_as_alone(context, f"000{number}", config(number), results)


def test_a_trial_that_is_kept_goes_on_from_its_last_epoch(context: SweepContext) -> None:
    first = OwnProcess(context)
    first.join("0000", config().model_dump(), 0)
    results = [first.result(), first.result()]
    first.leave(keep=True)
    content = context.storage.trial_files("0000").read(CHECKPOINT_FILE)
    assert unpack_checkpoint(content or b"", "")[0].epoch == 2
    second = OwnProcess(context)
    second.join("0000", config().model_dump(), 2)
    results += [second.result() for _ in range(EPOCHS - 2)]
    assert_same_history(metrics_in(results), alone(context, config()).history)


def test_a_result_of_several_epochs_has_the_numbers_of_a_trial_alone(context: SweepContext) -> None:
    device = OwnProcess(replace(context, deciding_epochs=frozenset({3, EPOCHS})))
    device.join("0000", config().model_dump(), 0, report_seconds=3600.0)
    results = [device.result(), device.result()]
    device.leave(keep=False)
    assert [result["epoch"] for result in results] == [3, EPOCHS]
    assert_as_alone(context, "0000", config(), results)


def test_a_worker_that_was_cut_off_writes_nothing_over_the_attempt_that_took_its_trial_over(
    context: SweepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "CHECKPOINT_SECONDS", -1.0)  # a checkpoint at every epoch
    cut_off, successor = OwnProcess(context), OwnProcess(context)
    cut_off.join("0000", config().model_dump(), 0)
    results = [cut_off.result(), cut_off.result()]
    successor.join("0000", config().model_dump(), 2, attempt=2)
    results += [successor.result() for _ in range(EPOCHS - 2)]
    files = context.storage.trial_files("0000", 2)
    before = {name: files.read(name) for name in TRAINING_FILES}
    cut_off.result()
    cut_off.leave(keep=True)
    assert {name: files.read(name) for name in TRAINING_FILES} == before
    assert_same_history(metrics_in(results), alone(context, config()).history)
    state, description = unpack_checkpoint(files.read(CHECKPOINT_FILE) or b"", "")
    assert state.epoch == EPOCHS
    assert_same_history(description.history, alone(context, config()).history)


def test_a_worker_that_ends_after_its_trial_was_let_go_writes_no_checkpoint_of_it(context: SweepContext) -> None:
    """The next trial is refused: its files are of another config."""
    device = OwnProcess(context)
    device.join("0001", config(1).model_dump(), 0)
    device.result()
    device.leave(keep=True)
    device.join("0000", config().model_dump(), 0)
    device.result()
    device.leave(keep=False)
    with pytest.raises(CheckpointError, match="this trial's is"):
        device.join("0001", config(2).model_dump(), 0)
    device.leave(keep=True)
    assert context.storage.trial_files("0000").read(CHECKPOINT_FILE) is None
