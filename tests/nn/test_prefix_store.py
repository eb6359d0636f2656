"""What a layer keeps: copies, in pieces, as long as it is told to."""

from __future__ import annotations

import copy

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.nn.prefix_store import PrefixStore, Word
from mmm_graph.runtime.codec import from_bytes, to_bytes

CACHE = torch.arange(2 * 3 * 10 * 2.0).view(2, 1, 3, 10, 2)


def kept(*words: Word) -> PrefixStore:
    store = PrefixStore()
    for word in words:
        store.keep(CACHE.clone(), word)
    return store


FIRST = Word(0, (), (0, 0, 4), (0,), 1)
SECOND = Word(4, ((0, 4),), (1, 4, 6), (0, 1), 2)


def test_pieces_stand_one_after_the_other_and_are_copies() -> None:
    store, cache = kept(FIRST, SECOND), torch.zeros_like(CACHE)
    store.fill(cache, Word(5, ((0, 4), (1, 1)), None, (0, 1), 2))
    assert torch.equal(cache[..., :5, :], CACHE[..., :5, :]) and not cache[..., 5:, :].any()
    cache.fill_(7)
    again = torch.zeros_like(CACHE)
    store.fill(again, Word(3, ((0, 3),), None, (0, 1), 2))
    assert torch.equal(again[..., :3, :], CACHE[..., :3, :]) and store.num_bytes == 6 * 12 * 4


def test_what_is_not_to_stay_goes_but_not_what_came_later() -> None:
    store = kept(FIRST, SECOND)
    store.keep(CACHE, Word(0, (), None, (), 1))  # said before the second one was made
    assert store.num_bytes == 2 * 12 * 4
    store.keep(CACHE, Word(0, (), None, (), 2))
    assert store.num_bytes == 0


def test_what_is_not_there_is_an_error() -> None:
    for store in (PrefixStore(), copy.deepcopy(kept(FIRST))):
        with pytest.raises(RunError, match=r"E766.*4 tokens"):
            store.fill(CACHE.clone(), SECOND)


def test_a_word_goes_to_other_ranks() -> None:
    assert Word(*from_bytes(to_bytes(tuple(SECOND), "x"), torch.device("cpu"))) == SECOND
