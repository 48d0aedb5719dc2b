"""Which models stay: whatever the order in which trials end, what is removed is never needed again."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.numbers.sweep import compared_trials
from tests.material.epochs import of_distortion
from tests.material.search import space
from tuning.plan.kept_models import COMPARED, KeptModels
from tuning.records import SweepRecord, TrialRecord, pareto_front
from tuning.space.model import SearchSpace

SEARCH: dict[str, Any] = {
    "beta": {"type": "float", "low": 0.25, "high": 4.0, "log": True},
    "hidden_layers": {"type": "int", "low": 1, "high": 3},
    "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
}
NONE = {"type": "none"}
one_trial = st.tuples(
    st.floats(0.25, 4.0),
    st.integers(1, 3),
    st.sampled_from(["relu", "tanh"]),
    st.tuples(st.integers(1, 30), st.integers(60, 90)),  # rate and distortion; few values, so that some are equal
    st.sampled_from(["complete", "complete", "pruned", "failed"]),
)


def trials_of(drawn: list[Any], chosen: SearchSpace) -> list[TrialRecord]:
    found = []
    for number, (beta, layers, activation, (rate, distortion), state) in enumerate(drawn):
        params = {"beta": beta, "hidden_layers": layers, "activation": activation}
        record = TrialRecord(f"{number:04d}", params, chosen.config(params, 0), state, metric=chosen.metric)
        record.history.append(of_distortion(1, float(distortion), float(rate)))
        found.append(record)
    return found


def ids(records: list[TrialRecord]) -> set[str]:
    return {record.trial_id for record in records}


@given(st.lists(one_trial, min_size=1, max_size=40), st.sampled_from(["val_elbo", "rate_distortion"]))
def test_to_remove_as_the_trials_end_leaves_what_to_choose_at_the_end_would(drawn: list[Any], metric: str) -> None:
    chosen = space(search=SEARCH, scheduler=NONE, metric=metric, keep_models=3, trials=60)
    rule, every = KeptModels(chosen), trials_of(drawn, chosen)
    kept: list[TrialRecord] = []
    for record in every:
        kept = rule.of([*kept, record])
    assert ids(kept) == ids(rule.of(every))
    if metric == "rate_distortion":
        assert pareto_front(every) <= ids(kept)
    else:
        assert len(kept) <= rule.most


def swept(chosen: SearchSpace, records: list[TrialRecord]) -> SweepRecord:
    search = {name: value.model_dump(exclude_none=True) for name, value in chosen.dimensions.items()}
    return SweepRecord("it", Path(), "digits", "", (8, 8), search, {}, records)


@given(st.lists(one_trial, min_size=1, max_size=40), st.sampled_from(["val_elbo", "rate_distortion"]))
def test_the_sheet_of_a_sweep_that_removes_models_compares_the_trials_that_it_would_compare_with_all(
    drawn: list[Any], metric: str
) -> None:
    """Of values that are compared one by one, and of the front, at every moment."""
    search = {name: dimension for name, dimension in SEARCH.items() if name != "beta"}
    chosen = space(search=search, scheduler=NONE, metric=metric, keep_models=1, trials=60)
    drawn = [(1.0, *rest) for _, *rest in drawn]
    every = trials_of(drawn, chosen)
    for record in every:
        del record.params["beta"]
    whole = [one.record.trial_id for one in compared_trials.compared_trials(swept(chosen, every)).columns]
    kept = ids(KeptModels(chosen).of(every))
    for record in every:
        record.has_model = record.trial_id in kept
    found = compared_trials.compared_trials(swept(chosen, every))
    if metric == "rate_distortion" and len(pareto_front(every)) > 1 and "front" in found.rule:
        assert [one.record.trial_id for one in found.columns] == whole
    assert all(one.record.has_model for one in found.columns)
    if "best trial of each" in found.rule:
        assert [one.record.trial_id for one in found.columns] == whole


def test_a_figure_that_compares_fifths_of_a_range_has_a_model_for_each() -> None:
    chosen = space(search={"beta": SEARCH["beta"]}, scheduler=NONE, keep_models=1, trials=60)
    drawn = [(0.25 * 16 ** (n / 59), 1, "relu", (10, 60 + n), "complete") for n in range(60)]  # low beta is best
    every = trials_of(drawn, chosen)
    for record in every:
        record.params = {"beta": record.params["beta"]}
    kept = ids(KeptModels(chosen).of(every))
    assert len(kept) == 10
    for record in every:
        record.has_model = record.trial_id in kept
    found = compared_trials.compared_trials(swept(chosen, every))
    assert len(found.columns) == compared_trials.N_BINS
    assert found.rule.endswith(", of those whose models stay")


def test_what_matters_most_comes_first() -> None:
    chosen = space(search=SEARCH, scheduler=NONE, keep_models=2, trials=60)
    drawn = [(1.0, 1, "relu", (10, 60), "complete"), (1.0, 1, "relu", (10, 70), "complete")]
    drawn += [(1.0, 2, "tanh", (10, 90), "pruned"), (1.0, 1, "relu", (10, 75), "complete")]
    assert [record.trial_id for record in KeptModels(chosen).of(trials_of(drawn, chosen))] == ["0000", "0001", "0002"]


def test_a_failed_trial_keeps_its_model_only_where_fewer_others_are_there() -> None:
    drawn = [(1.0, 1, "relu", (10, 60), "failed"), (2.0, 1, "relu", (10, 70), "complete")]
    for n_best, expected in ((1, {"0001"}), (2, {"0000", "0001"})):
        chosen = space(search=SEARCH, scheduler=NONE, keep_models=n_best, trials=60)
        assert ids(KeptModels(chosen).of(trials_of(drawn, chosen))) == expected


@pytest.mark.parametrize("n_trials", [COMPARED, COMPARED + 1])
def test_few_configurations_keep_the_best_seed_of_each(n_trials: int) -> None:
    chosen = space(search={"beta": SEARCH["beta"]}, scheduler=NONE, keep_models=1, trials=n_trials, repeats=2)
    records = []
    for number in range(n_trials):
        for repeat in (1, 2):
            record = TrialRecord(f"{number:04d}-{repeat}", {"beta": 1.0}, chosen.config({"beta": 1.0}, repeat))
            record.state = "complete"
            record.history.append(of_distortion(1, 60.0 + number - repeat, 10.0))
            records.append(record)
    expected = {f"{number:04d}-2" for number in range(n_trials)} if n_trials <= COMPARED else {"0000-2"}
    assert ids(KeptModels(chosen).of(records)) == expected


def test_as_many_values_stay_one_by_one_as_a_figure_sets_side_by_side() -> None:
    assert COMPARED == compared_trials.MAX_COLUMNS
