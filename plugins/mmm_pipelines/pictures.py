"""Pipelines that start from a picture -> graphs: image to image, and inpainting with four channels or nine."""

from __future__ import annotations

from typing import Any

from mmm_graph.registry import Foreign
from mmm_pipelines.common import Tree
from mmm_pipelines.stable_diffusion import import_stable_diffusion, import_stable_diffusion_xl

RESIZED = {"height": "$params.height", "width": "$params.width", "mode": "lanczos"}
STRENGTH, XL_STRENGTH, PAINT_STRENGTH = 0.8, 0.3, 1.0
LATENT, PAINTING = 4, 9
"""Channels of a U-Net that knows nothing of inpainting, and of one that was trained for it."""


def import_image_to_image(foreign: Foreign) -> Tree:
    """Image to image with Stable Diffusion 1.x and 2.x.

    Source: diffusers, pipelines/stable_diffusion/pipeline_stable_diffusion_img2img.py; Meng et al. 2021
    (arXiv:2108.01073).
    """
    return _from_picture(import_stable_diffusion(foreign), foreign, STRENGTH)


def import_image_to_image_xl(foreign: Foreign) -> Tree:
    """Image to image with SDXL.

    Raises:
        ValueError: the checkpoint is the refiner, which is told an aesthetic score.
    Source: diffusers, pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_img2img.py.
    """
    if foreign.config.get("requires_aesthetics_score"):
        raise ValueError(
            "requires_aesthetics_score True is not supported; supported: False (not SDXL's refiner)"
        )
    return _from_picture(import_stable_diffusion_xl(foreign), foreign, XL_STRENGTH)


def import_inpainting(foreign: Foreign) -> Tree:
    """A part of a picture painted anew, by a U-Net of 9 channels that sees the rest, or of 4, and the rest is put back.

    Raises:
        ValueError: the U-Net has another number of channels.
    Source: diffusers, pipelines/stable_diffusion/pipeline_stable_diffusion_inpaint.py; Rombach et al. 2021
    (arXiv:2112.10752), appendix D.3.
    """
    channels = foreign.part("unet").config.get("in_channels", LATENT)
    if channels not in (LATENT, PAINTING):
        raise ValueError(
            f"in_channels {channels} of the unet is not supported; supported: {LATENT}, {PAINTING}"
        )
    tree = _from_picture(import_stable_diffusion(foreign), foreign, PAINT_STRENGTH)
    tree["inputs"]["mask_image"] = "Image[b,1,mask_h,mask_w]"
    tree["nodes"]["start"]["config"] = {"full": "noise", **tree["nodes"]["start"].get("config", {})}
    denoise, latents = tree["nodes"]["denoise"], tree["nodes"]["latents"]
    paint: Tree = {
        "area": {"op": "image.resize", "config": dict(RESIZED), "in": {"image": "$in.mask_image"}},
        "paint": {"op": "image.to_mask", "in": {"image": "area"}},
        "mask": {"call": "vae.mask", "in": {"mask": "paint"}},
    }
    if channels == PAINTING:
        paint["hidden"] = {"op": "image.hide", "in": {"image": "sized", "mask": "paint"}}
        paint["kept"] = {**latents, "in": {"image": "hidden"}}
        paint["beside"] = {"op": "latents.concat", "in": {"x": "mask", "beside": "kept"}}
        denoise["in"]["beside"] = "beside"
    else:
        denoise["in"] |= {"mask": "mask", "original": "latents", "noise": "noise"}
    tree["nodes"] = _before("denoise", tree["nodes"], paint)
    return tree


def _from_picture(tree: Tree, foreign: Foreign, strength: float) -> Tree:
    """A graph from texts, changed to start from the input `image`."""
    bounds = {"min": 0, "max": 1, "help": "part of the steps that is done"}
    nodes = tree["nodes"]
    times, denoise = nodes["times"], nodes["denoise"]
    times["config"] = {**times["config"], "strength": "$params.strength"}
    start: dict[str, Any] = {
        "call": "scheduler.add_noise_at",
        "in": {"x": "latents", "eps": "noise", "times": "times"},
    }
    if denoise.pop(
        "config", None
    ):  # sigma times noise is one of the starts, and not for what is noised already
        start["config"] = {"scale": "sigma"}
    denoise["in"]["x"] = "start"
    picture: Tree = {
        "sized": {"op": "image.resize", "config": dict(RESIZED), "in": {"image": "$in.image"}},
        "latents": {"call": "vae.encode", "config": {"sample": True}, "in": {"image": "sized"}},
        "start": start,
    }
    return {
        **tree,
        "description": f"A picture and a text to a picture, from a {foreign.class_name}.",
        "params": {"strength": {"type": "float", "default": strength, **bounds}, **tree["params"]},
        "inputs": {"image": "Image[b,3,image_h,image_w]", **tree["inputs"]},
        "nodes": _before("denoise", nodes, picture),
    }


def _before(name: str, nodes: Tree, more: Tree) -> Tree:
    """More nodes, written before one of them."""
    keys = list(nodes)
    at = keys.index(name)
    return {**{k: nodes[k] for k in keys[:at]}, **more, **{k: nodes[k] for k in keys[at:]}}
