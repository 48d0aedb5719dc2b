"""Preview: a few images that show a model at work. Needs no torch: it travels to processes that have none."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Preview:
    """A few images of one epoch, uint8 [n, height, width]: inputs, their reconstructions, samples from the prior."""

    inputs: np.ndarray
    reconstructions: np.ndarray
    samples: np.ndarray
