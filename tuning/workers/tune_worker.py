"""VaeTrial: a worker. Tune owns it: Tune starts and ends it, and hands it one trial after another."""

import socket
from contextlib import suppress
from typing import Any, Protocol

import ray
from ray.exceptions import RayActorError
from ray.tune import Trainable

from tuning.errors import BlindNodeError
from tuning.layout import MANIFEST_FILE
from tuning.store.place import SweepStorage
from tuning.workers.start_trainers import trainer_of
from tuning.workers.sweep_context import SweepContext


class Device(Protocol):
    """Where a worker's trials train, one at a time."""

    def join(
        self, trial_id: str, config: dict[str, Any], n_known: int, attempt: int = 1, report_seconds: float = 0.0
    ) -> None:
        """Take a trial on, from its checkpoint if it has one. config: of TrialConfig. n_known: epochs the driver has.
        attempt: which of the trial's this is, TrialRecord.attempt. report_seconds: between two results of several
        epochs, where the scheduler has nothing to decide.

        Raises CheckpointError."""

    def result(self) -> dict[str, Any]:
        """The trial's next result for Tune, see tuning.workers.tune_results.TuneResults.next."""

    def leave(self, keep: bool) -> None:
        """Let the trial go, if there is one; `keep`: with a checkpoint, to go on from later."""


class VaeTrial(Trainable):  # type: ignore[misc]
    """Trains the trial in its config, which has the arguments of Device.join. A reused worker keeps its device."""

    def setup(self, config: dict[str, Any], context: SweepContext, broker: str | None = None) -> None:
        """broker: the name of the actor that starts the trainers, where trials train together."""
        refuse_blind(context.storage)
        self._vae_device = self.device(context, broker)
        self._vae_device.join(**config)

    def device(self, context: SweepContext, broker: str | None) -> Device:
        """Where this worker's trials train."""
        return _own_process(context) if broker is None else SharedTrainer(broker, context.device == "cuda")

    def step(self) -> dict[str, Any]:
        return self._vae_device.result()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on the next trial."""
        self._vae_device.leave(keep=False)
        self._vae_device.join(**new_config)
        return True

    def cleanup(self) -> None:
        """Tune ends the worker; a trial that is interrupted goes on from here when the sweep is resumed."""
        if hasattr(self, "_vae_device"):
            self._vae_device.leave(keep=True)


def refuse_blind(storage: SweepStorage) -> None:
    """Train nothing on a node that does not see the sweep's folder: its models would stay on its own disk."""
    if not storage.uri and not (storage.folder / MANIFEST_FILE).is_file():
        node = socket.gethostname()
        raise BlindNodeError(f"{storage.folder}: node {node} does not see the sweep's {MANIFEST_FILE} there")


def _own_process(context: SweepContext) -> Device:
    # It brings torch. The driver and the workers of packed trials import this module too, and wait for no torch.
    from tuning.workers.own_process import OwnProcess

    return OwnProcess(context)


class SharedTrainer:
    """The trial trains in a pack, in the trainer of the device that Ray placed this worker on.

    Each call returns when the trainer has answered. The worker itself does without torch.

    A trainer that dies of itself fails the trial. One that dies with its broker only interrupts it: the broker comes
    back under its own name, starts a trainer of another name, and the trial goes on there from its checkpoint.
    """

    def __init__(self, broker: str, on_gpu: bool) -> None:
        self._broker = broker
        self._on_gpu = on_gpu
        self._trial_id: str | None = None

    def join(
        self, trial_id: str, config: dict[str, Any], n_known: int, attempt: int = 1, report_seconds: float = 0.0
    ) -> None:
        self._name = self._trainer_of_this_device()
        self._trainer = ray.get_actor(self._name)
        ray.get(self._trainer.join.remote(trial_id, config, n_known, attempt, report_seconds))
        self._trial_id, self._config, self._n_known = trial_id, config, n_known
        self._attempt, self._report_seconds = attempt, report_seconds

    def result(self) -> dict[str, Any]:
        assert self._trial_id is not None, "no trial has joined"
        try:
            answer: dict[str, Any] = ray.get(self._trainer.result.remote(self._trial_id))
        except RayActorError:
            if self._trainer_of_this_device() == self._name:
                raise
            self.join(self._trial_id, self._config, self._n_known, self._attempt, self._report_seconds)
            answer = ray.get(self._trainer.result.remote(self._trial_id))
        self._n_known = answer["epoch"]
        return answer

    def leave(self, keep: bool) -> None:
        if self._trial_id is not None:
            with suppress(RayActorError):  # a trainer that is dead has no trial any more
                ray.get(self._trainer.leave.remote(self._trial_id, keep))
            self._trial_id = None

    def _trainer_of_this_device(self) -> str:
        context = ray.get_runtime_context()
        gpu = context.get_accelerator_ids()["GPU"][0] if self._on_gpu else None
        return trainer_of(self._broker, context.get_node_id(), gpu)
