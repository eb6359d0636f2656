"""Which prefix of a prompt is kept, what is kept of a new one, and what is forgotten: by one rank, and on several."""

from __future__ import annotations

import copy

import pytest
import torch

from mmm_graph.nn.prefix_index import MOST, STEP, PrefixIndex, digests_of
from mmm_graph.nn.prefix_store import Word

GENERATOR = torch.Generator().manual_seed(0)
A, B, C = (torch.randn(1, 4 * STEP, 3, generator=GENERATOR) for _ in range(3))
TOKEN = 4 * 4
"""Bytes of a token."""


def index(is_alone: bool = True) -> PrefixIndex:
    made = PrefixIndex(4)
    made.is_alone = is_alone
    return made


def ask(of: PrefixIndex, *texts: torch.Tensor, tokens: int = 100 * STEP) -> Word:
    return of.decide(torch.cat(texts, 1), tokens * TOKEN)


def test_digests_are_of_whole_prefixes() -> None:
    first, other = digests_of(torch.cat([A, B], 1)), digests_of(torch.cat([A, C], 1))
    assert len(first) == 8 and first[:4] == other[:4] == digests_of(A) and not set(first[4:]) & set(other[4:])
    assert digests_of(A[:, : STEP - 1]) == [] and len(digests_of(A[:, : STEP + 1])) == 1
    assert not set(digests_of(A)) & set(digests_of(A.double()) + digests_of(A.bfloat16()))


def test_a_prompt_goes_on_from_where_it_differs() -> None:
    own = index()
    assert ask(own, A, B[:, :5])[:4] == (0, (), (0, 0, 64), (0,))
    assert ask(own, A, C) == Word(64, ((0, 64),), (1, 64, 128), (0, 1), 2)
    assert ask(own, A[:, :40], B) == Word(32, ((0, 32),), (2, 32, 96), (0, 1, 2), 3)
    assert ask(own, A, C, B[:, :1]) == Word(128, ((0, 64), (1, 64)), None, (0, 1, 2), 3)


def test_the_last_token_is_always_computed() -> None:
    own = index()
    ask(own, A)
    assert ask(own, A) == Word(48, ((0, 48),), None, (0,), 1)
    assert ask(own, A[:, :STEP]).length == 0 and ask(own, A[:, : STEP + 1]).length == STEP


def test_a_change_in_the_middle_ends_the_prefix() -> None:
    own, other = index(), A.clone()
    ask(own, A)
    other[0, 20, 1] += 1e-6
    assert ask(own, other).length == STEP


def test_the_least_used_are_forgotten_and_never_one_before_another() -> None:
    own = index()
    ask(own, A, tokens=128)
    ask(own, A, C, tokens=128)
    assert ask(own, A, C, tokens=128).live == (0, 1)
    assert ask(own, B, tokens=128).live == (0, 2)  # what follows A goes before A
    assert ask(own, A, C, tokens=128)[:4] == (64, ((0, 64),), (3, 64, 128), (0, 3))
    assert ask(own, B, tokens=128).length == 0


def test_of_a_long_prompt_the_beginning_is_kept() -> None:
    own = index()
    assert ask(own, A, B, tokens=40).keep == (0, 0, 32)
    assert ask(own, A, B, tokens=40) == Word(32, ((0, 32),), None, (0,), 1)
    assert ask(index(), A, tokens=STEP - 1).keep is None


def test_the_number_of_segments_is_bounded() -> None:
    own = index()
    for i in range(MOST + 5):
        word = ask(own, torch.full((1, STEP, 3), float(i)), tokens=10**6)
    assert word.live == tuple(range(5, MOST + 5))


def test_what_a_run_has_not_finished_is_not_there() -> None:
    own = index()
    ask(own, A)
    own.settle(is_good=True)
    ask(own, A, C)
    own.settle(is_good=False)
    assert ask(own, A, C).take == ((0, 64),)
    assert ask(own, A, C).take == ((0, 64), (2, 48))


def test_several_ranks_rely_on_runs_that_have_ended() -> None:
    own = index(is_alone=False)
    ask(own, A, C)
    assert ask(own, A, C) == Word(0, (), (1, 0, 128), (0, 1), 2)
    own.settle(is_good=True)
    assert ask(own, A, B) == Word(64, ((0, 64),), (2, 64, 128), (0, 2), 3)  # 1 was the same as 0
    own.settle(is_good=False)
    assert ask(own, A, B)[:4] == (64, ((0, 64),), (3, 64, 128), (0, 3))


def test_several_ranks_forget_between_runs_and_agree_whatever_each_has_seen_of_a_bad_one() -> None:
    one, other = index(is_alone=False), index(is_alone=False)
    for text in (A, B):
        for each in (one, other):
            ask(each, text, tokens=256)
            each.settle(is_good=True)
    ask(one, A, C, tokens=256)  # the other one had not come so far
    for each in (one, other):
        each.settle(is_good=False)
    for text in (C, B, A):
        words = [ask(each, text, tokens=256) for each in (one, other)]
        assert words[0].length == words[1].length
        for each in (one, other):
            each.settle(is_good=True)
    lengths = [[ask(each, text, tokens=256).length for text in (A, B, C)] for each in (one, other)]
    assert lengths[0] == lengths[1] == [48, 48, 0]


@pytest.mark.parametrize("tokens", [128, 256, 512])
def test_the_budget_holds_within_a_run(tokens: int) -> None:
    for is_alone in (True, False):
        own, sizes = index(is_alone), {}
        for i in range(40):
            word = ask(own, A if i % 3 else B, torch.full((1, 20, 3), float(i)), tokens=tokens)
            if word.keep is not None:
                sizes[word.keep[0]] = word.keep[2] - word.keep[1]
            assert sum(sizes[number] for number in word.live) <= tokens
            assert all(number in word.live for number, _ in word.take)
            if i % 7 == 6:
                own.settle(is_good=True)


def test_copies_of_a_model_know_nothing() -> None:
    own = index()
    ask(own, A)
    assert ask(copy.deepcopy(own), A).length == 0
    own.forget()
    assert ask(own, A).length == 0
