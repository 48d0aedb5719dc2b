"""sweep.py, from its command to its report: a real sweep with Ray's workers, then every file it leaves."""

import json
import math
import shutil
import struct
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import ray
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from PIL import Image

import sweep
from report.page.document import embedded
from tests.material.sweeps import (
    Ended,
    FinishedSweep,
    Process,
    events,
    files_below,
    json_lines,
    leaderboard,
    ledger,
    manifest,
    metrics,
    session_of,
    start,
    succeed,
)
from vae.backend.products import prefer_onednn
from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.evaluate.evaluate import evaluate
from vae.storage.checkpoint import load_model

N_TRIALS, N_EPOCHS, N_BEST = 8, 8, 3
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
SWEEP_FIGURES = ("rate_distortion", "optimisation_history", "parameter_importance", "slices", "sheet")
SWEEP_FIGURES += ("bound_per_images_seen",)
MODEL_FIGURES = ("reconstructions", "samples", "manifold", "traversals", "interpolations", "latents")
MODEL_FIGURES += ("kl_per_dimension", "learning_curves")


@pytest.fixture(scope="module")
def folder(finished_sweep: FinishedSweep) -> Path:
    return finished_sweep.folder


@pytest.fixture(scope="module")
def study(folder: Path) -> optuna.Study:
    """As optuna-dashboard opens it."""
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


def test_the_leaderboard_has_one_row_per_trial_best_first_and_every_state(folder: Path) -> None:
    rows = leaderboard(folder)
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(N_TRIALS)]
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, N_TRIALS + 1)]
    assert {row["state"] for row in rows} == {"complete", "pruned", "failed"}
    finished = [row for row in rows if row["state"] != "failed"]
    assert rows[: len(finished)] == finished
    elbos = [float(row["val_elbo"]) for row in finished]
    assert elbos == sorted(elbos, reverse=True)


def test_the_leaderboard_has_a_column_per_hyperparameter_and_metric(folder: Path) -> None:
    hyperparameters = [name for name in TrialConfig.model_fields if name != "epochs"]
    results = ["val_elbo", "best_epoch", "val_rate", "val_distortion"]
    results += ["val_noisy_elbo", "val_noisy_rate", "val_noisy_distortion"]
    results += ["epochs", "seconds", "checkpoint", "error"]
    assert list(leaderboard(folder)[0]) == ["rank", "trial_id", "state", *hyperparameters, *results]


def test_the_leaderboard_has_each_trials_best_epoch_of_its_metrics_file(folder: Path) -> None:
    for row in leaderboard(folder):
        history = metrics(folder, row["trial_id"])
        assert [line["epoch"] for line in history] == list(range(1, int(row["epochs"]) + 1))
        if row["state"] == "failed":
            continue
        best = max(history, key=lambda line: line["val_elbo"])
        assert int(row["best_epoch"]) == best["epoch"]
        for name in ("val_elbo", "val_rate", "val_distortion"):
            assert float(row[name]) == best[name]
        assert -best["val_elbo"] == pytest.approx(best["val_rate"] + best["val_distortion"], rel=1e-12)


def test_a_complete_trial_has_all_its_epochs_and_a_pruned_one_ends_at_a_rung(folder: Path) -> None:
    for row in leaderboard(folder):
        if row["state"] == "complete":
            assert int(row["epochs"]) == N_EPOCHS
        if row["state"] == "pruned":
            assert int(row["epochs"]) in (2, 4)  # grace 2, reduction factor 2, below 8


def test_a_trial_that_diverges_is_failed_last_and_says_why(folder: Path) -> None:
    rows = leaderboard(folder)
    (diverged,) = (row for row in rows if row["trial_id"] == "0000")
    assert (diverged["state"], diverged["learning_rate"]) == ("failed", "1.0")
    assert all(row["state"] == "failed" for row in rows[rows.index(diverged) :])
    assert "diverged in epoch 1" in diverged["error"]
    assert (diverged["val_elbo"], diverged["checkpoint"]) == ("", "")
    (only,) = metrics(folder, "0000")
    assert not math.isfinite(only["val_elbo"])


def test_the_baselines_are_the_first_trials(folder: Path) -> None:
    second = json.loads((folder / "trials" / "0001" / "config.json").read_text())
    assert (second["latent_size"], second["learning_rate"], second["beta"]) == (2, 0.01, 1.0)


