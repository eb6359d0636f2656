"""AnimateDiffPipeline, and motion adapters by themselves -> graphs: Stable Diffusion over frames, moved by modules."""

from __future__ import annotations

from mmm_graph.registry import Foreign
from mmm_pipelines import common
from mmm_pipelines.common import Tree
from mmm_pipelines.stable_diffusion import from_text

PARTS = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
ADAPTER, BASE = "motion_adapter", "base"
WHOLE = "UNetMotionModel"
UNET, MOTION = "denoiser.unet_frames", "adaptor.motion"
FRAMES, FPS = 16, 8


def import_animatediff(foreign: Foreign) -> Tree:
    """Text to video with the motion modules in the U-Net's file, or else those beside it.

    Source: diffusers, pipelines/animatediff/pipeline_animatediff.py; Guo et al. 2023 (arXiv:2307.04725).
    """
    common.check_parts(foreign, *PARTS, ADAPTER)
    unet = foreign.part("unet")
    if unet.class_name == WHOLE:
        foreign.leave_out(ADAPTER, "the file of the U-Net has its weights")
        return animated(foreign, unet)
    return animated(foreign, foreign.part(ADAPTER))


def import_motion_adapter(foreign: Foreign) -> Tree:
    """Text to video with a Stable Diffusion pipeline, `base`, that these motion modules are for.

    Raises:
        ValueError: no base is given, or it has other components.
    """
    if BASE not in foreign.parts:
        raise ValueError(
            "motion modules move the pictures of another pipeline; give --base FOLDER of a Stable Diffusion pipeline"
        )
    base = foreign.part(BASE)
    common.check_parts(base, *PARTS)
    tree = animated(base, foreign)
    foreign.notes += base.notes
    return tree


def animated(pipeline: Foreign, motion: Foreign) -> Tree:
    """The graph of a pipeline from text, over frames."""
    tree = from_text(pipeline, UNET)
    models, nodes = tree["models"], tree["nodes"]
    modules = motion.model(MOTION)
    unet = {**models["unet"], "attach": [{"model": "motion", "at": "parts"}]}
    most = modules.get("config", {}).get("max_frames", 32)
    frames = {"type": "int", "default": min(FRAMES, most), "min": 1, "max": most, "help": "of the video"}
    noise = nodes["noise"]
    size = {"frames": "$params.frames", **noise["config"]}
    video = {"call": "vae.decode_frames", "in": nodes.pop("image")["in"]}
    kind = f"Video[b,f,{pipeline.part('vae').config.get('out_channels', 3)},h,w]"
    return {
        **tree,
        "description": f"Text to video, from a {motion.class_name}.",
        "params": {**tree["params"], "frames": frames},
        "models": {"motion": modules, **models, "unet": unet},
        "nodes": {**nodes, "noise": {**noise, "call": "vae.noise_frames", "config": size}, "video": video},
        "outputs": {"video": {"from": "video", "type": kind, "save": {"format": "gif", "fps": FPS}}},
    }
