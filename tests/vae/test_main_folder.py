"""python -m vae: the folder that it leaves, and the numbers in it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.material.vae_command import FILES, metrics_in, train
from vae.__main__ import main
from vae.config import HYPERPARAMETERS, TrialConfig
from vae.model.metrics import EpochMetrics
from vae.storage.checkpoint import load_model
from vae.train import default_out


def test_it_writes_a_folder_of_five_files_that_agree(tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert train(out, "--beta", "0.5", "--seed", "7") == 0
    assert {path.name for path in out.iterdir()} == FILES
    config = TrialConfig(latent_size=2, hidden_units=16, batch_size=256, epochs=3, beta=0.5, seed=7)
    described = json.loads((out / "config.json").read_text())
    assert TrialConfig.model_validate(described["config"]) == config
    assert (described["dataset"], described["image_shape"]) == ("digits", [8, 8])
    _, description = load_model(out)
    assert (description.config, description.dataset, description.image_shape) == (config, "digits", (8, 8))
    history = [EpochMetrics(**metrics) for metrics in metrics_in(out)]
    assert [metrics.epoch for metrics in history] == [1, 2, 3]
    assert description.history == [history[description.epoch - 1]]
    assert max(history, key=lambda metrics: metrics.val_elbo).epoch == description.epoch


def test_every_hyperparameter_is_a_flag_with_its_meaning_default_and_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "latent_size": 3,
        "hidden_units": 5,
        "hidden_layers": 2,
        "activation": "tanh",
        "learning_rate": 0.01,
        "beta": 4.0,
        "batch_size": 500,
        "epochs": 1,
        "precision": "float64",
        "seed": 2**32 - 1,
        "mode": "autoencoder",
        "dropout": 0.25,
        "likelihood": "gaussian",
        "variance": "shared",
        "binarize": "threshold",
        "noise": "salt_pepper",
        "noise_factor": 0.125,
        "kl_warmup_epochs": 7,
        "free_bits": 0.5,
        "keep": "last",
    }
    assert set(values) == set(HYPERPARAMETERS)
    flags = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["--dataset", "digits", "--out", str(tmp_path / "m"), *flags]) == 0
    assert json.loads((tmp_path / "m" / "config.json").read_text())["config"] == values
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, field in TrialConfig.model_fields.items():
        assert f"--{name.replace('_', '-')} X {field.description}" in text
        assert f"(default {field.default})" in text


def test_without_flags_the_config_is_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--dataset", "digits", "--epochs", "1"]) == 0
    (out,) = (tmp_path / "models").iterdir()
    assert out.name == "digits-latent20-epochs1"
    assert load_model(out)[1].config == TrialConfig(epochs=1)


def test_the_default_folder_tells_every_two_configs_apart() -> None:
    changes: list[dict[str, Any]] = [{}, {"latent_size": 2}, {"beta": 2.0}, {"beta": 0.2}, {"seed": 2}, {"epochs": 2}]
    changes += [{"activation": "tanh"}, {"hidden_units": 2}, {"hidden_layers": 2}, {"learning_rate": 1e-5}]
    changes += [{"mode": "autoencoder"}, {"likelihood": "gaussian"}, {"likelihood": "gaussian", "variance": "shared"}]
    changes += [{"noise": "gaussian"}, {"noise": "gaussian", "noise_factor": 0.5}, {"binarize": "stochastic"}]
    changes += [{"dropout": 0.1}, {"kl_warmup_epochs": 2}, {"free_bits": 0.1}, {"keep": "last"}]
    folders = {default_out(dataset, TrialConfig(**change)) for change in changes for dataset in ("digits", "mnist")}
    assert len(folders) == 2 * len(changes)
    assert default_out("mnist", TrialConfig(latent_size=2, epochs=10)) == Path("models/mnist-latent2-epochs10")


def test_the_default_folder_of_a_folder_of_images_has_its_own_name() -> None:
    assert default_out("/some/where/my_faces", TrialConfig(latent_size=2)) == Path("models/my-faces-latent2")


def test_a_folder_of_images_is_trained_on_and_known_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces").mkdir()
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 5)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    arguments = ["--dataset", "faces", "--latent-size", "2", "--epochs", "1", "--hidden-units", "8"]
    assert main(arguments) == 0
    assert f"Dataset {tmp_path / 'faces'}: 10 images of 6 x 5 pixels" in capsys.readouterr().out
    (out,) = (tmp_path / "models").iterdir()
    assert out.name.startswith("faces-latent2")
    described = json.loads((out / "config.json").read_text())
    assert (described["dataset"], described["image_shape"]) == (str(tmp_path / "faces"), [6, 5])
    assert load_model(out)[1].dataset == str(tmp_path / "faces")
    monkeypatch.chdir("/")
    assert main([*arguments[2:], "--dataset", str(tmp_path / "faces"), "--out", str(out)]) == 0
    assert "is trained already: 1 epochs" in capsys.readouterr().out


@pytest.mark.freyface
def test_frey_face_is_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", "freyface", "--latent-size", "2", "--epochs", "2", "--out", str(tmp_path / "m")]) == 0
    assert load_model(tmp_path / "m")[1].image_shape == (28, 20)


@pytest.mark.mnist
@pytest.mark.slow
def test_it_trains_on_mnist_to_a_known_elbo_of_two_latents(tmp_path: Path) -> None:
    """A VAE of two latents is known to end near -150 on grey MNIST; after two epochs it is on its way."""
    assert main(["--dataset", "mnist", "--latent-size", "2", "--epochs", "2", "--out", str(tmp_path / "m")]) == 0
    assert -185 < metrics_in(tmp_path / "m")[-1]["val_elbo"] < -150
