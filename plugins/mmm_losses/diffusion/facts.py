"""What the compiler checks about a diffusion loss."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_graph.config import Config
from mmm_graph.registry import Facts
from mmm_losses.diffusion.config import DiffusionLossConfig

FLOW_ONLY = ("sigma_sqrt", "cosmap")


def diffusion(config: DiffusionLossConfig, uses: Mapping[str, Config], have: Facts) -> Facts:
    """Nothing new.

    Raises:
        ValueError: denoiser, scheduler and loss do not speak of the same prediction, or the weighting is not for
        it.
    """
    said = {
        "the denoiser predicts": have.get("pred.prediction"),
        "the scheduler's target is": have.get("target.prediction"),
        "the loss is told": config.prediction,
    }
    known = {k: v for k, v in said.items() if v is not None}
    if len(set(known.values())) > 1:
        raise ValueError(", ".join(f"{k} {v}" for k, v in known.items()) + "; they must agree")
    if config.weighting == "min_snr" and config.prediction is None:
        raise ValueError(
            "min_snr depends on what is predicted: set config prediction to epsilon, v, sample or flow"
        )
    other = next((v for v in known.values() if v != "flow"), None)
    if config.weighting in FLOW_ONLY and other is not None:
        raise ValueError(f"weighting {config.weighting} is for flows, and {other} is predicted; try min_snr")
    return {}
