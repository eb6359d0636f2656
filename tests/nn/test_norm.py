import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmm_graph.nn.linear import use_products
from mmm_graph.nn.norm import GroupNorm, RmsNorm, modulate


def test_group_norm_is_torch_s():
    ours, theirs = GroupNorm(2, 6, 1e-6), nn.GroupNorm(2, 6, 1e-6)
    nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 3, 5)
    assert torch.equal(ours(x), theirs(x))


def test_the_first_norm_that_learns_has_gradients_in_any_memory_format():
    """What comes to it needs none, so nobody asks for that of x."""
    norm, x = GroupNorm(2, 6), torch.randn(2, 6, 3, 5)
    found = [
        torch.autograd.grad(norm(each).square().sum(), list(norm.parameters()))
        for each in (x, x.contiguous(memory_format=torch.channels_last))
    ]
    torch.testing.assert_close(*found)


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="6 channels do not divide into 4 groups"):
        GroupNorm(4, 6)


def test_modulate_scales_around_one_and_shifts():
    x, shift, scale = torch.randn(2, 3, 4), torch.randn(2, 4), torch.randn(2, 4)
    assert torch.allclose(modulate(x, shift, scale), x * (1 + scale[:, None]) + shift[:, None], atol=1e-6)
    assert torch.equal(modulate(x, torch.zeros(2, 4), torch.zeros(2, 4)), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_rms_norms_of_few_rows_and_of_many(dtype):
    layer = nn.RMSNorm(48, 1e-4).to(dtype)
    nn.init.normal_(layer.weight)
    use_products(layer)
    assert type(layer) is RmsNorm
    for rows in (1, 3, 20):
        x = torch.randn(rows, 48, dtype=dtype)
        exact = F.rms_norm(x.double(), (48,), layer.weight.double(), 1e-4)
        torch.testing.assert_close(layer(x).double(), exact, atol=1e-6, rtol=2 * torch.finfo(dtype).eps)
