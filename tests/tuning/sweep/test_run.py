"""What Tune asks of a sweep, and what it makes of an error. The sweeps themselves are run in tests/sweep."""

import traceback
from pathlib import Path

import pytest
from ray.tune.error import TuneError

from tuning.cluster.allot import Cluster, Node
from tuning.errors import StorageError
from tuning.sweep import run as run_module
from tuning.sweep.run import Machines, Proposals, unwrapped


def test_tune_is_given_each_proposal_and_its_results_go_elsewhere(tmp_path: Path) -> None:
    given = iter([{"trial_id": "0000"}, {"trial_id": "0001"}])
    proposals = Proposals(lambda: next(given), lambda: 2)
    assert proposals.suggest("a") == {"trial_id": "0000"}
    proposals.on_trial_complete("a", {"score": -100.0})
    assert proposals.suggest("b") == {"trial_id": "0001"}
    assert (proposals.metric, proposals.mode) == ("score", "max")
    proposals.save(str(tmp_path / "state"))
    assert not (tmp_path / "state").exists()


def test_no_more_trials_are_under_way_than_the_live_nodes_hold() -> None:
    slots, proposals = [2], Proposals(lambda: {}, lambda: slots[0])
    assert [proposals.suggest(name) for name in "abc"] == [{}, {}, None]
    slots[0] = 1  # a node has died
    proposals.on_trial_complete("a")
    assert proposals.suggest("c") is None
    slots[0] = 3  # two have joined
    assert [proposals.suggest(name) for name in "cde"] == [{}, {}, None]


def test_a_trial_waits_for_a_proposal_that_is_still_being_made() -> None:
    ready = [False]
    proposals = Proposals(lambda: {}, lambda: 2, lambda: ready[0])
    assert proposals.suggest("a") is None
    ready[0] = True
    assert [proposals.suggest(name) for name in "abc"] == [{}, {}, None]


def as_tune_does(raised: Exception) -> None:
    """tune_controller.py: what a callback raises becomes the text of a TuneError."""
    try:
        raise raised
    except Exception:
        raise TuneError(traceback.format_exc())  # noqa: B904 - Tune has no `from` either


@pytest.mark.parametrize("raised", [StorageError("another driver"), OSError(28, "No space left on device")])
def test_what_a_callback_raises_for_the_user_reaches_the_user(raised: Exception) -> None:
    with pytest.raises(type(raised)) as found, unwrapped():
        as_tune_does(raised)
    assert found.value is raised


def test_a_bug_in_a_callback_keeps_its_traceback() -> None:
    with pytest.raises(TuneError, match="ZeroDivisionError"), unwrapped():
        as_tune_does(ZeroDivisionError("a bug"))


def test_search_and_confirmation_share_one_time_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(run_module.time, "monotonic", lambda: now[0])
    cluster = Cluster([Node("n", "10.0.0.1", 4.0, 0.0)], cpus_per_trial=1, gpus_per_trial=0, slots=4, n_threads=1)
    budget, endless = Machines(cluster, {}, 60.0), Machines(cluster, {}, None)
    assert (budget.seconds_left, endless.seconds_left) == (60.0, None)
    now[0] = 145.0  # the search has taken 45 seconds
    assert (budget.have_time, budget.seconds_left) == (True, 15.0)
    now[0] = 161.0
    assert (budget.have_time, endless.have_time) == (False, True)
