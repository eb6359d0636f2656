"""What is known before anything runs: a tokenizer that has no such signals is refused; torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_graph.config import Config
from mmm_graph.registry import Facts
from mmm_signal.runs.config import FindConfig


def find_facts(config: FindConfig, uses: Mapping[str, Config], have: Facts) -> Facts:
    """Nothing new.

    Raises:
        ValueError: the config of the tokenizer says that it has no signals of this kind.
    """
    counts = getattr(uses.get("tokenizer"), "signals", None)
    if counts is not None and config.kind not in counts:
        said = ", ".join(counts) or "none"
        raise ValueError(
            f"the tokenizer has no signals for {config.kind} (it has: {said}); set `signals: {{{config.kind}: ...}}`"
        )
    return {}
