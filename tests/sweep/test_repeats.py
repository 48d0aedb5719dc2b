"""A sweep of several seeds whose driver is killed: every configuration ends with each of its seeds, once."""

import json
import signal
import statistics
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.material.sweeps import events, leaderboard, metrics, start, succeed
from tuning.search.study import load_study

pytestmark = pytest.mark.slow

N_SEEDS, N_CONFIGURATIONS, N_MORE, N_EPOCHS, SEED = 3, 2, 1, 60, 5
SETTINGS = ("--set", "scheduler.type=none", "--set", "sampler.type=random", "--set", f"repeats={N_SEEDS}")
RUN = ("--top-k", "0", "--max-concurrent", "2")
NEW = ("--space", "quick", "--name", "it", "--trials", str(N_CONFIGURATIONS), "--epochs", str(N_EPOCHS))


def assert_whole(folder: Path, n_configurations: int) -> None:
    """Each configuration once with each of its seeds, in every file; nothing trained twice, nothing left out."""
    expected = [f"{number:04d}-{i}" for number in range(n_configurations) for i in range(1, N_SEEDS + 1)]
    assert events(folder, "proposed") == expected
    assert sorted(events(folder, "finished")) == expected
    assert sorted(path.name for path in (folder / "trials").iterdir()) == expected
    rows = {row["trial_id"]: row for row in leaderboard(folder)}
    assert sorted(rows) == expected
    for trial_id, row in rows.items():
        assert (row["state"], row["seed"]) == ("complete", str(SEED + int(row["repeat"]) - 1))
        assert [line["epoch"] for line in metrics(folder, trial_id)] == list(range(1, N_EPOCHS + 1))
    study = load_study(folder)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * n_configurations
    for trial in study.trials:
        of_trial = [row for row in rows.values() if int(row["configuration"]) == trial.number]
        assert trial.value == pytest.approx(statistics.fmean(float(row["val_elbo"]) for row in of_trial))
        for name, value in trial.params.items():
            assert {float(row[name]) for row in of_trial} == {float(value)}


def test_a_sweep_with_seeds_whose_driver_is_killed_between_two_of_them_is_resumed_and_extended(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "it"
    with start(*NEW, "--seed", str(SEED), *SETTINGS, *RUN, cwd=tmp_path) as process:
        process.until(lambda: "0001-1" in events(folder, "proposed"), "second configuration")
        process.send(signal.SIGKILL)
        lacking = f"0001-{N_SEEDS}" not in events(folder, "proposed")
        ended = succeed("--resume", "it", *RUN, cwd=tmp_path)
    assert lacking, "the driver was to be killed before the last seed was proposed"
    assert f"of {N_CONFIGURATIONS * N_SEEDS} trials are finished" in ended.stdout
    assert_whole(folder, N_CONFIGURATIONS)
    before = {trial.number: trial.value for trial in load_study(folder).trials}
    ended = succeed("--resume", "it", "--trials", str(N_CONFIGURATIONS + N_MORE), *RUN, cwd=tmp_path)
    assert_whole(folder, N_CONFIGURATIONS + N_MORE)
    assert before.items() <= {trial.number: trial.value for trial in load_study(folder).trials}.items()
    assert "Best configurations by val_elbo" in ended.stdout
    assert json.loads((folder / "manifest.json").read_text())["space"]["repeats"] == N_SEEDS
