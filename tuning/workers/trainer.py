"""Trainer: trains the trials of one device as packs. There is one trainer for each device.

A trial joins, asks for its results one by one, and leaves. The trainer gathers the trials that wait for an
epoch into one batched epoch. If a trainer dies, its trials fail, and Tune retries each of them from its own
checkpoint on the restarted trainer: Tune stays the only one that knows about failures.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from tuning.errors import NotJoinedError
from tuning.workers.gpu_memory import explained
from tuning.workers.sweep_context import SweepContext
from tuning.workers.tune_results import TuneResults
from vae.backend.products import prefer_fast_products
from vae.config import TrialConfig
from vae.files import Files
from vae.model.shape_class import GROWTH, ShapeClass
from vae.training.pack import Pack
from vae.training.trial import TRAINING_FILES, Training

Result = dict[str, Any]
GATHER_SHARE = 0.1  # of the last epoch's time: the first trial that asks waits for the others so long at most
GATHER_SECONDS = 0.02  # but never less than this
PENDING_WRITES = 3  # of a trial: an epoch's model, snapshots and checkpoint


class WriteBehind:
    """A trial's files, written by a thread while the next epoch trains, in the order in which they are given."""

    def __init__(self, files: Files, writer: ThreadPoolExecutor) -> None:
        self._files = files
        self._writer = writer
        self._pending: deque[Future[None]] = deque()

    def read(self, name: str) -> bytes | None:
        self.flush()
        return self._files.read(name)

    def write(self, name: str, content: bytes) -> None:
        """Raises what an earlier write failed with. Waits where the disk is slower than the training."""
        while len(self._pending) >= PENDING_WRITES or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()
        self._pending.append(self._writer.submit(self._files.write, name, content))

    def flush(self) -> None:
        """Return when everything is on disk. Raises what a write failed with."""
        while self._pending:
            self._pending.popleft().result()


@dataclass(frozen=True)
class _Member:
    """A trial that has joined. `shape`: of the pack that it is in."""

    trial_id: str
    results: TuneResults
    files: WriteBehind
    shape: ShapeClass


