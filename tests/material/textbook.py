"""The training of the project, written out plainly: torch's layers and distributions, one image, one number at a time.

What it draws it takes from the keys and generators of vae.randomness, by the places that vae.training.loop and
vae.model.inputs define.
"""

from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, ContinuousBernoulli, Distribution, Normal, kl_divergence

from tests.material.splitmix import uniform
from vae.config import TrialConfig
from vae.model.network import initial_weights
from vae.randomness.streams import EVALUATION_SEED, Stream, epoch_noise, epoch_order, evaluation_noise, key


def doubles(values: list[Any]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class Textbook(nn.Module):
    """The same model, of torch's own parts and nothing of ours but the numbers it starts from."""

    def __init__(self, n_pixels: int, config: TrialConfig) -> None:
        super().__init__()
        self.config = config
        latent, hidden = config.latent_size, config.hidden_units
        if config.mode != "decoder_only":
            self.encoder, self.mean = nn.Linear(n_pixels, hidden), nn.Linear(hidden, latent)
        if config.mode == "vae":
            self.log_variance = nn.Linear(hidden, latent)
        self.decoder, self.logits = nn.Linear(latent, hidden), nn.Linear(hidden, n_pixels)
        if config.likelihood == "gaussian" and config.variance == "per_pixel":
            self.pixel_log_variance = nn.Linear(hidden, n_pixels)
        elif config.likelihood == "gaussian":
            self.shared_log_variance = nn.Parameter(torch.zeros(1))
        self.double()
        start = initial_weights(n_pixels, config)
        for name, parameter in self.named_parameters():
            parameter.data.copy_(start[name.replace("encoder.", "encoder.0.").replace("decoder.", "decoder.0.")])

    def terms(self, x: Tensor, seen: Tensor, noise: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """(D, KL of each latent) of one image, by torch.distributions; the KL of no latent where there is none."""
        z, kl = noise, torch.zeros(0)
        if self.config.mode != "decoder_only":
            hidden = torch.relu(self.encoder(seen)) * masks[0]
            z = self.mean(hidden)
        if self.config.mode == "vae":
            q = Normal(z, torch.exp(0.5 * self.log_variance(hidden)))
            z, kl = q.mean + q.stddev * noise, kl_divergence(q, Normal(0.0, 1.0))
        return -self.pixels(torch.relu(self.decoder(z)) * masks[1]).log_prob(x).sum(), kl

    def pixels(self, hidden: Tensor) -> Distribution:
        logits, kind = self.logits(hidden), self.config.likelihood
        if kind == "bernoulli":
            return Bernoulli(logits=logits, validate_args=False)  # grey pixels
        if kind == "continuous_bernoulli":
            return ContinuousBernoulli(logits=logits)
        raw = self.pixel_log_variance(hidden) if self.config.variance == "per_pixel" else self.shared_log_variance
        return Normal(torch.sigmoid(logits), torch.exp(0.5 * torch.log1p(torch.exp(raw + 8)) - 4))


class TextbookInputs:
    """What an epoch draws, number by number, from the key of its seed, epoch and stream."""

    def __init__(self, config: TrialConfig, seed: int, epoch: int) -> None:
        self.config = config
        streams = (Stream.BINARIZE, Stream.CORRUPTION, Stream.DROPOUT)
        self.binarize, self.corruption, self.dropout = (key(seed, epoch, stream) for stream in streams)

    def target(self, grey: list[int], image: int) -> list[float]:
        if self.config.binarize == "threshold":
            return [1.0 if value > 127.5 else 0.0 for value in grey]
        if self.config.binarize == "none":
            return [value / 255 for value in grey]
        draws = [uniform(self.binarize, image * len(grey) + pixel) for pixel in range(len(grey))]
        return [1.0 if draw < value / 255 else 0.0 for draw, value in zip(draws, grey, strict=True)]

    def seen(self, x: list[float], image: int) -> list[float]:
        noise, factor = self.config.noise, self.config.noise_factor
        draws = [uniform(self.corruption, image * len(x) + pixel) for pixel in range(len(x))]
        if noise == "none" or self.config.mode == "decoder_only":
            return x
        if noise == "gaussian":
            normal = [NormalDist().inv_cdf(draw) for draw in draws]
            return [min(1.0, max(0.0, value + factor * number)) for value, number in zip(x, normal, strict=True)]
        kept = [value if factor / 2 <= draw <= 1 - factor / 2 else None for value, draw in zip(x, draws, strict=True)]
        return [float(draw > 0.5) if value is None else value for value, draw in zip(kept, draws, strict=True)]

    def masks(self, image: int) -> Tensor:
        """Of the encoder's hidden layer and of the decoder's; a layer has room for 8,192 units."""
        units, share = range(self.config.hidden_units), self.config.dropout
        draws = [[uniform(self.dropout, (2 * image + layer) * 8192 + unit) for unit in units] for layer in range(2)]
        return doubles([[1 / (1 - share) if draw > share else 0.0 for draw in row] for row in draws])


def textbook_evaluation(model: Textbook, validation: Tensor, noisy: bool) -> list[float]:
    """Mean D and R of a split, with the noise of every evaluation and nothing left out."""
    config = model.config
    drawn, noise = TextbookInputs(config, EVALUATION_SEED, 0), evaluation_noise(len(validation), config.latent_size)
    pairs = []
    for image, grey in enumerate(validation.tolist()):
        x = drawn.target(grey, image)
        seen = drawn.seen(x, image) if noisy else x
        d, kl = model.terms(doubles(x), doubles(seen), noise[image].double(), torch.ones(2, 1))
        pairs.append((d.item(), kl.sum().item()))
    return [sum(values) / len(validation) for values in zip(*pairs, strict=True)]


def textbook_training(
    train: Tensor, validation: Tensor, config: TrialConfig, n_epochs: int
) -> list[tuple[list[float], ...]]:
    """Per epoch: D and R of train, of validation, and of validation corrupted. One image at a time."""
    model = Textbook(train.shape[1], config)
    adam = torch.optim.Adam(model.parameters(), config.learning_rate)
    rows, n_seen = [], 0
    for epoch in range(1, n_epochs + 1):
        drawn = TextbookInputs(config, config.seed, epoch)
        order = epoch_order(len(train), config.seed, epoch).tolist()
        noise = epoch_noise(len(train), config.latent_size, config.seed, epoch).double()
        seen: list[tuple[float, float]] = []
        for start in range(0, len(order), config.batch_size):
            terms = []
            for place in range(start, min(start + config.batch_size, len(order))):
                image = order[place]
                x = drawn.target(train[image].tolist(), image)
                both = (doubles(values) for values in (x, drawn.seen(x, image)))
                terms.append(model.terms(*both, noise[place], drawn.masks(image)))
            distortions, kls = (torch.stack(list(of)) for of in zip(*terms, strict=True))
            warm = min(1.0, n_seen / (config.kl_warmup_epochs * len(train))) if config.kl_warmup_epochs else 1.0
            costly = [kl for kl in kls.mean(0) if kl.item() > config.free_bits]
            adam.zero_grad()
            (distortions.mean() + config.beta * warm * sum(costly)).backward()
            adam.step()
            n_seen += len(terms)
            seen += [(d.item(), kl.sum().item()) for d, kl in terms]
        means = [sum(values) / len(train) for values in zip(*seen, strict=True)]
        with torch.no_grad():
            rows.append((means, *(textbook_evaluation(model, validation, noisy) for noisy in (False, True))))
    return rows
