from hypothesis import given
from hypothesis import strategies as st

from mmm_graph.parallel.shares import shares


@given(st.integers(0, 50), st.integers(1, 9))
def test_shares_cover_everything_once_and_as_evenly_as_can_be(total, size):
    found = shares(total, size)
    assert [i for a, b in found for i in range(a, b)] == list(range(total))
    lengths = [b - a for a, b in found]
    assert lengths == sorted(lengths, reverse=True)
    assert max(lengths) - min(lengths) <= 1