def test_every_checkpoint_evaluates_to_exactly_its_row_of_the_leaderboard(
    folder: Path, digits: dict[str, Images]
) -> None:
    prefer_onednn()  # as the workers do
    validation = torch.from_numpy(digits["validation"].pixels)
    rows = [row for row in leaderboard(folder) if row["checkpoint"]]
    assert {row["state"] for row in rows} >= {"complete", "pruned"}
    for row in rows:
        model, description = load_model((folder / row["checkpoint"]).parent)
        evaluation = evaluate(model, validation)
        assert (evaluation.elbo, evaluation.rate) == (float(row["val_elbo"]), float(row["val_rate"]))
        assert description.epoch == int(row["best_epoch"])
        assert json.loads(description.config.model_dump_json()) == json.loads(
            (folder / "trials" / row["trial_id"] / "config.json").read_text()
        )


def test_the_study_has_every_trial_with_its_state_and_its_hyperparameters(folder: Path, study: optuna.Study) -> None:
    rows = {int(row["trial_id"]): row for row in leaderboard(folder)}
    assert {trial.number for trial in study.trials} == set(rows)
    for trial in study.trials:
        row = rows[trial.number]
        assert trial.state == STATES[row["state"]]
        assert {name: str(value) for name, value in trial.params.items()} == {name: row[name] for name in trial.params}
        assert set(trial.params) == {"latent_size", "learning_rate", "beta"}


def test_the_studys_values_are_the_leaderboards_and_its_best_trial_is_complete(
    folder: Path, study: optuna.Study
) -> None:
    rows = {int(row["trial_id"]): row for row in leaderboard(folder)}
    for trial in study.trials:
        history = metrics(folder, f"{trial.number:04d}")
        finite = {line["epoch"]: line["val_elbo"] for line in history if math.isfinite(line["val_elbo"])}
        assert trial.intermediate_values == finite
        if trial.state == TrialState.COMPLETE:
            assert trial.value == float(rows[trial.number]["val_elbo"])
        elif trial.state == TrialState.PRUNED:  # Optuna's convention: the last one
            assert trial.value == history[-1]["val_elbo"]
        else:
            assert trial.value is None
    complete = [float(row["val_elbo"]) for row in rows.values() if row["state"] == "complete"]
    assert study.best_value == max(complete)


def test_the_ledger_has_every_trial_proposed_and_finished_once(folder: Path) -> None:
    trials = [f"{number:04d}" for number in range(N_TRIALS)]
    assert events(folder, "proposed") == trials
    assert sorted(events(folder, "finished")) == trials
    assert sorted(events(folder, "started")) == trials
    order: dict[str, list[str]] = {}
    for line in ledger(folder):
        order.setdefault(line["trial"], []).append(line["event"])
    for row in leaderboard(folder):
        last = {"complete": ["checkpointed"], "pruned": ["stopping"], "failed": []}[row["state"]]
        assert order[row["trial_id"]] == ["proposed", "started", *last, "finished"]


def test_the_manifest_says_what_ran_on_what(folder: Path) -> None:
    content = manifest(folder)
    assert content["name"] == "mixed"
    assert content["seed"] == 3
    (run,) = content["runs"]
    moments = run["start_seconds"]
    assert 0 < moments["ray"] <= moments["run"] <= moments["training"] <= moments["first_epoch"]
    assert run["command"].endswith("sweep.py --space mixed.yaml --name mixed --seed 3")
    assert content["space"]["trials"] == N_TRIALS
    assert content["space"]["search"]["beta"] == {"type": "float", "low": 0.25, "high": 4.0, "log": True}
    assert content["space"]["scheduler"] == {"type": "asha", "grace_epochs": 2, "reduction_factor": 2}
    assert content["dataset"]["name"] == "digits"
    assert content["dataset"]["images"] == {"train": 1437, "validation": 180, "test": 180}
    assert sum(content["dataset"]["images"].values()) == 1797  # the whole dataset
    for package in ("ray", "torch", "optuna", "tensorboard"):
        assert run["versions"][package] == version(package)
    assert run["hardware"]["slots"] >= 1


