import re
from pathlib import Path

import optuna
import pytest

from tests.material.spaces import BASE, Faulty, assert_refused, changed, load, refusal

FAULTS: dict[str, Faulty] = {
    "a folder that is not there": (
        changed("dataset: digits", "dataset: /no/such/images"),
        "line 2, dataset: '/no/such/images': no such folder",
    ),
    "searched and fixed": (
        changed("batch_size: 128", "beta: 1.0"),
        "line 12, fixed.beta: beta is searched as well; keep it in one of search and fixed",
    ),
    "nothing searched": (
        re.sub(r"search:\n(  .*\n)+", "search: {}\n", BASE).replace(
            "baselines:\n  - {latent_size: 20, beta: 1.0}\n", ""
        ),
        "line 6, search: nothing is searched, so all 12 trials would be the same",
    ),
    "grace above the epochs": (
        changed("grace_epochs: 3", "grace_epochs: 10"),
        "line 13, scheduler.grace_epochs: 10 is above epochs, 9; nothing would be stopped",
    ),
    "cmaes with a word": (
        changed("type: tpe", "type: cmaes"),
        "line 10, search.activation.type: 'categorical' with sampler cmaes, which searches numbers only",
    ),
    "more to confirm than there is": (
        BASE + "confirm: {top: 13}\n",
        "line 17, confirm.top: the best 13 of 12 configurations; allowed: at most 12",
    ),
    "fewer epochs to confirm": (
        BASE + "confirm: {epochs: 8}\n",
        "line 17, confirm.epochs: 8 epochs, fewer than the 9 of the search; allowed: as many, or more",
    ),
    "one seed to confirm": (
        BASE + "confirm: {seeds: 1}\n",
        "line 17, confirm.seeds: 1: input should be greater than or equal to 2",
    ),
    "an unknown key of the confirmation": (
        BASE + "confirm: {seed: 3}\n",
        "line 17, confirm.seed: no such key; did you mean 'seeds'? allowed: top, seeds, epochs",
    ),
    "gp with early stopping": (
        changed("type: tpe", "type: gp"),
        "line 14, sampler.type: 'gp' with scheduler asha: it learns from trials that ran to their end, of which early "
        "stopping leaves few; allowed: scheduler none, or sampler tpe, cmaes, random",
    ),
    "a grid without a step": (
        changed("{type: tpe, startup_trials: 10}", "{type: grid}").replace(
            "latent_size: 20, beta: 1.0", "latent_size: 20, hidden_units: 64, activation: relu, beta: 1.0"
        ),
        "line 9, search.beta: no step with sampler grid; a grid needs a step or choices in every dimension",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_names_file_line_key_value_and_what_is_allowed(file: Path, case: str) -> None:
    assert_refused(file, *FAULTS[case])


def test_a_grid_says_how_many_trials_it_has(file: Path) -> None:
    grid = "description: x\ntrials: 7\nepochs: 3\nsearch:\n  latent_size: {type: int, low: 1, high: 6}\n"
    grid += "sampler: {type: grid}\n"
    expected = "line 2, trials: 7 with sampler grid, which has 6 points; allowed: 6"
    assert refusal(file, grid) == f"{file}: {expected}"
    assert load(file, grid, trials=6).trials == 6


def test_a_grid_of_billions_is_refused_at_once(file: Path) -> None:
    grid = "description: x\ntrials: 7\nepochs: 3\nsearch:\n  seed: {type: int, low: 0, high: 4294967295}\n"
    grid += "  beta: {type: float, low: 0.0, high: 1000.0, step: 0.001}\nsampler: {type: grid}\n"
    expected = f"line 4, search: {2**32 * 1_000_001:,} points with sampler grid; allowed: at most 100,000"
    assert refusal(file, grid) == f"{file}: {expected}"


# ---------------------------------------------------------------- metric, front, repeats

PLAIN = "description: x\nmetric: val_elbo\ntrials: 2\nepochs: 9\nsearch:\n  latent_size: {type: int, low: 2, high: 8}\n"
PLAIN += "scheduler: {type: none}\n"


def plain(**keys: str) -> str:
    """PLAIN with other values behind its keys, and with new keys."""
    text = PLAIN
    for key, value in keys.items():
        text, n = re.subn(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
        text += "" if n else f"{key}: {value}\n"
    return text


def searching(dimension: str, **keys: str) -> str:
    return plain(**keys).replace("search:\n", f"search:\n  {dimension}\n")


@pytest.mark.parametrize(
    ("metric", "lacks"), [("val_elbo", "no KL, so no ELBO"), ("rate_distortion", "no KL, so no rate")]
)
@pytest.mark.parametrize(
    ("text", "modes"),
    [
        (plain(fixed="{mode: autoencoder}"), "autoencoder"),
        (plain(fixed="{mode: decoder_only}"), "decoder_only"),
        (searching("mode: {type: categorical, choices: [vae, autoencoder]}"), "autoencoder"),
        (
            searching("mode: {type: categorical, choices: [vae, decoder_only, autoencoder]}"),
            "autoencoder and decoder_only",
        ),
        (
            searching("mode: {type: categorical, choices: [vae], when: {latent_size: 2}}", fixed="{mode: autoencoder}"),
            "autoencoder",
        ),
    ],
)
def test_a_metric_that_some_trials_do_not_have_is_refused(
    file: Path, text: str, modes: str, metric: str, lacks: str
) -> None:
    expected = (
        f"line 2, metric: {metric} cannot rank trials of mode {modes}: they have {lacks}; allowed: val_distortion"
    )
    assert_refused(file, changed("metric: val_elbo", f"metric: {metric}", text), expected)
    assert load(file, changed("metric: val_elbo", "metric: val_distortion", text)).metric == "val_distortion"


def test_a_mode_without_a_kl_is_refused_where_the_metric_is_the_default(file: Path) -> None:
    text = changed("metric: val_elbo\n", "", plain(fixed="{mode: autoencoder}"))
    expected = "val_elbo cannot rank trials of mode autoencoder: they have no KL, so no ELBO; allowed: val_distortion"
    assert_refused(file, text, f"metric: {expected}")


@pytest.mark.parametrize(
    "text",
    [
        plain(metric="val_distortion"),
        plain(metric="val_distortion", fixed="{mode: vae}"),
        searching("mode: {type: categorical, choices: [vae]}", metric="val_distortion", fixed="{beta: 2.0}"),
    ],
)
def test_the_distortion_alone_does_not_rank_vaes(file: Path, text: str) -> None:
    expected = "alone it is best for a model without a prior; allowed: val_elbo, rate_distortion"
    expected = f"line 2, metric: val_distortion cannot rank trials that are all of mode vae: {expected}"
    assert_refused(file, text, expected)


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_neither_a_front_nor_a_mean_is_of_trials_that_were_stopped(file: Path, scheduler: str) -> None:
    stopped = f"{{type: {scheduler}}}"
    front = (
        f"line 2, metric: rate_distortion with scheduler {scheduler}: a trial that is stopped early does not reach its "
    )
    assert_refused(
        file, plain(metric="rate_distortion", scheduler=stopped), front + "point of the front; allowed: none"
    )
    mean = f"line 8, repeats: 3 with scheduler {scheduler}: the mean of trials stopped at different epochs means "
    assert_refused(file, plain(repeats="3", scheduler=stopped), mean + "nothing; allowed: scheduler none")


def test_repeats_with_the_default_scheduler_are_refused_as_with_asha(file: Path) -> None:
    message = refusal(file, changed("scheduler: {type: none}\n", "repeats: 2\n", PLAIN))
    assert message.startswith(f"{file}: line 7, repeats: 2 with scheduler asha: ")


def two_objectives(sampler: optuna.samplers.BaseSampler) -> None:
    """Ask and tell a few trials; raises where Optuna's sampler knows one objective only."""
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    for value in range(4):
        trial = study.ask({"beta": optuna.distributions.FloatDistribution(0.5, 2.0)})
        study.tell(trial, [value, 4 - value])


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("tpe", optuna.samplers.TPESampler(n_startup_trials=2)),
        ("random", optuna.samplers.RandomSampler()),
        ("gp", optuna.samplers.GPSampler(n_startup_trials=2)),
    ],
)
def test_a_front_takes_the_samplers_that_know_two_objectives(
    file: Path, name: str, sampler: optuna.samplers.BaseSampler
) -> None:
    two_objectives(sampler)
    assert load(file, plain(metric="rate_distortion", sampler=f"{{type: {name}}}")).sampler.type == name


def test_a_front_may_be_a_grid_but_not_of_cmaes_which_has_one_objective(file: Path) -> None:
    assert load(file, plain(metric="rate_distortion", trials="7", sampler="{type: grid}")).n_runs == 7
    with pytest.raises(ValueError, match="multi-objective"):
        two_objectives(optuna.samplers.CmaEsSampler(n_startup_trials=2))
    expected = "rate_distortion with sampler cmaes, which knows one objective only; allowed: tpe, random, grid, gp"
    assert_refused(file, plain(metric="rate_distortion", sampler="{type: cmaes}"), f"line 2, metric: {expected}")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (plain(repeats="3", fixed="{seed: 4}"), "line 9, fixed.seed"),
        (searching("seed: {type: int, low: 0, high: 9}", repeats="3"), "line 6, search.seed"),
    ],
)
def test_a_seed_with_repeats_is_refused(file: Path, text: str, where: str) -> None:
    reason = "seed with repeats 3, which gives each trial its own; leave one of them out"
    assert_refused(file, text, f"{where}: {reason}")
    assert load(file, changed("repeats: 3", "repeats: 1", text)).repeats == 1


