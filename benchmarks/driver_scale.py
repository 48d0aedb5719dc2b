"""What one driver carries: a sweep of recorded curves, with everything around the training as it is.

    python -m benchmarks.driver_scale --trials 10000

Ray, Tune, Optuna, the ledger, the event files and the live view are the real ones; only the epochs are replayed
(benchmarks/replay.py). Each sampler has a process of its own, and then another one that reads the sweep back as
`--resume` does. CPU seconds are those of the driver's process with all its threads; those of Ray's own processes and of
the workers are not in them.

With --without-ray the same trials go through the driver's own code, called as Tune calls it, in one process: what is
left is the bookkeeping, which is to take no longer at trial 10,000 than at trial 1,000.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.replay import Replay, replayed
from report.output.live_events import SweepEvents
from tuning.cluster.allot import Request
from tuning.cluster.connect import connected
from tuning.plan.plan import Plan
from tuning.records import Observer, TrialRecord
from tuning.search.early_stopping import make_scheduler
from tuning.space.load import load_space
from tuning.store.place import SweepStorage
from tuning.sweep import manifest, run
from tuning.sweep.driver import Sweep
from tuning.sweep.resume import resumed
from tuning.view.progress import Progress
from tuning.workers.sweep_context import SweepContext
from vae.model.metrics import EpochMetrics

NAME = "scale"
EARLY, LATE = (0.05, 0.15), (0.9, 1.0)  # of the trials: 500 to 1,500 and 9,000 to 10,000 of 10,000


@dataclass
class Stopwatch:
    """An Observer that notes the time and the driver's CPU seconds whenever a trial ends."""

    ends: list[tuple[float, float]] = field(default_factory=list)
    n_epochs: int = 0

    def started(self, record: TrialRecord) -> None:
        pass

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        self.n_epochs += 1

    def finished(self, record: TrialRecord) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))

    def per_trial(self, window: tuple[float, float]) -> tuple[float, float]:
        """Wall and CPU seconds of a trial among these, from the share of the trials to the share."""
        first, last = (min(len(self.ends) - 1, int(share * len(self.ends))) for share in window)
        wall, cpu = np.subtract(self.ends[last], self.ends[first]) / (last - first)
        return float(wall), float(cpu)


def plan_of(chosen: argparse.Namespace, sampler: str) -> Plan:
    space = load_space("beta_study").model_dump(exclude_none=True)
    space |= {"trials": chosen.trials, "dataset": "digits", "sampler": {"type": sampler}}
    return Plan(NAME, type(load_space("beta_study")).model_validate(space), 0, "digits", "recorded curves", Path())


def sweep(chosen: argparse.Namespace, sampler: str, folder: Path) -> dict[str, Any]:
    """Run the sweep and say what it took."""
    plan, storage, watch = plan_of(chosen, sampler), SweepStorage(folder / NAME), Stopwatch()
    no_images = np.zeros((1, plan.n_pixels), np.uint8)
    storage.folder.mkdir()
    began = time.perf_counter()
    with connected(Request(pack=chosen.slots, gpus_per_trial=0)) as cluster:
        manifest.write_manifest(storage, plan, cluster)
        events = SweepEvents(storage.folder, manifest.searched(plan))
        with Progress(plan.space.n_runs, cluster.slots, list(plan.space.dimensions)) as progress:
            images = {"train": no_images, "validation": no_images}
            observers: list[Observer] = [events, progress, watch]
            worker = replayed(chosen.epochs_per_second)
            run.run(plan, storage, cluster, images, observers, progress, worker=worker)
        events.close()
    return _measured(watch, storage.folder, time.perf_counter() - began)


def _measured(watch: Stopwatch, folder: Path, wall_seconds: float) -> dict[str, Any]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "wall": wall_seconds,
        "epochs": watch.n_epochs,
        "early": watch.per_trial(EARLY),
        "late": watch.per_trial(LATE),
        "memory": peak_memory(),
        "disk": sum(path.stat().st_size for path in files),
        "files": len(files),
    }


def peak_memory() -> int:
    """Bytes of this process; ru_maxrss would be that of the process that started it, where that was larger."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


class CalledTrial:
    """One of Tune's trials, as much of it as the driver and the scheduler look at."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.trial_id = f"tune-{config['trial_id']}"
        self.config = config
        self.last_result: dict[str, Any] = {}
        self.run_metadata = SimpleNamespace(num_failures=0)


