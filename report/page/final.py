"""The page of a sweep that has ended: with what its models show, and the best ones in full."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from report.labels import name_of
from report.models.evaluated import EvaluatedModel
from report.numbers.sweep.importance import importance
from report.output.summary import numbers_row
from report.page.contents import contents, how_it_ended, with_pictures
from report.page.document import page
from report.page.models import shown_by_models
from report.page.pictures import Album, n_characters
from tuning.records import SweepRecord

MOST_BYTES = 2_400_000  # of the page; figures of the best models that would go beyond are left out, the last first


def final_page(
    sweep: SweepRecord,
    best: Sequence[EvaluatedModel],
    figures: Mapping[int, Mapping[str, bytes]],
    data_dir: Path,
    say: Callable[[str], None],
    n_threads: int,
) -> str:
    """figures: WebP or GIF, by the rank of a model and by name."""
    trials = with_pictures(sweep.trials)
    say(f"Drawing the page: pictures of {len(trials)} trials")
    album = Album()
    data = contents(sweep, shown_by_models(sweep, trials, data_dir, say, n_threads), album, how_it_ended(sweep))
    data["sweeps"][0]["importance"] = _importance(sweep)
    room = MOST_BYTES - len(page(data)) + album.n_bytes
    for one in best:
        model = _model(one, figures.get(one.rank, {}), album, room - album.n_bytes)
        data["sweeps"][0]["models"].append(model)
    return page(data)


def _importance(sweep: SweepRecord) -> dict[str, Any]:
    """The share of each hyperparameter with its interval, and what it is a share of."""
    found = importance(sweep)
    if not found.shares:
        return {"rows": [], "note": found.why_not}
    ranges = found.intervals
    rows = [
        {"label": name_of(name), "share": share, "interval": ranges.get(name)} for name, share in found.shares.items()
    ]
    at = f", each at epoch {found.by_epoch} at the latest" if found.by_epoch else ""
    note = f"Share in what sets the best {found.n_top} of {found.n_trials:,} trials apart{at} (PED-ANOVA)."
    if ranges:
        note += " The line: 5 to 95 % when the trials are drawn anew."
    if found.undecided:
        note += " Which matters most is not decided: the intervals overlap."
    return {"rows": rows, "note": note}


def _model(one: EvaluatedModel, figures: Mapping[str, bytes], album: Album, room: int) -> dict[str, Any]:
    """A model's numbers, and as many of its figures as there is room for."""
    rows = numbers_row("test ", one.test) | numbers_row("validation ", one.validation_evaluation)
    shown, left_out = [], []
    for name, picture in figures.items():
        words, is_gif = name.replace("_", " "), picture.startswith(b"GIF8")
        if n_characters(picture) > room:
            left_out.append(words)
            continue
        room -= n_characters(picture)
        shown.append([words, album.add(picture, "gif" if is_gif else "webp")])
    where = f"To keep the page small, these are in report/best_{one.rank}/ only: {', '.join(left_out)}."
    return {
        "rank": one.rank,
        "trial_id": one.trial,
        "numbers": [[name, value] for name, value in rows.items() if value],
        "figures": shown,
        "left_out": where if left_out else "",
    }
