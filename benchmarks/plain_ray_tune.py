"""A VAE sweep as Ray's documentation would write it: the side that benchmarks/sweep_throughput.py compares with.

    python benchmarks/plain_ray_tune.py --configs configs.json --epochs 3 --data-dir data --output plain.json

It follows two pages of Ray's documentation, "How to use Tune with PyTorch" (a function trainable, DataLoaders over
torchvision, torch.save into a tune.Checkpoint at every report) and "Running Tune experiments with Optuna"
(OptunaSearch in a ConcurrencyLimiter, which also lets Tune start that many trials at once), with Tune's default
loggers. It imports nothing of this project. Where the pages leave a choice it takes the faster one: no DataLoader
workers beside a trial that owns one CPU, evaluation in large batches without gradients.
"""
# ruff: noqa: E402 - the clock starts before the slow imports

import time

STARTED = time.perf_counter()

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

Config = dict[str, Any]

N_TRAIN = 55_000  # of MNIST's 60,000 training images; the last 5,000 validate
SEARCH_SPACE: Config = {
    "latent_size": tune.randint(1, 257),
    "hidden_units": tune.randint(16, 2049),
    "learning_rate": tune.loguniform(1e-5, 1e-1),
    "beta": tune.loguniform(1e-2, 1e2),
}


class Vae(nn.Module):
    def __init__(self, latent_size: int, hidden_units: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, hidden_units), nn.ReLU())
        self.mean = nn.Linear(hidden_units, latent_size)
        self.log_variance = nn.Linear(hidden_units, latent_size)
        self.decoder = nn.Sequential(nn.Linear(latent_size, hidden_units), nn.ReLU(), nn.Linear(hidden_units, 784))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # [B, 784] -> distortion and rate, nats, [B]
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        distortion = nn.functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(1)
        rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return distortion, rate


def load_data(data_dir: str, batch_size: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    mnist = datasets.MNIST(data_dir, train=True, transform=transforms.ToTensor())
    train = Subset(mnist, range(N_TRAIN))
    validation = Subset(mnist, range(N_TRAIN, len(mnist)))
    return DataLoader(train, batch_size=batch_size, shuffle=True), DataLoader(validation, batch_size=500)


def train_epoch(model: Vae, loader: DataLoader[Any], optimizer: torch.optim.Optimizer, beta: float) -> float:
    """Mean weighted loss over the epoch, nats per image."""
    model.train()
    total = 0.0
    for images, _ in loader:
        distortion, rate = model(images.flatten(1))
        loss = (distortion + beta * rate).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(images)
    return total / N_TRAIN


@torch.no_grad()
def evaluate(model: Vae, loader: DataLoader[Any]) -> float:
    """ELBO at beta = 1 with z sampled, nats per image."""
    model.eval()
    total = 0.0
    n_images = 0
    for images, _ in loader:
        distortion, rate = model(images.flatten(1))
        total -= (distortion + rate).sum().item()
        n_images += len(images)
    return total / n_images


def train_vae(config: Config, data_dir: str, epochs: int, batch_size: int) -> None:
    torch.manual_seed(0)
    model = Vae(config["latent_size"], config["hidden_units"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    train_loader, validation_loader = load_data(data_dir, batch_size)
    training_seconds = 0.0
    for _ in range(epochs):
        started = time.perf_counter()
        loss = train_epoch(model, train_loader, optimizer, config["beta"])
        val_elbo = evaluate(model, validation_loader)
        training_seconds += time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            torch.save((model.state_dict(), optimizer.state_dict()), os.path.join(folder, "checkpoint.pt"))
            tune.report(
                {"loss": loss, "val_elbo": val_elbo, "training_seconds": training_seconds},
                checkpoint=tune.Checkpoint.from_directory(folder),
            )


def sweep(configs: list[Config], arguments: argparse.Namespace, n_slots: int, storage: str) -> tune.ResultGrid:
    trainable = tune.with_parameters(
        train_vae,
        data_dir=str(arguments.data_dir.resolve()),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
    )
    search = OptunaSearch(points_to_evaluate=configs)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=SEARCH_SPACE,
        tune_config=tune.TuneConfig(
            metric="val_elbo",
            mode="max",
            search_alg=search if arguments.unlimited else ConcurrencyLimiter(search, max_concurrent=n_slots),
            num_samples=len(configs),
        ),
        run_config=tune.RunConfig(name="plain_ray_tune", storage_path=storage),
    )
    return tuner.fit()


def trial_row(config: Config, result: tune.Result) -> Config:
    """One trial of the output. Raises SystemExit where Tune lost the trial or ran another one in its place."""
    if result.error is not None or not result.metrics:
        sys.exit(f"trial {config} failed: {result.error}")
    if any(abs(result.config[name] - value) > 1e-9 * abs(value) for name, value in config.items()):
        sys.exit(f"asked for {config}, Tune ran {result.config}")
    measured = {name: result.metrics[name] for name in ("val_elbo", "training_seconds")}
    return {"config": config, "epochs": result.metrics["training_iteration"], **measured}


def run(configs: list[Config], arguments: argparse.Namespace) -> Config:
    """The sweep and its numbers, trials in the order of the configurations."""
    with tempfile.TemporaryDirectory(prefix="plain_ray_tune_") as storage:
        ray.init(address="local", num_cpus=arguments.slots)
        n_slots = int(ray.cluster_resources()["CPU"])
        fit_started = time.perf_counter()
        results = sweep(configs, arguments, n_slots, storage)
        fit_ended = time.perf_counter()
        trials = [trial_row(config, result) for config, result in zip(configs, results, strict=True)]
        ray.shutdown()
    return {
        "wall_seconds": fit_ended - STARTED,
        "fit_seconds": fit_ended - fit_started,
        "n_slots": n_slots,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "trials": trials,
    }


def read_configs(path: Path) -> list[Config]:
    """A JSON list of objects, each naming the four searched hyperparameters within SEARCH_SPACE."""
    configs: list[Config] = json.loads(path.read_text())
    for config in configs:
        if set(config) != set(SEARCH_SPACE):
            sys.exit(f"{path}: {config}: expected exactly the keys {', '.join(SEARCH_SPACE)}")
        for name, value in config.items():
            if not SEARCH_SPACE[name].is_valid(value):
                sys.exit(f"{path}: {name}: {value} is outside {SEARCH_SPACE[name].domain_str}")
    return configs


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--configs", type=Path, required=True, help="JSON list of configurations, run in this order")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("VAE_DATA_DIR", "data")))
    parser.add_argument("--slots", type=int, help="CPUs that Ray may use, one per trial; all of them if not given")
    parser.add_argument("--unlimited", action="store_true", help="no ConcurrencyLimiter: Tune starts one trial a time")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the numbers")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    configs = read_configs(arguments.configs)
    report = run(configs, arguments)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{len(configs)} trials x {arguments.epochs} epochs: {report['wall_seconds']:.1f} s -> {arguments.output}")


if __name__ == "__main__":
    main()
