"""Surrogate: the validation curve of any configuration of beta_study, learned from those that were trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn import config_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.curves import COLUMNS, NAMES, Recorded
from tuning.space.dimensions import FloatRange, IntRange
from tuning.space.model import SearchSpace

BASIS = 4  # curves that all others are sums of; seven predict no better
MARGIN = 30.0  # nats between the best recorded loss and the floor that losses are measured from
FOLDS = 8
CANDIDATES = 20_000  # among which the best of the space is looked for, and then around the best of them


def read(path: Path) -> Recorded:
    """What `python -m benchmarks.curves` wrote: its .npz, or its lines so far."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return Recorded(arrays["configurations"], arrays["curves"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    configurations = np.array([[line["params"][name] for name in NAMES] for line in lines])
    return Recorded(configurations, np.array([line["curve"] for line in lines], dtype=np.float32))


def elbos(recorded: Recorded) -> np.ndarray:
    """Validation ELBO at beta = 1, [n, epochs]."""
    distortion, rate = (recorded.curves[:, :, COLUMNS.index(name)] for name in ("val_distortion", "val_rate"))
    found: np.ndarray = -(distortion.astype(float) + rate)
    return found


@dataclass(frozen=True)
class HeldOut:
    """How well curves are predicted of configurations that the surrogate was not fitted to."""

    n: int
    final: float  # RMSE of the last epoch's ELBO, nats
    best: float  # RMSE of the best epoch's ELBO
    best_of_top: float  # the same of the best quarter
    rank: float  # Spearman's correlation of the best epoch's ELBO
    rank_of_top: float

    def __str__(self) -> str:
        return (
            f"Surrogate of {self.n} recorded configurations, each predicted without itself ({FOLDS} folds): RMSE of "
            f"the final ELBO {self.final:.2f} nats, of the best {self.best:.2f}, of the best in the best quarter "
            f"{self.best_of_top:.2f}; "
            f"rank correlation {self.rank:.3f} (within the best quarter {self.rank_of_top:.2f})"
        )


class Surrogate:
    """A Gaussian process over the logarithms of a configuration, for the coefficients of a basis of log-loss curves.

    The noise of a trial is the held-out residual curve of some recorded configuration, scaled so that its standard
    deviation among good configurations is what the seed alone does.
    """

    def __init__(self, recorded: Recorded, seed_spread: float) -> None:
        """seed_spread: nats, standard deviation of the best ELBO of a good configuration over seeds."""
        places, curves = np.log(recorded.configurations), elbos(recorded)
        self.n_epochs = curves.shape[1]
        self._floor = float(-curves.max()) - MARGIN
        predicted = cross_val_predict(self._model(), places, curves, cv=KFold(FOLDS, shuffle=True, random_state=0))
        self.held_out = _held_out(curves, predicted)
        residuals = _log_loss(curves, self._floor) - _log_loss(predicted, self._floor)
        self._noise = residuals * seed_spread / (np.std(residuals[:, -1]) * MARGIN)
        self._fitted = self._model().fit(places, curves)
        seconds = np.median(recorded.curves[:, :, COLUMNS.index("epoch_seconds")], axis=1)
        units = recorded.configurations[:, NAMES.index("hidden_units")]
        slope, start = np.polyfit(units, seconds, 1)
        self._seconds = (max(0.0, slope / (slope * units.mean() + start)), units.mean())

    def _model(self) -> TransformedTargetRegressor:
        kernel = ConstantKernel() * Matern(np.ones(len(NAMES)), nu=2.5) + WhiteKernel(0.01)
        to_log = FunctionTransformer(
            partial(_log_loss, floor=self._floor), partial(_elbo, floor=self._floor), check_inverse=False
        )
        # A kernel of its own for each: with one for all, the best ELBO was 4.0 nats off instead of 2.6 (2026-11-22).
        process = MultiOutputRegressor(GaussianProcessRegressor(kernel, normalize_y=True, random_state=0))
        return TransformedTargetRegressor(
            make_pipeline(StandardScaler(), process),
            transformer=make_pipeline(to_log, StandardScaler(with_std=False), PCA(BASIS)),
            check_inverse=False,
        )

    def curves(self, places: np.ndarray) -> np.ndarray:
        """The expected ELBO of each epoch, [n, epochs], of configurations [n, NAMES]."""
        # scikit-learn's checks take longer than the prediction of one configuration.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            found: np.ndarray = self._fitted.predict(np.log(places))
        return found

    def expected(self, params: Mapping[str, Any]) -> np.ndarray:
        """The expected ELBO of each epoch: what a configuration is worth."""
        curve: np.ndarray = self.curves(np.array([[float(params[name]) for name in NAMES]]))[0]
        return curve

    def trained(self, expected: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
        """What a sweep sees of such a curve: the noise of one seed comes to it."""
        noise = self._noise[np.random.default_rng(seed).integers(len(self._noise))]
        return _elbo(_log_loss(expected, self._floor) + noise, self._floor)

    def epoch_seconds(self, params: Mapping[str, Any]) -> float:
        """An epoch's time, in those of the mean configuration: it grows with the width."""
        slope, mean = self._seconds
        return float(1 + slope * (params["hidden_units"] - mean))

    def best_of(self, space: SearchSpace) -> tuple[dict[str, float], float]:
        """The best configuration of the space for its epochs, and its expected best ELBO."""
        draw = np.random.default_rng(0)
        points = draw.random((CANDIDATES, len(NAMES)))
        for width in (0.1, 0.03, 0.01):
            best = points[np.argmax(self._worth(points, space))]
            near = best + width * draw.standard_normal((CANDIDATES // 10, len(NAMES)))
            points = np.vstack([best, np.clip(near, 0, 1)])
        worth = self._worth(points, space)
        place = _in_space(points[[np.argmax(worth)]], space)[0].tolist()
        return dict(zip(NAMES, place, strict=True)), float(worth.max())

    def _worth(self, points: np.ndarray, space: SearchSpace) -> np.ndarray:
        worth: np.ndarray = self.curves(_in_space(points, space))[:, : space.epochs].max(axis=1)
        return worth


def _in_space(points: np.ndarray, space: SearchSpace) -> np.ndarray:
    """Configurations of the space, [n, NAMES], from points of the unit cube."""
    columns = []
    for name, point in zip(NAMES, points.T, strict=True):
        dimension = space.dimensions[name]
        assert isinstance(dimension, IntRange | FloatRange), f"{name} is no range"
        low, high = float(dimension.low), float(dimension.high)
        value = low * (high / low) ** point if dimension.log else low + (high - low) * point
        step = None if dimension.log and isinstance(dimension, FloatRange) else dimension.step
        columns.append(value if step is None else low + step * np.round((value - low) / step))
    return np.stack(columns, axis=1)


def _log_loss(elbo: np.ndarray, floor: float) -> np.ndarray:
    return np.log(np.maximum(-elbo - floor, 1.0))


def _elbo(log_loss: np.ndarray, floor: float) -> np.ndarray:
    elbo: np.ndarray = -(np.exp(log_loss) + floor)
    return elbo


def _held_out(curves: np.ndarray, predicted: np.ndarray) -> HeldOut:
    best, guess = curves.max(axis=1), predicted.max(axis=1)
    top = np.argsort(-best)[: max(3, len(best) // 4)]
    return HeldOut(
        len(curves),
        _rmse(predicted[:, -1] - curves[:, -1]),
        _rmse(guess - best),
        _rmse((guess - best)[top]),
        float(spearmanr(guess, best)[0]),
        float(spearmanr(guess[top], best[top])[0]),
    )


def _rmse(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))
