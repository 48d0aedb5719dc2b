"""Draw the figures of one checkpoint folder: `python -m report FOLDER`; or compare sweeps: `python -m report A B`."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from report.drawing.checkpoint.figures import checkpoint_figures
from report.drawing.style import render
from report.models.checkpoints import name_of_model
from report.models.subject import Subject
from report.options import ANIMATIONS, PROJECTOR, Options, parse
from report.output.event_files import write_images
from report.output.gif import draw_animations
from report.output.projector import write_projector
from report.page.document import PAGE_FILE, page, write_page
from report.page.merge import merged, read_page
from vae.datasets.registry import spec
from vae.errors import CheckpointError, UserError
from vae.files import LocalFiles, cannot_write
from vae.model.metrics import EpochMetrics
from vae.storage.checkpoint import Description, images_of, load_model

TRIALS = "trials"  # of a sweep's folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 2 for a fault that the user can put right, reported one per line."""
    try:
        options = parse(arguments)
        for path in compare(options) if options.others else draw(options):
            print(path, flush=True)
    except UserError as error:
        print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 2
    return 0


def draw(options: Options) -> Iterator[Path]:
    """Draw every figure of the model in a folder, on the validation split, then write TensorBoard's events of them.

    Yields each path once it is written. Raises UserError.
    """
    subject = read_subject(options.folder, options.data_dir)
    if faults := options.figures.faults_of(subject):
        raise UserError("\n".join(faults))
    images: dict[str, bytes] = {}
    for name, figure in checkpoint_figures(subject, options.figures, options.only):
        images[name] = render(figure)
        content = images[name] if options.format == "png" else render(figure, options.format)
        yield _write(options.out, f"{name}.{options.format}", content)
    for path in draw_animations(options.folder, options.out) if options.wants(ANIMATIONS) else ():
        images[f"{path.stem}_over_training"] = path.read_bytes()
        yield path
    yield write_images(options.out, images)
    if options.wants(PROJECTOR):
        yield from write_projector(subject, options.out)


def compare(options: Options) -> Iterator[Path]:
    """Write one page of several sweeps. Raises UserError."""
    text = page(merged([read_page(folder) for folder in (options.folder, *options.others)]))
    with cannot_write(options.out / PAGE_FILE):
        write_page(options.out, text)
    yield options.out / PAGE_FILE


def _write(folder: Path, name: str, content: bytes) -> Path:
    with cannot_write(folder / name):
        LocalFiles(folder).write(name, content)
    return folder / name


def read_subject(folder: Path, data_dir: Path) -> Subject:
    """The model in a folder, on the validation split. Raises UserError."""
    model, description = load_model(folder)
    images = images_of(description, folder, data_dir, "validation")
    names, history = spec(description.dataset, data_dir).class_names, read_history(folder, description)
    try:
        return Subject.of(model, description, "validation", images, history, names, name_in(folder))
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from None


def name_in(folder: Path) -> str:
    """The sweep and the trial of the model in a folder: of best/1 its metrics.json says them, of trials/ID its path."""
    try:
        said = json.loads(LocalFiles(folder).read("metrics.json") or b"{}")
        return name_of_model(said["sweep"], said["trial_id"])
    except (ValueError, TypeError, KeyError):
        place = folder.resolve()
        while place.name.startswith("attempt-"):
            place = place.parent
        return name_of_model(place.parents[1].name, place.name) if place.parent.name == TRIALS else ""


def read_history(folder: Path, description: Description) -> list[EpochMetrics]:
    """The epochs in metrics.jsonl, which go beyond the best one; without that file, the model file's own history."""
    content = LocalFiles(folder).read("metrics.jsonl")
    if content is None:
        return description.history
    lines = content.decode("utf-8", errors="replace").split("\n")
    complete = lines[:-1]  # a last line without a line break was still being written
    try:
        return [EpochMetrics(**json.loads(line)) for line in complete if line]
    except (ValueError, TypeError):
        raise CheckpointError(f"{folder / 'metrics.jsonl'}: not one epoch's metrics per line") from None


if __name__ == "__main__":
    sys.exit(main())
