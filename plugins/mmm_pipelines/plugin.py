"""Entry point of the plugin `pipelines`."""

from __future__ import annotations

from mmm_graph.registry import Importer, hookimpl
from mmm_pipelines.other_files import OTHERS

PIPELINES = {
    "StableDiffusionPipeline": "stable_diffusion:import_stable_diffusion",
    "StableDiffusionXLPipeline": "stable_diffusion:import_stable_diffusion_xl",
    "StableDiffusionImg2ImgPipeline": "pictures:import_image_to_image",
    "StableDiffusionXLImg2ImgPipeline": "pictures:import_image_to_image_xl",
    "StableDiffusionInpaintPipeline": "pictures:import_inpainting",
    "StableDiffusion3Pipeline": "sd3:import_stable_diffusion_3",
    "FluxPipeline": "flux:import_flux",
    "PixArtAlphaPipeline": "dit:import_pixart",
    "PixArtSigmaPipeline": "dit:import_pixart",
    "DiTPipeline": "dit:import_dit",
    "AnimateDiffPipeline": "animatediff:import_animatediff",
    "MotionAdapter": "animatediff:import_motion_adapter",
    "AudioLDMPipeline": "audioldm:import_audioldm",
    "TextToVideoSDPipeline": "text_to_video:import_text_to_video",
}


NET, VAE, TEXTS = "model.diffusion_model", "first_stage_model.*", "text_encoders"
UNET = f"{NET}.input_blocks.*"
FILES = {
    "Stable Diffusion 1 file": ("single_file:import_sd1", (UNET, VAE, "cond_stage_model.transformer.*")),
    "Stable Diffusion 2 file": ("single_file:import_sd2", (UNET, VAE, "cond_stage_model.model.*")),
    "SDXL file": (
        "single_file:import_sdxl",
        (UNET, VAE, "conditioner.embedders.0.transformer.*", "conditioner.embedders.1.model.*"),
    ),
    "Stable Diffusion 3 file": (
        "flow_files:import_sd3_file",
        (f"{NET}.joint_blocks.*", VAE, f"{TEXTS}.clip_l.*", f"{TEXTS}.clip_g.*", f"{TEXTS}.t5xxl.*"),
    ),
    "FLUX.1 file": (
        "flow_files:import_flux_file",
        (f"{NET}.double_blocks.*", "vae.*", f"{TEXTS}.clip_l.*", f"{TEXTS}.t5xxl.*"),
    ),
}
"""Original files with all models of a pipeline: the function, and marks."""


@hookimpl
def mmm_register_importers() -> list[Importer]:
    """One importer a pipeline class of diffusers, and one a sort of single files."""
    return [
        *(Importer(name, f"mmm_pipelines.{function}") for name, function in PIPELINES.items()),
        *(Importer(n, f"mmm_pipelines.{f}", marks=marks) for n, (f, marks) in FILES.items()),
        *(Importer(n, "mmm_pipelines.other_files:refuse", marks=marks) for n, (marks, _) in OTHERS.items()),
    ]
