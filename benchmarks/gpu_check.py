"""What packs do on a GPU: tests, exactness, speed, memory, a sweep from end to end; one Markdown table.

    bash benchmarks/gpu_check.sh

Each section is a process of its own with a time limit, and a section that fails is a row that says so: what has been
measured by then is in the table, which is written after every section. --rehearse runs every section with small sizes,
on a CPU too.
"""

import argparse
import json
import multiprocessing
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.hardware import describe
from tuning.store.folder import Folder
from tuning.store.ledger import read_trials
from vae.backend.products import prefer_fast_products
from vae.config import TrialConfig
from vae.datasets import registry
from vae.datasets.names import default_data_dir
from vae.datasets.types import SplitName
from vae.model.metrics import EpochMetrics
from vae.model.shape_class import Frame, ShapeClass
from vae.model.step_cost import step_bytes, step_seconds
from vae.training.pack import Pack

REPOSITORY = Path(__file__).resolve().parent.parent
CONFIG = TrialConfig(latent_size=20, hidden_units=400)
FRAME = Frame((400,), (24,), ("relu",))
N_PIXELS = 784
SECONDS = 490  # of all sections: the call is to take under nine minutes, the installation of wheels included
STARTING = 10  # seconds without which a section is not begun
STOPPING = 15  # seconds before the end of its section in which it is told to end, to say how far it came
TOLERANCE = {"float64": 1e-9, "float32": 0.05}  # nats; TF32 rounds the factors of products to 10 bits


@dataclass(frozen=True)
class Sizes:
    n_train: int
    slots: tuple[int, ...]
    repeats: int
    n_processes: int
    n_plain: int  # images of a plain process's epoch; its time is scaled to n_train
    exact_images: int
    sweep: tuple[str, ...]


FULL = Sizes(
    *(55_000, (1, 8, 32, 64), 3, 16, 11_000, 11_000),
    ("--space", "beta_study", "--trials", "256", "--epochs", "20", "--pack", "64", "--top-k", "0"),
)
SMALL = Sizes(
    *(512, (1, 2), 1, 2, 256, 256),
    ("--space", "quick", "--trials", "2", "--epochs", "1", "--pack", "2", "--top-k", "0", "--dataset", "digits"),
)


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def images(n_train: int, is_small: bool) -> tuple[Tensor, Tensor]:
    """MNIST; in a rehearsal made-up images of its size."""
    if is_small:
        draw = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (n_train + 100, N_PIXELS), dtype=torch.uint8, generator=draw)
        return pixels[:n_train], pixels[n_train:]
    splits: tuple[SplitName, ...] = ("train", "validation")
    train, validation = (torch.from_numpy(registry.load("mnist", default_data_dir(), one).pixels) for one in splits)
    return train[:n_train], validation


# ---------------------------------------------------------------- the sections: rows of (what, value)

Rows = Iterator[tuple[str, str]]


def tests(sizes: Sizes, is_small: bool, seconds: float) -> Rows:
    """The tests that need a GPU; in a rehearsal they are only collected."""
    how = ["-q", "--collect-only"] if device() == "cpu" else ["-v"]
    command = [sys.executable, "-m", "pytest", *how, "-m", "gpu", "-p", "no:cacheprovider", "tests/vae"]
    with tempfile.TemporaryFile() as told:
        code = waited(subprocess.Popen(command, cwd=REPOSITORY, stdout=told, stderr=told), seconds - STOPPING)
        lines = text_of(told).strip().splitlines() or ["nothing was told"]
    n_passed = sum(" PASSED " in line for line in lines)
    yield "tests marked gpu", f"NOT ENDED, {n_passed} passed by then" if code is None else lines[-1].strip("= ")
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            yield "", line[:300]


def exactness(sizes: Sizes, is_small: bool, seconds: float) -> Rows:
    """The largest difference between trials of a pack and the same trials alone, on this device."""
    data = images(sizes.exact_images, is_small)
    for precision in ("float64", "float32"):
        trials = [
            CONFIG.model_copy(update={"precision": precision, "seed": seed, "hidden_units": 400 - 50 * seed})
            for seed in range(4)
        ]
        pack = Pack(*data, device(), ShapeClass.of(trials[0], FRAME), n_slots=4)
        slots = [pack.join(trial) for trial in trials]
        packed = [pack.epoch(slots) for _ in range(2)][-1]
        worst = max(difference(packed[slot], alone(data, trial)) for slot, trial in zip(slots, trials, strict=True))
        kind = "float64" if precision == "float64" else "float32, products in TF32"
        verdict = "" if worst < TOLERANCE[precision] else ": TOO MUCH"
        yield f"pack against alone, 2 epochs, {kind}", f"{worst:.2g} nats{verdict}{remark(pack)}"


def alone(data: tuple[Tensor, Tensor], trial: TrialConfig) -> EpochMetrics:
    pack = Pack(*data, device())
    pack.join(trial)
    return [pack.epoch([0])[0] for _ in range(2)][-1]


