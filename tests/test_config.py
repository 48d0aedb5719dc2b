"""vae/config.py."""

import re
from itertools import pairwise

import pytest
from pydantic import ValidationError

from vae.config import HYPERPARAMETERS, TrialConfig

RANGES = {  # name: (lowest, highest, one too low, one too high), as the documentation states them
    "latent_size": (1, 1024, 0, 1025),
    "hidden_units": (1, 8192, 0, 8193),
    "hidden_layers": (1, 3, 0, 4),
    "learning_rate": (1e-12, 1.0, 0.0, 1.0000001),
    "beta": (0.0, 1000.0, -1e-9, 1000.1),
    "batch_size": (1, 65536, 0, 65537),
    "epochs": (1, 100_000, 0, 100_001),
    "seed": (0, 2**32 - 1, -1, 2**32),
}


@pytest.mark.parametrize("name", RANGES)
def test_both_ends_of_a_range_are_allowed_and_nothing_beyond(name: str) -> None:
    low, high, too_low, too_high = RANGES[name]
    for value in (low, high):
        assert getattr(TrialConfig(**{name: value}), name) == value
    for value in (too_low, too_high):
        with pytest.raises(ValidationError, match=name):
            TrialConfig(**{name: value})


@pytest.mark.parametrize("value", [True, "2", 2.0, None, float("nan")])
def test_an_integer_is_never_guessed_from_another_type(value: object) -> None:
    with pytest.raises(ValidationError, match="latent_size"):
        TrialConfig(latent_size=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "0.1", True])
def test_a_learning_rate_is_a_finite_number(value: object) -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        TrialConfig(learning_rate=value)  # type: ignore[arg-type]


def test_a_whole_number_will_do_for_a_real_one() -> None:
    assert TrialConfig(beta=4).beta == 4.0


def test_an_unknown_hyperparameter_is_refused() -> None:
    with pytest.raises(ValidationError, match="latent_sise"):
        TrialConfig(latent_sise=2)  # type: ignore[call-arg]


def test_an_unknown_activation_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=re.escape("'relu', 'tanh', 'elu' or 'softplus'")):
        TrialConfig(activation="sigmoid")  # type: ignore[arg-type]


def test_a_config_cannot_change_once_it_is_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrialConfig().beta = 2.0


def test_every_hyperparameter_says_what_it_means_and_has_a_default() -> None:
    assert set(HYPERPARAMETERS) == {*RANGES, "activation", "precision"}
    for name in HYPERPARAMETERS:
        field = TrialConfig.model_fields[name]
        assert field.description, name
        assert not field.is_required(), name


def test_a_config_survives_the_way_through_text() -> None:
    config = TrialConfig(latent_size=3, learning_rate=0.1 + 0.2, beta=1 / 3, activation="elu", seed=2**32 - 1)
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config


def test_the_textbook_model_has_652_824_parameters() -> None:
    """784*400+400 to the hidden layer, twice 400*20+20 to the posterior, 20*400+400 and 400*784+784 back."""
    assert TrialConfig(latent_size=20, hidden_units=400).n_parameters(784) == 314_000 + 2 * 8_020 + 8_400 + 314_384


def test_each_further_hidden_layer_adds_one_square_matrix_to_encoder_and_decoder() -> None:
    counts = [TrialConfig(hidden_units=400, hidden_layers=layers).n_parameters(784) for layers in (1, 2, 3)]
    assert [after - before for before, after in pairwise(counts)] == [2 * (400 * 400 + 400)] * 2
