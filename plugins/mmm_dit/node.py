"""The node type denoiser.dit."""

from __future__ import annotations

from mmm_dit.config import DiTConfig
from mmm_dit.foreign import LAYOUTS
from mmm_dit.parts import dit_parts, dit_path, dit_sharding
from mmm_graph.registry import Facts, ModelType, cond, method, model_type

LATENTS = "Latents[b,$in_channels,h,w]"
CONDITION = cond(
    optional=True,
    embeds="Embeds[b,t,$cond_dim]?",
    pooled="Embeds[b,$pooled_dim]?",
    mask="Mask[b,t]?",
    label="Ids[b]?",
)


def predicted(config: DiTConfig, call: object, facts: Facts) -> Facts:
    """What the prediction means."""
    return {"pred.prediction": config.prediction}


DIT = model_type(
    "denoiser.dit",
    DiTConfig,
    "mmm_dit.model:DiT",
    methods={
        "predict": method(
            x=LATENTS,
            t="Scalar[b]",
            ports={"cond": CONDITION},
            returns={"pred": LATENTS, "variance": LATENTS + "?"},
            path=dit_path,
            facts=predicted,
            doc="One evaluation at times t; `variance` only with learned_sigma.",
        )
    },
    parts=dit_parts,
    sharding=dit_sharding,
    state={"h": "Embeds[b,l,$width]", "c": "Embeds[b,$width]"},
    doc="A transformer over patches whose layer norms are modulated by time and condition (adaLN-Zero).",
    source="Peebles and Xie 2022 (arXiv:2212.09748)",
    layouts=LAYOUTS,
)


def dit_nodes() -> list[ModelType]:
    """denoiser.dit."""
    return [DIT]
