"""Original single files of Stable Diffusion 1, 2 and XL -> graphs, through the importers of diffusers' folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Foreign
from mmm_pipelines.common import Tree
from mmm_pipelines.file_parts import END, FIRST, import_as
from mmm_pipelines.pictures import PAINTING
from mmm_pipelines.shapes import Names, read_clip, read_open_clip, read_sizes, read_unet, read_vae

UNET, VAE = "model.diffusion_model", "first_stage_model"
CLIP, OPEN_CLIP = "cond_stage_model.transformer", "cond_stage_model.model"
XL_CLIP, XL_OPEN_CLIP = "conditioner.embedders.0.transformer", "conditioner.embedders.1.model"
FIRST_CONV = "input_blocks.0.0.weight"
SCALING, XL_SCALING = 0.18215, 0.13025
CUT = 23
"""Blocks of an OpenCLIP ViT-H as some converters write it: without the last of 24, which SD 2 skips."""

BETAS = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
}
STEPS = {**BETAS, "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False}
PNDM = {"_class_name": "PNDMScheduler", **STEPS, "skip_prk_steps": True}
DDIM = {"_class_name": "DDIMScheduler", **STEPS}
EULER = {"_class_name": "EulerDiscreteScheduler", **BETAS, "steps_offset": 1, "timestep_spacing": "leading"}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}

OTHERS = {
    5: "a depth map (depth-to-image)",
    7: "a small picture (the upscaler)",
    8: "a picture to be edited (InstructPix2Pix)",
    PAINTING: "a mask and the masked picture (inpainting)",
}
"""What U-Nets with more than four channels read beside the latents."""


def import_sd1(foreign: Foreign) -> Tree:
    """Text to image with Stable Diffusion 1.x; inpainting where the U-Net has nine channels.

    Source: CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml.
    """
    text = read_clip(Names(foreign.shapes, CLIP))
    return _import_one_text(foreign, (CLIP, text), foreign.options.get("prediction", "epsilon"), 64, END)


def import_sd2(foreign: Foreign) -> Tree:
    """Text to image with Stable Diffusion 2.x, or inpainting: the state before OpenCLIP's last block, normalised.

    Raises:
        ValueError: nobody says what the denoiser predicts.
    Source: Stability-AI/stablediffusion, configs/stable-diffusion/v2-inference.yaml and v2-inference-v.yaml.
    """
    text = read_open_clip(Names(foreign.shapes, OPEN_CLIP))
    channels = Names(foreign.shapes, UNET).size(FIRST_CONV, 1)
    prediction = foreign.options.get("prediction", "epsilon" if channels == PAINTING else None)
    if prediction is None:
        raise ValueError(
            "names and shapes do not tell what the denoiser of Stable Diffusion 2 predicts; give --prediction v (2.0 "
            "and 2.1, for 768 pixels) or --prediction epsilon (their base models, for 512 pixels)"
        )
    tree = _import_one_text(foreign, (OPEN_CLIP, text), prediction, 96 if prediction == "v" else 64, FIRST)
    if text["num_hidden_layers"] != CUT and "graphs" in tree:
        tree["graphs"]["embed"]["nodes"]["enc"]["config"] = {"layer": -2}
    return tree


def _import_one_text(
    foreign: Foreign, text: tuple[str, Mapping[str, Any]], prediction: str, side: int, pad: str
) -> Tree:
    """SD 1 and 2, with the schedulers that their checkpoints have at diffusers.

    Args:
        text: prefix and config of the text encoder.
        side: of the latents.
        pad: token that texts are padded with.
    """
    unet = read_unet(Names(foreign.shapes, UNET), side)
    is_painting = unet["in_channels"] == PAINTING
    if not is_painting:
        _check_channels(foreign, unet)
    vae = read_vae(Names(foreign.shapes, VAE), 8 * side, SCALING)
    models = {"text_encoder": text, "unet": (UNET, unet), "vae": (VAE, vae)}
    law = {**(PNDM if prediction == "epsilon" else DDIM), "prediction_type": PREDICTIONS[prediction]}
    name = "StableDiffusionInpaintPipeline" if is_painting else "StableDiffusionPipeline"
    return import_as(foreign, name, models, law, {"tokenizer": pad})


def import_sdxl(foreign: Foreign) -> Tree:
    """Text to image with SDXL; tensors `v_pred` and `ztsnr`, which fine-tuned files hold as marks, are obeyed.

    Source: Stability-AI/generative-models, configs/inference/sd_xl_base.yaml.
    """
    if "edm_mean" in foreign.shapes:
        raise ValueError(
            "it is Playground 2.5, whose latents are normalised by channel, which is not supported"
        )
    marked = "v" if "v_pred" in foreign.shapes else "epsilon"
    prediction = foreign.options.get("prediction", marked)
    if marked == "v" and prediction != marked:
        raise ValueError(f"--prediction {prediction}, but the file holds the mark v_pred")
    text2 = read_open_clip(Names(foreign.shapes, XL_OPEN_CLIP))
    pooled = text2.get("projection_dim")
    if pooled is None:
        raise ValueError(f"{XL_OPEN_CLIP}.text_projection is not there")
    there = Names(foreign.shapes, UNET)
    unet = read_unet(there, 128) | read_sizes(there, pooled)
    _check_channels(foreign, unet)
    parts = {
        "text_encoder": (XL_CLIP, read_clip(Names(foreign.shapes, XL_CLIP))),
        "text_encoder_2": (XL_OPEN_CLIP, text2),
        "unet": (UNET, unet),
        "vae": (VAE, {**read_vae(Names(foreign.shapes, VAE), 1024, XL_SCALING), "force_upcast": True}),
    }
    law = {**EULER, "prediction_type": PREDICTIONS[prediction]}
    if "ztsnr" in foreign.shapes:
        law["rescale_betas_zero_snr"] = True
    foreign.leave_unread("a mark of the file", "the scheduler is set so", "v_pred", "ztsnr")
    pads = {"tokenizer": END, "tokenizer_2": FIRST}
    return import_as(foreign, "StableDiffusionXLPipeline", parts, law, pads)


def _check_channels(foreign: Foreign, unet: Mapping[str, Any]) -> None:
    """A U-Net that reads more than latents is refused by what it reads."""
    channels = unet["in_channels"]
    if channels in OTHERS:
        raise ValueError(
            f"its U-Net has {channels} channels: it also reads {OTHERS[channels]}, for which there is no importer; "
            f"write the graph by hand, with weights: {foreign.link}#{UNET}"
        )
