"""The command line of sweep.py: what each option means, and which options go together."""

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from tuning.cluster.allot import Request
from tuning.cluster.job import is_job
from tuning.errors import SpaceError
from tuning.layout import DEFAULT_STORAGE
from tuning.space.overrides import Overrides
from vae.datasets.names import NAMES

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
BYTES = {"M": 2**20, "G": 2**30, "T": 2**40}
# A resumed sweep keeps what it was started with: these would change its numbers.
NOT_WITH_RESUME = ("space", "name", "epochs", "dataset", "seed", "settings", "dry_run")
WITH_REPORT = ("report", "data_dir", "storage", "top_k", "verbose", "json", "notify")
WHAT = ("space", "resume", "report", "list_spaces", "list", "status", "stop", "add", "reproduce")
AT_HAND = ("list", "status", "stop", "add", "reproduce")  # these look at a sweep, or ask something of it
WITH_AT_HAND = (*AT_HAND, "storage", "json")


class _Parser(argparse.ArgumentParser):
    """An error is one line, like every other fault of a user."""

    def error(self, message: str) -> NoReturn:
        raise SpaceError(f"{message}; see python {self.prog} --help")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options, checked as far as the command line alone allows. Raises SpaceError."""
    parser = _parser()
    options = parser.parse_args(arguments)
    given = [name for name in WHAT if getattr(options, name)]
    if len(given) != 1:
        raise SpaceError(
            "give one of --space NAME, --resume NAME, --report NAME, --list-spaces, --list, --status NAME, "
            "--stop NAME, --add NAME KEY=VALUE,..., --reproduce NAME TRIAL"
        )
    if options.retry_failed and not options.resume:
        raise SpaceError("--retry-failed: only with --resume NAME; the failed trials of that sweep run again")
    if options.trial and not options.stop:
        raise SpaceError("--trial: only with --stop NAME; that trial ends, and the sweep goes on")
    if given[0] in AT_HAND:
        more = ("data_dir",) if options.reproduce else ("trial",)
        takes = "--data-dir, --storage and --json" if options.reproduce else "--storage and --json"
        others = [name for name in vars(options) if name not in (*WITH_AT_HAND, *more)]
        _refuse(parser, options, others, f"--{given[0]}: nothing is started; it takes {takes}")
    if options.resume:
        _refuse(parser, options, NOT_WITH_RESUME, "--resume: a resumed sweep keeps what it was started with")
    if options.report:
        others = [name for name in vars(options) if name not in WITH_REPORT]
        _refuse(parser, options, others, "--report: nothing is trained; it takes --data-dir, --storage and --top-k")
    elif is_job():
        options.address = options.address or "auto"  # a job runs on the cluster that it was sent to
    return options


def _refuse(parser: _Parser, options: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Refuse the first of these options that was given."""
    for name in names:
        if getattr(options, name) != parser.get_default(name):
            flag = "set" if name == "settings" else name.replace("_", "-")
            raise SpaceError(f"--{flag} with {why}")


def request(options: argparse.Namespace) -> Request:
    """What the options ask of the machines."""
    return Request(
        address=options.address,
        cpus_per_trial=options.cpus_per_trial,
        gpus_per_trial=options.gpus_per_trial,
        max_concurrent=options.max_concurrent,
        pack=options.pack,
        verbose=options.verbose,
    )


def overrides(options: argparse.Namespace) -> Overrides:
    """What the options change in the space."""
    return Overrides(
        options.trials, options.epochs, options.dataset, options.settings, options.keep_models, options.confirm
    )


def changes(options: argparse.Namespace) -> dict[str, Any]:
    """What the options change in a sweep that is resumed, as tuning.sweep.resume.resumed takes it."""
    return {
        "trials": options.trials,
        "data_dir": options.data_dir,
        "retry_failed": options.retry_failed,
        "keep_models": options.keep_models,
        "max_bytes": options.max_disk,
        "confirm": options.confirm,
    }


