import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from report.models import best, evaluated
from report.models.best import export_best, read_best
from report.models.evaluated import BOUND_IMAGES, BOUND_SAMPLES
from tests.material.reports import copied_to, record, trained
from tuning.records import SweepRecord, ranked
from vae.cli import progress
from vae.datasets.types import Images
from vae.errors import CheckpointError, DataError
from vae.evaluate.__main__ import main as evaluate_main
from vae.evaluate.evaluate import evaluate
from vae.evaluate.result import Evaluation
from vae.files import LocalFiles
from vae.model.network import Vae
from vae.randomness.streams import evaluation_noise
from vae.storage.checkpoint import MODEL_FILE, load_model
from vae.storage.snapshots import SNAPSHOTS_FILE

CONFIGS = [{"beta": 1.0}, {"beta": 0.5, "latent_size": 4}, {"beta": 8.0}, {"learning_rate": 0.01}]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory, digits: dict[str, Images]) -> SweepRecord:
    return trained(tmp_path_factory.mktemp("trained") / "demo", digits, CONFIGS)


@pytest.fixture
def swept(trained_once: SweepRecord, tmp_path: Path) -> SweepRecord:
    return copied_to(tmp_path / "demo", trained_once)


@pytest.fixture
def said() -> list[str]:
    return []


def _export(sweep: SweepRecord, said: list[str], top_k: int = 2) -> list[str]:
    checkpoints = read_best(sweep, top_k, said.append)
    best = export_best(sweep, checkpoints, Path("unused"), said.append)
    return [one.record.trial_id for one in best]


def _numbers(sweep: SweepRecord, rank: int) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads((sweep.folder / f"best/{rank}/metrics.json").read_text())
    return numbers


def test_the_best_are_exported_in_order_with_every_file(swept: SweepRecord, said: list[str]) -> None:
    assert _export(swept, said) == [one.trial_id for one in ranked(swept.trials)[:2]]
    assert sorted(path.name for path in (swept.folder / "best").iterdir()) == ["1", "2"]
    for rank, one in enumerate(ranked(swept.trials)[:2], start=1):
        folder = swept.folder / "best" / str(rank)
        assert sorted(path.name for path in folder.iterdir()) == [
            "config.json", "metrics.json", "metrics.jsonl", MODEL_FILE, SNAPSHOTS_FILE,
        ]  # fmt: skip
        assert json.loads((folder / "config.json").read_text()) == one.config.model_dump()
        assert [json.loads(line) for line in (folder / "metrics.jsonl").open()] == [m.as_dict() for m in one.history]
        assert (folder / MODEL_FILE).read_bytes() == (swept.folder / one.folder / MODEL_FILE).read_bytes()


def test_the_validation_numbers_are_the_best_epochs(swept: SweepRecord, said: list[str]) -> None:
    _export(swept, said)
    first = ranked(swept.trials)[0]
    assert first.best is not None
    assert _numbers(swept, 1)["validation"] == first.best.as_dict()
    assert (_numbers(swept, 1)["trial_id"], _numbers(swept, 1)["rank"]) == (first.trial_id, 1)


def test_the_test_numbers_are_those_of_torchs_distributions_on_the_test_split(
    swept: SweepRecord, said: list[str], digits: dict[str, Images]
) -> None:
    _export(swept, said)
    model, description = load_model(swept.folder / "best" / "1")
    x = torch.from_numpy(digits["test"].pixels) / 255
    posterior, pixels = model(x, evaluation_noise(len(x), description.config.latent_size))
    scale = torch.exp(posterior.log_variance / 2)
    rate = kl_divergence(Normal(posterior.mean, scale), Normal(0.0, 1.0)).sum(-1).mean().item()
    distortion = -Bernoulli(logits=pixels.logits, validate_args=False).log_prob(x).sum(-1).mean().item()
    test = _numbers(swept, 1)["test"]
    assert test["n_images"] == 180
    assert test["rate"] == pytest.approx(rate, rel=1e-5)
    assert test["distortion"] == pytest.approx(distortion, rel=1e-5)
    assert test["elbo"] == pytest.approx(-(rate + distortion), rel=1e-5)


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_remove, _truncate, _empty])
def test_a_damaged_model_is_skipped_with_a_line_and_the_next_takes_its_place(
    swept: SweepRecord, said: list[str], damage: Callable[[Path], None]
) -> None:
    first, second, third = ranked(swept.trials)[:3]
    damage(swept.folder / first.folder / MODEL_FILE)
    assert _export(swept, said) == [second.trial_id, third.trial_id]
    (line,) = (line for line in said if line.startswith("Skipped"))
    assert first.trial_id in line
    assert "\n" not in line
    assert _numbers(swept, 1)["trial_id"] == second.trial_id


def test_weights_of_another_trial_are_skipped(swept: SweepRecord, said: list[str]) -> None:
    first, second = ranked(swept.trials)[:2]
    content = (swept.folder / second.folder / MODEL_FILE).read_bytes()
    (swept.folder / first.folder / MODEL_FILE).write_bytes(content)
    assert _export(swept, said, top_k=1) == [second.trial_id]
    assert any("another config" in line for line in said)


