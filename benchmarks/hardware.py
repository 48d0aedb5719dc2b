"""What a measurement was made on, as lines to print above its table."""

import os
import platform
from datetime import date
from importlib.metadata import version

import torch

from tuning.sweep.manifest import cpu_name


def describe(packages: tuple[str, ...] = ("torch", "ray", "optuna")) -> list[str]:
    """Processor, cores, GPU, versions, date, and how busy the machine was with other things."""
    cores = len(os.sched_getaffinity(0))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: not measured on a GPU"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return [
        f"CPU: {cpu_name()}, {cores} cores; GPU: {gpu}",
        f"Python {platform.python_version()}, {versions}; {date.today()}; load before: {os.getloadavg()[0]:.1f}",
    ]
