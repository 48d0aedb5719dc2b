"""The same configurations swept twice on this machine: the plain Ray Tune way, and ours.

    python -m benchmarks.sweep_throughput --trials 8 --epochs 3

(a) benchmarks/plain_ray_tune.py: a DataLoader, a function trainable, torch.save, Tune's own loggers and
OptunaSearch, as Ray's documentation writes it. (b) python sweep.py. Both train the same configurations
on MNIST with one CPU per trial and no early stopping. Wall seconds run from the start of the process
to the end of the last trial; ours then draws its report, which is given by itself.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.hardware import describe
from tuning.store.folder import Folder
from tuning.store.ledger import read_trials
from vae.datasets.names import default_data_dir

REPOSITORY = Path(__file__).resolve().parent.parent
HIDDEN_UNITS = 400


@dataclass
class Measured:
    """One run of one side. val_elbo: of the last epoch, by configuration."""

    wall_seconds: float
    training_seconds: float
    slots: int
    val_elbo: list[float]
    report_seconds: float = math.nan

    @property
    def overhead_seconds(self) -> float:
        """Wall time that is not training: start-up, scheduling, waiting, and slots that stand idle at the end."""
        return self.wall_seconds - self.training_seconds / self.slots


def configurations(n_trials: int) -> list[dict[str, Any]]:
    """Random ones of a fixed seed, all of one width, so that no side is lucky with the order."""
    draw = np.random.default_rng(0)
    return [
        {
            "latent_size": int(2 ** draw.uniform(1, 6)),
            "hidden_units": HIDDEN_UNITS,
            "learning_rate": float(10 ** draw.uniform(-3.5, -2.5)),
            "beta": float(4 ** draw.uniform(-1, 1)),
        }
        for _ in range(n_trials)
    ]


def run_plain(configs: list[dict[str, Any]], epochs: int, data_dir: Path, more: list[str]) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        given, output = Path(folder) / "configs.json", Path(folder) / "output.json"
        given.write_text(json.dumps(configs))
        script = REPOSITORY / "benchmarks" / "plain_ray_tune.py"
        command = [sys.executable, str(script), "--configs", str(given), "--epochs", str(epochs)]
        command += ["--data-dir", str(data_dir), "--output", str(output), *more]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        result = json.loads(output.read_text())
    trials = result["trials"]
    return Measured(
        result["wall_seconds"],
        sum(trial["training_seconds"] for trial in trials),
        result["n_slots"],
        [trial["val_elbo"] for trial in trials],
    )


def run_ours(configs: list[dict[str, Any]], epochs: int, data_dir: Path) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        space = Path(folder) / "space.yaml"
        space.write_text(yaml.safe_dump(_space(configs, epochs)))
        command = [sys.executable, str(REPOSITORY / "sweep.py"), "--space", str(space), "--name", "ours"]
        command += ["--storage", folder, "--data-dir", str(data_dir)]
        return _timed_sweep(command, Path(folder) / "ours", len(configs))


def _timed_sweep(command: list[str], sweep: Path, n_trials: int) -> Measured:
    """Run sweep.py and read off its folder what its trials took."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=sweep.parent)
    assert process.stdout is not None
    ended = (time.perf_counter() for line in process.stdout if line.startswith(f"{n_trials}/{n_trials}"))
    swept = next(ended) - started
    process.stdout.read()
    whole = time.perf_counter() - started
    if process.wait():
        raise SystemExit(f"sweep.py ended with {process.returncode}")
    trials = read_trials(Folder(sweep))
    slots = json.loads((sweep / "manifest.json").read_text())["runs"][-1]["hardware"]["slots"]
    elbo = [value for trial in trials if (value := trial.history[-1].val_elbo) is not None]
    return Measured(swept, sum(trial.seconds for trial in trials), slots, elbo, whole - swept)


def _space(configs: list[dict[str, Any]], epochs: int) -> dict[str, Any]:
    return {
        "description": "benchmark",
        "dataset": "mnist",
        "trials": len(configs),
        "epochs": epochs,
        "search": {
            "latent_size": {"type": "int", "low": 2, "high": 64, "log": True},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "beta": {"type": "float", "low": 0.25, "high": 4.0, "log": True},
        },
        "fixed": {"hidden_units": HIDDEN_UNITS},
        "scheduler": {"type": "none"},
        "sampler": {"type": "tpe"},
        "baselines": [{name: c[name] for name in c if name != "hidden_units"} for c in configs],
    }


