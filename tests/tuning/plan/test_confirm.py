"""The plan of a confirmation: which configurations, which seeds, and what may change once it has begun."""

from dataclasses import replace
from typing import Any

import pytest

from tests.material.epochs import of_elbo
from tests.material.plans import plan
from tuning.errors import SpaceError, StorageError
from tuning.plan.confirm import confirming
from tuning.plan.plan import Plan, extended
from tuning.records import TrialRecord, trial_id
from tuning.space.model import SearchSpace

PARAMS = {"latent_size": 4, "hidden_units": 64, "learning_rate": 1e-3, "beta": 1.0, "activation": "relu"}
SEED, NAME = 3, "p/confirm"  # plans of tests.material have this seed


def search(**changes: Any) -> Plan:
    content = {"trials": 4, "epochs": 5, "confirm": {"top": 2, "seeds": 3}, **changes}
    return plan(**{name: value for name, value in content.items() if value is not None})


def trials(of: Plan, elbos: list[float], states: dict[int, str] | None = None) -> list[TrialRecord]:
    """One trial for each of these, and for each repeat, in the order of their configurations."""
    found = []
    for number, elbo in enumerate(elbos):
        params = PARAMS | {"latent_size": 4 + number}
        for repeat in range(1, of.space.repeats + 1):
            config = of.space.config(params, of.seed + repeat - 1)
            one = TrialRecord(trial_id(number, repeat, of.space.repeats), params, config, "complete")
            one.state = (states or {}).get(number, "complete")  # type: ignore[assignment]
            one.history.append(of_elbo(1, elbo))
            found.append(one)
    return found


def confirmation(of: Plan, records: list[TrialRecord], before: Plan | None = None) -> Plan:
    found = confirming(of, records, NAME, before)
    assert found is not None
    return found


def test_the_best_are_trained_to_their_full_epochs_with_nothing_proposed() -> None:
    of = search()
    found = confirmation(of, trials(of, [-110.0, -100.0, -105.0, -120.0]))
    assert found.confirms == ("0001", "0002")
    assert [one["latent_size"] for one in found.space.first_trials] == [5, 6]
    assert (found.space.trials, found.space.repeats, found.space.epochs) == (2, 3, 5)
    assert (found.space.scheduler.type, found.space.confirm, found.max_bytes) == ("none", None, None)
    assert (found.name, found.dataset, found.data_dir) == (NAME, of.dataset, of.data_dir)
    assert found.space.dimensions == of.space.dimensions


@pytest.mark.parametrize("changes", [{}, {"repeats": 3, "scheduler": {"type": "none"}}, {"fixed": {"seed": 77}}])
def test_no_trial_of_the_search_has_a_seed_of_the_confirmation(changes: dict[str, Any]) -> None:
    of = search(**changes)
    records = trials(of, [-110.0, -100.0, -105.0, -120.0])
    found = confirmation(of, records)
    seeds = {
        found.space.config(one, found.seed + repeat).seed for one in found.space.first_trials for repeat in range(3)
    }
    assert len(seeds) == 3
    assert not seeds & {record.config.seed for record in records}


def test_a_configuration_that_failed_or_is_there_twice_makes_room_for_the_next() -> None:
    of = search()
    records = trials(of, [-90.0, -100.0, -105.0, -120.0], {0: "failed"})
    records[2] = replace(records[2], params=records[1].params, config=records[1].config)
    assert confirmation(of, records).confirms == ("0001", "0003")
    assert confirming(of, trials(of, [-1.0, -2.0, -3.0, -4.0], dict.fromkeys(range(4), "failed")), NAME) is None


def test_a_pruned_trial_may_be_among_the_best() -> None:
    of = search()
    assert confirmation(of, trials(of, [-90.0, -100.0, -105.0, -120.0], {0: "pruned"})).confirms == ("0000", "0001")


def test_more_epochs_than_in_the_search_are_those_of_the_confirmation() -> None:
    of = search(confirm={"top": 2, "seeds": 3, "epochs": 40})
    assert confirmation(of, trials(of, [-1.0, -2.0, -3.0, -4.0])).space.epochs == 40


def test_a_resumed_confirmation_confirms_the_same_and_a_longer_search_adds_to_it() -> None:
    of = search()
    records = trials(of, [-110.0, -100.0, -105.0, -120.0])
    before = confirmation(of, records)
    assert confirmation(of, records, before) == before
    longer = extended(of, 5, 4)
    after = confirmation(longer, trials(longer, [-110.0, -100.0, -105.0, -120.0, -50.0]), before)
    assert after.confirms == ("0001", "0002", "0004")
    assert after.seed == before.seed
    assert after.space.first_trials[:2] == before.space.first_trials


def test_a_confirmation_that_has_begun_gets_more_seeds_but_not_fewer_and_no_other_epochs() -> None:
    of = search()
    records = trials(of, [-110.0, -100.0, -105.0, -120.0])
    before = confirmation(of, records)
    more = extended(of, None, 4, confirm={"top": 3, "seeds": 5})
    assert confirmation(more, records, before).space.repeats == 5
    assert confirmation(more, records, before).confirms == ("0001", "0002", "0000")
    with pytest.raises(SpaceError, match="--confirm: 2 seeds; those of p have 3 already, or more"):
        confirmation(extended(of, None, 4, confirm={"top": 2, "seeds": 2}), records, before)
    with pytest.raises(SpaceError, match="--confirm: 9 epochs; those of p have 5, and keep them"):
        confirmation(extended(of, None, 4, confirm={"top": 2, "seeds": 3, "epochs": 9}), records, before)


@pytest.mark.parametrize(
    ("changes", "confirm", "fault"),
    [
        ({}, {"top": 9, "seeds": 2}, r"--confirm 9x2: sweep p: the best 9 of 4 configurations; allowed: at most 4"),
        (
            {},
            {"top": 2, "seeds": 2, "epochs": 3},
            r"--confirm 2x2x3: sweep p: 3 epochs, fewer than the 5 of the search",
        ),
        ({}, {"top": 2000, "seeds": 2}, r"--confirm 2000x2: sweep p: allowed: at most the best 1000"),
        (
            {"metric": "rate_distortion", "scheduler": {"type": "none"}},
            {"top": 2, "seeds": 2},
            r"--confirm 2x2: sweep p: confirm with metric rate_distortion: two objectives have a front",
        ),
    ],
)
def test_what_cannot_be_confirmed_is_refused_in_one_line(
    changes: dict[str, Any], confirm: dict[str, int], fault: str
) -> None:
    with pytest.raises(SpaceError, match=fault):
        extended(search(**{"confirm": None, **changes}), None, 4, confirm=confirm)


def test_a_sweep_with_a_confirmation_needs_the_disk_of_both() -> None:
    alone, both = search(confirm=None), search()
    assert both.confirmation is not None
    assert both.expected_bytes(2) == alone.expected_bytes(2) + both.confirmation.expected_bytes(2)
    assert isinstance(both.confirmation.space, SearchSpace)
    assert (both.confirmation.space.n_runs, both.confirmation.expected_epochs()) == (6, 30)


def test_a_confirmation_of_a_configuration_that_the_search_has_not_is_refused() -> None:
    of = search()
    records = trials(of, [-110.0, -100.0, -105.0, -120.0])
    other = replace(confirmation(of, records), confirms=("0001", "0099"))
    with pytest.raises(StorageError, match="p/confirm: confirms configuration 0099, which the search has not"):
        confirming(of, records, NAME, other)
