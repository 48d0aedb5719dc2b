"""Download one of torchvision's datasets; a machine without network gives up within seconds."""

import shutil
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any

NETWORK_SECONDS = 8  # how long to look for a mirror before a machine counts as one without network


def download(dataset: Any, title: str, megabytes: int, data_dir: Path) -> str:
    """Download beside, rename into place; the reason in a few words where that fails, else ''.

    dataset: a class of torchvision.datasets, with its `mirrors`; its files go to a folder of its name.
    """
    if not answers_within(dataset.mirrors, NETWORK_SECONDS):
        return "no network: no mirror answers"
    folder = dataset.__name__
    before = socket.getdefaulttimeout()
    exists = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=exists) as beside:
            socket.setdefaulttimeout(NETWORK_SECONDS)
            print(f"Downloading {title} ({megabytes} MB) to {data_dir}")
            with warnings.catch_warnings(action="ignore"):
                dataset(beside, download=True)
            data_dir.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(data_dir / folder, ignore_errors=True)
            (Path(beside) / folder).rename(data_dir / folder)
    except (OSError, RuntimeError) as error:
        return " ".join(str(error).split())[:120]
    finally:
        socket.setdefaulttimeout(before)
    return ""


def answers_within(urls: list[str], seconds: float) -> bool:
    """Whether any address answers. In threads, because looking up a name has no time limit of its own."""
    answered = threading.Event()
    tries = [threading.Thread(target=_try, args=(url, seconds, answered), daemon=True) for url in urls]
    for thread in tries:
        thread.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not answered.is_set() and any(thread.is_alive() for thread in tries):
        time.sleep(0.02)
    return answered.is_set()


def _try(url: str, seconds: float, answered: threading.Event) -> None:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
    except urllib.error.HTTPError:
        pass  # it answered; whether it has the files is the download's to find out
    except OSError:
        return
    answered.set()
