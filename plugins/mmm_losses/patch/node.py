"""The node type classifier.patch."""

from __future__ import annotations

from mmm_graph.registry import ModelType, method, model_type
from mmm_losses.patch.config import PatchConfig


def patch_nodes() -> list[ModelType]:
    """classifier.patch."""
    return [
        model_type(
            "classifier.patch",
            PatchConfig,
            "mmm_losses.patch.model:PatchDiscriminator",
            methods={
                "forward": method(
                    image="Image[b,$channels,h,w]",
                    returns={"scores": "Logits[b,l]"},
                    doc="How real each patch looks; above 0: real.",
                )
            },
            doc="The discriminator of pix2pix and latent diffusion: patches are judged one by one.",
            source="Isola et al. 2017 (arXiv:1611.07004), section 3.2.2",
        )
    ]
