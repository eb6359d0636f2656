"""Patches put into groups. Axes: b batch, n group tokens, l tokens that are grouped, d width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_bridge.grouping.config import GroupingConfig
from mmm_graph.nn.attention import CrossAttention
from mmm_graph.nn.drawing import Drawing
from mmm_graph.nn.mlp import ACTIVATIONS, Mlp
from mmm_graph.nn.parts import State, need

READER = "the grouping of patches"


class Mixer(nn.Module):
    """An MLP along tokens: b before d -> b after d.

    Source: Tolstikhin et al. 2021 (arXiv:2105.01601), section 2.
    """

    def __init__(self, config: GroupingConfig, before: int, after: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = nn.Linear(before, config.width // 2)
        self.down = nn.Linear(config.width // 2, after)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.activation(self.up(x.mT)))
        return y.mT


class Assign(Drawing):
    """The mean of the tokens that belong to each group: groups b n d, x b l d -> b n d.

    A token belongs to the one group whose product with it is largest; in training Gumbel noise is added to the
    products. Gradients are those of the softmax over groups. A group with m tokens has their sum divided by m + 1, so
    one without any has nothing.

    Source: Xu et al. 2022 (arXiv:2202.11094), equations 3 to 6.
    """

    def __init__(self, width: int, temperature: float, place: str) -> None:
        super().__init__(place)
        self.temperature = temperature
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, groups: Tensor, x: Tensor) -> Tensor:
        chosen = self.assignment(groups, x)
        mean = chosen / (chosen.sum(-1, keepdim=True) + 1)
        y: Tensor = self.out(mean @ self.v(x))
        return y

    def assignment(self, groups: Tensor, x: Tensor) -> Tensor:
        """1 where token l belongs to group n, else 0: b n l."""
        scores: Tensor = self.q(groups) @ self.k(x).mT * groups.shape[-1] ** -0.5
        if self.training:
            scores = (scores + self._gumbel(scores)) / self.temperature
        hard: Tensor = F.one_hot(scores.argmax(1), scores.shape[1]).mT.to(scores.dtype)
        if not torch.is_grad_enabled():
            return hard
        soft: Tensor = scores.softmax(1)
        return hard + (soft - soft.detach())

    def _gumbel(self, scores: Tensor) -> Tensor:
        drawn = self.uniform(scores).clamp(min=torch.finfo(torch.float32).tiny)
        return -torch.log(-torch.log(drawn)).to(scores.dtype)


class Group(nn.Module):
    """h [b,l+n,d] -> h [b,n,d], what is in each group; groups [b,n,d], the group tokens, for the next stage.

    Source: Xu et al. 2022 (arXiv:2202.11094), section 3.1, Grouping Block; its published code.
    """

    def __init__(self, config: GroupingConfig, stage: int) -> None:
        super().__init__()
        width, eps = config.width, config.eps
        self.count = config.groups[stage]
        self.norm_groups, self.norm_mixed, self.norm_x = (nn.LayerNorm(width, eps) for _ in range(3))
        self.mixer = Mixer(config, self.count, self.count)
        self.cross = CrossAttention(width, width, config.num_heads)
        self.norm_look = nn.LayerNorm(width, eps)
        self.look = Mlp(width, config.hidden, config.activation)
        self.norm_looked = nn.LayerNorm(width, eps)
        self.assign = Assign(width, config.temperature, f"group{stage}")
        self.norm_mlp = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, config.hidden, config.activation)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        x, groups = self.norm_x(h[:, : -self.count]), h[:, -self.count :]
        asks = self.norm_mixed(self.mixer(self.norm_groups(groups)))
        asks = asks + self.cross(asks, x)
        asks = self.norm_looked(asks + self.look(self.norm_look(asks)))
        found = asks + self.assign(asks, x)
        return {"h": found + self.mlp(self.norm_mlp(found)), "groups": groups}
