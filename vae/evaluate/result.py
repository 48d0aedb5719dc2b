"""Evaluation: a model's numbers on a split, and the table that shows them."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

KL_PER_LINE = 8
KL_SHOWN = 64  # latents; the file has every one


@dataclass(frozen=True)
class ImportanceWeighted:
    """The importance-weighted bound: means over the first `n_images` of the split, nats per image.

    standard_error: of `bound`, over the images, whose draws are independent; None for one image. elbo: from the same
    images and draws; the bound is never below it. gain_standard_error: of `gain`, which differs far less from image
    to image than the bound does. effective_samples: of the n_samples (see importance.Bounds).
    """

    bound: float
    standard_error: float | None
    elbo: float
    n_samples: int
    n_images: int
    effective_samples: float
    proposal: Literal["posterior", "prior"]
    gain_standard_error: float | None = None

    @property
    def gain(self) -> float:
        """What the samples gain over the ELBO of the same images."""
        return self.bound - self.elbo


@dataclass(frozen=True)
class NeighbourAccuracy:
    """The share of the split's images whose nearest training images in latent space vote for the right label."""

    accuracy: float
    n_neighbours: int
    n_reference: int


@dataclass(frozen=True)
class Evaluation:
    """A split's numbers, in nats per image, from the clean input unless they are called noisy.

    kl_per_dimension: mean over the images, one number for each latent. mutual_information: between z and the image,
    at most its ceiling, log N for the (first 10,000) images; marginal_kl: KL(q(z) || p(z)), the rest of their rate.
    None: what the model or the data do not have. An autoencoder has no prior and no posterior: it has distortion and
    neighbours only, and no active units, because Burda's threshold is on the prior's scale. A decoder alone has the
    distortion of z from the prior, and a bound that the prior proposes for.
    """

    n_images: int
    distortion: float
    elbo: float | None = None
    rate: float | None = None
    noisy_distortion: float | None = None
    noisy_elbo: float | None = None
    noisy_rate: float | None = None
    importance_weighted: ImportanceWeighted | None = None
    active_units: int | None = None
    kl_per_dimension: list[float] | None = None
    mutual_information: float | None = None
    mutual_information_ceiling: float | None = None
    marginal_kl: float | None = None
    neighbours: NeighbourAccuracy | None = None

    @property
    def is_saturated(self) -> bool:
        """Whether the mutual information is a lower limit only: so many images can hardly show more."""
        if self.mutual_information is None or self.mutual_information_ceiling is None:
            return False
        return self.mutual_information_ceiling - self.mutual_information < SATURATED

    @property
    def bound(self) -> tuple[float, float | None] | None:
        """The importance-weighted bound of the whole split and its standard error; None where there is none.

        It is the ELBO of every image, and what the samples gain over it on the first ones. The gain differs little
        from image to image, the bound itself by tens of nats. Without an ELBO: the bound of the first images.
        """
        found = self.importance_weighted
        if found is None or self.elbo is None or found.proposal == "prior":
            return None if found is None else (found.bound, found.standard_error)
        return self.elbo + found.gain, found.gain_standard_error

    def as_dict(self) -> dict[str, Any]:
        """The numbers that are not None, by name; those of one kind in a dict of their own."""
        return _present(asdict(self))


def _present(named: dict[str, Any]) -> dict[str, Any]:
    kept = ((name, value) for name, value in named.items() if value is not None)
    return {name: _present(value) if isinstance(value, dict) else value for name, value in kept}


SATURATED = 0.5  # nats below its ceiling, where a code is told apart from nearly all other images' codes

Line = tuple[str, str, str]  # what, the number, what to know of it


def table(numbers: Evaluation) -> str:
    """A line for each number, in columns."""
    lines = list(_lines(numbers))
    widths = [max(len(line[column]) for line in lines) for column in range(2)]
    text = (f"{what:<{widths[0]}}  {value:>{widths[1]}}   {note}".rstrip() for what, value, note in lines)
    return "\n".join([*text, *_kl_lines(numbers)])


def _lines(numbers: Evaluation) -> Iterator[Line]:
    if numbers.elbo is not None:
        yield "ELBO", _nats(numbers.elbo), ""
        yield "rate", _nats(numbers.rate), "KL(q(z|x) || p(z))"
    yield "distortion", _nats(numbers.distortion), "-log p(x|z)"
    if numbers.noisy_elbo is not None:
        yield "ELBO, noisy input", _nats(numbers.noisy_elbo), "against the clean image"
        yield "rate, noisy input", _nats(numbers.noisy_rate), ""
    if numbers.noisy_distortion is not None:
        yield "distortion, noisy input", _nats(numbers.noisy_distortion), ""
    yield from _importance_lines(numbers.importance_weighted)
    if (whole := numbers.bound) and numbers.elbo is not None and whole[1] is not None:
        note = f"ELBO of all {numbers.n_images:,}, and the gain on the first ones, standard error {whole[1]:.2f}"
        yield "  bound of all images", _nats(whole[0]), note
    yield from _latent_lines(numbers)


def _importance_lines(found: ImportanceWeighted | None) -> Iterator[Line]:
    if found is None:
        return
    error = "" if found.standard_error is None else f", standard error {found.standard_error:.2f}"
    images = "1 image" if found.n_images == 1 else f"{found.n_images:,} images"
    note = f"K = {found.n_samples:,}, first {images}{error}"
    yield "importance-weighted bound", _nats(found.bound), note
    if found.proposal == "prior":
        yield "  with one sample", _nats(found.elbo), "z from the prior, as there is no encoder"
    else:
        yield "  ELBO of these images", _nats(found.elbo), ""
    yield "  effective samples", f"{found.effective_samples:.1f}", f"of {found.n_samples:,}, mean over the images"


def _latent_lines(numbers: Evaluation) -> Iterator[Line]:
    if numbers.mutual_information is not None and numbers.mutual_information_ceiling is not None:
        n = round(math.exp(numbers.mutual_information_ceiling))
        note = f"of z and the image; {n:,} images show at most log N = {numbers.mutual_information_ceiling:.2f}"
        at_least, at_most = ("at least ", "at most ") if numbers.is_saturated else ("", "")
        yield "mutual information", at_least + _nats(numbers.mutual_information), note
        yield "marginal KL", at_most + _nats(numbers.marginal_kl), "KL(q(z) || p(z)), the rest of the rate"
    if numbers.kl_per_dimension is not None:
        note = f"of {len(numbers.kl_per_dimension)}: variance of E[z|x] over the images above 0.01"
        yield "active units", str(numbers.active_units), note
    if (near := numbers.neighbours) is not None:
        note = f"of the label, by {near.n_neighbours} of {near.n_reference:,} training images"
        yield "nearest-neighbour accuracy", f"{near.accuracy:.1%}", note


def _kl_lines(numbers: Evaluation) -> Iterator[str]:
    """Latents by their KL, highest first, as "latent: KL"; as many as fit a screen."""
    if numbers.kl_per_dimension is None:
        return
    ordered = sorted(enumerate(numbers.kl_per_dimension), key=lambda pair: -pair[1])
    hidden = f", the first {KL_SHOWN}" if len(ordered) > KL_SHOWN else ""
    yield f"KL per dimension (latent: nats), highest first{hidden}"
    width = len(str(len(ordered) - 1))
    cells = [f"{latent:>{width}}: {kl:<7.3f}" for latent, kl in ordered[:KL_SHOWN]]
    for start in range(0, len(cells), KL_PER_LINE):
        yield ("  " + " ".join(cells[start : start + KL_PER_LINE])).rstrip()


def _nats(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
