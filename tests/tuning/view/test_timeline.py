"""How long a start takes: from the command on, and told once."""

import subprocess
import sys
import time

from tests.material.epochs import of_elbo
from tests.material.paths import REPOSITORY
from tests.material.records import trial
from tuning.view.timeline import Timeline, since_command


def test_the_clock_begins_with_the_process_not_with_the_import() -> None:
    code = "import time; time.sleep(1); from tuning.view.timeline import since_command; print(since_command())"
    began = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert 1.0 <= float(told.stdout) <= time.monotonic() - began + 0.05


def test_the_moments_are_told_once_with_the_first_epoch_in_their_order() -> None:
    told: list[dict[str, float]] = []
    timeline, before = Timeline(0.25, told.append), since_command()
    first, second = trial("0000", [90.0]), trial("0001", [90.0])
    timeline.started(first)
    time.sleep(0.1)
    timeline.started(second)  # of a worker that came later
    assert told == []
    timeline.epoch(first, of_elbo(1), None)
    timeline.epoch(second, of_elbo(1), None)
    (moments,) = told
    assert list(moments) == ["ray", "run", "training", "first_epoch"]
    assert moments["ray"] == 0.25
    assert before - 0.02 <= moments["run"] <= moments["training"] <= moments["first_epoch"] - 0.09
