"""What a model said, as segments of a conversation: its words, and the signals where they stood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmm_graph.spec.chat import SIGNAL, Segment


def said(
    ids: Sequence[int], signals: Mapping[str, Sequence[int]], decode: Callable[[Sequence[int]], str]
) -> list[Segment]:
    """Segments of an answer.

    Args:
        ids: of its tokens. signals: runs of ids by the medium that they ask for. A run that is not whole is none, and
            left out as `decode` leaves special tokens out.
    """
    found: list[Segment] = []
    words: list[int] = []
    at = 0
    while at < len(ids):
        kind = next((k for k, run in signals.items() if run and _stands(run, ids, at)), None)
        if kind is None:
            words.append(ids[at])
            at += 1
            continue
        found += [*_text(words, decode), {"type": SIGNAL, SIGNAL: kind}]
        words = []
        at += len(signals[kind])
    return [*found, *_text(words, decode)]


def _stands(run: Sequence[int], ids: Sequence[int], at: int) -> bool:
    return list(ids[at : at + len(run)]) == list(run)


def _text(words: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[Segment]:
    text = decode(words) if words else ""
    return [{"type": "text", "text": text}] if text else []
