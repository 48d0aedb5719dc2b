"""The trainer, driven as its workers drive it but from threads and without Ray: every trial is as if it were alone."""

import errno
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuning import trainer as trainer_module
from tuning.records import TrialRecord, ranked
from tuning.search import Study, make_scheduler
from tuning.shared import Shared
from tuning.space import SearchSpace
from tuning.storage import SweepStorage
from tuning.trainer import FIRST_SLOTS, Trainer, WriteBehind
from vae import pack as pack_module
from vae import training as training_module
from vae.checkpoint import CHECKPOINT_FILE, MODEL_FILE, TrialState, unpack_checkpoint, unpack_model
from vae.config import TrialConfig
from vae.errors import CheckpointError
from vae.files import Files, LocalFiles
from vae.metrics import EpochMetrics
from vae.pack import Pack
from vae.shape import ShapeClass
from vae.training import Training

TOLERANCE = 1e-10
SECONDS = 60.0  # for a thread to end: milliseconds unless something hangs
N_TRAIN, N_VALIDATION, SIDE, EPOCHS = 70, 20, 4, 4

Result = dict[str, Any]


def config(seed: int = 0, **changes: Any) -> TrialConfig:
    base = {"latent_size": 2, "hidden_units": 9, "batch_size": 16, "epochs": EPOCHS, "learning_rate": 3e-3}
    return TrialConfig(**{**base, "precision": "float64", "seed": seed, **changes})


def varied(n: int, **changes: Any) -> dict[str, TrialConfig]:
    """Trials of one shape class that differ in all that may differ."""
    return {
        f"{i:04d}": config(
            i, hidden_units=3 + 5 * i % 60, latent_size=1 + i % 7, learning_rate=1e-3 * (1 + i), beta=0.5 * i, **changes
        )
        for i in range(n)
    }


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    sizes = {"train": N_TRAIN, "validation": N_VALIDATION}
    return {split: draw.integers(0, 256, (n, SIDE * SIDE), dtype=np.uint8) for split, n in sizes.items()}


@pytest.fixture
def shared(images: dict[str, np.ndarray], tmp_path: Path) -> Shared:
    return Shared(
        **images,
        dataset="digits",
        image_shape=(SIDE, SIDE),
        storage=SweepStorage(tmp_path / "packed"),
        n_threads=1,
        device="cpu",
        n_slots=4,
    )


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer waits for every trial that has joined, however slow this machine is."""
    monkeypatch.setattr(trainer_module, "GATHER_SECONDS", SECONDS)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The slots of every batched epoch, as they are trained."""
    seen: list[list[int]] = []
    train = Pack.epoch

    def epoch(pack: Pack, slots: Iterable[int]) -> dict[int, EpochMetrics]:
        seen.append(sorted(slots))
        return train(pack, seen[-1])

    monkeypatch.setattr(Pack, "epoch", epoch)
    return seen


