"""Linear layers from features to embeds as a list of parts. Axes: b batch, l tokens."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_bridge.projector.config import ProjectorConfig
from mmm_bridge.projector.parts import layer_keys, projector_path
from mmm_graph.nn.mlp import ACTIVATIONS
from mmm_graph.nn.parts import State, known, need, run_parts


class Projector(nn.Module):
    """Features [b,l,in_dim] to embeds [b,l,out_dim], each by itself.

    Source: Liu et al. 2023 (arXiv:2304.08485), section 4.1; Liu et al. 2023 (arXiv:2310.03744), section 3.3.
    """

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.path = projector_path(config, None)
        self.parts = nn.ModuleDict({name: Layer(config, i) for i, name in enumerate(self.path)})

    def forward(self, state: State) -> dict[str, Tensor]:
        """{features} -> {embeds}."""
        return {"embeds": need(run_parts(self.parts, self.path, state), "embeds", "the projector")}


class Layer(nn.Module):
    """One linear layer, after the activation if it is not the first."""

    def __init__(self, config: ProjectorConfig, index: int) -> None:
        super().__init__()
        out_dim = known(config.out_dim, "out_dim")
        self.reads, self.writes = layer_keys(config, index)
        self.activation = ACTIVATIONS[config.activation] if index else nn.Identity()
        self.proj = nn.Linear(out_dim if index else known(config.in_dim, "in_dim"), out_dim, config.bias)

    def forward(self, state: State) -> dict[str, Tensor]:
        x = need(state, self.reads, "the projector")
        return {self.writes: self.proj(self.activation(x))}
