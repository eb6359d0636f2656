"""Entry point of the plugin `dual`."""

from __future__ import annotations

from mmm_dual.node import dual_nodes
from mmm_graph.registry import Importer, NodeType, hookimpl

FOLDERS = {
    "CLIPModel": "folders:import_clip",
    "SiglipModel": "folders:import_siglip",
}


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """The temperature, and ops on vectors and labels."""
    return dual_nodes()


@hookimpl
def mmm_register_importers() -> list[Importer]:
    """Folders of transformers, by class, and of OpenCLIP."""
    return [
        *(Importer(name, f"mmm_dual.{function}") for name, function in FOLDERS.items()),
        Importer("OpenCLIP", "mmm_dual.open_clip:import_open_clip", config="open_clip_config.json"),
    ]
