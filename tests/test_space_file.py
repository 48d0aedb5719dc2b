import math
import re
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuning.errors import SpaceError
from tuning.search import distribution, make_sampler
from tuning.space import SEARCHABLE, SearchSpace
from tuning.space_file import SPACES, Overrides, list_spaces, load_space
from vae.config import TrialConfig

BASE = """\
description: A space to break.
dataset: digits
metric: val_elbo
trials: 12
epochs: 9
search:
  latent_size: {type: int, low: 2, high: 64, log: true}
  hidden_units: {type: int, low: 64, high: 512, step: 64}
  beta: {type: float, low: 0.25, high: 4.0, log: true}
  activation: {type: categorical, choices: [relu, tanh]}
fixed:
  batch_size: 128
scheduler: {type: asha, grace_epochs: 3}
sampler: {type: tpe, startup_trials: 10}
baselines:
  - {latent_size: 20, beta: 1.0}
"""
ALLOWED_HYPERPARAMETERS = ", ".join(SEARCHABLE)
LATENT = "latent_size: {type: int, low: 2, high: 64, log: true}"
UNITS = "hidden_units: {type: int, low: 64, high: 512, step: 64}"
BETA = "beta: {type: float, low: 0.25, high: 4.0, log: true}"
CHOICES = "choices: [relu, tanh]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "study.yaml"


def load(file: Path, text: str | bytes, **overrides: Any) -> SearchSpace:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_space(str(file), Overrides(**overrides))


def refusal(file: Path, text: str | bytes, **overrides: Any) -> str:
    with pytest.raises(SpaceError, match=re.escape(file.name)) as refused:
        load(file, text, **overrides)
    return str(refused.value)


def changed(old: str, new: str) -> str:
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


def test_the_space_to_break_is_whole(file: Path) -> None:
    space = load(file, BASE)
    assert (space.trials, space.epochs, space.dataset, space.metric) == (12, 9, "digits", "val_elbo")
    assert list(space.dimensions) == ["latent_size", "hidden_units", "activation", "beta"]
    assert space.first_trials == [{"latent_size": 20, "beta": 1.0}]


