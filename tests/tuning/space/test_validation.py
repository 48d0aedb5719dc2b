import re
from pathlib import Path

import pytest

from tests.material.spaces import BASE, BETA, CONDITIONAL, WHEN, assert_refused, changed, refusal


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


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "scheduler: {type: none}",
            "repeats: 2\nscheduler: {type: non}",
            "line 10, scheduler.type: 'non'; did you mean 'none'? allowed: asha, hyperband, median, none",
        ),
        (
            "scheduler: {type: none}",
            "fixed: {mode: autoencodr}\nscheduler: {type: none}",
            "line 9, fixed.mode: 'autoencodr'; did you mean 'autoencoder'? allowed: vae, autoencoder, decoder_only",
        ),
        (
            WHEN,
            "when: {likelihood: gaussian}}\n  likelihood: {type: categorical, choices: 3",
            "line 9, search.likelihood.choices: 3: expected a list",
        ),
        (
            WHEN,
            "when: {latent_size: 2}}\n  latent_size: {type: int, low: two, high: 4",
            "line 9, search.latent_size.low: 'two': input should be a valid integer",
        ),
        (
            "metric: val_elbo",
            "metric: val_dist\nfixed: {mode: autoencoder}",
            "line 3, metric: 'val_dist'; did you mean 'val_distortion'? allowed: val_elbo, val_distortion, "
            "rate_distortion",
        ),
    ],
)
def test_no_rule_is_told_that_is_only_broken_by_what_was_set_aside(
    file: Path, old: str, new: str, expected: str
) -> None:
    assert_refused(file, changed(old, new, CONDITIONAL), expected)