def test_weights_of_another_epoch_are_reported_as_what_they_are(swept: SweepRecord, said: list[str]) -> None:
    first = ranked(swept.trials)[0]
    assert first.best is not None
    better = replace(first.best, epoch=first.best.epoch + 1, val_elbo=first.best.val_elbo + 1)
    first.history.append(better)
    _export(swept, said, top_k=1)
    assert any(f"epoch {better.epoch - 1}, its best was {better.epoch}" in line for line in said)
    assert _numbers(swept, 1)["validation"]["epoch"] == better.epoch - 1


def test_a_failed_trial_is_not_among_the_best(swept: SweepRecord, said: list[str]) -> None:
    first = ranked(swept.trials)[0]
    first.state = "failed"
    assert first.trial_id not in _export(swept, said, top_k=4)


def test_a_smaller_k_removes_what_is_beyond_it(swept: SweepRecord, said: list[str]) -> None:
    _export(swept, said, top_k=3)
    _export(swept, said, top_k=1)
    assert [path.name for path in (swept.folder / "best").iterdir()] == ["1"]


def test_without_a_trial_there_is_an_empty_folder_and_no_test_split_is_read(
    swept: SweepRecord, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluated, "load", lambda *_: pytest.fail("the test split was read"))
    assert _export(replace(swept, trials=[record("x", [], "failed")]), said) == []
    assert list((swept.folder / "best").iterdir()) == []


def test_the_test_split_is_read_once(
    swept: SweepRecord, said: list[str], monkeypatch: pytest.MonkeyPatch, digits: dict[str, Images]
) -> None:
    read: list[str] = []

    def counting(name: str, data_dir: Path, split: str) -> Images:
        read.append(split)
        return digits[split]

    monkeypatch.setattr(evaluated, "load", counting)
    _export(swept, said, top_k=4)
    assert sorted(read) == ["test", "train", "validation"]


