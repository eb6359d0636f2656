"""Streams of tokens are the identity at initialisation, and do what the formula says."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mmm_graph.nn.stream import PooledEmbedding, Stream


def test_nothing_is_added_at_initialisation() -> None:
    stream, h, c = Stream(8, 16, 1e-6), torch.randn(2, 5, 8), torch.randn(2, 8)
    seen, rest = stream.enter(h, c)
    torch.testing.assert_close(seen, F.layer_norm(h, (8,), eps=1e-6))
    assert torch.equal(stream.leave(h, torch.randn(2, 5, 8), rest), h)


def test_gates_let_attention_and_mlp_through() -> None:
    stream, h, attended = Stream(8, 16, 1e-6), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    one, none = torch.ones(2, 8), torch.zeros(2, 8)
    torch.testing.assert_close(stream.leave(h, attended, (one, none, none, none)), h + attended)
    want = h + stream.mlp(F.layer_norm(h, (8,), eps=1e-6))
    torch.testing.assert_close(stream.leave(h, attended, (none, none, none, one)), want)


def test_a_vector_through_two_layers() -> None:
    layer, x = PooledEmbedding(6, 4), torch.randn(3, 6)
    torch.testing.assert_close(layer(x), layer.down(F.silu(layer.up(x))))
