"""Where things are: the repository, and the files of a sweep's folder."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SPACES = REPOSITORY / "search_spaces"
DEFAULT_STORAGE = "runs"  # in the working directory

# The files of a sweep's folder, relative to it.
MANIFEST_FILE = "manifest.json"
LEDGER_FILE = "ledger.jsonl"  # in a bucket tuning.store.bucket has a folder of objects instead
STUDY_FILE = "study.journal"
LEADERBOARD_FILE = "leaderboard.csv"
LOCK_FILE = "driver.lock"
MIRROR_FILE = "mirror.txt"  # only in the mirror of a bucket: says what the folder is
BEST_FOLDER = "best"  # best/1, best/2, ...: the best models
CONFIRM_FOLDER = "confirm"  # a sweep of its own: the best configurations with fresh seeds
REPORT_FOLDER = "report"
PAGE_FILE = "index.html"  # in the report's folder, also while the sweep runs
SUMMARY_FILE = "summary.md"  # in the report's folder; a folder without it has only the page of a sweep that runs

# The driver's files of a trial's folder.
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
ERROR_FILE = "error.txt"

# What training leaves of a trial, as vae.storage calls it: that takes torch to load, and the driver does without.
MODEL_FILE = "model.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
SNAPSHOTS_FILE = "snapshots.zip"


def as_typed(path: Path) -> Path:
    """The path as the user would type it, relative to the working directory where that is possible."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def trial_folder(trial_id: str) -> str:
    """trials/ID."""
    return f"trials/{trial_id}"


def attempt_folder(trial_id: str, attempt: int) -> str:
    """Where an attempt leaves model and checkpoint: trials/ID, trials/ID/attempt-2, trials/ID/attempt-3, ..."""
    return trial_folder(trial_id) if attempt == 1 else f"{trial_folder(trial_id)}/attempt-{attempt}"
