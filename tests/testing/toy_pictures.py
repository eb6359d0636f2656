"""A model of images that ranks can share, and variants that each forget one thing that goes across ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.config import Config
from mmm_graph.nn.attention import Attention
from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.linear import RowLinear
from mmm_graph.parallel.exchange import SINGLE, Single

WIDTH = 8


class Embed(nn.Module):
    """b 3 h w -> b 8 h w, and where each row lies in the whole image."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv, self.exchange, self.layer = conv, SINGLE, ""

    def forward(self, state: dict[str, Any]) -> dict[str, Any]:
        h = self.conv(state["x"])
        rows = self.exchange.positions((h.shape[2], h.shape[3]), h.device).rows.to(h)
        return {"h": h + torch.sin(rows)[:, None]}


class Mix(nn.Module):
    """Attention between all pixels, behind a gate that starts at zero."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention, self.gate = attention, nn.Parameter(torch.zeros(WIDTH))

    def forward(self, state: dict[str, Any]) -> dict[str, Any]:
        h: Tensor = state["h"]
        y = self.attention(h.flatten(2).transpose(1, 2)) * self.gate  # b l d
        return {"pred": h + y.transpose(1, 2).unflatten(2, h.shape[2:])}


class Picture(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"embed": Embed(Conv2d(3, WIDTH)), "mix": Mix(Attention(WIDTH, 2))})


class NoHalo(Picture):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.parts["embed"] = Embed(nn.Conv2d(3, WIDTH, 3, padding=1))


class OwnTokensOnly(Picture):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.parts["mix"] = Mix(Deaf(WIDTH, 2))


class Deaf(Attention):
    """Keeps no exchange."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.exchange = Single()
        return super().forward(x, mask)


class Unsummed(Picture):
    """Its heads are cut, the sum over ranks is forgotten."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        attention = Attention(WIDTH, 2)
        attention.out = Alone(WIDTH, WIDTH)
        self.parts["mix"] = Mix(attention)


class Alone(RowLinear):
    """Asks nobody."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


class OneHead(Picture):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.parts["mix"] = Mix(Attention(WIDTH, 1))


def brighter(image: Tensor) -> Tensor:
    return image * 2


def noisier(image: Tensor, noise: Any) -> Tensor:
    return image + noise.normal(image.shape[1:]).to(image)


def centred(image: Tensor) -> Tensor:
    return image - image.mean((1, 2, 3), keepdim=True)
