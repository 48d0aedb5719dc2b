"""The compared models of a sweep side by side: a column per model, a row per kind of picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from report.models import image_choice
from report.models.checkpoints import Checkpoint, Look, read_checkpoint
from report.models.subject import Subject
from report.numbers.checkpoint.latents import Latents, latents
from report.numbers.checkpoint.manifold import Manifold, manifold
from report.numbers.checkpoint.samples import fitted_samples, samples
from report.numbers.sweep.compared_trials import Column, compared_trials
from tuning.records import SweepRecord
from vae.errors import CheckpointError
from vae.model.metrics import EpochMetrics

N_INPUTS = 10
N_SAMPLES = 25
GRID = 10  # places a side of the manifold
N_POINTS = 1000  # of the latents


@dataclass(frozen=True)
class SheetColumn:
    """What one model shows; images are uint8 [n, h, w]. None: the model has no such picture.

    trial_id, parts: which model it is, and what sets it apart from those beside it. metrics: of the epoch whose
    weights these are. seen: what the encoder was given, inputs or their corrupted copies (has_noise). has_prior: False
    for an autoencoder, which was not trained to decode samples of a prior: its samples are from a Gaussian fitted to
    its codes.
    """

    trial_id: str
    parts: tuple[str, ...]
    metrics: EpochMetrics
    inputs: np.ndarray
    seen: np.ndarray
    has_noise: bool
    outputs: np.ndarray | None
    samples: np.ndarray
    manifold: Manifold | None
    latents: Latents | None
    has_prior: bool


@dataclass(frozen=True)
class Sheet:
    """One column per compared trial that has left a model. rule: which trials are compared, '' for all."""

    columns: list[SheetColumn]
    rule: str


@dataclass(frozen=True)
class ComparedModels:
    """The compared trials that have left a model, with it. rule: which trials are compared, '' for all."""

    models: list[tuple[Column, Checkpoint]]
    rule: str


def compared_models(sweep: SweepRecord, say: Callable[[str], None]) -> ComparedModels:
    """Leave out a trial whose checkpoint cannot be read, with one line to `say`."""
    comparison, models = compared_trials(sweep), []
    for column in comparison.columns:
        try:
            models.append((column, read_checkpoint(column.record, sweep)))
        except CheckpointError as error:
            say(f"Left out of the sheet: {column.label}: {error}")
    return ComparedModels(models, comparison.rule)


def sheet(compared: ComparedModels, look: Look) -> Sheet:
    """Raises DataError."""
    return Sheet([sheet_column(column, look(checkpoint)) for column, checkpoint in compared.models], compared.rule)


def sheet_column(column: Column, subject: Subject) -> SheetColumn:
    """Every model is given the same inputs; models of one latent size also the same z for their samples."""
    places, is_plane = shown_places(subject.images.labels), subject.latent_size == 2
    has_encoder, has_prior = subject.codes is not None, subject.mode != "autoencoder"
    return SheetColumn(
        trial_id=column.record.trial_id,
        parts=column.parts,
        metrics=subject.description.history[-1],
        inputs=subject.inputs(places),
        seen=subject.corrupted(places) if subject.has_noise else subject.inputs(places),
        has_noise=subject.has_noise,
        outputs=_outputs(subject, places) if has_encoder else None,
        samples=(samples if has_prior else fitted_samples)(subject, N_SAMPLES),
        manifold=manifold(subject, GRID) if is_plane else None,
        latents=latents(subject, N_POINTS) if is_plane and has_encoder else None,
        has_prior=has_prior,
    )


def _outputs(subject: Subject, places: np.ndarray) -> np.ndarray:
    """Decoded from what the model was trained to see: corrupted images if it has input noise."""
    if subject.has_noise:
        return subject.restored(places)
    assert subject.codes is not None
    return subject.decode(subject.codes[places])


def shown_places(labels: np.ndarray) -> np.ndarray:
    """The first image of each class, or of each of ten groups of images; without classes, spread over the split."""
    return image_choice.grid(labels, N_INPUTS, n_rows=1)[0]
