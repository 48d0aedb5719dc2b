"""Records for the report's tests: made up where the numbers matter, trained where the files do."""

import json
import math
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import torch

from tuning.records import State, SweepRecord, TrialRecord
from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.files import LocalFiles
from vae.model.metrics import EpochMetrics, Terms
from vae.training.pack import Pack
from vae.training.trial import Training

SEARCH: dict[str, dict[str, Any]] = {
    "latent_size": {"type": "int", "low": 1, "high": 64, "log": True},
    "beta": {"type": "float", "low": 0.1, "high": 10.0, "log": True},
    "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
}


def metrics(epoch: int, distortion: float = 90.0, rate: float = 20.0) -> EpochMetrics:
    """Train numbers a nat worse than validation's."""
    return EpochMetrics.of(epoch, 2.0, Terms(distortion + 1, rate), Terms(distortion, rate), None, 0.5)


def record(
    trial_id: str, elbos: list[float], state: State = "complete", rate: float = 20.0, **config: Any
) -> TrialRecord:
    """A trial whose validation ELBO goes through `elbos`."""
    config = {"latent_size": 2, "beta": 1.0, "activation": "relu", "hidden_units": 16} | config
    history = [metrics(epoch, -elbo - rate, rate) for epoch, elbo in enumerate(elbos, start=1)]
    params = {name: config[name] for name in SEARCH}
    return TrialRecord(trial_id, params, TrialConfig(**config), state, history)


def sweep(folder: Path, trials: list[TrialRecord], search: dict[str, dict[str, Any]] | None = None) -> SweepRecord:
    chosen = SEARCH if search is None else search
    return SweepRecord("demo", folder, "digits", "digits: real digits", (8, 8), chosen, {}, trials)


def trained(folder: Path, digits: dict[str, Images], configs: list[dict[str, Any]], epochs: int = 3) -> SweepRecord:
    """A sweep of real digits in a folder, every trial complete, its files written as training writes them."""
    pack = Pack(*(torch.from_numpy(digits[split].pixels) for split in ("train", "validation")))
    records = []
    for number, config in enumerate(configs, start=1):
        one = record(f"{number:04d}", [], epochs=epochs, **config)
        training = Training(pack, one.config, "digits", (8, 8), LocalFiles(folder / one.folder))
        while not training.is_done:
            one.history.append(training.next_epoch())
        training.leave()
        records.append(one)
    return sweep(folder, records)


def nan_metrics(epoch: int) -> EpochMetrics:
    return metrics(epoch, math.nan, math.nan)


class Client:
    """Of a TensorBoard that is running."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}data/{path}", timeout=20) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}data/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def bytes(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self._url}data/{path}", timeout=20) as answer:
            content: bytes = answer.read()
            return content

    def content_type(self, path: str) -> str:
        with urllib.request.urlopen(f"{self._url}data/{path}", timeout=20) as answer:
            return str(answer.headers["Content-Type"])

    def until(self, n_runs: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.get("runs")) < n_runs:
            assert time.monotonic() < deadline, f"TensorBoard shows {self.get('runs')}"
            time.sleep(0.2)


class Serving:
    """TensorBoard in a process of its own, on a port that it chooses."""

    def __init__(self, folder: Path) -> None:
        arguments = ["--logdir", str(folder), "--port", "0", "--reload_interval", "1"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Client:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if " at http://" in line:
                return Client(line.split(" at ")[1].split()[0])
        raise AssertionError("TensorBoard ended without an address")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        assert self._process.stdout is not None
        self._process.stdout.close()
