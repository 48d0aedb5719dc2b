"""Build a sweep's report: its figures and those of its best models, as PNG, as GIF, in TensorBoard and in one page."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from report import drawn
from report.drawn import Drawn, Job, Picture
from report.models.best import export_best, read_best
from report.models.checkpoints import Checkpoint, HeldOut
from report.models.evaluated import EvaluatedModel
from report.numbers.sweep.sheet import compared_models
from report.output.event_files import write_images
from report.output.projector import write_projector
from report.output.summary import NO_MODEL, summary
from report.output.tags import animation_tag, model_tag, sweep_tag
from report.page.document import write_page
from report.page.final import final_page
from tuning.records import SweepRecord
from vae.backend.processes import Beside
from vae.cli.arguments import all_cores
from vae.cli.interrupt import kept_ctrl_c
from vae.files import rebuilt

Say = Callable[[str], None]


def build_report(sweep: SweepRecord, data_dir: Path, top_k: int, say: Say, n_cores: int | None = None) -> Path:
    """Rebuild best/ and report/ in the sweep's folder; returns the report's folder.

    There is a report however far the sweep has come. n_cores: that share the work, all by default. Raises UserError
    if the data cannot be read or a folder cannot be written; an older report then stays.
    """
    n_cores = n_cores or all_cores()
    with kept_ctrl_c() as check:

        def tell(line: str) -> None:
            check()
            say(line)

        checkpoints, held_out = read_best(sweep, top_k, tell), HeldOut(sweep, data_dir)
        jobs = _jobs(sweep, checkpoints, held_out, tell)
        # Processes draw while threads of this one find the numbers; the processes must begin before the threads do.
        with Beside(jobs, n_cores) as beside:
            best = export_best(sweep, checkpoints, data_dir, tell, n_cores)
            if not best:
                tell(NO_MODEL)
            text = summary(sweep, best)
            images: dict[str, bytes] = {}
            on_page: dict[int, dict[str, bytes]] = {one.rank: {} for one in best}
            with rebuilt(sweep.folder / "report") as folder:
                for rank, picture in _pictures(beside, checkpoints, best, tell):
                    check()
                    _write(picture, folder / f"best_{rank}" if rank else folder)
                    images[_tag(picture, rank)] = picture.file
                    if rank:
                        on_page[rank][picture.title] = picture.on_page
                _write_projector(best, held_out, folder)
                (folder / "summary.md").write_text(text, encoding="utf-8")
                write_page(folder, final_page(sweep, best, on_page, data_dir, tell, n_cores))
                check()
        # Written into the finished folder: TensorBoard would take a half-built sibling for a run of its own.
        write_images(sweep.folder / "report", images, text)
    return sweep.folder / "report"


def _jobs(sweep: SweepRecord, checkpoints: Sequence[Checkpoint], held_out: HeldOut, say: Say) -> list[Job]:
    """What is to draw: a job for each checkpoint, then the sweep's figures and the sheet."""
    compared = compared_models(sweep, say)
    if checkpoints or compared.models:
        held_out.load()
    say(f"Drawing the sweep's figures: {len(sweep.trials)} trials")
    of_models = [drawn.of_model(sweep, one, held_out.subject) for one in checkpoints]
    return [*of_models, drawn.of_sweep(sweep), drawn.of_sheet(sweep, compared, held_out.subject)]


def _pictures(
    beside: Beside[Drawn], checkpoints: Sequence[Checkpoint], best: Sequence[EvaluatedModel], say: Say
) -> Iterator[tuple[int, Picture]]:
    """(rank, picture) of all that was drawn; rank 0: of the sweep. What was drawn of a skipped model is left out."""
    of_models = list(range(len(checkpoints)))
    for place in (len(of_models), len(of_models) + 1):
        yield from ((0, picture) for picture in beside.result(place).pictures)
    for one in best:
        say(f"Drawing best {one.rank} of {len(best)}: trial {one.trial}")
        found = beside.result(next(place for place in of_models if checkpoints[place] is one.checkpoint))
        for line in found.said:
            say(line)
        yield from ((one.rank, picture) for picture in found.pictures)


def _write(picture: Picture, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / picture.file_name).write_bytes(picture.file)


def _tag(picture: Picture, rank: int) -> str:
    if not rank:
        return sweep_tag(picture.name)
    return (animation_tag if picture.is_animation else model_tag)(rank, picture.name)


def _write_projector(best: Sequence[EvaluatedModel], held_out: HeldOut, folder: Path) -> None:
    """Write the codes of the best model that has an encoder."""
    for one in best:
        if write_projector(held_out.subject(one.checkpoint), folder):
            return
