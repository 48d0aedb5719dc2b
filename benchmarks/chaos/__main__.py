"""Sweeps that are killed, cut off and damaged by a seeded schedule of faults, then resumed to their end, and audited.

    python -m benchmarks.chaos --runs 50 --seed 1
    python -m benchmarks.chaos --seed 1 --run 7 --keep     # one of them again, its folder kept

Each run is a sweep of 40 short trials: in a folder, packed, in a bucket (a real S3 server on loopback), or on a
cluster of nodes on this machine. Three faults befall it; then it is resumed until it ends. What its folder or bucket
then says of every trial is compared with a sweep of the same seed that nothing disturbed. Needs requirements-dev.txt.
"""

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.arena import N_EPOCHS, N_TRIALS, Arena, LateError, SkippedError, UnexpectedError
from benchmarks.chaos.audit import Audit, audit
from benchmarks.chaos.faults import strike
from benchmarks.chaos.schedule import OWN, Schedule, schedule
from benchmarks.hardware import describe
from tests.material.s3 import S3Server
from tuning.store.folder import Folder
from tuning.store.interface import Place
from vae.cli.format import duration
from vae.training.trial import CHECKPOINT_SECONDS

HEAD = (
    "| run | place | faults | exactly once | lost | twice | epochs again | orphans | s to resume | s | verdict |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass
class Result:
    """One run. faults: with what became of those that did not come. unexpected: what ended the run early."""

    schedule: Schedule
    audit: Audit
    faults: list[str] = field(default_factory=list)
    resume_seconds: list[float] = field(default_factory=list)
    seconds: float = 0.0
    unexpected: str = ""

    @property
    def is_well(self) -> bool:
        return self.audit.is_well and not self.unexpected

    def row(self) -> str:
        audit = self.audit
        resume = ", ".join(f"{seconds:.1f}" for seconds in self.resume_seconds) or "-"
        verdict = "well" if self.is_well else "unexpected" if self.unexpected else f"{len(audit.told())} faults"
        return (
            f"| {self.schedule.run} | {self.schedule.kind} | {', '.join(self.faults)} | {audit.once} of {N_TRIALS} "
            f"| {len(audit.lost)} | {len(audit.twice)} | {audit.again} | {len(audit.orphans)} | {resume} "
            f"| {self.seconds:.0f} | {verdict} |"
        )


class Chaos:
    """What the runs of one command share: a folder, an S3 server, and the sweeps that nothing disturbed."""

    def __init__(self, seed: int, root: Path, stack: ExitStack) -> None:
        self._seed, self._root, self._stack = seed, root, stack
        self._undisturbed: dict[bool, Place] = {}
        self._start_seconds = 0.0
        self._server: S3Server | None = None

    def run(self, plan: Schedule) -> Result:
        undisturbed = self.undisturbed(plan.kind == "packed")
        server = self._s3() if plan.kind == "bucket" else None
        started = time.monotonic()
        result = Result(plan, Audit())
        on_tmpfs = any(one.fault == "disk full" for one in plan.strikes)
        folder = self._root / f"run-{plan.run}"
        with Arena(plan.kind, self._seed, folder, server, on_tmpfs, self._start_seconds) as arena:
            try:
                self._disturb(arena, plan, result)
                result.audit = audit(arena.place, N_TRIALS, undisturbed, arena.folder)
            except (UnexpectedError, AssertionError) as unexpected:
                result.unexpected = str(unexpected)
            result.resume_seconds = arena.resume_seconds
            if not result.is_well:
                self._keep(arena, plan)
        result.seconds = time.monotonic() - started
        return result

    def undisturbed(self, packed: bool) -> Place:
        """A sweep of the seed from its start to its end: packed, and not."""
        if packed not in self._undisturbed:
            kind = "packed" if packed else "folder"
            with Arena(kind, self._seed, self._root / f"undisturbed-{kind}") as arena:
                started = time.monotonic()
                arena.until(1 / N_TRIALS)
                self._start_seconds = time.monotonic() - started
                seconds = arena.ended(0).seconds
                print(f"undisturbed, {kind}: {seconds:.0f} s; {self._start_seconds:.0f} to start", file=sys.stderr)
                self._undisturbed[packed] = arena.place
        return self._undisturbed[packed]

    @staticmethod
    def _disturb(arena: Arena, plan: Schedule, result: Result) -> None:
        """Every fault, then the sweep's end."""
        for one in plan.strikes:
            result.faults.append(one.fault)
            try:
                strike(arena, one)
            except LateError:
                result.faults[-1] += " (too late)"
            except SkippedError as why:
                result.faults[-1] += f" (skipped: {why})"
        arena.ended(0)

    def _s3(self) -> S3Server:
        if self._server is None:
            self._server = self._stack.enter_context(S3Server())
        return self._server

    def _keep(self, arena: Arena, plan: Schedule) -> None:
        """A bucket ends with its server: have its files in the run's folder."""
        if arena.folder is None:
            kept = Folder(self._root / f"run-{plan.run}" / "bucket")
            for name in arena.place.list(""):
                kept.put_later(name, arena.place.get(name) or b"")


def chaos(plans: Sequence[Schedule], seed: int, root: Path) -> Iterator[Result]:
    """Each run's result, as it ends."""
    with ExitStack() as stack:
        shared = Chaos(seed, root, stack)
        for plan in plans:
            yield shared.run(plan)


def total(results: Sequence[Result]) -> str:
    audits = [result.audit for result in results]
    resume = sorted(seconds for result in results for seconds in result.resume_seconds)
    waits = f"{statistics.median(resume):.1f} (median) to {resume[-1]:.1f}" if resume else "none"
    n_faults = sum("(" not in fault for result in results for fault in result.faults)
    return (
        f"{len(results)} runs, {n_faults} faults: {sum(one.once for one in audits):,} of "
        f"{len(results) * N_TRIALS:,} trials finished exactly once; {sum(len(one.lost) for one in audits)} lost, "
        f"{sum(len(one.twice) for one in audits)} twice, {sum(one.again for one in audits):,} epochs trained again "
        f"(at most {max(one.longest for one in audits):.1f} s of a trial for an interruption; a checkpoint is written "
        f"each {CHECKPOINT_SECONDS:.0f} s), {sum(len(one.orphans) for one in audits)} orphans; seconds to resume: "
        f"{waits}; {sum(result.is_well for result in results)} of {len(results)} runs are well"
    )


def explain(result: Result) -> None:
    for line in (str(result.schedule), result.unexpected, *result.audit.told()):
        if line:
            print(line, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # whatever ends this ends the processes that it has started
        signal.signal(number, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50, help="default 50")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and of the sweeps; default 1")
    parser.add_argument("--only", choices=OWN, help="those of the runs that are of this place")
    parser.add_argument("--run", type=int, help="this run alone")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all runs")
    chosen = parser.parse_args(arguments)
    numbers = [chosen.run] if chosen.run else range(1, chosen.runs + 1)
    plans = [schedule(chosen.seed, number) for number in numbers]
    plans = [plan for plan in plans if chosen.only in (None, plan.kind)]
    print("\n".join([*describe(), f"{N_TRIALS} trials of {N_EPOCHS} epochs a run; seed {chosen.seed}", "", HEAD]))
    root = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))  # Ray's sockets need a short path
    results: list[Result] = []
    started = time.monotonic()
    for result in chaos(plans, chosen.seed, root):
        results.append(result)
        print(result.row(), flush=True)
        if not result.is_well:
            explain(result)
        left = (time.monotonic() - started) / len(results) * (len(plans) - len(results))
        print(f"{len(results)} of {len(plans)} runs, {duration(left)} left", file=sys.stderr)
    print(f"\n{total(results)}")
    is_well = all(result.is_well for result in results)
    if chosen.keep or not is_well:
        print(f"Folders: {root}", file=sys.stderr)
    else:
        shutil.rmtree(root)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
