"""Settings of the schedulers, with their defaults: when a trial that will not win is stopped."""

from typing import Annotated, Literal

from pydantic import Field

from tuning.space.dimensions import Strict


class Asha(Strict):
    """Asynchronous successive halving (Li et al. 2020): stops the lower part of the trials at each rung."""

    type: Literal["asha"]
    grace_epochs: int = Field(3, ge=1, description="Epochs every trial gets: the first rung.")
    reduction_factor: int = Field(3, ge=2, description="One trial in so many passes a rung; rungs grow by it.")


class Hyperband(Strict):
    """Asynchronous Hyperband: ASHA in several brackets, each with a later first rung than the one before."""

    type: Literal["hyperband"]
    grace_epochs: int = Field(1, ge=1, description="Epochs every trial gets in the first bracket.")
    reduction_factor: int = Field(3, ge=2, description="One trial in so many passes a rung.")
    brackets: int = Field(3, ge=1, le=5, description="Number of brackets.")


class Median(Strict):
    """Stops a trial whose best is below the median of the running means of the others at that epoch."""

    type: Literal["median"]
    grace_epochs: int = Field(3, ge=1, description="Epochs every trial gets.")
    min_trials: int = Field(5, ge=1, description="Trials that must have come as far before one is stopped.")


class NoScheduler(Strict):
    """Every trial runs all its epochs."""

    type: Literal["none"]


Scheduler = Annotated[Asha | Hyperband | Median | NoScheduler, Field(discriminator="type")]
