"""Trial-epochs per second: one process per trial, and packs of trials that train as one batched model.

    python -m benchmarks.pack_throughput

MNIST, 784-400-20-400-784, batch 128. (a) the plain Ray Tune way: a DataLoader loop in one process per trial, as
many processes as there are cores; (b) ours with --pack off, as many processes; (c) packs of 1, 8, 32, 64 on one
device. Beside each pack the floor: the time of its floating-point operations at the matrix rate measured here,
plus that of its bytes at the memory bandwidth measured here (for Adam 28 bytes per parameter and step).
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import plain_ray_tune
from benchmarks.hardware import describe
from vae.backend.products import prefer_fast_products
from vae.config import TrialConfig
from vae.datasets import registry
from vae.datasets.names import default_data_dir
from vae.model.shape_class import Frame, ShapeClass
from vae.training.pack import Pack

CONFIG = TrialConfig(latent_size=20, hidden_units=400)
FRAME = Frame((400,), (24,), ("relu",))
N_TRAIN, N_PIXELS = 55_000, 784
ADAM_BYTES = 28  # per parameter and step: read weight, gradient, two moments; write weight, two moments; float32
MATRIX = 2048
COPY_BYTES = 256 * 2**20


def timed(work: Callable[[], object], device: str, repeats: int) -> list[float]:
    """Seconds of each of `repeats` calls, after one that warms up."""
    work()
    seconds = []
    for _ in range(repeats):
        _synchronise(device)
        started = time.perf_counter()
        work()
        _synchronise(device)
        seconds.append(time.perf_counter() - started)
    return seconds


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def flops_of_an_epoch() -> float:
    """Of one trial: 2 per product and addition, forward, and twice that backward; none for the input's gradient."""
    h, z = CONFIG.hidden_units, CONFIG.latent_size
    first, rest = N_PIXELS * h, 2 * h * z + z * h + h * N_PIXELS
    return N_TRAIN * 2.0 * (2 * first + 3 * rest)


def floor_seconds(n_trials: int, flops_per_second: float, bytes_per_second: float) -> float:
    """The least time of one epoch of so many trials."""
    steps = -(-N_TRAIN // CONFIG.batch_size)
    moved = ADAM_BYTES * CONFIG.n_parameters(N_PIXELS) * steps
    return n_trials * (flops_of_an_epoch() / flops_per_second + moved / bytes_per_second)


def matrix_rate(device: str) -> float:
    """Floating-point operations per second of a large float32 product, as the trials' products are set up."""
    a, b = (torch.randn(MATRIX, MATRIX, device=device) for _ in range(2))
    return 2 * MATRIX**3 / statistics.median(timed(lambda: a @ b, device, 5))


def bandwidth(device: str) -> float:
    """Bytes per second, read and written, of a copy too large for the caches."""
    source = torch.zeros(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / statistics.median(timed(lambda: target.copy_(source), device, 5))


def splits(data_dir: Path, n_train: int) -> tuple[Tensor, Tensor]:
    pixels = [torch.from_numpy(registry.load("mnist", data_dir, split).pixels) for split in ("train", "validation")]
    return pixels[0][:n_train], pixels[1][: n_train // 11]  # 5,000 images to 55,000


def pack_epochs(n_slots: int, device: str, data_dir: Path, n_train: int, repeats: int) -> list[float]:
    """Seconds of an epoch of a full pack, scaled to all the images."""
    pack = Pack(*splits(data_dir, n_train), device=device, shape=ShapeClass.of(CONFIG, FRAME), n_slots=n_slots)
    slots = [pack.join(CONFIG.model_copy(update={"seed": seed})) for seed in range(n_slots)]
    return [seconds * N_TRAIN / n_train for seconds in timed(lambda: pack.epoch(slots), device, repeats)]


def process_epochs(side: str, data_dir: Path, n_processes: int, repeats: int) -> list[float]:
    """Seconds of each epoch of `n_processes` trials that train at the same time, a process and a thread each."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(n_processes), context.Queue()
    arguments = (side, data_dir, repeats, barrier, results)
    processes = [context.Process(target=_one_process, args=arguments) for _ in range(n_processes)]
    for process in processes:
        process.start()
    seconds = [value for _ in processes for value in results.get(timeout=1800)]
    for process in processes:
        process.join()
    return seconds


def _one_process(side: str, data_dir: Path, repeats: int, barrier: Any, results: Any) -> None:
    torch.set_num_threads(1)
    epoch = _plain_epoch(data_dir) if side == "plain" else _our_epoch(data_dir)
    epoch()
    barrier.wait()
    seconds = timed_once(epoch, repeats)
    results.put(seconds)


def timed_once(epoch: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - started)
    return seconds


def _our_epoch(data_dir: Path) -> Callable[[], object]:
    prefer_fast_products("cpu")
    pack = Pack(*splits(data_dir, N_TRAIN))
    slot = pack.join(CONFIG)
    return lambda: pack.epoch([slot])


def _plain_epoch(data_dir: Path) -> Callable[[], object]:
    """An epoch and its evaluation, of the loop in benchmarks/plain_ray_tune.py."""
    model = plain_ray_tune.Vae(CONFIG.latent_size, CONFIG.hidden_units)
    adam = torch.optim.Adam(model.parameters(), lr=CONFIG.learning_rate)
    train, validation = plain_ray_tune.load_data(str(data_dir), CONFIG.batch_size)

    def epoch() -> None:
        plain_ray_tune.train_epoch(model, train, adam, CONFIG.beta)
        plain_ray_tune.evaluate(model, validation)

    return epoch


def row(name: str, n_trials: int, seconds: list[float], floor: float | None = None) -> str:
    median = statistics.median(seconds)
    beside = "" if floor is None else f"{floor:.3f} s ({median / floor:.1f} x)"
    return f"| {name} | {median:.3f} ({min(seconds):.3f} to {max(seconds):.3f}) | {n_trials / median:.2f} | {beside} |"


def rows(chosen: argparse.Namespace, device: str) -> Iterator[str]:
    n_cores = len(os.sched_getaffinity(0))
    for name, side in (("(a) plain DataLoader loop", "plain"), ("(b) ours, --pack off", "ours")):
        seconds = process_epochs(side, chosen.data_dir, n_cores, chosen.repeats)
        yield row(f"{name}, {n_cores} CPU processes", n_cores, seconds)
    torch.set_num_threads(n_cores)
    prefer_fast_products(device)
    flops, moved = matrix_rate(device), bandwidth(device)
    yield f"| measured on {device}: {flops / 1e9:,.0f} GFLOP/s, {moved / 1e9:,.0f} GB/s | | | |"
    n_train = N_TRAIN if device == "cuda" else chosen.cpu_images
    for n_slots in chosen.slots:
        seconds = pack_epochs(n_slots, device, chosen.data_dir, n_train, chosen.repeats)
        yield row(f"(c) pack of {n_slots} on {device}", n_slots, seconds, floor_seconds(n_slots, flops, moved))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu-images", type=int, default=5_500, help="of 55,000, for packs on a CPU; times are scaled")
    chosen = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print("\n".join([*describe(("torch",)), ""]))
    print("| | seconds an epoch (min to max) | trial-epochs/s | floor |\n|---|---|---|---|")
    for line in rows(chosen, device):
        print(line, flush=True)
    if device == "cpu":
        print("\nPacks on a GPU: not measured.")


if __name__ == "__main__":
    main()
