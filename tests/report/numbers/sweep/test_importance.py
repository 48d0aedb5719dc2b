import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator

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


def _optunas(trials: list[Any], search: dict[str, dict[str, Any]], quantile: float) -> dict[str, float]:
    """The same by Optuna's evaluator."""
    study = optuna.create_study(direction="maximize")
    distributions = {
        name: CategoricalDistribution(of["choices"])
        if of["type"] == "categorical"
        else {"int": IntDistribution, "float": FloatDistribution}[of["type"]](
            of["low"], of["high"], log=bool(of.get("log")), step=of.get("step") or (1 if of["type"] == "int" else None)
        )
        for name, of in search.items()
    }
    for one in trials:
        study.add_trial(optuna.trial.create_trial(params=one.params, distributions=distributions, value=one.score))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


@pytest.mark.parametrize("n", [12, 60])
def test_the_shares_are_those_of_optunas_ped_anova(n: int) -> None:
    draw = random.Random(n)
    search: dict[str, dict[str, Any]] = {
        **SEARCH,
        "hidden_units": {"type": "int", "low": 64, "high": 512, "step": 64},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.125},
        "free_bits": {"type": "float", "low": 0.0, "high": 2.0},
        "hidden_layers": {"type": "int", "low": 1, "high": 1},
    }
    trials = []
    for number in range(n):
        params = {
            "latent_size": draw.randint(1, 64), "beta": 10 ** draw.uniform(-1, 1),
            "activation": draw.choice(["relu", "tanh"]), "hidden_units": 64 * draw.randint(1, 8),
            "dropout": 0.125 * draw.randint(0, 4), "free_bits": draw.uniform(0, 2), "hidden_layers": 1,
        }  # fmt: skip
        trials.append(trial(f"{number}", params, distortion=80 + params["free_bits"] + draw.random()))
    numbers = importance(sweep(HERE, trials, search))
    assert numbers.shares == pytest.approx(_optunas(trials, search, max(0.1, 5 / n)), abs=1e-6)


def test_the_interval_of_a_share_is_wide_where_few_trials_decide_and_narrow_where_many_do() -> None:
    def widths(n: int) -> float:
        numbers = importance(sweep(HERE, _many(n, lambda config: -(math.log10(config["beta"]) ** 2))))
        low, high = numbers.intervals["beta"]
        assert 0 <= low < high <= 1
        return high - low

    assert widths(12) > 0.3 > 0.15 > widths(2000)


def test_among_trials_that_chance_alone_ranks_none_is_said_to_matter_most() -> None:
    draw = random.Random(5)
    assert len(importance(sweep(HERE, _many(32, lambda _: draw.uniform(-110, -100)))).undecided) >= 2


def test_where_one_hyperparameter_decides_all_it_stands_alone() -> None:
    numbers = importance(sweep(HERE, _many(400, lambda config: -100 - 10 * math.log10(config["beta"]) ** 2)))
    assert numbers.undecided == []
    assert numbers.intervals["beta"][0] > max(numbers.intervals[name][1] for name in ("latent_size", "activation"))


def test_the_same_trials_have_the_same_intervals() -> None:
    trials = _many(20, lambda config: -config["beta"])
    assert importance(sweep(HERE, trials)) == importance(sweep(HERE, trials))
