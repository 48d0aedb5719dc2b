"""What another shell asks of a sweep, as its driver hears it: in a folder, and in a bucket of a real S3 server."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.material.ledgers import new_trial
from tests.material.paths import REPOSITORY
from tests.material.s3 import S3, fixture_s3, fixture_s3_server  # noqa: F401 - fixtures
from tuning.store.bucket import Bucket
from tuning.store.folder import Folder
from tuning.store.interface import Place
from tuning.store.ledger import Ledger, read_trials
from tuning.store.requests import ADD, REQUESTS, STOP, STOP_TRIAL, Requests, ask, waiting


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        (tmp_path / "x").mkdir()
        return Folder(tmp_path / "x")
    s3: S3 = request.getfixturevalue("s3")
    bucket = Bucket(f"{s3.uri}/x")
    bucket.claim(is_new=True)
    return bucket


def test_configurations_are_wanted_in_the_order_of_asking_until_they_are_fulfilled(place: Place) -> None:
    names = [ask(place, ADD, params={"beta": beta}) for beta in (1.0, 2.0)]
    requests = Requests(place)
    heard = [requests.next_wanted(), requests.next_wanted()]
    assert sorted(heard, key=lambda one: one[0]) == [
        (name, {"beta": beta}) for name, beta in sorted(zip(names, (1.0, 2.0), strict=True))
    ]
    assert requests.next_wanted() is None
    assert set(waiting(place, ADD)) == set(names)
    requests.fulfilled(names[0])
    assert set(waiting(place, ADD)) == {names[1]}


def test_a_wish_that_the_ledger_has_is_not_heard_again_after_a_kill_and_one_that_it_has_not_is(place: Place) -> None:
    """A driver that is killed between the ledger's line and the removal of the request."""
    kept, done = (ask(place, ADD, params={"beta": beta}) for beta in (1.0, 2.0))
    ledger = Ledger(place)
    ledger.proposed(new_trial(0), request=done)
    requests = Requests(place)
    assert requests.next_wanted() == (kept, {"beta": 1.0})
    assert requests.next_wanted() is None
    assert set(waiting(place, ADD)) == {kept}
    assert [record.trial_id for record in read_trials(place)] == ["0000"]


def test_a_trial_that_is_to_end_is_asked_for_until_it_has_ended(place: Place) -> None:
    ask(place, STOP_TRIAL, trial="0003")
    requests = Requests(place)
    assert requests.ends("0003")
    assert not requests.ends("0001")
    assert Requests(place).ends("0003"), "after a kill as well"
    requests.ended("0001")
    requests.ended("0003")
    assert not requests.ends("0003")
    assert place.list(REQUESTS) == []


def test_a_wish_to_stop_means_nothing_to_a_later_run(place: Place) -> None:
    ask(place, STOP)
    Requests(place)
    assert place.list(REQUESTS) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"action": "add"}', b'{"action": "dance"}', b"[" * 9999])
def test_a_request_that_cannot_be_read_is_none(place: Place, content: bytes) -> None:
    place.put(f"{REQUESTS}odd.json", content)
    requests = Requests(place)
    assert requests.next_wanted() is None
    assert not requests.ends("0000")


def test_what_is_asked_while_the_sweep_runs_is_heard(place: Place) -> None:
    requests = Requests(place)
    with requests:
        ask(place, STOP_TRIAL, trial="0003")
        deadline = time.monotonic() + 30
        while not requests.ends("0003"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


STOPPED = """
import sys, time
from pathlib import Path
from tuning.store.folder import Folder
from tuning.store.requests import Requests

with Requests(Folder(Path(sys.argv[1]))):
    print("hears", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(7)
"""


def test_a_wish_to_stop_reaches_the_driver_as_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STOPPED, str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"hears\n"
        ask(Folder(tmp_path), STOP)
        assert driver.wait(30) == 7
    assert Folder(tmp_path).list(REQUESTS) == []
