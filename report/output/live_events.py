"""A sweep in TensorBoard while it runs: an HParams experiment at its root, a run per trial, and the best so far.

The sweep's driver imports this before Ray starts, so it must import neither torch nor matplotlib.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

from report.drawing.tiles import enlarge, tile
from report.output.best_so_far import BestSoFar
from report.output.event_files import EventFile, read_events
from report.output.folding import Folding
from tuning.records import TrialRecord
from vae.config import Mode
from vae.model.metrics import EpochMetrics, best, has_rate
from vae.storage.preview import Preview

LAST_TAG = "time/epoch_seconds"  # the last value of an epoch's record: if it is on disk, so is the whole epoch
RECONSTRUCTIONS_TAG = "preview/reconstructions"
BEST = {
    "val_elbo": "validation ELBO, kept epoch",
    "val_rate": "validation rate, kept epoch",
    "val_distortion": "validation distortion, kept epoch",
}
SCALARS = {  # by tag; a trial has those that its metrics have
    f"{split}/{name}": f"{split}_{name}"
    for split in ("train", "val", "val_noisy")
    for name in ("loss", "elbo", "rate", "distortion")
}


class SweepEvents:
    """Implements tuning.records.Observer. Only running trials hold a file open."""

    def __init__(
        self,
        folder: Path,
        search: Mapping[str, Mapping[str, Any]],
        modes: Collection[str] = ("vae",),
        ended: Iterable[TrialRecord] = (),
        past: Collection[TrialRecord] = (),
        n_trials: int = 0,
    ) -> None:
        """folder: the sweep's. search: its dimensions as in SweepRecord. modes: those that its trials can have,
        which decide what HParams compares them by. ended: trials that ended without events in this folder. past: all
        trials of a sweep that is resumed; n_trials: that it is to have. Of a large one only the best keep their events.

        A resumed sweep's folder has declared its experiment already and is left as it is: of two declarations
        TensorBoard takes either. Raises OSError if the folder cannot be written.
        """
        self._folder = folder
        self._trials: dict[str, _TrialEvents] = {}
        self._best = BestSoFar(folder)
        if hparams_metadata.EXPERIMENT_TAG not in set(_tags(folder)):
            _declare(folder, search, _compared_by(modes))
        self._folding = Folding(folder, max(n_trials, len(past)), past)
        for record in filter(self._folding.keeps, ended):
            self.finished(record)

    def started(self, record: TrialRecord) -> None:
        """A second call for an open trial changes nothing."""
        self._folding.began(record)
        self._open(record)

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Preview | None) -> None:
        """Write every epoch of the record's history that is not in the trial's files yet."""
        self._open(record).epoch(record, metrics.epoch, preview)
        self._best.epoch(record, metrics, preview)

    def finished(self, record: TrialRecord) -> None:
        trial = self._open(record)
        trial.finish(record)
        trial.close()
        del self._trials[record.trial_id]
        if record.best is not None:  # of a trial that ended elsewhere no epoch was told
            self._best.epoch(record, record.best, None)
        self._folding.ended(record)

    def close(self) -> None:
        """Close the files. Running trials stay open in HParams: a resumed sweep goes on with them."""
        for trial in self._trials.values():
            trial.close()
        self._trials.clear()
        self._best.close()

    def _open(self, record: TrialRecord) -> "_TrialEvents":
        if record.trial_id not in self._trials:
            self._trials[record.trial_id] = _TrialEvents(self._folder / record.folder, record)
        return self._trials[record.trial_id]


class _TrialEvents:
    """A running trial's event file, and what is on disk of the trial, perhaps from before the driver restarted."""

    def __init__(self, folder: Path, record: TrialRecord) -> None:
        self._last_epoch, self._last_preview, has_start = _written(folder)
        self._keep = record.config.keep
        self._best = best([metrics for metrics in record.history if metrics.epoch <= self._last_epoch], self._keep)
        self._preview: tuple[int, Preview] | None = None
        self._file = EventFile(folder)
        if not has_start:  # TensorBoard keeps the first one, which has the time of the true start
            group = record.configuration  # HParams shows the trials of a group as one row, with their mean
            self._file.summary(hparams.hparams_pb(record.params, trial_id=group))

    def epoch(self, record: TrialRecord, epoch: int, preview: Preview | None) -> None:
        self._write_new_epochs(record)
        if preview is not None and epoch > self._last_preview:
            self._preview = (epoch, preview)
            if epoch & (epoch - 1) == 0:  # 1, 2, 4, 8, ...
                self._write_preview()

    def finish(self, record: TrialRecord) -> None:
        self._write_new_epochs(record)
        self._write_preview()
        self._file.summary(_session_end(record))

    def close(self) -> None:
        self._file.close()

    def _write_new_epochs(self, record: TrialRecord) -> None:
        for metrics in _since(record.history, self._last_epoch):
            self._best = best([metrics] if self._best is None else [self._best, metrics], self._keep)
            self._file.scalars(_scalars(metrics, self._best), metrics.epoch)
            self._last_epoch = metrics.epoch

    def _write_preview(self) -> None:
        if self._preview is None:
            return
        epoch, preview = self._preview
        pairs = np.concatenate([preview.inputs, preview.reconstructions])
        self._file.image("preview/samples", tile(enlarge(preview.samples), len(preview.samples)), epoch)
        self._file.image(RECONSTRUCTIONS_TAG, tile(enlarge(pairs), len(preview.inputs)), epoch)
        self._last_preview, self._preview = epoch, None


