"""The loss of denoisers."""

from __future__ import annotations

from mmm_graph.registry import OpType, op_type
from mmm_losses.diffusion import facts
from mmm_losses.diffusion.config import DiffusionLossConfig


def diffusion_nodes() -> list[OpType]:
    """loss.diffusion."""
    return [
        op_type(
            "loss.diffusion",
            "mmm_losses.diffusion.ops:diffusion",
            pred="Latents",
            target="Latents",
            snr="Scalar[b]?",
            returns={"loss": "Scalar"},
            config=DiffusionLossConfig,
            facts=facts.diffusion,
            doc="Squared error between a denoiser's prediction and its target, plain or weighted by level.",
            source="Ho et al. 2020 (arXiv:2006.11239), eq. 14; Hang et al. 2023 (arXiv:2303.09556); Esser et al. 2024 "
            "(arXiv:2403.03206)",
        )
    ]
