"""Text encoder as a list of parts. Axes: b batch, w windows of a text, t tokens, n heads, d width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.attention import Attention
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.parts import State, need, run_parts
from mmm_text.config import EncodeConfig, TextEncoderConfig
from mmm_text.parts import encoder_path

LAST = EncodeConfig()


class TextEncoder(nn.Module):
    """Token ids [b,t] to embeds [b,t,d] and one pooled vector [b,d] (or [b,pooled_dim]).

    Source: Radford et al. 2021 (arXiv:2103.00020), section 2.4.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleDict({"window": Window(config), "embed": Embed(config)})
        self.parts.update({f"block{i}": Block(config) for i in range(config.depth)})
        self.parts.update({"norm": Norm(config), "tap": Tap(), "pool": Pool(config)})
        initialise(self, config)

    def forward(self, state: State, call: EncodeConfig = LAST) -> dict[str, Tensor]:
        """{ids, mask?} -> {embeds, pooled}."""
        full = run_parts(self.parts, encoder_path(self.config, call), state)
        return {key: need(full, key, "the text encoder") for key in ("embeds", "pooled")}


class Window(nn.Module):
    """ids -> windows [b,w], the first token of each window of max_length tokens."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.length = config.max_length

    def forward(self, state: State) -> dict[str, Tensor]:
        ids = need(state, "ids", "the text encoder")
        if ids.shape[1] % self.length or not ids.shape[1]:
            message = f"{ids.shape[1]} tokens are not whole windows of {self.length}"
            hint = "tokenizer: set chunk: true, and max_length to the window"
            raise RunError(problem("E706", message, hint=hint))
        starts = torch.arange(0, ids.shape[1], self.length, device=ids.device)
        return {"windows": starts.expand(len(ids), -1)}


class Embed(nn.Module):
    """ids, windows -> h [b,t,d]."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.token = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.max_length, config.width)

    def forward(self, state: State) -> dict[str, Tensor]:
        windows = state.get("windows")
        ids = fold(need(state, "ids", "the text encoder"), windows)
        length, limit = ids.shape[1], self.position.num_embeddings
        if length > limit:
            raise RunError(
                problem(
                    "E706",
                    f"{length} tokens, but the text encoder has {limit} positions",
                    hint="tokenizer: set max_length; or chunk: true, and here window",
                )
            )
        return {"h": unfold(self.token(ids) + self.position.weight[:length], windows)}


class Block(nn.Module):
    """x + attn(norm(x)), x + mlp(norm(x)), in each window: h, mask, windows -> h."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.causal = config.causal
        self.norm1 = nn.LayerNorm(config.width, config.eps)
        self.attn = Attention(config.width, config.num_heads, causal=config.causal)
        self.norm2 = nn.LayerNorm(config.width, config.eps)
        self.mlp = Mlp(config.width, config.hidden, config.activation)

    def forward(self, state: State) -> dict[str, Tensor]:
        windows, mask = state.get("windows"), state.get("mask")
        h = fold(need(state, "h", "the text encoder"), windows)
        mask = None if mask is None else attention_mask(fold(mask, windows), self.causal)
        h = h + self.attn(self.norm1(h), mask)
        return {"h": unfold(h + self.mlp(self.norm2(h)), windows)}


class Norm(nn.Module):
    """h -> h, normalised."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, config.eps)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.norm(need(state, "h", "the text encoder"))}


class Tap(nn.Module):
    """h -> embeds: where it stands on the path chooses the hidden state."""

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": need(state, "h", "the text encoder")}


class Pool(nn.Module):
    """h, ids, mask, windows -> pooled [b,d], of the first window."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.pool, self.eos_id = POOLS[config.pool], config.eos_id
        bias = config.projection_bias
        self.projection = nn.Linear(config.width, config.pooled_dim, bias) if config.projection else None

    def forward(self, state: State) -> dict[str, Tensor]:
        windows, mask = state.get("windows"), state.get("mask")
        h, ids = (first(need(state, key, "the text encoder"), windows) for key in ("h", "ids"))
        pooled = self.pool(h, ids, None if mask is None else first(mask, windows), self.eos_id)
        return {"pooled": pooled if self.projection is None else self.projection(pooled)}


def fold(x: Tensor, windows: Tensor | None) -> Tensor:
    """[b,(w t),...] -> [(b w),t,...]: each window is a text."""
    if windows is None:
        return x
    count = windows.numel()
    return x.reshape(count, x.shape[1] // windows.shape[1], *x.shape[2:])


def unfold(x: Tensor, windows: Tensor | None) -> Tensor:
    """[(b w),t,...] -> [b,(w t),...]."""
    if windows is None:
        return x
    batch, count = windows.shape
    return x.reshape(batch, count * x.shape[1], *x.shape[2:])


def first(x: Tensor, windows: Tensor | None) -> Tensor:
    """[b,(w t),...] -> [b,t,...], the first window."""
    return x if windows is None else x[:, : x.shape[1] // windows.shape[1]]


def attention_mask(mask: Tensor, causal: bool) -> Tensor:
    """Mask of tokens [b,t] -> mask of pairs [b,1,1,t], or [b,1,t,t] when causal; a token always sees itself."""
    keys = mask.bool()[:, None, None]
    if not causal:
        return keys
    length = mask.shape[1]
    # The diagonal stays, so that padding on the left has something to attend to.
    before = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    return (keys & before) | torch.eye(length, dtype=torch.bool, device=mask.device)


def pool_eos(h: Tensor, ids: Tensor, mask: Tensor | None, eos_id: int) -> Tensor:
    """The state at the first `eos_id`; every text must have one."""
    return take(h, ids.eq(eos_id).int().argmax(dim=1))


def pool_argmax(h: Tensor, ids: Tensor, mask: Tensor | None, eos_id: int) -> Tensor:
    """The state at the largest id: OpenAI's vocabulary ends with the end-of-text token."""
    return take(h, ids.argmax(dim=1))


def pool_last(h: Tensor, ids: Tensor, mask: Tensor | None, eos_id: int) -> Tensor:
    """The state at the last place, as SigLIP was trained: texts are padded to one length, and nothing is masked."""
    return h[:, -1]


def pool_mean(h: Tensor, ids: Tensor, mask: Tensor | None, eos_id: int) -> Tensor:
    """The mean over tokens that are not padding."""
    if mask is None:
        return h.mean(dim=1)
    weight = mask.to(h.dtype).unsqueeze(-1)
    return (h * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def take(h: Tensor, index: Tensor) -> Tensor:
    """h[b, index[b]]."""
    return h[torch.arange(h.shape[0], device=h.device), index]


POOLS = {"eos": pool_eos, "argmax": pool_argmax, "last": pool_last, "mean": pool_mean}


def initialise(model: TextEncoder, config: TextEncoderConfig) -> None:
    """Normal weights whose residual branches shrink with depth. Source: Radford et al. 2021, section 2.5."""
    inner = config.width**-0.5
    branch = inner * (2 * config.depth) ** -0.5
    for name, parameter in model.named_parameters():
        if name.endswith("token.weight"):
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("position.weight"):
            nn.init.normal_(parameter, std=0.01)
        elif name.endswith(("attn.out.weight", "mlp.down.weight")):
            nn.init.normal_(parameter, std=branch)
        elif parameter.ndim == 2:
            nn.init.normal_(parameter, std=(2 * config.width) ** -0.5 if "mlp.up" in name else inner)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