def _parser() -> _Parser:
    parser = _Parser("sweep.py", description="Sweep the hyperparameters of variational auto-encoders.")
    what = parser.add_argument_group("what to do, one of")
    what.add_argument(
        "--space", type=_word, metavar="NAME|PATH", help="run the study search_spaces/NAME.yaml, or this file"
    )
    what.add_argument("--resume", type=_word, metavar="NAME", help="go on with a sweep, or with more --trials")
    what.add_argument("--retry-failed", action="store_true", help="with --resume: failed trials run again")
    what.add_argument("--report", type=_word, metavar="NAME", help="rebuild the report of a sweep from its checkpoints")
    what.add_argument("--list-spaces", action="store_true", help="the studies in search_spaces/")
    what.add_argument("--list", action="store_true", help="the sweeps that there are: state, trials, best, age")
    what.add_argument("--status", type=_word, metavar="NAME", help="how far a sweep has come, whoever runs it")
    what.add_argument("--stop", type=_word, metavar="NAME", help="stop a sweep that another shell or machine runs")
    what.add_argument("--trial", type=_word, metavar="ID", help="with --stop: stop this trial alone")
    what.add_argument(
        "--add", type=_word, nargs=2, metavar=("NAME", "KEY=VALUE,..."), help="a configuration that is tried next"
    )
    what.add_argument(
        "--reproduce", type=_word, nargs=2, metavar=("NAME", "TRIAL"), help="train a trial again, compare every epoch"
    )
    what.add_argument("--dry-run", action="store_true", help="with --space: what would run and cost; starts nothing")
    study = parser.add_argument_group("the study")
    study.add_argument("--name", type=_word, help="the sweep's folder; default: the space's name and the time")
    study.add_argument("--trials", type=_whole(1), metavar="N", help="configurations to try")
    study.add_argument("--epochs", type=_whole(1), metavar="N", help="epochs per trial, at the most")
    study.add_argument(
        "--confirm",
        type=_confirm,
        nargs="?",
        const="5x4",
        metavar="TOPxSEEDS",
        help="then train the best again with fresh seeds; default 5x4; 5x4x100: for 100 epochs; also with --resume",
    )
    study.add_argument("--dataset", metavar="NAME|PATH", help=f"{', '.join(NAMES)}, or a folder of images")
    study.add_argument("--seed", type=_whole(0), metavar="N", help="of proposals and of trials; default 0")
    study.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="fix a hyperparameter (batch_size=256), or change a part of the space (scheduler.type=none)",
    )
    where = parser.add_argument_group("where")
    where.add_argument("--data-dir", type=Path, help="default: VAE_DATA_DIR, or data/")
    where.add_argument("--storage", type=_word, help=f"folder or bucket of sweeps; default: {DEFAULT_STORAGE}/")
    where.add_argument(
        "--keep-models", type=_whole(1), metavar="N", help="models that stay: of the N best and those in figures; 50"
    )
    where.add_argument("--max-disk", type=_bytes, metavar="SIZE", help="keep fewer models: 500M, 20G")
    where.add_argument("--top-k", type=_whole(0), default=3, metavar="K", help="best trials in the report; default 3")
    machines = parser.add_argument_group("the machines")
    machines.add_argument(
        "--address", type=_word, help="join a Ray cluster: auto, or host:port; default: this machine alone"
    )
    machines.add_argument("--cpus-per-trial", type=_whole(1), default=1, metavar="N", help="default 1")
    machines.add_argument("--gpus-per-trial", type=_share, metavar="X", help="default: a share of a GPU where any is")
    machines.add_argument(
        "--pack", type=_pack, metavar="auto|off|N", help="trials that train as one on a device; auto: 32 on a GPU"
    )
    machines.add_argument("--max-concurrent", type=_whole(1), metavar="N", help="trials at a time; default: what fits")
    machines.add_argument("--time-budget", type=_seconds, metavar="TIME", help="stop after 90s, 30m, 8h; then resume")
    machines.add_argument("--verbose", action="store_true", help="show Ray's own messages")
    scripts = parser.add_argument_group("for scripts")
    scripts.add_argument("--json", action="store_true", help="the result, or the fault, as JSON on standard output")
    scripts.add_argument(
        "--notify", type=_word, metavar="COMMAND", help="run at the end, with the result as JSON on its standard input"
    )
    return parser


def _whole(least: int) -> Callable[[str], int]:
    def parse_whole(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}'; allowed: a whole number from {least}")
        return int(text)

    return parse_whole


def _word(text: str) -> str:
    """A text that is not empty: an unset variable of a script gives an empty one, which does not mean the default."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"'{text}'; allowed: a text that is not empty")
    return text


def _pack(text: str) -> int | None:
    """Trials of a pack; None: choose, 0: each trial alone."""
    if text in ("auto", "off"):
        return None if text == "auto" else 0
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"'{text}'; allowed: auto, off, or a whole number from 1 to 1024")
    return int(text)


def _confirm(text: str) -> dict[str, int]:
    """What it gives of a space's `confirm`."""
    match = re.fullmatch(r"(\d{1,4})x(\d{1,3})(?:x(\d{1,6}))?", text)
    least = zip((1, 2, 1), match.groups(), strict=True) if match else []
    if not match or any(int(number or low) < low for low, number in least):
        allowed = "how many of the best x how many seeds, two at the least, such as 5x4, or x how many epochs, 5x4x100"
        raise argparse.ArgumentTypeError(f"'{text}'; allowed: {allowed}")
    return {key: int(text) for key, text in zip(("top", "seeds", "epochs"), match.groups(), strict=True) if text}


def _share(text: str) -> float:
    """The part of a GPU that a trial takes."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}'; allowed: from 0 to 1, as a trial trains on one GPU at the most")
    return value


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*([MGT])(?:i?B)?", text)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"'{text}'; allowed: a number with M, G or T, such as 20G")
    return int(float(match[1]) * BYTES[match[2]])


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?", text)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"'{text}'; allowed: a number with s, m, h or d, such as 30m")
    return float(match[1]) * UNITS[match[2] or "s"]
