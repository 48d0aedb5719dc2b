"""TrialConfig: every hyperparameter, declared once, with its type, range, default and meaning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["vae", "autoencoder", "decoder_only"]
Activation = Literal["relu", "tanh", "elu", "softplus"]
Likelihood = Literal["bernoulli", "continuous_bernoulli", "gaussian"]
Variance = Literal["per_pixel", "shared"]
Binarize = Literal["none", "stochastic", "threshold"]
Noise = Literal["none", "gaussian", "salt_pepper"]
Precision = Literal["float32", "bf16", "float64"]
Keep = Literal["best", "last"]
EVALUATION_BATCH = 500  # images; bounds the memory of an evaluation


class TrialConfig(BaseModel):
    """Everything that defines one trial: the same config, dataset and hardware give the same numbers.

    Search spaces, command lines, the leaderboard and the documentation read names, types, ranges and meanings here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    mode: Mode = Field(
        "vae", description="autoencoder: the code is the latent, no noise and no KL; decoder_only: z from the prior."
    )
    latent_size: int = Field(20, ge=1, le=1024, description="Dimensions of the latent space z.")
    hidden_units: int = Field(400, ge=1, le=8192, description="Units in each hidden layer of encoder and decoder.")
    hidden_layers: int = Field(1, ge=1, le=3, description="Hidden layers in the encoder, and as many in the decoder.")
    activation: Activation = Field("relu", description="Nonlinearity after each hidden layer.")
    dropout: float = Field(
        0.0, ge=0, le=0.95, description="Share of the hidden units that each training step leaves out."
    )
    likelihood: Likelihood = Field("bernoulli", description="Distribution of a pixel given z.")
    variance: Variance = Field(
        "per_pixel", description="Of a gaussian likelihood: learned per pixel and z, or one number for all."
    )
    binarize: Binarize = Field(
        "none", description="Pixels as 0 or 1: stochastic draws them anew each epoch, threshold cuts at one half."
    )
    noise: Noise = Field("none", description="Corrupts the input; the target stays clean.")
    noise_factor: float = Field(
        0.3, ge=0, le=1, description="gaussian: standard deviation, of grey values in [0, 1]; salt_pepper: share."
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Step size of Adam.")
    beta: float = Field(1.0, ge=0, le=1000, description="Weight of the KL term in the training loss D + beta * R.")
    kl_warmup_epochs: int = Field(
        0, ge=0, le=100_000, description="Epochs over which the KL's weight grows from 0 to beta, step by step."
    )
    free_bits: float = Field(
        0.0, ge=0, le=100, description="Nats of each latent's KL, averaged over a batch, that cost nothing in training."
    )
    batch_size: int = Field(128, ge=1, le=65536, description="Images per gradient step.")
    epochs: int = Field(20, ge=1, le=100_000, description="Passes over the training split, at the most.")
    keep: Keep = Field("best", description="Epoch whose weights and numbers stand for the trial.")
    precision: Precision = Field(
        "float32", description="bf16: of the layers' products, the rest in float32; float64: of everything."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Source of the initial weights, the order and the noise.")

    @property
    def input_noise(self) -> Noise:
        """What corrupts the input; a decoder alone has none."""
        return "none" if self.mode == "decoder_only" else self.noise

    def n_parameters(self, n_pixels: int) -> int:
        """Trainable numbers of the model for images of so many pixels: weights and biases of every layer."""
        hidden = (self.hidden_layers - 1) * (self.hidden_units + 1) * self.hidden_units
        n_heads = {"vae": 2, "autoencoder": 1, "decoder_only": 0}[self.mode]
        encoder = (n_pixels + 1) * self.hidden_units + hidden + n_heads * (self.hidden_units + 1) * self.latent_size
        decoder = (self.latent_size + 1) * self.hidden_units + hidden + (self.hidden_units + 1) * n_pixels
        return (encoder if n_heads else 0) + decoder + self._n_variance_parameters(n_pixels)

    def _n_variance_parameters(self, n_pixels: int) -> int:
        if self.likelihood != "gaussian":
            return 0
        return 1 if self.variance == "shared" else (self.hidden_units + 1) * n_pixels


HYPERPARAMETERS: tuple[str, ...] = tuple(TrialConfig.model_fields)
