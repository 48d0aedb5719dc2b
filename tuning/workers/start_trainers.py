"""The broker starts the trainers: one for each device, when the first trial of that device asks for it.

Ray ends an actor with the trial that created it. So the driver creates the broker, and the broker creates the
trainers. Trials are given names, not handles. A trainer takes no GPU of Ray's, as the trials that it serves hold
the shares of it. Ray restarts a trainer that crashed, without its trials; Tune then retries those.
"""

import uuid
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.workers.sweep_context import SweepContext

CALLS = 16  # at once, of trials that leave while others wait for their epoch; there is one more for each slot


def start_broker(name: str, context: SweepContext) -> Any:
    """Create the broker. It lives as long as the driver keeps what this returns."""
    # An actor without CPUs may land on any node, and the broker's death ends every trainer. So it stays beside the
    # driver, and Ray starts it again there.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": name, "num_cpus": 0, "scheduling_strategy": here, "max_restarts": -1, "max_task_retries": -1}
    reference = ray.put(context)
    # Ray warns of a reference among the arguments of an actor that restarts. The driver keeps this one: pickle it.
    broker = ray.remote(Broker).options(**options).remote(name, ray.cloudpickle.dumps(reference), context.n_slots)
    return broker, reference


class Broker:
    """Creates one trainer for each device. It answers one call at a time, so it cannot create two."""

    def __init__(self, name: str, context: bytes, n_slots: int) -> None:
        """context: a reference to it, pickled. The broker keeps the reference, for Ray to give the context again to a
        trainer that restarts."""
        self._name = f"{name}-{uuid.uuid4().hex[:8]}"  # a broker that was restarted gives its trainers new names
        self._context = ray.cloudpickle.loads(context)
        self._n_slots = n_slots
        self._trainers: dict[str, Any] = {}

    def trainer(self, node_id: str, gpu: str | None) -> str:
        """The name of the trainer of a device: a GPU of the node, or (None) the node's CPUs."""
        name = f"{self._name}-{node_id}-{gpu or 'cpu'}"
        if name not in self._trainers:
            environment = {"env_vars": {"CUDA_VISIBLE_DEVICES": gpu}} if gpu is not None else {}
            self._trainers[name] = (
                ray.remote(TrainerProcess)
                .options(
                    name=name,
                    num_cpus=0,
                    num_gpus=0,
                    max_concurrency=self._n_slots + CALLS,
                    max_restarts=-1,
                    runtime_env=environment,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
                )
                .remote(self._context)
            )
        return name


class TrainerProcess:
    """A Trainer in a process of its own, as an actor.

    Whoever looks an actor up by its name loads its class. This class loads without torch, which Trainer needs.
    """

    def __init__(self, context: SweepContext) -> None:
        from tuning.workers.trainer import Trainer  # brings torch, which only the trainer's own process needs

        self._trainer = Trainer(context)

    def join(self, trial_id: str, config: dict[str, Any], n_known: int, attempt: int, report_seconds: float) -> None:
        self._trainer.join(trial_id, config, n_known, attempt, report_seconds)

    def result(self, trial_id: str) -> dict[str, Any]:
        return self._trainer.result(trial_id)

    def leave(self, trial_id: str, keep: bool) -> None:
        self._trainer.leave(trial_id, keep)


def trainer_of(broker: str, node_id: str, gpu: str | None) -> str:
    """The name of the actor that trains for this device; the broker starts it where there is none yet."""
    name: str = ray.get(ray.get_actor(broker).trainer.remote(node_id, gpu))
    return name
