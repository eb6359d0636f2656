"""Names of the weights of a whole T5: ours -> transformers' T5ForConditionalGeneration."""

from __future__ import annotations

from mmm_t5.config import T5LMConfig
from mmm_t5.keys import COMMON, GATED, PLAIN

TOKENS = ("shared", "encoder.embed_tokens", "decoder.embed_tokens")
"""Names of the token embedding: files have one of them, some or all."""
HEAD = "lm_head"
BIAS = "layer.0.SelfAttention.relative_attention_bias"
UNREAD = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias"
"""Of the attention over the prompt, which has none; old files hold it."""


def rows(config: T5LMConfig, token: str, head: str) -> dict[str, str]:
    """The table, with the token embedding and the matrix of the logits under these names.

    Our blocks are counted through encoder and decoder, theirs are not.
    """
    encoder = {**COMMON, **(GATED if config.gated else PLAIN)}
    return {
        "embed.token": token,
        "head.out": token if config.tied else head,
        "enter.relative.table": f"encoder.block.0.{BIAS}",
        "start.relative.table": f"decoder.block.0.{BIAS}",
        "advance.relative.table": f"decoder.block.0.{BIAS}",
        **{
            key: name
            for i, block in enumerate(config.decoder_blocks)
            for key, name in _block(config, block, i)
        },
        **{key: name for key, name in encoder.items() if key.startswith("block")},
        "memory.norm": encoder["norm.norm"],
        "norm.norm": "decoder.final_layer_norm",
    }


def _block(config: T5LMConfig, ours: str, index: int) -> list[tuple[str, str]]:
    """One block of the decoder."""
    theirs = f"decoder.block.{index}.layer"
    forward = {"gate": "wi_0", "up": "wi_1", "down": "wo"} if config.gated else {"up": "wi", "down": "wo"}
    projections = {"q": "q", "k": "k", "v": "v", "out": "o"}
    return [
        *((f"{ours}.norm{i + 1}", f"{theirs}.{i}.layer_norm") for i in range(3)),
        *((f"{ours}.attn.{a}", f"{theirs}.0.SelfAttention.{b}") for a, b in projections.items()),
        *((f"{ours}.across_attn.{a}", f"{theirs}.1.EncDecAttention.{b}") for a, b in projections.items()),
        *((f"{ours}.mlp.{a}", f"{theirs}.2.DenseReluDense.{b}") for a, b in forward.items()),
    ]
