"""Names of the weights of shared layers in diffusers' U-Nets: ours -> theirs, `{k}` for a number; torch-free."""

from __future__ import annotations

from collections.abc import Mapping

RESNET = {
    "norm1": "norm1",
    "conv1": "conv1",
    "time": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "skip": "conv_shortcut",
}
"""nn.resnet.Resnet."""

ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}
"""nn.attention.Attention and CrossAttention."""

TRANSFORMER: Mapping[str, str] = {
    "norm": "norm",
    "proj_in": "proj_in",
    "layers.{k}.norm1": "transformer_blocks.{k}.norm1",
    "layers.{k}.norm2": "transformer_blocks.{k}.norm2",
    "layers.{k}.norm3": "transformer_blocks.{k}.norm3",
    **{f"layers.{{k}}.attn.{a}": f"transformer_blocks.{{k}}.attn1.{b}" for a, b in ATTENTION.items()},
    **{f"layers.{{k}}.cross.{a}": f"transformer_blocks.{{k}}.attn2.{b}" for a, b in ATTENTION.items()},
    "layers.{k}.mlp.up": "transformer_blocks.{k}.ff.net.0.proj",
    "layers.{k}.mlp.down": "transformer_blocks.{k}.ff.net.2",
    "proj_out": "proj_out",
}
"""nn.pixel_transformer.PixelTransformer; the same in the original files of Stable Diffusion."""

TEMPORAL: Mapping[str, str] = {
    **{
        ours: theirs for ours, theirs in TRANSFORMER.items() if ".attn." not in ours and ".cross." not in ours
    },
    **{
        f"layers.{{k}}.attn{i}.{a}": f"transformer_blocks.{{k}}.attn{i}.{b}"
        for i in (1, 2)
        for a, b in ATTENTION.items()
    },
}
"""nn.temporal.TemporalTransformer."""
