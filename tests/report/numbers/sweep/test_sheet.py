"""What the columns of a sheet hold."""

from pathlib import Path

import numpy as np
import pytest
import torch

from report.models import checkpoints
from report.models.checkpoints import HeldOut
from report.numbers.checkpoint.samples import fitted_samples, samples
from report.numbers.sweep.compared_trials import Column
from report.numbers.sweep.sheet import (
    N_INPUTS,
    Sheet,
    SheetColumn,
    compared_models,
    sheet,
    sheet_column,
    shown_places,
)
from tests.material.reports import copied_to, metrics, record, trained
from tests.material.subjects import untrained
from tuning.records import SweepRecord
from vae.datasets.types import Images
from vae.errors import DataError
from vae.model.elbo import evaluation_inputs
from vae.storage.checkpoint import MODEL_FILE

CONFIGS = [{"beta": 1.0}, {"beta": 0.5, "latent_size": 4}, {"beta": 8.0}]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory, digits: dict[str, Images]) -> SweepRecord:
    return trained(tmp_path_factory.mktemp("trained") / "demo", digits, CONFIGS)


@pytest.fixture
def swept(trained_once: SweepRecord, tmp_path: Path) -> SweepRecord:
    return copied_to(tmp_path / "demo", trained_once)


def _sheet(swept: SweepRecord, said: list[str] | None = None) -> Sheet:
    lines: list[str] = [] if said is None else said
    return sheet(compared_models(swept, lines.append), HeldOut(swept, Path("unused")).subject)


def _column(images: Images, **config: object) -> SheetColumn:
    subject = untrained(images, (8, 8), [metrics(1)], hidden_units=8, **config)
    return sheet_column(Column(("a",), record("a", [])), subject)


def test_there_is_a_column_for_each_compared_trial_with_the_numbers_of_its_weights(swept: SweepRecord) -> None:
    columns = _sheet(swept).columns
    assert [column.parts for column in columns] == [
        ("latent size 2", "β 1"), ("latent size 2", "β 8"), ("latent size 4", "β 0.5"),
    ]  # fmt: skip
    one, eight, half = swept.trials[0], swept.trials[2], swept.trials[1]
    assert [column.metrics for column in columns] == [one.best, eight.best, half.best]


def test_a_model_that_cannot_be_read_is_left_out_with_a_line(swept: SweepRecord) -> None:
    (swept.folder / swept.trials[0].folder / MODEL_FILE).write_bytes(b"damaged")
    said: list[str] = []
    columns = _sheet(swept, said).columns
    assert [column.parts for column in columns] == [("latent size 2", "β 8"), ("latent size 4", "β 0.5")]
    (line,) = said
    assert line.startswith("Left out of the sheet: latent size 2, β 1: trials/0001")
    assert "\n" not in line


def test_the_split_is_read_once_and_only_for_a_model(
    swept: SweepRecord, digits: dict[str, Images], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counting(name: str, data_dir: Path, split: str) -> Images:
        read.append(split)
        return digits[split]

    monkeypatch.setattr(checkpoints, "load", counting)
    _sheet(swept)
    assert read == ["validation"]
    for one in swept.trials:
        (swept.folder / one.folder / MODEL_FILE).unlink()
    assert _sheet(swept).columns == []
    assert read == ["validation"]


def test_a_split_that_cannot_be_read_is_the_users_error(swept: SweepRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Images:
        raise DataError("validation: missing")

    monkeypatch.setattr(checkpoints, "load", missing)
    with pytest.raises(DataError, match="missing"):
        _sheet(swept)


def test_every_column_has_the_same_inputs_one_of_each_class(swept: SweepRecord, digits: dict[str, Images]) -> None:
    columns = _sheet(swept).columns
    validation = digits["validation"]
    first = [int(np.flatnonzero(validation.labels == label)[0]) for label in range(10)]
    for column in columns:
        assert np.array_equal(column.inputs.reshape(10, 64), validation.pixels[first])


def test_without_classes_the_inputs_are_spread_over_the_split() -> None:
    assert shown_places(np.zeros(101, np.int64)).tolist() == [0, 11, 22, 33, 44, 56, 67, 78, 89, 100]
    assert shown_places(np.zeros(4, np.int64)).tolist() == [0, 1, 2, 3]


def test_with_more_classes_than_inputs_the_first_images_are_shown() -> None:
    assert len(shown_places(np.arange(40))) == N_INPUTS


def test_a_reconstruction_is_the_decoders_mean_at_the_posteriors_mean(digits: dict[str, Images]) -> None:
    validation = digits["validation"]
    subject = untrained(validation, (8, 8), [metrics(1)], latent_size=2, hidden_units=8)
    x = torch.from_numpy(validation.pixels[shown_places(validation.labels)]) / 255
    with torch.no_grad():
        expected = torch.sigmoid(subject.model.decode(subject.model.encode(x).mean).logits) * 255
    outputs = sheet_column(Column(("a",), record("a", [])), subject).outputs
    assert outputs is not None
    assert np.abs(outputs.reshape(10, 64) - expected.numpy()).max() <= 0.51  # rounded to whole grey values


def test_with_input_noise_the_reconstruction_is_of_the_corrupted_input(digits: dict[str, Images]) -> None:
    validation = digits["validation"]
    subject = untrained(validation, (8, 8), [metrics(1)], latent_size=3, hidden_units=8, noise="salt_pepper")
    places = shown_places(validation.labels)
    grey, images = torch.from_numpy(validation.pixels[places]), torch.from_numpy(places)
    _, seen = evaluation_inputs(subject.model, grey, images, torch.tensor(subject.config.noise_factor))
    with torch.no_grad():
        expected = torch.sigmoid(subject.model.decode(subject.model.code(seen)).logits) * 255
    column = sheet_column(Column(("a",), record("a", [])), subject)
    assert column.has_noise
    assert column.outputs is not None
    assert np.abs(column.seen.reshape(10, 64) - seen.numpy() * 255).max() <= 0.51
    assert np.abs(column.outputs.reshape(10, 64) - expected.numpy()).max() <= 0.51


def test_only_two_latents_have_a_manifold_and_a_scatter(digits: dict[str, Images]) -> None:
    for latent_size in (1, 2, 3):
        column = _column(digits["validation"], latent_size=latent_size)
        assert (column.manifold is not None) == (latent_size == 2)
        assert (column.latents is not None) == (latent_size == 2)


def test_each_mode_shows_what_it_has(digits: dict[str, Images]) -> None:
    autoencoder = _column(digits["validation"], latent_size=2, mode="autoencoder")
    assert autoencoder.outputs is not None
    assert autoencoder.latents is not None
    assert not autoencoder.has_prior
    alone = _column(digits["validation"], latent_size=2, mode="decoder_only", noise="gaussian")
    assert (alone.outputs, alone.latents, alone.has_noise) == (None, None, False)
    assert np.array_equal(alone.seen, alone.inputs)
    assert alone.manifold is not None
    assert alone.has_prior


def test_an_autoencoders_samples_are_of_a_gaussian_fitted_to_its_codes(digits: dict[str, Images]) -> None:
    subject = untrained(digits["validation"], (8, 8), [metrics(1)], latent_size=2, hidden_units=8, mode="autoencoder")
    column = sheet_column(Column(("a",), record("a", [])), subject)
    assert np.array_equal(column.samples, fitted_samples(subject, 25))
    assert not np.array_equal(column.samples, samples(subject, 25))


def test_models_of_one_latent_size_have_their_samples_at_the_same_z(digits: dict[str, Images]) -> None:
    one, same, other = (_column(digits["validation"], latent_size=2, seed=seed).samples for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
