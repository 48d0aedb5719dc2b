"""VaeTrial: a worker that Tune owns. It starts and ends it, and hands it one trial after another."""

from typing import Any, Protocol

from ray.tune import Trainable

from tuning.workers.shared_trainer import SharedTrainer
from tuning.workers.sweep_context import SweepContext


class Device(Protocol):
    """Where a worker's trials train, one at a time."""

    def join(self, trial_id: str, config: dict[str, Any], n_known: int) -> None:
        """Take a trial on, from its checkpoint if it has one. config: of TrialConfig. n_known: epochs the driver has.

        Raises CheckpointError."""

    def result(self) -> dict[str, Any]:
        """The trial's next result for Tune, see tuning.workers.tune_results.TuneResults.next."""

    def leave(self, keep: bool) -> None:
        """Let the trial go, if there is one; `keep`: with a checkpoint, to go on from later."""


class VaeTrial(Trainable):  # type: ignore[misc]
    """Trains the trial in its config, which has the arguments of Device.join. A reused worker keeps its device."""

    def setup(self, config: dict[str, Any], context: SweepContext, broker: str | None = None) -> None:
        """broker: the name of the actor that starts the trainers, where trials train together."""
        self._vae_device = _own_process(context) if broker is None else SharedTrainer(broker, context.device == "cuda")
        self._vae_device.join(**config)

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


def _own_process(context: SweepContext) -> Device:
    # It brings torch. The driver and the workers of packed trials import this module too, and wait for no torch.
    from tuning.workers.own_process import OwnProcess

    return OwnProcess(context)