def test_repeats_count_towards_the_most_runs_that_a_sweep_may_have(file: Path) -> None:
    assert load(file, plain(trials="50000", repeats="2")).n_runs == 100_000
    expected = "line 3, trials: 50,001 with repeats 2 are 100,002 runs; allowed: at most 100,000 runs"
    assert_refused(file, plain(trials="50001", repeats="2"), expected)


@pytest.mark.parametrize(
    ("dimension", "of"),
    [
        ("likelihood: {type: categorical, choices: [bernoulli, gaussian]}", "measures"),
        ("likelihood: {type: categorical, choices: [gaussian], when: {latent_size: 2}}", "measures"),
        ("binarize: {type: categorical, choices: [none, threshold, stochastic]}", "data"),
    ],
)
@pytest.mark.parametrize("metric", ["val_elbo", "rate_distortion"])
def test_trials_of_different_data_or_measures_cannot_be_ranked(
    file: Path, dimension: str, of: str, metric: str
) -> None:
    name = dimension.partition(":")[0]
    reason = f"the ELBOs are of different {of}, and their order would mean nothing"
    expected = f"line 6, search.{name}: {reason}; make a sweep of each, with --set {name}=..."
    assert_refused(file, searching(dimension, metric=metric), expected)


@pytest.mark.parametrize(
    "dimension",
    ["likelihood: {type: categorical, choices: [gaussian]}", "binarize: {type: categorical, choices: [threshold]}"],
)
def test_one_likelihood_or_binarisation_may_be_searched(file: Path, dimension: str) -> None:
    assert len(load(file, searching(dimension)).dimensions) == 2


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_a_condition_needs_a_sampler_that_learns_from_it(file: Path, sampler: str) -> None:
    text = searching("beta: {type: float, low: 0.5, high: 2.0, when: {latent_size: 2}}")
    reason = "which draws conditional hyperparameters at random; allowed: tpe, random, grid"
    expected = f"line 6, search.beta.when: a condition with sampler {sampler}, {reason}"
    assert_refused(file, text + f"sampler: {{type: {sampler}}}\n", expected)
    for other in ("tpe", "random"):
        assert load(file, text + f"sampler: {{type: {other}}}\n").sampler.type == other


