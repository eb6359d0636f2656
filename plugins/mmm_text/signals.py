"""Signal tokens: segments that ask for a medium -> runs of ids, put in after the text has become ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mmm_graph.errors import RunError, problem
from mmm_graph.spec.chat import SIGNAL, Conversation, Segment

DEFAULT: Mapping[str, int] = MappingProxyType({"image": 4, "video": 24, "audio": 8})
"""Tokens of a signal by the type of the medium. Source: Wu et al. 2024 (arXiv:2309.05519), figure 6."""


def signal_tokens(counts: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Texts of the tokens, `<image_00>` and so on: names for people; whoever reads or writes signals does it by id."""
    return {kind: tuple(f"<{kind}_{i:02}>" for i in range(count)) for kind, count in counts.items()}


class Signals:
    """Puts signals into conversations.

    In the text a signal is its first token alone, so that a template has one word to place and no tokenizer can put
    something between its tokens; the others follow when the text has become ids.

    Args:
        tokens, ids: of each run, by the type of the medium.
    """

    def __init__(self, tokens: Mapping[str, Sequence[str]], ids: Mapping[str, Sequence[int]]) -> None:
        self.tokens = tokens
        self.ids = {kind: tuple(run) for kind, run in ids.items()}
        self._first = {run[0]: kind for kind, run in self.ids.items()}
        self._all = frozenset(id_ for run in self.ids.values() for id_ in run)

    def written(self, chat: Conversation, place: str) -> Conversation:
        """The conversation with the first token of each signal as a text in its place.

        Raises:
            RunError: E755, there are no tokens for a signal.
        """

        def segment(found: Segment) -> Segment:
            if found["type"] != SIGNAL:
                return found
            kind = found[SIGNAL]
            if kind not in self.tokens:
                what = f"{place} has a signal for {kind}, for which the tokenizer has no tokens"
                raise RunError(problem("E755", what, hint=f"set signals: {{{kind}: {DEFAULT[kind]}}}"))
            return {"type": "text", "text": self.tokens[kind][0]}

        return [{**message, "content": [segment(s) for s in message["content"]]} for message in chat]

    def grown(self, ids: Sequence[int], chat: Conversation, place: str) -> list[tuple[int, ...]]:
        """What each token of a conversation becomes: itself, or where a signal begins the whole run.

        Raises:
            RunError: E755, its text holds signal tokens that no segment asks for, or lacks some.
        """
        for kind, run in self.ids.items():
            wanted = sum(s.get(SIGNAL) == kind for message in chat for s in message["content"])
            found = ids.count(run[0])
            if wanted != found:
                what = (
                    f"{place} has {wanted} signal segments for {kind}, "
                    f"and its text {found} times {self.tokens[kind][0]}"
                )
                raise RunError(problem("E755", what, hint="write signals as segments, never as text"))
        stray = [i for i, id_ in enumerate(ids) if id_ in self._all and id_ not in self._first]
        if stray:
            what = f"{place} has the signal token {ids[stray[0]]} in its text, outside of a signal"
            raise RunError(problem("E755", what, hint="write signals as segments, never as text"))
        return [self.ids[self._first[id_]] if id_ in self._first else (id_,) for id_ in ids]
