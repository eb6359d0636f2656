"""`rows:` -> numbers of rows: numbers, ranges, and tokens, which the tokenizers of the graph are asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmm_graph.graph.graph import Graph
from mmm_graph.registry import Registry
from mmm_graph.runtime import build_models

_RANGE = re.compile(r"(\d+):(\d+)")
ROLE = "tokenizer."
SIGNALS = "signals"
"""In place of a token: all signal tokens of a tokenizer, with which a language model asks for media."""


def row_numbers(
    rows: Sequence[int | str], graph: Graph, registry: Registry, base: Path
) -> tuple[int, ...] | str:
    """Numbers of rows, in order, each once; where there are none for one of them, why, in words.

    Args:
        base: folder of the graph file, where tokenizers have their files.
    """
    found: set[int] = set()
    tokens: list[str] = []
    for row in rows:
        match = _RANGE.fullmatch(row) if isinstance(row, str) else None
        if isinstance(row, int):
            found.add(row)
        elif match:
            span = range(int(match[1]), int(match[2]))
            if not span:
                return f"the rows {row} are none: the end is not among them"
            found.update(span)
        else:
            tokens.append(row)
    if not tokens:
        return tuple(sorted(found))
    return _with_tokens(found, tokens, graph, registry, base)


def _with_tokens(
    found: set[int], tokens: Sequence[str], graph: Graph, registry: Registry, base: Path
) -> tuple[int, ...] | str:
    names = frozenset(name for name, node in graph.models.items() if node.kind.startswith(ROLE))
    built = build_models(graph.models, registry, base=base, needed=names)
    asked = {name: one.object for name, one in built.items() if hasattr(one.object, "token_id")}
    for token in tokens:
        ids = {name: _numbers(tokenizer, token) for name, tokenizer in asked.items()}
        known = {name: numbers for name, numbers in ids.items() if numbers}
        if not known:
            who = (
                f"none of {', '.join(asked)} has it"
                if asked
                else "no tokenizer of the graph can say its number"
            )
            key = SIGNALS if token == SIGNALS else "add_tokens"
            return (
                f"there is no token {token!r}: {who}; `{key}` of a tokenizer adds some, or write its number"
            )
        if len(set(known.values())) > 1:
            said = ", ".join(f"{', '.join(map(str, numbers))} of {name}" for name, numbers in known.items())
            return f"the token {token!r} is {said}; write its number"
        found.update(*known.values())
    return tuple(sorted(found))


def _numbers(tokenizer: Any, token: str) -> tuple[int, ...]:
    """The number of a token, or for the word SIGNALS those of all signal tokens; () = it has none."""
    if token == SIGNALS:
        return tuple(number for run in getattr(tokenizer, SIGNALS, {}).values() for number in run)
    number = tokenizer.token_id(token)
    return () if number is None else (number,)
