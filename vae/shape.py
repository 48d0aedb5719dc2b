"""ShapeClass: what trials must share to train as one batched model; decided by a trial's own config only."""

from dataclasses import dataclass

from vae.config import EVALUATION_BATCH, Activation, Precision, TrialConfig

HIDDEN_UNITS = (
    *range(64, 513, 64),
    *range(640, 1025, 128),
    *range(1280, 2049, 256),
    *range(2560, 4097, 512),
    6144,
    8192,
)
LATENT_SIZES = (16, 64, 256, 1024)  # few: latents cost next to nothing beside pixels x hidden units
TENSORS_PER_PARAMETER = 6  # weight, gradient, two moments; as much again as two of them while Adam steps
IMAGE_COPIES = 6  # of a batch: input, logits, their gradient, and what the objective holds on the way


@dataclass(frozen=True, order=True)
class ShapeClass:
    """A config's shape with its widths rounded up: narrower trials are padded with zeros, exactly."""

    hidden_units: int
    latent_size: int
    hidden_layers: int
    activation: Activation
    batch_size: int
    precision: Precision

    @classmethod
    def of(cls, config: TrialConfig) -> "ShapeClass":
        """The class that a trial of this config trains in."""
        return cls(
            hidden_units=next(width for width in HIDDEN_UNITS if width >= config.hidden_units),
            latent_size=next(size for size in LATENT_SIZES if size >= config.latent_size),
            hidden_layers=config.hidden_layers,
            activation=config.activation,
            batch_size=config.batch_size,
            precision=config.precision,
        )

    @classmethod
    def alone(cls, config: TrialConfig) -> "ShapeClass":
        """The exact shape: nothing is padded."""
        return cls(
            config.hidden_units,
            config.latent_size,
            config.hidden_layers,
            config.activation,
            config.batch_size,
            config.precision,
        )

    def slot_bytes(self, n_pixels: int, n_train: int, n_validation: int) -> int:
        """Memory that one slot of a pack takes on its device, so that too many are refused before one is filled."""
        number = 8 if self.precision == "float64" else 4
        config = TrialConfig(
            hidden_units=self.hidden_units, latent_size=self.latent_size, hidden_layers=self.hidden_layers
        )
        parameters = TENSORS_PER_PARAMETER * config.n_parameters(n_pixels) * number
        epoch = n_train * (8 + self.latent_size * number) + n_validation * self.latent_size * number
        rows = max(self.batch_size, EVALUATION_BATCH)
        widths = IMAGE_COPIES * n_pixels + 4 * self.hidden_layers * self.hidden_units + 8 * self.latent_size
        return parameters + epoch + rows * widths * number
