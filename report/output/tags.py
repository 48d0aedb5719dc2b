"""The names of a report's pictures in TensorBoard, which shows them in the order of their names."""

from report.drawing.checkpoint.figures import FIGURES

OF_A_SWEEP = (  # the overview first, then what each hyperparameter does, then the curves
    "rate_distortion", "sheet", "optimisation_history", "parameter_importance", "slices", "bound_per_images_seen",
    "repeats", "denoising",
)  # fmt: skip


def sweep_tag(name: str) -> str:
    """sheet -> '1_sweep/2_sheet'."""
    return f"1_sweep/{OF_A_SWEEP.index(name) + 1}_{name}"


def model_tag(rank: int, name: str) -> str:
    """Of the best model, manifold -> '2_best_1/4_manifold'; a figure has the same number in every model."""
    return f"2_best_{rank}/{list(FIGURES).index(name) + 1}_{name}"


def animation_tag(rank: int, kind: str) -> str:
    """Beside the figure of the same name: '2_best_1/4_manifold_over_training'."""
    return f"{model_tag(rank, kind)}_over_training"
