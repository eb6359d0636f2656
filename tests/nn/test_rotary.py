import pytest
import torch

from mmm_graph.nn.rope_config import RopeConfig
from mmm_graph.nn.rotary import Rotary, turn

DYNAMIC = RopeConfig(type="dynamic", factor=4.0)


def positions(*rows):
    return torch.tensor(rows)


def test_pairs_are_turned_as_complex_numbers():
    x = torch.randn(2, 5, 3, 8)
    at = positions([0, 1, 2, 3, 4], [7, 8, 9, 10, 11])
    got = turn(x, Rotary(RopeConfig(), 8, 20)(at, torch.float32))
    pairs = torch.complex(x[..., :4], x[..., 4:])
    angles = at[..., None] * torch.tensor([10000.0 ** (-i / 4) for i in range(4)])
    want = pairs * torch.polar(torch.ones_like(angles), angles)[:, :, None]
    assert torch.allclose(got, torch.cat([want.real, want.imag], -1), atol=1e-5)


@pytest.mark.parametrize(
    "rope", [RopeConfig(), RopeConfig(type="yarn", factor=2.0, original=10, attention_factor=1.0)]
)
def test_scores_depend_on_distances(rope):
    rotary = Rotary(rope, 8, 100)
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(a, b):
        return (
            turn(q, rotary(positions([a]), torch.float32)) * turn(k, rotary(positions([b]), torch.float32))
        ).sum()

    assert torch.allclose(score(3, 9), score(43, 49), atol=1e-5)
    assert not torch.allclose(score(3, 9), score(3, 10), atol=1e-3)


def test_a_short_text_is_turned_alike_beside_a_long_one():
    rotary = Rotary(DYNAMIC, 8, 4)
    short, long = positions([0, 0, 0, 0, 1, 2]), positions([0, 1, 2, 3, 4, 5])
    both = rotary(torch.cat([short, long]), torch.float32)
    for row, alone in enumerate((short, long)):
        assert all(torch.equal(a[row], b[0]) for a, b in zip(both, rotary(alone, torch.float32), strict=True))
    assert not torch.equal(both[0][0, -1], rotary(positions([0, 1, 2, 3, 4, 2]), torch.float32)[0][0, -1])


def test_dtype_and_factor():
    rope = RopeConfig(type="yarn", factor=2.0, original=10, attention_factor=3.0)
    cos, sin = Rotary(rope, 8, 10)(positions([0, 1]), torch.bfloat16)
    assert cos.dtype is sin.dtype is torch.bfloat16 and cos.shape == (1, 2, 1, 8)
    assert (cos[0, 0] == 3).all() and (sin[0, 0] == 0).all()


@pytest.mark.parametrize(
    ("rope", "dim", "message"),
    [
        (RopeConfig(), 7, "pairs of channels, but a head has 7"),
        (
            RopeConfig(type="longrope", original=4, short_factor=(1.0,), long_factor=(1.0, 1.0)),
            4,
            "short_factor has 1",
        ),
    ],
)
def test_what_does_not_fit_a_head_is_refused(rope, dim, message):
    with pytest.raises(ValueError, match=message):
        Rotary(rope, dim, 10)
