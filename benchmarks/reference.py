"""Known set-ups trained on the real MNIST: what is measured here beside what others have published.

    python -m benchmarks.reference
    python -m benchmarks.reference --only burda --device cuda

gate: 784-400-20-400-784, ReLU, Adam 1e-3, batch 128, grey pixels, all 60,000 images: the network of
pytorch/examples' vae. binarised: the same, each pixel drawn anew from its grey value each epoch, with the
importance-weighted bound. burda: Burda et al. 2015, table 1, VAE with k = 1 and one stochastic layer: two hidden
layers of 200 tanh units, latent size 50, batch 20, 3,280 epochs in eight stages of falling learning rate; it says
how long that would take and runs only when asked for. The test images are read after the training, once.
"""

import argparse
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.hardware import describe
from vae.backend.products import prefer_fast_products
from vae.config import TrialConfig
from vae.datasets.names import default_data_dir
from vae.datasets.registry import load
from vae.datasets.types import SplitName
from vae.evaluate.evaluate import evaluate
from vae.evaluate.importance import importance_weighted_bound
from vae.evaluate.result import Evaluation
from vae.model.elbo import evaluation_inputs
from vae.model.network import Vae
from vae.storage.state import TrialState
from vae.training.pack import Pack

GATE = TrialConfig(latent_size=20, hidden_units=400, learning_rate=1e-3, batch_size=128, epochs=10)
BURDA = TrialConfig(
    latent_size=50, hidden_units=200, hidden_layers=2, activation="tanh", batch_size=20, binarize="stochastic",
    epochs=3280,
)  # fmt: skip
BURDA_STAGES = [(1e-3 * 10 ** (-i / 7), 3**i) for i in range(8)]  # (learning rate, epochs): 3,280 in all
IMPORTANCE_SAMPLES = 500
PYTORCH = "pytorch/examples vae, log in pull request 1416"
DESIGN = "the same network in plain PyTorch"
PAPER = "Burda et al. 2015, table 1"


@dataclass(frozen=True)
class Row:
    """One number: measured here, and as published."""

    what: str
    measured: str
    published: str
    source: str


@dataclass(frozen=True)
class Images:
    """uint8 [N, 784]; train: all 60,000."""

    train: Tensor
    test: Tensor
    device: str
    n_bound: int


def gate(images: Images) -> Iterator[Row]:
    """Test -ELBO of grey pixels after 1, 7 and 10 epochs."""
    published = {1: ("122 to 132", DESIGN), 7: ("106.66", PYTORCH), 10: ("103.5 to 107.5", DESIGN)}
    for epoch, model in trained(images, GATE, published):
        elbo = evaluation(model, images).elbo
        yield Row(
            f"grey MNIST, test -ELBO after {epoch} epoch{'s' * (epoch > 1)}", f"{-_known(elbo):.2f}", *published[epoch]
        )


def binarised(images: Images) -> Iterator[Row]:
    """Test -ELBO and importance-weighted bound after ten epochs of stochastically binarised pixels."""
    ((_, model),) = trained(images, GATE.model_copy(update={"binarize": "stochastic"}), [10])
    elbo = evaluation(model, images).elbo
    yield Row("binarised MNIST, test -ELBO after 10 epochs", f"{-_known(elbo):.2f}", "about 102", DESIGN)
    yield Row(f"the same, bound with K = {IMPORTANCE_SAMPLES}", bound(model, images), "about 97", DESIGN)


