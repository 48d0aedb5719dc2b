"""Settings of the samplers, with their defaults: how the next configuration is proposed."""

from typing import Annotated, Literal

from pydantic import Field

from tuning.space.dimensions import Strict


class Tpe(Strict):
    """Tree-structured Parzen estimator."""

    type: Literal["tpe"]
    startup_trials: int = Field(10, ge=1, description="Random trials before the model proposes.")
    candidates: int = Field(24, ge=1, description="Candidates per proposal; fewer are faster at thousands of trials.")


class Random(Strict):
    """Independent draws."""

    type: Literal["random"]


class Grid(Strict):
    """Every combination of what applies, once; each dimension is categorical or has a step."""

    type: Literal["grid"]


class Gp(Strict):
    """Gaussian process."""

    type: Literal["gp"]
    startup_trials: int = Field(10, ge=1, description="Random trials before the model proposes.")


class CmaEs(Strict):
    """Covariance matrix adaptation; numbers only."""

    type: Literal["cmaes"]
    startup_trials: int = Field(10, ge=1, description="Random trials before the model proposes.")


Sampler = Annotated[Tpe | Random | Grid | Gp | CmaEs, Field(discriminator="type")]
