"""Which tokens of the whole sequence each member holds, worked out from the rows that the planner gave them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.exchange import Where
from mmm_graph.parallel.group import Group
from mmm_graph.parallel.state import StateStore

Span = tuple[int, int]


class Tokens(NamedTuple):
    """Tokens count through the whole sequence: the text of joint attention, then the rows from the top.

    Attributes:
        spans: half-open interval of each member, one after the other; those of one patch, or of all.
        total: length of the whole sequence, also of the patches that are not computed now; 0 = nobody needs to know.
    """

    spans: tuple[Span, ...]
    total: int

    @property
    def lengths(self) -> list[int]:
        """How many tokens each member holds."""
        return [stop - start for start, stop in self.spans]

    def chunk(self, outer: int, inner: int) -> Tokens:
        """Of chunk `outer`, what each of its `inner` members holds."""
        return self._replace(spans=self.spans[outer * inner : (outer + 1) * inner])

    def chunks(self, inner: int) -> Tokens:
        """The chunks that `inner` members each make up together."""
        firsts, lasts = self.spans[::inner], self.spans[inner - 1 :: inner]
        return self._replace(spans=tuple((a, b) for (a, _), (_, b) in zip(firsts, lasts, strict=True)))


def locate(at: Where, layer: str, own: int, own_text: int, text: int) -> Tokens:
    """The tokens of all members.

    Args:
        own: tokens here, text included.
        own_text: how many of them are text.
        text: length of the text, wherever it is.

    Raises:
        RunError: E721, the tokens here do not divide among the rows here.
    """
    first, last = at.spans[at.member]
    rows, image = last - first, own - own_text

    def tokens(row: int) -> int:
        if row * image % rows:
            hint = "the model's total stride must divide the rows at which ranks or patches begin"
            what = f"{layer}: {image} tokens of {rows} rows, so {row} rows are not a whole number of tokens"
            raise RunError(problem("E721", what, hint=hint))
        return row * image // rows

    spans = [(text + tokens(a), text + tokens(b)) for a, b in at.spans]
    if holds_text(at):
        spans[0] = (0, spans[0][1])
    return Tokens(tuple(spans), text + tokens(at.total))


def holds_text(at: Where) -> bool:
    """Whether the first member holds the text now: it belongs to the first patch."""
    return at.patch <= 0


def text_length(state: StateStore, group: Group, at: Where, layer: str, own_text: int, like: Tensor) -> int:
    """How many tokens of text there are, which only the first member sees: the others ask once per request.

    Args:
        group: all members that share rows.
        like: a tensor on the device that the members exchange from.
    """
    known: int | None = state.get(at, layer, "text")
    if known is None:
        known = own_text
        if group.size > 1:
            mine = torch.tensor([own_text], device=like.device)
            known = int(group.gather(mine, [(1,)] * group.size).wait()[0])
        state.put(at, layer, "text", known)
    assert own_text == (known if at.member == 0 and holds_text(at) else 0), (layer, at, own_text, known)
    return known
