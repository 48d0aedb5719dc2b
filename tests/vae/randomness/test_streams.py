"""vae/randomness/streams.py."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import SeedSequence

from vae.randomness.streams import Stream, epoch_noise, epoch_order, evaluation_noise, generator, key

SEEDS = st.integers(0, 2**32 - 1)
EPOCHS = st.integers(1, 100_000)


@given(n_images=st.integers(1, 300), seed=SEEDS, epoch=EPOCHS)
def test_an_epochs_order_visits_every_image_once(n_images: int, seed: int, epoch: int) -> None:
    assert epoch_order(n_images, seed, epoch).sort().values.tolist() == list(range(n_images))


@given(seed=SEEDS, epoch=EPOCHS)
def test_the_same_seed_and_epoch_give_the_same_numbers_whatever_was_drawn_before(seed: int, epoch: int) -> None:
    order, noise = epoch_order(50, seed, epoch), epoch_noise(50, 3, seed, epoch)
    torch.randn(7)
    epoch_noise(11, 2, seed + 1, epoch)
    assert torch.equal(epoch_order(50, seed, epoch), order)
    assert torch.equal(epoch_noise(50, 3, seed, epoch), noise)


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    epoch_order(100, 1, 1)
    epoch_noise(100, 2, 1, 1)
    evaluation_noise(100, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_epochs_and_streams_all_draw_differently() -> None:
    keys = [(seed, epoch, stream) for seed in range(12) for epoch in range(12) for stream in Stream]
    draws = {tuple(torch.randint(2**62, (4,), generator=generator(*key)).tolist()) for key in keys}
    assert len(draws) == len(keys)


def test_swapping_seed_and_epoch_is_another_stream() -> None:
    assert not torch.equal(epoch_noise(20, 2, seed=3, epoch=5), epoch_noise(20, 2, seed=5, epoch=3))


@pytest.mark.parametrize("other", [(1, 2), (2, 1), (7, 1)])
def test_two_streams_are_uncorrelated(other: tuple[int, int]) -> None:
    """The correlation of n independent pairs has standard deviation 1/sqrt(n): 5 of them is never seen."""
    n = 40_000
    one, two = epoch_noise(n, 1, 1, 1).flatten(), epoch_noise(n, 1, *other).flatten()
    assert abs(torch.corrcoef(torch.stack([one, two]))[0, 1].item()) < 5 / math.sqrt(n)


def test_the_noise_is_standard_normal() -> None:
    n = 200_000
    noise = epoch_noise(n // 4, 4, 0, 1).double()
    assert abs(noise.mean().item()) < 5 / math.sqrt(n)
    assert abs(noise.var().item() - 1) < 5 * math.sqrt(2 / n)


def test_every_evaluation_of_a_latent_size_uses_the_same_noise() -> None:
    assert torch.equal(evaluation_noise(30, 4), evaluation_noise(30, 4))
    assert evaluation_noise(30, 4).shape == (30, 4)


def test_every_draw_is_on_the_cpu_so_that_devices_agree() -> None:
    assert generator(0, 1, Stream.NOISE).device.type == "cpu"


@given(seed=SEEDS, epoch=EPOCHS, stream=st.sampled_from(Stream))
def test_a_key_fits_into_an_int64_and_is_numpys_own_for_the_three_numbers(
    seed: int, epoch: int, stream: Stream
) -> None:
    assert 0 <= key(seed, epoch, stream) < 2**63
    assert key(seed, epoch, stream) == int(SeedSequence([seed, epoch, stream.value]).generate_state(1, "u8")[0] // 2)


def test_no_two_seeds_epochs_or_streams_share_a_key() -> None:
    threes = [(seed, epoch, stream) for seed in range(30) for epoch in range(30) for stream in Stream]
    assert len({key(*three) for three in threes}) == len(threes)


def test_the_numbers_of_the_streams_stay_what_checkpoints_were_trained_with() -> None:
    """A resumed trial draws what it would have drawn: a stream keeps its number for ever."""
    numbers = {"WEIGHTS": 0, "ORDER": 1, "NOISE": 2, "EVALUATION": 3, "SAMPLES": 4}
    assert {name: Stream[name].value for name in numbers} == numbers
    assert [Stream[name].value for name in ("BINARIZE", "CORRUPTION", "DROPOUT")] == [5, 6, 7]
