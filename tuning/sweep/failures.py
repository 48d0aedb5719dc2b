"""FailuresInARow: whether trials fail one after the other for one cause, which is then not theirs."""

import re

LEAST = 3  # failures in a row of the same cause, or as many as trials run at a time, end a sweep
NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


class FailuresInARow:
    """Counts the failures of the same cause since a trial ended well. Numbers in a cause differ from trial to trial."""

    def __init__(self, slots: int) -> None:
        self._most = max(LEAST, slots)
        self._cause = ""
        self._n = 0

    def ended(self) -> None:
        """A trial has ended by its own numbers."""
        self._n = 0

    def failed(self, cause: str) -> str:
        """Count a failure. Returns why the sweep should end; '' where it should go on."""
        kind = NUMBERS.sub("#", cause)
        self._n = self._n + 1 if kind == self._cause else 1
        self._cause = kind
        return f"{self._n} trials in a row failed for the same cause: {cause}" if self._n >= self._most else ""
