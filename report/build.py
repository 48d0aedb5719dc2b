"""A sweep's report: its figures and those of its best models, as PNG and in TensorBoard."""

from collections.abc import Callable, Iterator
from pathlib import Path

from report.best import BestModel, export_best
from report.events import EventFile
from report.figures import checkpoint_figures
from report.study_figures import sweep_figures
from report.style import render
from report.summary import NO_MODEL, summary
from report.swap import rebuilt
from report.views import Subject
from tuning.records import SweepRecord
from vae.data import Images, load
from vae.errors import UserError

Say = Callable[[str], None]


def build_report(sweep: SweepRecord, data_dir: Path, top_k: int, say: Say) -> Path:
    """Rebuild best/ and report/ in the sweep's folder; returns the report's folder.

    Whatever the sweep has reached, there is a report. Raises UserError where the data cannot be read
    or a folder cannot be written; a report that was there then stays.
    """
    best = export_best(sweep, data_dir, top_k, say)
    if not best:
        say(NO_MODEL)
    text = summary(sweep, best)
    images: dict[str, bytes] = {}
    with rebuilt(sweep.folder / "report") as folder:
        for path, tag, png in _figures(sweep, best, data_dir, say):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(png)
            images[tag] = png
        (folder / "summary.md").write_text(text, encoding="utf-8")
    _write_events(sweep.folder / "report", images, text)
    return sweep.folder / "report"


def _figures(sweep: SweepRecord, best: list[BestModel], data_dir: Path, say: Say) -> Iterator[tuple[str, str, bytes]]:
    """(path below report/, TensorBoard tag, PNG) of every figure."""
    say(f"Drawing the sweep's figures: {len(sweep.trials)} trials")
    for name, figure in sweep_figures(sweep):
        yield f"{name}.png", f"sweep/{name}", render(figure)
    validation = load(sweep.dataset, data_dir, "validation") if best else None
    for one in best:
        assert validation is not None
        say(f"Drawing best {one.rank} of {len(best)}: trial {one.record.trial_id}")
        for name, figure in checkpoint_figures(_subject(one, validation)):
            yield f"rank_{one.rank}/{name}.png", f"best_{one.rank}/{name}", render(figure)


def _subject(one: BestModel, validation: Images) -> Subject:
    return Subject.of(one.checkpoint.model, one.checkpoint.description, "validation", validation, one.record.history)


def _write_events(folder: Path, images: dict[str, bytes], text: str) -> None:
    """Into the finished folder, because TensorBoard would take the one beside it for a run of its own."""
    try:
        with EventFile(folder) as file:
            file.text("summary", text)
            for tag, png in images.items():
                file.image(tag, png, step=0)
    except OSError as error:
        raise UserError(f"{folder}: cannot write TensorBoard's events ({error.strerror or error})") from error
