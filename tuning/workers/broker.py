"""The broker: knows the trainer of each device, and starts it where the first trial asks.

An actor that a trial creates dies with the trial, so the driver creates the broker and the broker the
trainers. Names travel, not handles. A trainer takes no GPU of Ray's: the trials that it serves hold the
shares. It restarts after a crash, without its trials, which Tune then retries.
"""

import uuid
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.workers.context import Shared

CALLS = 16  # of trials that leave while others wait for their epoch, beside one per slot


def start_broker(name: str, shared: Shared) -> Any:
    """Create the broker; it lives as long as the driver keeps what is returned."""
    # An actor without CPUs may land on any node, and its death ends every trainer: it stays beside the driver, and
    # Ray starts it again there.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": name, "num_cpus": 0, "scheduling_strategy": here, "max_restarts": -1, "max_task_retries": -1}
    reference = ray.put(shared)
    # Ray warns of a reference among the arguments of an actor that restarts. The driver keeps this one: pickle it.
    broker = ray.remote(Broker).options(**options).remote(name, ray.cloudpickle.dumps(reference), shared.n_slots)
    return broker, reference


class Broker:
    """Creates a trainer once for each device that asks; it answers one call at a time, so it cannot create two."""

    def __init__(self, name: str, shared: bytes, n_slots: int) -> None:
        """shared: a reference to it, pickled. Kept: a trainer that restarts is given it again, and Ray itself forgets
        what it was first created with."""
        self._name = f"{name}-{uuid.uuid4().hex[:8]}"  # a broker that was restarted names its trainers anew
        self._shared = ray.cloudpickle.loads(shared)
        self._n_slots = n_slots
        self._trainers: dict[str, Any] = {}

    def trainer(self, node_id: str, gpu: str | None) -> str:
        """The name of the trainer of this device: a GPU of the node, or (None) the node's CPUs."""
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
                .remote(self._shared)
            )
        return name


class TrainerProcess:
    """A trainer, as an actor. Whoever looks an actor up loads its class: this one loads without torch."""

    def __init__(self, shared: Shared) -> None:
        from tuning.workers.trainer import Trainer  # brings torch, which only the trainer's own process needs

        self._trainer = Trainer(shared)

    def join(self, trial_id: str, config: dict[str, Any], n_known: int) -> None:
        self._trainer.join(trial_id, config, n_known)

    def result(self, trial_id: str) -> dict[str, Any]:
        return self._trainer.result(trial_id)

    def leave(self, trial_id: str, keep: bool) -> None:
        self._trainer.leave(trial_id, keep)


class RemoteTrainer:
    """A trainer, called from the worker of a trial; each call returns when the trainer has answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._actor = ray.get_actor(name)

    def join(self, trial_id: str, config: dict[str, Any], n_known: int) -> None:
        ray.get(self._actor.join.remote(trial_id, config, n_known))

    def result(self, trial_id: str | None) -> dict[str, Any]:
        answer: dict[str, Any] = ray.get(self._actor.result.remote(trial_id))
        return answer

    def leave(self, trial_id: str, keep: bool) -> None:
        ray.get(self._actor.leave.remote(trial_id, keep))


def trainer_of_this_device(broker: str, on_gpu: bool) -> RemoteTrainer:
    """The trainer that serves the worker which calls this."""
    context = ray.get_runtime_context()
    gpu = context.get_accelerator_ids()["GPU"][0] if on_gpu else None
    name = ray.get(ray.get_actor(broker).trainer.remote(context.get_node_id(), gpu))
    return RemoteTrainer(name)
