"""What is known of a sweep and of each of its trials: plain numbers, ranked, and the leaderboard they make."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from vae.config import TrialConfig
from vae.metrics import EpochMetrics, best

State = Literal["running", "complete", "pruned", "failed"]


@dataclass
class TrialRecord:
    """One trial, as far as it has come. `params` are the searched hyperparameters, `config` all of them."""

    trial_id: str
    params: dict[str, Any]
    config: TrialConfig
    state: State = "running"
    history: list[EpochMetrics] = field(default_factory=list)
    error: str = ""

    @property
    def best(self) -> EpochMetrics | None:
        """The epoch of the highest validation ELBO: what the trial is ranked by."""
        return best(self.history)

    @property
    def val_elbo(self) -> float:
        """The best epoch's, nats per image; -inf before the first finite one."""
        return self.best.val_elbo if self.best else -math.inf

    @property
    def seconds(self) -> float:
        """Training and evaluation, without waiting."""
        return sum(metrics.epoch_seconds for metrics in self.history)

    @property
    def folder(self) -> str:
        """Relative to the sweep's folder."""
        return f"trials/{self.trial_id}"


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


class Observer(Protocol):
    """Told of each trial by the driver, in the order in which things happen."""

    def started(self, record: TrialRecord) -> None: ...

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        """`record.history` already ends with `metrics`; `preview` is a vae.preview.Preview, or None."""

    def finished(self, record: TrialRecord) -> None:
        """`record.state` is final now."""


def ranked(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Best first; failed trials last, whatever they reached before they failed."""
    return sorted(trials, key=lambda record: (record.state == "failed", -record.val_elbo, record.trial_id))


METRIC_COLUMNS = ("val_elbo", "best_epoch", "val_rate", "val_distortion", "epochs", "seconds")


def leaderboard(trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """A row per trial, best first: every searched or set hyperparameter has a column."""
    return [
        {
            "rank": rank,
            "trial_id": record.trial_id,
            "state": record.state,
            **record.config.model_dump(exclude={"epochs"}),
            **_metrics(record),
            "checkpoint": f"{record.folder}/model.safetensors" if record.best else "",
            "error": record.error,
        }
        for rank, record in enumerate(ranked(trials), start=1)
    ]


def _metrics(record: TrialRecord) -> dict[str, Any]:
    reached = record.best
    if reached is None:
        values: tuple[Any, ...] = ("", "", "", "")
    else:
        values = (reached.val_elbo, reached.epoch, reached.val_rate, reached.val_distortion)
    return dict(zip(METRIC_COLUMNS, (*values, len(record.history), round(record.seconds, 3)), strict=True))


def leaderboard_csv(trials: Sequence[TrialRecord]) -> bytes:
    """The leaderboard as a file's content."""
    columns = ["rank", "trial_id", "state", *TrialConfig.model_fields, *METRIC_COLUMNS, "checkpoint", "error"]
    columns.remove("epochs")  # the trial's limit: the one of METRIC_COLUMNS, epochs trained, stays
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(leaderboard(trials))
    return text.getvalue().encode(errors="backslashreplace")
