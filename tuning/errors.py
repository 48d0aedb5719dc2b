"""What a user can cause in a sweep; vae.errors has those of data and checkpoints. And what a trainer's death causes."""

from vae.errors import UserError


class NotJoinedError(KeyError):
    """A trainer has not this trial: it died after the trial had joined, and was started again without it."""


class SpaceError(UserError):
    """A search space or an option on the command line asks for what is not allowed."""


class ClusterError(UserError):
    """The machines cannot do what was asked of them."""


class RepeatedFailureError(UserError):
    """Trials fail one after the other for the same cause."""


class StorageError(UserError):
    """The sweep's folder cannot be written, read or resumed."""


class BlindNodeError(StorageError):
    """A worker does not see the sweep's folder: its node does not mount it."""