class Trainer:
    """Trains the trials of one device. Many threads call its methods; one thread of its own trains."""

    def __init__(self, context: SweepContext) -> None:
        torch.set_num_threads(context.n_threads)
        prefer_fast_products(context.device)
        self._context = context
        self._images = context.tensors()
        self._packs: dict[ShapeClass, Pack] = {}
        self._members: dict[str, _Member] = {}
        self._waiting: dict[str, Future[Result]] = {}  # the trials that want an epoch
        self._device = threading.Lock()  # held to touch a pack or to change the members; taken before _changed
        self._changed = threading.Condition()  # guards _members, _waiting and _n_entering
        self._n_entering = 0  # threads that want the device between two epochs
        self._writer = ThreadPoolExecutor(1)
        self._epoch_seconds: dict[ShapeClass, float] = {}
        threading.Thread(target=self._serve, daemon=True).start()

    def join(
        self, trial_id: str, config: dict[str, Any], n_known: int, attempt: int = 1, report_seconds: float = 0.0
    ) -> None:
        """Take a trial on, from its checkpoint if it has one. Raises CheckpointError."""
        trial_config, context = TrialConfig(**config), self._context
        shape = ShapeClass.of(trial_config, context.frame)
        with self._between_epochs():
            # A retried trial whose worker was killed has not left. Its last checkpoint may still
            # be on its way to the disk, and the trial goes on from it: wait for its files before they are read.
            before = self._remove(trial_id, keep=False)
            if before is not None:
                before.files.flush()
            own = context.storage.trial_files(trial_id, attempt)
            own.take_over(TRAINING_FILES)
            files = WriteBehind(own, self._writer)
            data = context.dataset, context.image_shape
            training = Training(self._pack(shape), trial_config, *data, files, damaged_is_absent=True)
            results = TuneResults(
                training, n_known, context.preview_epochs, context.metric, context.deciding_epochs, report_seconds
            )
            with self._changed:
                self._members[trial_id] = _Member(trial_id, results, files, shape)

    def result(self, trial_id: str) -> Result:
        """The trial's next result, when its epochs are trained. Raises NotJoinedError for one that has not joined, such
        as one that had joined before this trainer was restarted."""
        # An epoch of a checkpoint that the driver lacks is told at once; for a new one the trial waits its turn.
        future: Future[Result] | None = None
        with self._changed:
            if trial_id not in self._members:
                raise NotJoinedError(trial_id)
            member = self._members[trial_id]
            if member.results.wants_epoch:
                future = self._waiting[trial_id] = Future()
                self._changed.notify_all()
        if future is not None:
            result = future.result()
        else:
            with self._between_epochs():
                result = member.results.next()
        if result["done"]:
            member.files.flush()  # the driver will write down that the trial has ended: its model must be there
        return result

    def leave(self, trial_id: str, keep: bool) -> None:
        """Let a trial go when all its files are written; `keep`: with a checkpoint, to go on from later."""
        with self._between_epochs():
            member = self._remove(trial_id, keep)
        if member is not None:
            member.files.flush()

    @contextmanager
    def _between_epochs(self) -> Iterator[None]:
        """Hold the device. The trainer lets whoever waits here go first: it would take the device again at once where
        its trials want one epoch after the other, and a lock is not fair."""
        with self._changed:
            self._n_entering += 1
        try:
            with self._device:
                yield
        finally:
            with self._changed:
                self._n_entering -= 1
                self._changed.notify_all()

    def _remove(self, trial_id: str, keep: bool) -> _Member | None:
        """Take a trial out of its pack, if it is in one. Its last files may not be on disk yet."""
        with self._changed:
            member = self._members.pop(trial_id, None)
            self._waiting.pop(trial_id, Future()).cancel()
            self._changed.notify_all()
        if member is not None:
            try:
                if keep:
                    member.results.save()
            finally:
                member.results.training.leave()
        return member

    def _pack(self, shape: ShapeClass) -> Pack:
        """The pack of a class, with a slot for one more trial or about to get one."""
        pack = self._packs.get(shape)
        if pack is None or not pack.free_slots:
            self._make_room(shape)
        if pack is None:
            context = self._context
            n_slots = context.first_slots.get(shape, GROWTH)
            pack = Pack(*self._images, context.device, shape, n_slots, context.compiles)
            self._images = pack.train, pack.validation  # they are on the device from now on, once for all packs
            self._packs[shape] = pack
        return pack

    def _make_room(self, shape: ShapeClass) -> None:
        """Before this class gets slots: the others give up those that no trial needs, and empty packs go."""
        for other in [one for one in self._packs if one != shape]:
            if self._packs[other].is_empty:
                del self._packs[other]
            else:
                self._packs[other].shrink()

    def _serve(self) -> None:
        """Wait for requests, train those that fit together, answer them; for ever."""
        while True:
            # Gather without the lock of the device, for trials to join and leave meanwhile. Take the requests only
            # once the lock is held: a trial that has left by then is in no pack any more.
            shape = self._gather()
            with self._device:
                asked = self._take(shape)
                if asked:
                    self._train(shape, asked)

    def _gather(self) -> ShapeClass:
        """The shape class that has waited longest, when all its trials have asked or have had their time to ask."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            shape = self._members[next(iter(self._waiting))].shape
            patience = max(GATHER_SECONDS, GATHER_SHARE * self._epoch_seconds.get(shape, 0.0))
            self._changed.wait_for(lambda: self._all_wait(shape), timeout=patience)
            self._changed.wait_for(lambda: not self._n_entering)
            return shape

    def _all_wait(self, shape: ShapeClass) -> bool:
        return all(name in self._waiting for name, member in self._members.items() if member.shape == shape)

    def _take(self, shape: ShapeClass) -> list[tuple[_Member, Future[Result]]]:
        """The requests of a shape class; they wait no longer."""
        with self._changed:
            names = [name for name in self._waiting if self._members[name].shape == shape]
            return [(self._members[name], self._waiting.pop(name)) for name in names]

    def _train(self, shape: ShapeClass, asked: list[tuple[_Member, Future[Result]]]) -> None:
        """Train an epoch of the trials that asked. If it fails, all fail; if a trial's file fails, only that trial."""
        started = time.perf_counter()
        trainings = [member.results.training for member, _ in asked]
        try:
            for member, _ in asked:
                member.results.keep_preview()
                member.results.training.begin_epoch()
            metrics = self._packs[shape].epoch(training.slot for training in trainings)
        except Exception as error:
            for _, future in asked:
                future.set_exception(explained(error, self._context, shape, len(asked)))
            return
        self._epoch_seconds[shape] = time.perf_counter() - started
        for member, future in asked:
            try:
                member.results.training.end_epoch(metrics[member.results.training.slot])
                if member.results.wants_epoch:
                    self._wait_on(member, future)
                else:
                    future.set_result(member.results.next())
            except Exception as error:
                future.set_exception(error)

    def _wait_on(self, member: _Member, future: Future[Result]) -> None:
        """The trial's result is to have another epoch: its request waits again, behind those of other shape classes."""
        with self._changed:
            self._waiting[member.trial_id] = future
