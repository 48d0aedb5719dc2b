"""Trials written into a ledger as a driver writes them."""

from typing import Any

from tests.material.epochs import of_elbo
from tuning.records import TrialRecord
from tuning.store.ledger import Ledger
from vae.config import TrialConfig

N_EPOCHS = 3


def new_trial(number: int) -> TrialRecord:
    beta = 0.1 + number / 7
    return TrialRecord(f"{number:04d}", {"beta": beta}, TrialConfig(beta=beta, epochs=N_EPOCHS))


def train(ledger: Ledger, record: TrialRecord, n_epochs: int = N_EPOCHS) -> None:
    """Start it and go on to an epoch, with a checkpoint after each."""
    ledger.started(record)
    for epoch in range(len(record.history) + 1, n_epochs + 1):
        record.history.append(of_elbo(epoch, -110.0 + epoch))
        ledger.epoch(record, record.history[-1])
        ledger.checkpointed(record, epoch)


def finish(ledger: Ledger, record: TrialRecord, state: Any = "complete", error: str = "") -> None:
    record.state, record.error = state, error
    ledger.finished(record)
