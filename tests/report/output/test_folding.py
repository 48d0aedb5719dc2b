"""TensorBoard's events of a large sweep: those of the best trials are kept."""

from pathlib import Path

import pytest

from report.output import folding
from report.output.folding import MANY, Folding, folding_notes
from report.output.live_events import SweepEvents
from tests.material.reports import SEARCH, record
from tuning.records import State, TrialRecord

OTHER_FILES = ("config.json", "metrics.jsonl", "model.safetensors")


@pytest.fixture(autouse=True)
def three_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "KEPT", 3)


def _trial(folder: Path, name: str, elbo: float, state: State = "complete") -> TrialRecord:
    """With files of its own, which nothing may remove."""
    one = record(name, [elbo], state)
    (folder / one.folder).mkdir(parents=True, exist_ok=True)
    for file in OTHER_FILES:
        (folder / one.folder / file).write_text(name)
    return one


def _run(folder: Path, trials: list[TrialRecord], past: tuple[TrialRecord, ...] = (), n_trials: int = MANY) -> None:
    events = SweepEvents(folder, SEARCH, past=past, n_trials=n_trials)
    for one in trials:
        events.started(one)
        events.finished(one)
    events.close()


def _with_events(folder: Path) -> set[str]:
    return {path.parent.name for path in (folder / "trials").glob("*/*tfevents*")}


def test_of_a_large_sweep_the_best_trials_keep_their_events_and_every_trial_its_other_files(tmp_path: Path) -> None:
    elbos = {"a": -90.0, "b": -80.0, "c": -99.0, "d": -70.0, "e": -95.0, "f": -85.0}
    trials = [_trial(tmp_path, name, elbo) for name, elbo in elbos.items()]
    _run(tmp_path, [*trials, _trial(tmp_path, "broken", -1.0, "failed")])
    assert _with_events(tmp_path) == {"d", "b", "f"}
    for name in (*elbos, "broken"):
        assert {path.name for path in (tmp_path / "trials" / name).iterdir()} >= set(OTHER_FILES)


def test_of_a_smaller_sweep_all_keep_them(tmp_path: Path) -> None:
    _run(tmp_path, [_trial(tmp_path, name, -90.0) for name in "abcde"], n_trials=MANY - 1)
    assert _with_events(tmp_path) == set("abcde")
    assert folding_notes(MANY - 1) == []


def test_a_trial_that_is_running_keeps_them(tmp_path: Path) -> None:
    events = SweepEvents(tmp_path, SEARCH, n_trials=MANY)
    for name in ("a", "b", "c", "d", "e"):
        events.started(_trial(tmp_path, name, -200.0, "running"))
    for name, elbo in (("a", -90.0), ("b", -80.0), ("c", -70.0), ("d", -60.0)):
        events.finished(_trial(tmp_path, name, elbo))
    assert _with_events(tmp_path) == {"b", "c", "d", "e"}
    events.close()


def test_a_resumed_sweep_goes_on_with_the_best_of_both_runs(tmp_path: Path) -> None:
    first = [_trial(tmp_path, name, elbo) for name, elbo in (("a", -90.0), ("b", -80.0), ("c", -70.0), ("d", -60.0))]
    _run(tmp_path, first)
    _run(tmp_path, [_trial(tmp_path, "e", -75.0), _trial(tmp_path, "f", -100.0)], past=tuple(first))
    assert _with_events(tmp_path) == {"c", "d", "e"}


def test_a_sweep_that_grows_large_folds_what_it_has(tmp_path: Path) -> None:
    first = [_trial(tmp_path, name, -90.0 + place) for place, name in enumerate("abcde")]
    _run(tmp_path, first, n_trials=5)
    _run(tmp_path, [], past=tuple(first))
    assert _with_events(tmp_path) == {"c", "d", "e"}


def test_a_mirror_on_another_machine_gets_the_events_of_the_best_alone(tmp_path: Path) -> None:
    past = [_trial(tmp_path, name, -90.0 + place) for place, name in enumerate("abcde")]
    SweepEvents(tmp_path, SEARCH, ended=past, past=past, n_trials=MANY).close()
    assert _with_events(tmp_path) == {"c", "d", "e"}


def test_a_failed_trial_that_is_begun_again_and_becomes_the_best_keeps_them(tmp_path: Path) -> None:
    kept = [_trial(tmp_path, name, elbo) for name, elbo in (("a", -90.0), ("b", -80.0))]
    events = SweepEvents(tmp_path, SEARCH, n_trials=MANY)
    for one in (*kept, _trial(tmp_path, "again", -1.0, "failed"), _trial(tmp_path, "again", -50.0)):
        events.started(one)
        events.finished(one)
    for one in (_trial(tmp_path, "c", -85.0), _trial(tmp_path, "d", -84.0)):
        events.started(one)
        events.finished(one)
    events.close()
    assert _with_events(tmp_path) == {"again", "b", "d"}


def test_it_is_said_in_one_line() -> None:
    (line,) = folding_notes(MANY)
    assert "leaderboard.csv" in line
    assert "\n" not in line


def test_of_ten_thousand_each_is_folded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[Path] = []
    monkeypatch.setattr(folding, "_remove_events", removed.append)
    fold = Folding(tmp_path, 10_000)
    for number in range(10_000):
        fold.ended(record(f"{number:05d}", [-float(number * 7919 % 10_007)]))
    assert len(removed) == len(set(removed)) == 10_000 - 3
