"""The pictures of a report, as jobs that can be done beside each other: the sweep's, the sheet, and one for each model.

A job reads no file of the sweep, which may be in a bucket: what it draws from was read before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from report.drawing.captions import sweep_caption
from report.drawing.checkpoint.figures import checkpoint_figures
from report.drawing.style import render
from report.drawing.sweep.figures import sweep_figures
from report.drawing.sweep.sheet import draw_sheet
from report.models.best import sweep_of
from report.models.checkpoints import Checkpoint, Look
from report.numbers.sweep.sheet import ComparedModels, sheet
from report.output.gif import animations
from report.page.pictures import figure_webp
from tuning.records import SweepRecord
from vae.errors import CheckpointError
from vae.storage.snapshots import SNAPSHOTS_FILE


@dataclass(frozen=True)
class Picture:
    """A figure or an animation: its file (PNG or GIF), and what the page shows of it (WebP or GIF)."""

    name: str
    file: bytes
    on_page: bytes = b""

    @property
    def is_animation(self) -> bool:
        return self.file.startswith(b"GIF8")

    @property
    def file_name(self) -> str:
        return f"{self.name}.{'gif' if self.is_animation else 'png'}"

    @property
    def title(self) -> str:
        return f"{self.name}_over_training" if self.is_animation else self.name


@dataclass(frozen=True)
class Drawn:
    """What a job has drawn, and what the user should know of it."""

    pictures: list[Picture]
    said: tuple[str, ...] = ()


Job = Callable[[], Drawn]


def of_sweep(sweep: SweepRecord) -> Job:
    return partial(_draw_sweep, sweep)


def of_sheet(sweep: SweepRecord, models: ComparedModels, look: Look) -> Job:
    return partial(_draw_sheet, sweep, models, look)


def of_model(sweep: SweepRecord, checkpoint: Checkpoint, look: Look) -> Job:
    """Reads its snapshots now."""
    return partial(
        _draw_model, checkpoint, sweep_of(checkpoint, sweep).files_of(checkpoint.record).read(SNAPSHOTS_FILE), look
    )


def _draw_sweep(sweep: SweepRecord) -> Drawn:
    return Drawn([Picture(name, render(figure)) for name, figure in sweep_figures(sweep)])


def _draw_sheet(sweep: SweepRecord, models: ComparedModels, look: Look) -> Drawn:
    return Drawn([Picture("sheet", render(draw_sheet(sheet(models, look), sweep_caption(sweep))))])


def _draw_model(checkpoint: Checkpoint, snapshots: bytes | None, look: Look) -> Drawn:
    pictures = [_figure(name, figure) for name, figure in checkpoint_figures(look(checkpoint))]
    where = f"{checkpoint.record.model_folder}/{SNAPSHOTS_FILE}"
    try:
        gifs = [] if snapshots is None else list(animations(snapshots, where))
    except CheckpointError as error:
        return Drawn(pictures, (f"Skipped the animations: {error}",))
    return Drawn(pictures + [Picture(kind, gif, gif) for kind, gif in gifs])


def _figure(name: str, figure: Figure) -> Picture:
    png = render(figure)
    return Picture(name, png, figure_webp(png))
