"""Pieces of an image on several members: each has the whole text, and the result is that of one device."""

import copy

import pytest
import torch

from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from mmm_pixart.config import PixArtConfig
from mmm_pixart.model import PixArt
from tests.parallel.toys import at
from tests.parallel.world import Shape, threads

pytestmark = pytest.mark.dist

CONFIG = PixArtConfig(
    in_channels=3, sample_size=8, width=36, depth=3, num_heads=3, freq_dim=16, cond_dim=10, size_condition=True
)  # fmt: skip
BOUNDS = (0, 8, 12)


@pytest.fixture
def whole(scramble):
    """Model, inputs and the result of one device."""
    model, draw = scramble(PixArt(CONFIG)), torch.Generator().manual_seed(1)
    sizes = {
        "x": (2, 3, 12, 8),
        "t": (2,),
        "cond.embeds": (2, 5, 10),
        "cond.resolution": (2, 2),
        "cond.aspect": (2, 1),
    }
    state = {k: torch.randn(size, generator=draw, dtype=torch.float64) for k, size in sizes.items()}
    state["cond.mask"] = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    with torch.no_grad():
        return model, state, both(model(state))


def both(state):
    return torch.cat([state["pred"], state["variance"]], dim=1)


def piece(model, state, a, b):
    """Rows a to b, through all parts."""
    state = {**state, "x": state["x"][:, :, a:b]}
    for part in model.parts.values():
        state.update(part(state))
    return both(state)


@pytest.mark.parametrize(
    ("shape", "config"),
    [
        (Shape(outer=2), ShardConfig()),
        (Shape(outer=2), ShardConfig(tokens="ring")),
        (Shape(inner=2), ShardConfig()),
        (Shape(tensor=2), ShardConfig()),
        (Shape(outer=2, tensor=2), ShardConfig()),
    ],
    ids=["patch", "ring", "ulysses", "tensor", "patch x tensor"],
)
def test_members_make_the_rows_of_the_whole(whole, shape, config):
    model, state, want = whole
    bounds = BOUNDS if shape.members == 2 else (0, 12)

    def work(groups):
        mine, member = copy.deepcopy(model), groups.tokens.index
        shard_weights(mine, groups.tensor.index, groups.tensor.size)
        exchange = Sharded(groups, config)
        install(mine, exchange)
        exchange.bind(at(bounds, member))
        return member, piece(mine, state, *bounds[member : member + 2])

    for member, got in threads(shape, work):
        a, b = bounds[member : member + 2]
        torch.testing.assert_close(got, want[:, :, a:b], rtol=0, atol=1e-10)


def test_patches_that_follow_a_whole_evaluation_of_the_same_x_repeat_it(whole):
    model, state, want = whole
    exchange = Sharded(Groups(), ShardConfig(buffered=True))
    install(model, exchange)
    exchange.bind(at((0, 12), 0))
    with torch.no_grad():
        torch.testing.assert_close(piece(model, state, 0, 12), want, rtol=0, atol=1e-10)
        for patch in range(2):
            a, b = BOUNDS[patch : patch + 2]
            exchange.bind(at((a, b), 0, step=1, patch=patch, total=12, sync=False))
            got = piece(model, state, a, b)
            torch.testing.assert_close(got, want[:, :, a:b], rtol=0, atol=1e-10)
