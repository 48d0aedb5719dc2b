"""What stays on storage as trials end: the driver called as Tune calls it, and killed between any two steps."""

import csv
import io
import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.material.epochs import of_elbo
from tests.material.plans import plan
from tests.material.s3 import S3, fixture_s3, fixture_s3_server  # noqa: F401 - fixtures
from tuning import layout
from tuning.layout import CHECKPOINT_FILE, MODEL_FILE, SNAPSHOTS_FILE
from tuning.plan.plan import Plan
from tuning.store.folder import Folder
from tuning.store.interface import Place
from tuning.store.ledger import read_trials
from tuning.store.place import SweepStorage
from tuning.sweep import driver as driver_module
from tuning.sweep.driver import Sweep
from vae.storage import checkpoint, snapshots
from vae.training.trial import TRAINING_FILES

ELBOS = (-100.0, -90.0, -95.0, -80.0, -85.0, -70.0)  # 0, 1, 3 and 5 are each the best so far
BETA = {"beta": {"type": "categorical", "choices": [1.0]}}  # one value: a figure compares the best trial alone


def of_plan(n_trials: int = len(ELBOS), **changes: Any) -> Plan:
    """With more trials than stay one by one, of which the first ones are run."""
    space = {"search": BETA, "scheduler": {"type": "none"}, "sampler": {"type": "random"}, "keep_models": 1}
    return plan(**{**space, "epochs": 1, "trials": n_trials, **changes})


@pytest.fixture(autouse=True)
def each_step_writes_a_leaderboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuning.view.leaderboard.LEADERBOARD_SECONDS", -1.0)
    monkeypatch.setattr("tuning.view.leaderboard.LEADERBOARD_SHARE", math.inf)
    monkeypatch.setattr(driver_module, "PUSH_SECONDS", -1.0)
    monkeypatch.setattr("tuning.plan.kept_models.COMPARED", 0)  # so that few trials are as many are


class Driver:
    """A driver and its one worker, which trains a trial in no time."""

    def __init__(self, storage: SweepStorage, of: Plan) -> None:
        self.storage = storage
        self.sweep = Sweep(of, storage, read_trials(storage.place), ())

    def begin(self) -> Any:
        config = self.sweep.propose()
        trial = SimpleNamespace(config=config, last_result={}, run_metadata=SimpleNamespace(num_failures=0))
        self.sweep.on_trial_start(0, [], trial)
        files = self.storage.trial_files(config["trial_id"], config["attempt"])
        files.take_over(TRAINING_FILES)
        for name in (MODEL_FILE, CHECKPOINT_FILE, SNAPSHOTS_FILE):
            files.write(name, config["trial_id"].encode())
        return trial

    def end(self, trial: Any, value: float | None = None) -> None:
        elbo = ELBOS[int(trial.config["trial_id"])] if value is None else value
        result = {**of_elbo(1, elbo).as_dict(), "score": elbo, "preview": None, "checkpoint_epoch": 1}
        trial.last_result = {**result, "earlier": [], "note": "", "done": True}
        self.sweep.on_trial_result(0, [], trial, dict(trial.last_result))
        self.sweep.on_trial_complete(0, [], trial)

    def steps(self) -> Iterator[None]:
        """Every trial that is left, and the end; stops after each step."""
        while self.sweep.queue.n_to_run:
            trial = self.begin()
            yield
            self.end(trial)
            yield
            self.sweep.on_step_end(0, [])
            yield
        self.sweep.close()
        yield


def rows(place: Place) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((place.get("leaderboard.csv") or b"").decode())))


def named(place: Place) -> list[str]:
    return [row["checkpoint"] for row in rows(place) if row["checkpoint"]]


def assert_every_named_model_is_there(place: Place) -> None:
    for name in named(place):
        assert place.get(name) == name.split("/")[1].encode(), name


def files(place: Place, name: str) -> list[str]:
    return [one for one in place.list("trials/") if one.endswith(f"/{name}")]


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> SweepStorage:
    (tmp_path / "it").mkdir()
    if request.param == "folder":
        return SweepStorage(tmp_path / "it")
    s3: S3 = request.getfixturevalue("s3")
    return SweepStorage(tmp_path / "it", f"{s3.uri}/it")


