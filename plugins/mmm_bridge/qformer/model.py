"""Querying transformer as a list of parts. Axes: b batch, n queries, t tokens, l features, d width.

The state's h [b,n+t,d] holds the queries before the text; either may be missing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_bridge.qformer.block import READER, Block
from mmm_bridge.qformer.config import QFormerConfig
from mmm_bridge.qformer.parts import blocks, queries_path
from mmm_graph.errors import RunError, problem
from mmm_graph.nn.mlp import ACTIVATIONS
from mmm_graph.nn.parts import State, known, need, run_parts


class QFormer(nn.Module):
    """Features [b,l,in_dim], any number of them, to embeds [b,n,out_dim].

    Source: Li et al. 2023 (arXiv:2301.12597), section 3.1.
    """

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.path = queries_path(config, None)
        self.parts = nn.ModuleDict({"queries": Queries(config)})
        words = Words(config) if config.text else None
        if words is not None:
            self.parts.update({"words": words, "all": All(config), "causal": Causal(config)})
        self.parts["norm"] = Norm(config)
        self.parts.update({name: Block(config, i) for i, name in enumerate(blocks(config))})
        self.parts["project"] = Project(config)
        if words is not None:
            self.parts["split"] = Split()
        if words is not None and config.head:
            self.parts["head"] = Head(config, words)
        initialise(self)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{features} -> {embeds}."""
        return {"embeds": need(run_parts(self.parts, self.path, state), "embeds", READER)}


class Queries(nn.Module):
    """features -> h [b,n,d], the same for each element."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(1, config.num_queries, config.width))

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.tokens.expand(len(need(state, "features", READER)), -1, -1)}


class Words(nn.Module):
    """ids, h -> h, the words after what is there."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.token = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.max_length, config.width)

    def forward(self, state: State) -> dict[str, Tensor]:
        ids, h = need(state, "ids", READER), state.get("h")
        length, limit = ids.shape[1], self.position.num_embeddings
        if length > limit:
            message = f"{length} tokens, but {READER} has {limit} positions"
            raise RunError(problem("E706", message, hint="tokenizer: set max_length"))
        words = self.token(ids) + self.position.weight[:length]
        return {"h": words if h is None else torch.cat([h, words], dim=1)}


class Norm(nn.Module):
    """h -> h, normalised."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, config.eps)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.norm(need(state, "h", READER))}


class All(nn.Module):
    """ids, mask -> pairs [b,1,1,n+t]: whatever is no padding is seen by all."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.num_queries = config.num_queries

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"pairs": seen_keys(state, self.num_queries)[:, None, None]}


class Causal(nn.Module):
    """ids, mask -> pairs [b,1,n+t,n+t]: queries see queries, a token sees the queries, itself and those before it."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.num_queries = config.num_queries

    def forward(self, state: State) -> dict[str, Tensor]:
        keys = seen_keys(state, self.num_queries)
        length = keys.shape[1]
        before = torch.ones(length, length, dtype=torch.bool, device=keys.device).tril()
        count = length - need(state, "ids", READER).shape[1]
        before[:count, :count] = True
        return {"pairs": keys[:, None, None] & before}


class Split(nn.Module):
    """h, ids -> what became of the queries and of the tokens, and of the first token."""

    def forward(self, state: State) -> dict[str, Tensor]:
        h, ids = need(state, "h", READER), need(state, "ids", READER)
        count = h.shape[1] - ids.shape[1]
        return {"queries": h[:, :count], "embeds": h[:, count:], "pooled": h[:, count]}


class Project(nn.Module):
    """h -> embeds."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        out_dim = known(config.out_dim, "out_dim")
        self.proj = nn.Linear(config.width, out_dim) if config.projection else nn.Identity()

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": self.proj(need(state, "h", READER))}


class Head(nn.Module):
    """embeds -> logits [b,t,v], what word comes next, by the embedding of words."""

    def __init__(self, config: QFormerConfig, words: Words) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = nn.LayerNorm(config.width, config.eps)
        self.out = nn.Linear(config.width, config.vocab_size)
        self.out.weight = words.token.weight

    def forward(self, state: State) -> dict[str, Tensor]:
        x = self.activation(self.dense(need(state, "embeds", READER)))
        return {"logits": self.out(self.norm(x))}


def seen_keys(state: State, num_queries: int) -> Tensor:
    """[b,n+t], true where there is a query or a token that is no padding."""
    ids, mask = need(state, "ids", READER), state.get("mask")
    tokens = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    if state.get("features") is None:
        return tokens
    return torch.cat([tokens.new_ones(len(ids), num_queries), tokens], dim=1)


def initialise(model: nn.Module) -> None:
    """Normal weights of deviation 0.02, zero biases. Source: Devlin et al. 2018 (arXiv:1810.04805) as released."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
