"""What the graphs of all pipelines share: params, the denoising run, the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Foreign

Tree = dict[str, Any]


def sizes(side: int, multiple: int) -> Tree:
    """Params of the picture's height and width in pixels."""
    size = {"type": "int", "default": side, "min": multiple, "multiple_of": multiple, "help": "in pixels"}
    return {"height": dict(size), "width": dict(size)}


def run_params(steps: int, guidance_scale: float) -> Tree:
    """Params of a guided denoising run, with the pipeline's own defaults."""
    return {
        "steps": {"type": "int", "default": steps, "min": 1, "help": "denoising steps"},
        "guidance_scale": {"type": "float", "default": guidance_scale, "min": 0, "help": "1 = no guidance"},
    }


def prompts() -> Tree:
    """What the user says."""
    return {"prompt": "Text[b]", "negative_prompt": {"type": "Text[b]", "default": ""}}


def tokenizer(foreign: Foreign, name: str, max_length: int, **more: Any) -> Tree:
    """A tokenizer that pads every text to `max_length`."""
    config = {"max_length": max_length, "pad": "max_length", **more}
    return {"kind": "tokenizer.hf", "weights": f"{foreign.link}/{name}", "config": config}


def run_models(foreign: Foreign) -> tuple[Tree, Mapping[str, Any]]:
    """scheduler, sampler and guidance, and what the scheduler's file says about the times and the start of a run."""
    found = foreign.part("scheduler").translate()
    models = {
        "scheduler": found["scheduler"],
        "sampler": found["sampler"],
        "guide": {"kind": "guidance.cfg", "config": {"scale": "$params.guidance_scale"}},
    }
    return models, found


def run_nodes(denoiser: str, found: Mapping[str, Any], noise: str = "noise") -> Tree:
    """times, noise, denoise and image; `cond` and `uncond` are for the caller to add."""
    denoise: Tree = {
        "op": "diffusion.denoise",
        "use": {"denoiser": denoiser, "sampler": "sampler", "guidance": "guide"},
        "in": {"x": noise, "times": "times", "cond": "cond", "uncond": "uncond"},
    }
    if found.get("init"):
        denoise["config"] = dict(found["init"])
    size = {"height": "$params.height", "width": "$params.width"}
    return {
        "times": {"call": "scheduler.times", "config": {"steps": "$params.steps", **found.get("times", {})}},
        "noise": {"call": "vae.noise", "config": size, "in": {"like": "$in.prompt"}},
        "denoise": denoise,
        "image": {"call": "vae.decode", "in": {"latents": "denoise"}},
    }


def picture(channels: int = 3) -> Tree:
    """The output."""
    return {"image": {"from": "image", "type": f"Image[b,{channels},h,w]", "save": {"format": "png"}}}
