"""What denormal numbers cost: seconds of each epoch of one trial, with them and with them flushed to zero.

    python -m benchmarks.denormals

MNIST, 784-400-20-400-784, batch 128, one thread. Both trials train in turns, an epoch each, so that a machine whose
speed drifts drifts for both. Aim: with the flush no epoch takes more than 1.15 times the second one.
"""

import argparse
from pathlib import Path

import torch

from benchmarks.hardware import describe
from vae.backend.products import prefer_fast_products
from vae.config import TrialConfig
from vae.datasets import registry
from vae.datasets.names import default_data_dir
from vae.training.pack import Pack

FLUSH = torch.set_flush_denormal


def keep(_: bool) -> bool:
    """In place of torch's own, for the side that keeps denormals."""
    return FLUSH(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    prefer_fast_products("cpu")
    train, validation = (
        torch.from_numpy(registry.load("mnist", options.data_dir, split).pixels) for split in ("train", "validation")
    )
    config = TrialConfig(latent_size=20, hidden_units=400, learning_rate=options.learning_rate)
    packs = {"kept": Pack(train, validation), "flushed": Pack(train, validation)}
    slots = {name: pack.join(config) for name, pack in packs.items()}
    print(*describe(("torch",)), sep="\n")
    print(f"{'epoch':>5}  {'kept, s':>8}  {'ELBO':>9}  {'flushed, s':>10}  {'ELBO':>9}")
    for epoch in range(1, options.epochs + 1):
        line = f"{epoch:5}"
        for name, pack in packs.items():
            torch.set_flush_denormal = FLUSH if name == "flushed" else keep  # type: ignore[assignment]
            metrics = pack.epoch([slots[name]])[slots[name]]
            line += f"  {metrics.epoch_seconds:{10 if name == 'flushed' else 8}.2f}  {metrics.val_elbo:9.4f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
