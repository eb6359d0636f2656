from itertools import pairwise

import pytest
import torch

from mmm_graph.nn.embed import GridEmbedding
from mmm_graph.parallel.exchange import SINGLE, install
from mmm_graph.parallel.positions import positions
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.plan.ops import At
from tests.parallel.toys import at

CPU = torch.device("cpu")


def rows(bounds, member, height, width=3, **place):
    found = positions(at(bounds, member, **place), (height, width), CPU)
    assert found.cols.tolist() == list(range(width))
    assert found.width == width
    return found.rows.tolist(), found.height


@pytest.mark.parametrize("scale", [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("bounds", [(0, 16), (0, 8, 16), (0, 4, 10, 16)])
def test_members_count_through_the_image(bounds, scale):
    times, over = scale
    whole = []
    for member, (a, b) in enumerate(pairwise(bounds)):
        found, height = rows(bounds, member, (b - a) * times // over)
        assert height == 16 * times // over
        whole += found
    assert whole == list(range(16 * times // over))


def test_a_patch_of_a_pipeline():
    assert rows((8, 12, 16), 1, 2, patch=1, total=32) == ([6, 7], 16)
    assert rows((8, 16), 0, 8, patch=1, total=32) == (list(range(8, 16)), 32)


def test_without_spans_all_is_here():
    got, wanted = positions(At("r", "n"), (4, 5), CPU), SINGLE.positions((4, 5), CPU)
    assert all(torch.equal(a, b) for a, b in zip(got[:2], wanted[:2], strict=True))
    assert got[2:] == (4, 5)


def test_rows_inside_a_token_are_refused():
    with pytest.raises(
        ValueError, match="row 3 of the input is inside a token: 1 rows of tokens stand for 2"
    ):
        positions(at((0, 3, 5), 1), (1, 4), CPU)


@pytest.mark.parametrize("bounds", [(0, 4, 8), (0, 2, 8)])
def test_embeddings_of_slices_are_slices_of_the_embedding(bounds):
    embedding, like = GridEmbedding(16, base=6), torch.zeros(1, dtype=torch.float64)
    whole = embedding((8, 5), like).view(8, 5, -1)
    exchange = Sharded(Groups(), ShardConfig())
    install(embedding, exchange)
    for member, (a, b) in enumerate(pairwise(bounds)):
        exchange.bind(at(bounds, member))
        assert torch.equal(embedding((b - a, 5), like).view(b - a, 5, -1), whole[a:b])