# ---------------------------------------------------------------- what is no YAML


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("description: [a, b\ntrials: 3\n", 2, "expected ',' or ']'"),
        ("description: x\n\ttrials: 3\n", 2, r"found character '\t' that cannot start any token"),
        (BASE + "trials: 3\n", 17, "key 'trials' stands twice"),
        (changed("batch_size: 128", "batch_size: 128\n  batch_size: 64"), 13, "key 'batch_size' stands twice"),
        (BASE + "3: 4\n", 17, "key 3 is not a word"),
        (BASE + "yes: 4\n", 17, "key True is not a word"),
        (BASE + "? [a]\n: 4\n", 17, "key ['a'] is not a word"),
        ("description: !!python/object/apply:os.system [ls]\n", 1, "could not determine a constructor for the tag"),
        ("description: !!python/name:os.system\n", 1, "could not determine a constructor for the tag"),
        (BASE + "---\n" + BASE, 17, "but found another document"),
        (changed("trials: 12", "trials: !!int many"), 4, "invalid literal for int()"),
        (changed("trials: 12", "trials: !!float many"), 4, "could not convert string to float"),
        (changed("trials: 12", "trials: 2001-99-99"), 4, "month must be in 1..12"),
        (changed("trials: 12", "trials: " + "9" * 5000), 4, "4300 digits"),
        (changed("trials: 12", "trials: 0x" + "f" * 5000), 4, "a whole number beyond 64 bits"),
        (changed("trials: 12", "trials: *twelve"), 4, "found undefined alias"),
    ],
)
def test_what_is_not_yaml_is_one_line_with_its_number(file: Path, text: str, line: int, problem: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: line {line}: not YAML: ")
    assert problem in message
    assert "\n" not in message


def test_a_python_tag_runs_nothing(file: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    refusal(file, f"description: !!python/object/apply:os.mkdir [{ran}]\n")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty, not keys and values"),
        ("# only a comment\n", "is empty, not keys and values"),
        ("- a\n- b\n", "is a list, not keys and values"),
        ("hello\n", "is one value, not keys and values"),
        ("a: &a [*a]\n", "nested too deeply, or an anchor holds itself"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply, or an anchor holds itself"),
        (b"description: x\n# caf\xe9\n", "line 2: not UTF-8: byte 0xe9"),
        (b"a: \0\n", "not YAML: unacceptable character #x0000"),
    ],
)
def test_a_file_that_is_no_keys_and_values_is_refused(file: Path, text: str | bytes, problem: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: ")
    assert problem in message
    assert "\n" not in message


def test_a_byte_order_mark_windows_line_ends_and_merged_keys_are_read(file: Path) -> None:
    merged = changed("fixed:\n  batch_size: 128", "fixed:\n  <<: {batch_size: 128}")
    assert load(file, b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode()) == load(file, merged) == load(file, BASE)


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.e-3", "1.0e-3", "0.001", ".1e-2", "+1e-3"])
def test_a_number_in_any_notation_is_a_number(file: Path, number: str) -> None:
    text = changed(BETA, f"beta: {{type: float, low: {number}, high: 4.0, log: true}}")
    beta = load(file, text).dimensions["beta"]
    assert beta.type == "float"
    assert beta.low == 0.001


@pytest.mark.parametrize("name", ["nowhere.yaml", "no/such/place", "/no/such/study.yml", "."])
def test_a_path_without_a_file_is_refused(name: str) -> None:
    with pytest.raises(SpaceError, match=f"^--space {re.escape(name)}: no such (file|space)"):
        load_space(name)


def test_a_folder_and_an_overlong_name_are_no_spaces(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for path in (tmp_path / "folder.yaml", tmp_path / ("x" * 300 + ".yaml")):
        with pytest.raises(SpaceError, match="no such file"):
            load_space(str(path))


def test_an_unknown_space_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(SpaceError, match="--space beta_stuy: no such space; did you mean 'beta_study'"):
        load_space("beta_stuy")
    with pytest.raises(SpaceError, match=r"allowed: .*beta_study.*quick"):
        load_space("zzz")


# ---------------------------------------------------------------- faults of its content


FAULTS = {
    "a misspelt key at the top": (
        changed("metric: val_elbo", "metrik: val_elbo"),
        "line 3, metrik: no such key; did you mean 'metric'? allowed: description, dataset, metric, trials, epochs, "
        "search, fixed, scheduler, sampler, baselines",
    ),
    "a misspelt hyperparameter": (
        changed(UNITS, "hiden_units: {type: int, low: 64, high: 512, step: 64}"),
        f"line 8, search.hiden_units: no such key; did you mean 'hidden_units'? allowed: {ALLOWED_HYPERPARAMETERS}",
    ),
    "a misspelt fixed hyperparameter": (
        changed("batch_size: 128", "batchsize: 128"),
        f"line 12, fixed.batchsize: no such key; did you mean 'batch_size'? allowed: {ALLOWED_HYPERPARAMETERS}",
    ),
    "a misspelt baseline key": (
        changed("latent_size: 20, beta: 1.0", "latent_size: 20, bta: 1.0"),
        f"line 16, baselines.0.bta: no such key; did you mean 'beta'? allowed: {ALLOWED_HYPERPARAMETERS}",
    ),
    "a misspelt key of a range": (
        changed("low: 64", "lo: 64"),
        [
            "line 8, search.hidden_units.low: missing",
            "line 8, search.hidden_units.lo: no such key; did you mean 'low'? allowed: type, low, high, step, log",
        ],
    ),
    "an unknown type of range": (
        changed("hidden_units: {type: int,", "hidden_units: {type: integer,"),
        "line 8, search.hidden_units.type: 'integer'; did you mean 'int'? allowed: int, float, categorical",
    ),
    "a range without a type": (
        changed("hidden_units: {type: int, ", "hidden_units: {"),
        "line 8, search.hidden_units: 'type' is missing; allowed: int, float, categorical",
    ),
    "a hyperparameter without its range": (
        changed(UNITS, "hidden_units:"),
        "line 8, search.hidden_units: None: expected keys and values",
    ),
    "low above high": (
        changed("low: 64, high: 512", "low: 1024, high: 512"),
        "line 8, search.hidden_units.low: low 1024 is above high 512; low must not be above high",
    ),
    "log from zero": (
        changed("low: 0.25", "low: 0.0"),
        "line 9, search.beta.low: 0.0 with log: true; a logarithmic scale needs low above 0",
    ),
    "log with a step": (
        changed("high: 4.0, log: true", "high: 4.0, log: true, step: 0.25"),
        "line 9, search.beta.step: 0.25 with log: true; a logarithmic scale has no step: leave one of them out",
    ),
    "log with a whole step": (
        changed("high: 4.0, log: true", "high: 4.0, log: true, step: 1"),
        "line 9, search.beta.step: 1.0 with log: true; a logarithmic scale has no step: leave one of them out",
    ),
    "a step that does not divide": (
        changed("step: 64", "step: 100"),
        "line 8, search.hidden_units.step: 100 does not divide high - low = 448",
    ),
    "a float step that does not divide": (
        changed("high: 4.0, log: true", "high: 4.0, step: 0.7"),
        "line 9, search.beta.step: 0.7 does not divide high - low = 3.75",
    ),
    "a step beyond arithmetic": (
        changed("high: 4.0, log: true", "high: 4.0, step: 1e-300"),
        "line 9, search.beta.step: 1e-300 is too fine for 0.25 to 4.0; leave it out to allow any value",
    ),
    "a step of zero": (
        changed("step: 64", "step: 0"),
        "line 8, search.hidden_units.step: 0: input should be greater than or equal to 1",
    ),
    "a range of whole numbers for beta": (
        changed(BETA, "beta: {type: int, low: 1, high: 4}"),
        "line 9, search.beta.type: 'int' for beta; allowed: 'float', 'categorical'",
    ),
    "a range of floats for a whole number": (
        changed(UNITS, "hidden_units: {type: float, low: 64.0, high: 512.0}"),
        "line 8, search.hidden_units.type: 'float' for hidden_units; allowed: 'int', 'categorical'",
    ),
    "a range for a word": (
        changed("activation: {type: categorical, choices: [relu, tanh]}", "activation: {type: int, low: 1, high: 2}"),
        "line 10, search.activation.type: 'int' for activation, which is not a number; allowed: 'categorical'",
    ),
    "a range beyond the hyperparameter's own": (
        changed(LATENT, "latent_size: {type: int, low: 0, high: 2048}"),
        [
            "line 7, search.latent_size.low: 0 for latent_size: input should be greater than or equal to 1",
            "line 7, search.latent_size.high: 2048 for latent_size: input should be less than or equal to 1024",
        ],
    ),
    "an unknown choice": (
        changed(CHOICES, "choices: [relu, sigmoid]"),
        "line 10, search.activation.choices.1: 'sigmoid' for activation: input should be 'relu', 'tanh', 'elu' or "
        "'softplus'",
    ),
    "a choice of another type": (
        changed(UNITS, "hidden_units: {type: categorical, choices: [64, true, 128.0, '256']}"),
        [
            "line 8, search.hidden_units.choices.1: True for hidden_units: input should be a valid integer",
            "line 8, search.hidden_units.choices.2: 128.0 for hidden_units: input should be a valid integer",
            "line 8, search.hidden_units.choices.3: '256' for hidden_units: input should be a valid integer",
        ],
    ),
    "a choice that is none": (
        changed(CHOICES, "choices: [relu, null, [tanh], {elu: 1}]"),
        [
            "line 10, search.activation.choices.1: None: expected a number or a word",
            "line 10, search.activation.choices.2: ['tanh']: expected a number or a word",
            "line 10, search.activation.choices.3: {'elu': 1}: expected a number or a word",
        ],
    ),
    "a choice twice": (
        changed(CHOICES, "choices: [relu, tanh, relu]"),
        "line 10, search.activation.choices.2: 'relu' is there twice",
    ),
    "no choice": (
        changed(CHOICES, "choices: []"),
        "line 10, search.activation.choices: []: list should have at least 1 item after validation, not 0",
    ),
    "a metric that depends on beta": (
        changed("metric: val_elbo", "metric: val_loss"),
        "line 3, metric: val_loss cannot rank trials: it is D + beta * R, which depends on the hyperparameter beta; "
        "allowed: val_elbo",
    ),
    "the training loss": (
        changed("metric: val_elbo", "metric: train_loss"),
        "line 3, metric: train_loss cannot rank trials: it is D + beta * R, which depends on the hyperparameter beta; "
        "allowed: val_elbo",
    ),
    "half of the metric": (
        changed("metric: val_elbo", "metric: val_rate"),
        "line 3, metric: val_rate cannot rank trials: alone it is best for a model that ignores the image; "
        "allowed: val_elbo",
    ),
    "an unknown metric": (
        changed("metric: val_elbo", "metric: val_elob"),
        "line 3, metric: 'val_elob'; did you mean 'val_elbo'? allowed: val_elbo",
    ),
    "an unknown dataset": (
        changed("dataset: digits", "dataset: digit"),
        "line 2, dataset: 'digit'; did you mean 'digits'? allowed: auto, digits, mnist",
    ),
    "zero trials": (
        changed("trials: 12", "trials: 0"),
        "line 4, trials: 0: input should be greater than or equal to 1",
    ),
    "negative trials": (
        changed("trials: 12", "trials: -3"),
        "line 4, trials: -3: input should be greater than or equal to 1",
    ),
    "more trials than anyone has": (
        changed("trials: 12", "trials: 10000000"),
        "line 4, trials: 10000000: input should be less than or equal to 100000",
    ),
    "trials as a word": (
        changed("trials: 12", "trials: twelve"),
        "line 4, trials: 'twelve': input should be a valid integer",
    ),
    "trials as text": (
        changed("trials: 12", "trials: '12'"),
        "line 4, trials: '12': input should be a valid integer",
    ),
    "trials as a truth": (
        changed("trials: 12", "trials: true"),
        "line 4, trials: True: input should be a valid integer",
    ),
    "trials with a fraction": (
        changed("trials: 12", "trials: 12.5"),
        "line 4, trials: 12.5: input should be a valid integer",
    ),
    "no trials": (changed("trials: 12\n", ""), "trials: missing"),
    "an empty description": (
        changed("description: A space to break.", "description: ''"),
        "line 1, description: '': string should have at least 1 character",
    ),
    "searched and fixed": (
        changed("batch_size: 128", "beta: 1.0"),
        "line 12, fixed.beta: beta is searched as well; keep it in one of search and fixed",
    ),
    "a fixed value out of range": (
        changed("batch_size: 128", "learning_rate: 2.0"),
        "line 12, fixed.learning_rate: 2.0: input should be less than or equal to 1",
    ),
    "a fixed value of nothing": (
        changed("batch_size: 128", "batch_size:"),
        "line 12, fixed.batch_size: None: input should be a valid integer",
    ),
    "a truth for a number": (
        changed("low: 0.25", "low: yes"),
        "line 9, search.beta.low: True: input should be a valid number",
    ),
    "text for a number": (
        changed("low: 0.25", "low: '0.25'"),
        "line 9, search.beta.low: '0.25': input should be a valid number",
    ),
    "not a number": (
        changed("low: 0.25", "low: .nan"),
        "line 9, search.beta.low: nan: input should be a finite number",
    ),
    "infinity": (
        changed("high: 4.0", "high: .inf"),
        "line 9, search.beta.high: inf: input should be a finite number",
    ),
    "a number beyond floats": (
        changed("high: 4.0", "high: 1e999"),
        "line 9, search.beta.high: inf: input should be a finite number",
    ),
    "epochs searched": (
        changed(UNITS, "epochs: {type: int, low: 1, high: 9}"),
        "line 8, search.epochs: epochs is the budget of the whole space; set it at the top level, or with --epochs",
    ),
    "epochs fixed": (
        changed("batch_size: 128", "epochs: 3"),
        "line 12, fixed.epochs: epochs is the budget of the whole space; set it at the top level, or with --epochs",
    ),
    "nothing searched": (
        re.sub(r"search:\n(  .*\n)+", "search: {}\n", BASE).replace(
            "baselines:\n  - {latent_size: 20, beta: 1.0}\n", ""
        ),
        "line 6, search: nothing is searched, so all 12 trials would be the same one",
    ),
    "an unknown scheduler": (
        changed("type: asha", "type: ahsa"),
        "line 13, scheduler.type: 'ahsa'; did you mean 'asha'? allowed: asha, hyperband, median, none",
    ),
    "a scheduler's name alone": (
        changed("scheduler: {type: asha, grace_epochs: 3}", "scheduler: asha"),
        "line 13, scheduler: 'asha': expected keys and values",
    ),
    "a scheduler without a type": (
        changed("scheduler: {type: asha, ", "scheduler: {"),
        "line 13, scheduler: 'type' is missing; allowed: asha, hyperband, median, none",
    ),
    "a setting of another scheduler": (
        changed("grace_epochs: 3", "min_trials: 3"),
        "line 13, scheduler.min_trials: no such key; allowed: type, grace_epochs, reduction_factor",
    ),
    "grace above the epochs": (
        changed("grace_epochs: 3", "grace_epochs: 10"),
        "line 13, scheduler.grace_epochs: 10 is above epochs, 9; nothing would be stopped",
    ),
    "an unknown sampler": (
        changed("type: tpe", "type: tpa"),
        "line 14, sampler.type: 'tpa'; did you mean 'tpe'? allowed: tpe, random, grid, gp, cmaes",
    ),
    "cmaes with a word": (
        changed("type: tpe", "type: cmaes"),
        "line 10, search.activation.type: 'categorical' with sampler cmaes, which searches numbers only",
    ),
    "a grid without a step": (
        changed("{type: tpe, startup_trials: 10}", "{type: grid}").replace(
            "latent_size: 20, beta: 1.0", "latent_size: 20, hidden_units: 64, activation: relu, beta: 1.0"
        ),
        "line 9, search.beta: no step with sampler grid; a grid needs a step or choices in every dimension",
    ),
    "a baseline outside": (
        changed("beta: 1.0}", "beta: 5.0}"),
        "line 16, baselines.0.beta: 5.0 is outside the search, 0.25 to 4.0",
    ),
    "a baseline between the steps": (
        changed("beta: 1.0}", "hidden_units: 100}"),
        "line 16, baselines.0.hidden_units: 100 is between the steps of the search, 64 to 512 by 64",
    ),
    "a baseline that is no choice": (
        changed("beta: 1.0}", "activation: elu}"),
        "line 16, baselines.0.activation: 'elu' is not a choice; allowed: 'relu', 'tanh'",
    ),
    "a baseline of what is not searched": (
        changed("beta: 1.0}", "batch_size: 64}"),
        "line 16, baselines.0.batch_size: batch_size is not searched; a baseline gives values of searched "
        "hyperparameters",
    ),
    "a baseline that is no configuration": (
        changed("- {latent_size: 20, beta: 1.0}", "- latent_size"),
        "line 16, baselines.0: 'latent_size': expected keys and values",
    ),
    "baselines that are no list": (
        changed("- {latent_size: 20, beta: 1.0}", "latent_size: 20"),
        "line 15, baselines: keys and values: expected a list",
    ),
    "a whole baseline twice": (
        changed(
            "  - {latent_size: 20, beta: 1.0}\n",
            "  - {latent_size: 20, hidden_units: 64, activation: relu, beta: 1.0}\n" * 2,
        ),
        "line 17, baselines.1: is there twice",
    ),
    "more baselines than trials": (
        changed("trials: 12", "trials: 1") + "  - {latent_size: 3}\n",
        "line 15, baselines: 2 of them and 1 trials; allow more trials",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_names_file_line_key_value_and_what_is_allowed(file: Path, case: str) -> None:
    text, expected = FAULTS[case]
    message = refusal(file, text)
    if isinstance(expected, str):
        assert message == f"{file}: {expected}"
    else:
        assert message == "\n".join([f"{file}: {len(expected)} faults", *(f"  {line}" for line in expected)])


def test_all_faults_of_a_file_come_in_one_message(file: Path) -> None:
    text = """\
description: Everything at once.
metric: val_loss
trials: 0
epochs: 9
search:
  latent_size: {type: int, low: 64, high: 2}
  hiden_units: {type: int, low: 64, high: 512}
  beta: {type: float, low: 0, high: 4.0, log: true}
  activation: {type: categorical, choices: [relu, rleu, relu]}
fixed:
  beta: 1.0
  batch_size: 0
scheduler: {type: asha, grace_epochs: 30, reduction: 4}
sampler: {type: cmaes}
baselines:
  - {beta: 9.0}
  - {learning_rate: 0.1, gamma: 3}
"""
    message = refusal(file, text).splitlines()
    assert message[0] == f"{file}: {len(message) - 1} faults"
    assert [re.match(r"  line (\d+), ([\w.]+): ", line).groups() for line in message[1:]] == [  # type: ignore[union-attr]
        ("2", "metric"),
        ("3", "trials"),
        ("7", "search.hiden_units"),
        ("12", "fixed.batch_size"),
        ("13", "scheduler.reduction"),
        ("17", "baselines.1.gamma"),
        ("6", "search.latent_size.low"),
        ("9", "search.activation.choices.1"),
        ("9", "search.activation.choices.2"),
        ("8", "search.beta.low"),
        ("11", "fixed.beta"),
        ("13", "scheduler.grace_epochs"),
        ("9", "search.activation.type"),
        ("16", "baselines.0.beta"),
    ]


def test_what_only_follows_from_another_fault_is_not_told(file: Path) -> None:
    text = changed(BETA, "beta: {type: float, low: .nan, high: 4.0}")
    assert refusal(file, text) == f"{file}: line 9, search.beta.low: nan: input should be a finite number"
    text = changed("grace_epochs: 3", "grace_epochs: few").replace("epochs: 9", "epochs: 2")
    assert "above epochs" not in refusal(file, text)


def test_one_faulty_baseline_does_not_hide_the_others(file: Path) -> None:
    text = BASE + "  - {bta: 3}\n  - {beta: 9.0}\n  - {batch_size: 3}\n"
    lines = [line.split(": ")[0] for line in refusal(file, text).splitlines()[1:]]
    assert lines == [
        "  line 17, baselines.1.bta",
        "  line 18, baselines.2.beta",
        "  line 19, baselines.3.batch_size",
    ]


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


def test_a_grids_baseline_must_be_one_of_its_points(file: Path) -> None:
    grid = "description: x\ntrials: 4\nepochs: 3\nsearch:\n  latent_size: {type: int, low: 1, high: 2}\n"
    grid += "  beta: {type: float, low: 1.0, high: 2.0, step: 1.0}\nsampler: {type: grid}\nbaselines: [{beta: 1.0}]\n"
    expected = "line 8, baselines.0: leaves out latent_size; with sampler grid it must be a point"
    assert refusal(file, grid) == f"{file}: {expected}"


def test_text_of_the_file_cannot_break_the_messages_lines(file: Path) -> None:
    message = refusal(file, BASE + '"a\\nb\\e[31m": 1\n' + f"{'y' * 120}: 1\n" + f"x: {'z' * 5000}\n")
    assert message.count("\n") == 3
    assert "\x1b" not in message
    long = refusal(file, changed("dataset: digits", f"dataset: {'d' * 5000}"))
    assert len(long) < 300


def test_a_path_below_the_working_directory_is_shown_as_it_was_typed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    file.write_text(changed("trials: 12", "trials: 0"))
    with pytest.raises(SpaceError, match=r"^study\.yaml: line 4, trials: 0"):
        load_space(str(file))


# ---------------------------------------------------------------- the shipped spaces


def test_every_shipped_space_loads_and_opens_with_purpose_command_and_cost() -> None:
    descriptions = list_spaces()
    assert {"beta_study", "quick"} <= set(descriptions)
    for name, description in descriptions.items():
        comment = [line for line in (SPACES / f"{name}.yaml").read_text().splitlines() if line.startswith("#")]
        assert description.endswith(".")
        assert any(f"python sweep.py --space {name}" in line for line in comment)
        assert any(line.startswith("# Cost: ") for line in comment)


def test_beta_study_searches_all_four() -> None:
    assert set(load_space("beta_study").dimensions) == {"latent_size", "hidden_units", "learning_rate", "beta"}


# ---------------------------------------------------------------- the command line's changes


def test_set_fixes_a_searched_hyperparameter_and_takes_it_out_of_search_and_baselines(file: Path) -> None:
    space = load(file, BASE, settings=["beta=2"])
    assert "beta" not in space.dimensions
    assert space.fixed_values == {"beta": 2.0, "batch_size": 128}
    assert space.first_trials == [{"latent_size": 20}]


def test_set_leaves_out_a_baseline_of_which_nothing_or_nothing_new_is_left(file: Path) -> None:
    text = BASE + "  - {beta: 2.0}\n  - {latent_size: 20, beta: 4.0}\n"
    assert load(file, text, settings=["beta=2"]).first_trials == [{"latent_size": 20}]


def test_set_changes_what_is_fixed_and_what_is_the_default(file: Path) -> None:
    space = load(file, BASE, settings=["batch_size=256", "hidden_layers=2", "learning_rate=1e-4", "seed=7"])
    assert space.fixed_values == {"batch_size": 256, "hidden_layers": 2, "learning_rate": 1e-4, "seed": 7}


def test_a_dotted_key_changes_one_setting(file: Path) -> None:
    space = load(file, BASE, settings=["search.beta.high=8", "scheduler.reduction_factor=4"])
    beta, asha = space.dimensions["beta"], space.scheduler
    assert beta.type == "float"
    assert (beta.low, beta.high, beta.log) == (0.25, 8.0, True)
    assert asha.type == "asha"
    assert (asha.grace_epochs, asha.reduction_factor) == (3, 4)


def test_another_type_clears_the_settings_of_the_one_before(file: Path) -> None:
    space = load(file, BASE, settings=["scheduler.type=median", "sampler.type=random"])
    assert space.scheduler.model_dump() == {"type": "median", "grace_epochs": 3, "min_trials": 5}
    assert space.sampler.model_dump() == {"type": "random"}
    same = load(file, changed("grace_epochs: 3", "grace_epochs: 2"), settings=["scheduler.type=asha"])
    assert same.scheduler.model_dump() == {"type": "asha", "grace_epochs": 2, "reduction_factor": 3}


def test_a_type_and_its_settings_may_follow_each_other(file: Path) -> None:
    space = load(file, BASE, settings=["scheduler.type=hyperband", "scheduler.brackets=2"])
    assert space.scheduler.model_dump() == {
        "type": "hyperband",
        "grace_epochs": 1,
        "reduction_factor": 3,
        "brackets": 2,
    }


def test_a_part_that_the_file_does_not_have_can_be_set(file: Path) -> None:
    text = re.sub(r"scheduler: .*\n", "", BASE)
    assert load(file, text, settings=["scheduler.type=none"]).scheduler.type == "none"


def test_trials_epochs_and_dataset_are_taken_from_the_command_line(file: Path) -> None:
    space = load(file, BASE, trials=200, epochs=40, dataset="mnist")
    assert (space.trials, space.epochs, space.dataset) == (200, 40, "mnist")


def test_a_grid_made_on_the_command_line_sets_the_number_of_trials(file: Path) -> None:
    text = changed(LATENT, "latent_size: {type: int, low: 2, high: 4}").replace("latent_size: 20, ", "")
    space = load(file, text, settings=["hidden_units=128", "beta=1", "sampler.type=grid"])
    assert space.trials == 3 * 2
    assert len(space.first_trials) == 6


def test_a_grid_on_the_command_line_keeps_to_the_trials_that_are_given_there(file: Path) -> None:
    text = changed(LATENT, "latent_size: {type: int, low: 2, high: 4}").replace("latent_size: 20, ", "")
    settings = ["hidden_units=128", "beta=1", "sampler.type=grid"]
    expected = "--trials 5 (trials): 5 with sampler grid, which has 6 points; allowed: 6"
    assert refusal(file, text, settings=settings, trials=5) == f"{file}: {expected}"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("beta", "--set beta: expected key=value, such as batch_size=256 or scheduler.type=none"),
        ("=3", "--set =3: expected key=value, such as batch_size=256 or scheduler.type=none"),
        (" =3", "--set  =3: expected key=value, such as batch_size=256 or scheduler.type=none"),
        ("beta=[1", "--set beta=[1: '[1' is not a value"),
        ("beta=!!int x", "--set beta=!!int x: '!!int x' is not a value"),
        ("beta=*a", "--set beta=*a: '*a' is not a value"),
        (
            "btea=1",
            "--set btea=1: no such hyperparameter; did you mean 'beta'? "
            f"allowed: {ALLOWED_HYPERPARAMETERS}, scheduler.type, sampler.type",
        ),
        ("trials=3", "--set trials=3: trials is not a hyperparameter; use --trials"),
        ("epochs=3", "--set epochs=3: epochs is not a hyperparameter; use --epochs"),
        ("dataset=mnist", "--set dataset=mnist: dataset is not a hyperparameter; use --dataset"),
        (
            "scheduler=none",
            "--set scheduler=none: scheduler is not a hyperparameter; use a dotted key, such as scheduler.type=...",
        ),
        ("metric=val_loss", "--set metric=val_loss: metric is not a hyperparameter; change it in the file"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(file: Path, setting: str, expected: str) -> None:
    file.write_text(BASE)
    with pytest.raises(SpaceError, match=r"^--set ") as refused:
        load_space(str(file), Overrides(settings=[setting]))
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("beta=-1", "(fixed.beta): -1: input should be greater than or equal to 0"),
        ("beta=", "(fixed.beta): None: input should be a valid number"),
        ("beta=1=2", "(fixed.beta): '1=2': input should be a valid number"),
        ("beta=true", "(fixed.beta): True: input should be a valid number"),
        ("beta=nan", "(fixed.beta): 'nan': input should be a valid number"),
        ("beta=.nan", "(fixed.beta): nan: input should be a finite number"),
        ("batch_size=64.0", "(fixed.batch_size): 64.0: input should be a valid integer"),
        (
            "activation=rleu",
            "(fixed.activation): 'rleu'; did you mean 'relu'? allowed: relu, tanh, elu, softplus",
        ),
        (
            "scheduler.grace=3",
            "(scheduler.grace): no such key; allowed: type, grace_epochs, reduction_factor",
        ),
        (
            "scheduler.type=ash",
            "(scheduler.type): 'ash'; did you mean 'asha'? allowed: asha, hyperband, median, none",
        ),
        (
            "search.betta.low=3",
            f"(search.betta): no such key; did you mean 'beta'? allowed: {ALLOWED_HYPERPARAMETERS}",
        ),
    ],
)
def test_a_faulty_value_points_at_its_option(file: Path, setting: str, expected: str) -> None:
    assert refusal(file, BASE, settings=[setting]) == f"{file}: --set {setting} {expected}"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"trials": 100_001}, "--trials 100001 (trials): 100001: input should be less than or equal to 100000"),
        (
            {"dataset": "minst"},
            "--dataset minst (dataset): 'minst'; did you mean 'mnist'? allowed: auto, digits, mnist",
        ),
    ],
)
def test_a_faulty_option_is_named(file: Path, overrides: dict[str, Any], expected: str) -> None:
    assert refusal(file, BASE, **overrides) == f"{file}: {expected}"


