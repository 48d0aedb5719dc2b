"""What fresh seeds say of the best configurations of a search."""

from pathlib import Path

import pytest

from tests.material.fresh import searched_and_confirmed
from tests.material.reports import record, sweep
from tuning.confirmed import confirmed, noise_line, spread_of_seeds

NOWHERE = Path("nowhere")


def test_the_confirmed_are_ranked_by_the_mean_of_their_fresh_seeds() -> None:
    first, second = confirmed(searched_and_confirmed(NOWHERE))
    assert [(one.rank, one.rank_in_search, one.name) for one in (first, second)] == [(1, 2, "0002"), (2, 1, "0001")]
    assert (first.mean, second.mean) == (-101.0, -103.0)
    assert first.sd == pytest.approx(2**0.5)
    assert (first.shrinkage, second.shrinkage) == (0.5, 4.0)  # -100.5 and -99 in the search


@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_configuration_of_which_a_seed_has_not_ended_well_is_not_confirmed(state: str) -> None:
    of = searched_and_confirmed(NOWHERE)
    assert of.confirmation is not None
    of.confirmation.trials[0].state = state  # of 0001
    assert [one.name for one in confirmed(of)] == ["0002"]


def test_a_configuration_whose_last_seed_was_not_proposed_yet_is_not_confirmed() -> None:
    of = searched_and_confirmed(NOWHERE)
    assert of.confirmation is not None
    del of.confirmation.trials[-1]
    assert [one.name for one in confirmed(of)] == ["0001"]


def test_a_sweep_that_nobody_confirms_has_none() -> None:
    assert confirmed(sweep(NOWHERE, [record("0000", [-100.0])])) == []


def test_the_line_on_noise_names_those_that_the_first_cannot_be_told_apart_from() -> None:
    """Means 2 apart, each with a variance of 2 over two seeds: t is 1.41, and 4.30 would be needed."""
    assert noise_line(confirmed(searched_and_confirmed(NOWHERE))).startswith("1 and 2 cannot be told apart: ")
    far = searched_and_confirmed(
        NOWHERE, {"0001": [-110.0, -110.1], "0002": [-101.0, -101.1], "0000": [-130.0, -130.3]}
    )
    assert noise_line(confirmed(far)).startswith(
        "1 is ahead of all others by more than a seed does: of 2 by 9.00 nats, "
    )
    three = searched_and_confirmed(
        NOWHERE, {"0001": [-100.0, -103.0], "0002": [-101.0, -104.0], "0000": [-102.0, -106.0]}
    )
    assert noise_line(confirmed(three)).startswith("1 cannot be told apart from 2 and 3: ")
    assert noise_line(confirmed(far)[:1]) == ""


def test_a_seed_moves_as_far_as_the_fresh_seeds_say_and_else_the_repeats_of_the_search() -> None:
    spread = spread_of_seeds(searched_and_confirmed(NOWHERE))
    assert spread is not None
    assert (spread.sd, spread.degrees) == (pytest.approx(2**0.5), 2)
    own = sweep(NOWHERE, [record("0000-1", [-100.0]), record("0000-2", [-104.0]), record("0001-1", [-1.0])])
    spread = spread_of_seeds(own)
    assert spread is not None
    assert (spread.sd, spread.degrees) == (pytest.approx(8**0.5), 1)
    assert spread_of_seeds(sweep(NOWHERE, [record("0000", [-100.0])])) is None
