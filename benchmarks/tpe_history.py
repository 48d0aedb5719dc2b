"""Whether TPE proposes worse from an excerpt of its history than from all of it.

    python -m benchmarks.tpe_history --trials 3000 --seeds 3 --histories 1000 1000000

Each sweep asks for one configuration after the other and is told the recorded ELBO of the nearest one of
benchmarks/curves. Higher is better: the best, and the mean of the last quarter of the proposals.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.curves import recorded
from benchmarks.hardware import describe
from tuning.records import TrialRecord, grouped
from tuning.search import bounded_tpe
from tuning.search.study import Study
from tuning.space.load import load_space


def scores(n_trials: int, seed: int) -> tuple[list[float], float]:
    """The ELBO of each proposal, and the CPU seconds of all."""
    space, curves, found, spent = load_space("beta_study"), recorded(), [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder), space, seed)
        for _ in range(n_trials):
            began = time.process_time()
            number, params = study.propose()
            spent += time.process_time() - began
            history = curves.history(curves.nearest(params), params["beta"])
            record = TrialRecord(f"{number:04d}", params, space.config(params, 0), "complete", history)
            for metrics in history[-1:]:
                study.report(number, metrics)
            study.tell(*grouped([record]))
            found.append(record.score)
    return found, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--histories", type=int, nargs="+", default=[1_000, 1_000_000])
    chosen = parser.parse_args()
    print("\n".join([*describe(("optuna",)), "", "| history | best | mean of the last quarter | ms a proposal |"]))
    print("|---|---|---|---|", flush=True)
    for history in chosen.histories:
        bounded_tpe.HISTORY, bounded_tpe.BEST = history, min(100, history // 3)
        runs = [scores(chosen.trials, seed) for seed in range(chosen.seeds)]
        best = [max(found) for found, _ in runs]
        late = [statistics.fmean(found[-chosen.trials // 4 :]) for found, _ in runs]
        cells = [f"{statistics.fmean(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in (best, late)]
        milliseconds = 1e3 * sum(spent for _, spent in runs) / chosen.trials / chosen.seeds
        print(f"| {history:,} | {' | '.join(cells)} | {milliseconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
