"""What the commands of vae/ share: faults as one line each, and the flags --threads and --device."""

import argparse
import os
from typing import NoReturn

import torch

from vae.errors import UserError

DEVICES = ("auto", "cpu", "cuda")
MOST_THREADS = 1024


class Parser(argparse.ArgumentParser):
    """argparse, with its faults as a UserError of one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists what there is")


def integer_fault(flag: str, text: str, most: int) -> list[str]:
    """[] where the text is an integer from 1 to `most`."""
    if text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most:
        return []
    return [f"{flag} {text}: must be an integer from 1 to {most}"]


def compute_faults(threads: str, device: str) -> list[str]:
    """What is wrong with --threads and --device."""
    faults = integer_fault("--threads", threads, MOST_THREADS)
    if device not in DEVICES:
        faults.append(f"--device {device}: must be one of {', '.join(DEVICES)}")
    elif device == "cuda" and not torch.cuda.is_available():
        faults.append("--device cuda: torch sees no CUDA device here; use --device cpu")
    return faults


def device_named(name: str) -> str:
    """cpu or cuda; auto is cuda where there is one."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def all_cores() -> int:
    """Those that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_THREADS)
