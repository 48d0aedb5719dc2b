"""What a trial's error says where its GPU has no memory left: the configuration, and what would fit."""

import torch

from tuning.cluster.checks import MEMORY_SHARE
from tuning.workers.sweep_context import SweepContext
from vae.model.shape_class import ShapeClass


def explained(error: Exception, context: SweepContext, shape: ShapeClass, n_trials: int) -> Exception:
    """The error that an epoch of so many trials ended with, in words of theirs if the GPU's memory is the cause."""
    if not isinstance(error, torch.OutOfMemoryError) or context.device != "cuda":
        return error
    slot = shape.slot_bytes(context.train.shape[1], len(context.train), len(context.validation))
    return RuntimeError(out_of_memory(shape, n_trials, slot, torch.cuda.mem_get_info()[1]))


def out_of_memory(shape: ShapeClass, n_trials: int, slot_bytes: int, gpu_bytes: int) -> str:
    """One line. n_trials: that train as one. slot_bytes: of each, see ShapeClass.slot_bytes. gpu_bytes: in all."""
    n_fitting = int(gpu_bytes * MEMORY_SHARE / slot_bytes)
    what = (
        f"batch_size {shape.batch_size}, hidden_units up to {shape.hidden_units}, hidden_layers {shape.hidden_layers}, "
        f"latent_size up to {shape.latent_size}"
    )
    if n_fitting >= n_trials:
        fits = "other processes use the rest"
    elif n_fitting:
        fits = f"--pack {n_fitting} would fit"
    else:
        fits = "not one fits: try a smaller batch_size or hidden_units"
    return (
        f"out of GPU memory: {n_trials} at a time of {what} take about {n_trials * slot_bytes / 2**30:.1f} GiB "
        f"of {gpu_bytes / 2**30:.1f} GiB; {fits}"
    )