def difference(one: EpochMetrics, other: EpochMetrics) -> float:
    ours, theirs = one.as_dict(), other.as_dict()
    return max(abs(float(ours[name]) - float(theirs[name])) for name in ours.keys() - {"epoch", "epoch_seconds"})


def remark(pack: Pack) -> str:
    """What is not as it was to be: a table must not show the speed of a fallback for that of the real thing."""
    if pack.note:
        return f" ({pack.note})"
    return " (no CUDA graph)" if pack.stack.loop.graph is None else ""


def speed(sizes: Sizes, is_small: bool, seconds: float) -> Rows:
    """Trial-epochs a second of full packs, evaluation included."""
    data, shape = images(sizes.n_train, is_small), ShapeClass.of(CONFIG, FRAME)
    for n_slots in sizes.slots:
        yield from of_pack(f"pack of {n_slots}", data, shape, n_slots, sizes.repeats, None)
    most = sizes.slots[-2]
    yield from of_pack(f"pack of {most}, captured and not compiled", data, shape, most, sizes.repeats, False)


def of_pack(
    name: str, data: tuple[Tensor, Tensor], shape: ShapeClass, n_slots: int, repeats: int, compiles: bool | None
) -> Rows:
    if device() == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    pack = Pack(*data, device(), shape, n_slots, compiles)
    slots = [pack.join(CONFIG.model_copy(update={"seed": seed})) for seed in range(n_slots)]
    first = seconds_of(lambda: pack.epoch(slots))
    with Utilisation() as used:
        seconds = [seconds_of(lambda: pack.epoch(slots)) for _ in range(repeats)]
    median, n_steps = statistics.median(seconds), -(-len(data[0]) // CONFIG.batch_size)
    moved = n_slots * n_steps * step_bytes(shape, N_PIXELS) / median
    floor = n_steps * step_seconds(shape, n_slots, N_PIXELS)
    memory = f", {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB at the most" if device() == "cuda" else ""
    yield (
        f"{name}: trial-epochs/s",
        f"{n_slots / median:.1f} ({min(seconds):.3f} to {max(seconds):.3f} s an epoch, by the model {floor:.3f}); "
        f"{moved / 1e12:.2f} TB/s, GPU busy {used}{memory}; first epoch {first:.1f} s{remark(pack)}",
    )


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()  # an epoch ends with a transfer to the host, so the device has finished
    return time.perf_counter() - started


class Utilisation:
    """The share of the time in which the GPU runs a kernel, as nvidia-smi tells it, asked every 0.2 s."""

    def __init__(self) -> None:
        self._seen: list[float] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Utilisation":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ends.set()
        self._thread.join()

    def _ask(self) -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while device() == "cuda" and not self._ends.wait(0.2):
            answer = subprocess.run(command, capture_output=True, text=True).stdout.split()
            self._seen += [float(text) for text in answer[:1] if re.fullmatch(r"[\d.]+", text)]

    def __str__(self) -> str:
        return f"{statistics.mean(self._seen):.0f} %" if self._seen else "not known"


def plain(sizes: Sizes, is_small: bool, seconds: float) -> Rows:
    """As many processes as a user would start: each a DataLoader loop with torch's own layers and Adam."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(sizes.n_processes), context.Queue()
    arguments = (sizes.n_plain, is_small, barrier, results)
    processes = [context.Process(target=_plain_process, args=arguments) for _ in range(sizes.n_processes)]
    for process in processes:
        process.start()
    times = [results.get(timeout=seconds) * sizes.n_train / sizes.n_plain for _ in processes]
    for process in processes:
        process.join()
    rate = sizes.n_processes / statistics.median(times)
    yield (
        f"{sizes.n_processes} plain processes on this {device()}: trial-epochs/s",
        f"{rate:.2f} ({min(times):.1f} to {max(times):.1f} s an epoch, scaled from {sizes.n_plain:,} images)",
    )


def _plain_process(n_images: int, is_small: bool, barrier: Any, results: Any) -> None:
    torch.set_num_threads(1)
    train, _ = images(n_images, is_small)
    loader = DataLoader(TensorDataset(train.float() / 255), CONFIG.batch_size, shuffle=True)
    encoder = nn.Sequential(nn.Linear(N_PIXELS, 400), nn.ReLU(), nn.Linear(400, 40)).to(device())
    decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, N_PIXELS)).to(device())
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], CONFIG.learning_rate)

    def epoch() -> float:
        total = 0.0
        for (x,) in loader:
            x = x.to(device())
            mean, log_variance = encoder(x).chunk(2, -1)
            logits = decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
            loss = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl
            adam.zero_grad()
            (loss / len(x)).backward()
            adam.step()
            total += loss.item()
        return total

    epoch()
    barrier.wait()
    results.put(seconds_of(epoch))


def sweep(sizes: Sizes, is_small: bool, seconds: float) -> Rows:
    """From the command to the end of the report, twice: the second time compiled code is there already."""
    ends = time.monotonic() + seconds - STOPPING
    for turn in ("first",) if is_small else ("first", "second"):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            what = f"sweep.py {' '.join(sizes.sweep)}, {turn} time"
            yield what, swept(sizes.sweep, Path(folder), ends - time.monotonic())


def swept(arguments: tuple[str, ...], storage: Path, limit: float) -> str:
    """What one sweep took, and where it has spent its start; of one that took too long, how far it came."""
    command = [sys.executable, str(REPOSITORY / "sweep.py"), *arguments, "--name", "it", "--storage", str(storage)]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=told, stderr=told)
        code = waited(process, limit)
        seconds = time.perf_counter() - started
        last = " ".join(text_of(told).split())[-300:]
    if code:
        return f"exit code {code}: {last}"
    ending = [f"NOT ENDED; its last words: {last or 'none'}"] if code is None else []
    return "; ".join([f"{seconds:.0f} s", *so_far(storage / "it", seconds), *ending])


def waited(process: subprocess.Popen[bytes], limit: float) -> int | None:
    """The exit code; None: it took longer, and was told to end or, if that takes too long, killed."""
    try:
        return process.wait(max(1.0, limit))
    except subprocess.TimeoutExpired:
        process.terminate()  # not Ctrl-C, which the commands of a shell in the background do not hear
    try:
        process.wait(STOPPING * 0.6)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return None


def so_far(folder: Path, seconds: float) -> list[str]:
    """The trials and epochs in a sweep's ledger, how long its parts took to start, and what its manifest notes."""
    if not (folder / "manifest.json").exists():
        return ["no trial had begun"]
    trials, run = read_trials(Folder(folder)), json.loads((folder / "manifest.json").read_text())["runs"][-1]
    n_epochs = sum(len(trial.history) for trial in trials)
    states = ", ".join(f"{n} {state}" for state, n in Counter(trial.state for trial in trials).items())
    starts = ", ".join(f"{name} {since:.0f}" for name, since in run.get("start_seconds", {}).items())
    told = [states or "no trial had begun", f"seconds to {starts}" if starts else "no epoch had ended"]
    return [f"{n_epochs} trial-epochs, {n_epochs / seconds:.1f} a second", *told, *run.get("notes", [])]


def text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


SECTIONS: dict[str, tuple[Callable[[Sizes, bool, float], Rows], int]] = {  # with the seconds that each may take
    "speed": (speed, 150),
    "exactness": (exactness, 100),
    "plain": (plain, 60),
    "sweep": (sweep, 160),
    "tests": (tests, 160),
}


# ---------------------------------------------------------------- the table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="small sizes, on a CPU too")
    parser.add_argument("--output", type=Path, help="the Markdown file; default: only to the screen")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="this section; may be given several times")
    parser.add_argument("--within", choices=SECTIONS, help=argparse.SUPPRESS)  # the process of one section
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)  # that it may take
    chosen = parser.parse_args()
    if chosen.within:
        prefer_fast_products(device())
        sizes, measure = SMALL if chosen.rehearse else FULL, SECTIONS[chosen.within][0]
        for what, value in measure(sizes, chosen.rehearse, chosen.seconds):
            print(row(what, value), flush=True)
        return 0
    if device() == "cpu" and not chosen.rehearse:
        print("there is no GPU here; --rehearse runs every section with small sizes", file=sys.stderr)
        return 2
    return table(chosen)


