"""What another shell asks of a sweep: objects below requests/ in its place, which the driver looks for as it runs.

A wish for a configuration, or for a trial to end, stays there until the ledger has what came of it: a driver that is
killed meanwhile hears it again. A wish for the whole sweep to stop is of the moment, and means nothing to a later run.
"""

import json
import os
import signal
import threading
import uuid
from collections import deque
from contextlib import suppress
from typing import Any

from tuning.errors import StorageError
from tuning.store.interface import Place

REQUESTS = "requests/"
LOOK_SECONDS = 2.0
STOP, STOP_TRIAL, ADD = "stop", "stop trial", "add"


def ask(place: Place, action: str, **more: Any) -> str:
    """Leave a request. Returns its name: it is gone from the place once it has been fulfilled."""
    name = f"{REQUESTS}{uuid.uuid4().hex}.json"
    place.put(name, json.dumps({"action": action, **more}).encode() + b"\n")
    return name


def waiting(place: Place, action: str) -> dict[str, dict[str, Any]]:
    """The requests of this kind that wait, by name. One that cannot be read is none."""
    found = {name: _read(place, name) for name in place.list(REQUESTS)}
    return {name: request for name, request in found.items() if request.get("action") == action}


def _read(place: Place, name: str) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        request = json.loads(place.get(name) or b"{}")
        if isinstance(request, dict):
            return request
    return {}


class Requests:
    """The requests as a driver hears them, in a thread of their own, while it is used as a context manager."""

    def __init__(self, place: Place) -> None:
        """Raises StorageError for a damaged ledger."""
        self._place = place
        self._over = threading.Event()
        self._wanted: deque[tuple[str, dict[str, Any]]] = deque()  # configurations, by the name of the request
        self._to_stop: dict[str, str] = {}  # by trial, the name of the request
        place.delete(list(waiting(place, STOP)))
        if added := waiting(place, ADD):
            events = (json.loads(line) for _, line in place.events())
            fulfilled = {event.get("request") for event in events}
            place.delete([name for name in added if name in fulfilled])
        self._heard: set[str] = set()
        self._hear()

    def __enter__(self) -> "Requests":
        self._over.clear()
        threading.Thread(target=self._listen, daemon=True, name="requests").start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()

    def next_wanted(self) -> tuple[str, dict[str, Any]] | None:
        """A configuration that somebody wants next, with the name of the request."""
        return self._wanted.popleft() if self._wanted else None

    @property
    def n_wanted(self) -> int:
        return len(self._wanted)

    def ends(self, trial_id: str) -> bool:
        """Whether somebody wants this trial to end."""
        return trial_id in self._to_stop

    def fulfilled(self, name: str) -> None:
        self._place.delete([name])

    def ended(self, trial_id: str) -> None:
        """The trial has ended, and the ledger says so."""
        if name := self._to_stop.pop(trial_id, None):
            self.fulfilled(name)

    def _listen(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with suppress(StorageError, OSError):  # the driver's own requests say what is wrong
                self._hear()

    def _hear(self) -> None:
        for name in sorted(set(self._place.list(REQUESTS)) - self._heard):
            self._heard.add(name)
            request = _read(self._place, name)
            if request.get("action") == ADD and isinstance(request.get("params"), dict):
                self._wanted.append((name, request["params"]))
            elif request.get("action") == STOP_TRIAL:
                self._to_stop[str(request.get("trial"))] = name
            elif request.get("action") == STOP:
                self.fulfilled(name)
                os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does: every trial leaves a checkpoint
