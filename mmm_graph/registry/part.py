"""What the planner knows of a model's inside: its parts, and how the work of a call may be shared; torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TextWork:
    """How the work of a part goes with the length of a text.

    Attributes:
        tokens: that `flops` and `sizes` are counted for.
        pairs: how many of the flops are of pairs of a token and one that it sees.
        seen: tokens that `pairs` and `kept` are counted for; 0: what a token sees does not grow with the text.
        window: most tokens that one sees; 0: all before it.
        once_flops, once_params: what a call that goes on from a cache does not do again, and the weights for it.
        last: after it there is one token only, in calls that begin a cache.
        most: the longest text; 0: the model has no limit.
    """

    tokens: int
    pairs: float = 0.0
    seen: int = 0
    window: int = 0
    once_flops: float = 0.0
    once_params: int = 0
    last: bool = False
    most: int = 0


@dataclass(frozen=True)
class Part:
    """One piece of a model, `state -> state`: a row of the cost model and the unit of placement.

    Attributes:
        name: key of the module in the model's `parts` (an nn.ModuleDict).
        reads, writes: state keys. A Cond input arrives flattened: `cond.embeds`.
        params: number of weights it holds.
        flops: multiply-adds x 2 for one batch element at the config's own size.
        work: numbers that it has at once beside what it reads, for one batch element at the config's own size.
        sizes: numbers in each key that it writes, for one batch element at the config's own size.
        kept: numbers that its attention keeps for one batch element and branch in a pipelined loop (keys, values).
        linear: how many of `params` are matrices of linear layers, which may be quantized.
        logits: how many of these are of matrices that make logits, which are kept as int8 at least.
        table: how many of `params` are rows of which a call reads only those that it looks up.
        tied: how many of `params` are another part's too.
        text: of parts that work on tokens of a text, whose number a call knows.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    params: int = 0
    flops: float = 0.0
    work: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    kept: int = 0
    linear: int = 0
    logits: int = 0
    table: int = 0
    tied: int = 0
    text: TextWork | None = None


@dataclass(frozen=True)
class Sharding:
    """How the work of one call may be shared by ranks; what is not said cannot be shared.

    Attributes:
        units: method -> the rows of its image-shaped inputs are cut at multiples of this (patch size, total stride).
        heads: attention heads that `ulysses` and `tensor` share; the least of all its layers.
        refused: axis, or "patches" for a pipelined loop -> why this model cannot do it.
        joint: state keys of tokens that have no rows (the text of joint attention): the first member of the first
            patch carries them, the others never see them.
    """

    units: Mapping[str, int] = field(default_factory=dict)
    heads: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    joint: tuple[str, ...] = ()
