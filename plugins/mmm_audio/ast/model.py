"""The audio spectrogram transformer as a list of parts. Axes: b batch, f frames, m mel bins, l tokens, d width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_audio.ast.config import AstConfig
from mmm_audio.ast.parts import classify_path, forward_path, hidden_path
from mmm_graph.nn.encoder import EncoderBlock, FinalNorm, Tap, Vector
from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_graph.nn.parts import State, need, run_parts
from mmm_graph.nn.patch import mel_patches

READER = "the audio spectrogram transformer"
WHOLE_TOKENS = 2
"""The class token and the distillation token stand before the patches."""


class AudioSpectrogramTransformer(nn.Module):
    """Normalised log mel spectrograms [b,f,m] to embeds of their tokens [b,l,d], one vector [b,d], logits [b,labels].

    Source: Gong et al. 2021 (arXiv:2104.01778), section 2.
    """

    def __init__(self, config: AstConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({f"block{i}": block(config) for i in range(config.depth)})
        self.parts["norm"] = FinalNorm(config.width, config.eps)
        self.parts.update(
            {"tap": Tap(), "patches": Tap(skip=WHOLE_TOKENS), "pool": Pool(), "vector": Vector()}
        )
        if config.labels is not None:
            self.parts["classifier"] = Classifier(config.width, config.labels, config.eps)
        initialise(self)

    def forward(self, mel: Tensor) -> dict[str, Tensor]:
        """{embeds [b,l,d] after the final norm, pooled [b,d]}."""
        full = run_parts(self.parts, forward_path(self.config), {"mel": mel})
        return {key: need(full, key, READER) for key in ("embeds", "pooled")}

    def hidden(self, mel: Tensor, call: HiddenConfig) -> Tensor:
        """Embeds [b,l,d] of the layer and the tokens that the call chooses."""
        return need(run_parts(self.parts, hidden_path(self.config, call), {"mel": mel}), "embeds", READER)

    def classify(self, mel: Tensor) -> Tensor:
        """Logits [b,labels]."""
        return need(run_parts(self.parts, classify_path(self.config), {"mel": mel}), "logits", READER)


class Embed(nn.Module):
    """mel -> h [b,l,d]: the two tokens of the whole, then overlapping patches, those of the lowest bins first."""

    def __init__(self, config: AstConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch = nn.Linear(config.patch**2, width)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.distillation_token = nn.Parameter(torch.zeros(width))
        self.position = nn.Embedding(config.tokens, width)

    def forward(self, state: State) -> dict[str, Tensor]:
        mel, config = need(state, "mel", READER), self.config
        strides = (config.frequency_stride, config.time_stride)
        tokens = self.patch(mel_patches(mel, (config.frames, config.bins), config.patch, strides, READER))
        whole = torch.stack([self.class_token, self.distillation_token]).expand(len(mel), -1, -1)
        return {"h": torch.cat([whole, tokens], dim=1) + self.position.weight}


def block(config: AstConfig) -> EncoderBlock:
    """One of its blocks."""
    sizes = (config.width, config.num_heads, config.hidden)
    return EncoderBlock(*sizes, config.activation, qkv_bias=config.qkv_bias, eps=config.eps)


class Pool(nn.Module):
    """h -> pooled: the mean of the two tokens of the whole."""

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        return {"pooled": (h[:, 0] + h[:, 1]) / 2}


class Classifier(nn.Module):
    """pooled -> logits."""

    def __init__(self, width: int, labels: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps)
        self.out = nn.Linear(width, labels)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"logits": self.out(self.norm(need(state, "pooled", READER)))}


def initialise(model: AudioSpectrogramTransformer) -> None:
    """Normal weights, no biases."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 or name.endswith("token"):
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
