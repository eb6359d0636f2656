import cmath

import pytest
import torch

from mmm_graph.nn.joint import JointAttention
from mmm_graph.nn.rope import GridRope, rotate
from mmm_graph.parallel.exchange import Positions, Single

CPU = torch.device("cpu")


def test_tokens_are_turned_by_row_and_column_and_text_is_not():
    cos, sin = GridRope((2, 4, 2))((2, 3), 1, CPU)
    assert cos.shape == sin.shape == (7, 4) and cos.dtype == torch.float32
    angles = [[0, 0, 0, 0]] + [[0, row, row / 100, col] for row in range(2) for col in range(3)]
    wanted = torch.tensor(angles, dtype=torch.float64)
    torch.testing.assert_close(cos, wanted.cos().float())
    torch.testing.assert_close(sin, wanted.sin().float())


def test_rotation_is_multiplication_by_a_complex_number():
    waves = (torch.tensor([[0.5, 1.25]]).double().cos(), torch.tensor([[0.5, 1.25]]).double().sin())
    x = torch.randn(1, 1, 1, 4, dtype=torch.float64)
    a, b, c, d = x.flatten().tolist()
    first, second = complex(a, b) * cmath.exp(0.5j), complex(c, d) * cmath.exp(1.25j)
    wanted = torch.tensor([first.real, first.imag, second.real, second.imag], dtype=torch.float64)
    torch.testing.assert_close(rotate(x, waves).flatten(), wanted)


def test_text_stays_to_the_bit_and_dtypes_stay():
    waves = GridRope((2, 2, 4))((2, 2), 3, CPU)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        x = torch.randn(2, 7, 2, 8).to(dtype)
        turned = rotate(x, waves)
        assert turned.dtype == dtype and torch.equal(turned[:, :3], x[:, :3])
        assert torch.equal(turned[:, 3], x[:, 3]) and not torch.equal(turned[:, 4:], x[:, 4:])


def test_scores_depend_on_distances_only():
    rope = GridRope((2, 2, 4))
    cos, sin = rope((5, 5), 0, CPU)
    q, k = torch.randn(1, 1, 1, 8).double().expand(1, 25, 1, 8), torch.randn(1, 1, 1, 8).double()
    turned, keys = rotate(q, (cos, sin)), rotate(k.expand(1, 25, 1, 8), (cos, sin))
    scores = torch.einsum("blnk,bmnk->blm", turned, keys)[0].view(5, 5, 5, 5)
    torch.testing.assert_close(scores[1, 2, 3, 1], scores[2, 3, 4, 2], rtol=0, atol=1e-6)


def test_rows_are_those_that_the_exchange_says():
    class Lower(Single):
        def positions(self, grid, device):
            return Positions(torch.arange(2, 4), torch.arange(3), 4, 3)

    rope = GridRope((2, 2, 4))
    whole = rope((4, 3), 0, CPU)
    rope.exchange = Lower()
    part = rope((2, 3), 0, CPU)
    assert all(torch.equal(mine, all_[6:]) for mine, all_ in zip(part, whole, strict=True))


def test_pairs_are_not_split():
    with pytest.raises(ValueError, match=r"turned in pairs, but the ids share them as \(2, 3, 3\)"):
        GridRope((2, 3, 3))


def test_joint_attention_turns_queries_and_keys_after_their_norms():
    torch.manual_seed(0)
    joint = JointAttention(16, 2, qk_norm=True).double()
    x, text = torch.randn(2, 6, 16).double(), torch.randn(2, 3, 16).double()
    still = (torch.ones(9, 4), torch.zeros(9, 4))
    for a, b in zip(joint(x, text), joint(x, text, still), strict=True):
        torch.testing.assert_close(a, b)
    waves = GridRope((2, 2, 4))((2, 3), 3, CPU)
    image, words = joint(x, text, waves)
    order = torch.randperm(6)
    mixed, _ = joint(x[:, order], text, waves)
    assert not torch.allclose(mixed, image[:, order]), "with positions, tokens are no set"
    assert not torch.allclose(words, joint(x, text)[1])
    alone, none = joint(x, None, tuple(wave[3:] for wave in waves))
    assert alone.shape == x.shape and none is None
