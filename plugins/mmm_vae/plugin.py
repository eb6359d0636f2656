"""Entry point of the plugin `vae`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_vae.node import vae_nodes


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The latent autoencoder."""
    return vae_nodes()
