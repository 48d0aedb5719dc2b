"""TrialConfig: every hyperparameter, declared once, with its type, range, default and meaning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Activation = Literal["relu", "tanh", "elu", "softplus"]
EVALUATION_BATCH = 500  # images; bounds the memory of an evaluation
Precision = Literal["float32", "bf16", "float64"]


class TrialConfig(BaseModel):
    """What defines one trial. The same config, dataset and hardware give the same numbers.

    Search spaces, the command lines, the leaderboard and the documentation read the names,
    types, ranges and meanings from here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    latent_size: int = Field(20, ge=1, le=1024, description="Dimensions of the latent space z.")
    hidden_units: int = Field(400, ge=1, le=8192, description="Units in each hidden layer of encoder and decoder.")
    hidden_layers: int = Field(1, ge=1, le=3, description="Hidden layers in the encoder, and as many in the decoder.")
    activation: Activation = Field("relu", description="Nonlinearity after each hidden layer.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Step size of Adam.")
    beta: float = Field(1.0, ge=0, le=1000, description="Weight of the KL term in the training loss D + beta * R.")
    batch_size: int = Field(128, ge=1, le=65536, description="Images per gradient step.")
    epochs: int = Field(20, ge=1, le=100_000, description="Passes over the training split, at the most.")
    precision: Precision = Field(
        "float32", description="bf16: of the layers' products, the rest in float32; float64: of everything."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Source of the initial weights, the order and the noise.")

    def n_parameters(self, n_pixels: int) -> int:
        """Trainable numbers of the model for images of so many pixels: weights and biases of every layer."""
        hidden = (self.hidden_layers - 1) * (self.hidden_units + 1) * self.hidden_units
        encoder = (n_pixels + 1) * self.hidden_units + hidden + 2 * (self.hidden_units + 1) * self.latent_size
        decoder = (self.latent_size + 1) * self.hidden_units + hidden + (self.hidden_units + 1) * n_pixels
        return encoder + decoder


HYPERPARAMETERS: tuple[str, ...] = tuple(TrialConfig.model_fields)
