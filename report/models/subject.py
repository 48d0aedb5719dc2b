"""What a figure is of: a model and the held-out images that it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vae.config import EVALUATION_BATCH, Mode, TrialConfig
from vae.datasets.registry import DATASETS
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.evaluate.latents import active_units
from vae.model import likelihood, objective
from vae.model.elbo import evaluation_inputs
from vae.model.metrics import EpochMetrics, has_rate
from vae.model.network import Vae
from vae.storage.checkpoint import Description

Strength = Literal["KL", "variance", "none"]  # the measure of how much a latent carries


@dataclass(frozen=True)
class Subject:
    """A model, a split of images, and what the model's encoder makes of the split.

    codes: E_q[z|x] of a vae, the code of an autoencoder, [N, L]; None without an encoder. kl: nats, the mean over the
    images, [L]; active: Var_x(codes) > 0.01, [L]; both None without a posterior. class_names: the meaning of each
    label, () without labels. name: 'beta_study, trial 0003'; '' of a model that is of no sweep.
    """

    model: Vae
    description: Description
    split: str
    images: Images
    history: list[EpochMetrics]
    class_names: tuple[str, ...] = ()
    codes: np.ndarray | None = None
    kl: np.ndarray | None = None
    active: np.ndarray | None = None
    name: str = ""

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        model: Vae,
        description: Description,
        split: str,
        images: Images,
        history: list[EpochMetrics],
        class_names: Sequence[str] | None = None,
        name: str = "",
    ) -> "Subject":
        """class_names: those of `vae.datasets.registry.spec(name, data_dir)`; None: those of the dataset's name.

        Raises CheckpointError if weights or codes are not finite.
        """
        names = _class_names(description, images) if class_names is None else tuple(class_names)
        if not all(weight.isfinite().all() for weight in model.parameters()):
            raise CheckpointError("weights that have diverged: there is nothing to draw")
        plain = cls(model, description, split, images, history, names, name=name)
        if plain.mode == "decoder_only":
            return plain
        codes, kl = plain._encoded()
        if not np.isfinite(codes).all():
            raise CheckpointError("weights that have diverged: their codes of the images are not finite")
        if not has_rate(plain.mode):
            return replace(plain, codes=codes)
        active = active_units(torch.from_numpy(codes)).numpy()
        return replace(plain, codes=codes, kl=kl, active=active)

    def _encoded(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes [N, L], and the KL per dimension [L], which is 0 without a posterior."""
        codes, total = [], torch.zeros(self.latent_size, dtype=torch.float64)
        for places in np.array_split(np.arange(len(self)), -(-len(self) // EVALUATION_BATCH)):
            x = self._seen(places, is_noisy=False)
            if has_rate(self.mode):
                posterior = self.model.encode(x)
                codes.append(posterior.mean)
                total += objective.kl_per_dimension(posterior).sum(0, dtype=torch.float64)
            else:
                codes.append(self.model.code(x))
        return torch.cat(codes).double().numpy(), (total / len(self)).numpy()

    def __len__(self) -> int:
        return len(self.images.pixels)

    @property
    def config(self) -> TrialConfig:
        return self.description.config

    @property
    def mode(self) -> Mode:
        return self.config.mode

    @property
    def latent_size(self) -> int:
        return self.config.latent_size

    @property
    def has_noise(self) -> bool:
        return self.config.input_noise != "none"

    @property
    def strength(self) -> tuple[Strength, np.ndarray]:
        """How much each latent carries, [L]: its KL, the variance of its code, or 0 without an encoder."""
        if self.kl is not None:
            return "KL", self.kl
        if self.codes is not None:
            return "variance", self.codes.var(axis=0)
        return "none", np.zeros(self.latent_size)

    @property
    def order(self) -> np.ndarray:
        """The indices of the latents, the one that carries most first, [L]."""
        return np.argsort(-self.strength[1], kind="stable")

    def class_name(self, place: int) -> str:
        """The class of one image; '' without labels."""
        return self.class_names[int(self.images.labels[place])] if self.class_names else ""

    def inputs(self, places: np.ndarray) -> np.ndarray:
        """The images that the model is to reconstruct, binarised as in the evaluation, uint8 [n, h, w]."""
        return self._grey(self._seen(places, is_noisy=False))

    def corrupted(self, places: np.ndarray) -> np.ndarray:
        """The noisy images that the encoder is given, as in the evaluation, uint8 [n, h, w]."""
        return self._grey(self._seen(places, is_noisy=True))

    @torch.no_grad()
    def restored(self, places: np.ndarray) -> np.ndarray:
        """The pixel means at the code of the corrupted image, uint8 [n, h, w]."""
        return self.decode(self.model.code(self._seen(places, is_noisy=True)).double().numpy())

    @torch.no_grad()
    def decode(self, z: np.ndarray) -> np.ndarray:
        """Pixel means at latents [n, L], uint8 [n, h, w]."""
        batches = torch.split(torch.from_numpy(z).to(self.model.logits.weight), EVALUATION_BATCH)
        means = [likelihood.means(self.config.likelihood, self.model.decode(batch)) for batch in batches]
        return self._grey(torch.cat(means))

    def _seen(self, places: np.ndarray, is_noisy: bool) -> Tensor:
        """The encoder's input, [n, D]. places: of the images in the split."""
        factor = torch.tensor(self.config.noise_factor, dtype=self.model.logits.weight.dtype) if is_noisy else None
        grey = torch.from_numpy(self.images.pixels[places])
        return evaluation_inputs(self.model, grey, torch.from_numpy(places), factor)[1]

    def _grey(self, x: Tensor) -> np.ndarray:
        grey: np.ndarray = (x * 255).round().to(torch.uint8).reshape(-1, *self.description.image_shape).numpy()
        return grey


def _class_names(description: Description, images: Images) -> tuple[str, ...]:
    """The names of a built-in dataset. A folder's are not known here: the labels themselves, if they differ."""
    if description.dataset in DATASETS:
        return DATASETS[description.dataset].class_names
    last = int(images.labels.max())
    return tuple(str(label) for label in range(last + 1)) if last > 0 else ()
