"""The convention of the report's rooms: numbers/ROOM/x.py holds the numbers that drawing/ROOM/x.py draws."""

import pytest

from tests.material.paths import REPOSITORY

DRAWS_NOTHING_OF_ITS_OWN = {"figures", "options"}  # the list of a room's figures, and what may be chosen about them
# Which trials the others show; what importance is computed by; what is told in words.
IS_NOT_DRAWN = {"compared_trials", "ped_anova", "told_apart"}


@pytest.mark.parametrize("room", ["checkpoint", "sweep"])
def test_numbers_and_their_drawing_have_the_same_name(room: str) -> None:
    numbers, drawing = (
        {file.stem for file in (REPOSITORY / "report" / side / room).glob("*.py")} for side in ("numbers", "drawing")
    )
    assert len(numbers) > 5
    assert numbers - IS_NOT_DRAWN == drawing - DRAWS_NOTHING_OF_ITS_OWN
