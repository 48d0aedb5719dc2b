"""SharedTrainer: a trial trains in a pack, in the trainer of the device that Ray placed its worker on."""

from typing import Any

import ray

from tuning.workers.start_trainers import trainer_of


class SharedTrainer:
    """A Device (tuning.workers.tune_worker) that calls the trainer's actor. It does without torch."""

    def __init__(self, broker: str, on_gpu: bool) -> None:
        self._broker = broker
        self._on_gpu = on_gpu
        self._trial_id: str | None = None

    def join(self, trial_id: str, config: dict[str, Any], n_known: int) -> None:
        context = ray.get_runtime_context()
        gpu = context.get_accelerator_ids()["GPU"][0] if self._on_gpu else None
        self._trainer = trainer_of(self._broker, context.get_node_id(), gpu)
        ray.get(self._trainer.join.remote(trial_id, config, n_known))
        self._trial_id = trial_id

    def result(self) -> dict[str, Any]:
        answer: dict[str, Any] = ray.get(self._trainer.result.remote(self._trial_id))
        return answer

    def leave(self, keep: bool) -> None:
        if self._trial_id is not None:
            ray.get(self._trainer.leave.remote(self._trial_id, keep))
            self._trial_id = None
