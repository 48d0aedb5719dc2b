"""Read a trial's model file, check that it belongs to the trial, and show it held-out images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from report.models.subject import Subject
from tuning.confirmed import FOLDER, Confirmed
from tuning.records import SweepRecord, TrialRecord
from vae.datasets.registry import load, spec
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.model.network import Vae
from vae.storage.checkpoint import MODEL_FILE, Description, unpack_model


@dataclass(frozen=True)
class Checkpoint:
    """A trial's model file, read once, because a trial that is still running may replace it. confirmed: its
    configuration, where fresh seeds have confirmed it."""

    record: TrialRecord
    content: bytes
    model: Vae
    description: Description
    confirmed: Confirmed | None = None

    @property
    def trial(self) -> str:
        """Which trial it is, below the sweep's folder: '0003', or 'confirm/0000-1' of one with a fresh seed."""
        of_fresh = self.confirmed.fresh.records if self.confirmed else []
        is_fresh = any(one is self.record for one in of_fresh)
        return f"{FOLDER}/{self.record.trial_id}" if is_fresh else self.record.trial_id


def read_checkpoint(record: TrialRecord, sweep: SweepRecord) -> Checkpoint:
    """Raises CheckpointError if the file cannot be read or its weights are not this trial's."""
    where = f"{record.model_folder}/{MODEL_FILE}"
    content = sweep.files_of(record).read(MODEL_FILE)
    if content is None:
        raise CheckpointError(f"{where}: no such file")
    model, description = unpack_model(content, where)
    if description.config != record.config:
        raise CheckpointError(f"{where}: of another config than the trial's")
    if description.dataset != sweep.dataset or description.image_shape != tuple(sweep.image_shape):
        raise CheckpointError(f"{where}: of dataset {description.dataset}; the sweep's is {sweep.dataset}")
    if not description.history:
        raise CheckpointError(f"{where}: without the metrics of its epoch")
    return Checkpoint(record, content, model, description)


def name_of_model(sweep: str, trial_id: str) -> str:
    """What a figure calls a model: 'beta_study, trial 0003'."""
    return f"{sweep}, trial {trial_id}"


Look = Callable[[Checkpoint], Subject]


class HeldOut:
    """The validation split of a sweep's dataset, read when the first model needs it."""

    def __init__(self, sweep: SweepRecord, data_dir: Path) -> None:
        self._sweep, self._dataset, self._data_dir = sweep.name, sweep.dataset, data_dir
        self._subjects: dict[str, Subject] = {}

    def load(self) -> None:
        """Read the split now: processes that begin later share it. Raises DataError."""
        assert self._images is not None

    def subject(self, checkpoint: Checkpoint) -> Subject:
        """What the model's figures are drawn from, made once per trial. Raises DataError."""
        record, trial = checkpoint.record, checkpoint.trial
        if trial not in self._subjects:
            model, description = checkpoint.model, checkpoint.description
            about = ("validation", self._images, record.history, self._class_names)
            name = name_of_model(self._sweep, trial)
            self._subjects[trial] = Subject.of(model, description, *about, name=name)
        return self._subjects[trial]

    @cached_property
    def _images(self) -> Images:
        return load(self._dataset, self._data_dir, "validation")

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        return spec(self._dataset, self._data_dir).class_names
