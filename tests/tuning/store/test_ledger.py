import json
import math
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.material.epochs import of_elbo
from tests.material.ledgers import N_EPOCHS, finish, new_trial, train
from tests.material.paths import REPOSITORY
from tuning.errors import StorageError
from tuning.layout import LEDGER_FILE, METRICS_FILE
from tuning.records import TrialRecord
from tuning.store.folder import Folder
from tuning.store.ledger import Ledger, read_trials, wall_seconds
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics, Terms


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LEDGER_FILE).read_text().splitlines()]


@pytest.fixture
def written(tmp_path: Path) -> list[TrialRecord]:
    """Four trials in tmp_path: complete, pruned, failed with a strange error, and one still running."""
    ledger = Ledger(Folder(tmp_path))
    records = [new_trial(number) for number in range(4)]
    for record in records:
        ledger.proposed(record)
    train(ledger, records[0])
    finish(ledger, records[0])
    train(ledger, records[1], 2)
    finish(ledger, records[1], "pruned")
    finish(ledger, records[2], "failed", 'RuntimeError: "a",\nb\u2028 \N{SNOWMAN} \ud800')
    train(ledger, records[3], 1)
    ledger.close()
    return records


def test_what_was_written_is_read_in_the_order_of_proposal(tmp_path: Path, written: list[TrialRecord]) -> None:
    assert read_trials(Folder(tmp_path)) == written


def test_a_sweep_has_run_from_the_start_of_each_run_to_its_last_event(tmp_path: Path) -> None:
    noon, ledger = "2026-11-22T12:0{}:00+00:00", ["1", "3", "7", "8"]
    (tmp_path / LEDGER_FILE).write_text(
        "".join(f'{{"event": "started", "trial": "0000", "at": "{noon.format(minute)}"}}\n' for minute in ledger)
    )
    begun = [noon.format("0"), noon.format("6")]
    assert wall_seconds(Folder(tmp_path), begun) == (3 + 2) * 60
    assert wall_seconds(Folder(tmp_path), [*begun, "None", "9"]) == (3 + 2) * 60
    assert wall_seconds(Folder(tmp_path), ["None"]) == 0
    assert wall_seconds(Folder(tmp_path / "none"), begun) == 0


def test_a_folder_without_a_ledger_has_no_trials(tmp_path: Path) -> None:
    assert read_trials(Folder(tmp_path)) == []


def test_every_event_names_its_trial_and_its_time(tmp_path: Path, written: list[TrialRecord]) -> None:
    assert [(event["event"], event["trial"]) for event in events(tmp_path)] == [
        *(("proposed", record.trial_id) for record in written),
        *(("started", "0000"), *[("checkpointed", "0000")] * 3, ("finished", "0000")),
        *(("started", "0001"), *[("checkpointed", "0001")] * 2, ("finished", "0001")),
        ("finished", "0002"),
        *(("started", "0003"), ("checkpointed", "0003")),
    ]
    assert all(event["at"].endswith("+00:00") for event in events(tmp_path))


def test_the_last_event_of_a_trial_says_how_it_ended(tmp_path: Path, written: list[TrialRecord]) -> None:
    ended = {event["trial"]: event for event in events(tmp_path) if event["event"] == "finished"}
    assert {name: ended["0000"][name] for name in ("state", "epochs", "val_elbo", "best_epoch", "error")} == {
        "state": "complete",
        "epochs": 3,
        "val_elbo": -107.0,
        "best_epoch": 3,
        "error": "",
    }
    assert "val_elbo" not in ended["0002"]


def test_a_trials_config_and_metrics_are_beside_it_in_plain_json(tmp_path: Path, written: list[TrialRecord]) -> None:
    folder = tmp_path / "trials" / "0000"
    assert TrialConfig(**json.loads((folder / "config.json").read_text())) == written[0].config
    lines = [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]
    assert [EpochMetrics(**line) for line in lines] == written[0].history


@given(st.floats())
def test_any_number_of_an_epoch_is_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, value: float) -> None:
    folder = tmp_path_factory.mktemp("sweep")
    ledger, record = Ledger(Folder(folder)), new_trial(0)
    ledger.proposed(record)
    ledger.epoch(record, of_elbo(1, value))
    ledger.close()
    found = read_trials(Folder(folder))[0].history[0].val_elbo
    assert found == value or (math.isnan(found) and math.isnan(value))


@pytest.mark.parametrize("metric", ["val_elbo", "val_distortion", "rate_distortion"])
def test_what_a_sweep_is_ranked_by_is_read_back(tmp_path: Path, metric: str) -> None:
    ledger, record = Ledger(Folder(tmp_path)), replace(new_trial(0), metric=metric)
    ledger.proposed(record)
    ledger.close()
    assert read_trials(Folder(tmp_path)) == [record]


