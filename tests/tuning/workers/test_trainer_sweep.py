"""A whole sweep in packs, in a fixed order, beside the same one without: the same trials, stops and ranking."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.material.trainers import (
    SECONDS,
    SIDE,
    Result,
    assert_same_history,
    in_a_thread,
    metrics_in,
)
from tuning.records import TrialRecord, grouped, ranked
from tuning.search.early_stopping import make_scheduler
from tuning.search.study import Study
from tuning.space.model import SearchSpace
from tuning.store.place import SweepStorage
from tuning.workers.sweep_context import SweepContext
from tuning.workers.trainer import Trainer
from vae.config import TrialConfig
from vae.training.pack import Pack
from vae.training.trial import Training

pytestmark = pytest.mark.slow

N_TRIALS, SWEEP_EPOCHS, SIDE_BY_SIDE = 14, 9, 4
SCHEDULERS: dict[str, dict[str, Any]] = {
    "asha": {"type": "asha", "grace_epochs": 1, "reduction_factor": 3},
    "hyperband": {"type": "hyperband", "grace_epochs": 1, "reduction_factor": 3, "brackets": 2},
    "median": {"type": "median", "grace_epochs": 2, "min_trials": 3},
}


class Alone:
    """A device for one trial at a time in each worker, with a trainer's calls."""

    def __init__(self, context: SweepContext) -> None:
        self._shared = context
        self._trainings: dict[str, Training] = {}

    def join(self, trial_id: str, one: dict[str, Any], n_known: int) -> None:
        context, pack = self._shared, Pack(*self._shared.tensors())
        self._trainings[trial_id] = Training(
            pack, TrialConfig(**one), context.dataset, context.image_shape, context.storage.trial_files(trial_id)
        )

    def result(self, trial_id: str) -> Result:
        metrics = self._trainings[trial_id].next_epoch()
        done = self._trainings[trial_id].is_done
        return {**metrics.as_dict(), "earlier": [], "score": metrics.goodness, "done": done}

    def leave(self, trial_id: str, keep: bool) -> None:
        del self._trainings[trial_id]


class _TuneTrial:
    """What Tune's schedulers look at in a trial."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
        self.config = {"trial_id": trial_id}


def sweep_in_order(space: SearchSpace, folder: Path, device: Any) -> list[TrialRecord]:
    """The real study and the real scheduler; SIDE_BY_SIDE trials advance together, told of in the order they began."""
    folder.mkdir()
    study, scheduler = Study(folder, space, seed=0), make_scheduler(space, seed=0)
    records: list[TrialRecord] = []
    running: dict[str, _TuneTrial] = {}
    while True:
        while len(running) < SIDE_BY_SIDE and len(records) < space.trials:
            number, params = study.propose()
            records.append(TrialRecord(f"{number:04d}", params, space.config(params, 0)))
            running[records[-1].trial_id] = trial = _TuneTrial(records[-1].trial_id)
            device.join(trial.trial_id, records[-1].config.model_dump(), 0)
            scheduler.on_trial_add(None, trial)
        if not running:
            return records
        answers = {trial_id: in_a_thread(device.result, trial_id) for trial_id in running}
        results = {trial_id: answer.result(SECONDS) for trial_id, answer in answers.items()}
        for trial_id, result in results.items():
            record, trial = records[int(trial_id)], running[trial_id]
            (metrics,) = metrics_in([result])
            record.history.append(metrics)
            study.report(int(trial_id), metrics)
            seen = {**result, "training_iteration": metrics.epoch}
            if not result["done"] and scheduler.on_trial_result(None, trial, seen) != scheduler.STOP:
                continue
            if result["done"]:
                scheduler.on_trial_complete(None, trial, seen)
            record.state = "complete" if metrics.epoch == space.epochs else "pruned"
            record.state = record.state if metrics.is_finite else "failed"
            study.tell(*grouped([record]))
            device.leave(trial_id, False)
            del running[trial_id]


@pytest.mark.parametrize("sampler", [{"type": "tpe", "startup_trials": 4}, {"type": "random"}], ids=["tpe", "random"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_sweep_in_packs_has_the_trials_the_stops_and_the_ranking_of_one_without(
    images: dict[str, np.ndarray],
    tmp_path: Path,
    calls: list[list[int]],
    patient: None,
    scheduler: str,
    sampler: dict[str, Any],
) -> None:
    space = SearchSpace.model_validate(
        {
            "description": "Widths, rates and betas.",
            "trials": N_TRIALS,
            "epochs": SWEEP_EPOCHS,
            "search": {
                "latent_size": {"type": "int", "low": 1, "high": 8},
                "hidden_units": {"type": "int", "low": 4, "high": 60},
                "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
                "beta": {"type": "float", "low": 0.25, "high": 4.0},
            },
            "fixed": {"batch_size": 16, "precision": "float64"},
            "scheduler": SCHEDULERS[scheduler],
            "sampler": sampler,
        }
    )
    sweeps, n_calls = [], []
    for way, device in (("alone", Alone), ("packed", Trainer)):
        storage = SweepStorage(tmp_path / f"files_{way}")
        context = SweepContext(
            **images, dataset="digits", image_shape=(SIDE, SIDE), storage=storage, n_threads=1, device="cpu"
        )
        calls.clear()
        sweeps.append(sweep_in_order(space, tmp_path / way, device(context)))
        n_calls.append(len(calls))
    ours, theirs = sweeps[1], sweeps[0]
    assert [(r.trial_id, r.state, len(r.history)) for r in ours] == [
        (r.trial_id, r.state, len(r.history)) for r in theirs
    ]
    assert {"pruned", "complete"} <= {record.state for record in ours}
    assert [record.trial_id for record in ranked(ours)] == [record.trial_id for record in ranked(theirs)]
    for packed, single in zip(ours, theirs, strict=True):
        assert packed.params == pytest.approx(single.params, rel=1e-9)
        assert_same_history(packed.history, single.history)
    assert n_calls[1] < n_calls[0] / 2  # they did train together
