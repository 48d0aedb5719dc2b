"""ShapeClass: what trials must share to train as one batched model. A trial's class follows from its sweep's space."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vae.config import (
    EVALUATION_BATCH,
    Activation,
    Binarize,
    Likelihood,
    Mode,
    Noise,
    Precision,
    TrialConfig,
    Variance,
)

STEP = 64  # what the frame of a sweep does not hold is rounded up to a multiple of this
GROWTH = 4  # slots that a full pack grows by: an empty slot costs as much as a full one
TENSORS_PER_PARAMETER = 6  # weight, gradient, two moments, and two more while Adam steps
IMAGE_COPIES = 6  # of a batch: input, logits, their gradient, and intermediate results of the objective
DENSITY_COPIES = 6  # more, for a likelihood other than bernoulli: log variance, squares, their gradients
BYTES_PER_DRAW = 32  # while a random number is drawn: bits and their shifts in int64, the result


@dataclass(frozen=True)
class Frame:
    """What the shape classes of a sweep have room for. A trial is padded to the next of the rising widths.

    The default is for trials without a sweep. No number of a trial depends on its frame.
    """

    hidden_units: tuple[int, ...] = ()
    latent_sizes: tuple[int, ...] = ()
    activations: tuple[Activation, ...] = ()


@dataclass(frozen=True, order=True)
class ShapeClass:
    """Widths that a trial is padded to with zeros, and all else that shapes its tensors and its steps.

    activations: those of the class's trials; each trial of a pack has its own of them.
    """

    hidden_units: int
    latent_size: int
    activations: tuple[Activation, ...]
    hidden_layers: int
    batch_size: int
    precision: Precision
    mode: Mode
    likelihood: Likelihood
    variance: Variance
    binarize: Binarize
    noise: Noise
    has_dropout: bool

    @classmethod
    def of(cls, config: TrialConfig, frame: Frame | None = None) -> "ShapeClass":
        """The class that a trial of this config trains in."""
        frame = frame or Frame()
        return cls(
            _fitting(config.hidden_units, frame.hidden_units),
            _fitting(config.latent_size, frame.latent_sizes),
            frame.activations if config.activation in frame.activations else (config.activation,),
            **_shared(config),
        )

    @classmethod
    def alone(cls, config: TrialConfig) -> "ShapeClass":
        """The config's exact shape: nothing is padded."""
        return cls(config.hidden_units, config.latent_size, (config.activation,), **_shared(config))

    def holds(self, config: TrialConfig) -> bool:
        """Whether a trial of this config can train in the class, padded or not."""
        frame = Frame((self.hidden_units,), (self.latent_size,), self.activations)
        return ShapeClass.of(config, frame) == self

    @property
    def draws_pixels(self) -> bool:
        """Whether a step draws random numbers for every pixel."""
        return self.noise != "none" or self.binarize == "stochastic"

    @property
    def config(self) -> TrialConfig:
        """A trial that fills a slot of the class."""
        values = {name: value for name, value in asdict(self).items() if name in TrialConfig.model_fields}
        return TrialConfig(**values, activation=self.activations[0])

    def slot_bytes(self, n_pixels: int, n_train: int, n_validation: int) -> int:
        """Bytes that one slot of a pack takes on its device, at the most: too many are refused at the start."""
        number = 8 if self.precision == "float64" else 4
        parameters = TENSORS_PER_PARAMETER * self.config.n_parameters(n_pixels) * number
        epoch = n_train * (8 + self.latent_size * number) + n_validation * self.latent_size * number
        rows = max(self.batch_size, EVALUATION_BATCH)
        copies = IMAGE_COPIES + (self.likelihood != "bernoulli") * DENSITY_COPIES
        of_layers = (2 + 2 * len(self.activations)) * self.hidden_layers * self.hidden_units
        widths = copies * n_pixels + of_layers + 8 * self.latent_size
        drawn = self.draws_pixels * n_pixels + self.has_dropout * 2 * self.hidden_layers * self.hidden_units
        return parameters + epoch + rows * (widths * number + drawn * BYTES_PER_DRAW)


def _fitting(size: int, widths: Sequence[int]) -> int:
    """The next of the rising widths; beyond them, the next multiple of STEP."""
    return next((width for width in widths if width >= size), -(-size // STEP) * STEP)


def _shared(config: TrialConfig) -> dict[str, Any]:
    """What the trials of a class have in common besides their widths."""
    return {
        "hidden_layers": config.hidden_layers,
        "batch_size": config.batch_size,
        "precision": config.precision,
        "mode": config.mode,
        "likelihood": config.likelihood,
        "variance": config.variance if config.likelihood == "gaussian" else "per_pixel",
        "binarize": config.binarize,
        "noise": config.input_noise,
        "has_dropout": config.dropout > 0,
    }