def gpu_row(data_dir: Path, n_trials: int, epochs: int) -> str:
    """A whole sweep with ASHA on the GPUs here, packed: wall seconds, how busy nvidia-smi saw them, and the share of
    the slots' time that was not training. Where there is no GPU it says so."""
    if not torch.cuda.is_available():
        return f"GPU, {n_trials} trials x {epochs} epochs with ASHA: not measured, there is no GPU here"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(REPOSITORY / "sweep.py"), "--space", "beta_study", "--dataset", "mnist"]
        command += ["--trials", str(n_trials), "--epochs", str(epochs), "--name", "gpu", "--storage", folder]
        watch = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop=1"]
        with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watcher:
            run = _timed_sweep([*command, "--data-dir", str(data_dir)], Path(folder) / "gpu", n_trials)
            watcher.terminate()
            assert watcher.stdout is not None
            busy = [float(line) for line in watcher.stdout.read().split()]
    outside = run.overhead_seconds / run.wall_seconds
    return (
        f"GPU, {n_trials} trials x {epochs} epochs with ASHA: {run.wall_seconds:.1f} s, utilisation "
        f"{statistics.mean(busy):.0f} % (nvidia-smi, mean), {outside:.0%} of the slots' time outside training"
    )


def table(sides: dict[str, list[Measured]], epochs: int) -> list[str]:
    """A row per side: medians over the repeats, with the spread of the wall seconds."""
    first = statistics.median(run.wall_seconds for run in next(iter(sides.values())))
    lines = [
        "| | wall seconds (min to max) | trial-epochs/s | training/slots | overhead | overhead/trial | mean val_elbo "
        "| times faster |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in sides.items():
        walls = [run.wall_seconds for run in runs]
        wall, n_trials = statistics.median(walls), len(runs[0].val_elbo)
        training = statistics.median(run.training_seconds / run.slots for run in runs)
        overhead = statistics.median(run.overhead_seconds for run in runs)
        elbo = statistics.mean(value for run in runs for value in run.val_elbo)
        lines.append(
            f"| {name} | {wall:.1f} ({min(walls):.1f} to {max(walls):.1f}) | {n_trials * epochs / wall:.2f} "
            f"| {training:.1f} s | {overhead:.1f} s | {overhead / n_trials:.2f} s | {elbo:.2f} | {first / wall:.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1, help="of all sides, one after the other")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--only-ours", action="store_true", help="for the overhead at many trials")
    parser.add_argument("--gpu-trials", type=int, default=256, help="of the sweep on a GPU, where there is one")
    chosen = parser.parse_args()
    configs = configurations(chosen.trials)
    hardware = describe()
    sides: dict[str, list[Measured]] = {}
    for repeat in range(chosen.repeats):
        print(f"Repeat {repeat + 1} of {chosen.repeats}", file=sys.stderr)
        if not chosen.only_ours:
            bare = run_plain(configs, chosen.epochs, chosen.data_dir, ["--unlimited"])
            limited = run_plain(configs, chosen.epochs, chosen.data_dir, [])
            sides.setdefault("plain: OptunaSearch", []).append(bare)
            sides.setdefault("plain: OptunaSearch in a ConcurrencyLimiter", []).append(limited)
        ours = run_ours(configs, chosen.epochs, chosen.data_dir)
        sides.setdefault("ours", []).append(ours)
    print(f"{chosen.trials} trials x {chosen.epochs} epochs of MNIST, {chosen.repeats} repeat(s)")
    print("\n".join([*hardware, "", *table(sides, chosen.epochs)]))
    reports = [run.report_seconds for run in sides["ours"]]
    print("\n" + gpu_row(chosen.data_dir, chosen.gpu_trials, epochs=20))
    print(f"\nOurs then draws its report and gives Ray back: {statistics.median(reports):.1f} s")


if __name__ == "__main__":
    main()
