"""The node type denoiser.pixart."""

from __future__ import annotations

from mmm_graph.registry import Facts, ModelType, cond, method, model_type
from mmm_pixart.config import PixArtConfig
from mmm_pixart.foreign import LAYOUTS
from mmm_pixart.parts import pixart_parts, pixart_path, pixart_sharding

LATENTS = "Latents[b,$in_channels,h,w]"
CONDITION = cond(
    embeds="Embeds[b,t,$cond_dim]", mask="Mask[b,t]?", resolution="Embeds[b,2]?", aspect="Embeds[b,1]?"
)


def predicted(config: PixArtConfig, call: object, facts: Facts) -> Facts:
    """What the prediction means."""
    return {"pred.prediction": config.prediction}


PIXART = model_type(
    "denoiser.pixart",
    PixArtConfig,
    "mmm_pixart.model:PixArt",
    methods={
        "predict": method(
            x=LATENTS,
            t="Scalar[b]",
            ports={"cond": CONDITION},
            returns={"pred": LATENTS, "variance": LATENTS + "?"},
            path=pixart_path,
            facts=predicted,
            doc="One evaluation at times t; `variance` only with learned_sigma. Only with size_condition, "
            "cond.resolution is height and width in pixels and cond.aspect height / width.",
        )
    },
    parts=pixart_parts,
    sharding=pixart_sharding,
    state={
        "h": "Embeds[b,l,$width]",
        "time": "Embeds[b,$width]",
        "c": "Embeds[b,6*$width]",
        "text": "Embeds[b,t,$width]",
    },
    doc="A transformer over patches with cross-attention to a text, whose blocks share one modulation by "
    "time; with the defaults, PixArt-Sigma.",
    source="Chen et al. 2023 (arXiv:2310.00426); Chen et al. 2024 (arXiv:2403.04692)",
    layouts=LAYOUTS,
)


def pixart_nodes() -> list[ModelType]:
    """denoiser.pixart."""
    return [PIXART]
