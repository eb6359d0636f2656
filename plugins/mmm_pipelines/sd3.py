"""StableDiffusion3Pipeline -> a graph: two CLIP texts, T5, MMDiT, autoencoder."""

from __future__ import annotations

from mmm_graph.registry import Foreign
from mmm_pipelines import common
from mmm_pipelines.common import Tree

STEPS, GUIDANCE_SCALE, CLIP_TOKENS, T5_TOKENS = 28, 7.0, 77, 256


def import_stable_diffusion_3(foreign: Foreign) -> Tree:
    """Text to image with SD3 and SD3.5. A checkpoint without T5 is refused: diffusers feeds zeros in its place.

    Source: diffusers, pipelines/stable_diffusion_3; Esser et al. 2024 (arXiv:2403.03206).
    """
    texts = ("text_encoder", "text_encoder_2", "text_encoder_3")
    common.check_parts(
        foreign, "tokenizer", "tokenizer_2", "tokenizer_3", *texts, "transformer", "vae", "scheduler"
    )
    net, vae = foreign.part("transformer"), foreign.part("vae")
    factor = common.vae_factor(vae)
    height, width = (factor * side for side in common.side_of(net.config.get("sample_size", 128)))
    token_px = factor * net.config.get("patch_size", 2)
    run, found = common.run_models(foreign)
    clip = {"layer": -2, "norm": False}
    nodes: Tree = {
        **{f"ids{i}": {"call": f"tok{i}", "in": {"text": "$in.text"}} for i in (1, 2, 3)},
        "enc1": {"call": "text1", "config": clip, "in": {"ids": "ids1"}},
        "enc2": {"call": "text2", "config": dict(clip), "in": {"ids": "ids2"}},
        "enc3": {"call": "text3", "in": {"ids": "ids3"}},
        "clip": {"op": "embeds.concat", "in": {"parts": ["enc1", "enc2"]}},
        "all": {
            "op": "embeds.concat",
            "config": {"axis": "t", "pad": True, "tokens": CLIP_TOKENS + T5_TOKENS},
            "in": {"parts": ["clip", "enc3"]},
        },
        "pooled": {"op": "embeds.concat_pooled", "in": {"parts": ["enc1.pooled", "enc2.pooled"]}},
    }
    return {
        "description": f"Text to image, from a {foreign.class_name}.",
        "params": {
            **common.run_params(STEPS, GUIDANCE_SCALE),
            **common.sizes(height, width, token_px),
        },
        "inputs": common.prompts(),
        "models": {
            "tok1": common.tokenizer(foreign, "tokenizer", CLIP_TOKENS),
            "tok2": common.tokenizer(foreign, "tokenizer_2", CLIP_TOKENS),
            "tok3": common.tokenizer(foreign, "tokenizer_3", T5_TOKENS),
            **{f"text{i + 1}": foreign.part(name).model() for i, name in enumerate(texts)},
            "mmdit": common.denoiser(net, found),
            "vae": vae.model(),
            **run,
        },
        "graphs": common.embed(nodes, {"embeds": "all", "pooled": "pooled"}),
        "nodes": {**common.both_prompts(), **common.run_nodes("mmdit", found, token_px=token_px)},
        "outputs": common.picture(vae),
    }