def test_the_faults_of_metric_repeats_and_conditions_come_together(file: Path) -> None:
    text = searching("beta: {type: float, low: 0.5, high: 2.0, when: {latent: 2}}", metric="rate_distortion")
    text = text.replace("{type: none}", "{type: asha}") + "repeats: 3\nfixed: {mode: autoencoder, seed: 1}\n"
    lines = refusal(file, text).splitlines()
    assert lines[0] == f"{file}: 5 faults"
    assert [line.split(": ")[0] for line in lines[1:]] == [
        "  line 2, metric",
        "  line 2, metric",
        "  line 9, repeats",
        "  line 10, fixed.seed",
        "  line 6, search.beta.when.latent",
    ]


# what the sheet compares


def _comparing(name: str, text: str = BASE) -> str:
    return f"{text}compare: {name}\n"


def test_a_space_compares_a_hyperparameter_that_it_searches(file: Path) -> None:
    assert load(file, _comparing("beta")).compare == "beta"
    assert load(file, BASE).compare is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("btea", "'btea' is not searched; did you mean 'beta'? allowed: latent_size, hidden_units, beta, activation"),
        ("batch_size", "'batch_size' is not searched; allowed: latent_size, hidden_units, beta, activation"),
        ("3", "3"),
    ],
)
def test_it_compares_nothing_else(file: Path, name: str, says: str) -> None:
    message = refusal(file, _comparing(name))
    assert message.startswith(f"{file}: line 17, compare: ")
    assert says.split(";")[0] in message


