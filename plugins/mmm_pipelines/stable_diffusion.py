"""StableDiffusionPipeline -> a graph: CLIP text, U-Net, autoencoder."""

from __future__ import annotations

from mmm_graph.registry import Foreign
from mmm_pipelines import common
from mmm_pipelines.common import Tree

STEPS, GUIDANCE_SCALE, TEXT_TOKENS = 50, 7.5, 77


def import_stable_diffusion(foreign: Foreign) -> Tree:
    """Text to image with Stable Diffusion 1.x and 2.x.

    Source: diffusers, pipelines/stable_diffusion/pipeline_stable_diffusion.py.
    """
    foreign.expect("tokenizer", "text_encoder", "unet", "vae", "scheduler", "safety_checker", "feature_extractor",
                   "image_encoder")  # fmt: skip
    foreign.leave_out("safety_checker", "no node checks pictures")
    foreign.leave_out("feature_extractor", "it belongs to the safety checker")
    foreign.leave_out("image_encoder", "image prompts (IP-Adapter) are not supported")
    unet, vae = foreign.part("unet"), foreign.part("vae")
    factor = 2 ** (len(vae.config.get("block_out_channels", (64,))) - 1)
    run, found = common.run_models(foreign)
    return {
        "mmm": 1,
        "description": f"Text to image, from a {foreign.class_name}.",
        "params": {
            **common.run_params(STEPS, GUIDANCE_SCALE),
            **common.sizes(factor * unet.config.get("sample_size", 64), 8),
        },
        "inputs": common.prompts(),
        "models": {
            "tok": common.tokenizer(foreign, "tokenizer", TEXT_TOKENS),
            "text": foreign.part("text_encoder").model(),
            "unet": unet.model(),
            "vae": vae.model(),
            **run,
        },
        "graphs": {
            "embed": {
                "in": {"text": "Text[b]"},
                "nodes": {
                    "ids": {"call": "tok", "in": {"text": "$in.text"}},
                    "enc": {"call": "text", "in": {"ids": "ids"}},
                },
                "out": {"embeds": "enc.embeds"},
            }
        },
        "nodes": {
            "cond": {"graph": "embed", "in": {"text": "$in.prompt"}},
            "uncond": {"graph": "embed", "in": {"text": "$in.negative_prompt"}},
            **common.run_nodes("unet", found),
        },
        "outputs": common.picture(vae.config.get("out_channels", 3)),
    }
