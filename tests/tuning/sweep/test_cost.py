"""The lines of --dry-run."""

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
    assert lines[3].startswith("about ")
    assert lines[3].endswith(" MiB of models and checkpoints")


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


def test_an_estimate_of_packs_says_what_a_device_trains_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config: 2.0)
    search = {"hidden_layers": {"type": "categorical", "choices": [1, 2]}}
    two = plan(search=search, fixed={"hidden_units": 304, "latent_size": 24}, trials=40)
    assert [line for line in estimate(two) if "lanes" in line] == []
    first, *classes, last = estimate(two, 32)[-4:]
    assert first == "up to 32 trials train as one on a device, in 2 shape classes; padding moves 0 % of the bytes"
    for n_layers, line in zip(("1 layer", "2 layers"), classes, strict=True):
        n_lanes = int(line.split()[1])
        assert 13 <= n_lanes <= 19
        assert line.startswith(f"about {n_lanes} lanes of up to 304 hidden units and 24 latents: {n_layers}, relu, vae")
    assert last.startswith("by the model of an H200, not measured: ")


def test_an_estimate_of_packs_says_what_padding_wastes(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 pixels, batch 128: half of the trials are padded from 2 x 64 to 2 x 512 units."""
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config: 2.0)
    units = {"hidden_units": {"type": "categorical", "choices": [64, 512]}}
    (line,) = [line for line in estimate(plan(search=units, trials=4), 4) if "padding" in line]
    assert line.startswith("up to 4 trials train as one on a device, in 1 shape class; padding moves ")
    assert 35 < int(line.split(" % ")[0].split()[-1]) < 50
