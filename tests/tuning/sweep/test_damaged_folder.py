"""Any damage to what a sweep is read from is one line, or leaves a sweep that can be used; nothing is written."""

import json
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.material.ledgers import finish, new_trial, train
from tests.material.paths import REPOSITORY
from tests.tuning.sweep.test_manifest import CLUSTER, new_plan
from tuning.errors import StorageError
from tuning.layout import LEDGER_FILE, MANIFEST_FILE, METRICS_FILE
from tuning.records import ranked
from tuning.store.folder import Folder
from tuning.store.ledger import Ledger
from tuning.store.place import SweepStorage
from tuning.sweep.manifest import read_sweep, write_manifest
from vae.errors import UserError

FILES = (LEDGER_FILE, MANIFEST_FILE, f"trials/0000/{METRICS_FILE}")
SCRAPS = (b"", b"null", b"[", b"{}", b"\n", b"0", b'"', b"-1", b"1e999", b"true", b"\xff", b"\0" * 64, b"[" * 5000)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> SweepStorage:
    """A sweep of three trials: one complete, one failed, one that runs."""
    storage = SweepStorage(tmp_path_factory.mktemp("sweep") / "x")
    write_manifest(storage, new_plan(), CLUSTER)
    ledger, records = Ledger(storage.place), [new_trial(number) for number in range(3)]
    for record in records:
        ledger.proposed(record)
    train(ledger, records[0])
    finish(ledger, records[0])
    finish(ledger, records[1], "failed", "RuntimeError")
    ledger.retried(records[1])
    finish(ledger, records[1], "failed", "RuntimeError")
    train(ledger, records[2], 1)
    ledger.stopping(records[2], 2)
    ledger.close()
    return storage


def read_or_refuse(storage: SweepStorage, damaged: str, content: bytes) -> None:
    """The file with other content, read; and it is as before when this returns."""
    path = storage.folder / damaged
    whole, names = path.read_bytes(), Folder(storage.folder).list("")
    try:
        path.write_bytes(content)
        for record in ranked(read_sweep(storage).trials):
            assert record.state in ("running", "complete", "pruned", "failed")
            assert int(record.configuration) >= 0
            assert [metrics.epoch for metrics in record.history] == list(range(1, len(record.history) + 1))
    except UserError as error:
        assert isinstance(error, StorageError)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        assert path.name in str(error)  # noqa: PT017
    finally:
        assert path.read_bytes() == content
        assert Folder(storage.folder).list("") == names
        path.write_bytes(whole)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_bytes_in_place_of_others_are_told_of_or_do_no_harm(storage: SweepStorage, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES))
    content = bytearray((storage.folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, max(0, len(content) - 1)))
        new = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from(SCRAPS)))
        content[position : position + data.draw(st.integers(0, 12))] = new
    read_or_refuse(storage, name, bytes(content))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_in_place_of_another_is_told_of_or_does_no_harm(storage: SweepStorage, data: st.DataObject) -> None:
    """Damage that JSON does not notice: another type, number or text anywhere in an event, a manifest, an epoch."""
    name = data.draw(st.sampled_from(FILES))
    text = (storage.folder / name).read_text()
    lines = [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else [json.loads(text)]
    line = data.draw(st.sampled_from(lines))
    where = line
    while isinstance(where[key := data.draw(st.sampled_from(sorted(where)))], dict) and where[key]:
        if data.draw(st.booleans()):
            break
        where = where[key]
    where[key] = data.draw(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({}))
    )
    content = "".join(f"{json.dumps(one)}\n" for one in lines)
    read_or_refuse(storage, name, content.encode())


# ---------------------------------------------------------------- by the thousand, and in how much memory

READ_DAMAGED = (
    "from tests.tuning.sweep.test_damaged_folder import read_all_damaged as run; import sys; run(sys.argv[1])"
)
MOST_MEMORY = 200 * 2**20


@pytest.mark.slow
def test_thousands_of_damaged_files_are_each_one_line_and_take_little_memory(tmp_path: Path) -> None:
    """In a process of its own, whose largest size ever is known."""
    storage = SweepStorage(tmp_path / "x")
    write_manifest(storage, new_plan(), CLUSTER)
    ledger, record = Ledger(storage.place), new_trial(0)
    ledger.proposed(record)
    train(ledger, record)
    finish(ledger, record)
    ledger.close()
    process = subprocess.run(
        [sys.executable, "-c", READ_DAMAGED, str(storage.folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout)
    assert told["refused"] > 1000
    assert told["refused"] + told["read"] == 3000
    assert told["bytes"] < MOST_MEMORY


def read_all_damaged(folder: str) -> None:
    """Damage every kind of file of a sweep's folder, 500 times each, and read it; print what came of it."""
    import torch

    from vae.config import TrialConfig
    from vae.storage.checkpoint import CHECKPOINT_FILE, MODEL_FILE, unpack_checkpoint, unpack_model
    from vae.storage.snapshots import SNAPSHOTS_FILE, read_snapshots
    from vae.training.pack import Pack
    from vae.training.trial import Training

    storage, images = SweepStorage(Path(folder)), torch.zeros(20, 64, dtype=torch.uint8)
    files = storage.trial_files("0000")
    training = Training(Pack(images, images), TrialConfig(latent_size=2, epochs=2), "digits", (8, 8), files)
    while not training.is_done:
        training.next_epoch()

    def sweep(_: bytes) -> object:
        return ranked(read_sweep(storage).trials)

    readers: dict[str, Callable[[bytes], object]] = {
        **dict.fromkeys(FILES, sweep),
        f"trials/0000/{CHECKPOINT_FILE}": lambda content: unpack_checkpoint(content, CHECKPOINT_FILE),
        f"trials/0000/{MODEL_FILE}": lambda content: unpack_model(content, MODEL_FILE),
        f"trials/0000/{SNAPSHOTS_FILE}": lambda content: read_snapshots(content, SNAPSHOTS_FILE),
    }
    draw, told = random.Random(0), {"read": 0, "refused": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, read in readers.items():
        whole = (storage.folder / name).read_bytes()
        for _ in range(500):
            content = damaged(whole, draw)
            (storage.folder / name).write_bytes(content)
            try:
                read(content)
                told["read"] += 1
            except UserError as error:
                assert "\n" not in str(error), error  # noqa: PT017
                told["refused"] += 1
        (storage.folder / name).write_bytes(whole)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({**told, "bytes": grown * 1024}))


def damaged(whole: bytes, draw: random.Random) -> bytes:
    """Cut off, changed, with more in the middle, or with every number larger."""
    at = draw.randrange(len(whole))
    return draw.choice(
        [
            whole[:at],
            whole[:at] + draw.randbytes(draw.randrange(1, 9)) + whole[at + draw.randrange(9) :],
            whole[:at] + draw.choice(SCRAPS) + whole[at:],
            whole[:at] + draw.randbytes(1 << draw.randrange(20)) + whole[at:],
            whole[:at] + whole[at:].replace(b"1", b"9" * draw.randrange(1, 30), draw.randrange(1, 9)),
        ]
    )
