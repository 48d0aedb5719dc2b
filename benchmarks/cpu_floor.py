"""What an epoch of one trial on a CPU could cost at the least: its matrix products, and Adam's traffic.

    python -m benchmarks.cpu_floor

MNIST, 784-400-20-400-784, batch 128, one thread, 430 steps. Each round measures the products of an epoch alone
(forward, and backward by inputs and by weights), Adam alone on ready gradients, and the epoch as it is trained, with
the evaluation of the validation split after it. Aim: the epoch within 1.3 times of the sum.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks.hardware import describe
from vae.backend.products import prefer_fast_products
from vae.config import TrialConfig
from vae.datasets import registry
from vae.datasets.names import default_data_dir
from vae.storage.state import AdamState
from vae.training.adam import RowAdam
from vae.training.pack import Pack

N_PIXELS, HIDDEN, LATENT, BATCH = 784, 400, 20, 128
LAYERS = ((N_PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, N_PIXELS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    prefer_fast_products("cpu")
    train, validation = (
        torch.from_numpy(registry.load("mnist", options.data_dir, split).pixels) for split in ("train", "validation")
    )
    n_steps = -(-len(train) // BATCH)
    parts = {
        "matrix products": products(n_steps),
        "Adam": adam_steps(n_steps),
        "epoch": epochs(train, validation),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(options.rounds + 1):  # the first round warms up
        for name, part in parts.items():
            seconds[name].append(part())
    print(*describe(("torch",)), sep="\n")
    print(f"\n| {n_steps} steps of batch {BATCH} | seconds, median (min to max) of {options.rounds} |\n|---|---|")
    for name, found in seconds.items():
        print(f"| {name} | {statistics.median(found[1:]):.2f} ({min(found[1:]):.2f} to {max(found[1:]):.2f}) |")
    floors = [a + b for a, b in zip(seconds["matrix products"], seconds["Adam"], strict=True)]
    ratios = [epoch / floor for epoch, floor in zip(seconds["epoch"][1:], floors[1:], strict=True)]
    print(f"| epoch / (products + Adam) | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")


def timed(step: Callable[[], None], n_steps: int) -> float:
    started = time.perf_counter()
    for _ in range(n_steps):
        step()
    return time.perf_counter() - started


def products(n_steps: int) -> Callable[[], float]:
    """Seconds of the products of an epoch, without biases, activations, loss or anything else."""
    inputs = [torch.randn(BATCH, n_in) for n_in, _ in LAYERS]
    gradients = [torch.randn(BATCH, n_out) for _, n_out in LAYERS]
    weights = [torch.randn(n_out, n_in) for n_in, n_out in LAYERS]

    @torch.no_grad()
    def step() -> None:
        for x, weight in zip(inputs, weights, strict=True):
            torch.mm(x, weight.T)
        for layer, (x, gradient, weight) in enumerate(zip(inputs, gradients, weights, strict=True)):
            torch.mm(gradient.T, x)
            if layer:  # nothing asks for the gradient of the images
                torch.mm(gradient, weight)

    return lambda: timed(step, n_steps)


def adam_steps(n_steps: int) -> Callable[[], float]:
    """Seconds of Adam's steps on gradients that are there already."""
    shapes = {f"{i}.{kind}": shape for i, (n, m) in enumerate(LAYERS) for kind, shape in (("w", (m, n)), ("b", (m,)))}
    parameters = {name: nn.Parameter(torch.randn(1, *shape) * 0.01) for name, shape in shapes.items()}
    gradients = {name: torch.randn(1, *shape) * 0.01 for name, shape in shapes.items()}
    adam = RowAdam(parameters)
    zeros = {name: torch.zeros(shape) for name, shape in shapes.items()}
    adam.place(0, 1e-3, AdamState(step=0, exp_avg=zeros, exp_avg_sq=dict(zeros)))
    adam.activate([0])

    def step() -> None:
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        adam.step()

    return lambda: timed(step, n_steps)


def epochs(train: torch.Tensor, validation: torch.Tensor) -> Callable[[], float]:
    """Seconds of the next epoch of one trial."""
    pack = Pack(train, validation)
    slot = pack.join(TrialConfig(latent_size=LATENT, hidden_units=HIDDEN, batch_size=BATCH))

    def epoch() -> float:
        return float(pack.epoch([slot])[slot].epoch_seconds)

    return epoch


if __name__ == "__main__":
    main()
