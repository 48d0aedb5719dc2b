from pathlib import Path

import pytest

from tests.material.spaces import ALLOWED_HYPERPARAMETERS, CHOICES, UNITS, Faulty, assert_refused, changed
from tuning.space.model import METRICS, REFUSED_METRICS
from vae.model.metrics import EpochMetrics

FAULTS: dict[str, Faulty] = {
    "a misspelt key at the top": (
        changed("metric: val_elbo", "metrik: val_elbo"),
        "line 3, metrik: no such key; did you mean 'metric'? allowed: description, dataset, metric, trials, "
        "repeats, epochs, search, fixed, scheduler, sampler, baselines, keep_models, confirm, compare",
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
            "line 8, search.hidden_units.lo: no such key; did you mean 'low'? "
            "allowed: type, low, high, step, log, when",
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
    "a step of zero": (
        changed("step: 64", "step: 0"),
        "line 8, search.hidden_units.step: 0: input should be greater than or equal to 1",
    ),
    "a choice that is none": (
        changed(CHOICES, "choices: [relu, null, [tanh], {elu: 1}]"),
        [
            "line 10, search.activation.choices.1: None: expected a number or a word",
            "line 10, search.activation.choices.2: ['tanh']: expected a number or a word",
            "line 10, search.activation.choices.3: {'elu': 1}: expected a number or a word",
        ],
    ),
    "no choice": (
        changed(CHOICES, "choices: []"),
        "line 10, search.activation.choices: []: list should have at least 1 item after validation, not 0",
    ),
    "a metric that depends on beta": (
        changed("metric: val_elbo", "metric: val_loss"),
        "line 3, metric: val_loss cannot rank trials: it is D + beta * R, which depends on the hyperparameter beta; "
        "allowed: val_elbo, val_distortion, rate_distortion",
    ),
    "the training loss": (
        changed("metric: val_elbo", "metric: train_loss"),
        "line 3, metric: train_loss cannot rank trials: it is D + beta * R, which depends on the hyperparameter beta; "
        "allowed: val_elbo, val_distortion, rate_distortion",
    ),
    "half of the metric": (
        changed("metric: val_elbo", "metric: val_rate"),
        "line 3, metric: val_rate cannot rank trials: alone it is best for a model that ignores the image; "
        "allowed: val_elbo, val_distortion, rate_distortion",
    ),
    "the distortion of the training images": (
        changed("metric: val_elbo", "metric: train_distortion"),
        "line 3, metric: train_distortion cannot rank trials: it is measured on the images the trial was trained on; "
        "allowed: val_elbo, val_distortion, rate_distortion",
    ),
    "a metric of the noisy input": (
        changed("metric: val_elbo", "metric: val_noisy_elbo"),
        "line 3, metric: val_noisy_elbo cannot rank trials: it depends on the noise, which is the trial's own; "
        "allowed: val_elbo, val_distortion, rate_distortion",
    ),
    "no repeat": (
        changed("trials: 12", "trials: 12\nrepeats: 0"),
        "line 5, repeats: 0: input should be greater than or equal to 1",
    ),
    "more repeats than anyone has": (
        changed("trials: 12", "trials: 12\nrepeats: 101"),
        "line 5, repeats: 101: input should be less than or equal to 100",
    ),
    "an unknown metric": (
        changed("metric: val_elbo", "metric: val_elob"),
        "line 3, metric: 'val_elob'; did you mean 'val_elbo'? allowed: val_elbo, val_distortion, rate_distortion",
    ),
    "an unknown dataset": (
        changed("dataset: digits", "dataset: digit"),
        "line 2, dataset: 'digit'; did you mean 'digits'? allowed: auto, digits, mnist, fashion, freyface, "
        "or a folder of images",
    ),
    "a dataset that is no word": (
        changed("dataset: digits", "dataset: 3"),
        "line 2, dataset: 3; allowed: auto, digits, mnist, fashion, freyface, or a folder of images",
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
    "an unknown sampler": (
        changed("type: tpe", "type: tpa"),
        "line 14, sampler.type: 'tpa'; did you mean 'tpe'? allowed: tpe, random, grid, gp, cmaes",
    ),
    "a baseline that is no configuration": (
        changed("- {latent_size: 20, beta: 1.0}", "- latent_size"),
        "line 16, baselines.0: 'latent_size': expected keys and values",
    ),
    "baselines that are no list": (
        changed("- {latent_size: 20, beta: 1.0}", "latent_size: 20"),
        "line 15, baselines: keys and values: expected a list",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_names_file_line_key_value_and_what_is_allowed(file: Path, case: str) -> None:
    assert_refused(file, *FAULTS[case])


@pytest.mark.parametrize("name", EpochMetrics.__dataclass_fields__)
def test_every_metric_of_an_epoch_ranks_trials_or_is_refused_with_a_reason(file: Path, name: str) -> None:
    """All but the numbers that say when and how long."""
    if name in ("epoch", "epoch_seconds"):
        return
    assert (name in METRICS) != (name in REFUSED_METRICS)