def _since(history: list[EpochMetrics], epoch: int) -> list[EpochMetrics]:
    """The epochs after `epoch`, searched from the end, because mostly it is the last one alone."""
    start = len(history)
    while start and history[start - 1].epoch > epoch:
        start -= 1
    return history[start:]


def _scalars(metrics: EpochMetrics, best_so_far: EpochMetrics | None) -> dict[str, float]:
    """The scalars that the trial has."""
    values = {tag: getattr(metrics, name, None) for tag, name in SCALARS.items()}
    values |= {f"best/{name}": getattr(best_so_far, name, None) for name in BEST}
    return {tag: value for tag, value in values.items() if value is not None} | {LAST_TAG: metrics.epoch_seconds}


def _compared_by(modes: Collection[str]) -> dict[str, str]:
    """The metrics of HParams: those that some trial can have, the ones that every trial has first."""
    n_with_rate = sum(has_rate(mode) for mode in get_args(Mode) if mode in modes)
    if n_with_rate == len(modes):
        return BEST
    names = ["val_distortion", *(["val_elbo", "val_rate"] if n_with_rate else [])]
    return {name: BEST[name] for name in names}


def _tags(folder: Path) -> Iterator[str]:
    return (value.tag for event in read_events(folder) for value in event.summary.value)


def _written(folder: Path) -> tuple[int, int, bool]:
    """A trial's last epoch on disk, its last epoch with a preview (0: none), and whether its session has begun."""
    last = {LAST_TAG: 0, RECONSTRUCTIONS_TAG: 0, hparams_metadata.SESSION_START_INFO_TAG: -1}
    for event in read_events(folder):
        for value in event.summary.value:
            if value.tag in last:
                last[value.tag] = max(last[value.tag], event.step)
    epoch, preview, start = last.values()
    return epoch, preview, start >= 0


def _declare(folder: Path, search: Mapping[str, Mapping[str, Any]], compared_by: Mapping[str, str]) -> None:
    dimensions = [hparams.HParam(name, _domain(dimension)) for name, dimension in search.items()]
    metrics = [
        hparams.Metric(f"best/{name}", display_name=words, dataset_type=hparams.Metric.VALIDATION)
        for name, words in compared_by.items()
    ]
    with EventFile(folder) as file:
        file.summary(hparams.hparams_config_pb(dimensions, metrics))


def _domain(dimension: Mapping[str, Any]) -> hparams.Domain:
    if dimension["type"] == "int":
        return hparams.IntInterval(int(dimension["low"]), int(dimension["high"]))
    if dimension["type"] == "float":
        return hparams.RealInterval(float(dimension["low"]), float(dimension["high"]))
    choices = list(dimension["choices"])
    if any(isinstance(choice, float) for choice in choices):
        choices = [float(choice) for choice in choices]  # TensorBoard wants one type: [0.5, 1, 2]
    return hparams.Discrete(choices)


def _session_end(record: TrialRecord) -> summary_pb2.Summary:
    """As hparams.summary.session_end_pb, which needs TensorFlow. A pruned trial counts as a success."""
    status = STATUS_FAILURE if record.state == "failed" else STATUS_SUCCESS
    data = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=time.time()))
    metadata = hparams_metadata.create_summary_metadata(data)
    tag = hparams_metadata.SESSION_END_INFO_TAG
    value = summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=hparams_metadata.NULL_TENSOR)
    return summary_pb2.Summary(value=[value])
