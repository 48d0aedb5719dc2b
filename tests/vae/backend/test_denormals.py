"""Whoever trains or evaluates takes denormal numbers for zero, in whichever thread it does, and only meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from vae.config import TrialConfig
from vae.evaluate.evaluate import Importance, evaluate
from vae.training.pack import Pack
from vae.training.stack import Stack

IMAGES = (torch.arange(20 * 16) % 256).to(torch.uint8).reshape(20, 16)
CONFIG = TrialConfig(latent_size=2, hidden_units=4, batch_size=10)
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


def has_denormals() -> bool:
    """Whether a product below the smallest normal number is not zero, in this thread."""
    return bool((torch.tensor(SMALLEST_NORMAL) * torch.tensor(0.5)) != 0)


def an_epoch() -> None:
    pack = Pack(IMAGES, IMAGES)
    pack.epoch([pack.join(CONFIG)])


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """A thread that keeps denormals, whatever the thread that starts it does."""
    with ThreadPoolExecutor(1, initializer=torch.set_flush_denormal, initargs=(False,)) as pool:
        assert pool.submit(has_denormals).result()
        yield pool
        assert pool.submit(has_denormals).result(), "they are kept again afterwards"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the thread that trains has denormals, and whether one that it starts has."""
    found: list[bool] = []
    train = Stack.train

    def look(stack: Stack, slots: list[int]) -> Tensor:
        with ThreadPoolExecutor(1) as another:
            found.extend([has_denormals(), another.submit(has_denormals).result()])
        return train(stack, slots)

    monkeypatch.setattr(Stack, "train", look)
    return found


def test_a_thread_that_trains_and_those_that_it_starts_have_no_denormals(
    thread: ThreadPoolExecutor, seen: list[bool]
) -> None:
    thread.submit(an_epoch).result()
    assert seen == [False, False]


def test_a_thread_that_evaluates_has_no_denormals(thread: ThreadPoolExecutor) -> None:
    found: list[bool] = []

    def evaluation(advance: Callable[[int], None]) -> None:
        pack = Pack(IMAGES, IMAGES)
        evaluate(pack.model(pack.join(CONFIG)), IMAGES, Importance(n_samples=2, n_images=4), None, advance)

    thread.submit(evaluation, lambda _: found.append(has_denormals())).result()
    assert found
    assert not any(found)


def test_a_thread_that_flushes_them_already_goes_on_doing_so() -> None:
    with ThreadPoolExecutor(1, initializer=torch.set_flush_denormal, initargs=(True,)) as pool:
        pool.submit(an_epoch).result()
        assert not pool.submit(has_denormals).result()


def test_moments_that_only_decay_end_at_zero(thread: ThreadPoolExecutor) -> None:
    """Of a pixel that is always black the first weights have no gradient. Without a flush such a moment decays to the
    smallest denormal number and stays there: 0.9 of it rounds to itself."""

    def largest_after_twenty_epochs() -> float:
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

    assert thread.submit(largest_after_twenty_epochs).result() == 0.0
