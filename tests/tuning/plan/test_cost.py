"""The lines of --dry-run."""

from dataclasses import replace

import pytest

from tests.material.plans import plan
from tuning.cluster.allot import Request
from tuning.errors import ClusterError
from tuning.plan import cost as cost_module
from tuning.plan.cost import estimate
from vae.cli.format import duration


def test_an_estimate_is_worked_out_from_the_seconds_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    monkeypatch.setattr(cost_module.os, "sched_getaffinity", lambda process: {0, 1, 2})
    scheduler = {"type": "asha", "grace_epochs": 1, "reduction_factor": 3}
    lines = estimate(plan(scheduler=scheduler), Request(), 3)
    assert lines[0] == "27 trials of up to 27 epochs, 3 at a time; scheduler asha, sampler tpe"
    assert lines[1].endswith("2.00 s an epoch here")
    # 27 + 18 + 18 + 18 = 81 epochs of 2 s on 3 workers; all would be 729
    assert lines[2] == "about 81 of 729 epochs after early stopping: 54 s, at the most 8 min"
    # digits have 360 images of validation and test
    assert lines[3] == ("about 13 s besides: 6 s until Ray and its workers train, 7 s for the report of the best 3")
    assert lines[4].startswith("up to about ")
    assert lines[4].endswith(" MiB stays of every trial")


def test_an_estimate_counts_the_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    monkeypatch.setattr(cost_module.os, "sched_getaffinity", lambda process: {0, 1, 2})
    lines = estimate(plan(confirm={"top": 5, "seeds": 4, "epochs": 30}), Request(), 3)
    # 600 epochs of 2 s on 3 workers
    assert lines[3] == (
        "then the best 5 again with 4 fresh seeds each, up to 3 at a time: 600 epochs, none stopped early: 7 min"
    )


def test_an_estimate_says_how_many_seeds_each_configuration_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    monkeypatch.setattr(cost_module.os, "sched_getaffinity", lambda process: {0, 1, 2})
    lines = estimate(plan(trials=4, repeats=3, scheduler={"type": "none"}), Request(), 3)
    assert lines[0].startswith("4 configurations x 3 seeds of up to 27 epochs, 3 at a time; scheduler none")
    # 4 x 3 x 27 epochs of 2 s on 3 workers: 216 s
    assert lines[2] == "324 epochs, none stopped early: 4 min"


def test_an_estimate_says_where_a_conditional_dimension_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    noise = {"type": "categorical", "choices": ["none", "gaussian", "salt_pepper"]}
    factor = {"type": "float", "low": 0.1, "high": 0.5, "when": {"noise": ["gaussian", "salt_pepper"]}}
    lines = estimate(plan(search={"noise": noise, "noise_factor": factor}), Request(), 3)
    assert lines[1] == "noise_factor is searched where noise is gaussian or salt_pepper"
    assert lines[2].startswith("a middling trial: ")


# Two threads that wait for each other are slow on a busy machine.
@pytest.mark.parametrize(("asked", "most"), [(Request(), 5), (Request(pack=3), 60)])
def test_the_seconds_of_an_epoch_are_measured(asked: Request, most: float) -> None:
    small = plan(search={"beta": {"type": "float", "low": 0.5, "high": 2.0}}, fixed={"hidden_units": 16})
    lines = estimate(small, asked, 3)
    seconds = float(lines[1].split(" parameters, ")[1].split(" s an epoch")[0])
    assert 0 <= seconds < most


def test_an_estimate_of_packs_says_what_a_device_trains_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    search = {"hidden_layers": {"type": "categorical", "choices": [1, 2]}}
    two = plan(search=search, fixed={"hidden_units": 304, "latent_size": 24}, trials=40)
    assert [line for line in estimate(two, Request(), 3) if "lanes" in line] == []
    first, *classes, last = estimate(two, Request(pack=32), 3)[-4:]
    assert first == "up to 32 trials train as one on a device, in 2 shape classes; padding moves 0 % of the bytes"
    for n_layers, line in zip(("1 layer", "2 layers"), classes, strict=True):
        n_lanes = int(line.split()[1])
        assert 13 <= n_lanes <= 19
        assert line.startswith(f"about {n_lanes} lanes of up to 304 hidden units and 24 latents: {n_layers}, relu, vae")
    assert last.startswith("by the model of an H200, not measured: ")


def test_an_estimate_of_packs_says_what_padding_wastes(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 pixels, batch 128: half of the trials are padded from 2 x 64 to 2 x 512 units."""
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    units = {"hidden_units": {"type": "categorical", "choices": [64, 512]}}
    (line,) = [line for line in estimate(plan(search=units, trials=4), Request(pack=4), 3) if "padding" in line]
    assert line.startswith("up to 4 trials train as one on a device, in 1 shape class; padding moves ")
    assert 35 < int(line.split(" % ")[0].split()[-1]) < 50


def test_an_estimate_says_which_models_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    search = {"beta": {"type": "float", "low": 0.5, "high": 2.0}}
    many = plan(search=search, fixed={"latent_size": 2, "hidden_units": 16}, trials=10_000)
    model = (many.typical_config().n_parameters(64) * 4 + 100_000) / 2**20
    assert estimate(many, Request(), 3)[4].endswith(
        f" MiB on disk; a model of {model:.1f} MiB stays of the best 50 and of those that figures compare, "
        "about 60 in all"
    )
    front = plan(search=search, scheduler={"type": "none"}, metric="rate_distortion", trials=10_000)
    assert "of the best 50, of the front of rate and distortion and of those" in estimate(front, Request(), 3)[4]
    limited = replace(plan(keep_models=27), max_bytes=2**30)
    assert estimate(limited, Request(), 3)[4].endswith("stays of the best that --max-disk has room for")


@pytest.mark.parametrize(
    ("asked", "at_once"),
    [
        (Request(), 10),  # of 16 that have room: tpe draws the first 10 at random, and learns from their results
        (Request(max_concurrent=2), 2),
        (Request(max_concurrent=12), 12),  # and a line that says so
        (Request(cpus_per_trial=4), 4),
        (Request(pack=5), 5),
        (Request(address="auto", max_concurrent=3), 3),
    ],
)
def test_an_estimate_follows_what_is_asked_of_the_machines(
    monkeypatch: pytest.MonkeyPatch, asked: Request, at_once: int
) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    monkeypatch.setattr(cost_module.os, "sched_getaffinity", lambda process: set(range(16)))
    lines = estimate(plan(trials=32, epochs=30, scheduler={"type": "none"}), asked, 3)
    assert f", {at_once} at a time; " in lines[0]
    assert f"960 epochs, none stopped early: {duration(max(960 * 2.0 / at_once, 60.0))}" in lines


def test_an_estimate_is_no_shorter_than_one_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module, "_epoch_seconds", lambda plan, config, cluster, slots: 2.0)
    monkeypatch.setattr(cost_module.os, "sched_getaffinity", lambda process: set(range(16)))
    lines = estimate(plan(trials=3, epochs=30, scheduler={"type": "none"}), Request(), 3)
    assert lines[2] == "90 epochs, none stopped early: 60 s"


def test_an_estimate_of_what_this_machine_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_module.os, "sched_getaffinity", lambda process: {0, 1})
    with pytest.raises(ClusterError, match=r"^--cpus-per-trial 8: no node has as many; allowed: 1 to 2$"):
        estimate(plan(), Request(cpus_per_trial=8), 3)
