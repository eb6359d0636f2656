"""Where NExT-GPT keeps the weights of groupings: GroupViT's names between two linear layers."""

from __future__ import annotations

from mmm_bridge.grouping.config import GroupingConfig
from mmm_graph.registry import Cut, Layout

LINEARS = {"up": "fc1", "down": "fc2"}


def next_gpt_rows(config: GroupingConfig) -> dict[str, str | Cut]:
    """Below the name of the projector, such as `mm_input_projector`."""
    rows: dict[str, str | Cut] = {"enter.proj": "in_fc", "end.norm": "norm", "end.proj": "out_fc"}
    number = 0
    for stage, depth in enumerate(config.depths):
        layer = f"layers.{stage}"
        for i in range(depth):
            rows |= block_rows(f"block{number + i}", f"{layer}.blocks.{i}", bias=config.qkv_bias)
        number += depth
        if stage < len(config.groups):
            rows[f"tokens{stage}.tokens"] = f"{layer}.group_token"
            rows |= group_rows(f"group{stage}", f"{layer}.downsample")
        if 0 < stage < len(config.groups):
            rows[f"tokens{stage}.norm"] = f"{layer}.group_projector.0"
            rows |= named(f"tokens{stage}.mixer", f"{layer}.group_projector.1", LINEARS)
    return rows


def named(ours: str, theirs: str, names: dict[str, str]) -> dict[str, str]:
    """Rows of layers that stand in one place."""
    return {f"{ours}.{a}": f"{theirs}.{b}" for a, b in names.items()}


def block_rows(ours: str, theirs: str, *, bias: bool) -> dict[str, str | Cut]:
    """Rows of a block, whose q, k and v are one matrix."""
    rows: dict[str, str | Cut] = {**named(f"{ours}.mlp", f"{theirs}.mlp", LINEARS)}
    rows |= named(ours, theirs, {"norm1": "norm1", "norm2": "norm2", "attn.out": "attn.proj"})
    for kind in ("weight", "bias") if bias else ("weight",):
        rows |= {
            f"{ours}.attn.{x}.{kind}": Cut(f"{theirs}.attn.qkv.{kind}", i, 3) for i, x in enumerate("qkv")
        }
    return rows


def group_rows(ours: str, theirs: str) -> dict[str, str]:
    """Rows of a grouping block."""
    attention = {**{x: f"{x}_proj" for x in "qkv"}, "out": "proj"}
    rows = named(f"{ours}.cross", f"{theirs}.pre_assign_attn.attn", attention)
    rows |= named(f"{ours}.assign", f"{theirs}.assign", attention)
    for mlp, name in {"mixer": "mlp_inter", "look": "pre_assign_attn.mlp", "mlp": "mlp_channels"}.items():
        rows |= named(f"{ours}.{mlp}", f"{theirs}.{name}", LINEARS)
    norms = {
        **{"norm_groups": "norm_tokens", "norm_mixed": "norm_post_tokens", "norm_x": "norm_x"},
        **{"norm_look": "pre_assign_attn.norm2", "norm_looked": "pre_assign_attn.norm_post"},
        "norm_mlp": "norm_new_x",
    }
    return rows | named(ours, theirs, norms)


LAYOUTS = (Layout("NExT-GPT", next_gpt_rows, file="model.safetensors"),)