def test_faults_of_the_file_and_of_the_options_come_together(file: Path) -> None:
    text = changed("metric: val_elbo", "metric: val_loss")
    message = refusal(file, text, trials=100_001, settings=["batch_size=0", "learning_rate=2"]).splitlines()
    assert message[0] == f"{file}: 4 faults"
    assert "--trials 100001" in message[2]
    assert "--set learning_rate=2" in message[3]
    assert "--set batch_size=0" in message[4]


# ---------------------------------------------------------------- anything at all

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2000),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["int", "float", "categorical", "relu", "asha", "grid", "cmaes", "none", "type", "val_loss"]),
)
KEYS = st.one_of(
    st.sampled_from([*SEARCHABLE, *SearchSpace.model_fields, "type", "low", "high", "step", "log", "choices", "int"]),
    st.text(max_size=6),
    st.integers(),
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
SHIPPED = yaml.safe_load((SPACES / "beta_study.yaml").read_text())
DOTTED = st.lists(st.one_of(KEYS.map(str), st.sampled_from(["0", "", " "])), min_size=1, max_size=3).map(".".join)
QUICKLY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [path, *(found for key, part in items for found in paths_of(part, (*path, key)))]
    return [path]


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """The shipped study with a few of its parts removed, replaced or added to."""
    content = yaml.safe_load((SPACES / "beta_study.yaml").read_text())
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([path for path in paths_of(content) if path]))
        part = content
        for key in path[:-1]:
            part = part[key]
        action = draw(st.sampled_from(["replace", "remove", "number", "add"]))
        if action == "remove" or (action == "add" and isinstance(part, list)):
            del part[path[-1]]
        elif action == "add":
            part[draw(KEYS)] = draw(ANYTHING)
        else:
            part[path[-1]] = draw(ANYTHING if action == "replace" else st.sampled_from([0, 1, 2, 3, 0.5, 1e-9, 64]))
    return content


