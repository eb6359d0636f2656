"""Class scores of one vector."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_dual.config import ClassifierConfig
from mmm_graph.nn.parts import known


class Linear(nn.Module):
    """One linear layer with a bias."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(known(config.in_dim, "in_dim"), config.classes)

    def forward(self, features: Tensor) -> Tensor:
        """Vectors [b,in_dim] to scores [b,classes]."""
        logits: Tensor = self.proj(features)
        return logits
