"""Where things are: the repository, and the files of a sweep's folder."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SPACES = REPOSITORY / "search_spaces"


def as_typed(path: Path) -> Path:
    """The path as the user would type it, relative to the working directory where that is possible."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
