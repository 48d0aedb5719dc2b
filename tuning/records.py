"""What is known of a sweep and of its trials: plain numbers, and how they rank."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from tuning.layout import BEST_FOLDER, REPORT_FOLDER, attempt_folder, trial_folder
from vae.config import TrialConfig
from vae.files import Files, LocalFiles
from vae.model.metrics import EpochMetrics, best

State = Literal["running", "complete", "pruned", "failed"]


def score(metrics: EpochMetrics, metric: str) -> float:
    """What an epoch scores in a sweep ranked by `metric` (SearchSpace.metric): nats per image, higher is better.

    That is the ELBO, and in a sweep ranked by val_distortion it is -D, whether a trial has an ELBO or not.
    """
    return -metrics.val_distortion if metric == "val_distortion" else metrics.goodness


def ranked_by(metric: str) -> str:
    """The field of EpochMetrics that a sweep's ranking shows; of rate and distortion it is their sum, the ELBO."""
    return "val_distortion" if metric == "val_distortion" else "val_elbo"


def trial_id(number: int, repeat: int, repeats: int) -> str:
    """'0003' of configuration 3; where each has several seeds, '0003-1', '0003-2', ..."""
    return f"{number:04d}" if repeats == 1 else f"{number:04d}-{repeat}"


@dataclass
class TrialRecord:
    """One trial, as far as it has come.

    params: the searched hyperparameters that it has; config: all of them. metric: what its sweep is ranked by,
    SearchSpace.metric. The history only grows, or is replaced by another list. error: why the trial failed; of a
    trial that is to run again, why it failed before. stops_at: the epoch after which the scheduler has stopped it.
    attempt: from 1; each time that a worker takes the trial on again has a number of its own. has_model: whether
    its model is on storage; a sweep's driver says so from when it has seen it until it removes it.
    """

    trial_id: str
    params: dict[str, Any]
    config: TrialConfig
    state: State = "running"
    history: list[EpochMetrics] = field(default_factory=list)
    error: str = ""
    metric: str = "val_elbo"
    stops_at: int | None = None
    attempt: int = 1
    has_model: bool = field(default=True, compare=False)
    _running: tuple[list[EpochMetrics], int, EpochMetrics | None] = field(
        default=([], 0, None), init=False, repr=False, compare=False
    )

    @property
    def best(self) -> EpochMetrics | None:
        """The epoch that stands for the trial (vae.model.metrics.best); None before the first finite one.

        A running best: it looks at each epoch of the history once, however often it is asked.
        """
        history, n_seen, reached = self._running
        if history is not self.history or n_seen > len(history):
            n_seen, reached = 0, None
        n_now = len(self.history)  # once: the live view's thread asks too, while the driver adds epochs
        if n_seen < n_now:
            reached = best([*([] if reached is None else [reached]), *self.history[n_seen:n_now]], self.config.keep)
        self._running = (self.history, n_now, reached)
        return reached

    @property
    def score(self) -> float:
        """The trial ranks by it, higher is better; -inf before the first finite epoch."""
        reached = self.best
        return score(reached, self.metric) if reached else -math.inf

    @property
    def val_elbo(self) -> float | None:
        """The ELBO of the epoch that stands for the trial; None before the first finite one, and without a KL."""
        reached = self.best
        return reached.val_elbo if reached else None

    @property
    def configuration(self) -> str:
        """The name of its configuration, '0003'. Trials of the same values with other seeds share it."""
        return self.trial_id.partition("-")[0]

    @property
    def repeat(self) -> int:
        """Which of its configuration's trials it is, from 1; 0 where each configuration has one trial."""
        return int(self.trial_id.partition("-")[2] or 0)

    @property
    def seconds(self) -> float:
        """Spent on training and evaluation, without waiting."""
        return sum(metrics.epoch_seconds for metrics in self.history)

    @property
    def folder(self) -> str:
        """Relative to the sweep's folder."""
        return trial_folder(self.trial_id)

    @property
    def model_folder(self) -> str:
        """Where its last attempt leaves the model and the checkpoint, relative to the sweep's folder."""
        return attempt_folder(self.trial_id, self.attempt)

    @property
    def has_ended(self) -> bool:
        return self.state != "running"

    @property
    def can_be_retried(self) -> bool:
        """Whether it failed for a reason outside its numbers. One that diverged would diverge again."""
        return self.state == "failed" and not (self.history and not self.history[-1].is_finite)