def check(file: Path, text: str | bytes, **overrides: Any) -> None:
    """A message with one line per fault, or a space of which every value makes a valid trial."""
    try:
        space = load(file, text, **overrides)
    except SpaceError as error:
        lines = str(error).splitlines()
        if len(lines) > 1:
            assert lines[0].endswith(f"{len(lines) - 1} faults")
        assert len(set(lines)) == len(lines)
        return
    check_trials(space)


def check_trials(space: SearchSpace) -> None:
    """Of what is tried first, and of both ends of every dimension."""
    for params in space.first_trials[:50]:
        space.config(params, 0)
    ends: list[dict[str, Any]] = [{}, {}]
    for name, dimension in space.dimensions.items():
        values = dimension.choices if dimension.type == "categorical" else [dimension.low, dimension.high]
        for end, value in zip(ends, (values[0], values[-1]), strict=True):
            end[name] = value
    for end in ends:
        assert isinstance(space.config(end, 0), TrialConfig)
    assert len(space.baselines) <= space.trials
    assert make_sampler(space, 0, 0) is not None


@QUICKLY
@given(ANYTHING)
def test_any_document_is_refused_in_words_or_is_a_space(file: Path, content: Any) -> None:
    check(file, yaml.safe_dump(content, allow_unicode=True))


