"""What the models of a sweep's trials show, drawn from their files when the sweep has ended."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from report.models import image_choice
from report.models.checkpoints import Checkpoint, read_checkpoint
from report.models.subject import Subject
from report.numbers.checkpoint.samples import fitted_samples, samples
from report.page.pictures import Shown
from tuning.records import SweepRecord, TrialRecord
from vae.backend.threads import side_by_side
from vae.cli.progress import Advance, Lines
from vae.datasets.registry import load, spec
from vae.datasets.types import Images
from vae.errors import CheckpointError

N_INPUTS, N_SAMPLES = 10, 20
N_ENCODED = 500  # images for the KL of each latent: exact to a few hundredths of a nat, and 20 ms a model
NAMED_SKIPS = 3
AT_ONCE = 32  # models in memory


def shown_by_models(
    sweep: SweepRecord, trials: Sequence[TrialRecord], data_dir: Path, say: Callable[[str], None], n_threads: int
) -> dict[str, Shown]:
    """By trial id. A trial whose model cannot be read is left out, with one line to `say` for all of them."""
    having = [record for record in trials if record.best]
    if not having:
        return {}
    images = _some(load(sweep.dataset, data_dir, "validation"))
    names = spec(sweep.dataset, data_dir).class_names

    def show(one: Checkpoint | CheckpointError, advance: Advance) -> Shown | CheckpointError:
        advance(1)
        if isinstance(one, CheckpointError):
            return one
        try:
            about = ("validation", images, one.record.history, names)
            return _shown(Subject.of(one.model, one.description, *about))
        except CheckpointError as error:
            return error

    told = Lines("Drawing the page: models", len(having), say)
    results: dict[str, Shown | CheckpointError] = {}
    for start in range(0, len(having), AT_ONCE):
        some = having[start : start + AT_ONCE]
        read = [_read(record, sweep) for record in some]  # not in threads: Ctrl-C must end the wait for a bucket
        results |= zip((one.trial_id for one in some), side_by_side(show, read, n_threads, told), strict=True)
    found = {trial_id: result for trial_id, result in results.items() if isinstance(result, Shown)}
    left_out = [f"{trial_id}: {result}" for trial_id, result in results.items() if trial_id not in found]
    if left_out:
        more = f", and {len(left_out) - NAMED_SKIPS} more" if len(left_out) > NAMED_SKIPS else ""
        say(f"Without pictures in the page: {'; '.join(left_out[:NAMED_SKIPS])}{more}")
    return found


def _read(record: TrialRecord, sweep: SweepRecord) -> Checkpoint | CheckpointError:
    try:
        return read_checkpoint(record, sweep)
    except CheckpointError as error:
        return error


def _some(images: Images) -> Images:
    """The images whose reconstructions are shown come first; others follow, for the KL."""
    first, _ = image_choice.grid(images.labels, N_INPUTS, n_rows=1)
    others = np.setdiff1d(image_choice.evenly(len(images.labels), N_ENCODED), first)
    places = np.concatenate([first, others])[:N_ENCODED]
    return Images(images.pixels[places], images.labels[places])


def _shown(subject: Subject) -> Shown:
    places, has_encoder = np.arange(min(N_INPUTS, len(subject))), subject.codes is not None
    inputs = (subject.corrupted if subject.has_noise else subject.inputs)(places) if has_encoder else None
    made = fitted_samples if subject.mode == "autoencoder" else samples  # an autoencoder has no prior
    kl = () if subject.kl is None else subject.kl[subject.order]
    shown = Shown(subject.description.epoch, inputs, _outputs(subject, places), made(subject, N_SAMPLES), kl)
    assert shown.strips  # compressed here and not later, one model after the other
    return shown


def _outputs(subject: Subject, places: np.ndarray) -> np.ndarray | None:
    """Decoded from what the model was trained to see: corrupted images if it has input noise."""
    if subject.codes is None:
        return None
    return subject.restored(places) if subject.has_noise else subject.decode(subject.codes[places])