def test_a_space_that_searches_nothing_has_nothing_to_compare(file: Path) -> None:
    text = "description: x\ntrials: 1\nepochs: 3\nsearch: {}\ncompare: beta\n"
    assert refusal(file, text) == f"{file}: line 5, compare: 'beta' is not searched; nothing is: leave compare out"


def test_a_fault_of_the_search_is_not_said_of_compare_as_well(file: Path) -> None:
    text = _comparing("beta", changed("low: 0.25, high: 4.0", "low: none, high: 4.0"))
    assert "compare" not in refusal(file, text)


def test_what_the_command_line_fixes_is_no_longer_compared(file: Path) -> None:
    assert load(file, _comparing("beta"), settings=["beta=2.0"]).compare is None
    assert load(file, _comparing("beta"), settings=["activation=relu"]).compare == "beta"


def test_a_seed_that_is_searched_and_two_objectives_cannot_be_confirmed(file: Path) -> None:
    searched = changed("  beta:", "  seed: {type: int, low: 0, high: 9}\n  beta:").replace(", beta: 1.0}", "}")
    fault = "line 9, search.seed: seed with confirm, which gives each trial its own; leave one of them out"
    assert_refused(file, searched + "confirm: {}\n", fault)
    front = changed("metric: val_elbo", "metric: rate_distortion").replace("asha, grace_epochs: 3", "none")
    reason = "two objectives have a front and no best configuration; allowed: val_elbo, val_distortion"
    assert_refused(file, front + "confirm: {}\n", f"line 17, confirm: confirm with metric rate_distortion: {reason}")


def test_a_confirmation_is_five_configurations_with_four_seeds_and_the_command_line_may_change_it(file: Path) -> None:
    space = load(file, BASE + "confirm: {epochs: 20}\n", confirm={"top": 3, "seeds": 2})
    assert space.confirm is not None
    assert (space.confirm.top, space.confirm.seeds, space.confirm.epochs) == (3, 2, 20)
    for written in ("confirm:\n", "confirm: {}\n"):
        plain = load(file, BASE + written).confirm
        assert plain is not None
        assert (plain.top, plain.seeds, plain.epochs) == (5, 4, None)
    assert load(file, BASE).confirm is None
    refused = "--confirm 13x2 (confirm.top): the best 13 of 12 configurations; allowed: at most 12"
    assert_refused(file, BASE, refused, confirm={"top": 13, "seeds": 2})
