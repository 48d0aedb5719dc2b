"""A trial's files: `model.safetensors` (the best epoch's weights) and `checkpoint.safetensors` (to train on from).

Each describes itself in its metadata (config, dataset, epoch, metrics), so it can be read alone. Two checksums guard
it: `crc32` covers the numbers, `description_crc32` the rest. safetensors holds tensors and text only: nothing is
ever unpickled.
"""

import json
import math
import struct
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vae.config import TrialConfig
from vae.datasets.names import is_folder
from vae.datasets.registry import DATASETS, load, spec
from vae.datasets.types import Images, SplitName
from vae.errors import CheckpointError
from vae.files import LocalFiles
from vae.model.metrics import EpochMetrics
from vae.model.network import Vae
from vae.storage.state import AdamState, TrialState

FORMAT = "vae-sweep/1"
MODEL_FILE = "model.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
LONGEST_SIDE = 65_536  # pixels; more is damage, not an image


@dataclass(frozen=True)
class Description:
    """What a file of weights says of itself.

    epoch: that of the weights. history: of a checkpoint every epoch so far; of a model its own epoch alone (in
    files of older versions every epoch up to it). The last is always the weights' own.
    """

    config: TrialConfig
    dataset: str
    image_shape: tuple[int, int]
    epoch: int
    history: list[EpochMetrics] = field(default_factory=list)

    def as_metadata(self) -> dict[str, str]:
        return {
            "format": FORMAT,
            "config": self.config.model_dump_json(),
            "dataset": self.dataset,
            "image_shape": json.dumps(self.image_shape),
            "epoch": str(self.epoch),
            "history": json.dumps([metrics.as_dict() for metrics in self.history]),
        }


def pack_model(weights: dict[str, Tensor], description: Description) -> bytes:
    """The content of model.safetensors."""
    return _packed(weights, description.as_metadata())


def unpack_model(content: bytes, where: str) -> tuple[Vae, Description]:
    """A model ready to evaluate, in its config's precision. Raises CheckpointError, naming `where`, for any damage."""
    metadata, tensors = _unpacked(content, where)
    description = _describe(metadata, where)
    _check_tensors(tensors, description, where)
    height, width = description.image_shape
    model = Vae.alone(height * width, description.config).to(_dtype(description.config))
    model.load_state_dict(tensors)
    return model.eval(), description


def pack_checkpoint(state: TrialState, description: Description) -> bytes:
    """The content of checkpoint.safetensors."""
    groups = {"weights": state.weights, "exp_avg": state.adam.exp_avg, "exp_avg_sq": state.adam.exp_avg_sq}
    tensors = {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
    return _packed(tensors, {**description.as_metadata(), "adam_step": str(state.adam.step)})


def unpack_checkpoint(content: bytes, where: str) -> tuple[TrialState, Description]:
    """The inverse of pack_checkpoint. Raises CheckpointError."""
    metadata, every = _unpacked(content, where)
    description = _describe(metadata, where)
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "exp_avg": {}, "exp_avg_sq": {}}
    for key, tensor in every.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = tensor
    for tensors in groups.values():
        _check_tensors(tensors, description, where)
    try:
        step = _checked_count(metadata.get("adam_step", ""))
    except ValueError:
        raise CheckpointError(f"{where}: no Adam step count; it is not a checkpoint to train on from") from None
    adam = AdamState(step, groups["exp_avg"], groups["exp_avg_sq"])
    return TrialState(description.config, groups["weights"], adam, description.epoch), description


def load_model(folder: Path) -> tuple[Vae, Description]:
    """The best model in a trial's folder. Raises CheckpointError."""
    path = folder / MODEL_FILE
    content = LocalFiles(folder).read(MODEL_FILE) if folder.is_dir() else None
    if content is None:
        raise CheckpointError(f"{path}: no such file; expected a folder that holds {MODEL_FILE}")
    return unpack_model(content, str(path))


def images_of(description: Description, folder: Path, data_dir: Path, split: SplitName) -> Images:
    """A split of the dataset that the model in `folder` was trained on.

    Raises CheckpointError where that dataset is unknown or now has images of another size, DataError where it
    cannot be read.
    """
    name = description.dataset
    if name not in DATASETS and not is_folder(name):
        raise CheckpointError(f"{folder}: of dataset {name!r}; this version knows {', '.join(DATASETS)}")
    shape = spec(name, data_dir).image_shape
    if shape != description.image_shape:
        expected, found = (f"{height} x {width}" for height, width in (description.image_shape, shape))
        raise CheckpointError(f"{folder}: the model expects {expected} images; the dataset {name} has {found}")
    return load(name, data_dir, split)


