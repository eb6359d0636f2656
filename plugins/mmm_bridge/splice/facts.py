"""What is known of lengths before anything runs: texts whose media cannot fit are refused; torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_bridge.splice.config import PrependConfig, SpliceConfig
from mmm_graph.config import Config
from mmm_graph.registry import Facts


def splice_facts(config: SpliceConfig, uses: Mapping[str, Config], have: Facts) -> Facts:
    """A conversation with one medium fits into the context.

    Raises:
        ValueError: it cannot, whatever the conversation says.
    """
    tokens, visual = _length(have, "text"), _length(have, "insert")
    if config.expanded:
        _check(tokens or 0, 0, config.context)
    elif visual is not None:
        _check((tokens or 1) - 1, visual, config.context)  # a medium takes the place of one token
    return {}


def prepend_facts(config: PrependConfig, uses: Mapping[str, Config], have: Facts) -> Facts:
    """A text with its prompt fits into the context.

    Raises:
        ValueError: it cannot, whatever the text says.
    """
    _check(_length(have, "text") or 0, _length(have, "insert") or 0, config.context)
    return {}


def _length(have: Facts, port: str) -> int | None:
    """Tokens of each item, if the graph says it."""
    dims: tuple[int | None, ...] = have.get(f"{port}.dims") or ()
    return dims[1] if len(dims) == 3 else None


def _check(tokens: int, visual: int, context: int | None) -> None:
    total = tokens + visual
    if context is None or total <= context:
        return
    of = f" ({tokens} of text and {visual} of one medium)" if visual else ""
    raise ValueError(
        f"{total} tokens{of} are {total - context} more than the context of {context}; "
        "take an adaptor with fewer tokens, smaller images or shorter texts"
    )
