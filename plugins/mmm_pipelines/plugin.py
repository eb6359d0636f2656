"""Entry point of the plugin `pipelines`."""

from __future__ import annotations

from mmm_graph.registry import Importer, hookimpl

PIPELINES = {
    "StableDiffusionPipeline": "stable_diffusion:import_stable_diffusion",
}


@hookimpl
def mmm_register_importers() -> list[Importer]:
    """One importer a pipeline class of diffusers."""
    return [Importer(name, f"mmm_pipelines.{function}") for name, function in PIPELINES.items()]
