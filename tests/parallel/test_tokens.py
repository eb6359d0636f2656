import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.parallel.group import ALONE
from mmm_graph.parallel.state import StateStore
from mmm_graph.parallel.thread_group import run_members
from mmm_graph.parallel.tokens import Tokens, locate, text_length
from mmm_graph.plan.ops import ALL
from tests.parallel.toys import at


def test_text_comes_before_the_first_rows():
    whole = at((0, 4, 16), member=1)
    assert locate(whole, "layer", own=18, own_text=0, text=5) == Tokens(((0, 11), (11, 29)), 29)
    assert locate(whole._replace(member=0), "layer", own=11, own_text=5, text=5).lengths == [11, 18]


def test_patches_lie_where_their_rows_are():
    place = at((8, 12, 14), member=0, patch=1, total=16)
    assert locate(place, "layer", own=6, own_text=0, text=5) == Tokens(((17, 23), (23, 26)), 29)


def test_a_layer_at_another_resolution_has_other_tokens_of_the_same_rows():
    place = at((0, 8, 16), member=0)
    assert locate(place, "layer", own=64, own_text=0, text=0).spans == ((0, 64), (64, 128))
    assert locate(place, "layer", own=4, own_text=0, text=0).spans == ((0, 4), (4, 8))


def test_rows_that_are_no_whole_number_of_tokens_are_refused():
    with pytest.raises(RunError, match=r"E721.*layer: 3 tokens of 2 rows, so 5 rows.*\n.*stride"):
        locate(at((0, 2, 5), member=0), "layer", own=3, own_text=0, text=0)


def test_chunks_are_made_up_of_members():
    tokens = Tokens(((0, 3), (3, 5), (5, 9), (9, 10)), 20)
    assert tokens.chunks(2) == Tokens(((0, 5), (5, 10)), 20)
    assert tokens.chunk(1, 2) == Tokens(((5, 9), (9, 10)), 20)
    assert tokens.chunks(1) == tokens == tokens.chunk(0, 4)


@pytest.mark.dist
def test_the_others_ask_for_the_length_of_the_text_once_for_each_layer():
    def work(group):
        store, place = StateStore(), at((0, 8, 16), group.index)
        own = 5 if group.index == 0 else 0
        found = [text_length(store, group, place, "a", own, torch.zeros(1)) for _ in range(3)]
        calls = group._calls
        return found, calls, text_length(store, group, place, "b", 0, torch.zeros(1))

    assert run_members(2, work) == [([5, 5, 5], 1, 0)] * 2


def test_later_patches_remember_it():
    store = StateStore()
    assert text_length(store, ALONE, at((0, 16), 0, patch=ALL), "a", 5, torch.zeros(1)) == 5
    assert text_length(store, ALONE, at((8, 16), 0, patch=1, total=16), "a", 0, torch.zeros(1)) == 5
