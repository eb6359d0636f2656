"""Which hidden state of an encoder of tokens a call returns, and the parts that lead to it; torch-free."""

from __future__ import annotations

from typing import Literal, Protocol

from mmm_graph.config import Config


class Counted(Protocol):
    """A config that knows the tokens of one input; None: the input says."""

    @property
    def patches(self) -> int | None:
        """Without tokens that stand for the whole."""

    @property
    def tokens(self) -> int | None:
        """All of them."""


class HiddenConfig(Config):
    """Which features of the tokens a call returns.

    Attributes:
        layer: 0 what goes into the first block, 1 what comes out of it; -1 (default) the last; -2 in LLaVA.
        norm: apply the final norm.
        select: all tokens ("full"), or without those that stand for the whole, such as the class token ("patch").
    """

    layer: int = -1
    norm: bool = True
    select: Literal["full", "patch"] = "full"

    def length(self, model: Counted) -> int | None:
        """Tokens that come out; None: the input says."""
        return model.patches if self.select == "patch" else model.tokens


def layers_path(depth: int) -> tuple[str, ...]:
    """The embedding and the first `depth` blocks."""
    return ("embed", *(f"block{i}" for i in range(depth)))


def hidden_path(depth: int, call: HiddenConfig) -> tuple[str, ...]:
    """Parts up to the hidden state that is asked for, of an encoder of `depth` blocks.

    Raises:
        ValueError: there is no such layer.
    """
    layer = call.layer if call.layer >= 0 else depth + 1 + call.layer
    if not 0 <= layer <= depth:
        raise ValueError(f"layer {call.layer} is not one of the {depth + 1} hidden states of this encoder")
    end = "tap" if call.select == "full" else "patches"
    return (*layers_path(layer), *(("norm",) if call.norm else ()), end)
