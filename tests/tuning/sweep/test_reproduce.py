"""A trial that is trained again from its seed, and what is said where its numbers differ."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.material.epochs import of_elbo
from tests.material.plans import plan
from tuning.cluster.allot import Cluster
from tuning.errors import StorageError
from tuning.layout import MANIFEST_FILE
from tuning.plan.plan import Plan
from tuning.records import TrialRecord
from tuning.store.ledger import Ledger
from tuning.store.place import SweepStorage
from tuning.sweep.manifest import write_manifest
from tuning.sweep.reproduce import Reproduction, largest_difference, reproduce
from vae.model.metrics import EpochMetrics
from vae.training.pack import Pack

CLUSTER = Cluster([], cpus_per_trial=1, gpus_per_trial=0, slots=1, n_threads=1)
N_EPOCHS = 2


def trained(of: Plan, record: TrialRecord) -> list[EpochMetrics]:
    images = of.load_images()
    torch.set_num_threads(1)
    pack = Pack(torch.from_numpy(images["train"]), torch.from_numpy(images["validation"]))
    slot = pack.join(record.config)
    return [pack.epoch([slot])[slot] for _ in range(N_EPOCHS)]


def swept(folder: Path, of: Plan, record: TrialRecord, history: list[EpochMetrics]) -> SweepStorage:
    """A sweep whose one trial has these epochs."""
    storage = SweepStorage(folder / of.name)
    storage.folder.mkdir()
    write_manifest(storage, of, CLUSTER)
    ledger = Ledger(storage.place)
    ledger.proposed(record)
    ledger.epoch(record, *history)
    ledger.close()
    return storage


@pytest.fixture
def of() -> Plan:
    return plan(trials=1, epochs=5, scheduler={"type": "none"})


@pytest.fixture
def record(of: Plan) -> TrialRecord:
    params = {"latent_size": 3, "hidden_units": 64, "learning_rate": 2e-3, "beta": 1.5, "activation": "tanh"}
    return TrialRecord("0000", params, of.space.config(params, 11))


def test_a_trial_is_reproduced_to_the_digit(tmp_path: Path, of: Plan, record: TrialRecord) -> None:
    storage, said = swept(tmp_path, of, record, trained(of, record)), []
    before = {path: path.read_bytes() for path in storage.folder.rglob("*") if path.is_file()}
    found = reproduce(storage, "0000", None, said.append)
    assert found.is_equal
    assert str(found) == "Trial 0000, 2 epochs trained again: every number is equal to the digit"
    assert said == ["Training trial 0000 of p again: 2 epochs of digits: asked for"]
    assert {path: path.read_bytes() for path in storage.folder.rglob("*") if path.is_file()} == before


def test_another_number_is_told_with_its_epoch_and_what_else_is_other_here(
    tmp_path: Path, of: Plan, record: TrialRecord
) -> None:
    first, second = trained(of, record)
    other = replace(second, val_rate=second.val_rate + 0.25)
    storage = swept(tmp_path, of, record, [first, other])
    manifest = json.loads((storage.folder / MANIFEST_FILE).read_text())
    manifest["runs"][0]["versions"]["torch"] = "2.0.0"
    manifest["runs"][0]["hardware"] |= {"cpu": "Another", "device": "cuda", "pack": 8}
    (storage.folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    found = reproduce(storage, "0000", None, lambda line: None)
    assert (found.epoch, found.name) == (2, "val_rate")
    assert found.difference == pytest.approx(0.25)
    lines = str(found).splitlines()
    assert lines[0].endswith("the numbers differ, the most val_rate of epoch 2 by 0.25")
    for reason in ("torch 2.0.0, now ", "trained on Another, now ", "trained in a pack, now alone"):
        assert reason in lines[1]


def test_where_nothing_is_known_to_be_other_that_is_said() -> None:
    found = Reproduction("0000", 1, 0.5, 1, "val_elbo", [])
    assert "code, versions and hardware are the same" in str(found)


@pytest.mark.parametrize(
    ("trial", "why"),
    [
        ("0007", r"^--reproduce p 0007: no such trial; allowed: 0000 to 0000$"),
        ("0000", r"^--reproduce p 0000: the trial has no epoch yet$"),
    ],
)
def test_what_cannot_be_reproduced_is_refused(
    tmp_path: Path, of: Plan, record: TrialRecord, trial: str, why: str
) -> None:
    storage = swept(tmp_path, of, record, [])
    with pytest.raises(StorageError, match=why):
        reproduce(storage, trial, None, lambda line: None)


values = st.floats(-1e3, 1e3)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=5))
def test_the_largest_difference_is_that_of_the_worst_epoch(pairs: list[tuple[float, float]]) -> None:
    before = [replace(of_elbo(epoch, -90.0), train_loss=a) for epoch, (a, _) in enumerate(pairs, start=1)]
    again = [replace(of_elbo(epoch, -90.0), train_loss=b, epoch_seconds=9.0) for epoch, (_, b) in enumerate(pairs, 1)]
    difference, epoch, name = largest_difference(before, again)
    assert difference == max(abs(a - b) for a, b in pairs)
    if difference:
        assert name == "train_loss"
        assert abs(pairs[epoch - 1][0] - pairs[epoch - 1][1]) == difference


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        *((math.nan, math.nan, 0.0), (math.inf, math.inf, 0.0)),
        *((math.nan, 1.0, math.inf), (1.0, math.inf, math.inf), (math.inf, -math.inf, math.inf)),
    ],
)
def test_what_is_no_number_is_equal_to_itself_alone(before: float, now: float, expected: float) -> None:
    epochs = (replace(of_elbo(1, -90.0), train_loss=value) for value in (before, now))
    assert largest_difference(*([one] for one in epochs))[0] == expected
