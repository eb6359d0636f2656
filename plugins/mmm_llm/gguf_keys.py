"""Names of the weights in GGUF files: ours -> theirs, and the order in which rows of q and k stand there."""

from __future__ import annotations

from collections.abc import Callable

from mmm_graph.registry import Cut, below
from mmm_graph.registry.layout import Rows
from mmm_llm.config import DecoderConfig

BLOCK = "blk.{i}"

TABLE = {
    "embed.token": "token_embd",
    "block{i}.norm1": f"{BLOCK}.attn_norm",
    "block{i}.attn.q": f"{BLOCK}.attn_q",
    "block{i}.attn.k": f"{BLOCK}.attn_k",
    "block{i}.attn.v": f"{BLOCK}.attn_v",
    "block{i}.attn.norm_q": f"{BLOCK}.attn_q_norm",
    "block{i}.attn.norm_k": f"{BLOCK}.attn_k_norm",
    "block{i}.attn.out": f"{BLOCK}.attn_output",
    "block{i}.norm2": f"{BLOCK}.ffn_norm",
    "block{i}.mlp.gate": f"{BLOCK}.ffn_gate",
    "block{i}.mlp.up": f"{BLOCK}.ffn_up",
    "block{i}.mlp.down": f"{BLOCK}.ffn_down",
    "norm.norm": "output_norm",
}
"""Of every architecture, below its name."""

INTERLEAVED = ("llama",)
"""Architectures whose queries and keys have the two channels that rotary positions turn beside each other."""


def rows_of(architecture: str) -> Callable[[DecoderConfig], Rows]:
    """Where weights stand in files of an architecture. The matrix of the logits is there only if it is not tied."""
    table = below("", architecture, TABLE)

    def rows(config: DecoderConfig) -> Rows:
        found = {**table, "head.out": table["embed.token"] if config.tied else f"{architecture}.output"}
        if architecture in INTERLEAVED:
            for name, heads in (("q", config.num_heads), ("k", config.num_kv_heads)):
                order = halves(heads, config.head_dim)
                theirs = str(table[f"block{{i}}.attn.{name}"])
                found[f"block{{i}}.attn.{name}"] = Cut(theirs, order, len(order))
        return found

    return rows


def halves(num_heads: int, head_dim: int) -> tuple[int, ...]:
    """For each row of ours the row of theirs: all first channels of the pairs of a head, then all second ones."""
    return tuple(
        head * head_dim + 2 * pair + second
        for head in range(num_heads)
        for second in (0, 1)
        for pair in range(head_dim // 2)
    )
