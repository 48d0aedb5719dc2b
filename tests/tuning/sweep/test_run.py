import traceback

import pytest
from ray.tune.error import TuneError

from tuning.errors import StorageError
from tuning.sweep.run import unwrapped


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
