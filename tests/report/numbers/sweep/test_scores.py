import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.numbers.sweep import scores as study
from tests.material.reports import SEARCH, nan_metrics, record, sweep
from tests.material.studies import choices, seeds, trial

HERE = Path()
MODES = {"mode": choices("vae", "autoencoder")}


def test_a_point_is_a_trials_best_epoch_in_the_order_of_the_sweep() -> None:
    trials = [record("a", [-110.0, -100.0, -105.0], rate=30.0, beta=4.0), record("b", []), record("c", [-90.0])]
    first, second = study.points(sweep(HERE, trials))
    assert (first.number, first.score, first.rate, first.distortion) == (1, -100.0, 30.0, 70.0)
    assert (second.number, second.name) == (3, "c")


def test_a_trial_that_never_was_finite_has_no_point() -> None:
    one = record("a", [])
    one.history.append(nan_metrics(1))
    assert study.points(sweep(HERE, [one])) == []


def test_a_trial_without_a_kl_has_a_point_without_a_rate() -> None:
    (point,) = study.points(sweep(HERE, [trial("a", {"mode": "autoencoder"}, 70.0, metric="val_distortion")]))
    assert (point.rate, point.distortion, point.score) == (None, 70.0, -70.0)


@given(st.lists(st.floats(-1e6, -1.0), min_size=1, max_size=20))
def test_the_better_half_is_always_shown(scores: list[float]) -> None:
    floor = study.score_floor(scores)
    assert sum(score >= floor for score in scores) >= len(scores) / 2
    assert floor >= min(scores)


def test_the_axis_ends_at_the_worst_finished_trial_not_at_one_that_was_stopped_early() -> None:
    finished = [record(str(i), [-100.0 - i]) for i in range(3)]
    early = [record("pruned", [-140.0], "pruned"), record("running", [-600.0], "running")]
    assert study.history(sweep(HERE, [*early, *finished])).floor == -102.0
    assert study.slices(sweep(HERE, [*early, *finished])).floor == -102.0
    few = study.history(sweep(HERE, [*early[:1], *finished[:2]]))
    assert few.floor == -110.0  # two are too few to set it: ten times the median's distance below the best of all


def test_a_sweep_is_shown_by_what_ranks_it() -> None:
    by_elbo = sweep(HERE, [record("a", [-100.0])])
    by_distortion = sweep(HERE, [trial("a", {"mode": "autoencoder"}, metric="val_distortion")], MODES)
    two_objectives = sweep(HERE, [trial("a", {}, metric="rate_distortion")])
    assert study.metric_of(by_elbo).label == "validation ELBO (nats per image)"
    assert study.metric_of(by_distortion).label == "validation distortion (nats per image)"
    assert study.metric_of(two_objectives).name == "ELBO"
    assert study.metric_of(sweep(HERE, [])).name == "ELBO"


def test_the_running_best_never_counts_a_failed_trial() -> None:
    trials = [
        record("a", [-100.0]),
        record("b", [-50.0], "failed"),
        record("c", [-110.0], "pruned"),
        record("d", [-90.0]),
    ]
    numbers = study.history(sweep(HERE, trials))
    assert numbers.best_so_far.tolist() == [-100.0, -100.0, -100.0, -90.0]
    assert numbers.n_places == 4


def test_a_running_best_of_distortions_falls() -> None:
    trials = [trial(name, {"mode": "vae"}, d, metric="val_distortion") for name, d in (("a", 90.0), ("b", 70.0))]
    numbers = study.history(sweep(HERE, trials, MODES))
    assert (numbers.metric.sign * numbers.best_so_far).tolist() == [90.0, 70.0]


def test_there_is_a_slice_for_each_searched_hyperparameter() -> None:
    latent, beta, activation = study.slices(sweep(HERE, [record("a", [-100.0]), record("b", [])])).slices
    assert (latent.name, latent.log, latent.choices) == ("latent_size", True, None)
    assert beta.name == "beta"
    assert activation.choices == ["relu", "tanh"]
    assert [point.name for point in latent.points] == ["a"]