def test_the_best_are_the_leaderboards_first_with_their_numbers_on_the_test_split(
    folder: Path, digits: dict[str, Images]
) -> None:
    prefer_onednn()
    rows = leaderboard(folder)
    assert sorted(path.name for path in (folder / "best").iterdir()) == [str(rank + 1) for rank in range(N_BEST)]
    for row, numbers in zip(rows, _best_metrics(folder), strict=False):
        assert (numbers["trial_id"], numbers["rank"]) == (row["trial_id"], int(row["rank"]))
        assert numbers["validation"]["val_elbo"] == float(row["val_elbo"])
        model, _ = load_model(folder / "best" / row["rank"])
        expected = evaluate(model, torch.from_numpy(digits["test"].pixels))
        assert numbers["test"]["elbo"] == pytest.approx(expected.elbo, rel=1e-6)  # the driver's BLAS may differ
        assert numbers["test"]["n_images"] == 180


def test_no_number_of_the_test_split_is_anywhere_but_in_the_best_and_the_report(folder: Path) -> None:
    values = [float(numbers["test"][name]) for numbers in _best_metrics(folder) for name in ("elbo", "distortion")]
    needles = [
        needle
        for value in values
        for needle in (repr(value)[:10].encode(), struct.pack("<f", value), struct.pack("<d", value))
    ]
    elsewhere = [path for path in folder.rglob("*") if path.is_file() and not _is_report(path.relative_to(folder))]
    assert len(elsewhere) > 4 * N_TRIALS
    for path in elsewhere:
        content = path.read_bytes()
        assert not [needle for needle in needles if needle in content], path
    assert f"{values[0]:.2f}" in (folder / "report" / "summary.md").read_text()


def _is_report(path: Path) -> bool:
    return path.parts[0] in ("best", "report")


def _best_metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / "best" / str(rank) / "metrics.json").read_text()) for rank in range(1, N_BEST + 1)]


def _figures_of(model: Path) -> list[str]:
    """A manifold has by default only who has two latents."""
    is_plane = json.loads((model / "config.json").read_text())["latent_size"] <= 2
    return [name for name in MODEL_FIGURES if is_plane or name != "manifold"]


def test_the_report_has_every_figure_as_an_image_with_something_on_it(folder: Path) -> None:
    expected = [f"{name}.png" for name in SWEEP_FIGURES]
    expected += [
        f"best_{rank}/{name}.png" for rank in range(1, N_BEST + 1) for name in _figures_of(folder / "best" / str(rank))
    ]
    found = sorted(str(path.relative_to(folder / "report")) for path in (folder / "report").rglob("*.png"))
    found.remove("projector/sprite.png")
    assert found == sorted(expected)
    for path in found:
        image = Image.open(folder / "report" / path)
        assert min(image.size) >= 200, path
        pixels = np.asarray(image.convert("L"))
        assert pixels.std() > 5, path
        assert len(np.unique(pixels)) > 20, path


def test_the_sweep_ends_with_the_best_trials_the_report_and_the_tensorboard_command(
    finished_sweep: FinishedSweep,
) -> None:
    stdout, rows = finished_sweep.ended.stdout, leaderboard(finished_sweep.folder)
    assert "Report: runs/mixed/report\n" in stdout
    assert "tensorboard --logdir runs/mixed --samples_per_plugin images=100\n" in stdout
    assert "Open runs/mixed/report/index.html, or: tensorboard" in stdout
    assert f"best val_elbo {float(rows[0]['val_elbo']):.2f} (trial {rows[0]['trial_id']}:" in stdout
    table = [line.split("│")[1:-1] for line in stdout.splitlines() if line.startswith("│")]
    shown = [[cell.strip() for cell in row[:4]] for row in table]
    best = rows[:N_BEST]
    expected = [[row["rank"], row["trial_id"], row["state"], f"{float(row['val_elbo']):.2f}"] for row in best]
    assert shown == expected


def test_where_there_is_no_terminal_the_output_is_plain_lines_without_rays_own(finished_sweep: FinishedSweep) -> None:
    stdout = finished_sweep.ended.stdout
    assert "\x1b" not in stdout
    assert "Trial status" not in stdout
    assert "ray_results" not in stdout
    assert f"{N_TRIALS}/{N_TRIALS} trials" in stdout
    assert "trial 0000 failed: diverged in epoch 1" in stdout