def in_a_thread(call: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Its answer. One that hangs fails its test and does not keep the process from ending."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def results_of(trainer: Trainer, trial_id: str, one: TrialConfig, n_known: int = 0) -> list[Result]:
    """What a worker does with a trial: join, ask until it is done, leave."""
    trainer.join(trial_id, one.model_dump(), n_known)
    results = [trainer.result(trial_id)]
    while not results[-1]["done"]:
        results.append(trainer.result(trial_id))
    trainer.leave(trial_id, keep=False)
    return results


def train_together(trainer: Trainer, trials: dict[str, TrialConfig]) -> dict[str, list[Result]]:
    """Every trial by a thread of its own."""
    ends = {trial_id: in_a_thread(results_of, trainer, trial_id, one) for trial_id, one in trials.items()}
    return {trial_id: end.result(SECONDS) for trial_id, end in ends.items()}


def alone(shared: Shared, one: TrialConfig, files: Files | None = None) -> Training:
    """The same trial in a process of its own: a pack without a shape class."""
    training = Training(Pack(*shared.tensors()), one, shared.dataset, shared.image_shape, files or InMemory())
    while not training.is_done:
        training.next_epoch()
    return training


class InMemory:
    """A trial's folder that is no folder."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        return self.content.get(name)

    def write(self, name: str, content: bytes) -> None:
        self.content[name] = content


def assert_same(ours: EpochMetrics, theirs: EpochMetrics) -> None:
    for name, value in replace(ours, epoch_seconds=0.0).as_dict().items():
        expected = replace(theirs, epoch_seconds=0.0).as_dict()[name]
        assert value == pytest.approx(expected, abs=TOLERANCE, nan_ok=True), name


def assert_same_history(ours: list[EpochMetrics], theirs: list[EpochMetrics]) -> None:
    assert [metrics.epoch for metrics in ours] == [metrics.epoch for metrics in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)


def metrics_in(results: list[Result]) -> list[EpochMetrics]:
    return [EpochMetrics(**{name: result[name] for name in EpochMetrics.__dataclass_fields__}) for result in results]


def assert_same_tensors(ours: bytes | None, theirs: bytes | None) -> None:
    assert ours is not None
    assert theirs is not None
    one, other = safetensors.torch.load(ours), safetensors.torch.load(theirs)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].shape == other[name].shape
        assert (one[name] - other[name]).abs().max() < TOLERANCE, name


def assert_as_alone(shared: Shared, trial_id: str, one: TrialConfig, results: list[Result]) -> None:
    """Numbers, previews and files."""
    folder = InMemory()
    training = alone(shared, one, folder)
    assert_same_history(metrics_in(results), training.history)
    assert [result["done"] for result in results] == [False] * (len(results) - 1) + [True]
    preview, expected = results[-1]["preview"], training.preview()
    for name in ("inputs", "reconstructions", "samples"):  # grey levels may round the other way
        assert np.abs(getattr(preview, name).astype(int) - getattr(expected, name)).max() <= 1
    files = shared.storage.trial_files(trial_id)
    for name in (MODEL_FILE, CHECKPOINT_FILE):
        assert_same_tensors(files.read(name), folder.read(name))
    model, described = (unpack_model(each.read(MODEL_FILE) or b"", "")[1] for each in (files, folder))
    assert (model.config, model.epoch, model.dataset) == (described.config, described.epoch, described.dataset)
    assert_same_history(model.history, described.history)
    state, description = unpack_checkpoint(files.read(CHECKPOINT_FILE) or b"", "")
    assert (state.epoch, state.adam.step, state.config) == (EPOCHS, EPOCHS * math.ceil(N_TRAIN / 16), one)
    assert_same_history(description.history, training.history)


# ---------------------------------------------------------------- as if it were alone


def test_trials_of_a_trainer_equal_the_same_trials_alone_files_included(shared: Shared) -> None:
    trials = varied(4)
    for trial_id, results in train_together(Trainer(shared), trials).items():
        assert_as_alone(shared, trial_id, trials[trial_id], results)


def test_more_trials_than_the_first_slots_change_nothing(shared: Shared) -> None:
    """The pack doubles its slots, twice, while others train."""
    trials, trainer = varied(2 * FIRST_SLOTS + 3), Trainer(shared)
    for trial_id, results in train_together(trainer, trials).items():
        assert_as_alone(shared, trial_id, trials[trial_id], results)


def test_a_pack_grows_between_the_epochs_of_its_trials(shared: Shared) -> None:
    trainer, trials = Trainer(shared), varied(FIRST_SLOTS + 1)
    *first, last = trials
    for trial_id in first:
        trainer.join(trial_id, trials[trial_id].model_dump(), 0)
    results = {trial_id: [trainer.result(trial_id)] for trial_id in first}
    results[last] = results_of(trainer, last, trials[last])
    for trial_id in first:
        results[trial_id] += [trainer.result(trial_id) for _ in range(EPOCHS - 1)]
        trainer.leave(trial_id, keep=False)
    for trial_id, told in results.items():
        assert_as_alone(shared, trial_id, trials[trial_id], told)


def test_trials_of_several_shape_classes_train_at_the_same_time(shared: Shared) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"activation": "softplus", "hidden_units": 70},
        {"hidden_layers": 2, "activation": "tanh"},
        {"batch_size": 32},
    ]
    trials = {f"{i:04d}": config(i, **kinds[i % 4]) for i in range(8)}
    assert len({ShapeClass.of(one) for one in trials.values()}) == 4
    told = train_together(Trainer(shared), trials)
    for trial_id, results in told.items():
        assert_same_history(metrics_in(results), alone(shared, trials[trial_id]).history)


def test_a_slot_serves_one_trial_after_another(shared: Shared) -> None:
    trainer = Trainer(shared)
    for trial_id, one in varied(3 * FIRST_SLOTS).items():
        assert_as_alone(shared, trial_id, one, results_of(trainer, trial_id, one))


def test_a_diverging_neighbour_ends_and_no_other_trial_notices(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrialState, "initial", spoilt_if(lambda one: one.seed == 2, TrialState.initial))
    trials = varied(3)
    told = train_together(Trainer(shared), trials)
    assert not metrics_in(told["0002"])[-1].is_finite
    assert told["0002"][-1]["preview"] is None
    for trial_id in ("0000", "0001"):
        assert_as_alone(shared, trial_id, trials[trial_id], told[trial_id])


def spoilt_if(is_spoilt: Callable[[TrialConfig], bool], initial: Callable[..., TrialState]) -> Any:
    """TrialState.initial, with weights that no training saves for some configs."""

    def spoilt(n_pixels: int, one: TrialConfig) -> TrialState:
        state = initial(n_pixels, one)
        if is_spoilt(one):
            state.weights["mean.bias"].fill_(math.nan)
        return state

    return spoilt


# ---------------------------------------------------------------- gathering


def test_waiting_requests_are_gathered_into_one_batched_epoch(
    shared: Shared, calls: list[list[int]], patient: None
) -> None:
    trainer, trials = Trainer(shared), varied(4)
    for trial_id, one in trials.items():
        trainer.join(trial_id, one.model_dump(), 0)
    for _ in range(EPOCHS):
        for answer in [in_a_thread(trainer.result, trial_id) for trial_id in trials]:
            answer.result(SECONDS)
    assert calls == [[0, 1, 2, 3]] * EPOCHS


def test_a_trial_that_does_not_ask_holds_nobody_up(shared: Shared, calls: list[list[int]]) -> None:
    trainer = Trainer(shared)
    trainer.join("idle", config(1).model_dump(), 0)
    results = results_of(trainer, "0000", config())
    assert calls == [[1]] * EPOCHS
    assert_as_alone(shared, "0000", config(), results)


def test_epochs_that_the_checkpoint_holds_are_told_without_training(shared: Shared, calls: list[list[int]]) -> None:
    results_of(Trainer(shared), "0000", config())
    calls.clear()
    results = results_of(Trainer(shared), "0000", config(), n_known=1)
    assert [result["epoch"] for result in results] == [2, 3, 4]
    assert calls == []


# ---------------------------------------------------------------- joining and leaving


@pytest.mark.parametrize("call", ["result", "after leaving"])
def test_the_result_of_a_trial_that_has_not_joined_is_a_key_error(shared: Shared, call: str) -> None:
    trainer = Trainer(shared)
    if call == "after leaving":
        trainer.join("0007", config().model_dump(), 0)
        trainer.leave("0007", keep=False)
    with pytest.raises(KeyError, match="0007"):
        trainer.result("0007")


def test_leaving_without_having_joined_does_nothing(shared: Shared) -> None:
    Trainer(shared).leave("0007", keep=True)
    assert not shared.storage.folder.exists()


def test_a_trial_that_leaves_while_it_waits_is_let_go_and_the_others_go_on(
    shared: Shared, calls: list[list[int]], patient: None
) -> None:
    """The trainer waits for the neighbour, which never asks, for longer than this test may take."""
    trainer = Trainer(shared)
    trainer.join("0000", config().model_dump(), 0)
    trainer.join("idle", config(1).model_dump(), 0)
    waiting = in_a_thread(trainer.result, "0000")
    until(lambda: asked_for_an_epoch(trainer))
    in_a_thread(trainer.leave, "0000", True).result(SECONDS)
    with pytest.raises(CancelledError, match=r"^$"):
        waiting.result(SECONDS)
    assert in_a_thread(trainer.result, "idle").result(SECONDS)["epoch"] == 1
    assert calls == [[1]]
    assert shared.storage.trial_files("0000").read(CHECKPOINT_FILE) is None


def test_no_epoch_is_trained_for_a_request_that_was_taken_back(
    shared: Shared, calls: list[list[int]], patient: None
) -> None:
    trainer = Trainer(shared)
    trainer.join("0000", config().model_dump(), 0)
    trainer.join("idle", config(1).model_dump(), 0)
    waiting = in_a_thread(trainer.result, "0000")
    until(lambda: asked_for_an_epoch(trainer))
    trainer.leave("idle", keep=False)
    waiting.result(SECONDS)
    trainer.join("idle", config(1).model_dump(), 0)
    waiting = in_a_thread(trainer.result, "0000")
    until(lambda: asked_for_an_epoch(trainer))
    time.sleep(0.1)  # for the trainer to begin to gather
    trainer.leave("0000", keep=False)
    trainer.leave("idle", keep=False)  # nobody is left
    time.sleep(0.1)  # for the trainer to notice
    results_of(trainer, "0001", config(2))
    assert [] not in calls
    assert len(calls) == 1 + EPOCHS


def test_a_trial_that_leaves_between_its_request_and_the_epoch_moves_no_other(
    shared: Shared, calls: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's joining holds the device while the request waits, its trial leaves and its slot is taken."""
    trainer, holds, go_on = Trainer(shared), threading.Event(), threading.Event()
    join = Pack.join
    trainer.join("0000", config().model_dump(), 0)

    def slow_join(pack: Pack, one: TrialConfig, state: Any = None) -> int:
        if one.seed == 1:
            holds.set()
            assert go_on.wait(SECONDS)
        return join(pack, one, state)

    monkeypatch.setattr(Pack, "join", slow_join)
    joining = in_a_thread(trainer.join, "0001", config(1).model_dump(), 0)
    assert holds.wait(SECONDS)
    leaving = in_a_thread(trainer.leave, "0000", False)
    next_one = in_a_thread(results_of, trainer, "0002", config(2))
    waiting = in_a_thread(quietly, trainer.result, "0000")
    time.sleep(0.2)  # for each to come as far as it can
    go_on.set()
    for each in (joining, leaving, waiting):
        each.result(SECONDS)
    assert_as_alone(shared, "0002", config(2), next_one.result(SECONDS))
    assert_as_alone(shared, "0001", config(1), [trainer.result("0001") for _ in range(EPOCHS)])


def test_a_trial_that_joins_again_without_having_left_takes_no_second_slot_and_goes_on_from_its_checkpoint(
    shared: Shared, calls: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "CHECKPOINT_SECONDS", -1.0)  # a checkpoint at every epoch
    trainer, one = Trainer(shared), config()
    trainer.join("0000", one.model_dump(), 0)
    results = [trainer.result("0000") for _ in range(2)]
    trainer.join("0000", one.model_dump(), 2)  # the worker was killed; the driver has two epochs
    results += [trainer.result("0000") for _ in range(2)]
    assert calls == [[0]] * EPOCHS
    assert_as_alone(shared, "0000", one, results)


def test_two_workers_that_join_one_trial_at_once_leave_it_one_slot(
    shared: Shared, calls: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was killed while the trainer was busy with its joining."""
    trainer, joined, free = Trainer(shared), [], threading.Event()
    join = Pack.join

    def slow_join(pack: Pack, one: TrialConfig, state: Any = None) -> int:
        assert free.wait(SECONDS)
        joined.append(join(pack, one, state))
        return joined[-1]

    monkeypatch.setattr(Pack, "join", slow_join)
    both = [in_a_thread(trainer.join, "0000", config().model_dump(), 0) for _ in range(2)]
    time.sleep(0.1)
    free.set()
    for each in both:
        each.result(SECONDS)
    assert joined == [0, 0]


def test_a_trial_kept_goes_on_exactly_in_a_new_trainer(shared: Shared) -> None:
    first, trials = Trainer(shared), varied(3)
    for trial_id, one in trials.items():
        first.join(trial_id, one.model_dump(), 0)
    results = {trial_id: [first.result(trial_id) for _ in range(2)] for trial_id in trials}
    for trial_id in trials:
        first.leave(trial_id, keep=True)
    second = Trainer(shared)
    for trial_id in reversed(trials):  # other slots than before
        second.join(trial_id, trials[trial_id].model_dump(), 2)
    for trial_id, one in trials.items():
        results[trial_id] += [second.result(trial_id) for _ in range(EPOCHS - 2)]
        second.leave(trial_id, keep=False)
        assert_as_alone(shared, trial_id, one, results[trial_id])


def test_a_trial_that_is_not_kept_leaves_no_checkpoint(shared: Shared) -> None:
    trainer = Trainer(shared)
    trainer.join("0000", config().model_dump(), 0)
    trainer.result("0000")
    trainer.leave("0000", keep=False)
    files = shared.storage.trial_files("0000")
    assert files.read(MODEL_FILE) is not None
    assert files.read(CHECKPOINT_FILE) is None


def test_a_checkpoint_of_another_config_is_refused_and_takes_no_slot(shared: Shared, calls: list[list[int]]) -> None:
    trainer = Trainer(shared)
    results_of(trainer, "0000", config())
    calls.clear()
    with pytest.raises(CheckpointError, match="of config"):
        trainer.join("0000", config(1).model_dump(), 0)
    results_of(trainer, "0001", config(1))
    assert calls == [[0]] * EPOCHS


# ---------------------------------------------------------------- failures


def test_an_exception_inside_an_epoch_reaches_every_trial_that_waits_and_the_trainer_goes_on_serving(
    shared: Shared, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that breaks off after its gradients are there must leave none of them to the next epoch."""
    trainer, trials, broken = Trainer(shared), varied(3), []
    place = Pack.join

    def join(pack: Pack, one: TrialConfig, state: Any = None) -> int:
        slot = place(pack, one, state)
        if not broken:
            step = pack.adam.step

            def failing(active: torch.Tensor) -> None:
                broken.append(True)
                pack.adam.step = step  # type: ignore[method-assign]
                pack.step._update = step
                raise RuntimeError("CUDA error: out of memory")

            pack.step._update = failing
        return slot

    monkeypatch.setattr(Pack, "join", join)
    for trial_id, one in trials.items():
        trainer.join(trial_id, one.model_dump(), 0)
    trainer.join("idle", config(9, epochs=EPOCHS).model_dump(), 0)
    answers = [in_a_thread(trainer.result, trial_id) for trial_id in trials]
    until(lambda: asked_for_an_epoch(trainer, 3))
    answers.append(in_a_thread(trainer.result, "idle"))
    for answer in answers:
        with pytest.raises(RuntimeError, match="out of memory"):
            answer.result(SECONDS)
    for trial_id in (*trials, "idle"):
        trainer.leave(trial_id, keep=True)
        assert shared.storage.trial_files(trial_id).read(CHECKPOINT_FILE) is None  # of no epoch
    for trial_id, results in train_together(trainer, trials).items():
        assert_as_alone(shared, trial_id, trials[trial_id], results)


def test_a_pack_that_cannot_grow_refuses_the_trial_that_joins_and_keeps_the_others_as_they_are(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, trials = Trainer(shared), varied(FIRST_SLOTS)
    for trial_id, one in trials.items():
        trainer.join(trial_id, one.model_dump(), 0)
    results = {trial_id: [trainer.result(trial_id)] for trial_id in trials}

    def no_memory(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(pack_module, "Step", no_memory)
        with pytest.raises(RuntimeError, match="out of memory"):
            trainer.join("late", config(9).model_dump(), 0)
    for trial_id, one in trials.items():
        results[trial_id] += [trainer.result(trial_id) for _ in range(EPOCHS - 1)]
        assert_as_alone(shared, trial_id, one, results[trial_id])
    assert_as_alone(shared, "late", config(9), results_of(trainer, "late", config(9)))


class Disk(SweepStorage):
    """A storage whose named files cannot be written."""

    full: frozenset[str] = frozenset()
    delay = 0.0  # seconds of each writing

    def trial_files(self, trial_id: str) -> Files:
        return _FilesOf(self, super().trial_files(trial_id), trial_id)


class _FilesOf:
    def __init__(self, disk: Disk, files: Files, trial_id: str) -> None:
        self._disk, self._files, self._trial_id = disk, files, trial_id

    def read(self, name: str) -> bytes | None:
        return self._files.read(name)

    def write(self, name: str, content: bytes) -> None:
        if f"{self._trial_id}/{name}" in self._disk.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        time.sleep(self._disk.delay)
        self._files.write(name, content)


def full_disk(shared: Shared, *full: str) -> tuple[Shared, type[Disk]]:
    kind = type("FullDisk", (Disk,), {"full": frozenset(full)})
    return replace(shared, storage=kind(shared.storage.folder)), kind


@pytest.mark.parametrize("name", [MODEL_FILE, CHECKPOINT_FILE])
def test_a_write_that_fails_reaches_its_trial_and_no_other(shared: Shared, name: str) -> None:
    failing, disk = full_disk(shared, f"0001/{name}")
    trainer, trials = Trainer(failing), varied(3)
    ends = {trial_id: in_a_thread(results_of, trainer, trial_id, one) for trial_id, one in trials.items()}
    with pytest.raises(OSError, match="No space left on device"):
        ends["0001"].result(SECONDS)
    for trial_id in ("0000", "0002"):
        assert_as_alone(shared, trial_id, trials[trial_id], ends[trial_id].result(SECONDS))
    quietly(trainer.leave, "0001", True)
    disk.full = frozenset()
    assert_as_alone(shared, "0001", trials["0001"], results_of(trainer, "0001", trials["0001"]))


def test_a_write_that_fails_as_a_trial_leaves_gives_its_slot_back(shared: Shared, calls: list[list[int]]) -> None:
    failing, disk = full_disk(shared, f"0000/{MODEL_FILE}")
    trainer = Trainer(failing)
    trainer.join("0000", config().model_dump(), 0)
    trainer.result("0000")
    with pytest.raises(OSError, match="No space left on device"):
        trainer.leave("0000", keep=True)
    disk.full = frozenset()
    calls.clear()
    results_of(trainer, "0001", config(1))
    assert calls == [[0]] * EPOCHS


def test_a_write_that_fails_behind_a_later_one_is_not_forgotten() -> None:
    free = threading.Event()

    class Slow(InMemory):
        def write(self, name: str, content: bytes) -> None:
            assert free.wait(SECONDS)
            if name == MODEL_FILE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write(name, content)

    with ThreadPoolExecutor(1) as writer:
        files = WriteBehind(Slow(), writer)
        files.write(MODEL_FILE, b"best")
        files.write(CHECKPOINT_FILE, b"last")
        free.set()
        with pytest.raises(OSError, match="No space left on device"):
            files.flush()


def test_a_disk_slower_than_the_training_holds_the_trial_up_instead_of_filling_the_memory() -> None:
    free, under_way = threading.Event(), threading.Semaphore(0)

    class Slow(InMemory):
        def write(self, name: str, content: bytes) -> None:
            assert free.wait(SECONDS)
            super().write(name, content)

    files = WriteBehind(folder := Slow(), ThreadPoolExecutor(1))

    def write_ten() -> None:
        for i in range(10):
            files.write(MODEL_FILE, b"%d" % i)
            under_way.release()

    writing = in_a_thread(write_ten)
    while under_way.acquire(timeout=0.2):
        pass
    assert not writing.done()
    free.set()
    writing.result(SECONDS)
    files.flush()
    assert folder.content == {MODEL_FILE: b"9"}


def test_what_is_read_is_what_was_written_last() -> None:
    with ThreadPoolExecutor(1) as writer:
        files = WriteBehind(InMemory(), writer)
        assert files.read("a") is None
        for i in range(20):
            files.write("a", b"%d" % i)
            assert files.read("a") == b"%d" % i


def test_the_files_of_a_trial_that_is_done_are_on_disk_with_its_last_result(shared: Shared) -> None:
    slow = type("SlowDisk", (Disk,), {"delay": 0.1})
    trainer = Trainer(replace(shared, storage=slow(shared.storage.folder)))
    trainer.join("0000", config().model_dump(), 0)
    for _ in range(EPOCHS):
        result = trainer.result("0000")
    assert result["done"]
    content = LocalFiles(shared.storage.folder / "trials" / "0000").read(CHECKPOINT_FILE)
    assert unpack_checkpoint(content or b"", "")[0].epoch == EPOCHS


# ---------------------------------------------------------------- anything, in any order


def until(happened: Callable[[], bool]) -> None:
    for _ in range(int(SECONDS / 0.005)):
        if happened():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def asked_for_an_epoch(trainer: Trainer, n: int = 1) -> bool:
    """Whether so many requests wait; the one thing that no answer of the trainer's shows."""
    return len(trainer._waiting) == n


def quietly(call: Callable[..., Any], *arguments: Any) -> Any:
    """Its answer, or the error that a worker would have."""
    try:
        return call(*arguments)
    except (KeyError, CancelledError, OSError) as error:
        return error


def live_and_die(trainer: Trainer, trial_id: str, one: TrialConfig, seed: int) -> list[EpochMetrics]:
    """A driver's view of a trial whose workers leave, are killed while idle or while they wait, and come back."""
    choose, known = random.Random(seed), list[EpochMetrics]()
    while len(known) < one.epochs:
        trainer.join(trial_id, one.model_dump(), len(known))
        for _ in range(choose.randint(0, 3)):
            (metrics,) = metrics_in([trainer.result(trial_id)])
            if metrics.epoch == len(known) + 1:  # as tuning.experiment.Sweep
                known.append(metrics)
            if len(known) == one.epochs:
                break
        end = choose.choice(["keep", "drop", "kill", "kill while it waits"])
        if end in ("keep", "drop"):
            trainer.leave(trial_id, keep=end == "keep" or choose.random() < 0.8)
        elif end == "kill while it waits":
            in_a_thread(quietly, trainer.result, trial_id)  # its answer reaches nobody
            time.sleep(choose.random() * 0.02)
    trainer.leave(trial_id, keep=False)
    return known


@pytest.mark.parametrize("seed", range(3))
def test_sixteen_workers_that_come_go_and_die_as_they_like_change_no_number(
    shared: Shared, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "CHECKPOINT_SECONDS", 0.01)
    monkeypatch.setattr(trainer_module, "GATHER_SECONDS", 0.002)
    trainer, widths = Trainer(shared), (5, 70)
    trials = {f"{i:04d}": config(i, hidden_units=widths[i % 2], epochs=6) for i in range(16)}
    ends = {
        trial_id: in_a_thread(live_and_die, trainer, trial_id, one, 100 * seed + one.seed)
        for trial_id, one in trials.items()
    }
    histories = {trial_id: end.result(SECONDS) for trial_id, end in ends.items()}
    for trial_id, history in histories.items():
        assert_same_history(history, alone(shared, trials[trial_id]).history)


@settings(max_examples=25)
@given(
    orders=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["ask", "ask", "ask", "keep", "rejoin"])), max_size=40)
)
def test_any_order_of_asking_leaving_and_joining_again_gives_each_trial_its_own_numbers(
    images: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[int, str]]
) -> None:
    folder = SweepStorage(tmp_path_factory.mktemp("orders"))
    shared = Shared(**images, dataset="digits", image_shape=(SIDE, SIDE), storage=folder, n_threads=1, device="cpu")
    trials, told = list(varied(6, epochs=100).values()), {i: list[EpochMetrics]() for i in range(6)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "GATHER_SECONDS", 0.0)
        trainer, joined = Trainer(shared), set[int]()
        for i, order in orders:
            if i not in joined or order == "rejoin":
                trainer.join(str(i), trials[i].model_dump(), len(told[i]))
                joined.add(i)
            if order == "ask":
                (metrics,) = metrics_in([trainer.result(str(i))])
                if metrics.epoch == len(told[i]) + 1:
                    told[i].append(metrics)
            elif order == "keep":
                trainer.leave(str(i), keep=True)
                joined.remove(i)
    for i, history in told.items():
        plain = Training(Pack(*shared.tensors()), trials[i], "digits", (SIDE, SIDE), InMemory())
        assert_same_history(history, [plain.next_epoch() for _ in history])


