from pathlib import Path
from typing import Any

import pytest

from report.drawing.captions import model_caption, sweep_caption
from tests.material.reports import metrics, record, sweep, twelve_epochs
from vae.config import TrialConfig
from vae.storage.checkpoint import Description


def test_a_models_caption_says_which_model_it_is_and_how_far_it_came() -> None:
    config = TrialConfig(latent_size=2, beta=4.0)
    about = model_caption(Description(config, "digits", (8, 8), 1, [metrics(1, 80.0, rate=23.5)]))
    for fact in ("digits", "latent size 2", "β 4", "epoch 1", "ELBO \N{MINUS SIGN}103.50 nats"):
        assert fact in about


def test_a_models_caption_names_its_sweep_and_its_trial() -> None:
    about = Description(TrialConfig(), "digits", (8, 8), 1, [metrics(1)])
    assert (
        model_caption(about, "demo, trial 0003").splitlines()[1].startswith("demo, trial 0003 \N{MIDDLE DOT} epoch 1")
    )
    assert model_caption(about).splitlines()[1].startswith("epoch 1")


@pytest.mark.parametrize(
    ("config", "says", "is_silent_of"),
    [
        ({"mode": "autoencoder", "beta": 3.0}, ["autoencoder", "distortion 16.67 nats"], ["β", "ELBO"]),
        ({"mode": "decoder_only", "noise": "gaussian"}, ["decoder only"], ["noise", "β"]),
        ({"noise": "gaussian", "noise_factor": 0.5}, ["Gaussian noise 0.5", "β 1"], ["binarised"]),
        ({"likelihood": "gaussian", "binarize": "threshold"}, ["Gaussian likelihood", "binarised at one half"], []),
        ({"kl_warmup_epochs": 5, "free_bits": 0.1, "dropout": 0.3}, ["5 epochs", "free bits 0.1", "dropout 0.3"], []),
    ],
)
def test_a_models_caption_says_what_is_not_as_usual(
    config: dict[str, Any], says: list[str], is_silent_of: list[str]
) -> None:
    about = model_caption(
        Description(TrialConfig(**config), "digits", (8, 8), 12, twelve_epochs(config.get("mode", "vae")))
    )
    assert all(fact in about for fact in says), about
    assert not any(fact in about for fact in is_silent_of), about


def test_a_sweeps_caption_counts_its_trials_by_state(tmp_path: Path) -> None:
    trials = [record("a", [-3.0]), record("b", [-2.0]), record("c", [], "failed"), record("d", [-1.0], "pruned")]
    dot = " \N{MIDDLE DOT} "
    counts = "4 trials: 2 complete, 1 pruned, 1 failed"
    assert sweep_caption(sweep(tmp_path, trials)) == f"demo{dot}digits{dot}{counts}"
    assert sweep_caption(sweep(tmp_path, [])) == f"demo{dot}digits{dot}0 trials"
