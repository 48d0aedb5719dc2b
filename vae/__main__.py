"""Train one model from the command line, without Ray: python -m vae --latent-size 2 --epochs 10 --dataset mnist."""

import sys
from collections.abc import Sequence

from vae.cli.arguments import parse
from vae.cli.exit import FAULT, INTERRUPTED, exit_code
from vae.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 trained, 1 diverged, 2 a fault of the user's, 130 stopped by Ctrl-C.

    Raises BrokenPipeError where nobody reads stdout any more.
    """
    try:
        options = parse(arguments)
        from vae.train import train  # it brings torch, which takes a second; --help and faults are told without

        return train(options)
    except UserError as error:
        print(error, file=sys.stderr)
        return FAULT
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint, if there is one yet.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(exit_code(main))
