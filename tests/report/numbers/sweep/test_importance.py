import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report.numbers.sweep.importance import importance
from tests.material.reports import SEARCH, record, sweep
from tests.material.studies import choices, trial

HERE = Path()


def _many(n: int, elbo: Any, state: Any = "complete") -> list[Any]:
    draw = random.Random(0)
    trials = []
    for number in range(n):
        config = {
            "latent_size": draw.randint(1, 64),
            "beta": 10 ** draw.uniform(-1, 1),
            "activation": draw.choice(["relu", "tanh"]),
        }
        trials.append(record(f"{number}", [elbo(config)], state, **config))
    return trials


def test_what_alone_decides_the_elbo_is_the_most_important() -> None:
    trials = _many(60, lambda config: -100 - 10 * math.log10(config["beta"]) ** 2)
    numbers = importance(sweep(HERE, trials))
    assert next(iter(numbers.shares)) == "beta"
    assert numbers.shares["beta"] > 0.7
    assert sum(numbers.shares.values()) == pytest.approx(1.0)
    assert (numbers.n_trials, numbers.n_top) == (60, 6)


def test_importance_looks_at_five_or_more_of_the_best() -> None:
    numbers = importance(sweep(HERE, _many(12, lambda config: -config["beta"])))
    assert (numbers.n_trials, numbers.n_top) == (12, 5)


def test_with_enough_complete_trials_importance_looks_at_these_alone() -> None:
    complete = _many(12, lambda config: -config["beta"])
    pruned = [replace(one, trial_id=f"p{one.trial_id}") for one in _many(40, lambda config: -1.0, "pruned")]
    numbers = importance(sweep(HERE, complete + pruned))
    assert (numbers.n_trials, numbers.by_epoch) == (12, None)


def test_with_few_complete_trials_all_are_compared_at_the_epoch_that_every_one_reached() -> None:
    def elbos(beta: float, n_epochs: int) -> list[float]:
        first = -100 - 10 * math.log10(beta) ** 2
        return [first - 5, first, first + 50, first + 90][:n_epochs]  # what comes after epoch 2 must not count

    betas = np.logspace(-1, 1, 40)
    trials = [
        record(
            f"{i}",
            elbos(beta, 2 + 2 * (i == 0)),
            "complete" if i == 0 else "pruned",
            learning_rate=1e-3,
            beta=beta,
            activation="relu",
        )
        for i, beta in enumerate(betas)
    ]
    numbers = importance(sweep(HERE, trials))
    assert (numbers.n_trials, numbers.by_epoch) == (40, 2)
    assert next(iter(numbers.shares)) == "beta"


def test_too_few_trials_for_importance_are_counted() -> None:
    trials = _many(8, lambda config: -config["beta"])
    assert "this sweep has 8" in importance(sweep(HERE, trials)).why_not


def test_a_baseline_outside_the_space_does_not_count() -> None:
    trials = _many(12, lambda config: -config["beta"])
    trials.append(record("baseline", [-1.0], beta=100.0))
    assert importance(sweep(HERE, trials)).n_trials == 12


@pytest.mark.parametrize(
    ("trials", "search", "why"),
    [
        (_many(20, lambda config: -100.0), SEARCH, "same score"),
        ([record(str(i), [-100.0 - i]) for i in range(20)], SEARCH, "same hyperparameters"),
        (_many(20, lambda config: -config["beta"]), {}, "searches no hyperparameter"),
    ],
)
def test_where_there_is_no_importance_one_sentence_says_why(trials: list[Any], search: Any, why: str) -> None:
    numbers = importance(sweep(HERE, trials, search))
    assert numbers.shares == {}
    assert why in numbers.why_not


def test_a_hyperparameter_that_only_some_trials_have_is_left_out_and_named() -> None:
    draw = random.Random(0)
    trials = []
    for number in range(40):
        beta = 10 ** draw.uniform(-1, 1)
        noise = {"noise": "gaussian", "noise_factor": 0.5} if number % 2 else {"noise": "none"}
        trials.append(trial(f"{number}", {"beta": beta, **noise}, distortion=80 + 10 * math.log10(beta) ** 2))
    search = {
        "beta": {"type": "float", "low": 0.1, "high": 10.0, "log": True},
        "noise": choices("none", "gaussian"),
        "noise_factor": choices(0.25, 0.5, when={"noise": "gaussian"}),
    }
    numbers = importance(sweep(HERE, trials, search))
    assert numbers.left_out == ["noise_factor"]
    assert set(numbers.shares) == {"beta", "noise"}
    assert (numbers.n_trials, next(iter(numbers.shares))) == (40, "beta")


def test_importance_is_for_what_ranks_the_trials() -> None:
    betas = np.logspace(-1, 1, 40)
    trials = [  # the ELBO is the same for all: only the distortion tells them apart
        trial(f"{i}", {"beta": beta}, distortion=50 + 2 * i, rate=150 - 2 * i, metric="val_distortion")
        for i, beta in enumerate(betas)
    ]
    search = {"beta": {"type": "float", "low": 0.1, "high": 10.0, "log": True}}
    assert importance(sweep(HERE, trials, search)).shares == {"beta": 1.0}
