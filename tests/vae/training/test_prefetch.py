"""vae/training/prefetch.py: what is drawn ahead is what would have been drawn, whoever the slot belongs to by then."""

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae.config import TrialConfig
from vae.randomness.streams import epoch_noise, epoch_order
from vae.training import prefetch as prefetch_module
from vae.training.prefetch import Prefetch

N_IMAGES = 13
N_WATCHED = 17  # in the tests that count what is drawn


def config(seed: int = 0, latent_size: int = 2, epochs: int = 9) -> TrialConfig:
    return TrialConfig(seed=seed, latent_size=latent_size, epochs=epochs)


def assert_the_draw_of(
    draw: tuple[torch.Tensor, torch.Tensor], one: TrialConfig, epoch: int, n_images: int = N_IMAGES
) -> None:
    order, noise = draw
    assert torch.equal(order, epoch_order(n_images, one.seed, epoch))
    assert torch.equal(noise, epoch_noise(n_images, one.latent_size, one.seed, epoch))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """(thread, seed, epoch) of every order drawn of N_WATCHED images.

    Another test's threads may still be drawing what it prepared and never took: of N_IMAGES images.
    """
    seen: list[tuple[str, int, int]] = []

    def order(n_images: int, seed: int, epoch: int) -> torch.Tensor:
        if n_images == N_WATCHED:
            seen.append((threading.current_thread().name, seed, epoch))
        return epoch_order(n_images, seed, epoch)

    monkeypatch.setattr(prefetch_module, "epoch_order", order)
    return seen


CALLS = st.tuples(
    st.sampled_from(["take", "prepare"]), st.integers(0, 2), st.integers(0, 2), st.integers(1, 3), st.integers(1, 4)
)


@pytest.mark.parametrize("n_threads", [0, 3])
@settings(max_examples=30)
@given(calls=st.lists(CALLS, max_size=30))
def test_any_order_of_preparing_and_taking_gives_each_trial_its_own_numbers(
    n_threads: int, calls: list[tuple[str, int, int, int, int]]
) -> None:
    prefetch = Prefetch(N_IMAGES, n_threads)
    for call, slot, seed, latent_size, epoch in calls:
        one = config(seed, latent_size)
        if call == "prepare":
            prefetch.prepare(slot, one, epoch)
        else:
            assert_the_draw_of(prefetch.take(slot, one, epoch), one, epoch)


def test_what_was_prepared_is_drawn_once_and_by_another_thread(drawn: list[tuple[str, int, int]]) -> None:
    prefetch = Prefetch(N_WATCHED, n_threads=1)
    prefetch.prepare(0, config(), 3)
    assert_the_draw_of(prefetch.take(0, config(), 3), config(), 3, N_WATCHED)
    ((thread, seed, epoch),) = drawn
    assert (seed, epoch) == (0, 3)
    assert thread != threading.current_thread().name


def test_without_threads_nothing_is_drawn_before_it_is_asked_for(drawn: list[tuple[str, int, int]]) -> None:
    prefetch = Prefetch(N_WATCHED, n_threads=0)
    prefetch.prepare(0, config(), 3)
    assert drawn == []
    prefetch.take(0, config(), 3)
    assert drawn == [(threading.current_thread().name, 0, 3)]


def test_nothing_is_drawn_for_an_epoch_that_the_trial_does_not_have(drawn: list[tuple[str, int, int]]) -> None:
    prefetch = Prefetch(N_WATCHED, n_threads=1)
    prefetch.prepare(0, config(epochs=2), 3)
    prefetch.take(1, config(), 1)
    assert [epoch for _, _, epoch in drawn] == [1]


def test_what_was_prepared_for_the_slots_last_trial_does_not_reach_the_next() -> None:
    prefetch = Prefetch(N_IMAGES, n_threads=1)
    prefetch.prepare(0, config(seed=1), 2)
    assert_the_draw_of(prefetch.take(0, config(seed=2), 2), config(seed=2), 2)