def test_at_every_moment_each_model_that_the_leaderboard_names_is_there_and_at_the_end_the_best_alone(
    storage: SweepStorage,
) -> None:
    n_named = []
    for _ in Driver(storage, of_plan()).steps():
        assert_every_named_model_is_there(storage.place)
        n_named.append(len(named(storage.place)))
    assert max(n_named) > 1
    assert n_named[-1] == 1
    assert files(storage.place, MODEL_FILE) == named(storage.place) == ["trials/0005/model.safetensors"]
    assert files(storage.place, SNAPSHOTS_FILE) == ["trials/0005/snapshots.zip"]
    assert files(storage.place, CHECKPOINT_FILE) == []
    assert [record.has_model for record in read_trials(storage.place)] == [False] * 5 + [True]


def test_a_sweep_that_keeps_all_keeps_each_model_and_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    storage = SweepStorage(tmp_path / "it")
    for _ in Driver(storage, of_plan(keep_models=6)).steps():
        pass
    assert len(files(storage.place, MODEL_FILE)) == len(named(storage.place)) == 6
    assert files(storage.place, CHECKPOINT_FILE) == []


def test_a_limit_of_the_disk_keeps_as_many_of_the_best_models_as_there_is_room_for(tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    storage, every = SweepStorage(tmp_path / "it"), of_plan(keep_models=6)
    model = every.model_bytes(every.typical_config())
    for _ in Driver(storage, replace(every, max_bytes=every.bytes_besides(1) + 2 * model)).steps():
        assert_every_named_model_is_there(storage.place)
    assert {name.split("/")[1] for name in files(storage.place, MODEL_FILE)} == {"0003", "0005"}


# ---- a driver that is killed


class KilledError(BaseException):
    """kill -9 of the driver: nothing after it is done."""


@dataclass
class Life:
    """How many more things the driver does to its storage."""

    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self) -> None:
        with self.lock:
            self.left -= 1
            if self.left < 0:
                raise KilledError("kill -9")


class Mortal(Folder):
    """A folder whose driver dies in the middle."""

    def __init__(self, folder: Path, life: Life) -> None:
        super().__init__(folder)
        self._life = life

    def append(self, event: bytes, at_once: bool = True) -> None:
        self._life.spend()
        super().append(event, at_once)

    def put(self, name: str, content: bytes) -> None:
        self._life.spend()
        super().put(name, content)

    def put_later(self, name: str, content: bytes) -> None:
        self.put(name, content)

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._life.spend()
            super().delete([name])


@dataclass(frozen=True)
class MortalStorage(SweepStorage):
    life: Life = field(default_factory=lambda: Life(10**9))

    @property
    def place(self) -> Place:
        return Mortal(self.folder, self.life)


@pytest.mark.slow
def test_a_driver_killed_at_any_step_loses_no_model_that_stays_and_leaves_no_file_for_good(tmp_path: Path) -> None:
    for n_steps in itertools.count(1, step=3):
        folder = tmp_path / str(n_steps)
        folder.mkdir()
        was_killed = False
        try:
            for _ in Driver(MortalStorage(folder, life=Life(n_steps)), of_plan()).steps():
                assert_every_named_model_is_there(Folder(folder))
        except KilledError:
            was_killed = True
        assert_every_named_model_is_there(Folder(folder))
        for _ in Driver(SweepStorage(folder), of_plan()).steps():
            assert_every_named_model_is_there(Folder(folder))
        states = [record.state for record in read_trials(Folder(folder))]
        assert states == ["complete"] * len(ELBOS), n_steps
        (kept,) = files(Folder(folder), MODEL_FILE)
        assert [kept] == named(Folder(folder)), n_steps
        assert kept.startswith("trials/0005/"), n_steps
        assert files(Folder(folder), CHECKPOINT_FILE) == [], n_steps
        if not was_killed:
            break
    assert n_steps > 30


