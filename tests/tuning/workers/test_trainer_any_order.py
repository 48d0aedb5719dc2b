"""Workers of a trainer that come, go and die as they like: no number of any trial changes."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.material.trainers import (
    SECONDS,
    SIDE,
    InMemory,
    alone,
    assert_same_history,
    config,
    in_a_thread,
    metrics_in,
    quietly,
    varied,
)
from tuning.store.place import SweepStorage
from tuning.workers import trainer as trainer_module
from tuning.workers.sweep_context import SweepContext
from tuning.workers.trainer import Trainer
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics
from vae.training import trial as training_module
from vae.training.pack import Pack
from vae.training.trial import Training

pytestmark = pytest.mark.slow


def live_and_die(trainer: Trainer, trial_id: str, one: TrialConfig, seed: int) -> list[EpochMetrics]:
    """A driver's view of a trial whose workers leave, are killed while idle or while they wait, and come back."""
    choose, known = random.Random(seed), list[EpochMetrics]()
    while len(known) < one.epochs:
        trainer.join(trial_id, one.model_dump(), len(known))
        for _ in range(choose.randint(0, 3)):
            (metrics,) = metrics_in([trainer.result(trial_id)])
            if metrics.epoch == len(known) + 1:  # as tuning.sweep.driver.Sweep
                known.append(metrics)
            if len(known) == one.epochs:
                break
        end = choose.choice(["keep", "drop", "kill", "kill while it waits"])
        if end in ("keep", "drop"):
            trainer.leave(trial_id, keep=end == "keep" or choose.random() < 0.8)
        elif end == "kill while it waits":
            in_a_thread(quietly, trainer.result, trial_id)  # its answer reaches nobody
            time.sleep(choose.random() * 0.02)
    trainer.leave(trial_id, keep=False)
    return known


@pytest.mark.parametrize("seed", range(3))
def test_sixteen_workers_that_come_go_and_die_as_they_like_change_no_number(
    context: SweepContext, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "CHECKPOINT_SECONDS", 0.01)
    monkeypatch.setattr(trainer_module, "GATHER_SECONDS", 0.002)
    trainer, widths = Trainer(context), (5, 70)
    trials = {f"{i:04d}": config(i, hidden_units=widths[i % 2], epochs=6) for i in range(16)}
    ends = {
        trial_id: in_a_thread(live_and_die, trainer, trial_id, one, 100 * seed + one.seed)
        for trial_id, one in trials.items()
    }
    histories = {trial_id: end.result(SECONDS) for trial_id, end in ends.items()}
    for trial_id, history in histories.items():
        assert_same_history(history, alone(context, trials[trial_id]).history)


@settings(max_examples=25)
@given(
    orders=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["ask", "ask", "ask", "keep", "rejoin"])), max_size=40)
)
def test_any_order_of_asking_leaving_and_joining_again_gives_each_trial_its_own_numbers(
    images: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[int, str]]
) -> None:
    folder = SweepStorage(tmp_path_factory.mktemp("orders"))
    context = SweepContext(
        **images, dataset="digits", image_shape=(SIDE, SIDE), storage=folder, n_threads=1, device="cpu"
    )
    trials, told = list(varied(6, epochs=100).values()), {i: list[EpochMetrics]() for i in range(6)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "GATHER_SECONDS", 0.0)
        trainer, joined = Trainer(context), set[int]()
        for i, order in orders:
            if i not in joined or order == "rejoin":
                trainer.join(str(i), trials[i].model_dump(), len(told[i]))
                joined.add(i)
            if order == "ask":
                (metrics,) = metrics_in([trainer.result(str(i))])
                if metrics.epoch == len(told[i]) + 1:
                    told[i].append(metrics)
            elif order == "keep":
                trainer.leave(str(i), keep=True)
                joined.remove(i)
    for i, history in told.items():
        plain = Training(Pack(*context.tensors()), trials[i], "digits", (SIDE, SIDE), InMemory())
        assert_same_history(history, [plain.next_epoch() for _ in history])
