"""What diffusers says of each level of a U-Net: blocks and heads, on the way down and on the way up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmm_graph.nn.unet_layout import Attend
from mmm_unet.config import UNetConfig

BLOCKS: dict[Attend, str] = {
    "none": "DownBlock2D",
    "self": "AttnDownBlock2D",
    "cross": "CrossAttnDownBlock2D",
    "twice": "CrossAttnDownBlock2D",
}
"""What a level attends to -> their name on the way down; on the way up it has Up in place of Down."""


def read_attention(down: Sequence[str], up: Sequence[str]) -> tuple[Attend, ...]:
    """What each level attends to; `cross` is said of `twice` too.

    Raises:
        ValueError: a block that we do not have, or the way up is not the way down backwards.
    """
    known = {name: level for level, name in BLOCKS.items() if level != "twice"}
    if any(name not in known for name in down):
        raise ValueError(f"down_block_types: {list(down)} is not supported; expected {', '.join(known)}")
    if list(up) != _mirrored(down):
        raise ValueError(f"up_block_types: {list(up)} is not supported; expected {_mirrored(down)}")
    return tuple(known[name] for name in down)


def write_attention(ours: UNetConfig) -> tuple[list[str], list[str]]:
    """Their blocks on the way down and on the way up."""
    down = [BLOCKS[level] for level in ours.attention]
    return down, _mirrored(down)


def read_heads(attention: Sequence[Attend], channels: Sequence[int], said: Any) -> tuple[int, ...]:
    """Heads of each level of a UNet2DConditionModel.

    What it calls attention_head_dim is the number of heads, for the sake of old files; but of AttnDownBlock2D it is
    their width, and AttnUpBlock2D takes that from the other end of the list.

    Raises:
        ValueError: the two ways would differ.
    """
    numbers = read_levels("attention_head_dim", said, len(channels))
    heads = []
    for i, (kind, width, number) in enumerate(zip(attention, channels, numbers, strict=True)):
        if kind == "self" and (width % number or number != numbers[-1 - i]):
            raise ValueError(
                f"attention_head_dim: {said!r} is not supported with {BLOCKS[kind]} in level {i}"
            )
        heads.append(width // number if kind == "self" else number)
    if heads[-1] != numbers[-1]:
        raise ValueError(f"attention_head_dim: {said!r} is not supported: the middle would have other heads")
    return tuple(heads)


def write_heads(ours: UNetConfig) -> list[int]:
    """Their attention_head_dim.

    Raises:
        ValueError: it cannot say it.
    """
    found = [
        level.channels // level.num_heads if level.attention == "self" else level.num_heads
        for level in ours.levels
    ]
    read_heads(ours.attention, ours.channels, found)
    return found


def read_levels(field: str, said: Any, count: int) -> tuple[int, ...]:
    """One number for each level, or for all.

    Raises:
        ValueError: it is anything else.
    """
    found = (said,) * count if isinstance(said, int) else said
    if (
        not isinstance(found, list | tuple)
        or len(found) != count
        or not all(isinstance(n, int) for n in found)
    ):
        raise ValueError(f"{field}: {said!r} is not supported; expected a number, or {count} of them")
    return tuple(found)


def read_one(field: str, said: Any) -> Any:
    """One number, which may be said once for each level.

    Raises:
        ValueError: levels differ.
    """
    numbers = set(said) if isinstance(said, list | tuple) else {said}
    if len(numbers) != 1 or not isinstance(found := numbers.pop(), int):
        raise ValueError(f"{field}: {said!r} is not supported; expected one number")
    return found


def _mirrored(down: Sequence[str]) -> list[str]:
    return [name.replace("Down", "Up") for name in reversed(down)]
