"""Prefetch: threads draw the order and the noise of each trial's next epoch while the device trains this one."""

from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from vae.config import TrialConfig
from vae.randomness.streams import epoch_noise, epoch_order

Draw = tuple[Tensor, Tensor]  # order int64 [N], noise float32 [N, L]
Key = tuple[int, int, int]  # seed, latent size, epoch


class Prefetch:
    """A draw depends on the trial's seed and the epoch only, so drawing it early, late or twice changes nothing."""

    def __init__(self, n_images: int, n_threads: int, pins: bool = False) -> None:
        """n_threads 0: draw when asked; on a CPU the threads would only take the time from the training.
        pins: in memory from which a GPU copies by itself."""
        self._n_images = n_images
        self._pins = pins
        self._threads = ThreadPoolExecutor(n_threads) if n_threads else None
        self._ready: dict[int, tuple[Key, Future[Draw]]] = {}  # by slot

    def prepare(self, slot: int, config: TrialConfig, epoch: int) -> None:
        """Begin to draw what `take` will be asked for next, if the trial has that epoch."""
        if self._threads is not None and epoch <= config.epochs:
            key = self._key(config, epoch)
            self._ready[slot] = (key, self._threads.submit(self._draw, key))

    def take(self, slot: int, config: TrialConfig, epoch: int) -> Draw:
        """The epoch's order and noise. What was prepared for a trial that has left the slot is not used."""
        key, (known, future) = self._key(config, epoch), self._ready.pop(slot, (None, None))
        return future.result() if future is not None and known == key else self._draw(key)

    def _key(self, config: TrialConfig, epoch: int) -> Key:
        return config.seed, config.latent_size, epoch

    def _draw(self, key: Key) -> Draw:
        seed, latent_size, epoch = key
        order = epoch_order(self._n_images, seed, epoch)
        noise = epoch_noise(self._n_images, latent_size, seed, epoch)
        return (order.pin_memory(), noise.pin_memory()) if self._pins else (order, noise)
