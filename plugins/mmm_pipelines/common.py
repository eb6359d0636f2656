"""What the graphs of all pipelines share: params, prompts, the denoising run, the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Foreign

Tree = dict[str, Any]
FLOW = "scheduler.flow"
SAFETY = {
    "safety_checker": "no node checks pictures",
    "feature_extractor": "it belongs to the safety checker or to image prompts",
    "image_encoder": "image prompts (IP-Adapter) are not supported",
}


def check_parts(foreign: Foreign, *names: str) -> None:
    """Refuse components nobody knows; say which of the known ones stay behind."""
    foreign.expect(*names, *SAFETY)
    for name, why in SAFETY.items():
        foreign.leave_out(name, why)


def vae_factor(vae: Foreign) -> int:
    """Pixels of the picture to a pixel of the latents."""
    return int(2 ** (len(vae.config.get("block_out_channels", (64,))) - 1))


def side_of(sample_size: Any) -> tuple[int, int]:
    """Height and width of a `sample_size`, which is a number or two."""
    return (sample_size, sample_size) if isinstance(sample_size, int) else tuple(sample_size)


def sizes(height: int, width: int, multiple: int) -> Tree:
    """Params of the picture's height and width in pixels."""
    bounds = {"min": multiple, "multiple_of": multiple, "help": "in pixels"}
    return {n: {"type": "int", "default": v, **bounds} for n, v in (("height", height), ("width", width))}


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
    """A tokenizer that pads every text to `max_length`, with a token that an importer of single files may name."""
    part = foreign.part(name)
    pad = {"pad_token": part.config["pad_token"]} if foreign.parts and "pad_token" in part.config else {}
    config = {"max_length": max_length, "pad": "max_length", **pad, **more}
    return {"kind": "tokenizer.hf", "weights": part.link, "config": config}


def run_models(foreign: Foreign, *, guided: bool = True) -> tuple[Tree, Mapping[str, Any]]:
    """scheduler, sampler and guidance, and what the scheduler's file says about the times and the start of a run."""
    found = {**foreign.part("scheduler").translate()}
    if found["scheduler"]["kind"] == FLOW:
        # our denoisers of flows take times in [0, 1] and scale them by themselves
        law = dict(found["scheduler"]["config"])
        found["scale"] = law.pop("time_scale")
        found["scheduler"] = {"kind": FLOW, "config": law}
    scale = {"kind": "guidance.cfg", "config": {"scale": "$params.guidance_scale"}}
    guide = scale if guided else {"kind": "guidance.none"}
    plain = {role: _without_empty(found[role]) for role in ("scheduler", "sampler")}
    return {**plain, "guide": guide}, found


def denoiser(part: Foreign, found: Mapping[str, Any], kind: str = "") -> Tree:
    """The denoiser, told what it predicts: in their folders only the scheduler knows.

    Args:
        found: what the importer of the scheduler says.
        kind: where several read such folders.
    """
    model = part.model(kind)
    law = found["scheduler"]
    default = "flow" if law["kind"] == FLOW else "epsilon"
    said = {"prediction": law.get("config", {}).get("prediction", default)}
    if found.get("scale", 1000) != 1000:
        said["time_scale"] = found["scale"]
    fields = part.registry.models[model["kind"]].config.model_fields
    more = {name: value for name, value in said.items() if value != fields[name].default}
    return {**model, "config": {**model.get("config", {}), **more}} if more else model


def run_nodes(
    denoiser: str,
    found: Mapping[str, Any],
    *,
    token_px: int | None = None,
    like: str = "$in.prompt",
    branches: tuple[str, ...] = ("cond", "uncond"),
) -> Tree:
    """times, noise, denoise and image; the branches are for the caller to add.

    Args:
        found: what the importer of the scheduler says.
        token_px: side of an image token in pixels, for a shift that follows the size of the picture.
        like: one element of noise for each of its.
        branches: nodes of the conditions.
    """
    denoise: Tree = {
        "op": "diffusion.denoise",
        "use": {"denoiser": denoiser, "sampler": "sampler", "guidance": "guide"},
        "in": {"x": "noise", "times": "times", **{b: b for b in branches}},
    }
    if found.get("init"):
        denoise["config"] = dict(found["init"])
    size = {"height": "$params.height", "width": "$params.width"}
    times = {"steps": "$params.steps", **found.get("times", {})}
    if found["scheduler"].get("config", {}).get("dynamic", "none") != "none":
        times |= {**size, "token_px": token_px}
    return {
        "times": {"call": "scheduler.times", "config": times},
        "noise": {"call": "vae.noise", "config": size, "in": {"like": like}},
        "denoise": denoise,
        "image": {"call": "vae.decode", "in": {"latents": "denoise"}},
    }


def both_prompts() -> Tree:
    """The subgraph `embed` for what is wanted and for what is not."""
    return {
        "cond": {"graph": "embed", "in": {"text": "$in.prompt"}},
        "uncond": {"graph": "embed", "in": {"text": "$in.negative_prompt"}},
    }


def embed(nodes: Tree, out: Tree) -> Tree:
    """The subgraph `embed`: a text -> a condition."""
    return {"embed": {"in": {"text": "Text[b]"}, "nodes": nodes, "out": out}}


def picture(vae: Foreign) -> Tree:
    """The output."""
    kind = f"Image[b,{vae.config.get('out_channels', 3)},h,w]"
    return {"image": {"from": "image", "type": kind, "save": {"format": "png"}}}


def _without_empty(model: Mapping[str, Any]) -> Tree:
    return {key: value for key, value in model.items() if value != {}}
