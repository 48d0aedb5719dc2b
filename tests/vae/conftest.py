"""What the tests of `python -m vae` share."""

import signal
from collections.abc import Callable

import pytest

from vae.__main__ import main
from vae.model.metrics import EpochMetrics
from vae.training.trial import Training


@pytest.fixture
def fault(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The lines on stderr of a command that is refused with exit code 2."""

    def refused(*arguments: str) -> str:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error.rstrip("\n")

    return refused


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Sends this process a real SIGINT, `times` times, in the midst of an epoch."""

    def set_up(epoch: int, times: int) -> None:
        next_epoch = Training.next_epoch

        def interrupted(training: Training) -> EpochMetrics:
            if training.n_epochs + 1 == epoch:
                monkeypatch.setattr(Training, "next_epoch", next_epoch)
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return next_epoch(training)

        monkeypatch.setattr(Training, "next_epoch", interrupted)

    return set_up
