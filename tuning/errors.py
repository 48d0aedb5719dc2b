"""What a user can cause in a sweep; vae.errors has those of data and checkpoints."""

from vae.errors import UserError


class SpaceError(UserError):
    """A search space or an option on the command line asks for what is not allowed."""


class ClusterError(UserError):
    """The machines cannot do what was asked of them."""


class RepeatedFailureError(UserError):
    """Trials fail one after the other for the same cause."""


class StorageError(UserError):
    """The sweep's folder cannot be written, read or resumed."""
