"""What is left to confirm of a sweep, read from its folder and from that of its confirmation."""

from pathlib import Path

import pytest

from tests.material.epochs import of_elbo
from tests.material.ledgers import finish
from tests.material.plans import plan
from tests.material.s3 import S3, fixture_s3, fixture_s3_server  # noqa: F401 - fixtures
from tuning.cluster.allot import Cluster, Node
from tuning.errors import SpaceError, StorageError
from tuning.layout import LEADERBOARD_FILE, MANIFEST_FILE
from tuning.plan.plan import Plan
from tuning.records import TrialRecord, trial_id
from tuning.store.ledger import Ledger, read_trials
from tuning.store.place import SweepStorage, created, held, locate
from tuning.sweep import confirm
from tuning.sweep.manifest import read_plan, read_sweep, write_manifest
from tuning.sweep.resume import resumed

CLUSTER = Cluster([Node("n", "10.0.0.1", 4.0, 0.0)], cpus_per_trial=1, gpus_per_trial=0, slots=4, n_threads=1)
PARAMS = {"latent_size": 4, "hidden_units": 64, "learning_rate": 1e-3, "beta": 1.0, "activation": "relu"}
ELBOS = [-104.0, -100.0, -102.0]


def write(storage: SweepStorage, of: Plan, elbos: list[float], states: dict[int, str] | None = None) -> None:
    """A sweep with these trials in the order of their proposal, each with one epoch."""
    storage.folder.mkdir(exist_ok=True)
    write_manifest(storage, of, CLUSTER)
    ledger = Ledger(storage.place)
    for place, elbo in enumerate(elbos):
        number, repeat = divmod(place, of.space.repeats)
        params = of.space.first_trials[number] if of.space.first_trials else PARAMS | {"latent_size": 4 + number}
        name = trial_id(number, repeat + 1, of.space.repeats)
        record = TrialRecord(name, params, of.space.config(params, of.seed + repeat))
        ledger.proposed(record)
        ledger.started(record)
        record.history.append(of_elbo(1, elbo))
        ledger.epoch(record, record.history[-1])
        if (state := (states or {}).get(place, "complete")) != "running":
            finish(ledger, record, state, "no disk" if state == "failed" else "")
    ledger.close()


@pytest.fixture
def storage(tmp_path: Path) -> SweepStorage:
    """A search that is whole."""
    storage = SweepStorage(tmp_path / "p")
    write(storage, plan(trials=3, epochs=1, scheduler={"type": "none"}, confirm={"top": 2, "seeds": 2}), ELBOS)
    return storage


def left(storage: SweepStorage, retry_failed: bool = False) -> confirm.Fresh | None:
    return confirm.left(read_plan(storage), storage, read_trials(storage.place), retry_failed)


def begun(storage: SweepStorage, elbos: list[float], states: dict[int, str] | None = None) -> Plan:
    """The confirmation with these trials; its plan."""
    fresh = left(storage)
    assert fresh is not None
    write(fresh.storage, fresh.plan, elbos, states)
    return fresh.plan


def test_a_whole_search_has_its_best_to_confirm_and_one_that_is_not_whole_has_nothing_yet(
    storage: SweepStorage,
) -> None:
    fresh = left(storage)
    assert fresh is not None
    assert (fresh.plan.confirms, fresh.past, fresh.storage) == (("0001", "0002"), [], storage.part("confirm"))
    assert fresh.notes == ["Confirming the best 2 with 2 fresh seeds each, 1 epoch, none stopped early"]
    records = read_trials(storage.place)
    assert confirm.left(read_plan(storage), storage, records[:2]) is None
    assert not confirm.found(read_plan(storage), storage, records).is_whole


