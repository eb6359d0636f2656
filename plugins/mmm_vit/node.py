"""The node type encoder.vit."""

from __future__ import annotations

from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_graph.registry import method, model_type
from mmm_vit.config import ViTConfig
from mmm_vit.foreign import LAYOUTS
from mmm_vit.parts import forward_path, hidden_path, pooled_path, vit_parts, vit_sharding

IMAGE = "Image[b,$in_channels,$image_height,$image_width]"

VIT = model_type(
    "encoder.vit",
    ViTConfig,
    "mmm_vit.model:ViT",
    methods={
        "forward": method(
            image=IMAGE,
            returns={"embeds": "Embeds[b,$tokens,$width]", "pooled": "Embeds[b,$pooled_dim]"},
            path=forward_path,
            doc="Preprocessed images to the last hidden state after the final norm, and one vector each.",
        ),
        "pooled": method(
            image=IMAGE,
            returns={"embeds": "Embeds[b,$pooled_dim]"},
            path=pooled_path,
            doc="One vector of each image, projected where the model projects, not normalised.",
        ),
        "hidden": method(
            image=IMAGE,
            config=HiddenConfig,
            returns={"embeds": "Embeds[b,$length,$width]"},
            path=hidden_path,
            doc="Features of the tokens after any block; LLaVA takes layer: -2, norm: false, select: patch.",
        ),
    },
    parts=vit_parts,
    sharding=vit_sharding,
    state={"h": "Embeds[b,l,$width]"},
    doc="A transformer over patches of an image: CLIP's (with the defaults, ViT-B/32), SigLIP's, EVA-CLIP's of BLIP-2.",
    source="Dosovitskiy et al. 2020 (arXiv:2010.11929); Radford et al. 2021 (arXiv:2103.00020); "
    "Zhai et al. 2023 (arXiv:2303.15343); Sun et al. 2023 (arXiv:2303.15389)",
    layouts=LAYOUTS,
)
