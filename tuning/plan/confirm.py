"""The plan of a confirmation: the best configurations of a search, each with seeds that none of its trials had.

Which they are is decided once, when the search is whole, and stands in the confirmation's manifest before it trains.
A search that goes on with more trials may find better ones: these are added, and those that there are stay.
"""

from collections.abc import Sequence
from dataclasses import replace

from tuning.errors import SpaceError, StorageError
from tuning.plan.plan import Plan
from tuning.records import Configuration, TrialRecord, configurations


def confirming(plan: Plan, records: Sequence[TrialRecord], name: str, before: Plan | None = None) -> Plan | None:
    """The plan that confirms this one; None where no configuration is sound. `records`: of the search, which is whole.
    before: as the confirmation has begun. Raises SpaceError where that cannot be changed so, StorageError where it is
    not of this search."""
    assert plan.space.confirm is not None
    known = before.confirms if before else ()
    found = {one.name: one for one in configurations(records)}
    names = (*known, *(one for one in _best(list(found.values()), plan.space.confirm.top) if one not in known))
    if unknown := [one for one in known if one not in found]:
        raise StorageError(f"{name}: confirms configuration {unknown[0]}, which the search has not")
    if not names:
        return None
    space = plan.space.confirmed_by([found[one].params for one in names])
    if before:
        refuse_other(plan, before)
    # The seeds of the search are those that its trials have, and those that trials of it would have.
    of_search = {plan.seed + plan.space.repeats - 1, *(record.config.seed for record in records)}
    seed = before.seed if before else max(of_search) + 1
    return replace(plan, name=name, space=space, seed=seed, max_bytes=None, confirms=names)


def _best(best_first: Sequence[Configuration], top: int) -> list[str]:
    """The names of the best, of equal ones the first; fewer where fewer are sound."""
    sound: list[Configuration] = []
    for one in best_first:
        if one.n and not one.is_failed and all(one.params != other.params for other in sound):
            sound.append(one)
        if len(sound) == top:
            break
    return [one.name for one in sound]


def refuse_other(plan: Plan, before: Plan) -> None:
    """Raises SpaceError where a confirmation that has begun would get other epochs or fewer seeds."""
    if plan.space.confirm is None:
        return
    space, has = plan.space.confirmed_by(), before.space
    if space.epochs != has.epochs:
        raise SpaceError(f"--confirm: {space.epochs} epochs; those of {plan.name} have {has.epochs}, and keep them")
    if space.repeats < has.repeats:
        raise SpaceError(f"--confirm: {space.repeats} seeds; those of {plan.name} have {has.repeats} already, or more")
