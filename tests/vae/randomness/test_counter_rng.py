"""vae/randomness/counter_rng.py: random numbers by key and place."""

import math
from statistics import NormalDist

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.material.splitmix import output, splitmix64, uniform
from vae.randomness import counter_rng

# The first outputs of seed 1234567, as published (rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64).
PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]
KEYS = st.integers(0, 2**63 - 1)
PLACES = st.integers(0, 2**40)
N = 200_000


def of(number: int) -> Tensor:
    return torch.tensor(number)


def unsigned(numbers: Tensor) -> list[int]:
    return [number % 2**64 for number in numbers.tolist()]


def many(key: int = 12345, n: int = N, dtype: torch.dtype = torch.float64) -> Tensor:
    return counter_rng.uniform(of(key), torch.arange(n), dtype)


def test_the_bits_are_the_published_ones() -> None:
    assert unsigned(counter_rng.bits(of(1234567), torch.arange(5))) == PUBLISHED
    assert splitmix64(1234567, 5) == PUBLISHED  # what the other tests compare with


@given(key=KEYS, place=PLACES)
def test_any_place_of_any_sequence_is_read_as_the_reference_has_it(key: int, place: int) -> None:
    assert unsigned(counter_rng.bits(of(key), of(place)).view(1)) == [output(key, place)]
    assert counter_rng.uniform(of(key), of(place), torch.float64).item() == uniform(key, place)


@given(key=KEYS, place=PLACES)
def test_a_number_lies_between_0_and_1_and_is_the_same_in_both_precisions(key: int, place: int) -> None:
    single, double = (counter_rng.uniform(of(key), of(place), dtype).item() for dtype in (torch.float32, torch.float64))
    assert single == double
    assert 2**-24 <= double <= 1 - 2**-24


@pytest.mark.parametrize(("top_bits", "expected"), [(0, 2**-24), (2**23 - 1, 1 - 2**-24)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_lowest_and_the_highest_number_are_not_0_and_1(
    top_bits: int, expected: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 8 million numbers one is each of them: here the bits are given."""
    drawn = (top_bits << 41 | (2**41 - 1)) - (2**64 if top_bits >> 22 else 0)
    monkeypatch.setattr(counter_rng, "bits", lambda key, place: torch.tensor([drawn]))
    (found,) = counter_rng.uniform(of(0), of(0), dtype).tolist()
    (quantile,) = counter_rng.normal(of(0), of(0), dtype).tolist()
    assert found == expected
    assert quantile == pytest.approx(NormalDist().inv_cdf(expected), rel=1e-5)  # 5.3 standard deviations


@pytest.mark.parametrize("key", [0, 1, 2**62])
def test_the_numbers_are_uniform_by_chi_square(key: int) -> None:
    """100 bins of 2,000 each: chi-square of 99 degrees of freedom has mean 99 and standard deviation 14.1."""
    counts = torch.histc(many(key), bins=100, min=0, max=1)
    chi_square = ((counts - N / 100) ** 2 / (N / 100)).sum().item()
    assert abs(chi_square - 99) < 5 * math.sqrt(2 * 99)


@pytest.mark.parametrize("stride", [1, 64, 784, 8192])
def test_numbers_at_neighbouring_places_are_uncorrelated(stride: int) -> None:
    """The correlation of n independent pairs has standard deviation 1/sqrt(n)."""
    one, two = (counter_rng.uniform(of(7), torch.arange(N) + shift, torch.float64) for shift in (0, stride))
    assert abs(torch.corrcoef(torch.stack([one, two]))[0, 1].item()) < 5 / math.sqrt(N)


@pytest.mark.parametrize("other", [8, 9, 7 + 2**20, 7 + 2**40])
def test_numbers_of_neighbouring_keys_are_uncorrelated(other: int) -> None:
    assert abs(torch.corrcoef(torch.stack([many(7), many(other)]))[0, 1].item()) < 5 / math.sqrt(N)


def test_pairs_of_neighbours_fill_the_square_evenly() -> None:
    """20 x 20 cells of 250 pairs each, of places 2i and 2i + 1: chi-square of 399 degrees of freedom."""
    pairs = (many().view(-1, 2) * 20).long()
    counts = torch.bincount(pairs[:, 0] * 20 + pairs[:, 1], minlength=400).double()
    expected = N / 2 / 400
    assert abs(((counts - expected) ** 2 / expected).sum().item() - 399) < 5 * math.sqrt(2 * 399)


def test_every_bit_is_set_in_half_of_the_numbers() -> None:
    bits = counter_rng.bits(of(3), torch.arange(N))
    shares = torch.stack([((bits >> position) & 1).double().mean() for position in range(64)])
    assert (shares - 0.5).abs().max() < 5 * 0.5 / math.sqrt(N)


def test_the_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    """Mean 0, variance 1, skewness 0, kurtosis 3; the standard errors of n draws are sqrt(1, 2, 15, 96) / sqrt(n)."""
    draws = counter_rng.normal(of(5), torch.arange(N), torch.float64)
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((draws**power).mean().item() - moment) < 5 * math.sqrt(spread / N)


@given(key=KEYS, place=PLACES)
def test_a_normal_number_is_the_quantile_of_the_uniform_one(key: int, place: int) -> None:
    expected = NormalDist().inv_cdf(uniform(key, place))
    assert counter_rng.normal(of(key), of(place), torch.float64).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert counter_rng.normal(of(key), of(place)).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("key", "place", "shape"),
    [((), (5,), (5,)), ((3, 1), (5,), (3, 5)), ((3, 1, 1), (3, 4, 5), (3, 4, 5)), ((2, 1), (2, 7), (2, 7))],
)
def test_keys_and_places_broadcast_and_each_number_is_its_own_pairs(
    key: tuple[int, ...], place: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    keys = torch.arange(math.prod(key)).view(key) + 2**40
    places = torch.arange(math.prod(place)).view(place) * 3
    found = counter_rng.uniform(keys, places, torch.float64)
    assert (found.shape, counter_rng.normal(keys, places).shape) == (shape, shape)
    pairs = zip(keys.expand(shape).flatten().tolist(), places.expand(shape).flatten().tolist(), strict=True)
    assert found.flatten().tolist() == [uniform(k, p) for k, p in pairs]
