"""The parts of the projector of signals and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding
from mmm_signal.projector.config import SignalConfig

TOKENS = 4
"""Tokens of a signal that the work is counted for: it takes any number. NExT-GPT asks for an image with as many."""


def signal_parts(config: SignalConfig) -> tuple[Part, ...]:
    """Linear layer, blocks that read, their norm with the queries, blocks that write, norm and linear layer."""
    width, count, out_dim = config.width, config.num_queries, config.out_dim or 0
    read, written = {"h": TOKENS * width}, {"h": count * width}
    enter = cost.linear(config.in_dim or 0, width, TOKENS)
    block = cost.encoder_block(width, config.hidden, TOKENS)
    turn = cost.norm(width) + cost.table(count, width)
    leave = cost.norm(width) + cost.linear(width, out_dim, count)
    return (
        Part("enter", ("features",), ("h",), *enter.fields, read),
        *(Part(name, ("h",), ("h",), *block.fields, read) for name in readers(config)),
        Part("turn", ("h",), ("memory", "h"), *turn.fields, {"memory": TOKENS * width, **written}),
        *(
            Part(name, ("h", "memory"), ("h",), *writer_cost(config).fields, written)
            for name in writers(config)
        ),
        Part("leave", ("h",), ("embeds",), *leave.fields, {"embeds": count * out_dim}),
    )


def writer_cost(config: SignalConfig) -> Cost:
    """Attention of the queries among themselves and over the signal, MLP, each with its norm."""
    width, count = config.width, config.num_queries
    total = cost.attention(width, count) + cost.cross_attention(width, count, width, TOKENS)
    return total + cost.mlp(width, config.hidden, count) + cost.norm(width) * 3


def signal_path(config: SignalConfig, call: object) -> tuple[str, ...]:
    """A call runs all parts."""
    return ("enter", *readers(config), "turn", *writers(config), "leave")


def readers(config: SignalConfig) -> tuple[str, ...]:
    """Names of the blocks that read the signal."""
    return tuple(f"reader{i}" for i in range(config.encoder_depth))


def writers(config: SignalConfig) -> tuple[str, ...]:
    """Names of the blocks that write the embeds."""
    return tuple(f"block{i}" for i in range(config.decoder_depth))


def signal_sharding(config: SignalConfig) -> Sharding:
    """Heads evenly; queries have no rows to share."""
    return Sharding(heads=config.num_heads)