# ---------------------------------------------------------------- a whole sweep, in a fixed order

N_TRIALS, SWEEP_EPOCHS, SIDE_BY_SIDE = 14, 9, 4
SCHEDULERS: dict[str, dict[str, Any]] = {
    "asha": {"type": "asha", "grace_epochs": 1, "reduction_factor": 3},
    "hyperband": {"type": "hyperband", "grace_epochs": 1, "reduction_factor": 3, "brackets": 2},
    "median": {"type": "median", "grace_epochs": 2, "min_trials": 3},
}


class Alone:
    """A device for one trial at a time in each worker, with a trainer's calls."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._trainings: dict[str, Training] = {}

    def join(self, trial_id: str, one: dict[str, Any], n_known: int) -> None:
        shared, pack = self._shared, Pack(*self._shared.tensors())
        self._trainings[trial_id] = Training(
            pack, TrialConfig(**one), shared.dataset, shared.image_shape, shared.storage.trial_files(trial_id)
        )

    def result(self, trial_id: str) -> Result:
        metrics = self._trainings[trial_id].next_epoch()
        return {**metrics.as_dict(), "done": self._trainings[trial_id].is_done}

    def leave(self, trial_id: str, keep: bool) -> None:
        del self._trainings[trial_id]


class _TuneTrial:
    """What Tune's schedulers look at in a trial."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
        self.config = {"trial_id": trial_id}