def _packed(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    metadata = {**metadata, "crc32": _checksum(tensors)}
    return safetensors.torch.save(tensors, {**metadata, "description_crc32": _description_checksum(metadata, tensors)})


def _checksum(tensors: dict[str, Tensor]) -> str:
    """CRC-32 of every number: a changed bit of a weight would be a wrong number that nothing else notices."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].contiguous().view(torch.uint8).numpy().tobytes(), crc)
    return f"{crc:08x}"


def _description_checksum(metadata: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """CRC-32 of the metadata and of the tensors' names, types and shapes, whatever the order they are written in."""
    layout = [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in sorted(tensors.items())]
    return f"{zlib.crc32(json.dumps([sorted(metadata.items()), layout]).encode()):08x}"


def _unpacked(content: bytes, where: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors. A file without a checksum was written before there was one, and is taken as it is."""
    metadata = _metadata(content, where)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{where}: format {metadata.get('format')!r}; this version reads {FORMAT!r}")
    tensors = _tensors(content, where)
    of_description = metadata.pop("description_crc32", None)
    if of_description is not None and of_description != _description_checksum(metadata, tensors):
        raise CheckpointError(f"{where}: damaged: its description is not the one that was written (CRC-32)")
    of_numbers = metadata.get("crc32")
    if of_numbers is not None and of_numbers != _checksum(tensors):
        raise CheckpointError(f"{where}: damaged: its numbers are not those that were written (CRC-32)")
    return metadata, tensors


def _metadata(content: bytes, where: str) -> dict[str, str]:
    """The JSON header of a safetensors file (length as 8 bytes, then text): safetensors' own reader needs a path."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        return {str(key): str(value) for key, value in metadata.items()}
    except (struct.error, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CheckpointError(f"{where}: truncated or not a checkpoint of this program") from None


def _tensors(content: bytes, where: str) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:  # KeyError: an unknown dtype
        raise CheckpointError(f"{where}: truncated or damaged ({error})") from None
    return tensors


def _describe(metadata: dict[str, str], where: str) -> Description:
    try:
        return Description(
            config=TrialConfig.model_validate_json(metadata["config"]),
            dataset=metadata["dataset"],
            image_shape=_checked_shape(json.loads(metadata["image_shape"])),
            epoch=_checked_count(metadata["epoch"]),
            history=[_checked_metrics(metrics) for metrics in json.loads(metadata["history"])],
        )
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:  # pydantic's is a ValueError
        raise CheckpointError(f"{where}: damaged description ({' '.join(str(error).split())[:120]})") from None


def _checked_shape(sides: Any) -> tuple[int, int]:
    height, width = sides
    if not all(type(side) is int and 1 <= side <= LONGEST_SIDE for side in (height, width)):
        raise ValueError(f"image_shape {sides}")
    return height, width


def _checked_count(text: str) -> int:
    if not (text.isdecimal() and len(text) < 20):
        raise ValueError(f"{text[:20]!r} is no count")
    return int(text)


def _checked_metrics(found: Any) -> EpochMetrics:
    """An epoch of at least 1 and finite numbers; None, where the trial may have no such number."""
    metrics = EpochMetrics(**found)
    if type(metrics.epoch) is not int or metrics.epoch < 1:
        raise ValueError(f"epoch {metrics.epoch!r} in the history")
    for number in fields(EpochMetrics):
        value = getattr(metrics, number.name)
        is_absent = value is None and number.default is None
        if not is_absent and (type(value) not in (int, float) or not math.isfinite(value)):
            raise ValueError(f"{number.name} {value!r} in the history, must be a finite number")
    return metrics


def _dtype(config: TrialConfig) -> torch.dtype:
    """What weights are kept in; bf16 is of the layers' products only."""
    return torch.float64 if config.precision == "float64" else torch.float32


def _check_tensors(tensors: dict[str, Tensor], description: Description, where: str) -> None:
    """Names, shapes and types are those that the config says."""
    height, width = description.image_shape
    with torch.device("meta"):  # a description that asks for terabytes is only read
        model = Vae.alone(height * width, description.config)
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    dtype = _dtype(description.config)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{where}: {name} is {found.get(name, 'missing')}, its config says {expected.get(name, 'no such')}"
            )
        if tensors[name].dtype != dtype:
            raise CheckpointError(f"{where}: {name} is of {tensors[name].dtype}, its config says {dtype}")
