"""The chaos benchmark: its audit notices whatever is wrong, and its schedules repeat."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.chaos import faults
from benchmarks.chaos.audit import Audit, audit
from benchmarks.chaos.schedule import EVERYWHERE, LAST, OWN, schedule
from tests.material.ledgers import finish
from tuning.records import TrialRecord
from tuning.store.folder import Folder
from tuning.store.ledger import Ledger
from tuning.view.leaderboard import write_leaderboard
from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.files import LocalFiles
from vae.training.pack import Pack
from vae.training.trial import Training

N_TRIALS, N_EPOCHS = 3, 3
LEDGER = "ledger.jsonl"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, digits: dict[str, Images]) -> Path:
    """The folder of a sweep that nothing disturbed: trained models, a ledger, a leaderboard."""
    folder = tmp_path_factory.mktemp("whole")
    pixels = [torch.from_numpy(digits[split].pixels[:100]) for split in ("train", "validation")]
    ledger, records = Ledger(Folder(folder)), []
    for number in range(N_TRIALS):
        config = TrialConfig(latent_size=2, hidden_units=4, beta=1.0 + number, epochs=N_EPOCHS)
        record = TrialRecord(f"{number:04d}", {"beta": config.beta}, config)
        ledger.proposed(record)
        ledger.started(record)
        training = Training(Pack(*pixels), config, "digits", (8, 8), LocalFiles(folder / record.folder))
        while not training.is_done:
            record.history.append(training.next_epoch())
            ledger.epoch(record, record.history[-1])
        ledger.checkpointed(record, training.checkpoint_epoch)
        finish(ledger, record)
        records.append(record)
    write_leaderboard(folder, records)
    return folder


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    """A copy of it, to damage."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def audited(folder: Path, whole: Path) -> Audit:
    return audit(Folder(folder), N_TRIALS, Folder(whole), folder)


def change(path: Path, changed: Callable[[str], str]) -> None:
    path.write_text(changed(path.read_text()))


def lines_of(text: str, event: str, trial: str) -> str:
    return next(line for line in text.splitlines(True) if f'"event": "{event}", "trial": "{trial}"' in line)


def test_the_audit_of_a_sweep_that_nothing_disturbed_finds_nothing(folder: Path, whole: Path) -> None:
    assert audited(folder, whole) == Audit(once=N_TRIALS)


@pytest.mark.parametrize("event", ["proposed", "finished"])
def test_the_audit_counts_a_trial_that_is_lost(folder: Path, whole: Path, event: str) -> None:
    change(folder / LEDGER, lambda text: text.replace(lines_of(text, event, "0001"), ""))
    found = audited(folder, whole)
    assert (found.once, found.lost, found.twice) == (N_TRIALS - 1, ["0001"], [])
    assert not found.is_well


@pytest.mark.parametrize("event", ["proposed", "finished"])
def test_the_audit_counts_a_trial_that_is_there_twice(folder: Path, whole: Path, event: str) -> None:
    change(folder / LEDGER, lambda text: text + lines_of(text, event, "0001"))
    found = audited(folder, whole)
    assert (found.once, found.lost, found.twice) == (N_TRIALS - 1, [], ["0001"])


def test_the_audit_counts_a_trial_that_the_sweep_should_not_have(folder: Path, whole: Path) -> None:
    change(folder / LEDGER, lambda text: text + lines_of(text, "proposed", "0001").replace("0001", "0007"))
    assert audited(folder, whole).twice == ["0007"]


@pytest.mark.parametrize(
    "name",
    [
        "trials/0007/model.safetensors",
        "trials/0001/.model.safetensors.123",
        ".report.new/page.html",
        ".check-1",
        "study.journal.new",
    ],
)
def test_the_audit_counts_files_that_belong_to_nothing(folder: Path, whole: Path, name: str) -> None:
    LocalFiles(folder).write(name, b"left")
    assert name in audited(folder, whole).orphans
    assert not audited(folder, whole).is_well


def test_the_audit_counts_an_empty_folder_of_no_trial(folder: Path, whole: Path) -> None:
    (folder / "trials" / "0009").mkdir()
    assert audited(folder, whole).orphans == ["trials/0009/"]


def test_the_audit_sees_a_number_that_differs(folder: Path, whole: Path) -> None:
    value = json.loads(lines_of((folder / LEDGER).read_text(), "finished", "0002"))["val_elbo"]
    change(folder / "leaderboard.csv", lambda text: text.replace(str(value), str(value + 1e-9)))
    assert [fault for fault in audited(folder, whole).faults if f"val_elbo {value + 1e-9}, not {value}" in fault]


