"""ShapeClass: what trials must share to train as one batched model. A trial's class follows from its config alone."""

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

HIDDEN_UNITS = (
    *range(64, 513, 64),
    *range(640, 1025, 128),
    *range(1280, 2049, 256),
    *range(2560, 4097, 512),
    6144,
    8192,
)
LATENT_SIZES = (16, 64, 256, 1024)  # few: latents cost next to nothing beside pixels x hidden units
TENSORS_PER_PARAMETER = 6  # weight, gradient, two moments, and two more while Adam steps
IMAGE_COPIES = 6  # of a batch: input, logits, their gradient, and intermediate results of the objective
DENSITY_COPIES = 6  # more, for a likelihood other than bernoulli: log variance, squares, their gradients
BYTES_PER_DRAW = 32  # while a random number is drawn: bits and their shifts in int64, the result


@dataclass(frozen=True, order=True)
class ShapeClass:
    """Widths that a trial is padded to with zeros, and all else that shapes its tensors and its steps."""

    hidden_units: int
    latent_size: int
    hidden_layers: int
    activation: Activation
    batch_size: int
    precision: Precision
    mode: Mode
    likelihood: Likelihood
    variance: Variance
    binarize: Binarize
    noise: Noise
    has_dropout: bool

    @classmethod
    def of(cls, config: TrialConfig) -> "ShapeClass":
        """The class that a trial of this config trains in: its widths are rounded up."""
        width = next(width for width in HIDDEN_UNITS if width >= config.hidden_units)
        return cls(width, next(size for size in LATENT_SIZES if size >= config.latent_size), **_shared(config))

    @classmethod
    def alone(cls, config: TrialConfig) -> "ShapeClass":
        """The config's exact shape: nothing is padded."""
        return cls(config.hidden_units, config.latent_size, **_shared(config))

    @property
    def draws_pixels(self) -> bool:
        """Whether a step draws random numbers for every pixel."""
        return self.noise != "none" or self.binarize == "stochastic"

    def slot_bytes(self, n_pixels: int, n_train: int, n_validation: int) -> int:
        """Bytes that a slot of a pack takes on its device, at most, so that too many slots are refused at the start."""
        number = 8 if self.precision == "float64" else 4
        config = TrialConfig(**{name: value for name, value in asdict(self).items() if name != "has_dropout"})
        parameters = TENSORS_PER_PARAMETER * config.n_parameters(n_pixels) * number
        epoch = n_train * (8 + self.latent_size * number) + n_validation * self.latent_size * number
        rows = max(self.batch_size, EVALUATION_BATCH)
        copies = IMAGE_COPIES + (self.likelihood != "bernoulli") * DENSITY_COPIES
        widths = copies * n_pixels + 4 * self.hidden_layers * self.hidden_units + 8 * self.latent_size
        drawn = self.draws_pixels * n_pixels + self.has_dropout * 2 * self.hidden_layers * self.hidden_units
        return parameters + epoch + rows * (widths * number + drawn * BYTES_PER_DRAW)


def _shared(config: TrialConfig) -> dict[str, Any]:
    """What the trials of a class have in common besides their widths."""
    return {
        "hidden_layers": config.hidden_layers,
        "activation": config.activation,
        "batch_size": config.batch_size,
        "precision": config.precision,
        "mode": config.mode,
        "likelihood": config.likelihood,
        "variance": config.variance if config.likelihood == "gaussian" else "per_pixel",
        "binarize": config.binarize,
        "noise": config.input_noise,
        "has_dropout": config.dropout > 0,
    }
