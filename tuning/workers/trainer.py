"""Trainer: one per device, shared by the light trials that Ray placed on that device; it trains them as packs.

A trial joins, asks for its results one by one, and leaves; the trainer gathers the trials that wait for an
epoch into one batched epoch. If a trainer dies, its trials fail and Tune retries them, each from its own
checkpoint on the restarted trainer: Tune stays the only one that knows about failures.
"""

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from tuning.workers.context import Shared
from tuning.workers.tune_results import Seat
from vae.backend.products import prefer_fast_products
from vae.config import TrialConfig
from vae.files import Files
from vae.model.shape_class import ShapeClass
from vae.training.pack import Pack
from vae.training.trial import Training

Result = dict[str, Any]
FIRST_SLOTS = 4  # of a shape class's pack, which doubles them as trials come: empty slots cost as much as full
GATHER_SHARE = 0.1  # of the last epoch's time that the first to ask waits for the others, at the most
GATHER_SECONDS = 0.02  # but no less than this
PENDING_WRITES = 3  # of a trial: an epoch's model, snapshots and checkpoint


class WriteBehind:
    """Files that a thread writes while the next epoch trains, in the order they were given."""

    def __init__(self, files: Files, writer: ThreadPoolExecutor) -> None:
        self._files = files
        self._writer = writer
        self._pending: deque[Future[None]] = deque()

    def read(self, name: str) -> bytes | None:
        self.flush()
        return self._files.read(name)

    def write(self, name: str, content: bytes) -> None:
        """Raises what an earlier write failed with; waits where the disk is slower than the training."""
        while len(self._pending) >= PENDING_WRITES or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()
        self._pending.append(self._writer.submit(self._files.write, name, content))

    def flush(self) -> None:
        """Return once everything is on disk. Raises what a write failed with."""
        while self._pending:
            self._pending.popleft().result()


@dataclass(frozen=True)
class _Member:
    """A trial that has joined. `shape`: the pack it is in."""

    seat: Seat
    files: WriteBehind
    shape: ShapeClass


class Trainer:
    """Trains the trials of one device. Its methods are called from many threads; one thread of its own trains."""

    def __init__(self, shared: Shared) -> None:
        torch.set_num_threads(shared.n_threads)
        prefer_fast_products(shared.device)
        self._shared = shared
        self._images = shared.tensors()
        self._packs: dict[ShapeClass, Pack] = {}
        self._members: dict[str, _Member] = {}
        self._waiting: dict[str, Future[Result]] = {}  # trials that want an epoch
        self._device = threading.Lock()  # held by whoever touches a pack or changes who is a member; taken first
        self._changed = threading.Condition()  # guards members and waiting
        self._writer = ThreadPoolExecutor(1)
        self._epoch_seconds: dict[ShapeClass, float] = {}
        threading.Thread(target=self._serve, daemon=True).start()

    def join(self, trial_id: str, config: dict[str, Any], n_known: int) -> None:
        """Take a trial on, from its checkpoint if it has one. Raises CheckpointError."""
        trial_config, shared = TrialConfig(**config), self._shared
        shape = ShapeClass.of(trial_config)
        files = WriteBehind(shared.storage.trial_files(trial_id), self._writer)
        with self._device:
            before = self._remove(trial_id, keep=False)  # a retried trial, whose worker was killed, has not left
            if before is not None:
                before.files.flush()
            training = Training(self._pack(shape), trial_config, shared.dataset, shared.image_shape, files)
            with self._changed:
                self._members[trial_id] = _Member(
                    Seat(training, n_known, shared.preview_epochs, shared.metric), files, shape
                )

    def result(self, trial_id: str) -> Result:
        """The trial's next one; returns when its epoch is trained. Raises KeyError for a trial that has not joined,
        such as one of before this trainer was restarted."""
        future: Future[Result] | None = None
        with self._changed:
            member = self._members[trial_id]
            if member.seat.wants_epoch:
                future = self._waiting[trial_id] = Future()
                self._changed.notify_all()
        if future is not None:
            result = future.result()
        else:
            with self._device:
                result = member.seat.result()
        if result["done"]:
            member.files.flush()
        return result

    def leave(self, trial_id: str, keep: bool) -> None:
        """Let a trial go, all its files written; `keep`: with a checkpoint, to go on from later."""
        with self._device:
            member = self._remove(trial_id, keep)
        if member is not None:
            member.files.flush()

    def _remove(self, trial_id: str, keep: bool) -> _Member | None:
        """Take a trial out of its pack, if it is in one; its last files may still be on their way."""
        with self._changed:
            member = self._members.pop(trial_id, None)
            self._waiting.pop(trial_id, Future()).cancel()
            self._changed.notify_all()
        if member is not None:
            try:
                if keep:
                    member.seat.save()
            finally:
                member.seat.training.leave()
        return member

    def _pack(self, shape: ShapeClass) -> Pack:
        if shape not in self._packs:
            pack = Pack(*self._images, device=self._shared.device, shape=shape, n_slots=FIRST_SLOTS)
            self._images = pack.train, pack.validation  # on the device from here on, for every pack
            self._packs[shape] = pack
        return self._packs[shape]

    def _serve(self) -> None:
        """For ever: wait for requests, train those that fit together, answer them."""
        while True:
            shape = self._gather()
            with self._device:
                asked = self._take(shape)  # only now: a trial that has left since is in no pack any more
                if asked:
                    self._train(shape, asked)

    def _gather(self) -> ShapeClass:
        """The shape class that has waited longest, once the others of it had their time to ask too."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            shape = self._members[next(iter(self._waiting))].shape
            patience = max(GATHER_SECONDS, GATHER_SHARE * self._epoch_seconds.get(shape, 0.0))
            self._changed.wait_for(lambda: self._all_wait(shape), timeout=patience)
            return shape

    def _all_wait(self, shape: ShapeClass) -> bool:
        return all(name in self._waiting for name, member in self._members.items() if member.shape == shape)

    def _take(self, shape: ShapeClass) -> list[tuple[_Member, Future[Result]]]:
        """The requests of a shape class, which wait no longer."""
        with self._changed:
            names = [name for name in self._waiting if self._members[name].shape == shape]
            return [(self._members[name], self._waiting.pop(name)) for name in names]

    def _train(self, shape: ShapeClass, asked: list[tuple[_Member, Future[Result]]]) -> None:
        """One epoch of those who asked. A failure of the epoch is every trial's, one of a trial's files its own."""
        started = time.perf_counter()
        trainings = [member.seat.training for member, _ in asked]
        try:
            for training in trainings:
                training.begin_epoch()
            metrics = self._packs[shape].epoch(training.slot for training in trainings)
        except Exception as error:
            for _, future in asked:
                future.set_exception(error)
            return
        self._epoch_seconds[shape] = time.perf_counter() - started
        for member, future in asked:
            try:
                member.seat.training.end_epoch(metrics[member.seat.training.slot])
                future.set_result(member.seat.result())
            except Exception as error:
                future.set_exception(error)