def test_a_confirmation_goes_on_with_the_configurations_that_its_manifest_has(storage: SweepStorage) -> None:
    before = begun(storage, [-101.0, -102.0, -103.0], {2: "running"})
    fresh = left(storage)
    assert fresh is not None
    assert read_plan(storage.part("confirm")).confirms == ("0001", "0002")
    assert (fresh.plan.space, fresh.plan.seed, fresh.plan.confirms) == (before.space, before.seed, before.confirms)
    assert [(one.trial_id, one.state) for one in fresh.past] == [
        ("0000-1", "complete"),
        ("0000-2", "complete"),
        ("0001-1", "running"),
    ]
    assert fresh.notes[0] == "Resuming p/confirm: 2 of 4 trials are finished"


def test_a_whole_confirmation_leaves_nothing_and_stands_in_the_leaderboard(storage: SweepStorage) -> None:
    begun(storage, [-101.0, -103.0, -100.0, -101.0])
    assert left(storage) is None
    found = confirm.found(read_plan(storage), storage, read_trials(storage.place))
    assert found.is_whole
    assert [(one.name, one.mean, one.shrinkage) for one in found.confirmed] == [
        ("0002", -100.5, -1.5),
        ("0001", -102.0, 2.0),
    ]
    first, *_ = (storage.folder / LEADERBOARD_FILE).read_text().splitlines()[1:]
    assert first.startswith("1,2,-102.0,")
    assert read_sweep(storage).confirmation is not None


def test_failed_trials_of_a_confirmation_are_retried_when_that_is_asked(storage: SweepStorage) -> None:
    begun(storage, [-101.0, -103.0, -100.0, -101.0], {3: "failed"})
    assert left(storage) is None
    fresh = left(storage, retry_failed=True)
    assert fresh is not None
    assert [one.state for one in fresh.past] == ["complete", "complete", "complete", "running"]


def test_a_confirmation_that_has_begun_keeps_its_epochs_and_seeds(storage: SweepStorage) -> None:
    begun(storage, [-101.0])
    with pytest.raises(SpaceError, match="--confirm: 7 epochs; those of p have 1, and keep them"):
        resumed(storage, None, None, False, confirm={"top": 2, "seeds": 2, "epochs": 7})
    assert resumed(storage, None, None, False, confirm={"top": 3, "seeds": 4}).plan.space.confirm is not None


def test_the_part_is_held_while_it_is_confirmed(storage: SweepStorage) -> None:
    records = read_trials(storage.place)
    with held(storage), confirm.held(read_plan(storage), storage, records) as fresh:
        assert fresh is not None
        with pytest.raises(StorageError, match="another process runs this sweep"), held(fresh.storage):
            pass


@pytest.mark.parametrize(
    "damage", ['"confirms": [\n    "0001",\n    "0002"\n  ]', '"0002"\n'], ids=["no names", "one name is gone"]
)
def test_a_confirmation_whose_manifest_lacks_names_is_one_line(storage: SweepStorage, damage: str) -> None:
    begun(storage, [-101.0])
    path = storage.folder / "confirm" / MANIFEST_FILE
    text = path.read_text()
    assert damage in text
    path.write_text(text.replace(damage, '"confirms": []' if "confirms" in damage else '"0002", "0000"\n'))
    with pytest.raises(StorageError, match=r"confirm/manifest.json: not a manifest of this version \(confirms \d"):
        left(storage)


def test_a_confirmation_in_a_bucket_is_below_its_search_there(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = locate(s3.uri, "p")
    of = plan(trials=3, epochs=1, scheduler={"type": "none"}, confirm={"top": 2, "seeds": 2})
    with created(storage, 0):
        write(storage, of, ELBOS)
        records = read_trials(storage.place)
        with confirm.held(of, storage, records) as fresh:
            assert fresh is not None
            write(fresh.storage, fresh.plan, [-101.0, -103.0, -100.0, -101.0])
        assert confirm.found(of, storage, records).is_whole
    names = storage.place.list("")
    assert {"confirm/manifest.json", "confirm/trials/0001-2/metrics.jsonl", "leaderboard.csv"} <= set(names)
    assert b"confirmed_rank" in (storage.place.get(LEADERBOARD_FILE) or b"")
    assert fresh.storage.folder == tmp_path / "runs" / "p" / "confirm"
    assert "resume p" in fresh.storage.resume_command
