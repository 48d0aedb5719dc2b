"""A search whose best configurations fresh seeds have tried."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.material.reports import record, sweep
from tuning.records import SweepRecord

SCORES = {"0000": -110.0, "0001": -99.0, "0002": -100.5}  # of the search
FRESH = {"0001": [-102.0, -104.0], "0002": [-100.0, -102.0]}  # in the order of the search's ranks


def searched_and_confirmed(folder: Path, fresh: Mapping[str, Sequence[float]] = FRESH) -> SweepRecord:
    """By configuration of the search, the ELBO of each fresh seed."""
    trials = [
        record(f"{number:04d}-{repeat}", [elbo - 5, elbo], seed=10 + repeat, beta=float(name[-1]) or 0.5)
        for number, (name, elbos) in enumerate(fresh.items())
        for repeat, elbo in enumerate(elbos, start=1)
    ]
    n_seeds = len(next(iter(fresh.values())))
    manifest = {"confirms": list(fresh), "space": {"trials": len(fresh), "repeats": n_seeds}}
    confirmation = replace(sweep(folder / "confirm", trials), name="demo/confirm", manifest=manifest)
    search = [record(name, [elbo - 3, elbo], beta=float(name[-1]) or 0.5) for name, elbo in SCORES.items()]
    return replace(sweep(folder, search), confirmation=confirmation)
