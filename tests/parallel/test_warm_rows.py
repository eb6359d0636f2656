"""Rows shared in the warm-up, patches afterwards: what the first gathers is what the second finds in its buffer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmm_graph.parallel.group import Group
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.thread_group import run_members
from mmm_graph.plan.ops import At

BUFFERED = ShardConfig(buffered=True)
HALVES = ((0, 2), (2, 4))


def phased(group: Group) -> Sharded:
    return Sharded(Groups(), BUFFERED, warm=Groups(tokens=group, outer=group))


@pytest.mark.dist
def test_patches_read_what_the_warm_up_gathered() -> None:
    q, k, v, new_q, new_k, new_v = torch.randn(6, 1, 2, 12, 4, dtype=torch.float64)  # 4 rows of 3 tokens
    half = slice(0, 6)

    def work(group: Group) -> None:
        exchange, own = phased(group), slice(6 * group.index, 6 * group.index + 6)
        exchange.bind(At("r", "n", (0,), spans=HALVES, member=group.index, total=4))
        found = exchange.attention("layer", q[:, :, own], k[:, :, own], v[:, :, own])
        torch.testing.assert_close(found, F.scaled_dot_product_attention(q, k, v)[:, :, own])
        exchange.bind(At("r", "n", (1,), patch=0, spans=HALVES[:1], total=4, sync=False))
        found = exchange.attention("layer", new_q[:, :, half], new_k[:, :, half], new_v[:, :, half])
        mixed = [torch.cat([new[:, :, half], old[:, :, 6:]], 2) for new, old in ((new_k, k), (new_v, v))]
        torch.testing.assert_close(found, F.scaled_dot_product_attention(new_q[:, :, half], *mixed))
        exchange.clear("r")
        assert not len(exchange.state)

    run_members(2, work)


def test_other_layers_are_those_of_the_phase() -> None:
    exchange = Sharded(Groups(), BUFFERED, warm=Groups())
    exchange.bind(At("r", "n", (1,), patch=1, spans=HALVES[1:], total=4, sync=False))
    assert exchange.groups is exchange.steady is not exchange.warm
    exchange.bind(At("r", "n", (0,), spans=HALVES, total=4))
    assert exchange.groups is exchange.warm
    exchange.bind(At("r", "n", (1,), patch=1, spans=HALVES[1:], total=4, sync=False))
    assert exchange.positions((2, 3), torch.device("cpu")).rows.tolist() == [2, 3]
    x = torch.randn(2, 3)
    assert torch.equal(exchange.row_linear("l", x, torch.eye(3), None), x)
