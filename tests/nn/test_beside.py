import pytest
import torch
import torch.nn.functional as F

from mmm_graph.nn.beside import AttentionBesideMlp
from mmm_graph.nn.rope import GridRope, rotate
from mmm_graph.parallel.exchange import Single, install

WAVES = GridRope((2, 2, 4))((2, 3), 3, torch.device("cpu"))


def layer():
    torch.manual_seed(0)
    return AttentionBesideMlp(16, 2, 3).double()


def test_it_is_one_projection_of_attention_and_mlp():
    beside, x = layer(), torch.randn(2, 9, 16, dtype=torch.float64)

    def heads(y):
        return y.view(2, 9, 2, 8)

    q = rotate(beside.norm_q(heads(beside.q(x))), WAVES).transpose(1, 2)
    k = rotate(beside.norm_k(heads(beside.k(x))), WAVES).transpose(1, 2)
    v = heads(beside.v(x)).transpose(1, 2)
    attended = (torch.softmax(q @ k.mT / 8**0.5, -1) @ v).transpose(1, 2).flatten(2)
    hidden = F.gelu(beside.up(x), approximate="tanh")
    wanted = attended @ beside.out.weight[:, :16].T + hidden @ beside.out.weight[:, 16:].T + beside.out.bias
    torch.testing.assert_close(beside(x, 3, WAVES), wanted)


def test_the_exchange_is_told_how_many_tokens_are_text():
    told = []

    class Spy(Single):
        def attention(self, layer, q, k, v, mask=None, causal=False, num_text=0):
            told.append((layer, tuple(q.shape), num_text))
            return super().attention(layer, q, k, v)

    beside = layer()
    install(torch.nn.ModuleDict({"block": beside}), Spy())
    beside(torch.randn(2, 9, 16, dtype=torch.float64), 3, WAVES)
    assert told == [("block", (2, 2, 9, 8), 3)]


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width 16 does not divide into 3 heads"):
        AttentionBesideMlp(16, 3, 4)
