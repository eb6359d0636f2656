import pytest

from mmm_graph.parallel.state import StateStore
from mmm_graph.plan.ops import At


class Flight:
    def __init__(self):
        self.waits = 0

    def wait(self):
        self.waits += 1
        return []


HERE = At("r", "n")


@pytest.mark.parametrize("other", [At("s", "n"), At("r", "m"), At("r", "n", share=(1, 2))])
def test_requests_nodes_and_shares_do_not_see_each_other(other):
    store = StateStore()
    store.put(HERE, "layer", "kv", 1)
    assert store.get(other, "layer", "kv") is None
    assert store.get(HERE, "other layer", "kv") is None
    assert store.get(HERE, "layer", "text") is None
    assert store.get(HERE._replace(step=(3,), patch=2), "layer", "kv") == 1


def test_clearing_forgets_one_request():
    store = StateStore()
    store.put(HERE, "layer", "kv", 1)
    store.put(At("s", "n"), "layer", "kv", 2)
    store.clear("r")
    assert store.get(HERE, "layer", "kv") is None
    assert len(store) == 1
    store.clear("never seen")


def test_nothing_under_way_is_dropped():
    store, first, second = StateStore(), Flight(), Flight()
    store.put(HERE, "layer", "gathered", first)
    store.put(HERE, "layer", "gathered", second)
    assert (first.waits, second.waits) == (1, 0)
    store.clear("r")
    assert second.waits == 1


def test_a_loop_that_has_ended_takes_nothing_from_another():
    store = StateStore()
    for node in ("a/predict", "ab/predict", "a/inner/predict"):
        store.put(At("r", node), "layer", "kv", node)
    store.clear("r", "a")
    assert store.get(At("r", "ab/predict"), "layer", "kv") == "ab/predict" and len(store) == 1
