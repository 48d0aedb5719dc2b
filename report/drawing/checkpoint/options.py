"""The options of a checkpoint's figures, each declared once: the command line is generated from these fields."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from report.models.image_choice import COLUMNS, ROWS
from report.models.subject import Subject
from report.numbers.checkpoint.latents import N_POINTS, PERPLEXITY
from report.numbers.checkpoint.manifold import GRID, RANGE, Spacing
from report.numbers.checkpoint.samples import N_SAMPLES
from report.numbers.checkpoint.walks import MAX_PAIRS, MAX_TRAVERSALS


class FigureOptions(BaseModel):
    """Every field has a default. A figure that treats a set option differently from its default asks `wished`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    columns: int = Field(COLUMNS, ge=1, le=60, description="Of reconstructions and denoising: images in a row.")
    rows: int = Field(ROWS, ge=1, le=40, description="Of reconstructions and denoising: rows of images.")
    samples: int = Field(N_SAMPLES, ge=1, le=2_500, description="Images made up.")
    manifold_grid: int = Field(GRID, ge=2, le=60, description="Places a side of the manifold.")
    manifold_range: float = Field(
        RANGE, gt=0, le=8, description="Manifold: z within this of 0. Without it, normal: the whole prior."
    )
    manifold_spacing: Spacing = Field(
        "normal", description="Manifold: places evenly in the prior's probability, or evenly in z."
    )
    traversals: int = Field(MAX_TRAVERSALS, ge=1, le=64, description="Latents traversed, at the most.")
    traversal_image: int = Field(0, ge=0, le=10**9, description="Image of the split whose code is traversed.")
    interpolations: int = Field(MAX_PAIRS, ge=1, le=40, description="Pairs of images interpolated.")
    latent_samples: int = Field(N_POINTS, ge=2, le=100_000, description="Images whose latents are drawn, at the most.")
    tsne: bool = Field(False, description="Draw the latents by t-SNE too.")
    perplexity: float = Field(PERPLEXITY, ge=1, le=10_000, description="Of t-SNE.")

    def wished(self, name: str) -> Any:
        """The value that the user set; None where none was set."""
        return getattr(self, name) if name in self.model_fields_set else None

    def faults_of(self, subject: Subject) -> list[str]:
        """One line for each option that this model or this split cannot follow."""
        faults = self._manifold_faults(subject) + (self._tsne_faults(subject) if self.tsne else [])
        if not self.tsne and self.wished("perplexity") is not None:
            faults.append(f"--perplexity {self.perplexity:g}: is t-SNE's; add --tsne")
        if self.traversal_image >= len(subject):
            has = f"the {subject.split} split has images 0 to {len(subject) - 1}"
            faults.append(f"--traversal-image {self.traversal_image}: {has}")
        return faults

    def _manifold_faults(self, subject: Subject) -> list[str]:
        names = [name for name in type(self).model_fields if name.startswith("manifold_") and self.wished(name)]
        if subject.latent_size == 1:
            why = "a manifold needs two latents, and this model has latent size 1"
            return [f"{flag(name)} {getattr(self, name)}: {why}" for name in names]
        if subject.mode == "autoencoder" and self.wished("manifold_spacing") == "normal":
            return ["--manifold-spacing normal: an autoencoder has no prior; allowed: uniform"]
        return []

    def _tsne_faults(self, subject: Subject) -> list[str]:
        if subject.codes is None:
            return ["--tsne: this model has no encoder, so no latents of images"]
        n_points = min(self.latent_samples, len(subject))
        if subject.latent_size == 1:
            return ["--tsne: this model has latent size 1, which needs no projection; allowed: 2 and more"]
        if n_points <= self.perplexity:
            points = f"t-SNE needs more points than its perplexity, and there are {n_points}"
            return [f"--perplexity {self.perplexity:g}: {points} (--latent-samples, the {subject.split} split)"]
        return []


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
