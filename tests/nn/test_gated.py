import pytest
import torch
import torch.nn.functional as F

from mmm_graph.nn.fused import fuse
from mmm_graph.nn.gated import GatedUnit

X = torch.randn(2, 3, 8)


@pytest.mark.parametrize("bias", [False, True])
@torch.no_grad()
def test_the_gate_goes_through_the_activation(bias):
    layer = GatedUnit(8, 10, bias=bias)
    want = layer.down(F.silu(layer.gate(X)) * layer.up(X))
    assert torch.allclose(layer(X), want, atol=1e-6) and (layer.up.bias is None) is not bias
    fuse(layer, on_cpu=True)
    assert layer.project.fused is not None and torch.allclose(layer(X), want, atol=1e-6)
    assert not torch.allclose(GatedUnit(8, 10, "relu")(X), want)
