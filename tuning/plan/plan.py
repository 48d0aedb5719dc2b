"""Plan: a sweep as it will run, with everything that decides its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from tuning.errors import SpaceError
from tuning.plan.kept_models import KeptModels
from tuning.records import TrialRecord
from tuning.space.examples import middling
from tuning.space.model import MOST_TRIALS, Confirm, SearchSpace
from tuning.space.rules import confirm_faults
from vae.config import TrialConfig
from vae.datasets import registry
from vae.datasets.names import default_data_dir
from vae.datasets.types import DatasetSpec

CHECKPOINT_COPIES = 3  # of a model's numbers: the weights and both moments of Adam
SNAPSHOTS_BYTES = 100_000  # snapshots.zip of 20 epochs of digits takes 24 to 92 kB
LOG_BYTES = 60_000  # of a trial besides: config, metrics and TensorBoard's events, 31 kB after 20 epochs of digits


@dataclass(frozen=True)
class Plan:
    """`dataset` is resolved (never "auto"); `dataset_note` says why it is this one."""

    name: str
    space: SearchSpace
    seed: int
    dataset: str
    dataset_note: str
    data_dir: Path
    max_bytes: int | None = None  # on storage, --max-disk of this run
    confirms: tuple[str, ...] = ()  # of a confirmation: what the search calls its configurations, in their order

    @property
    def spec(self) -> DatasetSpec:
        return registry.spec(self.dataset, self.data_dir)

    @property
    def image_shape(self) -> tuple[int, int]:
        return self.spec.image_shape

    @property
    def n_pixels(self) -> int:
        return self.spec.n_pixels

    def load_images(self) -> dict[str, np.ndarray]:
        """The images that all trials share, uint8 [N, D] by split, without the test split. Raises DataError."""
        return {split: registry.load(self.dataset, self.data_dir, split).pixels for split in ("train", "validation")}

    @property
    def confirmation(self) -> "Plan | None":
        """How the best will be trained again, for estimates: which they are, only the search can say."""
        if self.space.confirm is None:
            return None
        return replace(self, space=self.space.confirmed_by(), max_bytes=None)

    def typical_config(self) -> TrialConfig:
        """The middle of every searched dimension, for estimates."""
        return middling(self.space, self.seed)

    def deciding_epochs(self) -> frozenset[int] | None:
        """The epochs at which the scheduler may stop a trial, and the last one; None: all of them."""
        settings, last = self.space.scheduler, self.space.epochs
        if settings.type == "median":
            return None
        epochs = {last}
        if settings.type in ("asha", "hyperband"):
            rung = settings.grace_epochs
            while rung < last:
                epochs.add(rung)
                rung *= settings.reduction_factor
        return frozenset(epochs)

    def preview_epochs(self) -> frozenset[int] | None:
        """The epochs that come with images: 1, 2, 4, 8, ... and each that may be a trial's last; None where all may."""
        deciding, last = self.deciding_epochs(), self.space.epochs
        if deciding is None:
            return None
        return deciding | {2**power for power in range(last.bit_length())}

    def model_bytes(self, config: TrialConfig) -> int:
        """About how many bytes stay of a trial whose model is kept: model and snapshots."""
        return self._weight_bytes(config) + SNAPSHOTS_BYTES

    def _weight_bytes(self, config: TrialConfig) -> int:
        return config.n_parameters(self.n_pixels) * (8 if config.precision == "float64" else 4)

    def most_models(self) -> int:
        """How many models stay at the most, if the front of rate and distortion has not more."""
        return min(self.space.n_runs, KeptModels(self.space).most)

    def bytes_besides(self, slots: int) -> int:
        """About how many bytes are on storage besides the models that stay: logs, what runs, so many at a time, and
        the confirmation."""
        config = self.typical_config()
        running = self.model_bytes(config) + CHECKPOINT_COPIES * self._weight_bytes(config)
        confirmation = self.confirmation
        later = confirmation.expected_bytes(slots) if confirmation else 0
        return self.space.n_runs * LOG_BYTES + min(slots, self.space.n_runs) * running + later

    def bytes_for_models(self, slots: int) -> int | None:
        """What --max-disk leaves for models; None: no limit."""
        return None if self.max_bytes is None else max(0, self.max_bytes - self.bytes_besides(slots))

    def expected_bytes(self, slots: int = 1) -> int:
        """About how many bytes the trials' files will take, with so many trials at a time. Raises SpaceError where
        --max-disk leaves no room for a model."""
        model, besides, room = self.model_bytes(self.typical_config()), self.bytes_besides(slots), self.max_bytes
        if room is not None and room < besides + model:
            given, needed = (f"{value / 2**20:,.0f} MiB" for value in (room, besides + model))
            raise SpaceError(
                f"--max-disk: {given}; {self.space.n_runs} trials, {min(slots, self.space.n_runs)} at a time, and one "
                f"model that stays take about {needed}; allowed: from that, or with a smaller --max-concurrent"
            )
        expected = besides + self.most_models() * model
        return expected if room is None else min(expected, room)

    def expected_epochs(self) -> float:
        """About how many epochs the trials will train, all together; a scheduler that stops trials saves some."""
        settings, epochs = self.space.scheduler, self.space.epochs
        if settings.type not in ("asha", "hyperband"):
            return float(self.space.n_runs * epochs)
        total, survivors, reached, rung = 0.0, float(self.space.n_runs), 0, settings.grace_epochs
        while rung < epochs:
            total += survivors * (rung - reached)
            survivors, reached, rung = survivors / settings.reduction_factor, rung, rung * settings.reduction_factor
        return total + survivors * (epochs - reached)

    def is_whole(self, records: Sequence[TrialRecord]) -> bool:
        """Whether these are all the trials that the sweep is to have, and each has ended."""
        return len(records) >= self.space.n_runs and all(record.has_ended for record in records)


