from pathlib import Path

import pytest

from tests.material.spaces import (
    ALLOWED_HYPERPARAMETERS,
    BETA,
    CHOICES,
    CONDITIONAL,
    LATENT,
    UNITS,
    WHEN,
    Faulty,
    assert_refused,
    changed,
    load,
)


def conditional(old: str, new: str) -> str:
    return changed(old, new, CONDITIONAL)


FAULTS: dict[str, Faulty] = {
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
    "a choice twice": (
        changed(CHOICES, "choices: [relu, tanh, relu]"),
        "line 10, search.activation.choices.2: 'relu' appears twice",
    ),
    "a condition on nothing": (
        conditional(WHEN, "when:"),
        "line 8, search.noise_factor.when: names no hyperparameter; a dimension that is always searched has no when",
    ),
    "a condition without a name": (
        conditional(WHEN, "when: {}"),
        "line 8, search.noise_factor.when: names no hyperparameter; a dimension that is always searched has no when",
    ),
    "a condition that is a word": (
        conditional(WHEN, "when: noise"),
        "line 8, search.noise_factor.when: 'noise': expected keys and values",
    ),
    "a condition that is a list": (
        conditional(WHEN, "when: [noise, gaussian]"),
        "line 8, search.noise_factor.when: ['noise', 'gaussian']: expected keys and values",
    ),
    "a condition with nothing behind its name": (
        conditional(WHEN, "when: {noise: }"),
        "line 8, search.noise_factor.when.noise: None: expected a number or a word, or a list of them",
    ),
    "a condition of conditions": (
        conditional(WHEN, "when: {noise: [gaussian, [none]]}"),
        "line 8, search.noise_factor.when.noise: ['gaussian', ['none']]: expected a number or a word, "
        "or a list of them",
    ),
    "a condition on a misspelt hyperparameter": (
        conditional("{noise: [gaussian", "{nose: [gaussian"),
        "line 8, search.noise_factor.when.nose: no such hyperparameter; did you mean 'noise'? "
        f"allowed: {ALLOWED_HYPERPARAMETERS}",
    ),
    "a condition on the epochs": (
        conditional(WHEN, "when: {epochs: 9}"),
        "line 8, search.noise_factor.when.epochs: epochs is the same in every configuration",
    ),
    "a condition on itself": (
        conditional(WHEN, "when: {noise_factor: 0.1}"),
        "line 8, search.noise_factor.when.noise_factor: noise_factor cannot depend on itself",
    ),
    "a condition on what is conditional itself": (
        conditional(
            "scheduler:", "  beta: {type: categorical, choices: [1.0, 2.0], when: {noise_factor: 0.1}}\nscheduler:"
        ),
        "line 9, search.beta.when.noise_factor: noise_factor is conditional itself; a condition names a "
        "hyperparameter that is always searched, or never",
    ),
    "a condition on the sweep's own seed": (
        conditional(WHEN, "when: {seed: 0}"),
        "line 8, search.noise_factor.when.seed: seed is neither searched nor fixed, so it is the sweep's own",
    ),
    "a condition on a value that there is not": (
        conditional("when: {noise: [gaussian, salt_pepper]}", "when: {noise: [gaussian, pepper]}"),
        "line 8, search.noise_factor.when.noise: 'pepper' for noise: input should be 'none', 'gaussian' or "
        "'salt_pepper'",
    ),
    "a condition on a value of another type": (
        conditional(WHEN, "when: {latent_size: [true, 20.0]}"),
        [
            "line 8, search.noise_factor.when.latent_size: True for latent_size: input should be a valid integer",
            "line 8, search.noise_factor.when.latent_size: 20.0 for latent_size: input should be a valid integer",
        ],
    ),
    "a condition on a value that is not searched": (
        conditional("[none, gaussian, salt_pepper]}", "[none, salt_pepper]}").replace(WHEN, "when: {noise: gaussian}"),
        "line 8, search.noise_factor.when.noise: 'gaussian' never occurs: noise is searched over 'none', 'salt_pepper'",
    ),
    "a condition on a value between the steps": (
        conditional("noise: {type: categorical, choices: [none, gaussian, salt_pepper]}", UNITS).replace(
            WHEN, "when: {hidden_units: [100, 576]}"
        ),
        "line 8, search.noise_factor.when.hidden_units: 100 or 576 never occurs: hidden_units is searched over "
        "64 to 512 by 64",
    ),
    "a condition on another value than the fixed one": (
        conditional(WHEN, "when: {latent_size: 2}").replace("scheduler:", "fixed: {latent_size: 3}\nscheduler:"),
        "line 8, search.noise_factor.when.latent_size: 2 never occurs: latent_size is fixed to 3",
    ),
    "a condition on another value than the default": (
        conditional(WHEN, "when: {latent_size: 2}"),
        "line 8, search.noise_factor.when.latent_size: 2 never occurs: latent_size is neither searched nor fixed; "
        "its default is 20",
    ),
    "a condition without a value": (
        conditional(WHEN, "when: {noise: []}"),
        "line 8, search.noise_factor.when.noise: [] never occurs: noise is searched over 'none', 'gaussian', "
        "'salt_pepper'",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_names_file_line_key_value_and_what_is_allowed(file: Path, case: str) -> None:
    assert_refused(file, *FAULTS[case])


def test_a_condition_may_name_one_value_that_occurs_and_others_that_do_not(file: Path) -> None:
    text = conditional("[none, gaussian, salt_pepper]}", "[none, gaussian]}")
    space = load(file, text.replace("trials: 7", "trials: 4"))
    assert space.grid_size == 1 + 3


def test_a_condition_may_name_what_is_fixed_to_its_value_or_has_it_by_default(file: Path) -> None:
    text = conditional(WHEN, "when: {latent_size: 3, hidden_units: 400, seed: [7, 8]}")
    text = text.replace("scheduler:", "fixed: {latent_size: 3, seed: 7}\nscheduler:").replace("trials: 7", "trials: 9")
    assert load(file, text).grid_size == 3 * 3


def test_a_conditional_dimension_may_have_a_fixed_value_for_elsewhere(file: Path) -> None:
    space = load(file, conditional("scheduler:", "fixed: {noise_factor: 0.2}\nscheduler:"))
    assert space.config({"noise": "none"}, 0).noise_factor == 0.2
    assert space.config({"noise": "gaussian", "noise_factor": 0.5}, 0).noise_factor == 0.5
