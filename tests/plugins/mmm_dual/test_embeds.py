"""Ops on vectors of pictures and texts."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmm_dual import embeds as ops
from mmm_dual.config import TopConfig
from mmm_graph.errors import RunError


def test_normalised_vectors_have_length_1() -> None:
    x = torch.randn(3, 5)
    assert torch.allclose(ops.normalize(x).norm(dim=-1), torch.ones(3))
    assert torch.allclose(ops.normalize(x) * x.norm(dim=-1, keepdim=True), x)
    assert torch.equal(ops.normalize(torch.zeros(1, 5)), torch.zeros(1, 5))


def test_groups_are_averaged_as_directions() -> None:
    x, groups = torch.randn(5, 4), torch.tensor([1, 0, 1, 1, 0])
    got = ops.mean_groups(x, groups)
    for group in (0, 1):
        own = x[groups == group]
        want = F.normalize((own / own.norm(dim=-1, keepdim=True)).mean(0), dim=-1)
        assert torch.allclose(got[group], want, atol=1e-6)
    assert torch.allclose(ops.mean_groups(7 * x, groups), got, atol=1e-6)
    with pytest.raises(RunError, match=r"E746.*group 1 of 3 has no vector"):
        ops.mean_groups(x[:2], torch.tensor([0, 2]))


def test_logits_are_scaled_and_shifted_cosines() -> None:
    a, b = torch.randn(2, 4), torch.randn(3, 4)
    cosines = F.cosine_similarity(a[:, None], b[None], dim=-1)
    assert torch.allclose(ops.cosine_logits(a, b), cosines, atol=1e-6)
    got = ops.cosine_logits(a, b, torch.tensor(5.0), torch.tensor(-1.0))
    assert torch.allclose(got, 5 * cosines - 1, atol=1e-5)


def test_the_nearest_in_both_directions() -> None:
    texts = torch.eye(4)
    pictures = torch.tensor([[0.1, 0.0, 9.0, 1.0], [0.0, 3.0, 0.5, 0.2]])
    got = ops.top_k(pictures, texts, TopConfig(top=2))
    assert got["indices"].tolist() == [[2, 3], [1, 2]]
    assert torch.allclose(got["scores"], F.normalize(pictures, dim=-1).gather(1, got["indices"]))
    back = ops.top_k(texts, pictures, TopConfig(top=5))
    assert back["indices"].shape == (4, 2) and back["indices"][:, 0].tolist() == [0, 1, 0, 0]
