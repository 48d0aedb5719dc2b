"""What a training step of a pack costs on a GPU: the bytes that it moves decide, not its operations.

Counted are the factors and results of the matrix products, Adam's numbers, and the images. What lies between the
products (activations, the loss) stays in the 50 MB cache of such a GPU. Not measured on a GPU.
"""

from collections.abc import Iterator
from itertools import pairwise

from vae.model.shape_class import ShapeClass

BYTES_PER_SECOND = 4.1e12  # of an H200: 85 % of its 4.8 TB/s
LAUNCH_SECONDS = 50e-6  # the least that a captured step takes, however small it is
ADAM_NUMBERS = 7  # of a parameter: it reads weight, gradient and two moments, and writes weight and two moments


def step_bytes(shape: ShapeClass, n_pixels: int) -> int:
    """Bytes that one trial of a pack moves in a step."""
    number = 8 if shape.precision == "float64" else 4
    products = sum(n_times * numbers for n_times, numbers in _products(shape, n_pixels))
    adam = ADAM_NUMBERS * shape.config.n_parameters(n_pixels)
    image = shape.batch_size * n_pixels  # read as a byte, written as a number
    return (products + adam + image) * number + image


def step_seconds(shape: ShapeClass, n_trials: float, n_pixels: int) -> float:
    """Of so many trials of a class at once; of none, none."""
    return max(LAUNCH_SECONDS, n_trials * step_bytes(shape, n_pixels) / BYTES_PER_SECOND) if n_trials else 0.0


def _products(shape: ShapeClass, n_pixels: int) -> Iterator[tuple[int, int]]:
    """Of each layer: how many products it has, and how many numbers each of them reads and writes.

    Forward, the weight's gradient, the input's gradient: each reads two of input, weight and output, and writes the
    third. The input of the first layer needs no gradient.
    """
    hidden = [shape.hidden_units] * shape.hidden_layers
    n_heads = {"vae": 2, "autoencoder": 1, "decoder_only": 0}[shape.mode]
    n_outputs = 2 if shape.likelihood == "gaussian" and shape.variance == "per_pixel" else 1
    encoder = list(pairwise([n_pixels, *hidden])) if n_heads else []
    heads = [(shape.hidden_units, shape.latent_size)] * n_heads
    decoder = list(pairwise([shape.latent_size, *hidden]))
    outputs = [(shape.hidden_units, n_pixels)] * n_outputs
    for index, (n_in, n_out) in enumerate([*encoder, *heads, *decoder, *outputs]):
        yield 2 if index == 0 else 3, shape.batch_size * (n_in + n_out) + n_in * n_out
