"""Which trials a report sets side by side."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.numbers.sweep.compared_trials import MAX_COLUMNS, N_BINS, compared_trials
from tests.material.studies import choices, seeds, sweep, trial
from tuning.records import SweepRecord, ranked

BETA = {"type": "float", "low": 0.01, "high": 10.0, "log": True}


def _labels(swept: SweepRecord) -> list[str]:
    return [column.label for column in compared_trials(swept).columns]


def _ids(swept: SweepRecord) -> list[str]:
    return [column.record.trial_id for column in compared_trials(swept).columns]


def test_a_grid_of_one_hyperparameter_has_a_column_per_value_in_their_order() -> None:
    trials = [trial(f"{size}", {"latent_size": size}) for size in (20, 5, 2, 10)]
    swept = sweep(trials, {"latent_size": choices(20, 5, 2, 10)})
    assert _labels(swept) == ["latent size 2", "latent size 5", "latent size 10", "latent size 20"]
    assert compared_trials(swept).rule == ""


def test_words_stand_in_the_order_of_the_space() -> None:
    trials = [trial("a", {"activation": "relu"}), trial("b", {"activation": "elu"})]
    assert _labels(sweep(trials, {"activation": choices("elu", "relu")})) == ["elu", "relu"]


def test_of_a_value_that_was_tried_twice_the_better_trial_is_shown() -> None:
    trials = [trial("worse", {"beta": 1.0}, 90.0), trial("better", {"beta": 1.0}, 80.0), trial("other", {"beta": 2.0})]
    assert _ids(sweep(trials, {"beta": BETA})) == ["better", "other"]


def test_several_hyperparameters_of_few_combinations_have_a_column_per_combination() -> None:
    trials = [trial(f"{beta} {size}", {"beta": beta, "latent_size": size}) for beta in (4.0, 0.5) for size in (2, 10)]
    swept = sweep(trials, {"latent_size": choices(2, 10), "beta": choices(0.5, 4.0)})
    first = [("latent size 2", "β 0.5"), ("latent size 2", "β 4")]
    assert [column.parts for column in compared_trials(swept).columns][:2] == first


def test_a_hyperparameter_of_one_value_is_not_named() -> None:
    trials = [trial(f"{size}", {"latent_size": size, "activation": "tanh"}) for size in (2, 5)]
    swept = sweep(trials, {"latent_size": choices(2, 5), "activation": choices("tanh")})
    assert _labels(swept) == ["latent size 2", "latent size 5"]


def test_few_repeated_trials_stand_side_by_side_by_configuration_and_seed() -> None:
    trials = seeds(0, {"mode": "vae"}, [90.0, 80.0, 85.0]) + seeds(1, {"mode": "autoencoder"}, [70.0, 71.0, 72.0])
    swept = sweep(trials, {"mode": choices("vae", "autoencoder")})
    kinds = [f"{mode}, seed {seed}" for mode in ("vae", "autoencoder") for seed in (1, 2, 3)]
    assert _labels(swept) == kinds


def test_repeats_of_the_one_configuration_are_named_by_their_seeds() -> None:
    assert _labels(sweep(seeds(0, {}, [90.0, 80.0]), {})) == ["seed 1", "seed 2"]


def test_of_many_repeated_trials_the_best_seed_of_each_configuration_is_shown() -> None:
    trials = [one for number in range(5) for one in seeds(number, {"beta": 1.0 + number}, [90.0, 80.0])]
    swept = sweep(trials, {"beta": BETA})
    assert _ids(swept) == [f"{number:04d}-2" for number in range(5)]
    assert "best seed" in compared_trials(swept).rule


def test_a_conditional_hyperparameter_is_named_where_a_trial_has_it() -> None:
    of_noise = {"noise": "gaussian", "noise_factor": 0.5}
    trials = [trial("b", of_noise), trial("a", {"noise": "none"}), trial("c", {**of_noise, "noise_factor": 0.25})]
    swept = sweep(trials, {"noise": choices("none", "gaussian"), "noise_factor": choices(0.25, 0.5)})
    assert _labels(swept) == ["noise none", "gaussian, noise factor 0.25", "gaussian, noise factor 0.5"]


def test_failed_trials_and_those_without_an_epoch_are_not_compared() -> None:
    unborn = trial("unborn", {"beta": 3.0})
    unborn.history.clear()
    trials = [trial("failed", {"beta": 1.0}, state="failed"), trial("a", {"beta": 2.0}), unborn]
    assert _ids(sweep(trials, {"beta": BETA})) == ["a"]


def test_a_sweep_without_a_trial_compares_nothing() -> None:
    assert compared_trials(sweep([], {"beta": BETA})).columns == []


def _wide(n: int, best_at: float, compare: str | None) -> SweepRecord:
    """Only beta decides; the latent size is of two values. compare: as the space declares it."""
    betas = [0.01 * 1000 ** (index / (n - 1)) for index in range(n)]
    trials = [
        trial(f"{index:04d}", {"latent_size": 2 + 3 * (index % 2), "beta": beta}, 80 + abs(beta - best_at))
        for index, beta in enumerate(betas)
    ]
    swept = sweep(trials, {"latent_size": choices(2, 5), "beta": BETA})
    return replace(swept, manifest={"space": {"compare": compare} if compare else {}})


def test_of_a_wide_search_the_best_of_each_fifth_of_the_range_that_the_space_compares_is_shown() -> None:
    comparison = compared_trials(
        _wide(25, best_at=0.01, compare="beta")
    )  # so the lowest beta of each five neighbours is the best of them
    assert [column.record.trial_id for column in comparison.columns] == ["0000", "0005", "0010", "0015", "0020"]
    assert comparison.columns[0].label == "β 0.01"
    assert "fifth of the range of β (0.01 to 10), in equal ratios" in comparison.rule


def test_a_fifth_of_the_range_that_no_trial_is_in_has_no_column() -> None:
    trials = [trial(f"{beta}", {"beta": beta}, 80 + beta) for beta in (0.01, 0.02, 0.03, 5, 6, 7, 8, 9, 9.5, 9.9)]
    swept = replace(sweep(trials, {"beta": BETA}), manifest={"space": {"compare": "beta"}})
    assert _ids(swept) == ["0.01", "5"]


@pytest.mark.parametrize("best_at", [0.01, 10.0])
def test_where_the_space_compares_nothing_the_best_are_shown_whatever_importance_says(best_at: float) -> None:
    comparison = compared_trials(_wide(25, best_at, compare=None))
    assert [column.record.trial_id for column in comparison.columns] == [
        one.trial_id for one in ranked(_wide(25, best_at, None).trials)[:5]
    ]
    assert comparison.rule == "the best 5 of 25 configurations, the best first"


def test_of_few_values_of_what_the_space_compares_there_is_a_column_for_each() -> None:
    trials = [
        trial(f"{number:04d}", {"latent_size": 2 + number % 3, "beta": 1.0 + number / 30}, 100.0 - 9 * (number % 3))
        for number in range(30)
    ]
    swept = sweep(trials, {"beta": BETA, "latent_size": choices(2, 3, 4)})
    comparison = compared_trials(replace(swept, manifest={"space": {"compare": "latent_size"}}))
    assert [column.label for column in comparison.columns] == ["latent size 2", "latent size 3", "latent size 4"]
    assert comparison.rule.startswith("the best trial of each latent size; the other hyperparameters")


def test_of_two_objectives_trials_along_the_front_are_shown_lowest_rate_first() -> None:
    def on_front(index: int) -> Any:
        params = {"beta": 10.0 - index}
        return trial(f"{index:04d}", params, distortion=80.0 - index, rate=5.0 + index, metric="rate_distortion")

    worse = trial("worse", {"beta": 0.5}, distortion=90.0, rate=30.0, metric="rate_distortion")
    comparison = compared_trials(sweep([worse, *(on_front(index) for index in range(9))], {"beta": BETA}))
    assert [column.record.trial_id for column in comparison.columns] == ["0000", "0002", "0004", "0006", "0008"]
    assert "5 of the 9 trials on the front" in comparison.rule


PARAMS = st.fixed_dictionaries(
    {"latent_size": st.integers(1, 12)},
    optional={"beta": st.floats(0.1, 9.0), "activation": st.sampled_from(["relu", "tanh"])},
)


@given(
    st.lists(
        st.tuples(PARAMS, st.floats(1, 500), st.integers(0, 2), st.sampled_from(["complete", "failed"])), max_size=40
    ),
    st.sampled_from([None, "latent_size", "beta", "activation"]),
)
def test_whatever_was_tried_there_are_few_columns_with_the_best_trial_among_them(
    every: list[Any], compare: str | None
) -> None:
    trials = [
        trial(f"{number:04d}", params, distortion, seed=seed, state=state)
        for number, (params, distortion, seed, state) in enumerate(every)
    ]
    search = {"latent_size": {"type": "int", "low": 1, "high": 12}, "beta": BETA, "activation": choices("relu", "tanh")}
    swept = replace(sweep(trials, search), manifest={"space": {"compare": compare} if compare else {}})
    comparison = compared_trials(swept)
    shown = [column.record for column in comparison.columns]
    assert len(shown) <= MAX_COLUMNS
    assert len({one.trial_id for one in shown}) == len(shown)
    good = [one for one in trials if one.state != "failed"]
    assert (len(shown) > 0) == (len(good) > 0)
    if comparison.rule in ("", "the best seed of each configuration"):
        assert max((one.score for one in shown), default=0) == max((one.score for one in good), default=0)
    assert all(one.state != "failed" for one in shown)
    assert N_BINS <= MAX_COLUMNS
