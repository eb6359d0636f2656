"""Where NExT-GPT and GILL keep the weights of output projectors: torch's transformer between two linear layers."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_graph.registry import Cut, Layout


def attention_rows(ours: str, theirs: str) -> dict[str, str | Cut]:
    """Rows of one attention, whose q, k and v are one matrix and one vector."""
    rows: dict[str, str | Cut] = {f"{ours}.out": f"{theirs}.out_proj"}
    for i, name in enumerate("qkv"):
        rows[f"{ours}.{name}.weight"] = Cut(f"{theirs}.in_proj_weight", i, 3)
        rows[f"{ours}.{name}.bias"] = Cut(f"{theirs}.in_proj_bias", i, 3)
    return rows


def block_rows(ours: str, theirs: str, norms: int) -> dict[str, str | Cut]:
    """Rows of the norms and the MLP of a block."""
    named = {f"{ours}.norm{i}": f"{theirs}.norm{i}" for i in range(1, norms + 1)}
    return {**named, f"{ours}.mlp.up": f"{theirs}.linear1", f"{ours}.mlp.down": f"{theirs}.linear2"}


READ, WRITE = "tfm.encoder.layers.{i}", "tfm.decoder.layers.{i}"
ROWS: Mapping[str, str | Cut] = {
    "enter.proj": "fc",
    **attention_rows("reader{i}.attn", f"{READ}.self_attn"),
    **block_rows("reader{i}", READ, 2),
    "turn.norm": "tfm.encoder.norm",
    "turn.queries": "query_embs",
    **attention_rows("block{i}.attn", f"{WRITE}.self_attn"),
    **attention_rows("block{i}.cross", f"{WRITE}.multihead_attn"),
    **block_rows("block{i}", WRITE, 3),
    "leave.norm": "tfm.decoder.norm",
    "leave.proj": "model",
}
"""Below the name of the projector, such as `gen_text_hidden_fcs.0`."""

LAYOUTS = (Layout("NExT-GPT, GILL", ROWS, file="model.safetensors"),)
