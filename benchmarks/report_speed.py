"""What a report costs: its seconds with the work shared by all cores, and with one thread and one process.

    python -m benchmarks.report_speed [--dataset mnist] [--trials 8] [--best 3]

A small sweep is trained once, without Ray; then its report is built in turns, first without and then with the sharing,
so that a machine whose speed drifts drifts for both. CPU seconds stand beside the seconds of the clock: on a machine
that is busy with other things only they can be compared. Aim on four free cores: under 6 s for the best three of
MNIST, under 3 s for digits.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.hardware import describe
from report.build import build_report
from tuning.records import SweepRecord, TrialRecord
from vae.cli.arguments import all_cores
from vae.config import TrialConfig
from vae.datasets.names import default_data_dir, short_name
from vae.datasets.registry import load, resolve, spec
from vae.files import LocalFiles
from vae.training.pack import Pack
from vae.training.trial import Training

LATENT_SIZES, BETAS = (2, 20, 20, 5, 32, 2, 10, 40), (1.0, 1.0, 0.5, 2.0, 1.0, 0.25, 0.7, 4.0)
SEARCH = {
    "latent_size": {"type": "int", "low": 2, "high": 64, "log": True},
    "beta": {"type": "float", "low": 0.25, "high": 4.0, "log": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--best", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(*describe(("torch", "matplotlib")), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        swept = trained(Path(folder) / "sweep", resolve(options.dataset, options.data_dir)[0], options)
        sides: dict[str, list[tuple[float, float]]] = {"alone": [], "shared": []}
        for turn in range(options.turns + 1):
            for name, seconds in sides.items():
                one = report_seconds(swept, options, 1 if name == "alone" else all_cores())
                if turn:  # the first one pays for imports
                    seconds.append(one)
    what = f"{short_name(swept.dataset)}, {options.trials} trials, best {options.best}"
    for name, seconds in sides.items():
        print(f"{what}, {name}: {spread([one for one, _ in seconds])} s, CPU {spread([cpu for _, cpu in seconds])} s")


def trained(folder: Path, dataset: str, options: argparse.Namespace) -> SweepRecord:
    """A sweep whose trials are complete, with their files as training leaves them."""
    train, validation = (load(dataset, options.data_dir, split) for split in ("train", "validation"))
    pack = Pack(torch.from_numpy(train.pixels), torch.from_numpy(validation.pixels))
    shape = spec(dataset, options.data_dir).image_shape
    records = []
    for number in range(options.trials):
        place = number % len(BETAS)
        params: dict[str, Any] = {"latent_size": LATENT_SIZES[place], "beta": BETAS[place]}
        config = TrialConfig(epochs=options.epochs, seed=number, **params)
        record = TrialRecord(f"{number:04d}", params, config, "complete", [])
        training = Training(pack, config, dataset, shape, LocalFiles(folder / record.folder))
        while not training.is_done:
            record.history.append(training.next_epoch())
        training.leave()
        records.append(record)
    return SweepRecord("speed", folder, dataset, dataset, shape, SEARCH, {"space": {"compare": "beta"}}, records)


def report_seconds(swept: SweepRecord, options: argparse.Namespace, n_cores: int) -> tuple[float, float]:
    """Of one report: seconds by the clock, and of CPU in all threads and processes."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    build_report(swept, options.data_dir, options.best, lambda _: None, n_cores)
    return time.perf_counter() - wall, cpu_seconds() - cpu


def cpu_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
