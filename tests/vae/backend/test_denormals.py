"""Whoever trains or evaluates takes denormal numbers for zero, in whichever thread it does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vae.config import TrialConfig
from vae.evaluate.evaluate import Importance, evaluate
from vae.training.pack import Pack

IMAGES = (torch.arange(20 * 16) % 256).to(torch.uint8).reshape(20, 16)
CONFIG = TrialConfig(latent_size=2, hidden_units=4, batch_size=10)
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


def has_denormals() -> bool:
    """Whether a product below the smallest normal number is not zero, in this thread."""
    return bool((torch.tensor(SMALLEST_NORMAL) * torch.tensor(0.5)) != 0)


def an_epoch() -> None:
    pack = Pack(IMAGES, IMAGES)
    pack.epoch([pack.join(CONFIG)])


def an_evaluation() -> None:
    pack = Pack(IMAGES, IMAGES)
    evaluate(pack.model(pack.join(CONFIG)), IMAGES, Importance(n_samples=2, n_images=4))


@pytest.fixture
def thread() -> ThreadPoolExecutor:
    """A thread that keeps denormals, whatever the thread that starts it does."""
    pool = ThreadPoolExecutor(1, initializer=torch.set_flush_denormal, initargs=(False,))
    assert pool.submit(has_denormals).result()
    return pool


@pytest.mark.parametrize("work", [an_epoch, an_evaluation])
def test_a_thread_that_trains_or_evaluates_has_no_denormals(
    thread: ThreadPoolExecutor, work: Callable[[], None]
) -> None:
    thread.submit(work).result()
    assert not thread.submit(has_denormals).result()


def test_a_thread_that_it_starts_has_none_either(thread: ThreadPoolExecutor) -> None:
    """The threads of torch's operations, and those of the importance-weighted bound."""

    def start_another() -> bool:
        an_epoch()
        return ThreadPoolExecutor(1).submit(has_denormals).result()

    assert not thread.submit(start_another).result()


def test_moments_that_only_decay_end_at_zero(thread: ThreadPoolExecutor) -> None:
    """Of a pixel that is always black the first weights have no gradient. Without a flush such a moment decays to the
    smallest denormal number and stays there: 0.9 of it rounds to itself."""

    def smallest_after_two_epochs() -> float:
        black = IMAGES.clone()
        black[:, 0] = 0
        pack = Pack(black, black)
        slot = pack.join(CONFIG)
        state = pack.state(slot)
        (first,) = (name for name, weight in state.weights.items() if weight.shape == (4, 16))
        state.adam.exp_avg[first][:, 0] = 2 * SMALLEST_NORMAL
        slot = pack.join(CONFIG, state)
        for _ in range(20):
            pack.epoch([slot])
        return float(pack.state(slot).adam.exp_avg[first][:, 0].abs().max())

    assert thread.submit(smallest_after_two_epochs).result() == 0.0