def test_a_ledger_from_before_there_were_other_metrics_is_ranked_by_the_elbo(
    tmp_path: Path, written: list[TrialRecord]
) -> None:
    path = tmp_path / LEDGER_FILE
    path.write_text(path.read_text().replace(', "metric": "val_elbo"', ""))
    assert "metric" not in path.read_text()
    assert read_trials(Folder(tmp_path)) == written


def test_a_trial_without_a_kl_is_read_back_without_an_elbo(tmp_path: Path) -> None:
    terms = Terms(80.0, None)
    record = replace(new_trial(0), config=TrialConfig(mode="autoencoder"), metric="val_distortion")
    ledger = Ledger(Folder(tmp_path))
    ledger.proposed(record)
    record.history.append(EpochMetrics.of(1, 1.0, terms, terms, None, 0.25))
    ledger.epoch(record, record.history[0])
    finish(ledger, record)
    ledger.close()
    assert read_trials(Folder(tmp_path)) == [record]
    last = events(tmp_path)[-1]
    assert (last["val_distortion"], last["best_epoch"]) == (80.0, 1)
    assert not {"val_elbo", "val_rate"} & set(last)


# ---------------------------------------------------------------- a crash at any point


def after_lines(content: bytes, records: list[TrialRecord]) -> list[TrialRecord]:
    """What whole lines of the ledger say, told without the module: the trials, and how they ended."""
    found: dict[str, TrialRecord] = {}
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        event = json.loads(line)
        if event["event"] == "proposed":
            found[event["trial"]] = replace(records[int(event["trial"])], state="running", error="")
        if event["event"] == "finished":
            found[event["trial"]] = records[int(event["trial"])]
    return list(found.values())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_beginning_of_a_ledger_reads_to_its_whole_lines_and_can_be_written_on(
    tmp_path: Path, written: list[TrialRecord], data: st.DataObject
) -> None:
    path = tmp_path / LEDGER_FILE
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    try:
        path.write_bytes(whole[:cut])
        expected = after_lines(whole[:cut], written)
        assert read_trials(Folder(tmp_path)) == expected
        ledger, record = Ledger(Folder(tmp_path)), new_trial(9)
        ledger.proposed(record)
        finish(ledger, record, "failed", "x")
        ledger.close()
        assert read_trials(Folder(tmp_path)) == [*expected, record]
    finally:
        path.write_bytes(whole)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_beginning_of_the_metrics_reads_to_whole_epochs_and_can_be_written_on(
    tmp_path: Path, written: list[TrialRecord], data: st.DataObject
) -> None:
    path = tmp_path / "trials" / "0000" / METRICS_FILE
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    try:
        path.write_bytes(whole[:cut])
        record = read_trials(Folder(tmp_path))[0]
        assert record.history == written[0].history[: whole[:cut].count(b"\n")]
        ledger = Ledger(Folder(tmp_path))
        train(ledger, record)
        ledger.close()
        assert read_trials(Folder(tmp_path))[0].history == written[0].history
    finally:
        path.write_bytes(whole)


def test_an_epoch_that_is_trained_again_counts_once(tmp_path: Path) -> None:
    ledger, record = Ledger(Folder(tmp_path)), new_trial(0)
    ledger.proposed(record)
    for epoch in (1, 2, 3, 2, 3, 4, 1, 5):
        ledger.epoch(record, of_elbo(epoch, -100.0 - epoch))
    ledger.close()
    assert [reached.epoch for reached in read_trials(Folder(tmp_path))[0].history] == [1, 2, 3, 4, 5]


