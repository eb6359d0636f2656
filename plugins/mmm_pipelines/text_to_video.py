"""TextToVideoSDPipeline -> graph: CLIP text, U-Net of clips, autoencoder frame by frame."""

from __future__ import annotations

from typing import Any

from mmm_graph.registry import Foreign
from mmm_pipelines import common
from mmm_pipelines.common import Tree

STEPS, GUIDANCE_SCALE, TEXT_TOKENS = 50, 9.0, 77
FRAMES, FPS = 16, 8


def import_text_to_video(foreign: Foreign) -> Tree:
    """Text to video with ModelScope's model and Zeroscope.

    Source: diffusers, pipelines/text_to_video_synthesis/pipeline_text_to_video_synth.py; Wang et al. 2023
    (arXiv:2308.06571).
    """
    common.check_parts(foreign, "tokenizer", "text_encoder", "unet", "vae", "scheduler")
    unet, vae = foreign.part("unet"), foreign.part("vae")
    height, width = common.side_of(unet.config.get("sample_size") or 32)
    factor = common.vae_factor(vae)
    run, found = common.run_models(foreign)
    return {
        "description": f"Text to video, from a {foreign.class_name}.",
        "params": {
            **common.run_params(STEPS, GUIDANCE_SCALE),
            "frames": {"type": "int", "default": FRAMES, "min": 1, "help": "of the video"},
            **common.sizes(factor * height, factor * width, 8),
        },
        "inputs": common.prompts(),
        "models": {
            "tok": common.tokenizer(foreign, "tokenizer", TEXT_TOKENS),
            "text": foreign.part("text_encoder").model(),
            "unet": common.denoiser(unet, found),
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
        "nodes": {**common.both_prompts(), **video_nodes("unet", found)},
        "outputs": {
            "video": {"from": "video", "type": "Video[b,f,3,h,w]", "save": {"format": "mp4", "fps": FPS}}
        },
    }


def video_nodes(denoiser: str, found: Any) -> Tree:
    """As `common.run_nodes`, for clips."""
    nodes = common.run_nodes(denoiser, found)
    size = {"frames": "$params.frames", "height": "$params.height", "width": "$params.width"}
    del nodes["image"]
    return {
        **nodes,
        "noise": {"call": "vae.noise_frames", "config": size, "in": {"like": "$in.prompt"}},
        "video": {"call": "vae.decode_frames", "in": {"latents": "denoise"}},
    }