def new_plan(
    space: SearchSpace, source: str, name: str | None, seed: int, data_dir: Path | None, max_bytes: int | None = None
) -> Plan:
    """The plan of a new sweep; `source` is what --space was given. Raises DataError."""
    name = name or f"{Path(source).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    data_dir = data_dir or default_data_dir()
    dataset, note = registry.resolve(space.dataset, data_dir)
    return Plan(name, space, seed, dataset, note, data_dir.resolve(), max_bytes)


def extended(
    plan: Plan,
    trials: int | None,
    n_known: int,
    data_dir: Path | None = None,
    keep_models: int | None = None,
    confirm: dict[str, int] | None = None,
) -> Plan:
    """The plan with another number of trials or of models, another folder of data, and a confirmation, where these
    are given.

    n_known: configurations that the sweep has begun. Raises SpaceError where it cannot have so many trials, or where
    there is nothing to confirm.
    """
    plan = _with_trials(plan, trials, n_known)
    if confirm is not None:
        plan = _confirming(plan, confirm)
    if data_dir is not None:
        plan = replace(plan, data_dir=data_dir.resolve())
    if keep_models is not None:
        plan = replace(plan, space=plan.space.model_copy(update={"keep_models": keep_models}))
    return plan


def _confirming(plan: Plan, wanted: dict[str, int]) -> Plan:
    """wanted: what is given of tuning.space.model.Confirm; its epochs stay what they are if they are not."""
    before = plan.space.confirm.model_dump(exclude_none=True) if plan.space.confirm else {}
    option = f"--confirm {'x'.join(map(str, wanted.values()))}: sweep {plan.name}"
    try:
        space = plan.space.model_copy(update={"confirm": Confirm.model_validate(before | wanted)})
    except ValueError:
        raise SpaceError(f"{option}: allowed: at most the best 1000 with 100 seeds each") from None
    if faults := confirm_faults(space):
        raise SpaceError(f"{option}: {faults[0].message}")
    return replace(plan, space=space)


def _with_trials(plan: Plan, trials: int | None, n_known: int) -> Plan:
    if trials is None or trials == plan.space.trials:
        return plan
    if plan.space.sampler.type == "grid":
        raise SpaceError(f"--trials {trials}: sweep {plan.name} is a grid of {plan.space.trials} points")
    if trials < max(1, n_known):
        raise SpaceError(f"--trials {trials}: sweep {plan.name} has {n_known} already; allowed: {n_known} or more")
    most = MOST_TRIALS // plan.space.repeats
    if trials > most:
        raise SpaceError(f"--trials {trials}: allowed: at most {most:,}")
    return replace(plan, space=plan.space.model_copy(update={"trials": trials}))
