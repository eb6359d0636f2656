"""The learned scale and bias of similarities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmm_dual.config import TemperatureConfig


class Temperature(nn.Module):
    """exp(log_scale) and bias, each one number.

    Source: Radford et al. 2021 (arXiv:2103.00020), section 2.5; Zhai et al. 2023 (arXiv:2303.15343), section 3.2.
    """

    def __init__(self, config: TemperatureConfig) -> None:
        super().__init__()
        self.limit = None if config.max is None else math.log(config.max)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.init)))
        self.bias = None if config.bias is None else nn.Parameter(torch.tensor(float(config.bias)))

    def forward(self) -> dict[str, Tensor | None]:
        """{scale, bias?}. In training the scale is first put back to its bound, as CLIP does after each step."""
        if self.training and self.limit is not None:
            with torch.no_grad():
                self.log_scale.clamp_(max=self.limit)
        return {"scale": self.log_scale.exp(), "bias": self.bias}
