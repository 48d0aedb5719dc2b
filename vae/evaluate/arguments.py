"""The command line of `python -m vae.evaluate`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vae.cli.arguments import Parser, all_cores, compute_faults, device_named, integer_fault
from vae.datasets.names import default_data_dir
from vae.datasets.types import SplitName
from vae.errors import UserError
from vae.evaluate.importance import MOST_SAMPLES
from vae.evaluate.latents import MOST_REFERENCES

SPLITS: tuple[SplitName, ...] = ("validation", "test")
MOST_IMAGES = 10_000_000
NUMBERS = {"--importance-samples": MOST_SAMPLES, "--images": MOST_IMAGES, "--neighbours": MOST_REFERENCES}


@dataclass(frozen=True)
class EvaluateOptions:
    """The command line, checked. n_images: for the importance-weighted bound only."""

    folder: Path
    split: SplitName
    n_samples: int
    n_images: int
    n_neighbours: int
    data_dir: Path
    threads: int
    device: str


def parse(arguments: Sequence[str] | None) -> EvaluateOptions:
    """Raises UserError with every fault, one a line."""
    given = _parser().parse_args(arguments)
    faults = [] if given.split in SPLITS else [f"--split {given.split}: must be one of {', '.join(SPLITS)}"]
    for flag, most in NUMBERS.items():
        faults += integer_fault(flag, getattr(given, flag.removeprefix("--").replace("-", "_")), most)
    faults += compute_faults(given.threads, given.device)
    if faults:
        raise UserError("\n".join(faults))
    counts = (int(given.importance_samples), int(given.images), int(given.neighbours))
    return EvaluateOptions(
        given.folder, given.split, *counts, given.data_dir, int(given.threads), device_named(given.device)
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m vae.evaluate", description="Every number of a trained model.", allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="holds model.safetensors: from `python -m vae`, best/1, trials/ID")
    parser.add_argument("--split", default="validation", help=f"{'|'.join(SPLITS)} (default validation)")
    about = "K of the importance-weighted bound (default 500)"
    parser.add_argument("--importance-samples", default="500", metavar="K", help=about)
    about = "of the bound only: the split's first N (default 1000); all other numbers are of the whole split"
    parser.add_argument("--images", default="1000", metavar="N", help=about)
    about = f"whose labels vote, of the first {MOST_REFERENCES:,} training images (default 5)"
    parser.add_argument("--neighbours", default="5", metavar="N", help=about)
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="default: VAE_DATA_DIR, or data/")
    parser.add_argument("--threads", default=str(all_cores()), help="CPU threads of the bound (default: all cores)")
    parser.add_argument("--device", default="auto", help="auto|cpu|cuda (default auto: cuda where there is one)")
    return parser
