"""What is known of a sweep and of each of its trials: plain numbers, and how they rank."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from vae.config import TrialConfig
from vae.files import Files, LocalFiles
from vae.model.metrics import EpochMetrics, best

State = Literal["running", "complete", "pruned", "failed"]


def score(metrics: EpochMetrics, metric: str) -> float:
    """What an epoch is worth in a sweep ranked by `metric` (SearchSpace.metric): nats per image, higher is better.

    The ELBO; in a sweep ranked by val_distortion, -D, whether a trial has an ELBO or not.
    """
    return -metrics.val_distortion if metric == "val_distortion" else metrics.goodness


def ranked_by(metric: str) -> str:
    """The field of EpochMetrics that a sweep's ranking shows; a front of two is ordered by their sum, the ELBO."""
    return "val_distortion" if metric == "val_distortion" else "val_elbo"


def trial_id(number: int, repeat: int, repeats: int) -> str:
    """Of configuration `number`: '0003'; where each has several seeds '0003-1', '0003-2', ..."""
    return f"{number:04d}" if repeats == 1 else f"{number:04d}-{repeat}"


@dataclass
class TrialRecord:
    """One trial, as far as it has come. `params` are the searched hyperparameters that it has, `config` all of them.

    metric: what its sweep is ranked by, SearchSpace.metric.
    """

    trial_id: str
    params: dict[str, Any]
    config: TrialConfig
    state: State = "running"
    history: list[EpochMetrics] = field(default_factory=list)
    error: str = ""
    metric: str = "val_elbo"

    @property
    def best(self) -> EpochMetrics | None:
        """The epoch that stands for the trial, see vae.model.metrics.best; None before the first finite one."""
        return best(self.history, self.config.keep)

    @property
    def score(self) -> float:
        """What the trial is ranked by, higher is better; -inf before the first finite epoch."""
        reached = self.best
        return score(reached, self.metric) if reached else -math.inf

    @property
    def val_elbo(self) -> float | None:
        """Of the epoch that stands for the trial; None before the first finite one and where there is no ELBO."""
        reached = self.best
        return reached.val_elbo if reached else None

    @property
    def configuration(self) -> str:
        """The name of its configuration, '0003': what the trials of the same values and other seeds share."""
        return self.trial_id.partition("-")[0]

    @property
    def repeat(self) -> int:
        """Which of its configuration's trials it is, from 1; 0 where each has but one."""
        return int(self.trial_id.partition("-")[2] or 0)

    @property
    def seconds(self) -> float:
        """Training and evaluation, without waiting."""
        return sum(metrics.epoch_seconds for metrics in self.history)

    @property
    def folder(self) -> str:
        """Relative to the sweep's folder."""
        return f"trials/{self.trial_id}"


@dataclass(frozen=True)
class Configuration:
    """The trials of the same searched values, one for each seed, in the order of their repeats; as they are now:
    a configuration that goes on is grouped anew."""

    name: str
    records: list[TrialRecord]

    @property
    def number(self) -> int:
        """From 0, in the order of their proposal; that of the trial in Optuna's study."""
        return int(self.name)

    @property
    def params(self) -> dict[str, Any]:
        return self.records[0].params

    @property
    def has_ended(self) -> bool:
        """Whether every trial has, of those that there are: a sweep may still lack some."""
        return all(record.state != "running" for record in self.records)

    @property
    def is_failed(self) -> bool:
        """Whether one of its trials has failed: its mean would be of other seeds than the others'."""
        return any(record.state == "failed" for record in self.records)

    @property
    def error(self) -> str:
        """Of the first trial that failed, with its id where there are several; '' where none did."""
        failed = next((record for record in self.records if record.state == "failed"), None)
        if failed is None:
            return ""
        return f"{failed.trial_id}: {failed.error}" if failed.repeat else failed.error

    @cached_property
    def scores(self) -> list[float]:
        """Of the trials that did not fail and have a finite epoch."""
        return [score(reached, self.records[0].metric) for reached in self._reached]

    @property
    def n(self) -> int:
        """How many trials the mean is of."""
        return len(self.scores)

    @property
    def mean(self) -> float:
        """Of the scores, higher is better; -inf where there is none."""
        return statistics.fmean(self.scores) if self.scores else -math.inf

    @property
    def sd(self) -> float | None:
        """Of the scores, over n - 1; None of less than two."""
        return statistics.stdev(self.scores) if self.n > 1 else None

    def values(self, name: str) -> list[float]:
        """A field of EpochMetrics, one value for each trial that did not fail and has it."""
        values = (getattr(reached, name) for reached in self._reached)
        return [value for value in values if value is not None]

    @cached_property
    def _reached(self) -> list[EpochMetrics]:
        """What stands for each of these trials."""
        return [reached for record in self.records if record.state != "failed" and (reached := record.best)]


@dataclass
class SweepRecord:
    """A sweep's folder, read. `search` holds the searched dimensions as the manifest keeps them:
    {"latent_size": {"type": "int", "low": 2, "high": 64, "log": true}, "activation": {"type": "categorical",
    "choices": ["relu", "tanh"]}, ...}; `manifest` is the whole manifest.
    """

    name: str
    folder: Path
    dataset: str
    dataset_note: str
    image_shape: tuple[int, int]
    search: dict[str, dict[str, Any]]
    manifest: dict[str, Any]
    trials: list[TrialRecord]
    files: Callable[[str], Files] | None = None  # by trial id; None: in the sweep's folder

    def files_of(self, record: TrialRecord) -> Files:
        """The model and the other files that training has left."""
        return self.files(record.trial_id) if self.files else LocalFiles(self.folder / record.folder)


class Observer(Protocol):
    """Told of each trial by the driver, in the order in which things happen."""

    def started(self, record: TrialRecord) -> None: ...

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        """`record.history` already ends with `metrics`; `preview` is a vae.storage.preview.Preview, or None."""

    def finished(self, record: TrialRecord) -> None:
        """`record.state` is final now."""


def ranked(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Best first; failed trials last, whatever they reached before they failed."""
    return sorted(trials, key=lambda record: (record.state == "failed", -record.score, record.trial_id))


def grouped(trials: Sequence[TrialRecord]) -> list[Configuration]:
    """The configurations in the order of their first trials."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in trials:
        groups.setdefault(record.configuration, []).append(record)
    return [Configuration(name, sorted(records, key=lambda one: one.repeat)) for name, records in groups.items()]


def configurations(trials: Sequence[TrialRecord]) -> list[Configuration]:
    """By the mean over their seeds, best first; last those of which a trial has failed."""
    return sorted(grouped(trials), key=lambda one: (one.is_failed, -one.mean, one.name))


def pareto_front(trials: Sequence[TrialRecord]) -> set[str]:
    """The ids of the trials than which no other has both a lower (or equal) rate and a lower (or equal) distortion,
    not both equal, on validation; failed trials are out of the comparison."""
    points = sorted(
        (reached.val_rate, reached.val_distortion, record.trial_id)
        for record in trials
        if record.state != "failed" and (reached := record.best) and reached.val_rate is not None
    )
    front: list[tuple[float, float, str]] = []
    for point in points:  # by rate, then distortion: each must come below all before it, or be the last one's equal
        if not front or point[1] < front[-1][1] or point[:2] == front[-1][:2]:
            front.append(point)
    return {name for *_, name in front}
