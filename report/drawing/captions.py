"""The lines below a figure's title: which model or which sweep it is of."""

from report.drawing.markers import MARKERS
from report.drawing.style import signed
from report.labels import counted
from tuning.records import SweepRecord
from vae.cli.format import shown
from vae.config import TrialConfig
from vae.datasets.names import short_name
from vae.storage.checkpoint import Description

DOT = " \N{MIDDLE DOT} "
LIKELIHOODS = {"continuous_bernoulli": "continuous Bernoulli", "gaussian": "Gaussian"}


def model_caption(description: Description, name: str = "") -> str:
    """One line on which model it is, and one on its trial and how far its training came."""
    model = [short_name(description.dataset), *_architecture(description.config), *_objective(description.config)]
    reached = [*([name] if name else []), f"epoch {description.epoch}"]
    if description.history:
        last = description.history[-1]
        name, value = ("distortion", last.val_distortion) if last.val_elbo is None else ("ELBO", last.val_elbo)
        reached.append(f"validation {name} {signed(value)} nats")
    return "\n".join(DOT.join(parts) for parts in (model, reached))


def sweep_caption(sweep: SweepRecord) -> str:
    """One line: the sweep, its dataset, its trials by state."""
    counts = {state: sum(record.state == state for record in sweep.trials) for state in MARKERS}
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    trials = counted(len(sweep.trials), "trial") + (f": {states}" if states else "")
    return DOT.join((sweep.name, short_name(sweep.dataset), trials))


def _architecture(config: TrialConfig) -> list[str]:
    layers = f"{config.hidden_layers} \N{MULTIPLICATION SIGN} " if config.hidden_layers > 1 else ""
    mode = {"vae": [], "autoencoder": ["autoencoder"], "decoder_only": ["decoder only"]}[config.mode]
    size = [f"latent size {config.latent_size}", f"hidden units {layers}{config.hidden_units}", config.activation]
    return mode + size + ([f"dropout {shown(config.dropout)}"] if config.dropout else [])


def _objective(config: TrialConfig) -> list[str]:
    """Every setting of the objective that is not the default, and always beta and the learning rate."""
    parts = [f"\N{GREEK SMALL LETTER BETA} {shown(config.beta)}"] if config.mode == "vae" else []
    if config.mode == "vae" and config.kl_warmup_epochs:
        parts.append(f"KL warm-up {config.kl_warmup_epochs} epochs")
    if config.mode == "vae" and config.free_bits:
        parts.append(f"free bits {shown(config.free_bits)} nats")
    if config.likelihood in LIKELIHOODS:
        parts.append(f"{LIKELIHOODS[config.likelihood]} likelihood")
    if config.binarize != "none":
        parts.append({"stochastic": "binarised at random", "threshold": "binarised at one half"}[config.binarize])
    if config.input_noise != "none":
        parts.append(f"{_noise(config)} {shown(config.noise_factor)}")
    return [*parts, f"learning rate {shown(config.learning_rate)}"]


def _noise(config: TrialConfig) -> str:
    return {"gaussian": "Gaussian noise", "salt_pepper": "salt and pepper noise"}[config.input_noise]