def sweep_in_order(space: SearchSpace, folder: Path, device: Any) -> list[TrialRecord]:
    """The real study and the real scheduler; SIDE_BY_SIDE trials advance together, told of in the order they began."""
    folder.mkdir()
    study, scheduler = Study(folder, space, seed=0), make_scheduler(space, seed=0)
    records: list[TrialRecord] = []
    running: dict[str, _TuneTrial] = {}
    while True:
        while len(running) < SIDE_BY_SIDE and len(records) < space.trials:
            number, params = study.propose()
            records.append(TrialRecord(f"{number:04d}", params, space.config(params, 0)))
            running[records[-1].trial_id] = trial = _TuneTrial(records[-1].trial_id)
            device.join(trial.trial_id, records[-1].config.model_dump(), 0)
            scheduler.on_trial_add(None, trial)
        if not running:
            return records
        answers = {trial_id: in_a_thread(device.result, trial_id) for trial_id in running}
        results = {trial_id: answer.result(SECONDS) for trial_id, answer in answers.items()}
        for trial_id, result in results.items():
            record, trial = records[int(trial_id)], running[trial_id]
            (metrics,) = metrics_in([result])
            record.history.append(metrics)
            study.report(int(trial_id), metrics)
            seen = {**result, "training_iteration": metrics.epoch}
            if not result["done"] and scheduler.on_trial_result(None, trial, seen) != scheduler.STOP:
                continue
            if result["done"]:
                scheduler.on_trial_complete(None, trial, seen)
            record.state = "complete" if metrics.epoch == space.epochs else "pruned"
            record.state = record.state if metrics.is_finite else "failed"
            study.tell(int(trial_id), record)
            device.leave(trial_id, False)
            del running[trial_id]


