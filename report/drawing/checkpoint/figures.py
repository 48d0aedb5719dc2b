"""The list of a checkpoint's figures: which a model has, and why it lacks the others."""

from collections.abc import Callable, Iterator, Sequence

from matplotlib.figure import Figure

from report.drawing.captions import DOT, model_caption
from report.drawing.checkpoint.latents import draw_kl_per_dimension, draw_latents
from report.drawing.checkpoint.learning_curves import draw_learning_curves
from report.drawing.checkpoint.manifold import draw_manifold
from report.drawing.checkpoint.options import FigureOptions
from report.drawing.checkpoint.reconstructions import draw_denoising, draw_reconstructions
from report.drawing.checkpoint.samples import draw_samples
from report.drawing.checkpoint.walks import draw_interpolations, draw_traversals
from report.drawing.style import message_figure
from report.models.subject import Subject
from report.numbers.checkpoint.latents import kl_per_dimension, latents, tsne
from report.numbers.checkpoint.learning_curves import learning_curves
from report.numbers.checkpoint.manifold import manifold
from report.numbers.checkpoint.reconstructions import denoising, reconstructions
from report.numbers.checkpoint.samples import sample_blocks
from report.numbers.checkpoint.walks import interpolations, traversals

Draw = Callable[[Subject, FigureOptions, str], Figure]
TITLES = {
    "denoising": "Denoising of held-out images",
    "interpolations": "Interpolations between held-out images",
    "latents": "Latents of held-out images",
    "tsne": "Latents of held-out images, by t-SNE",
    "kl_per_dimension": "KL of each latent dimension",
}


def checkpoint_figures(
    subject: Subject, options: FigureOptions | None = None, only: Sequence[str] = ()
) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of every figure that the model has, in the order of FIGURES.

    only: draw these names alone; in place of one that the model lacks, a figure that says why. The manifold of more
    than two latents is drawn where it is asked for: a plane through them shows little of what the model knows.
    """
    options = options or FigureOptions()
    missing = absent(subject) | ({} if options.tsne else {"tsne": "t-SNE was not asked for."})
    unwanted = set() if only or _wants_manifold(subject, options) else {"manifold"}
    held_out = model_caption(subject.description, subject.name) + f"{DOT}{subject.split} split, {len(subject):,} images"
    for name, draw in FIGURES.items():
        if only and name in only and name in missing:
            yield name, message_figure(TITLES[name], held_out, missing[name])
        elif name not in missing and name not in unwanted and (not only or name in only):
            yield name, draw(subject, options, held_out)


def _wants_manifold(subject: Subject, options: FigureOptions) -> bool:
    return subject.latent_size <= 2 or any(name.startswith("manifold_") for name in options.model_fields_set)


def absent(subject: Subject) -> dict[str, str]:
    """The figures that make no sense for this model, each with the reason in a sentence."""
    reasons = {}
    if not subject.has_noise:
        reasons["denoising"] = "The model was trained without noise on its input."
    if subject.codes is None:
        no_codes = "A decoder alone has no code of an image."
        reasons |= dict.fromkeys(("interpolations", "latents", "tsne"), no_codes)
    if subject.kl is None:
        what = "An autoencoder" if subject.mode == "autoencoder" else "A decoder alone"
        reasons["kl_per_dimension"] = f"{what} has no posterior, so no KL."
    return reasons


def _reconstructions(subject: Subject, options: FigureOptions, about: str) -> Figure:
    return draw_reconstructions(reconstructions(subject, options.wished("columns"), options.rows), about)


def _denoising(subject: Subject, options: FigureOptions, about: str) -> Figure:
    return draw_denoising(denoising(subject, options.wished("columns"), options.rows), about)


def _samples(subject: Subject, options: FigureOptions, _: str) -> Figure:
    return draw_samples(sample_blocks(subject, options.samples), model_caption(subject.description, subject.name))


def _manifold(subject: Subject, options: FigureOptions, about: str) -> Figure:
    limit = options.wished("manifold_range")
    return draw_manifold(manifold(subject, options.manifold_grid, options.manifold_spacing, limit), about)


def _traversals(subject: Subject, options: FigureOptions, about: str) -> Figure:
    return draw_traversals(traversals(subject, options.traversal_image, options.traversals), about)


def _interpolations(subject: Subject, options: FigureOptions, about: str) -> Figure:
    return draw_interpolations(interpolations(subject, options.interpolations), about)


def _latents(subject: Subject, options: FigureOptions, about: str) -> Figure:
    return draw_latents(latents(subject, options.latent_samples), about)


def _tsne(subject: Subject, options: FigureOptions, about: str) -> Figure:
    return draw_latents(tsne(subject, options.latent_samples, options.perplexity), about)


def _kl_per_dimension(subject: Subject, _: FigureOptions, about: str) -> Figure:
    return draw_kl_per_dimension(kl_per_dimension(subject), about)


def _learning_curves(subject: Subject, _: FigureOptions, __: str) -> Figure:
    numbers = learning_curves(subject.history, subject.config.keep)
    return draw_learning_curves(numbers, model_caption(subject.description, subject.name))


FIGURES: dict[str, Draw] = {
    "reconstructions": _reconstructions,
    "denoising": _denoising,
    "samples": _samples,
    "manifold": _manifold,
    "traversals": _traversals,
    "interpolations": _interpolations,
    "latents": _latents,
    "kl_per_dimension": _kl_per_dimension,
    "learning_curves": _learning_curves,
    "tsne": _tsne,
}
