"""The Tune trainable: one trial after another in one worker, each from its config to its files."""

import socket
from typing import Any, Protocol

import ray
from ray.tune import Trainable

from tuning.errors import StorageError
from tuning.store.place import MANIFEST_FILE, SweepStorage
from tuning.workers.broker import trainer_of_this_device
from tuning.workers.context import Shared
from vae.config import TrialConfig


class Device(Protocol):
    """Where a worker's trials train, one at a time."""

    def begin(self, trial_id: str, config: dict[str, Any], n_known: int) -> None:
        """Take a trial on, from its checkpoint if it has one."""

    def result(self) -> dict[str, Any]:
        """The trial's next Tune result."""

    def end(self, keep: bool) -> None:
        """Let the trial go; `keep`: with a checkpoint, to go on from later."""


class VaeTrial(Trainable):  # type: ignore[misc]
    """Trains the trial in its config; a reused worker keeps its device and takes the next one.

    config: {"trial_id": str, "config": the TrialConfig as a dict, "n_known": epochs the driver has of it}.
    Results: see tuning.workers.tune_results.Seat.result.
    """

    def setup(self, config: dict[str, Any], shared: Shared, broker: str | None = None) -> None:
        """broker: the actor that knows the trainers, where trials train together."""
        refuse_blind(shared.storage)
        self._vae_device: Device = OwnProcess(shared) if broker is None else SharedTrainer(broker, shared)
        self._vae_device.begin(**config)

    def step(self) -> dict[str, Any]:
        return self._vae_device.result()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on the next trial."""
        self._vae_device.end(keep=False)
        self._vae_device.begin(**new_config)
        return True

    def cleanup(self) -> None:
        """Called when the worker ends; a trial that is interrupted goes on from here when the sweep is resumed."""
        if hasattr(self, "_vae_device"):
            self._vae_device.end(keep=True)


def refuse_blind(storage: SweepStorage) -> None:
    """Train nothing on a node that does not see the sweep's folder: its models would stay on its own disk."""
    if not storage.uri and not (storage.folder / MANIFEST_FILE).is_file():
        node = socket.gethostname()
        raise StorageError(f"{storage.folder}: node {node} does not see the sweep's {MANIFEST_FILE} there")


class OwnProcess:
    """A trial alone, in the worker's own process: the fastest on CPUs, one process to a core."""

    def __init__(self, shared: Shared) -> None:
        # The driver imports this module as well and needs no torch: a second it would spend before Ray starts.
        import torch

        from vae.backend.products import prefer_fast_products
        from vae.training.pack import Pack

        torch.set_num_threads(shared.n_threads)
        prefer_fast_products(shared.device)
        self._shared = shared
        self._pack = Pack(*shared.tensors(), device=shared.device)

    def begin(self, trial_id: str, config: dict[str, Any], n_known: int) -> None:
        from tuning.workers.tune_results import Seat
        from vae.training.trial import Training

        shared = self._shared
        files = shared.storage.trial_files(trial_id)
        training = Training(self._pack, TrialConfig(**config), shared.dataset, shared.image_shape, files)
        self._seat = Seat(training, n_known, shared.preview_epochs, shared.metric)

    def result(self) -> dict[str, Any]:
        if self._seat.wants_epoch:
            self._seat.training.next_epoch()
        return self._seat.result()

    def end(self, keep: bool) -> None:
        if keep and hasattr(self, "_seat"):
            self._seat.save()


class SharedTrainer:
    """A trial in a pack, in the trainer of the device that Ray placed this worker on. Needs no torch here."""

    def __init__(self, broker: str, shared: Shared) -> None:
        self._broker = broker
        self._on_gpu = shared.device == "cuda"
        self._trial_id: str | None = None

    def begin(self, trial_id: str, config: dict[str, Any], n_known: int) -> None:
        self._trainer = trainer_of_this_device(self._broker, self._on_gpu)
        self._trainer.join(trial_id, config, n_known)
        self._trial_id, self._config, self._n_known = trial_id, config, n_known

    def result(self) -> dict[str, Any]:
        """The next one. A trainer that died of itself fails the trial; one that died with its broker only interrupts
        it: the broker is back under its name, and gives a trainer of another name."""
        try:
            result = self._trainer.result(self._trial_id)
        except ray.exceptions.RayActorError:
            if self._trial_id is None or trainer_of_this_device(self._broker, self._on_gpu).name == self._trainer.name:
                raise
            self.begin(self._trial_id, self._config, self._n_known)
            result = self._trainer.result(self._trial_id)
        self._n_known = result["epoch"]
        return result

    def end(self, keep: bool) -> None:
        if self._trial_id is not None:
            self._trainer.leave(self._trial_id, keep)
            self._trial_id = None
