"""The node type denoiser.mmdit."""

from __future__ import annotations

from mmm_graph.registry import Facts, ModelType, cond, method, model_type
from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.foreign import LAYOUTS
from mmm_mmdit.parts import mmdit_parts, mmdit_path, mmdit_sharding

CONDITION = cond(embeds="Embeds[b,t,$cond_dim]", pooled="Embeds[b,$pooled_dim]")


def predicted(config: MMDiTConfig, call: object, facts: Facts) -> Facts:
    """What the prediction means."""
    return {"pred.prediction": config.prediction}


MMDIT = model_type(
    "denoiser.mmdit",
    MMDiTConfig,
    "mmm_mmdit.model:MMDiT",
    methods={
        "predict": method(
            x="Latents[b,$in_channels,h,w]",
            t="Scalar[b]",
            ports={"cond": CONDITION},
            returns={"pred": "Latents[b,$out_channels,h,w]"},
            path=mmdit_path,
            facts=predicted,
            doc="One evaluation at times t.",
        )
    },
    parts=mmdit_parts,
    sharding=mmdit_sharding,
    layouts=LAYOUTS,
    state={"h": "Embeds[b,l,$width]", "c": "Embeds[b,$width]", "text": "Embeds[b,t,$width]"},
    doc="A transformer in which image patches and text attend to each other, each with weights of its own; "
    "with the defaults, Stable Diffusion 3 medium.",
    source="Esser et al. 2024 (arXiv:2403.03206)",
)


def mmdit_nodes() -> list[ModelType]:
    """denoiser.mmdit."""
    return [MMDIT]
