"""The report in words: a page of Markdown, for people and for TensorBoard's text tab."""

from collections.abc import Sequence

from report.drawing.captions import sweep_caption
from report.models.evaluated import EvaluatedModel
from report.numbers.sweep.rate_distortion import front
from report.numbers.sweep.told_apart import shrinkage_line, verdict
from tuning.confirmed import FOLDER, Confirmed, confirmed, noise_line
from tuning.records import Configuration, SweepRecord, TrialRecord, configurations
from vae.cli.format import shown
from vae.evaluate.result import Evaluation

NO_MODEL = "No model is shown: none was asked for, or no trial has left one that can be read."
NO_FRONT = "No trial has ended, so there is no front of rate and distortion yet."
MOST_CONFIGURATIONS = 10
UNITS = (
    "Nats per image, summed over pixels and averaged over images; the ELBO is at beta = 1, from one sample of z "
    "per image. The bound is importance-weighted (Burda et al. 2015): the ELBO of the whole split, and what K samples "
    "gain over it on the first images, \N{PLUS-MINUS SIGN} the standard error of this gain. Mutual information is of z "
    "and the image: N images show at most log N of it, and 'at least' stands where they show no more. Of grey "
    "pixels the Bernoulli distortion is a cross-entropy, not a likelihood: compare it only with itself. The test split "
    "was not used before this table; the trials were ranked on the validation split."
)

MODEL = "model"  # of a row: the heading of its column

Row = dict[str, str]  # header: cell; a header without a cell in any row is left out


