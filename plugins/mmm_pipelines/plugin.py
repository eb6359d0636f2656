"""Entry point of the plugin `pipelines`."""

from __future__ import annotations

from mmm_graph.registry import Importer, hookimpl

PIPELINES = {
    "StableDiffusionPipeline": "stable_diffusion:import_stable_diffusion",
    "StableDiffusionXLPipeline": "stable_diffusion:import_stable_diffusion_xl",
    "StableDiffusion3Pipeline": "sd3:import_stable_diffusion_3",
    "FluxPipeline": "flux:import_flux",
    "PixArtAlphaPipeline": "dit:import_pixart",
    "PixArtSigmaPipeline": "dit:import_pixart",
    "DiTPipeline": "dit:import_dit",
}


@hookimpl
def mmm_register_importers() -> list[Importer]:
    """One importer a pipeline class of diffusers."""
    return [Importer(name, f"mmm_pipelines.{function}") for name, function in PIPELINES.items()]
