"""Configs of the optimisers; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmm_graph.config import Config

Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamConfig(Config):
    """Adam. `weight_decay` is added to the gradient (L2)."""

    lr: float = Field(1.0e-3, gt=0, description="learning rate at the top of the schedule")
    betas: tuple[Beta, Beta] = Field(
        (0.9, 0.999), description="decay of the mean and of the square of gradients"
    )
    eps: float = Field(1.0e-8, gt=0, description="added to the denominator")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")
    decay: Literal["matrices", "all"] = Field(
        "matrices", description="which weights decay: matrices leaves out biases, norms, gates and embeddings"
    )


class AdamWConfig(AdamConfig):
    """AdamW. `weight_decay` times the learning rate is taken off the weights, apart from the gradient."""

    weight_decay: float = Field(
        1.0e-2, ge=0, description="decoupled decay of the weights per unit of learning rate"
    )


class SgdConfig(Config):
    """Stochastic gradient descent with momentum."""

    lr: float = Field(1.0e-2, gt=0, description="learning rate at the top of the schedule")
    momentum: float = Field(0.0, ge=0, lt=1, description="decay of the running gradient")
    nesterov: bool = Field(False, description="look ahead along the momentum")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")
    decay: Literal["matrices", "all"] = Field(
        "matrices", description="which weights decay: matrices leaves out biases, norms, gates and embeddings"
    )
