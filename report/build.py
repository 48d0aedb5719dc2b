"""Build a sweep's report: its figures and those of its best models, as PNG, as GIF, in TensorBoard and in one page."""

from collections.abc import Callable, Iterator
from pathlib import Path

from report.drawing.captions import sweep_caption
from report.drawing.checkpoint.figures import checkpoint_figures
from report.drawing.style import render
from report.drawing.sweep.figures import sweep_figures
from report.drawing.sweep.sheet import draw_sheet
from report.models.best import export_best
from report.models.checkpoints import HeldOut, Look
from report.models.evaluated import EvaluatedModel
from report.models.subject import Subject
from report.numbers.sweep.sheet import sheet
from report.output.event_files import write_images
from report.output.gif import animations
from report.output.projector import write_projector
from report.output.summary import NO_MODEL, summary
from report.output.tags import animation_tag, model_tag, sweep_tag
from report.page.document import write_page
from report.page.final import final_page
from tuning.records import SweepRecord
from vae.errors import CheckpointError
from vae.files import LocalFiles, rebuilt
from vae.storage.snapshots import SNAPSHOTS_FILE

Say = Callable[[str], None]


def build_report(sweep: SweepRecord, data_dir: Path, top_k: int, say: Say) -> Path:
    """Rebuild best/ and report/ in the sweep's folder; returns the report's folder.

    There is a report however far the sweep has come. Raises UserError if the data cannot be read or a folder cannot
    be written; an older report then stays.
    """
    best = export_best(sweep, data_dir, top_k, say)
    if not best:
        say(NO_MODEL)
    text = summary(sweep, best)
    look = HeldOut(sweep, data_dir).subject
    subjects = [look(one.checkpoint) for one in best]
    images: dict[str, bytes] = {}
    figures: dict[int, dict[str, bytes]] = {one.rank: {} for one in best}
    with rebuilt(sweep.folder / "report") as folder:
        for path, tag, content in _images(sweep, best, look, say):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
            images[tag] = content
            if (rank := Path(path).parent.name.removeprefix("best_")).isdigit():
                figures[int(rank)][Path(path).stem + "_over_training" * path.endswith(".gif")] = content
        _write_projector(subjects, folder)
        (folder / "summary.md").write_text(text, encoding="utf-8")
        write_page(folder, final_page(sweep, best, figures, data_dir, say))
    # Written into the finished folder: TensorBoard would take a half-built sibling for a run of its own.
    write_images(sweep.folder / "report", images, text)
    return sweep.folder / "report"


def _images(sweep: SweepRecord, best: list[EvaluatedModel], look: Look, say: Say) -> Iterator[tuple[str, str, bytes]]:
    """(path below report/, TensorBoard tag, content) of every figure and animation."""
    say(f"Drawing the sweep's figures: {len(sweep.trials)} trials")
    for name, figure in sweep_figures(sweep):
        yield f"{name}.png", sweep_tag(name), render(figure)
    yield "sheet.png", sweep_tag("sheet"), render(draw_sheet(sheet(sweep, look, say), sweep_caption(sweep)))
    for one in best:
        say(f"Drawing best {one.rank} of {len(best)}: trial {one.trial}")
        for name, figure in checkpoint_figures(look(one.checkpoint)):
            yield f"best_{one.rank}/{name}.png", model_tag(one.rank, name), render(figure)
        for kind, gif in _animations(sweep.folder / "best" / str(one.rank), say):
            yield f"best_{one.rank}/{kind}.gif", animation_tag(one.rank, kind), gif


def _animations(folder: Path, say: Say) -> list[tuple[str, bytes]]:
    """(kind, GIF) of one of the best models; [] and a line to `say` if its snapshots cannot be read."""
    content = LocalFiles(folder).read(SNAPSHOTS_FILE)
    try:
        return [] if content is None else list(animations(content, str(folder / SNAPSHOTS_FILE)))
    except CheckpointError as error:
        say(f"Skipped the animations: {error}")
        return []


def _write_projector(subjects: list[Subject], folder: Path) -> None:
    """Write the codes of the best model that has an encoder."""
    for subject in subjects:
        if write_projector(subject, folder):
            return
