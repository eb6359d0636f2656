"""CLAP's text encoder as a list of parts. Axes: b batch, t tokens, d width."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_audioldm.clap.config import ClapTextConfig
from mmm_audioldm.clap.parts import forward_path
from mmm_graph.errors import RunError, problem
from mmm_graph.nn.attention import Attention
from mmm_graph.nn.mlp import ACTIVATIONS, Mlp
from mmm_graph.nn.parts import State, need, run_parts

READER = "CLAP's text encoder"


class ClapText(nn.Module):
    """Token ids [b,t] to embeds [b,t,d] and one vector [b,pooled_dim], which is not normalised.

    Source: Liu et al. 2019 (arXiv:1907.11692) on Devlin et al. 2018 (arXiv:1810.04805), section 3; Wu et al. 2022
    (arXiv:2211.06687), section 3.1.
    """

    def __init__(self, config: ClapTextConfig) -> None:
        super().__init__()
        self.path = forward_path(config)
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({f"block{i}": Block(config) for i in range(config.depth)})
        self.parts.update({"tap": Tap(), "pool": Pool(config)})
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{ids, mask?} -> {embeds, pooled}."""
        full = run_parts(self.parts, self.path, state)
        return {key: need(full, key, READER) for key in ("embeds", "pooled")}


class Embed(nn.Module):
    """ids -> h [b,t,d], normalised."""

    def __init__(self, config: ClapTextConfig) -> None:
        super().__init__()
        self.pad_id, self.max_length = config.pad_id, config.max_length
        self.token = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.positions, config.width)
        self.kind = nn.Embedding(config.kinds, config.width)
        self.norm = nn.LayerNorm(config.width, config.eps)

    def forward(self, state: State) -> dict[str, Tensor]:
        ids = need(state, "ids", READER)
        if ids.shape[1] > self.max_length:
            message = f"{ids.shape[1]} tokens, but {READER} has {self.max_length} positions"
            raise RunError(problem("E706", message, hint="tokenizer: set max_length, and truncate: true"))
        is_text = ids.ne(self.pad_id)
        places = is_text.cumsum(dim=1) * is_text + self.pad_id  # padding stays at pad_id, wherever it is
        h = self.token(ids) + self.kind.weight[0] + self.position(places)
        return {"h": self.norm(h)}


class Block(nn.Module):
    """norm(x + attn(x)), norm(x + mlp(x)): h, mask -> h."""

    def __init__(self, config: ClapTextConfig) -> None:
        super().__init__()
        self.attn = Attention(config.width, config.num_heads)
        self.norm1 = nn.LayerNorm(config.width, config.eps)
        self.mlp = Mlp(config.width, config.hidden, config.activation)
        self.norm2 = nn.LayerNorm(config.width, config.eps)

    def forward(self, state: State) -> dict[str, Tensor]:
        h, mask = need(state, "h", READER), state.get("mask")
        h = self.norm1(h + self.attn(h, None if mask is None else mask.bool()[:, None, None]))
        return {"h": self.norm2(h + self.mlp(h))}


class Tap(nn.Module):
    """h -> embeds."""

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": need(state, "h", READER)}


class Pool(nn.Module):
    """h -> pooled: the first token through a layer with tanh, and two that project it."""

    def __init__(self, config: ClapTextConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.pooled_activation]
        self.first = nn.Linear(config.width, config.width)
        self.up = nn.Linear(config.width, config.pooled_dim)
        self.down = nn.Linear(config.pooled_dim, config.pooled_dim)

    def forward(self, state: State) -> dict[str, Tensor]:
        first = self.first(need(state, "h", READER)[:, 0]).tanh()
        return {"pooled": self.down(self.activation(self.up(first)))}
