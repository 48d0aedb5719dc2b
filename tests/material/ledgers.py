"""Trials written into a ledger as a driver writes them."""

from dataclasses import replace
from typing import Any

from tuning.records import TrialRecord
from tuning.store.ledger import Ledger
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics, Terms

N_EPOCHS = 3


def metrics(epoch: int, val_elbo: float = -100.0) -> EpochMetrics:
    of_epoch = EpochMetrics.of(epoch, 0.5, Terms(90.0, 20.0), Terms(-val_elbo - 10.0, 10.0), None, 0.25)
    return replace(of_epoch, val_elbo=val_elbo)  # exactly, not up to rounding


def new_trial(number: int) -> TrialRecord:
    beta = 0.1 + number / 7
    return TrialRecord(f"{number:04d}", {"beta": beta}, TrialConfig(beta=beta, epochs=N_EPOCHS))


def train(ledger: Ledger, record: TrialRecord, n_epochs: int = N_EPOCHS) -> None:
    """Start it and go on to an epoch, with a checkpoint after each."""
    ledger.started(record)
    for epoch in range(len(record.history) + 1, n_epochs + 1):
        record.history.append(metrics(epoch, -110.0 + epoch))
        ledger.epoch(record, record.history[-1])
        ledger.checkpointed(record, epoch)


def finish(ledger: Ledger, record: TrialRecord, state: Any = "complete", error: str = "") -> None:
    record.state, record.error = state, error
    ledger.finished(record)
