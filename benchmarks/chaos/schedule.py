"""The schedule of a run: where its sweep is, and which faults come when. It depends on nothing but (seed, run)."""

from dataclasses import dataclass
from random import Random

KINDS = ("folder", "packed", "bucket", "folder", "cluster")  # in turns
LAST = 0.8  # of the trials have finished when the last fault comes
AT_FIRST = "killed at its start"  # comes before any other fault
EVERYWHERE = (
    AT_FIRST,
    "driver killed",
    "machine killed",
    "killed as it resumes",
    "killed as Ray starts",
    "SIGTERM",
    "Ctrl-C",
    "worker killed",
    "second driver",
)
OWN = {
    "folder": ("ledger cut", "ledger damaged", "manifest cut", "study cut", "checkpoint cut", "disk full"),
    "packed": ("trainer killed", "broker killed", "checkpoint cut"),
    "bucket": ("bucket silent", "network cut", "driver moves", "driver taken over"),
    "cluster": ("node replaced", "node replaced"),
}
N_OWN = 2  # of the place's own faults come in a run, and one of those of every place


@dataclass(frozen=True)
class Strike:
    """One fault. progress: the share of the trials that has finished when it comes. chance: from 0 to 1; the fault
    takes from it what it leaves to chance: the byte of a cut, the seconds until a kill."""

    fault: str
    progress: float
    chance: float

    def __str__(self) -> str:
        return f"{self.fault} at {self.progress:.0%} ({self.chance:.3f})"


@dataclass(frozen=True)
class Schedule:
    seed: int
    run: int
    kind: str
    strikes: tuple[Strike, ...]

    def __str__(self) -> str:
        return f"run {self.run}, {self.kind}: {', '.join(map(str, self.strikes))}"


def schedule(seed: int, run: int) -> Schedule:
    """run: from 1."""
    draw = Random(f"{seed}-{run}")
    kind = KINDS[(run - 1) % len(KINDS)]
    faults = [*draw.sample(OWN[kind], N_OWN), draw.choice(EVERYWHERE)]
    draw.shuffle(faults)
    faults.sort(key=lambda fault: fault != AT_FIRST)
    progress = sorted(draw.uniform(0, LAST) for _ in faults)
    if AT_FIRST in faults:
        progress[0] = 0.0
    return Schedule(seed, run, kind, tuple(Strike(*each, draw.random()) for each in zip(faults, progress, strict=True)))
