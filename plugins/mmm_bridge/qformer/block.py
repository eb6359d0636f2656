"""One block of a querying transformer. Axes: b batch, n queries, t tokens, l features, d width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_bridge.qformer.config import QFormerConfig
from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.parts import State, known, need

READER = "the querying transformer"


class Block(nn.Module):
    """Queries and text attend to each other, queries to the features; each has an MLP of its own. Norms come last.

    Source: Li et al. 2023 (arXiv:2301.12597), section 3.1 and figure 2.
    """

    def __init__(self, config: QFormerConfig, index: int) -> None:
        super().__init__()
        width = config.width
        self.looks, self.text = config.looks(index), config.text
        self.num_queries = config.num_queries
        self.attn = Attention(width, config.num_heads)
        self.norm_attn = nn.LayerNorm(width, config.eps)
        if self.looks:
            self.cross = CrossAttention(width, known(config.in_dim, "in_dim"), config.num_heads)
            self.norm_cross = nn.LayerNorm(width, config.eps)
        self.mlp = Mlp(width, config.hidden, config.activation)
        self.norm_mlp = nn.LayerNorm(width, config.eps)
        if self.text:
            self.text_mlp = Mlp(width, config.hidden, config.activation)
            self.norm_text = nn.LayerNorm(width, config.eps)

    def forward(self, state: State) -> dict[str, Tensor]:
        """h [b,n+t,d], features [b,l,in_dim]? (with them there are queries), pairs? -> h."""
        h = need(state, "h", READER)
        if not self.text:
            h = self.norm_attn(h + self.attn(h))
            return {"h": self._queries(h, need(state, "features", READER) if self.looks else None)}
        features, pairs = state.get("features"), state.get("pairs")
        h = self.norm_attn(h + self.attn(h, pairs))
        if features is None:
            return {"h": self._words(h)}
        if h.shape[1] == self.num_queries:
            return {"h": self._queries(h, features)}
        queries, words = h[:, : self.num_queries], h[:, self.num_queries :]
        return {"h": torch.cat([self._queries(queries, features), self._words(words)], dim=1)}

    def _queries(self, queries: Tensor, features: Tensor | None) -> Tensor:
        if self.looks and features is not None:
            queries = self.norm_cross(queries + self.cross(queries, features))
        y: Tensor = self.norm_mlp(queries + self.mlp(queries))
        return y

    def _words(self, words: Tensor) -> Tensor:
        y: Tensor = self.norm_text(words + self.text_mlp(words))
        return y
