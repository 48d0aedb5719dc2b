"""Where things are: the repository, and the files of a sweep's folder."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SPACES = REPOSITORY / "search_spaces"

# The files of a sweep's folder, relative to it.
MANIFEST_FILE = "manifest.json"
LEDGER_FILE = "ledger.jsonl"
STUDY_FILE = "study.journal"
LEADERBOARD_FILE = "leaderboard.csv"
LOCK_FILE = "driver.lock"
BEST_FOLDER = "best"  # best/1, best/2, ...: the best models
REPORT_FOLDER = "report"

# The driver's files of a trial's folder; vae.storage names those of its model.
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
ERROR_FILE = "error.txt"


def as_typed(path: Path) -> Path:
    """As the user would type it in this working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def trial_folder(trial_id: str) -> str:
    """trials/ID."""
    return f"trials/{trial_id}"
