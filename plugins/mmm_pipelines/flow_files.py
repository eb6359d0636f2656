"""Single files with all models of Stable Diffusion 3 or FLUX.1 -> graphs, through the importers of folders."""

from __future__ import annotations

from mmm_graph.registry import Foreign
from mmm_pipelines.common import Tree
from mmm_pipelines.file_parts import END, FIRST, import_as
from mmm_pipelines.flow_shapes import read_flux, read_mmdit, read_t5
from mmm_pipelines.shapes import Names, read_clip, read_vae

DENOISER, VAE, FLUX_VAE = "model.diffusion_model", "first_stage_model", "vae"
CLIP_L, CLIP_G, T5 = (f"text_encoders.{name}.transformer" for name in ("clip_l", "clip_g", "t5xxl"))
SIDE = 1024
"""Of the pictures, in pixels."""

FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
SD3_LAW = {**FLOW, "shift": 3.0}
DEV_LAW = {
    **FLOW, "shift": 3.0, "use_dynamic_shifting": True, "base_image_seq_len": 256, "max_image_seq_len": 4096,
    "base_shift": 0.5, "max_shift": 1.15,
}  # fmt: skip
SCHNELL_LAW = {**FLOW, "shift": 1.0}


def import_sd3_file(foreign: Foreign) -> Tree:
    """Text to image with Stable Diffusion 3 and 3.5.

    Raises:
        ValueError: tensors are missing.
    Source: Stability-AI/sd3-ref, sd3_infer.py.
    """
    _check_options(foreign)
    texts = {"text_encoder": (CLIP_L, "quick_gelu"), "text_encoder_2": (CLIP_G, "gelu")}
    models = {
        name: (prefix, read_clip(Names(foreign.shapes, prefix), act)) for name, (prefix, act) in texts.items()
    }
    models["text_encoder_3"] = (T5, read_t5(Names(foreign.shapes, T5)))
    models["transformer"] = (DENOISER, read_mmdit(Names(foreign.shapes, DENOISER)))
    models["vae"] = (VAE, read_vae(Names(foreign.shapes, VAE), SIDE, 1.5305) | {"shift_factor": 0.0609})
    pads = {"tokenizer": END, "tokenizer_2": FIRST, "tokenizer_3": None}
    return import_as(foreign, "StableDiffusion3Pipeline", models, SD3_LAW, pads)


def import_flux_file(foreign: Foreign) -> Tree:
    """Text to image with FLUX.1; a denoiser that is told a guidance is [dev], another is [schnell].

    Raises:
        ValueError: tensors are missing, or it is Fill, Depth or the like.
    Source: black-forest-labs/flux, src/flux/util.py.
    """
    _check_options(foreign)
    net = read_flux(Names(foreign.shapes, DENOISER))
    models = {
        "text_encoder": (CLIP_L, read_clip(Names(foreign.shapes, CLIP_L))),
        "text_encoder_2": (T5, read_t5(Names(foreign.shapes, T5))),
        "transformer": (DENOISER, net),
        "vae": (FLUX_VAE, read_vae(Names(foreign.shapes, FLUX_VAE), SIDE, 0.3611) | {"shift_factor": 0.1159}),
    }
    law = DEV_LAW if net["guidance_embeds"] else SCHNELL_LAW
    return import_as(foreign, "FluxPipeline", models, law, {"tokenizer": END, "tokenizer_2": None})


def _check_options(foreign: Foreign) -> None:
    if "prediction" in foreign.options:
        raise ValueError(
            f"--prediction {foreign.options['prediction']}: such a file always predicts a flow; leave it out"
        )
