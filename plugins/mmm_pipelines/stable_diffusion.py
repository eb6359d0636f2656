"""StableDiffusionPipeline and StableDiffusionXLPipeline -> graphs: CLIP texts, U-Net, autoencoder."""

from __future__ import annotations

from mmm_graph.registry import Foreign
from mmm_pipelines import common
from mmm_pipelines.common import Tree

STEPS, GUIDANCE_SCALE, TEXT_TOKENS = 50, 7.5, 77
XL_GUIDANCE_SCALE = 5.0


def import_stable_diffusion(foreign: Foreign) -> Tree:
    """Text to image with Stable Diffusion 1.x and 2.x.

    Source: diffusers, pipelines/stable_diffusion/pipeline_stable_diffusion.py.
    """
    common.check_parts(foreign, "tokenizer", "text_encoder", "unet", "vae", "scheduler")
    return from_text(foreign)


def from_text(foreign: Foreign, kind: str = "") -> Tree:
    """The graph of a pipeline with one text encoder.

    Args:
        kind: of the denoiser, where several read such folders.
    """
    unet, vae = foreign.part("unet"), foreign.part("vae")
    height, width = common.side_of(unet.config.get("sample_size", 64))
    factor = common.vae_factor(vae)
    run, found = common.run_models(foreign)
    return {
        "description": f"Text to image, from a {foreign.class_name}.",
        "params": {
            **common.run_params(STEPS, GUIDANCE_SCALE),
            **common.sizes(factor * height, factor * width, 8),
        },
        "inputs": common.prompts(),
        "models": {
            "tok": common.tokenizer(foreign, "tokenizer", TEXT_TOKENS),
            "text": foreign.part("text_encoder").model(),
            "unet": common.denoiser(unet, found, kind),
            "vae": vae.model(),
            **run,
        },
        "graphs": common.embed(
            {
                "ids": {"call": "tok", "in": {"text": "$in.text"}},
                "enc": {"call": "text", "in": {"ids": "ids"}},
            },
            {"embeds": "enc.embeds"},
        ),
        "nodes": {**common.both_prompts(), **common.run_nodes("unet", found)},
        "outputs": common.picture(vae),
    }


def import_stable_diffusion_xl(foreign: Foreign) -> Tree:
    """Text to image with SDXL; an empty negative prompt is zeros where the checkpoint says so.

    Source: diffusers, pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py; Podell et al. 2023
    (arXiv:2307.01952).
    """
    common.check_parts(
        foreign, "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "unet", "vae", "scheduler"
    )
    unet, vae = foreign.part("unet"), foreign.part("vae")
    height, width = common.side_of(unet.config.get("sample_size", 128))
    factor = common.vae_factor(vae)
    run, found = common.run_models(foreign)
    size = {"height": "$params.height", "width": "$params.width"}
    upcast = (
        {"dtype": "f32"} if vae.config.get("force_upcast", True) else {}
    )  # it overflows in half precision
    zeros = foreign.config.get("force_zeros_for_empty_prompt", True)
    nodes: Tree = {
        "ids1": {"call": "tok1", "in": {"text": "$in.text"}},
        "ids2": {"call": "tok2", "in": {"text": "$in.text"}},
        "enc1": {"call": "text1", "config": {"layer": -2, "norm": False}, "in": {"ids": "ids1"}},
        "enc2": {"call": "text2", "config": {"layer": -2, "norm": False}, "in": {"ids": "ids2"}},
        "both": {"op": "embeds.concat", "config": {"tokens": TEXT_TOKENS}, "in": {"parts": ["enc1", "enc2"]}},
        "sizes": {"op": "diffusion.size_cond", "config": size, "in": {"like": "both"}},
    }
    negative: Tree = {"negative": {"graph": "embed", "in": {"text": "$in.negative_prompt"}}}
    embeds = {"text": "$in.negative_prompt", "embeds": "negative.embeds", "pooled": "negative.pooled"}
    negative["blank"] = {"op": "embeds.zero_empty", "in": embeds}
    run_nodes = common.run_nodes("unet", found)
    if zeros:
        uncond = {"embeds": "blank.embeds", "pooled": "blank.pooled", "sizes": "negative.sizes"}
        run_nodes["denoise"]["in"]["uncond"] = uncond
    return {
        "description": f"Text to image, from a {foreign.class_name}.",
        "params": {
            **common.run_params(STEPS, XL_GUIDANCE_SCALE),
            **common.sizes(factor * height, factor * width, 8),
        },
        "inputs": common.prompts(),
        "models": {
            "tok1": common.tokenizer(foreign, "tokenizer", TEXT_TOKENS),
            "tok2": common.tokenizer(foreign, "tokenizer_2", TEXT_TOKENS),
            "text1": foreign.part("text_encoder").model(),
            "text2": foreign.part("text_encoder_2").model(),
            "unet": common.denoiser(unet, found),
            "vae": {**vae.model(), **upcast},
            **run,
        },
        "graphs": common.embed(nodes, {"embeds": "both", "pooled": "enc2.pooled", "sizes": "sizes.sizes"}),
        "nodes": {
            **({"cond": common.both_prompts()["cond"], **negative} if zeros else common.both_prompts()),
            **run_nodes,
        },
        "outputs": common.picture(vae),
    }
