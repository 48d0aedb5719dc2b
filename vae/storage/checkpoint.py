"""A trial's files: `model.safetensors` (the best epoch's weights) and `checkpoint.safetensors` (to train on from).

Both describe themselves: the file's metadata holds the config, the dataset, the epoch and the history,
so either can be read alone. safetensors holds tensors and text only; nothing is ever unpickled.
"""

import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vae.config import TrialConfig
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
    """What a file of weights says of itself. `epoch` is the epoch the weights are of."""

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
    """A model ready to evaluate. Raises CheckpointError, naming `where`, for anything it cannot stand by."""
    description = _describe(content, where)
    tensors = _tensors(content, where)
    _check_shapes(tensors, description, where)
    _check_numbers(tensors, content, where)
    height, width = description.image_shape
    model = Vae.alone(height * width, description.config)
    model.load_state_dict(tensors)
    return model.eval(), description


def pack_checkpoint(state: TrialState, description: Description) -> bytes:
    """The content of checkpoint.safetensors."""
    groups = {"weights": state.weights, "exp_avg": state.adam.exp_avg, "exp_avg_sq": state.adam.exp_avg_sq}
    tensors = {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
    return _packed(tensors, {**description.as_metadata(), "adam_step": str(state.adam.step)})


def unpack_checkpoint(content: bytes, where: str) -> tuple[TrialState, Description]:
    """The inverse of pack_checkpoint. Raises CheckpointError."""
    description = _describe(content, where)
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "exp_avg": {}, "exp_avg_sq": {}}
    every = _tensors(content, where)
    for key, tensor in every.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = tensor
    for tensors in groups.values():
        _check_shapes(tensors, description, where)
    _check_numbers(every, content, where)
    step = _metadata(content, where).get("adam_step", "")
    if not step.isdecimal():
        raise CheckpointError(f"{where}: no Adam step count; it is not a checkpoint to train on from")
    adam = AdamState(int(step), groups["exp_avg"], groups["exp_avg_sq"])
    return TrialState(description.config, groups["weights"], adam, description.epoch), description


def load_model(folder: Path) -> tuple[Vae, Description]:
    """The best model in a trial's folder. Raises CheckpointError."""
    path = folder / MODEL_FILE
    content = LocalFiles(folder).read(MODEL_FILE) if folder.is_dir() else None
    if content is None:
        raise CheckpointError(f"{path}: no such file; expected a folder that holds {MODEL_FILE}")
    return unpack_model(content, str(path))


def _packed(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    return safetensors.torch.save(tensors, {**metadata, "crc32": _checksum(tensors)})


def _checksum(tensors: dict[str, Tensor]) -> str:
    """CRC-32 of every number: a changed bit of a weight would be a wrong number that nothing else notices."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].contiguous().view(torch.uint8).numpy().tobytes(), crc)
    return f"{crc:08x}"


def _metadata(content: bytes, where: str) -> dict[str, str]:
    """The JSON header of a safetensors file (length as 8 bytes, then text): safetensors' own reader needs a path."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        return {str(key): str(value) for key, value in metadata.items()}
    except (struct.error, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        raise CheckpointError(f"{where}: truncated or not a checkpoint of this program") from None


def _describe(content: bytes, where: str) -> Description:
    metadata = _metadata(content, where)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{where}: format {metadata.get('format')!r}; this version reads {FORMAT!r}")
    try:
        height, width = _checked_shape(json.loads(metadata["image_shape"]))
        return Description(
            config=TrialConfig.model_validate_json(metadata["config"]),
            dataset=metadata["dataset"],
            image_shape=(height, width),
            epoch=_checked_epoch(metadata["epoch"]),
            history=[EpochMetrics(**metrics) for metrics in json.loads(metadata["history"])],
        )
    except (KeyError, ValueError, TypeError) as error:  # pydantic's ValidationError is a ValueError
        raise CheckpointError(f"{where}: damaged description ({' '.join(str(error).split())[:120]})") from None


def _checked_shape(sides: Any) -> tuple[int, int]:
    height, width = sides
    if not all(isinstance(side, int) and 1 <= side <= LONGEST_SIDE for side in (height, width)):
        raise ValueError(f"image_shape {sides}")
    return height, width


def _checked_epoch(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"epoch {text}")
    return int(text)


def _tensors(content: bytes, where: str) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:  # KeyError: an unknown dtype
        raise CheckpointError(f"{where}: truncated or damaged ({error})") from None
    return tensors


def _check_numbers(tensors: dict[str, Tensor], content: bytes, where: str) -> None:
    expected = _metadata(content, where).get("crc32")
    if expected is not None and _checksum(tensors) != expected:  # None: written before there was one
        raise CheckpointError(f"{where}: damaged: its numbers are not those that were written (CRC-32)")


def _check_shapes(tensors: dict[str, Tensor], description: Description, where: str) -> None:
    height, width = description.image_shape
    with torch.device("meta"):  # a description that asks for terabytes is only read
        model = Vae.alone(height * width, description.config)
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{where}: {name} is {found.get(name, 'missing')}, its config says {expected.get(name, 'no such')}"
            )
        if not tensors[name].is_floating_point():
            raise CheckpointError(f"{where}: {name} is of {tensors[name].dtype}, expected a floating-point type")
