"""`python -m vae` as tests call it, and what it leaves in its folder."""

import json
import sys
from pathlib import Path
from typing import Any

from vae.__main__ import main

QUICK = ("--dataset", "digits", "--hidden-units", "16", "--latent-size", "2", "--batch-size", "256")
FILES = {"checkpoint.safetensors", "config.json", "metrics.jsonl", "model.safetensors", "snapshots.zip"}


def train(out: Path, *arguments: str) -> int:
    return main([*QUICK, "--epochs", "3", "--out", str(out), *arguments])


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vae", *arguments]


def metrics_in(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def timeless(out: Path) -> list[dict[str, Any]]:
    return [{**metrics, "epoch_seconds": 0.0} for metrics in metrics_in(out)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
