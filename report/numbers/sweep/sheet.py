"""The compared models of a sweep side by side: a column per model, a row per kind of picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from report.models import image_choice
from report.models.checkpoints import Look, read_checkpoint
from report.models.subject import Subject
from report.numbers.checkpoint.latents import Latents, latents
from report.numbers.checkpoint.manifold import Manifold, manifold
from report.numbers.checkpoint.samples import samples
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

    parts: what sets the model apart from those beside it. metrics: of the epoch whose weights these are.
    has_prior: False for an autoencoder, which was not trained to decode samples of a prior.
    """

    parts: tuple[str, ...]
    metrics: EpochMetrics
    inputs: np.ndarray
    corrupted: np.ndarray | None
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


def sheet(sweep: SweepRecord, look: Look, say: Callable[[str], None]) -> Sheet:
    """Leave out a trial whose checkpoint cannot be read, with one line to `say`. Raises DataError."""
    comparison, columns = compared_trials(sweep), []
    for column in comparison.columns:
        try:
            checkpoint = read_checkpoint(column.record, sweep)
        except CheckpointError as error:
            say(f"Left out of the sheet: {column.label}: {error}")
            continue
        columns.append(sheet_column(column, look(checkpoint)))
    return Sheet(columns, comparison.rule)


def sheet_column(column: Column, subject: Subject) -> SheetColumn:
    """Every model is given the same inputs; models of one latent size also the same z for their samples."""
    places, is_plane = shown_places(subject.images.labels), subject.latent_size == 2
    has_encoder = subject.codes is not None
    return SheetColumn(
        parts=column.parts,
        metrics=subject.description.history[-1],
        inputs=subject.inputs(places),
        corrupted=subject.corrupted(places) if subject.has_noise else None,
        outputs=_outputs(subject, places) if has_encoder else None,
        samples=samples(subject, N_SAMPLES),
        manifold=manifold(subject, GRID) if is_plane else None,
        latents=latents(subject, N_POINTS) if is_plane and has_encoder else None,
        has_prior=subject.mode != "autoencoder",
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
