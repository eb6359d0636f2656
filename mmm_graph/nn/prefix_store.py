"""Keys and values of prefixes of prompts, kept from one prompt to the next by each layer that has a cache.

Axes: 2 1 m T k as in kv_cache.py, of one text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from mmm_graph.errors import RunError, problem


class Word(NamedTuple):
    """What `PrefixIndex` says to all layers about one prompt, as plain numbers: they may be on other ranks.

    Attributes:
        length: so many tokens at the beginning of the prompt need not be computed.
        take: (segment, how many of its tokens) that these are, in order.
        keep: (segment, start, stop): the places that are kept as a new segment.
        live: segments that are to stay.
        bound: segments from this number on were made after this word.
    """

    length: int
    take: tuple[tuple[int, int], ...]
    keep: tuple[int, int, int] | None
    live: tuple[int, ...]
    bound: int


class PrefixStore:
    """What one layer keeps. Tensors in here are copies, and are never written again."""

    def __init__(self) -> None:
        self._kept: dict[int, Tensor] = {}

    def fill(self, cache: Tensor, word: Word) -> None:
        """Put what is kept of a prompt at the beginning of its cache [2,1,m,T,k].

        Raises:
            RunError: E766, it is not here: a run before this one ended otherwise on this rank than on others.
        """
        at = 0
        for number, count in word.take:
            piece = self._kept.get(number)
            if piece is None:
                message = f"keys and values of {count} tokens of a prompt are not kept on this rank"
                hint = "run it again: ranks that disagree about what is kept begin anew with a new session"
                raise RunError(problem("E766", message, hint=hint))
            cache.narrow(3, at, count).copy_(piece.narrow(3, 0, count))
            at += count

    def keep(self, cache: Tensor, word: Word) -> None:
        """Take what is to be kept of a prompt from its cache, and forget what is not to stay."""
        for number in [n for n in list(self._kept) if n < word.bound and n not in word.live]:
            self._kept.pop(number, None)
        if word.keep is not None:
            number, start, stop = word.keep
            self._kept[number] = cache.narrow(3, start, stop - start).clone()

    def forget(self) -> None:
        """Keep nothing."""
        self._kept.clear()

    @property
    def num_bytes(self) -> int:
        """What the kept tensors take."""
        return sum(each.numel() * each.element_size() for each in self._kept.values())

    def __deepcopy__(self, memo: dict[int, Any]) -> PrefixStore:
        return PrefixStore()