# ---- what stays for a trial that may go on


@pytest.fixture
def folder(tmp_path: Path) -> SweepStorage:
    (tmp_path / "it").mkdir()
    return SweepStorage(tmp_path / "it")


def fail(driver: Driver, trial: Any, folder: Path) -> None:
    """Its worker has raised, again and again."""
    trial.error_file = str(folder / "tunes-error.txt")
    Path(trial.error_file).write_text("Failure # 1 (at)\nValueError: of the trial's own\n")
    driver.sweep.on_trial_error(0, [], trial)


def test_a_trial_that_runs_or_can_be_retried_keeps_its_checkpoint(folder: SweepStorage, tmp_path: Path) -> None:
    driver = Driver(folder, of_plan(n_trials=7))
    fail(driver, driver.begin(), tmp_path)
    driver.begin()
    driver.end(driver.begin())
    driver.sweep.on_step_end(0, [])
    driver.sweep.close()
    expected = [f"trials/{trial}/{CHECKPOINT_FILE}" for trial in ("0000", "0001")]
    assert files(folder.place, CHECKPOINT_FILE) == expected
    past = read_trials(folder.place)
    past[0].state = "running"  # as --retry-failed has it
    again = Sweep(of_plan(n_trials=7), folder, past, ())
    assert again.propose()["trial_id"] == "0000"
    again.close()
    assert files(folder.place, CHECKPOINT_FILE) == expected


def test_a_trial_that_diverged_would_diverge_again_and_keeps_no_checkpoint(folder: SweepStorage) -> None:
    driver = Driver(folder, of_plan(n_trials=7))
    driver.end(driver.begin(), float("nan"))
    driver.sweep.close()
    assert files(folder.place, CHECKPOINT_FILE) == []


def test_what_a_worker_writes_after_the_end_of_its_trial_goes_when_the_sweep_ends(folder: SweepStorage) -> None:
    """A trial that is stopped early leaves a checkpoint where its worker ends with it."""
    driver = Driver(folder, of_plan(n_trials=1))
    driver.end(driver.begin())
    folder.trial_files("0000").write(CHECKPOINT_FILE, b"late")
    driver.sweep.close()
    assert files(folder.place, CHECKPOINT_FILE) == []


def test_a_model_is_named_once_it_is_there(folder: SweepStorage) -> None:
    """The driver hears of a trial's end while the trial's last file is still being written."""
    driver = Driver(folder, of_plan(n_trials=7))
    trial = driver.begin()
    model = folder.folder / "trials" / "0000" / MODEL_FILE
    model.rename(model.with_name(".not-yet"))
    driver.end(trial)
    driver.sweep.on_step_end(0, [])
    assert named(folder.place) == []
    model.with_name(".not-yet").rename(model)
    driver.sweep.close()
    assert named(folder.place) == ["trials/0000/model.safetensors"]


def test_the_driver_does_not_wait_for_a_storage_that_is_slow_to_remove(folder: SweepStorage) -> None:
    answers = threading.Event()

    class Slow(Folder):
        def delete(self, names: Sequence[str]) -> None:
            assert not names or answers.wait(60)
            super().delete(names)

    @dataclass(frozen=True)
    class SlowStorage(SweepStorage):
        @property
        def place(self) -> Place:
            return Slow(self.folder)

    driver = Driver(SlowStorage(folder.folder), of_plan(n_trials=7))
    for _ in range(3):
        driver.end(driver.begin())
        driver.sweep.on_step_end(0, [])
    assert len(files(folder.place, CHECKPOINT_FILE)) == 3
    answers.set()
    driver.sweep.close()
    assert files(folder.place, CHECKPOINT_FILE) == []


def test_the_driver_names_the_files_of_a_trial_as_training_does() -> None:
    ours = (layout.MODEL_FILE, layout.CHECKPOINT_FILE, layout.SNAPSHOTS_FILE)
    assert ours == (checkpoint.MODEL_FILE, checkpoint.CHECKPOINT_FILE, snapshots.SNAPSHOTS_FILE)
    assert set(ours) == set(TRAINING_FILES)
