"""The Tune trainable: one trial after another in one worker, each from its config to its files."""

from typing import Any

from ray.tune import Trainable

from tuning.storage import SweepStorage
from vae.config import TrialConfig


class VaeTrial(Trainable):  # type: ignore[misc]
    """Trains the trial in its config; a reused worker keeps its images and takes the next one.

    config: {"trial_id": str, "config": the TrialConfig as a dict, "n_known": epochs the driver has of it}.
    Results: EpochMetrics' fields, and `preview` (vae.training.Preview), `checkpoint_epoch`, `done`.
    """

    def setup(self, config: dict[str, Any], **shared: Any) -> None:
        """shared: train, validation (uint8 [N, D], read in place from Ray's object store), dataset,
        image_shape, storage, n_threads, device."""
        # The driver imports this module as well and needs no torch: a second it would spend before Ray starts.
        import torch

        from vae.matmul import prefer_onednn
        from vae.pack import Pack

        torch.set_num_threads(shared["n_threads"])
        prefer_onednn()
        self._place: SweepStorage = shared["storage"]
        self._dataset: str = shared["dataset"]
        self._image_shape: tuple[int, int] = shared["image_shape"]
        train, validation = (_read_only_tensor(shared[split]) for split in ("train", "validation"))
        self._pack = Pack(train, validation, shared["device"])
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        from vae.training import Training

        files = self._place.trial_files(config["trial_id"])
        trial_config = TrialConfig(**config["config"])
        self._training = Training(self._pack, trial_config, self._dataset, self._image_shape, files)
        self._n_told = min(config["n_known"], self._training.n_epochs)

    def step(self) -> dict[str, Any]:
        """One epoch: the first that the driver has not been told of, which a checkpoint may hold already.

        The epoch that was in training when the sweep was stopped is in the checkpoint and nowhere else. A trial
        that had ended before its end was written down tells its last epoch again.
        """
        training = self._training
        if self._n_told == training.n_epochs and not training.is_done:
            training.next_epoch()
        self._n_told = min(self._n_told + 1, training.n_epochs)
        metrics, is_latest = training.history[self._n_told - 1], self._n_told == training.n_epochs
        return {
            **metrics.as_dict(),
            "preview": training.preview() if is_latest and metrics.is_finite else None,
            "checkpoint_epoch": training.checkpoint_epoch,
            "done": is_latest and training.is_done,
        }

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on the next trial; what the last one has is on disk already."""
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        """A trial that is interrupted goes on from here when the sweep is resumed."""
        if hasattr(self, "_training") and not self._training.is_done:
            self._training.save()


def _read_only_tensor(array: Any) -> Any:
    """A tensor over Ray's shared memory; torch warns that it cannot be written, and nothing writes it."""
    import warnings

    import torch

    with warnings.catch_warnings(action="ignore"):
        return torch.from_numpy(array)
