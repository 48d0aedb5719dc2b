"""OwnProcess: a trial trains alone, in the process of its worker. On CPUs that is fastest, a process to a core."""

from typing import Any

import torch

from tuning.workers.gpu_memory import explained
from tuning.workers.sweep_context import SweepContext
from tuning.workers.tune_results import TuneResults
from vae.backend.products import prefer_fast_products
from vae.config import TrialConfig
from vae.model.shape_class import ShapeClass
from vae.training.pack import Pack
from vae.training.trial import TRAINING_FILES, Training


class OwnProcess:
    """A Device (tuning.workers.tune_worker) with one pack of one trial; each trial takes the place of the last."""

    def __init__(self, context: SweepContext) -> None:
        torch.set_num_threads(context.n_threads)
        prefer_fast_products(context.device)
        self._context = context
        self._pack = Pack(*context.tensors(), device=context.device)
        self._results: TuneResults | None = None

    def join(
        self, trial_id: str, config: dict[str, Any], n_known: int, attempt: int = 1, report_seconds: float = 0.0
    ) -> None:
        context = self._context
        files = context.storage.trial_files(trial_id, attempt)
        files.take_over(TRAINING_FILES)
        data = context.dataset, context.image_shape
        training = Training(self._pack, TrialConfig(**config), *data, files, damaged_is_absent=True)
        self._results = TuneResults(
            training, n_known, context.preview_epochs, context.metric, context.deciding_epochs, report_seconds
        )

    def result(self) -> dict[str, Any]:
        assert self._results is not None, "no trial has joined"
        training = self._results.training
        while self._results.wants_epoch:
            self._results.keep_preview()
            try:
                training.next_epoch()
            except torch.OutOfMemoryError as error:
                raise explained(error, self._context, ShapeClass.alone(training.config), n_trials=1) from None
        return self._results.next()

    def leave(self, keep: bool) -> None:
        if keep and self._results is not None:
            self._results.save()
        self._results = None
