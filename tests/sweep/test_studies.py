"""Sweeps of several modes, seeds, conditions and objectives, with real Ray workers; one Ray serves them all."""

import json
import math
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from report.output.event_files import read_events
from report.output.live_events import SweepEvents
from tests.material.sweeps import events, leaderboard, metrics
from tuning.cluster.allot import Cluster, Request
from tuning.cluster.connect import connected
from tuning.plan.plan import new_plan
from tuning.records import TrialRecord, configurations
from tuning.search.study import load_study
from tuning.space.model import SearchSpace
from tuning.space.rules import faults_of
from tuning.store.ledger import read_trials
from tuning.store.place import SweepStorage
from tuning.sweep import run
from tuning.sweep.manifest import write_manifest
from tuning.view.progress import Progress
from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.files import LocalFiles
from vae.training.pack import Pack
from vae.training.trial import Training

pytestmark = pytest.mark.slow

SMALL = {"latent_size": 2, "hidden_units": 32, "batch_size": 64, "learning_rate": 0.003}
NONE, GRID = {"type": "none"}, {"type": "grid"}
MODES = ("vae", "autoencoder", "decoder_only")
N_SEEDS, SEED, N_EPOCHS = 3, 7, 3
SAME = 1e-4  # of a nat's 1e-2: what float32 rounds away in the 69 steps of these trials is far less


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    before = dict(os.environ)  # which this process shares with the sweeps that other tests start
    with connected(Request(max_concurrent=4)) as found:
        yield found
    os.environ.clear()
    os.environ.update(before)


def swept(folder: Path, cluster: Cluster, space: dict[str, Any]) -> list[TrialRecord]:
    """A sweep of real digits from its space to its files, without a report."""
    chosen = SearchSpace.model_validate({"description": "A study.", "dataset": "digits", **space})
    assert faults_of(chosen) == []
    plan = new_plan(chosen, "study", folder.name, SEED, Path("unused"))
    folder.mkdir()
    search = {name: dimension.model_dump() for name, dimension in chosen.dimensions.items()}
    observer = SweepEvents(folder, search, modes=chosen.modes)
    write_manifest(SweepStorage(folder), plan, cluster)
    view = Progress(chosen.n_runs, cluster.slots, [])
    records = run.run(plan, SweepStorage(folder), cluster, plan.load_images(), [observer], view)
    observer.close()
    assert {record.state for record in records} == {"complete"}
    assert read_trials(SweepStorage(folder).place) == records
    return records


# ---------------------------------------------------------------- modes and seeds

