"""Where things are: the repository, and the files of a sweep's folder."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SPACES = REPOSITORY / "search_spaces"
