"""Node types: losses, what belongs to them, and the random ops of training."""

from __future__ import annotations

from mmm_graph.registry import NodeType
from mmm_losses.contrastive.node import contrastive_nodes
from mmm_losses.diffusion.node import diffusion_nodes
from mmm_losses.distance.node import distance_nodes
from mmm_losses.drop.node import drop_nodes
from mmm_losses.language.node import language_nodes
from mmm_losses.matching.node import matching_nodes
from mmm_losses.patch.node import patch_nodes
from mmm_losses.vae.node import vae_nodes


def node_types() -> list[NodeType]:
    """Everything that this plugin offers."""
    return [
        *contrastive_nodes(),
        *language_nodes(),
        *matching_nodes(),
        *distance_nodes(),
        *diffusion_nodes(),
        *vae_nodes(),
        *patch_nodes(),
        *drop_nodes(),
    ]
