"""What is asked of a sweep from another shell: refused in a line, or left where its driver hears it."""

from pathlib import Path

import pytest

from tests.material.ledgers import finish
from tests.material.plans import plan
from tuning.cluster.allot import Cluster, Node
from tuning.errors import SpaceError, StorageError
from tuning.records import TrialRecord
from tuning.store.ledger import Ledger
from tuning.store.place import SweepStorage, held
from tuning.store.requests import ADD, REQUESTS, STOP_TRIAL, waiting
from tuning.sweep import ask
from tuning.sweep.manifest import write_manifest

CLUSTER = Cluster([Node("n", "10.0.0.1", 4.0, 0.0)], cpus_per_trial=1, gpus_per_trial=0, slots=4, n_threads=1)
PARAMS = {"latent_size": 4, "hidden_units": 64, "learning_rate": 1e-3, "beta": 1.0, "activation": "relu"}
N_TRIALS = 4


@pytest.fixture
def storage(tmp_path: Path) -> SweepStorage:
    """A sweep of four trials: one has ended, one has not."""
    storage = SweepStorage(tmp_path / "p")
    storage.folder.mkdir()
    of = plan(trials=N_TRIALS)
    write_manifest(storage, of, CLUSTER)
    ledger = Ledger(storage.place)
    for number in range(2):
        ledger.proposed(TrialRecord(f"{number:04d}", PARAMS, of.space.config(PARAMS, of.seed)))
    finish(ledger, TrialRecord("0000", PARAMS, of.space.config(PARAMS, of.seed)), "failed", "no disk")
    ledger.close()
    return storage


def test_a_configuration_is_left_for_the_driver_as_the_space_has_it(storage: SweepStorage) -> None:
    line = ask.add(storage, "latent_size=8,beta=2")
    assert line == "latent_size=8 beta=2 is tried next when the sweep goes on, in place of a proposal"
    (request,) = waiting(storage.place, ADD).values()
    assert request["params"] == {"latent_size": 8, "beta": 2.0}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("latent_size=900", "900 is outside the search, 2 to 32"),
        ("hidden_units=65", "65 is between the steps of the search, 64 to 256 by 64"),
        ("activation=swish", "'swish'"),
        ("beta=", "beta"),
        ("beta=much", "much"),
        ("latent_size", "expected key=value,key=value, such as latent_size=20,beta=2"),
        (
            "betta=1",
            "betta is not searched there; searched: latent_size, hidden_units, activation, learning_rate, beta",
        ),
        ("batch_size=64", "batch_size is not searched there"),
    ],
)
def test_what_the_space_does_not_have_is_refused_in_one_line(storage: SweepStorage, text: str, fault: str) -> None:
    with pytest.raises(SpaceError, match=fault) as refused:
        ask.add(storage, text)
    assert str(refused.value).startswith(f"--add p {text}: ")
    assert "\n" not in str(refused.value)
    assert storage.place.list(REQUESTS) == []


def test_more_configurations_than_the_sweep_has_room_for_are_refused(storage: SweepStorage) -> None:
    ask.add(storage, "beta=1")
    ask.add(storage, "beta=2")
    with pytest.raises(StorageError, match=r"all 4 configurations have been proposed; first make room: .* --trials 5$"):
        ask.add(storage, "beta=1.5")


def test_a_trial_that_runs_is_asked_to_end(storage: SweepStorage) -> None:
    with held(storage):
        assert (
            ask.stop_trial(storage, "0001") == "trial 0001 ends with its next epoch, as if the scheduler had stopped it"
        )
    assert [one["trial"] for one in waiting(storage.place, STOP_TRIAL).values()] == ["0001"]
    assert ask.stop_trial(storage, "0001").startswith("trial 0001 ends when the sweep goes on")


def test_a_trial_that_is_none_or_has_ended_is_refused(storage: SweepStorage) -> None:
    with pytest.raises(StorageError, match=r"--stop p --trial 0009: no such trial; .* not ended: 0001$"):
        ask.stop_trial(storage, "0009")
    with pytest.raises(StorageError, match=r"--stop p --trial 0000: it is failed already; .* not ended: 0001$"):
        ask.stop_trial(storage, "0000")
    assert storage.place.list(REQUESTS) == []


def test_a_sweep_that_nobody_runs_cannot_be_stopped(storage: SweepStorage) -> None:
    with pytest.raises(StorageError, match=r"^--stop p: nobody runs this sweep$"):
        ask.stop(storage)


def test_a_driver_that_does_not_hear_is_told(storage: SweepStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "HEARD_SECONDS", 0.3)
    with (
        held(storage),
        pytest.raises(StorageError, match=r"--stop p: no driver has answered in 0 s; .* ends by itself"),
    ):
        ask.stop(storage)
    assert storage.place.list(REQUESTS) == []