@pytest.mark.parametrize(
    ("low", "high", "step", "expected"),
    [(1, 3, 1, [1, 2, 3]), (64, 320, 64, [64, 128, 192, 256, 320]), (1, 6, 1, None), (2, 2, 1, [2])],
)
def test_a_whole_number_of_few_values_is_shown_as_choices(
    low: int, high: int, step: int, expected: list[int] | None
) -> None:
    search = {"latent_size": {"type": "int", "low": low, "high": high, "step": step}}
    (one,) = study.slices(sweep(HERE, [trial("a", {"latent_size": low}, -100.0)], search)).slices
    assert one.choices == expected


def test_a_trial_that_lacks_a_conditional_hyperparameter_is_left_out_of_its_slice_and_counted() -> None:
    trials = [trial("a", {"noise": "none"}), trial("b", {"noise": "gaussian", "noise_factor": 0.5})]
    search = {"noise": choices("none", "gaussian"), "noise_factor": choices(0.25, 0.5, when={"noise": "gaussian"})}
    noise, factor = study.slices(sweep(HERE, trials, search)).slices
    assert ([point.name for point in noise.points], noise.n_without) == (["a", "b"], 0)
    assert ([point.name for point in factor.points], factor.n_without) == (["b"], 1)


def test_a_sweep_without_an_epoch_has_numbers_for_every_figure() -> None:
    empty = sweep(HERE, [record("a", [], "failed")])
    assert study.history(empty).points == []
    assert study.slices(empty).slices == []
    assert study.repeats(empty).configurations == []


def test_repeated_trials_are_a_point_per_configuration_with_mean_and_spread() -> None:
    elbos = [-100.0, -104.0, -102.0]
    trials = seeds(0, {"beta": 1.0}, [80.0, 84.0, 82.0]) + seeds(1, {"beta": 2.0}, [90.0])
    swept = sweep(HERE, trials, {"beta": SEARCH["beta"]})
    assert study.has_repeats(swept)
    first, second = study.configuration_points(swept)
    assert (first.number, first.n, second.number, second.n) == (1, 3, 2, 1)
    assert first.score == pytest.approx(statistics.fmean(elbos))
    assert first.sd == pytest.approx(2.0)  # of -100, -104, -102, over n - 1
    assert (first.rate, first.distortion) == (20.0, 82.0)
    assert second.sd is None
    assert study.history(swept).n_places == 2
    assert [point.number for point in study.slices(swept).slices[0].points] == [1, 2]


@pytest.mark.parametrize(
    ("states", "shown"),
    [(["complete", "failed"], "failed"), (["running", "complete"], "running"), (["complete", "pruned"], "pruned")],
)
def test_a_configuration_is_as_far_as_the_trial_that_is_worst_off(states: list[str], shown: str) -> None:
    trials = seeds(0, {"beta": 1.0}, [80.0, 84.0])
    for one, state in zip(trials, states, strict=True):
        one.state = state  # type: ignore[assignment]
    (point,) = study.configuration_points(sweep(HERE, trials, {"beta": SEARCH["beta"]}))
    assert point.state == shown


def test_seeds_are_shown_by_configuration_best_mean_first() -> None:
    trials = [*seeds(0, {"beta": 1.0}, [90.0, 80.0]), *seeds(1, {"beta": 2.0}, [70.0, 72.0])]
    trials += [*seeds(2, {"beta": 3.0}, [60.0]), *seeds(3, {"beta": 4.0}, [50.0, 50.0])]
    trials[-1].state = "failed"
    numbers = study.repeats(sweep(HERE, trials, {"beta": SEARCH["beta"]}))
    assert [one.params["beta"] for one in numbers.configurations] == [3.0, 2.0, 1.0]
    assert [one.scores for one in numbers.configurations] == [[-80.0], [-90.0, -92.0], [-110.0, -100.0]]
    assert [one.mean for one in numbers.configurations] == [-80.0, -91.0, -105.0]
    assert numbers.n_failed == 1


def test_without_repeats_there_is_a_point_per_trial() -> None:
    swept = sweep(HERE, [record("a", [-100.0]), record("b", [-90.0])])
    assert not study.has_repeats(swept)
    assert study.configuration_points(swept) == study.points(swept)