@QUICKLY
@given(mutations())
def test_any_change_to_a_shipped_space_is_refused_in_words_or_is_a_space(file: Path, content: Any) -> None:
    check(file, yaml.safe_dump(content))


@QUICKLY
@given(st.data())
def test_any_damage_to_a_shipped_file_is_refused_in_words_or_is_a_space(file: Path, data: st.DataObject) -> None:
    text = bytearray((SPACES / "beta_study.yaml").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(text) - 1))
        new = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"[", b"}", b":", b"&a ", b"*a", b"\t", b"-"]))
        )
        text[position : position + data.draw(st.integers(0, 8))] = new
    check(file, bytes(text))


@QUICKLY
@given(
    st.lists(st.tuples(DOTTED, st.one_of(ANYTHING.map(yaml.safe_dump), st.text(max_size=8))), max_size=3),
    st.sampled_from([SHIPPED, {}, {"baselines": 3}, {"search": [], "baselines": {"beta": 1}}, {"fixed": None}]),
)
def test_any_setting_is_refused_in_words_or_is_a_space(
    file: Path, settings: list[tuple[str, str]], content: Any
) -> None:
    check(file, yaml.safe_dump(content), settings=[f"{key}={value}" for key, value in settings])


DIMENSIONS = st.fixed_dictionaries(
    {},
    optional={
        "latent_size": st.builds(
            lambda low, n, step, log: (
                {"type": "int", "low": low, "high": low + n * step}
                | ({"log": True} if log and step == 1 else {"step": step})
            ),
            st.integers(1, 9),
            st.integers(0, 9),
            st.integers(1, 7),
            st.booleans(),
        ),
        "beta": st.builds(
            lambda low, n, kind: {"type": "float", "low": low / 10, "high": (low + n) / 10} | kind,
            st.integers(1, 9),
            st.integers(0, 9),
            st.sampled_from([{}, {"log": True}, {"step": 0.1}]),
        ),
        "learning_rate": st.lists(st.sampled_from([1, 0.5, 1e-3, 1e-12]), min_size=1, max_size=3, unique=True).map(
            lambda choices: {"type": "categorical", "choices": choices}
        ),
        "activation": st.just({"type": "categorical", "choices": ["relu", "tanh", "elu"]}),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DIMENSIONS, st.sampled_from(["tpe", "random", "gp", "cmaes", "grid"]), st.integers(0, 99))
def test_every_sampler_proposes_trials_of_the_space(
    file: Path, search: dict[str, Any], sampler: str, seed: int
) -> None:
    content = {"description": "x", "trials": 1, "epochs": 3, "search": search, "sampler": {"type": sampler}}
    if sampler in ("tpe", "gp", "cmaes"):
        content["sampler"] = {"type": sampler, "startup_trials": 2}
    try:
        space = load(file, yaml.safe_dump(content))
    except SpaceError as error:
        assert sampler in ("grid", "cmaes"), error  # noqa: PT017
        return
    study = optuna.create_study(direction="maximize")
    distributions = {name: distribution(dimension) for name, dimension in space.dimensions.items()}
    for number in range(6):
        study.sampler = make_sampler(space, seed, number)
        trial = study.ask(distributions)
        config = space.config(trial.params, seed)
        for name, dimension in space.dimensions.items():
            value = getattr(config, name)
            if dimension.type == "categorical":
                assert value in dimension.choices
            else:
                assert dimension.low <= value <= dimension.high
                if dimension.step is not None:
                    steps = (value - dimension.low) / dimension.step
                    assert math.isclose(steps, round(steps), abs_tol=1e-6)
        study.tell(trial, -100.0 - number)


def test_a_short_try_with_epochs_shortens_the_grace() -> None:
    space = load_space("beta_study", Overrides(epochs=2))
    assert (space.epochs, space.scheduler.grace_epochs) == (2, 2)


def test_a_grace_that_is_set_with_epochs_is_kept_and_refused_where_it_is_too_long() -> None:
    space = load_space("beta_study", Overrides(epochs=9, settings=["scheduler.grace_epochs=1"]))
    assert (space.epochs, space.scheduler.grace_epochs) == (9, 1)
    with pytest.raises(SpaceError, match=r"--set scheduler.grace_epochs=5.*5 is above epochs, 2"):
        load_space("beta_study", Overrides(epochs=2, settings=["scheduler.grace_epochs=5"]))
