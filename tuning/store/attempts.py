"""AttemptFiles: what training leaves of a trial, in a place that only one attempt writes to.

A trial that goes on after a crash is a new attempt, with a number that the ledger gave it. The first attempt writes to
trials/ID, attempt 2 to trials/ID/attempt-2. So a worker that was cut off from the others, and does not know that its
trial went on elsewhere, cannot write over what is newer, however late its files come.
"""

from collections.abc import Sequence

from tuning.layout import attempt_folder, trial_folder
from tuning.store.interface import Place
from tuning.store.leftovers import is_leftover
from vae.files import Files


class AttemptFiles:
    """Implements vae.files.Files: writes as this attempt; what it has not written is read from the one before."""

    def __init__(self, place: Place, own: Files, trial_id: str, attempt: int) -> None:
        """own: writes below attempt_folder(trial_id, attempt)."""
        self._place = place
        self._own = own
        self._folder = trial_folder(trial_id)
        self._earlier = [attempt_folder(trial_id, number) for number in range(attempt - 1, 0, -1)]

    def read(self, name: str) -> bytes | None:
        if (content := self._own.read(name)) is not None:
            return content
        earlier = (self._place.get(f"{folder}/{name}") for folder in self._earlier)
        return next((content for content in earlier if content is not None), None)

    def write(self, name: str, content: bytes) -> None:
        self._own.write(name, content)

    def take_over(self, names: Sequence[str]) -> None:
        """Have these files as this attempt's own. Remove those that it goes on from, and what a writer that was killed
        left of any attempt.

        names: in the order in which to copy. A worker writes the model before the checkpoint of the same epoch, so
        the checkpoint must be copied first: a model may be newer than its checkpoint, but not older.
        """
        if self._earlier:
            for name in names:
                if self._own.read(name) is None and (content := self.read(name)) is not None:
                    self._own.write(name, content)
        # The same attempt may come here again, after its trainer has died with the broker.
        left = filter(is_leftover, self._place.list(f"{self._folder}/"))
        self._place.delete([*left, *(f"{folder}/{name}" for folder in self._earlier for name in names)])
