"""The node type denoiser.flux."""

from __future__ import annotations

from mmm_flux.config import FluxConfig
from mmm_flux.foreign import LAYOUTS
from mmm_flux.parts import flux_parts, flux_path, flux_sharding
from mmm_graph.registry import Facts, ModelType, cond, method, model_type

CONDITION = cond(embeds="Embeds[b,t,$cond_dim]", pooled="Embeds[b,$pooled_dim]", guidance="Scalar[b]?")


def predicted(config: FluxConfig, call: object, facts: Facts) -> Facts:
    """What the prediction means."""
    return {"pred.prediction": config.prediction}


FLUX = model_type(
    "denoiser.flux",
    FluxConfig,
    "mmm_flux.model:Flux",
    methods={
        "predict": method(
            x="Latents[b,$in_channels,h,w]",
            t="Scalar[b]",
            ports={"cond": CONDITION},
            returns={"pred": "Latents[b,$out_channels,h,w]"},
            path=flux_path,
            facts=predicted,
            doc="One evaluation at times t. Models with `guidance` need cond.guidance, a number such as 3.5.",
        )
    },
    parts=flux_parts,
    sharding=flux_sharding,
    state={"h": "Embeds[b,l,$width]", "c": "Embeds[b,$width]", "text": "Embeds[b,t,$width]"},
    doc="A transformer in which image patches and text attend to each other, first with weights of their own, then "
    "with the same; positions turn queries and keys. With the defaults, FLUX.1 [dev].",
    source="Black Forest Labs 2024 (https://github.com/black-forest-labs/flux); 2025 (arXiv:2506.15742), section 2",
    layouts=LAYOUTS,
)


def flux_nodes() -> list[ModelType]:
    """denoiser.flux."""
    return [FLUX]
