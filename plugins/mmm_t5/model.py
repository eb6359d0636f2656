"""T5's encoder as a list of parts. Axes: b batch, t tokens, n heads, d width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.feed_forward import FeedForward, GatedFeedForward
from mmm_graph.nn.parts import State, need, run_parts
from mmm_graph.nn.relative import RelativeAttention, RelativeBias, mask_keys
from mmm_t5.config import T5Config
from mmm_t5.parts import t5_path


class T5Encoder(nn.Module):
    """Token ids [b,t] to embeds [b,t,d].

    Source: Raffel et al. 2019 (arXiv:1910.10683), section 2.1; v1.1: Shazeer 2020 (arXiv:2002.05202).
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleDict({"embed": Embed(config), "bias": Bias(config)})
        self.parts.update({f"block{i}": Block(config) for i in range(config.depth)})
        self.parts.update({"norm": Norm(config)})
        initialise(self, config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{ids, mask?} -> {embeds}."""
        full = run_parts(self.parts, t5_path(self.config, None), state)
        return {"embeds": need(full, "embeds", "the T5 encoder")}


class Embed(nn.Module):
    """ids -> h [b,t,d]."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.token = nn.Embedding(config.vocab_size, config.width)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.token(need(state, "ids", "the T5 encoder"))}


class Bias(nn.Module):
    """ids, mask -> bias [b,n,t,t], or [1,n,t,t] without mask: what all blocks add to their scores."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.relative = RelativeBias(config.num_heads, config.num_buckets, config.max_distance)

    def forward(self, state: State) -> dict[str, Tensor]:
        length = need(state, "ids", "the T5 encoder").shape[1]
        return {"bias": mask_keys(self.relative(length), state.get("mask"))}


class Block(nn.Module):
    """x + attn(norm(x)), x + mlp(norm(x)): h, bias -> h, which is float32 if the weights are float16."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.norm1 = ScaleNorm(config.width, config.eps)
        self.attn = RelativeAttention(config.width, config.num_heads, config.head_dim)
        self.norm2 = ScaleNorm(config.width, config.eps)
        self.mlp = feed_forward(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", "the T5 encoder")
        h = h + self.attn(self.norm1(h), need(state, "bias", "the T5 encoder"))
        return {"h": h + self.mlp(self.norm2(h))}


class Norm(nn.Module):
    """h -> embeds, normalised."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.norm = ScaleNorm(config.width, config.eps)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": self.norm(need(state, "h", "the T5 encoder"))}


class ScaleNorm(nn.Module):
    """x / rms(x) * weight, in the dtype of the weight whatever x has: ... d -> ... d.

    Source: Zhang and Sennrich 2019 (arXiv:1910.07467), eq. 4.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * F.rms_norm(x, self.weight.shape, eps=self.eps).to(self.weight.dtype)


def feed_forward(config: T5Config) -> nn.Module:
    """The MLP of a block, without biases."""
    kind = GatedFeedForward if config.gated else FeedForward
    return kind(config.width, config.hidden, config.activation)


def initialise(model: nn.Module, config: T5Config) -> None:
    """Normal weights; queries also carry the scale that the scores lack. Source: github.com/tensorflow/mesh."""
    inner = config.num_heads * config.head_dim
    stds = {
        "token.weight": 1.0,
        "table.weight": config.width**-0.5,
        "attn.q.weight": (config.width * config.head_dim) ** -0.5,
        "attn.out.weight": inner**-0.5,
        "mlp.down.weight": config.hidden**-0.5,
    }
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            std = next((std for end, std in stds.items() if name.endswith(end)), config.width**-0.5)
            nn.init.normal_(parameter, std=std)
