import pytest
import torch

from mmm_graph.nn.attention import Attention, CrossAttention, PixelAttention, merge_heads, split_heads


def test_attention_is_softmax_of_scaled_products():
    layer = Attention(12, 3).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    q, k, v = (split_heads(p(x), 3) for p in (layer.q, layer.k, layer.v))
    weights = torch.softmax(q @ k.transpose(-1, -2) / 2.0, dim=-1)  # head width 4
    assert torch.allclose(layer(x), layer.out(merge_heads(weights @ v)))


def test_causal_tokens_do_not_see_later_ones():
    layer = Attention(8, 2, causal=True)
    x = torch.randn(1, 6, 8)
    changed = x.clone()
    changed[:, 4:] += 1
    a, b = layer(x), layer(changed)
    assert torch.allclose(a[:, :4], b[:, :4], atol=1e-6)
    assert not torch.allclose(a[:, 4:], b[:, 4:], atol=1e-3)


def test_cross_attention_ignores_masked_tokens():
    layer = CrossAttention(8, 6, 2)
    x, cond = torch.randn(2, 4, 8), torch.randn(2, 5, 6)
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    changed = cond.clone()
    changed[0, 3:] += 10
    assert torch.allclose(layer(x, cond, mask), layer(x, changed, mask), atol=1e-6)
    assert torch.allclose(layer(x, cond, mask)[0], layer(x, cond[:, :3])[0], atol=1e-6)


def test_pixel_attention_starts_as_the_identity_and_keeps_the_shape():
    layer = PixelAttention(8, 2, num_groups=4)
    x = torch.randn(2, 8, 3, 5)
    assert torch.equal(layer(x), x)
    torch.nn.init.normal_(layer.attn.out.weight)
    assert layer(x).shape == x.shape
    assert not torch.allclose(layer(x), x)


def test_pixel_attention_commutes_with_a_permutation_of_pixels():
    layer = PixelAttention(4, 1, num_groups=2).double()
    torch.nn.init.normal_(layer.attn.out.weight)
    x = torch.randn(1, 4, 3, 4, dtype=torch.float64)
    assert torch.allclose(layer(x.flip(3)), layer(x).flip(3))


@pytest.mark.parametrize("make", [lambda: Attention(10, 3), lambda: CrossAttention(10, 4, 3)])
def test_heads_must_divide_the_width(make):
    with pytest.raises(ValueError, match="width 10 does not divide into 3 heads"):
        make()
