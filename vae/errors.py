"""What a user can cause: each message is one line (or a list of faults), each ends a program with exit code 2."""


class UserError(Exception):
    """A fault in what the user gave, not in the program; shown without a traceback."""


class DataError(UserError):
    """A dataset is missing, truncated or of another shape than it should be."""


class MissingDataError(DataError):
    """A dataset is nowhere: `what` is not there, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what


class CheckpointError(UserError):
    """A checkpoint is missing, truncated, of another format or does not fit its own config."""
