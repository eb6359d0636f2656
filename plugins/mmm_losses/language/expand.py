"""The composite `loss.language`: a language model says what follows where a label is, and only there; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Used
from mmm_losses.language.config import NextTokenConfig

OF_LOSS = ("labels", "weights", "segments", "documents")
"""Inputs that the loss reads; the model gets the others."""


def expand(config: NextTokenConfig, uses: Mapping[str, Used], inputs: frozenset[str]) -> Mapping[str, Any]:
    """Where labels are, the logits of these places, and their cross entropy.

    Raises:
        ValueError: there is no text; the model has no `logits_at`.
    """
    llm = uses["llm"]
    if "embeds" not in inputs and "ids" not in inputs:
        raise ValueError("link a text: `embeds`, or `ids` of tokens")
    if "logits_at" not in llm.methods:
        raise ValueError(
            f"{llm.name} ({llm.kind}) has no method logits_at; use its logits, and loss.next_token"
        )
    given = {name: f"$in.{name}" for name in sorted(inputs)}
    about = {name: given[name] for name in OF_LOSS if name in given}
    learnt = {name: about[name] for name in ("labels", "documents") if name in about}
    nodes: dict[str, Any] = {"learnt": {"op": "tokens.learnt", "in": learnt}}
    if "embeds" not in given:
        nodes["words"] = {"call": f"{llm.name}.embed", "in": {"ids": given["ids"]}}
        given["embeds"] = "words"
    read = {name: link for name, link in given.items() if name not in (*OF_LOSS, "ids")}
    nodes["lm"] = {"call": f"{llm.name}.logits_at", "in": {**read, "places": "learnt"}}
    settings = config.model_dump(exclude_unset=True)
    nodes["next"] = {"op": "loss.next_token_at", "in": {"logits": "lm.logits", **about}, "config": settings}
    return {
        "nodes": nodes,
        "out": {name: f"next.{name}" for name in ("loss", "supervised", "accuracy", "count")},
    }