def bookkeeping(chosen: argparse.Namespace, sampler: str, folder: Path) -> dict[str, Any]:
    """The sweep without Ray: one trial after the other has a turn, of so many that are under way."""
    plan, storage, watch = plan_of(chosen, sampler), SweepStorage(folder / NAME), Stopwatch()
    storage.folder.mkdir()
    manifest.write_manifest(storage, plan)
    nothing: Any = None
    context = SweepContext(
        nothing, nothing, plan.dataset, plan.image_shape, storage, 1, "cpu", deciding_epochs=plan.deciding_epochs()
    )
    began = time.perf_counter()
    events = SweepEvents(storage.folder, manifest.searched(plan))
    with Progress(plan.space.n_runs, chosen.slots, list(plan.space.dimensions)) as progress:
        driver = Sweep(plan, storage, (), [events, progress, watch], chosen.slots)
        scheduler = make_scheduler(plan.space, plan.seed)
        running: deque[tuple[CalledTrial, Replay]] = deque()
        while driver.queue.n_to_run or running:
            while driver.queue.n_to_run and len(running) < chosen.slots:
                running.append(_begun(driver, scheduler, context))
            trial, device = running.popleft()
            if not _told(driver, scheduler, trial, device.result()):
                running.append((trial, device))
            driver.on_step_end(0, [])
        driver.close()
    events.close()
    return _measured(watch, storage.folder, time.perf_counter() - began)


def _begun(driver: Sweep, scheduler: Any, context: SweepContext) -> tuple[CalledTrial, Replay]:
    trial, device = CalledTrial(driver.propose(context.n_slots)), Replay(context)
    device.join(**{**trial.config, "report_seconds": 3600.0})
    scheduler.on_trial_add(None, trial)
    driver.on_trial_start(0, [], trial)
    return trial, device


def _told(driver: Sweep, scheduler: Any, trial: CalledTrial, result: dict[str, Any]) -> bool:
    """Whether the trial has ended with this result."""
    if result["done"]:
        scheduler.on_trial_complete(None, trial, result)
    elif scheduler.on_trial_result(None, trial, result) == "STOP":
        result["done"] = True
    driver.on_trial_result(0, [], trial, result)
    trial.last_result = result
    if result["done"]:
        driver.on_trial_complete(0, [], trial)
    return bool(result["done"])


def resume(chosen: argparse.Namespace, sampler: str, folder: Path) -> dict[str, Any]:
    """Read the sweep back and write its study anew, for ten trials more: what --resume does before it starts Ray."""
    storage, began = SweepStorage(folder / NAME), time.perf_counter()
    found = resumed(storage, chosen.trials + 10, None, retry_failed=False)
    sweep = Sweep(found.plan, storage, found.past, ())
    make_scheduler(found.plan.space, found.plan.seed, found.past)
    seconds = time.perf_counter() - began
    sweep.close()
    return {"resume": seconds}


def in_its_own_process(chosen: argparse.Namespace, sampler: str, step: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.driver_scale", "--trials", str(chosen.trials)]
    command += ["--slots", str(chosen.slots), "--epochs-per-second", str(chosen.epochs_per_second)]
    result = folder / f"{step}.json"
    subprocess.run([*command, "--step", step, sampler, str(folder), str(result)], check=True, stdout=sys.stderr)
    return dict(json.loads(result.read_text()))


def row(sampler: str, found: dict[str, Any], n_trials: int) -> str:
    (early_wall, early_cpu), (late_wall, late_cpu) = found["early"], found["late"]
    cells = [
        sampler,
        f"{n_trials:,}",
        f"{found['wall']:.0f} s",
        f"{1e3 * early_wall:.0f} / {1e3 * early_cpu:.0f} ms",
        f"{1e3 * late_wall:.0f} / {1e3 * late_cpu:.0f} ms",
        f"{late_cpu / early_cpu:.2f}",
        f"{found['epochs'] / found['wall']:.0f}",
        f"{found['memory'] / 2**20:.0f} MiB",
        f"{found['disk'] / 2**20:.0f} MiB in {found['files']:,} files",
        f"{found['resume']:.1f} s",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--slots", type=int, default=8, help="trials at a time; each is a light process")
    parser.add_argument("--epochs-per-second", type=float, default=math.inf, help="of one trial; default: all at once")
    parser.add_argument("--without-ray", action="store_true", help="only the driver's own code, as Tune calls it")
    parser.add_argument("--step", nargs=4, metavar=("NAME", "SAMPLER", "FOLDER", "RESULT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        step, sampler, folder, result = chosen.step
        steps = {"sweep": sweep, "bookkeeping": bookkeeping, "resume": resume}
        Path(result).write_text(json.dumps(steps[step](chosen, sampler, Path(folder))))
        return
    from benchmarks.hardware import describe  # brings torch, which the driver that is measured does without

    print("\n".join([*describe(("ray", "optuna")), ""]))
    early, late = ([int(share * chosen.trials) for share in window] for window in (EARLY, LATE))
    print(
        f"| sampler | trials | wall | a trial, {early[0]:,} to {early[1]:,}: wall / driver's CPU "
        f"| {late[0]:,} to {late[1]:,} | CPU, times | epochs/s | driver's memory | disk | resume |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for sampler in chosen.samplers:
        folder = Path(tempfile.mkdtemp(prefix="driver-scale-"))
        try:
            found = in_its_own_process(chosen, sampler, "bookkeeping" if chosen.without_ray else "sweep", folder)
            found |= in_its_own_process(chosen, sampler, "resume", folder)
            print(row(sampler, found, chosen.trials), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
