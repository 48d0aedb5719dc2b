import io
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.material.epochs import of_elbo
from tuning.records import TrialRecord, ranked
from tuning.view import progress as progress_module
from tuning.view.progress import Progress
from vae.config import TrialConfig


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def trial(number: int, elbos: tuple[float, ...] = (), state: Any = "running", error: str = "") -> TrialRecord:
    history = [of_elbo(epoch, elbo, 12.5) for epoch, elbo in enumerate(elbos, start=1)]
    config = TrialConfig(beta=0.5, latent_size=8, epochs=4)
    return TrialRecord(f"{number:04d}", {"beta": 0.5, "latent_size": 8}, config, state, history, error)


def run(progress: Progress, record: TrialRecord, state: Any, elbos: tuple[float, ...] = (-110.0,)) -> None:
    """A trial from its start to its end, as the driver tells of it."""
    record.state = "running"
    progress.started(record)
    for epoch, elbo in enumerate(elbos, start=1):
        record.history.append(of_elbo(epoch, elbo, 12.5))
        progress.epoch(record, record.history[-1], None)
    record.state = state
    progress.finished(record)


def rendered(table: Any, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


# ---------------------------------------------------------------- one line


def test_before_the_first_trial_the_line_says_how_many_there_will_be(clock: Clock) -> None:
    assert Progress(12, 4, ["beta"]).summary() == "0/12 trials"


def test_the_line_counts_states_and_names_the_best_the_speed_and_the_time_left(clock: Clock) -> None:
    progress = Progress(20, 4, ["latent_size", "beta"])
    run(progress, trial(0), "complete", (-120.0, -108.125, -109.0))
    run(progress, trial(1), "pruned", (-150.0,))
    run(progress, trial(2), "failed", (-90.0, math.nan))
    progress.started(trial(3))
    progress.started(trial(4))
    clock.now += 120
    # 3 done and 2 half done in 120 s: 30 s each; of 20 trials 16 are left
    assert progress.summary() == (
        "3/20 trials, 1 complete, 1 pruned, 1 failed, 2 running, "
        "best val_elbo -108.12 (trial 0000: latent_size=8 beta=0.5), 1.5 trials/min, 8 min left"
    )
    assert progress.seconds_left() == pytest.approx(30.0 * 16)


def test_the_time_left_is_unknown_before_a_trial_has_ended(clock: Clock) -> None:
    progress = Progress(4, 2, [])
    progress.started(trial(0))
    clock.now += 60
    assert progress.seconds_left() == math.inf
    assert progress.summary() == "0/4 trials, 1 running"


def test_at_the_end_no_time_is_left(clock: Clock) -> None:
    progress = Progress(2, 2, [])
    for number in range(2):
        run(progress, trial(number), "complete")
    clock.now += 30
    assert progress.summary() == "2/2 trials, 2 complete, best val_elbo -110.00 (trial 0000: ), 4.0 trials/min"
    assert progress.seconds_left() == 0


def test_the_last_trials_do_not_leave_a_negative_time(clock: Clock) -> None:
    progress = Progress(2, 4, [])
    run(progress, trial(0), "complete")
    progress.started(trial(1))
    progress.started(trial(2))
    clock.now += 30
    assert progress.seconds_left() == 0


def test_a_resumed_sweep_counts_what_was_done_but_not_in_its_speed(clock: Clock) -> None:
    past = [trial(0, (-105.0,), "complete"), trial(1, (-120.0,), "pruned"), trial(2, (-130.0,))]
    progress = Progress(5, 2, ["beta"], past)
    assert progress.summary() == "2/5 trials, 1 complete, 1 pruned, best val_elbo -105.00 (trial 0000: beta=0.5)"
    run(progress, past[2], "complete", ())
    clock.now += 60
    assert progress.summary() == (
        "3/5 trials, 2 complete, 1 pruned, best val_elbo -105.00 (trial 0000: beta=0.5), 1.0 trials/min, 2 min left"
    )


def test_failed_trials_and_those_without_an_epoch_are_not_the_best(clock: Clock) -> None:
    progress = Progress(5, 2, [])
    progress.started(trial(0))
    run(progress, trial(1), "failed", (-1.0,))
    clock.now += 1
    assert "best" not in progress.summary()


def test_a_running_trial_can_be_the_best_so_far(clock: Clock) -> None:
    progress = Progress(5, 2, [])
    progress.started(trial(0, (-100.0,)))
    assert "best val_elbo -100.00 (trial 0000" in progress.summary()


@given(st.data())
def test_the_best_is_the_first_of_all_trials_ranked_whatever_happens_to_them(data: st.DataObject) -> None:
    """Trials start, go on and end in any order; one that keeps its last epoch may fall behind, the best may fail."""
    keep = data.draw(st.sampled_from(["best", "last"]))
    records = [trial(number) for number in range(4)]
    for record in records:
        record.config = record.config.model_copy(update={"keep": keep})
    progress = Progress(4, 4, [], records[:1])
    for record in records:
        progress.started(record)
    for number in data.draw(st.lists(st.integers(0, 3), max_size=20)):
        record = records[number]
        if record.has_ended:
            continue
        record.history.append(of_elbo(len(record.history) + 1, float(data.draw(st.integers(-103, -100)))))
        progress.epoch(record, record.history[-1], None)
        if data.draw(st.booleans()):
            record.state = data.draw(st.sampled_from(["complete", "failed"]))
            progress.finished(record)
    first = ranked(records)[0]
    expected = first.trial_id if first.state != "failed" and first.best else None
    assert (f"(trial {expected}:" in progress.summary()) if expected else ("best" not in progress.summary())


# ---------------------------------------------------------------- without and with a terminal


class Interrupting(TrialRecord):
    """While somebody looks at it, the driver's thread starts another trial."""

    progress: Progress | None = None

    def __getattribute__(self, name: str) -> Any:
        progress = type(self).progress
        if progress is not None and name in ("state", "history", "params"):
            progress.started(trial(len(progress._records)))
        return super().__getattribute__(name)


def test_the_table_can_be_drawn_while_the_driver_starts_trials(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(600, 4, ["beta"])
    for number in range(3):
        progress.started(Interrupting(f"{number:04d}", {"beta": 0.5}, TrialConfig(), history=[of_elbo(1)]))
    clock.now += 1
    monkeypatch.setattr(Interrupting, "progress", progress)
    assert "0002" in rendered(progress._table())


def test_a_line_walks_over_no_trials(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """At ten thousand trials that took 0.16 s, twice a second."""
    progress = Progress(300, 4, ["beta"])
    for number in range(300):
        run(progress, trial(number), "complete")
    clock.now += 1
    monkeypatch.setattr(progress, "_records", None)
    assert "300 complete" in progress.summary()
    assert "300 complete" in rendered(progress._table())


def test_without_a_terminal_plain_lines_come_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3, 1, ["beta"]) as progress:
        record = trial(0)
        progress.started(record)
        for epoch in range(1, 30):
            clock.now += 1
            progress.epoch(record, of_elbo(epoch, -100.0), None)
        record.state = "complete"
        progress.finished(record)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["0/3 trials, 1 running"] * 2  # after 11 and 22 s
    assert lines[2:] == ["1/3 trials, 1 complete, 2.1 trials/min, 58 s left"]  # at the end
    assert "\x1b" not in "".join(lines)


def test_a_failed_trial_is_told_at_once_with_its_error_as_it_is(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(3, 1, [])
    record = trial(0, error="RuntimeError: [red]tensor[/red] [0, 1] :smile: " + "long " * 60)
    run(progress, record, "failed")
    assert capsys.readouterr().out == f"trial 0000 failed: {record.error}\n"


def test_on_a_terminal_a_table_follows_and_a_line_stays(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()

    def terminal(stderr: bool) -> Console:
        return Console(file=file, force_terminal=True, width=100)

    monkeypatch.setattr(progress_module, "Console", terminal)
    with Progress(2, 1, ["beta"]) as progress:
        progress.started(trial(0, (-100.0,)))
        progress._live.refresh()
    assert "val_elbo" in file.getvalue()
    assert file.getvalue().endswith("0/2 trials, 1 running, best val_elbo -100.00 (trial 0000: beta=0.5)\n")


def test_the_table_has_a_row_per_running_trial_up_to_a_screenful(clock: Clock) -> None:
    progress = Progress(40, 30, ["latent_size", "beta"])
    run(progress, trial(99), "complete")
    clock.now += 1
    for number in range(30):
        progress.started(trial(number, (-120.0, -108.125, -109.0)[: number % 4]))
    text = rendered(progress._table())
    rows = [line for line in text.splitlines() if line[:1] in "\N{BOX DRAWINGS LIGHT VERTICAL}" and "00" in line]
    assert len(rows) == progress_module.SHOWN_RUNNING
    assert [cell.strip() for cell in rows[3].split("\N{BOX DRAWINGS LIGHT VERTICAL}")[1:-1]] == [
        "0003",
        "3/4",
        "-109.00",
        "-108.12",
        "8",
        "0.5",
    ]
    assert [cell.strip() for cell in rows[0].split("\N{BOX DRAWINGS LIGHT VERTICAL}")[1:-1]][:4] == [
        "0000",
        "0/4",
        "",
        "",
    ]
    assert "99" not in "".join(rows)
    assert text.startswith("1/40 trials, 1 complete, 30 running")


def test_ranked_by_distortion_the_view_speaks_of_it_and_shows_a_dash_for_what_does_not_apply(clock: Clock) -> None:
    progress = Progress(4, 2, ["latent_size", "noise_factor"], metric="val_distortion")
    record = trial(0, (-110.0, -108.0))
    record.metric = "val_distortion"
    progress.started(record)
    assert progress.summary() == "0/4 trials, 1 running, best val_distortion 95.50 (trial 0000: latent_size=8)"
    lines = rendered(progress._table()).splitlines()
    bar = "\N{BOX DRAWINGS LIGHT VERTICAL}"
    (row,) = ([cell.strip() for cell in line.split(bar)[1:-1]] for line in lines if line.startswith(bar))
    assert row == ["0000", "2/4", "95.50", "95.50", "8", "-"]
    assert "val_elbo" not in "".join(lines)


def test_no_part_of_the_view_reads_the_wall_clock() -> None:
    source = Path(progress_module.__file__).read_text()
    assert "time.time()" not in source
    assert "datetime" not in source
