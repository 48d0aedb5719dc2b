import pytest

from report.labels import filled, named


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("latent_size", 5, "latent size 5"),
        ("beta", 0.314159, "β 0.3142"),
        ("beta", 1.0, "β 1"),
        ("learning_rate", 1e-4, "learning rate 0.0001"),
        ("mode", "decoder_only", "decoder only"),
        ("noise", "salt_pepper", "salt and pepper"),
        ("binarize", "none", "binarize none"),
    ],
)
def test_a_value_is_named_so_that_it_says_what_it_is(name: str, value: object, expected: str) -> None:
    assert named(name, value) == expected


def test_lines_are_broken_between_parts_only() -> None:
    assert filled(["autoencoder", "seed 1"], 30) == "autoencoder, seed 1"
    assert filled(["autoencoder", "seed 1"], 15) == "autoencoder\nseed 1"
    assert filled(["a name that is too long", "b", "c"], 5) == "a name that is too long\nb, c"
