"""The page docs/hyperparameters.md, from TrialConfig: python -m vae.cli.hyperparameters."""

from collections.abc import Iterator

from vae.cli.arguments import allowed
from vae.config import HYPERPARAMETERS, TrialConfig

ABOVE = """\
# Hyperparameters

`make docs` writes this page from `vae/config.py`, where each hyperparameter is declared once.

A search space names them as they stand here, under `search` or `fixed`. With `sweep.py`, `--set latent_size=2` fixes
one and takes it out of the search. `python -m vae` has a flag for each: `--latent-size 2`.
"""
BELOW = """\
## Which numbers can be compared

- **Grey pixels under a Bernoulli decoder give a cross-entropy, not a likelihood.** Compare such an ELBO only with
  others of the same data. `binarize` makes the pixels that a Bernoulli decoder is right for.
- **`continuous_bernoulli` and `gaussian` are densities of grey pixels.** Their ELBOs may be positive.
- **ELBOs of different likelihoods or binarisations cannot be compared.** A space that searches either is refused.
- **An autoencoder and a decoder alone have no rate and no ELBO.** These numbers are absent, not zero. A study that
  searches the mode ranks by the distortion, `metric: val_distortion`.
- **`beta`, `kl_warmup_epochs` and `free_bits` change the training loss only.** Every trial is ranked by the ELBO at
  beta = 1, and the rate that is logged is the true KL.
"""


def page() -> str:
    return "\n".join([ABOVE, *_table(), "", BELOW])


def _table() -> Iterator[str]:
    yield "| name | default | allowed | meaning |"
    yield "|---|---|---|---|"
    for name in HYPERPARAMETERS:
        field = TrialConfig.model_fields[name]
        yield f"| `{name}` | {field.default} | {allowed(name)} | {field.description} |"


if __name__ == "__main__":
    print(page(), end="")
