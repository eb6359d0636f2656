"""FluxPipeline -> a graph: the pooled CLIP text, T5, FLUX, autoencoder."""

from __future__ import annotations

from mmm_graph.registry import Foreign
from mmm_pipelines import common
from mmm_pipelines.common import Tree

STEPS, GUIDANCE_SCALE, CLIP_TOKENS, T5_TOKENS, SIDE, PATCH = 28, 3.5, 77, 512, 1024, 2


def import_flux(foreign: Foreign) -> Tree:
    """Text to image with FLUX.1; guidance is a number that the denoiser is told, or absent (schnell).

    Source: diffusers, pipelines/flux/pipeline_flux.py.
    """
    common.check_parts(
        foreign, "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "transformer", "vae", "scheduler"
    )  # fmt: skip
    net, vae = foreign.part("transformer"), foreign.part("vae")
    token_px = PATCH * common.vae_factor(vae)
    run, found = common.run_models(foreign, guided=False)
    found = {
        **found,
        "times": {**found.get("times", {}), "spacing": "trailing"},
    }  # the pipeline sets its own sigmas
    told = bool(net.config.get("guidance_embeds", False))
    params = common.run_params(STEPS, GUIDANCE_SCALE)
    nodes: Tree = {
        "ids1": {"call": "tok1", "in": {"text": "$in.text"}},
        "ids2": {"call": "tok2", "in": {"text": "$in.text"}},
        "enc1": {"call": "text1", "in": {"ids": "ids1"}},
        "enc2": {"call": "text2", "in": {"ids": "ids2"}},
    }
    out = {"embeds": "enc2.embeds", "pooled": "enc1.pooled"}
    if told:
        value = {"value": "$params.guidance_scale"}
        nodes["guidance"] = {"op": "cond.number", "config": value, "in": {"like": "$in.text"}}
        out["guidance"] = "guidance"
    else:
        del params["guidance_scale"]
    return {
        "description": f"Text to image, from a {foreign.class_name}.",
        "params": {**params, **common.sizes(SIDE, SIDE, token_px)},
        "inputs": {"prompt": "Text[b]"},
        "models": {
            "tok1": common.tokenizer(foreign, "tokenizer", CLIP_TOKENS),
            "tok2": common.tokenizer(foreign, "tokenizer_2", T5_TOKENS),
            "text1": foreign.part("text_encoder").model(),
            "text2": foreign.part("text_encoder_2").model(),
            "flux": common.denoiser(net, found),
            "vae": vae.model(),
            **run,
        },
        "graphs": common.embed(nodes, out),
        "nodes": {
            "cond": common.both_prompts()["cond"],
            **common.run_nodes("flux", found, token_px=token_px, branches=("cond",)),
        },
        "outputs": common.picture(vae),
    }
