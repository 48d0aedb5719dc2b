"""The command line of `python -m vae`, a flag for every hyperparameter of TrialConfig; and what all commands share."""

import argparse
import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel, ValidationError

from vae.config import HYPERPARAMETERS, TrialConfig
from vae.datasets.names import AUTO, NAMES, default_data_dir, fault_of
from vae.errors import UserError

OTHER_FLAGS = ("--dataset", "--data-dir", "--out", "--threads", "--device")
DEVICES = ("auto", "cpu", "cuda")
MOST_THREADS = 1024


@dataclass(frozen=True)
class Options:
    """The command line, checked."""

    config: TrialConfig
    dataset: str
    data_dir: Path
    out: Path | None
    threads: int
    device: str


def parse(arguments: Sequence[str] | None) -> Options:
    """Raises UserError with every fault, one a line."""
    given, unknown = _parser().parse_known_args(arguments)
    faults = [_unknown(word) for word in unknown if word.startswith("-")] or list(map(_unknown, unknown))
    named = {name: value for name, value in vars(given).items() if name in HYPERPARAMETERS}
    faults += _config_faults(named)
    faults += _other_faults(given)
    if faults:
        raise UserError("\n".join(faults))
    config = TrialConfig.model_validate_strings(named)
    return Options(config, given.dataset, given.data_dir, given.out, int(given.threads), device_named(given.device))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m vae", description="Train one model, without Ray.", allow_abbrev=False)
    parser.add_argument("--dataset", default=AUTO, help=f"{'|'.join(NAMES)}|a folder of images (default {AUTO})")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="where the dataset is or goes")
    parser.add_argument("--out", type=Path, help="folder of the model (default models/DATASET-latentN...)")
    parser.add_argument("--threads", default="1", help="CPU threads (default 1; another number rounds differently)")
    parser.add_argument("--device", default="auto", help="auto|cpu|cuda (default auto: cuda where there is one)")
    hyperparameters = parser.add_argument_group("hyperparameters")
    for name in HYPERPARAMETERS:
        field = TrialConfig.model_fields[name]
        about = f"{field.description} {allowed(name).capitalize()} (default {field.default}).".replace("%", "%%")
        hyperparameters.add_argument(_flag(name), metavar="X", default=argparse.SUPPRESS, help=about)
    return parser


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def allowed(name: str, options: type[BaseModel] = TrialConfig) -> str:
    """What a hyperparameter (or another field) may be: "an integer of at least 1 and at most 3"."""
    schema = options.model_json_schema()["properties"][name]
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    kind = {"integer": "an integer", "number": "a number"}[schema["type"]]
    low = f"above {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else f"of at least {schema['minimum']}"
    high = f"below {schema['exclusiveMaximum']}" if "exclusiveMaximum" in schema else f"at most {schema['maximum']}"
    return f"{kind} {low} and {high}"


def _unknown(word: str) -> str:
    flags = [*map(_flag, HYPERPARAMETERS), *OTHER_FLAGS]
    near = difflib.get_close_matches(word.partition("=")[0], flags, 1)
    return f"{word}: no such flag" + (f"; did you mean {near[0]}?" if near else "; --help lists what there is")


def _config_faults(named: dict[str, str]) -> list[str]:
    try:
        TrialConfig.model_validate_strings(named)
    except ValidationError as error:
        names = [str(fault["loc"][0]) for fault in error.errors()]
        return [f"{_flag(name)} {named[name]}: must be {allowed(name)}" for name in names]
    return []


def _other_faults(given: argparse.Namespace) -> list[str]:
    faults = []
    if fault := fault_of(given.dataset):
        faults.append(f"--dataset {given.dataset}: {fault}")
    return faults + compute_faults(given.threads, given.device)


# What all commands share: faults of one line each, and the flags --threads and --device.


class Parser(argparse.ArgumentParser):
    """argparse that raises its faults as a UserError of one line."""

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
    elif device == "cuda" and not _is_cuda_here():
        faults.append("--device cuda: torch sees no CUDA device here; use --device cpu")
    return faults


def device_named(name: str) -> str:
    """cpu or cuda; auto is cuda where there is one."""
    if name != "auto":
        return name
    return "cuda" if _is_cuda_here() else "cpu"


def _is_cuda_here() -> bool:
    import torch  # it takes a second to load, and --help and most faults are told without

    return torch.cuda.is_available()


def all_cores() -> int:
    """How many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_THREADS)
