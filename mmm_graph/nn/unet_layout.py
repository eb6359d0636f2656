"""The rows a U-Net is made of, in order: one table for the module, the parts table and the key map; torch-free."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

Attend = Literal["none", "self", "cross", "twice"]


class Level(NamedTuple):
    """One resolution of the U-Net. `self` attends between pixels, `cross` is a transformer that reads the condition,
    `twice` one that attends between pixels in its place too.
    """

    channels: int
    attention: Attend
    num_heads: int
    transformer_layers: int


class Leveled(Protocol):
    """What the layout reads of the config of a U-Net."""

    @property
    def channels(self) -> tuple[int, ...]: ...
    @property
    def layers_per_block(self) -> int: ...
    @property
    def levels(self) -> tuple[Level, ...]: ...
    @property
    def middle(self) -> Level: ...


class Row(NamedTuple):
    """One part between embedding and head.

    Attributes:
        name: key in `parts`.
        form: a block (residual block and attention), a change of resolution, or the middle.
        in_channels: channels of h on entry, before a skip is attached.
        skip_channels: channels of the skip that a block on the way up reads.
        level: the level whose width the part has.
        reads_skip, writes_skip: state key of the skip, or "".
        depth: how often the input has been halved where the part begins.
    """

    name: str
    form: Literal["block", "down", "up", "middle"]
    in_channels: int
    skip_channels: int
    level: Level
    reads_skip: str
    writes_skip: str
    depth: int


def layout(config: Leveled) -> tuple[Row, ...]:
    """The rows on the way down, the middle, and the rows on the way up."""
    down, skips = way_down(config)
    middle = Row("mid", "middle", config.channels[-1], 0, config.middle, "", "", len(config.channels) - 1)
    return (*down, middle, *way_up(config, skips))


def way_down(config: Leveled) -> tuple[list[Row], list[int]]:
    """Rows of the encoder, and the channels of every skip, the one of the embedding included."""
    rows: list[Row] = []
    skips = [config.channels[0]]
    last = len(config.channels) - 1
    for i, level in enumerate(config.levels):
        for j in range(config.layers_per_block):
            rows.append(Row(f"down{i}_{j}", "block", skips[-1], 0, level, "", f"skip{len(skips)}", i))
            skips.append(level.channels)
        if i < last:
            rows.append(Row(f"down{i}_half", "down", level.channels, 0, level, "", f"skip{len(skips)}", i))
            skips.append(level.channels)
    return rows, skips


def way_up(config: Leveled, skips: list[int]) -> list[Row]:
    """Rows of the decoder, coarsest first: block k from the end reads skip k."""
    rows: list[Row] = []
    left = len(skips)
    width = config.channels[-1]
    for k, level in enumerate(reversed(config.levels)):
        depth = len(config.channels) - 1 - k
        for j in range(config.layers_per_block + 1):
            left -= 1
            rows.append(Row(f"up{k}_{j}", "block", width, skips[left], level, f"skip{left}", "", depth))
            width = level.channels
        if depth > 0:
            rows.append(Row(f"up{k}_double", "up", width, 0, level, "", "", depth))
    return rows