def test_the_audit_sees_an_epoch_that_is_missing_and_another_configuration(folder: Path, whole: Path) -> None:
    change(folder / "trials/0000/metrics.jsonl", lambda text: text[: text.index("\n") + 1])
    change(folder / "trials/0001/config.json", lambda text: text.replace('"beta": 2.0', '"beta": 2.5'))
    epochs, config = audited(folder, whole).faults
    assert epochs == "trial 0000: its epochs are not those of the undisturbed sweep"
    assert config == "trial 0001: its config.json is not that of the undisturbed sweep"


def test_the_audit_loads_each_model_and_compares_it_with_the_ledger(folder: Path, whole: Path) -> None:
    model = folder / "trials/0000/model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    shutil.copy(folder / "trials/0001/model.safetensors", folder / "trials/0002")
    damaged, other = audited(folder, whole).faults
    assert damaged.startswith("trials/0000/model.safetensors: truncated")
    assert other.startswith("trials/0002/model.safetensors: ")
    assert "the ledger says" in other


def test_the_audit_reads_the_model_of_the_last_attempt(folder: Path, whole: Path) -> None:
    change(folder / LEDGER, lambda text: text + '{"event": "again", "trial": "0001", "attempt": 2}\n')
    change(folder / "leaderboard.csv", lambda text: text.replace("trials/0001/", "trials/0001/attempt-2/"))
    assert len(audited(folder, whole).faults) == 1
    shutil.copytree(whole / "trials" / "0001", folder / "trials" / "0001" / "attempt-2")
    for name in ("config.json", "metrics.jsonl"):
        (folder / "trials/0001/attempt-2" / name).unlink()
    assert audited(folder, whole) == Audit(once=N_TRIALS)


def repeat(folder: Path, *epochs: int) -> None:
    """The driver has heard of these epochs of trial 0001 again, trained anew."""
    events = [{"event": "repeated", "trial": "0001", "epoch": epoch} for epoch in epochs]
    change(folder / LEDGER, lambda text: text + "".join(json.dumps(event) + "\n" for event in events))


def took(folder: Path, *seconds: float) -> None:
    """The first epochs of trial 0001 took so long, when the driver first heard of them."""
    path = folder / "trials/0001/metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, duration in zip(lines, seconds, strict=False):
        line["epoch_seconds"] = duration
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_audit_counts_epochs_that_were_trained_again_and_what_they_had_taken(folder: Path, whole: Path) -> None:
    took(folder, 60.0, 17.5)
    assert audited(folder, whole) == Audit(once=N_TRIALS)
    repeat(folder, 2)
    found = audited(folder, whole)
    assert (found.again, found.longest, found.is_well) == (1, 17.5, True)
    repeat(folder, 1, 2)  # another interruption, which went back further
    found = audited(folder, whole)
    assert (found.again, found.longest) == (3, 77.5)
    assert found.faults == ["78 s of one trial trained again; allowed: 30"]


def test_the_audit_looks_for_no_model_that_the_ledger_calls_removed(folder: Path, whole: Path) -> None:
    (folder / "trials/0001/model.safetensors").unlink()
    assert len(audited(folder, whole).faults) == 1
    change(folder / LEDGER, lambda text: text + '{"event": "removed", "trial": "", "trials": ["0001"]}\n')
    assert audited(folder, whole) == Audit(once=N_TRIALS)


def test_a_schedule_depends_on_the_seed_and_the_run_alone() -> None:
    assert schedule(3, 7) == schedule(3, 7)
    assert len({str(schedule(seed, run)).partition(": ")[2] for seed in (1, 2) for run in range(1, 21)}) == 40


def test_fifty_runs_have_every_fault_in_every_place_that_it_is_of() -> None:
    plans = [schedule(1, run) for run in range(1, 51)]
    had = {kind: {one.fault for plan in plans if plan.kind == kind for one in plan.strikes} for kind in OWN}
    assert set().union(*had.values()) == set(faults.FAULTS)
    assert all(set(OWN[kind]) <= found <= {*OWN[kind], *EVERYWHERE} for kind, found in had.items())
    for plan in plans:
        progress = [one.progress for one in plan.strikes]
        assert progress == sorted(progress)
        assert all(0 <= one.chance < 1 and one.progress <= LAST for one in plan.strikes)
