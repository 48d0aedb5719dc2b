"""The best model of a sweep so far, live in TensorBoard as a run of its own: its value, its trial, its pictures.

Imported before Ray starts, as live_events is: neither torch nor matplotlib.
"""

import math
from pathlib import Path

import numpy as np

from report.drawing.tiles import enlarge, tile
from report.output.event_files import EventFile, read_events
from tuning.records import TrialRecord, ranked_by, score
from vae.cli.format import shown
from vae.model.metrics import EpochMetrics
from vae.storage.preview import Preview

BEST_RUN = "best_so_far"  # of the sweep's folder
VALUE, TRIAL = "best_so_far/value", "best_so_far/trial"
RECONSTRUCTIONS, SAMPLES = "best_so_far/1_reconstructions", "best_so_far/2_samples"
MANIFOLD = "best_so_far/3_manifold"  # where the best model has two latents


class BestSoFar:
    """A point whenever the best score of the sweep rises; its step counts these points, also over a resume."""

    def __init__(self, folder: Path) -> None:
        """folder: the sweep's. The run's file is made at the first point."""
        self._folder = folder / BEST_RUN
        self._n_points, self._value = _written(self._folder)
        self._file: EventFile | None = None

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Preview | None) -> None:
        """preview: of the model as it is after this epoch."""
        sign = -1 if ranked_by(record.metric) == "val_distortion" else 1  # shown as people read it: a distortion falls
        best = -math.inf if self._value is None else sign * self._value
        if record.state == "failed" or record.score <= best:
            return
        self._value, self._n_points = sign * record.score, self._n_points + 1
        file = self._file = self._file or EventFile(self._folder)
        file.scalar(VALUE, self._value, self._n_points)
        file.text(TRIAL, _words(record), self._n_points)
        if preview is not None and score(metrics, record.metric) == record.score:  # the picture is of the best epoch
            pairs = np.concatenate([preview.inputs, preview.reconstructions])
            file.image(RECONSTRUCTIONS, tile(enlarge(pairs), len(preview.inputs)), self._n_points)
            file.image(SAMPLES, tile(enlarge(preview.samples), len(preview.samples)), self._n_points)
            if preview.manifold is not None:
                file.image(MANIFOLD, tile(enlarge(preview.manifold), math.isqrt(len(preview.manifold))), self._n_points)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _words(record: TrialRecord) -> str:
    values = ", ".join(f"{name} {shown(value)}" for name, value in record.params.items())
    return f"trial {record.trial_id}, epoch {record.best.epoch if record.best else 0}: {values}"


def _written(folder: Path) -> tuple[int, float | None]:
    """The points on disk, perhaps of a driver before this one: how many, and the value of the last."""
    found = [
        (event.step, value.simple_value)
        for event in read_events(folder)
        for value in event.summary.value
        if value.tag == VALUE
    ]
    return max(found, key=lambda one: one[0]) if found else (0, None)
