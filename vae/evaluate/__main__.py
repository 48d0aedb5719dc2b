"""Print every number of a trained model on a split: python -m vae.evaluate FOLDER [--split test].

FOLDER/evaluation.json (evaluation-test.json) has them too.
"""

import json
import sys
from collections.abc import Sequence

import torch

from vae.backend.products import prefer_onednn
from vae.cli.exit import FAULT, INTERRUPTED, exit_code
from vae.cli.progress import countdown
from vae.datasets.names import short_name
from vae.datasets.registry import load, spec
from vae.datasets.types import Images, SplitName
from vae.errors import CheckpointError, UserError
from vae.evaluate.arguments import EvaluateOptions, parse
from vae.evaluate.evaluate import Importance, Neighbours, evaluate
from vae.evaluate.result import Evaluation, table
from vae.files import LocalFiles, cannot_write
from vae.storage.checkpoint import Description, images_of, load_model

FILES: dict[SplitName, str] = {"validation": "evaluation.json", "test": "evaluation-test.json"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 2 a fault of the user's, 130 stopped by Ctrl-C.

    Raises BrokenPipeError where nobody reads stdout any more.
    """
    try:
        _run(parse(arguments))
    except UserError as error:
        print(error, file=sys.stderr)
        return FAULT
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _run(options: EvaluateOptions) -> None:
    prefer_onednn()  # no TF32 on a GPU: it rounds to three digits, and here every digit counts
    model, description = load_model(options.folder)
    images = images_of(description, options.folder, options.data_dir, options.split)
    importance = Importance(options.n_samples, min(options.n_images, len(images.pixels)), options.threads)
    neighbours = _neighbours_of(options, description, images)
    with countdown("Importance-weighted bound, images", importance.n_images) as advance:
        try:
            pixels = torch.from_numpy(images.pixels)
            noise_factor = description.config.noise_factor
            numbers = evaluate(model.to(options.device), pixels, importance, neighbours, advance, noise_factor)
        except CheckpointError as error:
            raise CheckpointError(f"{options.folder}: {error}") from None
    try:
        print(_heading(options, description, numbers), table(numbers), *_notes(description), sep="\n", flush=True)
    finally:  # in the file even where nobody reads the lines any more
        _write(options, description, numbers)


def _neighbours_of(options: EvaluateOptions, description: Description, images: Images) -> Neighbours | None:
    """None where the dataset has no labels. Raises UserError where it has fewer images than neighbours."""
    if len(spec(description.dataset, options.data_dir).class_names) < 2:
        return None
    train = load(description.dataset, options.data_dir, "train")
    if options.n_neighbours > len(train.pixels):
        name = short_name(description.dataset)
        raise UserError(
            f"--neighbours {options.n_neighbours}: {name} has {len(train.pixels):,} training images; "
            "allowed: at most as many"
        )
    return Neighbours(images.labels, train, options.n_neighbours)


def _heading(options: EvaluateOptions, description: Description, numbers: Evaluation) -> str:
    split = f"the {numbers.n_images:,} {options.split} images of {short_name(description.dataset)}"
    return f"{options.folder}, epoch {description.epoch}: nats per image on {split}"


def _notes(description: Description) -> list[str]:
    """What a reader must know before comparing these numbers with others."""
    config = description.config
    if config.likelihood == "bernoulli" and config.binarize == "none":
        return ["Grey pixels under a Bernoulli are a cross-entropy, not a likelihood: compare with the same data only."]
    return []


def _write(options: EvaluateOptions, description: Description, numbers: Evaluation) -> None:
    """Raises UserError where the folder cannot be written."""
    found = {
        "dataset": description.dataset,
        "split": options.split,
        "epoch": description.epoch,
        "config": description.config.model_dump(),
        **numbers.as_dict(),
    }
    path = options.folder / FILES[options.split]
    with cannot_write(path):
        LocalFiles(options.folder).write(path.name, (json.dumps(found, indent=2) + "\n").encode())
    print(path)


if __name__ == "__main__":
    sys.exit(exit_code(main))
