"""A worker on a node that does not see the sweep's folder."""

from pathlib import Path

import pytest

from tuning.errors import StorageError
from tuning.store.place import SweepStorage
from tuning.workers.tune_worker import refuse_blind


def test_a_worker_that_does_not_see_the_manifest_trains_nothing(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "it")
    with pytest.raises(StorageError, match=r"/it: node \S+ does not see the sweep's manifest\.json there$"):
        refuse_blind(storage)
    assert not storage.folder.exists()
    storage.folder.mkdir()
    (storage.folder / "manifest.json").write_text("{}")
    refuse_blind(storage)


def test_a_bucket_is_seen_from_everywhere(tmp_path: Path) -> None:
    refuse_blind(SweepStorage(tmp_path / "it", "s3://bucket/sweeps/it"))