def test_nothing_half_made_is_left_in_the_folder(folder: Path) -> None:
    known = {"manifest.json", "study.journal", "leaderboard.csv", "ledger.jsonl", "driver.lock"}
    names = {path.name for path in folder.iterdir() if ".tfevents." not in path.name}
    assert names - known == {"trials", "best", "best_so_far", "report"}
    assert not [name for name in files_below(folder) if Path(name).name.startswith(".")]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One seed twice: two trials side by side, and one after the other; as far as the sampler goes, the same."""
    settings = ("scheduler.type=none", "sampler.type=random", "batch_size=32", "beta=0.5")
    options = [word for setting in settings for word in ("--set", setting)]
    folders = []
    for at_a_time in (2, 1):
        cwd = tmp_path_factory.mktemp("twin")
        numbers = ("--trials", 3, "--epochs", 3, "--seed", 11, "--top-k", 0, "--max-concurrent", at_a_time)
        succeed("--space", "quick", "--name", "twin", *options, *map(str, numbers), cwd=cwd)
        folders.append(cwd / "runs" / "twin")
    return folders[0], folders[1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trials_and_the_same_numbers_whichever_run_side_by_side(
    twins: tuple[Path, Path],
) -> None:
    one, other = (
        [{name: value for name, value in row.items() if name != "seconds"} for row in leaderboard(folder)]
        for folder in twins
    )
    assert one == other
    assert len({row["val_elbo"] for row in one}) == 3
    for row in one:
        first, second = (_without_seconds(metrics(folder, row["trial_id"])) for folder in twins)
        assert first == second


def _without_seconds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != "epoch_seconds"} for line in history]


@pytest.mark.slow
def test_set_fixes_a_hyperparameter_and_takes_a_searched_one_out_of_the_search(twins: tuple[Path, Path]) -> None:
    content = manifest(twins[0])
    assert set(content["space"]["search"]) == {"latent_size", "learning_rate"}
    assert content["space"]["scheduler"] == {"type": "none"}
    assert content["space"]["sampler"] == {"type": "random"}
    assert {(row["batch_size"], row["beta"], row["seed"]) for row in leaderboard(twins[0])} == {("32", "0.5", "11")}


@pytest.mark.slow
def test_a_report_of_the_best_none_has_the_sweeps_figures_only(twins: tuple[Path, Path]) -> None:
    pngs = sorted(str(path.relative_to(twins[0])) for path in twins[0].rglob("*.png"))
    assert pngs == sorted(f"report/{name}.png" for name in SWEEP_FIGURES)
    assert not list((twins[0] / "best").glob("*"))


@pytest.mark.slow
def test_a_time_budget_stops_the_sweep_in_time_with_a_report_and_the_command_to_go_on(tmp_path: Path) -> None:
    options = ("--trials", "2", "--epochs", "50000", "--set", "scheduler.type=none", "--time-budget", "40s")
    ended = succeed("--space", "quick", "--name", "brief", *options, "--top-k", "1", cwd=tmp_path)
    folder = tmp_path / "runs" / "brief"
    assert "Go on with: python sweep.py --resume brief\n" in ended.stdout
    rows = leaderboard(folder)
    assert [row["state"] for row in rows] == ["running", "running"]
    assert 0 < int(rows[0]["epochs"]) < 50000
    assert events(folder, "finished") == []
    assert (folder / "best" / "1" / "model.safetensors").is_file()
    assert (folder / "report" / "best_1" / "samples.png").is_file()
    assert ended.seconds < 150


@pytest.mark.slow
def test_the_report_of_one_trial_is_drawn_from_its_folder(folder: Path, tmp_path: Path) -> None:
    trial = Path(shutil.copytree(folder / "trials" / "0001", tmp_path / "trial"))
    command = [sys.executable, "-m", "report", str(trial)]
    ended = _run(command, cwd=Path(sweep.__file__).parent)
    assert ended.code == 0, ended.told
    assert sorted(path.stem for path in (trial / "figures").glob("*.png")) == sorted(_figures_of(trial))
    assert (trial / "figures" / "samples.gif").is_file()


def _run(command: list[str], cwd: Path) -> Ended:
    with Process(command, cwd) as process:
        return process.wait()


@pytest.mark.slow
def test_the_sweeps_page_has_every_trial_with_what_became_of_it(folder: Path) -> None:
    data = embedded((folder / "report" / "index.html").read_text())
    rows = leaderboard(folder)
    assert data["columns"]["trial_id"] == [row["trial_id"] for row in rows]
    assert data["columns"]["state"] == [row["state"] for row in rows]
    assert [found is not None for found in data["pictures"]] == [row["checkpoint"] != "" for row in rows]
    (head,) = data["sweeps"]
    assert head["progress"] == "ended"
    assert head["command"].endswith("sweep.py --space mixed.yaml --name mixed --seed 3")
    assert 0 < head["wall_seconds"] < 3600
    n_failed = sum(row["state"] == "failed" for row in rows)
    of_divergence = [line for line in head["warnings"] if "failed: diverged in epoch" in line]
    assert [line.split()[0] for line in of_divergence] == [str(n_failed)], head["warnings"]


def test_the_report_is_rebuilt_from_the_checkpoints_to_the_same_images(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere" / "mixed"))
    shutil.rmtree(copy / "report")
    shutil.rmtree(copy / "best")
    ended = succeed("--report", "mixed", "--storage", "elsewhere", cwd=tmp_path)
    assert "Report: elsewhere/mixed/report\n" in ended.stdout
    before, after = ([name for name in files_below(it) if "tfevents" not in name] for it in (folder, copy))
    assert after == before
    for path in sorted((folder / "report").rglob("*.png")):
        assert (copy / path.relative_to(folder)).read_bytes() == path.read_bytes(), path
    assert (copy / "best/1/metrics.json").read_bytes() == (folder / "best/1/metrics.json").read_bytes()


def test_a_dry_run_says_what_would_run_and_starts_and_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sweep.main(["--space", "quick", "--dry-run", "--trials", "5", "--epochs", "7"]) == 0
    stdout = capsys.readouterr().out
    assert "5 trials of up to 7 epochs" in stdout
    assert "MiB on disk; a model of " in stdout
    assert files_below(tmp_path) == []
    assert not ray.is_initialized()


def test_list_spaces_names_the_shipped_studies(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["--list-spaces"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"beta_study", "quick"} <= set(names)


@pytest.mark.slow
def test_a_sweep_ends_all_the_processes_it_has_started(tmp_path: Path) -> None:
    with start("--space", "quick", "--trials", "1", "--epochs", "4", "--top-k", "0", cwd=tmp_path) as process:
        assert process.wait().code == 0
        deadline = time.monotonic() + 5.0  # what was killed may take a moment to go on a busy machine
        while session_of(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in session_of(process.pid)]
        assert left == []
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("quick-2")  # the space's name and the time
    assert json_lines(folder / "ledger.jsonl")


@pytest.mark.slow
def test_each_model_that_the_leaderboard_names_can_be_loaded_while_the_sweep_runs(tmp_path: Path) -> None:
    folder, n_loaded, n_named = tmp_path / "runs" / "it", 0, 0
    command = ("--space", "quick", "--name", "it", "--trials", "30", "--epochs", "30", "--keep-models", "1")
    with start(*command, "--set", "sampler.type=random", "--top-k", "2", cwd=tmp_path) as process:
        while process.is_running():
            named = named_models(folder)
            n_named = max(n_named, len(named))
            for model in named:
                try:
                    load_model(model.parent)
                except CheckpointError:  # the leaderboard was replaced meanwhile, or it is at fault
                    assert model not in named_models(folder)
                else:
                    n_loaded += 1
            time.sleep(0.05)  # the sweep wants the cores
        ended = process.wait()
    assert ended.code == 0, ended.told
    removed = [trial for line in ledger(folder) if line["event"] == "removed" for trial in line["trials"]]
    named = named_models(folder)
    assert (n_loaded > 0, n_named > 0, len(removed) > 0) == (True, True, True)
    assert len(named) + len(set(removed)) == 30
    assert sorted(named) == sorted((folder / "trials").glob("**/model.safetensors"))
    assert not list(folder.glob("trials/**/checkpoint.safetensors"))
    assert sorted(path.name for path in (folder / "best").iterdir()) == ["1", "2"]


def named_models(folder: Path) -> list[Path]:
    rows = leaderboard(folder) if (folder / "leaderboard.csv").exists() else []
    return [folder / row["checkpoint"] for row in rows if row["checkpoint"]]