def table(chosen: argparse.Namespace) -> int:
    """Run the sections one after another; the file is whole after each. 1 if one of them failed."""
    title = "# Packs on a GPU" + (": a rehearsal with small sizes, no measurement" if chosen.rehearse else "")
    lines = [title, "", "    bash benchmarks/gpu_check.sh", "", *describe(("torch", "ray")), "", "| | |", "|---|---|"]
    print("\n".join(lines), flush=True)
    began, failed = time.perf_counter(), False
    for name in chosen.only or SECTIONS:
        left = SECONDS - (time.perf_counter() - began)
        rows, error = section(name, chosen.rehearse, min(SECTIONS[name][1], left))
        failed = failed or bool(error)
        new = [*rows, *([row(f"{name}: failed", error)] if error else [])]
        print("\n".join(new), flush=True)
        lines += new
        if chosen.output:
            chosen.output.write_text("\n".join([*lines, ""]))
    print(row("all sections", f"{time.perf_counter() - began:.0f} s"))
    return int(failed)


def section(name: str, is_small: bool, seconds: float) -> tuple[list[str], str]:
    """The rows that a section's process printed, and why it ended early; '' where it did not."""
    if seconds < STARTING:
        return [], "no time was left for it"
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--within", name, "--seconds", f"{seconds:.0f}"]
    # Into files, not pipes: a process that outlives its section would hold a pipe open, and the table up.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [*command, *(["--rehearse"] if is_small else [])],
            cwd=REPOSITORY,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
            error = f"exit code {code}: {text_of(err).strip()[-400:]}" if code else ""
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the section and what it has started
            process.wait()
            error = f"took longer than {seconds:.0f} s"
        return [line for line in text_of(out).splitlines() if line.startswith("| ")], " ".join(error.split())


def row(what: str, value: str) -> str:
    return f"| {what} | {' '.join(value.split()).replace('|', '/')} |"


if __name__ == "__main__":
    sys.exit(main())
