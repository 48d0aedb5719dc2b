"""What a sweep's place says of it, for people and for scripts."""

import json
from pathlib import Path

import pytest

from tests.material.epochs import of_elbo
from tests.material.ledgers import finish
from tests.material.plans import plan
from tuning.cluster.allot import Cluster, Node
from tuning.errors import StorageError
from tuning.layout import MANIFEST_FILE
from tuning.plan.confirm import confirming
from tuning.records import TrialRecord
from tuning.store.ledger import Ledger
from tuning.store.place import SweepStorage, held, is_held, sweeps_in
from tuning.sweep.manifest import write_manifest
from tuning.view.status import listing, listing_table, status, told

CLUSTER = Cluster([Node("n", "10.0.0.1", 4.0, 0.0)], cpus_per_trial=1, gpus_per_trial=0, slots=4, n_threads=1)
PARAMS = {"latent_size": 4, "hidden_units": 64, "learning_rate": 1e-3, "beta": 1.0, "activation": "relu"}
ELBOS = {"0000": [-120.0, -110.0], "0001": [-119.0, -104.5, -105.0], "0002": [-90.0]}  # the last one failed


@pytest.fixture
def storage(tmp_path: Path) -> SweepStorage:
    """Of five trials one is complete, one runs and one failed."""
    storage = SweepStorage(tmp_path / "p")
    storage.folder.mkdir()
    of = plan(trials=5, epochs=3, scheduler={"type": "none"})
    write_manifest(storage, of, CLUSTER)
    ledger = Ledger(storage.place)
    for trial, elbos in ELBOS.items():
        record = TrialRecord(trial, PARAMS, of.space.config(PARAMS, of.seed))
        ledger.proposed(record)
        ledger.started(record)
        for epoch, elbo in enumerate(elbos, start=1):
            record.history.append(of_elbo(epoch, elbo))
            ledger.epoch(record, record.history[-1])
        if trial != "0000":
            finish(ledger, record, "complete" if trial == "0001" else "failed", "" if trial == "0001" else "no disk")
    ledger.close()
    return storage


def test_a_status_has_states_best_and_what_is_under_way(storage: SweepStorage) -> None:
    found = status(storage)
    assert found["trials"] == {"planned": 5, "complete": 1, "pruned": 0, "failed": 1, "running": 1}
    assert found["state"] == "stopped"
    assert (found["best"]["trial"], found["best"]["val_elbo"], found["best"]["best_epoch"]) == ("0001", -104.5, 2)
    assert [(one["trial"], one["epochs"], one["of_epochs"]) for one in found["under_way"]] == [("0000", 2, 3)]
    assert found["failed"] == {"0002": "no disk"}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_sweep_that_a_driver_holds_runs_and_looking_at_it_keeps_no_driver_away(storage: SweepStorage) -> None:
    with held(storage):
        assert is_held(storage)
        assert status(storage)["state"] == "running"
    assert is_held(storage) is False
    with held(storage):
        pass


def test_the_lines_of_a_status_are_plain(storage: SweepStorage) -> None:
    lines = told(status(storage)).split("\n  ")
    assert lines[:3] == [
        "p: x",
        "stopped; 3 of 5 trials: 1 complete, 1 failed, 1 running",
        "best trial 0001: epoch 3 of 3, val_elbo -104.50 "
        "(latent_size=4 hidden_units=64 learning_rate=0.001 beta=1 activation=relu)",
    ]
    assert "failed trial 0002: no disk" in lines
    assert lines[-1].startswith("go on with: python sweep.py --resume p --storage ")


def test_the_list_has_every_sweep_and_the_fault_of_one_that_is_damaged(storage: SweepStorage, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / MANIFEST_FILE).write_text("{")
    (tmp_path / "no-sweep").mkdir()
    found = listing(sweeps_in(str(tmp_path)))
    assert [one["name"] for one in found] == ["other", "p"]
    assert "not a manifest of this version" in found[0]["error"]
    assert listing_table(found).row_count == 2


def test_where_there_is_no_sweep_the_status_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not a sweep"):
        status(SweepStorage(tmp_path / "none"))


def test_a_sweep_that_is_to_be_confirmed_is_finished_only_when_both_parts_are(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "p")
    storage.folder.mkdir()
    of = plan(trials=2, epochs=1, scheduler={"type": "none"}, confirm={"top": 2, "seeds": 3})
    write_manifest(storage, of, CLUSTER)
    ledger = Ledger(storage.place)
    records = [TrialRecord(f"000{n}", PARAMS, of.space.config(PARAMS | {"latent_size": 4 + n}, 3)) for n in range(2)]
    for record in records:
        record.params = PARAMS | {"latent_size": record.config.latent_size}
        ledger.proposed(record)
        ledger.started(record)
        record.history.append(of_elbo(1, -100.0))
        ledger.epoch(record, record.history[-1])
        finish(ledger, record)
    ledger.close()
    none = {"planned": 6, "complete": 0, "pruned": 0, "failed": 0, "running": 0}
    assert (status(storage)["state"], status(storage)["confirm"]) == ("stopped", none)
    part = storage.part("confirm")
    part.folder.mkdir()
    confirmation = confirming(of, records, part.name)
    assert confirmation is not None
    write_manifest(part, confirmation, CLUSTER)
    ledger = Ledger(part.place)
    for number, params in enumerate(confirmation.space.first_trials):
        for repeat in (1, 2, 3):
            one = TrialRecord(f"000{number}-{repeat}", params, confirmation.space.config(params, 3 + repeat))
            ledger.proposed(one)
            finish(ledger, one)
    ledger.close()
    assert (status(storage)["state"], status(storage)["confirm"]) == ("finished", none | {"complete": 6})
    assert "confirmation: 6 of 6 trials: 6 complete" in told(status(storage))
    assert [one["name"] for one in listing(sweeps_in(str(tmp_path)))] == ["p"]
    assert "2/2 + 6/6" in list(listing_table([status(storage)]).columns[2].cells)
