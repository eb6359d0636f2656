"""Evaluations one after the other whose keys and values are partly old, and what formulas make of them."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F

from mmm_graph.parallel.sharded import ShardConfig, Sharded
from mmm_graph.plan.ops import ALL
from tests.parallel.toys import EVEN, PATCH, RING, UNEVEN, WIDTH, at
from tests.parallel.world import Shape

HEADS, STEPS = 5, 4


def qkv(step, rows, text, seed=0):
    """Queries, keys and values of an evaluation: of the text, then of all rows; 3 of b n l k."""
    generator = torch.Generator().manual_seed(100 * seed + step)
    return torch.randn(3, 2, HEADS, text + rows * WIDTH, 4, dtype=torch.float64, generator=generator)


def tokens(a, b, text, with_text):
    """Which tokens the rows a to b are; the text comes with them or not."""
    return slice(0 if with_text else text + a * WIDTH, text + b * WIDTH)


class Displaced(NamedTuple):
    """Patches that see the others' of one evaluation before; rows are the input's, one row of tokens each."""

    name: str
    shape: Shape
    bounds: tuple[int, ...]
    text: int = 0
    warmup: int = 1

    config = ShardConfig(displaced=True)

    def parts(self):
        """The tokens of each member."""
        pairs = pairwise(self.bounds)
        return [tokens(a, b, self.text, member == 0) for member, (a, b) in enumerate(pairs)]

    def evaluate(self, exchange, groups, step, request="r", seed=0):
        """One evaluation of a rank's part."""
        member = groups.tokens.index
        exchange.bind(at(self.bounds, member, step, request=request, sync=step < self.warmup))
        q, k, v = qkv(step, self.bounds[-1], self.text, seed)[:, :, :, self.parts()[member]]
        return exchange.attention("layer", q, k, v, num_text=self.text if member == 0 else 0)

    def run(self, groups, whole=None):
        exchange = Sharded(groups, self.config)
        results = [self.evaluate(exchange, groups, step) for step in range(STEPS)]
        exchange.clear("r")
        return results

    def whole(self):
        return None

    def expected(self, member):
        """Own chunk of the outer group fresh, the rest of the evaluation before; zeros before the first."""
        inner = self.shape.inner
        parts, chunk = self.parts(), member // inner
        fresh = slice(parts[chunk * inner].start, parts[chunk * inner + inner - 1].stop)
        results, old = [], torch.zeros_like(qkv(0, self.bounds[-1], self.text))
        for step in range(STEPS):
            now = qkv(step, self.bounds[-1], self.text)
            seen = now.clone() if step < self.warmup else old.clone()
            seen[:, :, :, fresh] = now[:, :, :, fresh]
            results.append(F.scaled_dot_product_attention(now[0][:, :, parts[member]], seen[1], seen[2]))
            old = now
        return results


class Patches(NamedTuple):
    """A pipeline of patches: those not computed now as old as their last computation."""

    name: str
    shape: Shape
    tokens: ShardConfig
    patches: tuple[int, ...]  # bounds in rows
    splits: tuple[tuple[int, ...], ...]  # bounds of the members in each patch, and last of the whole
    text: int = 0
    warmup: int = 1

    @property
    def config(self):
        return ShardConfig(tokens=self.tokens.tokens, buffered=True)

    def tasks(self):
        """(step, patch), in order."""
        for step in range(STEPS):
            if step < self.warmup:
                yield step, ALL
            else:
                yield from ((step, patch) for patch in range(len(self.patches) - 1))

    def part(self, patch, member):
        """The tokens of a member in a patch."""
        a, b = self.splits[patch][member : member + 2]
        return tokens(a, b, self.text, member == 0 and patch in (0, ALL))

    def evaluate(self, exchange, groups, step, patch, request="r", seed=0):
        """One task of a rank."""
        member, rows = groups.tokens.index, self.patches[-1]
        has_text = member == 0 and patch in (0, ALL)
        bounds = self.splits[patch]
        exchange.bind(at(bounds, member, step, patch, request, total=rows, sync=step < self.warmup))
        q, k, v = qkv(step, rows, self.text, seed)[:, :, :, self.part(patch, member)]
        return exchange.attention("layer", q, k, v, num_text=self.text if has_text else 0)

    def run(self, groups, whole=None):
        exchange = Sharded(groups, self.config)
        return [self.evaluate(exchange, groups, *task) for task in self.tasks()]

    def whole(self):
        return None

    def expected(self, member):
        """One buffer of the whole sequence, in one place."""
        results, buffer = [], torch.zeros_like(qkv(0, self.patches[-1], self.text))
        for step, patch in self.tasks():
            now = qkv(step, self.patches[-1], self.text)
            new = slice(self.part(patch, 0).start, self.part(patch, self.shape.members - 1).stop)
            buffer[:, :, :, new] = now[:, :, :, new]
            q = now[0][:, :, self.part(patch, member)]
            results.append(F.scaled_dot_product_attention(q, buffer[1], buffer[2]))
        return results


DISPLACED = [
    Displaced(
        f"displaced-{name}-{kind}-text{text}-warmup{warmup}", shape, bounds[shape.members], text, warmup
    )
    for name, shape in (
        ("2", Shape(2)),
        ("4", Shape(4)),
        ("2-ulysses2", Shape(2, 2)),
        ("ulysses2", Shape(1, 2)),
    )
    for kind, bounds, text, warmup in (
        ("even", EVEN, 0, 1),
        ("uneven", UNEVEN, 5, 1),
        ("uneven", UNEVEN, 5, 2),
        ("uneven", UNEVEN, 5, 0),
        ("even", EVEN, 5, STEPS),
    )
]
EVEN_PATCHES = (
    (0, 8, 16),
    {
        1: ((0, 8), (8, 16), (0, 16)),
        2: ((0, 4, 8), (8, 12, 16), (0, 8, 16)),
        4: ((0, 2, 4, 6, 8), (8, 10, 12, 14, 16), (0, 4, 8, 12, 16)),
    },
)
UNEVEN_PATCHES = (
    (0, 5, 12, 16),
    {
        1: ((0, 5), (5, 12), (12, 16), (0, 16)),
        2: ((0, 3, 5), (5, 6, 12), (12, 14, 16), (0, 9, 16)),
        4: ((0, 2, 3, 4, 5), (5, 6, 9, 11, 12), (12, 13, 14, 15, 16), (0, 3, 9, 11, 16)),
    },
)
PATCHES = [
    Patches(f"patches-{name}-{kind}-text{text}-warmup{warmup}", shape, config, bounds[0], bounds[1][shape.members],
            text, warmup)
    for name, shape, config in (
        ("alone", Shape(), PATCH),
        ("patch2", Shape(2), PATCH),
        ("patch4", Shape(4), PATCH),
        ("ulysses2", Shape(1, 2), PATCH),
        ("ring2", Shape(2), RING),
        ("ring4", Shape(4), RING),
        ("patch2-ulysses2", Shape(2, 2), PATCH),
        ("ring2-ulysses2", Shape(2, 2), RING),
    )
    for kind, bounds, text, warmup in (
        ("even", EVEN_PATCHES, 0, 1),
        ("even", EVEN_PATCHES, 5, 2),
        ("uneven", UNEVEN_PATCHES, 5, 1),
        ("uneven", UNEVEN_PATCHES, 5, 0),
        ("uneven", UNEVEN_PATCHES, 0, 0),
        ("uneven", UNEVEN_PATCHES, 5, STEPS),
    )
]  # fmt: skip