@pytest.mark.parametrize("sampler", [{"type": "tpe", "startup_trials": 4}, {"type": "random"}], ids=["tpe", "random"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_sweep_in_packs_has_the_trials_the_stops_and_the_ranking_of_one_without(
    images: dict[str, np.ndarray],
    tmp_path: Path,
    calls: list[list[int]],
    patient: None,
    scheduler: str,
    sampler: dict[str, Any],
) -> None:
    space = SearchSpace.model_validate(
        {
            "description": "Widths, rates and betas.",
            "trials": N_TRIALS,
            "epochs": SWEEP_EPOCHS,
            "search": {
                "latent_size": {"type": "int", "low": 1, "high": 8},
                "hidden_units": {"type": "int", "low": 4, "high": 60},
                "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
                "beta": {"type": "float", "low": 0.25, "high": 4.0},
            },
            "fixed": {"batch_size": 16, "precision": "float64"},
            "scheduler": SCHEDULERS[scheduler],
            "sampler": sampler,
        }
    )
    sweeps, n_calls = [], []
    for way, device in (("alone", Alone), ("packed", Trainer)):
        storage = SweepStorage(tmp_path / f"files_{way}")
        shared = Shared(
            **images, dataset="digits", image_shape=(SIDE, SIDE), storage=storage, n_threads=1, device="cpu"
        )
        calls.clear()
        sweeps.append(sweep_in_order(space, tmp_path / way, device(shared)))
        n_calls.append(len(calls))
    ours, theirs = sweeps[1], sweeps[0]
    assert [(r.trial_id, r.state, len(r.history)) for r in ours] == [
        (r.trial_id, r.state, len(r.history)) for r in theirs
    ]
    assert {"pruned", "complete"} <= {record.state for record in ours}
    assert [record.trial_id for record in ranked(ours)] == [record.trial_id for record in ranked(theirs)]
    for packed, single in zip(ours, theirs, strict=True):
        assert packed.params == pytest.approx(single.params, rel=1e-9)
        assert_same_history(packed.history, single.history)
    assert n_calls[1] < n_calls[0] / 2  # they did train together
