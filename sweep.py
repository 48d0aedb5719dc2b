"""Sweep the hyperparameters of variational auto-encoders: Ray Tune schedules, Optuna proposes, TensorBoard shows.

python sweep.py --space beta_study
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

from rich.console import Console

from report.output.live_events import SweepEvents
from tuning import options
from tuning.cluster.checks import check
from tuning.cluster.connect import connected
from tuning.records import TrialRecord, grouped
from tuning.space.load import list_spaces, load_space
from tuning.store import place as storage
from tuning.store.ledger import read_trials
from tuning.store.place import SweepStorage
from tuning.sweep import run
from tuning.sweep.manifest import read_plan, read_sweep, write_manifest
from tuning.sweep.plan import Plan, estimate, extended, new_plan
from tuning.view.best_table import best_table
from tuning.view.progress import Progress
from vae.errors import UserError

CONSOLE = Console(width=None if sys.stdout.isatty() else 160)


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done, 2 a fault of the user's, 130 stopped before the end."""
    try:
        chosen = options.parse(arguments)
        if chosen.list_spaces:
            return show_spaces()
        if chosen.report:
            return rebuild_report(chosen)
        if chosen.resume:
            return resume(chosen)
        return start(chosen)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def show_spaces() -> int:
    for name, description in list_spaces().items():
        say(f"{name:16} {description}")
    return 0


def start(chosen: argparse.Namespace) -> int:
    """A new sweep: space -> plan -> folder -> trials -> report."""
    space = load_space(chosen.space, options.overrides(chosen))
    plan = new_plan(space, chosen.space, chosen.name, chosen.seed or 0, chosen.data_dir)
    place = storage.locate(chosen.storage, plan.name)
    if chosen.dry_run:
        return show_estimate(plan)
    storage.refuse_existing(place)
    say(f"Sweep {plan.name}: {space.description}")
    return sweep(chosen, plan, place)


def resume(chosen: argparse.Namespace) -> int:
    """A sweep goes on: every trial that was not finished, and those that it still lacks."""
    place = storage.locate(chosen.storage, chosen.resume, "--resume")
    storage.open_existing(place)
    past = read_trials(place.folder)
    plan = extended(read_plan(place.folder), chosen.trials, len(grouped(past)), chosen.data_dir)
    n_finished = sum(record.state != "running" for record in past)
    say(f"Resuming {plan.name}: {n_finished} of {plan.space.n_runs} trials are finished")
    return sweep(chosen, plan, place, past)


def sweep(chosen: argparse.Namespace, plan: Plan, place: SweepStorage, past: Sequence[TrialRecord] = ()) -> int:
    """Run what the plan still lacks, then its report."""
    say(f"Dataset {plan.dataset_note}")
    with ExitStack() as stack:
        loader = stack.enter_context(ThreadPoolExecutor(1)).submit(plan.load_images)  # while Ray starts
        say("Starting Ray" if chosen.address is None else f"Joining the Ray cluster at {chosen.address}")
        cluster = stack.enter_context(connected(options.request(chosen)))
        images = loader.result()
        stack.enter_context(storage.held(place, plan.expected_bytes(), is_new=not past))
        check(cluster, place, plan.slot_bytes())
        write_manifest(place.folder, plan, cluster)
        say("\n".join([f"Running on {cluster.describe()}", *cluster.notes]))
        search, space = read_sweep(place.folder).search, plan.space
        events = stack.enter_context(closing(SweepEvents(place.folder, search, modes=space.modes)))
        with Progress(space.n_runs, cluster.slots, list(space.dimensions), past, space.metric) as progress:
            records = run.run(plan, place, cluster, images, [events, progress], progress, past, chosen.time_budget)
    return finish(chosen, plan, place, records)


def finish(chosen: argparse.Namespace, plan: Plan, place: SweepStorage, records: Sequence[TrialRecord]) -> int:
    """The table of the best, the report, and how to look at it or to go on."""
    is_whole = len(records) >= plan.space.n_runs and all(record.state != "running" for record in records)
    CONSOLE.print(best_table(records, list(plan.space.dimensions), n_rows=max(1, chosen.top_k)))
    if is_whole or chosen.time_budget:
        write_report(place, plan.data_dir, chosen.top_k)
    if not is_whole:
        say(f"Stopped before the end; nothing is lost. Go on with: {place.resume_command}")
    if all(record.state == "failed" for record in records):
        print(f"Every trial failed; why is in {shown(place.folder)}/trials/*/error.txt", file=sys.stderr)
        return 1
    return 0 if is_whole or chosen.time_budget else 130


def rebuild_report(chosen: argparse.Namespace) -> int:
    place = storage.locate(chosen.storage, chosen.report, "--report")
    storage.open_existing(place)
    write_report(place, chosen.data_dir or read_plan(place.folder).data_dir, chosen.top_k)
    return 0


def write_report(place: SweepStorage, data_dir: Path, top_k: int) -> None:
    """Best models, figures and tables; the only place where the test split is read."""
    from report.build import build_report  # brings torch and matplotlib, which nothing before the report needs

    with storage.writing(place, f"rebuild it with: python sweep.py --report {place.name}"):
        place.pull()
        folder = build_report(read_sweep(place.folder), data_dir, top_k, say)
        place.push()
    say(f"Report: {shown(folder)}")
    say(f"Look at it with: tensorboard --logdir {shown(place.folder)} --samples_per_plugin images=100")


def show_estimate(plan: Plan) -> int:
    say(f"Would run {plan.name}: {plan.space.description}")
    for line in [f"dataset {plan.dataset_note}", *estimate(plan)]:
        say(f"  {line}")
    return 0


def shown(path: Path) -> Path:
    """As the user would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def say(line: str) -> None:
    CONSOLE.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