COMPARED = {
    "metric": "val_distortion",
    "trials": len(MODES),
    "repeats": N_SEEDS,
    "epochs": N_EPOCHS,
    "search": {"mode": {"type": "categorical", "choices": list(MODES)}},
    "fixed": SMALL,
    "scheduler": NONE,
    "sampler": GRID,
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> tuple[Path, list[TrialRecord]]:
    folder = tmp_path_factory.mktemp("compared") / "it"
    return folder, swept(folder, cluster, COMPARED)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> list[TrialRecord]:
    return swept(tmp_path_factory.mktemp("packed") / "it", replace(cluster, pack=4), COMPARED)


def test_every_mode_is_trained_with_every_seed_once(compared: tuple[Path, list[TrialRecord]]) -> None:
    folder, records = compared
    expected = [f"{number:04d}-{repeat}" for number in range(len(MODES)) for repeat in range(1, N_SEEDS + 1)]
    assert events(folder, "proposed") == expected
    assert sorted(events(folder, "finished")) == expected
    found = {(record.config.mode, record.config.seed) for record in records}
    assert found == {(mode, SEED + i) for mode in MODES for i in range(N_SEEDS)}
    for mode in MODES:
        assert len({record.score for record in records if record.config.mode == mode}) == N_SEEDS


def test_a_trial_of_a_sweep_with_seeds_is_the_trial_of_that_seed_alone(
    compared: tuple[Path, list[TrialRecord]], digits: dict[str, Images], tmp_path: Path
) -> None:
    config = TrialConfig(mode="autoencoder", epochs=N_EPOCHS, seed=SEED + 2, **SMALL)
    pack = Pack(*(torch.from_numpy(digits[split].pixels) for split in ("train", "validation")))
    training = Training(pack, config, "digits", (8, 8), LocalFiles(tmp_path))
    expected = [training.next_epoch().val_distortion for _ in range(N_EPOCHS)]
    (record,) = (one for one in compared[1] if one.config == config)
    assert [epoch.val_distortion for epoch in record.history] == pytest.approx(expected, abs=SAME)


def test_only_a_vae_has_a_rate_and_an_elbo(compared: tuple[Path, list[TrialRecord]]) -> None:
    folder, _ = compared
    for row in leaderboard(folder):
        is_vae = row["mode"] == "vae"
        assert [bool(row[name]) for name in ("val_elbo", "val_rate", "val_distortion")] == [is_vae, is_vae, True]
        for line in metrics(folder, row["trial_id"]):
            assert ("val_elbo" in line, "train_rate" in line) == (is_vae, is_vae)


def test_the_leaderboard_ranks_configurations_by_their_mean_distortion(
    compared: tuple[Path, list[TrialRecord]],
) -> None:
    rows = leaderboard(compared[0])
    assert [row["rank"] for row in rows] == [str(rank) for rank in (1, 2, 3) for _ in range(N_SEEDS)]
    means = []
    for start in range(0, len(rows), N_SEEDS):
        group = rows[start : start + N_SEEDS]
        assert [row["repeat"] for row in group] == ["1", "2", "3"]
        assert len({row["configuration"] for row in group}) == len({row["mode"] for row in group}) == 1
        distortions = [float(row["val_distortion"]) for row in group]
        for row in group:
            assert float(row["mean_score"]) == pytest.approx(-statistics.fmean(distortions))
            assert float(row["sd_score"]) == pytest.approx(statistics.stdev(distortions))
        means.append(statistics.fmean(distortions))
    assert means == sorted(means)
    assert rows[-1]["mode"] == "decoder_only"  # it cannot know what it is to draw


def test_the_study_has_a_trial_per_configuration_with_the_mean_to_minimise(
    compared: tuple[Path, list[TrialRecord]],
) -> None:
    folder, records = compared
    study = load_study(folder)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * len(MODES)
    means = {one.params["mode"]: -one.mean for one in configurations(records)}
    assert {trial.params["mode"]: trial.value for trial in study.trials} == pytest.approx(means)
    assert study.best_trial.params == configurations(records)[0].params


def test_every_trial_writes_the_scalars_of_its_mode(compared: tuple[Path, list[TrialRecord]]) -> None:
    folder, records = compared
    for record in records:
        values = [value for event in read_events(folder / record.folder) for value in event.summary.value]
        assert ("val/elbo" in {value.tag for value in values}) == (record.config.mode == "vae")
        assert sum(value.tag == "val/distortion" for value in values) == N_EPOCHS


def test_packs_of_several_modes_give_the_numbers_of_trials_alone(
    compared: tuple[Path, list[TrialRecord]], packed: list[TrialRecord]
) -> None:
    assert [record.config for record in packed] == [record.config for record in compared[1]]
    for ours, theirs in zip(packed, compared[1], strict=True):
        for one, other in zip(ours.history, theirs.history, strict=True):
            numbers, expected = ({**epoch.as_dict(), "epoch_seconds": 0.0} for epoch in (one, other))
            assert numbers == pytest.approx(expected, abs=SAME), ours.trial_id
    assert [one.name for one in configurations(packed)] == [one.name for one in configurations(compared[1])]


# ---------------------------------------------------------------- conditions


def test_a_grid_with_a_condition_trains_each_point_once_with_the_noise_that_it_has(
    tmp_path: Path, cluster: Cluster
) -> None:
    factor = {"type": "categorical", "choices": [0.2, 0.4], "when": {"noise": "gaussian"}}
    search = {"noise": {"type": "categorical", "choices": ["none", "gaussian"]}, "noise_factor": factor}
    space = {"trials": 3, "epochs": 2, "search": search, "fixed": SMALL, "scheduler": NONE, "sampler": GRID}
    records = swept(tmp_path / "it", cluster, space)
    assert [record.params for record in records] == [
        {"noise": "none"},
        {"noise": "gaussian", "noise_factor": 0.2},
        {"noise": "gaussian", "noise_factor": 0.4},
    ]
    assert [trial.params for trial in load_study(tmp_path / "it").trials] == [record.params for record in records]
    rows = {row["trial_id"]: row for row in leaderboard(tmp_path / "it")}
    for record in records:
        row = rows[record.trial_id]
        assert bool(row["val_noisy_elbo"]) == (record.config.noise != "none")
        assert row["val_noisy_distortion"] != row["val_distortion"]
        assert float(row["noise_factor"]) == record.params.get("noise_factor", TrialConfig().noise_factor)


# ---------------------------------------------------------------- two objectives


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether none of the others is as low in both and lower in one."""
    return [not any(a <= c and b <= d and (a, b) != (c, d) for a, b in points) for c, d in points]


def test_a_sweep_of_rate_and_distortion_has_the_same_front_in_its_leaderboard_and_its_study(
    tmp_path: Path, cluster: Cluster
) -> None:
    space = {
        "metric": "rate_distortion",
        "trials": 7,
        "epochs": 4,
        "search": {
            "beta": {"type": "float", "low": 0.05, "high": 8.0, "log": True},
            "latent_size": {"type": "int", "low": 1, "high": 8},
        },
        "fixed": {name: value for name, value in SMALL.items() if name != "latent_size"},
        "scheduler": NONE,
        "sampler": {"type": "tpe", "startup_trials": 4},
    }
    swept(tmp_path / "it", cluster, space)
    rows = leaderboard(tmp_path / "it")
    points = [(float(row["val_rate"]), float(row["val_distortion"])) for row in rows]
    assert [row["pareto"] == "yes" for row in rows] == front(points)
    study = load_study(tmp_path / "it")
    assert {f"{trial.number:04d}" for trial in study.best_trials} == {r["trial_id"] for r in rows if r["pareto"]}
    assert {f"{t.number:04d}": tuple(t.values) for t in study.trials} == {
        row["trial_id"]: point for row, point in zip(rows, points, strict=True)
    }
    elbos = [float(row["val_elbo"]) for row in rows]
    assert elbos == sorted(elbos, reverse=True)
    assert elbos == pytest.approx([-(rate + distortion) for rate, distortion in points])
    assert all(math.isfinite(elbo) for elbo in elbos)


def test_the_metric_of_a_sweep_is_known_from_its_ledger(compared: tuple[Path, list[TrialRecord]]) -> None:
    lines = (compared[0] / "ledger.jsonl").read_text().splitlines()
    assert {json.loads(line).get("metric") for line in lines if '"proposed"' in line} == {"val_distortion"}
