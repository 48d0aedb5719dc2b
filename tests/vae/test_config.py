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
    "dropout": (0.0, 0.95, -1e-9, 0.951),
    "noise_factor": (0.0, 1.0, -1e-9, 1.0000001),
    "kl_warmup_epochs": (0, 100_000, -1, 100_001),
    "free_bits": (0.0, 100.0, -1e-9, 100.1),
}
CHOICES = {  # name: what there is, the default first
    "mode": ("vae", "autoencoder", "decoder_only"),
    "activation": ("relu", "tanh", "elu", "softplus"),
    "likelihood": ("bernoulli", "continuous_bernoulli", "gaussian"),
    "variance": ("per_pixel", "shared"),
    "binarize": ("none", "stochastic", "threshold"),
    "noise": ("none", "gaussian", "salt_pepper"),
    "keep": ("best", "last"),
    "precision": ("float32", "bf16", "float64"),
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


@pytest.mark.parametrize("name", CHOICES)
def test_each_choice_is_allowed_and_another_refused_with_the_known_ones(name: str) -> None:
    assert getattr(TrialConfig(), name) == CHOICES[name][0]
    for choice in CHOICES[name]:
        assert getattr(TrialConfig.model_validate({name: choice}), name) == choice
    known = ", ".join(repr(choice) for choice in CHOICES[name][:-1]) + f" or {CHOICES[name][-1]!r}"
    for other in ("sigmoid", "", None, 0, CHOICES[name][0].upper()):
        with pytest.raises(ValidationError, match=re.escape(known)):
            TrialConfig.model_validate({name: other})


def test_a_config_cannot_change_once_it_is_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrialConfig().beta = 2.0


def test_every_hyperparameter_says_what_it_means_and_has_a_default() -> None:
    assert set(HYPERPARAMETERS) == {*RANGES, *CHOICES}
    for name in HYPERPARAMETERS:
        field = TrialConfig.model_fields[name]
        assert field.description, name
        assert not field.is_required(), name


def test_a_config_survives_the_way_through_text() -> None:
    numbers = {"latent_size": 3, "learning_rate": 0.1 + 0.2, "beta": 1 / 3, "seed": 2**32 - 1, "free_bits": 1e-17}
    config = TrialConfig.model_validate({**numbers, **{name: choices[-1] for name, choices in CHOICES.items()}})
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config


def test_the_textbook_model_has_652_824_parameters() -> None:
    """784*400+400 to the hidden layer, twice 400*20+20 to the posterior, 20*400+400 and 400*784+784 back."""
    assert TrialConfig(latent_size=20, hidden_units=400).n_parameters(784) == 314_000 + 2 * 8_020 + 8_400 + 314_384


def test_each_further_hidden_layer_adds_one_square_matrix_to_encoder_and_decoder() -> None:
    counts = [TrialConfig(hidden_units=400, hidden_layers=layers).n_parameters(784) for layers in (1, 2, 3)]
    assert [after - before for before, after in pairwise(counts)] == [2 * (400 * 400 + 400)] * 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mode": "autoencoder"}, 652_824 - 8_020),  # one head of the encoder less
        ({"mode": "decoder_only"}, 8_400 + 314_384),
        ({"likelihood": "continuous_bernoulli"}, 652_824),
        ({"likelihood": "gaussian"}, 652_824 + 314_384),  # a second head of 400 * 784 + 784
        ({"likelihood": "gaussian", "variance": "shared"}, 652_824 + 1),
        ({"variance": "shared"}, 652_824),
        ({"mode": "decoder_only", "likelihood": "gaussian", "variance": "shared"}, 8_400 + 314_384 + 1),
    ],
)
def test_its_relatives_have_as_many_parameters_more_or_less(changes: dict[str, str], expected: int) -> None:
    assert TrialConfig.model_validate(changes).n_parameters(784) == expected


def test_a_decoder_alone_has_no_input_to_corrupt() -> None:
    noisy = {mode: TrialConfig.model_validate({"mode": mode, "noise": "salt_pepper"}) for mode in CHOICES["mode"]}
    found = {mode: config.input_noise for mode, config in noisy.items()}
    assert found == {"vae": "salt_pepper", "autoencoder": "salt_pepper", "decoder_only": "none"}
    assert TrialConfig().input_noise == "none"


def test_a_config_of_before_these_choices_reads_as_the_plain_vae_that_it_was() -> None:
    before = '{"latent_size": 3, "hidden_units": 40, "hidden_layers": 1, "activation": "relu", "learning_rate": 0.001, '
    before += '"beta": 2.0, "batch_size": 128, "epochs": 5, "precision": "float32", "seed": 1}'
    config = TrialConfig.model_validate_json(before)
    assert (config.mode, config.likelihood, config.binarize, config.noise) == ("vae", "bernoulli", "none", "none")
    assert (config.dropout, config.kl_warmup_epochs, config.free_bits, config.keep) == (0, 0, 0, "best")
