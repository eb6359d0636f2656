"""The hooks of mmm_optim."""

from __future__ import annotations

from collections.abc import Sequence

from mmm_graph.registry import NodeType, hookimpl, optim_type
from mmm_optim.config import AdamConfig, AdamWConfig, SgdConfig


@hookimpl
def mmm_register_nodes() -> Sequence[NodeType]:
    """optim.adamw, optim.adam, optim.sgd."""
    return [
        optim_type(
            "optim.adamw",
            AdamWConfig,
            "mmm_optim.optimiser:adamw",
            doc="Adam with decoupled weight decay.",
            source="arXiv:1711.05101",
        ),
        optim_type(
            "optim.adam",
            AdamConfig,
            "mmm_optim.optimiser:adam",
            doc="Adam.",
            source="arXiv:1412.6980",
        ),
        optim_type(
            "optim.sgd",
            SgdConfig,
            "mmm_optim.optimiser:sgd",
            doc="Stochastic gradient descent with momentum.",
        ),
    ]
