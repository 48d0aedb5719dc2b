"""Ending: how a command ends, for people, for scripts (--json) and for whoever wants to hear of it (--notify)."""

import json
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from tuning.store.place import SweepStorage
from tuning.view.console import CONSOLE
from tuning.view.status import status
from vae.errors import UserError

NOTIFY_SECONDS = 60.0


class Ending:
    """Use it as a context manager around a command: what a user can cause becomes one line and exit code 2.

    code: the exit code. storage: the sweep, once the command knows it; result: what else the command answers with.
    """

    def __init__(self, arguments: Sequence[str] | None) -> None:
        words = sys.argv[1:] if arguments is None else arguments
        self.notify: str | None = None
        self.storage: SweepStorage | None = None
        self.result: Any = None
        self.code = 0
        self._is_json = "--json" in words  # before the words are parsed: they may be at fault
        CONSOLE.stderr = self._is_json  # stdout is for the one object at the end

    def __enter__(self) -> "Ending":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """The command is over: tell it."""
        fault = None
        if isinstance(error, UserError):
            self.code, fault = 2, str(error)
        elif isinstance(error, KeyboardInterrupt):
            self.code, fault = 130, "Stopped."
        elif error is not None:
            return False  # a fault of the program keeps its traceback
        if fault and not self._is_json:
            print(fault, file=sys.stderr)
        if self._is_json or self.notify:
            answer = json.dumps(self._answer(fault), indent=2)
            if self._is_json:
                print(answer)
            if self.notify:
                self._tell(answer)
        return True

    def _answer(self, fault: str | None) -> Any:
        if fault is None and self.result is not None:
            return self.result
        answer: dict[str, Any] = {"exit_code": self.code}
        if fault is not None:
            answer["error"] = fault
        if self.storage is not None:
            try:
                answer |= status(self.storage)
            except UserError as error:
                answer.setdefault("error", str(error))
        return answer

    def _tell(self, answer: str) -> None:
        """Run the command of --notify with the answer on its standard input. The sweep has ended, whatever becomes of
        it: what goes wrong is a line."""
        assert self.notify is not None
        try:
            done = subprocess.run(self.notify, shell=True, input=answer, text=True, timeout=NOTIFY_SECONDS)
            why = f"exit code {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            why = f"not done in {NOTIFY_SECONDS:.0f} s"
        if why:
            print(f"--notify {self.notify}: {why}", file=sys.stderr)
