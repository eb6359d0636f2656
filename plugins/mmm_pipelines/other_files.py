"""Single files that are no whole pipeline: what they hold, and what to do with them."""

from __future__ import annotations

from typing import NoReturn

from mmm_graph.registry import Foreign

LORA = "a LoRA changes a model that is elsewhere: import that model, and attach the file to it in the graph"
ONE = "import the pipeline that it belongs to, and name this file (with #prefix, if names have one) in its `weights:`"
CONTROL = "ControlNets are not supported"

OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "LoRA of a U-Net": (("lora_unet_*",), LORA),
    "LoRA of a text encoder": (("lora_te*",), LORA),
    "LoRA as diffusers saves it": (("*.lora_A.*",), LORA),
    "LoRA as older versions of diffusers saved it": (("*lora*down*",), LORA),
    "U-Net in the original layout": (("model.diffusion_model.input_blocks.*",), ONE),
    "U-Net in the original layout, without a prefix": (("input_blocks.*", "output_blocks.*"), ONE),
    "U-Net of diffusers": (("down_blocks.*", "mid_block.*", "up_blocks.*"), ONE),
    "autoencoder below first_stage_model": (("first_stage_model.*",), ONE),
    "autoencoder in the original layout": (("encoder.down.*", "decoder.up.*"), ONE),
    "autoencoder of diffusers": (("encoder.down_blocks.*", "decoder.up_blocks.*"), ONE),
    "text encoder below cond_stage_model": (("cond_stage_model.*",), ONE),
    "text encoder of transformers": (("text_model.encoder.layers.*",), ONE),
    "text encoder of OpenCLIP": (("transformer.resblocks.*",), ONE),
    "ControlNet": (("control_model.*",), CONTROL),
    "ControlNet of diffusers": (("controlnet_cond_embedding.*", "down_blocks.*"), CONTROL),
    "refiner of SDXL": (
        ("model.diffusion_model.input_blocks.*", "first_stage_model.*", "conditioner.embedders.0.model.*"),
        "the refiner is not supported",
    ),
    "transformer of SD3": (("model.diffusion_model.joint_blocks.*",), ONE),
    "transformer of SD3, without a prefix": (("joint_blocks.*",), ONE),
    "transformer of FLUX": (("model.diffusion_model.double_blocks.*",), ONE),
    "transformer of FLUX, without a prefix": (("double_blocks.*",), ONE),
}
"""What it is -> marks, as an Importer has them, and what to do."""

PARTS = {
    "a denoiser": ("model.diffusion_model.",),
    "an autoencoder": ("first_stage_model.", "vae."),
    "text encoders": ("cond_stage_model.", "conditioner.embedders.", "text_encoders."),
}
"""What a whole original file has -> how names begin, in one family or another."""


def refuse(foreign: Foreign) -> NoReturn:
    """Say why the file is no graph.

    Raises:
        ValueError: always.
    """
    there = [what for what, begin in PARTS.items() if any(n.startswith(begin) for n in foreign.shapes)]
    what = foreign.class_name
    if there:
        lacks = " and ".join(part for part in PARTS if part not in there)
        what += f", without {lacks}" if lacks else ", without some of its text encoders"
    raise ValueError(f"no pipeline, but: {what}; {OTHERS[foreign.class_name][1]}")
