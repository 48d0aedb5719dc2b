"""The report in words: a page of Markdown, for people and for TensorBoard's text tab."""

from collections.abc import Sequence

from report.best import BestModel
from report.study_figures import describe
from tuning.records import SweepRecord

NO_MODEL = "No model is shown: none was asked for, or no trial has left one that can be read."
UNITS = (
    "Nats per image, summed over pixels and averaged over images; the ELBO is at beta = 1, from one sample of z "
    "per image. Of grey pixels the Bernoulli distortion is a cross-entropy, not a likelihood: compare it only with "
    "itself. The test split was not used before this table; the trials were ranked on the validation split."
)


def summary(sweep: SweepRecord, best: Sequence[BestModel]) -> str:
    """Dataset, trials by state, and the best with their test numbers."""
    parts = [f"# {sweep.name}", describe(sweep), f"Dataset: {sweep.dataset_note}"]
    parts += [_table(sweep, best), UNITS] if best else [NO_MODEL]
    failed = [record for record in sweep.trials if record.state == "failed"]
    if failed:
        parts.append("Failed trials:\n\n" + "\n".join(f"- {r.trial_id}: {_first_line(r.error)}" for r in failed))
    return "\n\n".join(parts) + "\n"


def _table(sweep: SweepRecord, best: Sequence[BestModel]) -> str:
    header = ["rank", "trial", *sweep.search, "validation ELBO (epoch)", "test ELBO", "test rate", "test distortion"]
    header += ["active units", "test images"]
    rows = [header, ["---"] * len(header), *(_row(sweep, one) for one in best)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(sweep: SweepRecord, one: BestModel) -> list[str]:
    values = [getattr(one.record.config, name) for name in sweep.search]
    return [
        str(one.rank),
        one.record.trial_id,
        *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values),
        f"{one.validation.val_elbo:.2f} ({one.validation.epoch})",
        *(f"{value:.2f}" for value in (one.test.elbo, one.test.rate, one.test.distortion)),
        f"{one.test.active_units} of {len(one.test.kl_per_dimension)}",
        f"{one.test.n_images:,}",
    ]


def _first_line(error: str) -> str:
    """A traceback's last line says what happened; its own folder has the rest."""
    lines = error.strip().splitlines()
    return lines[-1] if lines else "no message"