def test_an_epoch_without_the_one_before_it_does_not_count(tmp_path: Path) -> None:
    ledger, record = Ledger(Folder(tmp_path)), new_trial(0)
    ledger.proposed(record)
    for epoch in (1, 3, 4):
        ledger.epoch(record, of_elbo(epoch))
    ledger.close()
    assert [reached.epoch for reached in read_trials(Folder(tmp_path))[0].history] == [1]


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 40, b"\xff\xfe", b"[" * 20, b"{}{}", b"9" * 5000])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, written: list[TrialRecord], damage: bytes) -> None:
    path = tmp_path / LEDGER_FILE
    lines = path.read_bytes().split(b"\n")
    lines[2] = damage
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(StorageError, match=rf"{LEDGER_FILE}: line 3 is not JSON; the file was changed or the disk"):
        read_trials(Folder(tmp_path))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("3", "'int' object is not subscriptable"),
        ('"finished"', "string indices must be integers"),
        ("null", "'NoneType' object is not subscriptable"),
        ("{}", "'trial'"),
        ('{"event": "proposed", "trial": "0009", "params": {}}', "'config'"),
        ('{"event": "proposed", "trial": "0009", "params": {}, "config": {"beta": -1}}', "greater than or equal to 0"),
        ('{"event": "proposed", "trial": "0009", "params": {}, "config": {"gamma": 1}}', "gamma Extra inputs"),
        ('{"event": "finished", "trial": "0042", "state": "complete", "error": ""}', "'0042'"),
        ('{"event": "finished", "trial": "0000", "state": "won", "error": ""}', "state won"),
        ('{"event": "finished", "trial": ["0000"], "state": "complete"}', "unhashable"),
    ],
)
def test_a_line_that_is_no_event_is_named_with_the_reason(
    tmp_path: Path, written: list[TrialRecord], line: str, reason: str
) -> None:
    path = tmp_path / LEDGER_FILE
    lines = path.read_text().split("\n")
    lines.insert(6, line)
    path.write_text("\n".join(lines))
    with pytest.raises(StorageError, match=r"line 7 is not one of its events \(.*\)") as refused:
        read_trials(Folder(tmp_path))
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("line", ["3", "{}", '{"epoch": 2}', "[1, 2]"])
def test_a_line_that_is_no_epoch_is_named(tmp_path: Path, written: list[TrialRecord], line: str) -> None:
    path = tmp_path / "trials" / "0000" / METRICS_FILE
    lines = path.read_text().split("\n")
    lines.insert(1, line)
    path.write_text("\n".join(lines))
    with pytest.raises(StorageError, match=rf"0000/{METRICS_FILE}: line 2 is not an epoch's metrics"):
        read_trials(Folder(tmp_path))


def test_an_epoch_whose_values_are_no_numbers_is_named(tmp_path: Path, written: list[TrialRecord]) -> None:
    path = tmp_path / "trials" / "0000" / METRICS_FILE
    path.write_text(path.read_text().replace("-109.0", "null"))
    with pytest.raises(StorageError, match="line 1 is not an epoch's metrics"):
        read_trials(Folder(tmp_path))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_told_in_words_or_leaves_trials_that_can_be_used(
    tmp_path: Path, written: list[TrialRecord], data: st.DataObject
) -> None:
    path = tmp_path / data.draw(st.sampled_from([LEDGER_FILE, f"trials/0000/{METRICS_FILE}"]))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        new = data.draw(st.one_of(st.binary(max_size=2), st.sampled_from([b"null", b"[", b"\n", b"0", b'"'])))
        damaged[position : position + data.draw(st.integers(0, 12))] = new
    try:
        path.write_bytes(damaged)
        for record in read_trials(Folder(tmp_path)):
            assert record.state in ("running", "complete", "pruned", "failed")
            assert record.score <= math.inf
    except StorageError as error:
        assert path.name in str(error)  # noqa: PT017
    finally:
        path.write_bytes(whole)


# ---------------------------------------------------------------- kill -9

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.material.ledgers import finish, new_trial, train
from tuning.store.folder import Folder
from tuning.store.ledger import Ledger, read_trials, wall_seconds
folder = Path(sys.argv[1])
past = read_trials(Folder(folder))
ledger = Ledger(Folder(folder))
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    if number < len(past):
        record = past[number]
    else:
        record = new_trial(number)
        ledger.proposed(record)
    if record.state == "running":
        train(ledger, record)
        finish(ledger, record)
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_writer_killed_again_and_again_finishes_every_trial_exactly_once(tmp_path: Path) -> None:
    root, n_trials, n_kills = str(REPOSITORY), 400, 4
    luck = random.Random(0)
    for attempt in range(n_kills + 1):
        command = [sys.executable, "-c", WRITER, str(tmp_path), root, str(n_trials)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if attempt < n_kills:
                time.sleep(luck.uniform(0.01, 0.06))
                process.kill()
        found = read_trials(Folder(tmp_path))
        assert [record.trial_id for record in found] == [f"{number:04d}" for number in range(len(found))]
        assert all(len(record.history) == N_EPOCHS for record in found if record.state == "complete")
    assert process.returncode == 0
    finished = [event["trial"] for event in events(tmp_path) if event["event"] == "finished"]
    assert finished == [f"{number:04d}" for number in range(n_trials)]
    proposed = [event["trial"] for event in events(tmp_path) if event["event"] == "proposed"]
    assert len(set(proposed)) == len(proposed) == n_trials
    assert sum(event["event"] == "started" for event in events(tmp_path)) >= n_trials


def test_an_event_that_the_sweep_acts_on_is_synced_and_those_before_it_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, synced = Folder(tmp_path), []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    place.append(b"started\n", at_once=False)
    assert synced == []
    place.append(b"finished\n")
    assert synced == [len(b"started\nfinished\n")]
    place.append(b"started\n", at_once=False)
    place.close()
    assert synced[1:] == [len(b"started\nfinished\nstarted\n")]
