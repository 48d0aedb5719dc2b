"""Sweep the hyperparameters of variational auto-encoders: python sweep.py --space beta_study."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
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
from tuning.view.leaderboard import best_table
from tuning.view.progress import Progress

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
    from tuning.plan.cost import estimate
    from tuning.plan.plan import new_plan

    plan = new_plan(space, chosen.space, chosen.name, chosen.seed or 0, chosen.data_dir, chosen.max_disk)
    place = storage.locate(chosen.storage, plan.name)
    if chosen.dry_run:
        estimated = estimate(plan, options.request(chosen), chosen.top_k)
        lines = [f"Would run {plan.name}: {space.description}", f"dataset {plan.dataset_note}", *estimated]
        ending.result = {"would_run": plan.name, "lines": lines}
        say("\n  ".join(lines))
        return 0
    storage.refuse_existing(place)
    ending.storage = place
    say(f"Sweep {plan.name}: {space.description}")
    return sweep(chosen, plan, place)


def resume(chosen: argparse.Namespace, ending: Ending) -> int:
    """Go on with a sweep: with every trial that has not finished, then with those that it still lacks."""
    from report.output.live_events import SweepEvents
    from tuning.sweep import manifest, run
    from tuning.sweep.resume import resumed

    place = ending.storage = storage.locate(chosen.storage, chosen.resume, "--resume")
    storage.open_existing(place)
    with storage.held(place):  # first the lock, then the reading: another driver may end only now
        found = resumed(place, chosen.trials, chosen.data_dir, chosen.retry_failed, chosen.keep_models, chosen.max_disk)
        say("\n".join(found.notes))
        if not found.plan.is_whole(found.past):
            return sweep(chosen, found.plan, place, found.past)
        run.settle(found.plan, place, found.past)
        searched, unseen = manifest.searched(found.plan), place.not_mirrored(found.past)
        SweepEvents(place.folder, searched, found.plan.space.modes, unseen, found.past).close()
        return finish(chosen, found.plan, place, found.past)


def sweep(chosen: argparse.Namespace, plan: Plan, place: SweepStorage, past: list[TrialRecord] | None = None) -> int:
    """Run what the plan still lacks, then build the report. past: of a sweep that is resumed, and held already."""
    from report.live import LiveReport
    from report.output.folding import folding_notes
    from tuning.cluster import checks, connect
    from tuning.plan import lanes
    from tuning.sweep import manifest, run

    say(f"Dataset {plan.dataset_note}")
    with ExitStack() as stack:
        loader = stack.enter_context(ThreadPoolExecutor(1)).submit(plan.load_images)  # while Ray starts
        say("Starting Ray" if chosen.address is None else f"Joining the Ray cluster at {chosen.address}")
        cluster = stack.enter_context(connect.connected(options.request(chosen)))
        images = loader.result()
        if past is None:
            stack.enter_context(storage.created(place, plan.expected_bytes(cluster.slots)))
        checks.check(cluster, place, lanes.slot_bytes(plan, cluster))
        manifest.write_manifest(place, plan, cluster)
        space, past = plan.space, past or []
        notes = [*cluster.notes, *folding_notes(space.n_runs), f"Page: {place.page}"]
        say("\n".join([f"Running on {cluster.describe()}{place.mirror_note}", *notes]))
        record, unseen = manifest.record_of(plan, place, past), place.not_mirrored(past)
        live = stack.enter_context(closing(LiveReport(record, space.modes, unseen, place.mirrored)))
        with Progress(space.n_runs, cluster.slots, list(space.dimensions), past, space.metric) as progress:
            records = run.run(plan, place, cluster, images, [live, progress], progress, past, chosen.time_budget)
    return finish(chosen, plan, place, records)


def finish(chosen: argparse.Namespace, plan: Plan, place: SweepStorage, records: Sequence[TrialRecord]) -> int:
    """Show the best trials, build the report, and say how to look at it or how to go on."""
    from tuning.sweep.resume import has_report, how_to_go_on

    is_whole = plan.is_whole(records)
    CONSOLE.print(best_table(records, list(plan.space.dimensions), n_rows=max(1, chosen.top_k)))
    if (is_whole or chosen.time_budget) and has_report(place):
        say(f"The report is there already; rebuild it with: {place.report_command}")
    elif is_whole or chosen.time_budget:
        write_report(place, plan.data_dir, chosen.top_k)
    joined = f" --address {chosen.address}" if chosen.address else ""
    for line in how_to_go_on(plan, records, place.resume_command + joined):
        say(line)
    if all(record.state == "failed" for record in records):
        print(f"Every trial failed; why is in {place.shown}/trials/*/error.txt", file=sys.stderr)
        return 1
    return 0 if is_whole or chosen.time_budget else 130


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