@dataclass(frozen=True)
class Configuration:
    """The trials of the same searched values, one for each seed, in the order of their repeats.

    It is of one moment: group the trials anew when one has gone on.
    """

    name: str
    records: list[TrialRecord]

    @property
    def number(self) -> int:
        """From 0, in the order of proposal; it is also the number of the trial in Optuna's study."""
        return int(self.name)

    @property
    def params(self) -> dict[str, Any]:
        return self.records[0].params

    @property
    def has_ended(self) -> bool:
        """Whether every trial that there is has ended; the sweep may still lack some."""
        return all(record.has_ended for record in self.records)

    @property
    def is_failed(self) -> bool:
        """Whether one of its trials has failed. Its mean would then be over other seeds than those of the others."""
        return any(record.state == "failed" for record in self.records)

    @property
    def error(self) -> str:
        """The error of the first trial that failed, with its id where there are several; '' where none failed."""
        failed = next((record for record in self.records if record.state == "failed"), None)
        if failed is None:
            return ""
        return f"{failed.trial_id}: {failed.error}" if failed.repeat else failed.error

    @cached_property
    def scores(self) -> list[float]:
        """The scores of the trials that did not fail and have a finite epoch."""
        return [score(reached, self.records[0].metric) for reached in self._reached]

    @property
    def n(self) -> int:
        """How many trials the mean is over."""
        return len(self.scores)

    @property
    def mean(self) -> float:
        """The mean of the scores, higher is better; -inf where there is none."""
        return statistics.fmean(self.scores) if self.scores else -math.inf

    @property
    def sd(self) -> float | None:
        """The standard deviation of the scores, over n - 1; None for fewer than two."""
        return statistics.stdev(self.scores) if self.n > 1 else None

    def values(self, name: str) -> list[float]:
        """A field of EpochMetrics: one value for each trial that did not fail and has one."""
        values = (getattr(reached, name) for reached in self._reached)
        return [value for value in values if value is not None]

    @cached_property
    def _reached(self) -> list[EpochMetrics]:
        """The epoch that stands for each trial that did not fail."""
        return [reached for record in self.records if record.state != "failed" and (reached := record.best)]


@dataclass
class SweepRecord:
    """What a sweep's folder says. `manifest` is the whole manifest; `search` is what it says of the dimensions:
    {"latent_size": {"type": "int", "low": 2, "high": 64, "log": true}, "activation": {"type": "categorical",
    "choices": ["relu", "tanh"]}, ...}. wall_seconds: that the sweep has run, without the time between two runs.
    confirmation: the sweep that trains its best configurations again (tuning.confirmed); None where none has begun.
    """

    name: str
    folder: Path
    dataset: str
    dataset_note: str
    image_shape: tuple[int, int]
    search: dict[str, dict[str, Any]]
    manifest: dict[str, Any]
    trials: list[TrialRecord]
    wall_seconds: float = 0.0
    files: Callable[[str, int], Files] | None = None  # by trial id and attempt; None: in the sweep's folder
    confirmation: "SweepRecord | None" = None

    def files_of(self, record: TrialRecord) -> Files:
        """The model and the other files that training has left."""
        if self.files:
            return self.files(record.trial_id, record.attempt)
        return LocalFiles(self.folder / record.model_folder)

    @property
    def compare(self) -> str | None:
        """The hyperparameter along which the space wants the models compared; None where it says nothing."""
        name: str | None = self.manifest.get("space", {}).get("compare")
        return name

    @property
    def best_folder(self) -> Path:
        """Where the best models are, by rank: best/1, best/2, ..."""
        return self.folder / BEST_FOLDER

    @property
    def report_folder(self) -> Path:
        return self.folder / REPORT_FOLDER


class Observer(Protocol):
    """The driver tells it of each trial, in the order in which things happen."""

    def started(self, record: TrialRecord) -> None: ...

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        """`record.history` ends with `metrics` by now; `preview` is a vae.storage.preview.Preview, or None."""

    def finished(self, record: TrialRecord) -> None:
        """`record.state` is final by now."""


def ranked(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Best first; failed trials come last, whatever they reached before."""
    return sorted(trials, key=lambda record: (record.state == "failed", -record.score, record.trial_id))


def grouped(trials: Sequence[TrialRecord]) -> list[Configuration]:
    """The configurations, in the order of their first trials."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in trials:
        groups.setdefault(record.configuration, []).append(record)
    return [Configuration(name, sorted(records, key=lambda one: one.repeat)) for name, records in groups.items()]


def configurations(trials: Sequence[TrialRecord]) -> list[Configuration]:
    """By the mean over their seeds, best first; those of which a trial failed come last."""
    return sorted(grouped(trials), key=lambda one: (one.is_failed, -one.mean, one.name))


def pareto_front(trials: Sequence[TrialRecord]) -> set[str]:
    """The ids of the trials that no other one dominates on validation: none has a rate and a distortion that are both
    lower or equal, and not both equal. Failed trials are left out."""
    points = sorted(
        (reached.val_rate, reached.val_distortion, record.trial_id)
        for record in trials
        if record.state != "failed" and (reached := record.best) and reached.val_rate is not None
    )
    front: list[tuple[float, float, str]] = []
    for point in points:  # by rate, then distortion: each must have less distortion than the last, or equal the last
        if not front or point[1] < front[-1][1] or point[:2] == front[-1][:2]:
            front.append(point)
    return {name for *_, name in front}
