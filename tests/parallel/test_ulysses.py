import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.parallel.shares import shares
from mmm_graph.parallel.thread_group import run_members
from mmm_graph.parallel.ulysses import to_heads, to_tokens

pytestmark = pytest.mark.dist


@pytest.mark.parametrize(("heads", "lengths"), [(4, (3, 3)), (5, (4, 1)), (5, (6, 2, 2)), (7, (1, 2, 3, 4))])
def test_heads_of_all_tokens_and_back(heads, lengths):
    q, k, v = torch.randn(3, 2, heads, sum(lengths), 4)
    bounds = [sum(lengths[:member]) for member in range(len(lengths) + 1)]

    def work(group):
        own = slice(*bounds[group.index : group.index + 2])
        mine = [x[:, :, own] for x in (q, k, v)]
        first, last = shares(heads, group.size)[group.index]
        got = to_heads(group, "layer", *mine, lengths)
        assert all(torch.equal(a, b[:, first:last]) for a, b in zip(got, (q, k, v), strict=True))
        assert torch.equal(to_tokens(group, got[0], lengths, heads), mine[0])

    run_members(len(lengths), work)


def test_too_few_heads_are_refused():
    x = torch.randn(1, 2, 4, 4)
    with pytest.raises(
        RunError, match=r"E722.*layer has 2 heads here, too few for 3 ranks\n.*at most 2 ranks"
    ):
        run_members(3, lambda group: to_heads(group, "layer", x, x, x, [4, 4, 4]))
