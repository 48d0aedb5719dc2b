"""PED-ANOVA (Watanabe et al. 2023), as Optuna computes it, for many resamples of the trials at once.

A resample is told by how often it has each place of a hyperparameter's grid; so two hundred of them cost what one
costs in Optuna. Axes: B resamples, G places.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

MOST_PLACES = 50  # of a grid
PRIOR_WEIGHT = 1.0
LEAST_WIDTH = 0.5 / 1.64  # of a kernel, in places: 90 % of it are within its own
TINY = 1e-12


@dataclass(frozen=True)
class Grid:
    """Where each trial stands along one hyperparameter: places [n], of n_places. A word's places have no order."""

    places: np.ndarray
    n_places: int
    is_ordered: bool


def grid(dimension: Mapping[str, Any], values: Sequence[Any]) -> Grid:
    """dimension: as SweepRecord.search has it. The values are within it."""
    if dimension["type"] == "categorical":
        choices = list(dimension["choices"])
        return Grid(np.array([choices.index(value) for value in values], dtype=int), len(choices), False)
    low, high, log = float(dimension["low"]), float(dimension["high"]), bool(dimension.get("log"))
    n_places = _n_places(dimension)
    scaled = np.array(values, dtype=float)
    if log:
        low, high, scaled = math.log(low), math.log(high), np.log(scaled)
    places = np.ceil((scaled - low) / ((high - low) / max(n_places - 1, 1) or 1.0) - 0.5).astype(int)
    return Grid(places.clip(0, n_places - 1), n_places, True)


def _n_places(dimension: Mapping[str, Any]) -> int:
    low, high, step = (float(dimension.get(name) or 0) for name in ("low", "high", "step"))
    if low == high:
        return 1
    if dimension["type"] == "int" and dimension.get("log"):
        return min(math.ceil(math.log(high - low + 1) / math.log(2)) + 1, MOST_PLACES)
    if dimension["type"] == "int" or step:
        return min(round((high - low) / (step or 1.0)) + 1, MOST_PLACES)
    return MOST_PLACES


def divergences(grids: Sequence[Grid], chosen: np.ndarray, is_top: np.ndarray) -> np.ndarray:
    """How far the best of each resample stand from all of it, by hyperparameter: Pearson divergences [B, P].

    chosen: the trials of each resample, [B, n]; is_top: which of these are among its best, [B, n].
    """
    return np.stack([_divergence(one, chosen, is_top) for one in grids], axis=1)


def _divergence(one: Grid, chosen: np.ndarray, is_top: np.ndarray) -> np.ndarray:
    if one.n_places == 1:
        return np.zeros(len(chosen))
    places = one.places[chosen]
    density = _of_numbers if one.is_ordered else _of_words
    top, every = (density(_counted(places, weights, one.n_places)) + TINY for weights in (is_top, np.ones_like(is_top)))
    divergence: np.ndarray = (every * (top / every - 1) ** 2).sum(1)
    return divergence


def _counted(places: np.ndarray, weights: np.ndarray, n_places: int) -> np.ndarray:
    """How often each place occurs in each resample, [B, G]."""
    flat = places + np.arange(len(places))[:, None] * n_places
    counts = np.bincount(flat.ravel(), weights.ravel().astype(float), minlength=len(places) * n_places)
    return counts.reshape(len(places), n_places)


def _of_words(counts: np.ndarray) -> np.ndarray:
    """A kernel on each word that occurs, spread a little over all, and a flat one for the prior. [B, G]."""
    n_places, total = counts.shape[1], counts.sum(1, keepdims=True)
    spread = PRIOR_WEIGHT / ((counts > 0).sum(1, keepdims=True) + 1)
    kernels = (counts + spread * total) / (1 + spread * n_places)
    density: np.ndarray = (kernels + PRIOR_WEIGHT / n_places) / (total + PRIOR_WEIGHT)
    return density


def _of_numbers(counts: np.ndarray) -> np.ndarray:
    """A normal kernel, cut off at the ends, on each place that occurs (Scott 1992), and a wide one. [B, G]."""
    n_places, total = counts.shape[1], counts.sum(1, keepdims=True)
    kernels = _kernels(np.arange(n_places), _widths(counts), n_places)  # [B, G, G]
    wide = _kernels(np.array([(n_places - 1) / 2]), np.array([float(n_places)]), n_places)[0, 0]
    density: np.ndarray = (np.einsum("bi,bij->bj", counts, kernels) + PRIOR_WEIGHT * wide) / (total + PRIOR_WEIGHT)
    return density


def _widths(counts: np.ndarray) -> np.ndarray:
    """Scott's rule for each resample, [B]."""
    places, total = np.arange(counts.shape[1]), counts.sum(1)
    mean = counts @ places / total
    deviation = np.sqrt((counts * (places - mean[:, None]) ** 2).sum(1) / np.maximum(1, total - 1))
    below = counts.cumsum(1)
    first = (below >= np.maximum(1, total // 4)[:, None]).argmax(1)
    last = (below > (total * 3 // 4)[:, None]).argmax(1)
    width: np.ndarray = 1.059 * np.minimum((last - first) / 1.34, deviation) * total**-0.2
    return width.clip(min=LEAST_WIDTH)


def _kernels(means: np.ndarray, widths: np.ndarray, n_places: int) -> np.ndarray:
    """The probability of each place under a normal around each mean: [B, means, G]."""
    edges = (np.arange(n_places + 1) - 0.5 - means[:, None]) / widths[:, None, None]
    below = torch.special.ndtr(torch.from_numpy(edges)).numpy()
    kernels: np.ndarray = np.diff(below, axis=2) / (below[..., -1:] - below[..., :1])
    return kernels
