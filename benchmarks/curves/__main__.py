"""Train the configurations whose curves the driver's benchmarks replay.

    python -m benchmarks.curves --configurations 320 --images 10000

Random configurations of search_spaces/beta_study.yaml, each trained for its 30 epochs on the first images of MNIST's
training split and evaluated on the first 1,000 of its validation split, one after the other in one thread. Every
configuration is a line of --lines when it ends, so a run that was stopped goes on where it was; when all are there they
are written as benchmarks/curves/beta_study.npz.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.curves import COLUMNS, CURVES_FILE, NAMES
from tuning.search.study import Study
from tuning.space.load import load_space
from tuning.space.model import SearchSpace
from tuning.space.samplers import Random
from vae.backend.products import prefer_fast_products
from vae.datasets import registry
from vae.datasets.names import default_data_dir
from vae.training.pack import Pack

SEED = 0
N_VALIDATION = 1_000


def configurations(space: SearchSpace, n: int) -> list[dict[str, Any]]:
    """The first `n` random proposals of a sweep of seed 0."""
    drawn = space.model_copy(update={"sampler": Random(type="random"), "baselines": []})
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder), drawn, SEED)
        return [study.propose()[1] for _ in range(n)]


def train(space: SearchSpace, params: dict[str, Any], pack: Pack) -> Iterator[list[float]]:
    """The numbers of each epoch, in the order of COLUMNS."""
    slot = pack.join(space.config(params, SEED))
    for _ in range(space.epochs):
        metrics = pack.epoch([slot])[slot]
        yield [getattr(metrics, name) for name in COLUMNS]


def write(lines: list[dict[str, Any]], n_images: int) -> None:
    """configurations: float64 [n, NAMES]; curves: float32 [n, epochs, COLUMNS]."""
    np.savez_compressed(
        CURVES_FILE,
        configurations=np.array([[line["params"][name] for name in NAMES] for line in lines]),
        curves=np.array([line["curve"] for line in lines], dtype=np.float32),
        n_images=np.array(n_images),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configurations", type=int, default=320)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--lines", type=Path, default=Path("beta_study.jsonl"), help="a line for each that has ended")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    prefer_fast_products("cpu")
    pixels = {split: registry.load("mnist", chosen.data_dir, split).pixels for split in ("train", "validation")}
    splits = (torch.from_numpy(pixels["train"][: chosen.images]), torch.from_numpy(pixels["validation"][:N_VALIDATION]))
    space = load_space("beta_study")
    lines = [json.loads(line) for line in chosen.lines.read_text().splitlines()] if chosen.lines.exists() else []
    pack = Pack(*splits)
    for params in configurations(space, chosen.configurations)[len(lines) :]:
        lines.append({"params": params, "curve": list(train(space, params, pack))})
        with chosen.lines.open("a") as file:
            file.write(json.dumps(lines[-1]) + "\n")
    write(lines, chosen.images)


if __name__ == "__main__":
    main()
