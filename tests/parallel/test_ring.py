import pytest
import torch
import torch.nn.functional as F

from mmm_graph.parallel import ring
from mmm_graph.parallel.gather import pack
from mmm_graph.parallel.ring import ring_attention
from mmm_graph.parallel.thread_group import run_members

LENGTHS = (5, 1, 3, 4)


@pytest.mark.dist
def test_every_member_sees_all_keys():
    q, k, v = torch.randn(3, 2, 3, sum(LENGTHS), 8, dtype=torch.float64)

    def work(group):
        start = sum(LENGTHS[: group.index])
        own = slice(start, start + LENGTHS[group.index])
        got = ring_attention(group, q[:, :, own], pack(k[:, :, own], v[:, :, own]), LENGTHS)
        torch.testing.assert_close(
            got, F.scaled_dot_product_attention(q[:, :, own], k, v), rtol=0, atol=1e-13
        )

    run_members(4, work)


def test_the_next_chunk_comes_while_the_present_one_is_used(monkeypatch):
    order = []

    class Two:
        """The first of two members; the other gives what it gets."""

        index, size = 0, 2

        def start_swap(self, gives, shapes, like):
            order.append("start")
            self.given = gives[1]
            return self

        def wait(self):
            order.append("wait")
            return {1: self.given}

    class Merged(ring.Merged):
        def add(self, k, v):
            order.append("add")
            super().add(k, v)

    monkeypatch.setattr(ring, "Merged", Merged)
    q, k, v = torch.randn(3, 1, 1, 4, 8)
    ring_attention(Two(), q, pack(k, v), (4, 4))
    assert order == ["start", "add", "wait", "add"]
