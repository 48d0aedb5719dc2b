"""A search and its confirmation, killed once: every trial exactly once, with the numbers of one undisturbed."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.material.sweeps import events, leaderboard, manifest, metrics, run, start, succeed
from tuning.store.place import SweepStorage
from tuning.view.status import status

pytestmark = pytest.mark.slow

TOP, SEEDS, N_TRIALS, N_EPOCHS, N_FRESH_EPOCHS = 2, 2, 3, 3, 30
SETTINGS = ("--set", "scheduler.type=none", "--set", "sampler.type=random", "--seed", "5")
SEARCH = ("--space", "quick", "--name", "it", "--trials", str(N_TRIALS), "--epochs", str(N_EPOCHS), *SETTINGS)
RUN = ("--top-k", "1", "--max-concurrent", "2")
CONFIRM = ("--confirm", f"{TOP}x{SEEDS}x{N_FRESH_EPOCHS}")
IDS = [f"{number:04d}-{repeat}" for number in range(TOP) for repeat in range(1, SEEDS + 1)]
PARAMS = ("latent_size", "learning_rate", "beta")


def numbers(sweep: Path, trial_id: str) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in line.items() if name != "epoch_seconds"} for line in metrics(sweep, trial_id)
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The search and the confirmation in one command."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    ended = succeed(*SEARCH, *RUN, *CONFIRM, cwd=cwd)
    assert f"Confirming the best {TOP} with {SEEDS} fresh seeds each, {N_FRESH_EPOCHS} epochs" in ended.stdout
    assert "Confirmed with fresh seeds: val_elbo" in ended.stdout
    return cwd / "runs" / "it"


def assert_confirmed(folder: Path) -> None:
    confirm = folder / "confirm"
    assert events(confirm, "proposed") == IDS
    assert sorted(events(confirm, "finished")) == IDS
    assert manifest(confirm)["confirms"] == [row["trial_id"] for row in leaderboard(folder)[:TOP]]
    rows = {row["trial_id"]: row for row in leaderboard(confirm)}
    assert {row["state"] for row in rows.values()} == {"complete"}
    for trial_id in IDS:
        assert [line["epoch"] for line in metrics(confirm, trial_id)] == list(range(1, N_FRESH_EPOCHS + 1))
    assert not {row["seed"] for row in rows.values()} & {row["seed"] for row in leaderboard(folder)}
    for number, name in enumerate(manifest(confirm)["confirms"]):
        (of_search,) = [row for row in leaderboard(folder) if row["trial_id"] == name]
        assert [rows[f"{number:04d}-1"][key] for key in PARAMS] == [of_search[key] for key in PARAMS]


def test_the_leaderboard_and_the_report_have_what_fresh_seeds_say(undisturbed: Path) -> None:
    assert_confirmed(undisturbed)
    rows = [row for row in leaderboard(undisturbed) if row["confirmed_rank"]]
    assert len(rows) == TOP
    for row in rows:
        number = manifest(undisturbed / "confirm")["confirms"].index(row["trial_id"])
        fresh = [one for one in leaderboard(undisturbed / "confirm") if one["configuration"] == f"{number:04d}"]
        elbos = [float(one["val_elbo"]) for one in fresh]
        assert float(row["confirmed_mean"]) == pytest.approx(sum(elbos) / SEEDS)
        assert float(row["confirmed_n"]) == SEEDS
        assert float(row["shrinkage"]) == pytest.approx(float(row["val_elbo"]) - sum(elbos) / SEEDS)
    assert "## The best, with fresh seeds" in (undisturbed / "report" / "summary.md").read_text()
    best = json.loads((undisturbed / "best" / "1" / "metrics.json").read_text())
    (first,) = [row for row in rows if row["confirmed_rank"] == "1"]
    assert best["configuration"] == first["trial_id"]
    assert best["trial_id"].startswith("confirm/")
    assert status(SweepStorage(undisturbed))["state"] == "finished"


def test_a_finished_sweep_is_confirmed_killed_on_the_way_and_resumed_to_the_same_numbers(
    undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "it"
    succeed(*SEARCH, *RUN, cwd=tmp_path)
    with start("--resume", "it", *RUN, *CONFIRM, cwd=tmp_path) as process:
        process.until(lambda: events(folder / "confirm", "finished") != [], "a trial of the confirmation")
        process.send(signal.SIGKILL)
        process.until_ended("the killed driver")
        said = status(SweepStorage(folder))
        assert said["confirm"]["planned"] == TOP * SEEDS
        assert said["state"] == "stopped"
    assert len(events(folder / "confirm", "finished")) < TOP * SEEDS, "it was to be killed before its end"
    succeed("--resume", "it", *RUN, cwd=tmp_path)
    assert_confirmed(folder)
    for trial_id in IDS:
        assert numbers(folder / "confirm", trial_id) == numbers(undisturbed / "confirm", trial_id)
    fewer = run("--resume", "it", "--confirm", f"{TOP}x{SEEDS}x{N_FRESH_EPOCHS + 1}", cwd=tmp_path)
    assert (fewer.code, fewer.stdout) == (2, "")
    assert f"--confirm: {N_FRESH_EPOCHS + 1} epochs; those of it have {N_FRESH_EPOCHS}, and keep them" in fewer.stderr