def burda(images: Images) -> Iterator[Row]:
    """NLL (the bound, here with K = 500, in the paper 5,000) and active units after 3,280 epochs."""
    pack, slot = Pack(images.train, images.test[:1], images.device), 0
    state: TrialState | None = None
    for stage, (learning_rate, epochs) in enumerate(BURDA_STAGES, start=1):
        slot = pack.join(BURDA.model_copy(update={"learning_rate": learning_rate}), state)
        started = time.perf_counter()
        for _ in range(epochs):
            metrics = pack.epoch([slot])[slot]
        seconds = time.perf_counter() - started
        print(
            f"stage {stage} of 8: {epochs} epochs in {seconds:,.0f} s, train ELBO {metrics.train_elbo:.2f}", flush=True
        )
        state = pack.state(slot)
    model = pack.model(slot)
    yield Row(f"Burda's VAE, NLL with K = {IMPORTANCE_SAMPLES}", bound(model, images), "86.76", PAPER)
    yield Row("Burda's VAE, active units of 50", str(evaluation(model, images).active_units), "19", PAPER)


def trained(images: Images, config: TrialConfig, epochs: Collection[int]) -> Iterator[tuple[int, Vae]]:
    """The model after each of these epochs; the one slot of the pack trains on in between."""
    pack = Pack(images.train, images.test[:1], images.device)
    slot = pack.join(config)
    for epoch in range(1, max(epochs) + 1):
        seconds = pack.epoch([slot])[slot].epoch_seconds
        print(f"epoch {epoch} of {max(epochs)}: {seconds:.1f} s", flush=True)
        if epoch in epochs:
            yield epoch, pack.model(slot)


def evaluation(model: Vae, images: Images) -> Evaluation:
    return evaluate(model, images.test.to(images.device))


def bound(model: Vae, images: Images) -> str:
    """-log p(x) by importance weighting: mean and standard error over the first test images."""
    grey = images.test[: images.n_bound].to(images.device)
    x, _ = evaluation_inputs(model, grey, torch.arange(len(grey), device=images.device))
    print(f"bound with K = {IMPORTANCE_SAMPLES} of {len(grey):,} test images", flush=True)
    each = importance_weighted_bound(model, x, IMPORTANCE_SAMPLES).bound
    return f"{-each.mean():.2f} (se {each.std() / len(each) ** 0.5:.2f}, {len(each):,} images)"


def _known(elbo: float | None) -> float:
    assert elbo is not None, "a vae has an ELBO"
    return elbo


STUDIES: dict[str, Callable[[Images], Iterator[Row]]] = {"gate": gate, "binarised": binarised, "burda": burda}


def cost_of_burda(images: Images) -> str:
    """How long its 3,280 epochs would take here, from one."""
    pack = Pack(images.train, images.test[:1], images.device)
    slot = pack.join(BURDA)
    seconds = min(pack.epoch([slot])[slot].epoch_seconds for _ in range(2))
    hours = seconds * BURDA.epochs / 3600
    return f"burda: {BURDA.epochs:,} epochs of {seconds:.1f} s, {hours:.1f} h on this device; --only burda runs it"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference", description="Measured beside published.")
    parser.add_argument("--only", choices=STUDIES, help="default: gate and binarised, and how long burda would take")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="holds MNIST/raw")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; default 1")
    parser.add_argument("--images", type=int, default=1000, help="test images of the bound; default 1000")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    prefer_fast_products(options.device)
    splits: tuple[SplitName, ...] = ("train", "validation", "test")
    train, validation, test = (torch.from_numpy(load("mnist", options.data_dir, name).pixels) for name in splits)
    images = Images(torch.cat([train, validation]), test, options.device, options.images)
    started = time.perf_counter()
    rows: list[Row] = []
    for name in [options.only] if options.only else ["gate", "binarised"]:
        print(f"{name}:", flush=True)
        rows += STUDIES[name](images)
    print("\n".join(["", *describe(("torch",)), *table(rows)]))
    print(f"{time.perf_counter() - started:.0f} s in all, {options.threads} thread(s)")
    if not options.only:
        print(cost_of_burda(images))


def table(rows: Sequence[Row]) -> list[str]:
    """As Markdown; nats per image."""
    lines = ["| set-up (nats per image) | measured | published | source |", "|---|---|---|---|"]
    return lines + [f"| {row.what} | {row.measured} | {row.published} | {row.source} |" for row in rows]


if __name__ == "__main__":
    main()
