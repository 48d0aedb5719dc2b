"""Train one model in a folder, as `python -m vae` does: from its checkpoint if there is one, with Ctrl-C in between."""

import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from vae.backend.products import prefer_fast_products
from vae.cli.arguments import Options
from vae.cli.exit import INTERRUPTED
from vae.config import TrialConfig
from vae.datasets.names import short_name
from vae.datasets.registry import load, resolve, spec
from vae.datasets.types import SplitName
from vae.errors import CheckpointError, UserError
from vae.files import LocalFiles
from vae.model.metrics import EpochMetrics
from vae.training.pack import Pack
from vae.training.trial import Training

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
DIVERGED = 1  # exit code
SPEED_PERIOD = 3600.0  # seconds: the time left follows from the speed of the last hour, as an epoch may take minutes

ShowEpoch = Callable[[EpochMetrics], None]


def train(options: Options) -> int:
    """The exit code, see main of vae.__main__. Raises UserError."""
    torch.set_num_threads(options.threads)
    prefer_fast_products(options.device)
    with _files_of("--data-dir", options.data_dir):
        dataset, note = resolve(options.dataset, options.data_dir)
        print(f"Dataset {note}")
        pack = Pack(*_splits(dataset, options.data_dir), options.device)
    out = options.out or default_out(dataset, options.config)
    with _files_of("--out", out):
        training = _open(out, options.config, dataset, spec(dataset, options.data_dir).image_shape, pack)
        with StopRequest() as stop:
            _say_where_it_starts(training, out)
            _run(training, out, stop)
        return _tell_the_end(training, out)


def _splits(dataset: str, data_dir: Path) -> tuple[Tensor, Tensor]:
    names: tuple[SplitName, SplitName] = ("train", "validation")
    train, validation = (torch.from_numpy(load(dataset, data_dir, name).pixels) for name in names)
    return train, validation


def _open(out: Path, config: TrialConfig, dataset: str, image_shape: tuple[int, int], pack: Pack) -> Training:
    """The training that the folder holds, or a new one. Writes only when nothing is left to refuse."""
    files = LocalFiles(out)
    described = {"config": config.model_dump(), "dataset": dataset, "image_shape": list(image_shape)}
    _refuse_another(out, described)
    try:
        training = Training(pack, config, dataset, image_shape, files)
    except CheckpointError as error:
        raise UserError(f"--out {out}: {error}; choose another --out, or delete the folder") from None
    files.write(CONFIG_FILE, json.dumps(described, indent=2).encode())
    files.write(METRICS_FILE, "".join(map(_json_line, training.history)).encode())
    return training


def _run(training: Training, out: Path, stop: "StopRequest") -> None:
    with _view(training) as show, (out / METRICS_FILE).open("a") as log:
        while not (training.is_done or stop.requested):
            metrics = training.next_epoch()
            log.write(_json_line(metrics))
            log.flush()
            try:
                show(metrics)
            except BrokenPipeError:  # whoever read the lines has gone; the same command goes on from here
                training.save()
                raise
    training.save()


def _json_line(metrics: EpochMetrics) -> str:
    return json.dumps(metrics.as_dict()) + "\n"


def default_out(dataset: str, config: TrialConfig) -> Path:
    """models/mnist-latent2-epochs10: the latent size and whatever differs from its default, so that names differ."""
    defaults = TrialConfig().model_dump(exclude={"latent_size"})
    values = {name: getattr(config, name) for name in defaults}
    changed = "".join(f"-{name}{value}" for name, value in values.items() if value != defaults[name])
    return Path("models", f"{short_name(dataset)}-latent{config.latent_size}{changed}".replace("_", "-"))


