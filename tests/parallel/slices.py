"""Rows of an image on members that are threads, and what they make of them together."""

from __future__ import annotations

import copy

import torch

from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import ShardConfig, Sharded
from tests.parallel.toys import PATCH, at
from tests.parallel.world import Shape, threads

MODES = ("sync", "stale", "corrected", "separate")


def displaced(group_norm="sync"):
    return ShardConfig(displaced=True, group_norm=group_norm)


def members(bounds, work, config=PATCH, inner=1):
    """`work(exchange, member)` on a thread for each member; `inner` of them split the heads of a chunk of rows."""
    shape = Shape((len(bounds) - 1) // inner, inner)
    return threads(shape, lambda groups: work(Sharded(groups, config), groups.tokens.index))


def own(x, bounds, member):
    """The rows of a member of x [b,c,h,w], in its memory format; h may be another resolution than `bounds`."""
    scale = x.shape[2] / bounds[-1]
    a, b = (round(scale * row) for row in bounds[member : member + 2])
    is_last = x.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if is_last else torch.contiguous_format
    return x[:, :, a:b].clone(memory_format=form)


def joined(bounds, work, config=PATCH, inner=1):
    """The rows that `work(exchange, member)` makes on each member, bound to one place, one after the other."""

    def one(exchange, member):
        exchange.bind(at(bounds, member))
        return work(exchange, member)

    return torch.cat(members(bounds, one, config, inner), dim=2)


def evaluate(model, images, bounds, config=PATCH, warmup=1):
    """A module on the rows of each of `images`, evaluation after evaluation: the whole results."""

    def one(exchange, member):
        mine, results = copy.deepcopy(model), []
        install(mine, exchange)
        for step, image in enumerate(images):
            exchange.bind(at(bounds, member, step, sync=step < warmup))
            results.append(mine(own(image, bounds, member)))
        exchange.clear("r")
        assert len(exchange.state) == 0
        return results

    return [torch.cat(parts, dim=2) for parts in zip(*members(bounds, one, config), strict=True)]


def image(*shape, seed=0, channels_last=False):
    """Normal noise, float64."""
    x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x
