"""Draw the figures of one checkpoint folder: `python -m report FOLDER`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from report.figures import checkpoint_figures
from report.style import render
from report.views import Subject
from vae.checkpoint import Description, load_model
from vae.data import DATASETS, default_data_dir, load
from vae.errors import CheckpointError, UserError
from vae.files import LocalFiles
from vae.metrics import EpochMetrics


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 2 for what the user can put right, said in one line."""
    parsed = _parser().parse_args(arguments)
    try:
        draw(parsed.folder, parsed.data_dir, parsed.out or parsed.folder / "figures")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def draw(folder: Path, data_dir: Path, out: Path) -> None:
    """Every figure of the model in a folder, on the validation split. Raises UserError."""
    model, description = load_model(folder)
    if description.dataset not in DATASETS:
        known = ", ".join(DATASETS)
        raise CheckpointError(f"{folder}: of dataset {description.dataset!r}; this version knows {known}")
    images = load(description.dataset, data_dir, "validation")
    subject = Subject.of(model, description, "validation", images, read_history(folder, description))
    for name, figure in checkpoint_figures(subject):
        try:
            LocalFiles(out).write(f"{name}.png", render(figure))
        except OSError as error:
            raise UserError(f"{out / name}.png: cannot write ({error.strerror or error})") from error
        print(out / f"{name}.png")


def read_history(folder: Path, description: Description) -> list[EpochMetrics]:
    """metrics.jsonl, which has the epochs after the best one too; without it, the model file's own history."""
    content = LocalFiles(folder).read("metrics.jsonl")
    if content is None:
        return description.history
    lines = content.decode("utf-8", errors="replace").split("\n")
    complete = lines[:-1]  # a last line without its end was being written
    try:
        return [EpochMetrics(**json.loads(line)) for line in complete if line]
    except (ValueError, TypeError):
        raise CheckpointError(f"{folder / 'metrics.jsonl'}: not one epoch's metrics per line") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m report", description="Draw the figures of one trained model.")
    parser.add_argument("folder", type=Path, help="holds model.safetensors: from `python -m vae`, best/1, trials/ID")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="default: VAE_DATA_DIR, or data/")
    parser.add_argument("--out", type=Path, help="folder for the PNG files; default: FOLDER/figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
