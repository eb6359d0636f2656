import pytest
import torch

from mmm_graph.parallel.group import ALONE, Listed, Ready, in_order


def test_who_is_alone_has_all_there_is():
    x = torch.arange(3.0)
    assert ALONE.gather(x, [x.shape]).wait() == [x]
    assert ALONE.all_to_all([x], [x.shape]) == [x]
    assert ALONE.all_reduce(x) is x
    assert ALONE.swap({}, {}, x) == ALONE.start_swap({}, {}, x).wait() == {}


def test_own_part_stands_in_its_place():
    assert Listed(Ready({0: "a", 2: "c"}), 1, "b").wait() == ["a", "b", "c"]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_sums_go_from_first_to_last(size):
    parts = [torch.randn(100) for _ in range(size)]
    wanted = parts[0].clone()
    for part in parts[1:]:
        wanted = wanted + part
    kept = [part.clone() for part in parts]
    assert torch.equal(in_order(parts), wanted)
    assert all(map(torch.equal, parts, kept))
