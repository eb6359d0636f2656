"""Pieces of an image on several members: the text is with the first one only, and the result that of one device."""

import copy

import pytest
import torch

from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.model import MMDiT
from tests.parallel.toys import at
from tests.parallel.world import Shape, threads

pytestmark = pytest.mark.dist

SMALL = MMDiTConfig(
    in_channels=3, out_channels=3, sample_size=12, depth=3, num_heads=4, head_dim=8, freq_dim=16, cond_dim=10,
    pooled_dim=6, pos_embed_max_size=9, qk_norm="rms_norm",
)  # fmt: skip
CONFIGS = {"joint": SMALL, "dual": SMALL.model_copy(update={"dual_blocks": (0, 2)})}
BOUNDS = (0, 8, 12)


@pytest.fixture(params=CONFIGS)
def whole(scramble, request):
    """Model, inputs and the result of one device."""
    model, draw = scramble(MMDiT(CONFIGS[request.param])), torch.Generator().manual_seed(1)
    sizes = {"x": (2, 3, 12, 8), "t": (2,), "cond.embeds": (2, 5, 10), "cond.pooled": (2, 6)}
    state = {k: torch.randn(size, generator=draw, dtype=torch.float64) for k, size in sizes.items()}
    with torch.no_grad():
        return model, state, model(state)["pred"]


def piece(model, state, a, b, text):
    """Rows a to b, through all parts."""
    state = {**state, "x": state["x"][:, :, a:b], "cond.embeds": state["cond.embeds"] if text else None}
    for part in model.parts.values():
        state.update(part(state))
    return state["pred"]


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
        return member, piece(mine, state, *bounds[member : member + 2], text=member == 0)

    for member, got in threads(shape, work):
        a, b = bounds[member : member + 2]
        torch.testing.assert_close(got, want[:, :, a:b], rtol=0, atol=1e-10)


def test_patches_that_follow_a_whole_evaluation_of_the_same_x_repeat_it(whole):
    model, state, want = whole
    exchange = Sharded(Groups(), ShardConfig(buffered=True))
    install(model, exchange)
    exchange.bind(at((0, 12), 0))
    with torch.no_grad():
        torch.testing.assert_close(piece(model, state, 0, 12, text=True), want, rtol=0, atol=1e-10)
        for patch in range(2):
            a, b = BOUNDS[patch : patch + 2]
            exchange.bind(at((a, b), 0, step=1, patch=patch, total=12, sync=False))
            got = piece(model, state, a, b, text=patch == 0)
            torch.testing.assert_close(got, want[:, :, a:b], rtol=0, atol=1e-10)
