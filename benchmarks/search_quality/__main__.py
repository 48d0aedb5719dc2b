"""What a sweep of beta_study finds for the epochs it trains, with one search or another.

    python -m benchmarks.search_quality --seeds 50 --slots 1 4 32 --budget 600
    python -m benchmarks.search_quality --only "TPE + ASHA 3/3" random --seeds 200
    python -m benchmarks.search_quality --draw-only              # the table and the picture again

Nothing is trained. A surrogate has learned the validation curves of --curves; the searches (the product's own study and
early stopping; OptunaSearch with ASHAScheduler; Optuna alone) are the real ones, called in simulated time. Every sweep
is a line of --runs when it ends, so a benchmark that was stopped goes on where it was. All searches of a seed come
before the next seed.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.curves import CURVES_FILE
from benchmarks.hardware import describe
from benchmarks.search_quality.numbers import Run
from benchmarks.search_quality.output import SHOWN, draw, names_of, write_results
from benchmarks.search_quality.searches import OURS, PLAIN, make_search
from benchmarks.search_quality.simulate import simulate
from benchmarks.search_quality.surrogate import Surrogate, read
from tuning.space.load import load_space
from tuning.space.model import SearchSpace

RESULTS = Path(__file__).parents[1] / "results" / "search_quality.md"
PICTURE = Path(__file__).parents[2] / "docs" / "search.png"
ENOUGH = 50  # sweeps of a search
SEED_SPREAD = 0.3  # nats between seeds of a good configuration on MNIST: 0.2 to 0.5 were seen


def open_runs(file: Path, surrogate: Surrogate, space: SearchSpace, chosen: argparse.Namespace) -> list[Run]:
    """The sweeps that a file has already; a new one begins with what they are measured on."""
    if not file.exists():
        configuration, best = surrogate.best_of(space)
        head = {
            "curves": chosen.curves.name,
            "surrogate": str(surrogate.held_out),
            "seed_spread": chosen.seed_spread,
            "epochs": space.epochs,
            "best": best,
            "best_configuration": configuration,
            "hardware": describe(("optuna", "ray", "scikit-learn")),
        }
        file.write_text(json.dumps(head) + "\n")
    head, runs = read_runs(file)
    if head["surrogate"] != str(surrogate.held_out) or head["seed_spread"] != chosen.seed_spread:
        raise SystemExit(f"{file} has sweeps on another surrogate; name another file with --runs")
    return runs


def read_runs(file: Path) -> tuple[dict[str, Any], list[Run]]:
    head, *lines = map(json.loads, file.read_text().splitlines())
    return head, [Run.from_json(line) for line in lines]


def measure(space: SearchSpace, chosen: argparse.Namespace) -> None:
    """Run every sweep that the file does not have."""
    surrogate = Surrogate(read(chosen.curves), chosen.seed_spread)
    print(surrogate.held_out, flush=True)
    done = {(run.search, run.slots, run.seed, run.budget) for run in open_runs(chosen.runs, surrogate, space, chosen)}
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
        for slots in chosen.slots:
            for name in chosen.only:
                if (name, slots, seed, chosen.budget) in done:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    search = make_search(name, space, seed, Path(folder))
                    found = simulate(search, surrogate, space.epochs, slots, chosen.budget, seed)
                with chosen.runs.open("a") as file:
                    file.write(json.dumps(Run(name, slots, seed, chosen.budget, found).to_json()) + "\n")


def write(file: Path, picture: Path, runs_file: Path, shown: Sequence[str]) -> None:
    head, runs = read_runs(runs_file)
    runs = [run for run in runs if run.search in {*OURS, *PLAIN}]
    seeds = sorted({run.seed for run in runs})
    counts = Counter((run.search, run.slots) for run in runs).values()
    above = [
        f"    python -m benchmarks.search_quality --seeds {len(seeds)} --slots "
        f"{' '.join(map(str, sorted({run.slots for run in runs})))} --budget {max(run.budget for run in runs)}",
        "",
        "\n".join(head["hardware"]),
        "",
        f"Simulated: nothing was trained. Curves: {head['curves']}, {head['epochs']} epochs. {head['surrogate']}. Each "
        f"trial has a seed's noise of {head['seed_spread']} nats. The best of the space, by the surrogate: "
        f"{head['best']:.2f} nats at {_configuration(head['best_configuration'])}.",
        "",
        *_pilot(min(counts), max(counts), [name for name in (*OURS, *PLAIN) if name not in names_of(runs)]),
        "Regret: nats by which the trial that looks best is expected to miss that, without the luck of its seed. Cells "
        'are medians over sweeps with their quartiles; "not" where a sweep did not come there. "Larger" is the mean '
        "over the seeds that both searches ran, with its standard error. No baseline is tried first. BOHB is left out: "
        "Ray's needs the packages hpbandster and ConfigSpace, which are not installed.",
    ]
    draw(runs, head["best"], picture, shown or names_of(runs)[:SHOWN])
    write_results(
        file, "What a sweep finds for its epochs", above, runs, head["best"], os.path.relpath(picture, file.parent)
    )


def _pilot(fewest: int, most: int, missing: Sequence[str]) -> list[str]:
    """What a reader must know of a benchmark that did not run as long as it should."""
    if fewest >= ENOUGH and not missing:
        return []
    left_out = f" Not run: {', '.join(missing)}." if missing else ""
    return [f"**A pilot: {fewest} to {most} sweeps of each search; {ENOUGH} are the aim.**{left_out}", ""]


def _configuration(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, default=CURVES_FILE, help="what benchmarks.curves wrote: .npz or lines")
    parser.add_argument("--seed-spread", type=float, default=SEED_SPREAD, help="nats, standard deviation over seeds")
    parser.add_argument("--seeds", type=int, default=ENOUGH)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 32], help="trials at a time")
    parser.add_argument("--budget", type=int, default=600, help="trial-epochs of a sweep")
    parser.add_argument("--only", nargs="+", default=[*OURS, *PLAIN], choices=[*OURS, *PLAIN], metavar="SEARCH")
    parser.add_argument("--shown", nargs="+", default=[], help="searches in the picture")
    parser.add_argument("--runs", type=Path, default=Path("search_quality.jsonl"), help="a line for each sweep")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--draw-only", action="store_true", help="from --runs as they are")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if not chosen.draw_only:
        measure(load_space("beta_study"), chosen)
    write(chosen.output, chosen.picture, chosen.runs, chosen.shown)
    print(chosen.output)


if __name__ == "__main__":
    main()
