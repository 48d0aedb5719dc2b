"""The recorded curves of beta_study: what they are, and that they end a sweep alike however often trials report."""

import heapq
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.curves import COLUMNS, CURVES_FILE, NAMES, recorded
from benchmarks.replay import Replay
from tuning.plan.plan import Plan
from tuning.search.early_stopping import make_scheduler
from tuning.space.load import load_space
from tuning.workers.sweep_context import SweepContext

LANES = 16
SCHEDULERS = {
    "asha": {"type": "asha", "grace_epochs": 3, "reduction_factor": 3},
    "hyperband": {"type": "hyperband", "grace_epochs": 1, "reduction_factor": 3, "brackets": 3},
}


def plan(scheduler: str) -> Plan:
    space = load_space("beta_study").model_dump(exclude_none=True) | {"scheduler": SCHEDULERS[scheduler]}
    return Plan("p", type(load_space("beta_study")).model_validate(space), 0, "digits", "", Path())


def ended(of: Plan, tells: Callable[[int], bool]) -> dict[int, int]:
    """The epoch after which each recorded configuration is stopped, in a sweep of so many lanes in which an epoch takes
    as long as it took. tells: whether a result ends with this epoch."""
    scheduler, curves = make_scheduler(of.space, of.seed), recorded().curves
    waiting, ends = list(range(len(curves)))[::-1], dict[int, int]()
    running: list[tuple[float, int, int, str, Any]] = []
    while waiting or running:
        if waiting and len(running) < LANES:
            number = waiting.pop()
            trial = SimpleNamespace(trial_id=f"tune-{number}", config={"trial_id": f"{number:04d}"})
            scheduler.on_trial_add(None, trial)
            now = running[0][0] if running else 0.0
            heapq.heappush(running, (now + float(curves[number, 0, 4]), number, 1, trial.trial_id, trial))
            continue
        now, number, epoch, _, trial = heapq.heappop(running)
        distortion, rate = curves[number, epoch - 1, 2:4].tolist()
        result = {"epoch": epoch, "score": -(distortion + rate), "training_iteration": epoch}
        decision = "CONTINUE"
        if epoch == of.space.epochs:
            scheduler.on_trial_complete(None, trial, result)
            decision = "STOP"
        elif tells(epoch):
            decision = scheduler.on_trial_result(None, trial, result)
        if decision == "STOP":
            ends[number] = epoch
        else:
            heapq.heappush(running, (now + float(curves[number, epoch, 4]), number, epoch + 1, trial.trial_id, trial))
    return ends


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_results_of_several_epochs_stop_the_recorded_trials_where_results_of_each_do(scheduler: str) -> None:
    of = plan(scheduler)
    deciding = of.deciding_epochs()
    assert deciding is not None
    each = ended(of, lambda epoch: True)
    assert ended(of, lambda epoch: epoch in deciding) == each
    assert ended(of, lambda epoch: epoch in deciding or epoch % 7 == 0) == each
    assert 0 < sum(epoch < of.space.epochs for epoch in each.values()) < len(each)


def test_the_recorded_curves_are_small_and_those_of_a_vae_that_learns() -> None:
    curves = recorded()
    assert curves.configurations.shape[1] == len(NAMES)
    assert curves.curves.shape == (len(curves.configurations), 30, len(COLUMNS))
    assert CURVES_FILE.stat().st_size < 1_000_000
    elbo = -(curves.curves[:, :, 2] + curves.curves[:, :, 3])
    assert np.isfinite(elbo).all()
    assert (elbo.max(axis=1) > elbo[:, 0]).mean() > 0.95


def context(deciding_epochs: frozenset[int]) -> SweepContext:
    nothing: Any = None
    return SweepContext(nothing, nothing, "digits", (8, 8), nothing, 1, "cpu", deciding_epochs=deciding_epochs)


def test_a_replayed_trial_tells_the_curve_of_the_nearest_configuration() -> None:
    number = 5
    params = dict(zip(NAMES, recorded().configurations[number].tolist(), strict=True))
    params |= {name: int(params[name]) for name in ("latent_size", "hidden_units")}
    device = Replay(context(frozenset({3, 30})))
    device.join("0000", {**params, "epochs": 30}, 0, report_seconds=3600.0)
    first, last = device.result(), device.result()
    assert (first["epoch"], first["done"], last["epoch"], last["done"]) == (3, False, 30, True)
    told = [*(metrics for metrics, _ in first["earlier"]), *(metrics for metrics, _ in last["earlier"])]
    assert [metrics.epoch for metrics in told] == [1, 2, *range(4, 30)]
    assert [metrics.val_rate for metrics in told] == [
        recorded().curves[number, metrics.epoch - 1, 3].item() for metrics in told
    ]


def test_a_replayed_epoch_takes_as_long_as_it_is_told_to() -> None:
    device = Replay(context(frozenset()), epochs_per_second=50.0)
    params = {"latent_size": 8, "hidden_units": 64, "epochs": 5}
    device.join("0000", params, 0, report_seconds=3600.0)
    began = time.monotonic()
    assert len(device.result()["earlier"]) == 4
    assert time.monotonic() - began >= 0.09
