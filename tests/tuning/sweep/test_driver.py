"""The driver's state, called as Tune calls it: what is written down before what, and what a killed driver forgot."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.material.epochs import of_elbo
from tests.material.plans import plan
from tests.material.sweeps import ledger
from tuning.cluster.allot import Cluster
from tuning.errors import RepeatedFailureError
from tuning.plan.plan import Plan
from tuning.records import TrialRecord
from tuning.search.early_stopping import make_scheduler
from tuning.search.study import load_study
from tuning.store.folder import Folder
from tuning.store.ledger import Ledger, read_trials
from tuning.store.place import SweepStorage
from tuning.sweep.driver import Sweep
from tuning.sweep.manifest import read_runs, write_manifest
from vae.model.metrics import EpochMetrics

ASHA = {"type": "asha", "grace_epochs": 3, "reduction_factor": 3}
STOPPED_AT = 3


class KilledError(BaseException):
    """kill -9 of the driver: nothing after it is done."""


class Trial:
    """Of Tune's."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.trial_id = f"tune-{config['trial_id']}"
        self.config = config
        self.last_result: dict[str, Any] = {}
        self.status = "PENDING"
        self.error_file = ""
        self.run_metadata = SimpleNamespace(num_failures=0)


class Driver:
    """A driver from its start to the moment when it is killed."""

    def __init__(self, folder: Path, of: Plan) -> None:
        past = read_trials(Folder(folder))
        self.sweep = Sweep(of, SweepStorage(folder), past, ())
        self.scheduler = make_scheduler(of.space, of.seed, past)

    def begin(self) -> Trial:
        """Tune asks for a trial, and a worker takes it on."""
        trial = Trial(self.sweep.propose())
        self.scheduler.on_trial_add(None, trial)
        self.sweep.on_trial_start(0, [], trial)
        return trial

    def result(self, trial: Trial, of_epoch: EpochMetrics, *earlier: EpochMetrics, device_note: str = "") -> str:
        """Tune has a result of the trial: it asks the scheduler, then calls back. Returns the decision."""
        result = {**of_epoch.as_dict(), "score": of_epoch.val_elbo, "preview": None, "checkpoint_epoch": 0, "note": ""}
        result["earlier"] = [(metrics, None) for metrics in earlier]
        decision = self.scheduler.on_trial_result(None, trial, result)
        result |= {"done": decision == "STOP", "device_note": device_note}
        self.sweep.on_trial_result(0, [], trial, result)
        trial.last_result = result
        return decision

    def train(self, trial: Trial, value: float, n_epochs: int) -> str:
        """The last decision."""
        for epoch in range(trial.config["n_known"] + 1, n_epochs + 1):
            decision = self.result(trial, of_elbo(epoch, value))
        return decision


def test_a_worker_that_fails_makes_a_new_attempt_which_the_ledger_has_before_the_next_worker(tmp_path: Path) -> None:
    driver = Driver(tmp_path, plan())
    trial = driver.begin()
    assert trial.config["attempt"] == 1
    driver.sweep.on_trial_recover(0, [], trial)
    assert trial.config["attempt"] == 2
    assert ledger(tmp_path)[-1]["event"] == "again"
    assert [record.attempt for record in read_trials(Folder(tmp_path))] == [2]
    driver.sweep.on_trial_recover(0, [], trial)
    assert trial.config["attempt"] == 3


def test_a_trial_that_goes_on_with_another_driver_is_a_new_attempt(tmp_path: Path) -> None:
    Driver(tmp_path, plan()).begin()
    for attempt in (2, 3):
        assert Driver(tmp_path, plan()).begin().config["attempt"] == attempt
    assert [record.attempt for record in read_trials(Folder(tmp_path))] == [3]


def test_why_a_device_trains_slower_is_told_once_and_stands_in_the_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = SweepStorage(tmp_path)
    write_manifest(storage, plan(), Cluster([], cpus_per_trial=1, gpus_per_trial=0.5, slots=2, n_threads=1))
    driver = Driver(tmp_path, plan(scheduler={"type": "none"}))
    for trial in (driver.begin(), driver.begin()):
        for epoch in (1, 2):
            driver.result(trial, of_elbo(epoch, -90.0), device_note="trains uncompiled, and slower: no compiler")
    driver.result(trial, of_elbo(3, -90.0), device_note="trains without a CUDA graph, and slower: old driver")
    told = ["trains uncompiled, and slower: no compiler", "trains without a CUDA graph, and slower: old driver"]
    assert [line for line in capsys.readouterr().err.splitlines() if "slower" in line] == told
    assert read_runs(storage)[-1]["notes"] == told


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Driver, Trial]:
    """A sweep whose third trial is the worst of three, and one epoch before the rung."""
    driver = Driver(tmp_path, plan(scheduler=ASHA, epochs=9))
    for value in (-90.0, -80.0):
        driver.train(driver.begin(), value, STOPPED_AT)
    third = driver.begin()
    driver.train(third, -200.0, STOPPED_AT - 1)
    return driver, third


