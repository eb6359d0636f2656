"""Pieces of an image on several members: the text is with the first one only, and the result that of one device."""

import copy

import pytest
import torch

from mmm_flux.config import FluxConfig
from mmm_flux.model import Flux
from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from tests.parallel.toys import at
from tests.parallel.world import Shape, threads

pytestmark = pytest.mark.dist

CONFIG = FluxConfig(
    in_channels=3, out_channels=3, sample_size=12, double_depth=2, single_depth=2, num_heads=4, head_dim=8, freq_dim=16,
    rope_dims=(2, 2, 4), cond_dim=10, pooled_dim=6,
)  # fmt: skip
BOUNDS = {1: (0, 12), 2: (0, 8, 12), 4: (0, 4, 6, 10, 12)}
"""By number of members."""


@pytest.fixture
def whole(scramble):
    """Model, inputs and the result of one device."""
    model, draw = scramble(Flux(CONFIG)), torch.Generator().manual_seed(1)
    sizes = {
        "x": (2, 3, 12, 8),
        "t": (2,),
        "cond.embeds": (2, 5, 10),
        "cond.pooled": (2, 6),
        "cond.guidance": (2,),
    }
    state = {k: torch.randn(size, generator=draw, dtype=torch.float64) for k, size in sizes.items()}
    with torch.no_grad():
        return model, state, model(state)["pred"]


def piece(model, state, a, b, text):
    """Rows a to b, through all parts."""
    state = {**state, "x": state["x"][:, :, a:b], "cond.embeds": state["cond.embeds"] if text else None}
    for part in model.parts.values():
        state.update(part(state))
    return state["pred"]


def share(shape, config, model, state):
    """What each rank makes of its rows."""
    bounds = BOUNDS[shape.members]

    def work(groups):
        mine, member = copy.deepcopy(model), groups.tokens.index
        shard_weights(mine, groups.tensor.index, groups.tensor.size)
        exchange = Sharded(groups, config)
        install(mine, exchange)
        exchange.bind(at(bounds, member))
        rows = bounds[member : member + 2]
        return rows, piece(mine, state, *rows, text=member == 0)

    return threads(shape, work)


@pytest.mark.parametrize(
    ("shape", "config"),
    [
        (Shape(outer=2), ShardConfig()),
        (Shape(outer=2), ShardConfig(tokens="ring")),
        (Shape(inner=2), ShardConfig()),
        (Shape(inner=4), ShardConfig()),
        (Shape(outer=2, inner=2), ShardConfig()),
        (Shape(tensor=2), ShardConfig()),
        (Shape(tensor=3), ShardConfig()),
        (Shape(outer=2, tensor=2), ShardConfig()),
    ],
    ids=[
        "patch",
        "ring",
        "ulysses",
        "ulysses of 4",
        "patch x ulysses",
        "tensor",
        "tensor of 3",
        "patch x tensor",
    ],
)
def test_members_make_the_rows_of_the_whole(whole, shape, config):
    model, state, want = whole
    for (a, b), got in share(shape, config, model, state):
        torch.testing.assert_close(got, want[:, :, a:b], rtol=0, atol=1e-10)


def test_patches_that_follow_a_whole_evaluation_of_the_same_x_repeat_it(whole):
    model, state, want = whole
    exchange = Sharded(Groups(), ShardConfig(buffered=True))
    install(model, exchange)
    exchange.bind(at((0, 12), 0))
    with torch.no_grad():
        torch.testing.assert_close(piece(model, state, 0, 12, text=True), want, rtol=0, atol=1e-10)
        for patch in range(2):
            a, b = BOUNDS[2][patch : patch + 2]
            exchange.bind(at((a, b), 0, step=1, patch=patch, total=12, sync=False))
            got = piece(model, state, a, b, text=patch == 0)
            torch.testing.assert_close(got, want[:, :, a:b], rtol=0, atol=1e-10)
