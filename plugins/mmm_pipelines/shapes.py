"""Names and shapes of an original Stable Diffusion file -> the configs of diffusers and transformers.

Source: CompVis/latent-diffusion and Stability-AI/generative-models, ldm/modules; their configs of SD 1, 2 and XL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
Theirs = dict[str, Any]
HEADS, HEAD_WIDTH = 8, 64
"""Shapes do not tell them: eight heads where transformers project by convolutions; else, and in texts, heads of 64."""
SIZES, MATRIX = 6, 2
LARGEST_ID = 2
"""As eos_token_id it means: pool at the largest id, which ends every text."""


class Names(dict[str, tuple[int, ...]]):
    """Shapes of the tensors below a prefix; what is needed and not there is an error of the file."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        self.prefix = prefix
        start = f"{prefix}."
        super().__init__({n.removeprefix(start): shape for n, shape in shapes.items() if n.startswith(start)})

    def size(self, name: str, axis: int = 0) -> int:
        """Of a tensor along an axis, at least 1.

        Raises:
            ValueError: it is not there, or has no such axis.
        """
        if name not in self:
            raise ValueError(f"{self.prefix}.{name} is not there")
        shape = self[name]
        if axis >= len(shape) or shape[axis] < 1:
            raise ValueError(f"{self.prefix}.{name} has the shape {list(shape)}, without axis {axis}")
        return shape[axis]

    def count(self, list_name: str) -> int:
        """Length of a list of modules."""
        start = f"{list_name}."
        found = {name.removeprefix(start).partition(".")[0] for name in self if name.startswith(start)}
        return len(found)

    def ending(self, end: str) -> str:
        """Name of the first tensor that ends so; one that is not there, if there is none."""
        return next((name for name in self if name.endswith(end)), f"*{end}")


def read_unet(there: Names, sample_size: int) -> Theirs:
    """The config of a UNet2DConditionModel.

    Raises:
        ValueError: tensors are missing, or it is not built as those of Stable Diffusion.
    """
    channels, depths, blocks = _levels(there)
    middle = there.count("middle_block.1.transformer_blocks")
    if not middle or depths[-1] not in (0, middle):
        raise ValueError(f"the middle has {middle} transformer layers and the last level {depths[-1]}")
    is_linear = len(there.get(there.ending(".proj_in.weight"), ())) == MATRIX
    if is_linear and any(width % HEAD_WIDTH for width in channels):
        raise ValueError(f"{channels} channels do not divide into heads of {HEAD_WIDTH}")
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths]
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": sample_size,
        "in_channels": there.size("input_blocks.0.0.weight", 1),
        "out_channels": there.size("out.2.weight"),
        "block_out_channels": channels,
        "layers_per_block": blocks,
        "down_block_types": down,
        "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
        "transformer_layers_per_block": [depth or (middle if i else 1) for i, depth in enumerate(depths)],
        "cross_attention_dim": there.size(there.ending(".attn2.to_k.weight"), 1),
        "attention_head_dim": [width // HEAD_WIDTH for width in channels] if is_linear else HEADS,
        "use_linear_projection": is_linear,
    }


def _levels(there: Names) -> tuple[list[int], list[int], int]:
    """Channels and transformer layers of each level, and how many blocks all of them have."""
    levels: list[list[tuple[int, int]]] = [[]]
    for k in range(1, there.count("input_blocks")):
        name = f"input_blocks.{k}"
        if f"{name}.0.op.weight" in there:
            levels.append([])
        else:
            depth = there.count(f"{name}.1.transformer_blocks")
            levels[-1].append((there.size(f"{name}.0.out_layers.3.weight"), depth))
    blocks = {len(level) for level in levels}
    if len(blocks) != 1 or any(len(set(level)) != 1 for level in levels):  # a level without blocks, too
        raise ValueError(f"blocks of a level differ, or levels in their number: {levels}")
    return [level[0][0] for level in levels], [level[0][1] for level in levels], blocks.pop()


def read_sizes(there: Names, pooled: int) -> Theirs:
    """What is added to the time in SDXL: a pooled text of that width, and six sizes.

    Raises:
        ValueError: the widths do not add up.
    """
    added = there.size("label_emb.0.0.weight", 1)
    if added <= pooled or (added - pooled) % SIZES:
        raise ValueError(
            f"label_emb reads {added} numbers, which are not {pooled} of a text and {SIZES} sizes"
        )
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (added - pooled) // SIZES,
        "projection_class_embeddings_input_dim": added,
    }


def read_vae(there: Names, sample_size: int, scaling_factor: float) -> Theirs:
    """The config of an AutoencoderKL.

    Raises:
        ValueError: tensors are missing.
    """
    levels = there.count("encoder.down")
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": sample_size,
        "in_channels": there.size("encoder.conv_in.weight", 1),
        "out_channels": there.size("decoder.conv_out.weight"),
        "latent_channels": there.size("decoder.conv_in.weight", 1),
        "block_out_channels": [there.size(f"encoder.down.{i}.block.0.conv1.weight") for i in range(levels)],
        "layers_per_block": there.count("encoder.down.0.block"),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "mid_block_add_attention": "encoder.mid.attn_1.q.weight" in there,
        "use_quant_conv": "quant_conv.weight" in there,
        "use_post_quant_conv": "post_quant_conv.weight" in there,
        "scaling_factor": scaling_factor,
    }


def read_clip(there: Names, activation: str = "quick_gelu") -> Theirs:
    """The config of a CLIP text model, as transformers names its weights.

    Raises:
        ValueError: tensors are missing.
    """
    top = "text_model." if any(name.startswith("text_model.") for name in there) else ""
    return {
        **_text(there, f"{top}embeddings.token_embedding.weight"),
        "max_position_embeddings": there.size(f"{top}embeddings.position_embedding.weight"),
        "num_hidden_layers": there.count(f"{top}encoder.layers"),
        "intermediate_size": there.size(f"{top}encoder.layers.0.mlp.fc1.weight"),
        "hidden_act": activation,
        **_projection(there.get("text_projection.weight", ())[:1]),
    }


def read_open_clip(there: Names) -> Theirs:
    """The config of an OpenCLIP text model.

    Raises:
        ValueError: tensors are missing.
    """
    return {
        **_text(there, "token_embedding.weight"),
        "max_position_embeddings": there.size("positional_embedding"),
        "num_hidden_layers": there.count("transformer.resblocks"),
        "intermediate_size": there.size("transformer.resblocks.0.mlp.c_fc.weight"),
        "hidden_act": "gelu",
        **_projection(there.get("text_projection", ())[1:]),
    }


def _projection(width: tuple[int, ...]) -> Theirs:
    """The class, which has a projection or not: its width, or nothing."""
    if not width:
        return {"architectures": ["CLIPTextModel"]}
    return {"architectures": ["CLIPTextModelWithProjection"], "projection_dim": width[0]}


def _text(there: Names, embedding: str) -> Theirs:
    words, width = there.size(embedding), there.size(embedding, 1)
    if width % HEAD_WIDTH:
        raise ValueError(f"a text encoder of width {width} does not divide into heads of {HEAD_WIDTH}")
    sizes = {"vocab_size": words, "hidden_size": width, "num_attention_heads": width // HEAD_WIDTH}
    return {**sizes, "eos_token_id": LARGEST_ID}
