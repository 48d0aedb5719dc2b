"""What a command prints on stdout, line by line."""

import sys

from rich.console import Console

CONSOLE = Console(width=None if sys.stdout.isatty() else 160)


def say(line: str) -> None:
    """A line as it is: no markup, no colours, not wrapped."""
    CONSOLE.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