def stops_when_resumed(folder: Path) -> None:
    """The resumed driver hands the trial out so that its last epoch is told again, and it stops there."""
    driver = Driver(folder, plan(scheduler=ASHA, epochs=9))
    for _ in range(2):
        driver.begin()
    third = driver.begin()
    assert (third.config["trial_id"], third.config["n_known"]) == ("0002", STOPPED_AT - 1)
    assert driver.result(third, of_elbo(STOPPED_AT, -200.0)) == "STOP"
    driver.sweep.on_trial_complete(0, [], third)
    record = driver.sweep.records["0002"]
    assert (record.state, [line.epoch for line in record.history]) == ("pruned", [1, 2, 3])
    driver.sweep.close()


def test_a_driver_killed_before_a_stopped_trial_is_finished_stops_it_when_resumed(
    tmp_path: Path, begun: tuple[Driver, Trial]
) -> None:
    driver, third = begun
    assert driver.result(third, of_elbo(STOPPED_AT, -200.0)) == "STOP"
    stops_when_resumed(tmp_path)


def test_a_driver_killed_between_the_decision_and_the_epoch_it_is_about_stops_the_trial_when_resumed(
    tmp_path: Path, begun: tuple[Driver, Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KilledError("kill -9")

    driver, third = begun
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "epoch", killed)
        with pytest.raises(KilledError, match=r"^kill -9$"):
            driver.result(third, of_elbo(STOPPED_AT, -200.0))
    assert len(read_trials(Folder(tmp_path))[2].history) == STOPPED_AT - 1
    stops_when_resumed(tmp_path)


def test_the_ledger_has_the_decision_of_a_trial_that_is_stopped_and_of_no_other(
    tmp_path: Path, begun: tuple[Driver, Trial]
) -> None:
    driver, third = begun
    driver.result(third, of_elbo(STOPPED_AT, -200.0))
    decided = [(line["trial"], line["epoch"]) for line in ledger(tmp_path) if line["event"] == "stopping"]
    assert decided == [("0002", STOPPED_AT)]


# ---- results of several epochs


class Watching:
    """An observer that notes how far a trial's history went when it was told of an epoch."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def started(self, record: TrialRecord) -> None:
        pass

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        self.told.append((metrics.epoch, len(record.history)))

    def finished(self, record: TrialRecord) -> None:
        pass


def test_every_epoch_of_a_result_reaches_ledger_study_and_observers(tmp_path: Path) -> None:
    driver, watching = Driver(tmp_path, plan(scheduler=ASHA, epochs=9)), Watching()
    driver.sweep._observers = [watching]
    trial = driver.begin()
    epochs = [of_elbo(epoch, -100.0 + epoch) for epoch in range(1, 10)]
    driver.result(trial, epochs[2], *epochs[:2])
    driver.result(trial, epochs[4], *epochs[1:4])  # the second and the third were trained again after a crash
    assert driver.sweep.records["0000"].history == epochs[:5]
    (record,) = read_trials(Folder(tmp_path))
    assert record.history == epochs[:5]
    assert watching.told == [(epoch, epoch) for epoch in range(1, 6)]
    (in_study,) = load_study(tmp_path).get_trials()
    assert in_study.intermediate_values == {epoch: -100.0 + epoch for epoch in range(1, 6)}


def test_a_driver_killed_between_a_decision_and_the_several_epochs_of_its_result_stops_the_trial_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KilledError("kill -9")

    of = plan(scheduler=ASHA, epochs=9)
    driver = Driver(tmp_path, of)
    for value in (-90.0, -80.0):
        driver.train(driver.begin(), value, STOPPED_AT)
    third, worst = driver.begin(), [of_elbo(epoch, -200.0) for epoch in range(1, STOPPED_AT + 1)]
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "epoch", killed)
        with pytest.raises(KilledError, match=r"^kill -9$"):
            driver.result(third, worst[-1], *worst[:-1])
    resumed = Driver(tmp_path, of)
    for _ in range(2):
        resumed.begin()
    third = resumed.begin()
    assert (third.config["trial_id"], third.config["n_known"]) == ("0002", 0)
    assert resumed.result(third, worst[-1], *worst[:-1]) == "STOP"
    resumed.sweep.on_trial_complete(0, [], third)
    assert (resumed.sweep.records["0002"].state, resumed.sweep.records["0002"].history) == ("pruned", worst)


@pytest.mark.parametrize(
    ("slots", "trials", "expected"), [(4, 27, 0.08), (256, 1_000, 5.12), (256, 5, 0.1), (9_000, 9_000, 30.0)]
)
def test_all_trials_together_bring_about_fifty_results_a_second(
    tmp_path: Path, slots: int, trials: int, expected: float
) -> None:
    sweep = Driver(tmp_path, plan(trials=trials)).sweep
    assert sweep.propose(slots)["report_seconds"] == expected


# ---- failures

DIED = """Failure # 2 (occurred at 2026-11-21)
ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.
Worker exit detail: SIGKILL
"""
RAISED = "Failure # 1 (occurred at 2026-11-21)\nValueError: of the trial's own\n"


def give_up(driver: Driver, trial: Trial, text: str, folder: Path) -> None:
    """Tune has tried again, and no more."""
    trial.error_file = str(folder / "tunes-error.txt")
    Path(trial.error_file).write_text(text)
    driver.sweep.on_trial_error(0, [], trial)


def test_progress_starts_the_count_of_failures_anew(tmp_path: Path) -> None:
    driver = Driver(tmp_path, plan(scheduler={"type": "none"}))
    trial = driver.begin()
    trial.run_metadata.num_failures = 1
    driver.result(trial, of_elbo(1))
    assert trial.run_metadata.num_failures == 0
    trial.run_metadata.num_failures = 1
    driver.result(trial, of_elbo(1))  # an epoch that is trained again is no progress
    assert trial.run_metadata.num_failures == 1


@pytest.mark.parametrize(
    "text",
    [
        DIED,
        # What Ray 2.60 says of a trainer that a trial asks while it dies, restarts, or has restarted without the trial.
        "Failure # 2 (at)\nray.exceptions.ActorUnavailableError: The actor 3af0 is unavailable: RpcError\n",
        "Failure # 2 (at)\ntuning.errors.NotJoinedError: '0000'\n",
        "Failure # 2 (at)\ntuning.errors.BlindNodeError: /mnt/it: node b does not see the manifest\n",
    ],
)
def test_every_word_of_a_death_sets_a_trial_aside(tmp_path: Path, text: str) -> None:
    driver = Driver(tmp_path, plan(scheduler={"type": "none"}, trials=1))
    give_up(driver, driver.begin(), text, tmp_path)
    assert driver.sweep.queue.take_back()
    assert driver.sweep.queue.is_alone


def test_a_trial_whose_trainer_dies_is_tried_alone_and_is_failed_with_the_cause_if_it_dies_there_too(
    tmp_path: Path,
) -> None:
    driver = Driver(tmp_path, plan(scheduler={"type": "none"}, trials=1))
    give_up(driver, driver.begin(), DIED, tmp_path)
    record = driver.sweep.records["0000"]
    assert (record.state, driver.sweep.queue.take_back()) == ("running", True)
    give_up(driver, driver.begin(), DIED, tmp_path)
    assert record.state == "failed"
    assert record.error == "its worker or trainer died 2 times while it ran alone: Worker exit detail: SIGKILL"
    assert not driver.sweep.queue.take_back()


def test_a_trial_that_fails_of_itself_is_failed_at_once(tmp_path: Path) -> None:
    driver = Driver(tmp_path, plan(scheduler={"type": "none"}, trials=1))
    give_up(driver, driver.begin(), DIED + RAISED, tmp_path)
    record = driver.sweep.records["0000"]
    assert (record.state, record.error) == ("failed", "ValueError: of the trial's own")


def test_trials_that_fail_one_after_the_other_for_one_cause_end_the_sweep_and_are_failed(tmp_path: Path) -> None:
    folder = tmp_path / "it"
    folder.mkdir()
    driver = Driver(folder, plan(scheduler={"type": "none"}))
    for _ in range(2):
        give_up(driver, driver.begin(), RAISED, tmp_path)
    go_on = r"put that right, then go on with: python sweep.py --resume it --storage \S+ --retry-failed"
    with pytest.raises(
        RepeatedFailureError, match=rf"^3 trials in a row .* same cause: ValueError: of the trial's own; {go_on}$"
    ):
        give_up(driver, driver.begin(), RAISED, tmp_path)
    assert [record.state for record in read_trials(Folder(folder))] == ["failed"] * 3


def test_a_trial_that_ends_well_between_failures_lets_the_sweep_go_on(tmp_path: Path) -> None:
    driver = Driver(tmp_path, plan(scheduler={"type": "none"}, epochs=1))
    for _ in range(2):
        for _ in range(2):
            give_up(driver, driver.begin(), RAISED, tmp_path)
        well = driver.begin()
        driver.train(well, -100.0, 1)
        well.last_result["done"] = True
        driver.sweep.on_trial_complete(0, [], well)
    assert [record.state for record in read_trials(Folder(tmp_path))] == ["failed", "failed", "complete"] * 2
