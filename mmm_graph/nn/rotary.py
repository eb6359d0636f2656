"""Rotary positions of tokens in a line: the two halves of a head's channels are the pairs that are turned."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_graph.nn.rope_config import RopeConfig
from mmm_graph.nn.rope_scaling import attention_factor, depends_on_length, frequencies

Turn = tuple[Tensor, Tensor]
"""Cosines, and sines of which the first half is negative, for all channels of a head: [b or 1, t, 1, k]."""


class Rotary:
    """Positions -> what `turn` needs, made once for all blocks.

    Args:
        dim: channels k of a head, even.
        max_length: of the config, in tokens.

    Raises:
        ValueError: as of `RopeConfig.check_head`.
    """

    def __init__(self, rope: RopeConfig, dim: int, max_length: int) -> None:
        rope.check_head(dim)
        self.rope, self.dim, self.max_length = rope, dim, max_length
        self.factor = attention_factor(rope, max_length)
        self.fixed: dict[torch.device, Tensor] = {}

    def __call__(self, positions: Tensor, dtype: torch.dtype) -> Turn:
        """`positions` [b or 1, t], ascending in each row: the last one says how long the text is."""
        angles = positions[..., None].float() * self.frequencies(positions)
        cos, sin = angles.cos(), angles.sin()  # b t k/2
        both = torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)
        if self.factor != 1.0:
            both = (both[0] * self.factor, both[1] * self.factor)
        return both[0].to(dtype).unsqueeze(2), both[1].to(dtype).unsqueeze(2)

    def frequencies(self, positions: Tensor) -> Tensor:
        """Of each row, [k/2] or [b,1,k/2]: what else is in a batch changes nothing.

        transformers takes those of the longest text for all texts of a batch.
        """
        if depends_on_length(self.rope):
            lengths = positions.amax(-1, keepdim=True) + 1
            return frequencies(self.rope, self.dim, self.max_length, lengths).unsqueeze(-2)
        found = self.fixed.get(positions.device)
        if found is None:
            found = frequencies(self.rope, self.dim, self.max_length, positions[:1, -1:])
            self.fixed[positions.device] = found
        return found


def turn(x: Tensor, by: Turn) -> Tensor:
    """Channels i and i + k/2 of x [b,t,n,k] turned as a pair.

    Source: Su et al. 2021 (arXiv:2104.09864), eq. 34, with the pairs that transformers' checkpoints have.
    """
    cos, sin = by
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)