def _refuse_another(out: Path, described: dict[str, Any]) -> None:
    content = LocalFiles(out).read(CONFIG_FILE)
    if content is None:
        if out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
            raise UserError(f"--out {out}: holds other files and no {CONFIG_FILE}; choose an empty or a new folder")
        return
    try:
        found = json.loads(content)
        differences = _differences(found, described)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{out / CONFIG_FILE}: damaged; choose another --out, or delete the folder") from None
    if differences:
        raise UserError(f"--out {out}: holds another model ({differences}); choose another --out, or delete the folder")


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Each value that differs: "latent_size 2, not 3". What an older version did not know has its default."""
    defaults = TrialConfig().model_dump()
    before, now = ({"dataset": it["dataset"], **defaults, **it["config"]} for it in (found, wanted))
    return ", ".join(
        f"{name} {before.get(name)}, not {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )


@contextmanager
def _files_of(flag: str, folder: Path) -> Iterator[None]:
    """A fault of the file system (no right, no space, no such folder) is the user's to mend; a closed pipe is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot read or write there: {error.strerror or error}") from None


class StopRequest:
    """The first Ctrl-C lets the epoch end, so that the checkpoint holds a whole epoch; the second stops at once."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "StopRequest":
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("Stopping after this epoch; Ctrl-C again stops at once.", file=sys.stderr)


def _say_where_it_starts(training: Training, out: Path) -> None:
    if training.is_done:
        print(f"{out} is trained already: {training.n_epochs} epochs.")
    elif training.n_epochs:
        print(f"Going on in {out} after epoch {training.n_epochs} of {training.config.epochs}.", flush=True)
    else:
        print(f"Training in {out}", flush=True)


@contextmanager
def _view(training: Training) -> Iterator[ShowEpoch]:
    """Yields what shows an epoch that has ended: a bar with the time left, or lines where there is no terminal."""
    if not sys.stdout.isatty():
        yield lambda metrics: print(_line(training, metrics), flush=True)
        return
    bar = (BarColumn(), MofNCompleteColumn(), TextColumn("epochs"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*bar, TextColumn("left {task.description}"), speed_estimate_period=SPEED_PERIOD) as progress:
        task = progress.add_task("", total=training.config.epochs, completed=training.n_epochs)
        yield lambda metrics: progress.update(task, completed=metrics.epoch, description=_numbers(metrics))


def _line(training: Training, metrics: EpochMetrics) -> str:
    epochs, seconds = training.config.epochs, [epoch.epoch_seconds for epoch in training.history[-10:]]
    left = (epochs - metrics.epoch) * sum(seconds) / len(seconds)
    return f"epoch {metrics.epoch}/{epochs}: {_numbers(metrics)}, {metrics.epoch_seconds:.1f} s, {left:.0f} s left"


def _numbers(metrics: EpochMetrics) -> str:
    """The ELBO and its parts, or the distortion where there is no ELBO; then the same number from corrupted input."""
    if metrics.val_elbo is None:
        clean, noisy = f"distortion {metrics.val_distortion:.2f}", metrics.val_noisy_distortion
    else:
        parts = f"rate {metrics.val_rate:.2f}, distortion {metrics.val_distortion:.2f}"
        clean, noisy = f"ELBO {metrics.val_elbo:.2f} ({parts})", metrics.val_noisy_elbo
    return f"validation {clean}" + ("" if noisy is None else f", from noisy input {noisy:.2f}")


def _tell_the_end(training: Training, out: Path) -> int:
    reached = training.best
    if reached:
        which = "Best" if training.config.keep == "best" else "Kept"
        print(f"{which} epoch {reached.epoch} of {training.n_epochs}: {_numbers(reached)}, nats per image.")
        print(f"Figures: python -m report {shlex.quote(str(out))}")
    if training.history and not training.history[-1].is_finite:
        rate = training.config.learning_rate
        print(
            f"Diverged in epoch {training.n_epochs}: a lower --learning-rate than {rate:g} may help.", file=sys.stderr
        )
        return DIVERGED
    if not training.is_done:
        print(f"Stopped after epoch {training.n_epochs}. The same command goes on from there.", file=sys.stderr)
        return INTERRUPTED
    return 0
