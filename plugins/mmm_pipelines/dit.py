"""PixArtAlphaPipeline, PixArtSigmaPipeline and DiTPipeline -> graphs."""

from __future__ import annotations

from mmm_graph.registry import Foreign
from mmm_pipelines import common
from mmm_pipelines.common import Tree

STEPS, GUIDANCE_SCALE = 20, 4.5
TOKENS = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}
DIT_STEPS, DIT_GUIDANCE_SCALE, NO_CLASS = 50, 4.0, 1000
TOLD_SIZES = 128
"""PixArt-alpha tells sizes to denoisers of this sample_size only."""


def import_pixart(foreign: Foreign) -> Tree:
    """Text to image with PixArt. Captions are put into small letters; diffusers' cleaning of web text is not done, and
    sizes are taken as they are, where diffusers goes to the nearest of its bins.

    Source: diffusers, pipelines/pixart_alpha; Chen et al. 2023 (arXiv:2310.00426), 2024 (arXiv:2403.04692).
    """
    common.check_parts(foreign, "tokenizer", "text_encoder", "transformer", "vae", "scheduler")
    net, vae = foreign.part("transformer"), foreign.part("vae")
    factor = common.vae_factor(vae)
    height, width = (factor * side for side in common.side_of(net.config.get("sample_size", 128)))
    run, found = common.run_models(foreign)
    nodes: Tree = {
        "plain": {"op": "text.normalise", "in": {"text": "$in.text"}},
        "ids": {"call": "tok", "in": {"text": "plain"}},
        "enc": {"call": "text", "in": {"ids": "ids", "mask": "ids.mask"}},
    }
    out = {"embeds": "enc.embeds", "mask": "ids.mask"}
    if foreign.class_name == "PixArtAlphaPipeline" and net.config.get("sample_size", 128) == TOLD_SIZES:
        size = {"height": "$params.height", "width": "$params.width"}
        nodes["sizes"] = {"op": "diffusion.size_cond", "config": size, "in": {"like": "enc"}}
        out |= {"resolution": "sizes.resolution", "aspect": "sizes.aspect"}
    foreign.notes.append(
        "prompts are only put into small letters; diffusers also cleans web text (clean_caption)"
    )
    foreign.notes.append(
        "height and width are taken as they are; diffusers rounds them (use_resolution_binning)"
    )
    return {
        "description": f"Text to image, from a {foreign.class_name}.",
        "params": {
            **common.run_params(STEPS, GUIDANCE_SCALE),
            **common.sizes(height, width, factor * net.config.get("patch_size", 2)),
        },
        "inputs": common.prompts(),
        "models": {
            "tok": common.tokenizer(foreign, "tokenizer", TOKENS[foreign.class_name]),
            "text": foreign.part("text_encoder").model(),
            "pixart": common.denoiser(net, found),
            "vae": vae.model(),
            **run,
        },
        "graphs": common.embed(nodes, out),
        "nodes": {**common.both_prompts(), **common.run_nodes("pixart", found)},
        "outputs": common.picture(vae),
    }


def import_dit(foreign: Foreign) -> Tree:
    """Class to image with DiT: the input `label` is a number of a class.

    Source: diffusers, pipelines/dit/pipeline_dit.py; Peebles & Xie 2022 (arXiv:2212.09748).
    """
    common.check_parts(foreign, "transformer", "vae", "scheduler")
    net, vae = foreign.part("transformer"), foreign.part("vae")
    factor = common.vae_factor(vae)
    side = factor * net.config.get("sample_size", 32)
    run, found = common.run_models(foreign)
    nodes = common.run_nodes("dit", found, like="$in.label", branches=())
    nodes["denoise"]["in"] |= {"cond": {"label": "$in.label"}, "uncond": {"label": "none"}}
    none = {"op": "cond.label", "config": {"value": net.config.get("num_embeds_ada_norm", NO_CLASS)}}
    return {
        "description": f"Class to image, from a {foreign.class_name}.",
        "params": {
            **common.run_params(DIT_STEPS, DIT_GUIDANCE_SCALE),
            **common.sizes(side, side, factor * net.config.get("patch_size", 2)),
        },
        "inputs": {"label": "Ids[b]"},
        "models": {"dit": common.denoiser(net, found), "vae": vae.model(), **run},
        "nodes": {
            "none": {**none, "in": {"like": "$in.label"}},
            **nodes,
        },
        "outputs": common.picture(vae),
    }
