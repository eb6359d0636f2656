"""The parts of the grouping of patches, and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_bridge.grouping.config import GroupingConfig
from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Facts, Part, Sharding

TOKENS = 256
"""Features that the work is counted for: it takes any number. ViT-H/14 makes as many at 224 px."""


def grouping_parts(config: GroupingConfig) -> tuple[Part, ...]:
    """Linear layer; for each stage group tokens, blocks, grouping; norm and linear layer."""
    width, out_dim = config.width, config.out_dim or 0
    enter = cost.linear(config.in_dim or 0, width, TOKENS)
    found = [Part("enter", ("features",), ("h",), *enter.fields, {"h": TOKENS * width})]
    tokens, number = TOKENS, 0
    for stage, depth in enumerate(config.depths):
        own = config.groups[stage] if stage < len(config.groups) else 0
        if own:
            reads, size = ("h", "groups") if stage else ("h",), {"h": (tokens + own) * width}
            found.append(Part(f"tokens{stage}", reads, ("h",), *tokens_cost(config, stage).fields, size))
        block = cost.encoder_block(width, config.hidden, tokens + own, qkv_bias=config.qkv_bias)
        size = {"h": (tokens + own) * width}
        found += [Part(f"block{number + i}", ("h",), ("h",), *block.fields, size) for i in range(depth)]
        number += depth
        if own:
            group, sizes = group_cost(config, tokens, own), {"h": own * width, "groups": own * width}
            found.append(Part(f"group{stage}", ("h",), ("h", "groups"), *group.fields, sizes))
            tokens = own
    end = cost.norm(width) + cost.linear(width, out_dim, tokens)
    return (*found, Part("end", ("h",), ("embeds",), *end.fields, {"embeds": tokens * out_dim}))


def mixer_cost(config: GroupingConfig, before: int, after: int) -> Cost:
    """An MLP along tokens."""
    rows, hidden = config.width, config.width // 2
    total = cost.linear(before, hidden, rows) + cost.linear(hidden, after, rows)
    return total.needs(2 * rows * hidden)  # before and after the activation


def tokens_cost(config: GroupingConfig, stage: int) -> Cost:
    """Group tokens, and what the groups before say of them."""
    found = cost.table(config.groups[stage], config.width)
    if stage:
        found += cost.norm(config.width)
        found += mixer_cost(config, config.groups[stage - 1], config.groups[stage])
    return found


def group_cost(config: GroupingConfig, tokens: int, groups: int) -> Cost:
    """Group tokens look at what is grouped; it is assigned; an MLP of what each group has."""
    width = config.width
    total = cost.norm(width) * 6 + mixer_cost(config, groups, groups)
    total += cost.cross_attention(width, groups, width, tokens) + cost.mlp(width, config.hidden, groups)
    assign = cost.linear(width, width, groups) * 2 + cost.linear(width, width, tokens) * 2
    assign += cost.pairs(width, groups, tokens)
    assign = assign.needs(2 * tokens * width + 2 * groups * width + 3 * groups * tokens)  # and the scores
    return total + assign + cost.mlp(width, config.hidden, groups)


def grouping_path(config: GroupingConfig, call: object) -> tuple[str, ...]:
    """A call runs all parts."""
    return tuple(part.name for part in grouping_parts(config))


def grouping_facts(config: GroupingConfig, call: object, have: Facts) -> Facts:
    """Nothing new.

    Raises:
        ValueError: the graph says that there are fewer features than embeds.
    """
    dims: tuple[int | None, ...] = have.get("features.dims") or ()
    tokens = dims[1] if len(dims) == 3 else None
    if tokens is not None and tokens < config.num_embeds:
        raise ValueError(too_few(tokens, config.num_embeds))
    return {}


def too_few(tokens: int, embeds: int) -> str:
    """What is said of features that are not the patches."""
    said = "1 feature" if tokens == 1 else f"{tokens} features"
    return (
        f"{said} of an element cannot be put into {embeds} groups; link the states of its patches, such as "
        "`hidden` of an encoder with `select: patch`, not one vector of it"
    )


def grouping_sharding(config: GroupingConfig) -> Sharding:
    """Heads evenly; the patches of a group may be anywhere, so tokens are not shared."""
    return Sharding(heads=config.num_heads)
