"""What Tune asks of a sweep. The sweeps themselves are run in tests/sweep."""

from pathlib import Path

from tuning.sweep.run import Proposals


def test_tune_is_given_each_proposal_and_its_results_go_elsewhere(tmp_path: Path) -> None:
    given = iter([{"trial_id": "0000"}, {"trial_id": "0001"}])
    proposals = Proposals(lambda: next(given))
    assert proposals.suggest("a") == {"trial_id": "0000"}
    proposals.on_trial_complete("a", {"score": -100.0})
    assert proposals.suggest("b") == {"trial_id": "0001"}
    assert (proposals.metric, proposals.mode) == ("score", "max")
    proposals.save(str(tmp_path / "state"))
    assert not (tmp_path / "state").exists()
