"""A trainer whose device or disk fails: the trials that it concerns are told, and no other notices."""

import errno
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.material.trainers import (
    EPOCHS,
    SECONDS,
    InMemory,
    asked_for_an_epoch,
    assert_as_alone,
    config,
    in_a_thread,
    quietly,
    results_of,
    train_together,
    until,
    varied,
)
from tuning.store.attempts import AttemptFiles
from tuning.store.place import SweepStorage
from tuning.workers.sweep_context import SweepContext
from tuning.workers.trainer import Trainer, WriteBehind
from vae.config import TrialConfig
from vae.files import LocalFiles
from vae.model.shape_class import GROWTH
from vae.storage.checkpoint import CHECKPOINT_FILE, MODEL_FILE, unpack_checkpoint
from vae.training import stack as stack_module
from vae.training.pack import Pack


def test_an_exception_inside_an_epoch_reaches_every_trial_that_waits_and_the_trainer_goes_on_serving(
    context: SweepContext, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that breaks off after its gradients are there must leave none of them to the next epoch."""
    trainer, trials, broken = Trainer(context), varied(3), []
    place = Pack.join

    def join(pack: Pack, one: TrialConfig, state: Any = None) -> int:
        slot = place(pack, one, state)
        if not broken:
            adam = pack.stack.adam

            def failing() -> None:
                broken.append(True)
                del adam.step  # the class's own again
                raise RuntimeError("CUDA error: out of memory")

            adam.step = failing
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
        assert context.storage.trial_files(trial_id).read(CHECKPOINT_FILE) is None  # of no epoch
    for trial_id, results in train_together(trainer, trials).items():
        assert_as_alone(context, trial_id, trials[trial_id], results)


def test_a_pack_that_cannot_grow_refuses_the_trial_that_joins_and_keeps_the_others_as_they_are(
    context: SweepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, trials = Trainer(context), varied(GROWTH)
    for trial_id, one in trials.items():
        trainer.join(trial_id, one.model_dump(), 0)
    results = {trial_id: [trainer.result(trial_id)] for trial_id in trials}

    def no_memory(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(stack_module, "TrainingLoop", no_memory)
        with pytest.raises(RuntimeError, match="out of memory"):
            trainer.join("late", config(9).model_dump(), 0)
    for trial_id, one in trials.items():
        results[trial_id] += [trainer.result(trial_id) for _ in range(EPOCHS - 1)]
        assert_as_alone(context, trial_id, one, results[trial_id])
    assert_as_alone(context, "late", config(9), results_of(trainer, "late", config(9)))


class Disk(SweepStorage):
    """A storage whose named files cannot be written."""

    full: frozenset[str] = frozenset()
    delay = 0.0  # seconds of each writing

    def trial_files(self, trial_id: str, attempt: int = 1) -> "_FilesOf":  # type: ignore[override]
        return _FilesOf(self, super().trial_files(trial_id, attempt), trial_id)


class _FilesOf:
    def __init__(self, disk: Disk, files: AttemptFiles, trial_id: str) -> None:
        self._disk, self._files, self._trial_id = disk, files, trial_id

    def read(self, name: str) -> bytes | None:
        return self._files.read(name)

    def take_over(self, names: Sequence[str]) -> None:
        self._files.take_over(names)

    def write(self, name: str, content: bytes) -> None:
        if f"{self._trial_id}/{name}" in self._disk.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        time.sleep(self._disk.delay)
        self._files.write(name, content)


def full_disk(context: SweepContext, *full: str) -> tuple[SweepContext, type[Disk]]:
    kind = type("FullDisk", (Disk,), {"full": frozenset(full)})
    return replace(context, storage=kind(context.storage.folder)), kind


@pytest.mark.parametrize("name", [MODEL_FILE, CHECKPOINT_FILE])
def test_a_write_that_fails_reaches_its_trial_and_no_other(context: SweepContext, name: str) -> None:
    failing, disk = full_disk(context, f"0001/{name}")
    trainer, trials = Trainer(failing), varied(3)
    ends = {trial_id: in_a_thread(results_of, trainer, trial_id, one) for trial_id, one in trials.items()}
    with pytest.raises(OSError, match="No space left on device"):
        ends["0001"].result(SECONDS)
    for trial_id in ("0000", "0002"):
        assert_as_alone(context, trial_id, trials[trial_id], ends[trial_id].result(SECONDS))
    quietly(trainer.leave, "0001", True)
    disk.full = frozenset()
    assert_as_alone(context, "0001", trials["0001"], results_of(trainer, "0001", trials["0001"]))


def test_a_write_that_fails_as_a_trial_leaves_gives_its_slot_back(
    context: SweepContext, calls: list[list[int]]
) -> None:
    failing, disk = full_disk(context, f"0000/{CHECKPOINT_FILE}")
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


def test_the_files_of_a_trial_that_is_done_are_on_disk_with_its_last_result(context: SweepContext) -> None:
    slow = type("SlowDisk", (Disk,), {"delay": 0.1})
    trainer = Trainer(replace(context, storage=slow(context.storage.folder)))
    trainer.join("0000", config().model_dump(), 0)
    for _ in range(EPOCHS):
        result = trainer.result("0000")
    assert result["done"]
    content = LocalFiles(context.storage.folder / "trials" / "0000").read(CHECKPOINT_FILE)
    assert unpack_checkpoint(content or b"", "")[0].epoch == EPOCHS
