"""vae/preview.py and what vae/training.py fills it with: what the model sees, gives back and makes up."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import ContinuousBernoulli, Normal

from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.storage.preview import PREVIEW_IMAGES
from vae.training.pack import Pack
from vae.training.trial import Training

CONFIG = TrialConfig(latent_size=2, hidden_units=16, batch_size=50, epochs=6, learning_rate=3e-3, seed=5)


class Nowhere:
    """Files that are not kept."""

    def read(self, name: str) -> bytes | None:
        return None

    def write(self, name: str, content: bytes) -> None:
        pass


@pytest.fixture
def pack(digits: dict[str, Images]) -> Pack:
    return Pack(*(torch.from_numpy(digits[split].pixels[:180]) for split in ("train", "validation")))


def changed(**changes: Any) -> TrialConfig:
    return TrialConfig.model_validate({**CONFIG.model_dump(), **changes})


def start(pack: Pack, config: TrialConfig) -> Training:
    return Training(pack, config, "digits", (8, 8), Nowhere())


def grey(pixels: Tensor) -> np.ndarray:
    return (pixels.detach() * 255).round().numpy().reshape(-1, 8, 8)


def test_a_preview_shows_the_first_validation_images_and_changes_nothing(pack: Pack) -> None:
    training = start(pack, CONFIG)
    training.next_epoch()
    before = pack.weights(0)
    preview, again = training.preview(), training.preview()
    assert all(torch.equal(weight, before[name]) for name, weight in pack.weights(0).items())
    for name in ("inputs", "reconstructions", "samples"):
        grids = getattr(preview, name)
        assert (grids.shape, grids.dtype) == ((PREVIEW_IMAGES, 8, 8), np.uint8)
        assert np.array_equal(grids, getattr(again, name))
    assert np.array_equal(preview.inputs.reshape(PREVIEW_IMAGES, 64), pack.validation[:PREVIEW_IMAGES].numpy())


def test_a_preview_reconstructs_from_the_posterior_mean(pack: Pack) -> None:
    training = start(pack, CONFIG)
    training.next_epoch()
    with torch.no_grad():
        x = pack.validation[:PREVIEW_IMAGES].float() / 255
        expected = pack.model(0).decode(pack.model(0).encode(x).mean).logits.sigmoid() * 255
    found = torch.from_numpy(training.preview().reconstructions).reshape(PREVIEW_IMAGES, 64)
    assert (found - expected).abs().max() <= 0.5001


def test_a_preview_of_an_autoencoder_decodes_its_code_and_one_of_a_decoder_alone_the_prior(pack: Pack) -> None:
    for mode in ("autoencoder", "decoder_only"):
        training = start(pack, changed(mode=mode))
        training.next_epoch()
        model, preview = pack.model(0), training.preview()
        x = pack.validation[:PREVIEW_IMAGES].float() / 255
        if mode == "autoencoder":
            assert np.abs(preview.reconstructions - grey(model.decode(model.code(x)).logits.sigmoid())).max() <= 1
            assert not np.array_equal(preview.samples, preview.reconstructions)
        else:
            assert np.array_equal(preview.samples, preview.reconstructions)  # there is nothing to reconstruct from
        assert np.array_equal(preview.inputs, grey(x))


@pytest.mark.parametrize("noise", ["gaussian", "salt_pepper"])
@pytest.mark.parametrize("mode", ["vae", "autoencoder", "decoder_only"])
def test_the_inputs_of_a_preview_are_what_the_model_sees_and_reconstructs_from(
    pack: Pack, mode: str, noise: str
) -> None:
    """Corrupted as in every evaluation, so that two trials of one noise factor show the same; a decoder sees none."""
    config = changed(mode=mode, noise=noise, noise_factor=0.5)
    training = start(pack, config)
    preview, x = training.preview(), pack.validation[:PREVIEW_IMAGES].float() / 255
    if mode == "decoder_only":
        assert np.array_equal(preview.inputs, grey(x))
        return
    assert 0.2 < np.mean(preview.inputs != grey(x)) < 0.9
    model, seen = pack.model(0), torch.from_numpy(preview.inputs).float().view(-1, 64) / 255
    expected = grey(model.decode(model.code(seen)).logits.sigmoid())
    assert np.abs(preview.reconstructions.astype(int) - expected).max() <= 2  # the inputs were rounded to bytes
    other = start(pack, config.model_copy(update={"seed": 77, "latent_size": 3})).preview()
    assert np.array_equal(other.inputs, preview.inputs)
    weaker = start(pack, config.model_copy(update={"noise_factor": 0.1})).preview()
    assert np.mean(weaker.inputs != grey(x)) < np.mean(preview.inputs != grey(x)) or noise == "gaussian"
    assert not np.array_equal(weaker.inputs, preview.inputs)


def test_a_preview_of_binarised_images_shows_them_black_and_white(pack: Pack) -> None:
    for binarize in ("stochastic", "threshold"):
        preview = start(pack, changed(binarize=binarize)).preview()
        assert set(np.unique(preview.inputs).tolist()) == {0, 255}


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
def test_a_preview_shows_the_mean_of_each_pixel(pack: Pack, likelihood: str) -> None:
    training = start(pack, changed(likelihood=likelihood))
    training.next_epoch()
    model, x = pack.model(0), pack.validation[:PREVIEW_IMAGES].float() / 255
    logits = model.decode(model.code(x)).logits
    means = ContinuousBernoulli(logits=logits).mean if likelihood == "continuous_bernoulli" else logits.sigmoid()
    assert np.abs(training.preview().reconstructions - grey(means)).max() <= 1


def test_a_preview_of_fewer_validation_images_than_it_shows_has_those(pack: Pack) -> None:
    for mode in ("vae", "autoencoder", "decoder_only"):
        training = start(Pack(pack.train, pack.validation[:3]), changed(mode=mode, noise="salt_pepper"))
        preview = training.preview()
        assert (len(preview.inputs), len(preview.reconstructions), len(preview.samples)) == (3, 3, PREVIEW_IMAGES)


def test_a_preview_of_two_latents_has_the_plane_of_them_as_seven_by_seven_images(pack: Pack) -> None:
    """z0 to the right, z1 upwards, evenly in the prior's probability: the quantiles of every other fifteenth."""
    training = start(pack, CONFIG)
    training.next_epoch()
    manifold = training.preview().manifold
    assert manifold is not None
    places = Normal(0.0, 1.0).icdf((torch.arange(1, 15, 2) + 0.5) / 15)
    z = torch.tensor([[float(z0), float(z1)] for z1 in places.flip(0) for z0 in places])
    assert np.abs(manifold - grey(pack.model(0).decode(z).logits.sigmoid())).max() <= 1
    assert z[24].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert start(pack, changed(latent_size=3)).preview().manifold is None
