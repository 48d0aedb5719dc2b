"""Errors that a user can cause. The message is one line or a list of faults; the program ends with exit code 2."""


class UserError(Exception):
    """A fault in what the user gave and not in the program; shown without a traceback."""


class DataError(UserError):
    """A dataset is missing, truncated or of another shape than it should be."""


class MissingDataError(DataError):
    """A dataset was not found anywhere. what: the thing that is missing; remedy: what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what


class CheckpointError(UserError):
    """A checkpoint is missing, truncated, of another format or does not fit its own config."""