def summary(sweep: SweepRecord, best: Sequence[EvaluatedModel]) -> str:
    """The dataset, the trials by state, and the best models with every number on test and on validation."""
    parts = [f"# {sweep.name}", sweep_caption(sweep), f"Dataset: {sweep.dataset_note}"]
    if fresh := confirmed(sweep):
        parts += ["## The best, with fresh seeds", _fresh_seeds(sweep, fresh)]
    if any(record.repeat for record in sweep.trials):
        parts += ["## Configurations, by the mean over their seeds", _configurations(sweep)]
    if any(record.metric == "rate_distortion" for record in sweep.trials):
        parts += ["## The front of rate and distortion", _front(sweep)]
    if best:
        parts += ["## The best on the test split", _models([_test_row(sweep, one) for one in best])]
        parts += ["## The same on the validation split", _models([_validation_row(one) for one in best]), UNITS]
    else:
        parts.append(NO_MODEL)
    failed = [
        f"- {record.trial_id}: {_first_line(record.error)}" for record in sweep.trials if record.state == "failed"
    ]
    fresh_trials = sweep.confirmation.trials if sweep.confirmation else []
    failed += [f"- {FOLDER}/{one.trial_id}: {_first_line(one.error)}" for one in fresh_trials if one.state == "failed"]
    if failed:
        parts.append("\n".join(["Failed trials:\n", *failed]))
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row]) -> str:
    names = dict.fromkeys(name for row in rows for name in row)
    header = [name for name in names if any(row.get(name) for row in rows)]
    cells = [header, ["---"] * len(header), *([row.get(name, "") for name in header] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _models(rows: Sequence[Row]) -> str:
    """A column per model and a row per number: fifteen columns would get a letter each in TensorBoard."""
    names = dict.fromkeys(name for row in rows for name in row if name != MODEL)
    kept = [name for name in names if any(row.get(name) for row in rows)]
    cells = [["", *(row[MODEL] for row in rows)], ["---"] * (1 + len(rows))]
    cells += [[name, *(row.get(name, "") for row in rows)] for name in kept]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _front(sweep: SweepRecord) -> str:
    """Its trials, lowest rate first."""
    chosen = front(sweep)
    if not chosen:
        return NO_FRONT
    title = f"The {len(chosen)} trials that no other beats in both, on the validation split, nats per image:"
    return f"{title}\n\n{_table([_front_row(sweep, record) for record in chosen])}"


def _front_row(sweep: SweepRecord, record: TrialRecord) -> Row:
    reached = record.best
    assert reached is not None
    row = {"trial": record.trial_id, **_values(sweep, record)}
    row |= {"rate": _nats(reached.val_rate), "distortion": _nats(reached.val_distortion)}
    return row | {"validation ELBO (epoch)": f"{_nats(reached.val_elbo)} ({reached.epoch})"}


def _test_row(sweep: SweepRecord, one: EvaluatedModel) -> Row:
    of_trial = {MODEL: f"best {one.rank}", "trial": one.trial, **_values(sweep, one.record)}
    return {**of_trial, **_ranked_by(one), **numbers_row("test ", one.test)}


def _validation_row(one: EvaluatedModel) -> Row:
    of_trial = {MODEL: f"best {one.rank}", "trial": one.trial}
    return of_trial | numbers_row("", one.validation_evaluation)


def _ranked_by(one: EvaluatedModel) -> Row:
    """The number that ranks the trial, at the epoch whose weights these are."""
    epoch = one.validation
    if epoch.val_elbo is None or one.record.metric == "val_distortion":
        return {"validation distortion (epoch)": f"{epoch.val_distortion:.2f} ({epoch.epoch})"}
    return {"validation ELBO (epoch)": f"{epoch.val_elbo:.2f} ({epoch.epoch})"}


def _values(sweep: SweepRecord, record: TrialRecord) -> Row:
    """The searched hyperparameters; no cell for a conditional one that the trial lacks."""
    values = {name: record.params[name] for name in sweep.search if name in record.params}
    return {name: shown(value) for name, value in values.items()}


def numbers_row(of_split: str, found: Evaluation) -> Row:
    """of_split: the start of the columns' names."""
    row: Row = {}
    for name in ("ELBO", "rate", "distortion", "noisy ELBO", "noisy rate", "noisy distortion"):
        row[f"{of_split}{name}"] = _nats(getattr(found, name.lower().replace(" ", "_")))
    row |= _bound(of_split, found)
    at_least = "at least " if found.is_saturated else ""
    row["mutual information"] = at_least + _nats(found.mutual_information)
    if found.kl_per_dimension is not None:
        row["active units"] = f"{found.active_units} of {len(found.kl_per_dimension)}"
    if found.neighbours is not None:
        row[f"accuracy of {found.neighbours.n_neighbours} nearest neighbours"] = f"{found.neighbours.accuracy:.1%}"
    return row | {f"{of_split}images": f"{found.n_images:,}"}


def _bound(of_split: str, numbers: Evaluation) -> Row:
    """The bound, and beside it the ELBO of the images that its gain is from."""
    found = numbers.importance_weighted
    if found is None or numbers.bound is None:
        return {}
    value, error = numbers.bound
    first = f"first {found.n_images:,} images"
    where = f"{first}, z from the prior" if found.proposal == "prior" else f"gain on the {first}"
    shown_error = "" if error is None else f" \N{PLUS-MINUS SIGN} {error:.2f}"
    row = {f"{of_split}bound (K = {found.n_samples:,}, {where})": _nats(value) + shown_error}
    if found.proposal == "prior":
        return row
    return row | {f"ELBO of the {first}": _nats(found.elbo), f"bound of the {first}": _nats(found.bound)}


def _nats(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _configurations(sweep: SweepRecord) -> str:
    """The best configurations, each with the spread over its seeds."""
    ordered = configurations(sweep.trials)
    rows = [_configuration_row(sweep, rank, one) for rank, one in enumerate(ordered[:MOST_CONFIGURATIONS], start=1)]
    rest = len(ordered) - len(rows)
    more = f"\n\nand {rest:,} more in leaderboard.csv" if rest else ""
    return _table(rows) + more + _lead(sweep, [one for one in ordered if one.n and not one.is_failed])


def _lead(sweep: SweepRecord, best_first: Sequence[Configuration]) -> str:
    """Whether the first is ahead of the second by more than a seed does; '' where nobody knows."""
    if len(best_first) < 2:
        return ""
    first, second = best_first[:2]
    found = verdict(sweep, first.scores, second.scores)
    return (
        f"\n\n{first.name} is ahead of {second.name} by {first.mean - second.mean:.2f} nats; {found}." if found else ""
    )


def _fresh_seeds(sweep: SweepRecord, fresh: Sequence[Confirmed]) -> str:
    """What fresh seeds say of the best configurations of the search, and which of them cannot be told apart."""
    says = [_table([_fresh_row(sweep, one) for one in fresh]), shrinkage_line(fresh[0]), noise_line(fresh)]
    first = fresh[0].fresh
    if len(fresh) > 1:
        lead = f"1 is ahead of 2 by {first.mean - fresh[1].mean:.2f} nats"
        says.append(f"{lead}; {verdict(sweep, first.scores, fresh[1].fresh.scores)}.")
    return "\n\n".join(filter(None, says))


def _fresh_row(sweep: SweepRecord, one: Confirmed) -> Row:
    record = one.fresh.records[0]
    is_distortion = record.metric == "val_distortion"
    name, sign = ("distortion", -1) if is_distortion else ("ELBO", 1)
    row = {"rank": str(one.rank), "configuration": one.name, **_values(sweep, one.first.records[0])}
    row |= {f"validation {name}, fresh seeds": _nats(sign * one.mean), "standard deviation": _nats(one.sd)}
    row |= {"seeds": str(one.fresh.n), "epochs": str(record.config.epochs)}
    row |= {"in the search": _nats(sign * one.first.mean), "rank in the search": str(one.rank_in_search)}
    return row | {"shrinkage": _nats(one.shrinkage)}


def _configuration_row(sweep: SweepRecord, rank: int, one: Configuration) -> Row:
    row = {"rank": str(rank), "configuration": one.name, **_values(sweep, one.records[0])}
    if one.is_failed or not one.n:
        return row | {"seeds": "one failed" if one.is_failed else "none yet"}
    has_elbo = bool(one.values("val_elbo")) and one.records[0].metric != "val_distortion"
    name = "ELBO" if has_elbo else "distortion"
    mean = one.mean if has_elbo else -one.mean  # what ranks is -D
    spread = "" if one.sd is None else f"{one.sd:.2f}"
    return row | {f"validation {name}": f"{mean:.2f}", "standard deviation": spread, "seeds": str(one.n)}


def _first_line(error: str) -> str:
    """The last line of a traceback, which says what happened; error.txt in the trial's folder has the rest."""
    lines = error.strip().splitlines()
    return lines[-1] if lines else "no message"
