"""Sweep the hyperparameters of variational auto-encoders: python sweep.py --space beta_study."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tuning import options
from tuning.at_hand import at_hand
from tuning.layout import BEST_FOLDER, REPORT_FOLDER, as_typed
from tuning.records import TrialRecord
from tuning.space.load import load_space
from tuning.store import place as storage
from tuning.store.place import SweepStorage
from tuning.view.console import CONSOLE, say
from tuning.view.ending import Ending
from tuning.view.leaderboard import best_tables

if TYPE_CHECKING:
    from tuning.plan.plan import Plan

# What brings NumPy, Ray or TensorBoard is imported where it is first needed. They take seconds to load, and --help,
# --list-spaces and the faults of a command line or a space are told in less than one.


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done, 1 every trial failed, 2 a mistake of the user, 130 stopped before the end."""
    with Ending(arguments) as ending:
        chosen = options.parse(arguments)
        ending.notify = chosen.notify
        command = resume if chosen.resume else rebuild_report if chosen.report else start if chosen.space else at_hand
        ending.code = command(chosen, ending)
    return ending.code


def start(chosen: argparse.Namespace, ending: Ending) -> int:
    """Start a new sweep: space -> plan -> folder -> trials -> report."""
    space = load_space(chosen.space, options.overrides(chosen))
    from tuning.plan.cost import would_run
    from tuning.plan.plan import new_plan

    plan = new_plan(space, chosen.space, chosen.name, chosen.seed or 0, chosen.data_dir, chosen.max_disk)
    place = storage.locate(chosen.storage, plan.name)
    if chosen.dry_run:
        lines = would_run(plan, options.request(chosen), chosen.top_k)
        ending.result = {"would_run": plan.name, "lines": lines}
        say("\n  ".join(lines))
        return 0
    storage.refuse_existing(place)
    ending.storage = place
    say(f"Sweep {plan.name}: {space.description}")
    return sweep(chosen, plan, place)


def resume(chosen: argparse.Namespace, ending: Ending) -> int:
    """Go on with a sweep: with every trial that has not finished, then with those that it still lacks."""
    from report.live import catch_up
    from tuning.sweep import confirm, manifest, run
    from tuning.sweep.resume import resumed

    place = ending.storage = storage.locate(chosen.storage, chosen.resume, "--resume")
    storage.open_existing(place)
    with storage.held(place):  # first the lock, then the reading: another driver may end only now
        found = resumed(place, **options.changes(chosen))
        say("\n".join(found.notes))
        if not found.plan.is_whole(found.past) or confirm.left(found.plan, place, found.past, chosen.retry_failed):
            return sweep(chosen, found.plan, place, found.past)
        run.settle(found.plan, place, found.past)
        catch_up(manifest.read_sweep(place), found.plan.space.modes, place.not_mirrored(found.past))
        return finish(chosen, found.plan, place, found.past)


def sweep(chosen: argparse.Namespace, plan: Plan, place: SweepStorage, past: list[TrialRecord] | None = None) -> int:
    """Run what search and confirmation lack, then the report. past: of a sweep that is resumed, and held already."""
    from report.live import LiveReport
    from tuning.cluster import connect
    from tuning.sweep import confirm, run

    say(f"Dataset {plan.dataset_note}")
    with ExitStack() as stack:
        loader = stack.enter_context(ThreadPoolExecutor(1)).submit(plan.load_images)  # while Ray starts
        say("Starting Ray" if chosen.address is None else f"Joining the Ray cluster at {chosen.address}")
        cluster = stack.enter_context(connect.connected(options.request(chosen)))
        machines = run.Machines(cluster, loader.result(), chosen.time_budget)
        if past is None:
            stack.enter_context(storage.created(place, plan.expected_bytes(cluster.slots)))
        records = run.trained(plan, place, machines, past or [], LiveReport)
        with confirm.held(plan, place, records, chosen.retry_failed) as fresh:
            if fresh and machines.have_time:
                say("\n".join(fresh.notes))
                run.trained(fresh.plan, fresh.storage, machines, fresh.past, LiveReport)
    return finish(chosen, plan, place, records)


def finish(chosen: argparse.Namespace, plan: Plan, place: SweepStorage, records: Sequence[TrialRecord]) -> int:
    """Show the best trials, build the report, and say how to look at it or how to go on."""
    from tuning.sweep import confirm
    from tuning.sweep.resume import has_report, how_to_go_on

    fresh = confirm.found(plan, place, records)
    for table in best_tables(records, fresh.confirmed, list(plan.space.dimensions), max(1, chosen.top_k)):
        CONSOLE.print(table)
    if (fresh.is_whole or chosen.time_budget) and has_report(place):
        say(f"The report is there already; rebuild it with: {place.report_command}")
    elif fresh.is_whole or chosen.time_budget:
        write_report(place, plan.data_dir, chosen.top_k)
    joined = f" --address {chosen.address}" if chosen.address else ""
    for line in how_to_go_on(fresh.is_whole, [*records, *fresh.trials], place.resume_command + joined):
        say(line)
    if all(record.state == "failed" for record in records):
        print(f"Every trial failed; why is in {place.shown}/trials/*/error.txt", file=sys.stderr)
        return 1
    return 0 if fresh.is_whole or chosen.time_budget else 130


def rebuild_report(chosen: argparse.Namespace, ending: Ending) -> int:
    from tuning.sweep.manifest import read_plan

    place = ending.storage = storage.locate(chosen.storage, chosen.report, "--report")
    storage.open_existing(place)
    write_report(place, chosen.data_dir or read_plan(place).data_dir, chosen.top_k)
    return 0


def write_report(place: SweepStorage, data_dir: Path, top_k: int) -> None:
    """Best models, figures and tables. Nothing else reads the test split."""
    from report.build import build_report
    from tuning.sweep.manifest import read_sweep

    with storage.writing(place, f"rebuild it with: {place.report_command}"):
        folder = build_report(read_sweep(place), data_dir, top_k, say)
        place.publish(BEST_FOLDER, REPORT_FOLDER)
    say(f"Report: {as_typed(folder)}\nOpen {place.page}, or: {place.look_command}")


if __name__ == "__main__":
    sys.exit(main())
