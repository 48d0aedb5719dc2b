"""The lines of --dry-run."""

from dataclasses import replace

import pytest

from tests.material.plans import plan
from tuning.sweep import cost as cost_module
from tuning.sweep.cost import estimate


def test_an_estimate_is_worked_out_from_the_seconds_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config: 2.0)
    monkeypatch.setattr(cost_module.os, "sched_getaffinity", lambda process: {0, 1, 2})
    scheduler = {"type": "asha", "grace_epochs": 1, "reduction_factor": 3}
    lines = estimate(plan(scheduler=scheduler))
    assert lines[0] == "27 trials of up to 27 epochs, 3 at a time; scheduler asha, sampler tpe"
    assert lines[1].endswith("2.00 s an epoch here")
    # 27 + 18 + 18 + 18 = 81 epochs of 2 s on 3 workers; all would be 729
    assert lines[2] == "about 81 of 729 epochs after early stopping: 54 s, at the most 8 min"
    assert lines[3].startswith("up to about ")
    assert lines[3].endswith(" MiB stays of every trial")


def test_an_estimate_says_how_many_seeds_each_configuration_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config: 2.0)
    monkeypatch.setattr(cost_module.os, "sched_getaffinity", lambda process: {0, 1, 2})
    lines = estimate(plan(trials=4, repeats=3, scheduler={"type": "none"}))
    assert lines[0].startswith("4 configurations x 3 seeds of up to 27 epochs, 3 at a time; scheduler none")
    # 4 x 3 x 27 epochs of 2 s on 3 workers: 216 s
    assert lines[2] == "324 epochs, none stopped early: 4 min"


def test_an_estimate_says_where_a_conditional_dimension_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config: 2.0)
    noise = {"type": "categorical", "choices": ["none", "gaussian", "salt_pepper"]}
    factor = {"type": "float", "low": 0.1, "high": 0.5, "when": {"noise": ["gaussian", "salt_pepper"]}}
    lines = estimate(plan(search={"noise": noise, "noise_factor": factor}))
    assert lines[1] == "noise_factor is searched where noise is gaussian or salt_pepper"
    assert lines[2].startswith("a middling trial: ")


def test_the_seconds_of_an_epoch_are_measured() -> None:
    lines = estimate(plan(search={"beta": {"type": "float", "low": 0.5, "high": 2.0}}, fixed={"hidden_units": 16}))
    seconds = float(lines[1].split(" parameters, ")[1].split(" s an epoch")[0])
    assert 0 <= seconds < 5


def test_an_estimate_says_which_models_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config: 2.0)
    search = {"beta": {"type": "float", "low": 0.5, "high": 2.0}}
    many = plan(search=search, fixed={"latent_size": 2, "hidden_units": 16}, trials=10_000)
    model = (many.typical_config().n_parameters(64) * 4 + 100_000) / 2**20
    assert estimate(many)[3].endswith(
        f" MiB on disk; a model of {model:.1f} MiB stays of the best 50 and of those that figures compare, "
        "about 60 in all"
    )
    front = plan(search=search, scheduler={"type": "none"}, metric="rate_distortion", trials=10_000)
    assert "of the best 50, of the front of rate and distortion and of those" in estimate(front)[3]
    limited = replace(plan(keep_models=27), max_bytes=2**30)
    assert estimate(limited)[3].endswith("stays of the best that --max-disk has room for")