def test_a_test_split_that_cannot_be_read_leaves_the_old_best(
    swept: SweepRecord, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _export(swept, said, top_k=1)
    before = _numbers(swept, 1)

    def missing(*_: object) -> Images:
        raise DataError("t10k-images: missing")

    monkeypatch.setattr(evaluated, "load", missing)
    with pytest.raises(DataError, match="missing"):
        _export(swept, said, top_k=3)
    assert _numbers(swept, 1) == before


def test_a_crash_half_way_leaves_the_old_best(
    swept: SweepRecord, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _export(swept, said, top_k=2)
    before = _numbers(swept, 2)

    class Failing(LocalFiles):
        def write(self, name: str, content: bytes) -> None:
            if self.folder.name == "2" and name == "metrics.json":
                raise RuntimeError("power cut")
            super().write(name, content)

    monkeypatch.setattr(best, "LocalFiles", Failing)
    swept.trials.reverse()
    with pytest.raises(RuntimeError, match="power cut"):
        _export(swept, said, top_k=3)
    assert _numbers(swept, 2) == before
    assert sorted(path.name for path in (swept.folder / "best").iterdir()) == ["1", "2"]


# every number, of trials of any kind


def test_each_of_the_best_has_every_number_on_validation_and_on_test(swept: SweepRecord, said: list[str]) -> None:
    _export(swept, said, top_k=1)
    found = _numbers(swept, 1)
    for split in ("validation_evaluation", "test"):
        assert found[split]["importance_weighted"]["n_samples"] == BOUND_SAMPLES
        assert found[split]["importance_weighted"]["n_images"] == 180  # fewer than BOUND_IMAGES
        assert found[split]["importance_weighted"]["bound"] > found[split]["elbo"]
        assert found[split]["neighbours"]["n_reference"] == 1437
        assert 0 <= found[split]["mutual_information"] <= found[split]["mutual_information_ceiling"]
        assert len(found[split]["kl_per_dimension"]) == ranked(swept.trials)[0].config.latent_size
    assert found["validation_evaluation"]["elbo"] == pytest.approx(found["validation"]["val_elbo"], rel=1e-6)
    assert found["test"]["elbo"] != found["validation_evaluation"]["elbo"]


def test_the_numbers_are_those_of_the_evaluation_command(swept: SweepRecord, said: list[str]) -> None:
    _export(swept, said, top_k=1)
    folder = swept.folder / "best" / "1"
    assert evaluate_main([str(folder), "--split", "test", "--images", str(BOUND_IMAGES)]) == 0
    commanded = json.loads((folder / "evaluation-test.json").read_text())
    test: dict[str, Any] = _numbers(swept, 1)["test"]
    assert test.keys() <= commanded.keys()
    for name in ("elbo", "mutual_information"):
        assert test[name] == pytest.approx(commanded[name], rel=1e-5)
    assert test["importance_weighted"]["bound"] == pytest.approx(commanded["importance_weighted"]["bound"], rel=1e-5)
    assert test["neighbours"] == commanded["neighbours"]


def test_an_autoencoder_and_a_decoder_alone_stand_beside_a_vae(
    tmp_path: Path, digits: dict[str, Images], said: list[str]
) -> None:
    """Ranked by what each has: -D without an ELBO, which is above any ELBO of the same decoder."""
    mixed = trained(tmp_path, digits, [{"mode": "vae"}, {"mode": "autoencoder"}, {"mode": "decoder_only"}])
    assert _export(mixed, said, top_k=3) == [one.trial_id for one in ranked(mixed.trials)]
    found = {ranked(mixed.trials)[rank - 1].config.mode: _numbers(mixed, rank) for rank in (1, 2, 3)}
    assert {mode for mode, one in found.items() if "elbo" in one["test"]} == {"vae"}
    assert {mode for mode, one in found.items() if "neighbours" in one["test"]} == {"vae", "autoencoder"}
    assert {mode for mode, one in found.items() if "importance_weighted" in one["test"]} == {"vae", "decoder_only"}
    assert all(one["validation_evaluation"]["distortion"] > 0 for one in found.values())


def test_with_repeats_the_best_are_the_best_trials_whatever_their_configuration(
    tmp_path: Path, digits: dict[str, Images], said: list[str]
) -> None:
    swept = trained(tmp_path, digits, [{"seed": 1}, {"seed": 2}, {"learning_rate": 0.01}])
    for one, name in zip(swept.trials, ("0000-1", "0000-2", "0001-1"), strict=True):
        (swept.folder / one.folder).rename(swept.folder / "trials" / name)
        one.trial_id = name
    assert _export(swept, said, top_k=2) == [one.trial_id for one in ranked(swept.trials)[:2]]


def test_the_numbers_do_not_depend_on_how_many_threads_find_them(swept: SweepRecord, said: list[str]) -> None:
    checkpoints = read_best(swept, 3, said.append)
    alone, *others = (evaluated.evaluated(checkpoints, "digits", Path("unused"), said.append, n) for n in (1, 2, 4, 16))
    assert len(alone) == 3
    for shared in others:
        assert [(one.validation_evaluation, one.test) for one in shared] == [
            (one.validation_evaluation, one.test) for one in alone
        ]


def test_how_far_the_numbers_are_is_one_line_for_all_of_them(
    swept: SweepRecord, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PERIOD", 0.0)
    _export(swept, said, top_k=2)
    lines = [line for line in said if line.startswith("Every number of the best 2")]
    counts = [int(re.search(r"images: (\d+) of 720, \d+ s left$", line)[1]) for line in lines]  # type: ignore[index]
    assert counts == sorted(counts)
    assert len(counts) > 4


def test_a_trial_whose_numbers_are_not_finite_is_skipped_with_a_line(
    swept: SweepRecord, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = ranked(swept.trials)[:3]

    of_first = load_model(swept.folder / first.folder)[0].state_dict()

    def failing(model: Vae, *given: Any) -> Evaluation:
        if all(torch.equal(weight, of_first[name]) for name, weight in model.state_dict().items()):
            raise CheckpointError("weights that have diverged: the distortion is nan")
        return evaluate(model, *given)

    monkeypatch.setattr(evaluated, "evaluate", failing)
    assert _export(swept, said, top_k=3) == [second.trial_id, third.trial_id]
    assert f"Skipped trial {first.trial_id}: weights that have diverged: the distortion is nan" in said
    assert _numbers(swept, 1)["rank"] == 1


def test_confirmed_configurations_come_first_each_with_the_model_of_its_best_fresh_seed(
    trained_once: SweepRecord, tmp_path: Path, said: list[str]
) -> None:
    """The trained trials are the fresh seeds of two configurations of a search that has left no model of them."""
    part = copied_to(tmp_path / "demo" / "confirm", trained_once)
    names = ("0000-1", "0000-2", "0001-1", "0001-2")
    for one, name in zip(part.trials, names, strict=True):
        (part.folder / "trials" / one.trial_id).rename(part.folder / "trials" / name)
        one.trial_id = name
    manifest = {"confirms": ["0004", "0002"], "space": {"trials": 2, "repeats": 2}}
    search = [replace(record(f"000{n}", [-1.0 - n]), has_model=False) for n in range(5)]
    swept = replace(
        part,
        folder=tmp_path / "demo",
        trials=search,
        confirmation=replace(part, manifest=manifest, name="demo/confirm"),
    )
    found = export_best(swept, read_best(swept, 3, said.append), Path("unused"), said.append)
    means = {name: sum(one.score for one in part.trials if one.configuration == name) for name in ("0000", "0001")}
    best_first = sorted(means, key=means.__getitem__, reverse=True)
    expected = [ranked([one for one in part.trials if one.configuration == name])[0] for name in best_first]
    assert [one.trial for one in found] == [f"confirm/{one.trial_id}" for one in expected]
    numbers = _numbers(swept, 1)
    assert numbers["trial_id"] == f"confirm/{expected[0].trial_id}"
    assert numbers["configuration"] == {"0000": "0004", "0001": "0002"}[best_first[0]]
    assert numbers["confirmed"]["mean"] == pytest.approx(means[best_first[0]] / 2)
    assert load_model(swept.folder / "best/1")[1].config == expected[0].config
